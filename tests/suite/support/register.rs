//! A register without a server: the use cases of the directory over a database of its own, with a context that a test
//! can set as it likes and randomness that repeats itself.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use matrikel::directory::{Ctx, Directory, Error, Fetched, Limits, Precondition, Random, Written};
use scim::resource::Projection;
use scim::schema::{Definition, Registry};
use serde_json::{Value, json};
use store::change::Change;
use store::{ResourceId, Seq, Store, TenantId};
use tempfile::TempDir;
use uuid::Uuid;

use super::postgres::Database;
use super::statements::{Watch, migrated};

/// What is answered at `meta.location`.
pub(crate) const BASE_URL: &str = "https://id.example.se/scim/v2";

/// 2026-01-01T00:00:00Z in µs.
pub(crate) const NEW_YEAR: i64 = 1_767_225_600_000_000;

/// A directory with one tenant.
pub(crate) struct Register {
    pub(crate) directory: Directory,
    pub(crate) tenant: TenantId,
    clock: AtomicI64,
    url: String,
    // Dropped after the store has been closed: see `drop`.
    folder: Option<TempDir>,
    _watch: Option<Watch>,
    _database: Option<Database>,
}

impl Register {
    /// On a new SQLite file.
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let url = format!("sqlite:{}", folder.path().join("register.db").display());
        store::migrate(&url).expect("migrated");
        Register::open(url, Some(folder), None)
    }

    /// On a new PostgreSQL database.
    pub(crate) fn postgres() -> Self {
        let database = migrated();
        Register::open(database.url().to_owned(), None, Some(database))
    }

    fn open(url: String, folder: Option<TempDir>, database: Option<Database>) -> Self {
        let watch = Watch::over(&url);
        let registry = Arc::new(Registry::builtin().expect("the schemas"));
        let store = Store::open(&store::Options::new(&url), registry.clone()).expect("the store");
        let tenant = store.create_tenant("storstad", "Storstad", NEW_YEAR).expect("a tenant").id;
        let directory = Directory::new(store, registry, Limits::default());
        Register { directory, tenant, clock: AtomicI64::new(NEW_YEAR), url, folder, _watch: watch, _database: database }
    }

    /// The operator, a second after the last context; its randomness is the operating system's.
    pub(crate) fn ctx(&self) -> Ctx {
        let now = self.clock.fetch_add(1_000_000, Ordering::Relaxed);
        Ctx { base_url: BASE_URL.into(), ..Ctx::system(self.tenant, now, Random::os()) }
    }

    /// The same with randomness from a seed.
    pub(crate) fn seeded(&self, seed: u64) -> Ctx {
        Ctx { random: Random::seeded(seed), ..self.ctx() }
    }

    /// Whether it lies in PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        self.folder.is_none()
    }

    /// The one number that a query on the database answers.
    pub(crate) fn number(&self, query: &str) -> i64 {
        super::server::number(&self.url, query)
    }

    /// A client with a provisioning domain of its own.
    pub(crate) fn client(&self, name: &str) -> Ctx {
        let mut ctx = self.ctx();
        let mut bytes = [7; 16];
        bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        Arc::make_mut(&mut ctx.caller).id = ResourceId(Uuid::from_bytes(bytes));
        Arc::make_mut(&mut ctx.caller).domain = ctx.caller.id;
        Arc::make_mut(&mut ctx.caller).name = name.into();
        ctx
    }

    /// A resource type.
    pub(crate) fn definition(&self, kind: &str) -> Arc<Definition> {
        self.directory.registry().definition(kind).expect(kind).clone()
    }

    pub(crate) async fn create(&self, ctx: &Ctx, kind: &str, body: Value) -> Result<Written, Error> {
        let definition = self.definition(kind);
        self.directory.create(ctx, &definition, body, &Projection::whole(&definition)).await
    }

    /// Creates and returns the id; it must succeed.
    pub(crate) async fn made(&self, kind: &str, body: Value) -> String {
        id(&self.create(&self.ctx(), kind, body).await.expect("created"))
    }

    pub(crate) async fn replace(&self, ctx: &Ctx, kind: &str, id: &str, body: Value) -> Result<Written, Error> {
        self.replace_if(ctx, kind, id, body, &Precondition::none()).await
    }

    pub(crate) async fn replace_if(
        &self,
        ctx: &Ctx,
        kind: &str,
        id: &str,
        body: Value,
        precondition: &Precondition,
    ) -> Result<Written, Error> {
        let definition = self.definition(kind);
        self.directory.replace(ctx, &definition, id, body, precondition, &Projection::whole(&definition)).await
    }

    pub(crate) async fn patch(&self, ctx: &Ctx, kind: &str, id: &str, body: Value) -> Result<Written, Error> {
        self.patch_if(ctx, kind, id, body, &Precondition::none()).await
    }

    pub(crate) async fn patch_if(
        &self,
        ctx: &Ctx,
        kind: &str,
        id: &str,
        body: Value,
        precondition: &Precondition,
    ) -> Result<Written, Error> {
        let definition = self.definition(kind);
        self.directory.patch(ctx, &definition, id, body, precondition, &Projection::whole(&definition)).await
    }

    pub(crate) async fn remove(&self, ctx: &Ctx, kind: &str, id: &str) -> Result<Vec<Change>, Error> {
        self.directory.remove(ctx, &self.definition(kind), id, &Precondition::none()).await
    }

    /// Fetches a resource with everything that is returned of it, and its entity tag.
    pub(crate) async fn fetch(&self, ctx: &Ctx, kind: &str, id: &str) -> Result<(Value, String), Error> {
        let definition = self.definition(kind);
        let projection = Projection::whole(&definition);
        match self.directory.fetch(ctx, &definition, id, &Precondition::none(), &projection).await? {
            Fetched::Found { etag, body, .. } => Ok((serde_json::from_str(&body).expect("JSON"), etag)),
            Fetched::Large { etag, slices, .. } => {
                Ok((serde_json::from_str(&slices.collect::<String>()).expect("JSON"), etag))
            }
            Fetched::NotModified { .. } => panic!("nothing was said to be known"),
        }
    }

    /// Fetches what must be there.
    pub(crate) async fn found(&self, kind: &str, id: &str) -> Value {
        self.fetch(&self.ctx(), kind, id).await.expect("found").0
    }

    /// The entity tag of what must be there.
    pub(crate) async fn etag(&self, kind: &str, id: &str) -> String {
        self.fetch(&self.ctx(), kind, id).await.expect("found").1
    }

    /// Searches one resource type by query parameters.
    pub(crate) async fn search(&self, ctx: &Ctx, kind: &str, parameters: &[(&str, &str)]) -> Result<Value, Error> {
        let request = scim::query::SearchRequest::from_pairs(parameters.iter().copied())?;
        let found = self.directory.search(ctx, &[self.definition(kind)], &request).await?;
        Ok(serde_json::from_str(&found.body).expect("JSON"))
    }

    /// Number and digest of the newest change: equal exactly when nothing was stored in between.
    pub(crate) async fn head(&self) -> (Seq, Vec<u8>) {
        let tenant = self.tenant;
        self.directory.store().read(move |reader| reader.head(tenant)).await.expect("the head")
    }

    /// Every change so far; the chain must hold.
    pub(crate) async fn changes(&self) -> Vec<Change> {
        let tenant = self.tenant;
        let read = self.directory.store().read(move |reader| reader.changes(tenant, 0, Some(Vec::new()), 1_000_000));
        read.await
            .unwrap_or_else(|error: store::Error| panic!("{error}"))
            .into_iter()
            .map(|stored| stored.change)
            .collect()
    }

    /// Everything that lies in the database, as bytes to search in.
    pub(crate) fn stored_bytes(&self) -> Vec<u8> {
        match &self.folder {
            Some(folder) => {
                let files = fs::read_dir(folder.path()).expect("the folder");
                files.flat_map(|file| fs::read(file.expect("a file").path()).expect("readable")).collect()
            }
            None => {
                let dump = Command::new("pg_dump").args(["--data-only", "--inserts", "-d", &self.url]).output();
                let dump = dump.expect("pg_dump runs");
                assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
                dump.stdout
            }
        }
    }
}

impl Drop for Register {
    fn drop(&mut self) {
        self.directory.store().close();
    }
}

/// The id in an answer.
pub(crate) fn id(written: &Written) -> String {
    body(written)["id"].as_str().expect("an id").to_owned()
}

/// The resource in an answer.
pub(crate) fn body(written: &Written) -> Value {
    serde_json::from_str(&written.body).expect("JSON")
}

/// Status, scimType and detail of a refusal, as they go out.
pub(crate) fn refusal(error: &Error) -> (u16, Value) {
    match error {
        Error::Scim(error) => (error.status, json!(error.scim_type.map(scim::ScimType::as_str))),
        Error::Store(store::Error::Stale) => (412, Value::Null),
        other => panic!("not a refusal: {other}"),
    }
}
