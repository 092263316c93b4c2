//! What a tenant adds to a resource type of the server's own (RFC 7643 section 6): extensions, and attributes whose values
//! no two resources share. An amendment is a document that names the type; it can add and never take away, so that what
//! the server relies on stays, whatever a later version of the shipped document says.

use serde_json::{Value, json};

use super::{ResourceType, Schema, Uniqueness};

/// Member of an amendment that lists core attributes which are unique in the tenant. It is never served: the schema that
/// is served says it.
pub const UNIQUE: &str = "uniqueAttributes";

const EXTENSIONS: &str = "schemaExtensions";

/// The core attributes that an amendment makes unique.
pub fn unique(document: &Value) -> Vec<&str> {
    document.get(UNIQUE).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The resource type's document with the extensions of an amendment after its own.
pub(super) fn amended(known: &ResourceType, document: &Value) -> Value {
    let mut extensions: Vec<Value> = known
        .schema_extensions
        .iter()
        .map(|extension| json!({ "schema": extension.schema, "required": extension.required }))
        .collect();
    let is_known = |urn: &Value| {
        let mut own = known.schema_extensions.iter();
        urn.as_str().is_none_or(|urn| own.any(|extension| extension.schema.eq_ignore_ascii_case(urn)))
    };
    let added = document.get(EXTENSIONS).and_then(Value::as_array).into_iter().flatten();
    extensions.extend(added.filter(|extension| extension.get("schema").is_some_and(|urn| !is_known(urn))).cloned());
    let mut amended = known.document.clone();
    if let Some(members) = amended.as_object_mut() {
        members.insert(EXTENSIONS.to_owned(), extensions.into());
    }
    amended
}

/// The schema with some of its simple attributes unique, in its document too.
pub(super) fn with_unique(schema: &Schema, names: &[&str]) -> Schema {
    let mut schema = schema.clone();
    for attribute in schema.attributes.iter_mut().filter(|attribute| names.contains(&attribute.name.as_str())) {
        attribute.uniqueness = Uniqueness::Server;
    }
    let attributes = schema.document.get_mut("attributes").and_then(Value::as_array_mut);
    for attribute in attributes.into_iter().flatten() {
        if attribute.get("name").and_then(Value::as_str).is_some_and(|name| names.contains(&name))
            && let Some(members) = attribute.as_object_mut()
        {
            members.insert("uniqueness".to_owned(), "server".into());
        }
    }
    schema
}
