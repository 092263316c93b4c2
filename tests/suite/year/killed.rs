//! kill -9 of the real program at random moments of a feed, of a rule's activation and of days that pass: afterwards nothing is lost
//! and nothing was done twice. `make torture` runs it for long.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::crash::{Span, say};
use crate::support::api::Api;
use crate::support::moment::a_moment;
use crate::support::municipality::{Municipality, PERSON, TENANT};

const PEOPLE: u64 = 150;

const MAP: &str = r#"
source = "hr"
[snapshot]
mode = "full"
[guard]
creates = { percent = 100, floor = 5000 }
disables = { percent = 100, floor = 5000 }
[[resource]]
kind = "User"
key = "nr"
[resource.columns]
userName = "nr"
title = "title"
userType = { constant = "Employee" }
"#;

/// Runs a command that is killed some times, and then once to its end.
async fn killed_some_times(place: &Municipality, line: &[&str], milliseconds: u64) -> String {
    for _ in 0..3 {
        let mut process = place.spawn(line);
        a_moment(milliseconds).await;
        let _ = process.kill();
        process.wait().expect("it ended");
        place.end_leases();
    }
    for _ in 0..50 {
        match place.command(line) {
            // What the killed one had sent to the database may be carried out after the lease was ended.
            Err(said) if said.contains("another process looks after") => place.end_leases(),
            said => return said.expect("carried through"),
        }
    }
    panic!("the lease of who was killed does not end")
}

/// Everybody's title is another: each is written once.
async fn a_feed(place: &Municipality, folder: &std::path::Path, round: u64) {
    let (map, file) = (folder.join("map.toml"), folder.join(format!("{round}.csv")));
    let rows: String = (0..PEOPLE).map(|n| format!("{n};title {round}\n")).collect();
    fs::write(&map, MAP).expect("writes");
    fs::write(&file, format!("nr;title\n{rows}")).expect("writes");
    let before = place.server.number("SELECT COUNT(*) FROM change WHERE kind = 'User'");
    let extracted = format!("2026-01-01T00:{:02}:{:02}Z", round / 60 % 60, round % 60);
    let paths = [map.to_str().expect("a path"), file.to_str().expect("a path")];
    let import = ["import", "--tenant", TENANT, "--client", "hr", "--json", "--extracted", &extracted, "--map"];
    let line = [&import[..], &paths[..]].concat();
    let said = killed_some_times(place, &line, 900).await;
    let run: Value = said.lines().find_map(|line| serde_json::from_str(line).ok()).expect("a run");
    assert_eq!(run["state"], "applied", "{run}");
    let number = |query: &str| place.server.number(query);
    let people = i64::try_from(PEOPLE).expect("few");
    assert_eq!(number("SELECT COUNT(*) FROM change WHERE kind = 'User'") - before, people, "each is written once");
    assert_eq!(number("SELECT COUNT(*) FROM feed_record"), people);
    let titled = format!("SELECT COUNT(*) FROM resource WHERE kind = 'User' AND doc LIKE '%title {round}\"%'");
    assert_eq!(number(&titled), people, "and nothing is lost");
}

/// A rule is activated, or ends, while the server is killed: everybody gets the right once, or loses it.
async fn a_rule(place: &mut Municipality, rule: &str, is_on: bool) {
    let before = place.server.number("SELECT COUNT(*) FROM grant_");
    let lifecycle = if is_on { "active" } else { "deprecated" };
    let change = json!([{ "op": "replace", "path": "lifecycle", "value": lifecycle }]);
    place.admin.patch(&format!("/Rules/{rule}"), &change).await.expect(200);
    for _ in 0..3 {
        a_moment(1_500).await;
        place.server.kill();
        place.end_leases();
        place.server.restart();
        place.admin = Api { base: place.server.base_url.clone(), ..place.admin.clone() };
    }
    let people = i64::try_from(PEOPLE).expect("few");
    let wanted = if is_on { people } else { 0 };
    for _ in 0..2_400 {
        let members = place.server.number("SELECT COUNT(*) FROM membership");
        let due = place.server.number("SELECT COUNT(*) FROM due");
        if (members, due) == (wanted, 0) {
            let held = place.server.number("SELECT COUNT(*) FROM grant_ WHERE until IS NULL");
            let grants = place.server.number("SELECT COUNT(*) FROM grant_");
            assert_eq!((held, grants - before), (wanted, wanted), "each right is given once");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the rule is not carried through");
}

/// Days pass in a tenant of its own: each account is staged once and becomes active once.
async fn days(place: &Municipality, round: u64) {
    let tenant = format!("days{round}");
    let admin = Api::new(&place.server, place.server.tenant(&tenant));
    place.command(&["schema", "install", "--tenant", &tenant, "person"]).expect("installed");
    let policy = json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "UTC" });
    for _ in 0..400 {
        if admin.post("/Policies", &policy).await.status == 201 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let before = place.server.number("SELECT COUNT(*) FROM change WHERE kind = 'User'");
    for n in 0..40 {
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", PERSON], "userName": format!("p{n}"),
            PERSON: { "employments": [{ "employmentId": "1", "start": "2100-03-01" }] },
        });
        admin.post("/Users", &user).await.expect(201);
    }
    let line = ["schedule", "run", "--tenant", &tenant, "--until", "2100-06-01", "--ahead"];
    killed_some_times(place, &line, 400).await;
    let found = admin.get("/Users?filter=active%20eq%20true&count=0").await.expect(200).body;
    assert_eq!(found["totalResults"], 40, "nothing is lost");
    let changes = place.server.number("SELECT COUNT(*) FROM change WHERE kind = 'User'") - before;
    assert_eq!(changes, 3 * 40, "entered, staged, active, and each once");
}

async fn survive(mut place: Municipality) {
    place.ready().await;
    let folder = tempfile::tempdir().expect("a folder");
    place.admin.post("/Groups", &json!({ "displayName": "staff" })).await.expect(201);
    let rule = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Rule"], "name": "staff", "filter": "userType eq \"Employee\"",
        "grants": [{ "type": "group", "value": "staff" }],
    });
    let rule = place.admin.post("/Rules", &rule).await.expect(201).body["id"].as_str().expect("an id").to_owned();
    let span = Span::asked(1);
    let mut round = 0;
    while !span.is_over(round) {
        a_feed(&place, folder.path(), round).await;
        a_rule(&mut place, &rule, round % 2 == 0).await;
        days(&place, round).await;
        round += 1;
        if round % 10 == 0 {
            say(&format!("{round} rounds of a feed, a rule and days under kill -9"));
        }
    }
    place.command(&["check"]).expect("all is well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feeds_rules_and_days_survive_on_sqlite() {
    survive(Municipality::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feeds_rules_and_days_survive_on_postgres() {
    survive(Municipality::postgres()).await;
}
