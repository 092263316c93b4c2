//! The door to the database: writes go to the group-commit writer, reads to the reader threads.

use std::collections::VecDeque;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use scim::schema::Registry;

use crate::audit::Entry;
use crate::catalog::Catalog;
use crate::db::{Address, Db, Purpose};
use crate::desk::Desk;
use crate::hold::{self, Hold};
use crate::known::Known;
use crate::log::Log;
use crate::meter::{self, Figures, Meter};
use crate::queue::{Call, Op, Queue};
use crate::reader::{Job, Reader};
use crate::room::Room;
use crate::scan::arrangement::Arrangements;
use crate::scan::total::Totals;
use crate::turn::{NotTaken, Turns};
use crate::work::{Origin, Work};
use crate::writer::Writer;
use crate::{Credential, Error, OpenError, Random, SigningKey, Tenant, TenantId, signing, tenant};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: String,
    /// Reader threads, each with a connection.
    pub readers: usize,
    /// Connections for reads that run on the caller's own thread, at most so many at a time; SQLite only.
    pub points: usize,
    /// Writer threads; PostgreSQL only, SQLite has one.
    pub writers: usize,
    /// Reads and writes that may wait, each; what comes alone on top is refused with [`Error::Busy`], what comes together
    /// waits before the room.
    pub queue: usize,
    /// A total is kept from so many documents on that had to be looked at for it; what is cheaper is counted each time.
    pub keep_from: u64,
    /// Tenants of which catalog, nesting and names of groups are remembered; the others are read again when they are asked
    /// for.
    pub tenants: u64,
}

impl Options {
    /// The defaults for a database.
    pub fn new(url: impl Into<String>) -> Self {
        Options { url: url.into(), readers: 4, points: 2, writers: 2, queue: 10_000, keep_from: 256, tenants: 2_000 }
    }
}

/// What all threads of a store share.
pub(crate) struct Shared {
    pub(crate) registry: Arc<Registry>,
    pub(crate) queue: Arc<Queue>,
    /// How often the connections of readers were found to be lost.
    pub(crate) losses: AtomicUsize,
    pub(crate) meter: Meter,
    pub(crate) log: Log,
    /// How many resources match what was asked before.
    pub(crate) totals: Totals,
    /// Who matches what was asked before, in order.
    pub(crate) arrangements: Arrangements,
    pub(crate) known: Known,
}

struct Inner {
    shared: Arc<Shared>,
    address: Address,
    /// Where a write that comes alone is made at once; SQLite only.
    alone: Option<Arc<Desk>>,
    reads: Arc<Turns>,
    /// Idle connections for reads on the caller's own thread.
    points: Mutex<Vec<Reader>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Carries SQLite's log over.
    carrier: Mutex<Option<JoinHandle<()>>>,
    /// Says that the file is in use, until the store is closed.
    hold: Mutex<Option<Hold>>,
}

impl Drop for Inner {
    /// A store that was not closed lets go of its threads all the same; what waits is still written.
    fn drop(&mut self) {
        self.shared.queue.close();
        self.shared.log.close();
        self.reads.close();
    }
}

/// The memory of Matrikel. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl Store {
    /// What its threads share.
    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Opens the database, which must be migrated, and starts the threads.
    pub fn open(options: &Options, registry: Arc<Registry>) -> Result<Self, OpenError> {
        let address = Address::parse(&options.url)?;
        let hold = hold::share(&address)?;
        let shared = Arc::new(Shared {
            registry,
            queue: Arc::new(Queue::new(options.queue)),
            losses: AtomicUsize::new(0),
            meter: Meter::default(),
            log: Log::default(),
            totals: Totals::new(options.keep_from),
            arrangements: Arrangements::new(options.keep_from),
            known: Known::new(options.tenants),
        });
        let mut threads = Vec::new();
        let is_embedded = matches!(address, Address::Sqlite(_));
        let writers = if is_embedded { 1 } else { options.writers.max(1) };
        let mut alone = None;
        for n in 0..writers {
            let writer = Writer::new(shared.clone(), address.clone(), Db::open(&address, Purpose::Batches)?);
            let desk = Arc::new(Desk::new(shared.clone(), writer));
            alone = is_embedded.then(|| desk.clone());
            threads.push(spawn(format!("writer-{n}"), move || desk.serve(is_embedded))?);
        }
        let carrier = match &address {
            Address::Sqlite(file) => {
                let (db, room, shared) = (Db::open(&address, Purpose::Batches)?, Room::of(file), shared.clone());
                Some(spawn("log".into(), move || shared.log.carry(db, room))?)
            }
            Address::Postgres(_) => None,
        };
        let reads = Arc::new(Turns::new(options.queue));
        for n in 0..options.readers.max(1) {
            let reader = Reader::open(&address, shared.clone())?;
            let reads = reads.clone();
            threads.push(spawn(format!("reader-{n}"), move || reader.serve(&reads))?);
        }
        let points = match address {
            Address::Sqlite(_) => {
                let open = |_| Reader::open(&address, shared.clone());
                (0..options.points).map(open).collect()
            }
            Address::Postgres(_) => Ok(Vec::new()),
        };
        let store = Store(Arc::new(Inner {
            shared,
            address,
            alone,
            reads,
            points: Mutex::new(points?),
            threads: Mutex::new(threads),
            carrier: Mutex::new(carrier),
            hold: Mutex::new(hold),
        }));
        store.resume()?;
        store.warn_of_losses()?;
        Ok(store)
    }

    pub(crate) fn address(&self) -> &Address {
        &self.0.address
    }

    /// The built-in schemas and resource types.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.0.shared.registry
    }

    /// The tenant's catalog as it was last seen, which costs nothing; `None` when it was not yet.
    pub fn known_catalog(&self, tenant: TenantId) -> Option<Arc<Catalog>> {
        self.0.shared.cached_catalog(tenant)
    }

    /// Runs a write in the next batch of its tenant and answers after the commit. `run` reads and changes through
    /// [`Work`] alone; it may be run again, so it must not have other effects. When it fails, nothing of it is stored.
    pub fn write<T, E, F>(
        &self,
        tenant: TenantId,
        origin: Origin,
        run: F,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        T: Send + 'static,
        E: Send + From<Error> + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    {
        let (op, written) = call(origin, run);
        self.0.shared.queue.push(tenant, op);
        written
    }

    /// As [`Store::write`], for a short write by a thread that may be kept until it is durable: on SQLite it is made here, before
    /// this returns, when nothing else is written and commits have been quick of late.
    pub fn write_here<T, E, F>(
        &self,
        tenant: TenantId,
        origin: Origin,
        run: F,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        T: Send + 'static,
        E: Send + From<Error> + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    {
        let (op, written) = call(origin, run);
        match &self.0.alone {
            Some(desk) => desk.write_at_once(tenant, op),
            None => self.0.shared.queue.push(tenant, op),
        }
        written
    }

    /// Several writes in this order, as [`Store::write`] runs each; they are in one batch where they fit. They wait until
    /// there is room, and none is refused with [`Error::Busy`].
    pub fn write_all<T, E, F>(
        &self,
        tenant: TenantId,
        origin: &Origin,
        runs: Vec<F>,
    ) -> Vec<impl Future<Output = Result<T, E>> + Send + use<T, E, F>>
    where
        T: Send + 'static,
        E: Send + From<Error> + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    {
        let (ops, written): (VecDeque<_>, Vec<_>) = runs.into_iter().map(|run| call(origin.clone(), run)).unzip();
        self.0.shared.queue.push_together(tenant, ops);
        written
    }

    /// Runs a read on a reader thread, when it is the turn of those that belong to no tenant.
    pub fn read<T, E, F>(&self, run: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        T: Send + 'static,
        E: Send + From<Error> + 'static,
        F: FnOnce(&mut Reader) -> Result<T, E> + Send + 'static,
    {
        self.read_in(0, run)
    }

    /// Runs a read of a tenant on a reader thread, when it is its turn: tenants are served one after the other, however
    /// much one of them asks for.
    pub fn read_for<T, E, F>(
        &self,
        tenant: TenantId,
        run: F,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        T: Send + 'static,
        E: Send + From<Error> + 'static,
        F: FnOnce(&mut Reader) -> Result<T, E> + Send + 'static,
    {
        self.read_in(tenant.0, run)
    }

    fn read_in<T, E, F>(&self, whose: i64, run: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        T: Send + 'static,
        E: Send + From<Error> + 'static,
        F: FnOnce(&mut Reader) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |reader| {
            let _ = reply.send(run_guarded(reader, run));
        });
        let sent = self.0.reads.push(whose, job).map_err(|reason| match reason {
            NotTaken::Full => {
                meter::count(&self.0.shared.meter.refused_reads);
                Error::Busy
            }
            NotTaken::Closed => Error::stopping(),
        });
        async move {
            sent?;
            answer.await.unwrap_or_else(|_| Err(E::from(Error::stopping())))
        }
    }

    /// Runs a read of some microseconds on this thread, which is what another thread would cost to wake. `None`: the
    /// database is not embedded, or no connection is free; [`Store::read`] is the way then. It sees every write that
    /// was answered before.
    pub fn read_here<T, E: From<Error>>(&self, run: impl FnOnce(&mut Reader) -> Result<T, E>) -> Option<Result<T, E>> {
        let points = &self.0.points;
        let mut reader = points.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let outcome = run_guarded(&mut reader, run);
        points.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        Some(outcome)
    }

    /// Whether the database answers.
    pub async fn ready(&self) -> Result<(), Error> {
        self.read(Reader::ready).await
    }

    /// Creates a tenant. Fails with [`Error::Taken`] when the short name is in use.
    pub fn create_tenant(&self, slug: &str, name: &str, now: i64) -> Result<Tenant, Error> {
        let mut db =
            Db::open(&self.0.address, Purpose::Write).map_err(|error| Error::Unavailable(error.to_string()))?;
        tenant::create(&mut db, slug, name, now)
    }

    /// Suspends a tenant or resumes it. Fails with [`Error::NotFound`] when there is none.
    pub fn set_tenant_active(&self, tenant: TenantId, active: bool) -> Result<(), Error> {
        let mut db =
            Db::open(&self.0.address, Purpose::Write).map_err(|error| Error::Unavailable(error.to_string()))?;
        tenant::set_active(&mut db, tenant, active)
    }

    /// Adds a key that signs access tokens. With `others_end` (µs since 1970) all others end then at the latest; without,
    /// nothing is added when a key of its algorithm lasts. Blocks.
    pub fn add_signing_key(&self, key: &SigningKey, others_end: Option<i64>) -> Result<(), Error> {
        let mut db =
            Db::open(&self.0.address, Purpose::Write).map_err(|error| Error::Unavailable(error.to_string()))?;
        signing::add(&mut db, key, others_end)
    }

    /// Stores the private half of a key that signs tokens as it is sealed now, if it is still as it was read. Blocks.
    pub fn reseal_signing_key(&self, id: &str, before: &[u8], after: Vec<u8>) -> Result<(), Error> {
        let mut db =
            Db::open(&self.0.address, Purpose::Write).map_err(|error| Error::Unavailable(error.to_string()))?;
        signing::reseal(&mut db, id, before, after)
    }

    /// Erases a tenant and all that it has, for good, and leaves `act` as the one entry of its audit; `told` hears how many rows have gone so far. Takes as long as it
    /// takes. When it is broken off, it is finished by calling it again. Fails with [`Error::NotFound`] when there is none.
    pub fn erase_tenant(
        &self,
        tenant: TenantId,
        act: Entry,
        random: &Random,
        told: impl FnMut(u64),
    ) -> Result<u64, Error> {
        let mut db =
            Db::open(&self.0.address, Purpose::Write).map_err(|error| Error::Unavailable(error.to_string()))?;
        crate::erase::erase(&mut db, tenant, act, random, told)
    }

    /// Every tenant, by id.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, Error> {
        self.read(Reader::tenants).await
    }

    /// The tenant of that short name.
    pub async fn tenant_by_slug(&self, slug: &str) -> Result<Option<Tenant>, Error> {
        let slug = slug.to_owned();
        self.read(move |reader| reader.tenant_by_slug(&slug)).await
    }

    /// A credential.
    pub async fn credential(&self, tenant: TenantId, id: uuid::Uuid) -> Result<Option<Credential>, Error> {
        self.read(move |reader| reader.credential(tenant, id)).await
    }

    /// A tenant.
    pub async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, Error> {
        self.read(move |reader| reader.tenant(id)).await
    }

    /// Writes that wait for a writer.
    pub fn waiting(&self) -> usize {
        self.0.shared.queue.length()
    }

    /// What the store has counted of its work, and how large it is.
    pub fn figures(&self) -> Figures {
        let Inner { shared, address, reads, .. } = &*self.0;
        let reads = reads.length();
        let (database, file) = match address {
            Address::Sqlite(path) => ("sqlite", Some(path)),
            Address::Postgres(_) => ("postgres", None),
        };
        let length = |suffix| {
            let file = std::fs::metadata(format!("{}{suffix}", file?));
            // Without a write since the last stop there is no log.
            Some(file.map_or(0, |file| file.len()))
        };
        let Meter { batch_operations, batch_time, commit_time, .. } = &shared.meter;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            database,
            reads_waiting: reads as u64,
            writes_waiting: shared.queue.length() as u64,
            reads_refused: count(&shared.meter.refused_reads),
            writes_refused: count(shared.queue.refused()),
            batch_operations: batch_operations.distribution(),
            batch_time: batch_time.distribution(),
            commit_time: commit_time.distribution(),
            batches_replayed: count(&shared.meter.replayed_batches),
            connections_lost: count(&shared.meter.connections_lost),
            connections_reopened: count(&shared.meter.connections_reopened),
            file_bytes: length(""),
            log_bytes: length("-wal"),
        }
    }

    /// Finishes what waits and stops the threads. What comes later is refused.
    pub fn close(&self) {
        self.0.shared.queue.close();
        self.0.reads.close();
        self.0.points.lock().unwrap_or_else(PoisonError::into_inner).clear();
        join(std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner)));
        // Last, and alone: SQLite leaves nothing in the log when the last connection closes, unless two close at one instant.
        self.0.shared.log.close();
        join(self.0.carrier.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.0.hold.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Says what the operator of the database has set against the promise that an answered write is durable.
    fn warn_of_losses(&self) -> Result<(), OpenError> {
        if let Address::Sqlite(path) = &self.0.address
            && let Some(place) = crate::durability::doubtful_place(Path::new(path))
        {
            tracing::warn!(
                place,
                "the embedded database lies where answered writes may be lost; give data_dir a disk of this machine, or use \
                 PostgreSQL"
            );
        }
        let mut db = Db::open(&self.0.address, Purpose::Write)?;
        match crate::durability::dangers(&mut db) {
            Ok(dangers) if dangers.is_empty() => {}
            Ok(dangers) => tracing::warn!(
                settings = dangers.join(", "),
                "PostgreSQL is set so that a crash may lose writes that were answered"
            ),
            Err(error) => tracing::warn!(%error, "whether PostgreSQL keeps what it commits could not be asked"),
        }
        Ok(())
    }

    /// Memberships of groups that were deleted before the last stop are cleared now, and indexes that were being built
    /// are built anew.
    fn resume(&self) -> Result<(), OpenError> {
        let mut db = Db::open(&self.0.address, Purpose::Write)?;
        match crate::membership::tenants_to_sweep(&mut db) {
            Ok(tenants) => tenants.into_iter().for_each(|tenant| self.0.shared.queue.sweep(tenant)),
            // An empty database is not an error here: it has yet to be migrated.
            Err(error) => tracing::debug!(%error, "no memberships to clear could be read"),
        }
        match crate::index::tenants_to_build(&mut db) {
            Ok(tenants) => tenants.into_iter().for_each(|tenant| self.0.shared.queue.build(tenant)),
            Err(error) => tracing::debug!(%error, "no indexes to build could be read"),
        }
        Ok(())
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a store thread had broken off");
        }
    }
}

/// A write for the queue, and what becomes of it.
fn call<T, E, F>(origin: Origin, run: F) -> (Box<dyn Op>, impl Future<Output = Result<T, E>> + Send + use<T, E, F>)
where
    T: Send + 'static,
    E: Send + From<Error> + 'static,
    F: FnMut(&mut Work<'_>) -> Result<T, E> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let written = async move { answer.await.unwrap_or_else(|_| Err(E::from(Error::stopping()))) };
    (Box::new(Call { origin, run, outcome: None, reply }), written)
}

/// Runs a read; what breaks off costs neither its thread nor its connection.
fn run_guarded<T, E: From<Error>>(reader: &mut Reader, run: impl FnOnce(&mut Reader) -> Result<T, E>) -> Result<T, E> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(reader)))
        .unwrap_or_else(|_| Err(E::from(Error::Corrupt("a read broke off".into()))));
    if outcome.is_err() {
        reader.mend();
    }
    outcome
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new().name(name).spawn(run).map_err(|error| OpenError::Connect(error.to_string()))
}
