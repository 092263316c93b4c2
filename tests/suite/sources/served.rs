//! The same over HTTP and with files: who may ask whose a value is, what a snapshot withdraws, and what goes along with a
//! tenant that moves.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::office::{MOBILE, SOURCES, mobile};
use crate::support::api::{Api, verify};
use crate::support::municipality::{Municipality, TENANT};

const MAP: &str = r#"source = "staff"
[snapshot]
mode = "full"
[guard]
creates = { percent = 100, floor = 100 }
deletes = { percent = 100, floor = 100 }
[[resource]]
kind = "User"
key = "Nr"
withdraw = "keep"
[resource.columns]
userName = "Nr"
title = "Title"
'phoneNumbers[type eq "mobile"].value' = "Mobile"
"#;

/// What `/sources` tells of mobile numbers.
async fn told(admin: &Api, id: &str) -> Value {
    let path = MOBILE.replace(' ', "%20").replace('"', "%22");
    let mut told = admin.get(&format!("/Users/{id}/sources?path={path}")).await.expect(200).body;
    told["values"][0].take()
}

fn says(told: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let says = told["says"].as_array().expect("a list").iter();
    says.map(|one| (text(&one["display"]), text(&one["values"][0]["value"]))).collect()
}

async fn a_file_and_an_exchange_speak_of_the_same_number(place: Municipality) {
    place.ready().await;
    let exchange = Api::new(&place.server, place.server.client(TENANT, "telephony", "source"));
    let authority = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Authority"], "name": "mobile numbers", "resourceType": "User",
        "paths": [MOBILE], "sources": [{ "value": "telephony" }, { "value": "hr" }],
    });
    exchange.post("/Authorities", &authority).await.expect(403);
    let made = place.admin.post("/Authorities", &authority).await.expect(201).body;
    assert_eq!(made["sources"][1]["display"], "hr");
    let folder = TempDir::new().expect("a folder");
    let read = |day: u32, rows: &str| {
        let (map, file) = (folder.path().join("map.toml"), folder.path().join("staff.csv"));
        fs::write(&map, MAP).expect("writes");
        fs::write(&file, format!("Nr;Title;Mobile\n{rows}")).expect("writes");
        let (map, file) = (map.to_str().expect("a path"), file.to_str().expect("a path"));
        let moment = format!("2026-11-{day:02}T00:00:00Z");
        let line = ["import", "--tenant", TENANT, "--client", "hr", "--map", map, file, "--extracted", &moment];
        place.command(&line).expect("carried out")
    };
    read(1, "100;Nurse;+358 50 2\n101;Cook;+358 50 3\n");
    let users = place.admin.find("/Users", "userName eq \"100\"", "").await;
    let id = users[0]["id"].as_str().expect("an id").to_owned();
    let one = json!([{ "op": "replace", "path": format!("{MOBILE}.value"), "value": "+358 40 1" }]);
    exchange.patch(&format!("/Users/{id}"), &one).await.expect(200);
    let of = told(&place.admin, &id).await;
    assert_eq!(says(&of), [("telephony".into(), "+358 40 1".into()), ("hr".into(), "+358 50 2".into())]);
    assert_eq!((&of["from"], &of["authority"]), (&json!("source"), &json!("mobile numbers")));
    assert_eq!((&of["says"][1]["key"], &of["says"][1]["counts"]), (&json!("100"), &json!(false)));
    // Who may not read authorities is told nothing of it, and what is said is in no answer.
    exchange.get(&format!("/Users/{id}/sources")).await.expect(403);
    place.admin.get(&format!("/Users/{id}/sources?path=title")).await.expect(400);
    place.admin.get("/Users/0197a5c0-0000-7000-8000-000000000001/sources").await.expect(404);
    let whole = place.admin.get(&format!("/Users/{id}?attributes={SOURCES}:said")).await.expect(200);
    assert!(!whole.body.to_string().contains("+358 50 2"), "{}", whole.body);
    let asks = format!("/Users?filter={SOURCES}:said.value%20co%20%22358%22");
    assert_eq!(place.admin.get(&asks).await.status, 403);
    // The file says another number, and the same as the exchange: it is kept as the file's word.
    read(2, "100;Nurse;+358 40 1\n101;Cook;+358 50 3\n");
    let of = told(&place.admin, &id).await;
    assert_eq!(says(&of), [("telephony".into(), "+358 40 1".into()), ("hr".into(), "+358 40 1".into())]);
    read(3, "100;Head nurse;+358 50 9\n101;Cook;+358 50 3\n");
    // A file that does not name the person takes its word back, though the account is kept.
    read(4, "101;Cook;+358 50 3\n");
    assert_eq!(says(&told(&place.admin, &id).await), [("telephony".into(), "+358 40 1".into())]);
    read(5, "100;Head nurse;+358 50 9\n101;Cook;+358 50 3\n");
    exchange.patch(&format!("/Users/{id}"), &json!([{ "op": "remove", "path": MOBILE }])).await.expect(200);
    let shown = place.admin.get(&format!("/Users/{id}")).await.expect(200).body;
    assert_eq!(shown["phoneNumbers"], json!([mobile("+358 50 9")]));
    // Export and import take along who said what; replaying the changes gives the same register.
    exchange
        .patch(&format!("/Users/{id}"), &json!([{ "op": "add", "path": "phoneNumbers", "value": [mobile("7")] }]))
        .await
        .expect(200);
    verify(&place.server).await;
    let export = place.command(&["export", "--tenant", TENANT]).expect("an export");
    assert!(export.lines().any(|line| line.contains("said") && line.contains("+358 50 9")), "what is said goes along");
    place.command(&["check", "--tenant", TENANT]).expect("nothing is wrong");
    let moved = folder.path().join("moved.jsonl");
    fs::write(&moved, export).expect("writes");
    place.command(&["import", "--tenant", "copy", moved.to_str().expect("a path")]).expect("imported");
    let copy = Api::new(&place.server, place.server.client("copy", "auditor", "administrator"));
    assert_eq!(copy.get(&format!("/Users/{id}")).await.expect(200).body["phoneNumbers"], json!([mobile("7")]));
    let said = says(&told(&copy, &id).await);
    assert_eq!(said, [("telephony".into(), "7".into()), ("hr".into(), "+358 50 9".into())]);
    // What did not show has come along too: it shows when its turn comes.
    let authority = copy.find("/Authorities", "name eq \"mobile numbers\"", "").await[0]["id"].clone();
    let path = format!("/Authorities/{}", authority.as_str().expect("an id"));
    let order = json!([{ "op": "replace", "path": "sources", "value": [{ "value": "hr" }] }]);
    copy.patch(&path, &order).await.expect(200);
    let mut shown = Value::Null;
    for _ in 0..400 {
        shown = copy.get(&format!("/Users/{id}")).await.expect(200).body["phoneNumbers"].take();
        if shown == json!([mobile("+358 50 9")]) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(shown, json!([mobile("+358 50 9")]));
    verify(&place.server).await;
}

#[tokio::test]
async fn a_file_and_an_exchange_speak_of_the_same_number_on_sqlite() {
    a_file_and_an_exchange_speak_of_the_same_number(Municipality::sqlite()).await;
}

#[tokio::test]
async fn a_file_and_an_exchange_speak_of_the_same_number_on_postgres() {
    a_file_and_an_exchange_speak_of_the_same_number(Municipality::postgres()).await;
}
