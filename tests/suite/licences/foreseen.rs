//! What a simulation of proposed rules says of licences: who would get one and who would wait, over everybody.

use std::sync::Arc;

use matrikel::directory::Random;
use matrikel::directory::simulations::Simulator;
use serde_json::{Value, json};

use super::pool::{NURSE, counts, entered, found, gives, seat, with_pool};
use crate::lifecycle::town::{Town, at};
use crate::rules::grants::{wake, works};
use crate::support::both::on_both_databases;
use crate::support::register::id;

on_both_databases!(Town:
    a_simulation_says_who_would_get_a_seat_and_who_would_wait_and_applied_it_is_so,
);

async fn a_simulation_says_who_would_get_a_seat_and_who_would_wait_and_applied_it_is_so(town: &Town) {
    let suite = with_pool(town, 2, json!({})).await;
    let leaver = entered(town, works("leaver", &[("1", "nurse", "2025-01-01", "2026-01-31")])).await;
    gives(town, "nurses", NURSE, json!({})).await;
    assert_eq!(seat(town, &leaver).await, "assigned");
    let mut clerks = Vec::new();
    for (name, start) in [("late", "2025-03-01"), ("early", "2025-01-01"), ("middle", "2025-02-01")] {
        clerks.push(entered(town, works(name, &[("1", "clerk", start, "")])).await);
    }
    let filter = r#"employments[taskCode eq "clerk" and current eq true]"#;
    gives(town, "clerks", filter, json!({ "lifecycle": "proposed" })).await;
    let told = simulated(town, json!({ "name": "clerks" })).await;
    assert_eq!((&told.0["counts"]["begins"], &told.0["counts"]["waits"]), (&json!(1), &json!(2)), "{}", told.0);
    assert_eq!(told.1, ["early begins", "late waits", "middle waits"]);
    // By February one more seat is free.
    let told = simulated(town, json!({ "name": "then", "asOf": "2026-02-02T00:00:00Z" })).await;
    assert_eq!(told.1, ["early begins", "late waits", "leaver ends", "middle begins"]);
    assert_eq!((counts(town, &suite).await, seat(town, &clerks[1]).await), ([1, 0, 0, 0, 0], "-".into()), "nothing was done");
    let apply = json!([{ "op": "replace", "path": "decision", "value": "apply" }]);
    let simulation = told.0["id"].as_str().expect("an id").to_owned();
    town.patch(&town.admin(), "Simulation", &simulation, apply).await.expect("decided");
    attend(town).await;
    assert_eq!(found(town, "Simulation", &simulation).await["state"], "applied");
    wake(town).await;
    let mut seats = Vec::new();
    for clerk in &clerks {
        seats.push(seat(town, clerk).await);
    }
    assert_eq!(seats, ["waiting", "assigned", "waiting"]);
    town.wait_until("2026-02-02").await;
    assert_eq!(seat(town, &clerks[2]).await, "assigned");
}

async fn attend(town: &Town) {
    let now = town.now();
    let simulator = Simulator::new(
        town.register.directory.clone(),
        &Random::os(),
        Arc::new(move || now),
        Arc::new(|_, _| {}),
    );
    assert!(simulator.expect("a simulator").attend(town.register.tenant).await.expect("worked out"));
}

/// What a simulation says: itself, and of each User what begins, ends and is waited for.
async fn simulated(town: &Town, body: Value) -> (Value, Vec<String>) {
    let made = id(&town.create(&town.admin(), "Simulation", body).await.unwrap_or_else(|error| panic!("{error}")));
    attend(town).await;
    let simulation = found(town, "Simulation", &made).await;
    assert_eq!(simulation["state"], "ready", "{simulation}");
    let id = made.parse().expect("an id");
    let list = match simulation["attempt"].as_i64().unwrap_or_default() % 2 {
        0 => "object",
        _ => "object2",
    };
    let items = town.register.directory.simulated(&town.admin(), id, list).await;
    let _ = at;
    (simulation, items)
}
