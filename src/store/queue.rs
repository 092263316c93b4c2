//! The queue before the writers: operations in the order they came, tenant by tenant in turn. One tenant is served by one
//! writer at a time, so that its order holds. What one tenant sends singly may fill no more than three quarters of the room.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::index::Place;
use crate::waiting::{Batch, Waiting};
use crate::work::{Origin, Work};
use crate::{Error, TenantId, membership, meter};

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

/// What waits, and for how much.
struct State {
    waiting: Waiting,
    /// So many operations wake the writer that lets a batch gather; 0: none does.
    enough: usize,
    closed: bool,
}

/// What waits for the writers.
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Operations that were refused because too many waited.
    refused: AtomicU64,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State { waiting: Waiting::new(capacity), enough: 0, closed: false };
        Queue { state: Mutex::new(state), changed: Condvar::new(), refused: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an operation; refuses it when too much waits, or when the store is closing.
    pub(crate) fn push(&self, tenant: TenantId, op: Box<dyn Op>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            op.settle(Err(Error::stopping()));
        } else if op.is_own() || state.waiting.has_room(tenant) {
            state.waiting.put(tenant, op);
            self.tell(state);
        } else {
            drop(state);
            meter::count(&self.refused);
            op.settle(Err(Error::Busy));
        }
    }

    /// Adds operations in this order, none of which a writer takes before all are there. They wait for room; refuses them
    /// when the store is closing.
    pub(crate) fn push_together(&self, tenant: TenantId, ops: VecDeque<Box<dyn Op>>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            ops.into_iter().for_each(|op| op.settle(Err(Error::stopping())));
        } else {
            state.waiting.put_together(tenant, ops);
            self.tell(state);
        }
    }

    /// Wakes a writer when there is enough for it.
    fn tell(&self, state: MutexGuard<'_, State>) {
        let is_enough = state.waiting.length() >= state.enough.max(1);
        drop(state);
        if is_enough {
            self.changed.notify_one();
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
        self.lock().waiting.total()
    }

    /// Operations that were refused because too many waited.
    pub(crate) fn refused(&self) -> &AtomicU64 {
        &self.refused
    }

    /// Lets the writers finish what waits and stop. What waits for room is refused.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let outside = state.waiting.turn_away();
        drop(state);
        self.changed.notify_all();
        outside.for_each(|op| op.settle(Err(Error::stopping())));
    }

    /// Waits for work and takes a batch; `None` when the queue is closed and empty. Only one that serves alone may let a
    /// batch gather.
    pub(crate) fn take(&self, many_tenants: bool, gathering: Gathering) -> Option<Batch> {
        let mut state = self.lock();
        if state.waiting.length() < gathering.enough && !state.closed {
            state.enough = gathering.enough;
            let gathers = |state: &mut State| state.waiting.length() < gathering.enough && !state.closed;
            let gathered = self.changed.wait_timeout_while(state, gathering.patience, gathers);
            state = gathered.unwrap_or_else(PoisonError::into_inner).0;
            state.enough = 0;
        }
        loop {
            if let Some(batch) = state.waiting.batch(many_tenants) {
                // What was let in meanwhile may be another's to take.
                self.tell(state);
                return Some(batch);
            }
            if state.closed && state.waiting.length() == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a tenant for one operation that is not put in the queue, if nothing waits and no writer is at work: it is
    /// [released](Queue::release) like one of a batch.
    pub(crate) fn take_alone(&self, tenant: TenantId) -> bool {
        let mut state = self.lock();
        !state.closed && state.waiting.take_alone(tenant)
    }

    /// Lets other writers at the tenants of a batch again, and puts back what was not run.
    pub(crate) fn release(&self, tenants: Batch) {
        let mut state = self.lock();
        tenants.into_iter().for_each(|(tenant, left)| state.waiting.release(tenant, left));
        let concerns_others = state.waiting.length() > 0 || state.closed;
        drop(state);
        if concerns_others {
            self.changed.notify_all();
        }
    }
}
