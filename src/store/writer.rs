//! Group commit. A writer takes what waits, runs it as one batch under the tenant's clock lock, flushes, commits, and
//! only then answers. Nothing that was answered can be lost; nothing that was not is half there.
//!
//! SQLite has one writer, whose batches span tenants. PostgreSQL has several, each serving one tenant at a time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::clock::Clock;
use crate::db::{Address, Db, Purpose};
use crate::index::Place;
use crate::store::Shared;
use crate::work::{Origin, Work};
use crate::{Error, Random, ResourceId, Seq, TenantId, change, dialect, membership};

/// Most operations in a batch.
const BATCH: usize = 500;
/// Most operations of one tenant before the next tenant's turn.
const TURN: usize = 100;
/// A batch that has settled this many bytes is flushed.
const WEIGHT: usize = 2 << 20;
/// Memberships of a deleted group cleared at a time.
const SWEEP: i64 = 5_000;
/// Resources whose index rows are built at a time.
const SLICE: i64 = 500;
/// How often, and how long apart, a lost database is tried before an answer is given.
const RECONNECTS: u32 = 40;
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// An operation that waits for the writer. It may be run again when its batch could not be committed.
pub(crate) trait Op: Send {
    /// Runs the operation; `true`: keep what it did.
    fn run(&mut self, work: &mut Work<'_>) -> bool;
    /// Answers the caller.
    fn settle(self: Box<Self>, committed: Result<(), Error>);
}

/// An operation made of a closure.
pub(crate) struct Call<T, E, F> {
    pub(crate) origin: Origin,
    pub(crate) run: F,
    pub(crate) outcome: Option<Result<T, E>>,
    pub(crate) reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Op for Call<T, E, F>
where
    T: Send,
    E: Send + From<Error>,
    F: FnMut(&mut Work<'_>) -> Result<T, E> + Send,
{
    fn run(&mut self, work: &mut Work<'_>) -> bool {
        let outcome = work.begin(self.origin.clone()).map_err(E::from).and_then(|()| {
            catch_unwind(AssertUnwindSafe(|| (self.run)(work)))
                .unwrap_or_else(|_| Err(E::from(Error::Corrupt("an operation broke off".into()))))
        });
        let accepted = outcome.is_ok();
        self.outcome = Some(outcome);
        accepted
    }

    fn settle(self: Box<Self>, committed: Result<(), Error>) {
        let missing = || Err(E::from(Error::Corrupt("an operation was not run".into())));
        let answer = match committed {
            Ok(()) => self.outcome.unwrap_or_else(missing),
            Err(error) => Err(E::from(error)),
        };
        // The caller may have gone away; what it asked for stands all the same.
        let _ = self.reply.send(answer);
    }
}

/// Clears a slice of the memberships of deleted groups.
struct Sweep {
    more: bool,
    queue: Arc<Queue>,
    tenant: TenantId,
}

impl Op for Sweep {
    fn run(&mut self, work: &mut Work<'_>) -> bool {
        match work.sweep(SWEEP) {
            Ok(more) => self.more = more,
            Err(error) => tracing::warn!(%error, "clearing memberships failed; it is tried again at the next start"),
        }
        self.more
    }

    fn settle(self: Box<Self>, committed: Result<(), Error>) {
        if committed.is_ok() && self.more {
            self.queue.sweep(self.tenant);
        }
    }
}

/// Builds a slice of an index while the server serves. Slices follow one another by id; what is written meanwhile
/// keeps its rows by itself.
struct Build {
    after: Option<Place>,
    next: Option<Place>,
    queue: Arc<Queue>,
    tenant: TenantId,
}

impl Op for Build {
    fn run(&mut self, work: &mut Work<'_>) -> bool {
        match work.build(self.after, SLICE) {
            Ok(next) => {
                self.next = next;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "building an index failed; it is tried again at the next start");
                self.next = None;
                false
            }
        }
    }

    fn settle(self: Box<Self>, committed: Result<(), Error>) {
        if committed.is_ok() && self.next.is_some() {
            let (after, tenant) = (self.next, self.tenant);
            self.queue.push(tenant, Box::new(Build { after, next: None, queue: self.queue.clone(), tenant }));
        }
    }
}

impl Work<'_> {
    /// Clears memberships of a deleted group straight in the database; `true` when something may be left.
    fn sweep(&mut self, limit: i64) -> Result<bool, Error> {
        let (db, tenant) = self.database();
        membership::sweep(db, tenant, limit)
    }
}

#[derive(Default)]
struct Waiting {
    by_tenant: HashMap<TenantId, VecDeque<Box<dyn Op>>>,
    ready: VecDeque<TenantId>,
    /// Tenants that a writer is serving.
    busy: HashSet<TenantId>,
    length: usize,
    closed: bool,
}

/// What waits for the writers.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    capacity: usize,
}

type Batch = Vec<(TenantId, VecDeque<Box<dyn Op>>)>;

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Queue { waiting: Mutex::default(), changed: Condvar::new(), capacity }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an operation; refuses it when too much waits, or when the store is closing.
    pub(crate) fn push(&self, tenant: TenantId, op: Box<dyn Op>) {
        let mut waiting = self.lock();
        let refusal = match () {
            () if waiting.closed => Some(Error::Unavailable("the server is stopping".into())),
            () if waiting.length >= self.capacity => Some(Error::Busy),
            () => None,
        };
        if let Some(error) = refusal {
            drop(waiting);
            op.settle(Err(error));
            return;
        }
        waiting.put(tenant, op);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Asks for a deleted group's memberships to be cleared.
    pub(crate) fn sweep(self: &Arc<Self>, tenant: TenantId) {
        self.push(tenant, Box::new(Sweep { more: false, queue: self.clone(), tenant }));
    }

    /// Asks for the indexes that a tenant lacks to be built.
    pub(crate) fn build(self: &Arc<Self>, tenant: TenantId) {
        self.push(tenant, Box::new(Build { after: None, next: None, queue: self.clone(), tenant }));
    }

    /// Operations that wait.
    pub(crate) fn length(&self) -> usize {
        self.lock().length
    }

    /// Lets the writers finish what waits and stop.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for work and takes a batch; `None` when the queue is closed and empty.
    fn take(&self, many_tenants: bool) -> Option<Batch> {
        let mut waiting = self.lock();
        loop {
            if let Some(batch) = waiting.batch(many_tenants) {
                return Some(batch);
            }
            if waiting.closed && waiting.length == 0 {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets other writers at the tenants of a batch again, and puts back what was not run.
    fn release(&self, tenants: Vec<(TenantId, VecDeque<Box<dyn Op>>)>) {
        let mut waiting = self.lock();
        for (tenant, mut left) in tenants {
            waiting.busy.remove(&tenant);
            waiting.length += left.len();
            let queue = waiting.by_tenant.entry(tenant).or_default();
            while let Some(op) = left.pop_back() {
                queue.push_front(op);
            }
            if !queue.is_empty() && !waiting.ready.contains(&tenant) {
                waiting.ready.push_back(tenant);
            }
        }
        drop(waiting);
        self.changed.notify_all();
    }
}

impl Waiting {
    fn put(&mut self, tenant: TenantId, op: Box<dyn Op>) {
        self.length += 1;
        self.by_tenant.entry(tenant).or_default().push_back(op);
        if !self.busy.contains(&tenant) && !self.ready.contains(&tenant) {
            self.ready.push_back(tenant);
        }
    }

    fn batch(&mut self, many_tenants: bool) -> Option<Batch> {
        let mut batch = Vec::new();
        let mut size = 0;
        let turn = if many_tenants && self.ready.len() > 1 { TURN } else { BATCH };
        while size < BATCH
            && let Some(tenant) = self.ready.pop_front()
        {
            let queue = self.by_tenant.entry(tenant).or_default();
            let ops: VecDeque<_> = queue.drain(..queue.len().min(turn)).collect();
            if queue.is_empty() {
                self.by_tenant.remove(&tenant);
            }
            size += ops.len();
            self.busy.insert(tenant);
            batch.push((tenant, ops));
            if !many_tenants {
                break;
            }
        }
        self.length -= size;
        (!batch.is_empty()).then_some(batch)
    }
}

/// One writer thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    address: Address,
    db: Option<Db>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, address: Address, db: Db) -> Self {
        Writer { shared, address, db: Some(db) }
    }

    /// Serves the queue until it is closed.
    pub(crate) fn run(mut self) {
        let many_tenants = matches!(self.address, Address::Sqlite(_));
        while let Some(batch) = self.shared.queue.take(many_tenants) {
            let left = self.serve(batch);
            self.shared.queue.release(left);
        }
    }

    /// Runs a batch; what did not fit comes back.
    fn serve(&mut self, mut batch: Batch) -> Batch {
        let mut run = Vec::new();
        let outcome = self.attempt(&mut batch, &mut run);
        match outcome {
            Ok(()) => run.into_iter().for_each(|(_, op)| op.settle(Ok(()))),
            Err(Failure { error, .. }) if run.is_empty() => {
                let waiting = batch.iter_mut().flat_map(|(_, ops)| ops.drain(..));
                waiting.for_each(|op| op.settle(Err(error.clone())));
            }
            Err(Failure { error, outcome_known }) if run.len() == 1 || !outcome_known => {
                run.into_iter().for_each(|(_, op)| op.settle(Err(error.clone())));
            }
            Err(Failure { error, .. }) => {
                tracing::warn!(%error, operations = run.len(), "a batch failed and is replayed one operation at a time");
                for (tenant, mut op) in run {
                    let alone = self.attempt_alone(tenant, &mut op);
                    op.settle(alone.map_err(|failure| failure.error));
                }
            }
        }
        batch
    }

    fn attempt_alone(&mut self, tenant: TenantId, op: &mut Box<dyn Op>) -> Result<(), Failure> {
        self.transaction(|db, shared| {
            let mut work = open_work(db, shared, tenant)?;
            run_one(op, &mut work);
            Ok(vec![finish(work, tenant)?])
        })
    }

    /// Runs the operations of a batch into one commit. They move from `batch` to `run` as they are run.
    fn attempt(&mut self, batch: &mut Batch, run: &mut Vec<(TenantId, Box<dyn Op>)>) -> Result<(), Failure> {
        self.transaction(|db, shared| {
            let mut endings = Vec::new();
            let mut weight = 0;
            let mut refused = false;
            for (tenant, ops) in batch.iter_mut() {
                if weight > WEIGHT {
                    break;
                }
                let mut work = match open_work(db, shared, *tenant) {
                    Ok(work) => work,
                    Err(error) => {
                        // Every operation of this tenant shares the error; they are replayed alone and told so.
                        run.extend(ops.drain(..).map(|op| (*tenant, op)));
                        return Err(error);
                    }
                };
                // What comes after a change of the catalog goes by the new one, in a batch of its own.
                while weight + work.weight() <= WEIGHT
                    && !work.has_new_catalog()
                    && let Some(mut op) = ops.pop_front()
                {
                    refused |= !run_one(&mut op, &mut work);
                    run.push((*tenant, op));
                }
                if refused && run.len() > 1 && !work.is_sound() {
                    // A statement of one operation failed and took the whole transaction with it; the others must
                    // not be told what was not their fault.
                    return Err(Error::Unavailable("the transaction broke off".into()));
                }
                weight += work.weight();
                endings.push(finish(work, *tenant)?);
            }
            Ok(endings)
        })
    }

    /// Runs `body` in a transaction and commits it, if it has anything to commit.
    fn transaction(
        &mut self,
        body: impl FnOnce(&mut Db, &Arc<Shared>) -> Result<Vec<Ending>, Error>,
    ) -> Result<(), Failure> {
        let mut db = self.connection()?;
        let mut begun = dialect::begin_write(&mut db);
        if begun.is_err() && !dialect::is_alive(&mut db) {
            // Lost while it lay idle: nothing has been asked of it yet, so a new one serves as well.
            db = self.connection()?;
            begun = dialect::begin_write(&mut db);
        }
        let ended = begun.map_err(Error::from).and_then(|()| body(&mut db, &self.shared));
        let endings = match ended {
            Ok(endings) if endings.iter().any(|ending| ending.dirty) => endings,
            Ok(_) => {
                dialect::rollback(&mut db);
                self.keep_if_alive(db);
                return Ok(());
            }
            Err(error) => {
                dialect::rollback(&mut db);
                self.keep_if_alive(db);
                return Err(error.into());
            }
        };
        if let Err(error) = dialect::commit(&mut db) {
            dialect::rollback(&mut db);
            tracing::error!(%error, "a commit failed");
            drop(db);
            match self.was_committed(&endings) {
                Ok(true) => {}
                Ok(false) => return Err(Error::from(error).into()),
                Err(error) => return Err(Failure { error, outcome_known: false }),
            }
        } else {
            for ending in endings.iter().filter(|ending| ending.catalog.is_some()) {
                // Whoever is answered after this finds the new catalog without asking.
                let version = ending.catalog.unwrap_or_default();
                if let Err(error) = self.shared.catalog(&mut db, ending.tenant, version) {
                    tracing::warn!(%error, "a changed catalog could not be read; it is read when it is needed");
                }
            }
            self.db = Some(db);
        }
        for ending in endings {
            if ending.catalog.is_some() {
                self.shared.queue.build(ending.tenant);
            }
            if ending.sweep {
                self.shared.queue.sweep(ending.tenant);
            }
        }
        Ok(())
    }

    /// Asks a new connection whether a commit that broke off took place: the newest change of the batch names its
    /// transaction. A batch commits as a whole, so one of its tenants speaks for all.
    fn was_committed(&mut self, endings: &[Ending]) -> Result<bool, Error> {
        let Some((tenant, (seq, txn))) = endings.iter().find_map(|ending| Some((ending.tenant, ending.last?))) else {
            return Ok(false);
        };
        for attempt in 0..RECONNECTS {
            if attempt > 0 {
                std::thread::sleep(RECONNECT_PAUSE);
            }
            let Ok(mut db) = self.connection() else { continue };
            let found = dialect::begin_write(&mut db).map_err(Error::from).and_then(|()| {
                Clock::lock(&mut db, tenant)?;
                change::txn_of(&mut db, tenant, seq)
            });
            dialect::rollback(&mut db);
            if let Ok(found) = found {
                self.db = Some(db);
                return Ok(found == Some(txn));
            }
        }
        Err(Error::Unavailable("the database was lost during a commit and did not come back".into()))
    }

    fn connection(&mut self) -> Result<Db, Error> {
        match self.db.take() {
            Some(db) => Ok(db),
            None => Db::open(&self.address, Purpose::Write).map_err(|error| Error::Unavailable(error.to_string())),
        }
    }

    /// Keeps a connection on which something failed for the next batch, unless it is dead.
    fn keep_if_alive(&mut self, mut db: Db) {
        if dialect::is_alive(&mut db) {
            self.db = Some(db);
        }
    }
}

/// Why a transaction did not end well.
struct Failure {
    error: Error,
    /// Whether it is certain that nothing was stored. Otherwise it must not be tried again.
    outcome_known: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { error, outcome_known: true }
    }
}

/// How one tenant's part of a batch ended.
struct Ending {
    tenant: TenantId,
    dirty: bool,
    sweep: bool,
    /// The version of the tenant's catalog, if it is a new one.
    catalog: Option<i64>,
    last: Option<(Seq, Uuid)>,
}

fn open_work<'d>(db: &'d mut Db, shared: &Arc<Shared>, tenant: TenantId) -> Result<Work<'d>, Error> {
    let clock = Clock::lock(db, tenant)?;
    let catalog = shared.catalog(db, tenant, clock.catalog)?;
    let nesting = shared.cached_nesting(tenant);
    let nobody = Origin { actor: ResourceId::SYSTEM, cause: "batch", now: 0, random: Random::os() };
    Ok(Work::new(db, tenant, catalog, clock, nesting, nobody))
}

/// Runs an operation and says whether it was accepted.
fn run_one(op: &mut Box<dyn Op>, work: &mut Work<'_>) -> bool {
    let accepted = op.run(work);
    if accepted {
        work.accept();
    } else {
        work.discard();
    }
    accepted
}

fn finish(work: Work<'_>, tenant: TenantId) -> Result<Ending, Error> {
    if !work.is_dirty() {
        return Ok(Ending { tenant, dirty: work.swept(), sweep: false, catalog: None, last: None });
    }
    let catalog = work.new_catalog();
    let flushed = work.flush()?;
    Ok(Ending { tenant, dirty: true, sweep: flushed.sweep, catalog, last: flushed.last })
}
