//! Where in a document a column goes: `name.familyName`, `emails[type eq "work"].value`, an extension's attribute. Unlike
//! a PATCH path its brackets say what an element is like, so that one that is missing can be made.

use scim::filter::{Filter, Literal, Op, Parsed};
use scim::path::PatchPath;
use scim::schema::{Attribute, Definition, Mutability, Returned, Type};
use serde_json::{Map, Value};

/// A place in a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// The extension; `None`: the core schema.
    pub extension: Option<String>,
    /// The attribute.
    pub attribute: String,
    /// What the element is like that is meant; empty: the attribute is no list, or the whole of it.
    pub like: Vec<(String, Value)>,
    /// The sub-attribute.
    pub sub: Option<String>,
    /// Type of what lies there.
    pub kind: Type,
    /// Whether it is a list.
    pub is_list: bool,
    /// Whether it is a secret, or only told to who asks for it.
    pub is_secret: bool,
}

impl Spot {
    /// Reads a path. The error is a sentence.
    pub fn parse(definition: &Definition, text: &str) -> Result<Self, String> {
        let path = PatchPath::parse(text).map_err(|error| error.detail)?;
        let place = definition.resolve(&path.attr);
        let missing = || format!("{} has no attribute {}.", definition.name(), path.attr);
        let place = place.ok_or_else(missing)?;
        let attribute = place
            .attribute
            .ok_or_else(|| format!("{} is a whole extension. Name one of its attributes.", path.attr))?;
        if ["id", "meta", "schemas", "externalId"].contains(&attribute.name.as_str()) {
            return Err(format!(
                "{} is not for a map to set: externalId is the key, the rest is the server's.",
                attribute.name
            ));
        }
        let named = path.sub.as_deref().or(place.sub.map(|sub| sub.name.as_str()));
        let sub = match named {
            Some(name) => Some(attribute.sub(name).ok_or_else(|| format!("{} has no part {name}.", attribute.name))?),
            None => None,
        };
        let like = path.filter.as_ref().map(|filter| selector(attribute, filter)).transpose()?.unwrap_or_default();
        if attribute.multi_valued && sub.is_some() && like.is_empty() {
            return Err(format!(
                "{} is a list. Say which element: {}[type eq \"work\"].{}.",
                attribute.name,
                attribute.name,
                sub.map_or("value", |sub| &sub.name)
            ));
        }
        let leaf = sub.unwrap_or(attribute);
        if leaf.is_complex() {
            return Err(format!("{text} has parts. Name one of them."));
        }
        if attribute.mutability == Mutability::ReadOnly || leaf.mutability == Mutability::ReadOnly {
            return Err(format!("{text} is the server's to set."));
        }
        Ok(Spot {
            extension: place.extension.map(|schema| schema.id.clone()),
            attribute: attribute.name.clone(),
            like,
            sub: sub.map(|sub| sub.name.clone()),
            kind: leaf.kind,
            is_list: leaf.multi_valued && sub.is_none(),
            is_secret: is_withheld(attribute) || is_withheld(leaf),
        })
    }

    /// Reads the path of a list of objects. The error is a sentence.
    pub fn list(definition: &Definition, text: &str) -> Result<Self, String> {
        let place =
            definition.resolve(text).ok_or_else(|| format!("{} has no attribute {text}.", definition.name()))?;
        let attribute = place.attribute.filter(|attribute| attribute.multi_valued && attribute.is_complex());
        let attribute =
            attribute.filter(|_| place.sub.is_none()).ok_or_else(|| format!("{text} is no list of objects."))?;
        if attribute.mutability == Mutability::ReadOnly {
            return Err(format!("{text} is the server's to set."));
        }
        Ok(Spot {
            extension: place.extension.map(|schema| schema.id.clone()),
            attribute: attribute.name.clone(),
            like: Vec::new(),
            sub: None,
            kind: Type::Complex,
            is_list: true,
            is_secret: false,
        })
    }

    /// A part of an element of a list. The error is a sentence.
    pub(super) fn part(list: &Attribute, name: &str) -> Result<Self, String> {
        let sub = list.sub(name).ok_or_else(|| format!("{} has no part {name}.", list.name))?;
        if sub.mutability == Mutability::ReadOnly {
            return Err(format!("{name} is the server's to set."));
        }
        Ok(Spot {
            extension: None,
            attribute: sub.name.clone(),
            like: Vec::new(),
            sub: None,
            kind: sub.kind,
            is_list: sub.multi_valued,
            is_secret: is_withheld(sub),
        })
    }

    /// The object of a document that the attribute lies in.
    fn holder<'d>(&self, document: &'d mut Map<String, Value>, make: bool) -> Option<&'d mut Map<String, Value>> {
        let Some(urn) = &self.extension else { return Some(document) };
        if make && !document.get(urn).is_some_and(Value::is_object) {
            document.insert(urn.clone(), Value::Object(Map::new()));
        }
        document.get_mut(urn)?.as_object_mut()
    }

    /// What lies there.
    pub fn value<'d>(&self, document: &'d Map<String, Value>) -> Option<&'d Value> {
        let holder = match &self.extension {
            Some(urn) => document.get(urn)?.as_object()?,
            None => document,
        };
        let value = holder.get(&self.attribute)?;
        let value = match self.like.is_empty() {
            true => value,
            false => value.as_array()?.iter().find(|element| self.is_meant(element))?,
        };
        match &self.sub {
            Some(sub) => value.get(sub),
            None => Some(value),
        }
    }

    /// Puts a value there, or takes away what is there.
    pub fn put(&self, document: &mut Map<String, Value>, value: Option<Value>) {
        let Some(holder) = self.holder(document, value.is_some()) else { return };
        let Some(sub) = &self.sub else {
            match value {
                Some(value) => drop(holder.insert(self.attribute.clone(), value)),
                None => drop(holder.shift_remove(&self.attribute)),
            }
            return;
        };
        if self.like.is_empty() {
            match value {
                Some(value) => {
                    let object = holder.entry(self.attribute.clone()).or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(object) = object {
                        object.insert(sub.clone(), value);
                    }
                }
                None => {
                    if let Some(Value::Object(object)) = holder.get_mut(&self.attribute) {
                        object.shift_remove(sub);
                    }
                }
            }
            return;
        }
        self.put_element(holder, sub, value);
    }

    fn put_element(&self, holder: &mut Map<String, Value>, sub: &str, value: Option<Value>) {
        match value {
            // An element is its value: without it the rest says nothing.
            None if sub == "value" => {
                if let Some(Value::Array(elements)) = holder.get_mut(&self.attribute) {
                    elements.retain(|element| !self.is_meant(element));
                }
            }
            None => {
                if let Some(Value::Array(elements)) = holder.get_mut(&self.attribute) {
                    for element in elements.iter_mut().filter(|element| self.is_meant(element)) {
                        element.as_object_mut().map(|element| element.shift_remove(sub));
                    }
                }
            }
            Some(value) => {
                let list = holder.entry(self.attribute.clone()).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(elements) = list else { return };
                match elements.iter_mut().find(|element| self.is_meant(element)).and_then(Value::as_object_mut) {
                    Some(element) => drop(element.insert(sub.to_owned(), value)),
                    None => {
                        let mut element: Map<String, Value> = self.like.iter().cloned().collect();
                        element.insert(sub.to_owned(), value);
                        elements.push(Value::Object(element));
                    }
                }
            }
        }
    }

    fn is_meant(&self, element: &Value) -> bool {
        let fits = |wanted: &Value, found: &Value| match (wanted, found) {
            (Value::String(wanted), Value::String(found)) => wanted.eq_ignore_ascii_case(found),
            _ => wanted == found,
        };
        self.like.iter().all(|(name, wanted)| element.get(name).is_some_and(|found| fits(wanted, found)))
    }
}

/// Whether values are secret, or told to those alone who ask for them.
fn is_withheld(attribute: &Attribute) -> bool {
    attribute.secret || !matches!(attribute.returned, Returned::Default | Returned::Always)
}

/// What the brackets say an element is like: `eq` alone, joined by `and`.
fn selector(attribute: &Attribute, filter: &Filter<Parsed>) -> Result<Vec<(String, Value)>, String> {
    if !attribute.multi_valued || !attribute.is_complex() {
        return Err(format!("{} is no list of objects, so that it has no brackets.", attribute.name));
    }
    match filter {
        Filter::And(parts) => {
            let each: Result<Vec<_>, String> = parts.iter().map(|part| selector(attribute, part)).collect();
            Ok(each?.concat())
        }
        Filter::Compare(path, Op::Eq, literal) => {
            let sub =
                attribute.sub(&path.text).ok_or_else(|| format!("{} has no part {}.", attribute.name, path.text))?;
            let value = match literal {
                Literal::Text(text) => Value::from(text.as_str()),
                Literal::Boolean(flag) => Value::from(*flag),
                Literal::Number(_) | Literal::Null => {
                    return Err("In brackets only texts, true and false stand.".into());
                }
            };
            Ok(vec![(sub.name.clone(), value)])
        }
        _ => Err("In brackets only eq stands, joined by and: an element that is missing is made of it.".into()),
    }
}
