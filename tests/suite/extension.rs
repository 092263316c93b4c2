//! Extensions that a tenant gives the server's own resource types, over HTTP on either database: what they do, what is
//! refused, who is left alone, and what an index is like that was being built when the server died.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::{Api, verify, wait_for_indexes};
use crate::support::server::Server;

const BADGE: &str = "urn:example:scim:schemas:1.0:Badge";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

fn badge() -> Value {
    json!({ "id": BADGE, "name": "Badge", "attributes": [
        { "name": "number", "uniqueness": "server", "required": true },
        { "name": "colour" },
        { "name": "pin", "mutability": "writeOnly", "returned": "never" },
        { "name": "note", "returned": "request" },
        { "name": "doors", "multiValued": true }
    ] })
}

/// `schemaExtensions` of User with these besides its own.
fn extensions(further: &[(&str, bool)]) -> Value {
    let own = std::iter::once((ENTERPRISE, false)).chain(further.iter().copied());
    own.map(|(schema, required)| json!({ "schema": schema, "required": required })).collect()
}

fn user(name: &str, badge: Option<Value>) -> Value {
    let mut body = json!({ "schemas": [USER], "userName": name });
    if let Some(badge) = badge {
        body["schemas"] = json!([USER, BADGE]);
        body[BADGE] = badge;
    }
    body
}

fn id(said: &Value) -> &str {
    said["id"].as_str().expect("an id")
}

pub(crate) async fn a_tenant_extends_its_users(server: &mut Server) {
    let api = Api::new(server, server.tenant("extending"));
    let other = Api::new(server, server.tenant("untouched"));
    let old = api.post("/Users", &user("old", None)).await.expect(201);
    let old = format!("/Users/{}", id(&old.body));
    let before = api.get(&old).await.expect(200);
    api.post("/Users", &user("early", Some(json!({ "number": "7" })))).await.expect(201);

    api.put("/ResourceTypes/User", &json!({ "schemaExtensions": extensions(&[(BADGE, false)]) })).await.expect(400);
    api.post("/Schemas", &badge()).await.expect(201);
    let put = json!({ "schemaExtensions": extensions(&[(BADGE, false)]) });
    let changed = api.put("/ResourceTypes/User", &put).await.expect(200);
    assert_eq!(changed.body["schemaExtensions"], put["schemaExtensions"]);
    assert_eq!(changed.body["endpoint"], "/Users");
    assert_eq!(changed.body["meta"]["resourceType"], "ResourceType");
    let again = api.put("/ResourceTypes/User", &put).await.expect(200);
    assert_eq!(again.etag, changed.etag, "the same again is no new version");

    // Discovery says it, here and not elsewhere.
    assert_eq!(api.get("/ResourceTypes/User").await.expect(200).body["schemaExtensions"], put["schemaExtensions"]);
    let listed = api.get("/ResourceTypes").await.expect(200);
    let users = listed.body["Resources"].as_array().expect("types").iter().filter(|one| one["id"] == "User");
    assert_eq!(users.map(|one| one["schemaExtensions"].clone()).collect::<Vec<_>>(), [extensions(&[(BADGE, false)])]);
    assert_eq!(other.get("/ResourceTypes/User").await.expect(200).body["schemaExtensions"], extensions(&[]));
    other.get(&format!("/Schemas/{BADGE}")).await.expect(404);
    let ignored = other.post("/Users", &user("old", Some(json!({ "number": "1" })))).await.expect(201);
    assert_eq!(ignored.body.get(BADGE), None);

    // Who was there is as before.
    let (mut before, mut after) = (before, api.get(&old).await.expect(200));
    // The entity tag is also of the types that there are; the version before its dot is that of the resource.
    for said in [&mut before, &mut after] {
        let tag = said.body["meta"]["version"].as_str().expect("a tag").split('.').next().map(Value::from);
        said.body["meta"]["version"] = tag.expect("a version");
    }
    assert_eq!(after.body, before.body);

    // What its schema says holds.
    api.post("/Users", &user("bare", Some(json!({ "colour": "red" })))).await.expect(400);
    let full = json!({ "number": "42", "colour": "red", "pin": "1234", "note": "n", "doors": ["A", "B"] });
    let made = api.post("/Users", &user("badged", Some(full.clone()))).await.expect(201);
    let shown = json!({ "number": "42", "colour": "red", "doors": ["A", "B"] });
    assert_eq!(made.body[BADGE], shown, "what is returned never or on request is not there");
    assert_eq!(made.body["schemas"], json!([USER, BADGE]));
    let one = format!("/Users/{}", id(&made.body));
    assert_eq!(api.get(&one).await.expect(200).body[BADGE], shown);
    assert_eq!(api.find("/Users", "userName eq \"badged\"", "").await[0][BADGE], shown);
    let asked = api.get(&format!("{one}?attributes={BADGE}:note,{BADGE}:pin")).await.expect(200);
    assert_eq!(asked.body[BADGE], json!({ "note": "n" }));
    assert_eq!(api.post("/Users", &user("twin", Some(full))).await.expect(409).body["scimType"], "uniqueness");

    // PATCH, filter and sort.
    let operations = json!([{ "op": "add", "path": format!("{BADGE}:number"), "value": "7" }]);
    api.patch(&old, &operations).await.expect(200);
    api.patch(&one, &json!([{ "op": "replace", "path": format!("{BADGE}:number"), "value": "7" }])).await.expect(409);
    for (filter, names) in [
        (format!("{BADGE}:number eq \"42\""), vec!["badged"]),
        (format!("{BADGE}:number pr"), vec!["badged", "old"]),
        (format!("{BADGE}:doors eq \"b\""), vec!["badged"]),
        (format!("{BADGE}:colour eq \"blue\""), vec![]),
    ] {
        let found = api.find("/Users", &filter, &format!("&sortBy={BADGE}:number")).await;
        let found: Vec<&str> = found.iter().map(|one| one["userName"].as_str().expect("a name")).collect();
        assert_eq!(found, names, "{filter}");
    }
    let emptied = json!([{ "op": "remove", "path": BADGE }]);
    let left = api.patch(&one, &emptied).await.expect(200);
    assert_eq!(left.body["schemas"], json!([USER]));

    // A type of the tenant's own keeps what is written only to itself too.
    let urn = "urn:example:scim:schemas:1.0:Safe";
    let attributes = json!([{ "name": "label" }, { "name": "code", "mutability": "writeOnly", "returned": "never" }]);
    api.post("/Schemas", &json!({ "id": urn, "attributes": attributes })).await.expect(201);
    api.post("/ResourceTypes", &json!({ "name": "Safe", "endpoint": "/Safes", "schema": urn })).await.expect(201);
    let safe = json!({ "schemas": [urn], "label": "north", "code": "1234" });
    let safe = api.post("/Safes", &safe).await.expect(201);
    let again = api.get(&format!("/Safes/{}", id(&safe.body))).await.expect(200);
    let found = api.find("/Safes", "label eq \"north\"", "").await;
    for body in [&safe.body, &again.body, &found[0]] {
        assert_eq!((&body["label"], body.get("code")), (&json!("north"), None));
    }

    wait_for_indexes(server).await;
    verify(server).await;
    server.kill();
    server.restart();
    let api = Api { base: server.base_url.clone(), ..api };
    assert_eq!(api.find("/Users", &format!("{BADGE}:number eq \"7\""), "").await.len(), 1);
    api.post("/Users", &user("late", Some(json!({ "number": "7" })))).await.expect(409);
}

async fn what_is_refused(server: &Server) {
    let api = Api::new(server, server.tenant("refusing"));
    let source = Api { token: server.client("refusing", "hr", "source"), ..api.clone() };
    let path = "/ResourceTypes/User";
    api.post("/Schemas", &badge()).await.expect(201);
    let put = |further: &[(&str, bool)]| json!({ "schemaExtensions": extensions(further) });
    source.put(path, &put(&[(BADGE, false)])).await.expect(403);
    source.patch(path, &json!([{ "op": "remove", "path": "schemaExtensions" }])).await.expect(403);
    for (body, kind) in [
        (json!({}), "mutability"),
        (json!({ "schemaExtensions": [] }), "mutability"),
        (json!({ "schemaExtensions": [{ "schema": ENTERPRISE, "required": true }] }), "mutability"),
        (json!({ "endpoint": "/People", "schemaExtensions": extensions(&[]) }), "mutability"),
        (json!({ "schema": GROUP, "schemaExtensions": extensions(&[]) }), "mutability"),
        (json!({ "name": "Person", "schemaExtensions": extensions(&[]) }), "mutability"),
        (put(&[("urn:example:nothing", false)]), "invalidValue"),
        (put(&[(BADGE, false), (BADGE, false)]), "invalidValue"),
        (put(&[(USER, false)]), "invalidValue"),
        (put(&[("urn:ietf:params:scim:schemas:core:2.0:Schema", false)]), "invalidValue"),
        (json!({ "schemaExtensions": extensions(&[]), "colour": "red" }), "invalidValue"),
    ] {
        assert_eq!(api.put(path, &body).await.expect(400).body["scimType"], kind, "{body}");
    }
    api.delete(path).await.expect(403);
    api.put("/ResourceTypes/Client", &json!({ "schemaExtensions": [] })).await.expect(403);
    api.patch("/ResourceTypes/Nothing", &json!([{ "op": "remove", "path": "description" }])).await.expect(404);
    for operations in [
        json!([{ "op": "replace", "path": "endpoint", "value": "/People" }]),
        json!([{ "op": "remove", "path": "schemaExtensions" }]),
        json!([{ "op": "remove", "path": format!("schemaExtensions[schema eq \"{ENTERPRISE}\"]") }]),
    ] {
        assert_eq!(api.patch(path, &operations).await.expect(400).body["scimType"], "mutability", "{operations}");
    }

    // A user without the extension stands in the way of requiring it, and of nothing else.
    let old = api.post("/Users", &user("old", None)).await.expect(201);
    let required = api.put(path, &put(&[(BADGE, true)])).await.expect(400);
    assert!(required.detail().contains("would be required"), "{}", required.detail());
    let added = json!([{ "op": "add", "path": "schemaExtensions", "value": [{ "schema": BADGE, "required": false }] }]);
    let first = api.patch(path, &added).await.expect(200);
    let tag = first.etag.expect("a tag");
    let removed = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [
        { "op": "remove", "path": format!("schemaExtensions[schema eq \"{BADGE}\"]") }
    ] });
    api.ask(Method::PATCH, path, Some(&removed), &[("if-match", "W/\"99\"")]).await.expect(412);
    api.delete(&format!("/Schemas/{BADGE}")).await.expect(409);

    // While nobody has data of it, it may change in every way, and go.
    let mut narrow = badge();
    narrow["attributes"] = json!([{ "name": "number", "type": "integer", "multiValued": true }]);
    api.put(&format!("/Schemas/{BADGE}"), &narrow).await.expect(200);
    api.put(&format!("/Schemas/{BADGE}"), &badge()).await.expect(200);
    api.ask(Method::PATCH, path, Some(&removed), &[("if-match", &tag)]).await.expect(200);
    api.patch(path, &added).await.expect(200);

    // Once somebody has, it stays.
    let one = format!("/Users/{}", id(&old.body));
    api.patch(&one, &json!([{ "op": "add", "path": format!("{BADGE}:number"), "value": "1" }])).await.expect(200);
    let kept = api.put(path, &put(&[])).await.expect(400);
    assert!(kept.detail().contains("would be no extension any more"), "{}", kept.detail());
    let gone = api.put(&format!("/Schemas/{BADGE}"), &narrow).await.expect(400);
    assert!(gone.detail().contains("number"), "{}", gone.detail());
    api.patch(&one, &json!([{ "op": "remove", "path": BADGE }])).await.expect(200);
    api.put(path, &put(&[])).await.expect(200);
    api.delete(&format!("/Schemas/{BADGE}")).await.expect(204);
    wait_for_indexes(server).await;
    verify(server).await;

    // The same words, once more: what was indexed under another number is not in the way.
    api.post("/Schemas", &badge()).await.expect(201);
    api.put(path, &put(&[(BADGE, false)])).await.expect(200);
    api.patch(&one, &json!([{ "op": "add", "path": format!("{BADGE}:number"), "value": "1" }])).await.expect(200);
    assert_eq!(api.find("/Users", &format!("{BADGE}:number eq \"1\""), "").await.len(), 1);

    // Groups likewise.
    let group = json!({ "schemaExtensions": [{ "schema": BADGE, "required": false }] });
    api.put("/ResourceTypes/Group", &group).await.expect(200);
    let body = json!({ "schemas": [GROUP, BADGE], "displayName": "G", BADGE: { "number": "9" } });
    api.post("/Groups", &body).await.expect(201);
    api.post("/Groups", &body).await.expect(409);
    assert_eq!(api.find("/Groups", &format!("{BADGE}:number eq \"9\""), "").await.len(), 1);
    wait_for_indexes(server).await;
    verify(server).await;
}

async fn a_build_survives_kill_nine(server: &mut Server) {
    const PEOPLE: usize = 3_000;
    let api = Api::new(server, server.tenant("dying"));
    for from in (0..PEOPLE).step_by(1_000) {
        let operations: Vec<Value> = (from..from + 1_000)
            .map(|n| {
                json!({ "method": "POST", "path": "/Users", "bulkId": format!("b{n}"), "data":
                { "schemas": [USER], "userName": format!("u{n}") } })
            })
            .collect();
        let bulk =
            json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations });
        api.post("/Bulk", &bulk).await.expect(200);
    }
    // Two indexes to build over all that is there. The server dies when the first has some of its rows.
    let mut wide = badge();
    wide["attributes"][1]["uniqueness"] = "server".into();
    api.post("/Schemas", &wide).await.expect(201);
    let put = json!({ "schemaExtensions": extensions(&[(BADGE, false)]) });
    api.put("/ResourceTypes/User", &put).await.expect(200);
    let building = "SELECT COUNT(*) FROM attr_path WHERE state = 'building'";
    let rows_of = "SELECT COUNT(*) FROM attr_index i JOIN attr_path p ON p.tenant_id = i.tenant_id AND \
                   p.path_id = i.path_id";
    let rows = format!("{rows_of} AND p.state = 'building'");
    while server.number(&rows) == 0 && server.number(building) > 0 {}
    server.kill();
    let (left, done) = (server.number(building), server.number(&rows));
    assert!(left > 0 && done < 2 * PEOPLE as i64, "the server died after it had finished: {left} {done}");
    server.restart();
    let api = Api { base: server.base_url.clone(), ..api };
    // Right at every moment, while it is built again and afterwards.
    let ask = async |n: usize| {
        let filter = format!("userName eq \"U{n}\" and not ({BADGE}:number pr)");
        assert_eq!(api.find("/Users", &filter, "").await.len(), 1, "u{n}");
    };
    ask(17).await;
    api.post("/Users", &user("late", Some(json!({ "number": "1", "colour": "red" })))).await.expect(201);
    api.post("/Users", &user("later", Some(json!({ "number": "1" })))).await.expect(409);
    assert_eq!(api.find("/Users", &format!("{BADGE}:number eq \"1\""), "").await.len(), 1);
    wait_for_indexes(server).await;
    for n in (0..PEOPLE).step_by(613) {
        ask(n).await;
    }
    assert_eq!(api.find("/Users", &format!("{BADGE}:number eq \"1\""), "").await.len(), 1);
    let sorted = api.get(&format!("/Users?sortBy={BADGE}:colour&count=1&attributes=userName")).await.expect(200);
    assert_eq!(sorted.body["totalResults"].as_u64(), Some(PEOPLE as u64 + 1));
    assert_eq!(sorted.body["Resources"][0]["userName"], "late");
    // One row a resource at each path: none is lacking, none is there twice or left over.
    let built = format!("{rows_of} AND p.path LIKE '{BADGE}:%' AND p.state = 'ready'");
    assert_eq!(server.number(&built), 2 * (PEOPLE as i64 + 1));
}

#[tokio::test]
async fn a_tenant_extends_its_users_on_sqlite() {
    a_tenant_extends_its_users(&mut Server::sqlite()).await;
}

#[tokio::test]
async fn a_tenant_extends_its_users_on_postgres() {
    a_tenant_extends_its_users(&mut Server::postgres()).await;
}

#[tokio::test]
async fn what_the_server_or_its_users_need_is_not_taken_away_on_sqlite() {
    what_is_refused(&Server::sqlite()).await;
}

#[tokio::test]
async fn what_the_server_or_its_users_need_is_not_taken_away_on_postgres() {
    what_is_refused(&Server::postgres()).await;
}

#[tokio::test]
async fn an_index_is_finished_after_kill_nine_in_the_middle_on_sqlite() {
    a_build_survives_kill_nine(&mut Server::sqlite()).await;
}

#[tokio::test]
async fn an_index_is_finished_after_kill_nine_in_the_middle_on_postgres() {
    a_build_survives_kill_nine(&mut Server::postgres()).await;
}
