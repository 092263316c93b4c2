//! What follows from a User's facts by rule, within the write that changes them: [`settle`] brings what is derived of a
//! document into its form before it is written, [`follow`] does the rest after it: memberships of groups, rights, and when
//! the scheduler is to look again. Both are called under the lock by creations, revisions and removals and by the
//! scheduler, so that a simulation, a bulk request and a replay do the same. Works out nothing itself: that is
//! `provisioning`, pure. Without a policy or a rule nothing is done and nothing is paid.

mod book;
mod depart;
mod fall;
mod falls;
mod foresee;
mod life;
mod naming;
mod people;
pub(super) mod rights;
mod standing;
mod superior;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use provisioning::lifecycle::State;
pub(super) use provisioning::person::USER;
use provisioning::policy::Policy;
use provisioning::rules::asks_for_others;
use provisioning::units::KIND as UNIT;
use scim::schema::Registry;
use store::{Due, Grant, ResourceId, Work};

use super::particular::{Follow as Written, Write};
use super::{Ctx, Error, membership, persons};

pub(super) use book::Book;
pub(super) use depart::{bring_back, merged, purge, refuse_held, returning, withdraw};
pub use fall::Fallen;
pub use falls::Falls;
pub(super) use foresee::{Foreseen, foresee};
pub(super) use naming::{EARLIER, NAMES, body, refuse_nameless};
pub(super) use people::{look_at_led, look_at_units};
pub(super) use standing::keep_said;

/// The resource type of policies.
pub const POLICY: &str = "Policy";
/// The resource type of rules.
pub const RULE: &str = "Rule";

/// What is to be done once a User is written.
#[derive(Debug, Default)]
pub(super) struct Follow {
    /// Groups that the User leaves. They come before those that it joins.
    pub(super) leaving: Vec<ResourceId>,
    /// Groups that the User joins.
    pub(super) joining: Vec<ResourceId>,
    /// Grants as they shall be: new ones, and what became of others.
    pub(super) grants: Vec<Grant>,
    /// When something changes next by itself, µs since 1970.
    pub(super) due: Option<i64>,
    /// Whether the User is to be purged, which the scheduler alone does.
    pub(super) is_over: bool,
    /// Employee numbers under which the User is led by others' employments and units, where that has changed.
    numbers: BTreeSet<String>,
    /// The other accounts of the same person, where what they may hold depends on this one.
    siblings: Vec<ResourceId>,
    /// Users that were kept from a manager by a circle which may be none any more.
    freed: BTreeSet<ResourceId>,
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

/// Whether anything follows from a resource of the type: it is a User, and there is a policy, a rule or a unit.
pub(super) fn concerns(kind: &str, work: &Work<'_>) -> bool {
    kind == USER && (work.count(POLICY) > 0 || work.count(RULE) > 0 || people::has_units(work))
}

/// Works out what is derived of a User's document that a client has written, and what is to follow. `before` is the
/// document as it is stored.
pub(super) fn settle(
    ctx: &Ctx,
    work: &mut Work<'_>,
    id: ResourceId,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
) -> Result<Follow, Error> {
    let book = Book::of(work)?;
    standing::restore(before, after);
    standing::guard_said(ctx, before, after)?;
    if book.policy_of(after).is_some() {
        life::hear(ctx, before, after);
        depart::refuse_buried(work, &book, before, after)?;
    }
    conclude(ctx, work, &book, id, before, after)
}

/// The same once it is settled what a client has said, or when none has said anything.
fn conclude(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    id: ResourceId,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
) -> Result<Follow, Error> {
    let mut follow = Follow::default();
    let life = match book.policy_of(after) {
        Some(policy) => life::tell(ctx, &policy.terms, before, after),
        None => life::forget(after),
    };
    follow.look_again(life.next);
    follow.is_over = life.is_over;
    follow.look_again(people::settle(ctx, book, after));
    superior::settle(ctx, work, book, id, before, after, &mut follow)?;
    follow.look_again(naming::settle(ctx, work, book.policy_of(after), id, before, after)?);
    let calendar = book.calendar_of(after);
    let subject = rights::Subject {
        id,
        document: after,
        is_new: before.is_none(),
        state: held_state(after),
        calendar: &calendar,
        units: book.units(),
    };
    let entitlements = rights::settle(ctx, work, book.rules(), &subject, &mut follow)?;
    if let Some(entitlements) = entitlements {
        after.insert("entitlements".to_owned(), entitlements);
    }
    let is_another = before.is_none_or(|before| before != after) || !follow.grants.is_empty();
    if is_another && asks_for_others(book.rules()) {
        follow.siblings = persons::siblings(work, id, after)?;
    }
    Ok(follow)
}

/// Does what follows, after the User was written or was found to be as it shall be.
pub(super) fn follow(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId, follow: Follow) -> Result<(), Error> {
    superior::follow(ctx, work, &follow)?;
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
    let due = follow.due.map(Due::at);
    if work.due_of(id)? != due {
        work.put_due(id, due);
    }
    Ok(())
}

/// What becomes of what followed from a User that is deleted: its rights end, and nothing falls due any more.
pub(super) fn end(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<(), Error> {
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

/// Sees to a policy or an entitlement that is written or removed.
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
    if matches!(kind, POLICY | RULE) || (kind != UNIT && (work.count(POLICY) > 0 || work.count(RULE) > 0)) {
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
pub(super) const EVERYBODY: ResourceId = ResourceId::SYSTEM;
