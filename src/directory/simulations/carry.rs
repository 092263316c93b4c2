//! Working simulations out: one of a tenant at a time in all processes, slice by slice, always from the beginning. One that
//! broke off is worked out anew, since what was found before is of another register; a change of the rules meanwhile begins
//! it anew too. To apply one is to work it out again and compare.

use std::collections::BTreeMap;
use std::sync::Arc;

use scim::resource::Notes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{Random, ResourceId, Seq, TenantId, format_instant};
use uuid::Uuid;

use super::item::{Difference, Item};
use super::plan::Plan;
use super::record::{Document, Hold, end};
use super::slice::{Counts, Slice, Targets, Way, moment, work_out};
use super::{DIFFERENCES, Lists, State, attempts, lists};
use crate::directory::licences::{self, Winners};
use crate::directory::patch::patching;
use crate::directory::revise::Revising;
use crate::directory::settle::RULE;
use crate::directory::{Ctx, Directory, Error, Precondition};

/// What the lease is called.
const LEASE: &str = "simulate";
/// A lease, µs: longer than a slice takes. Where one takes longer, whoever takes over is told apart by when it began.
const LEASE_TIME: i64 = 30_000_000;
/// Users of one snapshot.
const SLICE: i64 = 200;
/// So often it is begun anew because the rules changed meanwhile.
const PATIENCE: usize = 5;
/// Items read or written at a time.
const PAGE: i64 = 500;
/// Progress is written down no more often than so many times.
const STEPS: u64 = 20;

/// µs since 1970, asked for when something begins or ends.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Who is told how many Users of how many were looked at.
pub type Watch = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Works simulations out.
#[derive(Clone)]
pub struct Simulator {
    directory: Directory,
    holder: Uuid,
    clock: Clock,
    watch: Watch,
}

/// A simulation that was worked out.
struct Found {
    counts: Counts,
    digest: String,
    versions: Vec<Value>,
    seq: Seq,
    book: Seq,
    at: i64,
    plan: Option<Plan>,
}

/// How a way through all Users ended.
enum Passed {
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

    fn ctx(&self, tenant: TenantId) -> Ctx {
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
    async fn hold(&self, tenant: TenantId) -> Result<bool, Error> {
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
        for _ in 0..PATIENCE {
            let passed = match self.pass(tenant, hold, &document).await {
                Ok(Passed::Done(found)) if is_checked => self.conclude(tenant, hold, &document, *found).await,
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
                Ok(Passed::Over | Passed::Done(_)) => return Ok(()),
                Err(error) if error.may_pass() => return Err(error),
                Err(error) => return self.fail(tenant, hold, &document, &error.to_string()).await,
            }
        }
        self.fail(tenant, hold, &document, "Rules or policies were changed again and again meanwhile.").await
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
    fn told(&self, state: State, document: &Document, found: &Found) -> Value {
        json!({
            "state": state.as_str(),
            "attempt": attempts(document) + 1,
            "ended": format_instant((self.clock)()),
            "progress": null,
            "reason": null,
            "base": { "seq": found.seq, "at": format_instant(found.at) },
            "versions": found.versions,
            "counts": found.counts,
            "digest": found.digest,
        })
    }

    /// Goes once through all Users, each slice in a snapshot of its own.
    async fn pass(&self, tenant: TenantId, hold: &Hold, document: &Document) -> Result<Passed, Error> {
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
        };
        let mut way = Way { ctx, document: document.clone() };
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
        found.digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Passed::Done(Box::new(found)))
    }

    /// Who of all Users would get the seats of limited entitlements that there would be: asked of everybody before anything
    /// is told of anybody. `Some(None)`: nothing is limited; `None`: another process is at it.
    async fn allot(&self, tenant: TenantId, way: &Way) -> Result<Option<Option<Winners>>, Error> {
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

    async fn slice(&self, way: &Arc<Way>, after: Option<ResourceId>) -> Result<Slice, Error> {
        let (way, tenant, origin) = (Arc::clone(way), way.ctx.tenant, way.ctx.origin());
        let read = move |reader: &mut store::Reader| {
            reader.simulate(tenant, origin, |work| work_out(&way, work, after, SLICE))
        };
        self.directory.store().read_for(tenant, read).await
    }

    /// What becomes of one that was to be applied, now that it was worked out once more.
    async fn conclude(
        &self,
        tenant: TenantId,
        hold: &Hold,
        document: &Document,
        found: Found,
    ) -> Result<Passed, Error> {
        let is_same = document.get("digest").and_then(Value::as_str) == Some(found.digest.as_str());
        let has_same_rules = versions(document.get("versions")) == versions(Some(&found.versions.clone().into()));
        if is_same && has_same_rules {
            return self.apply(tenant, hold, document, found).await;
        }
        let old = lists(attempts(document));
        let mut difference = match is_same {
            true => json!({ "appeared": 0, "gone": 0, "other": 0 }),
            false => self.compare(tenant, hold, document, &found).await?,
        };
        if let Some(difference) = difference.as_object_mut().filter(|_| !has_same_rules) {
            difference.insert("rules".into(), true.into());
        }
        let mut ending = self.told(State::Changed, document, &found);
        if let Some(ending) = ending.as_object_mut() {
            ending.insert("difference".into(), difference);
            ending.insert("decision".into(), Value::Null);
            ending.insert("decided".into(), Value::Null);
        }
        let without = vec![old.objects, old.targets];
        self.directory.end_simulation(&self.ctx(tenant), hold, ending, without).await?;
        Ok(Passed::Over)
    }

    /// Compares what is found now with what was shown, User by User, and keeps what is not the same.
    async fn compare(&self, tenant: TenantId, hold: &Hold, document: &Document, found: &Found) -> Result<Value, Error> {
        let ctx = self.ctx(tenant);
        self.directory.empty_simulation(&ctx, hold, vec![DIFFERENCES]).await?;
        let (Lists { objects: old, .. }, Lists { objects: new, .. }) =
            (lists(attempts(document)), lists(attempts(document) + 1));
        let at = document.get("base").and_then(|base| super::instant(base.get("at"))).unwrap_or_default();
        let (then, now) = (moment(at), moment(found.at));
        let (mut was, mut is) = (Items::of(self, &ctx, hold.id, old), Items::of(self, &ctx, hold.id, new));
        let (mut one, mut other) = (was.next().await?, is.next().await?);
        let (mut appeared, mut gone, mut others, mut at) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut page: Vec<(i64, Difference)> = Vec::new();
        loop {
            let (left, right) = match (one.take(), other.take()) {
                (None, None) => break,
                (Some(left), Some(right)) if left.id == right.id => (Some(left), Some(right)),
                (Some(left), Some(right)) if left.id < right.id => {
                    other = Some(right);
                    (Some(left), None)
                }
                (Some(left), Some(right)) => {
                    one = Some(left);
                    (None, Some(right))
                }
                (left, right) => (left, right),
            };
            if left.is_some() {
                one = was.next().await?;
            }
            if right.is_some() {
                other = is.next().await?;
            }
            match (&left, &right) {
                (Some(left), Some(right)) if left.said(&then) == right.said(&now) => continue,
                (Some(_), Some(_)) => others += 1,
                (Some(_), None) => gone += 1,
                _ => appeared += 1,
            }
            let Some(named) = right.as_ref().or(left.as_ref()) else { continue };
            at += 1;
            let (user, display) = (named.id.clone(), named.display.clone());
            page.push((place(at), Difference { id: user, display, was: left, is: right }));
            if i64::try_from(page.len()).is_ok_and(|length| length >= PAGE) {
                self.directory.put_simulated(&ctx, hold, DIFFERENCES, &page, None).await?;
                page.clear();
            }
        }
        self.directory.put_simulated(&ctx, hold, DIFFERENCES, &page, None).await?;
        Ok(json!({ "appeared": appeared, "gone": gone, "other": others }))
    }

    /// Changes the rules on behalf of whoever decided, together with the simulation.
    async fn apply(&self, tenant: TenantId, hold: &Hold, document: &Document, found: Found) -> Result<Passed, Error> {
        let decided = |name: &str| document.get("decided")?.get(name)?.as_str()?.parse::<ResourceId>().ok();
        let mut ctx = self.ctx(tenant);
        ctx.caller.id = decided("by").unwrap_or(ResourceId::SYSTEM);
        ctx.caller.user = decided("user");
        let definition = self.directory.registry_of(tenant).definition(RULE).cloned();
        let definition = definition.ok_or_else(|| store::Error::Corrupt("there is no resource type Rule".into()))?;
        let mut revisions = Vec::new();
        for change in found.plan.iter().flat_map(|plan| &plan.changes) {
            let message = json!({
                "schemas": [scim::patch::PATCH_OP_URN],
                "Operations": [{ "op": "replace", "path": "lifecycle", "value": change.to.as_str() }],
            });
            let revision = patching(&ctx, &definition, &change.rule.to_string(), &message, &mut Notes::new())?;
            revisions.push(Revising::new(definition.clone(), change.rule, revision, Precondition::none()));
        }
        let mut ending = self.told(State::Applied, document, &found);
        if let Some(ending) = ending.as_object_mut() {
            ending.insert("decision".into(), Value::Null);
        }
        let old = lists(attempts(document));
        let (caller, book, hold) = (ctx.clone(), found.book, hold.clone());
        let write = self.directory.store().write(tenant, ctx.origin(), move |work| {
            if work.book_seq() != book {
                return Ok(Passed::Moved);
            }
            let Some((record, document)) = hold.find(work)? else { return Ok(Passed::Over) };
            for revising in &revisions {
                revising.run(&caller, &mut Notes::new(), work)?;
            }
            end(work, &record, document, &ending, &[old.objects, old.targets])?;
            Ok::<_, Error>(Passed::Over)
        });
        write.await
    }
}

/// The items of one list, one after the other.
struct Items<'s> {
    simulator: &'s Simulator,
    ctx: &'s Ctx,
    id: ResourceId,
    list: &'static str,
    after: i64,
    page: std::vec::IntoIter<(i64, Item)>,
}

impl<'s> Items<'s> {
    fn of(simulator: &'s Simulator, ctx: &'s Ctx, id: ResourceId, list: &'static str) -> Self {
        Items { simulator, ctx, id, list, after: 0, page: Vec::new().into_iter() }
    }

    async fn next(&mut self) -> Result<Option<Item>, Error> {
        if self.page.len() == 0 {
            let span = (self.after, PAGE);
            self.page = self.simulator.directory.run_items(self.ctx, self.id, self.list, span).await?.into_iter();
        }
        Ok(self.page.next().map(|(place, item)| {
            self.after = place;
            item
        }))
    }
}

fn place(number: u64) -> i64 {
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

/// Rules and policies with their versions, to be compared.
fn versions(told: Option<&Value>) -> Vec<(String, i64, String)> {
    let told = told.and_then(Value::as_array).into_iter().flatten();
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = |one: &Value| one.get("version").and_then(Value::as_i64).unwrap_or_default();
    let mut all: Vec<_> = told.map(|one| (text(one, "value"), version(one), text(one, "change"))).collect();
    all.sort();
    all
}
