//! Licences over HTTP and from the command line: installed, agreed on, taken, refused and reported.

use serde_json::{Value, json};

use super::pool::LICENCE;
use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::server::{Server, command};

on_both_databases!(Server:
    licences_are_installed_taken_and_reported,
);

async fn licences_are_installed_taken_and_reported(server: &Server) {
    let api = Api::new(server, server.tenant("licensed"));
    let url = server.database_url();
    api.get("/Entitlements/report").await.expect(404);
    let install = ["schema", "install", "--tenant", "licensed", "entitlement", "licence", "assignment"];
    assert!(command(url, &install).contains("Assignment installed"));
    let again = command(url, &install);
    assert!(!again.contains("installed") && !again.contains("replaced"), "{again}");
    let suite = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Entitlement", LICENCE], "value": "suite",
        "limitedAssignmentsPermitted": true, "totalAssignmentsPermitted": 1, LICENCE: { "price": 4.2, "currency": "EUR" },
    });
    let suite = api.post("/Entitlements", &suite).await.expect(201).body;
    let body = |name: &str| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "entitlements": [{ "value": "suite" }],
        })
    };
    let first = api.post("/Users", &body("ann")).await.expect(201).body;
    api.post("/Users", &body("bea")).await.expect(409);
    let found = api.get("/Assignments?filter=state%20eq%20%22assigned%22").await.expect(200).body;
    assert_eq!((&found["totalResults"], &found["Resources"][0]["user"]["value"]), (&json!(1), &first["id"]));
    api.post("/Assignments", &json!({ "schemas": ["urn:matrikel:scim:schemas:core:1.0:Assignment"] }))
        .await
        .expect(403);
    let seat = found["Resources"][0]["id"].as_str().expect("an id");
    api.delete(&format!("/Assignments/{seat}")).await.expect(403);
    api.delete(&format!("/Entitlements/{}", suite["id"].as_str().expect("an id"))).await.expect(409);
    api.delete(&format!("/Users/{}", first["id"].as_str().expect("an id"))).await.expect(204);
    api.post("/Users", &body("cia")).await.expect(201);
    api.get("/Entitlements/report?from=2026-13-01").await.expect(400);
    let report = api.get("/Entitlements/report").await.expect(200).body;
    assert_eq!((&report["pools"][0]["used"], &report["savings"][0]["reclaimed"]), (&json!(1), &json!(1)), "{report}");
    let told = command(url, &["licences", "report", "--tenant", "licensed", "--json"]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["pools"], report["pools"]);
    let table = command(url, &["licences", "report", "--tenant", "licensed"]);
    assert!(table.lines().any(|line| line.starts_with("suite") && line.ends_with("EUR")), "{table}");
    assert!(command(url, &["check", "--tenant", "licensed"]).contains("licensed"));
}
