//! What a source has put somebody into, or written into a user, is its word: a ground of its own, told with the client, until
//! the source takes it back. What an administrator does is done by hand.

use std::sync::Arc;

use matrikel::directory::report::rights::{Lack, Rights};
use matrikel::directory::{Ctx, Role};
use serde_json::{Value, json};

use super::grants::{active, entered, groups, wake, why, with_groups, works};
use crate::licences::pool::install;
use crate::lifecycle::town::Town;
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    who_a_source_puts_into_a_group_is_there_on_its_word,
    what_a_source_says_stays_when_a_rule_ends_and_goes_when_it_takes_it_back,
    an_entitlement_that_a_source_writes_is_held_on_its_word,
);

const NURSE: &str = r#"employments[taskCode eq "nurse" and current eq true]"#;

/// A client that pushes, as its token would say.
fn school(town: &Town) -> Ctx {
    let mut ctx = town.source("school");
    Arc::make_mut(&mut ctx.caller).role = Role::Source;
    ctx
}

async fn set(town: &Town, ctx: &Ctx, op: &str, group: &str, user: &str) {
    let operation = match op {
        "add" => json!([{ "op": "add", "path": "members", "value": [{ "value": user }] }]),
        _ => json!([{ "op": "remove", "path": format!("members[value eq \"{user}\"]") }]),
    };
    town.patch(ctx, "Group", group, operation).await.unwrap_or_else(|error| panic!("{error}"));
}

/// What somebody holds and why: `class source 7363…`.
async fn grounds(town: &Town, user: &str, at: Option<i64>) -> Vec<String> {
    let told = why(town, &town.admin(), user, None, at).await.expect("an answer");
    let mut lines = Vec::new();
    for right in told["rights"].as_array().expect("rights").iter().filter(|right| right["held"] == true) {
        for ground in right["grounds"].as_array().expect("grounds") {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let source = text(&ground["source"]["value"]);
            // An entitlement that nobody has called anything is known by its type here.
            let [kind, name] = ["type", "display"].map(|name| text(&right["target"][name]));
            let name = if name.is_empty() { kind } else { name };
            lines.push(format!("{name} {} {source}", text(&ground["kind"])));
        }
    }
    lines.sort();
    lines
}

/// How many rights are listed that have a lack.
async fn listed(town: &Town, kind: Option<Lack>) -> usize {
    let asked = Rights { kind, ..Rights::default() };
    town.register.directory.rights_report(&town.admin(), &asked).await.expect("a page").rights.len()
}

async fn who_a_source_puts_into_a_group_is_there_on_its_word(town: &Town) {
    let made = with_groups(town, &["class", "nurses"]).await;
    active(town, "nurses", NURSE, json!({})).await;
    let maj = entered(town, works("maj", &[("1", "clerk", "2026-01-01", "")])).await;
    let bo = entered(town, works("bo", &[("1", "clerk", "2026-01-01", "")])).await;
    let source = school(town).caller.id;
    set(town, &school(town), "add", &made[0], &maj).await;
    set(town, &town.admin(), "add", &made[0], &bo).await;
    assert_eq!(grounds(town, &maj, None).await, [format!("class source {source}")]);
    assert_eq!((listed(town, None).await, listed(town, Some(Lack::Source)).await), (1, 1), "a word is a ground");
    // Somebody who works as a person by that client, or a group that comes with its members.
    let mut person = school(town);
    Arc::make_mut(&mut person.caller).user = Some(maj.parse().expect("an id"));
    set(town, &person, "add", &made[1], &maj).await;
    assert_eq!(listed(town, Some(Lack::Source)).await, 1);
    let body = json!({ "displayName": "choir", "members": [{ "value": bo }] });
    town.create(&school(town), "Group", body).await.expect("a group");
    assert_eq!(grounds(town, &bo, None).await, [format!("choir source {source}")]);
    // What is said of a group that no rule gives is the source's business, whatever becomes of the account.
    wake(town).await;
    assert_eq!(groups(town, &maj).await, ["class", "nurses"]);
    let before = town.now();
    town.wait_until("2026-01-06").await;
    set(town, &school(town), "remove", &made[0], &maj).await;
    assert_eq!(grounds(town, &maj, None).await, [""; 0]);
    assert_eq!(grounds(town, &maj, Some(before + 1_000)).await, [format!("class source {source}")], "evidence stays");
    assert_eq!(listed(town, Some(Lack::Source)).await, 1, "the choir");
}

async fn what_a_source_says_stays_when_a_rule_ends_and_goes_when_it_takes_it_back(town: &Town) {
    let made = with_groups(town, &["nurses"]).await;
    active(town, "nurses", NURSE, json!({})).await;
    let jobs = [("1", "clerk", "2026-01-01", ""), ("2", "nurse", "2026-01-10", "2026-01-31")];
    let maj = entered(town, works("maj", &jobs)).await;
    set(town, &school(town), "add", &made[0], &maj).await;
    town.wait_until("2026-01-15").await;
    let source = school(town).caller.id;
    assert_eq!(grounds(town, &maj, None).await, ["nurses rule -".to_owned(), format!("nurses source {source}")]);
    town.wait_until("2026-02-05").await;
    assert_eq!(groups(town, &maj).await, ["nurses"], "the rule's ground is gone, the source's is not");
    assert_eq!(grounds(town, &maj, None).await, [format!("nurses source {source}")]);
    set(town, &school(town), "remove", &made[0], &maj).await;
    wake(town).await;
    assert_eq!(groups(town, &maj).await, [""; 0]);
    assert_eq!(grounds(town, &maj, None).await, [""; 0]);
    assert_eq!(listed(town, None).await, 0);
}

async fn an_entitlement_that_a_source_writes_is_held_on_its_word(town: &Town) {
    with_groups(town, &["nurses"]).await;
    install(town, &["entitlement"]).await;
    active(town, "nurses", NURSE, json!({})).await;
    town.create(&town.admin(), "Entitlement", json!({ "value": "vpn" })).await.expect("an entitlement");
    let source = school(town).caller.id;
    let mut body = works("maj", &[("1", "clerk", "2026-01-01", "")]);
    body["entitlements"] = json!([{ "value": "vpn" }, { "value": "nobody knows" }]);
    let maj = town.enter(&school(town), body.clone()).await["id"].as_str().expect("an id").to_owned();
    let bo = entered(town, works("bo", &[("1", "clerk", "2026-01-01", "")])).await;
    let add = json!([{ "op": "add", "path": "entitlements", "value": [{ "value": "VPN" }] }]);
    town.patch(&school(town), "User", &bo, add.clone()).await.expect("added");
    for user in [&maj, &bo] {
        assert_eq!(grounds(town, user, None).await, [format!("Entitlement source {source}")]);
    }
    assert_eq!((listed(town, None).await, listed(town, Some(Lack::Source)).await), (0, 2));
    body.as_object_mut().expect("an object").remove("entitlements");
    town.replace(&school(town), &maj, body).await.expect("put");
    wake(town).await;
    assert_eq!(grounds(town, &maj, None).await, [""; 0]);
    assert_eq!(town.whole(&maj).await.get("entitlements"), None, "what is taken back stays away");
    let take = json!([{ "op": "remove", "path": "entitlements" }]);
    town.patch(&town.admin(), "User", &bo, take).await.expect("removed");
    assert_eq!(grounds(town, &bo, None).await, [""; 0]);
    town.patch(&town.admin(), "User", &bo, add).await.expect("added");
    assert_eq!((listed(town, None).await, listed(town, Some(Lack::Source)).await), (1, 0), "by hand");
}
