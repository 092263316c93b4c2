//! What is left of somebody who is purged: nothing that says anything of the person, in no column of no table, but names that
//! stay taken; and the chain of changes, which still verifies.

use std::collections::BTreeMap;
use std::path::Path;

use matrikel::directory::Ctx;
use serde_json::{Value, json};
use store::ResourceId;

use super::town::{PERSON, Town, at, person};
use crate::licences::pool::{entitlement, install};
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    who_is_purged_leaves_no_value_anywhere,
    a_long_past_is_erased_in_slices_and_goes_on_where_it_broke_off,
    evidence_of_access_outlives_the_person_and_then_goes_too,
    who_is_deleted_without_a_policy_is_erased_on_request,
    nobody_on_legal_hold_is_erased,
);

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Texts that tell of this person alone.
const TRACES: [&str; 9] = [
    "saga.ruotsalainen",
    "Saga",
    "Ruotsalainen",
    "ruotsalainen",
    "+358401234567",
    "Koivukuja",
    "n-saga",
    "hr-saga",
    "203.0.113.77",
];

/// Every column of every table that holds text or bytes, but those of names that stay taken.
fn columns() -> Vec<(String, String, bool)> {
    let mut found = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    for migration in std::fs::read_dir(folder).expect("the migrations") {
        let text = std::fs::read_to_string(migration.expect("a migration").path().join("up.sql")).expect("up.sql");
        for statement in text.split(';') {
            let lines = statement.lines().map(|line| line.split("--").next().unwrap_or_default().trim());
            let mut words = lines.filter(|line| !line.is_empty()).map(str::to_owned);
            let Some(head) = words.next() else { continue };
            let mut take = |table: &str, column: &str| {
                let mut words = column.split_whitespace();
                if let (Some(name), Some(kind)) = (words.next(), words.next())
                    && ["TEXT", "BLOB"].contains(&kind.trim_end_matches(','))
                    && table != "tombstone"
                    && table != "change_member_in_key"
                {
                    found.push((table.to_owned(), name.to_owned(), kind.starts_with("TEXT")));
                }
            };
            if let Some(table) = head.strip_prefix("CREATE TABLE ") {
                words.for_each(|column| take(table.trim_end_matches(" ("), &column));
            } else if let Some((table, column)) =
                head.strip_prefix("ALTER TABLE ").and_then(|rest| rest.split_once(" ADD COLUMN "))
            {
                take(table, column);
            }
        }
    }
    assert!(found.len() > 60, "{found:?}");
    found
}

/// Where one of the texts stands, in any table.
fn places(town: &Town, texts: &[&str]) -> Vec<String> {
    let is_postgres = town.register.is_postgres();
    let test = |column: &str, is_text: bool, text: &str| {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        match (is_postgres, is_text) {
            (true, true) => format!("position('{text}' in {column}) > 0"),
            (true, false) => format!("position('\\x{hex}'::bytea in {column}) > 0"),
            (false, _) => format!("instr(CAST({column} AS BLOB), x'{hex}') > 0"),
        }
    };
    let mut tables: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for (table, column, is_text) in columns() {
        tables.entry(table).or_default().push((column, is_text));
    }
    let mut found = Vec::new();
    for (table, columns) in tables {
        for text in texts {
            let tests: Vec<String> = columns.iter().map(|(column, is_text)| test(column, *is_text, text)).collect();
            let query = format!("SELECT COUNT(*) FROM {table} WHERE {}", tests.join(" OR "));
            if town.register.number(&query) > 0 {
                found.push(format!("{text} in {table}"));
            }
        }
    }
    found
}

fn everywhere(town: &Town) -> Vec<String> {
    places(town, &TRACES)
}

/// HR at an address that tells of the person, as somebody's own computer does.
fn hr(town: &Town) -> Ctx {
    let mut ctx = town.hr();
    ctx.by.address = Some("203.0.113.77".parse().expect("an address"));
    ctx
}

fn saga(end: &str) -> Value {
    let mut saga = person("saga.ruotsalainen", &[("1", "permanent", "2025-01-01", end)]);
    saga["externalId"] = json!("hr-saga");
    saga["name"] = json!({ "givenName": "Saga", "familyName": "Ruotsalainen" });
    saga["phoneNumbers"] = json!([{ "value": "+358401234567", "type": "mobile" }]);
    saga["addresses"] = json!([{ "streetAddress": "Koivukuja 1", "type": "home" }]);
    saga[ENTERPRISE] = json!({ "employeeNumber": "n-saga" });
    saga
}

async fn enter(town: &Town, end: &str) -> String {
    town.enter(&hr(town), saga(end)).await["id"].as_str().expect("an id").to_owned()
}

async fn has_all_verified(town: &Town) {
    let tenant = town.register.tenant;
    let found = town.register.directory.store().read(move |reader| reader.verify(tenant)).await.expect("looked");
    assert_eq!(found, []);
}

/// Changes of a resource that still have content.
fn contents(town: &Town, id: &str) -> i64 {
    let hex = id.replace('-', "");
    let id = if town.register.is_postgres() { format!("'\\x{hex}'::bytea") } else { format!("x'{hex}'") };
    town.register.number(&format!("SELECT COUNT(*) FROM change WHERE salt IS NOT NULL AND resource_id = {id}"))
}

async fn who_is_purged_leaves_no_value_anywhere(town: &Town) {
    town.with_policy(json!({ "purge": true, "purgeAfter": 60 })).await;
    let id = enter(town, "2026-01-31").await;
    let married = json!([{ "op": "replace", "path": "name.familyName", "value": "Koski" }]);
    town.patch(&hr(town), "User", &id, married).await.expect("taken");
    let other = town.enter(&town.hr(), person("bo", &[("1", "permanent", "2025-01-01", "")])).await;
    assert!(everywhere(town).len() >= TRACES.len(), "they are looked for where they are: {:?}", everywhere(town));

    let done = town.wait_until("2026-05-02").await;
    assert_eq!((done.purged, done.put_off), (1, 0));
    assert_eq!(everywhere(town), Vec::<String>::new());
    assert_eq!(places(town, &["Koski"]), Vec::<String>::new());
    assert_eq!(contents(town, &id), 0);
    assert!(contents(town, other["id"].as_str().expect("an id")) > 0, "others have their past");
    let tenant = town.register.tenant;
    let stone = town.register.directory.store();
    let stone = stone.read(move |reader| reader.tombstone(tenant, "userName", "saga.ruotsalainen")).await;
    assert!(stone.expect("read").is_some(), "the name stays taken");
    has_all_verified(town).await;
    let changes = town.register.changes().await;
    let own: Vec<&str> =
        changes.iter().filter(|one| one.resource.to_string() == id).map(|one| one.op.as_str()).collect();
    assert_eq!((own.first(), own.last()), (Some(&"create"), Some(&"delete")), "who did what and when is known still");
    assert_eq!(town.wait_until("2027-01-01").await.looked, 0, "nothing is left to be done");

    // The list goes along with the register.
    let store = town.register.directory.store();
    let written = store.read(move |reader| {
        let mut file = Vec::new();
        reader.export(tenant, true, &mut file, &mut |_, _, _| {}).map(|_| file)
    });
    let file = written.await.expect("exported");
    let copy = store.import("copy", &mut std::io::Cursor::new(file), false, town.now(), &mut |_, _, _| {});
    let copy = copy.expect("imported").tenant.id;
    let user = id.parse().expect("an id");
    let erasure = store.read(move |reader| reader.erasure(copy, user)).await.expect("read").expect("it is listed");
    assert_eq!((erasure.at, erasure.kind.as_str()), (at("2026-05-02"), "User"));
    let found = store.read(move |reader| reader.verify(copy)).await.expect("looked");
    assert_eq!(found, []);
}

async fn a_long_past_is_erased_in_slices_and_goes_on_where_it_broke_off(town: &Town) {
    town.with_policy(json!({ "purge": true, "purgeAfter": 60 })).await;
    let id = enter(town, "2026-01-31").await;
    for n in 0..520 {
        let moved = json!([{ "op": "replace", "path": "title", "value": format!("title {n}") }]);
        town.patch(&hr(town), "User", &id, moved).await.expect("taken");
    }
    // Deleted and not erased, as by a process that was killed just then.
    town.sleep_until("2026-05-02");
    let (directory, key) = (&town.register.directory, id.parse::<ResourceId>().expect("an id"));
    let ctx = Ctx { now: at("2026-05-02"), ..town.admin() };
    town.delete(&ctx, "User", &id).await.expect("deleted");
    let before = contents(town, &id);
    assert!(before > 520, "{before}");
    directory.forget_in_runs(&ctx).await.expect("looked for");
    directory.fall_due(&ctx, key).await.expect("a slice");
    assert_eq!(contents(town, &id), before - 500, "a write erases so many and no more");
    has_all_verified(town).await;

    town.wait_until("2026-05-03").await;
    assert_eq!(contents(town, &id), 0);
    assert_eq!(everywhere(town), Vec::<String>::new());
    has_all_verified(town).await;
}

async fn evidence_of_access_outlives_the_person_and_then_goes_too(town: &Town) {
    town.with_policy(json!({ "purge": true, "purgeAfter": 60 })).await;
    install(town, &["people", "entitlement", "licence", "assignment"]).await;
    let records = entitlement(town, "records", 9, json!({ "retentionMonths": 24 })).await;
    let mail = entitlement(town, "mail", 9, json!({})).await;
    let body = json!({
        "name": "all", "lifecycle": "active", "filter": format!("{PERSON}:employments[current eq true]"),
        "grants": [{ "type": "entitlement", "value": "records" }, { "type": "entitlement", "value": "mail" }],
    });
    town.create(&town.admin(), "Rule", body).await.unwrap_or_else(|error| panic!("{error}"));
    town.refresh().await;
    let id = enter(town, "2026-01-31").await;
    let held = |what: &str| {
        let (tenant, target) = (town.register.tenant, what.parse().expect("an id"));
        async move {
            let held = town.register.directory.store().read(move |reader| reader.grants_on(tenant, target)).await;
            held.expect("read")
        }
    };
    assert_eq!((held(&records).await.len(), held(&mail).await.len()), (1, 1));
    let was = held(&records).await.remove(0);
    assert!(was.key.ground_id.contains("/1"), "{was:?}");

    assert_eq!(town.wait_until("2026-05-02").await.purged, 1);
    assert_eq!(held(&mail).await, []);
    let kept = held(&records).await.remove(0);
    assert_eq!((kept.key.user.to_string(), kept.key.since), (id.clone(), was.key.since));
    assert_eq!(kept.until, Some(at("2026-02-01")), "when it was had stays known");
    assert_eq!(
        was.key.ground_id.split('/').next(),
        Some(kept.key.ground_id.as_str()),
        "and the rule, not the employment"
    );
    let facts: Value = serde_json::from_str(&kept.facts).expect("JSON");
    assert_eq!(facts.as_object().expect("an object").keys().collect::<Vec<_>>(), ["keptUntil"]);
    // From where HR asked stands in what its requests made of the entitlements' counts, too: that is not the person's past.
    let told: Vec<String> = everywhere(town).into_iter().filter(|place| !place.starts_with("203.")).collect();
    assert_eq!(told, Vec::<String>::new());
    has_all_verified(town).await;

    town.wait_until("2028-01-30").await;
    assert_eq!(held(&records).await.len(), 1);
    town.wait_until("2028-02-02").await;
    assert_eq!(held(&records).await, []);
    has_all_verified(town).await;
}

async fn who_is_deleted_without_a_policy_is_erased_on_request(town: &Town) {
    town.install().await;
    let id = enter(town, "").await;
    town.delete(&town.admin(), "User", &id).await.expect("deleted");
    town.wait_until("2026-03-01").await;
    assert!(contents(town, &id) > 0, "no policy says that the past is to go");
    let (directory, key) = (&town.register.directory, id.parse::<ResourceId>().expect("an id"));
    directory.erase_user(&town.admin(), key).await.expect("erased");
    assert_eq!(contents(town, &id), 0);
    assert_eq!(everywhere(town), Vec::<String>::new());
    has_all_verified(town).await;
    // Once more does nothing more.
    directory.erase_user(&town.admin(), key).await.expect("erased");
    has_all_verified(town).await;
    let nobody = directory.erase_user(&town.admin(), ResourceId::SYSTEM).await.expect_err("it never was");
    assert!(nobody.to_string().contains("not found"), "{nobody}");

    // Who is there is deleted first.
    let id = enter(town, "").await;
    directory.erase_user(&town.admin(), id.parse().expect("an id")).await.expect("erased");
    assert!(town.seen(&town.admin(), &id).await.is_none());
    assert_eq!(everywhere(town), Vec::<String>::new());
}

async fn nobody_on_legal_hold_is_erased(town: &Town) {
    town.with_policy(json!({ "purge": true, "purgeAfter": 60 })).await;
    let id = enter(town, "").await;
    let hold = json!([{ "op": "add", "path": format!("{PERSON}:legalHold.reason"), "value": "a case in court" }]);
    town.patch(&town.admin(), "User", &id, hold).await.expect("held");
    let refused = town.register.directory.erase_user(&town.admin(), id.parse().expect("an id")).await;
    assert!(refused.expect_err("it is on hold").to_string().contains("legal hold"));
    assert!(town.seen(&town.admin(), &id).await.is_some());
    assert!(contents(town, &id) > 0);
}
