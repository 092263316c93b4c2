//! Schemas and resource types that a tenant adds while the server serves, over HTTP on either database: a resource type
//! without code, what is refused, and what happens to those who ask meanwhile.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::{Api, verify, wait_for_indexes};
use crate::support::server::Server;

fn shipped(name: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/install").join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("a shipped document")).expect("JSON")
}

const THING: &str = "urn:example:scim:schemas:1.0:Thing";

fn thing(attributes: &Value) -> Value {
    json!({ "id": THING, "name": "Thing", "attributes": attributes })
}

fn thing_type() -> Value {
    json!({ "name": "Thing", "endpoint": "/Things", "schema": THING })
}

pub(crate) async fn a_type_without_code(server: &Server) {
    let api = Api::new(server, server.tenant("without-code"));
    for (name, kind, endpoint, label) in [
        ("device", "Device", "/Devices", "displayName"),
        ("role", "Role", "/Roles", "display"),
        ("entitlement", "Entitlement", "/Entitlements", "display"),
    ] {
        api.get(endpoint).await.expect(404);
        let schema = shipped(name);
        let urn = schema["id"].as_str().expect("a URN").to_owned();
        let made = api.post("/Schemas", &schema).await.expect(201);
        assert_eq!(made.body["meta"]["resourceType"], "Schema");
        assert_eq!(made.body["attributes"], schema["attributes"], "{name}");
        api.post("/Schemas", &schema).await.expect(409);
        let made = api.post("/ResourceTypes", &shipped(&format!("types/{name}"))).await.expect(201);
        assert_eq!(made.body["meta"]["location"], format!("{}/ResourceTypes/{kind}", api.base));
        let listed = api.get("/ResourceTypes").await.expect(200);
        assert!(listed.body["Resources"].as_array().expect("types").iter().any(|one| one["id"] == kind));
        let again = api.get(&format!("/Schemas/{urn}")).await.expect(200);
        let tag = again.etag.expect("a tag");
        api.ask(Method::GET, &format!("/Schemas/{urn}"), None, &[("if-none-match", &tag)]).await.expect(304);

        let body = |n: i32| {
            let mut body = json!({ "schemas": [urn], "externalId": format!("x{n}"), label: format!("Number {n}") });
            body[if name == "device" { "active" } else { "supported" }] = (n % 2 == 0).into();
            if name != "device" {
                body["value"] = format!("v{n}").into();
            }
            body
        };
        let mut ids = Vec::new();
        for n in [2, 1, 3] {
            let made = api.post(endpoint, &body(n)).await.expect(201);
            assert_eq!(made.body["meta"]["resourceType"], kind);
            ids.push(made.body["id"].as_str().expect("an id").to_owned());
        }
        let required = api.post(endpoint, &json!({ "schemas": [urn] })).await.expect(400);
        assert!(required.detail().contains("required") || required.body["scimType"] == "invalidValue");
        if name != "device" {
            api.post(endpoint, &body(1)).await.expect(409);
        }
        let sorted = api.find(endpoint, "meta.resourceType pr", &format!("&sortBy={label}&sortOrder=descending")).await;
        let labels: Vec<&Value> = sorted.iter().map(|one| &one[label]).collect();
        assert_eq!(labels, ["Number 3", "Number 2", "Number 1"]);
        assert_eq!(api.find(endpoint, &format!("{label} sw \"number\""), "").await.len(), 3);
        assert_eq!(api.find(endpoint, &format!("{label} eq \"number 2\" and externalId eq \"x2\""), "").await.len(), 1);

        let one = format!("{endpoint}/{}", ids[0]);
        let before = api.get(&one).await.expect(200).etag.expect("a tag");
        let patch = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "path": label, "value": "Renamed" }]
        });
        let changed = api.ask(Method::PATCH, &one, Some(&patch), &[("if-match", &before)]).await.expect(200);
        assert_eq!(changed.body[label], "Renamed");
        api.ask(Method::PATCH, &one, Some(&patch), &[("if-match", &before)]).await.expect(412);
        assert_eq!(api.find(endpoint, &format!("{label} eq \"renamed\""), "").await.len(), 1);
        api.put(&one, &body(7)).await.expect(200);
        api.delete(&one).await.expect(204);
        api.get(&one).await.expect(404);
        let everything = api.get("?count=100").await.expect(200);
        let all = everything.body["Resources"].as_array().expect("resources");
        assert_eq!(all.iter().filter(|one| one["meta"]["resourceType"] == kind).count(), 2);
    }
    verify(server).await;
}

async fn what_is_refused(server: &Server) {
    let admin = Api::new(server, server.tenant("refused"));
    let source = Api { token: server.client("refused", "hr", "source"), ..admin.clone() };
    source.post("/Schemas", &thing(&json!([{ "name": "label" }]))).await.expect(403);
    source.delete("/ResourceTypes/User").await.expect(403);

    let built_in = "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User";
    admin.put(built_in, &thing(&json!([{ "name": "label" }]))).await.expect(403);
    admin.delete(built_in).await.expect(403);
    admin.delete("/ResourceTypes/User").await.expect(403);
    admin.delete("/ResourceTypes/Nothing").await.expect(404);
    admin.post("/Schemas", &json!({ "id": "urn:ietf:params:scim:schemas:core:2.0:user" })).await.expect(409);
    admin.post("/ResourceTypes", &json!({ "name": "user", "endpoint": "/X", "schema": THING })).await.expect(409);
    let faults = admin.post("/Schemas", &thing(&json!([{ "name": "id" }, { "name": "a", "type": "complex" }]))).await;
    let told = faults.expect(400);
    assert_eq!(told.body["scimType"], "invalidValue");
    assert!(told.detail().contains("attributes[0].name") && told.detail().contains("attributes[1].subAttributes"));
    admin.post("/ResourceTypes", &thing_type()).await.expect(400);

    let first = json!([{ "name": "label" }, { "name": "weight", "type": "integer" }]);
    let made = admin.post("/Schemas", &thing(&first)).await.expect(201);
    admin.post("/ResourceTypes", &thing_type()).await.expect(201);
    let path = format!("/Schemas/{THING}");
    assert!(admin.delete(&path).await.expect(409).detail().contains("Thing"));
    // Without resources everything may change.
    let stale = made.etag.expect("a tag");
    let renamed = json!([{ "name": "label" }, { "name": "weight", "type": "decimal" }]);
    let changed = admin.ask(Method::PUT, &path, Some(&thing(&renamed)), &[("if-match", &stale)]).await.expect(200);
    assert_ne!(changed.body["meta"]["version"], made.body["meta"]["version"]);
    admin.ask(Method::PUT, &path, Some(&thing(&first)), &[("if-match", &stale)]).await.expect(412);

    let thing_of = |label: &str| json!({ "schemas": [THING], "label": label });
    let one = admin.post("/Things", &thing_of("same")).await.expect(201);
    admin.post("/Things", &thing_of("same")).await.expect(201);
    for (attributes, fault) in [
        (json!([{ "name": "label" }]), "weight: would be gone."),
        (json!([{ "name": "label" }, { "name": "weight", "type": "string" }]), "weight: would be string"),
        (json!([{ "name": "label", "required": true }, renamed[1].clone()]), "label: would be required."),
        (json!([{ "name": "label", "multiValued": true }, renamed[1].clone()]), "label: would be multi-valued."),
    ] {
        let refused = admin.put(&path, &thing(&attributes)).await.expect(400);
        assert!(refused.detail().contains(fault), "{}", refused.detail());
    }
    let moved = json!({ "name": "Thing", "endpoint": "/Stuff", "schema": THING });
    admin.put("/ResourceTypes/Thing", &moved).await.expect(400);
    admin
        .put("/ResourceTypes/Thing", &json!({ "name": "Other", "endpoint": "/Things", "schema": THING }))
        .await
        .expect(400);
    admin.delete("/ResourceTypes/Thing").await.expect(409);
    let unique = json!([{ "name": "label", "uniqueness": "server" }, renamed[1].clone()]);
    assert_eq!(admin.put(&path, &thing(&unique)).await.expect(409).body["scimType"], "uniqueness");
    admin.get("/Things").await.expect(200);
    let id = one.body["id"].as_str().expect("an id");
    admin.put(&format!("/Things/{id}"), &thing_of("other")).await.expect(200);
    admin.put(&path, &thing(&unique)).await.expect(200);
    admin.post("/Things", &thing_of("SAME")).await.expect(409);
    let more = json!([{ "name": "label", "uniqueness": "server" }, renamed[1].clone(), { "name": "note" }]);
    admin.put(&path, &thing(&more)).await.expect(200);
    admin.post("/Things", &json!({ "schemas": [THING], "label": "new", "note": "n" })).await.expect(201);

    for one in admin.find("/Things", "label pr", "").await {
        admin.delete(&format!("/Things/{}", one["id"].as_str().expect("an id"))).await.expect(204);
    }
    admin.delete("/ResourceTypes/Thing").await.expect(204);
    admin.get("/Things").await.expect(404);
    admin.get("/ResourceTypes/Thing").await.expect(404);
    admin.delete(&path).await.expect(204);
    admin.get(&path).await.expect(404);
    verify(server).await;
}

pub(crate) async fn each_tenant_has_its_own(server: &mut Server) {
    let one = Api::new(server, server.tenant("one"));
    let two = Api::new(server, server.tenant("two"));
    one.post("/Schemas", &thing(&json!([{ "name": "label", "required": true }]))).await.expect(201);
    one.post("/ResourceTypes", &thing_type()).await.expect(201);
    two.get("/Things").await.expect(404);
    two.post("/Schemas", &thing(&json!([{ "name": "size", "type": "integer", "required": true }]))).await.expect(201);
    two.post("/ResourceTypes", &thing_type()).await.expect(201);
    one.post("/Things", &json!({ "schemas": [THING], "label": "a" })).await.expect(201);
    two.post("/Things", &json!({ "schemas": [THING], "label": "a" })).await.expect(400);
    two.post("/Things", &json!({ "schemas": [THING], "size": 1 })).await.expect(201);

    // A second node finds what is new at once, and what has changed within a second.
    let other = server.beside();
    let there = Api { base: other.base_url.clone(), ..one.clone() };
    assert_eq!(there.find("/Things", "label eq \"A\"", "").await.len(), 1);
    let crates = json!({ "name": "Crate", "endpoint": "/Crates", "schema": THING });
    there.get("/Crates").await.expect(404);
    one.post("/ResourceTypes", &crates).await.expect(201);
    there.post("/Crates", &json!({ "schemas": [THING], "label": "b" })).await.expect(201);
    one.delete("/ResourceTypes/Crate").await.expect(409);
    // Nobody writes by a type that is gone, even if its node has not noticed yet.
    let id = there.find("/Crates", "label pr", "").await[0]["id"].as_str().expect("an id").to_owned();
    one.delete(&format!("/Crates/{id}")).await.expect(204);
    one.delete("/ResourceTypes/Crate").await.expect(204);
    let late = there.post("/Crates", &json!({ "schemas": [THING], "label": "c" })).await;
    assert!([404, 409].contains(&late.status), "{late:?}");
    drop(other);

    server.kill();
    server.restart();
    let one = Api { base: server.base_url.clone(), ..one };
    let two = Api { base: server.base_url.clone(), ..two };
    assert_eq!(one.find("/Things", "label eq \"A\"", "").await.len(), 1);
    assert_eq!(two.find("/Things", "size eq 1", "").await.len(), 1);
    one.post("/Things", &json!({ "schemas": [THING], "label": "b" })).await.expect(201);
    verify(server).await;
}

async fn an_index_is_built_while_the_server_serves(server: &Server) {
    const BEFORE: usize = 1_200;
    const DURING: usize = 240;
    let api = Api::new(server, server.tenant("building"));
    api.post("/Schemas", &thing(&json!([{ "name": "mark" }]))).await.expect(201);
    api.post("/ResourceTypes", &thing_type()).await.expect(201);
    let write = |from: usize, to: usize, name: &'static str| {
        let lanes = (0..8).map(|lane| {
            let api = api.clone();
            tokio::spawn(async move {
                for n in (from..to).filter(|n| n % 8 == lane) {
                    let body = json!({ "schemas": [THING], name: format!("n{n}") });
                    api.post("/Things", &body).await.expect(201);
                }
            })
        });
        lanes.collect::<Vec<_>>()
    };
    for lane in write(0, BEFORE, "mark") {
        lane.await.expect("a lane");
    }
    // `mark` becomes unique, so its index is to be built over what is there, while more comes and is found.
    let writers = write(BEFORE, BEFORE + DURING, "mark");
    let wider = json!([{ "name": "mark", "uniqueness": "server" }, { "name": "displayName" }]);
    api.put(&format!("/Schemas/{THING}"), &thing(&wider)).await.expect(200);
    for n in (0..BEFORE).step_by(97) {
        assert_eq!(api.find("/Things", &format!("mark eq \"N{n}\""), "").await.len(), 1, "n{n}");
    }
    for lane in writers {
        lane.await.expect("a lane");
    }
    api.post("/Things", &json!({ "schemas": [THING], "mark": "n7" })).await.expect(409);
    wait_for_indexes(server).await;
    for n in (0..BEFORE + DURING).step_by(61) {
        assert_eq!(api.find("/Things", &format!("mark eq \"N{n}\""), "").await.len(), 1, "n{n}");
    }
    let total = api.get("/Things?count=0").await.expect(200).body["totalResults"].as_u64();
    assert_eq!(total, Some((BEFORE + DURING) as u64));
    verify(server).await;
}

#[tokio::test]
async fn a_resource_type_needs_no_code_on_sqlite() {
    a_type_without_code(&Server::sqlite()).await;
}

#[tokio::test]
async fn a_resource_type_needs_no_code_on_postgres() {
    a_type_without_code(&Server::postgres()).await;
}

#[tokio::test]
async fn what_is_in_use_stays_and_what_is_stored_stays_valid_on_sqlite() {
    what_is_refused(&Server::sqlite()).await;
}

#[tokio::test]
async fn what_is_in_use_stays_and_what_is_stored_stays_valid_on_postgres() {
    what_is_refused(&Server::postgres()).await;
}

#[tokio::test]
async fn each_tenant_has_types_of_its_own_on_every_node_on_sqlite() {
    each_tenant_has_its_own(&mut Server::sqlite()).await;
}

#[tokio::test]
async fn each_tenant_has_types_of_its_own_on_every_node_on_postgres() {
    each_tenant_has_its_own(&mut Server::postgres()).await;
}

#[tokio::test]
async fn an_index_is_built_while_the_server_serves_on_sqlite() {
    an_index_is_built_while_the_server_serves(&Server::sqlite()).await;
}

#[tokio::test]
async fn an_index_is_built_while_the_server_serves_on_postgres() {
    an_index_is_built_while_the_server_serves(&Server::postgres()).await;
}
