//! What one human being must not have together, and has once, whichever of its accounts it is asked of.

use serde_json::{Value, json};

use crate::support::api::{Api, verify};
use crate::support::both::on_both_databases;
use crate::support::messages::user_with;
use crate::support::municipality::{Municipality, PERSON};

on_both_databases!(Municipality:
    duties_are_kept_apart_across_the_accounts_of_one_human_being,
    a_right_of_the_person_is_had_by_one_of_its_accounts,
);

const NUMBER: &str = "811218-9876";

/// A register with a policy and groups of these names.
async fn with_groups(register: &Municipality, names: &[&str]) {
    let admin = &register.ready().await.admin;
    let policy =
        json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "Europe/Helsinki" });
    admin.post("/Policies", &policy).await.expect(201);
    for name in names {
        let group = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name });
        admin.post("/Groups", &group).await.expect(201);
    }
}

async fn rule(register: &Municipality, name: &str, task: &str, more: Value) {
    let mut body = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Rule"], "name": name, "lifecycle": "active",
        "filter": format!("employments[taskCode eq \"{task}\"]"), "grants": [{ "type": "group", "value": name }],
    });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    register.admin.post("/Rules", &body).await.expect(201);
}

/// An account with a number and a task since a day; its id.
async fn account(source: &Api, name: &str, task: &str, start: &str) -> String {
    let employment = json!({ "employmentId": "1", "start": start, "taskCode": task });
    let body = user_with(name, &json!({ PERSON: { "personalNumber": NUMBER, "employments": [employment] } }));
    source.post("/Users", &body).await.expect(201).body["id"].as_str().expect("an id").to_owned()
}

async fn groups(register: &Municipality, user: &str) -> Vec<String> {
    let user = register.admin.get(&format!("/Users/{user}")).await.expect(200).body;
    let groups = user["groups"].as_array().cloned().unwrap_or_default();
    groups.iter().map(|group| group["display"].as_str().expect("a name").to_owned()).collect()
}

/// Waits until the accounts are in just these groups.
pub(crate) async fn until(register: &Municipality, expected: &[(&str, &[&str])]) {
    let mut told = Vec::new();
    for _ in 0..1_200 {
        told.clear();
        for (user, names) in expected {
            let is = groups(register, user).await;
            if is != *names {
                told.push(format!("{user}: {is:?} and not {names:?}"));
            }
        }
        if told.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("{told:?}");
}

async fn reason(register: &Municipality, user: &str, target: &str) -> String {
    let why = register.admin.get(&format!("/Users/{user}/why?target={target}")).await.expect(200).body;
    why["rights"][0]["grounds"][0]["reason"].as_str().unwrap_or_default().to_owned()
}

async fn duties_are_kept_apart_across_the_accounts_of_one_human_being(register: &Municipality) {
    with_groups(register, &["pays", "approves"]).await;
    let staff = register.source("hr2", "administration").await;
    let school = register.source("primus", "education").await;
    rule(register, "pays", "payer", json!({})).await;
    rule(register, "approves", "approver", json!({ "notWith": ["pays"] })).await;
    let office = account(&staff, "maj", "payer", "2020-01-01").await;
    until(register, &[(&office, &["pays"])]).await;
    // Only when it is entered is it known that it is the same human being.
    let other = account(&school, "maj.l", "approver", "2019-01-01").await;
    until(register, &[(&office, &["pays"]), (&other, &[])]).await;
    let told = reason(register, &other, "approves").await;
    assert!(told.contains("the rule pays that another account of the same person has"), "{told}");
    // When the one goes, the other comes; and back it does not, for it is the newer now.
    let task = |task: &str| json!([{ "op": "replace", "path": format!("{PERSON}:employments[employmentId eq \"1\"].taskCode"), "value": task }]);
    staff.patch(&format!("/Users/{office}"), &task("clerk")).await.expect(200);
    until(register, &[(&office, &[]), (&other, &["approves"])]).await;
    staff.patch(&format!("/Users/{office}"), &task("payer")).await.expect(200);
    until(register, &[(&office, &[]), (&other, &["approves"])]).await;
    // They are two people after all: the link is taken back.
    let person =
        register.admin.get(&format!("/Users/{office}")).await.expect(200).body[PERSON]["person"]["value"].clone();
    let person = format!("/Persons/{}", person.as_str().expect("a person"));
    let apart = json!([{ "op": "remove", "path": format!("accounts[value eq \"{other}\"]") }]);
    register.admin.patch(&person, &apart).await.expect(200);
    until(register, &[(&office, &["pays"]), (&other, &["approves"])]).await;
    // And one again: the older right stays.
    let together = json!([{ "op": "add", "path": "accounts", "value": [{ "value": other, "kind": "manual" }] }]);
    register.admin.patch(&person, &together).await.expect(200);
    until(register, &[(&office, &[]), (&other, &["approves"])]).await;
    verify(&register.server).await;
}

async fn a_right_of_the_person_is_had_by_one_of_its_accounts(register: &Municipality) {
    with_groups(register, &["licence"]).await;
    let staff = register.source("hr2", "administration").await;
    let school = register.source("primus", "education").await;
    rule(register, "licence", "teacher", json!({ "scope": "person" })).await;
    let first = account(&staff, "maj", "teacher", "2020-01-01").await;
    let second = account(&school, "maj.l", "teacher", "2019-01-01").await;
    until(register, &[(&first, &["licence"]), (&second, &[])]).await;
    let told = reason(register, &second, "licence").await;
    assert!(told.contains("another account of the same person has it"), "{told}");
    // It goes with the account that has it, and the other one gets it.
    register.admin.delete(&format!("/Users/{first}")).await.expect(204);
    until(register, &[(&second, &["licence"])]).await;
    verify(&register.server).await;
}
