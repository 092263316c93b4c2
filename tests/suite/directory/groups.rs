//! Groups: members, groups within groups, and what a member shows of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use store::change::Op;

use crate::support::both::on_both_databases;
use crate::support::messages::{add_members, group, patch, set, user};
use crate::support::register::{Register, refusal};

on_both_databases!(Register:
    a_member_shows_its_groups_direct_and_indirect,
    the_etag_of_a_member_moves_with_its_groups_and_its_version_does_not,
    an_unknown_member_is_refused_and_nothing_changes,
    a_group_cannot_be_within_itself,
    deleting_a_user_takes_it_out_of_its_groups_in_the_same_transaction,
    deleting_a_group_leaves_no_trace_on_its_members,
    users_are_found_by_their_groups_and_groups_by_their_members,
);

/// The groups a user shows: name → type.
async fn groups_of(register: &Register, id: &str) -> BTreeMap<String, String> {
    let user = register.found("User", id).await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let groups = user["groups"].as_array().into_iter().flatten();
    groups.map(|group| (text(&group["display"]), text(&group["type"]))).collect()
}

fn named<const N: usize>(groups: [(&str, &str); N]) -> BTreeMap<String, String> {
    groups.into_iter().map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

async fn a_member_shows_its_groups_direct_and_indirect(register: &Register) {
    let anna = register.made("User", user("anna")).await;
    let class = register.made("Group", group("7B", &[&anna])).await;
    let school = register.made("Group", group("School", &[&class])).await;
    let town = register.made("Group", group("Town", &[&school])).await;
    assert_eq!(
        groups_of(register, &anna).await,
        named([("7B", "direct"), ("School", "indirect"), ("Town", "indirect")])
    );
    register.patch(&register.ctx(), "Group", &town, add_members(&[&anna])).await.expect("patched");
    assert_eq!(groups_of(register, &anna).await["Town"], "direct", "direct wins");
    let removal = patch(&json!([{ "op": "remove", "path": format!("members[value eq \"{class}\"]") }]));
    register.patch(&register.ctx(), "Group", &school, removal).await.expect("patched");
    assert_eq!(groups_of(register, &anna).await, named([("7B", "direct"), ("Town", "direct")]));
    register.patch(&register.ctx(), "Group", &class, set("displayName", &json!("8B"))).await.expect("renamed");
    assert_eq!(groups_of(register, &anna).await, named([("8B", "direct"), ("Town", "direct")]));
}

async fn the_etag_of_a_member_moves_with_its_groups_and_its_version_does_not(register: &Register) {
    let anna = register.made("User", user("anna")).await;
    let bystander = register.made("User", user("bystander")).await;
    let class = register.made("Group", group("class", &[])).await;
    let school = register.made("Group", group("school", &[])).await;
    let (before, untouched) = (register.found("User", &anna).await, register.etag("User", &bystander).await);
    let mut tags = vec![register.etag("User", &anna).await];
    let steps = [
        (&class, add_members(&[&anna]), "joined"),
        (&school, add_members(&[&class]), "the group joined another"),
        (&school, set("displayName", &json!("High School")), "the outer group was renamed"),
        (&class, set("displayName", &json!("7B")), "the group was renamed"),
        (&school, patch(&json!([{ "op": "remove", "path": "members" }])), "the group left the other"),
        (&class, patch(&json!([{ "op": "remove", "path": format!("members[value eq \"{anna}\"]") }])), "left"),
    ];
    for (id, body, what) in steps {
        register.patch(&register.ctx(), "Group", id, body).await.expect("patched");
        let etag = register.etag("User", &anna).await;
        assert!(!tags.contains(&etag), "{what}: {etag} was there before");
        tags.push(etag);
        let now = register.found("User", &anna).await;
        assert_eq!(now["meta"]["lastModified"], before["meta"]["lastModified"], "{what}");
    }
    let versions: Vec<&str> = tags.iter().filter_map(|tag| tag.split('.').next()).collect();
    assert!(versions.iter().all(|version| *version == "W/\"1"), "{versions:?}");
    assert_eq!(register.etag("User", &bystander).await, untouched, "who is in no group is not concerned");
}

async fn an_unknown_member_is_refused_and_nothing_changes(register: &Register) {
    let anna = register.made("User", user("anna")).await;
    let gone = register.made("User", user("gone")).await;
    register.remove(&register.ctx(), "User", &gone).await.expect("removed");
    let crew = register.made("Group", group("crew", &[])).await;
    let head = register.head().await;
    for unknown in ["0198c0de-0000-7000-8000-000000000000", "nobody", &gone, &anna.to_uppercase()] {
        let bodies = [
            add_members(&[&anna, unknown]),
            patch(&json!([
                { "op": "replace", "path": "displayName", "value": "renamed" },
                { "op": "add", "path": "members", "value": [{ "value": unknown }] }
            ])),
        ];
        for body in bodies {
            let error = register.patch(&register.ctx(), "Group", &crew, body).await.expect_err("unknown");
            assert_eq!(refusal(&error), (400, json!("invalidValue")), "{unknown}");
        }
        let body = group("crew", &[&anna, unknown]);
        let error = register.replace(&register.ctx(), "Group", &crew, body.clone()).await.expect_err("unknown");
        assert_eq!(refusal(&error), (400, json!("invalidValue")), "{unknown}");
        let error = register.create(&register.ctx(), "Group", body).await.expect_err("unknown");
        assert_eq!(refusal(&error), (400, json!("invalidValue")), "{unknown}");
    }
    assert_eq!(register.head().await, head, "nothing changed");
    let removal = patch(&json!([{ "op": "remove", "path": format!("members[value eq \"{gone}\"]") }]));
    let written =
        register.patch(&register.ctx(), "Group", &crew, removal).await.expect("removing who is not there is fine");
    assert_eq!(written.changes, []);
}

async fn a_group_cannot_be_within_itself(register: &Register) {
    let inner = register.made("Group", group("inner", &[])).await;
    let middle = register.made("Group", group("middle", &[&inner])).await;
    let outer = register.made("Group", group("outer", &[&middle])).await;
    let head = register.head().await;
    for (into, member) in [(&inner, &inner), (&inner, &middle), (&inner, &outer), (&middle, &outer), (&outer, &outer)] {
        let error = register.patch(&register.ctx(), "Group", into, add_members(&[member])).await.expect_err("a cycle");
        assert_eq!(refusal(&error), (400, json!("invalidValue")));
        let error = register.replace(&register.ctx(), "Group", into, group("x", &[member])).await.expect_err("a cycle");
        assert_eq!(refusal(&error), (400, json!("invalidValue")));
    }
    assert_eq!(register.head().await, head, "nothing changed");
    // What is no cycle any more is allowed.
    let removal = patch(&json!([{ "op": "remove", "path": format!("members[value eq \"{middle}\"]") }]));
    register.patch(&register.ctx(), "Group", &outer, removal).await.expect("patched");
    register.patch(&register.ctx(), "Group", &inner, add_members(&[&outer])).await.expect("no cycle");
}

async fn deleting_a_user_takes_it_out_of_its_groups_in_the_same_transaction(register: &Register) {
    let anna = register.made("User", user("anna")).await;
    let bo = register.made("User", user("bo")).await;
    let crew = register.made("Group", group("crew", &[&anna, &bo])).await;
    let choir = register.made("Group", group("choir", &[&anna])).await;
    let outer = register.made("Group", group("outer", &[&crew])).await;
    let before: Vec<Value> = vec![register.found("Group", &crew).await, register.found("Group", &choir).await];
    let outer_before = register.found("Group", &outer).await;

    let changes = register.remove(&register.ctx(), "User", &anna).await.expect("removed");

    assert_eq!(changes.len(), 3, "{changes:?}");
    assert!(changes.iter().all(|change| change.txn == changes[0].txn), "one transaction");
    let left: Vec<_> = changes.iter().filter(|change| change.op == Op::Members).collect();
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|change| change.version == 2 && change.members.iter().all(|delta| !delta.joined)));
    for (id, before) in [&crew, &choir].into_iter().zip(before) {
        let now = register.found("Group", id).await;
        assert_ne!(now["meta"]["version"], before["meta"]["version"], "the group has a new version");
        assert!(now["meta"]["lastModified"].as_str() > before["meta"]["lastModified"].as_str());
    }
    let members = register.found("Group", &crew).await["members"].clone();
    assert_eq!(members.as_array().map(Vec::len), Some(1));
    assert_eq!(members[0]["value"], json!(bo));
    assert_eq!(register.found("Group", &choir).await.get("members"), None);
    assert_eq!(register.found("Group", &outer).await, outer_before, "an outer group has not changed");
}

async fn deleting_a_group_leaves_no_trace_on_its_members(register: &Register) {
    let anna = register.made("User", user("anna")).await;
    let inner = register.made("Group", group("inner", &[&anna])).await;
    let outer = register.made("Group", group("outer", &[&inner])).await;
    register.remove(&register.ctx(), "Group", &inner).await.expect("removed");
    assert_eq!(groups_of(register, &anna).await, named([]));
    assert_eq!(register.found("Group", &outer).await.get("members"), None);
    register.made("Group", group("inner", &[&anna])).await;
    assert_eq!(groups_of(register, &anna).await, named([("inner", "direct")]));
    register.remove(&register.ctx(), "Group", &outer).await.expect("removed");
    register.remove(&register.ctx(), "User", &anna).await.expect("removed");
    let found = register.search(&register.ctx(), "Group", &[]).await.expect("found");
    assert_eq!(found["totalResults"], 1);
}

async fn users_are_found_by_their_groups_and_groups_by_their_members(register: &Register) {
    let anna = register.made("User", user("anna")).await;
    let bo = register.made("User", user("bo")).await;
    let crew = register.made("Group", group("crew", &[&anna])).await;
    let outer = register.made("Group", group("outer", &[&crew, &bo])).await;
    let cases = [
        ("User", format!("groups.value eq \"{crew}\""), vec![&anna]),
        ("User", format!("groups.value eq \"{outer}\""), vec![&anna, &bo]),
        ("User", "groups[display eq \"outer\" and type eq \"indirect\"]".to_owned(), vec![&anna]),
        ("User", "groups.display co \"CREW\"".to_owned(), vec![&anna]),
        ("User", "not (groups pr)".to_owned(), vec![]),
        ("Group", format!("members.value eq \"{anna}\""), vec![&crew]),
        ("Group", format!("members[value eq \"{bo}\"]"), vec![&outer]),
        ("Group", "members pr".to_owned(), vec![&crew, &outer]),
    ];
    for (kind, filter, expected) in cases {
        let found = register.search(&register.ctx(), kind, &[("filter", &filter)]).await.expect("searched");
        let mut ids: Vec<&str> =
            found["Resources"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()).collect();
        let mut expected: Vec<&str> = expected.into_iter().map(String::as_str).collect();
        ids.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ids, expected, "{filter}");
    }
}
