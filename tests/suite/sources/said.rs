//! Whose number shows: in whatever order it was said, when one withdraws, and for who has no word.

use matrikel::directory::{Outside, Precondition, Writes};
use scim::resource::Projection;
use serde_json::{Value, json};
use std::sync::Arc;

use super::office::refused;
use super::office::{MOBILE, Office, SOURCES, mobile, user};
use crate::lifecycle::town::Town;

async fn the_highest_shows_whoever_came_first(town: Town) {
    let office = Office::of(town).await;
    let (exchange, hr) = (&office.exchange, &office.hr);
    let one = office.enter(hr, "one", Some("2")).await;
    assert_eq!(office.told(&one).await, "source: personnel 2");
    // What shows already is said by name as well.
    office.say(exchange, &one, Some("2")).await.expect("heard");
    assert_eq!(office.told(&one).await, "source: exchange 2, personnel 2");
    office.say(exchange, &one, Some("1")).await.expect("heard");
    let version = office.town.whole(&one).await["meta"]["version"].clone();
    office.say(hr, &one, Some("3")).await.expect("heard");
    assert_eq!(office.shown(&one).await.as_deref(), Some("1"));
    assert_eq!(office.told(&one).await, "source: exchange 1, personnel 3");
    assert_ne!(office.town.whole(&one).await["meta"]["version"], version, "what is said is part of the resource");
    // Said once more, nothing is.
    let version = office.town.whole(&one).await["meta"]["version"].clone();
    office.say(hr, &one, Some("3")).await.expect("heard");
    assert_eq!(office.town.whole(&one).await["meta"]["version"], version);
    let two = office.enter(exchange, "two", Some("1")).await;
    office.say(hr, &two, Some("3")).await.expect("heard");
    assert_eq!(office.told(&two).await, office.told(&one).await, "whoever came first");
    // The next one's value returns in the same write, and so on.
    let written = office.say(exchange, &one, None).await.expect("withdrawn");
    assert!(written["phoneNumbers"].as_array().expect("numbers").contains(&mobile("3")), "{written}");
    office.say(hr, &one, None).await.expect("withdrawn");
    assert_eq!(office.told(&one).await, "none: ");
    assert_eq!(office.shown(&one).await, None);
    let stored = office.town.stored(&one).await;
    assert!(stored.get(SOURCES).is_none(), "{stored}");
    assert!(!stored["schemas"].to_string().contains("Sources"), "{stored}");
}

#[tokio::test]
async fn the_highest_shows_whoever_came_first_on_sqlite() {
    the_highest_shows_whoever_came_first(Town::sqlite()).await;
}

#[tokio::test]
async fn the_highest_shows_whoever_came_first_on_postgres() {
    the_highest_shows_whoever_came_first(Town::postgres()).await;
}

async fn what_comes_back_as_it_was_read_says_nothing(town: Town) {
    let office = Office::of(town).await;
    let id = office.enter(&office.hr, "one", Some("2")).await;
    office.say(&office.exchange, &id, Some("1")).await.expect("heard");
    // Personnel sends the whole user with another title: the exchange's number is not personnel's for that.
    let mut read = office.town.seen(&office.now(&office.hr), &id).await.expect("there");
    read["title"] = json!("Rector");
    let written = office.town.replace(&office.now(&office.hr), &id, read).await.expect("taken");
    assert_eq!(written["title"], "Rector");
    assert_eq!(office.told(&id).await, "source: exchange 1, personnel 2");
    // Without the number: its own is withdrawn, the other's stays.
    let mut without = user("one", None);
    without["title"] = json!("Rector");
    office.town.replace(&office.now(&office.hr), &id, without).await.expect("taken");
    assert_eq!(office.told(&id).await, "source: exchange 1");
    // It has nothing of its own to take away.
    let (status, detail) = refused(&office.say(&office.hr, &id, None).await.expect_err("not its own"));
    assert_eq!(status, 403, "{detail}");
    assert!(detail.contains(MOBILE) && detail.contains("authority mobile"), "{detail}");
    // The work number is nobody's.
    let other = json!([{ "op": "replace", "path": "phoneNumbers[type eq \"work\"].value", "value": "+358 9 2" }]);
    office.town.patch(&office.now(&office.school), "User", &id, other).await.expect("free");
}

#[tokio::test]
async fn what_comes_back_as_it_was_read_says_nothing_on_sqlite() {
    what_comes_back_as_it_was_read_says_nothing(Town::sqlite()).await;
}

#[tokio::test]
async fn what_comes_back_as_it_was_read_says_nothing_on_postgres() {
    what_comes_back_as_it_was_read_says_nothing(Town::postgres()).await;
}

async fn who_has_no_word_is_refused_or_passed_over(town: Town) {
    let office = Office::of(town).await;
    let id = office.enter(&office.hr, "one", Some("2")).await;
    let mut school = office.school.clone();
    for tried in [office.say(&school, &id, Some("9")).await, office.say(&school, &id, None).await] {
        assert_eq!(refused(&tried.expect_err("not its own")).0, 403);
    }
    let definition = office.town.definition("User");
    let whole = Projection::whole(&definition);
    let new = office.town.create(&office.now(&school), "User", user("two", Some("9"))).await;
    assert_eq!(refused(&new.expect_err("not its own")).0, 403);
    Arc::make_mut(&mut school.caller).writes = Arc::new(Writes { outside: Outside::Ignore, ..Writes::default() });
    let mut body = user("one", Some("9"));
    body["title"] = json!("Rector");
    let now = office.now(&school);
    let replaced =
        office.town.register.directory.replace(&now, &definition, &id, body, &Precondition::none(), &whole).await;
    replaced.expect("the rest is taken");
    assert_eq!(now.tolerances.ignored(), [MOBILE]);
    assert_eq!(office.town.whole(&id).await["title"], "Rector");
    assert_eq!(office.told(&id).await, "source: personnel 2");
    // Absence and the same are nothing that anybody would be refused.
    let mut strict = office.now(&office.school);
    Arc::make_mut(&mut strict.caller).writes = Arc::default();
    let read = office.town.seen(&strict, &id).await.expect("there");
    office.town.replace(&strict, &id, read).await.expect("taken");
    office.town.replace(&strict, &id, user("one", None)).await.expect("taken");
    assert_eq!(office.shown(&id).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn who_has_no_word_is_refused_or_passed_over_on_sqlite() {
    who_has_no_word_is_refused_or_passed_over(Town::sqlite()).await;
}

#[tokio::test]
async fn who_has_no_word_is_refused_or_passed_over_on_postgres() {
    who_has_no_word_is_refused_or_passed_over(Town::postgres()).await;
}

async fn a_source_that_withdraws_takes_its_word_along(town: Town) {
    let office = Office::with_policy(town).await;
    let id = office.enter(&office.hr, "one", Some("2")).await;
    office.say(&office.exchange, &id, Some("1")).await.expect("heard");
    office.town.delete(&office.now(&office.exchange), "User", &id).await.expect("withdrawn");
    assert_eq!(office.told(&id).await, "source: personnel 2");
    office.town.delete(&office.now(&office.hr), "User", &id).await.expect("withdrawn");
    assert_eq!(office.told(&id).await, "none: ");
    // Whoever comes back has a word again.
    let back = office.town.enter(&office.now(&office.hr), user("one", Some("5"))).await;
    assert_eq!(back["id"], id.as_str());
    assert_eq!(office.told(&id).await, "source: personnel 5");
    office.town.delete(&office.town.admin(), "User", &id).await.expect("erased");
    assert!(office.town.seen(&office.town.admin(), &id).await.is_none());
}

#[tokio::test]
async fn a_source_that_withdraws_takes_its_word_along_on_sqlite() {
    a_source_that_withdraws_takes_its_word_along(Town::sqlite()).await;
}

#[tokio::test]
async fn a_source_that_withdraws_takes_its_word_along_on_postgres() {
    a_source_that_withdraws_takes_its_word_along(Town::postgres()).await;
}

async fn what_is_said_is_nobodys_to_read_and_none_the_less_there(town: Town) {
    let office = Office::of(town).await;
    let id = office.enter(&office.hr, "one", Some("2")).await;
    let stored = office.town.stored(&id).await;
    assert_eq!(
        stored[SOURCES]["said"].as_array().map(Vec::len),
        Some(1),
        "so it is in every change, export and replay"
    );
    let whole = office.town.whole(&id).await;
    assert!(whole[SOURCES].get("said").is_none(), "{whole}");
    // Nobody writes it either.
    let mut body = user("one", Some("2"));
    body[SOURCES] = json!({ "said": [{ "source": "me", "path": "title", "value": "[\"King\"]" }] });
    office.town.replace(&office.now(&office.hr), &id, body).await.expect("without effect");
    assert_eq!(office.town.stored(&id).await[SOURCES], stored[SOURCES]);
    // A simulation says what would show and keeps nothing.
    let mut simulated = office.exchange.clone();
    simulated.simulate = true;
    let would = office.say(&simulated, &id, Some("7")).await.expect("worked out");
    assert!(would["phoneNumbers"].as_array().expect("numbers").contains(&mobile("7")), "{would}");
    assert_eq!(office.told(&id).await, "source: personnel 2");
}

#[tokio::test]
async fn what_is_said_is_nobodys_to_read_and_none_the_less_there_on_sqlite() {
    what_is_said_is_nobodys_to_read_and_none_the_less_there(Town::sqlite()).await;
}

#[tokio::test]
async fn what_is_said_is_nobodys_to_read_and_none_the_less_there_on_postgres() {
    what_is_said_is_nobodys_to_read_and_none_the_less_there(Town::postgres()).await;
}

async fn another_order_shows_another_number(town: Town) {
    let office = Office::of(town).await;
    let id = office.enter(&office.hr, "one", Some("2")).await;
    office.say(&office.exchange, &id, Some("1")).await.expect("heard");
    let admin = office.town.admin();
    let turned =
        json!([{ "op": "replace", "path": "sources", "value": [{ "value": "personnel" }, { "value": "exchange" }] }]);
    office.town.patch(&admin, "Authority", &office.authority, turned).await.expect("changed");
    office.town.wake_at("2026-01-05T09:00:00Z").await;
    assert_eq!(office.told(&id).await, "source: personnel 2, exchange 1");
    assert_eq!(office.shown(&id).await.as_deref(), Some("2"));
    // A client that is gone has no word.
    office.town.delete(&admin, "Client", &office.hr.caller.id.to_string()).await.expect("gone");
    office.town.wake_at("2026-01-05T10:00:00Z").await;
    assert_eq!(office.told(&id).await, "source: exchange 1");
    // Without the authority the value stays, and nothing is kept of who said it.
    office.town.delete(&admin, "Authority", &office.authority).await.expect("gone");
    office.town.wake_at("2026-01-05T11:00:00Z").await;
    assert_eq!(office.shown(&id).await.as_deref(), Some("1"));
    assert!(office.town.stored(&id).await.get(SOURCES).is_none());
}

#[tokio::test]
async fn another_order_shows_another_number_on_sqlite() {
    another_order_shows_another_number(Town::sqlite()).await;
}

#[tokio::test]
async fn another_order_shows_another_number_on_postgres() {
    another_order_shows_another_number(Town::postgres()).await;
}

async fn an_authority_that_cannot_be_is_refused(town: Town) {
    let office = Office::of(town).await;
    let hr = json!([{ "value": "personnel" }]);
    let table: [(Value, Value, &str); 6] = [
        (json!(["phoneNumbers"]), hr.clone(), "the authority mobile is about phoneNumbers already"),
        (json!(["shoeSize"]), hr.clone(), "no attribute"),
        (json!(["password"]), hr.clone(), "not for sources"),
        (json!(["name", "name.familyName"]), hr.clone(), "the same values"),
        (json!(["title"]), json!([{ "value": "nobody" }]), "no client \"nobody\""),
        (
            json!(["title"]),
            json!([{ "value": "personnel" }, { "value": office.hr.caller.id.to_string() }]),
            "there twice",
        ),
    ];
    for (paths, sources, why) in table {
        let (status, detail) = refused(&office.rule("other", paths, sources).await.expect_err(why));
        assert_eq!(status, 400, "{detail}");
        assert!(detail.contains(why), "{detail}");
    }
    let group = json!({ "name": "g", "resourceType": "Group", "paths": ["displayName"], "sources": hr });
    let (_, detail) =
        refused(&office.town.create(&office.town.admin(), "Authority", group).await.expect_err("not installed"));
    assert!(detail.contains("schema install sources"), "{detail}");
}

#[tokio::test]
async fn an_authority_that_cannot_be_is_refused_on_sqlite() {
    an_authority_that_cannot_be_is_refused(Town::sqlite()).await;
}

#[tokio::test]
async fn an_authority_that_cannot_be_is_refused_on_postgres() {
    an_authority_that_cannot_be_is_refused(Town::postgres()).await;
}
