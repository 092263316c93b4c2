//! The lint by cases in `cases/lint/`: each a document and its findings, or none.

use serde_json::{Value, json};

use super::{Finding, breaks, newly_unique, resource_type, schema};
use crate::cases::{Case, load};
use crate::schema::Registry;
use crate::schema::shipped::{SHIPPED, of_name};

fn told(findings: &[Finding]) -> Value {
    findings.iter().map(|finding| Value::from(format!("{}: {}", finding.path, finding.message))).collect()
}

fn base() -> Registry {
    Registry::builtin().expect("the shipped documents")
}

/// A schema around attributes.
fn wrap(attributes: &Value) -> Value {
    json!({ "id": "urn:example:1.0:Thing", "name": "Thing", "attributes": attributes })
}

fn of_schema(case: &Case) -> Result<Value, Vec<Finding>> {
    match case.field("attributes") {
        Some(attributes) => schema(&wrap(attributes)),
        None => schema(case.field("schema").expect("a schema or attributes")),
    }
}

fn of_type(case: &Case, document: &Value) -> Result<Value, Vec<Finding>> {
    let attributes = case.field("attributes").cloned().unwrap_or_else(|| json!([{ "name": "label" }]));
    let own = schema(&wrap(&attributes)).expect("a sound schema");
    let others =
        vec![json!({ "id": "Crate", "name": "Crate", "endpoint": "/Crates", "schema": "urn:example:1.0:Thing" })];
    resource_type(document, &base().extend(vec![own], others, 1).expect("a registry"))
}

/// The type `Thing` with one schema before and after.
fn of_change(case: &Case) -> Value {
    let definition = |name: &str| {
        let own = schema(&wrap(case.field(name).expect("attributes"))).unwrap_or_else(|found| panic!("{found:?}"));
        let kind = json!({ "id": "Thing", "name": "Thing", "endpoint": "/Things", "schema": "urn:example:1.0:Thing" });
        let registry = base().extend(vec![own], vec![kind], 1).expect("a registry");
        registry.definition("Thing").expect("the type").clone()
    };
    let (before, after) = (definition("before"), definition("after"));
    json!({ "breaks": told(&breaks(&before, &after)), "unique": newly_unique(&before, &after) })
}

#[test]
fn a_document_has_the_findings_that_its_case_says() {
    for case in load("lint") {
        let found = match (case.field("resourceType"), case.field("before")) {
            (Some(document), _) => of_type(&case, document),
            (None, Some(_)) => Ok(of_change(&case)),
            (None, None) => of_schema(&case),
        };
        match (found, case.field("expect"), case.field("findings")) {
            (Ok(document), Some(expected), None) => assert_eq!(&document, expected, "{}", case.name()),
            (Ok(_), None, None) => {}
            (Err(findings), None, Some(expected)) => assert_eq!(&told(&findings), expected, "{}", case.name()),
            (found, ..) => panic!("{}: found {found:?}", case.name()),
        }
    }
}

#[test]
fn the_shipped_schemas_of_types_that_can_be_installed_are_sound() {
    let mut registry = base();
    for shipped in SHIPPED {
        let document: Value = serde_json::from_str(shipped.schema).expect("JSON");
        let canonical = schema(&document).unwrap_or_else(|findings| panic!("{}: {findings:?}", shipped.name));
        assert_eq!(canonical, document, "shipped in canonical form");
        registry = registry.extend(vec![canonical], Vec::new(), 1).expect("a registry");
        let document: Value = serde_json::from_str(shipped.resource_type).expect("JSON");
        let own = document["name"].as_str().expect("a name");
        if registry.definition(own).is_none() {
            let kind = resource_type(&document, &registry);
            let kind = kind.unwrap_or_else(|findings| panic!("{}: {findings:?}", shipped.name));
            assert_eq!(kind, document, "shipped in canonical form");
        }
        registry = registry.extend(Vec::new(), vec![document], 2).expect("a registry");
        for (kind, path) in shipped.indexes {
            let definition = registry.definition(kind).expect("a resource type");
            assert!(definition.resolve(path).is_some(), "{kind} has no {path}");
        }
    }
}

#[test]
fn documents_of_ours_can_be_brought_in_their_own_words_alone() {
    let shipped = of_name("person").expect("shipped");
    let mut document: Value = serde_json::from_str(shipped.schema).expect("JSON");
    document["attributes"][0]["secret"] = false.into();
    assert_eq!(
        told(&schema(&document).expect_err("reserved")),
        json!(["id: must not begin with urn:matrikel:, which is reserved."])
    );
    document["id"] = "urn:matrikel:scim:schemas:1.0:Other".into();
    assert!(schema(&document).is_err());
}

#[test]
fn an_answer_tells_eight_findings_and_counts_the_rest() {
    let attributes: Value = (0..10).map(|_| json!({ "name": "id" })).collect();
    let error = super::error(&schema(&wrap(&attributes)).expect_err("findings")).expect("an error");
    assert!(error.detail.ends_with("And 11 more."), "{}", error.detail);
    assert_eq!(super::error(&[]), None);
}
