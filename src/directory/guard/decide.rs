//! What a person decides about clients and days that are held: allowed is what was asked for, for 24 hours; rejected is that it
//! is asked for once more before then.

use serde_json::{Map, Value};
use store::{Due, Pass, PassState, Record, ResourceId, Work};

use super::days::held_at;
use super::{DECIDED, Kind};
use crate::directory::feeds::{RunState, instant};
use crate::directory::{Ctx, Error, work_items};

/// Carries out the decision on a run of a client or of days that is held, and returns the state that it has then; `None`: it
/// is a run of another sort. `document` is the run as it was, `allows` what was decided. Under the lock.
pub(in crate::directory) fn decide(
    ctx: &Ctx,
    run: &Record,
    document: &Map<String, Value>,
    allows: bool,
    work: &mut Work<'_>,
) -> Result<Option<RunState>, Error> {
    let cause = document.get("cause").and_then(Value::as_str).unwrap_or_default();
    if !matches!(cause, "push" | "days") {
        return Ok(None);
    }
    let client = document.get("client").and_then(|client| client.get("value")?.as_str()?.parse::<ResourceId>().ok());
    let client = client.unwrap_or(ResourceId::SYSTEM);
    for one in document.get("tripped").and_then(Value::as_array).into_iter().flatten() {
        let Some(limit) = one.get("limit").and_then(Value::as_str) else { continue };
        let count = one.get("count").and_then(Value::as_i64).unwrap_or_default();
        // How much more a client has is not known: whoever allows it has looked. Days were counted beforehand.
        let most = if cause == "push" { i64::MAX } else { count };
        let state = if allows { PassState::Allowed } else { PassState::Rejected };
        let pass = Pass { state, until: ctx.now.saturating_add(DECIDED), most, run: run.id };
        work.put_pass(client, limit, Some(pass));
    }
    if cause == "days"
        && let Some(started) = instant(document.get("started"))
    {
        let again = if allows { ctx.now } else { ctx.now.saturating_add(DECIDED) };
        for id in work.due_just_at(held_at(started))? {
            work.put_due(id, Some(Due::at(again)));
        }
    }
    work_items::close(ctx, work, Kind::HeldChange, run.id, true)?;
    Ok(Some(if allows { RunState::Applied } else { RunState::Rejected }))
}
