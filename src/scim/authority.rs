//! What of a resource a client may write: attributes, sub-attributes, extensions, and the elements of a multi-valued
//! attribute that a filter selects, such as `phoneNumbers[type eq "mobile"]`.
//!
//! Authority is asked of the document before an operation and the one that the operation would make of it:
//! [`Authority::hold`] says which paths changed that are not the client's to change, and makes the document in which
//! they have not. A value outside that comes back as it is has not changed. `schemas`, `id` and `meta` are the server's
//! business and `externalId` is each client's own name for a resource; neither is ever outside. What the client may not
//! see is not asked here.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::Error;
use crate::filter::{Checked, Filter};
use crate::path::PatchPath;
use crate::resource::is_same;
use crate::schema::{Attribute, Definition, Mutability};

/// Attributes that are nobody's to have authority over.
const FREE: [&str; 4] = ["schemas", "id", "externalId", "meta"];

/// What it means that a value outside the authority is not in the new document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Nothing: the client speaks of its own part of the resource (PUT).
    Silence,
    /// It is to be taken away (PATCH).
    Removal,
}

/// The paths of one resource type that a client may write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authority {
    paths: Vec<Path>,
}

#[derive(Clone, Debug, PartialEq)]
struct Path {
    /// As it was written, with names in the schema's own case.
    shown: String,
    /// The extension it lies in.
    extension: Option<String>,
    /// The attribute; `None`: all of the extension.
    attribute: Option<String>,
    /// Of a multi-valued attribute the elements that fit; `None`: all.
    filter: Option<Filter<Checked>>,
    sub: Option<String>,
}

/// What a client may write of a value.
#[derive(Debug, PartialEq)]
enum Grant {
    All,
    /// Some sub-attributes, or nothing.
    Subs(BTreeSet<String>),
}

impl Grant {
    fn is_all(&self) -> bool {
        matches!(self, Grant::All)
    }
}

impl Authority {
    /// Reads paths against a resource type. Fails with 400 invalidPath for one that leads nowhere, or to what no client
    /// writes.
    pub fn parse<'p>(definition: &Definition, paths: impl IntoIterator<Item = &'p str>) -> Result<Self, Error> {
        let paths = paths.into_iter().map(|path| read(definition, path)).collect::<Result<_, _>>()?;
        Ok(Authority { paths })
    }

    /// The paths, as sentences show them.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|path| path.shown.as_str())
    }

    /// Whether all of an attribute may be written, by its name in the core schema.
    pub fn covers(&self, attribute: &str) -> bool {
        FREE.contains(&attribute) || self.of(None, attribute, None).is_all()
    }

    /// Compares two canonical documents. Answers `after` with all that is outside as it was `before`, and the paths of
    /// what would have changed there, each once.
    pub fn hold(
        &self,
        definition: &Definition,
        before: &Map<String, Value>,
        mut after: Map<String, Value>,
        absence: Absence,
    ) -> (Map<String, Value>, Vec<String>) {
        let mut changed = Vec::new();
        for attribute in definition.core.attributes.iter() {
            self.hold_attribute(None, attribute, before, &mut after, absence, &mut changed);
        }
        let nothing = Map::new();
        for (schema, _) in &definition.extensions {
            let fields = |document: &Map<String, Value>| match document.get(&schema.id) {
                Some(Value::Object(fields)) => Some(fields.clone()),
                _ => None,
            };
            let (old, new) = (fields(before), fields(&after));
            if old.is_none() && new.is_none() {
                continue;
            }
            let (old, mut held) = (old.as_ref().unwrap_or(&nothing), new.unwrap_or_default());
            for attribute in &schema.attributes {
                self.hold_attribute(Some(&schema.id), attribute, old, &mut held, absence, &mut changed);
            }
            match held.is_empty() {
                true => drop(after.shift_remove(&schema.id)),
                false => drop(after.insert(schema.id.clone(), Value::Object(held))),
            }
        }
        (after, changed)
    }

    fn hold_attribute(
        &self,
        extension: Option<&str>,
        attribute: &Attribute,
        before: &Map<String, Value>,
        after: &mut Map<String, Value>,
        absence: Absence,
        changed: &mut Vec<String>,
    ) {
        let name = attribute.name.as_str();
        // What only the server writes is never the client's change.
        if attribute.mutability == Mutability::ReadOnly || (extension.is_none() && FREE.contains(&name)) {
            return;
        }
        if !before.contains_key(name) && !after.contains_key(name) {
            return;
        }
        let mut note = |path: String| {
            if !changed.contains(&path) {
                changed.push(path);
            }
        };
        let path = match extension {
            Some(urn) => format!("{urn}:{name}"),
            None => name.to_owned(),
        };
        let held = if attribute.multi_valued {
            let (held, is_changed) =
                self.hold_elements(extension, attribute, before.get(name), after.get(name), absence);
            if is_changed {
                note(path);
            }
            held
        } else {
            match self.of(extension, name, None) {
                Grant::All => return,
                Grant::Subs(subs) if attribute.is_complex() && !subs.is_empty() => {
                    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
                    let (old, mut new) = (object(before.get(name)), object(after.get(name)));
                    for sub in attribute.sub_attributes.iter().filter(|sub| !subs.contains(&sub.name)) {
                        if sub.mutability != Mutability::ReadOnly
                            && differs(sub, old.get(&sub.name), new.get(&sub.name), absence)
                        {
                            note(format!("{path}.{}", sub.name));
                        }
                        put(&mut new, &sub.name, old.get(&sub.name));
                    }
                    (!new.is_empty()).then_some(Value::Object(new))
                }
                Grant::Subs(_) => {
                    if differs(attribute, before.get(name), after.get(name), absence) {
                        note(path);
                    }
                    before.get(name).cloned()
                }
            }
        };
        put(after, name, held.as_ref());
    }

    /// The same for the elements of a multi-valued attribute: each belongs to who may write it.
    fn hold_elements(
        &self,
        extension: Option<&str>,
        attribute: &Attribute,
        before: Option<&Value>,
        after: Option<&Value>,
        absence: Absence,
    ) -> (Option<Value>, bool) {
        let elements = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let mut others: Vec<(usize, Value, Grant)> = elements(before)
            .into_iter()
            .enumerate()
            .map(|(place, element)| {
                let grant = self.of_element(extension, attribute, &element);
                (place, element, grant)
            })
            .filter(|(.., grant)| !grant.is_all())
            .collect();
        let (mut held, mut is_changed) = (Vec::new(), false);
        for element in elements(after) {
            let grant = self.of_element(extension, attribute, &element);
            let Grant::Subs(subs) = &grant else {
                held.push(element);
                continue;
            };
            let rest = without(&element, subs);
            let same = others.iter().position(|(_, other, of_other)| match of_other {
                Grant::Subs(of_other) => is_same(attribute, &without(other, of_other), &rest),
                Grant::All => false,
            });
            match same {
                Some(place) => {
                    let (_, other, of_other) = others.remove(place);
                    held.push(with_subs_of(other, &element, subs, &of_other));
                }
                None => is_changed = true,
            }
        }
        // What nobody spoke of, or was to go and may not.
        is_changed |= !others.is_empty() && absence == Absence::Removal;
        for (place, other, _) in others {
            held.insert(place.min(held.len()), other);
        }
        ((!held.is_empty()).then_some(Value::Array(held)), is_changed)
    }

    fn of_element(&self, extension: Option<&str>, attribute: &Attribute, element: &Value) -> Grant {
        match self.of(extension, &attribute.name, Some(element)) {
            // Nothing of it is anybody else's.
            Grant::Subs(subs)
                if element
                    .as_object()
                    .is_some_and(|object| !object.is_empty() && object.keys().all(|name| subs.contains(name))) =>
            {
                Grant::All
            }
            grant => grant,
        }
    }

    /// What may be written of an attribute, or of one element of it.
    fn of(&self, extension: Option<&str>, attribute: &str, element: Option<&Value>) -> Grant {
        let mut subs = BTreeSet::new();
        for path in self.paths.iter().filter(|path| path.extension.as_deref() == extension) {
            let Some(name) = &path.attribute else { return Grant::All };
            if name != attribute {
                continue;
            }
            match (&path.filter, element) {
                (None, _) => {}
                (Some(filter), Some(element)) if filter.matches_element(element) => {}
                (Some(_), _) => continue,
            }
            match &path.sub {
                None => return Grant::All,
                Some(sub) => drop(subs.insert(sub.clone())),
            }
        }
        Grant::Subs(subs)
    }
}

fn read(definition: &Definition, text: &str) -> Result<Path, Error> {
    let unknown = || Error::invalid_path(format!("{} has no attribute {text}.", definition.name()));
    // The URN of an extension may have a version with a dot in it, which is no attribute's.
    let path = match definition.extension(text) {
        Some(extension) => PatchPath { attr: extension.id.clone(), filter: None, sub: None },
        None => PatchPath::parse(text)?,
    };
    let place = definition.resolve(&path.attr).ok_or_else(unknown)?;
    let canonical = place.canonical();
    let extension = place.extension.map(|schema| schema.id.clone());
    let Some(attribute) = place.attribute else {
        return Ok(Path { shown: canonical, extension, attribute: None, filter: None, sub: None });
    };
    let sub = match &path.sub {
        Some(name) => Some(attribute.sub(name).ok_or_else(unknown)?),
        None => place.sub,
    };
    let is_written = |attribute: &Attribute| attribute.mutability != Mutability::ReadOnly;
    if !is_written(attribute) || !sub.is_none_or(is_written) {
        return Err(Error::invalid_path(format!("{text} is written by the server alone.")));
    }
    let (mut shown, mut filter) = (canonical, None);
    if let Some(written) = path.filter {
        if !attribute.multi_valued || place.sub.is_some() {
            return Err(Error::invalid_path(format!("{text}: only an attribute with several values can be filtered.")));
        }
        shown = format!("{shown}[{written}]");
        filter = Some(written.check_element(attribute)?);
        if let Some(sub) = sub {
            shown = format!("{shown}.{}", sub.name);
        }
    }
    Ok(Path { shown, extension, attribute: Some(attribute.name.clone()), filter, sub: sub.map(|sub| sub.name.clone()) })
}

fn differs(attribute: &Attribute, before: Option<&Value>, after: Option<&Value>, absence: Absence) -> bool {
    match (before, after) {
        (None, None) => false,
        (Some(before), Some(after)) => !is_same(attribute, before, after),
        (Some(_), None) => absence == Absence::Removal,
        (None, Some(_)) => true,
    }
}

fn put(container: &mut Map<String, Value>, name: &str, value: Option<&Value>) {
    match value {
        Some(value) => drop(container.insert(name.to_owned(), value.clone())),
        None => drop(container.shift_remove(name)),
    }
}

/// The element as far as it is somebody else's.
fn without(element: &Value, subs: &BTreeSet<String>) -> Value {
    match element {
        Value::Object(object) => {
            let rest = object.iter().filter(|(name, _)| !subs.contains(*name));
            Value::Object(rest.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}

/// The element as it was, with what the client may write of it as it shall be.
fn with_subs_of(mut element: Value, new: &Value, subs: &BTreeSet<String>, of_old: &Grant) -> Value {
    if let (Value::Object(element), Value::Object(new)) = (&mut element, new) {
        if let Grant::Subs(old) = of_old {
            old.iter().for_each(|sub| drop(element.shift_remove(sub)));
        }
        for sub in subs {
            put(element, sub, new.get(sub));
        }
    }
    element
}

#[cfg(test)]
mod tests;
