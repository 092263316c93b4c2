//! Which account of a human being a cloud gets: by the policy's order, or by hand until a day; never two, whoever writes what;
//! and numbers that are nobody else's, whatever happens in whatever order.

use std::collections::BTreeMap;
use std::sync::Arc;

use matrikel::directory::Ctx;
use matrikel::directory::types::Document;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use scim::query::SearchRequest;
use scim::schema::shipped;
use serde_json::{Value, json};

use super::town::{PERSON, Town, person};
use crate::support::both::on_both_databases;
use crate::support::register::id;

on_both_databases!(Town:
    the_account_that_the_policy_prefers_is_chosen_and_the_one_before_goes_on_for_a_while,
    what_is_chosen_by_hand_is_dated_and_ends,
    between_equals_both_are_exported_if_the_policy_says_so_and_somebody_chooses,
    a_link_that_is_made_or_taken_back_never_leaves_two,
    whatever_happens_one_is_chosen_and_nobody_has_anothers_number,
);

const NUMBERS: [&str; 3] = ["811218-9876", "131052-308T", "900101-9802"];
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

impl Town {
    /// A register with persons, and a policy for a cloud.
    async fn with_cloud(&self, cloud: Value) {
        let people = shipped::of_name("people").expect("it is shipped");
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        self.install().await;
        let (directory, ctx) = (&self.register.directory, self.admin());
        directory.add_document(&ctx, Document::Schema, parse(people.schema)).await.expect("the schema");
        directory.add_document(&ctx, Document::ResourceType, parse(people.resource_type)).await.expect("the type");
        self.refresh().await;
        let mut clouds = json!({ "name": "m365", "keepDays": 10 });
        for (name, value) in cloud.as_object().expect("an object") {
            clouds[name] = value.clone();
        }
        let policy = json!({ "name": "all", "zone": "Europe/Helsinki", "clouds": [clouds] });
        self.create(&self.admin(), "Policy", policy).await.expect("a policy");
        self.refresh().await;
    }

    /// A source of an account domain.
    fn source_in(&self, name: &str, domain: &str) -> Ctx {
        let mut ctx = self.source(name);
        Arc::make_mut(&mut ctx.caller).account_domain = Some(domain.into());
        ctx
    }

    /// What the cloud makes of accounts: `chosen policy`, `kept`, `-`.
    async fn clouds(&self, accounts: &[&String]) -> Vec<String> {
        let mut told = Vec::new();
        for account in accounts {
            let entry = self.whole(account).await[PERSON]["clouds"][0].clone();
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            told.push(if entry.is_null() {
                "-".to_owned()
            } else {
                format!("{} {}", text("state"), text("by")).trim().to_owned()
            });
        }
        told
    }

    /// How many the cloud finds by a filter.
    async fn exported(&self, filter: &str) -> u64 {
        let filter = filter.replace("clouds", &format!("{PERSON}:clouds"));
        let request = SearchRequest::from_pairs([("filter", filter.as_str())]).expect("a request");
        let found = self.register.directory.search(&self.admin(), &[self.definition("User")], &request).await;
        let found: Value = serde_json::from_str(&found.expect("found").body).expect("JSON");
        found["totalResults"].as_u64().expect("a number")
    }

    async fn person(&self, account: &str) -> String {
        self.whole(account).await[PERSON]["person"]["value"].as_str().expect("a person").to_owned()
    }

    async fn choose(&self, account: &str, until: Option<&str>) {
        let mut choice = json!({ "cloud": "m365", "value": account, "reason": "asked" });
        if let Some(until) = until {
            choice["until"] = json!(until);
        }
        let set = json!([{ "op": "replace", "path": "choices", "value": [choice] }]);
        self.patch(&self.admin(), "Person", &self.person(account).await, set).await.expect("chosen");
    }
}

/// An account with a number, and its days of work.
fn account(name: &str, number: &str, days: (&str, &str)) -> Value {
    let mut body = person(name, &[("1", "permanent", days.0, days.1)]);
    body[PERSON]["personalNumber"] = json!(number);
    body
}

const PREFER: &str = "urn:matrikel:scim:schemas:1.0:Person:accountDomain eq \"administration\"";

async fn the_account_that_the_policy_prefers_is_chosen_and_the_one_before_goes_on_for_a_while(town: &Town) {
    let others = format!("{PERSON}:accountDomain eq \"education\"");
    town.with_cloud(json!({ "prefer": [PREFER, others] })).await;
    let (office, school) = (town.source_in("hr", "administration"), town.source_in("primus", "education"));
    let pupil = town.enter(&school, account("maj.s", NUMBERS[0], ("2025-01-01", ""))).await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(town.clouds(&[&pupil]).await, ["chosen policy"]);
    let before = town.register.changes().await.len();
    let work = town.enter(&office, account("maj.a", NUMBERS[0], ("2025-06-01", "2026-03-31"))).await;
    let work = work["id"].as_str().expect("an id").to_owned();
    // In one transaction: the account, the one before, and the person.
    let changes = town.register.changes().await;
    assert!(changes[before..].iter().all(|change| change.txn == changes[before].txn));
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["chosen policy", "kept"]);
    assert_eq!(town.exported("clouds.name eq \"m365\"").await, 2);
    assert_eq!(town.exported("clouds[name eq \"m365\" and state eq \"chosen\"]").await, 1);
    town.wait_until("2026-01-15").await;
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["chosen policy", "-"]);
    assert_eq!(town.exported("clouds.name eq \"m365\"").await, 1);
    // Work is over, and school is not.
    town.wait_until("2026-04-05").await;
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["kept", "chosen policy"]);
    town.wait_until("2026-04-20").await;
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["-", "chosen policy"]);
    // Nobody writes it.
    let set = json!([{ "op": "replace", "path": format!("{PERSON}:clouds"), "value": [{ "name": "m365", "state": "chosen" }] }]);
    assert!(town.patch(&office, "User", &work, set).await.is_err());
    // The account that is left takes its place when the other is erased; nobody is exported without the cloud.
    town.delete(&town.admin(), "User", &pupil).await.expect("erased");
    assert_eq!(town.clouds(&[&work]).await, ["chosen policy"]);
    let tenant = town.register.tenant;
    let found = town.register.directory.store().read(move |reader| reader.verify(tenant)).await.expect("looked");
    assert_eq!(found, []);
}

async fn what_is_chosen_by_hand_is_dated_and_ends(town: &Town) {
    town.with_cloud(json!({ "prefer": [PREFER, "userName pr"] })).await;
    let (office, school) = (town.source_in("hr", "administration"), town.source_in("primus", "education"));
    let enter = async |ctx: &Ctx, name: &str| {
        town.enter(ctx, account(name, NUMBERS[0], ("2025-01-01", ""))).await["id"].as_str().expect("an id").to_owned()
    };
    let (work, pupil) = (enter(&office, "maj.a").await, enter(&school, "maj.s").await);
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["chosen policy", "-"]);
    // Only simulated, nothing comes of it.
    town.choose(&pupil, Some("2026-02-01T00:00:00Z")).await;
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["kept", "chosen hand"]);
    let person = town.person(&pupil).await;
    let choice = town.stored(&person).await["choices"][0].clone();
    assert_eq!([&choice["by"], &choice["reason"]], ["admin", "asked"]);
    assert!(choice["since"].is_string());
    // Another word for the same account is a day later; what is there twice or nobody's is refused.
    town.choose(&pupil, Some("2026-03-01T00:00:00Z")).await;
    let set = |choices: Value| json!([{ "op": "replace", "path": "choices", "value": choices }]);
    for wrong in [
        json!([{ "cloud": "m365", "value": "0197a5c0-0000-7000-8000-000000000001" }]),
        json!([{ "cloud": "m365", "value": work }, { "cloud": "M365", "value": pupil }]),
    ] {
        let refused = town.patch(&town.admin(), "Person", &person, set(wrong)).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("choices.")), "it is refused");
    }
    town.wait_until("2026-02-15").await;
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["-", "chosen hand"]);
    town.wait_until("2026-03-02").await;
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["chosen policy", "kept"]);
    // An account that is over gives way, whatever was said.
    town.choose(&pupil, None).await;
    town.delete(&school, "User", &pupil).await.expect("withdrawn");
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["chosen policy", "kept"]);
}

async fn between_equals_both_are_exported_if_the_policy_says_so_and_somebody_chooses(town: &Town) {
    town.with_cloud(json!({ "undecided": "both", "keepDays": 0 })).await;
    let (office, school) = (town.source_in("hr", "administration"), town.source_in("primus", "education"));
    let enter = async |ctx: &Ctx, name: &str| {
        town.enter(ctx, account(name, NUMBERS[0], ("2025-01-01", ""))).await["id"].as_str().expect("an id").to_owned()
    };
    let (work, pupil) = (enter(&office, "maj.a").await, enter(&school, "maj.s").await);
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["undecided", "undecided"]);
    let found = town.register.search(&town.admin(), "WorkItem", &[]).await.expect("found");
    let item = &found["Resources"][0];
    assert_eq!([&item["kind"], &item["details"][0], &item["state"]], ["conflict", "m365", "open"]);
    assert_eq!(item["about"]["value"], town.person(&work).await);
    town.choose(&work, None).await;
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["chosen hand", "-"]);
    let found = town.register.search(&town.admin(), "WorkItem", &[]).await.expect("found");
    assert_eq!(found["Resources"][0]["state"], "done");
    // Where the policy does not say so, none is.
    let policy = town.register.search(&town.admin(), "Policy", &[]).await.expect("found")["Resources"][0]["id"].clone();
    let none = json!([{ "op": "replace", "path": "clouds", "value": [{ "name": "m365", "keepDays": 0 }] }]);
    town.patch(&town.admin(), "Policy", policy.as_str().expect("an id"), none).await.expect("changed");
    town.refresh().await;
    let taken_back = json!([{ "op": "remove", "path": "choices" }]);
    town.patch(&town.admin(), "Person", &town.person(&work).await, taken_back).await.expect("taken back");
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["-", "-"]);
    // Without a cloud nothing is said of any.
    town.delete(&town.admin(), "Policy", policy.as_str().expect("an id")).await.expect("gone");
    town.refresh().await;
    town.wait_until("2026-01-06").await;
    assert_eq!(town.exported("clouds pr").await, 0);
}

async fn a_link_that_is_made_or_taken_back_never_leaves_two(town: &Town) {
    town.with_cloud(json!({ "prefer": [PREFER, "userName pr"] })).await;
    let (office, school) = (town.source_in("hr", "administration"), town.source_in("primus", "education"));
    let enter = async |ctx: &Ctx, name: &str, number: &str| {
        town.enter(ctx, account(name, number, ("2025-01-01", ""))).await["id"].as_str().expect("an id").to_owned()
    };
    let (work, pupil) = (enter(&office, "a", NUMBERS[0]).await, enter(&school, "s", NUMBERS[1]).await);
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["chosen policy", "chosen policy"], "two people");
    let link = json!([{ "op": "add", "path": "accounts", "value": [{ "value": pupil, "kind": "manual" }] }]);
    let person = town.person(&work).await;
    town.patch(&town.admin(), "Person", &person, link).await.expect("linked");
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["chosen policy", "kept"]);
    town.choose(&pupil, None).await;
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["kept", "chosen hand"]);
    let back = json!([{ "op": "remove", "path": format!("accounts[value eq \"{pupil}\"]") }]);
    town.patch(&town.admin(), "Person", &person, back).await.expect("taken back");
    assert_eq!(town.clouds(&[&work, &pupil]).await, ["chosen policy", "chosen policy"]);
    assert_eq!(town.stored(&person).await.get("choices"), None, "what was chosen goes with it");
}

/// Something that happens: by which source, with which number, to which account.
#[derive(Clone, Debug)]
enum Event {
    Enter { source: usize, number: usize, key: usize, employee: usize, days: (i64, Option<i64>) },
    Number { account: usize, number: Option<usize> },
    Days { account: usize, days: (i64, Option<i64>) },
    Delete { account: usize, source: usize },
    Link { to: usize, account: usize },
    Unlink { account: usize },
    Choose { account: usize, days: Option<i64> },
    Wait(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let days = || (-40_i64..40, prop::option::of(0_i64..80));
    prop_oneof![
        6 => (0_usize..3, 0..NUMBERS.len(), 0_usize..6, 0_usize..4, days())
            .prop_map(|(source, number, key, employee, days)| Event::Enter { source, number, key, employee, days }),
        3 => (0_usize..8, prop::option::of(0..NUMBERS.len())).prop_map(|(account, number)| Event::Number { account, number }),
        3 => (0_usize..8, days()).prop_map(|(account, days)| Event::Days { account, days }),
        2 => (0_usize..8, 0_usize..3).prop_map(|(account, source)| Event::Delete { account, source }),
        1 => (0_usize..8, 0_usize..8).prop_map(|(to, account)| Event::Link { to, account }),
        1 => (0_usize..8).prop_map(|account| Event::Unlink { account }),
        1 => (0_usize..8, prop::option::of(1_i64..30)).prop_map(|(account, days)| Event::Choose { account, days }),
        3 => (1_i64..50).prop_map(Event::Wait),
    ]
}

async fn whatever_happens_one_is_chosen_and_nobody_has_anothers_number(town: &Town) {
    town.with_cloud(json!({ "undecided": "both", "keepDays": 5 })).await;
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let mut accounts: Vec<String> = Vec::new();
    for round in 0..60 {
        let event = event().new_tree(&mut runner).expect("an event").current();
        happen(town, round, &event, &mut accounts).await;
        compare(town, &mut accounts, &event).await;
    }
    let tenant = town.register.tenant;
    let found = town.register.directory.store().read(move |reader| reader.verify(tenant)).await.expect("looked");
    assert_eq!(found, []);
}

fn source(town: &Town, n: usize) -> Ctx {
    match n {
        0 => town.source_in("hr", "administration"),
        1 => town.source_in("manual", "administration"),
        _ => town.source_in("primus", "education"),
    }
}

fn jobs(town: &Town, (from, length): (i64, Option<i64>)) -> Value {
    let day = |days: i64| {
        let at = jiff::Timestamp::from_microsecond(town.now() + days * 86_400_000_000).expect("an instant");
        at.to_string()[..10].to_owned()
    };
    let mut job = json!({ "employmentId": "1", "start": day(from) });
    if let Some(length) = length {
        job["end"] = json!(day(from + length));
    }
    json!([job])
}

/// Some of it is refused, which is right too.
async fn happen(town: &Town, round: usize, event: &Event, accounts: &mut Vec<String>) {
    let one = |n: &usize| accounts.get(*n % accounts.len().max(1)).cloned();
    let admin = town.admin();
    match event {
        Event::Enter { source: by, number, key, employee, days } => {
            let ctx = source(town, *by);
            let mut body = person(&format!("u{round}"), &[]);
            body[PERSON] = json!({ "personalNumber": NUMBERS[*number], "employments": jobs(town, *days) });
            body["externalId"] = json!(format!("k{key}"));
            body[ENTERPRISE]["employeeNumber"] = json!(employee.to_string());
            if let Ok(written) = town.create(&ctx, "User", body).await {
                accounts.push(id(&written));
            }
        }
        Event::Number { account, number } => {
            let Some(account) = one(account) else { return };
            let path = format!("{PERSON}:personalNumber");
            let operation = match number {
                Some(number) => json!([{ "op": "add", "path": path, "value": NUMBERS[*number] }]),
                None => json!([{ "op": "remove", "path": path }]),
            };
            let _ = town.patch(&admin, "User", &account, operation).await;
        }
        Event::Days { account, days } => {
            let Some(account) = one(account) else { return };
            let set = json!([{ "op": "replace", "path": format!("{PERSON}:employments"), "value": jobs(town, *days) }]);
            let _ = town.patch(&admin, "User", &account, set).await;
        }
        Event::Delete { account, source: by } => {
            let Some(account) = one(account) else { return };
            let _ = town.delete(&source(town, *by), "User", &account).await;
        }
        Event::Link { to, account } => {
            let (Some(to), Some(account)) = (one(to), one(account)) else { return };
            let add = json!([{ "op": "add", "path": "accounts", "value": [{ "value": account, "kind": "manual" }] }]);
            let _ = town.patch(&admin, "Person", &town.person(&to).await, add).await;
        }
        Event::Unlink { account } => {
            let Some(account) = one(account) else { return };
            let remove = json!([{ "op": "remove", "path": format!("accounts[value eq \"{account}\"]") }]);
            let _ = town.patch(&admin, "Person", &town.person(&account).await, remove).await;
        }
        Event::Choose { account, days } => {
            let Some(account) = one(account) else { return };
            let until = days.map(|days| {
                jiff::Timestamp::from_microsecond(town.now() + days * 86_400_000_000).expect("an instant").to_string()
            });
            town.choose(&account, until.as_deref()).await;
        }
        Event::Wait(days) => {
            let until = jiff::Timestamp::from_microsecond(town.now() + days * 86_400_000_000).expect("an instant");
            town.wait_until(&until.to_string()).await;
        }
    }
}

async fn compare(town: &Town, accounts: &mut Vec<String>, event: &Event) {
    accounts.sort_unstable();
    accounts.dedup();
    let (mut chosen, mut numbers): (BTreeMap<String, usize>, BTreeMap<(String, String), usize>) = Default::default();
    for account in accounts.iter() {
        let user = town.stored(account).await;
        let says = &user[PERSON];
        let person = says["person"]["value"].as_str().expect("everybody has a person").to_owned();
        let states: Vec<&str> =
            says["clouds"].as_array().into_iter().flatten().filter_map(|cloud| cloud["state"].as_str()).collect();
        *chosen.entry(person).or_default() += states.iter().filter(|state| **state == "chosen").count();
        let is_over = matches!(says["lifecycle"]["state"].as_str(), Some("disabled" | "limbo"));
        if let Some(number) = says["personalNumber"].as_str().filter(|_| !is_over) {
            let domain = says["accountDomain"].as_str().unwrap_or_default().to_owned();
            *numbers.entry((domain, number.to_owned())).or_default() += 1;
        }
    }
    assert!(chosen.values().all(|count| *count <= 1), "two are chosen after {event:?}");
    assert!(numbers.values().all(|count| *count <= 1), "two have a number after {event:?}");
}
