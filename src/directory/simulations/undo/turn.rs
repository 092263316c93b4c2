//! What becomes of a document when what a run did to it is turned back, attribute by attribute: one that is as the run left it
//! becomes what it was before; one that somebody has changed since stays, and is told of. Pure.
//!
//! A complex value is taken apart into its parts; a list is one value. What the server makes of other values is passed over,
//! since it follows from them, and so is what is secret: the journal does not have it.

use std::collections::BTreeSet;

use scim::schema::{Attribute, Definition, Mutability, Type};
use serde::{Deserialize, Serialize};
use serde_json::{Map as Object, Value};

/// What is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The attribute; without, the resource as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why, as a sentence.
    pub reason: String,
}

/// What was changed later stays.
pub(super) const LATER: &str = "It was changed after the run, and stays as it is.";

/// What the server keeps beside names and words of sources, and cannot work out anew.
const KEPT: [&str; 4] = ["names", "namesBefore", "aliases", "said"];
/// What follows from an identity number, which is secret.
const OF_NUMBER: [&str; 2] = ["personalNumberType", "birthDate"];
/// The number is not known from the journal.
const SECRET: &str = "It goes with the identity number, which the journal does not have: correct it by hand.";
/// What is the server's own book-keeping of the whole document.
const OWN: [&str; 4] = ["schemas", "meta", "id", "externalId"];

/// Where a value lies in a document: the names of members, from without to within.
type Spot = Vec<String>;

/// Turns a document back from what the run had left to what there was before. Answers what it shall be, and what stays.
pub(super) fn turn_back(
    definition: &Definition,
    before: &Object<String, Value>,
    after: &Object<String, Value>,
    current: &Object<String, Value>,
) -> (Object<String, Value>, Vec<Conflict>) {
    let (mut next, mut conflicts) = (current.clone(), Vec::new());
    for (spot, attribute) in spots(definition, &[before, after]) {
        let (was, left, is) = (value(before, &spot), value(after, &spot), value(current, &spot));
        let (was_said, left_said, is_said) = (said(attribute, was), said(attribute, left), said(attribute, is));
        if was_said == left_said || is_said == was_said {
            continue;
        }
        let has_number = [before, after]
            .iter()
            .any(|document| document.values().any(|part| part.get("personalNumberType").is_some()));
        if has_number && spot.last().is_some_and(|name| OF_NUMBER.contains(&name.as_str())) {
            conflicts.push(Conflict { path: Some(path(definition, &spot)), reason: SECRET.to_owned() });
            continue;
        }
        match is_said == left_said {
            true => put(&mut next, &spot, was.cloned()),
            false => conflicts.push(Conflict { path: Some(path(definition, &spot)), reason: LATER.to_owned() }),
        }
    }
    (next, conflicts)
}

/// What of a document is not as the run had left it, and does not follow by itself.
pub(super) fn changed_since(
    definition: &Definition,
    after: &Object<String, Value>,
    current: &Object<String, Value>,
) -> Vec<Conflict> {
    // Names that the server has made since are no change of anybody's.
    let has_names = current.values().any(|part| part.get("names").is_some_and(|names| names.get("origin").is_some()));
    let is_derived = |spot: &Spot| {
        let name = spot.last().map(String::as_str).unwrap_or_default();
        let first = spot.first().map(String::as_str).unwrap_or_default();
        KEPT.contains(&name) || name == "entitlements" || (has_names && ["userName", "emails"].contains(&first))
    };
    let changed = spots(definition, &[after, current]).into_iter().filter(|(spot, attribute)| {
        !is_derived(spot) && said(attribute, value(after, spot)) != said(attribute, value(current, spot))
    });
    changed.map(|(spot, _)| Conflict { path: Some(path(definition, &spot)), reason: LATER.to_owned() }).collect()
}

/// The places of documents that may be turned back, each with what the schema says of it.
fn spots<'d>(definition: &'d Definition, documents: &[&Object<String, Value>]) -> Vec<(Spot, &'d Attribute)> {
    let has_life = documents.iter().any(|document| document.values().any(|part| part.get("lifecycle").is_some()));
    let names = |objects: &[&Object<String, Value>]| -> BTreeSet<String> {
        objects.iter().flat_map(|object| object.keys()).cloned().collect()
    };
    let mut spots = Vec::new();
    for name in names(documents).into_iter().filter(|name| !OWN.contains(&name.as_str())) {
        // Whether an account is active follows from its dates where it has a life.
        if has_life && name == "active" {
            continue;
        }
        match definition.extension(&name) {
            Some(_) => {
                let parts: Vec<&Object<String, Value>> =
                    documents.iter().filter_map(|document| document.get(&name)?.as_object()).collect();
                for part in names(&parts) {
                    let whole = [name.clone(), part.clone()];
                    add(definition, &format!("{name}:{part}"), whole.to_vec(), documents, &mut spots);
                }
            }
            None => add(definition, &name, vec![name.clone()], documents, &mut spots),
        }
    }
    spots
}

fn add<'d>(
    definition: &'d Definition,
    path: &str,
    spot: Spot,
    documents: &[&Object<String, Value>],
    spots: &mut Vec<(Spot, &'d Attribute)>,
) {
    let Some(attribute) = definition.resolve(path).and_then(|place| place.attribute) else { return };
    let name = spot.last().map(String::as_str).unwrap_or_default();
    let is_kept = KEPT.contains(&name);
    if attribute.secret || (attribute.mutability == Mutability::ReadOnly && !is_kept) {
        return;
    }
    if attribute.kind != Type::Complex || attribute.multi_valued || is_kept {
        spots.push((spot, attribute));
        return;
    }
    let parts: BTreeSet<String> = documents
        .iter()
        .filter_map(|document| value(document, &spot)?.as_object())
        .flat_map(|object| object.keys().cloned())
        .collect();
    for part in parts {
        let Some(sub) = attribute.sub(&part).filter(|sub| sub.mutability != Mutability::ReadOnly && !sub.secret) else {
            continue;
        };
        spots.push((spot.iter().cloned().chain([part]).collect(), sub));
    }
}

/// What a value says, without what the server puts into it from day to day.
fn said(attribute: &Attribute, value: Option<&Value>) -> Option<Value> {
    let mut said = value?.clone();
    if let Value::Array(elements) = &mut said {
        for element in elements.iter_mut().filter_map(Value::as_object_mut) {
            element.retain(|name, _| attribute.sub(name).is_none_or(|sub| sub.mutability != Mutability::ReadOnly));
        }
    }
    Some(said)
}

fn value<'d>(document: &'d Object<String, Value>, spot: &Spot) -> Option<&'d Value> {
    let (first, rest) = spot.split_first()?;
    rest.iter().try_fold(document.get(first)?, |value, name| value.get(name))
}

/// Puts a value there, or takes it out; what has no parts left goes too.
fn put(document: &mut Object<String, Value>, spot: &[String], new: Option<Value>) {
    let Some((first, rest)) = spot.split_first() else { return };
    if rest.is_empty() {
        match new {
            Some(value) => drop(document.insert(first.clone(), value)),
            None => drop(document.shift_remove(first)),
        }
        return;
    }
    let inner = document.entry(first.clone()).or_insert_with(|| Value::Object(Object::new()));
    if let Value::Object(inner) = inner {
        put(inner, rest, new);
        if inner.is_empty() {
            document.shift_remove(first);
        }
    }
}

fn path(definition: &Definition, spot: &Spot) -> String {
    match spot.split_first() {
        Some((first, rest)) if definition.extension(first).is_some() => format!("{first}:{}", rest.join(".")),
        _ => spot.join("."),
    }
}

#[cfg(test)]
mod tests {
    use scim::schema::Registry;
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Object<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn what_is_as_the_run_left_it_is_what_it_was_and_what_was_changed_later_stays() {
        const E: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let registry = Registry::builtin().expect("documents");
        let user = registry.definition("User").expect("a resource type");
        let table = [
            // before, as the run left it, now; what it shall be, what stays
            (json!({ "title": "a" }), json!({ "title": "b" }), json!({ "title": "b" }), json!({ "title": "a" }), ""),
            (
                json!({ "title": "a" }),
                json!({ "title": "b" }),
                json!({ "title": "c" }),
                json!({ "title": "c" }),
                "title",
            ),
            (json!({ "title": "a" }), json!({ "title": "b" }), json!({ "title": "a" }), json!({ "title": "a" }), ""),
            (
                json!({}),
                json!({ "title": "b" }),
                json!({ "title": "b", "locale": "sv" }),
                json!({ "locale": "sv" }),
                "",
            ),
            (json!({ "title": "a" }), json!({}), json!({}), json!({ "title": "a" }), ""),
            (
                json!({ "name": { "familyName": "a", "givenName": "x" } }),
                json!({ "name": { "familyName": "b", "givenName": "x" } }),
                json!({ "name": { "familyName": "b", "givenName": "y" } }),
                json!({ "name": { "familyName": "a", "givenName": "y" } }),
                "",
            ),
            (
                json!({ E: { "department": "a" } }),
                json!({ E: { "department": "b", "division": "d" } }),
                json!({ E: { "department": "c", "division": "d" } }),
                json!({ E: { "department": "c" } }),
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
            ),
            (json!({}), json!({ E: { "department": "b" } }), json!({ E: { "department": "b" } }), json!({}), ""),
            (
                json!({ "emails": [{ "value": "a@x" }] }),
                json!({ "emails": [{ "value": "b@x" }] }),
                json!({ "emails": [{ "value": "b@x" }, { "value": "c@x" }] }),
                json!({ "emails": [{ "value": "b@x" }, { "value": "c@x" }] }),
                "emails",
            ),
        ];
        for (before, after, current, expected, stays) in table {
            let (next, conflicts) = turn_back(user, &object(&before), &object(&after), &object(&current));
            assert_eq!(Value::Object(next.clone()), expected, "{before} {after} {current}");
            let told: Vec<_> = conflicts.iter().filter_map(|one| one.path.as_deref()).collect();
            assert_eq!(told.join(" "), stays, "{before} {after} {current}");
            let (again, _) = turn_back(user, &object(&before), &object(&after), &next);
            assert_eq!(again, next, "twice is once");
        }
    }

    #[test]
    fn who_was_changed_since_is_known() {
        let registry = Registry::builtin().expect("documents");
        let user = registry.definition("User").expect("a resource type");
        let (left, same) = (json!({ "userName": "a", "title": "b" }), json!({ "title": "b", "userName": "a" }));
        assert_eq!(changed_since(user, &object(&left), &object(&same)), []);
        let other = changed_since(user, &object(&left), &object(&json!({ "userName": "a", "locale": "sv" })));
        let told: Vec<_> = other.iter().filter_map(|one| one.path.as_deref()).collect();
        assert_eq!(told, ["locale", "title"]);
    }
}
