//! What a file says of one resource, carried out: the operation is found here and not told by the caller. The resource
//! that the source's key leads to is created, changed or withdrawn by the steps of any write, and with it, in the same
//! transaction, stands what was said; whoever carries on after an interruption does nothing twice.

mod by_hand;
mod step;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use provisioning::guard::Tally;
use scim::authority::Absence;
use scim::resource::Notes;
use scim::schema::Definition;
use serde_json::{Map as Object, Value};
use store::external::ExternalKey;
use store::feed::{FeedKey, FeedRecord};
use store::work::document_of;
use store::{Reader, ResourceId, Work};

use super::RUN;
use super::amend::{Amendment, Change, Saying};
use super::map::{Map, Mode, Part, Reference, Withdrawal};
use super::run::RunState;
use crate::directory::authority::guard;
use crate::directory::create::Creation;
use crate::directory::guard;
use crate::directory::remove::Removal;
use crate::directory::revise::{Revising, Revision};
use crate::directory::work_items::{self, Item, Kind};
use crate::directory::{Ctx, Directory, Error, Precondition};

/// What all entries of a run have in common.
#[derive(Clone)]
pub struct Task {
    /// That of the feed's client.
    pub ctx: Ctx,
    /// The map.
    pub map: Arc<Map>,
    /// Its parts, in order.
    pub parts: Arc<[Arc<Part>]>,
    /// The feed.
    pub feed: ResourceId,
    /// The run.
    pub run: ResourceId,
    /// Whether what is not said is to go.
    pub mode: Mode,
    /// Whether each outcome tells the document before and after.
    pub in_detail: bool,
    /// What was rehearsed does to people.
    pub weighed: Arc<Mutex<Tally>>,
}

/// What a file says of one key.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The part of the map.
    pub part: usize,
    /// The source's own key.
    pub key: String,
    /// The first row that names it; 0 when none does.
    pub row: u64,
    /// What it says.
    pub wish: Wish,
}

/// What is wished of a resource.
#[derive(Clone, Debug)]
pub enum Wish {
    /// That it says so.
    Say {
        /// What.
        saying: Arc<Saying>,
        /// A digest of that.
        digest: Vec<u8>,
        /// Whether the source had withdrawn it.
        revive: bool,
    },
    /// That it is gone.
    Withdraw,
    /// That its open references lead where they can by now.
    Refer,
}

/// Whether it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is.
    Apply,
    /// It is worked out by the same code and thrown away.
    Rehearse,
}

/// What became of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// It came to be.
    Created,
    /// It changed.
    Updated,
    /// It is as it was.
    Unchanged,
    /// It changed, and is not active any more.
    Disabled,
    /// It was deleted.
    Deleted,
    /// Its source no longer names it, and it stays as it is.
    Withdrawn,
    /// It lies outside of the scope, so that its absence says nothing.
    Outside,
}

impl Op {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Created => "created",
            Op::Updated => "updated",
            Op::Unchanged => "unchanged",
            Op::Disabled => "disabled",
            Op::Deleted => "deleted",
            Op::Withdrawn => "withdrawn",
            Op::Outside => "outside",
        }
    }
}

/// Before the word for what became of a resource that its source no longer names.
const GONE: &str = "gone ";

/// Whether the source no longer names it, by what is stored as done.
pub fn is_gone(op: &str) -> bool {
    op.starts_with(GONE)
}

/// What was done by what is stored, and whether the source no longer names it.
pub fn stored_op(op: &str) -> (Op, bool) {
    let word = op.strip_prefix(GONE).unwrap_or(op);
    let known = [Op::Created, Op::Updated, Op::Unchanged, Op::Disabled, Op::Deleted];
    (known.into_iter().find(|known| known.as_str() == word).unwrap_or(Op::Withdrawn), is_gone(op))
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Done {
    /// What became of the resource.
    pub op: Op,
    /// The resource.
    pub id: Option<ResourceId>,
    /// References that lead nowhere yet.
    pub open: Vec<Reference>,
    /// A reference that led to the resource itself, and was left out.
    pub cut: Option<Reference>,
    /// What it was, in detail.
    pub before: Option<Object<String, Value>>,
    /// What it is.
    pub after: Option<Object<String, Value>>,
    /// Why nothing was done, although it was found out under the lock and something else was written for it.
    pub refused: Option<String>,
}

impl Done {
    /// That nothing else is to be told of it.
    fn nothing(op: Op, id: Option<ResourceId>) -> Self {
        Done { op, id, open: Vec::new(), cut: None, before: None, after: None, refused: None }
    }
}

/// What became of an entry.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The part of the map.
    pub part: usize,
    /// The source's own key.
    pub key: String,
    /// The first row that names it.
    pub row: u64,
    /// What was done, or why it was refused, as a sentence.
    pub done: Result<Done, String>,
}

/// An entry with all done that needs no lock.
struct Ready {
    entry: Entry,
    id: Option<ResourceId>,
    leads: HashMap<usize, String>,
    open: Vec<Reference>,
    cut: Option<Reference>,
    step: Result<Step, Error>,
}

enum Step {
    Create(Box<Creation>),
    Revise(Box<Revising>),
    Remove(Removal),
    Nothing,
}

impl Directory {
    /// Carries entries out, one after the other, or rehearses it. Those of one call have no order among them that counts.
    /// Fails as a whole for a reason that may pass: what was carried out by then stays, and is not done again.
    pub async fn carry_entries(&self, task: &Task, entries: Vec<Entry>, write: Write) -> Result<Vec<Outcome>, Error> {
        let ready = self.prepare_entries(task, entries).await?;
        let outcomes = match write {
            Write::Rehearse => self.rehearse(task, ready).await?,
            Write::Apply => self.apply(task, ready).await,
        };
        outcomes
            .into_iter()
            .map(|(part, key, row, done)| {
                let done = match done {
                    Err(error) if error.may_pass() => return Err(error),
                    Err(error) => Err(error.to_string()),
                    Ok(Done { refused: Some(reason), .. }) => Err(reason),
                    Ok(done) => Ok(done),
                };
                Ok(Outcome { part, key, row, done })
            })
            .collect()
    }

    async fn apply(&self, task: &Task, ready: Vec<Ready>) -> Vec<Told> {
        let waiting = ready.into_iter().map(|ready| {
            let (part, key, row) = (ready.entry.part, ready.entry.key.clone(), ready.entry.row);
            let task = task.clone();
            // The writer's queue keeps their order, and commits many of them at a time.
            let write = self.store.write(task.ctx.tenant, task.ctx.origin(), move |work| {
                task.check_running(work)?;
                let done = ready.run(&task, work)?;
                guard::weigh(&task.ctx, work)?;
                Ok(done)
            });
            async move { (part, key, row, write.await) }
        });
        join_all(waiting.collect::<Vec<_>>()).await
    }

    async fn rehearse(&self, task: &Task, ready: Vec<Ready>) -> Result<Vec<Told>, Error> {
        let (task, tenant, origin) = (task.clone(), task.ctx.tenant, task.ctx.origin());
        self.store
            .read_for(tenant, move |reader| {
                reader.simulate(tenant, origin, |work| {
                    let mut told = Vec::with_capacity(ready.len());
                    for ready in &ready {
                        let done = work.rehearse(|work| {
                            let done = ready.run(&task, work)?;
                            let tally = guard::tally(work)?;
                            task.weighed.lock().unwrap_or_else(PoisonError::into_inner).take_in(tally);
                            Ok(done)
                        });
                        told.push((ready.entry.part, ready.entry.key.clone(), ready.entry.row, done));
                    }
                    // What was open may lead somewhere, now that all are there.
                    for (part, key, _, done) in &mut told {
                        let Ok(known) = done else { continue };
                        if !known.open.is_empty() {
                            let again = work.rehearse(|work| task.refer(*part, key, work));
                            match again {
                                Ok(again) => {
                                    known.open = again.open;
                                    known.after = again.after.or(known.after.take());
                                }
                                Err(error) => *done = Err(error),
                            }
                        }
                    }
                    Ok(told)
                })
            })
            .await
    }

    /// Finds what the entries lead to, and works out what needs no lock.
    async fn prepare_entries(&self, task: &Task, entries: Vec<Entry>) -> Result<Vec<Ready>, Error> {
        let shared = task.clone();
        let found = self.store.read_for(task.ctx.tenant, move |reader| {
            entries.into_iter().map(|entry| shared.find(entry, reader)).collect::<Result<Vec<_>, Error>>()
        });
        let mut ready = Vec::new();
        for mut found in found.await? {
            found.step = self.prepare_entry(task, &mut found).await;
            ready.push(found);
        }
        Ok(ready)
    }

    async fn prepare_entry(&self, task: &Task, found: &mut Ready) -> Result<Step, Error> {
        let part = task.part(found.entry.part)?;
        let definition = &part.definition;
        let change = match &found.entry.wish {
            Wish::Refer => return Ok(Step::Nothing),
            Wish::Withdraw => match (part.withdraw, found.id) {
                (Withdrawal::Disable, Some(_)) => Change::Disable,
                (Withdrawal::Delete, Some(id)) => {
                    let removal = Directory::prepare_removal(definition, &id.to_string(), &Precondition::none())?;
                    return Ok(Step::Remove(removal));
                }
                (Withdrawal::Keep, _) | (_, None) => return Ok(Step::Nothing),
            },
            Wish::Say { saying, revive, .. } => Change::Say {
                saying: saying.clone(),
                mode: task.mode,
                leads: found.leads.clone(),
                revive: *revive || found.id.is_none(),
            },
        };
        let amendment = task.amendment(part, change);
        match found.id {
            Some(id) => {
                let revision: Arc<dyn Revision> = Arc::new(amendment);
                let revision = guard(&task.ctx, &amendment_definition(task, part), Absence::Removal, revision);
                let none = Precondition::none();
                Ok(Step::Revise(Box::new(self.prepare_revising(&task.ctx, definition, id, revision, &none).await?)))
            }
            None => {
                let id = task.ctx.random.resource_id(task.ctx.now)?;
                let mut body = amendment.amend(&Object::new());
                body.insert("externalId".into(), found.entry.key.as_str().into());
                let mut notes = Notes::new();
                let body = Value::Object(body);
                let creation = self.prepare_creation(&task.ctx, definition, id, &body, &mut notes).await?;
                Ok(Step::Create(Box::new(creation)))
            }
        }
    }
}

type Told = (usize, String, u64, Result<Done, Error>);

fn amendment_definition(task: &Task, part: &Part) -> Arc<Definition> {
    task.ctx.views.narrow(&part.definition)
}

impl Task {
    fn part(&self, place: usize) -> Result<&Arc<Part>, Error> {
        self.parts.get(place).ok_or_else(|| store::Error::Corrupt("a feed has lost a part".into()).into())
    }

    fn feed_key(&self, part: &Part, key: &str) -> FeedKey {
        FeedKey { feed: self.feed, kind: part.definition.name().to_owned(), key: key.to_owned() }
    }

    fn external(&self, kind: &str, key: &str) -> ExternalKey {
        ExternalKey { domain: self.ctx.caller.domain, kind: kind.to_owned(), value: key.to_owned() }
    }

    fn amendment(&self, part: &Arc<Part>, change: Change) -> Amendment {
        Amendment {
            part: part.clone(),
            definition: amendment_definition(self, part),
            strictness: self.ctx.caller.profile.strictness(),
            change,
        }
    }

    /// Fails when a person has ended the run.
    fn check_running(&self, work: &mut Work<'_>) -> Result<(), Error> {
        let record = work.record(self.run)?.filter(|record| record.kind == RUN).ok_or(store::Error::NotFound)?;
        match RunState::of(&document_of(&record)?) {
            Some(RunState::Running) => Ok(()),
            _ => Err(Error::Denied("The run was ended.".into())),
        }
    }

    /// Where an entry and its references lead.
    fn find(&self, entry: Entry, reader: &mut Reader) -> Result<Ready, Error> {
        let part = self.part(entry.part)?;
        let tenant = self.ctx.tenant;
        let kind = part.definition.name();
        let id = reader.external_holder(tenant, &self.external(kind, &entry.key))?;
        let (mut leads, mut open, mut cut) = (HashMap::new(), Vec::new(), None);
        if let Wish::Say { saying, .. } = &entry.wish {
            for reference in saying.references(part) {
                if reference.kind == kind && reference.key == entry.key {
                    cut = Some(reference);
                    continue;
                }
                match reader.external_holder(tenant, &self.external(&reference.kind, &reference.key))? {
                    Some(id) => drop(leads.insert(reference.column, id.to_string())),
                    None => open.push(reference),
                }
            }
        }
        Ok(Ready { entry, id, leads, open, cut, step: Ok(Step::Nothing) })
    }

    /// Sets the open references of a record that lead somewhere by now.
    fn refer(&self, part: usize, key: &str, work: &mut Work<'_>) -> Result<Done, Error> {
        let part = self.part(part)?;
        let feed_key = self.feed_key(part, key);
        let nothing = |id| Done::nothing(Op::Unchanged, id);
        let Some(record) = work.feed_record(&feed_key)? else { return Ok(nothing(None)) };
        let open: Vec<Reference> =
            record.open.as_deref().and_then(|open| serde_json::from_str(open).ok()).unwrap_or_default();
        let (mut leads, mut left) = (HashMap::new(), Vec::new());
        for reference in open {
            match work.holder_by_key(&self.external(&reference.kind, &reference.key))? {
                Some(id) => drop(leads.insert(reference.column, id.to_string())),
                None => left.push(reference),
            }
        }
        if leads.is_empty() {
            return Ok(Done { open: left, ..nothing(Some(record.resource)) });
        }
        let revision: Arc<dyn Revision> = Arc::new(self.amendment(part, Change::Refer(leads)));
        let revision = guard(&self.ctx, &amendment_definition(self, part), Absence::Removal, revision);
        let revising = Revising::new(part.definition.clone(), record.resource, revision, Precondition::none());
        let before = self.in_detail.then(|| self.document(record.resource, work)).transpose()?.flatten();
        revising.run(&self.ctx, &mut Notes::new(), work)?;
        let after = self.in_detail.then(|| self.document(record.resource, work)).transpose()?.flatten();
        let op = if record.run == self.run { record.op } else { Op::Updated.as_str().to_owned() };
        let id = record.resource;
        self.note_references(id, &left, work)?;
        work.put_feed_record(feed_key, FeedRecord { open: written(&left), op, run: self.run, ..record });
        Ok(Done { op: Op::Updated, id: Some(id), open: left, before, after, ..nothing(Some(id)) })
    }

    /// Has somebody look at the references of a resource that lead nowhere; without any, no more.
    fn note_references(&self, id: ResourceId, open: &[Reference], work: &mut Work<'_>) -> Result<(), Error> {
        if open.is_empty() {
            return work_items::close(&self.ctx, work, Kind::OpenReference, id, false);
        }
        let summary = "A source refers to something that is not there: have it sent, or correct the key.";
        let mut item = Item::new(Kind::OpenReference, id, summary, &format!("feed {}", self.map.source));
        item.owner = Some(self.ctx.caller.id);
        item.details = open.iter().map(|one| format!("{} {}", one.kind, one.key)).collect();
        work_items::open(&self.ctx, work, &item)
    }

    fn document(&self, id: ResourceId, work: &mut Work<'_>) -> Result<Option<Object<String, Value>>, Error> {
        Ok(work.record(id)?.map(|record| document_of(&record)).transpose()?)
    }
}

/// Open references as they are stored.
fn written(open: &[Reference]) -> Option<String> {
    if open.is_empty() { None } else { serde_json::to_string(open).ok() }
}
