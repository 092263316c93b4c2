//! Work items: opened once for each kind and thing, closed when their ground is gone, decided by whom.

use serde_json::{Value, json};

use matrikel::directory::work_items::WORK_ITEM;

use crate::lifecycle::town::{PERSON, Town};
use crate::rules::grants::{active, entered, with_groups, works};
use crate::support::both::on_both_databases;
use crate::support::register::id;

on_both_databases!(Town:
    duties_that_one_person_must_not_have_are_to_be_decided_until_they_are_not_met,
    who_never_came_is_to_be_found_out_about,
    what_was_given_by_hand_is_looked_at_when_the_task_is_another,
);

/// Every item as it is stored, the oldest first.
pub(super) async fn items(town: &Town) -> Vec<Value> {
    let tenant = town.register.tenant;
    let found = town.register.directory.store().read(move |reader| reader.records_of(tenant, WORK_ITEM)).await;
    let read = |record: &store::Record| {
        let mut document = store::work::document_of(record).expect("a document");
        document.insert("id".into(), record.id.to_string().into());
        Value::Object(document)
    };
    found.expect("read").iter().map(read).collect()
}

/// The same in short: `conflict open`.
pub(crate) async fn told(town: &Town) -> Vec<String> {
    let short = |item: &Value| format!("{} {}", item["kind"], item["state"]).replace('"', "");
    items(town).await.iter().map(short).collect()
}

async fn duties_that_one_person_must_not_have_are_to_be_decided_until_they_are_not_met(town: &Town) {
    with_groups(town, &["pays", "approves"]).await;
    active(town, "pays", r#"employments[taskCode eq "pays"]"#, json!({})).await;
    active(town, "approves", r#"employments[taskCode eq "approves"]"#, json!({ "notWith": ["pays"] })).await;
    let maj =
        entered(town, works("maj", &[("1", "pays", "2026-01-01", "2026-03-31"), ("2", "approves", "2026-02-01", "")]))
            .await;
    assert!(told(town).await.is_empty());
    town.wait_until("2026-02-02").await;
    let item = items(town).await.remove(0);
    assert_eq!(item["kind"], "conflict");
    assert_eq!(item["about"]["value"], json!(maj));
    assert_eq!(item["about"]["$ref"], json!(format!("../Users/{maj}")));
    assert_eq!(item["details"], json!(["approves: it must not be combined with the rule pays"]));
    let touch = |title: &str| json!([{ "op": "replace", "path": "title", "value": title }]);
    town.patch(&town.admin(), "User", &maj, touch("one")).await.expect("changed");
    assert_eq!(told(town).await, ["conflict open"], "it is opened once");
    let item = item["id"].as_str().expect("an id").to_owned();
    let state = |value: &str| json!([{ "op": "replace", "path": "state", "value": value }]);
    let error = town.patch(&town.admin(), WORK_ITEM, &item, state("over")).await.expect_err("no state");
    assert!(error.to_string().contains("open, done or dismissed"), "{error}");
    let error = town.delete(&town.admin(), WORK_ITEM, &item).await.expect_err("open");
    assert!(error.to_string().contains("open"), "{error}");
    let dismissed = town.patch(&town.admin(), WORK_ITEM, &item, state("dismissed")).await.expect("decided");
    assert!(dismissed["decidedBy"].is_string() && dismissed["decidedAt"].is_string(), "{dismissed}");
    town.patch(&town.admin(), "User", &maj, touch("two")).await.expect("changed");
    assert_eq!(told(town).await, ["conflict dismissed"], "what somebody has seen to stays so");
    town.patch(&town.admin(), WORK_ITEM, &item, state("open")).await.expect("open again");
    town.wait_until("2026-04-01").await;
    let item = items(town).await.remove(0);
    assert_eq!((&item["state"], &item["decidedBy"]), (&json!("done"), &Value::Null), "by itself");
    assert!(item["decidedAt"].is_string(), "{item}");
    town.create(&town.admin(), WORK_ITEM, json!({ "kind": "review" })).await.expect_err("the server opens them");
}

async fn who_never_came_is_to_be_found_out_about(town: &Town) {
    town.with_policy(json!({})).await;
    let mut body = works("maj", &[("1", "nurse", "2026-02-01", "")]);
    body["active"] = json!(false);
    let maj = id(&town.create(&town.hr(), "User", body).await.expect("made"));
    assert!(told(town).await.is_empty());
    town.wait_until("2026-02-02").await;
    assert_eq!(town.state(&maj).await, "suspended off");
    assert_eq!(told(town).await, ["noShow open"]);
    let on = json!([{ "op": "replace", "path": "active", "value": true }]);
    town.patch(&town.hr(), "User", &maj, on).await.expect("here she is");
    assert_eq!(told(town).await, ["noShow done"]);
}

async fn what_was_given_by_hand_is_looked_at_when_the_task_is_another(town: &Town) {
    with_groups(town, &["nurses"]).await;
    let rule = active(town, "nurses", r#"employments[taskCode eq "nurse"]"#, json!({})).await;
    let maj = entered(town, works("maj", &[("1", "clerk", "2026-01-01", "")])).await;
    let given = json!([{ "op": "add", "path": "include", "value": [
        { "value": maj, "reason": "helps out", "until": "2026-12-01" }] }]);
    town.patch(&town.admin(), "Rule", &rule, given).await.expect("given");
    town.wait_until("2026-01-06").await;
    assert!(told(town).await.is_empty());
    let mut moved = works("maj", &[("1", "porter", "2026-01-01", "")]);
    moved[PERSON]["employments"][0]["unit"] = json!("SKL");
    town.replace(&town.hr(), &maj, moved).await.expect("moved");
    assert_eq!(told(town).await, ["review open"]);
    town.delete(&town.admin(), "User", &maj).await.expect("gone");
    assert_eq!(told(town).await, ["review done"], "nobody is left to decide about");
}
