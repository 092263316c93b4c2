//! Licences: entitlements of which there are only so many. A seat, or a place in the queue for one, is a resource
//! (`/Assignments`) that the server alone writes; how many are taken and who waits is kept with the entitlement. What is to
//! become of a seat is decided by [`provisioning::licences`], within the write that changes a User; a seat that is free is
//! handed on when it falls due, after all else of that moment. Without a limited entitlement nothing is asked.
//!
//! `decide` works out what becomes of one User's seats, `seats` writes it (`known` reads it), `pool` keeps the counts and hands on,
//! `resource` is what clients may do, [`report`] what reclaims have saved.

mod decide;
mod known;
mod pool;
pub mod report;
mod resource;
mod seats;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use provisioning::licences::{LICENCE, Terms};
use scim::schema::Registry;
use scim::schema::shipped::is_installed;
use store::work::document_of;
use store::{ResourceId, Work};

use super::rules::ENTITLEMENT;
use super::settle::Book;
use super::{Ctx, Error};

pub(super) use decide::{Decided, decide, follows_person};
pub(super) use pool::{hand_on, reconsider};
pub(super) use resource::{are, attend, attend_entitlement};
pub(super) use seats::{Move, carry_out, place, release, waits_for};

/// The resource type of seats.
pub(super) const ASSIGNMENT: &str = "Assignment";
/// Its schema.
pub(super) const SCHEMA: &str = "urn:matrikel:scim:schemas:core:1.0:Assignment";

/// What is agreed on of the limited entitlements of a tenant.
pub(super) type Pools = BTreeMap<ResourceId, Terms>;

/// Who gets a seat in a simulation, by entitlement: nobody else does.
pub type Winners = Arc<BTreeSet<(ResourceId, ResourceId)>>;

/// Whether the tenant has seats, and they are those that are shipped.
pub(super) fn are_there(registry: &Registry) -> bool {
    is_installed(registry, ASSIGNMENT, SCHEMA)
        && registry.definition(ENTITLEMENT).is_some_and(|definition| definition.extension(LICENCE).is_some())
}

/// Whether a write of a User may concern a seat: the tenant has entitlements, and seats for them.
pub(super) fn may_concern(work: &Work<'_>) -> bool {
    work.count(ENTITLEMENT) > 0 && are_there(work.catalog().registry())
}

/// What is agreed on of the tenant's limited entitlements. One that cannot be read gives nothing.
pub(super) fn pools(work: &mut Work<'_>) -> Result<Pools, Error> {
    let mut pools = Pools::new();
    if !may_concern(work) {
        return Ok(pools);
    }
    for record in work.records_of(ENTITLEMENT)? {
        if let Ok(Some(terms)) = Terms::read(&document_of(&record)?) {
            pools.insert(record.id, terms);
        }
    }
    Ok(pools)
}

/// Of each limited entitlement, how many seats are permitted and how many used.
pub(super) fn taken(work: &mut Work<'_>) -> Result<BTreeMap<ResourceId, (i64, i64)>, Error> {
    let mut taken = BTreeMap::new();
    for (id, terms) in Book::of(work)?.pools() {
        taken.insert(*id, (terms.permitted, pool::counts(work, *id)?.used));
    }
    Ok(taken)
}

/// Who gets a seat of those who ask for one, in the order of their places: of each entitlement as many as are free.
pub(super) fn winners(free: &BTreeMap<ResourceId, i64>, mut asks: Vec<(ResourceId, String, ResourceId)>) -> Winners {
    asks.sort();
    let mut left = free.clone();
    let wins = asks.into_iter().filter(|(entitlement, ..)| {
        let left = left.entry(*entitlement).or_default();
        *left -= 1;
        *left >= 0
    });
    Arc::new(wins.map(|(entitlement, _, user)| (entitlement, user)).collect())
}

/// The context of a question: nobody is given a seat that nobody has looked for yet.
pub(super) fn unhurried(ctx: &Ctx) -> Ctx {
    Ctx { winners: Some(Winners::default()), ..ctx.clone() }
}
