//! What clients may do: write what is agreed on of an entitlement, and confirm that a seat is gone in a target system. Seats
//! themselves are the server's: they come of rules and of what somebody is given by hand.

use provisioning::licences::{LICENCE, Stage, Terms};
use scim::schema::Definition;
use serde_json::{Map, Value};
use store::work::document_of;
use store::{Due, Work};

use super::known::{Known, Payer};
use super::pool::{self, Counts};
use super::seats;
use super::{SCHEMA, are_there};
use crate::directory::particular::{Follow, Write};
use crate::directory::rules::ENTITLEMENT;
use crate::directory::settle;
use crate::directory::{Ctx, Error, work_items};

/// Whether a resource type is that of seats, and not one of a tenant's own that is called so.
pub(in crate::directory) fn are(definition: &Definition) -> bool {
    definition.core.id == SCHEMA
}

/// Sees to a seat that a client would write or remove. Removing one that is to be confirmed gone confirms it; one that is free
/// is history, which administrators may clear. All else is denied.
pub(in crate::directory) fn attend(
    write: &Write<'_>,
    after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    let known = Known::find(work, write.id)?;
    let (None, Some(known)) = (after, known) else {
        return Err(Error::Denied(
            "Seats are not written: they come of rules, of who is included in a rule, and of the entitlements of a user."
                .into(),
        ));
    };
    match known.stage() {
        Some(Stage::Reclaiming) => Ok(Some(Box::new(move |write, _, work| confirm(write.ctx, &known, work)))),
        Some(Stage::Free) if write.ctx.caller.scopes.is_admin() => Ok(None),
        stage => Err(Error::Denied(format!(
            "This seat is {}. Only a seat that is reclaimPending is confirmed gone by its removal; whose right is to end is \
             excluded from the rule that gives it.",
            stage.map(Stage::as_str).unwrap_or_default()
        ))),
    }
}

/// A target system has said that the right is gone there: the seat is free.
fn confirm(ctx: &Ctx, known: &Known, work: &mut Work<'_>) -> Result<(), Error> {
    let Some(entitlement) = known.entitlement() else { return Ok(()) };
    let mut counts = pool::counts(work, entitlement)?;
    let document = work.document_of(entitlement)?;
    let terms = document.map(|document| Terms::read(&document)).transpose()?.flatten();
    let permitted = terms.map_or(0, |terms| terms.permitted);
    seats::take_back(ctx, work, known, &Payer::default(), &mut counts, permitted)?;
    pool::keep(work, entitlement, counts)
}

/// Sees to an entitlement that is written or removed: its terms are checked, its counts are the server's. Fails with 400 for
/// terms that are none, with 409 for the removal of one that has seats.
pub(in crate::directory) fn attend_entitlement(
    write: &Write<'_>,
    after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    if !are_there(work.catalog().registry()) {
        return Ok(Some(Box::new(|write, _, work| {
            settle::note_change(write.ctx, work, ENTITLEMENT);
            Ok(())
        })));
    }
    let before = write.before.map(document_of).transpose()?;
    let counts = before.as_ref().map(Counts::of).unwrap_or_default();
    let was = before.as_ref().and_then(|document| Terms::read(document).ok()).flatten();
    let Some(document) = after else {
        if counts.used > 0 {
            let detail = format!(
                "{} seats of the entitlement are taken. Take it from the rules that give it first, and from who has it by hand.",
                counts.used
            );
            return Err(scim::Error::status(409, detail).into());
        }
        return Ok(Some(Box::new(move |write, _, work| {
            if work.due_of(write.id)?.is_some() {
                work.put_due(write.id, None);
            }
            work_items::close(write.ctx, work, work_items::Kind::OverPermitted, write.id, false)?;
            settle::note_change(write.ctx, work, ENTITLEMENT);
            Ok(())
        })));
    };
    let is = Terms::read(document)?;
    let has_counts =
        before.as_ref().is_some_and(|before| before.get(LICENCE).is_some_and(|part| part.get("over").is_some()));
    if is.is_some() || has_counts {
        counts.put(document);
        seats::normalise(work, ENTITLEMENT, document);
    }
    Ok(Some(Box::new(move |write, _, work| {
        match (&was, &is) {
            // How many there are and what they cost is nobody's affair but of who waits.
            (Some(was), Some(is)) if alike(was) == alike(is) => work.move_book(),
            _ => settle::note_change(write.ctx, work, ENTITLEMENT),
        }
        // Without a rule, who has it by hand has to be counted all the same.
        if was.is_none() && is.is_some() && work.count(settle::RULE) == 0 && work.count(settle::POLICY) == 0 {
            settle::tell_everybody_soon(write.ctx, work);
        }
        if is.is_some() {
            work.put_due(write.id, Some(Due::at(write.ctx.now.saturating_add(1))));
        }
        Ok(())
    })))
}

/// What of the terms decides about rights that are held.
fn alike(terms: &Terms) -> Terms {
    Terms { permitted: 0, price: None, cost_center: None, priority: 0, ..terms.clone() }
}
