//! What became of each operation, in one table that all units share. A unit may be run again when its batch could not
//! be committed, so it writes its own slots anew each time and reads only those of units before it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use scim::bulk::{BulkRequest, Method};
use scim::resource::Notes;
use store::ResourceId;

use super::prepare::{Prepared, Step};
use crate::directory::guard::Held;
use crate::directory::{Error, Planned};

/// What became of an operation.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// Not run yet.
    Waiting,
    /// Left out, as there were too many errors before it.
    Skipped,
    /// Refused.
    Failed(Error),
    /// Carried out.
    Done {
        /// Of the resource; `None` after DELETE.
        etag: Option<String>,
        changes: Vec<Planned>,
    },
}

impl Slot {
    fn may_pass(&self) -> bool {
        matches!(self, Slot::Failed(error) if error.may_pass())
    }
}

/// An operation, and what others need to know of it.
pub(super) struct Row {
    pub(super) step: Result<Step, Error>,
    /// Tolerances used before it was run.
    pub(super) notes: Notes,
    pub(super) bulk_id: String,
    pub(super) id: Option<ResourceId>,
    pub(super) refers: Vec<usize>,
    /// How many operations come before its unit.
    turn: usize,
}

/// The operations of a bulk request and what became of them.
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    /// Indices in the order of execution.
    order: Vec<usize>,
    /// POSTs whose resource an operation of the same request deletes.
    pub(super) deleted: Vec<bool>,
    fail_on_errors: Option<u64>,
    slots: Mutex<Vec<Slot>>,
    /// The tolerances that each operation has used, carried out or not.
    used: Mutex<Vec<Notes>>,
    unsettled: AtomicBool,
}

impl Table {
    pub(super) fn new(request: &BulkRequest, units: &[Vec<usize>], prepared: Vec<Prepared>) -> Self {
        let mut turns = HashMap::new();
        let mut before = 0;
        for unit in units {
            turns.extend(unit.iter().map(|index| (*index, before)));
            before += unit.len();
        }
        let rows = request.operations.iter().zip(prepared).enumerate().map(|(index, (operation, prepared))| Row {
            step: prepared.step,
            notes: prepared.notes,
            bulk_id: operation.bulk_id.clone().unwrap_or_default(),
            id: operation.id.as_ref().and_then(|id| id.parse().ok()),
            refers: operation.refers.clone(),
            turn: turns.get(&index).copied().unwrap_or_default(),
        });
        let mut deleted = vec![false; request.operations.len()];
        for operation in request.operations.iter().filter(|operation| operation.method == Method::Delete) {
            if let Some(deleted) = operation.target.and_then(|target| deleted.get_mut(target)) {
                *deleted = true;
            }
        }
        let rows: Vec<Row> = rows.collect();
        // What failed before it was run has failed for those that come after it, whenever they look.
        let slots = rows.iter().map(|row| match &row.step {
            Ok(_) => Slot::Waiting,
            Err(error) => Slot::Failed(error.clone()),
        });
        let slots: Vec<Slot> = slots.collect();
        let unsettled = AtomicBool::new(slots.iter().any(Slot::may_pass));
        let used = Mutex::new(rows.iter().map(|row| row.notes.clone()).collect());
        Table {
            order: units.concat(),
            deleted,
            fail_on_errors: request.fail_on_errors,
            slots: Mutex::new(slots),
            used,
            unsettled,
            rows,
        }
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a slot.
    pub(super) fn put(&self, index: usize, slot: Slot) {
        if slot.may_pass() {
            self.unsettled.store(true, Ordering::Relaxed);
        }
        if let Some(place) = self.slots().get_mut(index) {
            *place = slot;
        }
    }

    /// What was refused because its client has done too much, of each limit the most.
    pub(super) fn held(&self) -> Option<Held> {
        let mut all: Option<Held> = None;
        for slot in self.slots().iter() {
            let Slot::Failed(Error::Held(held)) = slot else { continue };
            match &mut all {
                None => all = Some((**held).clone()),
                Some(all) => all.take_in(held),
            }
        }
        all
    }

    /// What became of an operation so far.
    pub(super) fn slot(&self, index: usize) -> Option<Slot> {
        self.slots().get(index).cloned()
    }

    /// Whether an operation could not be decided for a reason that may pass.
    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled.load(Ordering::Relaxed)
    }

    /// The tolerances that an operation has used so far.
    pub(super) fn used(&self, index: usize) -> Notes {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).get(index).cloned().unwrap_or_default()
    }

    /// Writes what tolerances an operation has used.
    pub(super) fn note(&self, index: usize, notes: Notes) {
        if let Some(place) = self.used.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
            *place = notes;
        }
    }

    /// Whether the operation has been carried out.
    pub(super) fn is_done(&self, index: usize) -> bool {
        matches!(self.slots().get(index), Some(Slot::Done { .. }))
    }

    /// Whether there were so many errors before the operation that it must not be run.
    pub(super) fn is_over(&self, index: usize) -> bool {
        let Some(limit) = self.fail_on_errors else { return false };
        let turn = self.rows.get(index).map_or(0, |row| row.turn);
        let slots = self.slots();
        let failed = |index: &&usize| matches!(slots.get(**index), Some(Slot::Failed(_)));
        self.order.iter().take(turn).filter(failed).count() as u64 >= limit
    }

    /// The slots when all is over. What failed before it was run, but had not had its turn, was left out.
    pub(super) fn conclude(&self) -> Vec<Slot> {
        let over: Vec<bool> = (0..self.rows.len()).map(|index| self.is_over(index)).collect();
        let slots = self.slots().clone();
        let left_out =
            |index: usize| over.get(index) == Some(&true) && self.rows.get(index).is_some_and(|row| row.step.is_err());
        let slots = slots.into_iter().enumerate();
        slots.map(|(index, slot)| if left_out(index) { Slot::Skipped } else { slot }).collect()
    }
}
