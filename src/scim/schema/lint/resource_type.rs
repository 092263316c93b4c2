//! A resource type document (RFC 7643 section 6), beside those that are there already.

use serde_json::{Map, Value, json};

use super::{Finding, Findings, Members, is_name};
use crate::Error;
use crate::schema::{Definition, Mutability, Registry, Schema};

const TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const MEMBERS: [&str; 8] = ["schemas", "id", "name", "description", "endpoint", "schema", "schemaExtensions", "meta"];

/// Types that the protocol has, whether they are served as resources or not.
const NAMES: [&str; 5] = ["Schema", "ResourceType", "ServiceProviderConfig", "Me", "Bulk"];
/// First segments that the protocol or the server uses, or is going to.
const ENDPOINTS: [&str; 14] = [
    "Me",
    "Bulk",
    "Schemas",
    "ResourceTypes",
    "ServiceProviderConfig",
    "GroupMemberships",
    "Events",
    "Feeds",
    "Results",
    "healthz",
    "readyz",
    "metrics",
    "scim",
    "v2",
];
/// Attributes that the server itself gives a meaning which it has in the core schemas of its own types alone.
const OWNED: [&str; 2] = ["members", "password"];

/// The resource type in canonical form; else everything that is wrong with it. `others` holds every schema that may be
/// named, and every other resource type.
pub fn resource_type(body: &Value, others: &Registry) -> Result<Value, Vec<Finding>> {
    let mut findings = Findings::default();
    let empty = Map::new();
    let members = Members { object: body.as_object().unwrap_or(&empty), path: String::new() };
    members.refuse_unknown(&MEMBERS, &mut findings);
    members.check_schemas(TYPE_URN, &mut findings);
    let name = members.text("name", &mut findings).unwrap_or_default();
    check_name(name, others, &mut findings);
    if members.text("id", &mut findings).is_some_and(|id| id != name) {
        findings.add("id", "must be equal to the name, or be left out.");
    }
    let endpoint = members.text("endpoint", &mut findings).unwrap_or_default();
    check_endpoint(endpoint, others, &mut findings);
    let urn = members.text("schema", &mut findings).unwrap_or_default();
    let core = find(urn, "schema", others, &mut findings);
    if let Some(core) = core {
        check_core(core, &mut findings);
    }
    let mut document = Map::new();
    document.insert("schemas".into(), json!([TYPE_URN]));
    document.insert("id".into(), name.into());
    document.insert("name".into(), name.into());
    document.insert("endpoint".into(), endpoint.into());
    if let Some(description) = members.text("description", &mut findings) {
        document.insert("description".into(), description.into());
    }
    document.insert("schema".into(), core.map_or(urn, |core| &core.id).into());
    let extensions = extensions(&members, core, others, &mut findings);
    document.insert("schemaExtensions".into(), extensions.into());
    if findings.0.is_empty() { Ok(Value::Object(document)) } else { Err(findings.0) }
}

/// What a tenant adds to a resource type of the server's own, in canonical form: the type's own document with more
/// extensions. `builtin` is the type as it is shipped.
///
/// Errors: 400 mutability for a change of anything but `schemaExtensions`, and for an extension of the server's own that
/// would go or be of another kind; 400 invalidValue for extensions that cannot be.
pub fn amendment(body: &Value, builtin: &Definition, others: &Registry) -> Result<Map<String, Value>, Error> {
    let known = &builtin.resource_type;
    let mut findings = Findings::default();
    let empty = Map::new();
    let members = Members { object: body.as_object().unwrap_or(&empty), path: String::new() };
    members.refuse_unknown(&MEMBERS, &mut findings);
    members.check_schemas(TYPE_URN, &mut findings);
    for name in ["id", "name", "endpoint", "description", "schema"] {
        let fixed = known.document.get(name).and_then(Value::as_str).unwrap_or_default();
        if members.text(name, &mut findings).is_some_and(|stated| !stated.eq_ignore_ascii_case(fixed)) {
            return Err(Error::mutability(format!(
                "{name} of {} is {fixed}, as the server needs it. Only schemaExtensions can be changed.",
                known.name
            )));
        }
    }
    let given = extensions(&members, Some(&builtin.core), others, &mut findings);
    if let Some(error) = super::error(&findings.0) {
        return Err(error);
    }
    for own in &known.schema_extensions {
        let stays = given.iter().any(|extension| {
            let urn = extension.get("schema").and_then(Value::as_str).unwrap_or_default();
            urn.eq_ignore_ascii_case(&own.schema) && extension.get("required") == Some(&own.required.into())
        });
        if !stays {
            return Err(Error::mutability(format!(
                "schemaExtensions must go on naming {} with required {}: it is part of the server.",
                own.schema, own.required
            )));
        }
    }
    let mut document = known.document.as_object().cloned().unwrap_or_default();
    document.insert("schemaExtensions".into(), given.into());
    Ok(document)
}

fn check_name(name: &str, others: &Registry, findings: &mut Findings) {
    if !is_name(name, b"-_") {
        findings.add("name", "must be a letter and then letters, digits, - or _, at most 64 of them.");
    } else if NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        findings.add("name", format!("{name} is a name of the protocol itself."));
    } else if others.definitions().iter().any(|known| known.name().eq_ignore_ascii_case(name)) {
        findings.add("name", format!("{name} is the name of another resource type."));
    }
}

fn check_endpoint(endpoint: &str, others: &Registry, findings: &mut Findings) {
    let segment = endpoint.strip_prefix('/').unwrap_or_default();
    if !is_name(segment, b"-_") {
        findings.add("endpoint", "must be a slash and one name of letters, digits, - or _, such as /Devices.");
    } else if ENDPOINTS.iter().any(|known| known.eq_ignore_ascii_case(segment)) {
        findings.add("endpoint", format!("{endpoint} is reserved."));
    } else if others.definitions().iter().any(|known| known.endpoint().eq_ignore_ascii_case(segment)) {
        findings.add("endpoint", format!("{endpoint} is the endpoint of another resource type."));
    }
}

fn find<'r>(urn: &str, path: &str, others: &'r Registry, findings: &mut Findings) -> Option<&'r Schema> {
    let found = others.schema(urn).map(AsRef::as_ref);
    if found.is_none() {
        findings.add(path, "must be the URN of a schema that is there. Create the schema first.");
    }
    let spoken = |schema: &&Schema| {
        let last = schema.id.rsplit(':').next().unwrap_or_default();
        NAMES.contains(&last) || schema.id.starts_with("urn:matrikel:")
    };
    if let Some(schema) = found.filter(|schema| !others.is_own(&schema.id)).filter(spoken) {
        findings.add(path, format!("{} describes the server itself, and no resources.", schema.id));
    }
    found
}

fn check_core(core: &Schema, findings: &mut Findings) {
    for name in OWNED {
        if core.attribute(name).is_some() {
            let message = format!("has the attribute {name}, which the server keeps for its own resource types.");
            findings.add("schema", message);
        }
    }
    if core.attribute("groups").is_some_and(|groups| groups.mutability != Mutability::ReadOnly) {
        findings.add("schema", "has the attribute groups, which must be readOnly: the server derives it.");
    }
}

fn extensions(members: &Members<'_>, core: Option<&Schema>, others: &Registry, findings: &mut Findings) -> Vec<Value> {
    let mut read: Vec<Value> = Vec::new();
    let mut named: Vec<&str> = core.iter().map(|core| core.id.as_str()).collect();
    for (n, extension) in members.array("schemaExtensions", findings).iter().enumerate() {
        let path = format!("schemaExtensions[{n}]");
        let Some(object) = extension.as_object() else {
            findings.add(path, "must be an object.");
            continue;
        };
        let members = Members { object, path };
        members.refuse_unknown(&["schema", "required"], findings);
        let urn = members.text("schema", findings).unwrap_or_default();
        let Some(schema) = find(urn, &members.at("schema"), others, findings) else { continue };
        if named.contains(&schema.id.as_str()) {
            findings.add(members.at("schema"), "is named by this resource type already.");
        }
        for name in OWNED.into_iter().filter(|name| schema.attribute(name).is_some()) {
            let message = format!("has the attribute {name}, which the server keeps for its own resource types.");
            findings.add(members.at("schema"), message);
        }
        named.push(&schema.id);
        let required = members.boolean("required", findings).unwrap_or_default();
        read.push(json!({ "schema": schema.id, "required": required }));
    }
    read
}
