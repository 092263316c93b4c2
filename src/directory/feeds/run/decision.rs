//! What others than the server may do to a run: decide on one that is held, and delete one that is over.

use serde_json::{Map as Object, Value, json};
use store::work::document_of;
use store::{Record, ResourceId, Work, format_instant};

use super::{RunState, object, running};
use crate::directory::feeds::{BODY, Feed, LISTS, RUN};
use crate::directory::particular::{Follow, Write};
use crate::directory::{Ctx, Error};

/// Sees to a feed or a run that is written or removed: a client decides on a run that is held, and writes nothing else of it.
pub(in crate::directory) fn attend(
    write: &Write<'_>,
    after: Option<&mut Object<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    match (after, write.before) {
        (Some(document), before) if write.definition.name() == RUN => decide(write.ctx, before, document, work)?,
        (None, Some(record)) => forget(record, work)?,
        _ => {}
    }
    Ok(None)
}

fn decide(
    ctx: &Ctx,
    before: Option<&Record>,
    document: &mut Object<String, Value>,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    let Some(before) = before else {
        return Err(Error::Denied("Nobody creates runs: send a file to /Feeds/{name}.".into()));
    };
    let known = document_of(before)?;
    let decision = document.get("decision").and_then(Value::as_str);
    let state = match (RunState::of(&known), decision) {
        (Some(RunState::Held), Some("allow")) => RunState::Waiting,
        // One that is being carried out stops where it is.
        (Some(RunState::Held | RunState::Waiting | RunState::Running), Some("reject")) => RunState::Rejected,
        (Some(RunState::Held), _) => {
            return Err(scim::Error::invalid_value("decision is allow or reject.").into());
        }
        _ => return Err(scim::Error::status(409, "Only a run that is held waits for a decision.").into()),
    };
    if state == RunState::Rejected {
        work.drop_run_items(before.id, BODY);
        document.insert("ended".into(), format_instant(ctx.now).into());
    } else {
        document.shift_remove("ended");
    }
    let by = if ctx.caller.id == ResourceId::SYSTEM { None } else { Some(ctx.caller.id.to_string()) };
    let mut decided = object(json!({ "at": format_instant(ctx.now) }));
    if let Some(by) = by {
        decided.insert("by".into(), by.into());
    }
    document.insert("state".into(), state.as_str().into());
    document.insert("decided".into(), decided.into());
    Ok(())
}

/// What goes with a feed or a run that is deleted. Fails with 409 for one that is being carried out.
fn forget(record: &Record, work: &mut Work<'_>) -> Result<(), Error> {
    if record.kind == RUN {
        if matches!(RunState::of(&document_of(record)?), Some(RunState::Running | RunState::Waiting)) {
            return Err(scim::Error::status(409, "The run is being carried out.").into());
        }
        LISTS.iter().for_each(|list| work.drop_run_items(record.id, list));
        return Ok(());
    }
    if running(&Feed::of(record)?, work)?.is_some() {
        return Err(scim::Error::status(409, "A run of the feed is being carried out.").into());
    }
    work.forget_feed(record.id);
    Ok(())
}
