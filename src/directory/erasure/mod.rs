//! Erasing what is known of somebody who is gone: content and salt of every change, rights and what spoke for them, seats,
//! what has to be decided, what runs have left, what feeds have said. It is done a slice at a time by the scheduler, in whose
//! queue (`due`) the id stands as long as anything is left; done twice it comes to the same. What stays: the tombstones, the
//! headers of changes and their chain, and evidence of access for as long as the entitlement says, which tells dates and rule
//! and nothing of the person but the id.

mod replay;
mod runs;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use provisioning::calendar::instant;
use provisioning::licences::retention;
use serde_json::{Map, Value, json};
use store::change::Op;
use store::work::{Origin, document_of};
use store::{Due, Erasure, Grant, GrantKey, ResourceId, Work};

use super::settle::USER;
use super::{Ctx, Directory, Error, Fallen, feeds, licences, settle};

pub use replay::{Listed, Replayed};

/// Changes that are erased by one write.
const SLICE: i64 = 500;
/// What cannot go on is looked at again after so long, µs.
const PATIENCE: i64 = 3_600_000_000;
/// As long as a source still tells of somebody who is erased, it is asked so often whether it does, µs.
const MONTH: i64 = 30 * 86_400_000_000;
/// What may go together with an account, and is erased with it then.
const BESIDE: [&str; 3] = [licences::ASSIGNMENT, "Adoption", "Person"];

/// Has a User erased that this operation removes, and all that it removes with it.
pub(super) fn begin(ctx: &Ctx, work: &mut Work<'_>, user: ResourceId) -> Vec<ResourceId> {
    let removed =
        work.changes().iter().filter(|change| change.op == Op::Delete && BESIDE.contains(&change.kind.as_str()));
    let mut all: Vec<(ResourceId, String)> = removed.map(|change| (change.resource, change.kind.clone())).collect();
    all.push((user, USER.to_owned()));
    for (id, kind) in &all {
        let erasure = Erasure::new(kind, ctx.now);
        // Of runs only people are found.
        let runs_at = (*id != user).then_some(ctx.now);
        work.put_erasure(*id, Erasure { runs_at, ..erasure });
        work.put_due(*id, Some(Due::at(ctx.now)));
    }
    all.into_iter().map(|(id, _)| id).collect()
}

/// Erases the next slice of what is gone and due; `false`: it is not to be erased.
pub(super) fn go_on(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<bool, Error> {
    let Some(erasure) = work.erasure(id)? else { return Ok(false) };
    if work.is_erasure_fresh(id) {
        return Ok(true);
    }
    if erasure.runs_at.is_none() {
        work.put_due(id, Some(Due::at(ctx.now.saturating_add(PATIENCE))));
        return Ok(true);
    }
    if work.erase_changes(id, SLICE)? > 0 {
        work.put_due(id, Some(Due::at(ctx.now)));
        return Ok(true);
    }
    // Where the source forgot it here, its next file would bring the person back.
    let is_said = work.erase_said(id, feeds::is_gone)?;
    let evidence = keep_evidence(ctx, work, id)?;
    if erasure.done_at.is_none() {
        work.put_erasure(id, Erasure { done_at: Some(ctx.now), ..erasure });
    }
    let asked = is_said.then(|| ctx.now.saturating_add(MONTH));
    let next = [asked, evidence].into_iter().flatten().min();
    work.put_due(id, next.map(Due::at));
    Ok(true)
}

/// Erases the rights that somebody had, but for those that are to be proven still: of these only who, what, when and by which
/// rule stays. Until when the first of them is kept, µs since 1970.
fn keep_evidence(ctx: &Ctx, work: &mut Work<'_>, user: ResourceId) -> Result<Option<i64>, Error> {
    let held = work.grants_of(user)?;
    let mut kept: BTreeMap<GrantKey, Grant> = BTreeMap::new();
    let mut first = None::<i64>;
    for grant in &held {
        let Some(until) = kept_until(ctx, work, grant)?.filter(|until| *until > ctx.now) else { continue };
        first = Some(first.map_or(until, |first| first.min(until)));
        let grant = bare(grant, until);
        // Two employments that one rule spoke for are one ground from now on.
        let longer = kept.get(&grant.key).is_some_and(|other| other.until >= grant.until);
        if !longer {
            kept.insert(grant.key.clone(), grant);
        }
    }
    if !held.iter().eq(kept.values()) {
        work.erase_grants(user)?;
        kept.into_values().for_each(|grant| work.put_grant(grant));
    }
    Ok(first)
}

/// Until when it stays known that somebody had a right, µs since 1970; `None`: it does not. The entitlement says so, as it is
/// or last was; where nothing of it is known any more, what was noted then holds.
fn kept_until(ctx: &Ctx, work: &mut Work<'_>, grant: &Grant) -> Result<Option<i64>, Error> {
    let document = match work.record(grant.key.target)? {
        Some(record) => Some(document_of(&record)?),
        None => work.last_document(grant.key.target)?.and_then(|text| serde_json::from_str(&text).ok()),
    };
    let Some(document) = document else {
        let facts = serde_json::from_str::<Value>(&grant.facts).unwrap_or_default();
        let noted = facts.get(KEPT_UNTIL).and_then(Value::as_str).and_then(|text| text.parse::<jiff::Timestamp>().ok());
        return Ok(noted.map(jiff::Timestamp::as_microsecond));
    };
    Ok(retention(&document).map(|months| months_after(grant.until.unwrap_or(ctx.now), months)))
}

const KEPT_UNTIL: &str = "keptUntil";

fn months_after(at: i64, months: i64) -> i64 {
    let later = jiff::Timestamp::from_microsecond(at).and_then(|at| {
        let span = jiff::Span::new().try_months(months)?;
        at.to_zoned(TimeZone::UTC).checked_add(span)
    });
    later.map_or(i64::MAX, |later| later.timestamp().as_microsecond())
}

/// What a right says once nothing else is known of who had it: the ground without the employment, no facts.
fn bare(grant: &Grant, until: i64) -> Grant {
    let ground_id = grant.key.ground_id.split('/').next().unwrap_or_default().to_owned();
    let facts = json!({ KEPT_UNTIL: instant(until) }).to_string();
    Grant { key: GrantKey { ground_id, ..grant.key.clone() }, facts, ..grant.clone() }
}

impl Directory {
    /// Erases a User, who is deleted first where that has not been done, and all that is known of it, at once. Fails with
    /// 404 for an id that never was a User, and with 409 for one on legal hold.
    pub async fn erase_user(&self, ctx: &Ctx, id: ResourceId) -> Result<(), Error> {
        let tenant = ctx.tenant;
        let said = self.store.read_for(tenant, move |reader| reader.last_said(tenant, id)).await;
        if said.map_err(|error: store::Error| error)?.is_none_or(|(kind, _)| kind != USER) {
            return Err(scim::Error::not_found(USER, &id.to_string()).into());
        }
        self.remember_act(ctx, ACT, about(id)).await?;
        let caller = ctx.clone();
        let remove = self.store.write(tenant, origin(ctx), move |work| {
            if let Some(record) = work.record(id)? {
                settle::refuse_held(&record)?;
                settle::purge(&caller, work, &record)?;
            }
            Ok::<_, Error>(begin(&caller, work, id))
        });
        let all = remove.await?;
        self.finish_erasing(ctx, &all).await
    }

    /// Does all that can be done now of erasures that were begun.
    async fn finish_erasing(&self, ctx: &Ctx, ids: &[ResourceId]) -> Result<(), Error> {
        self.forget_in_runs(ctx).await?;
        for id in ids {
            self.finish_one(ctx, *id).await?;
        }
        Ok(())
    }

    /// The same for one of them; `false`: not all of it, since somebody else does it just now.
    async fn finish_one(&self, ctx: &Ctx, id: ResourceId) -> Result<bool, Error> {
        while self.fall_due(ctx, id).await? != Fallen::Early {}
        let tenant = ctx.tenant;
        let erasure = self.store.read_for(tenant, move |reader| reader.erasure(tenant, id)).await;
        Ok(erasure.map_err(|error: store::Error| error)?.is_some_and(|erasure| erasure.done_at.is_some()))
    }
}

/// What the audit calls it that somebody is erased.
const ACT: &str = "userErase";

/// What it says of that.
fn about(user: ResourceId) -> Map<String, Value> {
    Map::from_iter([("resource".to_owned(), json!({ "type": USER, "value": user.to_string() }))])
}

fn origin(ctx: &Ctx) -> Origin {
    Origin { cause: "operator", ..ctx.origin() }
}
