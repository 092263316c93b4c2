//! Schemas and resource types of a tenant's own (RFC 7643 sections 6 and 7), at run time. They are resources: written
//! through the one write path, numbered, versioned, audited, simulated. What they say is linted before any lock and
//! judged under it: nothing that is stored may become invalid, and nothing that is in use may go.
//!
//! Built-in documents cannot be changed, but for the extensions of User and Group, see `amend`. Only administrators come
//! here; the role is asked by the HTTP layer.

mod amend;
mod current;
mod judge;

use serde_json::{Map, Value, json};

use scim::schema::{Registry, lint};
use store::catalog::{Catalog, RESOURCE_TYPE, SCHEMA};
use store::work::{Draft, document_of};
use store::{Record, ResourceId, Seq, Work, etag, format_instant};

use super::{Ctx, Directory, Error, Fetched, Planned, Precondition, Written};
pub(super) use current::{Checked, refuse_outdated};
use judge::Unused;

/// Which of the two kinds of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// `/Schemas`
    Schema,
    /// `/ResourceTypes`
    ResourceType,
}

impl Document {
    /// `meta.resourceType`, and the kind it is stored as.
    pub fn kind(self) -> &'static str {
        match self {
            Document::Schema => SCHEMA,
            Document::ResourceType => RESOURCE_TYPE,
        }
    }

    /// The schema of the document itself (RFC 7643 sections 6 and 7).
    pub fn schema(self) -> &'static str {
        match self {
            Document::Schema => "urn:ietf:params:scim:schemas:core:2.0:Schema",
            Document::ResourceType => "urn:ietf:params:scim:schemas:core:2.0:ResourceType",
        }
    }

    /// Where it is served, below the base URL.
    pub fn endpoint(self) -> &'static str {
        match self {
            Document::Schema => "Schemas",
            Document::ResourceType => "ResourceTypes",
        }
    }

    /// The canonical document of a body. Fails with 400 invalidValue that tells every fault.
    fn lint(self, body: &Value, others: &Registry) -> Result<Map<String, Value>, Error> {
        let linted = match self {
            Document::Schema => lint::schema(body),
            Document::ResourceType => lint::resource_type(body, others),
        };
        match linted {
            Ok(Value::Object(document)) => Ok(document),
            Ok(_) => Err(scim::Error::invalid_syntax("The body is not a JSON object.").into()),
            Err(findings) => Err(lint::error(&findings)
                .unwrap_or_else(|| scim::Error::invalid_value("The document cannot be served."))
                .into()),
        }
    }
}

impl Directory {
    /// The document as it is served, with `meta`; `None` when the tenant has none of its own by that id.
    pub fn own_document(
        &self,
        ctx: &Ctx,
        catalog: &Catalog,
        what: Document,
        id: &str,
    ) -> Result<Option<Map<String, Value>>, Error> {
        let Some(record) = catalog.record(what.kind(), id) else { return Ok(None) };
        Ok(Some(with_meta(ctx, what, record, served(catalog, what, record)?)))
    }

    /// The tenant's own document, or that the caller has it already; `None` when there is none of its own.
    pub fn fetch_document(
        &self,
        ctx: &Ctx,
        catalog: &Catalog,
        what: Document,
        id: &str,
        precondition: &Precondition,
    ) -> Result<Option<Fetched>, Error> {
        let Some(record) = catalog.record(what.kind(), id) else { return Ok(None) };
        let etag = tag(record);
        if precondition.if_none_match.as_ref().is_some_and(|tags| tags.match_whole(&etag)) {
            return Ok(Some(Fetched::NotModified { etag }));
        }
        let body = Value::Object(with_meta(ctx, what, record, served(catalog, what, record)?)).to_string();
        Ok(Some(Fetched::Found { etag, location: location(ctx, what, record), body }))
    }

    /// Adds a document. Fails with 400 for one that cannot be served, 409 uniqueness for an id that is taken.
    pub async fn add_document(&self, ctx: &Ctx, what: Document, body: Value) -> Result<Written, Error> {
        self.check_master_key(what, &body)?;
        let id = ctx.random.resource_id(ctx.now)?;
        let (caller, builtin) = (ctx.clone(), self.registry.clone());
        self.commit(ctx, move |work| {
            let catalog = work.catalog().clone();
            if let Some(member) = judge::taken(catalog.registry(), what, &body) {
                return Err(scim::Error::uniqueness(member).into());
            }
            let doc = what.lint(&body, catalog.registry())?;
            let name = doc.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            judge::change(work, &builtin, what, &name, Some(&doc), &Unused::default())?;
            let record = work.create(draft(id, what, name, doc))?;
            written(&caller, what, &record, work)
        })
        .await
    }

    /// Puts a document in the place of the tenant's own of that id. Fails with 404 when there is none, 403 when it is
    /// built in, 400 when what is stored would become invalid, 409 uniqueness when it would not be unique.
    pub async fn replace_document(
        &self,
        ctx: &Ctx,
        what: Document,
        id: &str,
        body: Value,
        precondition: &Precondition,
    ) -> Result<Written, Error> {
        if let Some(kind) = self.amendable(what, id) {
            return self.amend(ctx, &kind, amend::Change::Put(body), precondition).await;
        }
        self.check_master_key(what, &body)?;
        let unused = self.unused(ctx, what, id, &body).await?;
        self.replace_own(ctx, what, id, move |_| Ok(body.clone()), unused, precondition).await
    }

    /// Changes a resource type by operations (RFC 7644 section 3.5.2). Fails as a PUT does, and as PATCH of a resource.
    pub async fn patch_resource_type(
        &self,
        ctx: &Ctx,
        id: &str,
        message: Value,
        precondition: &Precondition,
    ) -> Result<Written, Error> {
        let what = Document::ResourceType;
        let patch = amend::read(&self.registry, ctx, &message)?;
        if let Some(kind) = self.amendable(what, id) {
            return self.amend(ctx, &kind, amend::Change::Patch(patch), precondition).await;
        }
        let apply = move |current: &Map<String, Value>| Ok(Value::Object(patch.apply(current)?));
        self.replace_own(ctx, what, id, apply, Unused::default(), precondition).await
    }

    /// What nobody has data of, of that which a new document would change; asked before the lock.
    async fn unused(&self, ctx: &Ctx, what: Document, id: &str, body: &Value) -> Result<Unused, Error> {
        let catalog = self.catalog(ctx.tenant, ctx.now).await?;
        let Some(record) = catalog.record(what.kind(), id) else { return Ok(Unused::default()) };
        let Value::Object(document) = with_id(body, what, &record.label)? else { return Ok(Unused::default()) };
        // A document that cannot be is told so under the lock.
        let Ok(next) = judge::next(&catalog, &self.registry, what, &record.label, Some(&document)) else {
            return Ok(Unused::default());
        };
        self.unused_by(ctx, judge::in_question(catalog.registry(), &next)).await
    }

    async fn unused_by(&self, ctx: &Ctx, asked: Vec<(String, Vec<String>)>) -> Result<Unused, Error> {
        let mut unused = Unused { seq: Seq::MAX, extensions: Vec::new() };
        let tenant = ctx.tenant;
        for (kind, extensions) in asked.into_iter().filter(|(_, extensions)| !extensions.is_empty()) {
            let of = kind.clone();
            let (seq, found) = self.store.read(move |reader| reader.unused(tenant, &of, &extensions)).await?;
            unused.seq = unused.seq.min(seq);
            unused.extensions.extend(found.into_iter().map(|urn| (kind.clone(), urn)));
        }
        Ok(unused)
    }

    async fn replace_own(
        &self,
        ctx: &Ctx,
        what: Document,
        id: &str,
        body: impl Fn(&Map<String, Value>) -> Result<Value, Error> + Send + 'static,
        unused: Unused,
        precondition: &Precondition,
    ) -> Result<Written, Error> {
        let (caller, builtin, id) = (ctx.clone(), self.registry.clone(), id.to_owned());
        let precondition = precondition.clone();
        self.commit(ctx, move |work| {
            let catalog = work.catalog().clone();
            let record = found(&catalog, what, &id)?;
            precondition.check(record.version)?;
            let others = match what {
                Document::Schema => catalog.registry().as_ref().clone(),
                // A resource type does not stand in its own way.
                Document::ResourceType => judge::next(&catalog, &builtin, what, &record.label, None)?,
            };
            let current = document_of(&record)?;
            let doc = what.lint(&with_id(&body(&current)?, what, &record.label)?, &others)?;
            if doc == current {
                return written(&caller, what, &record, work);
            }
            judge::change(work, &builtin, what, &record.label, Some(&doc), &unused)?;
            let record = work.update(draft(record.id, what, record.label, doc))?;
            written(&caller, what, &record, work)
        })
        .await
    }

    /// Removes the tenant's own document of that id. Fails with 404 when there is none, 403 when it is built in, 409
    /// when it is in use.
    pub async fn remove_document(
        &self,
        ctx: &Ctx,
        what: Document,
        id: &str,
        precondition: &Precondition,
    ) -> Result<Vec<Planned>, Error> {
        let (builtin, id, precondition) = (self.registry.clone(), id.to_owned(), precondition.clone());
        let caller = ctx.clone();
        self.commit(ctx, move |work| {
            let record = match builtin.definition(&id) {
                // Giving a type of the server's own extensions does not make it the tenant's to remove.
                Some(_) if what == Document::ResourceType => return Err(fixed(&id)),
                _ => found(&work.catalog().clone(), what, &id)?,
            };
            precondition.check(record.version)?;
            judge::change(work, &builtin, what, &record.label, None, &Unused::default())?;
            work.remove(record.id)?;
            caller.remember(work, &location(&caller, what, &record), None);
            Ok(work.changes().to_vec())
        })
        .await
    }
}

fn draft(id: ResourceId, what: Document, name: String, doc: Map<String, Value>) -> Draft {
    let kind = what.kind().to_owned();
    Draft { id, kind, label: name, doc: doc.into(), secret: None, members: Vec::new(), external: None }
}

/// The tenant's own document of that id; 403 for one that is built in, 404 for one that is not there.
fn found(catalog: &Catalog, what: Document, id: &str) -> Result<Record, Error> {
    if let Some(record) = catalog.record(what.kind(), id) {
        return Ok(record.clone());
    }
    let is_built_in = match what {
        Document::Schema => catalog.registry().schema(id).is_some(),
        Document::ResourceType => catalog.registry().definition(id).is_some(),
    };
    match is_built_in {
        true => Err(fixed(id)),
        false => Err(scim::Error::not_found(what.kind(), id).into()),
    }
}

fn fixed(id: &str) -> Error {
    Error::Denied(format!("{id} is part of the server and cannot be changed."))
}

/// The body with the id it has by its URL, which no PUT changes.
fn with_id(body: &Value, what: Document, id: &str) -> Result<Value, Error> {
    let names: &[&str] = match what {
        Document::Schema => &["id"],
        Document::ResourceType => &["id", "name"],
    };
    let mut object = body.as_object().cloned().unwrap_or_default();
    for name in names {
        let stated = object.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned();
        if let Some(stated) = stated {
            let value = object.shift_remove(&stated);
            if value.as_ref().and_then(Value::as_str).is_none_or(|value| !value.eq_ignore_ascii_case(id)) {
                let detail = format!("{name} cannot be changed and is {id}. Leave it out, or create another document.");
                return Err(scim::Error::mutability(detail).into());
            }
        }
        object.insert((*name).to_owned(), id.into());
    }
    Ok(Value::Object(object))
}

/// The entity tag: nothing of a document is derived, so it goes by the version alone.
fn tag(record: &Record) -> String {
    etag(record, false, 0, 0)
}

fn location(ctx: &Ctx, what: Document, record: &Record) -> String {
    format!("{}/{}/{}", ctx.base_url, what.endpoint(), record.label)
}

/// What is served of a record: of a type of the server's own it holds only what was added.
fn served(catalog: &Catalog, what: Document, record: &Record) -> Result<Map<String, Value>, Error> {
    let definition = catalog.registry().definition(&record.label).filter(|_| what == Document::ResourceType);
    match definition.and_then(|definition| definition.resource_type.document.as_object()) {
        Some(document) => Ok(document.clone()),
        None => Ok(document_of(record)?),
    }
}

fn with_meta(ctx: &Ctx, what: Document, record: &Record, mut document: Map<String, Value>) -> Map<String, Value> {
    let mut meta = json!({ "resourceType": what.kind(), "location": location(ctx, what, record) });
    // A document that is still as it was shipped has neither dates nor versions.
    if let Some(members) = meta.as_object_mut().filter(|_| record.version > 0) {
        members.insert("created".into(), format_instant(record.created_at).into());
        members.insert("lastModified".into(), format_instant(record.modified_at).into());
        members.insert("version".into(), tag(record).into());
    }
    document.insert("meta".into(), meta);
    document
}

fn written(ctx: &Ctx, what: Document, record: &Record, work: &mut Work<'_>) -> Result<Written, Error> {
    let document = document_of(record)?;
    Ok(answer(ctx, what, record, document, work))
}

fn answer(ctx: &Ctx, what: Document, record: &Record, document: Map<String, Value>, work: &mut Work<'_>) -> Written {
    ctx.remember(work, &location(ctx, what, record), Some(&tag(record)));
    Written {
        etag: tag(record),
        location: location(ctx, what, record),
        body: Value::Object(with_meta(ctx, what, record, document)).to_string(),
        tolerances: Vec::new(),
        changes: work.changes().to_vec(),
    }
}
