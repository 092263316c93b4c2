//! Three hundred tenants in one database: whatever of another a tenant's token names, it finds nothing; and a server that
//! starts asks no more of the database however many tenants there are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use matrikel::auth::token;
use matrikel::directory::clients::{self, NewCredential};
use matrikel::directory::{Ctx, Directory, Limits, Profile, Random, Role};
use scim::schema::Registry;
use serde_json::{Value, json};
use store::Store;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::both::on_both_databases;
use crate::support::client::Client;
use crate::support::messages::{add_members, client as client_body, group, patch, user, user_with, with};
use crate::support::register::NEW_YEAR;
use crate::support::server::Server;
use crate::support::statements::{Entry, Log, text};

on_both_databases!(Server: three_hundred_tenants_never_meet);

const TENANTS: usize = 300;
/// Each so-many-th has something of its own and looks for another's.
const NTH: usize = 5;
const MEMBERSHIP: &str = "urn:ietf:params:scim:schemas:core:2.0:GroupMembership";
const THING: &str = "urn:example:scim:schemas:1.0:Thing";

/// Makes tenants with an administrator each, and returns their tokens.
async fn tenants(server: &Server, count: usize) -> Vec<String> {
    let registry = Arc::new(Registry::builtin().expect("the schemas"));
    let store = Store::open(&store::Options::new(server.database_url()), registry.clone()).expect("the store");
    let directory = Directory::new(store.clone(), registry, Limits::default());
    let mut tokens = Vec::new();
    for n in 0..count {
        let tenant = store.create_tenant(&format!("t{n}"), "T", NEW_YEAR).expect("a tenant").id;
        let id = Uuid::new_v4();
        let minted = token::mint(tenant, id, &token::random_bytes().expect("random"));
        let credential = NewCredential { id, digest: minted.digest, expires_at: None, ..NewCredential::default() };
        let ctx = Ctx::system(tenant, NEW_YEAR, Random::os());
        clients::create(&directory, &ctx, "admin", Role::Administrator, Profile::Rfc, credential)
            .await
            .expect("a client");
        tokens.push(minted.token);
    }
    store.close();
    tokens
}

/// What a tenant has, as paths that only its own clients find.
#[derive(Clone)]
struct Own {
    client: Client,
    user: String,
    group: String,
    app: String,
    paths: Vec<String>,
    cursor: String,
}

/// Everything that has an id of its own, in each tenant with the same names.
async fn furnish(client: Client) -> Own {
    let anna = client.post("/Users", &user_with("anna", &json!({ "externalId": "e" }))).await.expect(201).id();
    client.post("/Users", &user("bo")).await.expect(201);
    let crew = client.post("/Groups", &group("crew", &[&anna])).await.expect(201).id();
    let app = client.post("/Clients", &client_body("app", "consumer")).await.expect(201).id();
    let schema = json!({ "id": THING, "name": "Thing", "attributes": [{ "name": "label" }] });
    client.post("/Schemas", &schema).await.expect(201);
    let kind = json!({ "name": "Thing", "endpoint": "/Things", "schema": THING });
    client.post("/ResourceTypes", &kind).await.expect(201);
    let thing = client.post("/Things", &json!({ "schemas": [THING], "label": "a" })).await.expect(201).id();
    let link = client.find("/GroupMemberships", &[("filter", &format!("group.value eq \"{crew}\""))]).await.expect(200);
    let link = link.ids().remove(0);
    let page = client.get("/Users?cursor&count=1").await.expect(200).json();
    let cursor = page["nextCursor"].as_str().expect("a cursor").to_owned();
    let message = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "POST", "path": "/Users", "bulkId": "c", "data": user("cecilia") }],
    });
    let headers = [("content-type", "application/scim+json"), ("prefer", "respond-async")];
    let bulk = client.send("POST", "/Bulk", &headers, Some(message.to_string().into_bytes())).await.expect(202);
    let bulk = bulk.header("set-txn").to_owned();
    let paths = [
        format!("/Users/{anna}"),
        format!("/Groups/{crew}"),
        format!("/Clients/{app}"),
        format!("/Things/{thing}"),
        format!("/GroupMemberships/{link}"),
        format!("/Bulk/{bulk}"),
    ];
    Own { client, user: anna, group: crew, app, paths: paths.into(), cursor }
}

/// Nothing of `other` can be read, changed, taken away, pointed at or found by the client.
async fn sees_nothing(client: &Client, other: &Own) {
    for path in &other.paths {
        client.get(path).await.expect(404);
        if path.starts_with("/Bulk/") {
            continue;
        }
        client.delete(path).await.expect(404);
        if !path.starts_with("/GroupMemberships/") {
            let change = patch(&json!([{ "op": "replace", "path": "externalId", "value": "x" }]));
            client.patch(path, &change).await.expect(404);
        }
    }
    client.delete(&format!("{}/credentials/{}", other.paths[2], other.user)).await.expect(404);
    let id = &other.user;
    for path in ["Feeds/", "Runs/", "Simulations/", "WorkItems/"].map(|kind| format!("/{kind}{id}")) {
        client.get(&path).await.expect(404);
        client.delete(&path).await.expect(404);
    }
    for path in [
        format!("/Runs/{id}/items"),
        format!("/Simulations/{id}/items"),
        format!("/Users/{id}/why"),
        format!("/Users/{id}/sources"),
    ] {
        client.get(&path).await.expect(404);
    }
    client.put(&other.paths[0], &user("anna")).await.expect(404);
    client.put(&other.paths[1], &group("crew", &[])).await.expect(404);
    client.put(&other.paths[2], &client_body("app", "consumer")).await.expect(404);
    client.put(&other.paths[3], &json!({ "schemas": [THING], "label": "b" })).await.expect(404);

    let own = client.find("/Groups", &[("filter", "displayName eq \"crew\"")]).await.expect(200).ids();
    client.patch(&format!("/Groups/{}", own[0]), &add_members(&[&other.user])).await.expect(400);
    client.post("/Groups", &group("more", &[&other.group])).await.expect(400);
    let link = json!({ "schemas": [MEMBERSHIP], "group": { "value": other.group }, "member": { "value": other.user } });
    client.post("/GroupMemberships", &link).await.expect(400);
    let manager =
        json!({ "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "manager": { "value": other.user } } });
    let pointed = client.post("/Users", &with(user("pointer"), &manager)).await;
    assert!(pointed.status == 400 || !pointed.text.contains("\"displayName\""), "{}", pointed.text);

    for (endpoint, filter) in [
        ("/Users", format!("id eq \"{}\"", other.user)),
        ("/Users", format!("groups.value eq \"{}\"", other.group)),
        ("/Groups", format!("members.value eq \"{}\"", other.user)),
        ("/Clients", format!("id eq \"{}\"", other.app)),
        ("/GroupMemberships", format!("group.value eq \"{}\"", other.group)),
        ("/GroupMemberships", format!("member.value eq \"{}\"", other.user)),
        ("/AuditEvents", format!("resource.value eq \"{}\"", other.user)),
        ("/AuditEvents", format!("resource.value eq \"{}\" or resource.value eq \"{}\"", other.group, other.app)),
        ("", format!("id eq \"{}\"", other.user)),
    ] {
        let found = client.find(endpoint, &[("filter", &filter)]).await.expect(200).json();
        assert_eq!(found["totalResults"], 0, "{endpoint} {filter}");
    }
    assert_eq!(client.find("/Users", &[("cursor", &other.cursor), ("count", "1")]).await.status, 400);
}

async fn three_hundred_tenants_never_meet(server: &Server) {
    let tokens = tenants(server, TENANTS).await;
    let mut furnished = JoinSet::new();
    for (n, token) in tokens.iter().enumerate().step_by(NTH) {
        let client = Client::new(&server.base_url, token);
        furnished.spawn(async move { (n, furnish(client).await) });
    }
    let mut all = furnished.join_all().await;
    all.sort_by_key(|(n, _)| *n);
    let all: Vec<Own> = all.into_iter().map(|(_, own)| own).collect();
    let mut looks = JoinSet::new();
    for (n, own) in all.iter().enumerate() {
        // Another neighbour for each, near and far.
        let other = all[(n + 1 + n % 7) % all.len()].clone();
        let client = own.client.clone();
        looks.spawn(async move { sees_nothing(&client, &other).await });
    }
    looks.join_all().await;
    for own in all.iter().step_by(29) {
        let everything = own.client.get("/Users").await.expect(200).json();
        let names: BTreeSet<&str> = everything["Resources"]
            .as_array()
            .expect("a page")
            .iter()
            .filter_map(|one| one["userName"].as_str())
            .collect();
        assert!(names.contains("anna") && names.contains("bo") && names.len() <= 4, "{names:?}");
        for path in &own.paths[..5] {
            own.client.get(path).await.expect(200);
        }
    }
}

/// The routes that take an id or a name are those that were asked above, and those whose names all tenants may share.
#[test]
fn every_route_with_an_id_is_among_those_that_are_asked() {
    let routes =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/routes.rs")).expect("the routes");
    let found: BTreeSet<&str> =
        routes.split('"').filter(|text| text.starts_with("/scim/v2/") && text.ends_with('}')).collect();
    let asked = [
        "/scim/v2/Bulk/{id}",
        "/scim/v2/Clients/{id}/credentials/{credential}",
        // A day, which all may ask for.
        "/scim/v2/Reports/{day}",
        "/scim/v2/ResourceTypes/{name}",
        "/scim/v2/Schemas/{urn}",
        // Its ids are numbers within the tenant, which all may share.
        "/scim/v2/{endpoint:AuditEvents}",
        "/scim/v2/{endpoint:AuditEvents}/{id}",
        "/scim/v2/{endpoint:Feeds}/{id}",
        "/scim/v2/{endpoint:GroupMemberships}/{id}",
        "/scim/v2/{endpoint:Runs}",
        "/scim/v2/{endpoint:Runs}/{id}",
        "/scim/v2/{endpoint:Simulations}",
        "/scim/v2/{endpoint:Simulations}/{id}",
        "/scim/v2/{endpoint:WorkItems}",
        "/scim/v2/{endpoint:WorkItems}/{id}",
        "/scim/v2/{endpoint}",
        "/scim/v2/{endpoint}/{id}",
    ];
    assert_eq!(found, asked.into_iter().collect(), "a new route is to be asked with the ids of another tenant");
}

/// What a server asks at its start beside getting ready.
const BESIDE: [&str; 5] = ["FROM idempotency", "FROM deferred", "FROM sweep", "FROM due", "FROM resource"];

/// What a server asks from its start until it is ready.
async fn asked_at_the_start(server: &mut Server, log: &mut Log) -> Vec<String> {
    server.kill();
    log.go_on();
    server.restart();
    Client::anonymous(&server.base_url).get("//readyz").await.expect(200);
    // What it does beside begins by itself, each at its own time.
    let mut statements = log.entries();
    for _ in 0..600 {
        if BESIDE.iter().all(|what| statements.iter().any(|entry| text(entry).contains(what))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        statements = log.entries();
    }
    let statements = statements.iter().filter(|entry| matches!(entry, Entry::Statement { .. }));
    let mut texts: Vec<String> = statements.map(|entry| text(entry).to_owned()).collect();
    texts.sort();
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_start_asks_as_much_of_many_tenants_as_of_one() {
    let mut server = Server::postgres();
    let mut log = Log::begin(server.database_url());
    server.tenant("first");
    let of_one = asked_at_the_start(&mut server, &mut log).await;
    tenants(&server, TENANTS).await;
    let of_many = asked_at_the_start(&mut server, &mut log).await;
    assert!(of_one.iter().any(|text| text.contains("FROM sweep")), "{of_one:?}");
    assert_eq!(of_one, of_many);
    let is_bounded = |text: &&String| !text.contains("FROM tenant ORDER BY");
    assert_eq!(of_many.iter().filter(|text| !is_bounded(text)).collect::<Vec<_>>(), Vec::<&String>::new());
    let first = Client::new(&server.base_url, &server.client("first", "late", "administrator"));
    let none: Value = first.get("/Users").await.expect(200).json();
    assert_eq!(none["totalResults"], 0);
}
