//! Reads of people who are protected (`protectedRead`): which of them an answer shows unmasked is noted while it is made,
//! and remembered before it is given. An answer whose reads cannot be remembered is not given: 503, and no data.
//!
//! A client whose view masks or hides them is shown none, and a register without people has none: nothing is asked then.
//! A write needs no record of its own, as its change is one; one that changes nothing and answers with the resource does.
//! Whoever is called by name in a document of another is shown by that too (`named`).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use scim::schema::{Definition, Registry};
use serde_json::{Map, Value, json};
use store::audit::Entry;
use store::work::document_of;
use store::{Record, ResourceId};

use provisioning::person::{PROTECTED, URN, USER, is_protected};

use super::super::{Ctx, Directory, Error};
use super::means;

/// A read of protected people.
pub const PROTECTED_READ: &str = "protectedRead";

/// The protected people that an answer shows. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Released(Arc<Mutex<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    /// Protected people themselves.
    people: BTreeSet<ResourceId>,
    /// People who are called by name in documents of others, protected or not.
    named: BTreeSet<ResourceId>,
}

impl Released {
    fn add(&self, id: ResourceId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).people.insert(id);
    }

    /// Notes who is called by name.
    pub(in crate::directory) fn name(&self, ids: impl Iterator<Item = ResourceId>) {
        let mut ids = ids.peekable();
        if ids.peek().is_some() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).named.extend(ids);
        }
    }

    fn take(&self) -> Shown {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether the users of a register may be people who are protected.
pub fn has_people(registry: &Registry) -> bool {
    registry.definition(USER).is_some_and(|user| user.extension(URN).is_some())
}

impl Ctx {
    /// Notes that a resource is shown, if it is a protected person who is shown as others are.
    pub(in crate::directory) fn note_released(&self, definition: &Definition, record: &Record) -> Result<(), Error> {
        // The text is looked through before it is read: of hundreds of people one is protected.
        if definition.name() != USER
            || definition.extension(URN).is_none()
            || self.view(definition).has_masks()
            || !record.doc.contains(PROTECTED)
        {
            return Ok(());
        }
        if is_protected(&document_of(record)?) {
            self.released.add(record.id);
        }
        Ok(())
    }
}

/// The entry that tells of a read.
fn entry(ctx: &Ctx, operation: &str, people: &BTreeSet<ResourceId>) -> Entry {
    let told = |id: &ResourceId| json!({ "value": id.to_string(), "type": USER });
    let mut content = Map::new();
    content.insert("operation".into(), operation.into());
    let actor = json!({ "value": ctx.caller.id.to_string(), "display": &*ctx.caller.name });
    content.insert("actor".into(), actor);
    content.extend(means(&ctx.by));
    if let (Some(only), 1) = (people.first(), people.len()) {
        content.insert("resource".into(), told(only));
    }
    content.insert("resources".into(), people.iter().map(told).collect());
    content.insert("count".into(), people.len().into());
    content.insert("outcome".into(), json!({ "result": "done" }));
    Entry { at: ctx.now, kind: PROTECTED_READ, content: Value::Object(content).to_string() }
}

impl Directory {
    /// Remembers which protected people the answer shows. It is given once this has returned; fails as unavailable, and
    /// then it is not.
    pub(in crate::directory) async fn remember_released(&self, ctx: &Ctx, operation: &str) -> Result<(), Error> {
        let Shown { mut people, named } = ctx.released.take();
        if people.is_empty() && named.is_empty() {
            return Ok(());
        }
        people.extend(Box::pin(self.protected_among(ctx, named)).await?);
        Box::pin(self.remember_people(ctx, operation, people)).await
    }

    /// The same for the answer to a write: of what was written its change tells, and of whom it calls by name this does. It
    /// is done when this fails, and its answer is not given.
    pub(in crate::directory) async fn remember_named(&self, ctx: &Ctx) -> Result<(), Error> {
        let named = ctx.released.take().named;
        let people = self.protected_among(ctx, named).await?;
        self.remember_people(ctx, "write", people).await
    }

    async fn remember_people(&self, ctx: &Ctx, operation: &str, people: BTreeSet<ResourceId>) -> Result<(), Error> {
        if people.is_empty() {
            return Ok(());
        }
        self.remember(ctx.tenant, ctx.now, vec![entry(ctx, operation, &people)]).await.map_err(|error| {
            store::Error::Unavailable(format!("a read of protected people could not be remembered: {error}")).into()
        })
    }
}
