//! What a User's employments come to on a day: which hold, which is the main one, where their units lie. Written when the
//! day comes and when a unit moves, never worked out when somebody reads.

use std::collections::BTreeSet;

use provisioning::facts::{Facts, materialise};
use provisioning::person::{EMPLOYMENTS, URN, USER};
use provisioning::units::{self, KIND, Unit, Units};
use scim::schema::shipped::is_installed;
use serde_json::{Map, Value};
use store::work::document_of;
use store::{Due, Work};

use super::super::{Ctx, Error};
use super::book::Book;
use super::{EVERYBODY, superior};

/// So many people are looked at one by one for the sake of a unit; if there are more, everybody is.
const FEW: i64 = 1_000;

/// Whether the tenant has units, and they are those that are shipped.
pub(super) fn has_units(work: &Work<'_>) -> bool {
    work.count(KIND) > 0 && is_installed(work.catalog().registry(), KIND, units::URN)
}

/// The tenant's units.
pub(super) fn units(work: &mut Work<'_>) -> Result<Units, Error> {
    if !has_units(work) {
        return Ok(Units::default());
    }
    let mut all = Vec::new();
    for record in work.records_of(KIND)? {
        all.push(Unit::of(&record.id.to_string(), &document_of(&record)?));
    }
    let calls = work.calls(KIND)?.into_iter().map(|(id, key)| (id.to_string(), key));
    Ok(Units::new(all, calls))
}

/// Writes what the employments of a User come to. Answers when that changes next by itself, µs since 1970.
pub(super) fn settle(ctx: &Ctx, book: &Book, document: &mut Map<String, Value>) -> Option<i64> {
    document.get(URN)?.get(EMPLOYMENTS)?;
    let calendar = book.calendar_of(document);
    let day = calendar.day_of(ctx.now);
    materialise(document, day, |unit| book.units().path(unit));
    Facts::of(document).next_turn(day).map(|turn| calendar.start_of(turn))
}

/// Units have come, gone, moved or changed that employments call by these keys: whoever works there is looked at.
pub(in crate::directory) fn look_at_units(ctx: &Ctx, work: &mut Work<'_>, keys: BTreeSet<String>) -> Result<(), Error> {
    let keys: Vec<String> = keys.into_iter().collect();
    if work.count(USER) == 0
        || work.catalog().registry().definition(USER).is_none_or(|user| user.extension(URN).is_none())
    {
        return Ok(());
    }
    let there = work.having(USER, &format!("{URN}:{EMPLOYMENTS}.unit"), &keys, None, FEW)?;
    match there.filter(|there| (there.len() as i64) < FEW) {
        Some(there) => there.into_iter().for_each(|id| work.put_due(id, Some(Due::at(ctx.now)))),
        // Too many to be named, or nobody knows who: everybody is looked at.
        None => work.put_due(EVERYBODY, Some(Due::at(ctx.now))),
    }
    Ok(())
}

/// Somebody else leads a unit. Whoever works there or in one of those below it that nobody leads is looked at (`keys`), and
/// whoever has passed over the one who leads a unit below it (`numbers`): where managers are derived.
pub(in crate::directory) fn look_at_led(
    ctx: &Ctx,
    work: &mut Work<'_>,
    keys: BTreeSet<String>,
    numbers: &BTreeSet<String>,
) -> Result<(), Error> {
    let book = Book::of(work)?;
    if !superior::is_derived(&book) {
        return Ok(());
    }
    look_at_units(ctx, work, keys)?;
    superior::look_past(ctx, work, numbers)
}
