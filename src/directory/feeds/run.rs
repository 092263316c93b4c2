//! The life of a run: it waits, runs, and is applied; or it is held until a person decides; or it fails, with the reason.
//! All but the decision is the server's to write. One run of a feed is carried out at a time.

mod decision;
mod undone;

use provisioning::guard::Excess;
use scim::resource::{label, normalise};
use serde::{Deserialize, Serialize};
use serde_json::{Map as Object, Value, json};
use store::work::{Draft, document_of};
use store::{Record, ResourceId, Work, format_instant};

use super::map::{Format, Mode};
use super::{FEED, Feed, RUN};
use crate::directory::work_items::{self, Item, Kind};
use crate::directory::{Ctx, Directory, Error};

/// What a resource says.
type Document = Object<String, Value>;

pub(in crate::directory) use decision::attend;
pub(in crate::directory) use undone::Undoing;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It was received, or allowed, and waits for its turn.
    Waiting,
    /// It is being carried out.
    Running,
    /// It would do too much at once: nothing of it was applied, and a person decides.
    Held,
    /// It was carried out.
    Applied,
    /// A person has decided against it.
    Rejected,
    /// It could not be carried out.
    Failed,
    /// It was worked out, and nothing of it stored.
    Simulated,
}

impl RunState {
    /// The name in the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Waiting => "waiting",
            RunState::Running => "running",
            RunState::Held => "held",
            RunState::Applied => "applied",
            RunState::Rejected => "rejected",
            RunState::Failed => "failed",
            RunState::Simulated => "simulated",
        }
    }

    /// What the document of a run says.
    pub fn of(document: &Object<String, Value>) -> Option<Self> {
        use RunState::{Applied, Failed, Held, Rejected, Running, Simulated, Waiting};
        let name = document.get("state")?.as_str()?;
        [Waiting, Running, Held, Applied, Rejected, Failed, Simulated].into_iter().find(|state| state.as_str() == name)
    }
}

/// What a run does, by sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Rows that were read.
    pub rows: u64,
    /// Keys that they name.
    pub keys: u64,
    /// Resources that come to be.
    pub created: u64,
    /// Resources that change.
    pub updated: u64,
    /// Resources that stay as they are.
    pub unchanged: u64,
    /// Resources whose `active` becomes false.
    pub disabled: u64,
    /// Resources that are deleted.
    pub deleted: u64,
    /// Keys that the source no longer names.
    pub withdrawn: u64,
    /// Absent keys that lie outside of the scope.
    pub outside: u64,
    /// Keys, and rows without one, that are refused.
    pub rejected: u64,
    /// Of these, keys that stand more often than they may.
    pub duplicates: u64,
    /// References that lead nowhere yet.
    pub open: u64,
    /// Rows that look as if they were read in a wrong encoding.
    pub misread: u64,
    /// Records of the feed that lived before.
    pub living: u64,
}

/// A limit that a run exceeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tripped {
    /// Which: `rejects`, `empty`, or what [`provisioning::guard`] calls it.
    pub limit: String,
    /// How many there would be.
    pub count: u64,
    /// How many are allowed.
    pub most: u64,
}

impl From<Excess> for Tripped {
    fn from(Excess { limit, count, most }: Excess) -> Self {
        Tripped { limit, count, most }
    }
}

/// A file as it is received.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Whether it is all of the source.
    pub mode: Mode,
    /// Whether nothing of it is to be stored.
    pub simulated: bool,
    /// When the source made it, µs since 1970.
    pub extracted: i64,
    /// SHA-256 of it, as hexadecimal digits.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// How it is written.
    pub format: Format,
    /// Whether it is carried out at once, and not when its turn comes.
    pub at_once: bool,
}

/// What became of a beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// There is a new run.
    New(ResourceId),
    /// The same file is being carried out, and broke off perhaps.
    Again(ResourceId),
}

impl Begun {
    /// The run.
    pub fn id(self) -> ResourceId {
        match self {
            Begun::New(id) | Begun::Again(id) => id,
        }
    }
}

/// How a run ends, or pauses.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Held, applied, failed or simulated.
    pub state: RunState,
    /// What was done.
    pub counts: Option<Counts>,
    /// What would be done.
    pub planned: Option<Counts>,
    /// The limits that are exceeded.
    pub tripped: Vec<Tripped>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Ending {
    /// That it could not be carried out.
    pub fn failed(reason: impl Into<String>) -> Self {
        Ending {
            state: RunState::Failed,
            counts: None,
            planned: None,
            tripped: Vec::new(),
            reason: Some(reason.into()),
        }
    }
}

impl Directory {
    /// Begins a run of a feed. Fails with 409 while another file of the feed is carried out, and for a file that is older
    /// than the last that was applied.
    pub async fn begin_run(&self, ctx: &Ctx, feed: ResourceId, id: ResourceId, begin: Begin) -> Result<Begun, Error> {
        let now = ctx.now;
        let write = self.store.write(ctx.tenant, ctx.origin(), move |work| {
            let record = work.record(feed)?.filter(|record| record.kind == FEED).ok_or(store::Error::NotFound)?;
            let mut feed = Feed::of(&record)?;
            if !begin.simulated {
                if let Some(again) = in_progress(&feed, &begin, work)? {
                    return Ok(Begun::Again(again));
                }
                check_age(&feed, begin.extracted)?;
            }
            let state = if begin.at_once { RunState::Running } else { RunState::Waiting };
            let document = json!({
                "schemas": ["urn:matrikel:scim:schemas:1.0:Run"],
                "feed": { "value": feed.id.to_string(), "display": feed.name },
                "client": { "value": feed.client.to_string() },
                "state": state.as_str(),
                "mode": begin.mode.as_str(),
                "simulated": begin.simulated,
                "started": format_instant(now),
                "extracted": format_instant(begin.extracted),
                "file": { "digest": begin.digest, "size": begin.size, "format": begin.format.as_str() },
            });
            write_own(work, id, RUN, None, object(document))?;
            if begin.at_once && !begin.simulated {
                feed.document.insert("running".into(), id.to_string().into());
                write_own(work, feed.id, FEED, Some(&record), feed.document)?;
            }
            Ok::<_, Error>(Begun::New(id))
        });
        write.await
    }

    /// Takes up a run that waits, or that broke off: it is running from now on. `None`: it is not to be carried out any
    /// more, or another of its feed is.
    pub async fn take_run(&self, ctx: &Ctx, run: ResourceId) -> Result<Option<Object<String, Value>>, Error> {
        let now = ctx.now;
        let write = self.store.write(ctx.tenant, ctx.origin(), move |work| {
            let Some((record, mut document)) = run_of(work, run)? else { return Ok(None) };
            let state = RunState::of(&document);
            if state == Some(RunState::Running) {
                return Ok(Some(document));
            }
            if state != Some(RunState::Waiting) {
                return Ok(None);
            }
            let Some(held) = feed_of(&document).map(|feed| work.record(feed)).transpose()?.flatten() else {
                document.extend(object(
                    json!({ "state": "failed", "reason": "The feed is gone.", "ended": format_instant(now) }),
                ));
                write_own(work, run, RUN, Some(&record), document)?;
                return Ok(None);
            };
            let mut feed = Feed::of(&held)?;
            let is_simulated = document.get("simulated") == Some(&Value::Bool(true));
            if !is_simulated {
                if running(&feed, work)?.is_some() {
                    return Ok(None);
                }
                if let Err(error) = check_age(&feed, instant(document.get("extracted")).unwrap_or(i64::MIN)) {
                    document.extend(object(
                        json!({ "state": "failed", "reason": error.detail, "ended": format_instant(now) }),
                    ));
                    write_own(work, run, RUN, Some(&record), document)?;
                    return Ok(None);
                }
                feed.document.insert("running".into(), run.to_string().into());
                write_own(work, feed.id, FEED, Some(&held), feed.document)?;
            }
            document.insert("state".into(), RunState::Running.as_str().into());
            write_own(work, run, RUN, Some(&record), document.clone())?;
            Ok::<_, Error>(Some(document))
        });
        write.await
    }

    /// Notes what a run that is running is about to do, so that whoever carries on knows that it may.
    pub async fn plan_run(
        &self,
        ctx: &Ctx,
        run: ResourceId,
        planned: Counts,
        raised: Option<String>,
    ) -> Result<(), Error> {
        let write = self.store.write(ctx.tenant, ctx.origin(), move |work| {
            let (record, mut document) = run_of(work, run)?.ok_or(store::Error::NotFound)?;
            document.insert("planned".into(), serde_json::to_value(planned).unwrap_or_default());
            if let Some(raised) = &raised {
                document.insert("raised".into(), raised.as_str().into());
            }
            write_own(work, run, RUN, Some(&record), document)
        });
        write.await
    }

    /// Ends a run that is running, or holds it; one that was rejected meanwhile stays so.
    pub async fn end_run(&self, ctx: &Ctx, run: ResourceId, ending: Ending) -> Result<Object<String, Value>, Error> {
        let (caller, now) = (ctx.clone(), ctx.now);
        let write = self.store.write(ctx.tenant, ctx.origin(), move |work| {
            let (record, mut document) = run_of(work, run)?.ok_or(store::Error::NotFound)?;
            if let Some(held) = feed_of(&document).map(|feed| work.record(feed)).transpose()?.flatten() {
                let mut feed = Feed::of(&held)?;
                let is_ours = feed.document.get("running").and_then(Value::as_str) == Some(run.to_string().as_str());
                if is_ours {
                    feed.document.shift_remove("running");
                }
                if ending.state == RunState::Applied {
                    let extracted = document.get("extracted").cloned().unwrap_or_default();
                    let applied = json!({ "run": run.to_string(), "extracted": extracted, "at": format_instant(now) });
                    feed.document.insert("applied".into(), applied);
                    mark_planned(&mut feed.document, document.get("raised").and_then(Value::as_str), run);
                }
                if is_ours || ending.state == RunState::Applied {
                    write_own(work, feed.id, FEED, Some(&held), feed.document)?;
                }
            }
            if RunState::of(&document) != Some(RunState::Running) {
                return Ok(document);
            }
            document.insert("state".into(), ending.state.as_str().into());
            document.insert("ended".into(), format_instant(now).into());
            let mut set = |name: &str, value: Option<Value>| match value {
                Some(value) => drop(document.insert(name.to_owned(), value)),
                None => drop(document.shift_remove(name)),
            };
            let shown = |counts: &Counts| serde_json::to_value(counts).unwrap_or_default();
            if let Some(counts) = &ending.counts {
                set("counts", Some(shown(counts)));
            }
            if let Some(planned) = &ending.planned {
                set("planned", Some(shown(planned)));
            }
            let tripped =
                (!ending.tripped.is_empty()).then(|| serde_json::to_value(&ending.tripped).unwrap_or_default());
            set("tripped", tripped);
            set("reason", ending.reason.clone().map(Value::from));
            if ending.state == RunState::Held {
                // What was decided was about less.
                ["decision", "remark", "decided"].into_iter().for_each(|name| set(name, None));
                work_items::open(&caller, work, &to_decide(run, &ending.tripped))?;
            }
            write_own(work, run, RUN, Some(&record), document.clone())?;
            Ok::<_, Error>(document)
        });
        write.await
    }

    /// A run's document. `None`: there is none of that id.
    pub async fn run_document(&self, ctx: &Ctx, run: ResourceId) -> Result<Option<Object<String, Value>>, Error> {
        let tenant = ctx.tenant;
        let record = self.store.read_for(tenant, move |reader| reader.record(tenant, run)).await?;
        Ok(record.filter(|record| record.kind == RUN).map(|record| document_of(&record)).transpose()?)
    }

    /// Every run that waits or is running, oldest first.
    pub async fn open_runs(&self, ctx: &Ctx) -> Result<Vec<ResourceId>, Error> {
        let tenant = ctx.tenant;
        let records: Vec<Record> = self.store.read_for(tenant, move |reader| reader.records_of(tenant, RUN)).await?;
        let mut open = Vec::new();
        for record in records {
            if matches!(RunState::of(&document_of(&record)?), Some(RunState::Waiting | RunState::Running)) {
                open.push((record.created_at, record.id));
            }
        }
        open.sort_unstable();
        Ok(open.into_iter().map(|(_, id)| id).collect())
    }
}

/// What a person has to decide of a run that is held.
fn to_decide(run: ResourceId, tripped: &[Tripped]) -> Item {
    let summary =
        "A file would do too much at once, and nothing of it was applied: look at the run, and allow or reject it.";
    let mut item = Item::new(Kind::HeldRun, run, summary, "feed");
    item.details = tripped.iter().map(|one| format!("{} {} of at most {}", one.limit, one.count, one.most)).collect();
    item
}

fn in_progress(feed: &Feed, begin: &Begin, work: &mut Work<'_>) -> Result<Option<ResourceId>, Error> {
    let Some((run, document)) = running(feed, work)? else { return Ok(None) };
    let file = document.get("file").and_then(|file| file.get("digest")).and_then(Value::as_str);
    let mode = document.get("mode").and_then(Value::as_str);
    if file == Some(begin.digest.as_str()) && mode == Some(begin.mode.as_str()) {
        return Ok(Some(run));
    }
    let detail = format!(
        "Another file of the feed {} is being carried out (run {run}). Send this one when it is done; one that broke off \
         goes on when its file is sent again.",
        feed.name
    );
    Err(scim::Error::status(409, detail).into())
}

/// The run of a feed that is being carried out.
fn running(feed: &Feed, work: &mut Work<'_>) -> Result<Option<(ResourceId, Document)>, Error> {
    let run = feed.document.get("running").and_then(Value::as_str).and_then(|run| run.parse::<ResourceId>().ok());
    let Some(run) = run else { return Ok(None) };
    let found = run_of(work, run)?.filter(|(_, document)| RunState::of(document) == Some(RunState::Running));
    Ok(found.map(|(_, document)| (run, document)))
}

fn check_age(feed: &Feed, extracted: i64) -> Result<(), scim::Error> {
    match feed.extracted().filter(|applied| extracted < *applied) {
        None => Ok(()),
        Some(applied) => Err(scim::Error::status(
            409,
            format!(
                "This file was made at {}, and one that was made at {} has been applied already. What is older is refused.",
                format_instant(extracted),
                format_instant(applied)
            ),
        )),
    }
}

fn mark_planned(document: &mut Object<String, Value>, raised: Option<&str>, run: ResourceId) {
    let Some(raised) = raised else { return };
    let planned = document.get_mut("planned").and_then(Value::as_array_mut).into_iter().flatten();
    for planned in planned.filter_map(Value::as_object_mut) {
        if planned.get("name").and_then(Value::as_str) == Some(raised) && !planned.contains_key("run") {
            planned.insert("run".into(), run.to_string().into());
        }
    }
}

fn run_of(work: &mut Work<'_>, run: ResourceId) -> Result<Option<(Record, Document)>, Error> {
    let Some(record) = work.record(run)?.filter(|record| record.kind == RUN) else { return Ok(None) };
    let document = document_of(&record)?;
    Ok(Some((record, document)))
}

/// The feed that a run's document names.
pub(super) fn feed_of(document: &Object<String, Value>) -> Option<ResourceId> {
    document.get("feed")?.get("value")?.as_str()?.parse().ok()
}

/// Writes a document of the server's own, whatever clients may write of it.
pub(in crate::directory) fn write_own(
    work: &mut Work<'_>,
    id: ResourceId,
    kind: &str,
    before: Option<&Record>,
    mut document: Object<String, Value>,
) -> Result<(), Error> {
    let definition = work.catalog().registry().definition(kind).cloned();
    let definition = definition.ok_or_else(|| store::Error::Corrupt(format!("there is no resource type {kind}")))?;
    normalise(&definition, &mut document);
    let draft = Draft {
        id,
        kind: kind.to_owned(),
        label: label(&document),
        doc: document.into(),
        secret: before.and_then(|record| record.secret.clone()),
        members: Vec::new(),
        external: None,
    };
    match before {
        None => drop(work.create(draft)?),
        Some(_) => drop(work.update(draft)?),
    }
    Ok(())
}

pub(in crate::directory) fn object(value: Value) -> Object<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// µs since 1970 of an instant in a document.
pub(in crate::directory) fn instant(value: Option<&Value>) -> Option<i64> {
    scim::key::instant(value?.as_str()?)
}
