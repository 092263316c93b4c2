//! A migrated store with one tenant on either database, the shortest ways to write to it, and its tables by plain SQL.

use std::sync::{Arc, mpsc};

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::sql_types::Text;
use diesel::{Connection, PgConnection, RunQueryDsl, SqliteConnection};
use scim::schema::Registry;
use scim::view::Views;
use serde_json::{Map, Value, json};
use store::change::{Delta, Stored};
use store::scan::{Hit, Query};
use store::work::{Draft, Origin};
use store::{By, Error, Options, Random, Reader, Record, ResourceId, Store, TenantId, Work};
use uuid::Uuid;

use crate::support::postgres::Database;
use crate::support::statements::{Watch, migrated};

/// When the tests begin: 2026-01-01T00:00:00Z in µs.
pub(crate) const START: i64 = 1_767_225_600_000_000;

/// Runs each function on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite { $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
            super::$name($crate::store_tests::harness::Fixture::sqlite()).await;
        })* }
        mod on_postgres { $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
            super::$name($crate::store_tests::harness::Fixture::postgres()).await;
        })* }
    };
}
pub(crate) use on_both;

/// The gate of a held write.
pub(crate) struct Gate {
    entry: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

impl Gate {
    /// Waits until the write is being run.
    pub(crate) fn entered(&self) {
        self.entry.recv().unwrap();
    }

    /// Lets it go on after it has [`entered`](Gate::entered).
    pub(crate) fn let_go(self) {
        self.release.send(()).unwrap();
    }
}

enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(Database),
}

/// A store on a database of its own, with one tenant.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) tenant: TenantId,
    _watch: Option<Watch>,
    place: Place,
}

impl Fixture {
    pub(crate) fn sqlite() -> Self {
        Self::at(Place::Sqlite(tempfile::tempdir().unwrap()))
    }

    /// SQLite whose commits wait for no disk.
    pub(crate) fn in_memory() -> Self {
        Self::at(Place::Sqlite(tempfile::tempdir_in("/dev/shm").unwrap()))
    }

    pub(crate) fn postgres() -> Self {
        Self::at(Place::Postgres(migrated()))
    }

    fn at(place: Place) -> Self {
        if let Place::Sqlite(_) = &place {
            store::migrate(&place.url()).unwrap();
        }
        let watch = Watch::over(&place.url());
        let store = open(&place);
        let tenant = store.create_tenant("one", "One", START).unwrap().id;
        Fixture { store, tenant, _watch: watch, place }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.place, Place::Postgres(_))
    }

    pub(crate) fn url(&self) -> String {
        self.place.url()
    }

    /// Stops the store and opens it again on the same database.
    pub(crate) fn reopen(self) -> Self {
        self.store.close();
        let store = open(&self.place);
        Fixture { store, ..self }
    }

    /// Another node on the same database.
    pub(crate) fn another_node(&self) -> Store {
        open(&self.place)
    }

    pub(crate) fn new_tenant(&mut self, slug: &str) {
        self.tenant = self.store.create_tenant(slug, slug, START).unwrap().id;
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        run: impl FnMut(&mut Work<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.write_at(START, run).await
    }

    pub(crate) async fn write_at<T: Send + 'static>(
        &self,
        now: i64,
        run: impl FnMut(&mut Work<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.store.write(self.tenant, origin(now), run).await
    }

    /// Waits in the queue from the call on, not only when it is awaited.
    pub(crate) fn create(&self, draft: Draft) -> impl Future<Output = Result<Record, Error>> + Send + use<> {
        self.store.write(self.tenant, origin(START), move |work| work.create(draft.clone()))
    }

    /// Waits in the queue from the call on, or is made before it returns.
    pub(crate) fn write_here<T, F>(&self, run: F) -> impl Future<Output = Result<T, Error>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.store.write_here(self.tenant, origin(START), run)
    }

    /// Runs a write that keeps its batch open until it is released.
    pub(crate) fn held<F>(&self, mut run: F) -> (Gate, impl Future<Output = Result<(), Error>> + Send + use<F>)
    where
        F: FnMut(&mut Work<'_>) -> Result<(), Error> + Send + 'static,
    {
        let (release, released) = mpsc::channel();
        let (entered, entry) = mpsc::channel();
        let outcome = self.store.write(self.tenant, origin(START), move |work| {
            // It may be run again: then nobody waits any more.
            if entered.send(()).is_ok() {
                let _ = released.recv();
            }
            run(work)
        });
        (Gate { entry, release }, outcome)
    }

    pub(crate) async fn update(&self, draft: Draft) -> Result<Record, Error> {
        self.write(move |work| work.update(draft.clone())).await
    }

    pub(crate) async fn remove(&self, id: ResourceId) -> Result<(), Error> {
        self.write(move |work| work.remove(id)).await
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Reader, TenantId) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let tenant = self.tenant;
        self.store.read(move |reader| run(reader, tenant)).await
    }

    pub(crate) async fn record(&self, id: ResourceId) -> Option<Record> {
        self.read(move |reader, tenant| reader.record(tenant, id)).await.unwrap()
    }

    /// The resource with all that is derived of it.
    pub(crate) async fn hit(&self, id: ResourceId) -> Hit {
        let kind = self.record(id).await.unwrap().kind;
        let query = self.query(&kind);
        self.read(move |reader, tenant| reader.hits(tenant, &[id], &query)).await.unwrap().pop().unwrap()
    }

    pub(crate) async fn count(&self, kind: &'static str) -> i64 {
        self.read(move |reader, tenant| reader.count(tenant, kind)).await.unwrap()
    }

    /// Every change, the chain verified from the first to the clock's head.
    pub(crate) async fn changes(&self) -> Result<Vec<Stored>, Error> {
        self.read(|reader, tenant| {
            let (seq, digest) = reader.head(tenant)?;
            let changes = reader.changes(tenant, 0, Some(Vec::new()), i64::MAX)?;
            let numbers: Vec<_> = changes.iter().map(|stored| stored.change.seq).collect();
            if numbers != (1..=seq).collect::<Vec<_>>() {
                return Err(Error::Corrupt(format!("changes {numbers:?} up to {seq}")));
            }
            if changes.last().is_some_and(|last| last.digest != digest) {
                return Err(Error::Corrupt("the head is another".into()));
            }
            Ok(changes)
        })
        .await
    }

    /// A query for all resources of a kind with all that is derived of them.
    pub(crate) fn query(&self, kind: &str) -> Query {
        Query {
            definition: self.store.registry().definition(kind).unwrap().clone(),
            filter: None,
            views: Views::everything(),
            sort: None,
            mark: None,
            start: 1,
            count: 10_000,
            domain: DOMAIN,
            base_url: "https://register.example/scim/v2".into(),
            lens: 0,
            limit: 100_000,
            with_members: true,
            member_limit: 500_000,
            with_groups: true,
        }
    }

    /// Runs SQL behind the store's back.
    pub(crate) fn execute(&self, text: &str) {
        match &self.place {
            Place::Sqlite(_) => {
                let patient = format!("PRAGMA busy_timeout = 20000; {text}");
                SqliteConnection::establish(&self.place.file()).unwrap().batch_execute(&patient).unwrap();
            }
            Place::Postgres(_) => PgConnection::establish(&self.url()).unwrap().batch_execute(text).unwrap(),
        }
    }

    /// The rows of a query with one text column.
    pub(crate) fn rows(&self, text: &str) -> Vec<String> {
        let query = sql::<Text>(text);
        match &self.place {
            Place::Sqlite(_) => query.load(&mut SqliteConnection::establish(&self.place.file()).unwrap()).unwrap(),
            Place::Postgres(_) => query.load(&mut PgConnection::establish(&self.url()).unwrap()).unwrap(),
        }
    }

    /// Every row of every table, to be compared with itself later.
    pub(crate) fn dump(&self) -> Vec<String> {
        let mut dump = Vec::new();
        for (table, columns) in TABLES {
            let columns: Vec<String> = columns
                .split(' ')
                .map(|column| match (&self.place, column.strip_prefix('#')) {
                    (_, None) => format!("COALESCE(CAST({column} AS TEXT), '-')"),
                    (Place::Sqlite(_), Some(bytes)) => format!("COALESCE(lower(hex({bytes})), '-')"),
                    (Place::Postgres(_), Some(bytes)) => format!("COALESCE(encode({bytes}, 'hex'), '-')"),
                })
                .collect();
            let mut rows = self.rows(&format!("SELECT {} FROM {table}", columns.join(" || '|' || ")));
            rows.sort();
            dump.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
        }
        dump
    }
}

/// The tables and their columns; `#` marks bytes.
const TABLES: [(&str, &str); 11] = [
    ("tenant", "tenant_id slug name state created_at epoch"),
    ("tenant_clock", "tenant_id seq last_at nesting_seq counts catalog_version #digest"),
    ("resource", "tenant_id #resource_id kind version seq groups_seq created_at modified_at label doc #secret"),
    ("attr_path", "tenant_id path_id kind path type state"),
    ("attr_index", "tenant_id path_id value #resource_id"),
    ("unique_key", "tenant_id namespace value #resource_id"),
    ("external_id", "tenant_id #domain_id kind value #resource_id"),
    ("membership", "tenant_id #group_id #member_id member_kind since_seq until"),
    ("sweep", "tenant_id #group_id"),
    (
        "change",
        "tenant_id seq #resource_id kind op version at #actor #txn cause doc external #secret #salt #commitment #digest",
    ),
    ("change_member", "tenant_id seq chunk #members"),
];

impl Place {
    fn url(&self) -> String {
        match self {
            Place::Sqlite(_) => format!("sqlite:{}", self.file()),
            Place::Postgres(database) => database.url().to_owned(),
        }
    }

    fn file(&self) -> String {
        match self {
            Place::Sqlite(folder) => folder.path().join("register.db").to_str().unwrap().to_owned(),
            Place::Postgres(_) => unreachable!("not a file"),
        }
    }
}

fn open(place: &Place) -> Store {
    let registry = Arc::new(Registry::builtin().unwrap());
    Store::open(&Options { readers: 2, keep_from: 0, ..Options::new(place.url()) }, registry).unwrap()
}

/// The provisioning domain of the tests' client.
pub(crate) const DOMAIN: ResourceId = ResourceId(Uuid::from_u128(0xd0));

pub(crate) fn origin(now: i64) -> Origin {
    Origin { actor: DOMAIN, cause: "request", by: By::default(), now, random: Random::os() }
}

/// The `n`th id; their order is not that of `n`.
pub(crate) fn id(n: u32) -> ResourceId {
    ResourceId(Uuid::from_u128((u128::from(n.wrapping_mul(0x9e37_79b9)) << 96) | u128::from(n)))
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}

/// A user who has that `userName` and nothing else.
pub(crate) fn user(n: u32, name: &str) -> Draft {
    resource(n, "User", name, json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name }))
}

pub(crate) fn group(n: u32, name: &str, members: &[u32]) -> Draft {
    let doc = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name });
    Draft { members: members.iter().map(|member| joins(*member)).collect(), ..resource(n, "Group", name, doc) }
}

pub(crate) fn resource(n: u32, kind: &str, label: &str, doc: Value) -> Draft {
    Draft {
        id: id(n),
        kind: kind.into(),
        label: label.into(),
        doc: object(doc).into(),
        secret: None,
        members: Vec::new(),
        external: None,
    }
}

pub(crate) fn joins(member: u32) -> Delta {
    Delta { member: id(member), kind: "User".into(), joined: true }
}

pub(crate) fn leaves(member: u32) -> Delta {
    Delta { joined: false, ..joins(member) }
}

/// The draft that leaves a resource as it is.
pub(crate) fn as_is(record: &Record) -> Draft {
    Draft {
        id: record.id,
        kind: record.kind.clone(),
        label: record.label.clone(),
        doc: store::work::document_of(record).unwrap().into(),
        secret: record.secret.clone(),
        members: Vec::new(),
        external: None,
    }
}
