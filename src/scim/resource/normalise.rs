//! The canonical form of a document, as a pure step after every change (RFC 7643 sections 2.4, 2.5 and 3): nothing
//! empty, no value twice, one primary, `schemas` true to what is there, everything in the schema's order. Applying it
//! twice changes nothing more. It never refuses and never changes what a value means.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::key::{self, TextRule};
use crate::schema::{Attribute, Definition, Mutability, Type};

/// Brings a document with canonical names into canonical form. Where several elements of an array have
/// `primary: true` the last keeps it; elements with the same type and value become one, at the place of the first,
/// with the later one's other sub-attributes.
pub fn normalise(def: &Definition, doc: &mut Map<String, Value>) {
    prune(doc);
    tidy_each(&def.attributes(), doc);
    for (schema, _) in &def.extensions {
        if let Some(Value::Object(extension)) = find_mut(doc, &schema.id) {
            tidy_each(&schema.attributes.iter(), extension);
            reorder(extension, &schema.attributes.iter().map(|attribute| attribute.name.as_str()));
        }
    }
    name_schemas(def, doc);
    let names = def.attributes().map(|attribute| attribute.name.as_str());
    reorder(doc, &names.chain(def.extensions.iter().map(|(schema, _)| schema.id.as_str())));
}

/// A value by its name. Objects here have few names, and comparing these costs less than hashing one.
pub(crate) fn find<'d>(object: &'d Map<String, Value>, name: &str) -> Option<&'d Value> {
    object.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// The same to be changed.
fn find_mut<'d>(object: &'d mut Map<String, Value>, name: &str) -> Option<&'d mut Value> {
    object.iter_mut().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Has `schemas` name the core schema and those extensions that are there.
fn name_schemas(def: &Definition, doc: &mut Map<String, Value>) {
    let extensions = def.extensions.iter().map(|(schema, _)| schema.id.as_str());
    let present = extensions.filter(|urn| doc.keys().any(|name| name == urn));
    let schemas: Vec<&str> = std::iter::once(def.core.id.as_str()).chain(present).collect();
    let said = find(doc, "schemas").and_then(Value::as_array);
    if said.is_some_and(|said| said.iter().map(Value::as_str).eq(schemas.iter().copied().map(Some))) {
        return;
    }
    let schemas = schemas.into_iter().map(Value::from).collect();
    doc.insert("schemas".to_owned(), Value::Array(schemas));
}

/// Removes nulls, empty arrays and empty objects, at every depth (RFC 7643 section 2.5).
pub(crate) fn prune(object: &mut Map<String, Value>) {
    object.retain(|_, value| prune_value(value));
}

fn prune_value(value: &mut Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(elements) => {
            elements.retain_mut(prune_value);
            !elements.is_empty()
        }
        Value::Object(object) => {
            prune(object);
            !object.is_empty()
        }
        _ => true,
    }
}

/// Whether an element of an array says `primary: true`.
pub(crate) fn read_primary(element: &Value) -> bool {
    let Value::Object(object) = element else { return false };
    object.iter().any(|(name, value)| *value == Value::Bool(true) && name == "primary")
}

/// What makes two elements of a multi-valued attribute the same one (RFC 7643 section 2.4): type and value under
/// their rules of case, or the whole element where it has no value.
pub(crate) fn identity(attribute: &Attribute, element: &Value) -> String {
    let Value::Object(object) = element else {
        return comparable(attribute, element);
    };
    let part = |name: &str| {
        let (sub, value) = attribute.sub(name).zip(object.get(name))?;
        Some(comparable(sub, value))
    };
    match part("value") {
        Some(value) => {
            let mut whole = part("type").unwrap_or_default();
            whole.push('\u{0}');
            whole.push_str(&value);
            whole
        }
        None => {
            // Written in schema order, so that the order in which a client wrote the names does not matter. What the server
            // says beside a client's values does not tell them apart; where all is the server's, all of it does.
            let is_servers = attribute.mutability == Mutability::ReadOnly;
            let mut whole = String::new();
            let tell = |sub: &&Attribute| is_servers || sub.mutability != Mutability::ReadOnly;
            for sub in attribute.sub_attributes.iter().filter(tell) {
                if let Some(value) = object.get(&sub.name) {
                    whole.push_str(&sub.name);
                    whole.push_str(&value.to_string());
                }
            }
            format!("\u{0}\u{0}{whole}")
        }
    }
}

/// A text that is equal for equal values under the attribute's type and rule of case.
pub(crate) fn comparable(attribute: &Attribute, value: &Value) -> String {
    key::of(value, attribute.kind, TextRule::of(attribute)).unwrap_or_else(|| value.to_string())
}

/// Tidies the values of all attributes that are there. They are mostly in the schema's order, so each is found behind the one
/// before it; simple values are as they shall be.
fn tidy_each<'a>(attributes: &(impl Iterator<Item = &'a Attribute> + Clone), container: &mut Map<String, Value>) {
    let mut ahead = attributes.clone();
    for (name, value) in container.iter_mut().filter(|(_, value)| value.is_array() || value.is_object()) {
        let mut behind = ahead.clone();
        if let Some(attribute) = behind.find(|attribute| attribute.name == *name) {
            ahead = behind;
            tidy(attribute, value);
        } else if let Some(attribute) = attributes.clone().find(|attribute| attribute.name == *name) {
            tidy(attribute, value);
        }
    }
}

fn tidy(attribute: &Attribute, value: &mut Value) {
    match value {
        Value::Array(elements) => {
            for element in elements.iter_mut() {
                tidy_object(attribute, element);
            }
            collapse(attribute, elements);
            let last = elements.iter().rposition(read_primary);
            for (index, element) in elements.iter_mut().enumerate() {
                if Some(index) != last && read_primary(element) {
                    set_secondary(element);
                }
            }
        }
        other => tidy_object(attribute, other),
    }
}

fn tidy_object(attribute: &Attribute, value: &mut Value) {
    if let Value::Object(object) = value {
        reorder(object, &attribute.sub_attributes.iter().map(|sub| sub.name.as_str()));
    }
}

/// Says `primary: false` where it said true (RFC 7644 section 3.5.2).
pub(crate) fn set_secondary(element: &mut Value) {
    if let Value::Object(object) = element {
        object.insert("primary".to_owned(), Value::Bool(false));
    }
}

fn collapse(attribute: &Attribute, elements: &mut Vec<Value>) {
    if elements.len() < 2 || have_other_values(attribute, elements) {
        return;
    }
    let identities: Vec<String> = elements.iter().map(|element| identity(attribute, element)).collect();
    if are_distinct(&identities) {
        return;
    }
    let mut places: HashMap<String, usize> = HashMap::with_capacity(elements.len());
    let mut kept: Vec<Value> = Vec::with_capacity(elements.len());
    for (element, identity) in elements.drain(..).zip(identities) {
        let known = places.entry(identity).or_insert(kept.len());
        match kept.get_mut(*known) {
            Some(first) => {
                absorb(first, element);
                tidy_object(attribute, first);
            }
            None => kept.push(element),
        }
    }
    *elements = kept;
}

/// So many elements are compared with one another, which costs less than hashing them.
const FEW: usize = 8;

/// Whether the elements all have texts of ASCII that differ in more than case. By every rule these are others, which is told
/// without bringing them into the form that they are compared in. `false`: they may be others or not.
fn have_other_values(attribute: &Attribute, elements: &[Value]) -> bool {
    let is_text = |kind: Type| matches!(kind, Type::String | Type::Reference | Type::Binary);
    if elements.len() > FEW || !is_text(attribute.sub("value").unwrap_or(attribute).kind) {
        return false;
    }
    elements.iter().enumerate().all(|(n, one)| {
        let mut others = elements.iter().skip(n + 1);
        let differs =
            |one: &str| others.all(|other| text_of(other).is_some_and(|other| !one.eq_ignore_ascii_case(other)));
        text_of(one).filter(|one| one.is_ascii()).is_some_and(differs)
    })
}

/// What an element says, or its value does, where that is text.
fn text_of(element: &Value) -> Option<&str> {
    element.as_object().map_or(Some(element), |object| find(object, "value"))?.as_str()
}

/// Whether no text stands there twice.
fn are_distinct(texts: &[String]) -> bool {
    if texts.len() > FEW {
        return texts.iter().collect::<HashSet<_>>().len() == texts.len();
    }
    texts.iter().enumerate().all(|(n, text)| !texts.iter().skip(n + 1).any(|other| other == text))
}

/// Takes over what the same element says besides its type and value.
pub(crate) fn absorb(first: &mut Value, again: Value) {
    if let (Value::Object(first), Value::Object(again)) = (first, again) {
        for (name, value) in again {
            if !matches!(name.as_str(), "type" | "value") {
                first.insert(name, value);
            }
        }
    }
}

/// Puts the names in the given order; names that are not listed follow in theirs.
fn reorder<'n>(object: &mut Map<String, Value>, names: &(impl Iterator<Item = &'n str> + Clone)) {
    // Most are: what is stored has been here before, and most clients follow the schema.
    let mut left = object.keys().map(String::as_str).peekable();
    for name in names.clone() {
        left.next_if_eq(&name);
    }
    if left.peek().is_none() {
        return;
    }
    // By place, not by looking each listed name up: many more are listed than there are.
    let mut entries: Vec<(String, Value)> = std::mem::take(object).into_iter().collect();
    entries.sort_by_cached_key(|(name, _)| names.clone().position(|known| known == name).unwrap_or(usize::MAX));
    object.extend(entries);
}
