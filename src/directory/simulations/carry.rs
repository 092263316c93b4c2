//! Working simulations out: one of a tenant at a time in all processes, slice by slice, always from the beginning. One that
//! broke off is worked out anew, since what was found before is of another register; a change of the rules meanwhile begins
//! it anew too. To apply one is to work it out again and compare.

use std::collections::BTreeMap;
use std::sync::Arc;

use provisioning::guard::{Excess, Tally};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{Random, ResourceId, Seq, TenantId, format_instant};
use uuid::Uuid;

use super::compare::versions;
use super::item::Item;
use super::plan::Plan;
use super::record::{Document, Hold};
use super::sight::{self, Shifts};
use super::slice::{Counts, Slice, Targets, Way, moment, work_out};
use super::subject::Subject;
use super::{State, attempts, lists, strict, undo, writes};
use crate::directory::licences::{self, Winners};
use crate::directory::{Ctx, Directory, Error, guard};

/// What the lease is called.
const LEASE: &str = "simulate";
/// A lease, µs: longer than a slice takes. Where one takes longer, whoever takes over is told apart by when it began.
const LEASE_TIME: i64 = 30_000_000;
/// Users of one snapshot.
const SLICE: i64 = 200;
/// So often it is begun anew because the rules changed meanwhile.
const PATIENCE: usize = 5;
/// Items read or written at a time.
pub(super) const PAGE: i64 = 500;
/// Progress is written down no more often than so many times.
const STEPS: u64 = 20;

/// µs since 1970, asked for when something begins or ends.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Who is told how many Users of how many were looked at.
pub type Watch = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Works simulations out.
#[derive(Clone)]
pub struct Simulator {
    pub(super) directory: Directory,
    holder: Uuid,
    clock: Clock,
    watch: Watch,
}

/// A simulation that was worked out.
pub(super) struct Found {
    counts: Counts,
    digest: String,
    versions: Vec<Value>,
    pub(super) seq: Seq,
    pub(super) book: Seq,
    pub(super) at: i64,
    pub(super) plan: Option<Plan>,
    tally: Tally,
    tripped: Vec<Excess>,
    shifts: Shifts,
}

impl Found {
    /// Whether it would exceed more than what was shown.
    fn exceeds(&self, document: &Document) -> bool {
        let shown = document.get("tripped").and_then(Value::as_array);
        let shown = |limit: &str| {
            let one = shown?.iter().find(|one| one.get("limit").is_some_and(|name| name == limit))?;
            one.get("count")?.as_u64()
        };
        self.tripped.iter().any(|one| shown(&one.limit).is_none_or(|count| one.count > count))
    }
}

/// How a way through all Users ended.
pub(super) enum Passed {
    Done(Box<Found>),
    /// The rules are others than at the beginning.
    Moved,
    /// Nobody wants it any more, or another process is at it.
    Over,
}

impl Simulator {
    /// One of its own: no other has the same leases.
    pub fn new(directory: Directory, random: &Random, clock: Clock, watch: Watch) -> Result<Self, Error> {
        Ok(Simulator { directory, holder: random.uuid()?, clock, watch })
    }

    pub(super) fn ctx(&self, tenant: TenantId) -> Ctx {
        Ctx::system(tenant, (self.clock)(), Random::os())
    }

    /// Works out what waits or broke off in a tenant, the oldest first, applies what was decided on, and erases what is
    /// over. `false`: another process is at it.
    ///
    /// Fails for a reason that may pass; whoever asks again goes on.
    pub async fn attend(&self, tenant: TenantId) -> Result<bool, Error> {
        if !self.hold(tenant).await? {
            return Ok(false);
        }
        let outcome = self.attend_all(tenant).await;
        let (store, holder) = (self.directory.store().clone(), self.holder);
        let dropping = tokio::task::spawn_blocking(move || store.drop_lease(tenant, LEASE, holder));
        dropping.await.map_err(|error| store::Error::Unavailable(error.to_string()))??;
        outcome.map(|()| true)
    }

    async fn attend_all(&self, tenant: TenantId) -> Result<(), Error> {
        self.directory.expire_simulations(&self.ctx(tenant)).await?;
        let mut last = None;
        loop {
            let all = self.directory.simulations(&self.ctx(tenant)).await?;
            let mut open = all.into_iter().filter(|(_, document)| State::of(document).is_some_and(State::is_open));
            let Some((id, document)) = open.next() else { return Ok(()) };
            // One that stays as it was is not to be gone on with by us.
            let now = Some((id, State::of(&document), attempts(&document)));
            if now == last {
                return Ok(());
            }
            last = now;
            self.carry(tenant, id).await?;
        }
    }

    /// Takes the lease, or keeps it.
    pub(super) async fn hold(&self, tenant: TenantId) -> Result<bool, Error> {
        let (store, holder, now) = (self.directory.store().clone(), self.holder, (self.clock)());
        let until = now.saturating_add(LEASE_TIME);
        let taking = tokio::task::spawn_blocking(move || store.take_lease(tenant, LEASE, holder, now, until));
        Ok(taking.await.map_err(|error| store::Error::Unavailable(error.to_string()))??)
    }

    async fn carry(&self, tenant: TenantId, id: ResourceId) -> Result<(), Error> {
        let taken = self.directory.take_simulation(&self.ctx(tenant), id).await?;
        let Some((hold, document)) = taken else { return Ok(()) };
        let hold = &hold;
        let is_checked = State::of(&document) == Some(State::Checking);
        let subject = match self.directory.subject(&self.ctx(tenant), id, &document).await {
            Ok(subject) => subject,
            Err(error) if error.may_pass() => return Err(error),
            Err(error) => return self.fail(tenant, hold, &document, &error.to_string()).await,
        };
        if State::of(&document) == Some(State::Applying) {
            return self.go_on(tenant, hold, &document).await;
        }
        for _ in 0..PATIENCE {
            let passed = match self.pass(tenant, hold, &document, subject.clone()).await {
                Ok(Passed::Done(found)) if is_checked => {
                    self.conclude(tenant, hold, &document, (*found, subject.clone())).await
                }
                Ok(Passed::Done(found)) => {
                    let ending = self.told(State::Ready, &document, &found);
                    let old = lists(attempts(&document));
                    let without = vec![old.objects, old.targets];
                    self.directory.end_simulation(&self.ctx(tenant), hold, ending, without).await?;
                    Ok(Passed::Over)
                }
                other => other,
            };
            match passed {
                Ok(Passed::Moved) => {}
                Ok(Passed::Over | Passed::Done(_)) => return self.go_on(tenant, hold, &document).await,
                Err(error) if error.may_pass() => return Err(error),
                Err(error) => return self.fail(tenant, hold, &document, &error.to_string()).await,
            }
        }
        self.fail(tenant, hold, &document, "Rules or policies were changed again and again meanwhile.").await
    }

    /// Goes on with one that is being applied, if it is.
    async fn go_on(&self, tenant: TenantId, hold: &Hold, document: &Document) -> Result<(), Error> {
        if undo::run_of(document).is_none() {
            return Ok(());
        }
        match self.carry_undo(tenant, hold).await {
            Err(error) if !error.may_pass() => {
                let reason = error.to_string();
                self.end_run_of(tenant, hold, &reason).await?;
                self.fail(tenant, hold, document, &reason).await
            }
            carried => carried,
        }
    }

    async fn fail(&self, tenant: TenantId, hold: &Hold, document: &Document, reason: &str) -> Result<(), Error> {
        let ctx = self.ctx(tenant);
        let ending = json!({
            "state": State::Failed.as_str(), "reason": reason, "ended": format_instant(ctx.now), "progress": null,
        });
        let begun = lists(attempts(document) + 1);
        self.directory.end_simulation(&ctx, hold, ending, vec![begun.objects, begun.targets]).await
    }

    /// What a simulation says of itself when it was worked out to the end.
    pub(super) fn told(&self, state: State, document: &Document, found: &Found) -> Value {
        let tripped = found.tripped.iter();
        let tripped: Vec<Value> =
            tripped.map(|one| json!({ "limit": one.limit, "count": one.count, "most": one.most })).collect();
        json!({
            "state": state.as_str(),
            "attempt": attempts(document) + 1,
            "ended": format_instant((self.clock)()),
            "progress": null,
            "reason": null,
            "base": { "seq": found.seq, "at": format_instant(found.at), "book": found.book },
            "versions": found.versions,
            "counts": found.counts,
            "tripped": tripped,
            "perView": sight::told(&found.shifts),
            "digest": found.digest,
        })
    }

    /// Goes once through all Users, each slice in a snapshot of its own.
    async fn pass(
        &self,
        tenant: TenantId,
        hold: &Hold,
        document: &Document,
        subject: Subject,
    ) -> Result<Passed, Error> {
        let to = lists(attempts(document) + 1);
        let ctx = self.ctx(tenant);
        self.directory.empty_simulation(&ctx, hold, vec![to.objects, to.targets]).await?;
        let moment = moment(ctx.now);
        let mut found = Found {
            counts: Counts::default(),
            digest: String::new(),
            versions: Vec::new(),
            seq: 0,
            book: 0,
            at: ctx.now,
            plan: None,
            tally: Tally::default(),
            tripped: Vec::new(),
            shifts: Shifts::new(),
        };
        let mut way = Way { ctx, document: document.clone(), subject };
        let Some(winners) = self.allot(tenant, &way).await? else { return Ok(Passed::Over) };
        way.ctx.winners = winners;
        let way = Arc::new(way);
        let (mut targets, mut digest) = (Targets::new(), Sha256::new());
        let (mut after, mut passed, mut told) = (None, 0_u64, 0_u64);
        loop {
            if !self.hold(tenant).await? {
                return Ok(Passed::Over);
            }
            let slice = self.slice(&way, after).await?;
            if found.plan.is_none() {
                (found.seq, found.book) = slice.seq;
                found.versions.clone_from(&slice.versions);
                found.plan = Some(slice.plan.clone());
            } else if slice.seq.1 != found.book {
                return Ok(Passed::Moved);
            }
            after = slice.last;
            passed += slice.passed;
            let total = slice.total.max(passed);
            (self.watch)(passed, total);
            let begins_with = found.counts.items;
            let items: Vec<(i64, Item)> = (begins_with + 1..).map(place).zip(slice.items).collect();
            items.iter().for_each(|(_, item)| item.digest(&moment, &mut digest));
            add(&mut found.counts, &slice.counts);
            merge(&mut targets, slice.targets);
            found.tally.take_in(slice.tally);
            sight::add(&mut found.shifts, slice.shifts);
            let is_told = after.is_some() && (passed - told).saturating_mul(STEPS) >= total;
            if is_told {
                told = passed;
            }
            let progress = is_told.then_some((passed, total));
            if !self.directory.put_simulated(&self.ctx(tenant), hold, to.objects, &items, progress).await? {
                return Ok(Passed::Over);
            }
            if after.is_none() {
                break;
            }
        }
        found.counts.targets = targets.len() as u64;
        let targets: Vec<_> = (1..).map(place).zip(targets.into_values()).collect();
        for page in targets.chunks(usize::try_from(PAGE).unwrap_or(1)) {
            if !self.directory.put_simulated(&self.ctx(tenant), hold, to.targets, page, None).await? {
                return Ok(Passed::Over);
            }
        }
        found.tripped = self.exceeded(&way, &found).await?;
        found.digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Passed::Done(Box::new(found)))
    }

    /// Who of all Users would get the seats of limited entitlements that there would be: asked of everybody before anything
    /// is told of anybody. `Some(None)`: nothing is limited; `None`: another process is at it.
    async fn allot(&self, tenant: TenantId, way: &Way) -> Result<Option<Option<Winners>>, Error> {
        if !way.subject.is_about_all() {
            return Ok(Some(None));
        }
        let mut asking = way.clone();
        asking.ctx.winners = Some(Winners::default());
        let asking = Arc::new(asking);
        let (mut after, mut asks) = (None, Vec::new());
        let mut freed: BTreeMap<ResourceId, i64> = BTreeMap::new();
        loop {
            if !self.hold(tenant).await? {
                return Ok(None);
            }
            let slice = self.slice(&asking, after).await?;
            if slice.free.is_empty() {
                return Ok(Some(None));
            }
            after = slice.last;
            asks.extend(slice.asks);
            for (of, more) in slice.freed {
                *freed.entry(of).or_default() += more;
            }
            if after.is_none() {
                for (of, free) in slice.free {
                    *freed.entry(of).or_default() += free;
                }
                return Ok(Some(Some(licences::winners(&freed, asks))));
            }
        }
    }

    /// The limits that it would exceed, by the policies as they would be.
    async fn exceeded(&self, way: &Arc<Way>, found: &Found) -> Result<Vec<Excess>, Error> {
        let Some(plan) = found.plan.clone() else { return Ok(Vec::new()) };
        let (way, tenant, origin, tally) = (Arc::clone(way), way.ctx.tenant, way.ctx.origin(), found.tally.clone());
        let read = move |reader: &mut store::Reader| {
            reader.simulate(tenant, origin, |work| {
                plan.pretend(&way.ctx, work)?;
                let whose = way.subject.ctx().unwrap_or(&way.ctx);
                guard::exceeded(whose, work, &tally)
            })
        };
        self.directory.store().read_for(tenant, read).await
    }

    async fn slice(&self, way: &Arc<Way>, after: Option<ResourceId>) -> Result<Slice, Error> {
        let (way, tenant, origin) = (Arc::clone(way), way.ctx.tenant, way.ctx.origin());
        let read = move |reader: &mut store::Reader| match &way.subject {
            Subject::Undo(undo) => undo::work_out(&way, undo, reader, (after, usize::try_from(SLICE).unwrap_or(1))),
            Subject::Writes(writes) => writes::work_out(&way, writes, reader),
            Subject::Book => reader.simulate(tenant, origin, |work| work_out(&way, work, after, SLICE)),
        };
        self.directory.store().read_for(tenant, read).await
    }

    /// What becomes of one that was to be applied, now that it was worked out once more.
    async fn conclude(
        &self,
        tenant: TenantId,
        hold: &Hold,
        document: &Document,
        (found, subject): (Found, Subject),
    ) -> Result<Passed, Error> {
        let is_same = document.get("digest").and_then(Value::as_str) == Some(found.digest.as_str());
        let has_same_rules = versions(document.get("versions")) == versions(Some(&found.versions.clone().into()));
        let is_strict = strict::is_asked(document);
        let known_book = document.get("base").and_then(|base| base.get("book")?.as_i64());
        let has_moved = is_strict
            && (known_book.is_some_and(|known| known != found.book) || self.has_moved(tenant, hold, document).await?);
        let exceeds = !subject.is_about_all() && found.exceeds(document);
        if is_same && has_same_rules && !has_moved && !exceeds {
            let recorded = match is_strict {
                true => Some(self.recorded(tenant, hold, document).await?),
                false => None,
            };
            return match subject {
                Subject::Undo(undo) => self.begin_undo(tenant, hold, document, (found, recorded, undo)).await,
                Subject::Writes(writes) => self.apply_writes(tenant, hold, document, (found, &writes)).await,
                Subject::Book => self.apply(tenant, hold, document, (found, recorded)).await,
            };
        }
        let old = lists(attempts(document));
        let mut difference = match is_same && !is_strict {
            true => json!({ "appeared": 0, "gone": 0, "other": 0 }),
            false => self.compare(tenant, hold, document, (&found, is_strict)).await?,
        };
        if let Some(difference) = difference.as_object_mut().filter(|_| !has_same_rules) {
            difference.insert("rules".into(), true.into());
        }
        let mut ending = self.told(State::Changed, document, &found);
        if let Some(ending) = ending.as_object_mut() {
            ending.insert("difference".into(), difference);
            ending.insert("decision".into(), Value::Null);
            ending.insert("decided".into(), Value::Null);
            ending.insert("strict".into(), Value::Null);
            ending.insert("beyondLimits".into(), Value::Null);
            if is_strict {
                ending.insert("reason".into(), strict::MOVED.into());
            }
        }
        let without = vec![old.objects, old.targets];
        self.directory.end_simulation(&self.ctx(tenant), hold, ending, without).await?;
        Ok(Passed::Over)
    }
}

pub(super) fn place(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn add(counts: &mut Counts, more: &Counts) {
    counts.users += more.users;
    counts.changed += more.changed;
    counts.activated += more.activated;
    counts.disabled += more.disabled;
    counts.purged += more.purged;
    counts.begins += more.begins;
    counts.ends += more.ends;
    counts.waits += more.waits;
    counts.created += more.created;
    counts.restored += more.restored;
    counts.conflicts += more.conflicts;
    counts.failed += more.failed;
    counts.items += more.items;
}

fn merge(targets: &mut Targets, more: Targets) {
    for (key, target) in more {
        match targets.get_mut(&key) {
            Some(known) => {
                known.begins += target.begins;
                known.ends += target.ends;
                known.waits += target.waits;
            }
            None => drop(targets.insert(key, target)),
        }
    }
}
