//! An undo is applied: with `strict` all of it in one write, otherwise resource by resource, each together with the note that
//! it is done, so that whoever goes on after an interruption does nothing twice. Each is looked at once more under the lock:
//! one that somebody has changed since it was planned is left as it is, and listed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::work::Origin;
use store::{ResourceId, TenantId};

use super::super::carry::{Found, Passed, Simulator, place};
use super::super::item::Item;
use super::super::record::{Document, Hold, end};
use super::super::strict::{self, Recorded};
use super::super::{DONE, SKIPPED, State, attempts, lists};
use super::journal::{Images, Touched, Undo, images};
use super::reverse::reverse;
use super::run_of;
use crate::directory::feeds::{Counts, Ending, RunState, Undoing};
use crate::directory::{Ctx, Error, guard};

/// Resources that are turned back together.
const PAGE: i64 = 200;
/// So many at most are turned back in one write.
const MOST_STRICT: usize = 1_000;
/// What is left as it is.
const LEFT: &str = "skipped";

/// What became of an item of the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Done {
    op: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// An item of the plan with what it takes to carry it out.
struct Job {
    place: i64,
    item: Item,
    touched: Touched,
    images: Images,
}

fn origin(ctx: &Ctx) -> Origin {
    Origin { cause: "undo", ..ctx.origin() }
}

fn is_to_do(item: &Item) -> bool {
    !matches!(item.op.as_str(), "kept" | "failed")
}

fn count(counts: &mut Counts, op: &str) {
    match op {
        "restored" => counts.created += 1,
        "purged" => counts.deleted += 1,
        LEFT => counts.rejected += 1,
        _ => counts.updated += 1,
    }
}

impl Simulator {
    /// Begins to apply what was found, or with `recorded` does all of it, if nothing of that has moved.
    pub(in crate::directory::simulations) async fn begin_undo(
        &self,
        tenant: TenantId,
        hold: &Hold,
        document: &Document,
        (found, recorded, undo): (Found, Option<Recorded>, Arc<Undo>),
    ) -> Result<Passed, Error> {
        let now = self.ctx(tenant);
        let by = now.random.resource_id(now.now)?;
        let doing = self.doing(tenant, &undo, by);
        let undoing = Undoing { undone: undo.run, by, feed: undo.feed };
        let (old, new) = (lists(attempts(document)), lists(attempts(document) + 1));
        let state = if recorded.is_some() { State::Applied } else { State::Applying };
        let mut ending = self.told(state, document, &found);
        if let Some(ending) = ending.as_object_mut() {
            ending.insert("run".into(), json!({ "value": by.to_string() }));
            ending.insert("decision".into(), Value::Null);
        }
        let mut jobs = Vec::new();
        if recorded.is_some() {
            jobs = self.jobs(&now, hold, &undo, (new.objects, (0, i64::MAX))).await?;
            jobs.retain(|job| is_to_do(&job.item));
            if jobs.len() > MOST_STRICT {
                let why = format!("strict undoes {MOST_STRICT} resources at most, and this is about {}.", jobs.len());
                return Err(scim::Error::status(409, why).into());
            }
        }
        let mut planned = Counts::default();
        jobs.iter().for_each(|job| count(&mut planned, &job.item.op));
        let (moment, hold) = ((found.seq, found.book), hold.clone());
        let write = self.directory.store().write(tenant, origin(&doing), move |work| {
            let (record, document) = match strict::unmoved(&hold, moment, recorded.as_ref(), work)? {
                Ok(found) => found,
                Err(passed) => return Ok(passed),
            };
            undoing.begin(work, doing.now, planned)?;
            end(&doing, work, &record, document, &ending, &[old.objects, old.targets, DONE, SKIPPED])?;
            if recorded.is_some() {
                for job in &jobs {
                    reverse((&doing, &undo, by), (&job.touched, &job.images), work)?;
                }
                guard::weigh(&doing, work)?;
                undoing.end(work, doing.now, planned)?;
            }
            Ok::<_, Error>(Passed::Over)
        });
        write.await
    }

    fn doing(&self, tenant: TenantId, undo: &Undo, by: ResourceId) -> Ctx {
        Ctx { now: self.ctx(tenant).now, ..undo.ctx.clone() }.within(by)
    }

    /// Items of a list of the plan after a place, with what each takes.
    async fn jobs(
        &self,
        ctx: &Ctx,
        hold: &Hold,
        undo: &Arc<Undo>,
        (list, span): (&'static str, (i64, i64)),
    ) -> Result<Vec<Job>, Error> {
        let items: Vec<(i64, Item)> = self.directory.run_items(ctx, hold.id, list, span).await?;
        let (tenant, undo) = (ctx.tenant, Arc::clone(undo));
        let read = self.directory.store().read_for(tenant, move |reader| {
            let known: HashMap<String, &Touched> = undo.all.iter().map(|one| (one.id.to_string(), one)).collect();
            let mut jobs = Vec::new();
            for (place, item) in items {
                let Some(touched) = known.get(&item.id).map(|one| (*one).clone()) else { continue };
                let images = if is_to_do(&item) { images(reader, tenant, &touched)? } else { Images::default() };
                jobs.push(Job { place, item, touched, images });
            }
            Ok::<_, Error>(jobs)
        });
        read.await
    }

    /// Goes on with one that is being applied, to its end.
    pub(in crate::directory::simulations) async fn carry_undo(
        &self,
        tenant: TenantId,
        hold: &Hold,
    ) -> Result<(), Error> {
        let ctx = self.ctx(tenant);
        let Some(document) = self.directory.simulation(&ctx, hold.id).await? else { return Ok(()) };
        let by = document.get("run").and_then(|run| run.get("value")?.as_str()?.parse::<ResourceId>().ok());
        let (Some(State::Applying), Some(by), Some(undone)) = (State::of(&document), by, run_of(&document)) else {
            return Ok(());
        };
        let undo = Arc::new(self.directory.undoing(&ctx, undone).await?);
        let undoing = Undoing { undone, by, feed: undo.feed };
        let list = lists(attempts(&document)).objects;
        let done = self.done(&ctx, hold).await?;
        let done: HashSet<i64> = done.into_iter().map(|(place, _)| place).collect();
        let mut after = 0;
        loop {
            if !self.hold(tenant).await? {
                return Ok(());
            }
            let state = self.directory.run_document(&ctx, by).await?.as_ref().and_then(RunState::of);
            if state != Some(RunState::Running) {
                return Err(Error::Denied("The run that undoes was ended. What was done by then stays.".into()));
            }
            let jobs = self.jobs(&ctx, hold, &undo, (list, (after, PAGE))).await?;
            let Some(last) = jobs.last() else { break };
            after = last.place;
            let jobs = jobs.into_iter().filter(|job| is_to_do(&job.item) && !done.contains(&job.place)).collect();
            self.carry_jobs(tenant, hold, (undoing, &undo), jobs).await?;
        }
        self.end_undo(tenant, hold, (undoing, list)).await
    }

    /// Turns some back, each in a write of its own.
    async fn carry_jobs(
        &self,
        tenant: TenantId,
        hold: &Hold,
        (undoing, undo): (Undoing, &Arc<Undo>),
        jobs: Vec<Job>,
    ) -> Result<(), Error> {
        let (ctx, by) = (self.ctx(tenant), undoing.by);
        let said = |op: &str, reason: Option<&str>| Done { op: op.to_owned(), reason: reason.map(str::to_owned) };
        let turned = jobs.iter().map(|job| (job.place, said(&job.item.op, None)));
        let turned = self.directory.seal_run_items(&ctx, hold.id, turned).await?;
        let moved = "It was changed after the plan was made, and stays as it is.";
        let moved = jobs.iter().map(|job| (job.place, said(LEFT, Some(moved))));
        let moved = self.directory.seal_run_items(&ctx, hold.id, moved).await?;
        let doing = self.doing(tenant, undo, by);
        let writes = jobs.into_iter().zip(turned.into_iter().zip(moved)).map(|(job, ((at, turned), (_, moved)))| {
            let (hold, undo, doing) = (hold.clone(), Arc::clone(undo), doing.clone());
            let write = self.directory.store().write(tenant, origin(&doing), move |work| {
                if hold.find(work)?.is_none() || !undoing.goes_on(work)? {
                    return Err(store::Error::Busy.into());
                }
                let version = work.record(job.touched.id)?.map(|record| record.version).unwrap_or_default();
                if version != job.item.version
                    && work.is_changed_by_others(job.touched.id, job.item.version, &by.to_string())?
                {
                    work.put_run_item(hold.id, DONE, job.place, moved.clone());
                    return Ok(());
                }
                reverse((&doing, &undo, by), (&job.touched, &job.images), work)?;
                guard::weigh(&doing, work)?;
                work.put_run_item(hold.id, DONE, job.place, turned.clone());
                Ok::<_, Error>(())
            });
            async move { (at, write.await) }
        });
        let mut refused = Vec::new();
        for (at, written) in join_all(writes.collect::<Vec<_>>()).await {
            match written {
                Err(error) if error.may_pass() => return Err(error),
                Err(error) => refused.push((at, said(LEFT, Some(&error.to_string())))),
                Ok(()) => {}
            }
        }
        self.directory.put_simulated(&ctx, hold, DONE, &refused, None).await.map(drop)
    }

    /// Ends the run that undoes as failed, so that files of its feed may come again.
    pub(in crate::directory::simulations) async fn end_run_of(
        &self,
        tenant: TenantId,
        hold: &Hold,
        reason: &str,
    ) -> Result<(), Error> {
        let ctx = self.ctx(tenant);
        let document = self.directory.simulation(&ctx, hold.id).await?.unwrap_or_default();
        match document.get("run").and_then(|run| run.get("value")?.as_str()?.parse().ok()) {
            Some(run) => self.directory.end_run(&ctx, run, Ending::failed(reason)).await.map(drop),
            None => Ok(()),
        }
    }

    async fn done(&self, ctx: &Ctx, hold: &Hold) -> Result<Vec<(i64, Done)>, Error> {
        self.directory.run_items(ctx, hold.id, DONE, (0, i64::MAX)).await
    }

    /// Says what became of it all, in the simulation, in its run and in the one that is undone.
    async fn end_undo(
        &self,
        tenant: TenantId,
        hold: &Hold,
        (undoing, list): (Undoing, &'static str),
    ) -> Result<(), Error> {
        let ctx = self.ctx(tenant);
        let (mut counts, mut left) = (Counts::default(), Vec::new());
        for (at, done) in self.done(&ctx, hold).await? {
            count(&mut counts, &done.op);
            if done.op == LEFT {
                let item = self.directory.run_items::<Item>(&ctx, hold.id, list, (at - 1, 1)).await?.pop();
                left.extend(item.map(|(_, item)| Item { op: LEFT.to_owned(), reason: done.reason, ..item }));
            }
        }
        let skipped = left.len();
        self.directory.empty_simulation(&ctx, hold, vec![SKIPPED]).await?;
        let left: Vec<(i64, Item)> = (1..).map(place).zip(left).collect();
        self.directory.put_simulated(&ctx, hold, SKIPPED, &left, None).await?;
        let ending = json!({ "state": State::Applied.as_str(), "skipped": skipped, "progress": null });
        let hold = hold.clone();
        let write = self.directory.store().write(tenant, ctx.origin(), move |work| {
            let Some((record, document)) = hold.find(work)? else { return Ok(()) };
            undoing.end(work, ctx.now, counts)?;
            end(&ctx, work, &record, document, &ending, &[DONE])
        });
        write.await
    }
}
