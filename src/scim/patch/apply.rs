//! Carries operations out on a document (RFC 7644 sections 3.5.2.1 to 3.5.2.3): in order, on a copy, so that a failure
//! leaves nothing behind. The result is canonical; where nothing changed it is the document that came in.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Operation, Verb, element, within};
use crate::Error;
use crate::resource::{
    Notes, Spot, Strictness, absorb, check_whole, equals, identity, immutable, is_same, keep, normalise, read_primary,
    set_secondary,
};
use crate::schema::{Attribute, Definition, Mutability};

/// Applies operations to a canonical document and returns the new canonical document, equal to the old one (in the
/// order of names too) when nothing changed.
///
/// Errors, each naming its operation: 400 noTarget when a value filter selects nothing, mutability when an immutable
/// value would change or a required one would go, invalidValue when the result lacks something required.
pub fn apply(
    def: &Definition,
    doc: &Map<String, Value>,
    ops: &[Operation],
    notes: &mut Notes,
) -> Result<Map<String, Value>, Error> {
    let mut next = doc.clone();
    for operation in ops {
        step(def, &mut next, operation, notes).map_err(|error| within(operation.index, &error))?;
    }
    normalise(def, &mut next);
    if equals(&next, doc) {
        return Ok(doc.clone());
    }
    check_whole(def, &next, false)?;
    Ok(next)
}

fn step(def: &Definition, doc: &mut Map<String, Value>, operation: &Operation, notes: &mut Notes) -> Result<(), Error> {
    let lost = || Error::invalid_path(format!("{} is not an attribute of {}.", operation.attribute(), def.name()));
    let Some(urn) = &operation.extension else {
        let attribute = operation.attribute.as_deref().and_then(|name| def.attribute(name)).ok_or_else(lost)?;
        return Change { operation, attribute, spot: Spot::of(None, attribute), notes }.run(doc);
    };
    let schema = def.extension(urn).ok_or_else(lost)?;
    let mut fields = match doc.remove(urn) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    match &operation.attribute {
        None => {
            if def.extensions.iter().any(|(known, required)| *required && known.id == *urn) {
                return Err(Error::mutability(format!("{urn} is required and cannot be removed.")));
            }
            let is_kept =
                |known: &&Attribute| known.mutability == Mutability::Immutable && fields.contains_key(&known.name);
            if let Some(attribute) = schema.attributes.iter().find(is_kept) {
                return Err(immutable(Spot::of(Some(schema), attribute)));
            }
            fields.retain(|name, _| schema.attribute(name).is_some_and(|a| a.mutability == Mutability::ReadOnly));
        }
        Some(name) => {
            let attribute = schema.attribute(name).ok_or_else(lost)?;
            Change { operation, attribute, spot: Spot::of(Some(schema), attribute), notes }.run(&mut fields)?;
        }
    }
    if !fields.is_empty() {
        doc.insert(urn.clone(), Value::Object(fields));
    }
    Ok(())
}

/// One operation on one attribute, within the object that holds it.
pub(super) struct Change<'o, 'n> {
    pub(super) operation: &'o Operation,
    pub(super) attribute: &'o Attribute,
    pub(super) spot: Spot<'o>,
    pub(super) notes: &'n mut Notes,
}

impl Change<'_, '_> {
    fn run(mut self, container: &mut Map<String, Value>) -> Result<(), Error> {
        if self.operation.filter.is_some() {
            return self.run_elements(container);
        }
        let Some(sub) = self.operation.sub.as_deref().and_then(|name| self.attribute.sub(name)) else {
            return self.set(self.attribute, self.spot, container);
        };
        let mut object = match container.get_mut(&self.attribute.name) {
            Some(Value::Object(object)) => std::mem::take(object),
            _ => Map::new(),
        };
        let before = object.get("value").cloned();
        self.set(sub, Spot::Sub(&self.spot, &sub.name), &mut object)?;
        forget_derived(self.attribute, before.as_ref(), &mut object, |name| name == sub.name);
        if object.is_empty() {
            container.remove(&self.attribute.name);
        } else {
            container.insert(self.attribute.name.clone(), Value::Object(object));
        }
        Ok(())
    }

    /// Sets, adds to or removes an attribute or sub-attribute as a whole.
    pub(super) fn set(
        &self,
        attribute: &Attribute,
        spot: Spot<'_>,
        container: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let Some(value) = &self.operation.value else {
            if attribute.mutability == Mutability::Immutable && container.contains_key(&attribute.name) {
                return Err(immutable(spot));
            }
            container.remove(&attribute.name);
            return Ok(());
        };
        let merges = match self.operation.verb {
            Verb::Remove => return self.remove_equal(attribute, spot, container, value),
            Verb::Add => true,
            Verb::Replace => self.operation.strictness == Strictness::Tolerant && !attribute.multi_valued,
        };
        match (container.get_mut(&attribute.name), value) {
            (Some(Value::Array(elements)), Value::Array(added)) if merges => append(attribute, elements, added, spot),
            (Some(Value::Object(object)), Value::Object(given)) if merges => {
                if attribute.mutability == Mutability::Immutable {
                    return match given.iter().all(|(name, value)| object.get(name) == Some(value)) {
                        true => Ok(()),
                        false => Err(immutable(spot)),
                    };
                }
                merge(attribute, object, given, spot)
            }
            _ => {
                let mut next = Map::from_iter([(attribute.name.clone(), value.clone())]);
                keep(attribute, container, &mut next, spot)?;
                container.extend(next);
                Ok(())
            }
        }
    }

    /// Removes the elements that are given by value; those that are not there are no error.
    fn remove_equal(
        &self,
        attribute: &Attribute,
        spot: Spot<'_>,
        container: &mut Map<String, Value>,
        value: &Value,
    ) -> Result<(), Error> {
        let Some(Value::Array(elements)) = container.get_mut(&attribute.name) else { return Ok(()) };
        let given = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let given: Vec<_> = given.iter().map(|given| element::read_traits(attribute, given)).collect();
        let before = elements.len();
        elements.retain(|element| {
            let traits = element::read_traits(attribute, element);
            !given.iter().any(|given| element::is_meant(given, &traits))
        });
        if elements.len() < before && attribute.mutability == Mutability::Immutable {
            return Err(immutable(spot));
        }
        leave(attribute, spot, container)
    }
}

/// Takes away an array that lost its last element, unless it is required.
pub(super) fn leave(attribute: &Attribute, spot: Spot<'_>, container: &mut Map<String, Value>) -> Result<(), Error> {
    let is_empty = container.get(&attribute.name).and_then(Value::as_array).is_some_and(Vec::is_empty);
    if is_empty && attribute.required {
        return Err(Error::mutability(format!("{spot} is required and cannot be removed.")));
    }
    if is_empty {
        container.remove(&attribute.name);
    }
    Ok(())
}

/// Appends what is not there; an element that is there takes over what the given one says besides type and value.
fn append(attribute: &Attribute, elements: &mut Vec<Value>, added: &[Value], spot: Spot<'_>) -> Result<(), Error> {
    let known = elements.iter().enumerate().map(|(at, element)| (identity(attribute, element), at));
    let mut known: HashMap<String, usize> = known.collect();
    let is_fixed = attribute.mutability == Mutability::Immutable;
    for given in added {
        let at = *known.entry(identity(attribute, given)).or_insert(elements.len());
        match elements.get_mut(at) {
            Some(element) if is_fixed => {
                if !is_same(attribute, element, given) {
                    return Err(immutable(spot));
                }
            }
            Some(element) => {
                element::guard(attribute, element, given, Spot::Element(&spot, at))?;
                absorb(element, given.clone());
            }
            None if is_fixed => return Err(immutable(spot)),
            None => elements.push(given.clone()),
        }
        if read_primary(given) {
            make_primary(elements, at);
        }
    }
    Ok(())
}

/// One element becomes the primary one, so no other is (RFC 7644 section 3.5.2).
pub(super) fn make_primary(elements: &mut [Value], chosen: usize) {
    for (at, element) in elements.iter_mut().enumerate() {
        if at != chosen && read_primary(element) {
            set_secondary(element);
        }
    }
}

/// Sets the given sub-attributes and leaves the others (RFC 7644 section 3.5.2.3).
pub(super) fn merge(
    attribute: &Attribute,
    object: &mut Map<String, Value>,
    given: &Map<String, Value>,
    spot: Spot<'_>,
) -> Result<(), Error> {
    let before = object.get("value").cloned();
    for (name, value) in given {
        let fixed = attribute.sub(name).filter(|sub| sub.mutability == Mutability::Immutable).zip(object.get(name));
        match fixed {
            Some((sub, old)) if !is_same(sub, old, value) => return Err(immutable(Spot::Sub(&spot, name))),
            Some(_) => {}
            None => {
                object.insert(name.clone(), value.clone());
            }
        }
    }
    forget_derived(attribute, before.as_ref(), object, |name| given.contains_key(name));
    Ok(())
}

/// When a `value` changes, its `$ref` and what the server set beside it spoke of the old one.
fn forget_derived(
    attribute: &Attribute,
    before: Option<&Value>,
    object: &mut Map<String, Value>,
    is_given: impl Fn(&str) -> bool,
) {
    if before.is_none() || before == object.get("value") {
        return;
    }
    for sub in &attribute.sub_attributes {
        if !is_given(&sub.name) && (sub.name == "$ref" || sub.mutability == Mutability::ReadOnly) {
            object.remove(&sub.name);
        }
    }
}
