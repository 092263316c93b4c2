//! One resource is turned back, under the lock: what the run has made is withdrawn or deleted, what it has deleted comes back
//! under its id, what it has changed gets its earlier values where nobody has changed them since. By the steps of any write,
//! on behalf of the run's source; with it, in the same transaction, the feed forgets what it was said, so that its next file
//! is compared anew. Whoever does it twice does nothing the second time.

use std::sync::Arc;

use scim::patch::RelationChange;
use scim::resource::{Notes, label};
use scim::schema::Definition;
use serde_json::{Map as Object, Value};
use store::external::ExternalKey;
use store::feed::{FeedKey, FeedRecord};
use store::work::{Draft, document_of};
use store::{Record, ResourceId, Work};

use super::journal::{Images, Touched, Undo};
use super::turn::{Conflict, changed_since, turn_back};
use crate::directory::audit::note_protected;
use crate::directory::create::Creation;
use crate::directory::revise::{Revising, Revision};
use crate::directory::settle::{self, USER};
use crate::directory::{Ctx, Directory, Error, Precondition, membership};

/// What became of a resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Turned {
    /// Whether anything was done.
    pub(super) is_done: bool,
    /// What stays as it is.
    pub(super) conflicts: Vec<Conflict>,
}

impl Turned {
    fn whole(reason: &str) -> Self {
        Turned { is_done: false, conflicts: vec![Conflict { path: None, reason: reason.to_owned() }] }
    }
}

/// What a document shall be.
struct Back(Object<String, Value>);

impl Revision for Back {
    fn document(&self, current: &Object<String, Value>, _: &mut Notes) -> Result<Object<String, Value>, scim::Error> {
        let mut document = self.0.clone();
        // What leaves the document before it is stored is no part of it.
        for name in ["externalId", "password"] {
            document.extend(current.get(name).map(|value| (name.to_owned(), value.clone())));
        }
        Ok(document)
    }

    fn relation(&self) -> &[RelationChange] {
        &[]
    }

    fn passwords(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Turns one resource back. `by` is the run that does it, for the feed's notes.
pub(super) fn reverse(
    (ctx, undo, by): (&Ctx, &Undo, ResourceId),
    (touched, images): (&Touched, &Images),
    work: &mut Work<'_>,
) -> Result<Turned, Error> {
    let definition = work.catalog().registry().definition(&touched.kind).cloned();
    let Some(definition) = definition else { return Ok(Turned::whole("There is no such resource type any more.")) };
    let record = work.record(touched.id)?.filter(|record| record.kind == touched.kind);
    let (turned, gone) = match (&images.before, &images.after, record) {
        (None, Some(after), Some(record)) => (unmake(ctx, &definition, &record, after, work)?, true),
        (Some(before), None, None) => (bring_back(ctx, &definition, touched, before, work)?, false),
        (Some(before), Some(after), Some(record)) => {
            let turned = change(ctx, &definition, &record, (before, after), work)?;
            (turned, is_off(ctx, &record, work)?)
        }
        (Some(_), Some(_), None) => (Turned::whole("It was deleted after the run, and is not brought back."), false),
        // It is gone, or there again, already.
        _ => (Turned::default(), false),
    };
    if turned.is_done {
        forget_saying(undo, touched, (by, gone), work)?;
    }
    Ok(turned)
}

/// Whether a resource is now as one that its source no longer names: its next file brings it back.
fn is_off(ctx: &Ctx, was: &Record, work: &mut Work<'_>) -> Result<bool, Error> {
    let Some(is) = work.document_of(was.id)? else { return Ok(true) };
    let is_closed = |document: &Object<String, Value>| document.get("active") == Some(&Value::Bool(false));
    Ok(settle::is_withdrawn(ctx, &is) || (is_closed(&is) && !is_closed(&document_of(was)?)))
}

/// What the run has made goes, unless somebody has changed it since.
fn unmake(
    ctx: &Ctx,
    definition: &Arc<Definition>,
    record: &Record,
    after: &Object<String, Value>,
    work: &mut Work<'_>,
) -> Result<Turned, Error> {
    let current = document_of(record)?;
    if settle::is_withdrawn(ctx, &current) {
        return Ok(Turned::default());
    }
    let conflicts = changed_since(definition, after, &current);
    if !conflicts.is_empty() {
        return Ok(Turned { is_done: false, conflicts });
    }
    Directory::prepare_removal(definition, &record.id.to_string(), &Precondition::none())?.run(ctx, work)?;
    Ok(Turned { is_done: true, conflicts: Vec::new() })
}

/// What the run has deleted comes back under its id, with the key that its source has for it and the groups that it was in.
fn bring_back(
    ctx: &Ctx,
    definition: &Arc<Definition>,
    touched: &Touched,
    before: &Object<String, Value>,
    work: &mut Work<'_>,
) -> Result<Turned, Error> {
    let domain = ctx.caller.domain;
    let key = ExternalKey { domain, kind: touched.kind.clone(), value: touched.key.clone() };
    if work.holder_by_key(&key)?.is_some() {
        return Ok(Turned::whole("Its source has another resource under the same key by now."));
    }
    let draft = Draft {
        id: touched.id,
        kind: touched.kind.clone(),
        label: label(before),
        doc: before.clone().into(),
        secret: None,
        members: Vec::new(),
        external: Some((domain, Some(touched.key.clone()))),
    };
    if touched.kind == USER {
        note_protected(work, USER, &draft.doc)?;
        let record = work.create(draft)?;
        if settle::concerns(USER, work) {
            settle::look(ctx, work, &record)?;
        }
    } else {
        Creation::again(definition.clone(), draft).run(ctx, work)?;
    }
    for group in &touched.left {
        membership::set(ctx, work, *group, touched.id, true)?;
    }
    let mut conflicts = Vec::new();
    if definition.core.attribute(scim::resource::MEMBERS).is_some() {
        let reason = "Who was in it is not known any more: put its members back.";
        conflicts.push(Conflict { path: Some(scim::resource::MEMBERS.to_owned()), reason: reason.to_owned() });
    }
    Ok(Turned { is_done: true, conflicts })
}

/// What the run has changed gets its earlier values, where nobody has changed them since.
fn change(
    ctx: &Ctx,
    definition: &Arc<Definition>,
    record: &Record,
    (before, after): (&Object<String, Value>, &Object<String, Value>),
    work: &mut Work<'_>,
) -> Result<Turned, Error> {
    let current = document_of(record)?;
    let (next, conflicts) = turn_back(definition, before, after, &current);
    let is_done = match record.kind == USER {
        true => settle::put_back(ctx, work, record, (before, after), next)?,
        false if next == current => false,
        false => {
            let revision: Arc<dyn Revision> = Arc::new(Back(next));
            let revising = Revising::new(definition.clone(), record.id, revision, Precondition::none());
            revising.run(ctx, &mut Notes::new(), work)?.record.version != record.version
        }
    };
    Ok(Turned { is_done, conflicts })
}

/// What the feed was said of the resource counts for nothing any more: its next file is compared anew.
fn forget_saying(
    undo: &Undo,
    touched: &Touched,
    (by, gone): (ResourceId, bool),
    work: &mut Work<'_>,
) -> Result<(), Error> {
    let key = FeedKey { feed: undo.feed, kind: touched.kind.clone(), key: touched.key.clone() };
    let known = work.feed_record(&key)?;
    let op = if gone { "gone deleted" } else { "updated" };
    let open = known.and_then(|known| known.open).filter(|_| !gone);
    let record = FeedRecord { resource: touched.id, digest: Vec::new(), run: by, op: op.to_owned(), open };
    work.put_feed_record(key, record);
    Ok(())
}
