//! A simulation is the same path that stores nothing: what it says would happen is what happens.

use serde_json::{Value, json};
use store::ResourceId;
use store::change::Change;
use uuid::Uuid;

use crate::support::both::on_both_databases;
use crate::support::messages::{add_members, group, patch, set, user, user_with};
use crate::support::register::{NEW_YEAR, Register, body, id, refusal};

on_both_databases!(Register: a_simulation_says_what_happens_and_stores_nothing, a_simulated_refusal_is_the_refusal);

/// One write.
enum Write {
    Create(&'static str, Value),
    Replace(&'static str, String, Value),
    Patch(&'static str, String, Value),
    Remove(&'static str, String),
}

/// The changes and the answer; both with what time alone decides taken away.
async fn perform(register: &Register, write: &Write, simulate: bool, seed: u64) -> (Vec<Change>, Value) {
    let mut ctx = register.seeded(seed);
    ctx.simulate = simulate;
    // The moment is part of an id.
    ctx.now = NEW_YEAR;
    let (changes, answer) = match write {
        Write::Create(kind, value) => {
            let written = register.create(&ctx, kind, value.clone()).await.expect("created");
            (written.changes.clone(), body(&written))
        }
        Write::Replace(kind, id, value) => {
            let written = register.replace(&ctx, kind, id, value.clone()).await.expect("replaced");
            (written.changes.clone(), body(&written))
        }
        Write::Patch(kind, id, value) => {
            let written = register.patch(&ctx, kind, id, value.clone()).await.expect("patched");
            (written.changes.clone(), body(&written))
        }
        Write::Remove(kind, id) => (register.remove(&ctx, kind, id).await.expect("removed"), Value::Null),
    };
    (changes.into_iter().map(timeless).collect(), without_times(answer))
}

fn timeless(change: Change) -> Change {
    Change { seq: 0, at: 0, txn: Uuid::nil(), ..change }
}

/// The answer without its times; the tag's digest holds the number of the newest nesting, which is drawn at the write.
fn without_times(mut answer: Value) -> Value {
    if let Some(meta) = answer.get_mut("meta").and_then(Value::as_object_mut) {
        meta.remove("created");
        meta.remove("lastModified");
        meta.remove("version");
    }
    answer
}

async fn a_simulation_says_what_happens_and_stores_nothing(register: &Register) {
    let anna = register.made("User", user_with("anna", &json!({ "title": "Rektor", "externalId": "e-1" }))).await;
    let bo = register.made("User", user("bo")).await;
    let crew = register.made("Group", group("crew", &[&anna])).await;
    let outer = register.made("Group", group("outer", &[&crew])).await;
    let writes = [
        Write::Create("User", user_with("carin", &json!({ "password": "hemligt-9", "externalId": "e-3" }))),
        Write::Create("Group", group("new", &[&anna, &crew])),
        Write::Replace("User", anna.clone(), user_with("anna", &json!({ "nickName": "A" }))),
        Write::Replace("Group", crew.clone(), group("renamed", &[&bo])),
        Write::Patch("User", bo.clone(), set("name.familyName", &json!("Berg"))),
        Write::Patch("User", bo.clone(), set("externalId", &json!("e-2"))),
        Write::Patch("User", bo.clone(), set("name.familyName", &json!("Berg"))),
        Write::Patch("Group", crew.clone(), add_members(&[&anna, &bo])),
        Write::Patch(
            "Group",
            outer.clone(),
            patch(&json!([{ "op": "remove", "path": format!("members[value eq \"{crew}\"]") }])),
        ),
        Write::Patch(
            "Group",
            crew.clone(),
            patch(&json!([
                { "op": "replace", "path": "displayName", "value": "twice" },
                { "op": "remove", "path": "members" }
            ])),
        ),
        Write::Patch("Group", outer.clone(), add_members(&[&crew, &bo])),
        Write::Remove("User", bo),
        Write::Remove("Group", crew),
        Write::Remove("User", anna),
    ];
    for (n, write) in (0_u64..).zip(&writes) {
        let head = register.head().await;
        let everything = everything(register).await;
        let planned = perform(register, write, true, n).await;
        assert_eq!(register.head().await, head, "write {n} stored something");
        assert_eq!(self::everything(register).await, everything, "write {n} stored something");
        let again = perform(register, write, true, n).await;
        assert_eq!(again, planned, "a simulation can be repeated");
        let done = perform(register, write, false, n).await;
        assert_eq!(done, planned, "write {n} did something else than was said");
        let (seq, _) = register.head().await;
        assert_eq!(seq - head.0, done.0.len() as i64, "write {n} drew a number for each change");
    }
    // What was planned is also what lies in the feed.
    assert!(register.changes().await.iter().all(|change| change.resource != ResourceId::SYSTEM));
}

async fn everything(register: &Register) -> Vec<Value> {
    let mut all = Vec::new();
    for kind in ["User", "Group"] {
        all.push(
            register
                .search(
                    &register.ctx(),
                    kind,
                    &[("attributes", "members,groups,userName,displayName,externalId,meta,title,name")],
                )
                .await
                .expect("found"),
        );
    }
    all
}

async fn a_simulated_refusal_is_the_refusal(register: &Register) {
    let anna = register.made("User", user("anna")).await;
    let crew = register.made("Group", group("crew", &[&anna])).await;
    let head = register.head().await;
    for simulate in [true, false] {
        let ctx = || {
            let mut ctx = register.ctx();
            ctx.simulate = simulate;
            ctx
        };
        let error = register.create(&ctx(), "User", user("ANNA")).await.expect_err("taken");
        assert_eq!(refusal(&error), (409, json!("uniqueness")));
        let error = register.patch(&ctx(), "Group", &crew, add_members(&[&crew])).await.expect_err("a cycle");
        assert_eq!(refusal(&error), (400, json!("invalidValue")));
        let error = register.patch(&ctx(), "User", &anna, set("userName", &json!(""))).await.expect_err("empty");
        assert_eq!(refusal(&error).0, 400);
        let error = register.remove(&ctx(), "Group", &anna).await.expect_err("a user is no group");
        assert_eq!(refusal(&error), (404, Value::Null));
        assert_eq!(register.head().await, head);
    }
    let mut ctx = register.seeded(1);
    ctx.simulate = true;
    let imagined = id(&register.create(&ctx, "User", user("bo")).await.expect("it would be"));
    let error = register.fetch(&register.ctx(), "User", &imagined).await.expect_err("it is not");
    assert_eq!(refusal(&error), (404, Value::Null));
}
