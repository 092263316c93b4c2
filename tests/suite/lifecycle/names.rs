//! Names that a policy makes: when the account is staged, never twice, kept from then on, another one for a new family name.

use std::sync::Arc;

use matrikel::directory::{Ctx, Error};
use serde_json::{Value, json};

use super::town::{PERSON, Town, at, told};
use crate::rules::grants::why;
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    a_name_is_made_when_the_account_is_staged,
    a_start_that_is_cancelled_frees_the_name,
    nobody_is_given_a_name_that_somebody_has_or_had,
    who_comes_back_after_a_purge_has_the_old_names,
    a_new_family_name_makes_a_new_address_and_the_old_one_goes_on_for_a_while,
    nobody_is_renamed_for_capitals_or_by_a_policy_that_keeps,
    what_an_administrator_calls_somebody_stays,
    names_of_protected_people_tell_nothing,
    many_at_once_have_a_name_each,
    without_a_policy_no_name_is_made,
);

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

impl Town {
    /// HR, which leaves names to the policy.
    fn personnel(&self) -> Ctx {
        let mut ctx = self.hr();
        Arc::make_mut(&mut ctx.caller).generates_names = true;
        ctx
    }

    async fn naming(&self, more: Value) {
        let mut names = json!({ "domain": "storstad.example" });
        for (name, value) in more.as_object().expect("an object") {
            names[name] = value.clone();
        }
        self.with_policy(json!({ "names": names, "purge": true, "purgeAfter": 30 })).await;
    }

    /// User name and addresses of somebody who is there: each address with its type.
    async fn names(&self, id: &str) -> Vec<String> {
        let user = self.whole(id).await;
        let emails = user["emails"].as_array().cloned().unwrap_or_default();
        let email = |email: &Value| {
            format!("{} {}", email["type"].as_str().unwrap_or_default(), email["value"].as_str().unwrap_or_default())
        };
        let name = user["userName"].as_str().expect("everybody has one").to_owned();
        std::iter::once(if name == id { "-".to_owned() } else { name }).chain(emails.iter().map(email)).collect()
    }
}

/// Somebody whom HR enters without any name of login.
fn entry(given: &str, family: &str, start: &str, end: &str) -> Value {
    let mut employment = json!({ "employmentId": "1", "start": start });
    if !end.is_empty() {
        employment["end"] = json!(end);
    }
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", PERSON],
        "name": { "givenName": given, "familyName": family },
        PERSON: { "employments": [employment] },
    })
}

fn numbered(entry: Value, number: &str) -> Value {
    let mut entry = entry;
    entry["schemas"].as_array_mut().expect("schemas").push(ENTERPRISE.into());
    entry[ENTERPRISE] = json!({ "employeeNumber": number });
    entry
}

fn id_of(user: &Value) -> String {
    user["id"].as_str().expect("an id").to_owned()
}

fn family(name: &str) -> Value {
    json!([{ "op": "replace", "path": "name.familyName", "value": name }])
}

async fn a_name_is_made_when_the_account_is_staged(town: &Town) {
    town.naming(json!({})).await;
    let mut body = entry("Maj", "Lindström", "2026-03-02", "");
    // What it says of names all the same has no effect.
    body["userName"] = json!("lindsmaj");
    body["emails"] = json!([{ "value": "maj@home.example", "primary": true }]);
    let entered = town.enter(&town.personnel(), body).await;
    let id = id_of(&entered);
    assert_eq!(told(&entered), "planned off, staged 2026-02-16");
    assert_eq!(town.names(&id).await, ["-"], "nobody has a name before it is time");
    town.wait_until("2026-02-16").await;
    let names = ["maj.lindstrom", "work maj.lindstrom@storstad.example"];
    assert_eq!(town.names(&id).await, names);
    let kept = town.whole(&id).await[PERSON]["names"].clone();
    assert_eq!([&kept["origin"], &kept["userName"]], ["generated", "maj.lindstrom"]);
    assert_eq!(kept["since"].as_str().map(at), Some(at("2026-02-16")));
    // HR goes on sending what it knows; nothing is another for it, and the answer has the names.
    let version = town.whole(&id).await["meta"]["version"].clone();
    let again = town.replace(&town.personnel(), &id, entry("Maj", "Lindström", "2026-03-02", "")).await.expect("taken");
    assert_eq!(again["userName"], "maj.lindstrom");
    assert_eq!(town.whole(&id).await["meta"]["version"], version);
    let set = json!([{ "op": "replace", "path": "userName", "value": "other" }]);
    let again = town.patch(&town.personnel(), "User", &id, set).await.expect("taken");
    assert_eq!(again["userName"], "maj.lindstrom");
    town.wait_until("2026-03-02").await;
    assert_eq!(town.names(&id).await, names);
}

async fn a_start_that_is_cancelled_frees_the_name(town: &Town) {
    town.naming(json!({})).await;
    let id = id_of(&town.enter(&town.personnel(), entry("Maj", "Lind", "2026-01-12", "")).await);
    assert_eq!(town.names(&id).await, ["maj.lind", "work maj.lind@storstad.example"]);
    town.replace(&town.personnel(), &id, entry("Maj", "Lind", "2026-06-01", "")).await.expect("taken");
    assert_eq!(town.names(&id).await, ["-"]);
    let other = id_of(&town.enter(&town.personnel(), entry("Maj", "Lind", "2026-01-12", "")).await);
    assert_eq!(town.names(&other).await, ["maj.lind", "work maj.lind@storstad.example"]);
    town.wait_until("2026-05-18").await;
    assert_eq!(town.names(&id).await, ["maj.lind2", "work maj.lind2@storstad.example"]);
}

async fn nobody_is_given_a_name_that_somebody_has_or_had(town: &Town) {
    town.naming(json!({ "address": ["info"], "reserved": ["bo.ek2"] })).await;
    // One that a client brought, in other letters, and an address that is somebody's second one.
    let taken = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Bo.EK",
        "emails": [{ "value": "bo@home.example", "type": "home" }, { "value": "INFO@storstad.example", "type": "other" }],
    });
    town.enter(&town.hr(), taken).await;
    let gone = id_of(&town.enter(&town.personnel(), entry("Bo", "Ek", "2026-01-01", "2026-01-05")).await);
    assert_eq!(town.names(&gone).await, ["bo.ek3", "work info2@storstad.example"]);
    town.wait_until("2026-06-01").await;
    assert!(town.seen(&town.admin(), &gone).await.is_none(), "it is purged");
    let next = id_of(&town.enter(&town.personnel(), entry("Bo", "Ek", "2026-06-01", "")).await);
    assert_eq!(town.names(&next).await, ["bo.ek4", "work info3@storstad.example"]);
    // Ten years later the address is free again, and the name is not.
    town.wait_until("2036-06-02").await;
    let last = id_of(&town.enter(&town.personnel(), entry("Bo", "Ek", "2036-06-01", "")).await);
    assert_eq!(town.names(&last).await, ["bo.ek5", "work info2@storstad.example"]);
}

async fn who_comes_back_after_a_purge_has_the_old_names(town: &Town) {
    town.naming(json!({})).await;
    let first = numbered(entry("Eva", "Ek", "2026-01-01", "2026-01-09"), "1007");
    let old = id_of(&town.enter(&town.personnel(), first).await);
    town.wait_until("2026-06-01").await;
    assert!(town.seen(&town.admin(), &old).await.is_none());
    let other = id_of(&town.enter(&town.personnel(), numbered(entry("Eva", "Ek", "2026-06-01", ""), "2000")).await);
    assert_eq!(town.names(&other).await, ["eva.ek2", "work eva.ek2@storstad.example"]);
    let back = id_of(&town.enter(&town.personnel(), numbered(entry("Eva", "Ek", "2026-06-01", ""), "1007")).await);
    assert_ne!(back, old);
    assert_eq!(town.names(&back).await, ["eva.ek", "work eva.ek@storstad.example"]);
}

async fn a_new_family_name_makes_a_new_address_and_the_old_one_goes_on_for_a_while(town: &Town) {
    town.naming(json!({ "familyNameChange": "rename", "aliasMonths": 6 })).await;
    let id = id_of(&town.enter(&town.personnel(), entry("Maj", "Lind", "2026-01-01", "")).await);
    town.patch(&town.personnel(), "User", &id, family("Berg")).await.expect("taken");
    let both = ["maj.berg", "work maj.berg@storstad.example", "alias maj.lind@storstad.example"];
    assert_eq!(town.names(&id).await, both);
    let aliases = town.whole(&id).await[PERSON]["aliases"].clone();
    assert_eq!(aliases[0]["value"], "maj.lind@storstad.example");
    // The old names are nobody else's, but hers again if she takes her name back.
    let other = id_of(&town.enter(&town.personnel(), entry("Maj", "Lind", "2026-01-01", "")).await);
    assert_eq!(town.names(&other).await, ["maj.lind2", "work maj.lind2@storstad.example"]);
    town.wait_until("2026-07-04").await;
    assert_eq!(town.names(&id).await, both);
    town.wait_until("2026-07-06").await;
    assert_eq!(town.names(&id).await, ["maj.berg", "work maj.berg@storstad.example"]);
    assert_eq!(town.whole(&id).await[PERSON].get("aliases"), None);
    let third = id_of(&town.enter(&town.personnel(), entry("Maj", "Lind", "2026-01-01", "")).await);
    assert_eq!(town.names(&third).await[1], "work maj.lind3@storstad.example", "the alias is given to nobody");
    town.patch(&town.personnel(), "User", &id, family("Lind")).await.expect("taken");
    let names = town.names(&id).await;
    assert_eq!(names[..2], ["maj.lind", "work maj.lind@storstad.example"]);
    // Which policy and template made them, since when, what they were, and what they were then.
    let told = why(town, &town.admin(), &id, None, None).await.expect("an answer")["names"].clone();
    assert_eq!((&told["origin"], &told["policy"]), (&json!("generated"), &json!("all")), "{told}");
    assert_eq!(told["template"], "{{ firstName }}.{{ familyName }}");
    assert_eq!(told["since"].as_str().map(at), Some(at("2026-07-06")));
    let before: Vec<&Value> = told["before"].as_array().expect("all").iter().map(|one| &one["userName"]).collect();
    assert_eq!(before, ["maj.lind", "maj.berg"]);
    let then = why(town, &town.admin(), &id, None, Some(at("2026-05-01"))).await.expect("an answer")["names"].clone();
    assert_eq!((&then["userName"], &then["address"]), (&json!("maj.berg"), &json!("maj.berg@storstad.example")));
    assert_eq!(then["until"].as_str().map(at), Some(at("2026-07-06")));
    let never = why(town, &town.admin(), &id, None, Some(at("2025-01-01"))).await.expect("an answer");
    assert_eq!(never["names"], json!({}));
    // What a client calls the account is the client's.
    let own = id_of(&town.enter(&town.hr(), json!({ "userName": "own" })).await);
    let told = why(town, &town.admin(), &own, None, None).await.expect("an answer");
    assert_eq!(told["names"], json!({ "origin": "source", "userName": "own" }));
}

async fn nobody_is_renamed_for_capitals_or_by_a_policy_that_keeps(town: &Town) {
    town.naming(json!({ "familyNameChange": "rename" })).await;
    let id = id_of(&town.enter(&town.personnel(), entry("Jukka", "Mäkinen", "2026-01-01", "")).await);
    let names = ["jukka.makinen", "work jukka.makinen@storstad.example"];
    for spelling in ["MÄKINEN", "MÃ¤kinen", "M?kinen", "Makinen", "Mäkinen"] {
        town.patch(&town.personnel(), "User", &id, family(spelling)).await.expect("taken");
        assert_eq!(town.names(&id).await, names, "{spelling}");
    }
    let policies = town.register.changes().await.into_iter().find(|change| change.kind == "Policy").expect("a policy");
    let keep = json!([{ "op": "replace", "path": "names.familyNameChange", "value": "keep" }]);
    town.patch(&town.admin(), "Policy", &policies.resource.to_string(), keep).await.expect("taken");
    town.patch(&town.personnel(), "User", &id, family("Virtanen")).await.expect("taken");
    assert_eq!(town.names(&id).await, names);
}

async fn what_an_administrator_calls_somebody_stays(town: &Town) {
    town.naming(json!({ "familyNameChange": "rename" })).await;
    let id = id_of(&town.enter(&town.personnel(), entry("Maj", "Lind", "2026-01-01", "")).await);
    let set = json!([{ "op": "replace", "path": "userName", "value": "mayor" }]);
    town.patch(&town.admin(), "User", &id, set).await.expect("taken");
    assert_eq!(town.whole(&id).await[PERSON]["names"]["origin"], "manual");
    town.patch(&town.personnel(), "User", &id, family("Berg")).await.expect("taken");
    assert_eq!(town.names(&id).await, ["mayor", "work maj.lind@storstad.example"]);
}

async fn names_of_protected_people_tell_nothing(town: &Town) {
    town.naming(json!({ "neutral": ["p{{ code }}"] })).await;
    let mut body = entry("Maj", "Lind", "2026-01-01", "");
    body[PERSON]["protectedIdentity"] = json!("skyddad");
    let id = id_of(&town.enter(&town.personnel(), body).await);
    let names = town.names(&id).await;
    assert!(names[0].starts_with('p') && names[0].len() == 9, "{names:?}");
    assert_eq!(names[1], format!("work {}@storstad.example", names[0]));
}

async fn many_at_once_have_a_name_each(town: &Town) {
    town.naming(json!({})).await;
    let personnel = town.personnel();
    let entries = (0..24).map(|_| town.enter(&personnel, entry("Maj", "Lind", "2026-01-01", "")));
    let users = futures_util::future::join_all(entries).await;
    let mut names: Vec<String> =
        users.iter().map(|user| user["userName"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 24, "{names:?}");
    let mut addresses: Vec<Value> = users.iter().map(|user| user["emails"][0]["value"].clone()).collect();
    addresses.sort_by_key(Value::to_string);
    addresses.dedup();
    assert_eq!(addresses.len(), 24);
}

async fn without_a_policy_no_name_is_made(town: &Town) {
    town.install().await;
    let nobody =
        async |covers: &str| match town.create(&town.personnel(), "User", entry("Maj", "Lind", "2026-01-01", "")).await
        {
            Err(Error::Scim(error)) => assert!(error.detail.contains("names: generated"), "{covers}: {}", error.detail),
            other => panic!("{covers}: {other:?}"),
        };
    nobody("no policy").await;
    let policy = json!({ "name": "pupils", "zone": "Europe/Helsinki", "covers": "userType eq \"pupil\"" });
    town.create(&town.admin(), "Policy", policy).await.expect("a policy");
    town.refresh().await;
    nobody("another policy").await;
    let policy = json!({ "name": "bad", "zone": "Europe/Helsinki", "names": { "userName": ["{{ nick }}"] } });
    match town.create(&town.admin(), "Policy", policy).await {
        Err(Error::Scim(error)) => {
            assert!(error.detail.contains("names.userName: there is no nick"), "{}", error.detail)
        }
        other => panic!("{other:?}"),
    }
}
