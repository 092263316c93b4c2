//! Operations on the elements that a value filter selects: `attr[filter]` and `attr[filter].sub` (RFC 7644 section
//! 3.5.2).

use serde_json::{Map, Value, json};

use super::Verb;
use super::apply::{Change, leave, make_primary, merge};
use super::parse::describe;
use crate::Error;
use crate::filter::{Checked, Filter};
use crate::resource::{Spot, Strictness, comparable, immutable, is_same, keep_subs, read_primary};
use crate::schema::{Attribute, Mutability};

impl Change<'_, '_> {
    /// Changes the selected elements.
    pub(super) fn run_elements(&mut self, container: &mut Map<String, Value>) -> Result<(), Error> {
        let Some(filter) = &self.operation.filter else { return Ok(()) };
        let mut elements = match container.get_mut(&self.attribute.name) {
            Some(Value::Array(elements)) => std::mem::take(elements),
            _ => Vec::new(),
        };
        let mut selected: Vec<usize> = (0..elements.len())
            .filter(|at| elements.get(*at).is_some_and(|element| selects(filter, self.attribute, element)))
            .collect();
        if self.attribute.mutability == Mutability::Immutable && !selected.is_empty() {
            return Err(immutable(self.spot));
        }
        if selected.len() > 1 && self.operation.strictness == Strictness::Strict {
            return Err(Error::invalid_filter(format!(
                "the value filter selects {} values of {}. Choose one.",
                selected.len(),
                self.spot
            )));
        }
        if selected.is_empty() {
            let element = self.make(filter).ok_or_else(|| self.no_target())?;
            self.notes.note("absent-element");
            selected.push(elements.len());
            elements.push(Value::Object(element));
        }
        let sub = self.operation.sub.as_deref().and_then(|name| self.attribute.sub(name));
        match (self.operation.verb, sub) {
            (Verb::Remove, None) => {
                let mut at = 0;
                elements.retain(|_| {
                    at += 1;
                    !selected.contains(&(at - 1))
                });
            }
            (_, Some(sub)) => self.set_sub(sub, &mut elements, &selected)?,
            (_, None) => self.set_elements(&mut elements, &selected)?,
        }
        elements.retain(|element| element.as_object().is_none_or(|object| !object.is_empty()));
        container.insert(self.attribute.name.clone(), Value::Array(elements));
        leave(self.attribute, self.spot, container)
    }

    fn set_sub(&self, sub: &Attribute, elements: &mut [Value], selected: &[usize]) -> Result<(), Error> {
        for &at in selected {
            let Some(Value::Object(object)) = elements.get_mut(at) else { continue };
            self.set(sub, Spot::Sub(&Spot::Element(&self.spot, at), &sub.name), object)?;
        }
        if sub.name == "primary" && self.operation.value == Some(Value::Bool(true)) {
            self.make_one_primary(elements, selected);
        }
        Ok(())
    }

    fn set_elements(&self, elements: &mut [Value], selected: &[usize]) -> Result<(), Error> {
        let Some(value) = &self.operation.value else { return Ok(()) };
        for &at in selected {
            let spot = Spot::Element(&self.spot, at);
            match (elements.get_mut(at), value) {
                (Some(Value::Object(object)), Value::Object(given)) if self.operation.verb == Verb::Add => {
                    merge(self.attribute, object, given, spot)?;
                }
                (Some(Value::Object(object)), Value::Object(given)) => {
                    let mut next = given.clone();
                    keep_subs(self.attribute, object, &mut next, spot)?;
                    *object = next;
                }
                (Some(element), value) => *element = value.clone(),
                (None, _) => {}
            }
        }
        if read_primary(value) {
            self.make_one_primary(elements, selected);
        }
        Ok(())
    }

    fn make_one_primary(&self, elements: &mut [Value], selected: &[usize]) {
        if let Some(&last) = selected.last() {
            make_primary(elements, last);
        }
    }

    /// The element that the filter describes, for clients that expect it to come into being.
    fn make(&self, filter: &Filter<Checked>) -> Option<Map<String, Value>> {
        let operation = self.operation;
        let may_make = match operation.verb {
            Verb::Add => true,
            Verb::Replace => operation.sub.is_some(),
            Verb::Remove => false,
        };
        if !may_make || operation.strictness == Strictness::Strict || !self.attribute.is_complex() {
            return None;
        }
        let is_writable =
            |name: &str| self.attribute.sub(name).is_some_and(|sub| sub.mutability != Mutability::ReadOnly);
        describe(filter).filter(|element| element.keys().all(|name| is_writable(name)))
    }

    fn no_target(&self) -> Error {
        Error::no_target(format!("the value filter selects no value of {}.", self.spot))
    }
}

/// Values that are not complex are looked at as if they were objects with a `value`.
fn selects(filter: &Filter<Checked>, attribute: &Attribute, element: &Value) -> bool {
    if attribute.is_complex() {
        filter.matches_element(element)
    } else {
        filter.matches_element(&json!({ "value": element }))
    }
}

/// What an element says, each part as a text that is equal for equal values; a value that is not complex says `value`.
pub(super) fn read_traits<'a>(attribute: &'a Attribute, element: &Value) -> Vec<(&'a str, String)> {
    let Value::Object(object) = element else { return vec![("value", comparable(attribute, element))] };
    let part = |sub: &'a Attribute| Some((sub.name.as_str(), comparable(sub, object.get(&sub.name)?)));
    attribute.sub_attributes.iter().filter_map(part).collect()
}

/// Whether an element that is to be removed by value means this one: the same value, and the same type if it has one;
/// without a value, the same in all that it says.
pub(super) fn is_meant(given: &[(&str, String)], element: &[(&str, String)]) -> bool {
    let has_value = given.iter().any(|(name, _)| *name == "value");
    given.iter().filter(|(name, _)| !has_value || matches!(*name, "value" | "type")).all(|part| element.contains(part))
}

/// 400 mutability when an element that is given again differs in what is written once.
pub(super) fn guard(attribute: &Attribute, element: &Value, given: &Value, spot: Spot<'_>) -> Result<(), Error> {
    for sub in attribute.sub_attributes.iter().filter(|sub| sub.mutability == Mutability::Immutable) {
        let differs =
            element.get(&sub.name).zip(given.get(&sub.name)).is_some_and(|(old, new)| !is_same(sub, old, new));
        if differs {
            return Err(immutable(Spot::Sub(&spot, &sub.name)));
        }
    }
    Ok(())
}
