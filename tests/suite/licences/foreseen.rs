//! What a simulation of proposed rules says of licences: who would get one and who would wait, over everybody.

use serde_json::{Value, json};

use super::pool::{NURSE, counts, entered, gives, seat, with_pool};
use crate::lifecycle::town::Town;
use crate::rules::grants::{wake, works};
use crate::simulations::{attend, decide, document, items, simulated};
use crate::support::both::on_both_databases;

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
    let (simulation, result) = simulated(town, json!({})).await;
    assert_eq!((&result["counts"]["begins"], &result["counts"]["waits"]), (&json!(1), &json!(2)), "{result}");
    assert_eq!(told(town, &simulation).await, ["early begins", "late waits", "middle waits"]);
    // By February one more seat is free.
    let (then, _) = simulated(town, json!({ "asOf": "2026-02-02T00:00:00Z" })).await;
    assert_eq!(told(town, &then).await, ["early begins", "late waits", "leaver ends", "middle begins"]);
    assert_eq!(counts(town, &suite).await, [1, 0, 0, 0, 0], "nothing was done");
    decide(town, &town.admin(), &simulation).await.expect("decided");
    attend(town).await;
    assert_eq!(document(town, &simulation).await["state"], "applied");
    wake(town).await;
    let mut seats = Vec::new();
    for clerk in &clerks {
        seats.push(seat(town, clerk).await);
    }
    assert_eq!(seats, ["waiting", "assigned", "waiting"]);
    town.wait_until("2026-02-02").await;
    assert_eq!(seat(town, &clerks[2]).await, "assigned");
}

/// Who gets, loses and waits for something.
async fn told(town: &Town, simulation: &str) -> Vec<String> {
    let mut told = Vec::new();
    for item in items(town, simulation).await {
        let named: Value = serde_json::to_value(&item).expect("JSON");
        for what in ["begins", "ends", "waits"] {
            let count = named[what].as_array().map_or(0, Vec::len);
            told.extend((0..count).map(|_| format!("{} {what}", item.display)));
        }
    }
    told.sort();
    told
}
