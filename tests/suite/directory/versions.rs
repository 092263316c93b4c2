//! Preconditions (RFC 7644 section 3.14): `If-Match` guards a write, `If-None-Match` saves an answer.

use std::sync::Arc;

use matrikel::directory::version::{Precondition, Tags};
use matrikel::directory::{Ctx, Error, Fetched};
use scim::resource::Projection;
use serde_json::{Value, json};

use crate::support::both::on_both_databases;
use crate::support::messages::{add_members, group, set, user, user_with};
use crate::support::register::{Register, refusal};

on_both_databases!(Register:
    a_write_depends_on_the_version_it_names,
    an_answer_that_is_known_is_not_given_again,
    a_stale_write_is_refused_even_when_it_would_change_nothing,
    last_modified_moves_with_every_version,
);

fn if_match(tag: &str) -> Precondition {
    Precondition { if_match: Some(Tags::parse(tag).expect("a tag")), if_none_match: None }
}

async fn a_write_depends_on_the_version_it_names(register: &Register) {
    let id = register.made("User", user("anna")).await;
    let first = register.etag("User", &id).await;
    let title = |text: &str| set("title", &json!(text));
    let ctx = || register.ctx();
    let second = register.patch_if(&ctx(), "User", &id, title("1"), &if_match(&first)).await.expect("first").etag;
    for stale in [first.as_str(), "W/\"99.abc\"", "\"nonsense\"", &format!("{first}, W/\"7.aa\"")] {
        let refused = [
            register.patch_if(&ctx(), "User", &id, title("2"), &if_match(stale)).await.expect_err("stale"),
            register.replace_if(&ctx(), "User", &id, user("x"), &if_match(stale)).await.expect_err("stale"),
            register
                .directory
                .remove(&ctx(), &register.definition("User"), &id, &if_match(stale))
                .await
                .expect_err("stale"),
        ];
        for error in refused {
            assert_eq!(refusal(&error), (412, Value::Null), "{stale}");
        }
    }
    assert_eq!(register.found("User", &id).await["title"], "1");
    // A membership moves the whole tag, but is no reason to refuse a write to the user.
    register.made("Group", group("crew", &[&id])).await;
    assert_ne!(register.etag("User", &id).await, second);
    let several = format!("\"x\", {second}");
    register.patch_if(&ctx(), "User", &id, title("2"), &if_match(&several)).await.expect("the version is the same");
    register.patch_if(&ctx(), "User", &id, title("3"), &if_match("*")).await.expect("any version");
    let tag = register.etag("User", &id).await;
    register.directory.remove(&ctx(), &register.definition("User"), &id, &if_match(&tag)).await.expect("removed");
    let gone = register.patch_if(&ctx(), "User", &id, title("4"), &if_match("*")).await.expect_err("gone");
    assert_eq!(refusal(&gone).0, 404);
}

async fn fetch(register: &Register, ctx: &Ctx, id: &str, tag: &str) -> Result<Fetched, Error> {
    let definition = register.definition("User");
    let known = Precondition { if_match: None, if_none_match: Some(Tags::parse(tag).expect("a tag")) };
    register.directory.fetch(ctx, &definition, id, &known, &Projection::whole(&definition)).await
}

async fn an_answer_that_is_known_is_not_given_again(register: &Register) {
    let id = register.made("User", user("anna")).await;
    let crew = register.made("Group", group("crew", &[])).await;
    let tag = register.etag("User", &id).await;
    let ctx = register.ctx();
    let known = |fetched: Result<Fetched, Error>| matches!(fetched.expect("fetched"), Fetched::NotModified { .. });
    assert!(known(fetch(register, &ctx, &id, &tag).await));
    assert!(known(fetch(register, &ctx, &id, "*").await));
    assert!(known(fetch(register, &ctx, &id, &format!("\"other\", {tag}")).await));
    assert!(!known(fetch(register, &ctx, &id, "W/\"1.ffff\"").await));
    register.patch(&register.ctx(), "Group", &crew, add_members(&[&id])).await.expect("patched");
    assert!(!known(fetch(register, &ctx, &id, &tag).await), "its groups are part of the answer");
    // Another profile is another answer, and so has another tag.
    let tag = register.etag("User", &id).await;
    let mut strict = register.ctx();
    Arc::make_mut(&mut strict.caller).profile = matrikel::directory::Profile::Interop01;
    assert!(!known(fetch(register, &strict, &id, &tag).await));
}

async fn a_stale_write_is_refused_even_when_it_would_change_nothing(register: &Register) {
    let id = register.made("User", user_with("anna", &json!({ "title": "a" }))).await;
    let first = register.etag("User", &id).await;
    register.patch(&register.ctx(), "User", &id, set("title", &json!("b"))).await.expect("patched");
    let same = set("title", &json!("b"));
    let error =
        register.patch_if(&register.ctx(), "User", &id, same.clone(), &if_match(&first)).await.expect_err("stale");
    assert_eq!(refusal(&error), (412, Value::Null));
    let current = register.etag("User", &id).await;
    let written = register.patch_if(&register.ctx(), "User", &id, same, &if_match(&current)).await.expect("patched");
    assert_eq!((written.etag, written.changes), (current, Vec::new()));
}

async fn last_modified_moves_with_every_version(register: &Register) {
    let mut ctx = register.ctx();
    let made = register.create(&ctx, "User", user("anna")).await.expect("created");
    let id = crate::support::register::id(&made);
    let mut last = register.found("User", &id).await["meta"]["lastModified"].as_str().expect("a time").to_owned();
    for n in 0..5 {
        // A clock that stands still, and one that goes back.
        ctx.now -= n;
        register.patch(&ctx, "User", &id, set("title", &json!(n.to_string()))).await.expect("patched");
        let user = register.found("User", &id).await;
        let now = user["meta"]["lastModified"].as_str().expect("a time").to_owned();
        assert!(now > last, "{now} after {last}");
        assert!(user["meta"]["created"].as_str() < Some(now.as_str()));
        last = now;
    }
    let changes = register.changes().await;
    assert!(changes.windows(2).all(|pair| pair[0].at < pair[1].at), "in commit order");
}
