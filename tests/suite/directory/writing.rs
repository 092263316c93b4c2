//! What a write leaves behind, and what it does not.

use matrikel::directory::version::{Precondition, Tags};
use scim::resource::Projection;
use serde_json::{Value, json};
use store::change::Op;

use crate::support::both::on_both_databases;
use crate::support::messages::{group, patch, set, user, user_with};
use crate::support::register::{Register, body, id, refusal};

on_both_databases!(Register:
    a_write_that_changes_nothing_leaves_nothing_behind,
    put_clears_what_is_left_out_and_keeps_the_password,
    a_password_lies_nowhere_in_clear,
    a_deleted_name_is_free_at_once_and_comes_with_a_new_id,
    what_was_deleted_is_gone_for_every_use_case,
    a_group_is_deleted_then_its_members_then_somebody_is_made,
    put_never_creates,
    taken_names_are_refused_and_nothing_changes,
);

async fn a_write_that_changes_nothing_leaves_nothing_behind(register: &Register) {
    let full = user_with(
        "anna",
        &json!({
            "name": { "givenName": "Anna", "familyName": "Å" },
            "emails": [{ "value": "anna@example.se", "type": "work", "primary": true }],
            "active": true,
            "externalId": "e-1"
        }),
    );
    let ctx = register.client("hr");
    let id = id(&register.create(&ctx, "User", full.clone()).await.expect("created"));
    let member = register.made("User", user("member")).await;
    let crew = register.made("Group", group("crew", &[&id, &member])).await;
    let (head, user_before, group_before) = (
        register.head().await,
        register.fetch(&ctx, "User", &id).await.expect("found"),
        register.found("Group", &crew).await,
    );

    let in_other_words = user_with(
        "anna",
        &json!({
            "active": "True", "EMAILS": [{ "primary": true, "type": "work", "value": "anna@example.se" }],
            "name": { "familyName": "Å", "givenName": "Anna" }, "externalId": "e-1", "nickName": null, "phoneNumbers": []
        }),
    );
    for body in [full, in_other_words] {
        let ctx = register.client("hr");
        let written = register.replace(&ctx, "User", &id, body).await.expect("replaced");
        assert_eq!(written.changes, []);
        assert_eq!(written.etag, user_before.1);
    }
    for operations in [
        json!([{ "op": "replace", "path": "name.givenName", "value": "Anna" }]),
        json!([{ "op": "add", "path": "emails", "value": [{ "value": "anna@example.se", "type": "work", "primary": true }] }]),
        json!([{ "op": "remove", "path": "nickName" }]),
        json!([{ "op": "add", "value": { "active": true } }]),
        json!([{ "op": "add", "path": "title", "value": "x" }, { "op": "remove", "path": "title" }]),
        json!([]),
    ] {
        let ctx = register.client("hr");
        match register.patch(&ctx, "User", &id, patch(&operations)).await {
            Ok(written) => assert_eq!(written.changes, [], "{operations}"),
            // No operations at all may also be refused, as long as nothing is stored.
            Err(error) => assert_eq!((refusal(&error).0, operations), (400, json!([]))),
        }
    }
    let same_members = [group("crew", &[&member, &id]), group("crew", &[&id, &member, &id])];
    for body in same_members {
        let written = register.replace(&register.ctx(), "Group", &crew, body).await.expect("replaced");
        assert_eq!(written.changes, []);
    }
    for operations in [
        json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]),
        json!([{ "op": "remove", "path": format!("members[value eq \"{crew}\"]") }]),
        json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }, { "op": "add", "path": "members", "value": [{ "value": id }] }]),
    ] {
        let written = register.patch(&register.ctx(), "Group", &crew, patch(&operations)).await.expect("patched");
        assert_eq!(written.changes, [], "{operations}");
    }

    assert_eq!(register.head().await, head, "no change row");
    assert_eq!(register.fetch(&ctx, "User", &id).await.expect("found"), user_before, "no version, no lastModified");
    assert_eq!(register.found("Group", &crew).await, group_before);
}

async fn put_clears_what_is_left_out_and_keeps_the_password(register: &Register) {
    let id = register
        .made(
            "User",
            user_with("anna", &json!({ "title": "Rektor", "password": "hemligt-9", "name": { "givenName": "Anna" } })),
        )
        .await;
    let secret = |register: &Register| {
        let (tenant, id) = (register.tenant, id.parse().expect("an id"));
        let read = register.directory.store().read(move |reader| reader.record(tenant, id));
        async move { read.await.unwrap_or_else(|error: store::Error| panic!("{error}")).expect("there").secret }
    };
    let sealed = secret(register).await.expect("a secret is kept");

    let written = register.replace(&register.ctx(), "User", &id, user_with("anna", &json!({ "nickName": "A" }))).await;
    let answer = body(&written.expect("replaced"));
    assert_eq!(answer["nickName"], "A");
    for cleared in ["title", "name", "password"] {
        assert_eq!(answer.get(cleared), None, "{cleared}");
    }
    assert_eq!(secret(register).await, Some(sealed.clone()), "the password is as it was");

    let again = user_with("anna", &json!({ "nickName": "A", "password": "en annan" }));
    register.replace(&register.ctx(), "User", &id, again).await.expect("replaced");
    let changed = secret(register).await.expect("a secret");
    assert_ne!(changed, sealed, "a new password takes the place of the old");

    register
        .patch(&register.ctx(), "User", &id, patch(&json!([{ "op": "remove", "path": "password" }])))
        .await
        .expect("patched");
    assert_eq!(secret(register).await, None);
}

async fn a_password_lies_nowhere_in_clear(register: &Register) {
    let clear = ["Zx9-first-Qw", "Zx9-second-Qw", "Zx9-third-Qw"];
    let ctx = register.ctx();
    let created =
        register.create(&ctx, "User", user_with("anna", &json!({ "password": clear[0] }))).await.expect("created");
    let id = id(&created);
    let replaced =
        register.replace(&register.ctx(), "User", &id, user_with("anna", &json!({ "password": clear[1] }))).await;
    let patched = register.patch(&register.ctx(), "User", &id, set("password", &json!(clear[2]))).await;
    let written = [created, replaced.expect("replaced"), patched.expect("patched")];
    // All that was said to anyone: the answers, the planned changes, and errors about it.
    let mut said = format!("{written:?}");
    for (parameters, refused) in [
        ([("filter", "password eq \"Zx9-third-Qw\"")], true),
        ([("attributes", "password")], false),
        ([("sortBy", "password")], false),
    ] {
        match register.search(&register.ctx(), "User", &parameters).await {
            Ok(answer) => {
                let found = answer["totalResults"].as_u64().unwrap_or_default();
                assert!(!refused || found == 0, "{parameters:?}: {answer}");
                said.push_str(&answer.to_string());
            }
            Err(error) => assert!(refusal(&error).0 < 500),
        }
    }
    let definition = register.definition("User");
    let asked = Projection::parse(&definition, &["password".to_owned()], &[]).expect("a projection");
    let fetched = register.directory.fetch(&register.ctx(), &definition, &id, &Precondition::none(), &asked).await;
    said.push_str(&format!("{:?}", fetched.expect("fetched")));
    said.push_str(&format!("{:?}", register.changes().await));
    assert!(!said.contains("Zx9-"), "{said}");
    assert!(!said.contains("argon2"), "nor is the hash told: {said}");

    let stored = register.stored_bytes();
    for word in clear {
        let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [word.as_bytes(), hex.as_bytes()] {
            assert!(!stored.windows(form.len()).any(|window| window == form), "{word} lies in the database");
        }
    }
}

async fn a_deleted_name_is_free_at_once_and_comes_with_a_new_id(register: &Register) {
    let hr = register.client("hr");
    let anna = user_with("anna", &json!({ "externalId": "e-1" }));
    let first = id(&register.create(&hr, "User", anna.clone()).await.expect("created"));
    register.remove(&register.client("hr"), "User", &first).await.expect("removed");
    let second = register.create(&register.client("hr"), "User", anna).await.expect("the names are free");
    assert_ne!(id(&second), first);
    assert_eq!(body(&second)["externalId"], "e-1");
    let found = register.search(&hr, "User", &[("filter", "externalId eq \"e-1\"")]).await.expect("found");
    assert_eq!(found["Resources"][0]["id"], json!(id(&second)));
    assert_eq!(found["totalResults"], 1);
}

async fn what_was_deleted_is_gone_for_every_use_case(register: &Register) {
    let id = register.made("User", user("anna")).await;
    register.remove(&register.ctx(), "User", &id).await.expect("removed");
    let head = register.head().await;
    let not_found = |error: matrikel::directory::Error| assert_eq!(refusal(&error), (404, Value::Null));
    not_found(register.fetch(&register.ctx(), "User", &id).await.expect_err("gone"));
    not_found(register.replace(&register.ctx(), "User", &id, user("anna")).await.expect_err("gone"));
    not_found(register.patch(&register.ctx(), "User", &id, set("title", &json!("x"))).await.expect_err("gone"));
    not_found(register.remove(&register.ctx(), "User", &id).await.expect_err("gone"));
    let found = register.search(&register.ctx(), "User", &[]).await.expect("searched");
    assert_eq!(found["totalResults"], 0);
    assert_eq!(register.head().await, head);
}

/// Regression: the members of a deleted group wait for their sweep; deleting them then once drew a change that was
/// already there ("UNIQUE constraint failed: change.seq").
async fn a_group_is_deleted_then_its_members_then_somebody_is_made(register: &Register) {
    let mut users = Vec::new();
    for n in 0..5 {
        users.push(register.made("User", user(&format!("u{n}"))).await);
    }
    let members: Vec<&str> = users.iter().map(String::as_str).collect();
    let inner = register.made("Group", group("inner", &members)).await;
    let outer = register.made("Group", group("outer", &[&inner, members[0]])).await;
    for (kind, id) in
        [("Group", &inner), ("User", &users[0]), ("Group", &outer), ("User", &users[1]), ("User", &users[2])]
    {
        register.remove(&register.ctx(), kind, id).await.unwrap_or_else(|error| panic!("{kind} {id}: {error}"));
    }
    let last = register.made("User", user("after")).await;
    register.made("Group", group("again", &[&users[3], &last])).await;
    let changes = register.changes().await;
    let numbers: Vec<i64> = changes.iter().map(|change| change.seq).collect();
    assert_eq!(numbers, (1..=changes.len() as i64).collect::<Vec<_>>(), "no number twice, none left out");
    let deleted = changes.iter().filter(|change| change.op == Op::Delete).count();
    assert_eq!(deleted, 5);
}

async fn put_never_creates(register: &Register) {
    let nobody = "0198c0de-0000-7000-8000-000000000000";
    for id in [nobody, "not-an-id", &nobody.to_uppercase()] {
        let error = register.replace(&register.ctx(), "User", id, user("anna")).await.expect_err("nobody");
        assert_eq!(refusal(&error), (404, Value::Null), "{id}");
    }
    let group = register.made("Group", group("crew", &[])).await;
    let error = register.replace(&register.ctx(), "User", &group, user("anna")).await.expect_err("a group is no user");
    assert_eq!(refusal(&error), (404, Value::Null));
}

async fn taken_names_are_refused_and_nothing_changes(register: &Register) {
    let hr = register.client("hr");
    let anna = user_with("Anna", &json!({ "externalId": "e-1" }));
    register.create(&hr, "User", anna).await.expect("created");
    let other = id(&register.create(&hr, "User", user("other")).await.expect("created"));
    let head = register.head().await;
    for taken in [user("anna"), user("ANNA"), user_with("third", &json!({ "externalId": "e-1" }))] {
        let error = register.create(&register.client("hr"), "User", taken.clone()).await.expect_err("taken");
        assert_eq!(refusal(&error), (409, json!("uniqueness")), "{taken}");
        let error = register.replace(&register.client("hr"), "User", &other, taken.clone()).await.expect_err("taken");
        assert_eq!(refusal(&error), (409, json!("uniqueness")), "{taken}");
    }
    let error =
        register.patch(&register.ctx(), "User", &other, set("userName", &json!("aNNa"))).await.expect_err("taken");
    assert_eq!(refusal(&error), (409, json!("uniqueness")));
    assert_eq!(register.head().await, head);
    let tags = Precondition { if_match: Some(Tags::Any), if_none_match: None };
    register.replace_if(&register.ctx(), "User", &other, user("free"), &tags).await.expect("its own name may change");
}
