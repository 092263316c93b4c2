//! Whatever happens, in whatever order: no more are assigned than permitted, what is counted is what is there, whoever holds
//! the right has a seat, nobody waits beside one that is free, and looking at everybody afresh changes nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::pool::{assignments, check, counts, entered, gives, has, permit, search, with_pool};
use crate::lifecycle::town::{PERSON, Town};
use crate::rules::grants::wake;
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    after_any_days_the_seats_are_those_of_the_rules_and_never_too_many,
);

const PEOPLE: usize = 6;

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    /// Somebody works as that, from and until so many days from now.
    Works(usize, bool, i64, i64),
    /// Somebody goes on leave, from and until so many days from now.
    Leave(usize, i64, i64),
    /// So many days pass.
    Pass(i64),
    /// The account is deleted and made anew.
    Anew(usize),
    /// A target system confirms what is to be confirmed.
    Confirm,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..PEOPLE, any::<bool>(), -20_i64..20, 0_i64..40).prop_map(|(who, is, from, days)| Event::Works(who, is, from, from + days)),
        1 => (0..PEOPLE, -5_i64..10, 1_i64..20).prop_map(|(who, from, days)| Event::Leave(who, from, from + days)),
        3 => (1_i64..20).prop_map(Event::Pass),
        1 => (0..PEOPLE).prop_map(Event::Anew),
        1 => Just(Event::Confirm),
    ]
}

fn day(town: &Town, offset: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(town.now()).expect("a moment");
    let day = at.to_zoned(jiff::tz::TimeZone::get("Europe/Helsinki").expect("a zone")).date();
    day.saturating_add(jiff::Span::new().days(offset)).to_string()
}

async fn after_any_days_the_seats_are_those_of_the_rules_and_never_too_many(town: &Town) {
    let suite = with_pool(town, 3, json!({ "leaveDays": 3, "confirmation": true })).await;
    gives(town, "nurses", r#"employments[taskCode eq "nurse" and current eq true]"#, json!({})).await;
    gives(town, "heads", r#"employments[taskCode eq "nurse" and title eq "head"]"#, json!({ "priority": 3 })).await;
    let mut runner = TestRunner::new(Config::default());
    let mut people = Vec::new();
    for who in 0..PEOPLE {
        people.push(entered(town, body(town, who, false, -40, 400, None)).await);
    }
    for round in 0..4 {
        let events = prop::collection::vec(event(), 14).new_tree(&mut runner).expect("a tree").current();
        for event in &events {
            match event {
                Event::Works(who, is, from, to) => {
                    let body = body(town, *who, *is, *from, *to, None);
                    let _ = town.replace(&town.hr(), &people[*who], body).await;
                }
                Event::Leave(who, from, to) => {
                    let body = body(town, *who, true, -30, 60, Some((*from, *to)));
                    let _ = town.replace(&town.hr(), &people[*who], body).await;
                }
                Event::Pass(days) => drop(town.wait_until(&day(town, *days)).await),
                Event::Anew(who) => {
                    let _ = town.delete(&town.admin(), "User", &people[*who]).await;
                    people[*who] = entered(town, body(town, *who, true, -3, 30, None)).await;
                }
                Event::Confirm => {
                    for one in assignments(town, "state eq \"reclaimPending\"").await {
                        town.delete(&town.admin(), "Assignment", one["id"].as_str().expect("an id"))
                            .await
                            .expect("confirmed");
                    }
                }
            }
            assert!(counts(town, &suite).await[0] <= 3, "never too many: {event:?} of {events:?}");
        }
        wake(town).await;
        let story = format!("round {round}: {events:?}");
        sound(town, &suite, &story).await;
        // Looked at afresh nobody is another.
        let before = everything(town).await;
        let touch = json!([{ "op": "replace", "path": "notWith", "value": [] }, { "op": "replace", "path": "after", "value": 0 }]);
        let rules = search(town, "Rule", &[]).await;
        let rule = rules["Resources"][0]["id"].as_str().expect("an id");
        let _ = town.patch(&town.admin(), "Rule", rule, touch).await;
        permit(town, &suite, 3).await;
        assert_eq!(everything(town).await, before, "{story}");
        check(town).await;
    }
}

fn body(town: &Town, who: usize, is_nurse: bool, from: i64, to: i64, leave: Option<(i64, i64)>) -> Value {
    let task = if is_nurse { "nurse" } else { "clerk" };
    let title = if who == 0 { "head" } else { "nurse" };
    let mut body = json!({ "userName": format!("u{who}"), PERSON: { "employments": [
        { "employmentId": "1", "type": "permanent", "taskCode": task, "title": title, "start": day(town, from), "end": day(town, to) }
    ] } });
    if let Some((from, to)) = leave {
        body[PERSON]["leaves"] =
            json!([{ "employmentId": "1", "type": "study", "from": day(town, from), "to": day(town, to) }]);
    }
    body
}

/// Every seat: of whom, which, and whether it rests.
async fn everything(town: &Town) -> BTreeMap<String, String> {
    let all = assignments(town, "user pr").await;
    all.iter().map(|one| (one["user"]["value"].to_string(), format!("{} {}", one["state"], one["resting"]))).collect()
}

async fn sound(town: &Town, suite: &str, story: &str) {
    let seats = assignments(town, "user pr").await;
    let of = |state: &str| i64::try_from(seats.iter().filter(|one| one["state"] == state).count()).expect("few");
    let [used, reserved, reclaiming, waiting, over] = counts(town, suite).await;
    let found = [
        of("assigned") + of("reserved") + of("reclaimPending"),
        of("reserved"),
        of("reclaimPending"),
        of("waiting"),
        0,
    ];
    assert_eq!([used, reserved, reclaiming, waiting, over], found, "{story}");
    assert!(used == 3 || waiting == 0, "nobody waits beside a free seat: {story}");
    let users = search(town, "User", &[("count", "100")]).await;
    for user in users["Resources"].as_array().expect("users") {
        let id = user["id"].as_str().expect("an id");
        let seat = seats.iter().find(|one| one["user"]["value"] == id && one["state"] == "assigned");
        assert_eq!(!has(town, id).await.is_empty(), seat.is_some(), "{id} in {story}");
    }
}
