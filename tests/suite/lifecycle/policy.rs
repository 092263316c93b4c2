//! Policies as resources, and what a change of one does.

use matrikel::directory::Error;
use serde_json::json;

use super::town::{Town, person};
use crate::support::both::on_both_databases;
use crate::support::register::{id, refusal};

on_both_databases!(Town:
    what_is_wrong_with_a_policy_is_said_with_its_place,
    a_policy_covers_whom_its_filter_says_and_the_highest_counts,
    a_change_of_policy_reaches_everybody_slice_by_slice,
    two_schedulers_do_nothing_twice,
    what_should_have_happened_meanwhile_happens_in_order,
);

async fn what_is_wrong_with_a_policy_is_said_with_its_place(town: &Town) {
    let good = json!({ "name": "all", "zone": "Europe/Helsinki" });
    let early = town.create(&town.admin(), "Policy", good.clone()).await.expect_err("no extension");
    assert!(early.to_string().contains("matrikel schema install"), "{early}");
    town.install().await;
    let urn = "urn:matrikel:scim:schemas:1.0:Person";
    for (part, value, said) in [
        ("zone", json!("Helsinki"), "zone: \"Helsinki\" is no IANA time zone"),
        ("zone", json!("local"), "zone: \"local\" is no"),
        ("covers", json!("userName eq"), "covers: "),
        ("covers", json!("wage gt 1"), "covers: "),
        ("covers", json!("active eq true"), "covers: active cannot decide"),
        ("covers", json!("meta.created pr"), "covers: meta.created cannot decide"),
        ("covers", json!("groups.display eq \"x\""), "covers: groups.display cannot"),
        ("covers", json!(format!("{urn}:lifecycle.state eq \"active\"")), "covers: urn:matrikel"),
        ("covers", json!(format!("{urn}:personalNumber pr")), "is secret, and no policy can go by it"),
        ("stageBefore", json!(-1), "stageBefore: -1 is not between 0 and 3653 days."),
        ("limboAfter", json!(4_000), "limboAfter: 4000 is not"),
        ("purge", json!(true), "purgeAfter is missing"),
        ("longestMonths", json!(0), "longestMonths: 0 is not between 1 and 120 months."),
        ("kinds", json!([{ "type": "a", "longestMonths": 121 }]), "kinds[0].longestMonths: 121 is not"),
        ("reuse", json!("often"), "reuse: \"often\" is neither"),
        ("kinds", json!([{ "type": "a", "bridgeDays": -2 }]), "kinds[0].bridgeDays: -2"),
        ("kinds", json!([{ "type": "a" }, { "type": "A" }]), "kinds[1].type: \"A\" is there twice."),
    ] {
        let mut policy = good.clone();
        policy[part] = value;
        let error = town.create(&town.admin(), "Policy", policy.clone()).await.expect_err("refused");
        assert_eq!(refusal(&error), (400, json!("invalidValue")), "{policy}");
        assert!(error.to_string().contains(said), "{policy}: {error}");
    }
    let made = id(&town.create(&town.admin(), "Policy", good.clone()).await.expect("a policy"));
    let twice = town.create(&town.admin(), "Policy", good).await.expect_err("the name is taken");
    assert_eq!(refusal(&twice).0, 409);
    let worse = json!([{ "op": "replace", "path": "zone", "value": "Nowhere/Land" }]);
    assert_eq!(refusal(&town.patch(&town.admin(), "Policy", &made, worse).await.expect_err("refused")).0, 400);
}

async fn a_policy_covers_whom_its_filter_says_and_the_highest_counts(town: &Town) {
    town.with_policy(json!({ "covers": "userType eq \"staff\"", "stageBefore": 5 })).await;
    let of = |name: &str, kind: &str| {
        let mut one = person(name, &[("1", "permanent", "2026-02-01", "")]);
        one["userType"] = json!(kind);
        one
    };
    let (staff, guest) = (of("staff", "staff"), of("guest", "guest"));
    let staff = town.enter(&town.hr(), staff).await["id"].as_str().expect("an id").to_owned();
    let guest = town.enter(&town.hr(), guest).await["id"].as_str().expect("an id").to_owned();
    assert_eq!(town.state(&staff).await, "planned off, staged 2026-01-27");
    assert_eq!(town.state(&guest).await, "none unsaid");
    let higher = json!({ "name": "board", "zone": "Europe/Helsinki", "priority": 1, "stageBefore": 20 });
    let higher = id(&town.create(&town.admin(), "Policy", higher).await.expect("a policy"));
    town.wake_at("2026-01-05T09:00:00Z").await;
    assert_eq!(town.state(&staff).await, "planned off, staged 2026-01-12");
    assert_eq!(town.state(&guest).await, "planned off, staged 2026-01-12");
    town.delete(&town.admin(), "Policy", &higher).await.expect("deleted");
    town.wake_at("2026-01-05T10:00:00Z").await;
    assert_eq!(town.state(&staff).await, "planned off, staged 2026-01-27");
    assert_eq!(town.state(&guest).await, "none off", "what no policy says is as it was left");
    // Somebody who becomes staff is covered from then on.
    let becomes = json!([{ "op": "replace", "path": "userType", "value": "staff" }]);
    town.patch(&town.hr(), "User", &guest, becomes).await.expect("taken");
    assert_eq!(town.state(&guest).await, "planned off, staged 2026-01-27");
}

async fn a_change_of_policy_reaches_everybody_slice_by_slice(town: &Town) {
    let policy = town.with_policy(json!({})).await;
    let hr = town.hr();
    let entering = (0..620).map(|n| {
        let hr = hr.clone();
        async move {
            let one = person(&format!("u{n}"), &[("1", "permanent", "2026-03-01", "")]);
            town.enter(&hr, one).await["id"].as_str().expect("an id").to_owned()
        }
    });
    let ids = futures_util::future::join_all(entering).await;
    assert_eq!(town.wake_at("2026-01-06").await.changed, 0, "who was entered later is as the policy says already");
    let earlier = json!([{ "op": "replace", "path": "stageBefore", "value": 60 }]);
    town.patch(&town.admin(), "Policy", &policy, earlier).await.expect("changed");
    let done = town.wake_at("2026-01-06T10:00:00Z").await;
    assert_eq!((done.changed, done.put_off), (620, 0));
    for id in [&ids[0], &ids[619]] {
        assert_eq!(town.state(id).await, "staged off, active 2026-03-01");
    }
    assert_eq!(town.wake_at("2026-01-06T11:00:00Z").await.looked, 0);
    // A zone further west, and the first day begins later.
    let west = json!([{ "op": "replace", "path": "zone", "value": "America/New_York" }]);
    town.patch(&town.admin(), "Policy", &policy, west).await.expect("changed");
    assert_eq!(town.wake_at("2026-01-06T12:00:00Z").await.changed, 620);
    assert_eq!(town.wake_at("2026-03-01T04:59:59Z").await.changed, 0);
    assert_eq!(town.wake_at("2026-03-01T05:00:00Z").await.changed, 620);
}

async fn two_schedulers_do_nothing_twice(town: &Town) {
    use matrikel::directory::Random;
    use matrikel::schedule::Scheduler;

    town.with_policy(json!({})).await;
    let hr = town.hr();
    let entering = (0..300).map(|n| {
        let hr = hr.clone();
        async move { town.enter(&hr, person(&format!("u{n}"), &[("1", "permanent", "2026-03-01", "")])).await }
    });
    futures_util::future::join_all(entering).await;
    town.wake_at("2026-01-06").await;
    let before = town.register.changes().await.len();
    // Two that know nothing of each other, at the same time, and one that has no lease at all.
    town.sleep_until("2026-02-20");
    let now = town.now();
    let one = Scheduler::new(town.register.directory.clone(), &Random::os()).expect("a scheduler");
    let other = Scheduler::new(town.register.directory.clone(), &Random::os()).expect("a scheduler");
    let ctx = town.admin();
    let due = town.register.directory.due(&ctx, now, 1_000).await.expect("due");
    assert_eq!(due.len(), 300);
    let without = due.iter().take(100).map(|(id, _)| town.register.directory.fall_due(&ctx, *id));
    let without = futures_util::future::join_all(without);
    let (one, other, without) = tokio::join!(one.look(|| now), other.look(|| now), without);
    let changed = |outcome: &Result<matrikel::directory::Fallen, Error>| {
        matches!(outcome, Ok(matrikel::directory::Fallen::Changed))
    };
    let by_hand = without.iter().filter(|outcome| changed(outcome)).count() as u64;
    assert_eq!(one.expect("done").changed + other.expect("done").changed + by_hand, 300);
    assert_eq!(town.register.changes().await.len(), before + 300, "each has one change");
    let tenant = town.register.tenant;
    let found = town.register.directory.store().read(move |reader| reader.verify(tenant)).await.expect("looked");
    assert_eq!(found, []);
}

async fn what_should_have_happened_meanwhile_happens_in_order(town: &Town) {
    town.with_policy(json!({})).await;
    let late = town.enter(&town.hr(), person("late", &[("1", "permanent", "2026-02-10", "")])).await;
    let early = town.enter(&town.hr(), person("early", &[("1", "permanent", "2026-01-20", "2026-02-01")])).await;
    let id_of = |user: &serde_json::Value| user["id"].as_str().expect("an id").to_owned();
    town.wake_at("2026-01-06").await;
    let before = town.register.changes().await.len();
    // Nobody looked for a month.
    town.wake_at("2026-02-12T10:00:00Z").await;
    assert_eq!(town.state(&id_of(&late)).await, "active on");
    assert_eq!(town.state(&id_of(&early)).await, "disabled off, limbo 2026-03-04");
    let mut changes = town.register.changes().await.split_off(before);
    // Who never came is a thing for a person to look at.
    changes.retain(|change| change.kind == "User");
    let order: Vec<String> = changes.iter().map(|change| change.resource.to_string()).collect();
    assert_eq!(order, [id_of(&early), id_of(&late)], "each once, and what was due first comes first");
}
