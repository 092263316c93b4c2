//! What waits for the writers: operations in the order they came, tenant by tenant in turn. One tenant is served by one
//! writer at a time, so that its order holds. A tenant may fill no more than three quarters of the room.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::index::Place;
use crate::turn::share;
use crate::work::{Origin, Work};
use crate::{Error, TenantId, membership, meter};

/// Most operations in a batch: each touches a page for nearly every index row that it writes, and one commit of a thousand
/// touches far fewer than two of five hundred.
const BATCH: usize = 1_000;
/// Most operations of one tenant before the next tenant's turn.
const TURN: usize = 100;
/// Memberships of a deleted group cleared at a time.
const SWEEP: i64 = 5_000;
/// Resources whose index rows are built at a time.
const SLICE: i64 = 500;

/// An operation that waits for the writer. It may be run again when its batch could not be committed.
pub(crate) trait Op: Send {
    /// Runs the operation; `true`: keep what it did.
    fn run(&mut self, work: &mut Work<'_>) -> bool;
    /// Answers the caller.
    fn settle(self: Box<Self>, committed: Result<(), Error>);
    /// Whether it is the store's own work, which nobody would ask for again if it were refused.
    fn is_own(&self) -> bool {
        false
    }
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

    fn is_own(&self) -> bool {
        true
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

    fn is_own(&self) -> bool {
        true
    }
}

impl Work<'_> {
    /// Clears memberships of a deleted group straight in the database; `true` when something may be left.
    fn sweep(&mut self, limit: i64) -> Result<bool, Error> {
        let (db, tenant) = self.database();
        membership::sweep(db, tenant, limit)
    }
}

/// How long the next batch may gather, and how many operations are enough.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gathering {
    pub(crate) enough: usize,
    pub(crate) patience: Duration,
}

#[derive(Default)]
struct Waiting {
    by_tenant: HashMap<TenantId, VecDeque<Box<dyn Op>>>,
    ready: VecDeque<TenantId>,
    /// Tenants that a writer is serving.
    busy: HashSet<TenantId>,
    length: usize,
    /// So many operations wake the writer that lets a batch gather; 0: none does.
    enough: usize,
    closed: bool,
}

/// What waits for the writers.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    capacity: usize,
    /// Operations that were refused because too many waited.
    refused: AtomicU64,
}

/// Operations that are run together, by tenant.
pub(crate) type Batch = Vec<(TenantId, VecDeque<Box<dyn Op>>)>;

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Queue { waiting: Mutex::default(), changed: Condvar::new(), capacity, refused: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an operation; refuses it when too much waits, or when the store is closing.
    pub(crate) fn push(&self, tenant: TenantId, op: Box<dyn Op>) {
        self.push_all(tenant, [op]);
    }

    /// Adds operations in this order, none of which a writer takes before all are there.
    pub(crate) fn push_all(&self, tenant: TenantId, ops: impl IntoIterator<Item = Box<dyn Op>>) {
        let mut refused = Vec::new();
        let mut waiting = self.lock();
        for op in ops {
            match () {
                () if waiting.closed => refused.push((op, Error::Unavailable("the server is stopping".into()))),
                () if op.is_own() => waiting.put(tenant, op),
                () if waiting.length >= self.capacity || waiting.length_of(tenant) >= share(self.capacity) => {
                    refused.push((op, Error::Busy));
                }
                () => waiting.put(tenant, op),
            }
        }
        let is_enough = waiting.length >= waiting.enough;
        drop(waiting);
        if is_enough {
            self.changed.notify_one();
        }
        for (op, error) in refused {
            if matches!(error, Error::Busy) {
                meter::count(&self.refused);
            }
            op.settle(Err(error));
        }
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

    /// Operations that were refused because too many waited.
    pub(crate) fn refused(&self) -> &AtomicU64 {
        &self.refused
    }

    /// Lets the writers finish what waits and stop.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for work and takes a batch; `None` when the queue is closed and empty. Only one that serves alone may let a
    /// batch gather.
    pub(crate) fn take(&self, many_tenants: bool, gathering: Gathering) -> Option<Batch> {
        let mut waiting = self.lock();
        if waiting.length < gathering.enough && !waiting.closed {
            waiting.enough = gathering.enough;
            let gathers = |waiting: &mut Waiting| waiting.length < gathering.enough && !waiting.closed;
            let gathered = self.changed.wait_timeout_while(waiting, gathering.patience, gathers);
            waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
            waiting.enough = 0;
        }
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
    pub(crate) fn release(&self, tenants: Vec<(TenantId, VecDeque<Box<dyn Op>>)>) {
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
    fn length_of(&self, tenant: TenantId) -> usize {
        self.by_tenant.get(&tenant).map_or(0, VecDeque::len)
    }

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
