//! The case files of `cases/patch`, and the properties that hold for any document and message.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::cases::{definition, load};
use crate::resource::{Notes, normalise, replace, validate};

#[test]
fn messages_do_what_their_cases_say() {
    for case in load("patch") {
        let def = case.definition();
        let body = case.field("body").cloned().unwrap_or_else(|| message(case.field("operations").unwrap()));
        let doc = case.document("document");
        let mut notes = Notes::new();
        let outcome = parse(&def, &body, case.strictness(), &mut notes).and_then(|patch| {
            if let Some(expected) = case.field("relation") {
                let found: Vec<Value> = patch.relation.iter().map(describe).collect();
                assert_eq!(Value::from(found), *expected, "{}", case.name());
            }
            if let Some(expected) = case.field("claimsId") {
                assert_eq!(patch.claims_id.as_deref(), expected.as_str(), "{}", case.name());
            }
            apply(&def, &doc, &patch.document, &mut notes)
        });
        if case.field("expect").is_none() && case.field("error").is_none() {
            // Nothing is expected to change, not even the order of names.
            assert_eq!(outcome.map(text), Ok(text(doc)), "{}", case.name());
            continue;
        }
        case.check(outcome.map(Value::Object), &notes);
    }
}

#[test]
fn a_message_has_at_most_a_thousand_operations() {
    let operations = vec![json!({ "op": "add", "path": "title", "value": "x" }); MAX_OPERATIONS + 1];
    let refused = read("User", &json!(operations)).unwrap_err();
    assert_eq!(refused.detail, "Operations may have at most 1000 operations.");
}

#[test]
fn adding_cannot_exceed_the_number_of_values() {
    let emails =
        |from: usize| -> Vec<Value> { (from..from + 600).map(|n| json!({ "value": n.to_string() })).collect() };
    let operations = json!([
        { "op": "add", "path": "emails", "value": emails(0) },
        { "op": "add", "path": "emails", "value": emails(600) }
    ]);
    let refused = run("User", &json!({ "userName": "ann" }), &operations).unwrap_err();
    assert_eq!(refused.detail, "emails may have at most 1000 values.");
}

#[test]
fn an_id_in_a_value_must_be_the_own_one() {
    let patch = read("User", &json!([{ "op": "replace", "value": { "id": "1", "title": "Dr" } }])).unwrap();
    assert_eq!(patch.check_id("1"), Ok(()));
    assert!(patch.check_id("2").is_err());
}

fn text(doc: Map<String, Value>) -> String {
    Value::Object(doc).to_string()
}

fn message(operations: &Value) -> Value {
    json!({ "schemas": [PATCH_OP_URN], "Operations": operations })
}

fn read(name: &str, operations: &Value) -> Result<Patch, Error> {
    parse(&definition(name), &message(operations), Strictness::Tolerant, &mut Notes::new())
}

fn run(name: &str, doc: &Value, operations: &Value) -> Result<Value, Error> {
    let patch = read(name, operations)?;
    let mut doc = doc.as_object().unwrap().clone();
    normalise(&definition(name), &mut doc);
    apply(&definition(name), &doc, &patch.document, &mut Notes::new()).map(Value::Object)
}

fn describe(change: &RelationChange) -> Value {
    match change {
        RelationChange::Add(values) => json!({ "add": values }),
        RelationChange::Replace(values) => json!({ "replace": values }),
        RelationChange::RemoveValues(values) => json!({ "removeValues": values }),
        RelationChange::RemoveWhere(filter) => json!({ "removeWhere": filter.to_string() }),
        RelationChange::RemoveAll => json!("removeAll"),
    }
}

/// A handful of values, so that they often meet.
fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "B", "b", "c"])
}

fn email() -> impl Strategy<Value = Value> {
    (word(), prop::option::of(prop::sample::select(vec!["work", "home"])), any::<Option<bool>>()).prop_map(
        |(value, kind, primary)| {
            let mut email = Map::new();
            email.insert("value".into(), value.into());
            if let Some(kind) = kind {
                email.insert("type".into(), kind.into());
            }
            if let Some(primary) = primary {
                email.insert("primary".into(), primary.into());
            }
            Value::Object(email)
        },
    )
}

fn emails() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(email(), 0..4).prop_map(|mut emails| {
        let mut seen = false;
        for email in &mut emails {
            let is_primary = email["primary"] == true;
            if is_primary && seen {
                email["primary"] = false.into();
            }
            seen |= is_primary;
        }
        emails
    })
}

prop_compose! {
    fn user()(title in prop::option::of(word()), given in prop::option::of(word()), family in prop::option::of(word()),
              department in prop::option::of(word()), emails in emails()) -> Value {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann", "title": title,
            "name": { "givenName": given, "familyName": family }, "emails": emails,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": department }
        })
    }
}

/// Operations that a simple model understands too.
fn operation() -> impl Strategy<Value = Value> {
    let verb = || prop::sample::select(vec!["add", "replace"]);
    let path = || {
        prop::sample::select(vec![
            "title",
            "name.givenName",
            "name.familyName",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
        ])
    };
    prop_oneof![
        (verb(), path(), word()).prop_map(|(op, path, value)| json!({ "op": op, "path": path, "value": value })),
        path().prop_map(|path| json!({ "op": "remove", "path": path })),
        Just(json!({ "op": "remove", "path": "emails" })),
        Just(json!({ "op": "remove", "path": "name" })),
        emails().prop_map(|value| json!({ "op": "add", "path": "emails", "value": value })),
        emails().prop_map(|value| json!({ "op": "replace", "path": "emails", "value": value })),
        (verb(), word()).prop_map(|(op, value)| json!({ "op": op, "path": "name", "value": { "givenName": value } })),
        word().prop_map(|value| json!({ "op": "remove", "path": format!("emails[value eq \"{value}\"]") })),
    ]
}

/// What the four paths above hold, and the emails as (value folded, type, primary).
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    fields: std::collections::BTreeMap<String, String>,
    emails: Vec<(String, Option<String>, Option<bool>)>,
}

impl Model {
    fn of(doc: &Value) -> Self {
        let mut model = Model::default();
        let department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let places = [
            ("title", &doc["title"]),
            ("name.givenName", &doc["name"]["givenName"]),
            ("name.familyName", &doc["name"]["familyName"]),
            ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", &doc[department]["department"]),
        ];
        for (path, value) in places {
            if let Some(value) = value.as_str() {
                model.fields.insert(path.into(), value.into());
            }
        }
        for email in doc["emails"].as_array().into_iter().flatten() {
            model.push(email);
        }
        model
    }

    fn push(&mut self, email: &Value) {
        let value = email["value"].as_str().unwrap().to_lowercase();
        let kind = email["type"].as_str().map(str::to_owned);
        let primary = email["primary"].as_bool();
        if primary == Some(true) {
            for known in &mut self.emails {
                known.2 = known.2.map(|_| false);
            }
        }
        match self.emails.iter_mut().find(|known| (&known.0, &known.1) == (&value, &kind)) {
            Some(known) => known.2 = primary.or(known.2),
            None => self.emails.push((value, kind, primary)),
        }
    }

    /// `false`: the operation must fail.
    fn apply(&mut self, operation: &Value) -> bool {
        let path = operation["path"].as_str().unwrap();
        match (operation["op"].as_str().unwrap(), path) {
            ("remove", "emails") => self.emails.clear(),
            ("remove", "name") => self.fields.retain(|path, _| !path.starts_with("name.")),
            ("remove", path) => {
                let Some(filter) = path.strip_prefix("emails[value eq \"") else {
                    self.fields.remove(path);
                    return true;
                };
                let (value, before) = (filter.trim_end_matches("\"]").to_lowercase(), self.emails.len());
                self.emails.retain(|email| email.0 != value);
                return self.emails.len() < before;
            }
            (op, "emails") => {
                if op == "replace" {
                    self.emails.clear();
                }
                operation["value"].as_array().unwrap().iter().for_each(|email| self.push(email));
            }
            (_, "name") => {
                let given = operation["value"]["givenName"].as_str().unwrap();
                self.fields.insert("name.givenName".into(), given.into());
            }
            (_, path) => {
                self.fields.insert(path.into(), operation["value"].as_str().unwrap().into());
            }
        }
        true
    }
}

proptest! {
    #[test]
    fn patch_agrees_with_a_naive_model(user in user(), operations in prop::collection::vec(operation(), 1..6)) {
        let mut model = Model::of(&user);
        let succeeds = operations.iter().all(|operation| model.apply(operation));
        let doc = validate(&definition("User"), &user, Strictness::Tolerant, &mut Notes::new()).unwrap();
        let outcome = run("User", &Value::Object(doc), &json!(operations));
        prop_assert_eq!(outcome.is_ok(), succeeds);
        if let Ok(doc) = outcome {
            prop_assert_eq!(Model::of(&doc), model);
        }
    }

    #[test]
    fn a_message_has_its_effect_once(user in user(), operations in prop::collection::vec(operation(), 1..4)) {
        let sets = operations.iter().filter(|operation| operation["op"] == "replace").cloned().collect::<Vec<_>>();
        prop_assume!(!sets.is_empty());
        let once = run("User", &user, &json!(sets)).unwrap();
        prop_assert_eq!(run("User", &once, &json!(sets)).unwrap().to_string(), once.to_string());
    }

    #[test]
    fn a_canonical_document_is_a_fixed_point(user in user()) {
        let def = definition("User");
        let once = validate(&def, &user, Strictness::Tolerant, &mut Notes::new()).unwrap();
        let mut notes = Notes::new();
        let again = validate(&def, &Value::Object(once.clone()), Strictness::Strict, &mut notes).unwrap();
        prop_assert_eq!(text(again), text(once.clone()));
        let put = replace(&def, &once, &Value::Object(once.clone()), Strictness::Strict, &mut notes).unwrap();
        prop_assert_eq!(text(put), text(once.clone()));
        let mut normal = once.clone();
        normalise(&def, &mut normal);
        prop_assert_eq!(text(normal), text(once));
        prop_assert!(notes.is_empty());
    }
}
