//! The Person extension of User: how it is installed, what is refused, and that a number is found and shown to who may
//! see it alone.

use serde_json::{Value, json};

use crate::support::both::on_both_databases;
use crate::support::messages::user_with;
use crate::support::municipality::{Municipality, PERSON, TENANT, UNIT};
use crate::support::server::{Server, attempt};

const NUMBER: &str = "811218-9876";
const KEPT: &str = "198112189876";

async fn what_is_shipped_is_added_to_what_the_tenant_has(register: &Municipality) {
    let Municipality { admin, .. } = register.ready().await;
    let badge = json!({ "id": "urn:example:1.0:Badge", "name": "Badge", "attributes": [{ "name": "number" }] });
    admin.post("/Schemas", &badge).await.expect(201);
    let add =
        json!([{ "op": "add", "path": "schemaExtensions", "value": [{ "schema": badge["id"], "required": false }] }]);
    let user = admin.patch("/ResourceTypes/User", &add).await.expect(200);
    let told = register.command(&["schema", "install", "--tenant", TENANT, "municipality"]).expect("installed again");
    assert_eq!(told.matches("unchanged").count(), 16, "{told}");
    let again = admin.get("/ResourceTypes/User").await.expect(200);
    assert_eq!(again.etag, user.etag);
    let urns: Vec<&str> = again.body["schemaExtensions"]
        .as_array()
        .expect("extensions")
        .iter()
        .filter_map(|one| one["schema"].as_str())
        .collect();
    assert_eq!(urns[1..], [PERSON, "urn:matrikel:scim:schemas:1.0:Sources", "urn:example:1.0:Badge"]);
    for urn in [PERSON, UNIT] {
        let schema = admin.get(&format!("/Schemas/{urn}")).await.expect(200).body;
        let mut other = schema.clone();
        other["attributes"].as_array_mut().expect("attributes").pop();
        let refused = admin.put(&format!("/Schemas/{urn}"), &other).await.expect(400);
        assert!(refused.detail().contains("reserved"), "{}", refused.detail());
    }
    let other = json!({ "id": "urn:matrikel:scim:schemas:1.0:Mine", "attributes": [{ "name": "number" }] });
    admin.post("/Schemas", &other).await.expect(400);
}

async fn a_number_is_checked_kept_in_one_form_and_found_however_it_is_written(register: &Municipality) {
    let Municipality { hr, .. } = register.ready().await;
    let made = register.enter("maj", &json!({ "personalNumber": NUMBER, "callName": "Maj" })).await;
    assert!(!made.to_string().contains("811218"), "not by itself: {made}");
    let path = format!("/Users/{}", made["id"].as_str().expect("an id"));
    let attributes = format!("{path}?attributes={PERSON}:personalNumber,{PERSON}:personalNumberType");
    let shown = hr.get(&attributes).await.expect(200).body;
    assert_eq!(shown[PERSON], json!({ "personalNumber": KEPT, "personalNumberType": "se" }));
    for written in [NUMBER, KEPT, "8112189876", "19811218-9876"] {
        let found = register.search("/Users", &format!("{PERSON}:personalNumber eq \"{written}\"")).await;
        assert_eq!(found.len(), 1, "{written}");
    }
    assert!(register.search("/Users", &format!("{PERSON}:personalNumber eq \"811218-9875\"")).await.is_empty());

    // What does not speak of the number leaves it, in whatever way it is written; the same again is no new version.
    let tag = hr.get(&path).await.expect(200).etag;
    hr.put(&path, &user_with("maj", &json!({ PERSON: { "callName": "Maj" } }))).await.expect(200);
    let same = json!([{ "op": "replace", "path": format!("{PERSON}:personalNumber"), "value": NUMBER }]);
    hr.patch(&path, &same).await.expect(200);
    assert_eq!(hr.get(&path).await.expect(200).etag, tag);
    assert_eq!(hr.get(&attributes).await.expect(200).body[PERSON], shown[PERSON]);

    let wrong = [
        (json!({ "personalNumber": "811218-9875" }), "personalNumber is no personal identity number"),
        (json!({ "personalNumber": "010594Y9033" }), "personalNumber is no personal identity number"),
        (json!({ "personalNumber": NUMBER, "personalNumberType": "fi" }), "personalNumber is no"),
        (json!({ "employments": [{ "employmentId": "1", "start": "1.8.2026" }] }), "employments.start is not a date"),
        (json!({ "leaves": [{ "employmentId": "7", "from": "2026-08-01" }] }), "there is no employment \"7\""),
    ];
    for (person, expected) in wrong {
        let refused = hr.post("/Users", &user_with("eva", &json!({ PERSON: person }))).await.expect(400);
        assert_eq!(refused.body["scimType"], "invalidValue");
        assert!(refused.detail().contains(expected), "{}", refused.detail());
        assert!(!refused.detail().contains("811218") && !refused.detail().contains("010594"), "{}", refused.detail());
    }

    // A school's temporary number gives way to a real one; a number can be taken away.
    let pupil = register.enter("elev", &json!({ "personalNumber": "20100101-TF01" })).await;
    let path = format!("/Users/{}", pupil["id"].as_str().expect("an id"));
    let real = json!([{ "op": "replace", "path": format!("{PERSON}:personalNumber"), "value": "131052-308T" }]);
    hr.patch(&path, &real).await.expect(200);
    let attributes = format!("{path}?attributes={PERSON}:personalNumber,{PERSON}:personalNumberType");
    let shown = hr.get(&attributes).await.expect(200).body;
    assert_eq!(shown[PERSON], json!({ "personalNumber": "131052-308T", "personalNumberType": "fi" }));
    hr.patch(&path, &json!([{ "op": "remove", "path": format!("{PERSON}:personalNumber") }])).await.expect(200);
    assert_eq!(hr.get(&attributes).await.expect(200).body.get(PERSON), None);
}

async fn what_follows_is_not_for_clients_to_say(register: &Municipality) {
    let Municipality { hr, .. } = register.ready().await;
    let employment = json!({
        "employmentId": "1", "start": "2020-01-01", "unit": "SIV", "title": "Lärare", "percentage": 80.0, "preferred": true,
        "current": false, "primary": false, "unitPath": "/HERE/",
    });
    let person = json!({
        "employments": [employment], "lifecycle": { "state": "purged" }, "accountDomain": "mine",
        "person": { "value": "0197a5c0-0000-7000-8000-000000000001" },
    });
    let made = register.enter("maj", &person).await;
    let said = &made[PERSON];
    assert_eq!([&said["lifecycle"], &said["accountDomain"]], [&Value::Null; 2]);
    assert_ne!(said["person"]["value"], person["person"]["value"]);
    let kept = json!({
        "employmentId": "1", "start": "2020-01-01", "unit": "SIV", "title": "Lärare", "percentage": 80.0, "preferred": true,
    });
    assert_eq!(said["employments"], json!([kept]));
    let found = hr.find("/Users", &format!("{PERSON}:employments[unit eq \"SIV\" and preferred eq true]"), "").await;
    assert_eq!(found.len(), 1);
}

on_both_databases!(Municipality:
    what_is_shipped_is_added_to_what_the_tenant_has,
    a_number_is_checked_kept_in_one_form_and_found_however_it_is_written,
    what_follows_is_not_for_clients_to_say,
);

#[test]
fn without_a_master_key_the_extension_is_not_installed_and_the_reason_is_told() {
    let server = Server::sqlite();
    server.tenant(TENANT);
    let install = ["schema", "install", "--tenant", TENANT, "person"];
    let told = attempt(server.database_url(), &install).expect_err("no key");
    assert!(told.contains("master key"), "{told}");
}
