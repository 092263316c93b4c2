//! Which clients use a view: one that is in use stays, and nothing else is used as one. Asked under the lock.

use serde_json::{Map, Value};

use store::work::document_of;
use store::{ResourceId, Work};

use super::super::Error;
use super::super::clients::CLIENT;
use super::VIEW;

/// Fails with 409 when a client uses the view.
pub(super) fn refuse_use(id: ResourceId, work: &mut Work<'_>) -> Result<(), Error> {
    let id = id.to_string();
    for record in work.records_of(CLIENT)? {
        if document_of(&record)?.get("view").and_then(Value::as_str) == Some(&id) {
            let detail = format!("The client {} uses this view. Give it another one first.", record.label);
            return Err(scim::Error::status(409, detail).into());
        }
    }
    Ok(())
}

/// Fails with 400 invalidValue when a client's document names as its view what is none. One that is not there may be
/// named: such a client sees nothing.
pub(in crate::directory) fn refuse_missing(document: &Map<String, Value>, work: &mut Work<'_>) -> Result<(), Error> {
    let Some(view) = document.get("view").and_then(Value::as_str) else { return Ok(()) };
    let may_be = match view.parse() {
        Ok(id) => work.record(id)?.is_none_or(|record| record.kind == VIEW),
        Err(()) => false,
    };
    match may_be {
        true => Ok(()),
        false => Err(scim::Error::invalid_value(format!("view: {view} is not a view.")).into()),
    }
}
