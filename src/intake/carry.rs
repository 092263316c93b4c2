//! The way of a run. First the file is scanned and compared, then all that would be done is rehearsed by the code that
//! does it; if that is too much at once the run is held, and nothing of it was stored. Otherwise it is done: resources
//! part by part, then what is missing, then references. Interrupted at any point, it is begun anew and finds done what was
//! done: each resource is stored together with the note of what was said of it.

mod tally;

use std::fs::File;
use std::io::{Seek, Write as _};
use std::sync::{Arc, PoisonError};

use provisioning::guard::Excess;
use serde_json::{Map as Object, Value};
use store::ResourceId;
use store::feed::FeedKey;
use tokio::sync::mpsc;

use super::gather::{Gathered, gather};
use super::guard::{is_within, tripped};
use super::read::ReadError;
use super::scan::{Scan, Standing, scan};
use super::{Intake, IntakeError, Reject};
use crate::directory::feeds::map::{Format, Mode};
use crate::directory::feeds::{
    BODY, Counts, Ending, Entry, Feed, Op, REJECTS, RunState, Task, Tripped, WARNINGS, Wish, Write, is_gone, stored_op,
};
use crate::directory::{Ctx, Error};

/// Entries that are carried out together.
const BATCH: usize = 500;
/// Records of a feed that are read at a time.
const PAGE: i64 = 5_000;

/// A run on its way.
struct Way<'i> {
    intake: &'i Intake,
    feed: Feed,
    run: ResourceId,
    task: Task,
    file: File,
    format: Format,
    scan: Arc<Scan>,
    /// Keys that the feed has said and the file does not have.
    missing: Vec<(usize, String)>,
    counts: Counts,
}

impl Intake {
    fn now(&self) -> Ctx {
        Ctx { now: (self.clock)(), ..self.ctx.clone() }
    }

    /// Carries a run out, or on, and returns its document as it is then: applied, held, simulated or failed. Without a
    /// `file` it is the one that was kept with the run. `None`: it is not to be carried out.
    ///
    /// Fails for a reason that may pass; the run is running then, and whoever carries it on does nothing twice.
    pub async fn carry(
        &self,
        run: ResourceId,
        file: Option<File>,
    ) -> Result<Option<Object<String, Value>>, IntakeError> {
        let (is_kept, file) = match file {
            Some(file) => (false, file),
            // One that is carried out from a file of somebody's own is theirs.
            None => match self.kept(run).await? {
                Some(file) => (true, file),
                None => return Ok(None),
            },
        };
        let Some(document) = self.directory.take_run(&self.now(), run).await? else { return Ok(None) };
        let ending = match self.go(run, &document, file, is_kept).await {
            Ok(ending) => ending,
            Err(IntakeError::Directory(error)) if error.may_pass() => return Err(error.into()),
            Err(IntakeError::Directory(Error::Denied(reason))) => Ending::failed(reason),
            Err(error) => Ending::failed(error.to_string()),
        };
        let state = ending.state;
        let document = self.directory.end_run(&self.now(), run, ending).await?;
        if state != RunState::Held {
            self.directory.drop_run_items(&self.now(), run, &[BODY]).await?;
        }
        Ok(Some(document))
    }

    async fn go(
        &self,
        run: ResourceId,
        document: &Object<String, Value>,
        file: File,
        is_kept: bool,
    ) -> Result<Ending, IntakeError> {
        let ctx = self.now();
        let text = |path: [&str; 2]| document.get(path[0]).and_then(|value| value.get(path[1])).and_then(Value::as_str);
        let feed = self.directory.feed(&ctx, text(["feed", "value"]).unwrap_or_default()).await?;
        let feed = feed.ok_or_else(|| Error::Denied("The feed is gone.".into()))?;
        let map = Arc::new(self.map_of(&feed).await?);
        let client = self.directory.feed_context(&ctx, &feed).await?;
        for part in &map.parts {
            let kind = part.definition.name();
            if !client.caller.scopes.allow(kind, crate::directory::scope::Access::Write) {
                return Err(Error::Denied(format!("The feed's client lacks the scope {kind}:write.")).into());
            }
        }
        let size = document.get("file").and_then(|file| file.get("size")).and_then(Value::as_u64);
        if size != file.metadata().map(|file| file.len()).ok() {
            return Err(ReadError::Unfit("The file is not what was received. Send it again.".into()).into());
        }
        let mode = document.get("mode").and_then(Value::as_str).and_then(Mode::parse).unwrap_or(map.mode);
        let format = text(["file", "format"]).and_then(Format::parse).or(map.format).unwrap_or(Format::Csv);
        let is_simulated = document.get("simulated") == Some(&Value::Bool(true));
        let parts: Vec<_> = map.parts.iter().cloned().map(Arc::new).collect();
        let task = Task {
            ctx: client.within(run),
            map,
            parts: parts.into(),
            feed: feed.id,
            run,
            mode,
            in_detail: is_simulated,
            weighed: Arc::default(),
        };
        let mut way = Way {
            intake: self,
            feed,
            run,
            task,
            file,
            format,
            scan: Arc::default(),
            missing: Vec::new(),
            counts: Counts::default(),
        };
        way.scan().await?;
        way.compare().await?;
        let before: Option<Counts> =
            document.get("planned").and_then(|planned| serde_json::from_value(planned.clone()).ok());
        let is_allowed = document.get("decision").and_then(Value::as_str) == Some("allow");
        // Once it has begun to be applied, what is left is less than what was found to be within the limits.
        let has_begun = before.is_some() && !is_allowed;
        if !has_begun {
            let planned = way.plan(is_simulated).await?;
            let raised = way.feed.raised(ctx.now);
            let mut tripped =
                tripped(&planned, &way.task.map.limits, mode, raised.as_ref().map(|(_, percent)| *percent));
            // What a feed has declared beforehand is declared for its day too.
            if raised.is_none() {
                let tally = way.task.weighed.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let day = self.directory.weigh_run(&way.task.ctx, tally).await?;
                let known = |one: &Excess, tripped: &[Tripped]| tripped.iter().any(|known| known.limit == one.limit);
                for one in day {
                    if !known(&one, &tripped) {
                        tripped.push(one.into());
                    }
                }
            }
            let ending =
                |state| Ending { state, counts: None, planned: Some(planned), tripped: tripped.clone(), reason: None };
            if is_simulated {
                return Ok(Ending { counts: Some(planned), ..ending(RunState::Simulated) });
            }
            let was_allowed = is_allowed && before.is_some_and(|before| is_within(&planned, &before));
            if !tripped.is_empty() && !was_allowed {
                if !is_kept {
                    self.keep(run, &mut way.file).await?;
                }
                return Ok(ending(RunState::Held));
            }
            let without = self::tripped(&planned, &way.task.map.limits, mode, None);
            let raised = raised.filter(|_| !without.is_empty() && !is_allowed).map(|(name, _)| name);
            self.directory.plan_run(&self.now(), run, planned, raised).await?;
        }
        let living = before.filter(|_| has_begun).map(|before| before.living);
        let mut counts = way.apply().await?;
        counts.living = living.unwrap_or(counts.living);
        Ok(Ending { counts: Some(counts), ..ending_applied() })
    }

    /// The file that was kept with a run, on disk under no name. `None`: none was.
    async fn kept(&self, run: ResourceId) -> Result<Option<File>, IntakeError> {
        let mut file = tempfile::tempfile().map_err(ReadError::Io)?;
        let is_there = self.directory.body_of(&self.ctx, run, |piece| file.write_all(piece)).await?;
        Ok(is_there.then_some(file))
    }
}

fn ending_applied() -> Ending {
    Ending { state: RunState::Applied, counts: None, planned: None, tripped: Vec::new(), reason: None }
}

/// What a way through the file tells.
enum Heard {
    Refused(usize, Reject),
    Warned(Reject),
}

impl Way<'_> {
    fn ctx(&self) -> Ctx {
        self.intake.now()
    }

    fn reopened(&mut self) -> Result<File, IntakeError> {
        self.file.rewind().map_err(ReadError::Io)?;
        Ok(self.file.try_clone().map_err(ReadError::Io)?)
    }

    /// The first way through the file. What cannot be read is kept with the run.
    async fn scan(&mut self) -> Result<(), IntakeError> {
        let (mut file, format, map) = (self.reopened()?, self.format, self.task.map.clone());
        let (send, mut heard) = mpsc::channel::<Heard>(BATCH);
        let watch = self.intake.watch.clone();
        let scanned = tokio::task::spawn_blocking(move || {
            let refused = |part, reject| send.blocking_send(Heard::Refused(part, reject)).is_ok();
            let warned = |reject| send.blocking_send(Heard::Warned(reject)).is_ok();
            let passed = |rows: u64| {
                if rows.is_multiple_of(1_000) {
                    watch("rows read", rows, 0);
                }
            };
            scan(&mut file, format, &map, refused, warned, passed)
        });
        let (mut refused, mut warned) = (Vec::new(), Vec::new());
        while let Some(told) = heard.recv().await {
            match told {
                Heard::Refused(part, reject) => refused.push((reject.place(part), reject)),
                Heard::Warned(reject) => warned.push((reject.place(0), reject)),
            }
            if refused.len() + warned.len() >= BATCH {
                self.keep_rejects(REJECTS, &mut refused).await?;
                self.keep_rejects(WARNINGS, &mut warned).await?;
            }
        }
        self.keep_rejects(REJECTS, &mut refused).await?;
        self.keep_rejects(WARNINGS, &mut warned).await?;
        let scanned = scanned.await.map_err(|error| store::Error::Unavailable(error.to_string()))??;
        (self.intake.watch)("rows read", scanned.rows, scanned.rows);
        self.counts = Counts {
            rows: scanned.rows,
            keys: scanned.seen.len() as u64,
            rejected: scanned.lost + scanned.refused(),
            duplicates: scanned.duplicates,
            misread: scanned.misread,
            ..Counts::default()
        };
        self.scan = Arc::new(scanned);
        Ok(())
    }

    /// Compares with all that the feed has said, which is a walk through one table.
    async fn compare(&mut self) -> Result<(), IntakeError> {
        let mut scan = std::mem::take(&mut self.scan);
        let Some(own) = Arc::get_mut(&mut scan) else {
            return Err(store::Error::Corrupt("a scan is in use".into()).into());
        };
        let (tenant, feed) = (self.task.ctx.tenant, self.feed.id);
        let map = self.task.map.clone();
        let mut after: Option<FeedKey> = None;
        loop {
            let last = after.take();
            let page = self
                .intake
                .directory
                .store()
                .read_for(tenant, move |reader| reader.feed_records(tenant, feed, last.as_ref(), (false, PAGE)));
            let page = page.await.map_err(|error: store::Error| error)?;
            for (key, record) in &page {
                let Some(part) = map.parts.iter().position(|part| part.definition.name() == key.kind) else { continue };
                if !is_gone(&record.op) {
                    self.counts.living += 1;
                }
                if own.compare(&map, &key.kind, &key.key, record) && self.task.mode == Mode::Full {
                    self.missing.push((part, key.key.clone()));
                }
            }
            match page.into_iter().next_back() {
                Some((key, _)) => after = Some(key),
                None => break,
            }
        }
        let unchanged = own.seen.values().filter(|seen| seen.standing == Standing::Unchanged).count();
        self.counts.unchanged = unchanged as u64;
        self.scan = scan;
        Ok(())
    }

    /// All that would be done. For a simulation as one piece, so that each part sees what those before it would do;
    /// otherwise batch by batch, which needs little memory however much it is.
    async fn plan(&mut self, is_simulated: bool) -> Result<Counts, IntakeError> {
        let mut counts = self.counts;
        let mut whole = Vec::new();
        let due = self.scan.seen.values().filter(|seen| seen.is_due()).count() as u64;
        for part in 0..self.task.parts.len() {
            let mut entries = self.gather(part)?;
            loop {
                let (batch, refused, duplicates) = next(&mut entries).await;
                let is_over = batch.is_empty() && refused.is_empty();
                counts.rejected += refused.len() as u64;
                counts.duplicates += duplicates;
                self.keep_refused(refused).await?;
                if is_over {
                    break;
                }
                if is_simulated {
                    whole.extend(batch);
                } else {
                    let outcomes = self.intake.directory.carry_entries(&self.task, batch, Write::Rehearse).await?;
                    self.count(&mut counts, outcomes, None).await?;
                    (self.intake.watch)("planned", counts.created + counts.updated + counts.disabled, due);
                }
            }
            finish(entries).await?;
        }
        let missing: Vec<Entry> = self.withdrawals().collect();
        if is_simulated {
            whole.extend(missing);
            let outcomes = self.intake.directory.carry_entries(&self.task, whole, Write::Rehearse).await?;
            let mut place = 0;
            self.count(&mut counts, outcomes, Some(&mut place)).await?;
        } else {
            for batch in missing.chunks(BATCH) {
                let outcomes = self.intake.directory.carry_entries(&self.task, batch.to_vec(), Write::Rehearse).await?;
                self.count(&mut counts, outcomes, None).await?;
            }
        }
        Ok(counts)
    }

    /// Does it.
    async fn apply(&mut self) -> Result<Counts, IntakeError> {
        let mut counts = self.counts;
        let total = self.scan.seen.values().filter(|seen| seen.is_due()).count() + self.missing.len();
        let (total, mut done) = (total as u64, 0);
        for part in 0..self.task.parts.len() {
            let mut entries = self.gather(part)?;
            loop {
                let (batch, refused, duplicates) = next(&mut entries).await;
                if batch.is_empty() && refused.is_empty() {
                    break;
                }
                counts.rejected += refused.len() as u64;
                counts.duplicates += duplicates;
                done += (batch.len() + refused.len()) as u64;
                self.keep_refused(refused).await?;
                let outcomes = self.intake.directory.carry_entries(&self.task, batch, Write::Apply).await?;
                self.count(&mut counts, outcomes, None).await?;
                (self.intake.watch)("carried out", done, total);
            }
            finish(entries).await?;
        }
        let missing: Vec<Entry> = self.withdrawals().collect();
        for batch in missing.chunks(BATCH) {
            let outcomes = self.intake.directory.carry_entries(&self.task, batch.to_vec(), Write::Apply).await?;
            self.count(&mut counts, outcomes, None).await?;
            done += batch.len() as u64;
            (self.intake.watch)("carried out", done, total);
        }
        counts.open = self.refer().await?;
        // What was done before an interruption counts too: it stands with each record.
        let (tenant, feed, run) = (self.task.ctx.tenant, self.feed.id, self.run);
        let stored =
            self.intake.directory.store().read_for(tenant, move |reader| reader.feed_counts(tenant, feed, run));
        let done = |op: Op, gone: bool, stored: &[(String, i64)]| {
            let of = stored.iter().filter(|(word, _)| stored_op(word) == (op, gone));
            of.map(|(_, count)| u64::try_from(*count).unwrap_or_default()).sum::<u64>()
        };
        let stored: Vec<(String, i64)> = stored.await.map_err(|error: store::Error| error)?;
        counts.created = done(Op::Created, false, &stored);
        counts.updated = done(Op::Updated, false, &stored);
        counts.disabled = done(Op::Disabled, false, &stored) + done(Op::Disabled, true, &stored);
        counts.deleted = done(Op::Deleted, true, &stored);
        counts.withdrawn = stored
            .iter()
            .filter(|(word, _)| is_gone(word))
            .map(|(_, count)| u64::try_from(*count).unwrap_or_default())
            .sum();
        let changed = counts.created + counts.updated + done(Op::Disabled, false, &stored);
        let keys = counts.keys.saturating_sub(counts.rejected.saturating_sub(self.scan.lost));
        counts.unchanged = keys.saturating_sub(changed);
        Ok(counts)
    }

    fn withdrawals(&self) -> impl Iterator<Item = Entry> + use<> {
        // Who refers to others goes before them.
        let mut missing = self.missing.clone();
        missing.sort_by(|(one, _), (other, _)| other.cmp(one));
        missing.into_iter().map(|(part, key)| Entry { part, key, row: 0, wish: Wish::Withdraw })
    }

    /// Sets references that lead somewhere by now, and returns how many do not.
    async fn refer(&mut self) -> Result<u64, IntakeError> {
        let (tenant, feed) = (self.task.ctx.tenant, self.feed.id);
        let mut after: Option<FeedKey> = None;
        let mut open = 0;
        loop {
            let last = after.take();
            let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
            let page = self
                .intake
                .directory
                .store()
                .read_for(tenant, move |reader| reader.feed_records(tenant, feed, last.as_ref(), (true, limit)));
            let page = page.await.map_err(|error: store::Error| error)?;
            let Some((last, _)) = page.last() else { return Ok(open) };
            after = Some(last.clone());
            let entries = page.iter().filter_map(|(key, _)| {
                let part = self.task.parts.iter().position(|part| part.definition.name() == key.kind)?;
                Some(Entry { part, key: key.key.clone(), row: 0, wish: Wish::Refer })
            });
            let outcomes = self.intake.directory.carry_entries(&self.task, entries.collect(), Write::Apply).await?;
            let mut warnings = Vec::new();
            for outcome in outcomes {
                let left = outcome.done.as_ref().map(|done| done.open.clone()).unwrap_or_default();
                open += left.len() as u64;
                for reference in left {
                    let reason = format!("{} {} is not there (yet).", reference.kind, reference.key);
                    let place = i64::MAX / 2 + i64::try_from(open).unwrap_or_default();
                    warnings.push((place, self.reject(outcome.part, &outcome.key, 0, reason)));
                }
            }
            self.keep_rejects(WARNINGS, &mut warnings).await?;
        }
    }

    /// The second way through the file, for one part.
    fn gather(&mut self, part: usize) -> Result<Entries, IntakeError> {
        let (mut file, format, map, scan) = (self.reopened()?, self.format, self.task.map.clone(), self.scan.clone());
        let (send, heard) = mpsc::channel(BATCH);
        // Without anything to do the file is not opened again.
        let is_due = scan.seen.values().any(|seen| seen.is_due() && usize::from(seen.part) == part);
        let way = tokio::task::spawn_blocking(move || match is_due {
            true => gather(&mut file, format, &map, part, &scan, |gathered| send.blocking_send(gathered).is_ok()),
            false => Ok(()),
        });
        Ok(Entries { heard, way })
    }
}

/// What a second way through the file tells.
struct Entries {
    heard: mpsc::Receiver<Gathered>,
    way: tokio::task::JoinHandle<Result<(), ReadError>>,
}

/// The next batch, what was refused beside it, and how many of these stand twice. Both are empty at the end.
async fn next(entries: &mut Entries) -> (Vec<Entry>, Vec<(usize, Reject)>, u64) {
    let (mut batch, mut refused, mut duplicates) = (Vec::new(), Vec::new(), 0);
    while batch.len() < BATCH && refused.len() < BATCH {
        match entries.heard.recv().await {
            None => break,
            Some(Gathered::Entry(entry)) => batch.push(entry),
            Some(Gathered::Refused { part, reject, is_duplicate }) => {
                duplicates += u64::from(is_duplicate);
                refused.push((part, reject));
            }
        }
    }
    (batch, refused, duplicates)
}

async fn finish(entries: Entries) -> Result<(), IntakeError> {
    drop(entries.heard);
    match entries.way.await.map_err(|error| store::Error::Unavailable(error.to_string()))? {
        Ok(()) | Err(ReadError::BrokenOff) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
