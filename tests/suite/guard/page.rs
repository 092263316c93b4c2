//! The page of the guard (`docs/guide/guard.md`), run as it stands: its tables are those of the program, its requests are taken,
//! its commands do what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use matrikel::directory::work_items::Kind;
use provisioning::guard::{Guard, Sort};
use scim::key::instant;
use serde_json::{Value, json};

use super::http::{people, with_guard};
use crate::support::both::on_both_databases;
use crate::support::municipality::Municipality;

on_both_databases!(Municipality: the_page_of_the_guard_is_true);

fn page() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/guard.md");
    fs::read_to_string(file).expect("the page")
}

/// The texts of the blocks of a kind, such as `json policy`.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let begin = format!("\n```{kind}\n");
    let blocks = page.split(begin.as_str()).skip(1);
    let blocks: Vec<String> = blocks.map(|rest| rest.split("\n```").next().expect("an end").to_owned()).collect();
    assert!(!blocks.is_empty(), "the page has no {kind}");
    blocks
}

/// The rows of a section's table whose first cell is a word of code: that word, and the other cells.
fn rows(page: &str, section: &str) -> BTreeMap<String, Vec<String>> {
    let section = page.split(&format!("\n## {section}\n")).nth(1).expect("the section");
    let table = section.split("\n## ").next().unwrap_or_default().lines().skip_while(|line| !line.starts_with("| ---"));
    let lines = table.filter_map(|line| line.strip_prefix("| `"));
    let row = |line: &str| {
        let mut cells = line.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`']).to_owned());
        (cells.next().expect("a cell"), cells.collect())
    };
    lines.map(row).collect()
}

/// A line of a shell, as the shell would split it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in line.chars() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            ('\'' | '"', None) => quote = Some(letter),
            (' ', None) => words.push(std::mem::take(&mut word)),
            (letter, _) => word.push(letter),
        }
    }
    words.push(word);
    words
}

/// Runs a line of the page with this id in the place of `<id>`.
fn run(place: &Municipality, line: &str, id: &str) -> String {
    let words = words(&line.replace("<id>", id));
    assert_eq!(words[0], "matrikel", "{line}");
    let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    place.command(&arguments).unwrap_or_else(|said| panic!("{line}: {said}"))
}

async fn the_page_of_the_guard_is_true(place: &Municipality) {
    place.ready().await;
    let page = page();
    let usual: BTreeMap<String, Vec<String>> = rows(&page, "Switch it on");
    for sort in Sort::ALL {
        let (row, is) = (&usual[sort.as_str()], sort.usual());
        assert_eq!(row[1..], [is.percent.to_string(), is.floor.to_string()], "{}", sort.as_str());
    }
    let kinds: BTreeSet<String> = rows(&page, "What a person has to decide").into_keys().collect();
    let known: BTreeSet<String> = Kind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    assert_eq!(kinds, known, "the page (left) and the program (right)");

    // The requests are taken, and mean what the page says.
    with_guard(place, json!([])).await;
    let policy = format!(
        "/Policies/{}",
        place.admin.find("/Policies", "name eq \"all\"", "").await[0]["id"].as_str().expect("an id")
    );
    let off = json!([{ "op": "replace", "path": "guarded", "value": false }]);
    place.admin.patch(&policy, &off).await.expect(200);
    for block in blocks(&page, "json patch") {
        let body: Value = serde_json::from_str(&block).expect("JSON");
        let said = place.admin.patch(&policy, &body["Operations"]).await.expect(200).body;
        assert_eq!(said["guarded"], true);
    }
    let mut document = Value::Null;
    for block in blocks(&page, "json policy") {
        let value: Value = serde_json::from_str(&block).expect("JSON");
        document = place.admin.patch(&policy, &json!([{ "op": "replace", "value": value }])).await.expect(200).body;
    }
    let guard = Guard::read(document.as_object().expect("an object")).expect("it can be read").expect("it guards");
    let at = |text: &str| instant(text).expect("an instant");
    let (before, within) = (at("2026-08-09T00:00:00Z"), at("2026-08-12T00:00:00Z"));
    let one = "01913a51-1c00-7c1e-8d42-5f0a7e2b9c01";
    let told = |client: &str, sort, now| {
        let threshold = guard.threshold(client, sort, now);
        (threshold.percent, threshold.floor)
    };
    assert_eq!(told("another", Sort::EmailChanges, before).0, 100.0);
    assert_eq!(told("another", Sort::Disables, before), (5.0, 10), "the second is for one client alone");
    assert_eq!(told(one, Sort::Disables, before), (1.0, 25));
    assert_eq!(told("another", Sort::Disables, within).0, 60.0);
    assert!(guard.is_planned(within) && !guard.is_planned(before), "in units too");

    // Two clients are held; the commands find both, allow one and reject the other.
    let few = json!([{ "op": "replace", "path": "guardLimits", "value": [{ "sort": "disables", "percent": 0, "floor": 1 }] }]);
    place.admin.patch(&policy, &few).await.expect(200);
    let other = place.source("hr2", "education").await;
    let ids = people(place, 2).await;
    let body = |name: &str| crate::support::messages::user_with(name, &json!({ "externalId": name }));
    let mut others = Vec::new();
    for name in ["o1", "o2"] {
        others.push(other.post("/Users", &body(name)).await.expect(201).body["id"].as_str().expect("an id").to_owned());
    }
    for (client, ids) in [(&place.hr, &ids), (&other, &others)] {
        client.delete(&format!("/Users/{}", ids[0])).await.expect(204);
        client.delete(&format!("/Users/{}", ids[1])).await.expect(503);
    }
    let held = place.admin.find("/Runs", "state eq \"held\"", "").await;
    let of = |client: &Value| {
        let run = held
            .iter()
            .find(|run| run["client"]["value"] == *client || run.to_string().contains(client.as_str().expect("an id")));
        run.unwrap_or_else(|| panic!("{client}: {held:?}"))["id"].as_str().expect("an id").to_owned()
    };
    let client =
        async |name: &str| place.admin.find("/Clients", &format!("name eq \"{name}\""), "").await[0]["id"].clone();
    let (allowed, rejected) = (of(&client("hr").await), of(&client("hr2").await));
    let lines = blocks(&page, "sh held").remove(0);
    for line in lines.lines() {
        let id = if line.contains(" reject ") { &rejected } else { &allowed };
        let said = run(place, line, id);
        if line.contains(" list ") {
            assert!(said.contains(&allowed) && said.contains(&rejected), "{said}");
        }
    }
    place.hr.delete(&format!("/Users/{}", ids[1])).await.expect(204);
    other.delete(&format!("/Users/{}", others[1])).await.expect(503);
    for (run, decision) in [(&allowed, "allow"), (&rejected, "reject")] {
        let run = place.admin.get(&format!("/Runs/{run}")).await.expect(200).body;
        assert_eq!(run["decision"], decision, "{run}");
    }

    // The report has the head that the page shows.
    let shown = blocks(&page, "text report").remove(0);
    let line = blocks(&page, "sh report").remove(0);
    let today =
        place.admin.get(&policy).await.expect(200).body["meta"]["created"].as_str().expect("a moment")[..10].to_owned();
    let said = run(place, &line.replace("2026-08-11", &today), "");
    let head = |text: &str| text.lines().find(|line| line.starts_with("unit ")).expect("a head").to_owned();
    assert_eq!(head(&said), head(&shown));
    assert_eq!(
        said.lines().next().map(|line| line.matches(", ").count()),
        shown.lines().next().map(|line| line.matches(", ").count())
    );
}
