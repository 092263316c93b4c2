//! Moves of units that are planned (`moves`): kept among what is due, carried out on their day by the write path that a
//! client's move takes, so that what lies below moves too and whoever works there is looked at. A simulation that looks ahead
//! does so at once. What a PUT does not speak of stays planned.

use provisioning::units::{KIND, MOVES, moved, next_move};
use serde_json::{Map, Value};
use store::work::document_of;
use store::{Due, Record, ResourceId, Work};

use super::super::derive::derive;
use super::super::particular::Write;
use super::super::settle::Book;
use super::super::{Ctx, Error};
use super::{are, attend, write};

/// Puts the next planned move of a unit among what is due, unless something of it is due before.
pub(super) fn note(work: &mut Work<'_>, id: ResourceId, document: &Map<String, Value>) -> Result<(), Error> {
    let Some(day) = next_move(document) else { return Ok(()) };
    let at = Book::of(work)?.calendar_of(&Map::new()).start_of(day);
    if work.due_of(id)?.is_none_or(|due| due.at > at) {
        work.put_due(id, Some(Due::at(at)));
    }
    Ok(())
}

/// Carries out what is planned of a resource until now, if it is a unit, and notes what is to come.
pub(in crate::directory) fn move_on(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<(), Error> {
    let Some(record) = work.record(id)?.filter(|record| record.kind == KIND) else { return Ok(()) };
    carry_out(ctx, work, &record, ctx.now)?;
    match work.record(id)? {
        Some(record) => note(work, id, &document_of(&record)?),
        None => Ok(()),
    }
}

/// Carries out every move that is planned until an instant (µs since 1970), unit by unit.
pub(in crate::directory) fn move_all(ctx: &Ctx, work: &mut Work<'_>, until: i64) -> Result<(), Error> {
    if work.count(KIND) == 0 {
        return Ok(());
    }
    for record in work.records_of(KIND)? {
        if record.doc.contains(MOVES) {
            carry_out(ctx, work, &record, until)?;
        }
    }
    Ok(())
}

fn carry_out(ctx: &Ctx, work: &mut Work<'_>, record: &Record, until: i64) -> Result<(), Error> {
    let registry = work.catalog().registry().clone();
    let Some(definition) = registry.definition(KIND).filter(|definition| are(definition)) else { return Ok(()) };
    let before = document_of(record)?;
    let day = Book::of(work)?.calendar_of(&Map::new()).day_of(until);
    let Some(mut after) = moved(&before, day) else { return Ok(()) };
    derive(&registry, definition, &mut after, Some(&before), ctx.now)?;
    let step = Write { ctx, definition, id: record.id, before: Some(record), external: None };
    let follow = attend(&step, Some(&mut after), work)?;
    write(work, record.clone(), after)?;
    match (follow, work.record(record.id)?) {
        (Some(follow), Some(written)) => follow(&step, Some(&written), work),
        _ => Ok(()),
    }
}

/// What is planned stays so where a client puts a unit without speaking of it.
pub(in crate::directory) fn keep_planned(current: &Map<String, Value>, body: &Value, next: &mut Map<String, Value>) {
    let speaks = body.as_object().is_some_and(|body| body.keys().any(|key| key.eq_ignore_ascii_case(MOVES)));
    if let Some(planned) = current.get(MOVES).filter(|_| !speaks) {
        next.insert(MOVES.to_owned(), planned.clone());
    }
}
