//! The property that all hangs on: what a simulation says is what happens when it is applied and the scheduler has been
//! there, of everybody and of nobody else, whatever the rules and the people.

use std::collections::{BTreeMap, BTreeSet};

use matrikel::directory::simulations::Item;
use serde_json::json;

use super::{attend, decide, document, items, names, simulated};
use crate::lifecycle::town::Town;
use crate::rules::grants::{active, groups, wake, with_groups, works};
use crate::support::both::on_both_databases;
use crate::support::register::id;

on_both_databases!(Town: what_is_applied_is_what_was_said);

/// Numbers from a seed, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    fn one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }
}

const TASKS: [&str; 3] = ["nurse", "teacher", "clerk"];
const GROUPS: [&str; 4] = ["a", "b", "c", "d"];

async fn what_is_applied_is_what_was_said(town: &Town) {
    with_groups(town, &GROUPS).await;
    let mut dice = Dice(7);
    let mut people = Vec::new();
    for n in 0..40 {
        people.push(hire(town, &mut dice, n).await);
    }
    let mut said = 0;
    for round in 0..6 {
        let (mut activate, mut deprecate) = (Vec::new(), Vec::new());
        for n in 0..1 + dice.below(3) {
            let name = format!("r{round}-{n}");
            activate.push(json!({ "value": rule(town, &mut dice, &name, false).await }));
        }
        if dice.below(2) == 0 {
            deprecate.push(json!({ "value": rule(town, &mut dice, &format!("old{round}"), true).await }));
        }
        wake(town).await;
        let before = all(town, &people).await;
        let (simulation, told) = simulated(town, json!({ "activate": activate, "deprecate": deprecate })).await;
        assert_eq!(told["state"], "ready", "{told}");
        let found: BTreeMap<String, Item> =
            items(town, &simulation).await.into_iter().map(|item| (item.id.clone(), item)).collect();
        assert_eq!(all(town, &people).await, before, "round {round}: it changes nothing");
        decide(town, &town.admin(), &simulation).await.expect("decided");
        attend(town).await;
        let told = document(town, &simulation).await;
        assert_eq!(told["state"], "applied", "round {round}: {told}");
        wake(town).await;
        for ((user, before), (_, after)) in before.iter().zip(&all(town, &people).await) {
            let mut expected: BTreeSet<String> = before.iter().cloned().collect();
            if let Some(item) = found.get(user) {
                said += item.begins.len() + item.ends.len();
                assert_eq!(item.op, "changed", "round {round}");
                names(&item.ends).iter().for_each(|name| assert!(expected.remove(*name), "round {round}: {item:?}"));
                expected.extend(names(&item.begins).into_iter().map(str::to_owned));
            }
            assert_eq!(expected.into_iter().collect::<Vec<_>>(), *after, "round {round}: {user}");
        }
    }
    assert!(said > 50, "{said}: the rounds say something");
}

/// Everybody with the groups that they are in.
async fn all(town: &Town, people: &[String]) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for user in people {
        all.push((user.clone(), groups(town, user).await));
    }
    all
}

async fn hire(town: &Town, dice: &mut Dice, n: usize) -> String {
    let mut employments = Vec::new();
    let keys = ["1", "2"];
    for key in keys.iter().take(1 + dice.below(2)) {
        let start = dice.one_of(&["2025-06-01", "2026-01-01", "2026-02-01"]);
        employments.push((*key, dice.one_of(&TASKS), start, dice.one_of(&["", "", "2026-03-31"])));
    }
    let body = works(&format!("p{n:02}"), &employments);
    town.enter(&town.hr(), body).await["id"].as_str().expect("an id").to_owned()
}

/// A rule as chance has it; its id.
async fn rule(town: &Town, dice: &mut Dice, name: &str, is_active: bool) -> String {
    let filter = match dice.below(3) {
        0 => format!("employments[taskCode eq \"{}\" and current eq true]", dice.one_of(&TASKS)),
        1 => format!("employments[taskCode eq \"{}\"]", dice.one_of(&TASKS)),
        _ => format!("userName sw \"p{}\"", dice.below(4)),
    };
    let mut more = json!({ "grants": [{ "type": "group", "value": dice.one_of(&GROUPS) }], "before": dice.below(40) });
    if dice.below(4) == 0 {
        more["family"] = json!("one");
        more["rank"] = json!(name.bytes().map(u64::from).sum::<u64>() * 1_000 + u64::from(is_active));
    }
    if is_active {
        return active(town, name, &filter, more).await;
    }
    let mut body = json!({ "name": name, "filter": filter });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let made: Result<_, _> = town.create(&town.admin(), "Rule", body).await;
    id(&made.unwrap_or_else(|error| panic!("{name}: {error}")))
}
