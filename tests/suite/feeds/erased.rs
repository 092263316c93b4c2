//! What runs and simulations have left tells nothing of somebody who is purged, asked over HTTP; the rest of it, and the
//! counts, stay.

use std::time::Duration;

use serde_json::{Value, json};

use super::http::{ended, location, send};
use super::{HEADER, snapshots};
use crate::rules::resource::rule;
use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::municipality::Municipality;

on_both_databases!(Municipality:
    what_runs_and_simulations_left_of_somebody_who_is_purged_is_erased,
);

/// Texts that tell of her: names, user name and key, address.
const TRACES: [&str; 4] = ["Ruotsalainen", "Koski", "s4711", "saga@"];

/// Has rows sent, as lines below the header; the run that came of it.
async fn sent(hr: &Api, query: &str, rows: &str) -> String {
    let text = format!("{HEADER}{rows}").into_bytes();
    let sent = send(hr, &format!("/Feeds/hr?mode=delta&{query}"), "text/csv; charset=utf-8", text).await;
    ended(hr, &location(&sent)).await["id"].as_str().expect("an id").to_owned()
}

/// All that may be read of a run, or of a simulation: itself, and its lists.
async fn left(admin: &Api, path: &str, lists: &[&str]) -> (Value, Vec<Value>) {
    let itself = admin.get(path).await.expect(200).body;
    let mut found = Vec::new();
    for list in lists {
        found.push(admin.get(&format!("{path}/items?list={list}")).await.expect(200).body);
    }
    (itself["counts"].clone(), found)
}

async fn simulated(admin: &Api) -> String {
    let body = json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:Simulation"], "name": "what if" });
    let made = admin.post("/Simulations", &body).await.expect(201).body;
    let path = format!("/Simulations/{}", made["id"].as_str().expect("an id"));
    for _ in 0..2_400 {
        let state = admin.get(&path).await.expect(200).body["state"].clone();
        if state == "ready" {
            return path;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the simulation does not end");
}

async fn what_runs_and_simulations_left_of_somebody_who_is_purged_is_erased(place: &Municipality) {
    let (admin, hr) = (&place.ready().await.admin, &place.hr);
    let policy = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "UTC", "purge": true,
        "purgeAfter": 60,
    });
    admin.post("/Policies", &policy).await.expect(201);
    let client = admin.find("/Clients", "name eq \"hr\"", "").await.remove(0);
    let feed = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Feed"], "name": "hr", "client": { "value": client["id"] },
        "map": snapshots(""),
    });
    admin.post("/Feeds", &feed).await.expect(201);
    admin.post("/Groups", &json!({ "displayName": "nurses" })).await.expect(201);
    let proposed = rule("nurses", &json!({ "filter": "userName pr" }));
    admin.post("/Rules", &proposed).await.expect(201);

    let hired = "s4711;Ruotsalainen;;;1;2025-01-01;;E1\nb0001;Ek;s4711;;2;2025-01-01;;E1\n";
    let first = sent(hr, "extracted=2026-01-01T00:00:00Z", hired).await;
    let saga = admin.find("/Users", "userName eq \"s4711\"", "").await[0]["id"].as_str().expect("an id").to_owned();
    let address = json!([{ "op": "add", "path": "emails", "value": [{ "value": "saga@storstad.example" }] }]);
    hr.patch(&format!("/Users/{saga}"), &address).await.expect(200);
    // A row that is refused, one of another who is refused, and what would become of them.
    let wrong = "b0001;Ek;s4711;;2;2025-01-01;;E1\ns4711;Ruotsalainen;;;1;never;;E1\nb0002;Sten;;;1;never;;E1\n";
    let refused = sent(hr, "extracted=2026-01-02T00:00:00Z", wrong).await;
    let change =
        "s4711;Koski;;;1;2025-01-01;;E1\nb0001;Ek-Berg;s4711;;2;2025-01-01;;E1\nb0003;Lund;;;1;2025-01-01;;E1\n";
    let planned = sent(hr, "simulate=true&extracted=2026-01-03T00:00:00Z", change).await;
    let simulation = simulated(admin).await;
    let runs = [first, refused, planned].map(|run| format!("/Runs/{run}"));
    let all = async || {
        let mut all = Vec::new();
        for run in &runs {
            all.push(left(admin, run, &["reject", "warning", "object"]).await);
        }
        all.push(left(admin, &simulation, &["object", "target"]).await);
        all
    };
    let before = all().await;
    let text = |all: &[(Value, Vec<Value>)]| json!(all).to_string();
    let told = text(&before);
    for trace in [&TRACES[..3], &[saga.as_str()]].concat() {
        assert!(told.contains(trace), "{trace} in {told}");
    }
    // The counts of a run, and what is in its lists.
    let counts = |all: &[(Value, Vec<Value>)]| all.iter().map(|(counts, _)| counts.clone()).collect::<Vec<_>>();
    assert_eq!((&before[1].0["rejected"], &before[3].0["begins"]), (&json!(2), &json!(2)), "{told}");

    admin.delete(&format!("/Users/{saga}")).await.expect(204);
    for _ in 0..1_200 {
        if place.server.number("SELECT COUNT(*) FROM erasure WHERE done_at IS NULL AND kind = 'User'") == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let after = all().await;
    let told = text(&after);
    for trace in TRACES.iter().chain(&[saga.as_str()]) {
        assert!(!told.contains(trace), "{trace} in {told}");
    }
    assert_eq!(counts(&after), counts(&before), "the counts stay");
    for other in ["Sten", "Lund", "b0001"] {
        assert!(told.contains(other), "{other} in {told}");
    }
    for path in runs.iter().chain([&simulation]) {
        let itself = admin.get(path).await.expect(200).body.to_string();
        assert!(!TRACES.iter().any(|trace| itself.contains(trace)), "{itself}");
    }
    for format in ["csv", "html"] {
        let request = admin.client.get(format!("{}{simulation}/items?format={format}", admin.base));
        let page = request.bearer_auth(&admin.token).send().await.expect("an answer").text().await.expect("a page");
        assert!(page.contains("b0001") && !TRACES.iter().any(|trace| page.contains(trace)), "{page}");
    }
}
