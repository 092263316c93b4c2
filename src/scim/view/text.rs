//! A view on a document as it is stored, as text: what is seen is copied and what is not is passed over, so that a
//! document of which a part is answered need not become a tree of values first. It says what [`View::project`] and
//! [`View::admits`] say.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::leaving::ACTIVE;
use super::{SCHEMAS, View};
use crate::filter::{Checked, Filter, NOTED, NOTES};
use crate::schema::{Attribute, Definition};

/// What is seen of a member of a document; of one that has no fate nothing is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    All,
    /// These sub-attributes.
    Part(BTreeSet<String>),
    /// These attributes of an extension.
    Extension(BTreeMap<String, Fate>),
}

/// The members of an object, each as the text it is.
struct Members<'t>(Vec<(Cow<'t, str>, &'t RawValue)>);

struct Name<'t>(Cow<'t, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// A stored document, read as far as its members.
pub struct Text<'t>(Members<'t>);

impl<'t> Text<'t> {
    /// Reads a document. Fails for what is no object.
    pub fn read(text: &'t str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Text)
    }

    /// The members of these names, as values.
    pub fn part(&self, names: &BTreeSet<String>) -> Result<Map<String, Value>, serde_json::Error> {
        let mut part = Map::with_capacity(names.len());
        for (name, value) in self.0.0.iter().filter(|(name, _)| names.contains(&**name)) {
            part.insert(name.clone().into_owned(), serde_json::from_str(value.get())?);
        }
        Ok(part)
    }
}

/// The members of a stored document that a filter reads; `None`: it reads what is derived, and is no part of it.
pub fn read_by(filter: &Filter<Checked>, definition: &Definition) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for path in filter.attributes() {
        if path == NOTED {
            names.insert(NOTES.to_owned());
            continue;
        }
        let (urn, local) = match path.rsplit_once(':') {
            Some((urn, _)) => (Some(urn), ""),
            None => (None, path.split('.').next().unwrap_or(path)),
        };
        let is_derived = ["id", "meta", "externalId", "groups", "members", "password"].contains(&local);
        if is_derived || definition.resolve(path).is_none() {
            return None;
        }
        names.insert(urn.unwrap_or(local).to_owned());
    }
    Some(names)
}

impl View {
    /// The fate of every member of a document of the type.
    pub(super) fn fates(&self, definition: &Definition) -> BTreeMap<String, Fate> {
        let of = |prefix: &str, attribute: &Attribute| {
            let path = format!("{prefix}{}", attribute.name);
            if self.sees_all(&path) {
                return Some((attribute.name.clone(), Fate::All));
            }
            let subs = attribute.sub_attributes.iter().filter(|sub| self.sees_all(&format!("{path}.{}", sub.name)));
            let subs: BTreeSet<String> = subs.map(|sub| sub.name.clone()).collect();
            (!subs.is_empty()).then(|| (attribute.name.clone(), Fate::Part(subs)))
        };
        let core = definition.attributes().filter_map(|attribute| of("", attribute));
        let extensions = definition.extensions.iter().filter_map(|(schema, _)| {
            if self.sees_all(&schema.id) {
                return Some((schema.id.clone(), Fate::All));
            }
            let prefix = format!("{}:", schema.id);
            let fates: BTreeMap<String, Fate> =
                schema.attributes.iter().filter_map(|attribute| of(&prefix, attribute)).collect();
            (!fates.is_empty()).then(|| (schema.id.clone(), Fate::Extension(fates)))
        });
        core.chain(extensions).collect()
    }

    /// Whether the resource is seen, by its stored document alone; `None`: more would have to be known.
    pub fn admits_text(&self, text: &Text<'_>) -> Option<bool> {
        match &self.filter {
            None => Some(true),
            Some(filter) => Some(filter.matches(&text.part(self.read.as_ref()?).ok()?)),
        }
    }

    /// What is seen of a stored document; `None`: all of it, or the view does not know the type.
    pub fn project_text(&self, text: &Text<'_>) -> Option<String> {
        let has_left = self.has_left_by_text(text).ok()?;
        let view = self.mask_by_text(text).ok()?.unwrap_or(self);
        view.push_text(text, has_left && self.sees_all(ACTIVE))
    }

    /// The same through this one of the views that it may be seen through; as inactive where it has left.
    fn push_text(&self, text: &Text<'_>, has_left: bool) -> Option<String> {
        let fates = self.fates.as_ref()?;
        let mut out = String::with_capacity(1_024);
        let mut gone: Vec<&str> = Vec::new();
        let mut named = None;
        let mut forms = String::new();
        if has_left {
            push_name(&mut forms, ACTIVE);
            forms.push_str("false");
        }
        for mapping in self.mappings.values().filter(|mapping| self.sees_all(mapping.path())) {
            let sources = mapping.tops().into_iter().map(str::to_owned).collect();
            let Some(value) = mapping.value(&text.part(&sources).ok()?) else { continue };
            push_name(&mut forms, mapping.path());
            forms.push_str(&value.to_string());
        }
        let is_made = |name: &str| self.mappings.contains_key(name) || (has_left && name == ACTIVE);
        for (name, value) in text.0.0.iter().filter(|(name, _)| !is_made(name)) {
            if name == SCHEMAS {
                // Which of them stay is known when all is done.
                named = Some((out.len(), value.get()));
                continue;
            }
            let before = out.len();
            push_name(&mut out, name);
            let is_seen = fates.get(&**name).and_then(|fate| fate.push(value.get(), &mut out)).is_some();
            if !is_seen {
                out.truncate(before);
                if name.contains(':') {
                    gone.push(name);
                }
            }
        }
        let mut member = String::with_capacity(forms.len() + 256);
        if let Some((_, schemas)) = named {
            push_name(&mut member, SCHEMAS);
            if gone.is_empty() {
                member.push_str(schemas);
            } else {
                let mut urns: Vec<&str> = serde_json::from_str(schemas).ok()?;
                urns.retain(|urn| !gone.contains(urn));
                member.push_str(&serde_json::to_string(&urns).ok()?);
            }
        }
        // Where a form stands tells nothing of the original: behind `schemas`, whether there was one or not.
        if !member.is_empty() && !forms.is_empty() {
            member.push(',');
        }
        member.push_str(&forms);
        if !member.is_empty() {
            let place = named.map_or(0, |(place, _)| place);
            if place > 0 {
                member.insert(0, ',');
            }
            let rest = out.split_off(place);
            let rest = rest.trim_start_matches(',');
            out.push_str(&member);
            if !rest.is_empty() {
                out.push(',');
                out.push_str(rest);
            }
        }
        Some(format!("{{{out}}}"))
    }
}

fn push_name(out: &mut String, name: &str) {
    if !out.is_empty() && !out.ends_with(['{', '[']) {
        out.push(',');
    }
    out.push('"');
    // Names of attributes and URNs have nothing that is to be escaped.
    out.push_str(name);
    out.push_str("\":");
}

impl Fate {
    /// Adds what is seen of a value; `None`: nothing is, and what was added is to be taken away.
    fn push(&self, value: &str, out: &mut String) -> Option<()> {
        match self {
            Fate::All => out.push_str(value),
            Fate::Extension(fates) => {
                let Members(members) = serde_json::from_str(value).ok()?;
                push_members(&members, out, |name, value, out| fates.get(name)?.push(value, out))?;
            }
            Fate::Part(subs) if value.starts_with('[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(value).ok()?;
                out.push('[');
                let empty = out.len();
                for element in elements {
                    let before = out.len();
                    if before > empty {
                        out.push(',');
                    }
                    if push_part(subs, element.get(), out).is_none() {
                        out.truncate(before);
                    }
                }
                if out.len() == empty {
                    return None;
                }
                out.push(']');
            }
            Fate::Part(subs) => push_part(subs, value, out)?,
        }
        Some(())
    }
}

fn push_part(subs: &BTreeSet<String>, value: &str, out: &mut String) -> Option<()> {
    let Members(members) = serde_json::from_str(value).ok()?;
    push_members(&members, out, |name, value, out| subs.contains(name).then(|| out.push_str(value)))
}

fn push_members(
    members: &[(Cow<'_, str>, &RawValue)],
    out: &mut String,
    push: impl Fn(&str, &str, &mut String) -> Option<()>,
) -> Option<()> {
    out.push('{');
    let empty = out.len();
    for (name, value) in members {
        let before = out.len();
        push_name(out, name);
        if push(name, value.get(), out).is_none() {
            out.truncate(before);
        }
    }
    if out.len() == empty {
        return None;
    }
    out.push('}');
    Some(())
}
