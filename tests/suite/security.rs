//! Who gets in, what a role may do there, and that a secret is never said aloud.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use matrikel::auth::token;
use matrikel::directory::clients::{self, NewCredential};
use matrikel::directory::{Ctx, Directory, Limits, Profile, Random, Role};
use scim::schema::Registry;
use serde_json::{Value, json};
use store::Store;
use uuid::Uuid;

use crate::support::both::on_both_databases;
use crate::support::client::{Answer, Client};
use crate::support::messages::{client as client_body, group, patch, set, user, user_with};
use crate::support::server::{Server, command};

on_both_databases!(Server:
    without_a_valid_token_there_is_nothing_but_401,
    a_revoked_or_rotated_token_and_one_of_an_inactive_client_end,
    an_expired_token_ends_at_its_moment,
    a_tenant_never_sees_another,
    a_role_may_do_what_it_may_and_no_more,
    an_administrator_keeps_the_clients,
    secrets_and_personal_data_are_never_logged,
);

/// Every kind of request that needs a token.
const REQUESTS: [(&str, &str); 12] = [
    ("GET", "/Users"),
    ("POST", "/Users"),
    ("GET", "/Users/0198c0de-0000-7000-8000-000000000000"),
    ("PUT", "/Users/x"),
    ("PATCH", "/Users/x"),
    ("DELETE", "/Users/x"),
    ("POST", "/Users/.search"),
    ("POST", "/.search"),
    ("GET", ""),
    ("GET", "/Schemas"),
    ("GET", "/ServiceProviderConfig"),
    ("GET", "/Nothing"),
];

/// Asks until the answer has the status: a running server may remember a token for five seconds.
pub(crate) async fn until(client: &Client, status: u16) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = client.get("/Users?count=0").await;
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "still {} after half a minute", answer.status);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn without_a_valid_token_there_is_nothing_but_401(server: &Server) {
    let token = server.tenant("town");
    let known = Client::new(&server.base_url, &token);
    known.get("/Users").await.expect(200);
    let mistyped = token.replace(token.chars().nth(45).expect("long"), "!");
    let (head, tail) = token.rsplit_once('_').expect("three underscores");
    let foreign = format!("mk_999_{}_{tail}", head.rsplit('_').next().expect("a credential"));
    let made_up: Vec<String> = vec![
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Basic {token}"),
        token.clone(),
        format!("Bearer {mistyped}"),
        format!("Bearer {foreign}"),
        format!("Bearer {token}x"),
        format!("Bearer {} {token}", "x"),
        format!("Bearer {token}, Bearer {token}"),
        "Bearer mk_1_00000000000000000000000000000000_".to_owned() + &"0".repeat(49),
        format!("Bearer {}", "x".repeat(5000)),
    ];
    let mut bodies = BTreeSet::new();
    for (method, path) in REQUESTS {
        let strangers = made_up.iter().map(|value| known.with_authorization(value));
        for stranger in strangers.chain([Client::anonymous(&server.base_url)]) {
            let body = (method == "POST").then(|| b"{}".to_vec());
            let answer = stranger.send(method, path, &[], body).await.expect(401);
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"matrikel\"", "{method} {path}");
            assert_eq!(answer.header("content-type"), "application/scim+json");
            bodies.insert(answer.text);
        }
    }
    assert_eq!(bodies.len(), 1, "nobody learns what was wrong: {bodies:?}");
    let body: Value = serde_json::from_str(bodies.first().expect("one")).expect("JSON");
    let members: BTreeSet<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(["schemas", "status", "detail"]));
    for (path, status) in [("//healthz", 200), ("//readyz", 200)] {
        Client::anonymous(&server.base_url).get(path).await.expect(status);
    }
}

pub(crate) async fn a_revoked_or_rotated_token_and_one_of_an_inactive_client_end(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    let of = |name: &str| Client::new(&server.base_url, &server.client("town", name, "source"));
    let (revoked, rotated, inactive, deleted) = (of("revoked"), of("rotated"), of("inactive"), of("deleted"));
    for client in [&revoked, &rotated, &inactive, &deleted] {
        client.get("/Users").await.expect(200);
    }
    command(server.database_url(), &["client", "revoke", "--tenant", "town", "revoked"]);
    let new = command(server.database_url(), &["client", "rotate", "--tenant", "town", "rotated", "--json"]);
    let new: Value = serde_json::from_str(&new).expect("JSON");
    let id = |name: &str| {
        let (admin, filter) = (admin.clone(), format!("name eq \"{name}\""));
        async move { admin.find("/Clients", &[("filter", &filter)]).await.expect(200).ids().remove(0) }
    };
    admin.patch(&format!("/Clients/{}", id("inactive").await), &set("active", &json!(false))).await.expect(200);
    inactive.get("/Users").await.expect(401);
    admin.delete(&format!("/Clients/{}", id("deleted").await)).await.expect(204);
    deleted.get("/Users").await.expect(401);

    for client in [&revoked, &rotated, &inactive, &deleted] {
        until(client, 401).await;
    }
    let renewed = Client::new(&server.base_url, new["token"].as_str().expect("a token"));
    renewed.get("/Users").await.expect(200);
    admin.patch(&format!("/Clients/{}", id("inactive").await), &set("active", &json!(true))).await.expect(200);
    until(&inactive, 200).await;
}

/// A token that ends so many seconds from now, which the command line cannot make.
async fn token_for(server: &Server, name: &str, seconds: i64) -> String {
    let registry = Arc::new(Registry::builtin().expect("the schemas"));
    let store = Store::open(&store::Options::new(server.database_url()), registry.clone()).expect("the store");
    let tenant = store.tenants().await.expect("tenants")[0].id;
    let directory = Directory::new(store.clone(), registry, Limits::default());
    let now = now();
    let id = Uuid::new_v4();
    let minted = token::mint(tenant, id, &token::random_bytes().expect("random"));
    let credential = NewCredential {
        id,
        digest: minted.digest,
        expires_at: Some(now + seconds * 1_000_000),
        ..NewCredential::default()
    };
    let ctx = Ctx::system(tenant, now, Random::os());
    clients::create(&directory, &ctx, name, Role::Source, Profile::Rfc, credential).await.expect("a client");
    store.close();
    minted.token
}

#[expect(clippy::disallowed_methods, reason = "the server reads the same clock")]
fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

async fn an_expired_token_ends_at_its_moment(server: &Server) {
    server.tenant("town");
    let past = token_for(server, "past", -1).await;
    Client::new(&server.base_url, &past).get("/Users").await.expect(401);
    let end = now() + 4_000_000;
    let soon = token_for(server, "soon", 4).await;
    let soon = Client::new(&server.base_url, &soon);
    // It is remembered for longer than it is valid, and ends all the same.
    soon.get("/Users").await.expect(200);
    until(&soon, 401).await;
    assert!(now() >= end, "not before its end");
}

pub(crate) async fn a_tenant_never_sees_another(server: &Server) {
    let one = Client::new(&server.base_url, &server.tenant("one"));
    let other = Client::new(&server.base_url, &server.tenant("other"));
    let anna = one.post("/Users", &user_with("anna", &json!({ "externalId": "e" }))).await.expect(201).id();
    let crew = one.post("/Groups", &group("crew", &[&anna])).await.expect(201).id();
    let client = one.get("/Clients").await.expect(200).ids().remove(0);
    for path in [format!("/Users/{anna}"), format!("/Groups/{crew}"), format!("/Clients/{client}")] {
        for method in ["GET", "DELETE"] {
            other.send(method, &path, &[], None).await.expect(404);
        }
        other.patch(&path, &set("externalId", &json!("x"))).await.expect(404);
    }
    other.put(&format!("/Users/{anna}"), &user("anna")).await.expect(404);
    for path in ["/Users", "/Groups", "/Users?filter=userName+eq+%22anna%22", "/Users?filter=externalId+pr"] {
        assert_eq!(other.get(path).await.expect(200).json()["totalResults"], 0, "{path}");
    }
    // Their names do not meet, and what belongs to one cannot be pointed at from the other.
    other.post("/Users", &user_with("anna", &json!({ "externalId": "e" }))).await.expect(201);
    assert_eq!(other.post("/Groups", &group("crew", &[&anna])).await.expect(400).json()["scimType"], "invalidValue");
    assert_eq!(one.get("").await.expect(200).json()["totalResults"], 2, "a user and a group, and no client");
}

async fn a_role_may_do_what_it_may_and_no_more(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    let source = Client::new(&server.base_url, &server.client("town", "hr", "source"));
    let consumer = Client::new(&server.base_url, &server.client("town", "cloud", "consumer"));
    let anna = format!("/Users/{}", source.post("/Users", &user("anna")).await.expect(201).id());
    let clients = admin.get("/Clients").await.expect(200);
    let hr = format!("/Clients/{}", clients.ids().remove(0));

    consumer.get(&anna).await.expect(200);
    consumer.get("/Users").await.expect(200);
    consumer
        .post("/Users/.search", &json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"] }))
        .await
        .expect(200);
    let before = source.get(&anna).await.expect(200);
    consumer.post("/Users", &user("bo")).await.expect(403);
    consumer.put(&anna, &user("bo")).await.expect(403);
    consumer.patch(&anna, &set("title", &json!("x"))).await.expect(403);
    consumer.delete(&anna).await.expect(403);
    assert_eq!(source.get(&anna).await.expect(200).text, before.text);

    for client in [&source, &consumer] {
        client.get("/Clients").await.expect(403);
        client.get(&hr).await.expect(403);
        client.post("/Clients", &client_body("mine", "administrator")).await.expect(403);
        client.put(&hr, &client_body("hr", "administrator")).await.expect(403);
        client.patch(&hr, &set("role", &json!("administrator"))).await.expect(403);
        client.delete(&hr).await.expect(403);
        client
            .post("/Clients/.search", &json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"] }))
            .await
            .expect(403);
        // Nor by the back door of a search over everything, or of the discovery documents.
        for path in ["", "?filter=meta.resourceType+eq+%22Client%22", "/ResourceTypes", "/Schemas"] {
            let answer = client.get(path).await.expect(200);
            assert!(!answer.text.contains("Client"), "{path}: {}", answer.text);
        }
        for path in ["/ResourceTypes/Client", "/Schemas/urn:matrikel:scim:schemas:1.0:Client"] {
            client.get(path).await.expect(404);
        }
    }
    assert_eq!(admin.get("/Clients").await.expect(200).text, clients.text);
}

pub(crate) async fn an_administrator_keeps_the_clients(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    let made = admin.post("/Clients", &client_body("lms", "consumer")).await.expect(201);
    let path = format!("/Clients/{}", made.id());
    assert_eq!(
        admin.post("/Clients", &client_body("LMS", "source")).await.expect(409).json()["scimType"],
        "uniqueness"
    );
    admin.post("/Clients", &client_body("odd", "emperor")).await.expect(400);
    admin.put(&path, &client_body("lms", "source")).await.expect(200);
    let patched = admin.patch(&path, &set("description", &json!("Lessons"))).await.expect(200).json();
    assert_eq!((&patched["role"], &patched["description"]), (&json!("source"), &json!("Lessons")));
    // What the server keeps of credentials cannot be written, and shows nothing of a secret.
    let forged = json!([{ "op": "add", "path": "credentials", "value": [{ "value": "x" }] }]);
    assert_eq!(admin.patch(&path, &patch(&forged)).await.expect(400).json()["scimType"], "mutability");
    let listed = admin.get("/Clients").await.expect(200);
    assert!(!listed.text.contains("mk_") && !listed.text.contains("digest"), "{}", listed.text);
    admin.delete(&path).await.expect(204);
    admin.get(&path).await.expect(404);
    // A client that is replaced keeps its credentials, which only the server writes.
    let hr = Client::new(&server.base_url, &server.client("town", "hr", "source"));
    let found =
        admin.find("/Clients", &[("filter", "name eq \"hr\"")]).await.expect(200).json()["Resources"][0].clone();
    let path = format!("/Clients/{}", found["id"].as_str().expect("an id"));
    let replaced = admin.put(&path, &client_body("payroll", "consumer")).await.expect(200).json();
    assert_eq!((&replaced["name"], &replaced["credentials"]), (&json!("payroll"), &found["credentials"]));
    hr.get("/Users").await.expect(200);
}

async fn secrets_and_personal_data_are_never_logged(server: &Server) {
    let token = server.tenant("town");
    let admin = Client::new(&server.base_url, &token);
    let anna = user_with("anna.secretsson", &json!({ "password": "Zx9-password", "externalId": "19121212-1212" }));
    let path = format!("/Users/{}", admin.post("/Users", &anna).await.expect(201).id());
    admin.post("/Users", &anna).await.expect(409);
    admin.find("/Users", &[("filter", "userName eq \"anna.secretsson\"")]).await.expect(200);
    admin.find("/Users", &[("filter", "userName zz \"anna.secretsson\"")]).await.expect(400);
    admin.patch(&path, &set("password", &json!("Zx9-other"))).await.expect(200);
    admin.get("/Users/anna.secretsson").await.expect(404);
    admin.get("//anna.secretsson/19121212-1212").await.expect(404);
    let mistyped = format!("{token}x");
    admin.with_authorization(&format!("Bearer {mistyped}")).get("/Users").await.expect(401);
    admin
        .send(
            "POST",
            "/Users",
            &[("content-type", "application/json")],
            Some(b"{\"password\": \"Zx9-broken\"".to_vec()),
        )
        .await
        .expect(400);
    // There is a line a request.
    let said = server.said_at_least(9, "\"request\"").await;
    let secret = token.rsplit('_').next().expect("a secret");
    for word in [secret, "Zx9-", "secretsson", "19121212", "argon2", "Bearer"] {
        assert!(!said.contains(word), "{word} stands in the log: {said}");
    }
}
