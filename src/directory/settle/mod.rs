//! What follows from a User's facts by rule, within the write that changes them: [`settle`] brings what is derived of a
//! document into its form before it is written, [`follow`] does the rest after it: memberships of groups, rights, and when
//! the scheduler is to look again. Both are called under the lock by creations, revisions and removals and by the
//! scheduler, so that a simulation, a bulk request and a replay do the same. Works out nothing itself: that is
//! `provisioning`, pure. Without a policy or a rule nothing is done and nothing is paid.

mod adopt;
mod back;
mod book;
mod choice;
mod claim;
mod depart;
mod fall;
mod falls;
mod foresee;
mod life;
mod naming;
mod people;
mod rehire;
pub(super) mod rights;
pub(super) mod sources;
mod sponsor;
mod standing;
mod superior;
pub(super) mod wished;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use provisioning::lifecycle::State;
pub(super) use provisioning::person::USER;
use provisioning::policy::Policy;
use provisioning::rules::asks_for_others;
use provisioning::units::KIND as UNIT;
use scim::schema::{Definition, Registry};
use store::{Due, Grant, ResourceId, Work};

use super::particular::{Follow as Written, Write};
use super::{Ctx, Error, adoptions, licences, membership, persons, views, work_items};

pub(super) use back::{is_withdrawn, put_back};
pub(super) use book::Book;
pub(super) use choice::{choose, choose_for, forget_choices, settle_choices};
pub(super) use claim::{Claim, claim_addresses, having_number, review};
pub(super) use depart::{ADDRESSES, NUMBERS, USER_NAMES, buried_form, is_held, purge, refuse_held, withdraw};
pub use fall::Fallen;
pub(super) use fall::look;
pub use falls::Falls;
pub(super) use foresee::{Foreseen, foresee, has};
pub(super) use naming::{EARLIER, NAMES, body, refuse_nameless};
pub(super) use people::{look_at_led, look_at_units};
pub(super) use rehire::{Return, bring_back, filled, merged, returning};
pub(super) use sources::Voice;
pub(super) use standing::keep_said;

/// The resource type of policies.
pub const POLICY: &str = "Policy";
/// The resource type of rules.
pub const RULE: &str = "Rule";
/// The resource type that says whose word counts for which values.
pub const AUTHORITY: &str = "Authority";

/// What is to be done once a User is written.
#[derive(Debug, Default)]
pub(super) struct Follow {
    /// Groups that the User leaves. They come before those that it joins.
    pub(super) leaving: Vec<ResourceId>,
    /// Groups that the User joins.
    pub(super) joining: Vec<ResourceId>,
    /// Grants as they shall be: new ones, and what became of others.
    pub(super) grants: Vec<Grant>,
    /// What becomes of seats of limited entitlements.
    pub(super) seats: Vec<licences::Move>,
    /// When something changes next by itself, µs since 1970.
    pub(super) due: Option<i64>,
    /// Whose account it was taken for, where the accounts of a person share seats.
    pub(super) person: Option<Option<ResourceId>>,
    /// What a person has to look at, or no more.
    pub(super) notices: Vec<work_items::Notice>,
    /// Whether the User is to be purged, which the scheduler alone does.
    pub(super) is_over: bool,
    /// Whether something else falls due of the resource too, and has the same row: it is no User.
    shares_due: bool,
    /// Employee numbers under which the User is led by others' employments and units, where that has changed.
    numbers: BTreeSet<String>,
    /// The other accounts of the same person, where what they may hold depends on this one.
    siblings: Vec<ResourceId>,
    /// Users that were kept from a manager by a circle which may be none any more.
    freed: BTreeSet<ResourceId>,
    /// Whether the User can answer for others from now on, or cannot any more.
    answers_otherwise: bool,
}

impl Follow {
    /// Something changes by itself then (µs since 1970), if not before.
    pub(super) fn look_again(&mut self, at: Option<i64>) {
        self.due = self.due.into_iter().chain(at).min();
    }
}

/// Checks the document of a policy against the tenant's resource types. Fails with 400 invalidValue that names the place.
pub(super) fn check_policy(registry: &Registry, document: &Map<String, Value>) -> Result<(), scim::Error> {
    let user = registry.definition(USER);
    let user = user.ok_or_else(|| scim::Error::invalid_value("There is no resource type User to cover.".to_owned()))?;
    Policy::read(document, user).map(drop)
}

/// Whether anything follows from a resource of the type as from an account: it is a User, and there is a policy, a rule, a
/// unit, an authority over values, or an account of before.
pub(super) fn concerns(kind: &str, work: &Work<'_>) -> bool {
    kind == USER
        && (work.count(POLICY) > 0
            || work.count(RULE) > 0
            || work.count(AUTHORITY) > 0
            || people::has_units(work)
            || licences::may_concern(work)
            || adoptions::are_there(work))
}

/// Whether anything follows from a resource of the type, be it only that several sources speak of its values.
pub(super) fn follows(definition: &Definition, work: &Work<'_>) -> bool {
    concerns(definition.name(), work) || sources::concern(definition, work)
}

/// Works out what is derived of a User's document that a client has written, and what is to follow. `before` is the
/// document as it is stored, `voice` how the write speaks.
pub(super) fn settle(
    ctx: &Ctx,
    work: &mut Work<'_>,
    (definition, id): (&Definition, ResourceId),
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
    voice: &Voice<'_>,
) -> Result<Follow, Error> {
    let book = Book::of(work)?;
    if sources::concern(definition, work) {
        sources::hear(ctx, &book, definition, before, after, voice)?;
    }
    if definition.name() != USER {
        return conclude(ctx, work, &book, (definition.name(), id), before, after);
    }
    wished::hear(ctx, &book, definition, before, after, voice);
    standing::restore(before, after);
    standing::guard_said(ctx, before, after)?;
    sponsor::check(ctx, work, &book, id, before, after)?;
    if book.policy_of(after).is_some() {
        life::hear(ctx, before, after);
        depart::refuse_buried(work, &book, id, before, after)?;
    }
    conclude_with(ctx, work, &book, (USER, id), before, (after, voice.number.as_deref()))
}

/// The same once it is settled what a client has said, or when none has said anything.
fn conclude(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    of: (&str, ResourceId),
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
) -> Result<Follow, Error> {
    conclude_with(ctx, work, book, of, before, (after, None))
}

/// The same with what stands for an identity number that is still in clear in the document.
fn conclude_with(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    (kind, id): (&str, ResourceId),
    before: Option<&Map<String, Value>>,
    (after, number): (&mut Map<String, Value>, Option<&str>),
) -> Result<Follow, Error> {
    let mut follow = Follow::default();
    follow.look_again(sources::show(ctx, book, kind, before, after));
    if kind != USER {
        follow.shares_due = true;
        return Ok(follow);
    }
    let life = match book.policy_of(after) {
        Some(policy) => life::tell(ctx, &policy.terms, before, after),
        None => life::forget(after),
    };
    follow.look_again(life.next);
    follow.is_over = life.is_over;
    follow.look_again(people::settle(ctx, book, after));
    superior::settle(ctx, work, book, id, before, after, &mut follow)?;
    let adoption = adopt::find(work, id, after, number)?;
    let policy = book.policy_of(after);
    follow.look_again(naming::settle(ctx, work, policy, id, before, (after, adoption.as_ref()))?);
    let inherits = match &adoption {
        Some(adoption) => adoption.take_over(ctx, work, id)?,
        None => false,
    };
    let calendar = book.calendar_of(after);
    let subject = rights::Subject {
        id,
        before,
        document: after,
        is_new: before.is_none() && !inherits,
        state: held_state(after),
        calendar: &calendar,
        units: book.units(),
    };
    let (entitlements, by_hand) = rights::settle(ctx, work, book, &subject, &mut follow)?;
    let states = (before.and_then(held_state), subject.state);
    follow.notices.extend(work_items::notice(id, before, after, states, &by_hand, (&calendar, ctx.now)));
    sponsor::settle(ctx, work, book, id, before, after, &mut follow)?;
    if licences::follows_person(book.pools(), work) {
        follow.person = Some(persons::person_of(after));
    }
    match entitlements {
        // An attribute without values is not there (RFC 7643 section 2.5).
        Some(Value::Array(none)) if none.is_empty() => drop(after.shift_remove("entitlements")),
        Some(entitlements) => drop(after.insert("entitlements".to_owned(), entitlements)),
        None => {}
    }
    let is_another = before.is_none_or(|before| before != after) || !follow.grants.is_empty();
    if is_another && asks_for_others(book.rules()) {
        follow.siblings = persons::siblings(work, id, after)?;
    }
    if let Some(adoption) = adoption {
        adoption.report(ctx, work, id, &follow)?;
    }
    Ok(follow)
}

/// Does what follows, after the User was written or was found to be as it shall be.
pub(super) fn follow(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId, mut follow: Follow) -> Result<(), Error> {
    licences::carry_out(ctx, work, id, std::mem::take(&mut follow.seats))?;
    if let Some(decided_for) = follow.person
        && work.document_of(id)?.and_then(|document| persons::person_of(&document)) != decided_for
    {
        follow.look_again(Some(ctx.now));
    }
    superior::follow(ctx, work, &follow)?;
    if follow.answers_otherwise {
        sponsor::look_at_sponsored(ctx, work, id)?;
    }
    for group in follow.leaving {
        membership::set(ctx, work, group, id, false)?;
    }
    for group in follow.joining {
        membership::set(ctx, work, group, id, true)?;
    }
    for grant in follow.grants {
        work.put_grant(grant);
    }
    for sibling in follow.siblings {
        work.put_due(sibling, Some(Due::at(ctx.now)));
    }
    for notice in follow.notices {
        match notice {
            work_items::Notice::Open(item) => work_items::open(ctx, work, &item)?,
            work_items::Notice::Close(kind, about) => work_items::close(ctx, work, kind, about, false)?,
        }
    }
    let leaving = match work.keeps_notes(USER) {
        true => work.document_of(id)?.and_then(|document| views::next_leaving(&document)),
        false => None,
    };
    follow.due = follow.due.into_iter().chain(leaving).min();
    let known = work.due_of(id)?;
    let due = match known {
        Some(known) if follow.shares_due && follow.due.is_none_or(|at| known.at <= at) => Some(known),
        _ => follow.due.map(Due::at),
    };
    if known != due {
        work.put_due(id, due);
    }
    Ok(())
}

/// What becomes of what followed from a User that is deleted: its rights end, and nothing falls due any more.
pub(super) fn end(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<(), Error> {
    if work.count(licences::ASSIGNMENT) > 0
        && let Some(record) = work.record(id)?
    {
        let book = Book::of(work)?;
        let calendar = book.calendar_of(&store::work::document_of(&record)?);
        licences::release(ctx, work, book.pools(), &record, &calendar)?;
    }
    for grant in work.grants_of(id)? {
        if grant.until.is_none() {
            work.end_grant(grant, ctx.now);
        }
    }
    if work.due_of(id)?.is_some() {
        work.put_due(id, None);
    }
    Ok(())
}

/// Sees to a policy that is written or removed.
pub(super) fn attend(
    _: &Write<'_>,
    _: Option<&mut Map<String, Value>>,
    _: &mut Work<'_>,
) -> Result<Option<Written>, Error> {
    Ok(Some(Box::new(|write, _, work| {
        note_change(write.ctx, work, write.definition.name());
        Ok(())
    })))
}

/// After a change of what the book is made of: it is another book, and every User is looked at again, slice by slice.
pub(super) fn note_change(ctx: &Ctx, work: &mut Work<'_>, kind: &str) {
    work.move_book();
    // Who works in which unit is known: they alone are looked at for its sake, see `people`.
    if matches!(kind, POLICY | RULE | AUTHORITY) || (kind != UNIT && (work.count(POLICY) > 0 || work.count(RULE) > 0)) {
        tell_everybody_soon(ctx, work);
    }
}

/// Has every User looked at again, slice by slice.
pub(super) fn tell_everybody_soon(ctx: &Ctx, work: &mut Work<'_>) {
    work.put_due(EVERYBODY, Some(Due::at(ctx.now)));
}

/// The state that a User's document says, where a policy covers it.
pub(super) fn held_state(document: &Map<String, Value>) -> Option<State> {
    standing::held(document).map(|(state, _)| state)
}

/// Stands among what is due for every User of the tenant.
pub const EVERYBODY: ResourceId = ResourceId::SYSTEM;
