//! Moves of units that are planned (`moves`): kept among what is due, carried out on their day by the write path that a
//! client's move takes, so that what lies below moves too and whoever works there is looked at. A simulation that looks ahead
//! does so at once, in the order of the days. What a PUT does not speak of stays planned. A move that cannot be made on its
//! day stays planned too, and a person is asked what is to become of it.

use provisioning::units::{KIND, MOVES, Unit, moved, planned};
use serde_json::{Map, Value};
use store::work::document_of;
use store::{Due, Record, ResourceId, Work};

use super::super::derive::derive;
use super::super::particular::Write;
use super::super::settle::Book;
use super::super::work_items::{Item, Kind, close, open};
use super::super::{Ctx, Error};
use super::{are, attend, refuse_circle, write};

/// How long after it could not be made a move is tried again, in µs.
const PATIENCE: i64 = 3_600_000_000;

/// Puts the next planned move of a unit among what is due, unless something of it is due before. Where none is late any more,
/// nobody is asked about one.
pub(super) fn note(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId, document: &Map<String, Value>) -> Result<(), Error> {
    let Some(day) = planned(document).next() else { return close(ctx, work, Kind::PlannedMove, id, true) };
    let calendar = Book::of(work)?.calendar_of(&Map::new());
    if day > calendar.day_of(ctx.now) {
        close(ctx, work, Kind::PlannedMove, id, true)?;
    }
    fall_due(work, id, calendar.start_of(day))
}

/// Has a unit looked at again at an instant (µs since 1970), unless something of it is due before.
fn fall_due(work: &mut Work<'_>, id: ResourceId, at: i64) -> Result<(), Error> {
    if work.due_of(id)?.is_none_or(|due| due.at > at) {
        work.put_due(id, Some(Due::at(at)));
    }
    Ok(())
}

/// Carries out what is planned of a resource until now, if it is a unit, and notes what is to come. What cannot be done is
/// tried again, and is a person's to decide meanwhile.
pub(in crate::directory) fn move_on(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<(), Error> {
    let Some(record) = work.record(id)?.filter(|record| record.kind == KIND) else { return Ok(()) };
    if let Some(obstacle) = carry_out(ctx, work, &record, ctx.now)? {
        let item = Item::new(Kind::PlannedMove, id, "A move that was planned cannot be made.", "due");
        open(ctx, work, &Item { details: vec![obstacle.to_string()], ..item })?;
        return fall_due(work, id, ctx.now.saturating_add(PATIENCE));
    }
    match work.record(id)? {
        Some(record) => note(ctx, work, id, &document_of(&record)?),
        None => Ok(()),
    }
}

/// Carries out every move that is planned until an instant (µs since 1970), day by day. Fails with what stands in the way of one.
pub(in crate::directory) fn move_all(ctx: &Ctx, work: &mut Work<'_>, until: i64) -> Result<(), Error> {
    if work.count(KIND) == 0 {
        return Ok(());
    }
    let calendar = Book::of(work)?.calendar_of(&Map::new());
    let last = calendar.day_of(until);
    let mut all = Vec::new();
    for record in work.records_of(KIND)? {
        if record.doc.contains(MOVES) {
            let days = planned(&document_of(&record)?).filter(|day| *day <= last);
            all.extend(days.map(|day| (day, record.id)));
        }
    }
    all.sort_unstable();
    for (day, id) in all {
        let Some(record) = work.record(id)? else { continue };
        if let Some(obstacle) = carry_out(ctx, work, &record, calendar.start_of(day))? {
            return Err(obstacle.into());
        }
    }
    Ok(())
}

/// Makes the moves of a unit that are planned until an instant (µs since 1970). Answers what stands in their way; then nothing
/// is done.
fn carry_out(ctx: &Ctx, work: &mut Work<'_>, record: &Record, until: i64) -> Result<Option<scim::Error>, Error> {
    let registry = work.catalog().registry().clone();
    let Some(definition) = registry.definition(KIND).filter(|definition| are(definition)) else { return Ok(None) };
    let before = document_of(record)?;
    let day = Book::of(work)?.calendar_of(&Map::new()).day_of(until);
    let Some(mut after) = moved(&before, day) else { return Ok(None) };
    // Asked before anything is written: what is written here cannot be taken back by itself.
    match refuse_circle(work, Unit::of(&record.id.to_string(), &after)) {
        Err(Error::Scim(obstacle)) => return Ok(Some(obstacle)),
        refused => refused?,
    }
    derive(&registry, definition, &mut after, Some(&before), ctx.now)?;
    let step = Write { ctx, definition, id: record.id, before: Some(record), external: None };
    let follow = attend(&step, Some(&mut after), work)?;
    write(work, record.clone(), after)?;
    if let (Some(follow), Some(written)) = (follow, work.record(record.id)?) {
        follow(&step, Some(&written), work)?;
    }
    Ok(None)
}

/// What is planned stays so where a client puts a unit without speaking of it.
pub(in crate::directory) fn keep_planned(current: &Map<String, Value>, body: &Value, next: &mut Map<String, Value>) {
    let speaks = body.as_object().is_some_and(|body| body.keys().any(|key| key.eq_ignore_ascii_case(MOVES)));
    if let Some(planned) = current.get(MOVES).filter(|_| !speaks) {
        next.insert(MOVES.to_owned(), planned.clone());
    }
}
