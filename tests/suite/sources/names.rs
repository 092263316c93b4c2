//! Names that a client says although it leaves them to a policy: they are kept as its word, and never overwrite. And that what
//! is said of any value is in the changes, so that replaying them rebuilds it.

use std::sync::Arc;

use matrikel::directory::Ctx;
use serde_json::{Value, json};

use super::office::{Office, SOURCES};
use crate::lifecycle::town::{PERSON, Town};

/// Personnel, which leaves names to the policy.
fn personnel(office: &Office) -> Ctx {
    let mut ctx = office.now(&office.hr);
    Arc::make_mut(&mut ctx.caller).generates_names = true;
    ctx
}

fn entry(more: &Value) -> Value {
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", PERSON], "externalId": "100",
        "name": { "givenName": "Maj", "familyName": "Lind" },
        PERSON: { "employments": [{ "employmentId": "1", "start": "2026-01-01" }] },
    });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

/// What is kept as said of names: `userName lindmaj`.
async fn kept(town: &Town, id: &str) -> Vec<String> {
    let stored = town.stored(id).await;
    let said = stored[SOURCES]["said"].as_array().cloned().unwrap_or_default();
    said.iter().map(|one| format!("{} {}", one["path"], one["value"]).replace(['"', '\\'], "")).collect()
}

async fn names_that_a_client_says_are_kept_as_its_word_and_never_overwrite(town: Town) {
    let office = Office::naming(town).await;
    let town = &office.town;
    let hr = || personnel(&office);
    let names = json!({
        "userName": "LindMaj",
        "Emails": [{ "Value": "maj@home.example", "type": "home", "primary": true }, "nonsense", { "type": "work" }],
    });
    let entered = town.enter(&hr(), entry(&names)).await;
    let id = entered["id"].as_str().expect("an id").to_owned();
    let ours = ("maj.lind", "maj.lind@k.example");
    let shown = async || {
        let user = town.whole(&id).await;
        assert!(user[SOURCES].get("said").is_none(), "what is said is in no answer");
        let emails = user["emails"].as_array().expect("addresses").clone();
        assert_eq!(emails.len(), 1, "{user}");
        (user["userName"].as_str().expect("a name").to_owned(), emails[0]["value"].as_str().expect("one").to_owned())
    };
    assert_eq!((entered["userName"].as_str(), entered["emails"][0]["value"].as_str()), (Some(ours.0), Some(ours.1)));
    assert_eq!(shown().await, (ours.0.to_owned(), ours.1.to_owned()));
    let words = ["emails [{value:maj@home.example,type:home,primary:true}]", "userName [LindMaj]"];
    assert_eq!(kept(town, &id).await, words);

    // Who asks is told: the client's word, which does not count.
    let told = town.register.directory.sources(&town.admin(), &town.definition("User"), &id, None).await.expect("told");
    let of = |path: &str| told["values"].as_array().expect("values").iter().find(|one| one["path"] == path).cloned();
    let name = of("userName").expect("it is told");
    assert_eq!((&name["from"], &name["values"]), (&json!("policy"), &json!(["maj.lind"])));
    assert_eq!(
        (&name["says"][0]["display"], &name["says"][0]["values"], &name["says"][0]["counts"]),
        (&json!("personnel"), &json!(["LindMaj"]), &json!(false))
    );
    assert!(of("emails").is_some());

    // The same again is nothing new, and what comes back as it was read says nothing.
    let version = town.whole(&id).await["meta"]["version"].clone();
    town.replace(&hr(), &id, entry(&names)).await.expect("taken");
    let read = town.seen(&hr(), &id).await.expect("there");
    town.replace(&hr(), &id, read).await.expect("comes back");
    assert_eq!(town.whole(&id).await["meta"]["version"], version);
    assert_eq!(kept(town, &id).await, words);
    // Another word, by PUT and by PATCH: it is kept, and ours stay.
    town.replace(&hr(), &id, entry(&json!({ "userName": "lind.m" }))).await.expect("taken");
    assert_eq!(kept(town, &id).await, ["userName [lind.m]"], "who leaves out an address says none");
    let patch = json!([
        { "op": "replace", "path": "userName", "value": "mlind" },
        { "op": "add", "path": "emails", "value": [{ "value": "m@home.example" }] },
    ]);
    town.patch(&hr(), "User", &id, patch).await.expect("taken");
    assert_eq!(kept(town, &id).await, ["emails [{value:m@home.example}]", "userName [mlind]"]);
    assert_eq!(shown().await, (ours.0.to_owned(), ours.1.to_owned()));
    // A client whose names count says nothing in that way.
    let title = json!([{ "op": "replace", "path": "title", "value": "Nurse" }]);
    town.patch(&office.now(&office.school), "User", &id, title).await.expect("taken");
    assert_eq!(kept(town, &id).await.len(), 2);
    // Who withdraws takes its word along; who comes back says anew.
    town.delete(&hr(), "User", &id).await.expect("withdrawn");
    assert_eq!(kept(town, &id).await, [""; 0]);
    let back = town.enter(&hr(), entry(&json!({ "userName": "lindm" }))).await;
    assert_eq!((back["id"].as_str(), back["userName"].as_str()), (Some(&*id), Some(ours.0)));
    assert_eq!(kept(town, &id).await, ["userName [lindm]"]);
    let tenant = town.register.tenant;
    let found = town.register.directory.store().read(move |reader| reader.verify(tenant)).await.expect("looked");
    assert_eq!(found, []);
}

async fn what_was_said_is_rebuilt_from_the_changes(town: Town) {
    let office = Office::naming(town).await;
    let town = &office.town;
    let told = async |user: &str| {
        let stored = town.stored(user).await;
        let changes = town.register.changes().await;
        let last = changes.iter().rev().find(|change| change.resource.to_string() == user && change.doc.is_some());
        let doc: Value =
            serde_json::from_str(last.expect("a change").doc.as_deref().expect("a document")).expect("JSON");
        assert_eq!(doc, stored, "the last image is what is there");
        office.told(user).await
    };
    let id = office.enter(&office.hr, "one", Some("2")).await;
    assert_eq!(told(&id).await, "source: personnel 2");
    office.say(&office.exchange, &id, Some("1")).await.expect("heard");
    assert_eq!(told(&id).await, "source: exchange 1, personnel 2");
    // A word that does not show is a change all the same: without it the next value would not be known.
    office.say(&office.hr, &id, Some("3")).await.expect("heard");
    assert_eq!(told(&id).await, "source: exchange 1, personnel 3");
    let until = "2026-02-01T00:00:00Z";
    let pin = json!([{ "op": "add", "path": format!("{SOURCES}:pins"),
        "value": [{ "path": super::office::MOBILE, "reason": "wrong", "until": until }] }]);
    town.patch(&town.admin(), "User", &id, pin).await.expect("pinned");
    assert_eq!(told(&id).await, "pin: exchange 1, personnel 3");
    town.wait_until("2026-02-02").await;
    office.say(&office.exchange, &id, None).await.expect("withdrawn");
    assert_eq!(told(&id).await, "source: personnel 3");
    // Another order is another change for everybody whom it concerns, and for nobody else.
    let other = office.enter(&office.hr, "two", None).await;
    let before = town.register.changes().await.len();
    let order = json!([{ "op": "replace", "path": "sources", "value": [{ "value": "exchange" }] }]);
    town.patch(&town.admin(), "Authority", &office.authority, order).await.expect("changed");
    crate::rules::grants::wake(town).await;
    assert_eq!(told(&id).await, "none: ");
    let after = town.register.changes().await.split_off(before);
    assert!(after.iter().all(|change| change.resource.to_string() != other), "nothing was said of the other");
}

#[tokio::test]
async fn names_that_a_client_says_are_kept_as_its_word_and_never_overwrite_on_sqlite() {
    names_that_a_client_says_are_kept_as_its_word_and_never_overwrite(Town::sqlite()).await;
}

#[tokio::test]
async fn names_that_a_client_says_are_kept_as_its_word_and_never_overwrite_on_postgres() {
    names_that_a_client_says_are_kept_as_its_word_and_never_overwrite(Town::postgres()).await;
}

#[tokio::test]
async fn what_was_said_is_rebuilt_from_the_changes_on_sqlite() {
    what_was_said_is_rebuilt_from_the_changes(Town::sqlite()).await;
}

#[tokio::test]
async fn what_was_said_is_rebuilt_from_the_changes_on_postgres() {
    what_was_said_is_rebuilt_from_the_changes(Town::postgres()).await;
}
