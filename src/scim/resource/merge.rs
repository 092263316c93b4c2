//! PUT: a body takes a resource's place (RFC 7644 section 3.5.1). What the client may write and leaves out is
//! cleared; what only the server writes, what is written once and what is never read stays, and what is
//! secret too.

use serde_json::{Map, Value};

use super::normalise::{comparable, identity};
use super::validate::{check_whole, read_body};
use super::{Notes, Spot, Strictness, normalise};
use crate::Error;
use crate::filter::NOTES;
use crate::schema::{Attribute, Definition, Mutability};

/// Reads the body of a PUT against the current canonical document and returns the new one.
///
/// Errors: those of [`validate`](super::validate), and 400 mutability when an immutable attribute that has a value is
/// given another one.
pub fn replace(
    def: &Definition,
    current: &Map<String, Value>,
    body: &Value,
    strictness: Strictness,
    notes: &mut Notes,
) -> Result<Map<String, Value>, Error> {
    let mut doc = read_body(def, body, strictness, notes)?;
    for attribute in def.attributes().filter(|attribute| attribute.name != "schemas") {
        keep(attribute, current, &mut doc, Spot::of(None, attribute))?;
    }
    for (schema, _) in &def.extensions {
        let Some(Value::Object(current)) = current.get(&schema.id) else { continue };
        let mut fields = match doc.remove(&schema.id) {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        for attribute in &schema.attributes {
            keep(attribute, current, &mut fields, Spot::of(Some(schema), attribute))?;
        }
        doc.insert(schema.id.clone(), Value::Object(fields));
    }
    if let Some(notes) = current.get(NOTES) {
        doc.insert(NOTES.to_owned(), notes.clone());
    }
    normalise(def, &mut doc);
    check_whole(def, &doc, false)?;
    Ok(doc)
}

/// Carries over from the current container what a replacement does not touch.
pub(crate) fn keep(
    attribute: &Attribute,
    current: &Map<String, Value>,
    next: &mut Map<String, Value>,
    spot: Spot<'_>,
) -> Result<(), Error> {
    let Some(old) = current.get(&attribute.name) else { return Ok(()) };
    match attribute.mutability {
        Mutability::ReadOnly => {
            next.insert(attribute.name.clone(), old.clone());
        }
        Mutability::WriteOnly => {
            next.entry(attribute.name.clone()).or_insert_with(|| old.clone());
        }
        // Nobody who reads a resource and puts it back has seen it.
        Mutability::ReadWrite if attribute.secret => {
            next.entry(attribute.name.clone()).or_insert_with(|| old.clone());
        }
        Mutability::Immutable => {
            if next.get(&attribute.name).is_some_and(|new| !is_same(attribute, old, new)) {
                return Err(immutable(spot));
            }
            next.insert(attribute.name.clone(), old.clone());
        }
        Mutability::ReadWrite => match (old, next.get_mut(&attribute.name)) {
            (Value::Object(old), new) if !attribute.multi_valued => {
                let mut object = match new {
                    Some(Value::Object(object)) => std::mem::take(object),
                    _ => Map::new(),
                };
                keep_subs(attribute, old, &mut object, spot)?;
                if !object.is_empty() {
                    next.insert(attribute.name.clone(), Value::Object(object));
                }
            }
            (Value::Array(old), Some(Value::Array(new))) if attribute.is_complex() => {
                for element in new.iter_mut() {
                    let same = identity(attribute, element);
                    let known = old.iter().find(|known| identity(attribute, known) == same);
                    if let (Some(Value::Object(known)), Value::Object(element)) = (known, element) {
                        carry_read_only(attribute, known, element);
                    }
                }
            }
            _ => {}
        },
    }
    Ok(())
}

/// The same within one object.
pub(crate) fn keep_subs(
    attribute: &Attribute,
    old: &Map<String, Value>,
    new: &mut Map<String, Value>,
    spot: Spot<'_>,
) -> Result<(), Error> {
    let was_given = !new.is_empty();
    for sub in &attribute.sub_attributes {
        if sub.mutability == Mutability::Immutable || (was_given && sub.mutability == Mutability::WriteOnly) {
            keep(sub, old, new, Spot::Sub(&spot, &sub.name))?;
        }
    }
    carry_read_only(attribute, old, new);
    Ok(())
}

/// What the server set beside a `value` stays as long as the value does.
fn carry_read_only(attribute: &Attribute, old: &Map<String, Value>, new: &mut Map<String, Value>) {
    if new.is_empty() || old.get("value") != new.get("value") {
        return;
    }
    for sub in attribute.sub_attributes.iter().filter(|sub| sub.mutability == Mutability::ReadOnly) {
        if let Some(value) = old.get(&sub.name) {
            new.insert(sub.name.clone(), value.clone());
        }
    }
}

/// 400 mutability: the attribute has its value for good.
pub(crate) fn immutable(spot: Spot<'_>) -> Error {
    Error::mutability(format!("{spot} cannot be changed once it is set."))
}

/// Whether two values of an attribute are the same under its rules of case; sub-attributes that only the server sets
/// do not count.
pub fn is_same(attribute: &Attribute, old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            attribute.sub_attributes.iter().filter(|sub| sub.mutability != Mutability::ReadOnly).all(|sub| {
                match (old.get(&sub.name), new.get(&sub.name)) {
                    (Some(old), Some(new)) => is_same(sub, old, new),
                    (old, new) => old.is_none() && new.is_none(),
                }
            })
        }
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().all(|old| new.iter().any(|new| is_same(attribute, old, new)))
        }
        (old, new) => comparable(attribute, old) == comparable(attribute, new),
    }
}
