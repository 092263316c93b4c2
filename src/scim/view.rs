//! What a client may see: which resources, by a filter, and what of each, by a list of released paths.
//!
//! A hidden attribute must not be found out by asking either: [`View::restrict`] rewrites a query so that it tells
//! nothing that the released part does not tell. For every document, the rewritten filter (the view's own aside) holds
//! exactly when the client's filter holds for the document after [`View::project`].
//!
//! An attribute may be seen in another form ([`crate::mapping`]): what a client asks about it is asked about that form. Of
//! some resources less may be seen than of others (`mask`).

mod mask;
mod membership;
mod merge;
mod reference;
mod text;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::filter::{Checked, Filter, Op, Operand, Target, fits};
use crate::key;
use crate::mapping::Mapping;
use crate::resource::NAMES;
use crate::schema::{Definition, Type};
use mask::Mask;
use text::Fate;

pub use merge::write_back;
pub use reference::Reference;
pub use text::{Text, read_by};
pub use views::Views;

const SCHEMAS: &str = "schemas";

/// What every view shows: without them an answer is no SCIM resource.
const ALWAYS: [&str; 3] = ["schemas", "id", "meta"];

/// URN of a core schema, and those of the extensions with their attributes.
type Schemas = (String, Vec<(String, Vec<Target>)>);

/// A client's view of one resource type.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Which resources it sees; `None`: all.
    filter: Option<Filter<Checked>>,
    /// Canonical paths of what it sees of them: attributes, sub-attributes, or an extension's URN for all of it;
    /// `None`: everything.
    released: Option<BTreeSet<String>>,
    /// URN of the core schema, and those of the extensions with their attributes, as far as [`View::of`] has told.
    schemas: Option<Schemas>,
    /// Whether what resources are called may be seen.
    names: bool,
    /// The same for resources that are not masked.
    unmasked_names: bool,
    /// Resources of which less is seen.
    masks: Vec<Arc<Mask>>,
    /// The attributes that are shown in another form, by their canonical paths.
    mappings: BTreeMap<String, Arc<Mapping>>,
    /// What leads to resources that the client may not see.
    references: Vec<Reference>,
    /// What of a stored document the filter reads, and what of it is seen, as far as [`View::of`] has told.
    read: Option<BTreeSet<String>>,
    fates: Option<BTreeMap<String, Fate>>,
}

impl View {
    /// Everything.
    pub fn everything() -> Self {
        View::new(None, None)
    }

    /// A view of the resources that fit `filter`, as far as `released`. Paths are canonical: attributes,
    /// sub-attributes, or the URN of an extension. `schemas`, `id` and `meta` need not be named.
    pub fn new(filter: Option<Filter<Checked>>, released: Option<BTreeSet<String>>) -> Self {
        let names = released.is_none();
        let (mappings, references) = (BTreeMap::new(), Vec::new());
        let (schemas, masks) = (None, Vec::new());
        let unmasked_names = names;
        View { filter, released, schemas, names, unmasked_names, masks, mappings, references, read: None, fates: None }
    }

    /// The same of no more resources than fit a filter, too.
    pub(crate) fn within(mut self, filter: Filter<Checked>) -> Self {
        self.filter = Some(Filter::all(self.filter.into_iter().chain([filter])));
        self
    }

    /// The same with attributes in another form.
    pub fn mapping(mut self, mappings: impl IntoIterator<Item = Mapping>) -> Self {
        let named = mappings.into_iter().map(|mapping| (mapping.path().to_owned(), Arc::new(mapping)));
        self.mappings = named.collect();
        self.names = self.names && !self.maps_names();
        self.unmasked_names = self.names;
        self
    }

    /// Nothing at all.
    pub fn nothing() -> Self {
        View::new(Some(Filter::Const(false)), Some(BTreeSet::new()))
    }

    /// The same, knowing the schemas of the resource type, so that what asks about `schemas` can be answered as if those
    /// that are hidden were not there. Without it such a question finds nothing.
    pub fn of(mut self, definition: &Definition) -> Self {
        if self.is_nothing() {
            return self;
        }
        let extensions = definition.extensions.iter().map(|(schema, _)| {
            let paths = schema.attributes.iter().map(|attribute| format!("{}:{}", schema.id, attribute.name));
            (schema.id.clone(), paths.filter_map(|path| Target::resolve(definition, &path)).collect())
        });
        self.read = self.filter.as_ref().and_then(|filter| read_by(filter, definition));
        if !self.is_whole() {
            self.schemas = Some((definition.core.id.clone(), extensions.collect()));
            self.fates = Some(self.fates(definition));
        }
        let shown = NAMES.iter().all(|name| definition.core.attribute(name).is_none() || self.sees_all(name));
        self.unmasked_names = shown && !self.maps_names();
        self.names = self.unmasked_names && !self.has_masks();
        self.tie_masks(definition);
        self
    }

    fn maps_names(&self) -> bool {
        NAMES.iter().any(|name| self.mappings.contains_key(*name))
    }

    /// The same, knowing what of a document leads to resources that the client may not see.
    pub(crate) fn referring(mut self, references: Vec<Reference>) -> Self {
        self.references = references;
        self
    }

    /// What of a document leads to resources of types that the client does not see all of.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Whether what a resource is called, as in a group's `members`, says no more than is released of it.
    pub fn shows_names(&self) -> bool {
        self.names
    }

    /// Whether every resource is seen, and by its name: what leads to one may be shown as it is.
    pub fn is_open(&self) -> bool {
        self.filter.is_none() && self.names
    }

    /// Whether no resource is seen.
    pub fn is_nothing(&self) -> bool {
        self.filter == Some(Filter::Const(false))
    }

    /// Whether nothing is hidden or in another form of the resources that are seen, so that a document can be answered as it
    /// lies.
    pub fn is_whole(&self) -> bool {
        self.released.is_none() && self.mappings.is_empty() && self.masks.is_empty()
    }

    /// The attributes that are seen in another form, which the client cannot write.
    pub fn mappings(&self) -> impl Iterator<Item = &Arc<Mapping>> {
        self.mappings.values()
    }

    /// Whether the attribute at a canonical path is seen in another form.
    pub fn maps(&self, path: &str) -> bool {
        self.mappings.contains_key(path)
    }

    /// What the client means by an attribute that it names.
    pub fn meant(&self, target: Target) -> Target {
        match self.mappings.get(&*target.canonical).filter(|_| self.sees_all(&target.canonical)) {
            Some(mapping) => target.mapped(Arc::clone(mapping)),
            None => target,
        }
    }

    /// Which resources are seen; `None`: all.
    pub fn filter(&self) -> Option<&Filter<Checked>> {
        self.filter.as_ref()
    }

    /// Whether the resource is seen.
    pub fn admits(&self, document: &Map<String, Value>) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(document))
    }

    /// What a client's filter asks of what it sees: hidden attributes answer as if they were absent.
    pub fn masked(&self, filter: Filter<Checked>) -> Filter<Checked> {
        if self.is_whole() { filter } else { self.split(filter) }
    }

    /// The filter to run in place of the client's: what it asks about hidden attributes answers as if they were
    /// absent, and the view's own filter, which may use them, is added. `None`: no condition at all.
    pub fn restrict(&self, filter: Option<Filter<Checked>>) -> Option<Filter<Checked>> {
        match (self.filter.clone(), filter.map(|filter| self.masked(filter))) {
            (None, masked) => masked,
            (own, None) => own,
            (Some(own), Some(masked)) => Some(Filter::all([own, masked])),
        }
    }

    /// Whether a canonical path is seen, if only in part: it is released, or what it belongs to, or a part of it.
    pub fn sees(&self, path: &str) -> bool {
        self.sees_all(path) || self.sees_part(path)
    }

    /// Whether what a target leads to is seen, if only in part.
    pub fn sees_target(&self, target: &Target) -> bool {
        // What is mapped is meant by who sees it.
        target.is_made() || self.sees(&target.canonical)
    }

    /// Makes of a whole document what is seen of it. Once: the attributes in another form are made of those it had.
    pub fn project(&self, document: &mut Map<String, Value>) {
        if let Some(masked) = self.mask_of(document) {
            return masked.project(document);
        }
        let mapped: Vec<(&str, Option<Value>)> =
            self.mappings.values().map(|mapping| (mapping.path(), mapping.value(document))).collect();
        // Where a form stands tells nothing of the original: behind `schemas`, whether there was one or not.
        for (path, value) in mapped.into_iter().rev() {
            document.shift_remove(path);
            let place = document.keys().position(|name| name == SCHEMAS).map_or(0, |place| place + 1);
            if let Some(value) = value {
                document.shift_insert(place, path.to_owned(), value);
            }
        }
        self.prune(document);
    }

    /// Removes what is hidden. An element or object of which nothing is left goes, and so does an array or extension; an
    /// extension that goes is not named in `schemas` either.
    pub fn prune(&self, document: &mut Map<String, Value>) {
        if self.released.is_none() {
            return;
        }
        // An attribute's name has no colon, the URN of an extension has.
        let mut gone: Vec<String> = document.keys().filter(|name| name.contains(':')).cloned().collect();
        document.retain(|name, value| {
            if self.sees_all(name) {
                return true;
            }
            match value {
                Value::Object(extension) if name.contains(':') => {
                    extension.retain(|attr, value| self.keep(&format!("{name}:{attr}"), value));
                    !extension.is_empty()
                }
                value => self.keep(name, value),
            }
        });
        gone.retain(|urn| !document.contains_key(urn));
        if let Some(Value::Array(schemas)) = document.get_mut("schemas") {
            schemas.retain(|urn| urn.as_str().is_none_or(|urn| !gone.iter().any(|gone| gone == urn)));
        }
    }

    /// Whether anything of an attribute is kept, once what is hidden of it was removed.
    fn keep(&self, path: &str, value: &mut Value) -> bool {
        if self.sees_all(path) {
            return true;
        }
        if !self.sees_part(path) {
            return false;
        }
        let prune = |element: &mut Value| match element {
            Value::Object(subs) => {
                subs.retain(|sub, _| self.sees_all(&format!("{path}.{sub}")));
                !subs.is_empty()
            }
            _ => false,
        };
        match value {
            Value::Array(elements) => {
                elements.retain_mut(prune);
                !elements.is_empty()
            }
            single => prune(single),
        }
    }

    /// Whether all of a canonical path is seen.
    pub fn sees_all(&self, path: &str) -> bool {
        let Some(released) = &self.released else { return true };
        let (extension, local) = match path.rsplit_once(':') {
            Some((extension, local)) => (Some(extension), local),
            None => (None, path),
        };
        let attribute = match local.find('.') {
            Some(dot) => path.get(..path.len() - local.len() + dot).unwrap_or(path),
            None => path,
        };
        ALWAYS.contains(&attribute)
            || released.contains(path)
            || released.contains(attribute)
            || extension.is_some_and(|urn| released.contains(urn))
    }

    fn sees_part(&self, path: &str) -> bool {
        let Some(released) = &self.released else { return true };
        [".", ":"].into_iter().any(|separator| {
            let prefix = format!("{path}{separator}");
            let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
            released.range::<str, _>(from).next().is_some_and(|next| next.starts_with(&prefix))
        })
    }

    fn mask(&self, filter: Filter<Checked>) -> Filter<Checked> {
        match filter {
            Filter::And(parts) => Filter::all(parts.into_iter().map(|part| self.mask(part))),
            Filter::Or(parts) => Filter::any(parts.into_iter().map(|part| self.mask(part))),
            Filter::Not(part) => match self.mask(*part) {
                Filter::Const(value) => Filter::Const(!value),
                part => Filter::Not(Box::new(part)),
            },
            Filter::Present(target) => self.mask_present(target),
            Filter::Compare(target, op, operand) if &*target.canonical == SCHEMAS => {
                self.mask_schemas(&target, op, &operand)
            }
            Filter::Compare(target, op, operand) => match self.sees_all(&target.canonical) {
                true => Filter::Compare(self.meant(target), op, operand),
                false => Filter::Const(op == Op::Ne),
            },
            Filter::Element(target, part) if self.sees_all(&target.canonical) => Filter::Element(target, part),
            Filter::Element(target, part) => self.mask_element(target, *part),
            Filter::Const(value) => Filter::Const(value),
        }
    }

    /// A question about `schemas` becomes one about those that are seen: which of them it is about is known beforehand.
    fn mask_schemas(&self, target: &Target, op: Op, operand: &Operand) -> Filter<Checked> {
        if op == Op::Ne {
            return match self.mask_schemas(target, Op::Eq, operand) {
                Filter::Const(value) => Filter::Const(!value),
                equal => Filter::Not(Box::new(equal)),
            };
        }
        let Some((core, extensions)) = &self.schemas else { return Filter::Const(false) };
        let named = |urn: &String| {
            let raw = Value::String(urn.clone());
            let key = key::of(&raw, target.kind, target.rule)?;
            fits(&raw, target, op, operand).then(|| Filter::Compare(target.clone(), Op::Eq, Operand { key, raw }))
        };
        let extensions = extensions.iter().filter_map(|(urn, attributes)| {
            let named = named(urn)?;
            if self.sees_all(urn) {
                return Some(named);
            }
            // It is named as long as something of it is left.
            let left = attributes.iter().flat_map(|attribute| match self.sees_all(&attribute.canonical) {
                true if attribute.subs.is_empty() => has_value(attribute),
                true => attribute.subs.iter().flat_map(has_value).collect(),
                false => self.seen_subs(attribute).flat_map(has_value).collect(),
            });
            Some(Filter::all([named, Filter::any(left)]))
        });
        Filter::any(named(core).into_iter().chain(extensions))
    }

    fn mask_present(&self, target: Target) -> Filter<Checked> {
        if self.sees_all(&target.canonical) {
            return Filter::Present(self.meant(target));
        }
        // Of a complex attribute, what is seen of it decides; of any other nothing is.
        Filter::any(self.seen_subs(&target).cloned().map(Filter::Present))
    }

    fn mask_element(&self, target: Target, part: Filter<Checked>) -> Filter<Checked> {
        let part = self.mask(part);
        let part = if part.matches_element(&Value::Object(Map::new())) {
            // The part could hold for an element of which nothing is seen, and which therefore must not count.
            Filter::all([part, Filter::any(self.seen_subs(&target).flat_map(has_value))])
        } else {
            part
        };
        match part {
            Filter::Const(false) => Filter::Const(false),
            part => Filter::Element(target, Box::new(part)),
        }
    }

    fn seen_subs<'t>(&self, target: &'t Target) -> impl Iterator<Item = &'t Target> {
        target.subs.iter().filter(|sub| self.sees_all(&sub.canonical))
    }
}

/// Filters of which one holds when the sub-attribute has a value, be it an empty text, which `pr` does not count.
fn has_value(sub: &Target) -> Vec<Filter<Checked>> {
    let mut filters = vec![Filter::Present(sub.clone())];
    if matches!(sub.kind, Type::String | Type::Reference | Type::Binary) {
        let empty = Operand { key: String::new(), raw: Value::String(String::new()) };
        filters.push(Filter::Compare(sub.clone(), Op::Eq, empty));
    }
    filters
}

#[cfg(test)]
mod tests;
