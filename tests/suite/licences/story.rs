//! A leaver's seat: from the last day to the first in the queue, and what that was worth.

use matrikel::directory::licences::report::Span;
use provisioning::calendar::date;
use serde_json::{Value, json};

use super::pool::{NURSE, check, counts, entered, gives, has, seat, standing, with_pool};
use crate::lifecycle::town::{PERSON, Town, at};
use crate::rules::grants::works;
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    the_seat_of_who_leaves_goes_to_the_first_in_the_queue_after_the_last_day,
    the_report_says_what_reclaimed_seats_were_worth_by_month_unit_and_cost_centre,
);

fn nurse(name: &str, start: &str, end: &str) -> Value {
    works(name, &[("1", "nurse", start, end)])
}

async fn the_seat_of_who_leaves_goes_to_the_first_in_the_queue_after_the_last_day(town: &Town) {
    let suite = with_pool(town, 1, json!({})).await;
    gives(town, "nurses", NURSE, json!({})).await;
    let leaver = entered(town, nurse("leaver", "2025-01-01", "2026-03-31")).await;
    assert_eq!(has(town, &leaver).await, ["suite"]);
    let later = entered(town, nurse("later", "2026-01-04", "")).await;
    let first = entered(town, nurse("first", "2026-01-02", "")).await;
    // Begins on the very day, before those who wait by its priority.
    gives(town, "head nurses", r#"employments[title eq "head"]"#, json!({ "priority": 9 })).await;
    let mut head = nurse("head", "2026-04-01", "");
    head[PERSON]["employments"][0]["title"] = json!("head");
    let head = entered(town, head).await;
    assert_eq!(standing(town, &later).await, ["rule waiting 2"]);
    assert_eq!(standing(town, &first).await, ["rule waiting 1"]);
    assert_eq!((seat(town, &leaver).await, seat(town, &head).await), ("assigned".into(), "-".into()));
    assert_eq!(counts(town, &suite).await, [1, 0, 0, 2, 0]);
    check(town).await;
    town.wait_until("2026-03-31T20:59:59Z").await;
    assert_eq!(has(town, &leaver).await, ["suite"]);
    assert_eq!(seat(town, &head).await, "waiting", "staged, it waits for a seat to be reserved");
    assert_eq!(standing(town, &first).await, ["rule waiting 2"]);
    town.wait_until("2026-04-01").await;
    assert_eq!((has(town, &leaver).await, seat(town, &leaver).await), (vec![], "-".into()));
    assert_eq!((has(town, &head).await, seat(town, &head).await), (vec!["suite".to_owned()], "assigned".into()));
    assert!(standing(town, &head).await.contains(&"rule held".to_owned()));
    assert_eq!(counts(town, &suite).await, [1, 0, 0, 2, 0]);
    // At that very moment, and the change is one of the day.
    let changes = town.register.changes().await;
    let last = changes.iter().rfind(|change| change.kind == "User" && change.resource.to_string() == head);
    assert_eq!(
        last.map(|change| (change.at - change.at % 1_000_000, change.cause.as_str())),
        Some((at("2026-04-01"), "due"))
    );
    // The next goes to the next.
    town.delete(&town.admin(), "User", &head).await.expect("purged");
    town.wait_until("2026-04-02").await;
    assert_eq!((has(town, &first).await, has(town, &later).await), (vec!["suite".to_owned()], vec![]));
    assert_eq!(standing(town, &later).await, ["rule waiting 1"]);
    assert_eq!(counts(town, &suite).await, [1, 0, 0, 1, 0]);
    check(town).await;
}

async fn the_report_says_what_reclaimed_seats_were_worth_by_month_unit_and_cost_centre(town: &Town) {
    let licence = json!({ "price": 30, "currency": "EUR", "costCenter": "9000" });
    let suite = with_pool(town, 2, licence).await;
    gives(town, "nurses", NURSE, json!({})).await;
    let mut leaver = nurse("leaver", "2025-01-01", "2026-01-31");
    leaver[PERSON]["employments"][0]["unit"] = json!("WARD");
    leaver[PERSON]["employments"][0]["costCenter"] = json!("3104");
    entered(town, leaver).await;
    entered(town, nurse("other", "2025-01-01", "2026-02-28")).await;
    entered(town, nurse("next", "2026-03-01", "2026-03-15")).await;
    town.wait_until("2026-05-01").await;
    let told = town.register.directory.licence_report(&town.admin(), Span::default()).await.expect("a report");
    let rows: Vec<String> = told["savings"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            format!("{} {} {} {} {}", row["month"], row["costCenter"], row["reclaimed"], row["saved"], row["idle"])
                .replace('"', "")
        })
        .collect();
    assert_eq!(
        rows,
        [
            // Idle to the 14th, then reserved for the next one, who leaves in the middle of March.
            "2026-02 3104 1 15.0 15.0",
            "2026-03 9000 2 0.0 45.46",
            // An hour of March is missing, which makes every other one dearer.
            "2026-03 3104 0 14.54 0.0",
            "2026-04 9000 0 0.0 60.0",
        ]
    );
    assert_eq!(told["savings"][0]["unit"], "WARD");
    let pool = &told["pools"][0];
    assert_eq!(
        (&pool["permitted"], &pool["used"], &pool["idle"], &pool["idlePerMonth"]),
        (&json!(2), &json!(0), &json!(2), &json!(60.0))
    );
    let span = Span { from: date("2026-02-01"), to: date("2026-02-28") };
    let told = town.register.directory.licence_report(&town.admin(), span).await.expect("a report");
    assert_eq!(told["savings"].as_array().map(Vec::len), Some(1));
    let backwards = Span { from: date("2026-02-02"), to: date("2026-02-01") };
    assert!(town.register.directory.licence_report(&town.admin(), backwards).await.is_err());
    assert_eq!(counts(town, &suite).await, [0; 5]);
    check(town).await;
}
