//! One simulation after the other in a small town, by a clock that the test moves.

use matrikel::directory::Error;
use matrikel::directory::simulations::{DIFFERENCES, Difference, SIMULATION, TARGETS, Target};
use serde_json::{Value, json};

use super::{attend, decide, document, items, list, names, rule_of, simulated};
use crate::lifecycle::town::{PERSON, Town, at};
use crate::rules::grants::{active, groups, wake, with_groups, works};
use crate::support::both::on_both_databases;
use crate::support::register::id;

on_both_databases!(Town:
    it_says_what_proposed_rules_would_give_and_take,
    it_looks_ahead_and_shows_who_leaves,
    it_looks_only_at_those_who_fit,
    what_cannot_be_is_refused_or_told,
    what_says_something_else_by_now_asks_again,
    a_restricted_rule_needs_another_person_here_too,
    what_broke_off_is_worked_out_anew,
    the_result_is_erased_in_time_and_with_the_simulation,
);

const NURSE: &str = r#"employments[taskCode eq "nurse" and current eq true]"#;

/// A rule that is proposed; its id.
async fn proposed(town: &Town, name: &str, filter: &str, more: Value) -> String {
    let mut body = json!({ "name": name, "filter": filter, "grants": [{ "type": "group", "value": name }] });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    id(&town.create(&town.admin(), "Rule", body).await.unwrap_or_else(|error| panic!("{name}: {error}")))
}

async fn hired(town: &Town, name: &str, task: &str, end: &str) -> String {
    let body = works(name, &[("1", task, "2026-01-01", end)]);
    town.enter(&town.hr(), body).await["id"].as_str().expect("an id").to_owned()
}

fn what_there_is(town: &Town) -> Vec<(String, i64)> {
    let tables = ["membership", "grant_", "due", "tombstone", "unique_key", "external_id", "sweep"];
    let mut counts: Vec<(String, i64)> = tables
        .iter()
        .map(|table| ((*table).to_owned(), town.register.number(&format!("SELECT COUNT(*) FROM {table}"))))
        .collect();
    for table in ["resource", "change"] {
        let query = format!("SELECT COUNT(*) FROM {table} WHERE kind <> 'Simulation'");
        counts.push((table.to_owned(), town.register.number(&query)));
    }
    counts
}

async fn it_says_what_proposed_rules_would_give_and_take(town: &Town) {
    with_groups(town, &["nurses", "old"]).await;
    let old = active(town, "old", NURSE, json!({})).await;
    let (maj, bo) = (hired(town, "maj", "nurse", "").await, hired(town, "bo", "clerk", "").await);
    let rule = proposed(town, "nurses", NURSE, json!({})).await;
    assert_eq!(groups(town, &maj).await, ["old"]);

    let before = what_there_is(town);
    let more = json!({ "activate": [{ "value": rule }], "deprecate": [{ "value": old }] });
    let (simulation, told) = simulated(town, more).await;
    assert_eq!(what_there_is(town), before, "nothing is left but the simulation");
    assert_eq!(groups(town, &maj).await, ["old"]);
    let changes = town.register.changes().await;
    assert!(changes.iter().rev().take_while(|change| change.kind == SIMULATION).count() >= 3, "those of its own alone");

    assert_eq!(told["state"], "ready", "{told}");
    let counts = &told["counts"];
    assert_eq!((&counts["users"], &counts["changed"], &counts["failed"]), (&json!(2), &json!(1), &json!(0)), "{told}");
    assert_eq!((&counts["begins"], &counts["ends"], &counts["targets"]), (&json!(1), &json!(1), &json!(2)));
    let version =
        |name: &str| told["versions"].as_array().expect("all").iter().find(|one| one["display"] == name).cloned();
    assert_eq!(version("nurses").map(|one| one["change"].clone()), Some(json!("activate")));
    assert_eq!(
        version("all").map(|one| (one["type"].clone(), one["version"].clone())),
        Some((json!("Policy"), json!(1)))
    );
    let found = items(town, &simulation).await;
    assert_eq!(found.len(), 1);
    let item = &found[0];
    assert_eq!((item.id.as_str(), item.op.as_str(), item.version), (maj.as_str(), "changed", 1));
    assert_eq!((names(&item.begins), names(&item.ends)), (vec!["nurses"], vec!["old"]));
    let reason = &item.begins[0].reasons[0];
    assert_eq!(
        (reason.kind.as_str(), reason.rule.as_deref(), reason.name.as_deref()),
        ("rule", Some(&*rule), Some("nurses"))
    );
    assert_eq!(reason.facts["employments"][0]["taskCode"], "nurse");
    assert_eq!(item.ends[0].reasons[0].rule.as_deref(), Some(&*old));
    let targets: Vec<Target> = list(town, &simulation, TARGETS).await;
    let told: Vec<_> = targets.iter().map(|one| (one.display.as_str(), one.begins, one.ends)).collect();
    assert_eq!(told.len(), 2);
    assert!(told.contains(&("nurses", 1, 0)) && told.contains(&("old", 0, 1)), "{told:?}");

    // What was said is what is done.
    decide(town, &town.admin(), &simulation).await.expect("decided");
    attend(town).await;
    let applied = document(town, &simulation).await;
    assert_eq!((&applied["state"], &applied["attempt"]), (&json!("applied"), &json!(2)), "{applied}");
    let by = rule_of(town, &rule).await;
    assert_eq!((&by["lifecycle"], &by["activatedBy"]), (&json!("active"), &json!(town.admin().caller.id.to_string())));
    assert_eq!(rule_of(town, &old).await["lifecycle"], "deprecated");
    wake(town).await;
    assert_eq!((groups(town, &maj).await, groups(town, &bo).await), (vec!["nurses".to_owned()], vec![]));
    let again = decide(town, &town.admin(), &simulation).await.expect_err("it is done");
    assert!(matches!(&again, Error::Scim(error) if error.status == 409), "{again}");
}

async fn it_looks_ahead_and_shows_who_leaves(town: &Town) {
    town.with_policy(json!({ "limboAfter": 30, "purge": true, "purgeAfter": 60 })).await;
    id(&town.create(&town.admin(), "Group", json!({ "displayName": "nurses" })).await.expect("a group"));
    active(town, "nurses", NURSE, json!({})).await;
    let maj = hired(town, "maj", "nurse", "2026-03-31").await;
    hired(town, "bo", "nurse", "").await;
    let seen = async |moment: &str| {
        let (simulation, told) = simulated(town, json!({ "asOf": moment })).await;
        assert_eq!(told["state"], "ready", "{told}");
        (items(town, &simulation).await, told["counts"].clone())
    };
    assert_eq!(seen("2026-03-01T00:00:00Z").await.0.len(), 0);
    let (found, counts) = seen("2026-04-02T00:00:00Z").await;
    assert_eq!((found.len(), &counts["disabled"]), (1, &json!(1)), "{counts}");
    assert_eq!((found[0].id.as_str(), names(&found[0].ends)), (maj.as_str(), vec!["nurses"]));
    let change = |path: &str| {
        let path = format!("{PERSON}:{path}");
        found[0].changes.iter().find(|change| change["path"] == path).cloned()
    };
    assert_eq!(change("lifecycle").expect("a change")["after"]["state"], "disabled");
    let (found, counts) = seen("2026-12-31T00:00:00Z").await;
    assert_eq!((found[0].op.as_str(), &counts["purged"], names(&found[0].ends)), ("purged", &json!(1), vec!["nurses"]));
    assert!(town.seen(&town.admin(), &maj).await.is_some());
    // And so it comes.
    town.wait_until("2026-04-02").await;
    assert_eq!(groups(town, &maj).await, [""; 0]);
    assert_eq!(town.whole(&maj).await[PERSON]["lifecycle"]["state"], "disabled");
}

async fn it_looks_only_at_those_who_fit(town: &Town) {
    with_groups(town, &["nurses"]).await;
    hired(town, "maj", "nurse", "").await;
    let bo = hired(town, "bo", "nurse", "").await;
    proposed(town, "nurses", NURSE, json!({})).await;
    let (simulation, told) = simulated(town, json!({ "filter": "userName eq \"bo\"" })).await;
    assert_eq!((&told["counts"]["users"], &told["counts"]["begins"]), (&json!(1), &json!(1)), "{told}");
    assert_eq!(items(town, &simulation).await[0].id, bo, "without a list it is about all that is proposed");
}

async fn what_cannot_be_is_refused_or_told(town: &Town) {
    with_groups(town, &["nurses"]).await;
    let live = active(town, "nurses", NURSE, json!({ "family": "care", "rank": 1 })).await;
    let rule = proposed(town, "other", NURSE, json!({ "family": "care", "rank": 1 })).await;
    for (more, said) in [
        (json!({ "activate": [{ "value": live }] }), "is not proposed"),
        (json!({ "deprecate": [{ "value": rule }] }), "is not active"),
        (json!({ "activate": [{ "value": "x" }] }), "activate[0].value"),
        (json!({ "filter": "groups.value eq \"x\"" }), "cannot decide"),
        (json!({ "filter": "wage gt 1" }), "wage"),
        (json!({ "asOf": "2020-01-01T00:00:00Z" }), "asOf has passed"),
        (json!({ "expires": "2020-01-01T00:00:00Z" }), "expires lies ahead"),
        (json!({ "decision": "apply" }), "decision comes once"),
    ] {
        let mut body = json!({ "name": "wrong" });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let error = town.create(&town.admin(), SIMULATION, body).await.expect_err("refused");
        assert!(error.to_string().contains(said), "{more}: {error}");
    }
    let (simulation, told) = simulated(town, json!({ "activate": [{ "value": rule }] })).await;
    assert_eq!(told["state"], "failed");
    assert!(told["reason"].as_str().is_some_and(|reason| reason.contains("rank")), "{told}");
    let error = decide(town, &town.admin(), &simulation).await.expect_err("there is no result");
    assert!(matches!(&error, Error::Scim(error) if error.status == 409), "{error}");
}

async fn what_says_something_else_by_now_asks_again(town: &Town) {
    with_groups(town, &["nurses"]).await;
    let maj = hired(town, "maj", "nurse", "").await;
    let bo = hired(town, "bo", "nurse", "").await;
    let rule = proposed(town, "nurses", NURSE, json!({})).await;
    let (simulation, _) = simulated(town, json!({ "activate": [{ "value": rule }] })).await;
    town.sleep_until("2026-01-06T08:00:00Z");
    let eva = hired(town, "eva", "nurse", "").await;
    town.replace(&town.hr(), &bo, works("bo", &[("1", "clerk", "2026-01-01", "")])).await.expect("taken");
    decide(town, &town.admin(), &simulation).await.expect("decided");
    attend(town).await;
    let told = document(town, &simulation).await;
    assert_eq!((&told["state"], told.get("decision")), (&json!("changed"), None), "{told}");
    assert_eq!(told["difference"], json!({ "appeared": 1, "gone": 1, "other": 0 }));
    let found: Vec<Difference> = list(town, &simulation, DIFFERENCES).await;
    let shown: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.was.is_some(), one.is.is_some())).collect();
    assert_eq!(shown, [(bo.as_str(), true, false), (eva.as_str(), false, true)]);
    let now: Vec<String> = items(town, &simulation).await.into_iter().map(|item| item.id).collect();
    assert_eq!(now, [maj.clone(), eva.clone()], "the result is the new one");
    assert_eq!(groups(town, &maj).await, [""; 0]);
    assert_eq!(rule_of(town, &rule).await.get("lifecycle"), None);

    // A day later it says the same, and the rule is another.
    town.sleep_until("2026-01-07T08:00:00Z");
    let change = json!([{ "op": "replace", "path": "description", "value": "For the wards." }]);
    town.patch(&town.admin(), "Rule", &rule, change).await.expect("changed");
    decide(town, &town.admin(), &simulation).await.expect("decided");
    attend(town).await;
    let told = document(town, &simulation).await;
    assert_eq!(told["difference"], json!({ "appeared": 0, "gone": 0, "other": 0, "rules": true }), "{told}");
    decide(town, &town.admin(), &simulation).await.expect("decided");
    attend(town).await;
    let told = document(town, &simulation).await;
    assert_eq!((&told["state"], &told["attempt"]), (&json!("applied"), &json!(4)), "{told}");
    wake(town).await;
    assert_eq!((groups(town, &maj).await, groups(town, &bo).await), (vec!["nurses".to_owned()], vec![]));
}

async fn a_restricted_rule_needs_another_person_here_too(town: &Town) {
    with_groups(town, &["records"]).await;
    let maj = hired(town, "maj", "nurse", "").await;
    let rule = proposed(town, "records", NURSE, json!({ "restricted": true })).await;
    let (simulation, _) = simulated(town, json!({})).await;
    let denied = decide(town, &town.admin(), &simulation).await.expect_err("the one who wrote it");
    assert!(matches!(&denied, Error::Denied(told) if told.contains("another person")), "{denied}");
    let other = town.with_scopes("second", "admin");
    decide(town, &other, &simulation).await.expect("decided");
    attend(town).await;
    assert_eq!(document(town, &simulation).await["state"], "applied");
    assert_eq!(rule_of(town, &rule).await["activatedBy"], json!(other.caller.id.to_string()));
    wake(town).await;
    assert_eq!(groups(town, &maj).await, ["records"]);
}

async fn what_broke_off_is_worked_out_anew(town: &Town) {
    with_groups(town, &["nurses"]).await;
    for n in 0..450 {
        hired(town, &format!("n{n:03}"), "nurse", "").await;
    }
    let rule = proposed(town, "nurses", NURSE, json!({})).await;
    let made = town.create(&town.admin(), SIMULATION, json!({ "name": "big" })).await.expect("made");
    let simulation = id(&made);
    // Whoever works at it goes away after the first slice.
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let now = town.now();
    let watch = std::sync::Arc::new(move |done: u64, total: u64| {
        let _ = sender.send((done, total));
    });
    let clock = std::sync::Arc::new(move || now);
    let directory = town.register.directory.clone();
    let one = matrikel::directory::simulations::Simulator::new(directory, &store::Random::os(), clock, watch);
    let (one, tenant) = (one.expect("a simulator"), town.register.tenant);
    let working = tokio::spawn(async move { one.attend(tenant).await });
    assert_eq!(told.recv().await, Some((200, 450)));
    working.abort();
    assert!(working.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(document(town, &simulation).await["state"], "running");
    assert!(!super::simulator(town).attend(tenant).await.expect("asked"), "its lease has not ended");
    town.sleep_until("2026-01-05T08:03:00Z");
    attend(town).await;
    let told = document(town, &simulation).await;
    assert_eq!((&told["state"], &told["counts"]["begins"]), (&json!("ready"), &json!(450)), "{told}");
    assert_eq!(items(town, &simulation).await.len(), 450);
    decide(town, &town.admin(), &simulation).await.expect("decided");
    attend(town).await;
    assert_eq!(rule_of(town, &rule).await["lifecycle"], "active");
}

async fn the_result_is_erased_in_time_and_with_the_simulation(town: &Town) {
    with_groups(town, &["nurses"]).await;
    hired(town, "maj", "nurse", "").await;
    proposed(town, "nurses", NURSE, json!({})).await;
    let (simulation, told) = simulated(town, json!({})).await;
    assert_eq!(told["expires"].as_str().map(at), Some(at("2026-02-04T08:00:00Z")));
    assert_eq!(items(town, &simulation).await.len(), 1);
    let (other, _) = simulated(town, json!({ "expires": "2026-03-01T00:00:00Z" })).await;
    town.sleep_until("2026-02-04T08:00:01Z");
    attend(town).await;
    assert_eq!(document(town, &simulation).await["state"], "expired");
    assert_eq!(items(town, &simulation).await.len(), 0);
    decide(town, &town.admin(), &simulation).await.expect_err("there is nothing to decide on");
    assert!(town.register.number("SELECT COUNT(*) FROM run_item") > 0, "those of the other one");
    town.delete(&town.admin(), SIMULATION, &other).await.expect("deleted");
    assert_eq!(town.register.number("SELECT COUNT(*) FROM run_item"), 0);
}
