//! Deferred requests against a register on SQLite, with the carrier stopped at any place; `tests/suite/deferred.rs`
//! meets them over HTTP on both databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use scim::bulk::parse;
use scim::query::SearchRequest;
use scim::resource::{Notes, Strictness};
use scim::schema::{Definition, Registry};
use store::{Options, Random, ResourceId, Store, TenantId};

use super::{Deferral, Host};
use crate::directory::{Caller, Ctx, Directory, Error, Limits, Profile, Role, clients};

const NOW: i64 = 1_790_000_000_000_000;
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// Permits all, and tells a time that the test sets.
struct Desk(AtomicI64);

impl Host for Desk {
    fn runtime(&self) -> tokio::runtime::Handle {
        tokio::runtime::Handle::current()
    }

    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn permit(&self, _: &Caller, _: &Definition) -> Result<(), String> {
        Ok(())
    }

    fn told(&self, error: Error) -> scim::Error {
        match error {
            Error::Scim(error) => error,
            Error::Denied(reason) => scim::Error::status(403, reason),
            Error::Store(error) => scim::Error::status(500, error.to_string()),
            Error::Held(held) => scim::Error::status(503, held.to_string()),
        }
    }

    fn forgave(&self, _: TenantId, _: &str, _: &[&'static str]) {}
}

/// A register on a file that another process may open again.
struct Register {
    _folder: TempDir,
    url: String,
}

impl Register {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("register.db").display());
        store::migrate(&url).expect("migrates");
        Register { _folder: folder, url }
    }

    fn open(&self, limits: Limits) -> (Directory, Arc<dyn Host>) {
        let registry = Arc::new(Registry::builtin().expect("schemas"));
        let store = Store::open(&Options::new(&self.url), registry.clone()).expect("opens");
        (Directory::new(store, registry, limits), Arc::new(Desk(AtomicI64::new(NOW))))
    }
}

async fn client(directory: &Directory, tenant: TenantId, name: &str) -> Ctx {
    let system = Ctx::system(tenant, NOW, Random::os());
    let credential = clients::NewCredential { id: uuid::Uuid::new_v4(), digest: vec![0; 32], ..Default::default() };
    let id = clients::create(directory, &system, name, Role::Source, Profile::Rfc, credential).await.expect("a client");
    let caller = directory.caller(tenant, id).await.expect("reads").expect("a client");
    Ctx { caller: Arc::new(caller), base_url: "https://scim.example".into(), ..system }
}

fn message(operations: &Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "failOnErrors": 3, "Operations": operations })
}

async fn accept(directory: &Directory, host: &Arc<dyn Host>, ctx: &Ctx, operations: &Value) -> Result<String, Error> {
    let message = message(operations);
    let request = parse(message.clone(), 1_000, Strictness::Tolerant, &mut Notes::new()).expect("a bulk request");
    let accepted = directory.defer_bulk(host.clone(), ctx, message, &request).await?;
    accepted.turn.abort();
    Ok(accepted.id.to_string())
}

/// The answer, once it is there.
async fn answer(directory: &Directory, ctx: &Ctx, id: &str) -> Value {
    loop {
        if let Deferral::Done(answer) = directory.deferral(ctx, id).await.expect("a request") {
            assert_eq!(answer.status, 200, "{}", answer.body);
            return serde_json::from_str(&answer.body).expect("JSON");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What there is without what differs by chance.
async fn state(directory: &Directory, ctx: &Ctx) -> Vec<String> {
    let mut lines = Vec::new();
    for kind in ["User", "Group"] {
        let definition = directory.registry().definition(kind).expect("a type").clone();
        let list = directory.search(ctx, &[definition], &SearchRequest::default()).await.expect("a list");
        let list: Value = serde_json::from_str(&list.body).expect("JSON");
        for one in list["Resources"].as_array().into_iter().flatten() {
            let version = one["meta"]["version"].as_str().and_then(|version| version.split('.').next());
            let members = one["members"].as_array().map_or(0, Vec::len);
            lines.push(format!("{} {} {} {members} {version:?}", one["userName"], one["title"], one["displayName"]));
        }
    }
    lines.sort();
    lines
}

fn statuses(answer: &Value) -> Vec<String> {
    let operations = answer["Operations"].as_array().expect("operations").iter();
    operations.map(|one| format!("{} {} {}", one["method"], one["bulkId"], one["status"])).collect()
}

/// Users, a circle of groups that cannot be, what refers to what failed, changes of one user in turn, a deletion.
fn operations() -> Value {
    let user = |name: &str| json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": { "schemas": [USER], "userName": name } });
    let group = |name: &str, member: &str| {
        let data =
            json!({ "schemas": [GROUP], "displayName": name, "members": [{ "value": format!("bulkId:{member}") }] });
        json!({ "method": "POST", "path": "/Groups", "bulkId": name, "data": data })
    };
    let title = |user: &str, title: &str| {
        let data = json!({ "Operations": [{ "op": "replace", "path": "title", "value": title }] });
        json!({ "method": "PATCH", "path": format!("/Users/bulkId:{user}"), "data": data })
    };
    let mut secret = user("secret");
    secret["data"]["password"] = "correct horse battery".into();
    json!([
        title("a", "one"),
        group("g", "a"),
        user("a"),
        group("x", "y"),
        group("y", "x"),
        title("a", "two"),
        secret,
        { "method": "DELETE", "path": "/Users/bulkId:b" },
        user("b"),
        user("A"),
        user("never"),
    ])
}

#[tokio::test]
async fn whoever_carries_on_does_no_operation_twice() {
    let register = Register::new();
    let (directory, host) = register.open(Limits::default());
    let tenant = |slug: String| {
        let directory = directory.clone();
        async move { clients::create_tenant(directory.store(), &slug, &slug, NOW).await.expect("a tenant").id }
    };
    let whole = client(&directory, tenant("whole".into()).await, "hr").await;
    let id = accept(&directory, &host, &whole, &operations()).await.expect("accepted");
    directory.resume_deferred(&host, i64::MAX).await.expect("resumes");
    let expected = answer(&directory, &whole, &id).await;
    assert_eq!(statuses(&expected).len(), 10, "the last is left out after three errors: {expected}");
    let expected_state = state(&directory, &whole).await;

    // Interrupted after each batch that a carrier may have committed, and taken up by two at once.
    for n in 0..6_u64 {
        let ctx = client(&directory, tenant(format!("t{n}")).await, "hr").await;
        let id = accept(&directory, &host, &ctx, &operations()).await.expect("accepted");
        let first = directory.take_turn(host.clone(), ctx.tenant, ctx.caller.id);
        let _ = tokio::time::timeout(Duration::from_millis(n * 4), async {
            while !first.is_finished() {
                tokio::task::yield_now().await
            }
        })
        .await;
        first.abort();
        let (other, other_host) = register.open(Limits::default());
        directory.resume_deferred(&host, i64::MAX).await.expect("resumes");
        other.resume_deferred(&other_host, i64::MAX).await.expect("resumes");
        let got = answer(&directory, &ctx, &id).await;
        assert_eq!(statuses(&got), statuses(&expected), "round {n}");
        assert_eq!(state(&directory, &ctx).await, expected_state, "round {n}");
        assert_eq!(answer(&other, &ctx, &id).await, got);
    }
}

#[tokio::test]
async fn only_so_many_wait_and_only_the_client_itself_sees_them() {
    let register = Register::new();
    let (directory, host) = register.open(Limits { deferred: 2, ..Limits::default() });
    let tenant = clients::create_tenant(directory.store(), "t", "t", NOW).await.expect("a tenant").id;
    let (hr, other) = (client(&directory, tenant, "hr").await, client(&directory, tenant, "other").await);
    let one = |name: &str| json!([{ "method": "POST", "path": "/Users", "bulkId": name, "data": { "schemas": [USER], "userName": name } }]);
    let first = accept(&directory, &host, &hr, &one("a")).await.expect("accepted");
    let second = accept(&directory, &host, &hr, &one("b")).await.expect("accepted");
    let Err(Error::Scim(error)) = accept(&directory, &host, &hr, &one("c")).await else { panic!("a third waits") };
    assert_eq!(error.status, 429);
    let others = accept(&directory, &host, &other, &one("d")).await.expect("the limit is a client's own");
    assert_eq!(directory.deferral(&hr, &first).await.expect("waits"), Deferral::Running);

    let elsewhere = clients::create_tenant(directory.store(), "u", "u", NOW).await.expect("a tenant").id;
    let stranger = Ctx { tenant: elsewhere, ..hr.clone() };
    for (ctx, id) in [(&other, first.as_str()), (&hr, &others), (&stranger, &first), (&hr, "nothing")] {
        let Err(Error::Scim(error)) = directory.deferral(ctx, id).await else { panic!("{id} is seen") };
        assert_eq!(error.status, 404);
    }

    directory.resume_deferred(&host, i64::MAX).await.expect("resumes");
    answer(&directory, &hr, &first).await;
    answer(&directory, &hr, &second).await;
    answer(&directory, &other, &others).await;
    accept(&directory, &host, &hr, &one("e")).await.expect("there is room again");

    // Results are kept for a day and then removed.
    let later = Ctx { now: NOW + 86_400 * 1_000_000, ..hr.clone() };
    let Err(Error::Scim(error)) = directory.deferral(&later, &first).await else { panic!("it is seen") };
    assert_eq!(error.status, 404);
    directory.forget_deferred(later.now - 1).await.expect("clears");
    assert!(matches!(directory.deferral(&hr, &first).await, Ok(Deferral::Done(_))));
    directory.forget_deferred(later.now).await.expect("clears");
    assert!(directory.deferral(&hr, &first).await.is_err());
}

#[tokio::test]
async fn nothing_is_done_for_a_client_that_was_switched_off() {
    let register = Register::new();
    let (directory, host) = register.open(Limits::default());
    let tenant = clients::create_tenant(directory.store(), "t", "t", NOW).await.expect("a tenant").id;
    let hr = client(&directory, tenant, "hr").await;
    let id = accept(&directory, &host, &hr, &operations()).await.expect("accepted");
    let system = Ctx::system(tenant, NOW, Random::os());
    let definition = directory.registry().definition(clients::CLIENT).expect("a type").clone();
    let none = crate::directory::Precondition::none();
    directory.remove(&system, &definition, &hr.caller.id.to_string(), &none).await.expect("removed");
    directory.resume_deferred(&host, i64::MAX).await.expect("resumes");
    let got = answer(&directory, &hr, &id).await;
    assert!(statuses(&got).iter().all(|status| status.ends_with("\"403\"")), "{got}");
    assert!(state(&directory, &system).await.is_empty());
}

#[tokio::test]
async fn no_secret_can_be_read_where_requests_wait_and_results_lie() {
    let register = Register::new();
    let (directory, host) = register.open(Limits::default());
    let tenant = clients::create_tenant(directory.store(), "t", "t", NOW).await.expect("a tenant").id;
    let hr = client(&directory, tenant, "hr").await;
    let id = accept(&directory, &host, &hr, &operations()).await.expect("accepted");
    let row = |directory: &Directory| {
        let (directory, id) = (directory.clone(), id.parse().expect("an id"));
        async move {
            directory.store().read(move |reader| reader.deferred(tenant, id)).await.expect("reads").expect("a row")
        }
    };
    let has = |body: &[u8], text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
    let client = hr.caller.id;
    let waiting = directory.store().read(move |reader| reader.next_deferred(tenant, client)).await;
    let waiting = waiting.unwrap_or_else(|error: store::Error| panic!("{error}")).expect("it waits");
    assert!(!waiting.body.is_empty());
    assert!(!has(&waiting.body, "correct horse") && !has(&waiting.body, "userName"));
    directory.resume_deferred(&host, i64::MAX).await.expect("resumes");
    answer(&directory, &hr, &id).await;
    let done = row(&directory).await;
    assert!(!has(&done.body, "Operations"));
    assert_eq!(done.client, hr.caller.id);
    assert_ne!(done.client, ResourceId::SYSTEM);
}
