//! Authorities as resources (`/Authorities`): whether one can be saved, and which clients it means by their names. What
//! follows for the values it is about is the business of `settle::sources`.

use provisioning::sources::Authority;
use scim::schema::Registry;
use serde_json::{Map, Value, json};
use store::work::document_of;
use store::{ResourceId, Work};

use super::Error;
use super::clients::CLIENT;
use super::particular::{Follow, Write};
use super::settle::{self, AUTHORITY};

/// Checks an authority's document against the tenant's resource types. Errors are 400 invalidValue.
pub(super) fn check(registry: &Registry, document: &Map<String, Value>) -> Result<(), scim::Error> {
    Authority::read(document, registry).map(drop)
}

/// Sees to an authority that is written or removed: its sources are clients, and no other one is about the same values.
pub(super) fn attend(
    write: &Write<'_>,
    after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    if let Some(document) = after {
        name_sources(document, work)?;
        let registry = work.catalog().registry().clone();
        let authority = Authority::read(document, &registry)?;
        if work.holder_of(AUTHORITY, document)?.is_some_and(|holder| holder != write.id) {
            // Its name is another's, and that is what it is refused for.
            return Ok(None);
        }
        for other in all(work)?.iter().filter(|(id, _)| *id != write.id).map(|(_, other)| other) {
            if let Some(site) = authority.overlap(other) {
                let detail = format!("paths: the authority {} is about {} already.", other.name, site.path());
                return Err(scim::Error::invalid_value(detail).into());
            }
        }
    }
    Ok(Some(Box::new(|write, _, work| {
        settle::note_change(write.ctx, work, AUTHORITY);
        Ok(())
    })))
}

/// Every authority of the tenant that the schemas of today fit, by name.
pub(super) fn all(work: &mut Work<'_>) -> Result<Vec<(ResourceId, Authority)>, Error> {
    let registry = work.catalog().registry().clone();
    let mut found = Vec::new();
    for record in work.records_of(AUTHORITY)? {
        match Authority::read(&document_of(&record)?, &registry) {
            Ok(authority) => found.push((record.id, authority)),
            Err(error) => {
                let (authority, error) = (record.id.to_string(), error.detail.to_string());
                tracing::warn!(authority, error, "an authority that does not fit the schemas any more has no effect");
            }
        }
    }
    found.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    Ok(found)
}

/// Puts ids where clients are named. Fails with 400 invalidValue for one that there is not.
fn name_sources(document: &mut Map<String, Value>, work: &mut Work<'_>) -> Result<(), Error> {
    let mut clients = Vec::new();
    for record in work.records_of(CLIENT)? {
        let name = document_of(&record)?.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        clients.push((record.id.to_string(), name));
    }
    let written = document.get("sources").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut sources: Vec<Value> = Vec::new();
    for source in &written {
        let text = source.get("value").and_then(Value::as_str).unwrap_or_default();
        let found = clients.iter().find(|(id, name)| id == text || name.eq_ignore_ascii_case(text));
        let (id, name) = found.ok_or_else(|| {
            scim::Error::invalid_value(format!("sources: there is no client {text:?} in this register."))
        })?;
        sources.push(json!({ "value": id, "display": name, "$ref": format!("../Clients/{id}") }));
    }
    document.insert("sources".to_owned(), Value::Array(sources));
    Ok(())
}
