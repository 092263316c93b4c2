//! What became of people on a day: all of it, unit by unit, whatever caused it.

use serde_json::{Value, json};

use crate::lifecycle::town::{PERSON, Town};
use crate::rules::grants::{active, with_groups, works};
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    a_day_tells_who_came_moved_and_left_and_why,
    a_day_without_anything_is_empty_and_one_that_is_none_is_refused,
);

/// What is told of somebody on a day: unit, words, given, taken, causes.
async fn line(town: &Town, day: &str, user: &str) -> Option<String> {
    let report = town.register.directory.report(&town.admin(), day).await.expect("a report");
    let found = report.people.iter().find(|line| line.user == user)?;
    let (given, taken) = (found.given, found.taken);
    Some(format!("{} {} +{given} -{taken} {}", found.unit, found.what.join(" "), found.causes.join(" ")))
}

fn at(unit: &str, name: &str, from: &str, to: &str) -> Value {
    let mut body = works(name, &[("1", "nurse", from, to)]);
    body[PERSON]["employments"][0]["unit"] = json!(unit);
    body
}

async fn a_day_tells_who_came_moved_and_left_and_why(town: &Town) {
    with_groups(town, &["nurses"]).await;
    active(town, "nurses", r#"employments[taskCode eq "nurse"]"#, json!({})).await;
    let enter = async |body: Value| town.enter(&town.hr(), body).await["id"].as_str().expect("an id").to_owned();
    let maj = enter(at("SKL", "maj", "2026-01-01", "2026-02-10")).await;
    let bo = enter(at("BIB", "bo", "2026-02-03", "")).await;
    assert_eq!(line(town, "2026-01-05", &maj).await.as_deref(), Some("SKL joined rights +1 -0 request"));
    assert_eq!(line(town, "2026-01-05", &bo).await.as_deref(), Some("BIB changed +0 -0 request"));
    town.wait_until("2026-02-05").await;
    assert_eq!(line(town, "2026-02-03", &bo).await.as_deref(), Some("BIB joined rights +1 -0 due"));
    assert_eq!(line(town, "2026-02-03", &maj).await.as_deref(), Some("SKL changed +0 -0 due"), "she is ending");
    town.replace(&town.hr(), &bo, at("SKL", "boo", "2026-02-03", "")).await.expect("moved");
    assert_eq!(line(town, "2026-02-05", &bo).await.as_deref(), Some("SKL moved renamed +0 -0 request"));
    town.wait_until("2026-02-12").await;
    assert_eq!(line(town, "2026-02-11", &maj).await.as_deref(), Some("SKL left rights +0 -1 due"));
    town.delete(&town.admin(), "User", &bo).await.expect("deleted");
    assert_eq!(line(town, "2026-02-12", &bo).await.as_deref(), Some("SKL left rights +0 -1 request"));
    let report = town.register.directory.report(&town.admin(), "2026-02-11").await.expect("a report");
    let told = report.to_json();
    assert_eq!(told["zone"], "Europe/Helsinki");
    let unit = &told["units"][0];
    assert_eq!(
        (&unit["unit"], &unit["counts"]["left"], &unit["counts"]["taken"]),
        (&json!("SKL"), &json!(1), &json!(1))
    );
    assert_eq!(unit["people"][0]["by"], json!(["server"]));
    assert_eq!(report.cells().next().expect("a row")[..4], ["SKL", &maj, "left rights", "0"]);
    assert!(!told.to_string().contains("maj"), "it names nobody");
}

async fn a_day_without_anything_is_empty_and_one_that_is_none_is_refused(town: &Town) {
    town.with_policy(json!({})).await;
    let report = town.register.directory.report(&town.admin(), "2025-06-01").await.expect("a report");
    assert_eq!((report.changes, report.people.len()), (0, 0));
    for day in ["yesterday", "2026-13-01", ""] {
        let error = town.register.directory.report(&town.admin(), day).await.expect_err("no day");
        assert!(error.to_string().contains("is no day"), "{error}");
    }
}
