//! What waits for the reader threads: jobs in the order they came, tenant by tenant in turn, so that one that asks for
//! much waits for itself. A tenant may fill no more than three quarters of the room; the rest is for the others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::reader::Job;

/// Whose turn it is: the number of a tenant, or 0 for what belongs to none.
type Whose = i64;

#[derive(Default)]
struct Waiting {
    of: HashMap<Whose, VecDeque<Job>>,
    turns: VecDeque<Whose>,
    length: usize,
    is_closed: bool,
}

/// Jobs that wait for a reader.
pub(crate) struct Turns {
    waiting: Mutex<Waiting>,
    came: Condvar,
    capacity: usize,
}

/// Why a job is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Too many wait.
    Full,
    /// Nobody serves any more.
    Closed,
}

impl Turns {
    pub(crate) fn new(capacity: usize) -> Self {
        Turns { waiting: Mutex::default(), came: Condvar::new(), capacity }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job of a tenant.
    pub(crate) fn push(&self, whose: Whose, job: Job) -> Result<(), NotTaken> {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return Err(NotTaken::Closed);
        }
        let own = waiting.of.get(&whose).map_or(0, VecDeque::len);
        if waiting.length >= self.capacity || own >= share(self.capacity) {
            return Err(NotTaken::Full);
        }
        if own == 0 {
            waiting.turns.push_back(whose);
        }
        waiting.of.entry(whose).or_default().push_back(job);
        waiting.length += 1;
        drop(waiting);
        self.came.notify_one();
        Ok(())
    }

    /// Waits for a job; `None` when it is closed and empty.
    pub(crate) fn take(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.next() {
                return Some(job);
            }
            if waiting.is_closed {
                return None;
            }
            waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Jobs that wait.
    pub(crate) fn length(&self) -> usize {
        self.lock().length
    }

    /// Takes no more jobs; what waits is served.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.came.notify_all();
    }
}

impl Waiting {
    fn next(&mut self) -> Option<Job> {
        let whose = self.turns.pop_front()?;
        let jobs = self.of.get_mut(&whose)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.of.remove(&whose);
        } else {
            self.turns.push_back(whose);
        }
        self.length -= usize::from(job.is_some());
        job
    }
}

/// What one tenant may have of a room.
pub(crate) fn share(capacity: usize) -> usize {
    (capacity - capacity / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Box::new(|_| {})
    }

    /// The order in which what waits is served, by tenant.
    fn order(turns: &Turns) -> Vec<Whose> {
        let mut waiting = turns.lock();
        let mut order = Vec::new();
        while let Some(whose) = waiting.turns.front().copied() {
            drop(waiting.next().expect("a job"));
            order.push(whose);
        }
        order
    }

    #[test]
    fn tenants_take_turns_however_much_one_asks_for() {
        let turns = Turns::new(1_000);
        for _ in 0..500 {
            turns.push(1, job()).expect("taken");
        }
        for _ in 0..3 {
            turns.push(2, job()).expect("taken");
        }
        turns.push(3, job()).expect("taken");
        let order = order(&turns);
        assert_eq!(order[..7], [1, 2, 3, 1, 2, 1, 2]);
        assert!(order[7..].iter().all(|whose| *whose == 1));
        assert_eq!((order.len(), turns.length()), (504, 0));
    }

    #[test]
    fn one_tenant_does_not_fill_the_room() {
        let turns = Turns::new(8);
        let taken = (0..20).filter(|_| turns.push(1, job()).is_ok()).count();
        assert_eq!(taken, 6);
        assert!(turns.push(2, job()).is_ok() && turns.push(2, job()).is_ok());
        assert_eq!(turns.push(2, job()).err(), Some(NotTaken::Full));
    }

    #[test]
    fn what_waits_is_served_after_the_end() {
        let turns = Turns::new(8);
        turns.push(1, job()).expect("taken");
        turns.close();
        assert_eq!(turns.push(1, job()).err(), Some(NotTaken::Closed));
        assert!(turns.take().is_some() && turns.take().is_none());
    }
}
