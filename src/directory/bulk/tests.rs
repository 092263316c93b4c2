//! Bulk against a register on SQLite; `tests/vectors/bulk/` plays it over HTTP on both databases.

mod equal;

use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use scim::bulk::parse;
use scim::query::SearchRequest;
use scim::resource::{Notes, Strictness};
use scim::schema::Registry;
use store::{Options, Random, Store};

use super::BulkWritten;
use crate::directory::{Ctx, Directory, Limits, clients};

const NOW: i64 = 1_790_000_000_000_000;
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A register of its own.
struct Register {
    _folder: TempDir,
    directory: Directory,
}

impl Register {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("register.db").display());
        store::migrate(&url).expect("migrates");
        let registry = Arc::new(Registry::builtin().expect("schemas"));
        let store = Store::open(&Options::new(url), registry.clone()).expect("opens");
        let limits = Limits { page_default: 5_000, page_max: 5_000, ..Limits::default() };
        Register { _folder: folder, directory: Directory::new(store, registry, limits) }
    }

    async fn tenant(&self, slug: &str) -> Ctx {
        let tenant = clients::create_tenant(self.directory.store(), slug, slug, NOW).await.expect("a tenant");
        Ctx { base_url: "https://scim.example".into(), ..Ctx::system(tenant.id, NOW, Random::os()) }
    }

    async fn bulk(&self, ctx: &Ctx, fail_on_errors: Option<u64>, operations: Value) -> BulkWritten {
        let body = json!({ "failOnErrors": fail_on_errors, "Operations": operations });
        let request = parse(body, 10_000, Strictness::Tolerant, &mut Notes::new()).expect("a bulk request");
        self.directory.bulk(ctx, request, |_| Ok(())).await.expect("an answer")
    }

    async fn all(&self, ctx: &Ctx, kind: &str) -> Vec<Value> {
        let definition = self.directory.registry().definition(kind).expect("a type").clone();
        let list = self.directory.search(ctx, &[definition], &SearchRequest::default()).await.expect("a list");
        let list: Value = serde_json::from_str(&list.body).expect("JSON");
        list["Resources"].as_array().expect("an array").clone()
    }
}

fn user(bulk_id: &str, manager: Option<&str>) -> Value {
    let mut data = json!({ "schemas": [USER, ENTERPRISE], "userName": bulk_id, "displayName": bulk_id });
    if let Some(manager) = manager {
        data[ENTERPRISE] = json!({ "manager": { "value": format!("bulkId:{manager}") } });
    }
    json!({ "method": "POST", "path": "/Users", "bulkId": bulk_id, "data": data })
}

fn group(bulk_id: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|member| json!({ "value": format!("bulkId:{member}") })).collect();
    let data = json!({ "schemas": [GROUP], "displayName": bulk_id, "members": members });
    json!({ "method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": data })
}

/// `ok`, or the status and what it is about.
fn outcomes(written: &BulkWritten) -> Vec<String> {
    let told = |error: &crate::directory::Error| match error {
        crate::directory::Error::Scim(error) => format!("{} {}", error.status, error.detail),
        other => other.to_string(),
    };
    written.operations.iter().map(|one| one.outcome.as_ref().map_or_else(told, |_| "ok".to_owned())).collect()
}

fn conflict(bulk_id: &str) -> String {
    format!("409 bulkId:{bulk_id} is referred to and could not be carried out.")
}

#[tokio::test]
async fn a_thousand_operations_are_carried_out_with_all_their_references() {
    let register = Register::new();
    let ctx = register.tenant("bulk").await;
    let names: Vec<String> = (0..990).map(|n| format!("user{n}")).collect();
    // Every manager comes later in the message, and the groups before all of their members.
    let mut operations: Vec<Value> = names
        .chunks(99)
        .enumerate()
        .map(|(n, members)| group(&format!("group{n}"), &members.iter().map(String::as_str).collect::<Vec<_>>()))
        .collect();
    operations.extend(names.iter().enumerate().map(|(n, name)| user(name, names.get(n + 1).map(String::as_str))));
    let begun = std::time::Instant::now();
    let written = register.bulk(&ctx, None, operations.into()).await;
    println!("1,000 operations in {:?}", begun.elapsed());
    assert_eq!(outcomes(&written), vec!["ok"; 1_000]);
    assert_eq!(written.changes.len(), 1_000);
    let users = register.all(&ctx, "User").await;
    let groups = register.all(&ctx, "Group").await;
    assert_eq!((users.len(), groups.len()), (990, 10));
    let id_of = |name: &str| users.iter().find(|user| user["userName"] == name).expect("a user")["id"].clone();
    for (n, name) in names.iter().enumerate().step_by(97) {
        let user = users.iter().find(|user| user["userName"] == *name).expect("a user");
        let manager = names.get(n + 1).map(|name| id_of(name)).unwrap_or_default();
        assert_eq!(user[ENTERPRISE]["manager"]["value"], manager);
        assert_eq!(user["groups"].as_array().expect("groups").len(), 1);
    }
    assert!(groups.iter().all(|group| group["members"].as_array().map(Vec::len) == Some(99)));
}

#[tokio::test]
async fn a_circle_of_managers_is_created_whole() {
    let register = Register::new();
    let ctx = register.tenant("bulk").await;
    let operations = json!([user("a", Some("b")), user("b", Some("c")), user("c", Some("a")), group("g", &["a", "c"])]);
    let written = register.bulk(&ctx, None, operations).await;
    assert_eq!(outcomes(&written), ["ok", "ok", "ok", "ok"]);
    let txns: std::collections::BTreeSet<_> = written.changes.iter().take(3).map(|change| change.txn).collect();
    assert_eq!(txns.len(), 1, "one transaction");
}

#[tokio::test]
async fn a_circle_fails_whole_and_so_does_what_refers_to_it() {
    let register = Register::new();
    let ctx = register.tenant("bulk").await;
    register.bulk(&ctx, None, json!([user("b", None)])).await;
    let operations = json!([user("a", Some("b")), user("b", Some("a")), user("c", Some("a")), user("d", None)]);
    let written = register.bulk(&ctx, None, operations).await;
    let taken = scim::Error::uniqueness("userName");
    let taken = format!("{} {}", taken.status, taken.detail);
    assert_eq!(outcomes(&written), [conflict("b"), taken, conflict("a"), "ok".to_owned()]);
    assert_eq!(register.all(&ctx, "User").await.len(), 2);
}

#[tokio::test]
async fn groups_within_each_other_are_a_conflict_and_a_group_with_its_members_is_none() {
    let register = Register::new();
    let ctx = register.tenant("bulk").await;
    let written = register.bulk(&ctx, None, json!([group("g", &["h"]), group("h", &["g"])])).await;
    let told = outcomes(&written);
    assert!(told[0].starts_with("409 members: these groups would hold each other"), "{told:?}");
    assert_eq!(told[1], conflict("g"));
    // The user says which group it is in, which the server ignores but for the order.
    let mut maj = user("maj", None);
    maj["data"]["groups"] = json!([{ "value": "bulkId:g" }]);
    let written = register.bulk(&ctx, None, json!([group("g", &["maj"]), maj])).await;
    assert_eq!(outcomes(&written), ["ok", "ok"]);
    assert_eq!(register.all(&ctx, "Group").await[0]["members"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn after_the_last_error_that_is_accepted_nothing_more_is_done_and_what_was_done_stays() {
    let register = Register::new();
    let ctx = register.tenant("bulk").await;
    let nowhere = json!({ "method": "DELETE", "path": "/Users/1" });
    let operations = json!([user("a", None), nowhere, user("b", None), nowhere, user("c", None), nowhere]);
    for (limit, expected, there) in [(Some(1), 2, 1), (Some(2), 4, 2), (Some(9), 6, 3), (None, 6, 3)] {
        let ctx = Ctx { ..register.tenant(&format!("t{}", limit.unwrap_or(0))).await };
        let written = register.bulk(&ctx, limit, operations.clone()).await;
        assert_eq!(written.operations.len(), expected, "{limit:?}");
        assert_eq!(register.all(&ctx, "User").await.len(), there, "{limit:?}");
    }
    assert!(register.all(&ctx, "User").await.is_empty());
}

#[tokio::test]
async fn a_simulation_says_what_would_happen_and_stores_nothing() {
    let register = Register::new();
    let ctx = Ctx { simulate: true, ..register.tenant("bulk").await };
    let operations = json!([group("g", &["a", "b"]), user("a", None), user("a2", Some("a")), user("b", Some("a2"))]);
    let written = register.bulk(&ctx, None, operations.clone()).await;
    assert_eq!(outcomes(&written), ["ok"; 4]);
    assert_eq!(written.changes.iter().map(|change| change.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(register.all(&ctx, "User").await.is_empty());
    let real = register.bulk(&Ctx { simulate: false, ..ctx.clone() }, None, operations).await;
    assert_eq!(real.changes.len(), 4);
}

#[tokio::test]
async fn operations_on_one_resource_come_one_after_the_other_and_no_change_makes_no_version() {
    let register = Register::new();
    let ctx = register.tenant("bulk").await;
    let patch = |title: &str, version: &str| {
        json!({
            "method": "PATCH", "path": "/Users/bulkId:a", "version": version,
            "data": { "Operations": [{ "op": "replace", "path": "title", "value": title }] }
        })
    };
    let operations = json!([
        patch("one", "W/\"1\""),
        patch("one", ""),
        patch("two", "W/\"2\""),
        patch("three", "W/\"2\""),
        user("a", None),
        { "method": "PATCH", "path": "/Users/bulkId:a",
          "data": { "Operations": [{ "op": "add", "path": "password", "value": "correct horse" }] } },
    ]);
    let written = register.bulk(&ctx, None, operations).await;
    assert_eq!(outcomes(&written), ["ok", "ok", "ok", "the resource has changed", "ok", "ok"]);
    assert_eq!(written.changes.len(), 4);
    assert_eq!(register.all(&ctx, "User").await[0]["title"], "two");
}

#[tokio::test]
async fn a_put_may_come_before_what_it_replaces_and_fails_with_it() {
    let register = Register::new();
    let ctx = register.tenant("bulk").await;
    let put = |of: &str, name: &str, manager: Option<&str>| {
        let body = user(name, manager);
        json!({ "method": "PUT", "path": format!("/Users/bulkId:{of}"), "data": body["data"] })
    };
    let operations = json!([
        put("a", "anna", Some("b")),
        put("c", "cecilia", None),
        user("a", None),
        user("b", None),
        { "method": "POST", "path": "/Users", "bulkId": "c", "data": { "schemas": [USER] } },
        put("a", "anna2", None),
    ]);
    let written = register.bulk(&ctx, None, operations).await;
    let told = outcomes(&written);
    assert_eq!([&told[0], &told[2], &told[3], &told[5]], ["ok"; 4]);
    assert_eq!(told[1], conflict("c"));
    assert!(told[4].starts_with("400 "), "{told:?}");
    let location = |index: usize| written.operations[index].location.clone();
    assert_eq!((location(0), location(5)), (location(2), location(2)));
    assert_eq!((location(1), location(4)), (None, None), "it is nowhere");
    let users = register.all(&ctx, "User").await;
    let anna = users.iter().find(|user| user["userName"] == "anna2").expect("anna");
    assert!(anna[ENTERPRISE].get("manager").is_none(), "{anna}");
    assert!(anna["meta"]["version"].as_str().expect("a version").starts_with("W/\"3."), "{anna}");
}

#[tokio::test]
async fn tolerances_are_told_whether_an_operation_succeeds_or_fails() {
    let register = Register::new();
    let ctx = register.tenant("bulk").await;
    register.bulk(&ctx, None, json!([user("taken", None)])).await;
    let mut failing = user("taken", None);
    failing["data"]["active"] = "True".into();
    let mut wrong = user("b", None);
    wrong["data"]["active"] = "False".into();
    wrong["data"]["emails"] = 7.into();
    let patch = |op: &str, path: &str| {
        json!({ "method": "PATCH", "path": "/Users/bulkId:c",
            "data": { "Operations": [{ "op": op, "path": path, "value": "x" }] } })
    };
    let operations = json!([failing, wrong, user("c", None), patch("Replace", "id"), patch("Replace", "title")]);
    let written = register.bulk(&ctx, None, operations).await;
    let is_ok: Vec<bool> = written.operations.iter().map(|one| one.outcome.is_ok()).collect();
    assert_eq!(is_ok, [false, false, true, false, true]);
    let count = |quirk: &str| written.tolerances.iter().filter(|used| **used == quirk).count();
    assert_eq!((count("string-boolean"), count("op-case")), (2, 2), "{:?}", written.tolerances);
}
