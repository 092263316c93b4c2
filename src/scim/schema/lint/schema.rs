//! A schema document (RFC 7643 section 7).

use serde_json::{Map, Value, json};

use super::{Finding, Findings, Members, is_name};
use crate::schema::shipped;

const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// Names that every resource has already (RFC 7643 section 3).
const RESERVED: [&str; 4] = ["schemas", "id", "externalId", "meta"];
/// URNs that mean something else than a schema of a tenant's own.
const RESERVED_URNS: [&str; 2] = ["urn:ietf:params:scim:api:", "urn:matrikel:"];

const MEMBERS: [&str; 6] = ["schemas", "id", "name", "description", "attributes", "meta"];
const CHARACTERISTICS: [&str; 13] = [
    "name",
    "type",
    "multiValued",
    "description",
    "required",
    "canonicalValues",
    "caseExact",
    "mutability",
    "returned",
    "uniqueness",
    "secret",
    "referenceTypes",
    "subAttributes",
];
const TYPES: [&str; 8] = ["string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"];

const MAX_URN: usize = 255;
const MAX_ATTRIBUTES: usize = 500;

/// The schema in canonical form, every characteristic written out; else everything that is wrong with it. One with a URN
/// of Matrikel's own must be the one that is shipped, word for word.
pub fn schema(body: &Value) -> Result<Value, Vec<Finding>> {
    let document = read(body)?;
    let id = document.get("id").and_then(Value::as_str).unwrap_or_default();
    let lower = id.to_ascii_lowercase();
    let Some(reserved) = RESERVED_URNS.iter().find(|reserved| lower.starts_with(**reserved)) else {
        return Ok(document);
    };
    if shipped::schema(id).is_some_and(|shipped| read(&shipped).is_ok_and(|shipped| shipped == document)) {
        return Ok(document);
    }
    let mut findings = Findings::default();
    findings.add("id", format!("must not begin with {reserved}, which is reserved."));
    Err(findings.0)
}

fn read(body: &Value) -> Result<Value, Vec<Finding>> {
    let mut findings = Findings::default();
    let empty = Map::new();
    let members = Members { object: body.as_object().unwrap_or(&empty), path: String::new() };
    members.refuse_unknown(&MEMBERS, &mut findings);
    members.check_schemas(SCHEMA_URN, &mut findings);
    let id = members.text("id", &mut findings).unwrap_or_default();
    check_urn(id, &mut findings);
    let last = id.rsplit(':').next().unwrap_or_default();
    let name = members.text("name", &mut findings).filter(|name| !name.trim().is_empty()).unwrap_or(last);
    let mut document = Map::new();
    document.insert("schemas".into(), json!([SCHEMA_URN]));
    document.insert("id".into(), id.into());
    document.insert("name".into(), name.into());
    if let Some(description) = members.text("description", &mut findings) {
        document.insert("description".into(), description.into());
    }
    let attributes = members.array("attributes", &mut findings);
    if attributes.is_empty() {
        findings.add("attributes", "must hold at least one attribute.");
    }
    document.insert("attributes".into(), read_attributes(attributes, "attributes", true, &mut findings));
    if findings.0.is_empty() { Ok(Value::Object(document)) } else { Err(findings.0) }
}

fn check_urn(id: &str, findings: &mut Findings) {
    let lower = id.to_ascii_lowercase();
    let mut parts = lower.splitn(3, ':');
    let is_urn = parts.next() == Some("urn")
        && parts.next().is_some_and(|space| {
            (2..=32).contains(&space.len())
                && space.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !space.starts_with('-')
                && !space.ends_with('-')
        })
        && parts.next().is_some_and(|rest| {
            !rest.is_empty()
                && !rest.ends_with(':')
                && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$'*+,;=:@".contains(&byte))
        });
    if !is_urn || id.len() > MAX_URN {
        let example = "such as urn:example:scim:schemas:1.0:Badge";
        findings.add("id", format!("must be a URN of at most {MAX_URN} characters, {example}."));
    }
}

fn read_attributes(attributes: &[Value], path: &str, is_top: bool, findings: &mut Findings) -> Value {
    if attributes.len() > MAX_ATTRIBUTES {
        findings.add(path, format!("must not hold more than {MAX_ATTRIBUTES} attributes."));
        return Value::Array(Vec::new());
    }
    let mut names: Vec<String> = Vec::new();
    let mut read = Vec::with_capacity(attributes.len());
    for (n, attribute) in attributes.iter().enumerate() {
        let path = format!("{path}[{n}]");
        let Some(object) = attribute.as_object() else {
            findings.add(path, "must be an object.");
            continue;
        };
        let members = Members { object, path };
        let attribute = read_attribute(&members, is_top, findings);
        let name = attribute.get("name").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        if names.contains(&name) {
            findings.add(members.at("name"), "is the name of another attribute here. Names differ in more than case.");
        }
        names.push(name);
        read.push(Value::Object(attribute));
    }
    Value::Array(read)
}

fn read_attribute(members: &Members<'_>, is_top: bool, findings: &mut Findings) -> Map<String, Value> {
    members.refuse_unknown(&CHARACTERISTICS, findings);
    let name = members.text("name", findings).unwrap_or_default();
    // `$ref` is the one name of the RFC that its own grammar does not have.
    if !is_name(name, b"$-_") && (is_top || name != "$ref") {
        findings.add(members.at("name"), "must be a letter and then letters, digits, $, - or _, at most 64 of them.");
    }
    if is_top && RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        findings.add(members.at("name"), format!("{name} is an attribute that every resource has already."));
    }
    let kind = chosen(members, "type", &TYPES, "string", findings);
    let mutability =
        chosen(members, "mutability", &["readOnly", "readWrite", "immutable", "writeOnly"], "readWrite", findings);
    let returned = chosen(members, "returned", &["always", "never", "default", "request"], "default", findings);
    let uniqueness = chosen(members, "uniqueness", &["none", "server", "global"], "none", findings);
    let required = members.boolean("required", findings).unwrap_or_default();
    let stated_case = members.boolean("caseExact", findings);
    let is_complex = kind == "complex";

    if mutability == "readOnly" && required {
        findings.add(members.at("required"), "contradicts mutability readOnly: no client could ever give the value.");
    }
    if mutability == "writeOnly" && returned != "never" {
        findings.add(members.at("returned"), "must be never, for mutability is writeOnly.");
    }
    if uniqueness != "none" {
        let reason = match kind {
            _ if !is_top => Some("a sub-attribute cannot be unique here"),
            "complex" => Some("a complex attribute has no value that could be unique"),
            "boolean" => Some("two values are not enough for unique ones"),
            _ if returned == "never" => Some("a value that is never shown could be found by trying"),
            _ => None,
        };
        if let Some(reason) = reason {
            findings.add(members.at("uniqueness"), format!("must be none: {reason}."));
        }
    }
    let has_case = matches!(kind, "string" | "reference" | "binary");
    if stated_case == Some(true) && !has_case {
        findings.add(members.at("caseExact"), format!("has no meaning for type {kind}. Leave it out."));
    }
    if stated_case == Some(false) && kind == "binary" {
        findings.add(members.at("caseExact"), "must be true for type binary.");
    }

    let mut attribute = Map::new();
    attribute.insert("name".into(), name.into());
    attribute.insert("type".into(), kind.into());
    attribute.insert("multiValued".into(), members.boolean("multiValued", findings).unwrap_or_default().into());
    if let Some(description) = members.text("description", findings) {
        attribute.insert("description".into(), description.into());
    }
    attribute.insert("required".into(), required.into());
    let suggested = members.texts("canonicalValues", findings);
    if !suggested.is_empty() {
        if matches!(kind, "boolean" | "complex") {
            findings.add(members.at("canonicalValues"), format!("have no meaning for type {kind}."));
        }
        attribute.insert("canonicalValues".into(), suggested.into());
    }
    if !is_complex {
        attribute.insert("caseExact".into(), stated_case.unwrap_or(kind == "binary").into());
    }
    attribute.insert("mutability".into(), mutability.into());
    attribute.insert("returned".into(), returned.into());
    if !is_complex {
        attribute.insert("uniqueness".into(), uniqueness.into());
    }
    // Said of none that is not, so that documents of other servers come back as they are.
    if members.boolean("secret", findings) == Some(true) {
        check_secret(members, is_top, &attribute, findings);
        attribute.insert("secret".into(), true.into());
    }
    let references = members.texts("referenceTypes", findings);
    match (kind, references.is_empty()) {
        ("reference", true) => {
            findings
                .add(members.at("referenceTypes"), "must say what is referred to: resource types, external or uri.");
        }
        ("reference", false) => drop(attribute.insert("referenceTypes".into(), references.into())),
        (_, true) => {}
        (_, false) => findings.add(members.at("referenceTypes"), "have a meaning for type reference alone."),
    }
    let subs = members.array("subAttributes", findings);
    match (is_complex, is_top, subs.is_empty()) {
        (true, false, _) => findings.add(members.at("type"), "must not be complex within a complex attribute."),
        (true, true, true) => {
            findings.add(members.at("subAttributes"), "must hold what the complex attribute is made of.")
        }
        (true, true, false) => {
            let path = members.at("subAttributes");
            attribute.insert("subAttributes".into(), read_attributes(subs, &path, false, findings));
        }
        (false, _, false) => findings.add(members.at("subAttributes"), "have a meaning for type complex alone."),
        (false, _, true) => {}
    }
    attribute
}

/// Names of which the server makes what a resource is called, or which it keeps to itself.
const TOLD: [&str; 7] = ["displayName", "name", "userName", "password", "members", "groups", "active"];

/// What is sealed is one text, shown on request at most, and nothing that the server works with.
fn check_secret(members: &Members<'_>, is_top: bool, attribute: &Map<String, Value>, findings: &mut Findings) {
    let text = |name: &str| attribute.get(name).and_then(Value::as_str).unwrap_or_default();
    let reasons = [
        (!is_top, "a sub-attribute cannot be sealed"),
        (text("type") != "string", "the type must be string"),
        (attribute.get("multiValued") == Some(&true.into()), "it must have a single value"),
        (!matches!(text("returned"), "request" | "never"), "returned must be request or never"),
        (!matches!(text("mutability"), "readWrite" | "writeOnly"), "mutability must be readWrite or writeOnly"),
        (attribute.contains_key("canonicalValues"), "suggested values would tell of it"),
        (TOLD.iter().any(|name| name.eq_ignore_ascii_case(text("name"))), "the server itself works with that name"),
    ];
    for (_, reason) in reasons.into_iter().filter(|(wrong, _)| *wrong) {
        findings.add(members.at("secret"), format!("cannot be true here: {reason}."));
    }
}

/// One of the known words; the default when it is not given or was refused.
fn chosen<'k>(
    members: &Members<'_>,
    name: &str,
    known: &[&'k str],
    default: &'k str,
    findings: &mut Findings,
) -> &'k str {
    let Some(text) = members.text(name, findings) else { return default };
    known.iter().find(|known| known.eq_ignore_ascii_case(text)).copied().unwrap_or_else(|| {
        findings.add(members.at(name), format!("must be one of {}.", known.join(", ")));
        default
    })
}
