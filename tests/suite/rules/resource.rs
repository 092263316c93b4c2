//! `/Rules`: who may write them, what is said of one that cannot be, who may activate what, and who said what by hand.

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::messages::with;
use crate::support::server::Server;

on_both_databases!(Server:
    a_rule_is_written_by_administrators_and_told_what_is_wrong_with_it,
    a_restricted_rule_is_activated_by_another_person,
    what_is_said_by_hand_has_a_giver_and_a_moment,
);

const TENANT: &str = "storstad";

pub(crate) fn rule(name: &str, more: &Value) -> Value {
    let base = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Rule"], "name": name, "filter": "userType eq \"nurse\"",
        "grants": [{ "type": "group", "value": "nurses" }],
    });
    with(base, more)
}

async fn a_rule_is_written_by_administrators_and_told_what_is_wrong_with_it(server: &Server) {
    let admin = Api::new(server, server.tenant(TENANT));
    let source = Api::new(server, server.client(TENANT, "hr", "source"));
    source.post("/Rules", &rule("mine", &json!({}))).await.expect(403);
    source.get("/Rules").await.expect(403);
    let reader = Api::new(server, server.client_with(TENANT, "reader", "consumer", &["--scope", "Rule:read"]));
    assert_eq!(reader.get("/Rules").await.expect(200).body["totalResults"], 0);
    reader.post("/Rules", &rule("mine", &json!({}))).await.expect(403);

    for (more, said) in [
        (
            json!({ "filter": "emails.type eq \"work\" and emails.value ew \"@kerava.fi\"" }),
            "emails[type eq \"work\" and value ew \"@kerava.fi\"]",
        ),
        (json!({ "filter": "wage gt 1" }), "wage"),
        (json!({ "lifecycle": "on" }), "lifecycle:"),
        (json!({ "scope": "person" }), "scope must be user"),
        (json!({ "grants": [{ "type": "door", "value": "x" }] }), "grants[0].type:"),
        (json!({ "lifecycle": "active", "notWith": ["nobody"] }), "notWith: there is no rule nobody"),
    ] {
        let error = admin.post("/Rules", &rule("wrong", &more)).await.expect(400);
        assert!(error.detail().contains(said), "{more}: {}", error.detail());
        assert_eq!(error.body["scimType"], "invalidValue");
    }
    let made = admin.post("/Rules", &rule("nurses", &json!({ "family": "care", "rank": 1 }))).await.expect(201).body;
    assert_eq!((made.get("lifecycle"), made.get("activatedBy")), (None, None), "it is proposed unless it says more");
    let me = admin.get("/Me").await.expect(200).body;
    assert_eq!(made["proposedBy"], me["id"]);
    admin.post("/Rules", &rule("NURSES", &json!({}))).await.expect(409);
    let path = format!("/Rules/{}", made["id"].as_str().expect("an id"));
    let active = admin
        .patch(&path, &json!([{ "op": "replace", "path": "lifecycle", "value": "active" }]))
        .await
        .expect(200)
        .body;
    assert_eq!(active["activatedBy"], me["id"]);
    assert!(active["activatedAt"].is_string());
    // Two of a family cannot be the highest.
    let same = admin.post("/Rules", &rule("same", &json!({ "family": "Care", "rank": 1 }))).await.expect(201).body;
    let other = format!("/Rules/{}", same["id"].as_str().expect("an id"));
    let error =
        admin.patch(&other, &json!([{ "op": "replace", "path": "lifecycle", "value": "active" }])).await.expect(400);
    assert!(error.detail().starts_with("rank:"), "{}", error.detail());
    admin.delete(&path).await.expect(204);
    admin.patch(&other, &json!([{ "op": "replace", "path": "lifecycle", "value": "active" }])).await.expect(200);
}

async fn a_restricted_rule_is_activated_by_another_person(server: &Server) {
    let one = Api::new(server, server.tenant(TENANT));
    let other = Api::new(server, server.client(TENANT, "second", "administrator"));
    let restricted = |more: &Value| rule("records", &with(json!({ "restricted": true }), more));
    one.post("/Rules", &restricted(&json!({ "lifecycle": "active" }))).await.expect(403);
    let made = one.post("/Rules", &restricted(&json!({}))).await.expect(201).body;
    let path = format!("/Rules/{}", made["id"].as_str().expect("an id"));
    let set = |name: &str, value: Value| json!([{ "op": "replace", "path": name, "value": value }]);
    let denied = one.patch(&path, &set("lifecycle", json!("active"))).await.expect(403);
    assert!(denied.detail().contains("another person"), "{}", denied.detail());
    // Nor by making it unrestricted, or by writing who proposed it.
    one.patch(&path, &set("restricted", json!(false))).await.expect(403);
    one.put(&path, &rule("records", &json!({}))).await.expect(403);
    one.put(&path, &restricted(&json!({ "lifecycle": "active", "proposedBy": "somebody" }))).await.expect(403);
    other.patch(&path, &set("lifecycle", json!("active"))).await.expect(200);
    // While it is active it stays what the second person has seen.
    for (name, value) in [
        ("filter", json!("userName pr")),
        ("after", json!(30)),
        ("grants", json!([{ "type": "group", "value": "all" }])),
    ] {
        let denied = other.patch(&path, &set(name, value)).await.expect(403);
        assert!(denied.detail().contains("lifecycle to proposed"), "{}", denied.detail());
    }
    one.patch(&path, &set("description", json!("For the record system."))).await.expect(200);
    // Whoever changes what is proposed has written it.
    let change = json!([{ "op": "replace", "path": "lifecycle", "value": "proposed" }, { "op": "replace", "path": "after", "value": 30 }]);
    other.patch(&path, &change).await.expect(200);
    other.patch(&path, &set("lifecycle", json!("active"))).await.expect(403);
    one.patch(&path, &set("lifecycle", json!("active"))).await.expect(200);
}

async fn what_is_said_by_hand_has_a_giver_and_a_moment(server: &Server) {
    let admin = Api::new(server, server.tenant(TENANT));
    let other = Api::new(server, server.client(TENANT, "second", "administrator"));
    let (me, them) = (admin.get("/Me").await.expect(200).body, other.get("/Me").await.expect(200).body);
    let said = |user: &str, reason: &str| json!({ "value": user, "reason": reason, "until": "2027-01-31" });
    let made =
        admin.post("/Rules", &rule("nurses", &json!({ "include": [said("u-1", "helps out")] }))).await.expect(201).body;
    let path = format!("/Rules/{}", made["id"].as_str().expect("an id"));
    assert_eq!(made["include"][0]["by"], me["id"]);
    let at = made["include"][0]["at"].clone();
    assert!(at.is_string());
    let forged = with(said("u-2", "too"), &json!({ "by": "somebody", "at": "2020-01-01T00:00:00Z" }));
    let change = json!([{ "op": "add", "path": "include", "value": [forged] }, { "op": "add", "path": "exclude", "value": [{ "value": "u-3", "reason": "inquiry" }] }]);
    let changed = other.patch(&path, &change).await.expect(200).body;
    assert_eq!(
        (&changed["include"][0]["by"], &changed["include"][0]["at"]),
        (&me["id"], &at),
        "what was said stays as it was"
    );
    assert_eq!((&changed["include"][1]["by"], &changed["exclude"][0]["by"]), (&them["id"], &them["id"]));
    assert_ne!(changed["include"][1]["at"], "2020-01-01T00:00:00Z");
    // Said anew, it is said by somebody else.
    let anew = rule("nurses", &json!({ "include": [said("u-1", "helps out until autumn")] }));
    let changed = other.put(&path, &anew).await.expect(200).body;
    assert_eq!(changed["include"][0]["by"], them["id"]);
    let none = admin
        .patch(&path, &json!([{ "op": "add", "path": "include", "value": [{ "value": "u-9", "reason": "for good" }] }]))
        .await
        .expect(400);
    assert!(none.detail().contains("until"), "{}", none.detail());
}
