//! Whatever happens in whatever order, the accounts are what somebody would come to who looked at all of it afresh.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use provisioning::calendar::{Calendar, plus};
use provisioning::facts::Facts;
use provisioning::lifecycle::{Offsets, Standing, Terms, judge};
use serde_json::{Value, json};

use super::town::{PERSON, Town, at, person};
use crate::support::both::on_both_databases;

on_both_databases!(Town: step_by_step_comes_to_what_afresh_comes_to);

const PEOPLE: usize = 3;

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    /// Somebody has these employments and leaves from now on: type, first day and length.
    Written(usize, Vec<(usize, i64, Option<i64>)>, Option<(i64, i64, bool)>),
    /// So many hours pass. The scheduler looks in the end, or all the time.
    Wait(i64, bool),
    /// HR says whether somebody is active.
    Active(usize, bool),
    /// HR deletes somebody, or enters somebody anew.
    Gone(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let employment = (0_usize..3, -40_i64..120, prop::option::of(0_i64..90));
    let leave = prop::option::of((-20_i64..60, 0_i64..40, any::<bool>()));
    prop_oneof![
        3 => (0..PEOPLE, prop::collection::vec(employment, 1..4), leave)
            .prop_map(|(who, employments, leave)| Event::Written(who, employments, leave)),
        4 => (1_i64..1_500, any::<bool>()).prop_map(|(hours, all)| Event::Wait(hours, all)),
        1 => (0..PEOPLE, any::<bool>()).prop_map(|(who, is)| Event::Active(who, is)),
        1 => (0..PEOPLE).prop_map(Event::Gone),
    ]
}

async fn step_by_step_comes_to_what_afresh_comes_to(town: &Town) {
    town.with_policy(json!({ "kinds": [{ "type": "substitute", "bridgeDays": 10, "limboAfter": 5 }] })).await;
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for round in 0..12 {
        let events = prop::collection::vec(event(), 12).new_tree(&mut runner).expect("events").current();
        play(town, round, &events).await;
    }
}

async fn play(town: &Town, round: usize, events: &[Event]) {
    let name = |who: usize| format!("p{round}-{who}");
    let mut ids = Vec::new();
    for who in 0..PEOPLE {
        let entered = town.enter(&town.hr(), person(&name(who), &[("0", "permanent", "2026-02-01", "")])).await;
        ids.push(entered["id"].as_str().expect("an id").to_owned());
    }
    for event in events {
        let today = terms().calendar.day_of(town.now());
        match event {
            Event::Written(who, employments, leave) => {
                if town.seen(&town.hr(), &ids[*who]).await.is_none() {
                    continue;
                }
                let mut body = person(&name(*who), &[]);
                let kinds = ["permanent", "substitute", "fixedTerm"];
                let employments = employments.iter().enumerate().map(|(n, (kind, from, length))| {
                    let from = plus(today, *from);
                    let mut one = json!({
                        "employmentId": n.to_string(), "type": kinds[*kind], "start": from.to_string()
                    });
                    if let Some(length) = length {
                        one["end"] = json!(plus(from, *length).to_string());
                    }
                    one
                });
                body[PERSON]["employments"] = employments.collect();
                if let Some((from, length, keeps)) = leave {
                    let from = plus(today, *from);
                    body[PERSON]["leaves"] = json!([{
                        "employmentId": "0", "from": from.to_string(), "to": plus(from, *length).to_string(),
                        "keepAccess": keeps,
                    }]);
                }
                town.replace(&town.hr(), &ids[*who], body).await.expect("taken");
            }
            Event::Wait(hours, all) => {
                let until = jiff::Timestamp::from_microsecond(town.now() + hours * 3_600_000_000).expect("an instant");
                match all {
                    true => town.wait_until(&until.to_string()).await,
                    false => town.wake_at(&until.to_string()).await,
                };
            }
            Event::Active(who, is) => {
                let operation = json!([{ "op": "replace", "path": "active", "value": is }]);
                // Who has deleted somebody is told that there is nobody.
                let _ = town.patch(&town.hr(), "User", &ids[*who], operation).await;
            }
            Event::Gone(who) => match town.seen(&town.hr(), &ids[*who]).await {
                Some(_) => town.delete(&town.hr(), "User", &ids[*who]).await.expect("withdrawn"),
                None => {
                    let employments = [("0", "permanent", "2026-02-01", "")];
                    let back = town.enter(&town.hr(), person(&name(*who), &employments)).await;
                    assert_eq!(back["id"], *ids[*who]);
                }
            },
        }
        for id in &ids {
            compare(town, &town.stored(id).await, events);
        }
    }
    let tenant = town.register.tenant;
    let found = town.register.directory.store().read(move |reader| reader.verify(tenant)).await.expect("looked");
    assert_eq!(found, []);
}

fn terms() -> Terms {
    let substitute = Offsets { bridge: 10, limbo_after: 5, ..Offsets::default() };
    let calendar = Calendar::of("Europe/Helsinki").expect("a zone");
    Terms { calendar, kinds: vec![("substitute".into(), substitute)], ..Terms::default() }
}

/// What lies there is what follows from the facts, what its sources have said, and the moment.
fn compare(town: &Town, user: &Value, events: &[Event]) {
    let sources = user[PERSON]["sources"].as_array().cloned().unwrap_or_default();
    let standing = Standing {
        withdrawn: sources.iter().filter_map(|source| source["withdrawn"].as_str()).map(at).max(),
        is_blocked: sources.iter().any(|source| source.get("blocked").is_some()),
        ..Standing::default()
    };
    let facts = Facts::of(user.as_object().expect("an object"));
    let verdict = judge(&terms(), &facts, standing, town.now());
    let lifecycle = &user[PERSON]["lifecycle"];
    // What came after its sources withdrew it decides nothing any more.
    let until = standing.withdrawn.map_or(town.now(), |withdrawn| withdrawn.min(town.now()));
    let day = terms().calendar.day_of(until);
    if facts.employments.iter().all(|employment| day < employment.period.from) && lifecycle["state"] != "planned" {
        // A start that was moved away under somebody who was there: that somebody was is not in the facts.
        let known = ["staged", "disabled", "limbo"];
        assert!(known.contains(&lifecycle["state"].as_str().expect("a state")), "{user} {events:?}");
        assert_eq!(user["active"], false, "{user}");
        return;
    }
    assert_eq!(lifecycle["state"], verdict.state.as_str(), "{user} {events:?}");
    assert_eq!(user["active"], verdict.state.is_active(), "{user}");
    assert_eq!(lifecycle["next"].as_str().map(at), verdict.next.map(|(_, at)| at), "{user} {events:?}");
}
