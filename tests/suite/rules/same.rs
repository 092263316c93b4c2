//! Whatever happens in whatever order: what is held is what the rules say afresh, nothing is held without a living ground,
//! and looking at everybody once more changes nothing.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use provisioning::calendar::{Calendar, instant, plus};
use serde_json::{Value, json};

use super::grants::{groups, wake, why, with_groups};
use crate::lifecycle::town::{PERSON, Town};
use crate::support::both::on_both_databases;
use crate::support::register::id;

on_both_databases!(Town: what_is_held_step_by_step_is_what_the_rules_say_afresh);

const PEOPLE: usize = 3;
const GROUPS: [&str; 3] = ["g0", "g1", "g2"];
const TASKS: [&str; 3] = ["nurse", "clerk", "rector"];
const FILTERS: [&str; 4] = [
    r#"employments[taskCode eq "nurse" and current eq true]"#,
    r#"employments[taskCode eq "clerk"]"#,
    r#"employments[start pr] and not (employments[taskCode eq "nurse"])"#,
    r#"userType eq "guest""#,
];

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    /// Somebody has these employments from now on: task, first day, length; a leave; whether it is a guest.
    Written(usize, Vec<(usize, i64, Option<i64>)>, Option<(i64, i64)>, bool),
    /// A rule says something else from now on: filter, group, days before and after, stage, what it must not meet.
    Ruled(usize, usize, usize, (i64, i64), bool, bool),
    /// Somebody is taken out of a rule, or put into it.
    Excepted(usize, usize, bool),
    /// Somebody is put into a group by hand.
    Put(usize, usize),
    /// So many hours pass. The scheduler looks in the end, or all the time.
    Wait(i64, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let employment = (0..TASKS.len(), -40_i64..90, prop::option::of(0_i64..60));
    let leave = prop::option::of((-10_i64..40, 0_i64..20));
    let people = 0..PEOPLE;
    let rules = 0..FILTERS.len();
    prop_oneof![
        3 => (people.clone(), prop::collection::vec(employment, 0..3), leave, any::<bool>())
            .prop_map(|(who, employments, leave, guest)| Event::Written(who, employments, leave, guest)),
        3 => (rules.clone(), rules.clone(), 0..GROUPS.len(), (0_i64..10, 0_i64..20), any::<bool>(), any::<bool>())
            .prop_map(|(rule, filter, group, days, on, meets)| Event::Ruled(rule, filter, group, days, on, meets)),
        1 => (rules, people.clone(), any::<bool>()).prop_map(|(rule, who, out)| Event::Excepted(rule, who, out)),
        1 => (people, 0..GROUPS.len()).prop_map(|(who, group)| Event::Put(who, group)),
        4 => (1_i64..900, any::<bool>()).prop_map(|(hours, all)| Event::Wait(hours, all)),
    ]
}

fn day(town: &Town, offset: i64) -> String {
    let calendar = Calendar::of("Europe/Helsinki").expect("a zone");
    plus(calendar.day_of(town.now()), offset).to_string()
}

fn body(town: &Town, who: usize, event: &Event) -> Value {
    let Event::Written(_, employments, leave, guest) = event else { panic!("no one is written") };
    let list: Vec<Value> = employments
        .iter()
        .enumerate()
        .map(|(n, (task, start, length))| {
            let mut one = json!({ "employmentId": format!("{n}"), "type": "permanent", "taskCode": TASKS[*task], "start": day(town, *start) });
            if let Some(length) = length {
                one["end"] = json!(day(town, start + length));
            }
            one
        })
        .collect();
    let mut person = json!({ "employments": list });
    if let (Some((from, length)), false) = (leave, employments.is_empty()) {
        person["leaves"] = json!([{ "employmentId": "0", "from": day(town, *from), "to": day(town, from + length) }]);
    }
    let kind = if *guest { "guest" } else { "staff" };
    json!({ "userName": format!("p{who}"), "externalId": format!("p{who}"), "userType": kind, PERSON: person })
}

async fn what_is_held_step_by_step_is_what_the_rules_say_afresh(town: &Town) {
    let ids = with_groups(town, &GROUPS).await;
    let mut people = Vec::new();
    for who in 0..PEOPLE {
        let none = Event::Written(who, vec![(0, -5, None)], None, false);
        people.push(town.enter(&town.hr(), body(town, who, &none)).await["id"].as_str().expect("an id").to_owned());
    }
    let mut rules = Vec::new();
    for (n, filter) in FILTERS.iter().enumerate() {
        let grants = json!([{ "type": "group", "value": GROUPS[n % GROUPS.len()] }]);
        let rule = json!({ "name": format!("r{n}"), "lifecycle": "active", "filter": filter, "grants": grants });
        rules.push(id(&town.create(&town.admin(), "Rule", rule).await.expect("a rule")));
    }
    wake(town).await;
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let events = prop::collection::vec(event(), 60).new_tree(&mut runner).expect("events").current();
    for (n, event) in events.iter().enumerate() {
        happen(town, event, &people, &rules, &ids).await;
        let story = || format!("after {:?}", &events[..=n]);
        for user in &people {
            check(town, user, &story).await;
        }
    }
    // Everybody is looked at once more.
    let touch = json!([{ "op": "replace", "path": "priority", "value": 7 }]);
    town.patch(&town.admin(), "Rule", &rules[0], touch).await.expect("taken");
    let before = town.register.changes().await.len();
    let done = town.wake_at(&instant(town.now()).expect("a moment")).await;
    assert_eq!((done.changed, town.register.changes().await.len()), (0, before), "after {events:?}");
}

async fn happen(town: &Town, event: &Event, people: &[String], rules: &[String], groups: &[String]) {
    match event {
        Event::Written(who, ..) => {
            town.replace(&town.hr(), &people[*who], body(town, *who, event)).await.expect("taken");
        }
        Event::Ruled(rule, filter, group, (before, after), on, meets) => {
            let other = (rule + 1) % rules.len();
            let change = json!([
                { "op": "replace", "path": "filter", "value": FILTERS[*filter] },
                { "op": "replace", "path": "grants", "value": [{ "type": "group", "value": GROUPS[*group] }] },
                { "op": "replace", "path": "before", "value": before },
                { "op": "replace", "path": "after", "value": after },
                { "op": "replace", "path": "lifecycle", "value": if *on { "active" } else { "deprecated" } },
                { "op": "replace", "path": "notWith", "value": if *meets { json!([format!("r{other}")]) } else { json!([]) } },
            ]);
            town.patch(&town.admin(), "Rule", &rules[*rule], change).await.expect("taken");
            wake(town).await;
        }
        Event::Excepted(rule, who, out) => {
            let (put, take) = if *out { ("exclude", "include") } else { ("include", "exclude") };
            let until = day(town, 20);
            let said = json!([{ "value": people[*who], "reason": "by chance", "until": until }]);
            let change = json!([{ "op": "replace", "path": take, "value": [] }, { "op": "replace", "path": put, "value": said }]);
            town.patch(&town.admin(), "Rule", &rules[*rule], change).await.expect("taken");
            wake(town).await;
        }
        Event::Put(who, group) => {
            let add = json!([{ "op": "add", "path": "members", "value": [{ "value": people[*who] }] }]);
            town.patch(&town.admin(), "Group", &groups[*group], add).await.expect("taken");
            wake(town).await;
        }
        Event::Wait(hours, all) => {
            let moment = instant(town.now() + hours * 3_600_000_000).expect("a moment");
            match all {
                true => town.wait_until(&moment).await,
                false => town.wake_at(&moment).await,
            };
        }
    }
}

/// What somebody holds is what the rules say, and every right by rule has a ground that holds.
pub(crate) async fn check(town: &Town, user: &str, story: &impl Fn() -> String) {
    let told = why(town, &town.admin(), user, None, None).await.expect("an answer");
    let mut held = BTreeSet::new();
    for right in told["rights"].as_array().expect("rights") {
        let name = right["target"]["display"].as_str().expect("a name");
        if right["held"] == true {
            held.insert(name.to_owned());
        }
        for ground in right["grounds"].as_array().expect("grounds") {
            // What the rules say holds is held since some moment, and nothing else is.
            let is_by_rule = ground["kind"] == "rule" || ground.get("rule").is_some();
            let holds = ground["standing"] == "held";
            assert!(!is_by_rule || holds == ground["since"].is_string(), "{name}: {ground} {}", story());
        }
    }
    let rows = why(town, &town.admin(), user, None, Some(town.now())).await.expect("an answer");
    for right in rows["rights"].as_array().expect("rights") {
        let name = right["target"]["display"].as_str().expect("a name");
        assert!(held.contains(name), "{name} has a row and no ground {}: {right}", story());
    }
    let member: BTreeSet<String> = groups(town, user).await.into_iter().collect();
    let known: BTreeSet<String> = held.iter().filter(|name| member.contains(*name)).cloned().collect();
    assert_eq!(known, held, "{}", story());
}
