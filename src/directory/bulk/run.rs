//! One unit of a bulk request under the lock: an operation, or the operations of a circle, all of which succeed or none.

use std::collections::HashSet;
use std::sync::Arc;

use store::deferred::Progress;
use store::{ResourceId, Work};

use super::ledger::{Ledger, Noted, place};
use super::prepare::Step;
use super::table::{Row, Slot, Table};
use crate::directory::{Ctx, Error, guard};

/// Why a unit left nothing behind.
#[derive(Debug)]
pub(super) enum Refused {
    /// The table says it.
    Told,
    /// The store could not.
    Store(store::Error),
}

impl From<store::Error> for Refused {
    fn from(error: store::Error) -> Self {
        Refused::Store(error)
    }
}

/// Operations that are carried out together, by index in the order of the request.
#[derive(Clone)]
pub(super) struct Unit {
    pub(super) ctx: Arc<Ctx>,
    pub(super) table: Arc<Table>,
    /// Where it is written down what became of it; `None`: nowhere.
    pub(super) ledger: Option<Arc<Ledger>>,
    pub(super) members: Vec<usize>,
}

impl Unit {
    /// Runs the unit and writes its slots. A unit of a deferred request is not run when it was before, and what became
    /// of it is stored with what it did.
    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Refused> {
        let Some(ledger) = &self.ledger else { return self.decide(work) };
        let Some(first) = self.members.first() else { return Ok(()) };
        match work.progress(ledger.request, place(*first))? {
            Progress::Over => return Err(Refused::Told),
            Progress::Open => {}
            Progress::Decided(_) => {
                for index in &self.members {
                    if let Progress::Decided(noted) = work.progress(ledger.request, place(*index))? {
                        ledger.open(&noted)?.put(&self.table, *index);
                    }
                }
                return Ok(());
            }
        }
        // What comes after an operation that is tried again is not decided before it.
        if ledger.patient && self.table.is_unsettled() {
            return Err(Refused::Told);
        }
        if let Err(Refused::Store(error)) = work.attempt(|work| self.decide(work)) {
            return Err(Refused::Store(error));
        }
        let noted: Option<Vec<_>> = self.members.iter().map(|index| Noted::of(&self.table, *index, ledger)).collect();
        // What may pass is not written down: it is tried again.
        for (index, noted) in self.members.iter().zip(noted.ok_or(Refused::Told)?) {
            work.note_outcome(ledger.request, place(*index), ledger.seal(&noted)?);
        }
        Ok(())
    }

    /// Runs the unit as a part of a write of others: the first refusal is theirs.
    pub(super) fn carry_out(&self, work: &mut Work<'_>) -> Result<(), Error> {
        self.run_all(work).map_err(|(_, error)| error)
    }

    fn decide(&self, work: &mut Work<'_>) -> Result<(), Refused> {
        let table = &self.table;
        if self.members.first().is_some_and(|first| table.is_over(*first)) {
            self.members.iter().for_each(|index| table.put(*index, Slot::Skipped));
            return Err(Refused::Told);
        }
        let Err((failed, error)) = self.run_all(work) else { return Ok(()) };
        for index in self.members.iter().filter(|index| **index != failed) {
            // One that could not have been carried out anyway keeps its own reason.
            let own = table.rows.get(*index).and_then(|row| row.step.as_ref().err().cloned());
            table.put(*index, Slot::Failed(own.unwrap_or_else(|| self.conflict(failed))));
        }
        table.put(failed, Slot::Failed(error));
        Err(Refused::Told)
    }

    /// Carries all operations of the unit out; the error names the one that failed.
    fn run_all(&self, work: &mut Work<'_>) -> Result<(), (usize, Error)> {
        let table = &self.table;
        let mut left: Vec<(usize, &Row, &Step)> = Vec::with_capacity(self.members.len());
        for index in &self.members {
            let Some(row) = table.rows.get(*index) else { continue };
            let step = row.step.as_ref().map_err(|error| (*index, error.clone()))?;
            self.check_references(row, work).map_err(|error| (*index, error))?;
            left.push((*index, row, step));
        }
        let mut pending: HashSet<String> = left.iter().filter_map(|(_, row, _)| Some(row.id?.to_string())).collect();
        while !left.is_empty() {
            // A group comes after those of the circle that are to be its members.
            let is_free = |(_, _, step): &(usize, &Row, &Step)| match step {
                Step::Create(creation) if self.members.len() > 1 => {
                    !creation.members().any(|member| pending.contains(member))
                }
                _ => true,
            };
            let Some(next) = left.iter().position(is_free) else {
                let first = left.first().map_or(0, |(index, ..)| *index);
                return Err((first, within_itself().into()));
            };
            let (index, row, step) = left.remove(next);
            let slot = self.run_step((index, row), step, work).map_err(|error| (index, error))?;
            table.put(index, slot);
            if let Some(id) = row.id {
                pending.remove(&id.to_string());
            }
        }
        guard::weigh(&self.ctx, work).map_err(|error| (self.members.first().copied().unwrap_or_default(), error))
    }

    fn run_step(&self, (index, row): (usize, &Row), step: &Step, work: &mut Work<'_>) -> Result<Slot, Error> {
        let before = work.changes().len();
        let etag = match step {
            Step::Create(creation) => Some(creation.run(&self.ctx, work)?.etag(&self.ctx)),
            Step::Revise(revising) => {
                let mut notes = row.notes.clone();
                let state = revising.run(&self.ctx, &mut notes, work);
                self.table.note(index, notes);
                Some(state?.etag(&self.ctx))
            }
            Step::Join(joining) => Some(joining.run(&self.ctx, work)?.etag(self.ctx.lens())),
            Step::Remove(removal) => {
                removal.run(&self.ctx, work)?;
                None
            }
            Step::Leave(leaving) => {
                leaving.run(&self.ctx, work)?;
                None
            }
        };
        Ok(Slot::Done { etag, changes: work.changes().get(before..).unwrap_or_default().to_vec() })
    }

    /// Fails with 409 when something that the operation refers to was not created. What was done but could not be
    /// committed after all is not there either.
    fn check_references(&self, row: &Row, work: &mut Work<'_>) -> Result<(), Error> {
        let outside = row.refers.iter().filter(|index| !self.members.contains(index));
        let mut expected: Vec<(usize, ResourceId)> = Vec::new();
        for index in outside {
            if !self.table.is_done(*index) {
                return Err(self.conflict(*index));
            }
            let id = self.table.rows.get(*index).and_then(|row| row.id);
            expected.extend(id.filter(|_| self.table.deleted.get(*index) == Some(&false)).map(|id| (*index, id)));
        }
        if expected.is_empty() {
            return Ok(());
        }
        let there = work.kinds(&expected.iter().map(|(_, id)| *id).collect::<Vec<_>>())?;
        match expected.iter().find(|(_, id)| !there.contains_key(id)) {
            // Perhaps its batch was not committed: then it comes again.
            Some(_) if self.ledger.as_ref().is_some_and(|ledger| ledger.patient) => {
                Err(store::Error::Unavailable("what an operation refers to was not committed".into()).into())
            }
            Some((index, _)) => Err(self.conflict(*index)),
            None => Ok(()),
        }
    }

    fn conflict(&self, index: usize) -> Error {
        let bulk_id = self.table.rows.get(index).map(|row| row.bulk_id.as_str()).unwrap_or_default();
        scim::Error::status(409, format!("bulkId:{bulk_id} is referred to and could not be carried out.")).into()
    }
}

fn within_itself() -> scim::Error {
    scim::Error::status(
        409,
        "members: these groups would hold each other by their bulkIds. A group cannot be within itself.",
    )
}
