//! The documents in `schemas/` keep the rules of RFC 7643 sections 2 and 7, with the verified errata.

use serde_json::{Map, Value};

use super::{Attribute, Mutability, Registry, Returned, Schema, Type, Uniqueness};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const MEMBERSHIP: &str = "urn:ietf:params:scim:schemas:core:2.0:GroupMembership";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const CLIENT: &str = "urn:matrikel:scim:schemas:1.0:Client";
const VIEW: &str = "urn:matrikel:scim:schemas:1.0:View";

fn builtin() -> Registry {
    Registry::builtin().expect("the shipped documents make a registry")
}

/// Visits every attribute and sub-attribute as it stands in the document, with its dotted path.
fn visit(attributes: &Value, above: &str, visitor: &mut impl FnMut(&str, &Map<String, Value>)) {
    for attribute in attributes.as_array().expect("attributes are an array") {
        let attribute = attribute.as_object().expect("an attribute is an object");
        let name = attribute["name"].as_str().expect("a name is a string");
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        visitor(&path, attribute);
        if let Some(subs) = attribute.get("subAttributes") {
            visit(subs, &path, visitor);
        }
    }
}

/// What is wrong with the schemas, one line each: `name path: fault`.
fn lint(check: impl Fn(&str, &Map<String, Value>) -> Vec<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for schema in builtin().schemas() {
        visit(&schema.document["attributes"], "", &mut |path, attribute| {
            faults.extend(check(path, attribute).into_iter().map(|fault| format!("{} {path}: {fault}", schema.name)));
        });
    }
    faults
}

fn find(registry: &Registry, urn: &str, path: &str) -> Attribute {
    let schema: &Schema = registry.schema(urn).expect("the schema is there");
    let (name, sub) = path.split_once('.').map_or((path, None), |(name, sub)| (name, Some(sub)));
    let attribute = schema.attribute(name).unwrap_or_else(|| panic!("{urn} has {name}"));
    match sub {
        Some(sub) => attribute.sub(sub).unwrap_or_else(|| panic!("{urn} has {path}")).clone(),
        None => attribute.clone(),
    }
}

#[test]
fn every_shipped_document_is_in_the_registry() {
    let registry = builtin();
    let urns: Vec<&str> = registry.schemas().map(|schema| schema.id.as_str()).collect();
    assert_eq!(urns.len(), 18);
    for urn in [USER, GROUP, MEMBERSHIP, ENTERPRISE, SCHEMA, RESOURCE_TYPE, CONFIG, CLIENT, VIEW] {
        assert!(urns.contains(&urn), "{urn} is missing");
    }
    let types: Vec<&str> = registry.definitions().iter().map(|definition| definition.name()).collect();
    assert_eq!(
        types,
        [
            "User",
            "Group",
            "GroupMembership",
            "Client",
            "View",
            "Policy",
            "Authority",
            "Rule",
            "Issuer",
            "Feed",
            "Run",
            "Simulation",
            "WorkItem",
            "AuditEvent",
        ]
    );
}

#[test]
fn every_document_names_itself_and_the_schema_it_follows() {
    for schema in builtin().schemas() {
        assert_eq!(schema.document["schemas"], serde_json::json!([SCHEMA]), "{}", schema.id);
        assert!(
            !schema.document["description"].as_str().unwrap_or_default().is_empty(),
            "{} says what it is",
            schema.id
        );
        assert!(schema.document.get("meta").is_none(), "{}: meta is added when it is served", schema.id);
    }
}

#[test]
fn every_attribute_states_all_its_characteristics() {
    let faults = lint(|_, attribute| {
        let mut keys = vec!["name", "type", "multiValued", "description", "required", "mutability", "returned"];
        match attribute["type"].as_str() {
            Some("complex") => keys.push("subAttributes"),
            Some("reference") => keys.extend(["caseExact", "uniqueness", "referenceTypes"]),
            _ => keys.extend(["caseExact", "uniqueness"]),
        }
        let mut faults: Vec<String> =
            keys.iter().filter(|key| !attribute.contains_key(**key)).map(|key| format!("{key} is missing")).collect();
        keys.push("canonicalValues");
        faults.extend(
            attribute.keys().filter(|key| !keys.contains(&key.as_str())).map(|key| format!("{key} is foreign")),
        );
        if attribute["description"].as_str().is_none_or(str::is_empty) {
            faults.push("the description is empty".into());
        }
        faults
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// RFC 7643 section 2.3.8. The one exception is the RFC's own: a schema describes sub-attributes within attributes.
#[test]
fn no_complex_attribute_lies_within_another() {
    let faults = lint(|path, attribute| {
        let nested = path.contains('.') && attribute["type"] == "complex" && path != "attributes.subAttributes";
        let deep = path.matches('.').count() > 1 && !path.starts_with("attributes.subAttributes.");
        if nested || deep { vec!["lies within a complex attribute".into()] } else { Vec::new() }
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// RFC 7643 section 2.1 (ATTRNAME, with `$ref` as the errata have it) and section 3.1 (common attributes).
#[test]
fn names_are_well_formed_and_none_is_reserved() {
    let registry = builtin();
    for schema in registry.schemas() {
        // These two documents list the `id` that identifies a schema and a resource type, as the RFC's own do.
        let own_id = [SCHEMA, RESOURCE_TYPE].contains(&schema.id.as_str());
        for attribute in &schema.attributes {
            let reserved = ["schemas", "externalId", "meta"].contains(&attribute.name.as_str());
            assert!(!reserved && (attribute.name != "id" || own_id), "{} lists {}", schema.id, attribute.name);
        }
    }
    let faults = lint(|_, attribute| {
        let name = attribute["name"].as_str().unwrap_or_default();
        let formed = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '-' || char == '_');
        if formed || name == "$ref" { Vec::new() } else { vec!["is no attribute name".into()] }
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_two_attributes_differ_in_case_alone() {
    fn check(urn: &str, attributes: &[Attribute]) {
        let mut names: Vec<String> = attributes.iter().map(|attribute| attribute.name.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), attributes.len(), "{urn} repeats a name");
        attributes.iter().for_each(|attribute| check(urn, &attribute.sub_attributes));
    }
    builtin().schemas().for_each(|schema| check(&schema.id, &schema.attributes));
}

/// RFC 7643 section 7 and erratum 6001.
#[test]
fn characteristics_do_not_contradict_each_other() {
    let faults = lint(|_, attribute| {
        let mut faults = Vec::new();
        let exact_type = ["reference", "binary"].iter().any(|kind| attribute["type"] == *kind);
        if exact_type && attribute["caseExact"] != true {
            faults.push("references and binaries are case exact".into());
        }
        if attribute["mutability"] == "writeOnly" && attribute["returned"] != "never" {
            faults.push("what cannot be read is never returned".into());
        }
        let types = attribute.get("referenceTypes").and_then(Value::as_array);
        if types.is_some_and(|types| types.is_empty()) {
            faults.push("a reference names what it may point to".into());
        }
        faults
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_user_has_every_attribute_of_the_rfc() {
    let registry = builtin();
    let names: Vec<&str> = registry.schema(USER).unwrap().attributes.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "userName",
            "name",
            "displayName",
            "nickName",
            "profileUrl",
            "title",
            "userType",
            "preferredLanguage",
            "locale",
            "timezone",
            "active",
            "password",
            "emails",
            "phoneNumbers",
            "ims",
            "photos",
            "addresses",
            "groups",
            "entitlements",
            "roles",
            "x509Certificates",
        ]
    );
    for (attribute, subs) in [
        ("name", "formatted familyName givenName middleName honorificPrefix honorificSuffix"),
        ("emails", "value display type primary"),
        ("addresses", "formatted streetAddress locality region postalCode country type primary"),
        ("groups", "value $ref display type"),
        ("x509Certificates", "value display type primary"),
    ] {
        let attribute = find(&registry, USER, attribute);
        let found: Vec<&str> = attribute.sub_attributes.iter().map(|sub| sub.name.as_str()).collect();
        assert_eq!(found.join(" "), subs, "{}", attribute.name);
    }
}

#[test]
fn the_characteristics_that_the_server_leans_on_hold() {
    let registry = builtin();
    let user_name = find(&registry, USER, "userName");
    assert!(user_name.required && !user_name.case_exact && user_name.uniqueness == Uniqueness::Server);
    let password = find(&registry, USER, "password");
    assert!(password.mutability == Mutability::WriteOnly && password.returned == Returned::Never);
    for path in ["groups", "groups.value", "groups.$ref", "groups.display", "groups.type"] {
        assert_eq!(find(&registry, USER, path).mutability, Mutability::ReadOnly, "{path}");
    }
    assert_eq!(find(&registry, USER, "groups.$ref").reference_types, ["Group"]);
    assert_eq!(find(&registry, USER, "groups.type").canonical_values, ["direct", "indirect"]);
    assert_eq!(find(&registry, USER, "x509Certificates.value").kind, Type::Binary);
    assert!(find(&registry, GROUP, "displayName").required);
    for path in ["members.value", "members.$ref", "members.type"] {
        assert_eq!(find(&registry, GROUP, path).mutability, Mutability::Immutable, "{path}");
    }
    assert_eq!(find(&registry, GROUP, "members.display").mutability, Mutability::ReadOnly);
    for (urn, path) in [(GROUP, "members.value"), (USER, "groups.value"), (ENTERPRISE, "manager.value")] {
        assert!(find(&registry, urn, path).case_exact, "ids compare exactly: {path}");
    }
    assert!(
        !find(&registry, SCHEMA, "attributes.subAttributes")
            .sub("type")
            .unwrap()
            .canonical_values
            .contains(&"complex".into())
    );
    assert!(
        find(&registry, CLIENT, "credentials").sub_attributes.iter().all(|sub| sub.mutability == Mutability::ReadOnly)
    );
}

#[test]
fn attributes_with_a_type_publish_its_usual_values() {
    let registry = builtin();
    for attribute in &registry.schema(USER).unwrap().attributes {
        if let Some(sub) = attribute.sub("type") {
            assert!(!sub.canonical_values.is_empty(), "{}.type", attribute.name);
        }
    }
}
