//! Days of a life, to the second: each moment is an entry of what happened, a day of work begins and ends at midnight of the zone
//! whatever the clocks do, what goes makes way before what comes, and what was held is told for every second of a day.

use std::collections::BTreeSet;

use provisioning::calendar::instant;
use serde_json::{Value, json};

use super::town::{PERSON, Town, at, person};
use crate::rules::grants::{active, groups, why, with_groups, works};
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    every_moment_of_a_life_is_an_entry_at_its_moment,
    days_on_which_the_clocks_change_are_days_of_work,
    what_goes_makes_way_before_what_comes_and_what_stays_is_not_touched,
    what_was_held_is_told_for_every_second_of_a_day,
    an_end_that_is_told_late_acts_once_and_both_times_are_kept,
);

const NURSE: &str = r#"employments[taskCode eq "nurse" and current eq true]"#;
const CLERK: &str = r#"employments[taskCode eq "clerk" and current eq true]"#;

fn id_of(user: &Value) -> String {
    user["id"].as_str().expect("an id").to_owned()
}

fn told(moment: i64) -> String {
    instant(moment).expect("an instant")
}

/// The second in which something happened: no two changes have the same instant, so those of one write are some µs apart.
fn second(instant: i64) -> i64 {
    instant - instant % 1_000_000
}

async fn every_moment_of_a_life_is_an_entry_at_its_moment(town: &Town) {
    town.with_policy(json!({ "purge": true, "purgeAfter": 60 })).await;
    let id = id_of(&town.enter(&town.hr(), person("maj", &[("1", "permanent", "2026-03-02", "2026-03-31")])).await);
    // A purge erases what the entries say, so that is read while it is there.
    town.wait_until("2026-06-29").await;
    let said = town.register.changes().await;
    town.wait_until("2026-12-31").await;
    let mut entries = Vec::new();
    for change in town.register.changes().await.iter().filter(|change| change.resource.to_string() == id) {
        let doc = said.iter().find(|said| said.seq == change.seq).and_then(|said| said.doc.as_deref());
        let doc: Value = doc.map_or(Value::Null, |doc| serde_json::from_str(doc).expect("JSON"));
        let state = doc[PERSON]["lifecycle"]["state"].as_str().unwrap_or("purged").to_owned();
        entries.push((state, change.at, change.cause.clone()));
    }
    // Fourteen days before, the first day, seven before the last, the day after it, and so many days after that.
    let days = [
        ("staged", "2026-02-16"),
        ("active", "2026-03-02"),
        ("ending", "2026-03-24"),
        ("disabled", "2026-04-01"),
        ("limbo", "2026-05-01"),
        ("purged", "2026-06-30"),
    ];
    let expected: Vec<_> = days.iter().map(|(state, day)| ((*state).to_owned(), at(day), "due".to_owned())).collect();
    assert_eq!(entries[0].0, "planned");
    for (entry, wanted) in entries[1..].iter().zip(&expected) {
        assert_eq!((&entry.0, told(entry.1), &entry.2), (&wanted.0, told(wanted.1), &wanted.2));
    }
    assert_eq!(entries.len(), expected.len() + 1, "and nothing else: {entries:?}");
    // Each is a version of its own, so whoever asks what has changed since is told of it.
    let changes = town.register.changes().await;
    let versions: Vec<i64> =
        changes.iter().filter(|change| change.resource.to_string() == id).map(|change| change.version).collect();
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
}

async fn days_on_which_the_clocks_change_are_days_of_work(town: &Town) {
    with_groups(town, &["nurses"]).await;
    active(town, "nurses", NURSE, json!({})).await;
    // In Helsinki the one day has 23 hours, the other 25.
    for (name, day, begins, ends) in [
        ("spring", "2026-03-29", "2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"),
        ("autumn", "2026-10-25", "2026-10-24T21:00:00Z", "2026-10-25T22:00:00Z"),
    ] {
        let id = id_of(&town.enter(&town.hr(), works(name, &[("1", "nurse", day, day)])).await);
        let second = |moment: &str, by: i64| told(at(moment) + by * 1_000_000);
        for (moment, is_active) in
            [(second(begins, -1), false), (begins.to_owned(), true), (second(ends, -1), true), (ends.to_owned(), false)]
        {
            town.wait_until(&moment).await;
            let user = town.whole(&id).await;
            assert_eq!(user["active"], is_active, "{moment}: {user}");
            assert_eq!(user[PERSON]["employments"][0]["current"] == json!(true), is_active, "{moment}: {user}");
            assert_eq!(groups(town, &id).await.len(), usize::from(is_active), "{moment}");
        }
        // What was held is told by the second, too: the day after, of that day.
        town.wait_until(&second(ends, 86_400)).await;
        for (moment, held) in
            [(second(begins, -1), false), (begins.to_owned(), true), (second(ends, -1), true), (ends.to_owned(), false)]
        {
            let said = why(town, &town.admin(), &id, Some("nurses"), Some(at(&moment))).await.expect("an answer");
            assert_eq!(said["rights"][0]["held"], held, "{moment}: {said}");
        }
    }
}

async fn what_goes_makes_way_before_what_comes_and_what_stays_is_not_touched(town: &Town) {
    let ids = with_groups(town, &["nurses", "clerks", "staff"]).await;
    active(town, "nurses", NURSE, json!({})).await;
    active(town, "clerks", CLERK, json!({})).await;
    active(town, "staff", "employments[current eq true]", json!({})).await;
    let jobs = [("1", "nurse", "2026-01-01", "2026-03-31"), ("2", "clerk", "2026-04-01", "")];
    let id = id_of(&town.enter(&town.hr(), works("maj", &jobs)).await);
    assert_eq!(groups(town, &id).await, ["nurses", "staff"]);
    let before = town.register.changes().await.len();
    town.wait_until("2026-04-02").await;
    assert_eq!(groups(town, &id).await, ["clerks", "staff"]);
    let changes = town.register.changes().await.split_off(before);
    let mut moves = Vec::new();
    for change in &changes {
        assert_eq!(second(change.at), at("2026-04-01"), "{} at {}", change.kind, told(change.at));
        if let Some(doc) = change.doc.as_deref().filter(|_| change.kind == "User") {
            let doc: Value = serde_json::from_str(doc).expect("JSON");
            assert_eq!(doc["active"], true, "contracts without a gap disable nobody");
        }
        let group = ids.iter().position(|id| change.resource.to_string() == *id);
        moves.extend(group.into_iter().flat_map(|group| change.members.iter().map(move |delta| (group, delta.joined))));
    }
    assert_eq!(moves, [(0, false), (1, true)], "first out of the one, then into the other; staff is not touched");
    let txns: BTreeSet<_> = changes.iter().map(|change| change.txn).collect();
    assert_eq!(txns.len(), 1, "nobody sees the one without the other");
}

async fn what_was_held_is_told_for_every_second_of_a_day(town: &Town) {
    with_groups(town, &["nurses", "clerks"]).await;
    active(town, "nurses", NURSE, json!({})).await;
    active(town, "clerks", CLERK, json!({})).await;
    // At noon HR says that the task is another.
    let id = id_of(&town.enter(&town.hr(), works("maj", &[("1", "nurse", "2026-01-01", "")])).await);
    town.wait_until("2026-05-05T09:30:15Z").await;
    town.replace(&town.hr(), &id, works("maj", &[("1", "clerk", "2026-01-01", "")])).await.expect("taken");
    // In the afternoon somebody blocks her, and lifts it in the evening.
    town.wait_until("2026-05-05T13:00:00Z").await;
    let block = json!([{ "op": "add", "path": format!("{PERSON}:block"), "value": { "reason": "lost phone" } }]);
    town.patch(&town.admin(), "User", &id, block).await.expect("blocked");
    town.wait_until("2026-05-05T18:45:00Z").await;
    let lift = json!([{ "op": "remove", "path": format!("{PERSON}:block") }]);
    town.patch(&town.admin(), "User", &id, lift).await.expect("lifted");
    town.wait_until("2026-05-20").await;
    let held = async |moment: &str| {
        let said = why(town, &town.admin(), &id, None, Some(at(moment))).await.expect("an answer");
        let rights = said["rights"].as_array().expect("rights").iter().filter(|right| right["held"] == true);
        rights.map(|right| right["target"]["display"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    for (moment, expected) in [
        ("2026-05-04T21:00:00Z", &["nurses"][..]),
        ("2026-05-05T09:30:14.999999Z", &["nurses"]),
        ("2026-05-05T09:30:15Z", &["clerks"]),
        ("2026-05-05T12:59:59.999999Z", &["clerks"]),
        ("2026-05-05T13:00:00Z", &[]),
        ("2026-05-05T18:44:59.999999Z", &[]),
        ("2026-05-05T18:45:00Z", &["clerks"]),
        ("2026-05-05T20:59:59.999999Z", &["clerks"]),
    ] {
        assert_eq!(held(moment).await, expected, "{moment}");
    }
}

async fn an_end_that_is_told_late_acts_once_and_both_times_are_kept(town: &Town) {
    with_groups(town, &["nurses", "staff"]).await;
    active(town, "nurses", NURSE, json!({})).await;
    active(town, "staff", "employments[current eq true]", json!({})).await;
    let id = id_of(&town.enter(&town.hr(), works("maj", &[("1", "nurse", "2026-01-01", "")])).await);
    town.wait_until("2026-05-20T10:00:00Z").await;
    let before = town.register.changes().await.len();
    town.replace(&town.hr(), &id, works("maj", &[("1", "nurse", "2026-01-01", "2026-05-03")])).await.expect("taken");
    let changes = town.register.changes().await.split_off(before);
    let now = at("2026-05-20T10:00:00Z");
    assert!(changes.iter().all(|change| second(change.at) == now), "now, and not then");
    assert_eq!(changes.iter().filter(|change| change.kind == "User").count(), 1, "as one change");
    assert_eq!(changes.iter().map(|change| change.txn).collect::<BTreeSet<_>>().len(), 1);
    // Nothing is done about it once more.
    town.wait_until("2026-06-02").await;
    let (tenant, user) = (town.register.tenant, id.parse().expect("an id"));
    let rows = town.register.directory.store().read(move |reader| reader.grants_of(tenant, user)).await.expect("read");
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row.until.map(told), Some(told(at("2026-05-20T10:00:00Z"))), "actually held");
        assert_eq!(row.ground_until.map(told), Some(told(at("2026-05-04"))), "what the dates of HR say");
    }
    // An auditor sees both, and that it was held without ground from midnight of the last day on.
    for (moment, is_without) in
        [("2026-05-03T20:59:59Z", false), ("2026-05-03T21:00:00Z", true), ("2026-05-20T09:59:59Z", true)]
    {
        let said = why(town, &town.admin(), &id, Some("nurses"), Some(at(moment))).await.expect("an answer");
        let ground = &said["rights"][0]["grounds"][0];
        assert_eq!(ground.get("withoutGround").is_some(), is_without, "{moment}: {said}");
        assert_eq!(ground["groundUntil"].as_str().map(at), Some(at("2026-05-04")), "{said}");
        assert_eq!(ground["until"].as_str().map(at), Some(at("2026-05-20T10:00:00Z")), "{said}");
    }
}
