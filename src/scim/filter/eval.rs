//! Testing documents in canonical form. The one meaning of a filter: whatever an index proposes has passed here.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Checked, Filter, Op, Operand, Target};
use crate::key;

impl Filter<Checked> {
    /// Whether a document in canonical form fits.
    pub fn matches(&self, document: &Map<String, Value>) -> bool {
        self.holds(Scope::Document(document))
    }

    /// Whether one element of the attribute that the filter was checked for fits (see [`Filter::check_element`]).
    pub fn matches_element(&self, element: &Value) -> bool {
        self.holds(Scope::Element(element))
    }

    /// The canonical paths that the answer depends on, value paths with their attribute and their sub-attributes.
    pub fn attributes(&self) -> BTreeSet<&str> {
        let mut paths = BTreeSet::new();
        self.collect(&mut paths);
        paths
    }

    /// The names of the top-level attributes and extensions that the answer depends on: [`Filter::matches`] says the same
    /// of a document that has these alone.
    pub fn tops(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.collect_tops(&mut names);
        names
    }

    fn collect_tops<'f>(&'f self, names: &mut BTreeSet<&'f str>) {
        match self {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| part.collect_tops(names)),
            Filter::Not(part) => part.collect_tops(names),
            // What stands within the brackets lies in the same attribute.
            Filter::Present(target) | Filter::Compare(target, ..) | Filter::Element(target, _) => {
                names.extend(target.tops());
            }
            Filter::Const(_) => {}
        }
    }

    fn collect<'f>(&'f self, paths: &mut BTreeSet<&'f str>) {
        match self {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| part.collect(paths)),
            Filter::Not(part) => part.collect(paths),
            Filter::Present(target) | Filter::Compare(target, ..) => {
                paths.insert(&target.canonical);
            }
            Filter::Element(target, part) => {
                paths.insert(&target.canonical);
                part.collect(paths);
            }
            Filter::Const(_) => {}
        }
    }

    fn holds(&self, scope: Scope<'_>) -> bool {
        match self {
            Filter::And(parts) => parts.iter().all(|part| part.holds(scope)),
            Filter::Or(parts) => parts.iter().any(|part| part.holds(scope)),
            Filter::Not(part) => !part.holds(scope),
            Filter::Present(target) => scope.any(target, is_present),
            Filter::Compare(target, Op::Ne, operand) => {
                !scope.any(target, |value| fits(value, target, Op::Eq, operand))
            }
            Filter::Compare(target, op, operand) => scope.any(target, |value| fits(value, target, *op, operand)),
            Filter::Element(target, part) => scope.any(target, |element| part.holds(Scope::Element(element))),
            Filter::Const(value) => *value,
        }
    }
}

/// What paths are relative to.
#[derive(Clone, Copy)]
pub(super) enum Scope<'d> {
    Document(&'d Map<String, Value>),
    Element(&'d Value),
}

impl<'d> Scope<'d> {
    /// The whole attribute of a target, or within an element the sub-attribute.
    pub(super) fn attribute(self, target: &Target) -> Option<&'d Value> {
        match self {
            Scope::Document(document) => match &target.extension {
                Some(urn) => document.get(&**urn)?.get(&*target.attr),
                None => document.get(&*target.attr),
            },
            Scope::Element(element) => element.get(target.sub.as_deref()?),
        }
    }

    /// Whether some value of the target passes the test.
    pub(super) fn any(self, target: &Target, mut test: impl FnMut(&Value) -> bool) -> bool {
        if let (Some(mapping), Scope::Document(document)) = (&target.mapping, self) {
            return mapping.value(document).is_some_and(|value| test(&value));
        }
        let Some(attribute) = self.attribute(target) else { return false };
        match (self, target.sub.as_deref()) {
            (Scope::Document(_), Some(sub)) => {
                each(attribute, &mut |element| element.get(sub).is_some_and(|value| each(value, &mut test)))
            }
            _ => each(attribute, &mut test),
        }
    }
}

fn each(value: &Value, test: &mut impl FnMut(&Value) -> bool) -> bool {
    match value {
        Value::Array(values) => values.iter().any(test),
        single => test(single),
    }
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => values.iter().any(is_present),
        Value::Object(members) => members.values().any(is_present),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Whether a value stands to the operand as the operator says.
pub(crate) fn fits(value: &Value, target: &Target, op: Op, operand: &Operand) -> bool {
    let Some(key) = key::borrowed(value, target.kind, target.rule) else { return false };
    let (key, wanted) = (key.as_ref(), operand.key.as_str());
    match op {
        Op::Eq => key == wanted,
        Op::Ne => key != wanted,
        Op::Co => key.contains(wanted),
        Op::Sw => key.starts_with(wanted),
        Op::Ew => key.ends_with(wanted),
        Op::Gt => key > wanted,
        Op::Ge => key >= wanted,
        Op::Lt => key < wanted,
        Op::Le => key <= wanted,
    }
}
