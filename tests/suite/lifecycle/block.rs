//! Who keeps an account from being active, and who lifts that.

use matrikel::directory::Error;
use serde_json::{Value, json};

use super::town::{PERSON, Town, at, person, told};
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    a_block_holds_whatever_the_feeds_say_until_it_is_lifted,
    a_source_blocks_and_only_it_or_an_administrator_lifts_that,
    who_has_said_nothing_has_not_blocked,
    what_is_on_hold_is_not_purged_until_it_is_released,
);

const DENIED: &str = "is changed by administrators";

async fn works(town: &Town, name: &str) -> String {
    let entered = town.enter(&town.hr(), person(name, &[("1", "permanent", "2025-01-01", "2026-12-31")])).await;
    entered["id"].as_str().expect("an id").to_owned()
}

fn block(reason: &str) -> Value {
    json!([{ "op": "add", "path": format!("{PERSON}:block.reason"), "value": reason }])
}

fn active(is: bool) -> Value {
    json!([{ "op": "replace", "path": "active", "value": is }])
}

async fn a_block_holds_whatever_the_feeds_say_until_it_is_lifted(town: &Town) {
    town.with_policy(json!({})).await;
    let id = works(town, "bo").await;
    let refused = town.patch(&town.hr(), "User", &id, block("dismissed")).await.expect_err("HR may not");
    assert!(matches!(&refused, Error::Denied(detail) if detail.contains(DENIED)), "{refused}");
    let mut blocked = person("ny", &[]);
    blocked[PERSON]["block"] = json!({ "reason": "x" });
    assert!(town.create(&town.hr(), "User", blocked).await.is_err());
    assert!(town.patch(&town.admin(), "User", &id, block("  ")).await.is_err(), "a reason is needed");

    town.sleep_until("2026-02-10T10:00:00Z");
    let security = town.with_scopes("security", "User:read User:write User:block");
    let blocked = town.patch(&security, "User", &id, block("dismissed")).await.expect("blocked");
    assert_eq!(told(&blocked), "suspended off, disabled 2027-01-01");
    let said = &blocked[PERSON]["block"];
    assert_eq!((said["reason"].as_str(), said["by"].as_str()), (Some("dismissed"), Some("security")));
    assert_eq!(said["since"].as_str().map(at), Some(at("2026-02-10T10:00:00Z")));
    // HR goes on sending; so does who has the scope.
    let mut nightly = person("bo", &[("1", "permanent", "2025-01-01", "2026-12-31")]);
    nightly["active"] = json!(true);
    for feed in [town.hr(), security] {
        let answer = town.replace(&feed, &id, nightly.clone()).await.expect("taken");
        assert_eq!(told(&answer), "suspended off, disabled 2027-01-01");
        assert_eq!(answer[PERSON]["block"]["reason"], "dismissed");
    }
    let remove = json!([{ "op": "remove", "path": format!("{PERSON}:block") }]);
    let kept = town.patch(&town.hr(), "User", &id, remove.clone()).await.expect("nothing of it");
    assert_eq!(kept[PERSON]["block"]["reason"], "dismissed");
    town.delete(&town.hr(), "User", &id).await.expect("withdrawn");
    let back = town.enter(&town.hr(), nightly).await;
    assert_eq!(told(&back), "suspended off, disabled 2027-01-01", "who comes back is blocked still");
    let lifted = town.patch(&town.admin(), "User", &id, remove).await.expect("lifted");
    assert_eq!(told(&lifted), "active on, ending 2026-12-24");
    assert!(lifted[PERSON].get("block").is_none());
}

async fn a_source_blocks_and_only_it_or_an_administrator_lifts_that(town: &Town) {
    town.with_policy(json!({})).await;
    let id = works(town, "eva").await;
    let off = town.patch(&town.hr(), "User", &id, active(false)).await.expect("taken");
    assert_eq!(told(&off), "suspended off, disabled 2027-01-01");
    let still = town.patch(&town.source("phones"), "User", &id, active(true)).await.expect("taken");
    assert_eq!(told(&still), "suspended off, disabled 2027-01-01");
    let on = town.patch(&town.hr(), "User", &id, active(true)).await.expect("taken");
    assert_eq!(told(&on), "active on, ending 2026-12-24");
    town.patch(&town.source("phones"), "User", &id, active(false)).await.expect("taken");
    assert_eq!(town.state(&id).await, "suspended off, disabled 2027-01-01");
    let on = town.patch(&town.admin(), "User", &id, active(true)).await.expect("taken");
    assert_eq!(told(&on), "active on, ending 2026-12-24");
    // From the beginning.
    let mut off = person("ida", &[("1", "permanent", "2025-01-01", "")]);
    off["active"] = json!(false);
    assert_eq!(told(&town.enter(&town.hr(), off).await), "suspended off");
}

async fn who_has_said_nothing_has_not_blocked(town: &Town) {
    town.with_policy(json!({})).await;
    let soon = [("1", "permanent", "2026-01-12", "")];
    let entered = town.enter(&town.hr(), person("liv", &soon)).await;
    assert_eq!(told(&entered), "staged off, active 2026-01-12");
    // What was read is written back, with a number more.
    let id = entered["id"].as_str().expect("an id");
    let mut read = town.seen(&town.source("phones"), id).await.expect("there");
    read["phoneNumbers"] = json!([{ "value": "tel:+358401234567", "type": "work" }]);
    town.replace(&town.source("phones"), id, read).await.expect("taken");
    town.wait_until("2026-01-12").await;
    assert_eq!(town.state(id).await, "active on");
}

async fn what_is_on_hold_is_not_purged_until_it_is_released(town: &Town) {
    town.with_policy(json!({ "limboAfter": 10, "purge": true, "purgeAfter": 20 })).await;
    let mut ids = Vec::new();
    for name in ["bo", "eva", "ida"] {
        let entered = town.enter(&town.hr(), person(name, &[("1", "permanent", "2025-01-01", "2026-01-31")])).await;
        ids.push(entered["id"].as_str().expect("an id").to_owned());
    }
    let [bo, eva, ida] = ids.as_slice() else { panic!("three") };
    let hold = |reason: &str| json!([{ "op": "add", "path": format!("{PERSON}:legalHold.reason"), "value": reason }]);
    let release = json!([{ "op": "remove", "path": format!("{PERSON}:legalHold") }]);
    let refused = town.patch(&town.hr(), "User", bo, hold("x")).await.expect_err("HR may not");
    assert!(matches!(&refused, Error::Denied(detail) if detail.contains(DENIED)), "{refused}");
    assert!(town.patch(&town.admin(), "User", bo, hold(" ")).await.is_err(), "a reason is needed");
    for id in [bo, eva] {
        let held = town.patch(&town.admin(), "User", id, hold("inquiry 2026/17")).await.expect("held");
        let said = &held[PERSON]["legalHold"];
        assert_eq!((said["reason"].as_str(), said["by"].as_str()), (Some("inquiry 2026/17"), Some("admin")));
        assert_eq!(said["since"].as_str().map(at), Some(town.now()));
    }
    // HR sends all of it once more: the hold stays.
    let again = person("bo", &[("1", "permanent", "2025-01-01", "2026-01-31")]);
    assert_eq!(
        town.replace(&town.hr(), bo, again).await.expect("taken")[PERSON]["legalHold"]["reason"],
        "inquiry 2026/17"
    );
    town.wait_until("2026-02-12").await;
    assert_eq!(told(&town.whole(bo).await), "limbo off");
    assert_eq!(told(&town.whole(ida).await), "limbo off, purged 2026-03-03");
    let refused = town.delete(&town.admin(), "User", bo).await.expect_err("it is on hold");
    assert!(refused.to_string().contains("legal hold"), "{refused}");
    // Released in time, its clock is where it would have been; released late, it is over at once.
    let freed = town.patch(&town.admin(), "User", eva, release.clone()).await.expect("released");
    assert_eq!(told(&freed), "limbo off, purged 2026-03-03");
    town.wait_until("2026-06-01").await;
    for (id, is_there) in [(bo, true), (eva, false), (ida, false)] {
        assert_eq!(town.seen(&town.admin(), id).await.is_some(), is_there, "{id}");
    }
    town.patch(&town.admin(), "User", bo, release).await.expect("released");
    town.wait_until("2026-06-02").await;
    assert!(town.seen(&town.admin(), bo).await.is_none());
}
