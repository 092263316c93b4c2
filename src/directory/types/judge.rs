//! Whether a change of the documents may be: what is in use stays, and what is stored stays valid.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use scim::schema::{Definition, Registry, lint};
use store::catalog::{Catalog, RESOURCE_TYPE, SCHEMA};
use store::{Seq, Work};

use super::super::Error;
use super::Document;

/// So many resources may be looked at under the lock to see whether a value is unique among them.
const LOOKED_AT: i64 = 20_000;

/// Extensions that no resource of a type had data of when the register was read before the lock, so that little is left
/// to look at under it.
#[derive(Clone, Debug, Default)]
pub(super) struct Unused {
    /// The last change that was seen.
    pub(super) seq: Seq,
    /// Resource types and extensions.
    pub(super) extensions: Vec<(String, String)>,
}

/// The member of a new document whose value is taken; `None`: none is.
pub(super) fn taken(registry: &Registry, what: Document, body: &Value) -> Option<&'static str> {
    let text = |name: &str| {
        let mut members = body.as_object()?.iter();
        members.find(|(known, _)| known.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.as_str())
    };
    match what {
        Document::Schema => text("id").and_then(|urn| registry.schema(urn)).map(|_| "id"),
        Document::ResourceType => {
            let (name, endpoint) = (text("name"), text("endpoint").map(|path| path.trim_start_matches('/')));
            let same = |value: Option<&str>, known: &str| value.is_some_and(|value| value.eq_ignore_ascii_case(known));
            registry.definitions().iter().find_map(|known| match () {
                () if same(name, known.name()) => Some("name"),
                () if same(endpoint, known.endpoint()) => Some("endpoint"),
                () => None,
            })
        }
    }
}

/// The registry as it would be with that document, or with `None` without it.
pub(super) fn next(
    catalog: &Catalog,
    builtin: &Registry,
    what: Document,
    id: &str,
    document: Option<&Map<String, Value>>,
) -> Result<Registry, Error> {
    let mut documents: BTreeMap<&str, BTreeMap<String, Value>> =
        BTreeMap::from([(SCHEMA, catalog.documents(SCHEMA)?), (RESOURCE_TYPE, catalog.documents(RESOURCE_TYPE)?)]);
    let of_kind = documents.entry(what.kind()).or_default();
    match document {
        Some(document) => of_kind.insert(id.to_ascii_lowercase(), Value::Object(document.clone())),
        None => of_kind.remove(&id.to_ascii_lowercase()),
    };
    let mut take = |kind| documents.remove(kind).unwrap_or_default().into_values().collect();
    let extended = builtin.extend(take(SCHEMA), take(RESOURCE_TYPE), 0);
    Ok(extended.map_err(|error| scim::Error::invalid_value(error.to_string()))?)
}

/// Judges the change and lets the work adopt it. Fails with 409 when what goes is in use, 400 invalidValue when what is
/// stored would become invalid, 409 uniqueness when values that shall be unique are shared.
pub(super) fn change(
    work: &mut Work<'_>,
    builtin: &Registry,
    what: Document,
    id: &str,
    document: Option<&Map<String, Value>>,
    unused: &Unused,
) -> Result<(), Error> {
    let catalog = work.catalog().clone();
    let now = catalog.registry();
    if document.is_none() {
        refuse_use(work, now, what, id)?;
    }
    let next = next(&catalog, builtin, what, id, document)?;
    for after in next.definitions() {
        let kind = after.name();
        let Some(before) = now.definition(kind).filter(|before| !before.says_the_same(after)) else { continue };
        let count = work.count(kind);
        if count == 0 {
            continue;
        }
        let before = in_use(work, before, after, unused)?;
        if let Some(error) = lint::error(&lint::breaks(&before, after)) {
            return Err(scim::Error::invalid_value(format!(
                "{count} resources of the type {kind} are stored, which forbids this change. {} Delete them or what \
                 they have of it first, or add what is new as something optional.",
                error.detail
            ))
            .into());
        }
        let unique: Vec<String> = lint::newly_unique(&before, after)
            .into_iter()
            .filter(|path| !added(&before, after).any(|urn| path.starts_with(&format!("{urn}:"))))
            .collect();
        if !unique.is_empty() && count > LOOKED_AT {
            return Err(scim::Error::invalid_value(format!(
                "{} cannot become unique: {count} resources of the type {kind} are stored, and only {LOOKED_AT} can be \
                 looked at.",
                unique.join(", ")
            ))
            .into());
        }
    }
    work.adopt(&next).map_err(|error| match error {
        store::Error::Taken { path } => {
            let detail = format!("{path} cannot become unique: resources that are stored share a value of it.");
            scim::Error::new(scim::error::ScimType::Uniqueness, detail).into()
        }
        other => Error::from(other),
    })
}

/// URNs of extensions that nobody has data of yet.
fn added<'d>(before: &'d Definition, after: &'d Definition) -> impl Iterator<Item = &'d str> {
    let urns = after.extensions.iter().map(|(schema, _)| schema.id.as_str());
    urns.filter(|urn| before.extension(urn).is_none())
}

/// The type as far as resources have data of it: an extension that goes or changes, and that nobody has data of, might
/// as well not be there.
fn in_use(work: &mut Work<'_>, before: &Definition, after: &Definition, unused: &Unused) -> Result<Definition, Error> {
    let kind = before.name();
    let mut extensions = Vec::new();
    for (schema, required) in &before.extensions {
        let is_as_it_was = after.extension(&schema.id).is_some_and(|now| now.document == schema.document);
        let was_unused = unused.extensions.iter().any(|(of, urn)| of == kind && *urn == schema.id);
        let since = if was_unused { unused.seq } else { 0 };
        if is_as_it_was || *required || work.uses(kind, &schema.id, since)? {
            extensions.push((schema.clone(), *required));
        }
    }
    Ok(Definition::new(before.resource_type.clone(), before.core.clone(), extensions))
}

/// The extensions that a change could be about, by resource type: those of the tenant's own that go or change.
pub(super) fn in_question(now: &Registry, next: &Registry) -> Vec<(String, Vec<String>)> {
    let pairs = now.definitions().iter().filter_map(|before| Some((before, next.definition(before.name())?)));
    pairs
        .filter(|(before, after)| !before.says_the_same(after))
        .map(|(before, after)| {
            let changed = before
                .extensions
                .iter()
                .map(|(schema, _)| schema)
                .filter(|schema| after.extension(&schema.id).is_none_or(|now| now.document != schema.document));
            (before.name().to_owned(), changed.map(|schema| schema.id.clone()).collect())
        })
        .collect()
}

fn refuse_use(work: &Work<'_>, now: &Registry, what: Document, id: &str) -> Result<(), Error> {
    match what {
        Document::ResourceType => {
            let count = now.definition(id).map_or(0, |definition| work.count(definition.name()));
            if count > 0 {
                let detail = format!("{count} resources of the type {id} are stored. Delete them first.");
                return Err(scim::Error::status(409, detail).into());
            }
        }
        Document::Schema => {
            let user = now
                .definitions()
                .iter()
                .find(|definition| definition.core.id.eq_ignore_ascii_case(id) || definition.extension(id).is_some());
            if let Some(user) = user {
                let detail = format!("The resource type {} uses the schema {id}. Change it first.", user.name());
                return Err(scim::Error::status(409, detail).into());
            }
        }
    }
    Ok(())
}
