//! Undoing a run: a simulation whose plan is the reverse of what the run did, resource by resource, from the change journal. It
//! is looked at and applied as any other simulation. `journal` is what the run did, `turn` what becomes of a document,
//! `reverse` one resource turned back, `slice` the plan, `carry` the way of applying it. Never guesses: what is not
//! known any more is refused, and what somebody has changed later stays.

mod carry;
mod journal;
mod reverse;
mod slice;
mod turn;

use serde_json::{Map as Object, Value};
use store::work::document_of;
use store::{ResourceId, Work};

use crate::directory::Error;
use crate::directory::feeds::RUN;

pub(super) use journal::Undo;
pub(super) use slice::work_out;
pub use turn::Conflict;

/// The run that the document of a simulation would undo, as it is written.
fn named(document: &Object<String, Value>) -> Option<&str> {
    document.get("undo")?.get("value")?.as_str()
}

/// The run that the document of a simulation would undo.
pub(super) fn run_of(document: &Object<String, Value>) -> Option<ResourceId> {
    named(document)?.parse().ok()
}

/// Checks that nothing else is asked with an undo. Errors are 400 invalidValue.
pub(super) fn check_alone(document: &Object<String, Value>) -> Result<(), scim::Error> {
    let Some(run) = named(document) else { return Ok(()) };
    if run.parse::<ResourceId>().is_err() {
        return Err(scim::Error::invalid_value(format!("undo.value: there is no run {run}.")));
    }
    let others = ["activate", "deprecate", "policies", "units", "withdraw", "operations", "asOf", "filter"];
    match others.into_iter().find(|name| document.contains_key(*name)) {
        Some(other) => Err(scim::Error::invalid_value(format!("undo goes without {other}: it is about a run alone."))),
        None => Ok(()),
    }
}

/// Refuses a simulation of an undo of what cannot be undone: 400 for a run that is not there, 409 with the reason otherwise.
pub(super) fn begin(document: &Object<String, Value>, work: &mut Work<'_>) -> Result<(), Error> {
    let Some(run) = run_of(document) else { return Ok(()) };
    let record = work.record(run)?.filter(|record| record.kind == RUN);
    let none = || scim::Error::invalid_value(format!("undo.value: there is no run {run}."));
    journal::check(&document_of(&record.ok_or_else(none)?)?).map(drop)
}
