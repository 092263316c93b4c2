//! What a client, or a day that comes, does to people within 24 hours, and that too much of it is held until a person allows
//! it. `weigh` is the end of every write, under the lock: it looks at what the open operation has changed, refuses a
//! client's write beyond its limit, and counts the rest. What is too much is `provisioning::guard`'s to say. Without a
//! policy that guards nothing is looked at. An operator at the command line is counted and never held, and so is what was
//! weighed as a whole before.

pub mod days;
mod decide;

use std::collections::BTreeSet;

use provisioning::guard::{Excess, Guard, Tally, UNIT_LOSSES, unit_limit};
use provisioning::person::{EMPLOYMENTS, URN, USER};
use serde_json::json;
use store::change::Op;
use store::{Pass, PassState, ResourceId, Work, format_instant};

use super::feeds::{RUN, RunState, object, write_own};
use super::rules::GROUP;
use super::settle::{Book, POLICY};
use super::work_items::{self, Item, Kind};
use super::{Ctx, Directory, Error};

pub(super) use decide::decide;

/// µs.
const HOUR: i64 = 3_600_000_000;
/// Hours that count together.
const WINDOW: i64 = 24;
/// So long a decision holds, µs.
const DECIDED: i64 = WINDOW * HOUR;
/// Under what the number of living accounts is kept.
const LIVING: &str = "living";
/// Before the key of a unit.
const OF_UNIT: &str = "unit ";

/// A write that was refused because its client has done too much.
#[derive(Clone, Debug)]
pub struct Held {
    /// The client.
    pub client: ResourceId,
    /// What it has too much of.
    pub tripped: Vec<Excess>,
}

impl Held {
    /// After so many seconds another try makes sense.
    pub const RETRY_SECONDS: u32 = 3_600;

    /// What another write has too much of as well.
    pub(super) fn take_in(&mut self, other: &Held) {
        for one in &other.tripped {
            match self.tripped.iter_mut().find(|known| known.limit == one.limit) {
                Some(known) => known.count = known.count.max(one.count),
                None => self.tripped.push(one.clone()),
            }
        }
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("This would be too much within 24 hours (")?;
        for (n, one) in self.tripped.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(out, "{comma}{} {} of at most {}", one.limit, one.count, one.most)?;
        }
        out.write_str("). Nothing was done; a person decides at /Runs. Try again later.")
    }
}

/// The hour of a moment.
fn hour(now: i64) -> i64 {
    now.div_euclid(HOUR)
}

/// Weighs what the open operation has done, and counts it. Fails with [`Error::Held`].
pub(super) fn weigh(ctx: &Ctx, work: &mut Work<'_>) -> Result<(), Error> {
    if work.count(POLICY) == 0 || work.changes().is_empty() {
        return Ok(());
    }
    let book = Book::of(work)?;
    let Some(guard) = book.guard() else { return Ok(()) };
    let tally = tally(work)?;
    if tally.is_empty() {
        return Ok(());
    }
    let client = ctx.caller.id;
    if client != ResourceId::SYSTEM && !ctx.weighed {
        let tripped = judge(ctx, work, guard, &tally)?;
        if !tripped.is_empty() {
            return Err(Error::Held(Box::new(Held { client, tripped })));
        }
    }
    for (sort, n) in tally.sorts {
        work.count_done(client, sort.as_str(), hour(ctx.now), i64::try_from(n).unwrap_or(i64::MAX));
    }
    for (unit, n) in tally.units {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        work.count_done(client, &format!("{OF_UNIT}{unit}"), hour(ctx.now), n);
    }
    Ok(())
}

/// What the open operation does to people.
pub(super) fn tally(work: &mut Work<'_>) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let changed = work.changes().iter().filter(|change| change.kind == USER).map(|change| change.resource);
    let changed: BTreeSet<ResourceId> = changed.collect();
    let deltas = work.changes().iter().flat_map(|change| &change.members);
    let left: Vec<ResourceId> =
        deltas.filter(|delta| !delta.joined && delta.kind == USER).map(|delta| delta.member).collect();
    let mut closed = BTreeSet::new();
    for id in changed {
        let before = work.found(id)?.filter(|(kind, _)| kind == USER);
        let after = work.document_of(id)?;
        if !tally.count(before.as_ref().map(|(_, document)| &**document), after.as_deref()) {
            closed.insert(id);
        }
    }
    let mut lost = left.iter().filter(|member| !closed.contains(member)).count();
    let gone = work.changes().iter().filter(|change| change.kind == GROUP && change.op == Op::Delete);
    for group in gone.map(|change| change.resource).collect::<Vec<_>>() {
        lost += work.members(group)?.iter().filter(|member| member.kind == USER).count();
    }
    tally.add(provisioning::guard::Sort::MemberRemovals, lost as u64);
    Ok(tally)
}

/// What would be too much within the day of who asks, if this came to what was done before.
fn judge(ctx: &Ctx, work: &mut Work<'_>, guard: &Guard, tally: &Tally) -> Result<Vec<Excess>, Error> {
    let client = ctx.caller.id;
    let name = client.to_string();
    let after = hour(ctx.now) - WINDOW;
    let mut counts: Vec<(String, u64, u64)> = Vec::new();
    for (sort, n) in &tally.sorts {
        let total = n + unsigned(work.counted(client, sort.as_str(), after)?);
        let threshold = guard.threshold(&name, *sort, ctx.now);
        if total <= threshold.floor {
            continue;
        }
        let most = threshold.limit(living(ctx, work)?);
        counts.push((sort.as_str().to_owned(), total, most));
    }
    for (unit, n) in tally.units.iter().filter(|_| !guard.is_planned(ctx.now)) {
        let limit = format!("{OF_UNIT}{unit}");
        let total = n + unsigned(work.counted(client, &limit, after)?);
        if total < UNIT_LOSSES {
            continue;
        }
        let path = format!("{URN}:{EMPLOYMENTS}.unit");
        // Of more than twice as many people it is less than half.
        let enough = i64::try_from(total.saturating_mul(2).saturating_add(2)).unwrap_or(i64::MAX);
        let people = work.having(USER, &path, std::slice::from_ref(unit), None, enough)?.unwrap_or_default();
        counts.extend(unit_limit(people.len() as u64).map(|most| (limit, total, most)));
    }
    for (limit, _, most) in &mut counts {
        let pass = work.pass_of(client, limit)?;
        let allowed = pass.filter(|pass| pass.state == PassState::Allowed && ctx.now < pass.until);
        *most = (*most).max(allowed.map(|pass| unsigned(pass.most)).unwrap_or_default());
    }
    Ok(provisioning::guard::exceeded(counts.iter().map(|(limit, count, most)| (limit.as_str(), *count, *most))))
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

/// What of something that would be done is too much, by the policies as they stand in `work`, where one guards.
pub(super) fn exceeded(ctx: &Ctx, work: &mut Work<'_>, tally: &Tally) -> Result<Vec<Excess>, Error> {
    if work.count(POLICY) == 0 {
        return Ok(Vec::new());
    }
    match Book::of(work)?.guard() {
        Some(guard) => judge(ctx, work, guard, tally),
        None => Ok(Vec::new()),
    }
}

/// How many living accounts are the client's: those that it has a key for; where it has none, all. Counted once a day.
fn living(ctx: &Ctx, work: &mut Work<'_>) -> Result<u64, Error> {
    let client = ctx.caller.id;
    if client == ResourceId::SYSTEM {
        return Ok(unsigned(work.count(USER)));
    }
    let known = work.counted(client, LIVING, hour(ctx.now) - WINDOW)?;
    if known > 0 {
        return Ok(unsigned(known));
    }
    let own = work.known_to(ctx.caller.domain, USER)?;
    let own = if own > 0 { own } else { work.count(USER) };
    work.count_done(client, LIVING, hour(ctx.now), own);
    Ok(unsigned(own))
}

/// What asks for a decision.
struct Asked<'a> {
    /// `push` or `days`.
    cause: &'static str,
    client: ResourceId,
    summary: &'static str,
    tripped: &'a [Excess],
}

/// Writes down that something is held, with what a person has to decide. Under the lock.
fn open(ctx: &Ctx, work: &mut Work<'_>, run: ResourceId, asked: &Asked<'_>) -> Result<(), Error> {
    let tripped = asked.tripped.iter();
    let shown: Vec<_> =
        tripped.map(|one| json!({ "limit": one.limit, "count": one.count, "most": one.most })).collect();
    let mut document = object(json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Run"],
        "state": RunState::Held.as_str(),
        "cause": asked.cause,
        "started": format_instant(ctx.now),
        "tripped": shown,
    }));
    if asked.client != ResourceId::SYSTEM {
        document.insert("client".into(), json!({ "value": asked.client.to_string() }));
    }
    write_own(work, run, RUN, None, document)?;
    let mut item = Item::new(Kind::HeldChange, run, asked.summary, asked.cause);
    item.details =
        asked.tripped.iter().map(|one| format!("{} {} of at most {}", one.limit, one.count, one.most)).collect();
    work_items::open(ctx, work, &item)?;
    for one in asked.tripped {
        let most = i64::try_from(one.count).unwrap_or(i64::MAX);
        let pass = Pass { state: PassState::Held, until: i64::MAX, most, run };
        work.put_pass(asked.client, &one.limit, Some(pass));
    }
    Ok(())
}

impl Directory {
    /// Opens a held run for a write that was refused, unless one is open or was rejected within a day.
    pub(super) async fn ask_about(&self, ctx: &Ctx, held: &Held) -> Result<(), Error> {
        if ctx.simulate {
            return Ok(());
        }
        let caller = Ctx { simulate: false, once: None, ..ctx.clone() };
        let (run, held) = (ctx.random.resource_id(ctx.now)?, held.clone());
        let write = self.store.write(ctx.tenant, ctx.origin(), move |work| {
            let mut fresh = Vec::new();
            for one in &held.tripped {
                let pass = work.pass_of(held.client, &one.limit)?.filter(|pass| caller.now < pass.until);
                if pass.is_none_or(|pass| pass.state == PassState::Allowed) {
                    fresh.push(one.clone());
                }
            }
            if fresh.is_empty() {
                return Ok(());
            }
            let summary = "A client would do too much within 24 hours, and is refused: look at what it sends, and allow or \
                           reject the run.";
            let asked = Asked { cause: "push", client: held.client, summary, tripped: &fresh };
            open(&caller, work, run, &asked)
        });
        let asked: Result<(), Error> = write.await;
        tracing::warn!(tenant = ctx.tenant.0, client = %ctx.caller.id, "a client does too much, and is held");
        asked
    }

    /// What of a run that was rehearsed is too much within its client's day, where a policy guards.
    pub async fn weigh_run(&self, ctx: &Ctx, tally: Tally) -> Result<Vec<Excess>, Error> {
        let (tenant, origin, caller) = (ctx.tenant, ctx.origin(), ctx.clone());
        self.store
            .read_for(tenant, move |reader| reader.simulate(tenant, origin, |work| exceeded(&caller, work, &tally)))
            .await
    }
}
