//! What becomes of a document, attribute by attribute: for reports of what would be done. Says nothing of what is secret but
//! that it changes.

use std::collections::BTreeSet;

use scim::filter::NOTES;
use scim::schema::{Definition, Returned};
use serde_json::{Map as Object, Value, json};

/// What is never part of a difference: it is the server's own book-keeping.
const OWN: [&str; 3] = ["schemas", "meta", NOTES];

/// Attribute by attribute what a document was and is. What is secret, or told to those alone who ask for it, is struck out.
pub fn differences(
    definition: &Definition,
    before: Option<&Object<String, Value>>,
    after: Option<&Object<String, Value>>,
) -> Vec<Value> {
    let empty = Object::new();
    let (before, after) = (before.unwrap_or(&empty), after.unwrap_or(&empty));
    let mut found = Vec::new();
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names.into_iter().filter(|name| !OWN.contains(&name.as_str())) {
        match (definition.extension(name), before.get(name), after.get(name)) {
            (Some(_), one, other) => {
                let (one, other) = (one.and_then(Value::as_object), other.and_then(Value::as_object));
                let subs: BTreeSet<&String> = one.into_iter().chain(other).flat_map(Object::keys).collect();
                for sub in subs {
                    let of =
                        |object: Option<&Object<String, Value>>| object.and_then(|object| object.get(sub)).cloned();
                    add(definition, &format!("{name}:{sub}"), of(one), of(other), &mut found);
                }
            }
            (None, one, other) => add(definition, name, one.cloned(), other.cloned(), &mut found),
        }
    }
    found
}

fn add(definition: &Definition, path: &str, before: Option<Value>, after: Option<Value>, found: &mut Vec<Value>) {
    if before == after {
        return;
    }
    let attribute = definition.resolve(path).and_then(|place| place.attribute);
    let is_open = attribute.is_some_and(|attribute| {
        !attribute.secret && matches!(attribute.returned, Returned::Default | Returned::Always)
    });
    let shown = |value: Option<Value>| value.map(|value| if is_open { value } else { "***".into() });
    let mut change = json!({ "path": path });
    if let Some(change) = change.as_object_mut() {
        change.extend(shown(before).map(|value| ("before".to_owned(), value)));
        change.extend(shown(after).map(|value| ("after".to_owned(), value)));
    }
    found.push(change);
}
