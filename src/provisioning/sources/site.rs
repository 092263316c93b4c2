//! A place in a document that several sources may speak of: a singular attribute, a part of one, a multi-valued attribute, or
//! those of its elements that a filter selects (`phoneNumbers[type eq "mobile"]`). Takes the values there out of a document
//! and puts others in; nothing else of the document is touched.

use scim::filter::{Checked, Filter};
use scim::path::PatchPath;
use scim::resource::{MEMBERS, is_same};
use scim::schema::{Attribute, Definition, Mutability, Returned};
use serde_json::{Map, Value};

use super::URN;
use crate::person;

/// Core attributes that are no source's to have.
const NOBODYS: [&str; 8] = ["schemas", "id", "externalId", "meta", "active", "password", "groups", MEMBERS];
/// Of the Person extension, what the server makes, and the block, which has rules of its own.
const BLOCK: &str = "block";

/// A place that several sources may speak of.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// The path, with names in the schema's own case.
    path: String,
    extension: Option<String>,
    attribute: Attribute,
    filter: Option<Filter<Checked>>,
    /// A part of a singular attribute.
    sub: Option<Attribute>,
}

impl Site {
    /// Reads a path against a resource type. Fails with 400 invalidValue for one that is no place of values: it leads
    /// nowhere, is the server's, is secret, or is a part of the elements of a list.
    pub fn parse(definition: &Definition, text: &str) -> Result<Self, scim::Error> {
        let refuse = |why: &str| scim::Error::invalid_value(format!("paths: {text} {why}"));
        let path = PatchPath::parse(text).map_err(|error| refuse(&format!("is no path: {}", error.detail)))?;
        let place = definition.resolve(&path.attr);
        let place = place.ok_or_else(|| refuse(&format!("is no attribute of {}.", definition.name())))?;
        let attribute = place.attribute.ok_or_else(|| refuse("is a whole extension. Name its attributes."))?;
        let extension = place.extension.map(|schema| schema.id.clone());
        let is_nobodys = match extension.as_deref() {
            None => NOBODYS.contains(&attribute.name.as_str()),
            Some(URN) => true,
            Some(person::URN) => attribute.name == BLOCK,
            Some(_) => false,
        };
        let sub = match &path.sub {
            Some(name) => Some(attribute.sub(name).ok_or_else(|| refuse(&format!("has no part {name}.")))?),
            None => place.sub,
        };
        let leaf = sub.unwrap_or(attribute);
        if is_nobodys || [attribute, leaf].iter().any(|part| part.mutability != Mutability::ReadWrite) {
            return Err(refuse("is not for sources to have: the server writes it, or it has rules of its own."));
        }
        let is_open = |part: &Attribute| {
            !part.secret
                && part.mutability != Mutability::WriteOnly
                && matches!(part.returned, Returned::Default | Returned::Always)
        };
        if ![attribute, leaf].into_iter().chain(&attribute.sub_attributes).all(is_open) {
            return Err(refuse("is secret or not returned: it stays sealed, and is one client's to write."));
        }
        if attribute.multi_valued && sub.is_some() {
            return Err(refuse("is a part of elements, which belong to their source as a whole. Leave the part out."));
        }
        let mut shown = place.canonical();
        let filter = match path.filter {
            Some(_) if !attribute.multi_valued => return Err(refuse("has one value, and cannot be filtered.")),
            Some(written) => {
                shown = format!("{shown}[{written}]");
                Some(written.check_element(attribute).map_err(|error| refuse(&error.detail))?)
            }
            None => None,
        };
        Ok(Site { path: shown, extension, attribute: attribute.clone(), filter, sub: sub.cloned() })
    }

    /// The path, with names in the schema's own case.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of the attribute that it is of, as views know it.
    pub fn attribute(&self) -> String {
        match &self.extension {
            Some(urn) => format!("{urn}:{}", self.attribute.name),
            None => self.attribute.name.clone(),
        }
    }

    /// Whether a resource must have a value here.
    pub fn is_required(&self) -> bool {
        self.extension.is_none() && self.attribute.required
    }

    /// Whether a value may lie in both places, as far as one can tell from the paths.
    pub fn overlaps(&self, other: &Site) -> bool {
        self.extension == other.extension
            && self.attribute.name == other.attribute.name
            && match (&self.sub, &other.sub) {
                (Some(one), Some(other)) => one.name == other.name,
                _ => true,
            }
            && match (&self.filter, &other.filter) {
                (Some(one), Some(other)) => one == other,
                _ => true,
            }
    }

    /// Whether an operation on an attribute, with these brackets and this part, is about the values here.
    pub fn is_named_by(&self, attribute: &str, filter: Option<&Filter<Checked>>, sub: Option<&str>) -> bool {
        self.attribute() == attribute
            && self.filter.as_ref() == filter
            && self.sub.as_ref().is_none_or(|own| sub.is_none_or(|sub| sub == own.name))
    }

    /// Whether an element of an attribute lies here.
    pub fn is_of(&self, attribute: &str, element: &Value) -> bool {
        self.attribute() == attribute && self.attribute.multi_valued && self.fits(element)
    }

    /// The values here: the elements of a list, or the one value.
    pub fn values(&self, document: &Map<String, Value>) -> Vec<Value> {
        let Some(value) = self.fields(document).and_then(|fields| fields.get(&self.attribute.name)) else {
            return Vec::new();
        };
        match (value, &self.sub) {
            (Value::Array(elements), _) => elements.iter().filter(|element| self.fits(element)).cloned().collect(),
            (value, Some(sub)) => value.get(&sub.name).cloned().into_iter().collect(),
            (value, None) => vec![value.clone()],
        }
    }

    /// Puts other values here, where the first of those before was.
    pub fn put(&self, document: &mut Map<String, Value>, values: Vec<Value>) {
        let mut fields = match &self.extension {
            Some(urn) => document.get(urn).and_then(Value::as_object).cloned().unwrap_or_default(),
            None => std::mem::take(document),
        };
        let name = &self.attribute.name;
        if self.attribute.multi_valued {
            self.put_elements(&mut fields, values);
        } else if let Some(sub) = &self.sub {
            let mut object = fields.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
            set(&mut object, &sub.name, values.into_iter().next());
            set(&mut fields, name, (!object.is_empty()).then_some(Value::Object(object)));
        } else {
            set(&mut fields, name, values.into_iter().next());
        }
        match &self.extension {
            Some(urn) => set(document, urn, (!fields.is_empty()).then_some(Value::Object(fields))),
            None => *document = fields,
        }
    }

    fn put_elements(&self, fields: &mut Map<String, Value>, mut values: Vec<Value>) {
        let name = &self.attribute.name;
        let before = fields.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let at = before.iter().position(|element| self.fits(element)).unwrap_or(before.len());
        let mut after: Vec<Value> = before.into_iter().filter(|element| !self.fits(element)).collect();
        // One value is the primary one (RFC 7643 section 2.4): whoever was there first.
        let is_primary = |element: &Value| element.get("primary") == Some(&Value::Bool(true));
        let mut has_primary = after.iter().any(is_primary);
        for value in values.iter_mut().filter(|value| is_primary(value)) {
            if has_primary && let Some(object) = value.as_object_mut() {
                object.shift_remove("primary");
            }
            has_primary = true;
        }
        let at = at.min(after.len());
        after.splice(at..at, values);
        set(fields, name, (!after.is_empty()).then_some(Value::Array(after)));
    }

    /// Whether the values are the same, in whatever order; what only the server sets does not count.
    pub fn is_same(&self, one: &[Value], other: &[Value]) -> bool {
        one.len() == other.len() && one.iter().all(|value| self.has(other, value))
    }

    /// Whether a value is among others.
    pub fn has(&self, values: &[Value], value: &Value) -> bool {
        let of = self.sub.as_ref().unwrap_or(&self.attribute);
        values.iter().any(|known| is_same(of, known, value))
    }

    /// What a source may say of a value: without what only the server sets.
    pub fn sayable(&self, mut value: Value) -> Value {
        if let Value::Object(object) = &mut value {
            for part in self.attribute.sub_attributes.iter().filter(|part| part.mutability == Mutability::ReadOnly) {
                object.shift_remove(&part.name);
            }
        }
        value
    }

    fn fits(&self, element: &Value) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches_element(element))
    }

    fn fields<'d>(&self, document: &'d Map<String, Value>) -> Option<&'d Map<String, Value>> {
        match &self.extension {
            Some(urn) => document.get(urn)?.as_object(),
            None => Some(document),
        }
    }
}

fn set(container: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(container.insert(name.to_owned(), value)),
        None => drop(container.shift_remove(name)),
    }
}
