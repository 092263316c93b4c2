//! One seat for a human being, however many accounts there are.

use serde_json::json;

use super::pool::{check, counts, entered, entitlement, gives, has, install, permit, seat};
use crate::lifecycle::town::{PERSON, Town};
use crate::rules::grants::wake;
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    accounts_of_one_person_share_a_seat,
);

async fn person_of(town: &Town, user: &str) -> String {
    town.stored(user).await[PERSON]["person"]["value"].as_str().expect("a person").to_owned()
}

async fn accounts_of_one_person_share_a_seat(town: &Town) {
    town.with_policy(json!({})).await;
    install(town, &["people", "entitlement", "licence", "assignment"]).await;
    let suite = entitlement(town, "suite", 1, json!({ "perPerson": true })).await;
    gives(town, "staff", "userType eq \"staff\"", json!({})).await;
    let body = |name: &str| json!({ "userName": name, "userType": "staff" });
    let one = entered(town, body("ann.admin")).await;
    wake(town).await;
    assert_eq!((seat(town, &one).await, counts(town, &suite).await), ("assigned".into(), [1, 0, 0, 0, 0]));
    let two = entered(town, body("ann.school")).await;
    let other = entered(town, body("bea")).await;
    wake(town).await;
    assert_eq!((seat(town, &two).await, counts(town, &suite).await), ("waiting".into(), [1, 0, 0, 2, 0]));
    // Somebody says that both are the same human being.
    let person = person_of(town, &one).await;
    let link = json!([{ "op": "add", "path": "accounts", "value": [{ "value": two, "kind": "manual", "reason": "ask her" }] }]);
    town.patch(&town.admin(), "Person", &person, link).await.expect("linked");
    wake(town).await;
    assert_eq!((seat(town, &two).await, has(town, &two).await), ("assigned shared".into(), vec!["suite".to_owned()]));
    assert_eq!(counts(town, &suite).await, [1, 0, 0, 1, 0]);
    check(town).await;
    // The account that had it goes; the person keeps the seat.
    town.delete(&town.admin(), "User", &one).await.expect("purged");
    wake(town).await;
    assert_eq!((seat(town, &two).await, has(town, &two).await), ("assigned".into(), vec!["suite".to_owned()]));
    assert_eq!((seat(town, &other).await, counts(town, &suite).await), ("waiting".into(), [1, 0, 0, 1, 0]));
    // Linked with another who has one of its own, the older seat stays, and the other is free.
    permit(town, &suite, 3).await;
    let third = entered(town, body("cia")).await;
    wake(town).await;
    assert_eq!(counts(town, &suite).await, [3, 0, 0, 0, 0]);
    let person = person_of(town, &two).await;
    let link =
        json!([{ "op": "add", "path": "accounts", "value": [{ "value": third, "kind": "manual", "reason": "both" }] }]);
    town.patch(&town.admin(), "Person", &person, link).await.expect("linked");
    wake(town).await;
    let mut seats = [seat(town, &two).await, seat(town, &third).await];
    seats.sort();
    assert_eq!((seats, counts(town, &suite).await), (["assigned".into(), "assigned shared".into()], [2, 0, 0, 0, 0]));
    check(town).await;
    // Taken back, each needs one.
    let unlink = json!([{ "op": "remove", "path": format!("accounts[value eq \"{third}\"]") }]);
    town.patch(&town.admin(), "Person", &person, unlink).await.expect("taken back");
    wake(town).await;
    assert_eq!(counts(town, &suite).await, [3, 0, 0, 0, 0]);
    check(town).await;
}
