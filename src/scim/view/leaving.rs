//! Resources that have left a view and are still seen through it for a while, as inactive ones: whatever is stored of them,
//! `active` is `false` to who looks through this view, wherever it can be asked about. Who they are is told by the stored
//! document, by a note that a write has left in it ([`NOTES`]); nothing here knows the time.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{SCHEMAS, Text, View, read_by};
use crate::filter::{Checked, Filter, NOTED_VIEW, NOTES, Op, Operand, Target, fits};
use crate::key;
use crate::schema::Definition;

/// What they are shown without.
pub(super) const ACTIVE: &str = "active";

/// Who has left and is still seen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaving {
    who: Filter<Checked>,
    /// What of a stored document tells it.
    read: BTreeSet<String>,
}

/// The filter of resources that have left this view and are still seen through it, as notes in their documents say.
pub fn noted(view: &str) -> Filter<Checked> {
    let (target, raw) = (Target::noted(), Value::String(view.to_owned()));
    match key::of(&raw, target.kind, target.rule) {
        Some(key) => Filter::Compare(target, Op::Eq, Operand { key, raw }),
        None => Filter::Const(false),
    }
}

/// Whether a stored document says that the resource has left this view and is still seen through it.
pub fn is_noted(document: &Map<String, Value>, view: &str) -> bool {
    let notes = document.get(NOTES).and_then(Value::as_array).into_iter().flatten();
    notes.filter_map(|note| note.get(NOTED_VIEW)).any(|noted| noted == view)
}

impl View {
    /// The same, where resources that fit `who` are shown as inactive. `who` asks about the stored document alone, else
    /// nothing is seen of the type. That they are seen at all is the filter's business.
    pub fn leaving(mut self, definition: &Definition, who: Filter<Checked>) -> Self {
        let Some(read) = read_by(&who, definition) else { return View::nothing() };
        self.leaving = Some(Arc::new(Leaving { who, read }));
        self
    }

    /// Whether a resource is shown as inactive whatever is stored of it, by its whole document.
    pub(super) fn has_left(&self, document: &Map<String, Value>) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.who.matches(document))
    }

    pub(super) fn has_left_by_text(&self, text: &Text<'_>) -> Result<bool, serde_json::Error> {
        match &self.leaving {
            Some(leaving) => Ok(leaving.who.matches(&text.part(&leaving.read)?)),
            None => Ok(false),
        }
    }

    /// Whether what is stored there is not what every client of the view sees there.
    pub(super) fn may_differ(&self, path: &str) -> bool {
        self.leaving.is_some() && path == ACTIVE
    }

    /// Where it stands tells nothing of what is stored: behind `schemas`, whether there is a value or not.
    pub(super) fn show_inactive(&self, document: &mut Map<String, Value>) {
        if self.sees_all(ACTIVE) {
            document.shift_remove(ACTIVE);
            let place = document.keys().position(|name| name == SCHEMAS).map_or(0, |place| place + 1);
            document.shift_insert(place, ACTIVE.to_owned(), Value::Bool(false));
        }
    }

    /// What its client has left as it was shown of a resource that has left was not written: it stays what it is. `whole`
    /// is the resource, `seen` what was shown of it, `next` what its client made of that.
    pub fn leave_unwritten(
        &self,
        whole: &Map<String, Value>,
        seen: &mut Map<String, Value>,
        next: &mut Map<String, Value>,
    ) {
        if self.has_left(whole) && seen.get(ACTIVE) == next.get(ACTIVE) {
            for document in [seen, next] {
                match whole.get(ACTIVE) {
                    Some(own) => drop(document.insert(ACTIVE.to_owned(), own.clone())),
                    None => drop(document.shift_remove(ACTIVE)),
                }
            }
        }
    }

    /// Who has another value at a target than is stored there.
    pub(super) fn left_in(&self, target: &Target) -> Option<Filter<Checked>> {
        let leaving = self.leaving.as_ref().filter(|_| &*target.canonical == ACTIVE && self.sees_all(ACTIVE))?;
        Some(leaving.who.clone())
    }

    /// What a client asks: one question of those who are there, and another of those who have left, if it is about what
    /// these are shown without.
    pub(super) fn split(&self, filter: Filter<Checked>) -> Filter<Checked> {
        match &self.leaving {
            Some(leaving) if self.sees_all(ACTIVE) && filter.attributes().contains(ACTIVE) => {
                let left = self.split_masked(inactive(filter.clone()));
                let there = Filter::all([Filter::Not(Box::new(leaving.who.clone())), self.split_masked(filter)]);
                Filter::any([there, Filter::all([leaving.who.clone(), left])])
            }
            _ => self.split_masked(filter),
        }
    }
}

/// What a filter asks of a resource that is inactive.
fn inactive(filter: Filter<Checked>) -> Filter<Checked> {
    match filter {
        Filter::And(parts) => Filter::all(parts.into_iter().map(inactive)),
        Filter::Or(parts) => Filter::any(parts.into_iter().map(inactive)),
        Filter::Not(part) => match inactive(*part) {
            Filter::Const(value) => Filter::Const(!value),
            part => Filter::Not(Box::new(part)),
        },
        Filter::Present(target) if &*target.canonical == ACTIVE => Filter::Const(true),
        Filter::Compare(target, op, operand) if &*target.canonical == ACTIVE => Filter::Const(match op {
            Op::Ne => !fits(&Value::Bool(false), &target, Op::Eq, &operand),
            op => fits(&Value::Bool(false), &target, op, &operand),
        }),
        other => other,
    }
}
