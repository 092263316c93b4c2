//! Work items (`/WorkItems`): what a person has to decide. Opened and closed by the server alone, within the write that
//! gives the ground or takes it away: the same kind about the same thing is one item, however often it is found. A person
//! says who decides, by when, and that it is done; what the decision does is done where it belongs. An item names no
//! person in words, so that nothing of it has to be forgotten when somebody is.

mod owner;
mod person;
mod waiting;

use serde_json::{Map, Value, json};
use store::work::document_of;
use store::{Record, ResourceId, Work, format_instant};

use super::feeds::write_own;
use super::particular::{Follow, Write};
use super::{Ctx, Error};

pub use owner::theirs;
pub(super) use person::{Notice, notice};

/// The resource type of work items.
pub const WORK_ITEM: &str = "WorkItem";
const URN: &str = "urn:matrikel:scim:schemas:1.0:WorkItem";

/// What sort of thing is to be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A file that would do too much at once.
    HeldRun,
    /// Writes, days or rules that would do too much at once.
    HeldChange,
    /// A simulation that says something else than when it was decided on.
    Simulation,
    /// Rights that must not be combined: the newer is withheld.
    Conflict,
    /// A source refers to something that is not there.
    OpenReference,
    /// The first day has passed, and the account has never been active.
    NoShow,
    /// Rights that were given by hand, and another unit or task since.
    Review,
    /// More licences are held than there are.
    OverPermitted,
    /// Somebody without HR whose end is near, or for whom nobody answers.
    Sponsorship,
    /// A feed speaks of somebody without HR.
    Takeover,
    /// A unit's move that was planned cannot be made.
    PlannedMove,
}

impl Kind {
    /// The name in the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::HeldRun => "heldRun",
            Kind::HeldChange => "heldChange",
            Kind::Simulation => "simulation",
            Kind::Conflict => "conflict",
            Kind::OpenReference => "openReference",
            Kind::NoShow => "noShow",
            Kind::Review => "review",
            Kind::OverPermitted => "overPermitted",
            Kind::Sponsorship => "sponsorship",
            Kind::Takeover => "takeover",
            Kind::PlannedMove => "plannedMove",
        }
    }

    /// Every kind.
    pub const ALL: [Kind; 11] = [
        Kind::HeldRun,
        Kind::HeldChange,
        Kind::Simulation,
        Kind::Conflict,
        Kind::OpenReference,
        Kind::NoShow,
        Kind::Review,
        Kind::OverPermitted,
        Kind::Sponsorship,
        Kind::Takeover,
        Kind::PlannedMove,
    ];

    /// Every kind that is about somebody.
    const OF_PEOPLE: [Kind; 6] =
        [Kind::Conflict, Kind::OpenReference, Kind::NoShow, Kind::Review, Kind::Sponsorship, Kind::Takeover];
}

/// Something to be decided.
#[derive(Clone, Debug)]
pub struct Item {
    /// What sort.
    pub kind: Kind,
    /// The resource that it is about.
    pub about: ResourceId,
    /// What is to be decided, in plain words that name no person.
    pub summary: String,
    /// What it is about in particular, such as rules or keys. Others than before open an item again that was closed by hand.
    pub details: Vec<String>,
    /// Who is to decide, a Client or a User; `None`: any administrator.
    pub owner: Option<ResourceId>,
    /// By when, µs since 1970.
    pub due: Option<i64>,
    /// What opened it: a run, a rule, a day.
    pub cause: String,
}

impl Item {
    /// One that any administrator decides whenever it suits.
    pub fn new(kind: Kind, about: ResourceId, summary: &str, cause: &str) -> Self {
        let (summary, cause) = (summary.to_owned(), cause.to_owned());
        Item { kind, about, summary, details: Vec::new(), owner: None, due: None, cause }
    }
}

fn key(kind: Kind, about: ResourceId) -> String {
    format!("{}{about}", key_of(kind))
}

/// What the keys of a kind begin with.
fn key_of(kind: Kind) -> String {
    format!("{} ", kind.as_str())
}

/// An item as it is stored.
type Found = (Record, Map<String, Value>);

/// The item of a kind about a resource as long as there is a ground for it, whether somebody closed it or not.
fn find(work: &mut Work<'_>, kind: Kind, about: ResourceId) -> Result<Option<Found>, Error> {
    // Counts are in memory: where there are no items, nothing is paid.
    if work.count(WORK_ITEM) == 0 {
        return Ok(None);
    }
    let wanted = Map::from_iter([("key".to_owned(), key(kind, about).into())]);
    let Some(id) = work.holder_of(WORK_ITEM, &wanted)? else { return Ok(None) };
    let Some(record) = work.record(id)? else { return Ok(None) };
    let document = document_of(&record)?;
    Ok(Some((record, document)))
}

/// Opens an item within a write. One that is there already is brought up to date; one that somebody has closed stays closed
/// while it says the same. Under the lock.
pub fn open(ctx: &Ctx, work: &mut Work<'_>, item: &Item) -> Result<(), Error> {
    let details: Vec<Value> = item.details.iter().map(|detail| detail.as_str().into()).collect();
    if let Some((record, mut document)) = find(work, item.kind, item.about)? {
        let known = document.get("details").and_then(Value::as_array).cloned().unwrap_or_default();
        let asks_the_same = document.get("summary").and_then(Value::as_str) == Some(&item.summary);
        if asks_the_same && known == details {
            return Ok(());
        }
        if !asks_the_same {
            // Another question is another's to decide, by another day.
            if let Some(owner) = item.owner {
                document.insert("owner".to_owned(), reference(work, owner)?);
            }
            if let Some(due) = item.due {
                document.insert("due".to_owned(), format_instant(due).into());
            }
        }
        if !is_open(&document) {
            document.insert("since".to_owned(), format_instant(ctx.now).into());
            unstamp(&mut document);
        }
        document.insert("state".to_owned(), "open".into());
        document.insert("summary".to_owned(), item.summary.as_str().into());
        document.insert("details".to_owned(), details.into());
        document.insert("cause".to_owned(), item.cause.as_str().into());
        return write_own(work, record.id, WORK_ITEM, Some(&record), document);
    }
    let about = reference(work, item.about)?;
    let owner = item.owner.map(|owner| reference(work, owner)).transpose()?;
    let document = json!({
        "schemas": [URN],
        "kind": item.kind.as_str(),
        "summary": item.summary,
        "details": details,
        "about": about,
        "owner": owner,
        "state": "open",
        "since": format_instant(ctx.now),
        "due": item.due.map(format_instant),
        "cause": item.cause,
        "key": key(item.kind, item.about),
    });
    let Value::Object(document) = document else { return Ok(()) };
    write_own(work, ctx.random.resource_id(ctx.now)?, WORK_ITEM, None, document)
}

/// Closes the item of a kind about a resource, if there is one: its ground is gone. `is_decided`: by the decision of who
/// asks, and not by itself. Under the lock.
pub fn close(ctx: &Ctx, work: &mut Work<'_>, kind: Kind, about: ResourceId, is_decided: bool) -> Result<(), Error> {
    let Some((record, mut document)) = find(work, kind, about)? else { return Ok(()) };
    document.shift_remove("key");
    if is_open(&document) {
        document.insert("state".to_owned(), "done".into());
        stamp(ctx, &mut document, is_decided);
    }
    write_own(work, record.id, WORK_ITEM, Some(&record), document)
}

/// Closes whatever is to be decided about somebody who is no more. Under the lock.
pub(super) fn forget(ctx: &Ctx, work: &mut Work<'_>, about: ResourceId) -> Result<(), Error> {
    for kind in Kind::OF_PEOPLE {
        close(ctx, work, kind, about, false)?;
    }
    Ok(())
}

/// What leads to a resource: its id, where it is and its type.
fn reference(work: &mut Work<'_>, id: ResourceId) -> Result<Value, Error> {
    let mut reference = Map::from_iter([("value".to_owned(), Value::from(id.to_string()))]);
    if let Some(record) = work.record(id)? {
        if let Some(definition) = work.catalog().registry().definition(&record.kind) {
            reference.insert("$ref".to_owned(), format!("../{}/{id}", definition.endpoint()).into());
        }
        reference.insert("type".to_owned(), record.kind.into());
    }
    Ok(Value::Object(reference))
}

fn is_open(document: &Map<String, Value>) -> bool {
    document.get("state").and_then(Value::as_str) == Some("open")
}

fn stamp(ctx: &Ctx, document: &mut Map<String, Value>, is_decided: bool) {
    unstamp(document);
    document.insert("decidedAt".to_owned(), format_instant(ctx.now).into());
    if is_decided && ctx.caller.id != ResourceId::SYSTEM {
        let who = ctx.caller.user.unwrap_or(ctx.caller.id);
        document.insert("decidedBy".to_owned(), who.to_string().into());
    }
}

fn unstamp(document: &mut Map<String, Value>) {
    for name in ["decidedBy", "decidedAt"] {
        document.shift_remove(name);
    }
}

/// Sees to an item that a client writes: who decides, by when, that it is done and why. Fails as denied for a creation, with
/// 400 for a state that is none, and with 409 where one that is open is removed.
pub(super) fn attend(
    write: &Write<'_>,
    after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    let Some(before) = write.before else {
        return Err(Error::Denied("Nobody creates work items: the server opens them.".into()));
    };
    let known = document_of(before)?;
    owner::guard(write, &known, after.as_deref())?;
    let Some(document) = after else {
        return match is_open(&known) {
            true => Err(scim::Error::status(409, "It is open. Say that it is done, or dismiss it.").into()),
            false => Ok(None),
        };
    };
    let state = document.entry("state").or_insert_with(|| "open".into()).as_str().map(str::to_owned);
    match state.as_deref() {
        Some("open") => unstamp(document),
        Some("done" | "dismissed") if known.get("state") != document.get("state") => stamp(write.ctx, document, true),
        Some("done" | "dismissed") => {}
        _ => return Err(scim::Error::invalid_value("state is open, done or dismissed.").into()),
    }
    owner::complete(&known, document, work)?;
    Ok(None)
}
