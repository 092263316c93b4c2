//! A correction by hand: it shows until its day, whatever sources say, and ends by itself.

use matrikel::directory::Precondition;
use serde_json::{Value, json};

use super::office::refused;
use super::office::{MOBILE, Office, SOURCES, mobile};
use crate::licences::pool::{NURSE, check, counts, entered, found, gives, install};
use crate::lifecycle::town::Town;
use crate::rules::grants::{wake, works};
use crate::support::messages::patch;
use crate::support::register::id;

/// A correction, and the number with it.
fn pinned(number: &str, until: &str) -> Value {
    json!([
        { "op": "add", "path": format!("{SOURCES}:pins"),
          "value": [{ "path": MOBILE, "reason": "wrong at the exchange", "until": until }] },
        { "op": "replace", "path": MOBILE, "value": mobile(number) },
    ])
}

async fn a_correction_shows_until_its_day(town: Town) {
    let office = Office::of(town).await;
    let id = office.enter(&office.hr, "one", Some("2")).await;
    office.say(&office.exchange, &id, Some("1")).await.expect("heard");
    let admin = office.town.admin();
    // By hand alone, without a pin, it would last until the next night.
    assert_eq!(refused(&office.say(&admin, &id, Some("9")).await.expect_err("not pinned")).0, 403);
    let written = office.town.patch(&admin, "User", &id, pinned("9", "2026-02-01T00:00:00Z")).await.expect("pinned");
    let pin = &written[SOURCES]["pins"][0];
    assert_eq!(
        (&pin["path"], &pin["by"], &pin["until"]),
        (&json!(MOBILE), &json!("admin"), &json!("2026-02-01T00:00:00Z"))
    );
    assert_eq!(office.shown(&id).await.as_deref(), Some("9"));
    assert_eq!(office.told(&id).await, "pin: exchange 1, personnel 2");
    // What sources say is heard, and does not show.
    office.say(&office.exchange, &id, Some("3")).await.expect("heard");
    let read = office.town.seen(&office.now(&office.hr), &id).await.expect("there");
    office.town.replace(&office.now(&office.hr), &id, read).await.expect("comes back");
    office.town.replace(&office.now(&office.hr), &id, super::office::user("one", Some("4"))).await.expect("heard");
    assert_eq!(office.told(&id).await, "pin: exchange 3, personnel 4");
    assert_eq!(office.shown(&id).await.as_deref(), Some("9"));
    // Who may not pin cannot unpin.
    let unpin = json!([{ "op": "remove", "path": format!("{SOURCES}:pins") }]);
    let tried = office.town.patch(&office.now(&office.hr), "User", &id, unpin).await;
    assert_eq!(refused(&tried.expect_err("not its to end")).0, 403);
    // Its day comes.
    office.town.wait_until("2026-02-02").await;
    assert_eq!(office.told(&id).await, "source: exchange 3, personnel 4");
    assert_eq!(office.shown(&id).await.as_deref(), Some("3"));
    assert!(office.town.whole(&id).await[SOURCES].get("pins").is_none());
}

#[tokio::test]
async fn a_correction_shows_until_its_day_on_sqlite() {
    a_correction_shows_until_its_day(Town::sqlite()).await;
}

#[tokio::test]
async fn a_correction_shows_until_its_day_on_postgres() {
    a_correction_shows_until_its_day(Town::postgres()).await;
}

async fn whoever_may_pin_says_what_why_and_until_when(town: Town) {
    let office = Office::of(town).await;
    let id = office.enter(&office.hr, "one", None).await;
    let desk = office.town.with_scopes("desk", "User:read User:write User:pin");
    let pin = |pin: Value| json!([{ "op": "add", "path": format!("{SOURCES}:pins"), "value": [pin] }]);
    for (wrong, why) in [
        (json!({ "path": MOBILE, "until": "2026-02-01T00:00:00Z" }), "reason"),
        (json!({ "path": MOBILE, "reason": "r" }), "until"),
        (json!({ "path": MOBILE, "reason": "r", "until": "2025-02-01T00:00:00Z" }), "moment to come"),
        (json!({ "path": "title", "reason": "r", "until": "2026-02-01T00:00:00Z" }), "no authority"),
        (json!({ "path": "nowhere", "reason": "r", "until": "2026-02-01T00:00:00Z" }), "no attribute"),
    ] {
        let (status, detail) = refused(&office.town.patch(&desk, "User", &id, pin(wrong)).await.expect_err(why));
        assert_eq!(status, 400, "{detail}");
        assert!(detail.contains(why), "{detail}");
    }
    let added = json!([
        { "op": "add", "path": format!("{SOURCES}:pins"),
          "value": [{ "path": MOBILE, "reason": "on loan", "until": "2026-02-01T00:00:00Z" }] },
        { "op": "add", "path": "phoneNumbers", "value": [mobile("9")] },
    ]);
    office.town.patch(&desk, "User", &id, added).await.expect("pinned");
    assert_eq!(office.told(&id).await, "pin: ");
    // A PUT that does not speak of pins ends none; who may pin takes it away by name.
    office.town.replace(&desk, &id, super::office::user("one", Some("9"))).await.expect("taken");
    assert_eq!(office.told(&id).await, "pin: ");
    let unpin = json!([{ "op": "remove", "path": format!("{SOURCES}:pins") }]);
    office.town.patch(&desk, "User", &id, unpin).await.expect("ended");
    assert_eq!(office.told(&id).await, "none: ");
    assert_eq!(office.shown(&id).await, None);
}

#[tokio::test]
async fn whoever_may_pin_says_what_why_and_until_when_on_sqlite() {
    whoever_may_pin_says_what_why_and_until_when(Town::sqlite()).await;
}

#[tokio::test]
async fn whoever_may_pin_says_what_why_and_until_when_on_postgres() {
    whoever_may_pin_says_what_why_and_until_when(Town::postgres()).await;
}

/// What two sources say of how many seats there are, and somebody who knows better for a while.
async fn a_correction_of_an_entitlement_ends_on_its_day_too(town: Town) {
    let office = Office::with_policy(town).await;
    let town = &office.town;
    install(town, &["people", "entitlement", "licence", "assignment"]).await;
    let extension =
        json!([{ "op": "add", "path": "schemaExtensions", "value": [{ "schema": SOURCES, "required": false }] }]);
    let directory = &town.register.directory;
    directory
        .patch_resource_type(&town.admin(), "Entitlement", patch(&extension), &Precondition::none())
        .await
        .expect("added");
    town.refresh().await;
    let authority = json!({
        "name": "seats", "resourceType": "Entitlement", "paths": ["totalAssignmentsPermitted"],
        "sources": [{ "value": "personnel" }],
    });
    town.create(&town.admin(), "Authority", authority).await.expect("an authority");
    let hr = || office.now(&office.hr);
    let body = json!({ "value": "suite", "limitedAssignmentsPermitted": true, "totalAssignmentsPermitted": 1 });
    let suite = id(&town.create(&hr(), "Entitlement", body).await.expect("an entitlement"));
    gives(town, "nurses", NURSE, json!({})).await;
    let mut nurses = Vec::new();
    for name in ["one", "two", "three"] {
        nurses.push(entered(town, works(name, &[("1", "nurse", "2026-01-01", "")])).await);
    }
    wake(town).await;
    assert_eq!(counts(town, &suite).await, [1, 0, 0, 2, 0]);
    let pinned = |until: &str, seats: i64| {
        json!([
            { "op": "add", "path": format!("{SOURCES}:pins"), "value": [{
                "path": "totalAssignmentsPermitted", "reason": "on trial", "until": until }] },
            { "op": "replace", "path": "totalAssignmentsPermitted", "value": seats },
        ])
    };
    town.patch(&town.admin(), "Entitlement", &suite, pinned("2026-03-01T00:00:00Z", 2)).await.expect("pinned");
    wake(town).await;
    // The queue was looked at, and the day of the pin is not forgotten for it.
    assert_eq!(counts(town, &suite).await, [2, 0, 0, 1, 0]);
    town.wait_until("2026-02-28").await;
    assert_eq!(found(town, "Entitlement", &suite).await["totalAssignmentsPermitted"], 2);
    // Meanwhile its source has more of them.
    let more = json!([{ "op": "replace", "path": "totalAssignmentsPermitted", "value": 3 }]);
    town.patch(&hr(), "Entitlement", &suite, more).await.expect("heard");
    wake(town).await;
    assert_eq!(counts(town, &suite).await, [2, 0, 0, 1, 0]);
    town.wait_until("2026-03-02").await;
    let now = found(town, "Entitlement", &suite).await;
    assert_eq!((&now["totalAssignmentsPermitted"], now[SOURCES].get("pins")), (&json!(3), None));
    assert_eq!(counts(town, &suite).await, [3, 0, 0, 0, 0], "who waited has a seat");
    check(town).await;
}

#[tokio::test]
async fn a_correction_of_an_entitlement_ends_on_its_day_too_on_sqlite() {
    a_correction_of_an_entitlement_ends_on_its_day_too(Town::sqlite()).await;
}

#[tokio::test]
async fn a_correction_of_an_entitlement_ends_on_its_day_too_on_postgres() {
    a_correction_of_an_entitlement_ends_on_its_day_too(Town::postgres()).await;
}
