//! Group commit. A writer takes what waits, runs it as one batch under the tenant's clock lock, flushes, commits, and
//! only then answers. Nothing that was answered can be lost; nothing that was not is half there.
//!
//! SQLite has one writer, whose batches span tenants. PostgreSQL has several, each serving one tenant at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::by::By;
use crate::clock::Clock;
use crate::db::{Address, Db, Purpose};
use crate::pace::Pace;
use crate::queue::{Gathering, Op};
use crate::store::Shared;
use crate::waiting::Batch;
use crate::work::{Origin, Work};
use crate::{Error, Random, ResourceId, Seq, TenantId, change, dialect, meter};

/// A batch that has settled this many bytes is flushed.
const WEIGHT: usize = 2 << 20;
/// How long, and how long apart, a lost database is tried before an answer is given.
const RECONNECTING: Duration = Duration::from_secs(10);
/// The same where others may wait for the thread.
const RECONNECTING_AT_ONCE: Duration = Duration::from_secs(1);
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// One writer, with a connection of its own.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    address: Address,
    db: Option<Db>,
    /// How long the last commit took by itself.
    commit: Duration,
    pace: Pace,
}

/// A transaction that has begun.
struct Begun {
    db: Db,
    at: Instant,
    /// How long a database that is lost at the commit is tried.
    reconnecting: Duration,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, address: Address, db: Db) -> Self {
        Writer { shared, address, db: Some(db), commit: Duration::ZERO, pace: Pace::default() }
    }

    /// Notes that a batch of so many operations was run, and says how the next one may gather.
    pub(crate) fn note(&mut self, size: usize) -> Gathering {
        self.pace.note(size, self.commit)
    }

    /// Whether a write is made durable soon enough to wait for, and comes alone.
    pub(crate) fn is_quick(&self) -> bool {
        self.db.is_some() && self.pace.is_lone_and_quick()
    }

    /// Does something on the connection between two batches, if there is one.
    pub(crate) fn on_connection(&mut self, run: impl FnOnce(&mut Db)) {
        if let Some(db) = &mut self.db {
            run(db);
        }
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self) {
        self.db = None;
    }

    /// Runs one operation without waiting for anything but its commit; comes back if it cannot begin.
    pub(crate) fn serve_at_once(&mut self, tenant: TenantId, op: Box<dyn Op>) -> Batch {
        let batch = vec![(tenant, [op].into())];
        match self.begin_at_once() {
            Some(begun) => self.serve_begun(Ok(begun), batch),
            None => batch,
        }
    }

    /// Runs a batch; what did not fit comes back.
    pub(crate) fn serve(&mut self, batch: Batch) -> Batch {
        let begun = self.begin();
        self.serve_begun(begun, batch)
    }

    fn serve_begun(&mut self, begun: Result<Begun, Error>, mut batch: Batch) -> Batch {
        let mut run = Vec::new();
        let outcome = match begun {
            Ok(begun) => self.attempt(begun, &mut batch, &mut run),
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(()) => {
                self.shared.meter.batch_operations.record(run.len() as u64);
                run.into_iter().for_each(|(_, op)| op.settle(Ok(())));
            }
            Err(Failure { error, .. }) if run.is_empty() => {
                let waiting = batch.iter_mut().flat_map(|(_, ops)| ops.drain(..));
                waiting.for_each(|op| op.settle(Err(error.clone())));
            }
            Err(Failure { error, outcome_known }) if run.len() == 1 || !outcome_known => {
                run.into_iter().for_each(|(_, op)| op.settle(Err(error.clone())));
            }
            Err(Failure { error, .. }) => {
                tracing::warn!(%error, operations = run.len(), "a batch failed and is replayed one operation at a time");
                meter::count(&self.shared.meter.replayed_batches);
                for (tenant, mut op) in run {
                    let alone = self.attempt_alone(tenant, &mut op);
                    op.settle(alone.map_err(|failure| failure.error));
                }
            }
        }
        batch
    }

    fn attempt_alone(&mut self, tenant: TenantId, op: &mut Box<dyn Op>) -> Result<(), Failure> {
        let begun = self.begin()?;
        self.transaction(begun, |db, shared| {
            let mut work = open_work(db, shared, tenant)?;
            run_one(op, &mut work);
            Ok(vec![finish(work, tenant)?])
        })
    }

    /// Runs the operations of a batch into one commit. They move from `batch` to `run` as they are run.
    fn attempt(
        &mut self,
        begun: Begun,
        batch: &mut Batch,
        run: &mut Vec<(TenantId, Box<dyn Op>)>,
    ) -> Result<(), Failure> {
        self.transaction(begun, |db, shared| {
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

    /// Begins a transaction as soon as the database lets it.
    fn begin(&mut self) -> Result<Begun, Error> {
        let at = Instant::now();
        let mut db = self.connection()?;
        let mut begun = dialect::begin_batch(&mut db);
        if begun.is_err() && !dialect::can_write(&mut db) {
            // Lost while it lay idle: nothing has been asked of it yet, so a new one serves as well.
            meter::count(&self.shared.meter.connections_lost);
            db = self.connection()?;
            begun = dialect::begin_batch(&mut db);
        }
        match begun {
            Ok(()) => Ok(Begun { db, at, reconnecting: RECONNECTING }),
            Err(error) => {
                dialect::rollback(&mut db);
                self.keep_if_sound(db);
                Err(error.into())
            }
        }
    }

    /// Begins a transaction if it can be done at once. What is in the way, [`Writer::begin`] meets too.
    fn begin_at_once(&mut self) -> Option<Begun> {
        let at = Instant::now();
        let db = self.db.as_mut()?;
        dialect::begin_write(db).ok()?;
        Some(Begun { db: self.db.take()?, at, reconnecting: RECONNECTING_AT_ONCE })
    }

    /// Runs `body` in the transaction and commits it, if it has anything to commit.
    fn transaction(
        &mut self,
        begun: Begun,
        body: impl FnOnce(&mut Db, &Arc<Shared>) -> Result<Vec<Ending>, Error>,
    ) -> Result<(), Failure> {
        let Begun { mut db, at, reconnecting } = begun;
        let ended = body(&mut db, &self.shared);
        let endings = match ended {
            Ok(endings) if endings.iter().any(|ending| ending.dirty) => endings,
            Ok(_) => {
                dialect::rollback(&mut db);
                if dialect::is_alive(&mut db) {
                    self.db = Some(db);
                }
                return Ok(());
            }
            Err(error) => {
                dialect::rollback(&mut db);
                self.keep_if_sound(db);
                return Err(error.into());
            }
        };
        let committing = Instant::now();
        if let Err(error) = dialect::commit(&mut db) {
            meter::count(&self.shared.meter.connections_lost);
            dialect::rollback(&mut db);
            tracing::error!(%error, "a commit failed");
            drop(db);
            match self.was_committed(&endings, reconnecting) {
                Ok(true) => {}
                Ok(false) => return Err(Error::from(error).into()),
                Err(error) => return Err(Failure { error, outcome_known: false }),
            }
        } else {
            self.commit = committing.elapsed();
            self.shared.meter.commit_time.record_since(committing);
            self.shared.meter.batch_time.record_since(at);
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
    fn was_committed(&mut self, endings: &[Ending], reconnecting: Duration) -> Result<bool, Error> {
        let Some((tenant, (seq, txn))) = endings.iter().find_map(|ending| Some((ending.tenant, ending.last?))) else {
            return Ok(false);
        };
        let lost = Instant::now();
        // By the clock, as a host that is silent takes seconds to be tried.
        while lost.elapsed() < reconnecting {
            if let Ok(mut db) = self.connection() {
                let found = dialect::begin_batch(&mut db).map_err(Error::from).and_then(|()| {
                    Clock::lock(&mut db, tenant)?;
                    change::txn_of(&mut db, tenant, seq)
                });
                dialect::rollback(&mut db);
                if let Ok(found) = found {
                    self.db = Some(db);
                    return Ok(found == Some(txn));
                }
            }
            std::thread::sleep(RECONNECT_PAUSE);
        }
        Err(Error::Unavailable("the database was lost during a commit and did not come back".into()))
    }

    fn connection(&mut self) -> Result<Db, Error> {
        match self.db.take() {
            Some(db) => Ok(db),
            None => {
                let opened = Db::open(&self.address, Purpose::Batches);
                let db = opened.map_err(|error| Error::Unavailable(error.to_string()))?;
                meter::count(&self.shared.meter.connections_reopened);
                Ok(db)
            }
        }
    }

    /// Keeps a connection on which something failed for the next batch, unless it is dead or cannot write.
    fn keep_if_sound(&mut self, mut db: Db) {
        if dialect::can_write(&mut db) {
            self.db = Some(db);
        } else {
            meter::count(&self.shared.meter.connections_lost);
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
    let nobody = Origin { actor: ResourceId::SYSTEM, cause: "batch", by: By::default(), now: 0, random: Random::os() };
    Ok(Work::new(db, tenant, catalog, clock, nesting, shared.books(), nobody))
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
