//! kill -9 in the middle of a run: nothing is lost and nothing is done twice, whoever carries on.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::{ended, location, send};
use super::{Files, HEADER, snapshots};
use crate::support::api::Api;
use crate::support::municipality::{Municipality, TENANT};

const PEOPLE: u32 = 1_500;

fn rows() -> String {
    // Each refers to the next, so that references are set in a second round.
    let row = |n: u32| format!("{n};N{n};{};;{n}a;2026-08-01;;E1\n", n % PEOPLE + 1);
    let rows: String = (1..=PEOPLE).map(row).collect();
    format!("{HEADER}{rows}")
}

fn stored(place: &Municipality) -> i64 {
    place.server.number("SELECT COUNT(*) FROM feed_record")
}

/// All are there once, each with one change that made it and at most one that set who leads it.
async fn check(place: &Municipality, run: &Value) {
    assert_eq!(run["state"], "applied", "{run}");
    assert_eq!((&run["counts"]["created"], &run["counts"]["open"]), (&json!(PEOPLE), &json!(0)), "{run}");
    let number = |query: &str| place.server.number(query);
    assert_eq!(number("SELECT COUNT(*) FROM resource WHERE kind = 'User'"), i64::from(PEOPLE));
    assert_eq!(number("SELECT COUNT(*) FROM change WHERE kind = 'User' AND op = 'create'"), i64::from(PEOPLE));
    assert_eq!(number("SELECT COUNT(*) FROM resource WHERE kind = 'User' AND version > 2"), 0);
    assert_eq!(number("SELECT COUNT(*) FROM run_item WHERE list = 'body'"), 0);
}

async fn the_server(mut place: Municipality) {
    place.ready().await;
    let client =
        place.admin.get("/Clients?filter=name%20eq%20%22hr%22").await.expect(200).body["Resources"][0]["id"].clone();
    let feed = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Feed"], "name": "hr", "client": { "value": client }, "map": snapshots(""),
    });
    place.admin.post("/Feeds", &feed).await.expect(201);
    let sent = send(&place.hr, "/Feeds/hr?extracted=2026-11-01T00:00:00Z", "text/csv", rows().into_bytes()).await;
    assert_eq!(sent.status(), 202);
    let location = location(&sent);
    for floor in [1, 600, 1_200] {
        for _ in 0..4_000 {
            if stored(&place) >= floor {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        place.server.kill();
        place.server.restart();
    }
    let admin = Api { base: place.server.base_url.clone(), ..place.admin.clone() };
    check(&place, &ended(&admin, &location).await).await;
}

#[tokio::test]
async fn a_server_that_was_killed_carries_on_with_what_it_received_on_sqlite() {
    the_server(Municipality::sqlite()).await;
}

#[tokio::test]
async fn a_server_that_was_killed_carries_on_with_what_it_received_on_postgres() {
    the_server(Municipality::postgres()).await;
}

async fn the_command(place: &Municipality) {
    let files = Files::of(place.ready().await);
    let (map, file) = (files.path("m.toml"), files.path("f.csv"));
    fs::write(&map, snapshots("")).expect("writes");
    fs::write(&file, rows()).expect("writes");
    let paths = [map.to_str().expect("a path"), file.to_str().expect("a path")];
    let line = [
        "import",
        "--tenant",
        TENANT,
        "--client",
        "hr",
        "--json",
        "--extracted",
        "2026-11-01T00:00:00Z",
        "--map",
        paths[0],
        paths[1],
    ];
    for floor in [1, 600, 1_200] {
        let mut process = place.spawn(&line);
        for _ in 0..4_000 {
            if stored(place) >= floor || process.try_wait().expect("a process").is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let _ = process.kill();
        process.wait().expect("it ended");
    }
    // Another file waits until this one is through.
    let other = files.day(&snapshots(""), 2, "1;X;;;;;;\n");
    let is_through = stored(place) == i64::from(PEOPLE) && other.failed.is_none();
    assert!(
        is_through || other.failed.is_some_and(|said| said.contains("is being carried out")),
        "it was not let in between"
    );
    if !is_through {
        let said = place.command(&line).expect("carried on");
        let run: Value = said.lines().find_map(|line| serde_json::from_str(line).ok()).expect("a run");
        check(place, &run).await;
    }
}

#[tokio::test]
async fn a_command_that_was_killed_goes_on_when_it_is_given_the_same_file_on_sqlite() {
    the_command(&Municipality::sqlite()).await;
}

#[tokio::test]
async fn a_command_that_was_killed_goes_on_when_it_is_given_the_same_file_on_postgres() {
    the_command(&Municipality::postgres()).await;
}
