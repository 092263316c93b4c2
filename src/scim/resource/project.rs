//! What of a document an answer holds (RFC 7644 section 3.9): the `attributes` and `excludedAttributes` of a request
//! against the `returned` characteristic of each attribute. It only ever takes away; it never decides who may see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::Error;
use crate::resource::MEMBERS;
use crate::schema::{Attribute, Definition, Returned, Schema};

/// The one secret that never lies in a document.
const PASSWORD: &str = "password";

/// A request's choice of attributes, resolved against one resource type. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    asked: bool,
    passes: bool,
    /// Whether nothing is answered at all.
    is_nothing: bool,
    /// What happens to an attribute, by canonical path; one that is not listed stays whole.
    plan: Arc<BTreeMap<String, Fate>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Drop,
    /// Only these sub-attributes stay.
    Narrow(BTreeSet<String>),
}

/// The names of one parameter: whole attributes (an extension's are each listed) and single sub-attributes.
#[derive(Default)]
struct Names {
    whole: BTreeSet<String>,
    /// Attributes that are in only because their extension was named.
    by_extension: BTreeSet<String>,
    subs: BTreeMap<String, BTreeSet<String>>,
}

enum Choice {
    Whole,
    Only(Names),
    Except(Names),
}

impl Projection {
    /// Resolves the two parameters; each entry is one name, or several with commas between. Names in any case, with
    /// or without URN, attributes and sub-attributes; an extension's URN alone means all its attributes. Unknown
    /// names are ignored, which may leave only what is always returned.
    ///
    /// Error: 400 invalidValue when both are given, as they exclude each other.
    pub fn parse(def: &Definition, attributes: &[String], excluded: &[String]) -> Result<Self, Error> {
        let given = |names: &[String]| names.iter().any(|name| !name.trim().is_empty());
        let choice = match (given(attributes), given(excluded)) {
            (false, false) => return Ok(Projection::whole(def)),
            (true, false) => Choice::Only(Names::resolve(def, attributes)),
            (false, true) => Choice::Except(Names::resolve(def, excluded)),
            (true, true) => {
                return Err(Error::invalid_value(
                    "attributes and excludedAttributes exclude each other. Give one of them.",
                ));
            }
        };
        Ok(Projection::plan(def, &choice))
    }

    /// The projection of a request that asks for nothing special; worked out once for each resource type.
    pub fn whole(def: &Definition) -> Self {
        def.whole.get_or_init(|| Projection::plan(def, &Choice::Whole)).clone()
    }

    fn plan(def: &Definition, choice: &Choice) -> Self {
        let asked = !matches!(choice, Choice::Whole);
        let (mut plan, mut passes) = (BTreeMap::new(), true);
        for (schema, attribute) in every(def) {
            let path = canonical(schema, attribute);
            let Some(fate) = choice.fate(attribute, &path) else { continue };
            // The password and members are not in what is stored, so leaving them out takes nothing from it.
            let is_apart = schema.is_none() && (attribute.name == PASSWORD || attribute.name == MEMBERS);
            passes &= is_apart && (!asked || fate == Fate::Drop);
            plan.insert(path, fate);
        }
        Projection { asked, passes, is_nothing: false, plan: Arc::new(plan) }
    }

    /// The projection of a request whose answer has no body.
    pub fn nothing() -> Self {
        Projection { asked: true, passes: false, is_nothing: true, plan: Arc::default() }
    }

    /// Whether nothing is answered, so that no document need be put together for it.
    pub fn is_nothing(&self) -> bool {
        self.is_nothing
    }

    /// Whether a stored document is answered as it lies, and so is what is derived of it, but for [`MEMBERS`], which may
    /// be left out: then it need not be parsed.
    pub fn passes(&self) -> bool {
        self.passes
    }

    /// Whether the request asked for nothing special: then only what is never returned, or on request only, is left
    /// out.
    pub fn is_whole(&self) -> bool {
        !self.asked
    }

    /// Whether anything of a top-level attribute would be answered; the canonical path, with the URN for one of an
    /// extension.
    pub fn wants(&self, attribute: &str) -> bool {
        !self.is_nothing && self.plan.get(attribute) != Some(&Fate::Drop)
    }

    /// Whether a sub-attribute of a top-level attribute would be answered; canonical names.
    pub fn wants_sub(&self, attribute: &str, sub: &str) -> bool {
        match self.plan.get(attribute) {
            None => !self.is_nothing,
            Some(Fate::Drop) => false,
            Some(Fate::Narrow(subs)) => subs.contains(sub),
        }
    }

    /// Takes away what is not answered. `schemas` stays as it is.
    pub fn apply(&self, def: &Definition, doc: &mut Map<String, Value>) {
        if self.is_nothing {
            doc.retain(|name, _| name == "schemas");
            return;
        }
        if self.plan.is_empty() {
            return;
        }
        doc.retain(|name, value| {
            if def.extension(name).is_none() {
                return self.admit(name, value);
            }
            let Value::Object(fields) = value else { return false };
            fields.retain(|attribute, value| self.admit(&format!("{name}:{attribute}"), value));
            !fields.is_empty()
        });
    }

    fn admit(&self, path: &str, value: &mut Value) -> bool {
        match self.plan.get(path) {
            None => true,
            Some(Fate::Drop) => false,
            Some(Fate::Narrow(subs)) => match value {
                Value::Object(object) => narrow(object, subs),
                Value::Array(elements) => {
                    elements.retain_mut(|element| match element {
                        Value::Object(object) => narrow(object, subs),
                        _ => false,
                    });
                    !elements.is_empty()
                }
                _ => false,
            },
        }
    }
}

impl Names {
    fn resolve(def: &Definition, names: &[String]) -> Self {
        let mut resolved = Names::default();
        for name in names.iter().flat_map(|names| names.split(',')) {
            let Some(place) = def.resolve(name.trim()) else { continue };
            match (place.extension, place.attribute, place.sub) {
                (Some(schema), None, _) => {
                    resolved.by_extension.extend(schema.attributes.iter().map(|known| canonical(Some(schema), known)));
                }
                (schema, Some(attribute), None) => {
                    resolved.whole.insert(canonical(schema, attribute));
                }
                (schema, Some(attribute), Some(sub)) => {
                    resolved.subs.entry(canonical(schema, attribute)).or_default().insert(sub.name.clone());
                }
                (None, None, _) => {}
            }
        }
        resolved
    }
}

impl Choice {
    /// `None`: the attribute stays whole.
    fn fate(&self, attribute: &Attribute, path: &str) -> Option<Fate> {
        if attribute.returned == Returned::Never {
            return Some(Fate::Drop);
        }
        let always = attribute.returned == Returned::Always;
        let on_request = attribute.returned == Returned::Request;
        match self {
            Choice::Whole if on_request => Some(Fate::Drop),
            Choice::Whole => defaults(attribute, None),
            Choice::Only(names) => match names.subs.get(path) {
                _ if names.whole.contains(path) => defaults(attribute, names.subs.get(path)),
                _ if always || (!on_request && names.by_extension.contains(path)) => {
                    defaults(attribute, names.subs.get(path))
                }
                Some(subs) => select(attribute, |sub| {
                    sub.returned == Returned::Always || (sub.returned != Returned::Never && subs.contains(&sub.name))
                }),
                None => Some(Fate::Drop),
            },
            Choice::Except(_) if on_request => Some(Fate::Drop),
            Choice::Except(names) if !always && (names.whole.contains(path) || names.by_extension.contains(path)) => {
                Some(Fate::Drop)
            }
            Choice::Except(names) => {
                let excluded = names.subs.get(path);
                select(attribute, |sub| match sub.returned {
                    Returned::Always => true,
                    Returned::Default => excluded.is_none_or(|excluded| !excluded.contains(&sub.name)),
                    Returned::Never | Returned::Request => false,
                })
            }
        }
    }
}

/// The sub-attributes that come with their parent, and those that are named beside it.
fn defaults(attribute: &Attribute, named: Option<&BTreeSet<String>>) -> Option<Fate> {
    select(attribute, |sub| match sub.returned {
        Returned::Always | Returned::Default => true,
        Returned::Request => named.is_some_and(|named| named.contains(&sub.name)),
        Returned::Never => false,
    })
}

fn select(attribute: &Attribute, keeps: impl Fn(&Attribute) -> bool) -> Option<Fate> {
    if attribute.sub_attributes.iter().all(&keeps) {
        return None;
    }
    let kept = attribute.sub_attributes.iter().filter(|sub| keeps(sub)).map(|sub| sub.name.clone());
    Some(Fate::Narrow(kept.collect()))
}

fn narrow(object: &mut Map<String, Value>, subs: &BTreeSet<String>) -> bool {
    object.retain(|name, _| subs.contains(name));
    !object.is_empty()
}

fn every(def: &Definition) -> impl Iterator<Item = (Option<&Schema>, &Attribute)> {
    let extensions = def
        .extensions
        .iter()
        .flat_map(|(schema, _)| schema.attributes.iter().map(move |attribute| (Some(schema.as_ref()), attribute)));
    def.attributes().map(|attribute| (None, attribute)).chain(extensions)
}

fn canonical(schema: Option<&Schema>, attribute: &Attribute) -> String {
    match schema {
        Some(schema) => format!("{}:{}", schema.id, attribute.name),
        None => attribute.name.clone(),
    }
}
