//! What becomes of one User until a moment, by the same steps as when each falls due. Whoever asks does so in a simulation:
//! what is done here is done to the work that is given.

use std::collections::BTreeSet;

use provisioning::person::USER;
use serde_json::{Map, Value};
use store::work::document_of;
use store::{Grant, ResourceId, Work};

use super::super::{Ctx, Error, licences};
use super::fall::look;

/// Moments of one User at most: nobody has so many turns in what a person can oversee.
const TURNS: usize = 500;

/// What somebody was and would be.
#[derive(Debug)]
pub(in crate::directory) struct Foreseen {
    /// What people call it.
    pub(in crate::directory) label: String,
    /// The version that all this is worked out from.
    pub(in crate::directory) version: i64,
    /// The document as it is stored.
    pub(in crate::directory) before: Map<String, Value>,
    /// The document as it would be; `None`: it would be purged.
    pub(in crate::directory) after: Option<Map<String, Value>>,
    /// What it would have by group or right that it has not.
    pub(in crate::directory) begins: BTreeSet<ResourceId>,
    /// What it has and would not.
    pub(in crate::directory) ends: BTreeSet<ResourceId>,
    /// What it waits for, before and after: limited entitlements, each with its place as a text that sorts.
    pub(in crate::directory) waits: [BTreeSet<(ResourceId, String)>; 2],
    /// Every ground there is then, ended ones too.
    pub(in crate::directory) grants: Vec<Grant>,
}

/// Moves a User from the moment of `ctx` through whatever falls due until `until` (µs since 1970). `None`: there is no such
/// User.
pub(in crate::directory) fn foresee(
    ctx: &Ctx,
    work: &mut Work<'_>,
    id: ResourceId,
    until: i64,
) -> Result<Option<Foreseen>, Error> {
    let Some(first) = work.record(id)?.filter(|record| record.kind == USER) else { return Ok(None) };
    let before = document_of(&first)?;
    let has = has(work, id)?;
    let waited = licences::waits_for(work, id)?;
    let mut here = ctx.clone();
    let mut after = None;
    for _ in 0..TURNS {
        let Some(record) = work.record(id)? else { break };
        let next = look(&here, work, &record)?;
        after = work.record(id)?.map(|record| document_of(&record)).transpose()?;
        match next.flatten().filter(|at| *at > here.now && *at <= until) {
            Some(at) => here.now = at,
            None => break,
        }
    }
    let would_have = match after {
        Some(_) => self::has(work, id)?,
        None => BTreeSet::new(),
    };
    Ok(Some(Foreseen {
        label: first.label,
        version: first.version,
        before,
        after,
        begins: would_have.difference(&has).copied().collect(),
        waits: [waited, licences::waits_for(work, id)?],
        ends: has.difference(&would_have).copied().collect(),
        grants: work.grants_of(id)?,
    }))
}

/// The groups that a User is in, and all that it holds on some ground.
pub(in crate::directory) fn has(work: &mut Work<'_>, id: ResourceId) -> Result<BTreeSet<ResourceId>, Error> {
    let mut has = work.groups_of(id)?;
    let held = work.grants_of(id)?.into_iter().filter(|grant| grant.until.is_none());
    has.extend(held.map(|grant| grant.key.target));
    Ok(has)
}
