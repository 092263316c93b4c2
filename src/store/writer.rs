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
use crate::queue::{Gathering, Op};
use crate::store::Shared;
use crate::waiting::Batch;
use crate::work::{Origin, Work};
use crate::{Error, Random, ResourceId, Seq, TenantId, change, dialect, log, meter};

/// A batch that has settled this many bytes is flushed.
const WEIGHT: usize = 2 << 20;
/// Longest that a batch is let gather.
const PATIENCE: Duration = Duration::from_millis(2);
/// How long, and how long apart, a lost database is tried before an answer is given.
const RECONNECTING: Duration = Duration::from_secs(10);
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// One writer thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    address: Address,
    db: Option<Db>,
    /// How long the last commit took by itself.
    commit: Duration,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, address: Address, db: Db) -> Self {
        Writer { shared, address, db: Some(db), commit: Duration::ZERO }
    }

    /// Serves the queue until it is closed.
    pub(crate) fn run(mut self) {
        let many_tenants = matches!(self.address, Address::Sqlite(_));
        let mut pace = Pace::default();
        while let Some(batch) = self.shared.queue.take(many_tenants, pace.gathering) {
            let size = batch.iter().map(|(_, ops)| ops.len()).sum();
            let left = self.serve(batch);
            self.shared.queue.release(left);
            if many_tenants {
                pace.note(size, self.commit);
                if self.shared.log.grow(size)
                    && let Some(db) = &mut self.db
                {
                    log::end(db);
                }
            }
        }
    }

    /// Runs a batch; what did not fit comes back.
    fn serve(&mut self, mut batch: Batch) -> Batch {
        let mut run = Vec::new();
        let outcome = self.attempt(&mut batch, &mut run);
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
        let started = Instant::now();
        let mut begun = dialect::begin_batch(&mut db);
        if begun.is_err() && !dialect::can_write(&mut db) {
            // Lost while it lay idle: nothing has been asked of it yet, so a new one serves as well.
            meter::count(&self.shared.meter.connections_lost);
            db = self.connection()?;
            begun = dialect::begin_batch(&mut db);
        }
        let ended = begun.map_err(Error::from).and_then(|()| body(&mut db, &self.shared));
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
            match self.was_committed(&endings) {
                Ok(true) => {}
                Ok(false) => return Err(Error::from(error).into()),
                Err(error) => return Err(Failure { error, outcome_known: false }),
            }
        } else {
            self.commit = committing.elapsed();
            self.shared.meter.commit_time.record_since(committing);
            self.shared.meter.batch_time.record_since(started);
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
        let lost = Instant::now();
        // By the clock, as a host that is silent takes seconds to be tried.
        while lost.elapsed() < RECONNECTING {
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

/// How batches follow one another. Clients that were answered together ask again together, but not at the same instant:
/// a writer that begins with the first of them makes a commit for one and then one for all others. So where batches are
/// of several operations, the next one gets a moment to gather as many: half of what a commit takes, as to wait longer
/// would cost more than the commit that it saves. A single client never waits.
#[derive(Default)]
struct Pace {
    gathering: Gathering,
    usual: usize,
}

impl Pace {
    fn note(&mut self, size: usize, commit: Duration) {
        // What came alone in between does not say that the others have gone, unless it goes on like that.
        self.usual = size.max(self.usual - self.usual.div_ceil(4));
        let patience = if self.usual > 1 { (commit / 2).min(PATIENCE) } else { Duration::ZERO };
        self.gathering = Gathering { enough: if self.usual > 1 { self.usual } else { 0 }, patience };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_never_waits_for_others_and_many_wait_for_as_many_as_there_were() {
        let commit = Duration::from_millis(1);
        let mut pace = Pace::default();
        assert_eq!(pace.gathering.enough, 0, "nothing is known yet");
        pace.note(1, commit);
        assert_eq!(pace.gathering.enough, 0);
        pace.note(16, commit);
        assert_eq!((pace.gathering.enough, pace.gathering.patience), (16, commit / 2));
        pace.note(1, commit);
        assert_eq!(pace.gathering.enough, 12, "one that came alone says little");
        (0..8).for_each(|_| pace.note(1, commit));
        assert_eq!((pace.gathering.enough, pace.gathering.patience), (0, Duration::ZERO), "the others have gone");
        pace.note(500, Duration::from_secs(1));
        assert_eq!(pace.gathering.patience, PATIENCE);
    }
}
