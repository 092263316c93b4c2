//! Bulk (RFC 7644 section 3.7): many writes in one request, each on the same path as a request of its own.
//!
//! The ids of all POSTs are drawn and put in the place of bulkIds before anything is written. Then each operation, or
//! each circle of operations that refer to each other, is one write of the store, in the order that
//! [`BulkRequest::units`] gives. The tenant's queue keeps that order and commits many of them at a time; other work may
//! go between. What is committed stays, whatever fails after it.

mod ledger;
mod prepare;
mod rehearsed;
mod run;
mod table;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use scim::bulk::{BulkRequest, Done, Method};
use scim::schema::Definition;
use store::{ResourceId, Work};

pub(super) use ledger::{Ledger, read_sealed};
pub(super) use rehearsed::Rehearsed;

use super::{Ctx, Directory, Error, Planned};
use prepare::Plan;
use run::{Refused, Unit};
use table::{Slot, Table};

/// Writes of one bulk request that wait for the writer at a time: one batch.
const WINDOW: usize = 1_000;

/// What became of one operation.
#[derive(Clone, Debug)]
pub struct BulkOutcome {
    /// What it asked for.
    pub method: Method,
    /// Its name within the request.
    pub bulk_id: Option<String>,
    /// Where the resource is; `None` when a POST failed, or when the path leads nowhere.
    pub location: Option<String>,
    /// The entity tag of what is there now, `None` after DELETE; or why it was not carried out.
    pub outcome: Result<Option<String>, Error>,
}

impl BulkOutcome {
    /// What the answer says of it; `told` puts an error into words.
    pub fn done(self, told: impl FnOnce(Error) -> scim::Error) -> Done {
        let BulkOutcome { method, bulk_id, location, outcome } = self;
        // The status that the operation alone would have had.
        let success = match method {
            Method::Post => 201,
            Method::Put | Method::Patch => 200,
            Method::Delete => 204,
        };
        let (status, version, response) = match outcome {
            Ok(version) => (success, version, None),
            Err(error) => {
                let error = told(error);
                (error.status, None, Some(error.body()))
            }
        };
        Done { method, bulk_id, version, location, status, response }
    }
}

/// What became of a bulk request.
#[derive(Clone, Debug)]
pub struct BulkWritten {
    /// The operations in the order of the request, without those left out after too many errors.
    pub operations: Vec<BulkOutcome>,
    /// Tolerances that the operations made use of, carried out or not; one used twice stands twice.
    pub tolerances: Vec<&'static str>,
    /// The changes that were made, in order; with `simulate` those that would be.
    pub changes: Vec<Planned>,
}

impl Directory {
    /// Carries on with a deferred request, and says whether all of it is decided now. `ids` are those of its POSTs, by
    /// index.
    pub(super) async fn carry_bulk(
        &self,
        ctx: &Ctx,
        request: BulkRequest,
        permit: impl Fn(&Definition) -> Result<(), String>,
        ids: &[ResourceId],
        ledger: Ledger,
    ) -> Result<(BulkWritten, bool), Error> {
        let missing = || store::Error::Corrupt("a deferred request has lost an id".into());
        let (request, plans) = self.plans(ctx, request, permit, |index| ids.get(index).copied().ok_or_else(missing))?;
        self.run_bulk(ctx.clone(), request, plans, Some(Arc::new(ledger))).await
    }

    /// Carries a bulk request out. `permit` says whether the caller may write resources of a type. Runs to its end even
    /// when the future is dropped.
    pub async fn bulk(
        &self,
        ctx: &Ctx,
        request: BulkRequest,
        permit: impl Fn(&Definition) -> Result<(), String>,
    ) -> Result<BulkWritten, Error> {
        let (request, plans) = self.plans(ctx, request, permit, |_| ctx.random.resource_id(ctx.now))?;
        let (directory, caller) = (self.clone(), ctx.clone());
        let running = tokio::spawn(async move { directory.run_bulk(caller, request, plans, None).await });
        let (written, _) = running.await.map_err(|error| store::Error::Unavailable(error.to_string()))??;
        Ok(written)
    }

    async fn run_bulk(
        &self,
        ctx: Ctx,
        request: BulkRequest,
        mut plans: Vec<Result<Plan, Error>>,
        ledger: Option<Arc<Ledger>>,
    ) -> Result<(BulkWritten, bool), Error> {
        let known = ledger.as_ref().map(|ledger| ledger.known.as_slice()).unwrap_or_default();
        for (index, _) in known {
            if let Some(plan) = plans.get_mut(*index) {
                *plan = Err(scim::Error::status(409, "The operation was decided before.").into());
            }
        }
        let (table, mut units) = self.units(&ctx, &request, plans, ledger.clone()).await;
        known.iter().for_each(|(index, noted)| noted.clone().put(&table, *index));
        let decided: HashSet<usize> = known.iter().map(|(index, _)| *index).collect();
        units.retain(|unit| !unit.members.iter().any(|member| decided.contains(member)));
        if ctx.simulate {
            let (tenant, origin) = (ctx.tenant, ctx.origin());
            let rehearsed = self.store.read_for(tenant, move |reader| {
                reader.simulate(tenant, origin, |work| {
                    units.iter().for_each(|unit| drop(work.rehearse(|work| unit.run(work))));
                    Ok::<_, store::Error>(())
                })
            });
            rehearsed.await?;
        } else {
            self.write_units(&ctx, &units).await;
            if let Some(held) = table.held() {
                self.ask_about(&ctx, &held).await?;
            }
        }
        Ok((self.conclude(&ctx, &request, &table), !table.is_unsettled()))
    }

    /// The units of a request in the order in which they are run, with all done that needs no lock.
    async fn units(
        &self,
        ctx: &Ctx,
        request: &BulkRequest,
        plans: Vec<Result<Plan, Error>>,
        ledger: Option<Arc<Ledger>>,
    ) -> (Arc<Table>, Vec<Unit>) {
        let units = request.units();
        let prepared = self.prepare_steps(ctx, request, plans).await;
        let table = Arc::new(Table::new(request, &units, prepared));
        let caller = Arc::new(ctx.clone());
        let unit = |members| Unit { ctx: caller.clone(), table: table.clone(), ledger: ledger.clone(), members };
        let units = units.into_iter().map(unit).collect();
        (table, units)
    }

    /// Gives the writer the units in order, never more than a window of them at a time.
    async fn write_units(&self, ctx: &Ctx, units: &[Unit]) {
        for window in units.chunks(WINDOW) {
            let runs = window.iter().cloned().map(|unit| move |work: &mut Work<'_>| unit.run(work)).collect();
            let written = self.store.write_all(ctx.tenant, &ctx.origin(), runs);
            // They are answered in this order, so that whoever waits for the last is woken once.
            for (unit, written) in window.iter().zip(written).rev() {
                // A refusal is in the table already; an error of the store came after the unit was run, or instead of it.
                if let Err(Refused::Store(error)) = written.await {
                    unit.members.iter().for_each(|index| unit.table.put(*index, Slot::Failed(error.clone().into())));
                }
            }
        }
    }

    fn conclude(&self, ctx: &Ctx, request: &BulkRequest, table: &Table) -> BulkWritten {
        let registry = self.registry_of(ctx.tenant);
        let mut written = BulkWritten { operations: Vec::new(), tolerances: Vec::new(), changes: Vec::new() };
        let slots = table.conclude();
        for (index, (operation, slot)) in request.operations.iter().zip(&slots).enumerate() {
            let outcome = match slot {
                Slot::Waiting | Slot::Skipped => continue,
                Slot::Failed(error) => Err(error.clone()),
                Slot::Done { etag, .. } => Ok(etag.clone()),
            };
            written.tolerances.extend(table.used(index).iter());
            // What a failed POST would have created is nowhere.
            let is_there = match (operation.method, operation.target) {
                (Method::Post, _) => outcome.is_ok(),
                (_, Some(target)) => matches!(slots.get(target), Some(Slot::Done { .. })),
                (_, None) => true,
            };
            let id = operation.id.as_deref().filter(|id| is_there && !id.starts_with("bulkId:"));
            let location = match (id, registry.at_endpoint(&operation.endpoint)) {
                (Some(id), Some(definition)) => Some(format!("{}/{}/{id}", ctx.base_url, definition.endpoint())),
                _ => None,
            };
            let (method, bulk_id) = (operation.method, operation.bulk_id.clone());
            written.operations.push(BulkOutcome { method, bulk_id, location, outcome });
        }
        written.changes = slots
            .into_iter()
            .flat_map(|slot| match slot {
                Slot::Done { changes, .. } => changes,
                _ => Vec::new(),
            })
            .collect();
        written.changes.sort_by_key(|change| change.seq);
        written
    }
}
