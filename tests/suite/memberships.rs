//! Memberships as resources over the directory and over HTTP: whatever is asked and however it is paged, the answer is
//! what a look at every membership gives; a page of a large group is a page; and what a view hides is not there.

use std::collections::BTreeSet;
use std::sync::Arc;

use matrikel::directory::{Ctx, Error};
use scim::filter::Filter;
use scim::view::{View, Views};
use serde_json::{Map, Value, json};

use crate::support::both::on_both_databases;
use crate::support::messages::{group, user_with};
use crate::support::register::{Register, body, id, refusal};

on_both_databases!(Register:
    every_question_is_answered_as_by_a_look_at_each_membership,
    a_membership_is_made_and_ended_on_the_path_of_its_group,
    who_does_not_see_both_ends_sees_no_membership,
    a_walk_meets_each_membership_once_while_others_come_and_go,
);

const KIND: &str = "GroupMembership";

fn membership(group: &str, member: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:GroupMembership"],
        "group": { "value": group }, "member": { "value": member },
    })
}

/// Three groups of users and groups: `(groups, users)`.
async fn world(register: &Register) -> (Vec<String>, Vec<String>) {
    let mut users = Vec::new();
    for name in ["ada", "bo", "cecilia", "david", "eva", "fatima", "gun"] {
        users.push(register.made("User", user_with(name, &json!({ "displayName": name }))).await);
    }
    let among = |chosen: &[usize]| chosen.iter().map(|n| users[*n].clone()).collect::<Vec<_>>();
    let mut groups: Vec<String> = Vec::new();
    for (name, chosen, inner) in
        [("a", vec![0, 1, 2, 3, 4], None), ("b", vec![4, 5], Some(0)), ("c", vec![1, 6], Some(1))]
    {
        let mut members = among(&chosen);
        members.extend(inner.map(|n: usize| groups[n].clone()));
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        groups.push(register.made("Group", group(name, &members)).await);
    }
    (groups, users)
}

fn listed(answer: &Value) -> Vec<String> {
    let resources = answer["Resources"].as_array().cloned().unwrap_or_default();
    resources.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

async fn every_question_is_answered_as_by_a_look_at_each_membership(register: &Register) {
    let (groups, users) = world(register).await;
    let ctx = register.ctx();
    let definition = register.definition(KIND);
    let all = register.search(&ctx, KIND, &[]).await.expect("all of them");
    let all: Vec<Map<String, Value>> =
        all["Resources"].as_array().expect("a page").iter().map(|one| one.as_object().expect("one").clone()).collect();
    assert_eq!(all.len(), 11);
    let ids: Vec<&str> = all.iter().map(|one| one["id"].as_str().expect("an id")).collect();
    assert!(ids.is_sorted(), "in the order of their ids");

    let (a, b) = (&groups[0], &groups[1]);
    let questions = [
        format!("group.value eq \"{a}\""),
        format!("member.value eq \"{}\"", users[4]),
        format!("group.value eq \"{a}\" and member.value eq \"{}\"", users[4]),
        format!("group.value eq \"{a}\" or group.value eq \"{b}\""),
        format!("group.value eq \"{b}\" or member.value eq \"{}\"", users[4]),
        format!("group.value eq \"{b}\" and (member.type eq \"Group\" or member.value eq \"{}\")", users[5]),
        format!("not (group.value eq \"{a}\")"),
        format!("member.value ne \"{}\"", users[1]),
        format!("group[value eq \"{a}\" and display eq \"A\"]"),
        format!("group.value eq \"{a}\" and member.display co \"a\""),
        "member.type eq \"group\"".to_owned(),
        "member.type ne \"User\"".to_owned(),
        "member.display sw \"b\" or group.display eq \"c\"".to_owned(),
        "meta.resourceType eq \"GroupMembership\" and member.display pr".to_owned(),
        format!("id eq \"{}\"", ids[3]),
        format!("id gt \"{}\"", ids[3]),
        "externalId pr".to_owned(),
        "group.value pr".to_owned(),
    ];
    let sorts = [None, Some("id"), Some("group.value"), Some("member.display"), Some("member.type")];
    for question in &questions {
        let filter = Filter::parse(question).expect("a filter").check(&definition).expect("fits");
        let naive: BTreeSet<String> = all
            .iter()
            .filter(|one| filter.matches(one))
            .map(|one| one["id"].as_str().expect("an id").to_owned())
            .collect();
        for sort in sorts {
            for order in ["ascending", "descending"] {
                let mut parameters = vec![("filter", question.as_str())];
                parameters.extend(sort.map(|sort| ("sortBy", sort)));
                parameters.extend(sort.map(|_| ("sortOrder", order)));
                let what = format!("{parameters:?}");
                let whole = register.search(&ctx, KIND, &parameters).await.expect(&what);
                let expected = listed(&whole);
                assert_eq!(expected.iter().cloned().collect::<BTreeSet<_>>(), naive, "{what}");
                assert_eq!(whole["totalResults"], naive.len(), "{what}");
                if sort.is_none() || sort == Some("id") {
                    assert!(
                        if sort.is_none() || order == "ascending" {
                            expected.is_sorted()
                        } else {
                            expected.iter().rev().is_sorted()
                        },
                        "{what}"
                    );
                }
                assert_eq!(by_index(register, &ctx, &parameters, naive.len()).await, expected, "{what} by index");
                assert_eq!(by_cursor(register, &ctx, &parameters).await, expected, "{what} by cursor");
            }
        }
    }
}

/// Pages of two, from the last to the first so that no mark helps, and then in order.
async fn by_index(register: &Register, ctx: &Ctx, parameters: &[(&str, &str)], total: usize) -> Vec<String> {
    let mut jumped = Vec::new();
    let mut walked = Vec::new();
    let starts: Vec<usize> = (1..=total).step_by(2).collect();
    for (start, is_jump) in
        starts.iter().rev().map(|start| (start, true)).chain(starts.iter().map(|start| (start, false)))
    {
        let start = start.to_string();
        let page: Vec<_> = parameters.iter().copied().chain([("startIndex", start.as_str()), ("count", "2")]).collect();
        let answer = register.search(ctx, KIND, &page).await.expect("a page");
        assert_eq!(answer["totalResults"], total);
        match is_jump {
            true => drop(jumped.splice(0..0, listed(&answer))),
            false => walked.extend(listed(&answer)),
        }
    }
    assert_eq!(jumped, walked);
    walked
}

/// Pages of two, there and back.
async fn by_cursor(register: &Register, ctx: &Ctx, parameters: &[(&str, &str)]) -> Vec<String> {
    let mut walks: [Vec<String>; 2] = Default::default();
    let mut cursor = Some(String::new());
    let mut back = None;
    while let Some(at) = cursor.take() {
        let page: Vec<_> = parameters.iter().copied().chain([("cursor", at.as_str()), ("count", "2")]).collect();
        let answer = register.search(ctx, KIND, &page).await.expect("a page");
        walks[0].extend(listed(&answer));
        cursor = answer["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            walks[1] = listed(&answer);
            back = answer["previousCursor"].as_str().map(str::to_owned);
        }
    }
    while let Some(at) = back.take() {
        let page: Vec<_> = parameters.iter().copied().chain([("cursor", at.as_str()), ("count", "2")]).collect();
        let answer = register.search(ctx, KIND, &page).await.expect("a page");
        walks[1].splice(0..0, listed(&answer));
        back = answer["previousCursor"].as_str().map(str::to_owned);
    }
    let [forwards, backwards] = walks;
    assert_eq!(forwards, backwards, "{parameters:?}");
    forwards
}

async fn a_membership_is_made_and_ended_on_the_path_of_its_group(register: &Register) {
    let ctx = register.ctx();
    let maj = register.made("User", user_with("maj", &json!({}))).await;
    let class = register.made("Group", group("class", &[])).await;
    let (before, tag) = (register.changes().await.len(), register.etag("Group", &class).await);

    let simulated = Ctx { simulate: true, ..register.ctx() };
    let would = register.create(&simulated, KIND, membership(&class, &maj)).await.expect("it could be");
    assert_eq!((would.changes.len(), register.changes().await.len()), (1, before), "nothing is stored");

    let made = register.create(&ctx, KIND, membership(&class, &maj)).await.expect("made");
    assert_eq!(id(&made), id(&would), "the id follows from the two");
    let changes = register.changes().await;
    let [change] = &changes[before..] else { panic!("{changes:?}") };
    assert_eq!((change.resource.to_string(), change.kind.as_str(), change.members.len()), (class.clone(), "Group", 1));
    assert_ne!(register.etag("Group", &class).await, tag);
    let found = register.found(KIND, &id(&made)).await;
    assert_eq!(found, body(&made));
    assert_eq!(register.found("Group", &class).await["members"][0]["value"], maj.as_str());
    let created = found["meta"]["created"].as_str().expect("a time");
    assert_eq!(created, register.found("Group", &class).await["meta"]["lastModified"]);

    let again = register.create(&ctx, KIND, membership(&class, &maj)).await.expect_err("there already");
    assert_eq!(refusal(&again), (409, json!("uniqueness")));
    assert_eq!(register.changes().await.len(), before + 1, "a refusal leaves no change");
    let ended = register.remove(&ctx, KIND, &id(&made)).await.expect("ended");
    assert_eq!((ended.len(), ended[0].members.len(), ended[0].members[0].joined), (1, 1, false));
    assert_eq!(register.found("Group", &class).await.get("members"), None);
    assert!(register.fetch(&ctx, KIND, &id(&made)).await.is_err());
    // The number of the new one is another, so whoever holds the old tag does not end it unknowingly.
    let renewed = register.create(&ctx, KIND, membership(&class, &maj)).await.expect("made again");
    assert_eq!(id(&renewed), id(&made));
    assert_ne!(renewed.etag, made.etag);
}

async fn who_does_not_see_both_ends_sees_no_membership(register: &Register) {
    let (groups, users) = world(register).await;
    let seen = |filter: &str, kind: &str| {
        let filter = Filter::parse(filter).expect("a filter").check(&register.definition(kind)).expect("fits");
        Ctx { views: Arc::new(Views::alike(View::new(Some(filter), None))), ..register.ctx() }
    };
    let all = register.search(&register.ctx(), KIND, &[]).await.expect("all");
    let at = |group: &str, member: &str| format!("{group}{member}").replace('-', "");

    // Everything but one group, and everything but one user.
    for (hidden, ctx) in [
        (&groups[0], seen(&format!("id ne \"{}\"", groups[0]), "Group")),
        (&users[4], seen(&format!("id ne \"{}\"", users[4]), "User")),
    ] {
        let shown = register.search(&ctx, KIND, &[]).await.expect("some");
        let expected: Vec<String> =
            listed(&all).into_iter().filter(|id| !id.contains(&hidden.replace('-', ""))).collect();
        assert_eq!(listed(&shown), expected);
        assert_eq!(shown["totalResults"], expected.len(), "what is hidden is not counted");
        assert_eq!(by_cursor(register, &ctx, &[]).await, expected);
        let parameters = [("filter", "member.type eq \"User\" and member.display pr")];
        assert!(
            listed(&register.search(&ctx, KIND, &parameters).await.expect("some"))
                .iter()
                .all(|id| expected.contains(id))
        );
        let is_absent = |error: &Error| refusal(error).0 == 404;
        assert!(register.fetch(&ctx, KIND, &at(&groups[0], &users[4])).await.is_err_and(|error| is_absent(&error)));
        assert!(register.remove(&ctx, KIND, &at(&groups[0], &users[4])).await.is_err_and(|error| is_absent(&error)));
        register.fetch(&ctx, KIND, &at(&groups[1], &users[5])).await.expect("both ends are seen");
        let error = register.create(&ctx, KIND, membership(&groups[0], &users[4])).await.expect_err("not for it");
        assert_eq!(refusal(&error), (400, json!("invalidValue")));
    }

    // Who may not read members may not read memberships; names are as hidden as they are at the ends.
    let releasing = |paths: &[&str]| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Ctx { views: Arc::new(Views::alike(View::new(None, Some(paths)))), ..register.ctx() }
    };
    let blind = releasing(&["displayName"]);
    assert_eq!(register.search(&blind, KIND, &[]).await.expect("none")["totalResults"], 0);
    let nameless = releasing(&["members.value", "members.$ref"]);
    let shown = register.search(&nameless, KIND, &[]).await.expect("all");
    assert_eq!(listed(&shown), listed(&all));
    for one in shown["Resources"].as_array().expect("a page") {
        assert_eq!(
            (one["group"].get("display"), one["member"].get("display"), one["member"].get("type")),
            (None, None, None)
        );
    }
    for filter in ["member.display sw \"a\"", "group.display eq \"a\"", "member.type eq \"User\""] {
        assert_eq!(register.search(&nameless, KIND, &[("filter", filter)]).await.expect("none")["totalResults"], 0);
    }
}

async fn a_walk_meets_each_membership_once_while_others_come_and_go(register: &Register) {
    let (groups, users) = world(register).await;
    let ctx = register.ctx();
    let of_a = format!("group.value eq \"{}\"", groups[0]);
    let expected = listed(&register.search(&ctx, KIND, &[("filter", &of_a)]).await.expect("all"));
    let stays: BTreeSet<&String> = expected.iter().filter(|id| !id.ends_with(&users[1].replace('-', ""))).collect();
    let mut met = Vec::new();
    let mut cursor = Some(String::new());
    let mut joining = [&users[5], &users[6]].into_iter();
    while let Some(at) = cursor.take() {
        let page = [("filter", of_a.as_str()), ("cursor", at.as_str()), ("count", "1")];
        let answer = register.search(&ctx, KIND, &page).await.expect("a page");
        met.extend(listed(&answer));
        cursor = answer["nextCursor"].as_str().map(str::to_owned);
        if let Some(member) = joining.next() {
            register.create(&register.ctx(), KIND, membership(&groups[0], member)).await.expect("joins");
        } else {
            drop(register.remove(&register.ctx(), KIND, &expected[1]).await);
        }
    }
    assert!(met.is_sorted(), "{met:?}");
    assert_eq!(met.iter().collect::<BTreeSet<_>>().len(), met.len(), "nobody twice");
    assert!(stays.iter().all(|id| met.contains(id)), "{met:?}");
}
