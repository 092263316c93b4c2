//! Between what a client writes and what is stored: `externalId`, `members` and passwords leave the document before
//! it is stored, and come back when it is worked on.

use serde_json::{Map, Value};

use scim::key::{TextRule, of_text};
use store::secret::Secrets;
use store::work::document_of;
use store::{Record, ResourceId};

use super::{Error, password};

/// A document taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parts {
    /// What is stored.
    pub(super) doc: Map<String, Value>,
    /// The caller's own name for the resource.
    pub(super) external: Option<String>,
    /// Elements of `members`.
    pub(super) members: Vec<Value>,
    /// A password in clear, or [`password::KEPT`].
    pub(super) password: Option<String>,
}

/// Longest `externalId` in bytes: it is a key of the database, and never cut.
const MAX_EXTERNAL: usize = 2_000;

/// Takes a canonical document apart. Fails with 400 invalidValue for an `externalId` that is too long to be a key.
pub(super) fn take_apart(mut document: Map<String, Value>) -> Result<Parts, scim::Error> {
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    // In the form it is compared in, so that one name has one spelling. Clients that have no name of their own send an
    // empty one; two such must not collide.
    let external = text(take(&mut document, "externalId")).filter(|name| !name.is_empty());
    let external = external.map(|name| of_text(&name, TextRule::Exact));
    let password = text(take(&mut document, "password"));
    let members = match take(&mut document, "members") {
        Some(Value::Array(members)) => members,
        _ => Vec::new(),
    };
    for derived in ["id", "meta", "groups"] {
        take(&mut document, derived);
    }
    if external.as_ref().is_some_and(|name| name.len() > MAX_EXTERNAL) {
        return Err(scim::Error::invalid_value(format!("externalId must not be longer than {MAX_EXTERNAL} bytes.")));
    }
    Ok(Parts { doc: document, external, members, password })
}

/// Takes a value out. Most are not there, which comparing a few names tells for less than hashing one.
fn take(document: &mut Map<String, Value>, name: &str) -> Option<Value> {
    if document.keys().any(|known| known == name) { document.shift_remove(name) } else { None }
}

/// The document as its client would write it, without members.
pub(super) fn put_together(record: &Record, external: Option<&str>) -> Result<Map<String, Value>, Error> {
    let mut document = document_of(record)?;
    if let Some(external) = external {
        // Where the schema has it, so that nothing has to be put in order: before all but `schemas`.
        let first = usize::from(document.keys().next().is_some_and(|name| name == "schemas"));
        document.shift_insert(first, "externalId".into(), external.into());
    }
    if Secrets::read(record.secret.as_deref())?.password.is_some() {
        document.insert("password".into(), password::KEPT.into());
    }
    Ok(document)
}

/// Reads the id of a resource of the URL. What is no id of ours belongs to nobody: 404.
pub(super) fn id_of(kind: &str, id: &str) -> Result<ResourceId, Error> {
    id.parse().map_err(|()| scim::Error::not_found(kind, id).into())
}
