//! Whatever year it was: a year that came as files, step by step, leaves what must be left. The same file twice changes nothing;
//! the changes alone rebuild the register; looking at everybody once more changes nothing, and a register that is told the end of
//! the year at once gives the same rights; nothing is held without a living ground; no name is ever given twice.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use jiff::civil::date;
use matrikel::cli::demo::play::{self, town::Town as Played};
use matrikel::cli::demo::year::{PERSON, Source, Year};
use serde_json::{Value, json};
use store::ResourceId;
use store::change::{Change, Op};

use crate::lifecycle::town::{Town, at};
use crate::rules::same::check;
use crate::support::both::on_both_databases;

on_both_databases!(Pair: any_year_leaves_what_must_be_left);

const DAYS: i32 = 150;
const EMPLOYEES: usize = 10;
const PUPILS: usize = 6;
/// Days between two files.
const STEP: i64 = 12;

/// A register that lives through a year, and one that is told its end.
struct Pair {
    lived: Town,
    told: Town,
}

impl Pair {
    fn sqlite() -> Self {
        Pair { lived: Town::sqlite(), told: Town::sqlite() }
    }

    fn postgres() -> Self {
        Pair { lived: Town::postgres(), told: Town::postgres() }
    }
}

/// The number that a year is made of: another each time, and said, so that it can be had again with `YEAR_SEED`.
pub(super) fn seed() -> u64 {
    let asked = std::env::var("YEAR_SEED").ok().map(|text| text.parse().expect("a number"));
    let seed = asked.unwrap_or_else(|| RandomState::new().hash_one(0) % 1_000_000);
    eprintln!("YEAR_SEED={seed}");
    seed
}

async fn any_year_leaves_what_must_be_left(pair: &Pair) {
    let seed = seed();
    let town = &pair.lived;
    let first = date(2026, 5, 4);
    let mut year = Year::lasting(seed, EMPLOYEES, PUPILS, first, DAYS);
    let played = begin(town, at("2026-05-04") + 6 * 3_600_000_000).await;
    send_all(&played, &year).await;
    let mut day = first;
    let mut ahead = None;
    while day < year.last_day() {
        day = day.saturating_add(jiff::Span::new().days(STEP)).min(year.last_day());
        while let Some(event) = ahead.take().or_else(|| year.next()) {
            if event.day > day {
                ahead = Some(event);
                break;
            }
        }
        played.wait_until(at(&day.to_string()) + 6 * 3_600_000_000).await.expect("days pass");
        send_all(&played, &year).await;
        // The same again.
        played.wait_until(played.now() + 1_000_000).await.expect("a second passes");
        let before = written(&town.register.changes().await);
        assert_eq!(send_all(&played, &year).await, 0, "year {seed}, {day}: the same file does nothing");
        assert_eq!(written(&town.register.changes().await), before, "year {seed}, {day}");
        settle_clock(town, &played);
        let image = replay(&town.register.changes().await);
        for user in image.values().filter(|one| one.kind == "User") {
            check(town, &user.id.to_string(), &|| format!("year {seed}, {day}")).await;
        }
    }
    let changes = town.register.changes().await;
    rebuilt(town, &replay(&changes), seed).await;
    given_once(&changes, seed);
    // Everybody is looked at once more.
    let rules: Vec<&Change> = changes.iter().filter(|change| change.kind == "Rule").collect();
    let touch = json!([{ "op": "replace", "path": "priority", "value": 7 }]);
    let rule = rules.first().expect("a rule").resource.to_string();
    town.patch(&town.admin(), "Rule", &rule, touch).await.expect("taken");
    let before = town.register.changes().await.len();
    let moment = jiff::Timestamp::from_microsecond(town.now()).expect("a moment").to_string();
    assert_eq!((town.wake_at(&moment).await.changed, town.register.changes().await.len()), (0, before), "year {seed}");

    let other = begin(&pair.told, played.now()).await;
    send_all(&other, &year).await;
    other.wait_until(other.now()).await.expect("what is due");
    let (lived, told) = (rights(&town.register.changes().await), rights(&pair.told.register.changes().await));
    let doubled = doubled(&year);
    for key in lived.keys().chain(told.keys()).filter(|key| !doubled.contains(*key)) {
        let none = (false, BTreeSet::new());
        let (step, afresh) = (lived.get(key).unwrap_or(&none), told.get(key).unwrap_or(&none));
        assert_eq!(step, afresh, "year {seed}: {key}, step by step and afresh");
    }
    assert!(lived.values().filter(|(active, groups)| *active && !groups.is_empty()).count() > EMPLOYEES / 2);
    for town in [&pair.lived, &pair.told] {
        let tenant = town.register.tenant;
        let found = town.register.directory.store().read(move |reader| reader.verify(tenant)).await.expect("looked");
        assert_eq!(found, [], "year {seed}");
    }
}

/// The tenant made ready, with the rules of the demo.
async fn begin(town: &Town, now: i64) -> Played {
    let played = Played::at(town.register.directory.clone(), town.register.tenant, now).expect("a town");
    played.prepare(play::policy()).await.expect("prepared");
    for spec in play::RULES {
        played.create("Rule", play::rule(spec)).await.expect("a rule");
    }
    played.wait_until(now).await.expect("what is due");
    settle_clock(town, &played);
    played
}

fn settle_clock(town: &Town, played: &Played) {
    town.sleep_until(&jiff::Timestamp::from_microsecond(played.now()).expect("a moment").to_string());
}

/// Every source sends all that it has; how much is another for it.
async fn send_all(played: &Played, year: &Year) -> u64 {
    let mut changed = 0;
    for source in [Source::Units, Source::Staff, Source::School] {
        let ran = played.send(source, year.rows(source), true, Arc::new(|_, _, _| {})).await;
        changed += ran.unwrap_or_else(|error| panic!("{source:?}: {error}")).changed;
    }
    changed
}

/// How many changes there are, of what feeds are about.
fn written(changes: &[Change]) -> usize {
    // Of a run that is held, and allowed at once, an item tells.
    let is_of_run = |change: &Change| {
        ["Feed", "Run"].contains(&change.kind.as_str())
            || change.text().is_some_and(|text| text.contains("\"heldRun\""))
    };
    changes.iter().filter(|change| !is_of_run(change)).count()
}

/// What the changes say of a resource.
struct Image {
    id: ResourceId,
    kind: String,
    version: i64,
    doc: Value,
    members: BTreeSet<ResourceId>,
}

/// The register, rebuilt from its changes.
fn replay(changes: &[Change]) -> BTreeMap<ResourceId, Image> {
    let mut world: BTreeMap<ResourceId, Image> = BTreeMap::new();
    for change in changes {
        if change.op == Op::Delete {
            world.remove(&change.resource).expect("it was there");
            let left = world.values().all(|image| !image.members.contains(&change.resource));
            assert!(left, "{} left its groups before it was deleted", change.resource);
            continue;
        }
        let image = world.entry(change.resource).or_insert_with(|| Image {
            id: change.resource,
            kind: change.kind.clone(),
            version: 0,
            doc: Value::Null,
            members: BTreeSet::new(),
        });
        assert_eq!(change.version, image.version + 1, "one change for each version");
        image.version = change.version;
        if let Some(doc) = &change.doc {
            image.doc = serde_json::from_str(doc).expect("JSON");
        }
        for delta in &change.members {
            let moved =
                if delta.joined { image.members.insert(delta.member) } else { image.members.remove(&delta.member) };
            assert!(moved, "a delta changes something");
        }
    }
    world
}

/// What lies in the register is what was rebuilt.
async fn rebuilt(town: &Town, world: &BTreeMap<ResourceId, Image>, seed: u64) {
    let tenant = town.register.tenant;
    let store = town.register.directory.store();
    for kind in ["User", "Group", "OrganizationalUnit", "Person", "Policy", "Rule"] {
        let there = store.read(move |reader| reader.count(tenant, kind)).await.expect("a count");
        let rebuilt = world.values().filter(|image| image.kind == kind).count();
        assert_eq!(there, i64::try_from(rebuilt).expect("few"), "year {seed}: {kind}");
    }
    for image in world.values().filter(|image| ["User", "Group", "OrganizationalUnit"].contains(&&*image.kind)) {
        let id = image.id;
        let record = store.read(move |reader| reader.record(tenant, id)).await.expect("read").expect("it is there");
        let doc: Value = serde_json::from_str(&record.doc).expect("JSON");
        assert_eq!((&doc, record.version), (&image.doc, image.version), "year {seed}");
        if image.kind == "Group" {
            let shown = town.register.fetch(&town.admin(), "Group", &id.to_string()).await.expect("read").0;
            let members = shown["members"].as_array().into_iter().flatten();
            let members: BTreeSet<String> =
                members.filter_map(|one| one["value"].as_str().map(str::to_owned)).collect();
            let rebuilt: BTreeSet<String> = image.members.iter().map(ToString::to_string).collect();
            assert_eq!(members, rebuilt, "year {seed}: {}", image.doc);
        }
    }
}

/// Whoever has worked under a name is the only one who ever has. Somebody who comes back after a purge has a new id and the old name.
fn given_once(changes: &[Change], seed: u64) {
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let mut owners: BTreeMap<String, (ResourceId, Value)> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.kind == "User") {
        let Some(doc) = &change.doc else { continue };
        let doc: Value = serde_json::from_str(doc).expect("JSON");
        if doc["active"] != true {
            continue;
        }
        let addresses = doc["emails"].as_array().into_iter().flatten().filter_map(|email| email["value"].as_str());
        for name in doc["userName"].as_str().into_iter().chain(addresses) {
            let number = doc[ENTERPRISE]["employeeNumber"].clone();
            let (owner, known) =
                owners.entry(name.to_lowercase()).or_insert_with(|| (change.resource, number.clone())).clone();
            assert!(owner == change.resource || (known == number && !number.is_null()), "year {seed}: {name} twice");
        }
    }
    assert!(owners.len() > EMPLOYEES, "year {seed}: names were given");
}

/// By key of the source: whether the account is active, and the groups that it is in.
fn rights(changes: &[Change]) -> BTreeMap<String, (bool, BTreeSet<String>)> {
    let world = replay(changes);
    let key = |doc: &Value| {
        let parts = [("employments", "employmentId"), ("enrolments", "enrolmentId")];
        let mut keys = parts.iter().filter_map(|(list, key)| doc[PERSON][list][0][key].as_str());
        keys.next().and_then(|key| key.split('-').next()).map(str::to_owned)
    };
    let mut rights = BTreeMap::new();
    for user in world.values().filter(|image| image.kind == "User") {
        let Some(key) = key(&user.doc) else { continue };
        let groups = world.values().filter(|image| image.kind == "Group" && image.members.contains(&user.id));
        let groups = groups.filter_map(|group| group.doc["displayName"].as_str().map(str::to_owned)).collect();
        rights.insert(key, (user.doc["active"] == true, groups));
    }
    rights
}

/// Keys of who stands in the files twice: which of the two is refused depends on who was there first.
fn doubled(year: &Year) -> BTreeSet<String> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in year.rows(Source::Staff) {
        if let (Some(number), Some(key)) = (row["personal"].as_str(), row["number"].as_str()) {
            keys.entry(number.to_owned()).or_default().push(key.to_owned());
        }
    }
    keys.into_values().filter(|keys| keys.len() > 1).flatten().collect()
}
