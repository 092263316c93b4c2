//! A register of its own for a test, and the ways through its answers.

use matrikel::directory::{Ctx, Directory, Error, Found, Limits, Precondition, Random};
use scim::query::SearchRequest;
use scim::resource::Projection;
use scim::schema::{Definition, Registry};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use store::{Options, ResourceId, Store, TenantId};
use tempfile::TempDir;

use crate::support::postgres::Database;
use crate::support::statements::{Watch, migrated};

/// The moment of every test, µs.
pub(super) const NOW: i64 = 1_800_000_000_000_000;

/// A register with one tenant.
pub(super) struct World {
    pub(super) directory: Directory,
    pub(super) tenant: TenantId,
    pub(super) limits: Limits,
    /// Resources made so far: each a millisecond after the one before it, so that ids grow as in life.
    made: AtomicI64,
    url: String,
    _folder: TempDir,
    _watch: Option<Watch>,
    _database: Option<Database>,
}

/// A page as a client reads it.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) ids: Vec<String>,
    pub(super) total: Option<u64>,
    pub(super) next: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) feed_position: Option<i64>,
}

fn open(url: &str, limits: Limits) -> Directory {
    let registry = Arc::new(Registry::builtin().unwrap());
    let store = Store::open(&Options { readers: 2, ..Options::new(url) }, registry.clone()).unwrap();
    Directory::new(store, registry, limits)
}

impl World {
    pub(super) fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("register.db").display());
        store::migrate(&url).unwrap();
        World::new(url, folder, None)
    }

    pub(super) fn postgres() -> Self {
        let database = migrated();
        World::new(database.url().to_owned(), TempDir::new().unwrap(), Some(database))
    }

    fn new(url: String, folder: TempDir, database: Option<Database>) -> Self {
        let limits = Limits::default();
        let watch = Watch::over(&url);
        let directory = open(&url, limits);
        let tenant = directory.store().create_tenant("one", "One", NOW).unwrap().id;
        World {
            directory,
            tenant,
            limits,
            made: AtomicI64::default(),
            url,
            _folder: folder,
            _watch: watch,
            _database: database,
        }
    }

    /// Stops the register and opens it again, perhaps with other limits.
    pub(super) fn restart(&mut self, limits: Limits) {
        self.directory.store().close();
        self.limits = limits;
        self.directory = open(&self.url, limits);
    }

    /// Another node on the same database.
    pub(super) fn node(&self, limits: Limits) -> Directory {
        open(&self.url, limits)
    }

    pub(super) fn ctx(&self) -> Ctx {
        Ctx::system(self.tenant, NOW, Random::os())
    }

    pub(super) fn definition(&self, kind: &str) -> Arc<Definition> {
        self.directory.registry().definition(kind).unwrap().clone()
    }

    /// Creates a resource and returns its id.
    pub(super) async fn create(&self, kind: &str, body: Value) -> String {
        let definition = self.definition(kind);
        let ctx = Ctx { now: NOW + 1_000 * self.made.fetch_add(1, Ordering::Relaxed), ..self.ctx() };
        let written = self.directory.create(&ctx, &definition, body, &whole(&definition)).await.unwrap();
        let document: Value = serde_json::from_str(&written.body).unwrap();
        document["id"].as_str().unwrap().to_owned()
    }

    /// Creates a User.
    pub(super) async fn user(&self, mut body: Value) -> String {
        body["schemas"] = json!(["urn:ietf:params:scim:schemas:core:2.0:User"]);
        self.create("User", body).await
    }

    /// Sets one attribute.
    pub(super) async fn set(&self, id: &str, path: &str, value: Value) {
        let definition = self.definition("User");
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "path": path, "value": value }],
        });
        let (ctx, any) = (self.ctx(), Precondition::default());
        self.directory.patch(&ctx, &definition, id, body, &any, &whole(&definition)).await.unwrap();
    }

    pub(super) async fn remove(&self, id: &str) {
        let definition = self.definition("User");
        self.directory.remove(&self.ctx(), &definition, id, &Precondition::default()).await.unwrap();
    }

    /// One page, as a context asks for it.
    pub(super) async fn ask(&self, ctx: &Ctx, kinds: &[&str], request: &SearchRequest) -> Result<Page, Error> {
        let definitions: Vec<_> = kinds.iter().map(|kind| self.definition(kind)).collect();
        self.directory.search(ctx, &definitions, request).await.map(|found| read(&found))
    }

    /// One page.
    pub(super) async fn page(&self, kinds: &[&str], request: &SearchRequest) -> Page {
        self.ask(&self.ctx(), kinds, request).await.unwrap_or_else(|error| panic!("{request:?}: {error}"))
    }

    /// A walk from the first page to the last and back to the first, each page as it came.
    pub(super) async fn walk(&self, kinds: &[&str], request: &SearchRequest) -> (Vec<Page>, Vec<Page>) {
        let mut request = request.clone();
        request.cursor = Some(String::new());
        let mut there: Vec<Page> = Vec::new();
        loop {
            let page = self.page(kinds, &request).await;
            assert_eq!(page.previous.is_none(), there.is_empty(), "the first page alone has none before it");
            assert_eq!(page.feed_position.is_some(), there.is_empty(), "the first page alone names its position");
            request.cursor = page.next.clone();
            there.push(page);
            if request.cursor.is_none() {
                break;
            }
        }
        let mut back: Vec<Page> = Vec::new();
        request.cursor = there.last().and_then(|page| page.previous.clone());
        while request.cursor.is_some() {
            let page = self.page(kinds, &request).await;
            assert!(page.next.is_some(), "it was come to from a later page");
            request.cursor = page.previous.clone();
            back.push(page);
        }
        (there, back)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.directory.store().close();
    }
}

fn whole(definition: &Definition) -> Projection {
    Projection::parse(definition, &[], &[]).unwrap()
}

fn read(found: &Found) -> Page {
    let body: Value = serde_json::from_str(&found.body).unwrap();
    let ids: Vec<String> =
        body["Resources"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(body["itemsPerPage"], json!(ids.len()));
    let text = |name: &str| body.get(name).map(|text| text.as_str().unwrap().to_owned());
    Page {
        ids,
        total: body.get("totalResults").map(|total| total.as_u64().unwrap()),
        next: text("nextCursor"),
        previous: text("previousCursor"),
        feed_position: found.feed_position,
    }
}

/// All ids of a walk forwards, in order.
pub(super) fn forwards(pages: &[Page]) -> Vec<String> {
    pages.iter().flat_map(|page| page.ids.clone()).collect()
}

/// All ids of a walk there and back, seen from the end: the last page, then those before it.
pub(super) fn backwards(there: &[Page], back: &[Page]) -> Vec<String> {
    let mut ids: Vec<String> = back.iter().rev().flat_map(|page| page.ids.clone()).collect();
    ids.extend(there.last().into_iter().flat_map(|page| page.ids.clone()));
    ids
}

/// The id of a client that is not the operator.
pub(super) fn client(n: u128) -> ResourceId {
    ResourceId(uuid::Uuid::from_u128(n))
}
