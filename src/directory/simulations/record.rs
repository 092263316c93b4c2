//! How a simulation is written down while somebody works at it. Each write makes sure that it is still wanted: one that was
//! deleted or decided otherwise gets nothing more.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map as Object, Value, json};
use store::work::document_of;
use store::{Record, ResourceId, Work, format_instant};

use super::{ALL_LISTS, SIMULATION, State, expires, object};
use crate::directory::feeds::write_own;
use crate::directory::settle::RULE;
use crate::directory::work_items::{self, Item, Kind};
use crate::directory::{Ctx, Directory, Error};

/// A document of a simulation.
pub(super) type Document = Object<String, Value>;

/// The simulation in a write; `None`: it is gone.
pub(super) fn find(work: &mut Work<'_>, id: ResourceId) -> Result<Option<(Record, Document)>, Error> {
    let Some(record) = work.record(id)?.filter(|record| record.kind == SIMULATION) else { return Ok(None) };
    let document = document_of(&record)?;
    Ok(Some((record, document)))
}

/// Who works at a simulation since when: whoever takes it up after another begins later, and the other gets no further.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) id: ResourceId,
    started: String,
}

impl Hold {
    /// The simulation, if it is still ours to work at.
    pub(super) fn find(&self, work: &mut Work<'_>) -> Result<Option<(Record, Document)>, Error> {
        let is_ours = |document: &Document| {
            State::of(document).is_some_and(State::is_open)
                && document.get("started").and_then(Value::as_str) == Some(&self.started)
        };
        Ok(find(work, self.id)?.filter(|(_, document)| is_ours(document)))
    }
}

pub(super) fn write(work: &mut Work<'_>, record: &Record, document: Document) -> Result<(), Error> {
    write_own(work, record.id, SIMULATION, Some(record), document)
}

impl Directory {
    /// A simulation's document. `None`: there is none of that id.
    pub async fn simulation(&self, ctx: &Ctx, id: ResourceId) -> Result<Option<Object<String, Value>>, Error> {
        let tenant = ctx.tenant;
        let record = self.store.read_for(tenant, move |reader| reader.record(tenant, id)).await?;
        Ok(record.filter(|record| record.kind == SIMULATION).map(|record| document_of(&record)).transpose()?)
    }

    /// The one rule of that id or name. `None`: there is none, or several are called so.
    pub async fn rule_called(&self, ctx: &Ctx, name: &str) -> Result<Option<ResourceId>, Error> {
        let tenant = ctx.tenant;
        let rules: Vec<Record> = self.store.read_for(tenant, move |reader| reader.records_of(tenant, RULE)).await?;
        let is_called = |rule: &&Record| rule.id.to_string() == name || rule.label.eq_ignore_ascii_case(name);
        let mut called = rules.iter().filter(is_called);
        Ok(called.next().filter(|_| called.next().is_none()).map(|rule| rule.id))
    }

    /// Every simulation with its document, oldest first.
    pub(super) async fn simulations(&self, ctx: &Ctx) -> Result<Vec<(ResourceId, Document)>, Error> {
        let tenant = ctx.tenant;
        let records: Vec<Record> =
            self.store.read_for(tenant, move |reader| reader.records_of(tenant, SIMULATION)).await?;
        let read = |record: &Record| Ok((record.id, document_of(record)?));
        records.iter().map(read).collect()
    }

    /// Takes up a simulation that waits, or that broke off. `None`: there is nothing to do for it.
    pub(super) async fn take_simulation(&self, ctx: &Ctx, id: ResourceId) -> Result<Option<(Hold, Document)>, Error> {
        let now = ctx.now;
        let write = self.store.write(ctx.tenant, ctx.origin(), move |work| {
            let Some((record, mut document)) = find(work, id)? else { return Ok(None) };
            let state = match State::of(&document) {
                Some(state @ (State::Checking | State::Applying)) => state,
                Some(State::Waiting | State::Running) => State::Running,
                _ => return Ok(None),
            };
            let started = format_instant(now);
            document.insert("state".into(), state.as_str().into());
            document.insert("started".into(), started.as_str().into());
            document.shift_remove("progress");
            self::write(work, &record, document.clone())?;
            Ok::<_, Error>(Some((Hold { id, started }, document)))
        });
        write.await
    }

    /// Empties lists of a simulation that is being worked out.
    pub(super) async fn empty_simulation(&self, ctx: &Ctx, hold: &Hold, lists: Vec<&'static str>) -> Result<(), Error> {
        let hold = hold.clone();
        let write = self.store.write(ctx.tenant, ctx.origin(), move |work| {
            if hold.find(work)?.is_some() {
                lists.iter().for_each(|list| work.drop_run_items(hold.id, list));
            }
            Ok::<_, Error>(())
        });
        write.await
    }

    /// Puts items into a list, and says how far it has come, together; `false`: it is not ours any more.
    pub(super) async fn put_simulated<T: Serialize>(
        &self,
        ctx: &Ctx,
        hold: &Hold,
        list: &'static str,
        items: &[(i64, T)],
        progress: Option<(u64, u64)>,
    ) -> Result<bool, Error> {
        let sealed = self.seal_run_items(ctx, hold.id, items.iter().map(|(place, item)| (*place, item))).await?;
        if sealed.is_empty() && progress.is_none() {
            return Ok(true);
        }
        let hold = hold.clone();
        let write = self.store.write(ctx.tenant, ctx.origin(), move |work| {
            let Some((record, mut document)) = hold.find(work)? else { return Ok(false) };
            for (place, body) in &sealed {
                work.put_run_item(hold.id, list, *place, body.clone());
            }
            if let Some((done, total)) = progress {
                document.insert("progress".into(), json!({ "done": done, "total": total }));
                self::write(work, &record, document)?;
            }
            Ok::<_, Error>(true)
        });
        write.await
    }

    /// Ends what is being done for a simulation: what `ending` says becomes of its document, a null is taken out, and the
    /// lists that are not needed any more go. Nothing is done when it is not ours any more.
    pub(super) async fn end_simulation(
        &self,
        ctx: &Ctx,
        hold: &Hold,
        ending: Value,
        without: Vec<&'static str>,
    ) -> Result<(), Error> {
        let (hold, caller) = (hold.clone(), ctx.clone());
        let write = self.store.write(ctx.tenant, ctx.origin(), move |work| match hold.find(work)? {
            Some((record, document)) => end(&caller, work, &record, document, &ending, &without),
            None => Ok(()),
        });
        write.await
    }

    /// Erases the results of simulations that are over at `ctx.now`.
    pub(super) async fn expire_simulations(&self, ctx: &Ctx) -> Result<u64, Error> {
        let mut expired = 0;
        for (id, document) in self.simulations(ctx).await? {
            let is_over = expires(&document).is_some_and(|at| at <= ctx.now);
            if !is_over || State::of(&document).is_none_or(|state| state.is_open() || state == State::Expired) {
                continue;
            }
            // One that was applied stays known as such.
            let state = match State::of(&document) {
                Some(State::Applied) if document.contains_key("digest") => State::Applied,
                Some(State::Applied) => continue,
                _ => State::Expired,
            };
            let ending = json!({ "state": state.as_str(), "digest": null, "decision": null, "progress": null });
            let caller = ctx.clone();
            let write = self.store.write(ctx.tenant, ctx.origin(), move |work| match find(work, id)? {
                // Somebody may have decided on it just now.
                Some((_, document)) if State::of(&document).is_none_or(State::is_open) => Ok(()),
                Some((record, document)) => end(&caller, work, &record, document, &ending, &ALL_LISTS),
                None => Ok::<_, Error>(()),
            });
            write.await?;
            expired += 1;
        }
        Ok(expired)
    }

    /// The items of a list of a simulation after a place, at most `limit`. `list` is one of [`OBJECTS`](super::OBJECTS),
    /// [`TARGETS`](super::TARGETS), [`DIFFERENCES`](super::DIFFERENCES) and [`SKIPPED`](super::SKIPPED); places begin with 1 and have no gaps.
    pub async fn simulated<T: DeserializeOwned>(
        &self,
        ctx: &Ctx,
        id: ResourceId,
        list: &str,
        span: (i64, i64),
    ) -> Result<Vec<(i64, T)>, Error> {
        let Some(document) = self.simulation(ctx, id).await? else { return Ok(Vec::new()) };
        let shown = super::lists(super::attempts(&document));
        let list = match list {
            super::OBJECTS => shown.objects,
            super::TARGETS => shown.targets,
            super::SKIPPED => super::SKIPPED,
            _ => super::DIFFERENCES,
        };
        let found: Vec<(i64, Value)> = self.run_items(ctx, id, list, span).await?;
        if list != super::TARGETS {
            let ids = found.iter().filter_map(|(_, item)| item.get("id")?.as_str()?.parse().ok());
            self.remember_told(ctx, ids.collect()).await?;
        }
        let broken = |error: serde_json::Error| store::Error::Corrupt(error.to_string());
        let read = |(place, item)| Ok((place, serde_json::from_value(item).map_err(broken)?));
        found.into_iter().map(read).collect()
    }
}

/// The same within a write.
pub(super) fn end(
    ctx: &Ctx,
    work: &mut Work<'_>,
    record: &Record,
    mut document: Document,
    ending: &Value,
    without: &[&'static str],
) -> Result<(), Error> {
    for (name, value) in object(ending.clone()) {
        match value {
            Value::Null => drop(document.shift_remove(&name)),
            value => drop(document.insert(name, value)),
        }
    }
    without.iter().for_each(|list| work.drop_run_items(record.id, list));
    match State::of(&document) {
        Some(State::Changed) => {
            let summary =
                "What was decided on would do something else by now: look at the difference, and decide anew.";
            work_items::open(ctx, work, &Item::new(Kind::Simulation, record.id, summary, "simulation"))?;
        }
        _ => work_items::close(ctx, work, Kind::Simulation, record.id, false)?,
    }
    write(work, record, document)
}
