//! Attributes that a view shows in another form, over HTTP: the form alone is seen, wherever it is asked for; nobody writes
//! it, no two resources that the view shows share it, and its index is kept as any other.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::api::{Api, verify, wait_for_indexes};
use crate::support::both::on_both_databases;
use crate::support::messages::{group, user_with, with};
use crate::support::server::{Server, command};

on_both_databases!(Server: a_form_stands_in_the_place_of_its_original_everywhere, no_two_that_are_seen_share_a_form,
    a_form_that_cannot_be_is_refused_with_its_place);

const TENANT: &str = "storstad";
const CLOUD: &str = "{{ userName | ascii | lower }}@cloud.example";

fn view(name: &str, mappings: &Value) -> Value {
    json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": name,
        "types": [{ "type": "User", "filter": "userType eq \"staff\"" }, { "type": "Group" }], "mappings": mappings,
    })
}

fn forms() -> Value {
    json!([
        { "type": "User", "path": "userName", "template": CLOUD },
        { "type": "User", "path": "nickName", "template": "{{ name.givenName }} {{ name.familyName }}" },
        { "type": "Group", "path": "displayName", "template": "SE-{{ displayName }}" },
    ])
}

fn staff(name: &str) -> Value {
    user_with(name, &json!({ "userType": "staff", "nickName": "secret" }))
}

struct World {
    admin: Api,
    cloud: Api,
    view: String,
}

impl World {
    async fn new(server: &Server) -> World {
        let admin = Api::new(server, server.tenant(TENANT));
        let cloud = Api::new(server, server.client(TENANT, "cloud", "source"));
        let me = cloud.get("/Me").await.expect(200).body["id"].as_str().expect("an id").to_owned();
        let made = admin.post("/Views", &view("cloud", &forms())).await.expect(201).body;
        let view = made["id"].as_str().expect("an id").to_owned();
        let uses = json!([{ "op": "replace", "path": "view", "value": view }]);
        admin.patch(&format!("/Clients/{me}"), &uses).await.expect(200);
        World { admin, cloud, view }
    }

    async fn make(&self, path: &str, body: &Value) -> String {
        self.admin.post(path, body).await.expect(201).body["id"].as_str().expect("an id").to_owned()
    }

    async fn found(&self, path: &str, filter: &str) -> BTreeSet<String> {
        let found = self.cloud.find(path, filter, "").await;
        found.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect()
    }
}

async fn a_form_stands_in_the_place_of_its_original_everywhere(server: &Server) {
    let world = World::new(server).await;
    let maj = world.make("/Users", &staff("Måj")).await;
    let bo =
        world.make("/Users", &with(staff("bo"), &json!({ "name": { "givenName": "Bo", "familyName": "Ek" } }))).await;
    let crew = world.make("/Groups", &group("crew", &[&maj, &bo])).await;
    let World { admin, cloud, .. } = &world;

    // Searches answer the same before the index is built and after.
    for is_built in [false, true] {
        if is_built {
            wait_for_indexes(server).await;
        }
        let both = BTreeSet::from([maj.clone(), bo.clone()]);
        for (filter, expected) in [
            ("userName eq \"maj@CLOUD.example\"", BTreeSet::from([maj.clone()])),
            ("userName eq \"måj\"", BTreeSet::new()),
            ("userName sw \"bo@\"", BTreeSet::from([bo.clone()])),
            ("userName co \"cloud\"", both.clone()),
            ("userName ew \"j\"", BTreeSet::new()),
            ("userName ne \"bo\"", both.clone()),
            ("userName lt \"c\"", BTreeSet::from([bo.clone()])),
            ("nickName eq \"secret\"", BTreeSet::new()),
            ("nickName eq \"Bo Ek\"", BTreeSet::from([bo.clone()])),
            ("not (nickName pr)", BTreeSet::from([maj.clone()])),
            ("groups.display eq \"SE-crew\"", both.clone()),
            ("groups.display eq \"crew\"", BTreeSet::new()),
        ] {
            assert_eq!(world.found("/Users", filter).await, expected, "{filter}, {is_built}");
        }
        assert_eq!(world.found("/Groups", "displayName eq \"SE-crew\"").await.len(), 1);
        assert_eq!(world.found("/Groups", "displayName eq \"crew\"").await.len(), 0);
        let sorted = cloud.get("/Users?sortBy=userName&sortOrder=descending&attributes=userName,nickName").await;
        let sorted = sorted.expect(200).body;
        let names: Vec<&Value> =
            sorted["Resources"].as_array().expect("a list").iter().map(|one| &one["userName"]).collect();
        assert_eq!(names, ["maj@cloud.example", "bo@cloud.example"]);
        assert_eq!(sorted["Resources"][0].get("nickName"), None, "{sorted}");
    }
    let seen = cloud.get(&format!("/Users/{maj}")).await.expect(200);
    assert_eq!((&seen.body["userName"], seen.body.get("nickName")), (&json!("maj@cloud.example"), None));
    assert_eq!(seen.body["groups"][0]["display"], "SE-crew");
    let group = cloud.get(&format!("/Groups/{crew}?attributes=displayName,members.display")).await.expect(200).body;
    let members: BTreeSet<&str> =
        group["members"].as_array().expect("members").iter().filter_map(|one| one["display"].as_str()).collect();
    assert_eq!((&group["displayName"], members), (&json!("SE-crew"), BTreeSet::from(["maj@cloud.example", "Bo Ek"])));
    let links = cloud.get("/GroupMemberships").await.expect(200).body.to_string();
    assert!(links.contains("\"SE-crew\"") && links.contains("maj@cloud.example"), "{links}");
    assert!(!links.contains("Måj") && !links.contains("\"crew\""), "{links}");
    let whole = admin.get(&format!("/Users/{maj}")).await.expect(200);
    assert_eq!((&whole.body["userName"], &whole.body["nickName"]), (&json!("Måj"), &json!("secret")));
    assert_ne!(whole.etag, seen.etag);

    // It is nobody's to write who sees the form, and comes back unharmed.
    let path = format!("/Users/{maj}");
    for body in
        [with(seen.body.clone(), &json!({ "userName": "maja" })), with(seen.body.clone(), &json!({ "nickName": "x" }))]
    {
        let error = cloud.put(&path, &body).await.expect(403);
        assert!(error.detail().starts_with("This client may not write "), "{}", error.detail());
    }
    for operation in [
        json!({ "op": "replace", "path": "userName", "value": "maja" }),
        json!({ "op": "replace", "path": "userName", "value": "Måj" }),
        json!({ "op": "add", "value": { "nickName": "x" } }),
    ] {
        let error = cloud.patch(&path, &json!([operation])).await.expect(403);
        assert!(!error.detail().contains("Måj") && !error.detail().contains("secret"), "{}", error.detail());
    }
    cloud.post("/Users", &staff("new")).await.expect(403);
    let same = json!([{ "op": "replace", "path": "userName", "value": "maj@cloud.example" }]);
    assert_eq!(cloud.patch(&path, &same).await.expect(200).etag, seen.etag, "nothing has changed");
    let titled = cloud.put(&path, &with(seen.body, &json!({ "title": "t" }))).await.expect(200).body;
    assert_eq!((&titled["userName"], &titled["title"]), (&json!("maj@cloud.example"), &json!("t")));
    let whole = admin.get(&path).await.expect(200).body;
    assert_eq!(
        (&whole["userName"], &whole["nickName"], &whole["title"]),
        (&json!("Måj"), &json!("secret"), &json!("t"))
    );

    let preview = admin.get(&format!("/Views/{}/preview", world.view)).await.expect(200).body;
    assert_eq!(preview["types"][1]["Resources"][0]["displayName"], "SE-crew");
    wait_for_indexes(server).await;
    verify(server).await;
}

async fn no_two_that_are_seen_share_a_form(server: &Server) {
    let world = World::new(server).await;
    let World { admin, cloud, view: id } = &world;
    let asa = world.make("/Users", &staff("åsa")).await;
    let error = admin.post("/Users", &staff("asa")).await.expect(409);
    assert_eq!(error.body["scimType"], "uniqueness");
    assert!(error.detail().contains("userName") && !error.detail().contains("cloud"), "{}", error.detail());
    // Who is not shown is not bound, until it would be shown.
    let guest = world.make("/Users", &with(staff("asa"), &json!({ "userType": "guest" }))).await;
    let hire = json!([{ "op": "replace", "path": "userType", "value": "staff" }]);
    admin.patch(&format!("/Users/{guest}"), &hire).await.expect(409);
    let rename = json!([{ "op": "replace", "path": "userName", "value": "åsa.e" }]);
    admin.patch(&format!("/Users/{asa}"), &rename).await.expect(200);
    admin.patch(&format!("/Users/{guest}"), &hire).await.expect(200);
    assert_eq!(world.found("/Users", "userName eq \"asa@cloud.example\"").await, BTreeSet::from([guest.clone()]));
    admin
        .patch(&format!("/Users/{asa}"), &json!([{ "op": "replace", "path": "userName", "value": "ÅSA" }]))
        .await
        .expect(409);

    // A view that would show two alike cannot be saved, by whatever template or filter.
    let alike = json!([{ "type": "User", "path": "userName", "template": "all" }]);
    let error = admin.post("/Views", &view("alike", &alike)).await.expect(409);
    assert!(error.detail().starts_with("mappings: userName is unique"), "{}", error.detail());
    let path = format!("/Views/{id}");
    let known = admin.get(&path).await.expect(200).body;
    admin.put(&path, &with(known.clone(), &json!({ "mappings": alike }))).await.expect(409);
    let found = world.found("/Users", "userName eq \"asa@cloud.example\"").await;
    assert_eq!(found, BTreeSet::from([guest.clone()]), "it is as it was");

    // A change of the template is there at once, and so is its end.
    let other = json!([{ "type": "User", "path": "userName", "template": "{{ userName }}.x" }]);
    admin.put(&path, &with(known.clone(), &json!({ "mappings": other }))).await.expect(200);
    assert_eq!(world.found("/Users", "userName eq \"asa.x\"").await, BTreeSet::from([guest.clone()]));
    admin
        .patch(&format!("/Users/{asa}"), &json!([{ "op": "replace", "path": "userName", "value": "ÅSA" }]))
        .await
        .expect(200);
    admin.put(&path, &known).await.expect(409);
    let mut plain = known.clone();
    plain.as_object_mut().expect("an object").remove("mappings");
    admin.put(&path, &plain).await.expect(200);
    assert_eq!(cloud.get(&format!("/Users/{asa}")).await.expect(200).body["userName"], "ÅSA");
    wait_for_indexes(server).await;
    verify(server).await;
    admin.delete(&format!("/Users/{guest}")).await.expect(204);
    admin.put(&path, &known).await.expect(200);
    assert_eq!(world.found("/Users", "userName eq \"asa@cloud.example\"").await, BTreeSet::from([asa]));
    wait_for_indexes(server).await;
    verify(server).await;
}

async fn a_form_that_cannot_be_is_refused_with_its_place(server: &Server) {
    let admin = Api::new(server, server.tenant(TENANT));
    let form = |kind: &str, path: &str, template: &str| json!({ "type": kind, "path": path, "template": template });
    for (mappings, said) in [
        (json!([form("Thing", "title", "x")]), "mappings[0].type: Thing is not among the types of the view."),
        (json!([form("User", "title", "x"), form("User", "TITLE", "y")]), "mappings[1]: title is mapped twice."),
        (json!([form("User", "shoe", "x")]), "mappings[0]: User has no attribute shoe."),
        (json!([form("User", "emails", "x")]), "mappings[0]: emails cannot be mapped"),
        (json!([form("User", "title", "{{ userName")]), "mappings[0]: The template is none"),
        (json!([form("User", "title", "{{ shoe }}")]), "mappings[0]: User has no attribute shoe"),
        (json!([form("User", "title", "{% for x in emails %}{% endfor %}")]), "mappings[0]: for is no statement"),
    ] {
        let error = admin.post("/Views", &view("wrong", &mappings)).await.expect(400);
        assert!(error.detail().starts_with(said), "{}", error.detail());
    }
    let mut hidden = view("hidden", &json!([form("User", "title", "x")]));
    hidden["types"][0]["attributes"] = json!(["userName"]);
    let error = admin.post("/Views", &hidden).await.expect(400);
    assert_eq!(error.detail(), "mappings[0]: title is not released by the view.");
    let mut grouped = view("grouped", &json!([form("User", "userName", "{{ userName }}")]));
    grouped["types"][0]["filter"] = json!("groups pr");
    let error = admin.post("/Views", &grouped).await.expect(400);
    assert!(error.detail().starts_with("mappings[0]: It is unique"), "{}", error.detail());
    let many: Vec<Value> =
        (0..60).map(|n| json!({ "type": "User", "path": "title", "template": format!("{n}") })).collect();
    for (n, one) in many.iter().enumerate() {
        let made = admin.post("/Views", &view(&format!("v{n}"), &json!([one]))).await;
        if made.status != 201 {
            assert!(made.status == 400 && made.detail().starts_with("mappings: at most 40 paths"), "{}", made.body);
            return;
        }
    }
    panic!("more forms than can be indexed");
}

/// What a client that sees forms is told.
async fn told(cloud: &Api) -> Vec<Value> {
    let mut told = Vec::new();
    for path in [
        "/Users?sortBy=userName",
        "/Users?filter=userName%20eq%20%22maj%40cloud.example%22",
        "/Users?filter=userName%20sw%20%22b%22&sortBy=nickName",
        "/Groups?filter=displayName%20eq%20%22SE-crew%22&attributes=displayName,members.value,members.display",
    ] {
        let mut body = cloud.get(path).await.expect(200).body;
        // Addresses are those of the server that answers.
        for resource in body["Resources"].as_array_mut().expect("a list") {
            let parts = resource.as_object_mut().expect("a resource");
            parts.retain(|name, _| ["id", "userName", "nickName", "displayName"].contains(&name.as_str()));
        }
        told.push(body);
    }
    told
}

async fn forms_move(from: &Server, to: &Server) {
    let world = World::new(from).await;
    let maj = world.make("/Users", &staff("Måj")).await;
    world.make("/Users", &staff("bo")).await;
    world.make("/Groups", &group("crew", &[&maj])).await;
    wait_for_indexes(from).await;
    let before = told(&world.cloud).await;
    let token = from.client(TENANT, "second", "source");
    let second = Api::new(from, token.clone());
    let me = second.get("/Me").await.expect(200).body["id"].as_str().expect("an id").to_owned();
    let uses = json!([{ "op": "replace", "path": "view", "value": world.view }]);
    world.admin.patch(&format!("/Clients/{me}"), &uses).await.expect(200);

    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("tenant.jsonl");
    std::fs::write(&file, command(from.database_url(), &["export", "--tenant", TENANT])).expect("a file");
    to.run(&["import", "--tenant", TENANT, file.to_str().expect("a path")]);
    let cloud = Api::new(to, token);
    assert_eq!(told(&cloud).await, before);
    verify(to).await;
    wait_for_indexes(to).await;
    assert_eq!(told(&cloud).await, before);
    // Uniqueness came along.
    let admin = Api::new(to, to.client(TENANT, "there", "administrator"));
    let taken = admin.post("/Users", &staff("Maj")).await.expect(409);
    assert!(taken.detail().contains("userName"), "{}", taken.detail());
    verify(to).await;
    let acts = world.admin.find("/AuditEvents", "operation eq \"tenantExport\"", "").await;
    assert_eq!((acts.len(), &acts[0]["resource"]["value"]), (1, &json!(TENANT)), "an export is remembered: {acts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_move_from_sqlite_to_postgres() {
    forms_move(&Server::sqlite(), &Server::postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_move_from_postgres_to_sqlite() {
    forms_move(&Server::postgres(), &Server::sqlite()).await;
}
