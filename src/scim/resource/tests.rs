//! The case files of `cases/validate`, `cases/replace` and `cases/projection`, and the properties that hold for any
//! resource.

use serde_json::{Value, json};

use super::*;
use crate::cases::{Case, definition, load};

#[test]
fn bodies_are_read_as_their_cases_say() {
    for case in load("validate") {
        let mut notes = Notes::new();
        let body = case.field("body").unwrap();
        let outcome = validate(&case.definition(), body, case.strictness(), &mut notes);
        case.check(outcome.map(Value::Object), &notes);
    }
}

#[test]
fn replacements_are_merged_as_their_cases_say() {
    for case in load("replace") {
        let mut notes = Notes::new();
        let body = case.field("body").unwrap();
        let current = case.document("document");
        let outcome = replace(&case.definition(), &current, body, case.strictness(), &mut notes);
        case.check(outcome.map(Value::Object), &notes);
    }
}

#[test]
fn answers_hold_what_their_cases_say() {
    let doc = json!({
        "schemas": ["urn:example:2.0:Device", "urn:example:2.0:Lease"], "id": "1",
        "meta": { "resourceType": "Device", "version": "1" },
        "serial": "S1", "label": "x", "image": "AAAA", "pin": "1",
        "place": { "building": "A", "room": "1" }, "ports": [{ "value": "1", "type": "usb", "secret": "s" }],
        "urn:example:2.0:Lease": { "lessor": "L" }
    });
    for case in load("projection") {
        let def = case.definition();
        let names = |case: &Case, field: &str| -> Vec<String> {
            let names = case.field(field).and_then(Value::as_array).cloned().unwrap_or_default();
            names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        let outcome =
            Projection::parse(&def, &names(&case, "attributes"), &names(&case, "excluded")).map(|projection| {
                let mut doc = doc.as_object().unwrap().clone();
                projection.apply(&def, &mut doc);
                Value::Object(doc)
            });
        case.check(outcome, &Notes::new());
    }
}

#[test]
fn a_projection_says_what_need_not_be_loaded() {
    let group = definition("Group");
    let all = Projection::parse(&group, &[], &[]).unwrap();
    assert!(all.is_whole() && all.wants("members"));
    let lean = Projection::parse(&group, &[], &["MEMBERS".to_owned()]).unwrap();
    assert!(!lean.is_whole() && !lean.wants("members") && lean.wants("displayName"));
    let narrow = Projection::parse(&group, &["members.value".to_owned()], &[]).unwrap();
    assert!(narrow.wants("members") && !narrow.wants("displayName"));
}

#[test]
fn stored_texts_of_users_and_groups_are_answered_as_they_are() {
    let passes = |name: &str, attributes: &[&str], excluded: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Projection::parse(&definition(name), &names(attributes), &names(excluded)).unwrap().passes()
    };
    assert!(passes("User", &[], &[]) && passes("Group", &[], &[]));
    assert!(!passes("Device", &[], &[]), "some of it is returned on request only");
    assert!(passes("Group", &[], &["members"]), "members are never in what is stored");
    for (attributes, excluded) in [
        (&["displayName"][..], &[][..]),
        (&["members"], &[]),
        (&[], &["displayName"]),
        (&[], &["members", "meta"]),
        (&[], &["members.type"]),
        (&[], &["groups"]),
        (&[], &["id"]),
    ] {
        assert!(!passes("Group", attributes, excluded), "{attributes:?} {excluded:?}");
    }
    for excluded in ["groups", "externalId", "meta.version", "emails", "name.familyName"] {
        assert!(!passes("User", &[], &[excluded]), "{excluded}");
    }
}

#[test]
fn an_attribute_has_at_most_a_thousand_values_but_members_any_number() {
    let values: Vec<Value> = (0..=MAX_VALUES).map(|n| json!({ "value": n.to_string() })).collect();
    let read = |name: &str, body: &Value| {
        validate(&definition(name), body, Strictness::Tolerant, &mut Notes::new()).map_err(|error| error.detail)
    };
    let refused = read("User", &json!({ "userName": "ann", "emails": values }));
    assert_eq!(refused, Err("emails may have at most 1000 values.".to_owned()));
    let group = read("Group", &json!({ "displayName": "all", "members": values })).unwrap();
    assert_eq!(group["members"].as_array().map(Vec::len), Some(MAX_VALUES + 1));
}

#[test]
fn a_text_is_bounded() {
    let body = json!({ "userName": "ann", "title": "x".repeat(MAX_TEXT + 1) });
    let refused = validate(&definition("User"), &body, Strictness::Tolerant, &mut Notes::new()).unwrap_err();
    assert_eq!(refused.detail, "title may have at most 65536 bytes.");
}

#[test]
fn what_the_server_lists_without_values_stays_apart() {
    let run = crate::schema::Registry::builtin().unwrap().definition("Run").unwrap().clone();
    let tripped =
        json!([{ "limit": "disables", "count": 30, "most": 10 }, { "limit": "unit E1", "count": 30, "most": 15 }]);
    let mut document = serde_json::Map::from_iter([("tripped".to_owned(), tripped.clone())]);
    normalise(&run, &mut document);
    assert_eq!(document["tripped"], tripped);
}

#[test]
fn values_that_differ_in_case_alone_become_one_whatever_their_letters() {
    let user = definition("User");
    let table = [
        (["a@x.example", "b@x.example"], 2),
        (["a@x.example", "A@X.example"], 1),
        (["k@x.example", "\u{212a}@x.example"], 1),
        (["\u{e5}@x.example", "\u{c5}@x.example"], 1),
        (["\u{e5}@x.example", "a@x.example"], 2),
    ];
    for (values, expected) in table {
        let emails: Vec<Value> = values.iter().map(|value| json!({ "value": value, "type": "work" })).collect();
        let mut document = json!({ "emails": emails }).as_object().unwrap().clone();
        normalise(&user, &mut document);
        assert_eq!(document["emails"].as_array().unwrap().len(), expected, "{values:?}");
    }
}
