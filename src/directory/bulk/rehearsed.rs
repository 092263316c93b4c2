//! A bulk request that is run within works of others: rehearsed in one that is thrown away, as often as wanted, and what then
//! succeeded carried out in a write, all of it or nothing. The units are those of a request of its own.

use std::sync::Arc;

use scim::bulk::{BulkRequest, Operation};
use scim::schema::Definition;
use store::{ResourceId, Work};

use super::run::{Refused, Unit};
use super::table::{Slot, Table};
use crate::directory::{Ctx, Directory, Error};

/// A bulk request with all done that needs no lock.
pub(in crate::directory) struct Rehearsed {
    request: BulkRequest,
    table: Arc<Table>,
    units: Vec<Unit>,
}

/// What of it is to be done.
#[derive(Clone)]
pub(in crate::directory) struct Todo(Vec<Unit>);

impl Directory {
    /// Prepares a request whose POSTs have these ids, by index. `permit` says whether the caller may write resources of a type.
    pub(in crate::directory) async fn prepare_bulk(
        &self,
        ctx: &Ctx,
        request: BulkRequest,
        permit: impl Fn(&Definition) -> Result<(), String>,
        ids: &[ResourceId],
    ) -> Result<Rehearsed, Error> {
        let missing = || store::Error::Corrupt("an operation has lost its id".into());
        let (request, plans) = self.plans(ctx, request, permit, |index| ids.get(index).copied().ok_or_else(missing))?;
        let (table, units) = self.units(ctx, &request, plans, None).await;
        Ok(Rehearsed { request, table, units })
    }
}

impl Rehearsed {
    /// Runs every unit in a work that is thrown away; `each` looks at what one that succeeded has changed, and is told the
    /// indices of its operations.
    pub(in crate::directory) fn rehearse(
        &self,
        work: &mut Work<'_>,
        mut each: impl FnMut(&[usize], &mut Work<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for unit in &self.units {
            let run = work.rehearse(|work| {
                unit.run(work)?;
                Ok(each(&unit.members, work))
            });
            match run {
                Ok(looked) => looked?,
                Err(Refused::Told) => {}
                Err(Refused::Store(error)) => return Err(error.into()),
            }
        }
        match self.refused().find(|(_, error)| error.may_pass()) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// The operations that were refused when it was last rehearsed, by index.
    pub(in crate::directory) fn refused(&self) -> impl Iterator<Item = (usize, Error)> {
        let slots = self.table.conclude().into_iter().enumerate();
        slots.filter_map(|(index, slot)| match slot {
            Slot::Failed(error) => Some((index, error)),
            _ => None,
        })
    }

    /// An operation of the request.
    pub(in crate::directory) fn operation(&self, index: usize) -> Option<&Operation> {
        self.request.operations.get(index)
    }

    /// What succeeded when it was last rehearsed.
    pub(in crate::directory) fn todo(&self) -> Todo {
        let refused: Vec<usize> = self.refused().map(|(index, _)| index).collect();
        let is_good = |unit: &&Unit| !unit.members.iter().any(|member| refused.contains(member));
        Todo(self.units.iter().filter(is_good).cloned().collect())
    }
}

impl Todo {
    /// Carries all of it out in the open operation. Fails with what the first that is refused now says.
    pub(in crate::directory) fn run(&self, work: &mut Work<'_>) -> Result<(), Error> {
        self.0.iter().try_for_each(|unit| unit.carry_out(work))
    }
}
