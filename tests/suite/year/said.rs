//! Whatever year it was, told over SCIM: what a simulation of a request says is what the request does, to the letter, and the
//! simulation leaves nothing behind; what a simulation of rules says is what their activation does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::date;
use matrikel::cli::demo::play;
use matrikel::cli::demo::year::{Event, Source, Year, to_scim};
use matrikel::directory::{Ctx, Error, Precondition, Random};
use scim::resource::Projection;
use serde_json::{Value, json};

use super::fed::seed;
use crate::lifecycle::town::{Town, at};
use crate::rules::grants::{groups, wake};
use crate::simulations::{attend, decide, document, items, names, simulated};
use crate::support::both::on_both_databases;
use crate::support::register::{body, id, refusal};

on_both_databases!(Town: what_is_simulated_is_what_is_done);

const DAYS: i32 = 60;
const EMPLOYEES: usize = 8;
const PUPILS: usize = 4;

async fn what_is_simulated_is_what_is_done(town: &Town) {
    let seed = seed();
    let mut policy = play::policy();
    policy.as_object_mut().expect("an object").remove("name");
    town.with_policy(policy).await;
    for spec in &play::RULES[..3] {
        if !spec.2.contains("{{") {
            town.create(&town.admin(), "Group", json!({ "displayName": spec.2 })).await.expect("a group");
        }
    }
    let year = Year::lasting(seed, EMPLOYEES, PUPILS, date(2026, 7, 1), DAYS);
    town.sleep_until("2026-07-01");
    let mut people = BTreeMap::new();
    let beginning: Vec<(Source, Value)> = [Source::Staff, Source::School]
        .into_iter()
        .flat_map(|source| year.rows(source).map(move |row| (source, row)).collect::<Vec<_>>())
        .collect();
    for (source, row) in beginning {
        let key = row[if source == Source::School { "id" } else { "number" }].as_str().expect("a key").to_owned();
        carry(town, source, &key, Some(&row), &mut people, seed).await;
    }
    wake(town).await;
    let mut done = 0;
    for Event { day, source, key, says, .. } in year {
        if source == Source::Units {
            continue;
        }
        let moment = jiff::Timestamp::from_microsecond(at(&day.to_string()) + 6 * 3_600_000_000).expect("a moment");
        if moment.as_microsecond() > town.now() {
            town.wait_until(&moment.to_string()).await;
        }
        carry(town, source, &key, says.as_ref(), &mut people, seed).await;
        done += 1;
        if done % 12 == 0 {
            activate(town, done / 12, &people, seed).await;
        }
    }
    assert!(done > 20, "year {seed}: {done} events");
}

/// HR or the school, which leave names to the policy; or the telephony platform.
fn caller(town: &Town, source: Source) -> Ctx {
    let name = match source {
        Source::School => "school",
        Source::Phones => "phones",
        _ => "hr",
    };
    let mut ctx = town.source(name);
    Arc::make_mut(&mut ctx.caller).generates_names = source != Source::Phones;
    ctx
}

/// What is answered, without what is drawn or counted anew.
fn told(answer: Result<Value, Error>) -> (u16, Value) {
    match answer {
        Ok(mut body) => {
            if let Some(body) = body.as_object_mut() {
                body.remove("id");
                body.remove("meta");
            }
            (200, body)
        }
        Err(error) => refusal(&error),
    }
}

/// Simulates what a source says, then does it.
async fn carry(
    town: &Town,
    source: Source,
    key: &str,
    row: Option<&Value>,
    people: &mut BTreeMap<String, String>,
    seed: u64,
) {
    let before = town.register.head().await;
    let drawn = before.0.unsigned_abs().wrapping_mul(1_000_003) ^ seed;
    let mut answers = Vec::new();
    for simulate in [true, false] {
        let ctx = Ctx { simulate, random: Random::seeded(drawn), ..caller(town, source) };
        if !simulate {
            assert_eq!(town.register.head().await, before, "year {seed}: a simulation leaves nothing behind");
        }
        let answer = match (row, people.get(key)) {
            (Some(row), None) if source != Source::Phones => {
                let made = town.create(&ctx, "User", to_scim(source, row)).await;
                if let (Ok(made), false) = (&made, simulate) {
                    people.insert(key.to_owned(), id(made));
                }
                made.map(|made| body(&made))
            }
            (Some(row), Some(id)) if source == Source::Phones => {
                let definition = town.definition("User");
                let (none, whole) = (Precondition::none(), Projection::whole(&definition));
                let directory = &town.register.directory;
                let patched = directory.patch(&ctx, &definition, id, to_scim(source, row), &none, &whole).await;
                patched.map(|patched| body(&patched))
            }
            (Some(row), Some(id)) => {
                let mut whole = to_scim(source, row);
                // What the telephony platform has said stays.
                if let Some(seen) = town.seen(&ctx, id).await.filter(|seen| seen.get("phoneNumbers").is_some()) {
                    whole["phoneNumbers"] = seen["phoneNumbers"].clone();
                }
                town.replace(&ctx, id, whole).await
            }
            (None, Some(id)) => town.delete(&ctx, "User", id).await.map(|()| Value::Null),
            (_, None) => continue,
        };
        answers.push(told(answer));
    }
    if let [said, done] = answers.as_slice() {
        assert_eq!(said, done, "year {seed}: {source:?} {key} {row:?}");
    }
}

/// Simulates a rule over everybody, applies it, and compares.
async fn activate(town: &Town, round: usize, people: &BTreeMap<String, String>, seed: u64) {
    let Some(spec) = play::RULES[..3].get(round - 1).filter(|spec| !spec.2.contains("{{")) else { return };
    let mut rule = play::rule(*spec);
    rule["lifecycle"] = json!("proposed");
    let rule = id(&town.create(&town.admin(), "Rule", rule).await.expect("a rule"));
    wake(town).await;
    let before = all(town, people).await;
    let (simulation, said) = simulated(town, json!({ "activate": [{ "value": rule }] })).await;
    assert_eq!(said["state"], "ready", "year {seed}: {said}");
    let found: BTreeMap<String, _> =
        items(town, &simulation).await.into_iter().map(|item| (item.id.clone(), item)).collect();
    assert_eq!(all(town, people).await, before, "year {seed}: it changes nothing");
    decide(town, &town.admin(), &simulation).await.expect("decided");
    attend(town).await;
    assert_eq!(document(town, &simulation).await["state"], "applied", "year {seed}");
    wake(town).await;
    for (user, after) in all(town, people).await {
        let mut expected: BTreeSet<String> = before.get(&user).cloned().unwrap_or_default().into_iter().collect();
        if let Some(item) = found.get(&user) {
            names(&item.ends).iter().for_each(|name| assert!(expected.remove(*name), "year {seed}: {item:?}"));
            expected.extend(names(&item.begins).into_iter().map(str::to_owned));
        }
        assert_eq!(expected.into_iter().collect::<Vec<_>>(), after, "year {seed}: {user} after {}", spec.0);
    }
}

/// Everybody who is there with the groups that they are in.
async fn all(town: &Town, people: &BTreeMap<String, String>) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for user in people.values() {
        if town.seen(&town.admin(), user).await.is_some() {
            all.insert(user.clone(), groups(town, user).await);
        }
    }
    all
}
