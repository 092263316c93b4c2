//! What a tenant adds to User and Group (RFC 7643 section 6): extensions of its own, and names that no two resources
//! share. Stored as a document of the kind `ResourceType` that bears the type's name; the type itself stays the server's.

use std::sync::Arc;

use serde_json::{Map, Value};

use scim::patch::{Patch, apply, parse};
use scim::resource::Notes;
use scim::schema::{Definition, Registry, amendment, lint};
use store::catalog::RESOURCE_TYPE;
use store::work::document_of;
use store::{Record, Work};

use super::judge::{self, Unused};
use super::{Ctx, Directory, Document, Error, Precondition, Written, answer, draft};

/// The types that a tenant may add to. Clients are the server's alone.
const AMENDABLE: [&str; 2] = ["User", "Group"];

const TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
/// What can be changed of a resource type that is in use.
const CHANGEABLE: [&str; 2] = ["description", "schemaExtensions"];

/// How a type of the server's own is to be changed.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Its document shall be this one.
    Put(Value),
    /// Operations on its document.
    Patch(Reading),
    /// Whether values of a core attribute are unique.
    Unique(&'static str, bool),
}

/// A PATCH of a resource type document, read.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    definition: Arc<Definition>,
    patch: Patch,
}

impl Reading {
    /// Carries it out.
    pub(super) fn apply(&self, current: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
        let mut document = apply(&self.definition, current, &self.patch.document, &mut Notes::new())?;
        // Removing every extension leaves none, which the document says with an empty array.
        document.entry("schemaExtensions").or_insert_with(|| Value::Array(Vec::new()));
        Ok(document)
    }
}

/// Reads a PatchOp message about a resource type, whose schema calls all of it readOnly, as it is to most clients.
pub(super) fn read(registry: &Registry, ctx: &Ctx, message: &Value) -> Result<Reading, Error> {
    let missing = || store::Error::Corrupt("the schema of resource types is missing".into());
    let mut document = registry.schema(TYPE_URN).ok_or_else(missing)?.document.clone();
    for attribute in document.get_mut("attributes").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = attribute.get("name").and_then(Value::as_str).unwrap_or_default();
        if CHANGEABLE.contains(&name) {
            let subs = attribute.get_mut("subAttributes").and_then(Value::as_array_mut);
            subs.into_iter().flatten().for_each(open);
            open(attribute);
        }
    }
    let kind = serde_json::json!({
        "id": RESOURCE_TYPE, "name": RESOURCE_TYPE, "endpoint": "/ResourceTypes", "schema": TYPE_URN,
    });
    let own = Registry::new(vec![document], vec![kind]).map_err(|error| store::Error::Corrupt(error.to_string()))?;
    let definition = own.definition(RESOURCE_TYPE).ok_or_else(missing)?.clone();
    let mut notes = Notes::new();
    let patch = parse(&definition, message, ctx.caller.profile.strictness(), &mut notes);
    ctx.tolerances.take_in(notes.iter());
    Ok(Reading { patch: patch?, definition })
}

fn open(attribute: &mut Value) {
    if let Some(members) = attribute.as_object_mut() {
        members.insert("mutability".into(), "readWrite".into());
    }
}

impl Directory {
    /// The name of the type of the server's own that is meant, if it is one that a tenant may add to.
    pub(super) fn amendable(&self, what: Document, id: &str) -> Option<String> {
        let is_meant = |name: &&&str| what == Document::ResourceType && name.eq_ignore_ascii_case(id);
        AMENDABLE.iter().find(is_meant).map(|name| (*name).to_owned())
    }

    /// Makes the values of a core attribute unique within the tenant, or lets them be shared again. Fails with 409
    /// uniqueness when stored resources share a value, 400 when there are too many to look at.
    pub async fn set_unique(&self, ctx: &Ctx, kind: &str, attribute: &'static str, on: bool) -> Result<Written, Error> {
        self.amend(ctx, kind, Change::Unique(attribute, on), &Precondition::default()).await
    }

    /// Changes what the tenant adds to a type of the server's own. One that changes nothing leaves no trace.
    pub(super) async fn amend(
        &self,
        ctx: &Ctx,
        kind: &str,
        change: Change,
        precondition: &Precondition,
    ) -> Result<Written, Error> {
        let catalog = self.catalog(ctx.tenant, ctx.now).await?;
        // What may go is looked for before the lock, in all that the tenant has added.
        let asked = catalog.registry().definition(kind).map(|now| {
            let shipped = self.registry.definition(kind);
            let own = now.extensions.iter().map(|(schema, _)| schema.id.clone());
            let own = own.filter(|urn| shipped.is_none_or(|shipped| shipped.extension(urn).is_none()));
            (kind.to_owned(), own.collect())
        });
        let unused = match change {
            Change::Unique(..) => Unused::default(),
            Change::Put(_) | Change::Patch(_) => self.unused_by(ctx, asked.into_iter().collect()).await?,
        };
        let id = ctx.random.resource_id(ctx.now)?;
        let (caller, builtin, kind) = (ctx.clone(), self.registry.clone(), kind.to_owned());
        let precondition = precondition.clone();
        self.commit(ctx, move |work| {
            let what = Document::ResourceType;
            let shipped = builtin.definition(&kind).ok_or_else(|| scim::Error::not_found(what.kind(), &kind))?;
            let record = work.catalog().record(what.kind(), &kind).cloned();
            precondition.check(record.as_ref().map_or(0, |record| record.version))?;
            let stored = record.as_ref().map(document_of).transpose()?;
            let next = amended(&change, shipped, stored.as_ref(), work)?;
            let is_changed = stored.as_ref().or(shipped.resource_type.document.as_object()) != Some(&next);
            let record = if is_changed {
                judge::change(work, &builtin, what, &kind, Some(&next), &unused)?;
                let (known, doc) = (record.is_some(), next.clone());
                let draft = draft(record.map_or(id, |record| record.id), what, kind.clone(), doc);
                if known { work.update(draft)? } else { work.create(draft)? }
            } else {
                record.unwrap_or_else(|| untouched(shipped))
            };
            let mut document = next;
            document.shift_remove(amendment::UNIQUE);
            Ok(answer(&caller, what, &record, document, work))
        })
        .await
    }
}

/// The document to store.
fn amended(
    change: &Change,
    shipped: &Definition,
    stored: Option<&Map<String, Value>>,
    work: &Work<'_>,
) -> Result<Map<String, Value>, Error> {
    let (kind, others) = (shipped.name(), work.catalog().registry().clone());
    let missing = || store::Error::Corrupt(format!("the resource type {kind} is missing"));
    let now = others.definition(kind).ok_or_else(missing)?;
    let current = now.resource_type.document.as_object().cloned().unwrap_or_default();
    let mut unique = stored.and_then(|stored| stored.get(amendment::UNIQUE)).cloned();
    let mut document = match change {
        Change::Put(body) => lint::amendment(body, shipped, &others)?,
        Change::Patch(reading) => lint::amendment(&Value::Object(reading.apply(&current)?), shipped, &others)?,
        Change::Unique(attribute, on) => {
            unique = on.then(|| Value::from(vec![*attribute]));
            current
        }
    };
    if let Some(unique) = unique {
        document.insert(amendment::UNIQUE.into(), unique);
    }
    Ok(document)
}

/// Stands for the record of a type that nothing was added to.
fn untouched(shipped: &Definition) -> Record {
    Record {
        id: store::ResourceId::SYSTEM,
        kind: RESOURCE_TYPE.to_owned(),
        version: 0,
        seq: 0,
        groups_seq: 0,
        created_at: 0,
        modified_at: 0,
        label: shipped.name().to_owned(),
        doc: Arc::new("{}".to_owned()),
        secret: None,
    }
}
