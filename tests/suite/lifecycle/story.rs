//! How people come, rest, go and come back, day by day: what their sources write, and what whoever pulls then sees.

use serde_json::{Value, json};

use super::town::{PERSON, Town, at, person, told};
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    somebody_comes,
    a_substitute_works_now_and_then,
    somebody_is_on_leave,
    somebody_goes_and_the_news_comes_late,
    a_source_deletes_and_the_account_stays_for_others_until_its_day,
    who_comes_back_in_time_has_the_same_account,
    who_is_purged_leaves_a_name_that_is_not_given_again,
    nothing_follows_without_a_policy,
);

fn id_of(user: &Value) -> String {
    user["id"].as_str().expect("an id").to_owned()
}

/// What HR says of the employments from now on.
fn employed(employments: &Value) -> Value {
    json!([{ "op": "replace", "path": format!("{PERSON}:employments"), "value": employments }])
}

async fn somebody_comes(town: &Town) {
    town.with_policy(json!({})).await;
    let entered = town.enter(&town.hr(), person("maj", &[("1", "permanent", "2026-03-02", "")])).await;
    assert_eq!(told(&entered), "planned off, staged 2026-02-16", "HR is told what became of it");
    let id = id_of(&entered);
    assert!(town.seen(&town.consumer(), &id).await.is_none(), "it is not there yet");
    assert!(town.seen(&town.hr(), &id).await.is_some());

    // HR sends what it knows every night: nothing is another for it.
    let version = town.whole(&id).await["meta"]["version"].clone();
    let mut nightly = person("maj", &[("1", "permanent", "2026-03-02", "")]);
    nightly["active"] = json!(true);
    town.replace(&town.hr(), &id, nightly).await.expect("taken");
    assert_eq!(town.whole(&id).await["meta"]["version"], version);

    let done = town.wait_until("2026-02-16").await;
    assert_eq!((done.changed, done.put_off), (1, 0));
    assert_eq!(town.state(&id).await, "staged off, active 2026-03-02");
    assert!(town.seen(&town.consumer(), &id).await.is_none());
    town.wait_until("2026-03-01T21:59:59Z").await;
    assert_eq!(town.state(&id).await, "staged off, active 2026-03-02");
    town.wait_until("2026-03-02").await;
    let active = town.whole(&id).await;
    assert_eq!(told(&active), "active on");
    let lifecycle = &active[PERSON]["lifecycle"];
    assert_eq!(lifecycle["since"].as_str().map(at), Some(at("2026-03-02")));
    assert_eq!(town.seen(&town.consumer(), &id).await.expect("there")["active"], true);
    let changes = town.register.changes().await;
    let causes: Vec<&str> = changes.iter().rev().take(3).rev().map(|change| change.cause.as_str()).collect();
    assert_eq!(causes, ["request", "due", "due"], "what the clock did is a change of its own");
    // Looked at again, nothing is done again.
    assert_eq!(town.wait_until("2026-06-01").await.looked, 0);
    assert_eq!(town.register.changes().await.len(), changes.len());
}

async fn a_substitute_works_now_and_then(town: &Town) {
    town.with_policy(json!({ "kinds": [{ "type": "substitute", "bridgeDays": 30 }] })).await;
    let first = ("1", "substitute", "2026-01-05", "2026-01-09");
    let id = id_of(&town.enter(&town.hr(), person("sub", &[first])).await);
    assert_eq!(town.state(&id).await, "ending on, disabled 2026-02-09");
    town.wait_until("2026-01-20").await;
    assert_eq!(town.state(&id).await, "ending on, disabled 2026-02-09", "the next contract may come");
    let second = ("2", "substitute", "2026-02-02", "2026-03-13");
    town.replace(&town.hr(), &id, person("sub", &[first, second])).await.expect("taken");
    assert_eq!(town.state(&id).await, "active on, ending 2026-03-06");
    town.wait_until("2026-04-12").await;
    assert_eq!(town.state(&id).await, "ending on, disabled 2026-04-13");
    town.wait_until("2026-04-13").await;
    assert_eq!(town.state(&id).await, "disabled off, limbo 2026-05-13");
    // The next one comes after the bridge.
    let third = ("3", "substitute", "2026-05-04", "2026-05-08");
    town.replace(&town.hr(), &id, person("sub", &[first, second, third])).await.expect("taken");
    assert_eq!(town.state(&id).await, "disabled off, staged 2026-04-20");
    town.wait_until("2026-05-04").await;
    assert_eq!(town.state(&id).await, "ending on, disabled 2026-06-08");
}

async fn somebody_is_on_leave(town: &Town) {
    town.with_policy(json!({})).await;
    let mut eva = person("eva", &[("1", "permanent", "2026-01-01", ""), ("2", "elected", "2026-01-01", "2026-12-31")]);
    eva[PERSON]["leaves"] = json!([
        { "employmentId": "1", "from": "2026-02-01", "to": "2026-06-30", "type": "parental" },
        { "employmentId": "2", "from": "2026-03-01", "to": "2026-03-31", "type": "parental" },
    ]);
    let id = id_of(&town.enter(&town.hr(), eva.clone()).await);
    assert_eq!(town.state(&id).await, "active on, suspended 2026-03-01", "one employment holds while the other rests");
    town.wait_until("2026-03-15").await;
    assert_eq!(town.state(&id).await, "suspended off, active 2026-04-01");
    assert_eq!(town.seen(&town.consumer(), &id).await.expect("there")["active"], false);
    // It turns out that she keeps her mailbox.
    eva[PERSON]["leaves"][1]["keepAccess"] = json!(true);
    town.replace(&town.hr(), &id, eva).await.expect("taken");
    assert_eq!(town.state(&id).await, "active on");
}

async fn somebody_goes_and_the_news_comes_late(town: &Town) {
    town.with_policy(json!({})).await;
    let id = id_of(&town.enter(&town.hr(), person("bo", &[("1", "permanent", "2025-01-01", "")])).await);
    town.wait_until("2026-05-20T10:00:00Z").await;
    let ended = json!([{ "employmentId": "1", "type": "permanent", "start": "2025-01-01", "end": "2026-05-03" }]);
    let before = town.register.changes().await.len();
    town.patch(&town.hr(), "User", &id, employed(&ended)).await.expect("taken");
    let left = town.whole(&id).await;
    assert_eq!(told(&left), "disabled off, limbo 2026-06-03", "it acts now, and limbo counts from the last day");
    assert_eq!(left[PERSON]["lifecycle"]["since"].as_str().map(at), Some(at("2026-05-20T10:00:00Z")));
    assert_eq!(town.register.changes().await.len(), before + 1, "as one change");
    assert_eq!(town.seen(&town.consumer(), &id).await.expect("there")["active"], false);
    town.wait_until("2026-06-03").await;
    assert_eq!(town.state(&id).await, "limbo off");
    assert!(town.seen(&town.consumer(), &id).await.is_none());
    assert!(town.seen(&town.hr(), &id).await.is_some());
    assert_eq!(town.wait_until("2030-01-01").await.looked, 0, "without a word of purging it stays");
}

async fn a_source_deletes_and_the_account_stays_for_others_until_its_day(town: &Town) {
    town.with_policy(json!({})).await;
    let id = id_of(&town.enter(&town.hr(), person("ulf", &[("1", "permanent", "2025-01-01", "")])).await);
    town.sleep_until("2026-02-10T10:00:00Z");
    town.delete(&town.hr(), "User", &id).await.expect("deleted");
    assert!(town.seen(&town.hr(), &id).await.is_none(), "for whom has deleted it, it is gone");
    assert!(town.delete(&town.hr(), "User", &id).await.is_err());
    assert!(town.replace(&town.hr(), &id, person("ulf", &[])).await.is_err());
    let phones = town.source("phones");
    assert_eq!(town.seen(&phones, &id).await.expect("there for others")["active"], false);
    assert_eq!(town.seen(&town.consumer(), &id).await.expect("there")["active"], false);
    assert_eq!(town.state(&id).await, "disabled off, limbo 2026-03-13");
    town.wait_until("2026-03-13").await;
    assert!(town.seen(&town.consumer(), &id).await.is_none());
    assert_eq!(town.state(&id).await, "limbo off");

    // Another source that only adds to an account cannot take it from the one that it is from.
    let id = id_of(&town.enter(&town.hr(), person("ola", &[("1", "permanent", "2025-01-01", "")])).await);
    town.delete(&town.source("phones"), "User", &id).await.expect("withdrawn");
    assert!(town.seen(&town.source("phones"), &id).await.is_none());
    assert_eq!(town.state(&id).await, "active on");
    // What an administrator deletes is gone.
    town.delete(&town.admin(), "User", &id).await.expect("deleted");
    assert!(town.seen(&town.admin(), &id).await.is_none());
}

async fn who_comes_back_in_time_has_the_same_account(town: &Town) {
    town.with_policy(json!({})).await;
    let mut ada = person("ada", &[("1", "permanent", "2025-01-01", "")]);
    ada["phoneNumbers"] = json!([{ "value": "tel:+358401234567", "type": "work" }]);
    let id = id_of(&town.enter(&town.hr(), ada).await);
    town.sleep_until("2026-02-10T10:00:00Z");
    town.delete(&town.hr(), "User", &id).await.expect("withdrawn");
    town.wait_until("2026-04-01").await;
    // The same key.
    let back = town.enter(&town.hr(), person("ada", &[("2", "permanent", "2026-04-01", "")])).await;
    assert_eq!((id_of(&back), told(&back)), (id.clone(), "active on".to_owned()));
    assert_eq!(back["phoneNumbers"][0]["value"], "tel:+358401234567", "what is not spoken of stays");
    assert!(town.seen(&town.hr(), &id).await.is_some());
    // It is over by its dates, and HR has another key for the same number.
    let ended = json!([{ "employmentId": "2", "type": "permanent", "start": "2026-04-01", "end": "2026-04-30" }]);
    town.patch(&town.hr(), "User", &id, employed(&ended)).await.expect("taken");
    town.wait_until("2026-05-10").await;
    assert_eq!(town.state(&id).await, "disabled off, limbo 2026-05-31");
    let mut again = person("ada", &[("3", "permanent", "2026-06-01", "")]);
    again["externalId"] = json!("hr-2-ada");
    let back = town.enter(&town.hr(), again).await;
    assert_eq!((id_of(&back), back["externalId"].as_str()), (id.clone(), Some("hr-2-ada")));
    assert_eq!(told(&back), "disabled off, staged 2026-05-18");
    // Who works has an account, and nobody takes it over.
    town.wait_until("2026-06-01").await;
    let other = town.create(&town.hr(), "User", person("ada", &[])).await;
    assert!(other.is_err_and(|error| error.to_string().contains("is already in use")), "what is taken is a conflict");
}

async fn who_is_purged_leaves_a_name_that_is_not_given_again(town: &Town) {
    town.with_policy(json!({ "purge": true, "purgeAfter": 60, "reuse": "never" })).await;
    let leaver = [("1", "permanent", "2025-01-01", "2026-01-31")];
    let id = id_of(&town.enter(&town.hr(), person("åke", &leaver)).await);
    town.wait_until("2026-05-01").await;
    assert_eq!(town.state(&id).await, "limbo off, purged 2026-05-02");
    let done = town.wait_until("2026-05-02").await;
    assert_eq!(done.purged, 1);
    assert!(town.seen(&town.admin(), &id).await.is_none());
    assert_eq!(town.wait_until("2026-05-03").await.looked, 0, "nothing of it falls due any more");
    let reader = town.register.directory.store();
    let tenant = town.register.tenant;
    let stone = |space: &'static str, name: &'static str| async move {
        reader.read(move |reader| reader.tombstone(tenant, space, name)).await.expect("read")
    };
    let name = stone("userName", "åke").await.expect("it stays taken");
    assert_eq!((name.resource.to_string(), name.at, name.until), (id.clone(), at("2026-05-02"), None));
    let address = stone("email", "åke@kerava.example").await.expect("it stays taken");
    assert_eq!(address.until, Some(at("2036-05-02")));
    assert!(stone("employeeNumber", "n-åke").await.is_some());
    assert_eq!(stone("userName", "bo").await, None);

    // Somebody else cannot have the name, in no spelling.
    let mut other = person("ÅKE", &[("1", "permanent", "2026-06-01", "")]);
    other["emails"] = json!([]);
    // Numbers of the employer are the same in any case.
    other["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]["employeeNumber"] = json!("n-other");
    let refused = town.create(&town.hr(), "User", other.clone()).await.expect_err("it was another's");
    assert!(refused.to_string().contains("is not used again"), "{refused}");
    other["userName"] = json!("ake2");
    let other = id_of(&town.enter(&town.hr(), other).await);
    let rename = json!([{ "op": "replace", "path": "userName", "value": "åke" }]);
    assert!(town.patch(&town.hr(), "User", &other, rename).await.is_err());
    // Whose it was may have it, under a new id.
    let back = town.enter(&town.hr(), person("åke", &[("2", "permanent", "2026-06-01", "")])).await;
    assert_ne!(id_of(&back), id);
    let found = town.register.directory.store().read(move |reader| reader.verify(tenant)).await.expect("looked");
    assert_eq!(found, []);
}

async fn nothing_follows_without_a_policy(town: &Town) {
    town.install().await;
    let id = id_of(&town.enter(&town.hr(), person("kim", &[("1", "permanent", "2025-01-01", "2025-02-01")])).await);
    assert_eq!(town.state(&id).await, "none unsaid");
    let tenant = town.register.tenant;
    let due = town.register.directory.store().read(move |reader| reader.due_before(tenant, i64::MAX, 10)).await;
    assert_eq!(due.expect("read"), []);
    town.delete(&town.hr(), "User", &id).await.expect("deleted");
    assert!(town.seen(&town.admin(), &id).await.is_none());
    town.enter(&town.hr(), person("kim", &[])).await;
}
