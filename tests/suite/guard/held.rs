//! What is too much within a day is held, whoever does it: single writes, days, rules, units. A person allows or rejects it.

use matrikel::directory::types::Document;
use matrikel::directory::work_items::WORK_ITEM;
use matrikel::directory::{Ctx, Error, Precondition};
use serde_json::{Value, json};
use store::work::document_of;

use super::items::{items, told};
use crate::lifecycle::town::{PERSON, Town};
use crate::rules::grants::{active, groups, wake, works};
use crate::support::both::on_both_databases;
use crate::support::register::id;

on_both_databases!(Town:
    a_client_that_deletes_too_many_is_held_and_goes_on_when_it_is_allowed,
    a_client_that_was_rejected_stays_held_and_is_asked_about_once,
    a_declared_change_passes_and_so_does_a_block,
    every_sort_has_its_limit_and_a_client_may_have_its_own,
    a_day_on_which_too_many_leave_is_held_whole_and_done_when_it_is_allowed,
    what_a_rule_would_take_from_too_many_is_held,
    no_unit_loses_over_half_by_one_client,
    what_a_moved_unit_would_take_is_held,
    without_a_policy_that_guards_nothing_is_held,
);

/// A register whose policy guards, with what `more` says otherwise.
async fn guarded(town: &Town, more: Value) -> String {
    let mut policy = json!({ "guarded": true });
    for (name, value) in more.as_object().expect("an object") {
        policy[name] = value.clone();
    }
    town.with_policy(policy).await
}

/// Limits of so many of each of these sorts, whatever the register holds.
fn limits(of: &[(&str, u64)]) -> Value {
    of.iter().map(|(sort, floor)| json!({ "sort": sort, "percent": 0, "floor": floor })).collect()
}

async fn people(town: &Town, n: usize, last_day: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..n {
        let body = works(&format!("u{n}"), &[("1", "nurse", "2026-01-01", last_day)]);
        ids.push(town.enter(&town.hr(), body).await["id"].as_str().expect("an id").to_owned());
    }
    ids
}

/// The runs, the oldest first: id and document.
async fn runs(town: &Town) -> Vec<(String, Value)> {
    let tenant = town.register.tenant;
    let found = town.register.directory.store().read(move |reader| reader.records_of(tenant, "Run")).await;
    let read =
        |record: &store::Record| (record.id.to_string(), Value::Object(document_of(record).expect("a document")));
    found.expect("read").iter().map(read).collect()
}

async fn decide(town: &Town, run: &str, decision: &str) -> Value {
    let decision = json!([{ "op": "replace", "path": "decision", "value": decision }]);
    town.patch(&town.admin(), "Run", run, decision).await.expect("decided")
}

fn held(outcome: Result<(), Error>) -> String {
    match outcome {
        Err(Error::Held(held)) => {
            held.tripped.iter().map(|one| format!("{} {}/{}", one.limit, one.count, one.most)).collect()
        }
        other => panic!("{other:?}"),
    }
}

async fn living(town: &Town, ids: &[String]) -> usize {
    let mut living = 0;
    for id in ids {
        living += usize::from(town.seen(&town.admin(), id).await.is_some_and(|user| user["active"] == true));
    }
    living
}

async fn a_client_that_deletes_too_many_is_held_and_goes_on_when_it_is_allowed(town: &Town) {
    // DELETE by a source withdraws: the account is disabled.
    guarded(town, json!({ "guardLimits": limits(&[("disables", 2)]) })).await;
    let ids = people(town, 6, "").await;
    for id in &ids[..2] {
        town.delete(&town.hr(), "User", id).await.expect("within the limit");
    }
    assert_eq!(held(town.delete(&town.hr(), "User", &ids[2]).await), "disables 3/2");
    assert_eq!(held(town.delete(&town.hr(), "User", &ids[3]).await), "disables 3/2");
    assert_eq!(living(town, &ids).await, 4, "what is refused is not done");
    let all = runs(town).await;
    assert_eq!(all.len(), 1, "it is asked about once: {all:?}");
    let (run, document) = &all[0];
    assert_eq!((&document["state"], &document["cause"]), (&json!("held"), &json!("push")));
    assert_eq!(document["client"]["value"], json!(town.hr().caller.id.to_string()));
    assert_eq!(told(town).await, ["heldChange open"]);
    // Others are not held for it, nor is what harms nobody.
    town.delete(&town.source("school"), "User", &ids[4]).await.expect("another's");
    town.patch(&town.hr(), "User", &ids[5], json!([{ "op": "replace", "path": "title", "value": "x" }]))
        .await
        .expect("x");
    assert_eq!(decide(town, run, "allow").await["state"], "applied");
    let item = items(town).await.remove(0);
    assert_eq!((&item["state"], item["decidedBy"].is_string()), (&json!("done"), true));
    town.delete(&town.hr(), "User", &ids[2]).await.expect("allowed");
    town.delete(&town.hr(), "User", &ids[3]).await.expect("allowed");
    // A day later it counts anew.
    town.sleep_until("2026-01-07");
    town.delete(&town.hr(), "User", &ids[5]).await.expect("another day");
    assert_eq!(runs(town).await.len(), 1);
}

async fn a_client_that_was_rejected_stays_held_and_is_asked_about_once(town: &Town) {
    guarded(town, json!({ "guardLimits": limits(&[("disables", 1)]) })).await;
    let ids = people(town, 4, "").await;
    town.delete(&town.hr(), "User", &ids[0]).await.expect("within the limit");
    held(town.delete(&town.hr(), "User", &ids[1]).await);
    let run = runs(town).await.remove(0).0;
    assert_eq!(decide(town, &run, "reject").await["state"], "rejected");
    held(town.delete(&town.hr(), "User", &ids[1]).await);
    assert_eq!(runs(town).await.len(), 1, "who was rejected is not asked about again the same day");
    let decision = json!([{ "op": "replace", "path": "decision", "value": "allow" }]);
    town.patch(&town.admin(), "Run", &run, decision).await.expect_err("it is decided");
    assert_eq!(told(town).await, ["heldChange done"]);
    // Rehearsing writes nothing.
    let simulated = Ctx { simulate: true, ..town.hr() };
    held(town.delete(&simulated, "User", &ids[1]).await);
}

async fn a_declared_change_passes_and_so_does_a_block(town: &Town) {
    let planned =
        json!([{ "name": "merger", "from": "2026-01-10T00:00:00Z", "until": "2026-01-11T00:00:00Z", "percent": 100 }]);
    guarded(town, json!({ "guardLimits": limits(&[("disables", 1)]), "guardPlanned": planned })).await;
    let ids = people(town, 6, "").await;
    town.delete(&town.hr(), "User", &ids[0]).await.expect("within the limit");
    held(town.delete(&town.hr(), "User", &ids[1]).await);
    let blocks = town.with_scopes("hr", "*:read *:write User:block");
    let reason = json!([{ "op": "add", "path": format!("{PERSON}:block.reason"), "value": "stolen" }]);
    for id in &ids[4..] {
        town.patch(&blocks, "User", id, reason.clone()).await.expect("nothing holds a block back");
        assert_eq!(town.whole(id).await["active"], false);
    }
    town.sleep_until("2026-01-10T12:00:00Z");
    for id in &ids[1..4] {
        town.delete(&town.hr(), "User", id).await.expect("it was declared");
    }
    let wrong = json!([{ "op": "replace", "path": "guardPlanned", "value": [
        { "name": "x", "from": "2026-01-11T00:00:00Z", "until": "2026-01-10T00:00:00Z", "percent": 5 }] }]);
    let policy = town.register.directory.store();
    let tenant = town.register.tenant;
    let policy = policy.read(move |reader| reader.records_of(tenant, "Policy")).await.expect("read").remove(0).id;
    let error = town.patch(&town.admin(), "Policy", &policy.to_string(), wrong).await.expect_err("no span");
    assert!(error.to_string().contains("guardPlanned[0]"), "{error}");
}

async fn every_sort_has_its_limit_and_a_client_may_have_its_own(town: &Town) {
    let school = town.source("school").caller.id.to_string();
    let mut all = limits(&[("creates", 4), ("memberRemovals", 1), ("emailChanges", 1), ("deletes", 0)]);
    all.as_array_mut().expect("a list").push(json!({ "sort": "creates", "client": school, "percent": 0, "floor": 0 }));
    guarded(town, json!({ "guardLimits": all })).await;
    let ids = people(town, 3, "").await;
    let new = |name: &str| json!({ "userName": name });
    let refused = town.create(&town.source("school"), "User", new("pupil")).await.map(drop);
    assert_eq!(held(refused), "creates 1/0", "a limit of its own");
    let group = id(&town.create(&town.hr(), "Group", json!({ "displayName": "crew" })).await.expect("a group"));
    let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
    let add = json!([{ "op": "add", "path": "members", "value": members }]);
    town.patch(&town.hr(), "Group", &group, add).await.expect("members come");
    let out = |id: &str| json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]);
    town.patch(&town.hr(), "Group", &group, out(&ids[0])).await.expect("one");
    assert_eq!(held(town.patch(&town.hr(), "Group", &group, out(&ids[1])).await.map(drop)), "memberRemovals 2/1");
    assert_eq!(
        held(town.delete(&town.hr(), "Group", &group).await),
        "memberRemovals 3/1",
        "a group that goes takes all"
    );
    let mail = |to: &str| json!([{ "op": "replace", "path": "emails", "value": [{ "value": to, "type": "work" }] }]);
    for (n, id) in ids.iter().enumerate() {
        town.patch(&town.hr(), "User", id, mail(&format!("a{n}@x.example"))).await.expect("a first address");
    }
    town.patch(&town.hr(), "User", &ids[0], mail("b0@x.example")).await.expect("one");
    assert_eq!(held(town.patch(&town.hr(), "User", &ids[1], mail("b1@x.example")).await.map(drop)), "emailChanges 2/1");
    assert_eq!(held(town.delete(&town.admin(), "User", &ids[0]).await), "deletes 1/0", "administrators too");
    town.create(&town.hr(), "User", new("fourth")).await.expect("four");
    assert_eq!(held(town.create(&town.hr(), "User", new("fifth")).await.map(drop)), "creates 5/4");
}

async fn a_day_on_which_too_many_leave_is_held_whole_and_done_when_it_is_allowed(town: &Town) {
    guarded(town, json!({ "guardLimits": limits(&[("disables", 2)]) })).await;
    let ids = people(town, 5, "2026-01-31").await;
    let stays = people_of(town, "stays", "").await;
    town.wait_until("2026-01-30").await;
    let done = town.wait_until("2026-02-02").await;
    assert_eq!(done.changed, 0, "nothing of it is done");
    assert_eq!(living(town, &ids).await, 5);
    assert_eq!(told(town).await, ["heldChange open"]);
    let (run, document) = runs(town).await.remove(0);
    assert_eq!(document["cause"], "days");
    assert_eq!(document["tripped"], json!([{ "limit": "disables", "count": 5, "most": 2 }]));
    town.wait_until("2026-02-03").await;
    assert_eq!(runs(town).await.len(), 1, "the same is held once");
    assert_eq!(decide(town, &run, "allow").await["state"], "applied");
    wake(town).await;
    assert_eq!(living(town, &ids).await, 0, "allowed, it is carried out");
    assert_eq!(living(town, &[stays]).await, 1);
    wake(town).await;
    assert_eq!((runs(town).await.len(), told(town).await), (1, vec!["heldChange done".to_owned()]));
}

async fn people_of(town: &Town, name: &str, last_day: &str) -> String {
    let body = works(name, &[("1", "nurse", "2026-01-01", last_day)]);
    town.enter(&town.hr(), body).await["id"].as_str().expect("an id").to_owned()
}

async fn what_a_rule_would_take_from_too_many_is_held(town: &Town) {
    guarded(town, json!({ "guardLimits": limits(&[("memberRemovals", 2)]) })).await;
    town.create(&town.admin(), "Group", json!({ "displayName": "nurses" })).await.expect("a group");
    let rule = active(town, "nurses", r#"employments[taskCode eq "nurse"]"#, json!({})).await;
    let ids = people(town, 4, "").await;
    wake(town).await;
    assert_eq!(groups(town, &ids[0]).await, ["nurses"]);
    let set = |stage: &str| json!([{ "op": "replace", "path": "lifecycle", "value": stage }]);
    town.patch(&town.admin(), "Rule", &rule, set("deprecated")).await.expect("deprecated");
    wake(town).await;
    for id in &ids {
        assert_eq!(groups(town, id).await, ["nurses"], "nothing of it is done");
    }
    let (run, document) = runs(town).await.remove(0);
    assert_eq!(document["tripped"][0]["limit"], "memberRemovals");
    assert_eq!(decide(town, &run, "reject").await["state"], "rejected");
    // Whoever rejects it takes the change back, and nothing has happened when they are looked at again.
    town.patch(&town.admin(), "Rule", &rule, set("active")).await.expect("active again");
    town.wait_until("2026-01-08").await;
    assert_eq!(groups(town, &ids[3]).await, ["nurses"]);
    assert_eq!(runs(town).await.len(), 1);
}

async fn no_unit_loses_over_half_by_one_client(town: &Town) {
    guarded(town, json!({ "guardLimits": limits(&[("disables", 100), ("creates", 100)]) })).await;
    let path = format!("{PERSON}:employments.unit");
    let directory = &town.register.directory;
    directory.index(&town.admin(), "User", &path).await.expect("an index");
    let mut ids = Vec::new();
    for n in 0..12 {
        let mut body = works(&format!("u{n}"), &[("1", "nurse", "2026-01-01", "")]);
        body[PERSON]["employments"][0]["unit"] = json!("SKL");
        ids.push(town.enter(&town.hr(), body).await["id"].as_str().expect("an id").to_owned());
    }
    for id in &ids[..6] {
        town.delete(&town.hr(), "User", id).await.expect("half");
    }
    assert_eq!(held(town.delete(&town.hr(), "User", &ids[6]).await), "unit SKL 7/6");
}

async fn what_a_moved_unit_would_take_is_held(town: &Town) {
    guarded(town, json!({ "guardLimits": limits(&[("memberRemovals", 2)]) })).await;
    let directory = &town.register.directory;
    let shipped = scim::schema::shipped::of_name("organizational-unit").expect("it is shipped");
    for (kind, text) in [(Document::Schema, shipped.schema), (Document::ResourceType, shipped.resource_type)] {
        let document = serde_json::from_str(text).expect("JSON");
        directory.add_document(&town.admin(), kind, document).await.expect("installed");
    }
    town.refresh().await;
    let mut units = Vec::new();
    for (code, parent) in [("KER", None), ("TEK", None), ("SKL", Some("KER"))] {
        let mut body = json!({ "code": code, "displayName": code });
        if let Some(parent) = parent {
            body["parent"] = json!({ "code": parent });
        }
        units.push(id(&town.create(&town.admin(), "OrganizationalUnit", body).await.expect("a unit")));
    }
    town.create(&town.admin(), "Group", json!({ "displayName": "ker" })).await.expect("a group");
    active(town, "ker", r#"employments[unitPath sw "/KER/"]"#, json!({})).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        let mut body = works(&format!("u{n}"), &[("1", "nurse", "2026-01-01", "")]);
        body[PERSON]["employments"][0]["unit"] = json!("SKL");
        ids.push(town.enter(&town.hr(), body).await["id"].as_str().expect("an id").to_owned());
    }
    wake(town).await;
    let elsewhere = json!([{ "op": "replace", "path": "parent.code", "value": "TEK" }]);
    town.patch(&town.admin(), "OrganizationalUnit", &units[2], elsewhere).await.expect("moved");
    wake(town).await;
    for id in &ids {
        assert_eq!(groups(town, id).await, ["ker"], "nothing of it is done");
    }
    let run = runs(town).await.remove(0).0;
    decide(town, &run, "allow").await;
    wake(town).await;
    for id in &ids {
        assert!(groups(town, id).await.is_empty(), "allowed, it is carried out");
    }
}

async fn without_a_policy_that_guards_nothing_is_held(town: &Town) {
    town.with_policy(json!({})).await;
    let ids = people(town, 12, "").await;
    for id in &ids {
        town.delete(&town.hr(), "User", id).await.expect("nobody minds");
    }
    assert!(runs(town).await.is_empty() && told(town).await.is_empty());
    let none = Precondition::none();
    let definition = town.definition(WORK_ITEM);
    let missing = "01913a52-0000-7000-8000-000000000000";
    town.register.directory.remove(&town.admin(), &definition, missing, &none).await.expect_err("not there");
}
