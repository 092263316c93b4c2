//! Simulations: what they say, that they leave nothing behind, and that what is applied is what was said.

mod http;
mod same;
mod story;
mod strict;
mod units;
mod writes;

use std::sync::Arc;

use matrikel::directory::simulations::{Item, SIMULATION, Simulator};
use matrikel::directory::{Ctx, Fetched, Precondition, Random};
use scim::resource::Projection;
use serde_json::{Value, json};
use store::ResourceId;

use crate::lifecycle::town::Town;
use crate::support::register::id;

/// Whoever works simulations out at the moment of the town.
pub(crate) fn simulator(town: &Town) -> Simulator {
    let now = town.now();
    let directory = town.register.directory.clone();
    Simulator::new(directory, &Random::os(), Arc::new(move || now), Arc::new(|_, _| {})).expect("a simulator")
}

/// Has all that waits worked out.
pub(crate) async fn attend(town: &Town) {
    assert!(simulator(town).attend(town.register.tenant).await.expect("it is done"), "nobody else is at it");
}

/// A simulation that is worked out: its id and its document.
pub(crate) async fn simulated(town: &Town, more: Value) -> (String, Value) {
    let mut body = json!({ "name": "what if" });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let made = town.create(&town.admin(), SIMULATION, body).await.unwrap_or_else(|error| panic!("{error}"));
    let id = id(&made);
    attend(town).await;
    let document = document(town, &id).await;
    (id, document)
}

pub(crate) async fn document(town: &Town, id: &str) -> Value {
    let id: ResourceId = id.parse().expect("an id");
    let found = town.register.directory.simulation(&town.admin(), id).await.expect("read");
    Value::Object(found.expect("it is there"))
}

/// The items of one of its lists.
pub(crate) async fn list<T: serde::de::DeserializeOwned>(town: &Town, id: &str, list: &str) -> Vec<T> {
    let id: ResourceId = id.parse().expect("an id");
    let found = town.register.directory.simulated(&town.admin(), id, list, (0, 10_000)).await.expect("read");
    let places: Vec<i64> = found.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, (1..=i64::try_from(found.len()).expect("few")).collect::<Vec<_>>(), "without gaps");
    found.into_iter().map(|(_, item)| item).collect()
}

/// The items of the result.
pub(crate) async fn items(town: &Town, id: &str) -> Vec<Item> {
    list(town, id, matrikel::directory::simulations::OBJECTS).await
}

/// Names of what begins or ends for somebody.
pub(crate) fn names(turns: &[matrikel::directory::simulations::Turn]) -> Vec<&str> {
    turns.iter().map(|turn| turn.display.as_str()).collect()
}

/// Decides that one is applied.
pub(crate) async fn decide(town: &Town, ctx: &Ctx, id: &str) -> Result<Value, matrikel::directory::Error> {
    town.patch(ctx, SIMULATION, id, json!([{ "op": "replace", "path": "decision", "value": "apply" }])).await
}

/// A rule as it is stored.
pub(crate) async fn rule_of(town: &Town, id: &str) -> Value {
    let definition = town.definition("Rule");
    let (projection, none) = (Projection::whole(&definition), Precondition::none());
    let found = town.register.directory.fetch(&town.admin(), &definition, id, &none, &projection).await;
    match found.expect("it is there") {
        Fetched::Found { body, .. } => serde_json::from_str(&body).expect("JSON"),
        _ => panic!("not a rule"),
    }
}
