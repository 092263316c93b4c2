//! Resources of which a view shows less than of others: those that a filter finds are seen through a second, narrower view.
//! Which of the two it is, is asked of each document; a question about what only one of them shows becomes two, one for
//! each kind of resource, so that asking tells no more than the answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{SCHEMAS, Text, View, read_by};
use crate::filter::{Checked, Filter, Target};
use crate::schema::Definition;

/// Stands for a value that is not seen.
const BLANK: &str = "\0";

/// A narrower view, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mask {
    /// Which resources; told by the stored document alone.
    who: Filter<Checked>,
    /// What of a stored document that is.
    read: BTreeSet<String>,
    view: View,
}

impl View {
    /// The same, where of the resources that fit `who` no more is seen than `released` (as in [`View::new`]). `who` asks
    /// about the stored document alone, and no resource fits two masks; else nothing is seen of the type.
    pub fn masking(mut self, definition: &Definition, who: Filter<Checked>, released: BTreeSet<String>) -> Self {
        let Some(read) = read_by(&who, definition) else { return View::nothing() };
        let view = View::new(None, Some(released)).mapping(self.mappings.values().map(|mapping| (**mapping).clone()));
        self.masks.push(Arc::new(Mask { who, read, view }));
        self.names = false;
        self
    }

    /// Whether of some resources less is seen than of others.
    pub fn has_masks(&self) -> bool {
        !self.masks.is_empty()
    }

    /// Whether all of a canonical path is seen, of whatever resource.
    pub fn sees_alike(&self, path: &str) -> bool {
        self.sees_all(path) && !self.may_differ(path) && self.masks.iter().all(|mask| mask.view.sees_all(path))
    }

    /// Whether less is seen of this resource than of others, by its whole document.
    pub fn is_masked(&self, document: &Map<String, Value>) -> bool {
        self.mask_of(document).is_some()
    }

    /// Whether the resource may be shown under the name that it has, by its stored text; `false` where that is not known.
    pub fn shows_name_of(&self, text: &Text<'_>) -> bool {
        self.names
            || (self.unmasked_names && self.has_masks() && self.mask_by_text(text).is_ok_and(|mask| mask.is_none()))
    }

    /// A target to order by. Of resources of which it is not seen it has no value.
    pub fn ordering(&self, target: Target) -> Target {
        let left = self.left_in(&target);
        let blind = self.masks.iter().filter(|mask| !mask.view.sees_all(&target.canonical));
        let target = match Filter::any(blind.map(|mask| mask.who.clone())) {
            Filter::Const(false) => self.meant(target),
            who => self.meant(target).unless(who),
        };
        match left {
            Some(who) => target.instead(who, Value::Bool(false)),
            None => target,
        }
    }

    pub(super) fn mask_of(&self, document: &Map<String, Value>) -> Option<&View> {
        self.masks.iter().find(|mask| mask.who.matches(document)).map(|mask| &mask.view)
    }

    pub(super) fn mask_by_text(&self, text: &Text<'_>) -> Result<Option<&View>, serde_json::Error> {
        for mask in &self.masks {
            if mask.who.matches(&text.part(&mask.read)?) {
                return Ok(Some(&mask.view));
            }
        }
        Ok(None)
    }

    pub(super) fn tie_masks(&mut self, definition: &Definition) {
        for mask in &mut self.masks {
            let mask = Arc::make_mut(mask);
            mask.view = mask.view.clone().of(definition);
        }
    }

    /// What a client asks, of resources of both kinds.
    pub(super) fn split_masked(&self, filter: Filter<Checked>) -> Filter<Checked> {
        let paths = filter.attributes();
        let asks_more = |mask: &Mask| paths.iter().any(|path| *path == SCHEMAS || !mask.view.sees_all(path));
        let apart: Vec<&Mask> = self.masks.iter().map(AsRef::as_ref).filter(|mask| asks_more(mask)).collect();
        if apart.is_empty() {
            return self.mask(filter);
        }
        let whole = apart.iter().map(|mask| Filter::Not(Box::new(mask.who.clone())));
        let rest = Filter::all(whole.chain([self.mask(filter.clone())]));
        let masked = apart.iter().map(|mask| Filter::all([mask.who.clone(), mask.view.mask(filter.clone())]));
        Filter::any([rest].into_iter().chain(masked))
    }

    /// Puts into what is seen of a masked resource what stands for attributes that it must have and that are not seen: a
    /// text that nobody can send. What is written is whole then, and [`View::unseen`] finds who wrote over it.
    pub fn fill(&self, definition: &Definition, whole: &Map<String, Value>, seen: &mut Map<String, Value>) {
        let Some(view) = self.mask_of(whole) else { return };
        for attribute in definition.core.attributes.iter().filter(|attribute| attribute.required) {
            if !view.sees_all(&attribute.name) {
                seen.insert(attribute.name.clone(), BLANK.into());
            }
        }
    }

    /// Takes away what [`View::fill`] has put there, where it still stands.
    pub fn clear(document: &mut Map<String, Value>) {
        document.retain(|_, value| value != BLANK);
    }

    /// The first path at which a document has what is not seen of a resource that is masked as `whole` is: a client that
    /// was shown such a resource cannot have meant it.
    pub fn unseen(&self, whole: &Map<String, Value>, written: &Map<String, Value>) -> Option<String> {
        let view = self.mask_of(whole)?;
        let mut seen = written.clone();
        view.prune(&mut seen);
        let differs = |(name, value): &(&String, &Value)| name.as_str() != SCHEMAS && seen.get(*name) != Some(*value);
        let (name, value) = written.iter().find(differs)?;
        let part = match (value, seen.get(name)) {
            (Value::Object(parts), kept) => parts
                .iter()
                .find(|(part, value)| kept.and_then(|kept| kept.get(part)) != Some(value))
                .map(|(part, _)| part),
            _ => None,
        };
        let separator = if name.contains(':') { ':' } else { '.' };
        Some(part.map_or_else(|| name.clone(), |part| format!("{name}{separator}{part}")))
    }
}
