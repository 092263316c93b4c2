//! A row of a feed, and what its source says of one resource by it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map as Object, Value};
use sha2::{Digest, Sha256};

use super::value::Said;
use super::{Condition, Part};

/// Longest key of a source in bytes.
const MAX_KEY: usize = 200;

/// The names of columns.
#[derive(Clone, Debug, Default)]
pub struct Header {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Header {
    /// The names as they stand. The error names one that stands twice.
    pub fn new(names: Vec<String>) -> Result<Self, String> {
        let mut places = HashMap::new();
        for (place, name) in names.iter().enumerate() {
            if !name.is_empty() && places.insert(name.clone(), place).is_some() {
                return Err(format!("The column {name:?} stands twice."));
            }
        }
        Ok(Header { names, places })
    }

    /// The names in order; one that is empty has none.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether there is a column of that name.
    pub fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }
}

/// A row of a feed.
#[derive(Clone, Debug)]
pub struct Row {
    /// The line of a text, the row of a sheet; from 1.
    pub number: u64,
    fields: Fields,
}

#[derive(Clone, Debug)]
enum Fields {
    Cells(Arc<Header>, Vec<String>),
    Object(Object<String, Value>),
}

impl Row {
    /// A row of cells.
    pub fn cells(number: u64, header: Arc<Header>, cells: Vec<String>) -> Self {
        Row { number, fields: Fields::Cells(header, cells) }
    }

    /// A row that is a JSON object; its columns are its members, and those of its objects behind a dot.
    pub fn object(number: u64, object: Object<String, Value>) -> Self {
        Row { number, fields: Fields::Object(object) }
    }

    /// What stands in a column.
    pub fn text(&self, column: &str) -> Option<Cow<'_, str>> {
        match &self.fields {
            Fields::Cells(header, cells) => {
                header.places.get(column).and_then(|place| cells.get(*place)).map(|cell| Cow::Borrowed(cell.as_str()))
            }
            Fields::Object(object) => text_of(member(object, column)?),
        }
    }

    /// The objects of a list within the row, as rows of their own.
    fn within(&self, name: &str) -> Vec<Row> {
        let Fields::Object(object) = &self.fields else { return Vec::new() };
        let elements = member(object, name).and_then(Value::as_array).into_iter().flatten();
        elements.filter_map(Value::as_object).map(|element| Row::object(self.number, element.clone())).collect()
    }

    /// The row as it may be shown: of the columns in `known` alone, with those in `secret` struck out.
    pub fn shown<'n>(&self, known: impl Iterator<Item = &'n str>, secret: &[&str]) -> Object<String, Value> {
        let mut shown = Object::new();
        for name in known {
            if let Some(text) = self.text(name).filter(|text| !text.is_empty()) {
                let text = if secret.contains(&name) { Cow::Borrowed("***") } else { text };
                shown.insert(name.to_owned(), text.into_owned().into());
            } else if let Fields::Object(object) = &self.fields
                && member(object, name).is_some_and(Value::is_array)
            {
                shown.insert(name.to_owned(), "[…]".into());
            }
        }
        shown
    }
}

fn member<'o>(object: &'o Object<String, Value>, path: &str) -> Option<&'o Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    member(object.get(first)?.as_object()?, rest)
}

fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(_) | Value::Bool(_) => Some(Cow::Owned(value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What a row says of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapped {
    /// The source's own key.
    pub key: String,
    /// What each column of the part says, by its place.
    pub said: Vec<Option<Said>>,
    /// The elements for each list of the part, by its place.
    pub elements: Vec<Vec<Element>>,
    /// A digest of all that.
    pub digest: u128,
}

impl Mapped {
    /// What it says, for a person to look at: by path, without secrets.
    pub fn shown(&self, part: &Part) -> Value {
        let mut shown = Object::new();
        shown.insert("resourceType".into(), part.definition.name().into());
        shown.insert("externalId".into(), self.key.as_str().into());
        for (column, said) in part.columns.iter().zip(&self.said) {
            let value = match said {
                None => continue,
                Some(_) if column.is_secret => "***".into(),
                Some(Said::Value(value)) => value.clone(),
                Some(Said::Key(key)) => serde_json::json!({ "key": key }),
            };
            shown.insert(column.path.clone(), value);
        }
        for (list, elements) in part.lists.iter().zip(&self.elements) {
            let elements = elements.iter().map(|element| Value::Object(element.object.clone()));
            shown.insert(list.spot.attribute.clone(), elements.collect());
        }
        Value::Object(shown)
    }
}

/// An element of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// What tells it apart.
    pub key: String,
    /// The element.
    pub object: Object<String, Value>,
}

/// The key of another resource, and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reference {
    /// Which column of the part.
    pub column: usize,
    /// The other's resource type.
    pub kind: String,
    /// Its key, as the same source has it.
    pub key: String,
}

impl Part {
    /// The source's own key in a row; `None`: the row is about something else. The error is a sentence.
    pub fn key_of(&self, row: &Row) -> Result<Option<String>, String> {
        if !self.when.iter().all(|condition| condition.holds(row)) {
            return Ok(None);
        }
        let mut key = String::new();
        for (place, column) in self.key.iter().enumerate() {
            let text = row.text(column).unwrap_or_default();
            let text = text.trim();
            if text.is_empty() {
                return Err(format!("{column}: the key is empty."));
            }
            if text.contains(['\u{FFFD}', '\0']) || key.len() + text.len() >= MAX_KEY {
                return Err(format!("{column}: this cannot be a key."));
            }
            if place > 0 {
                key.push('/');
            }
            key.push_str(text);
        }
        Ok(Some(key))
    }

    /// What a row says of the resource with that key. The error is a sentence.
    pub fn map(&self, row: &Row, key: String) -> Result<Mapped, String> {
        let said: Result<Vec<_>, String> = self.columns.iter().map(|column| column.read(row)).collect();
        let said = said?;
        let mut elements = Vec::with_capacity(self.lists.len());
        for list in &self.lists {
            let rows = match &list.from {
                Some(name) => Cow::Owned(row.within(name)),
                None => Cow::Borrowed(std::slice::from_ref(row)),
            };
            let mut found = Vec::new();
            for row in rows.iter() {
                let mut object = Object::new();
                for column in &list.columns {
                    match column.read(row)? {
                        Some(Said::Value(value)) => column.spot.put(&mut object, Some(value)),
                        Some(Said::Key(key)) => column.spot.put(&mut object, Some(key.into())),
                        None => {}
                    }
                }
                // A row without it has no such element.
                let key = object.get(&list.key).and_then(|key| text_of(key).map(Cow::into_owned));
                if let Some(key) = key {
                    found.push(Element { key, object });
                }
            }
            elements.push(found);
        }
        let digest = digest_of(&said, &elements);
        Ok(Mapped { key, said, elements, digest })
    }
}

fn digest_of(said: &[Option<Said>], elements: &[Vec<Element>]) -> u128 {
    let mut digest = Sha256::new();
    let mut add = |tag: u8, text: &str| {
        digest.update([tag]);
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    };
    for said in said {
        match said {
            None => add(0, ""),
            Some(Said::Value(value)) => add(1, &value.to_string()),
            Some(Said::Key(key)) => add(2, key),
        }
    }
    for list in elements {
        add(3, "");
        for element in list {
            // Members are in the order of the map.
            add(4, &Value::Object(element.object.clone()).to_string());
        }
    }
    number(&digest.finalize())
}

/// The first sixteen bytes of a digest.
pub(crate) fn number(digest: &[u8]) -> u128 {
    digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

impl Condition {
    fn holds(&self, row: &Row) -> bool {
        let text = row.text(&self.column).unwrap_or_default();
        let text = text.trim();
        let fits = match self.is.is_empty() {
            true => !text.is_empty(),
            false => self.is.iter().any(|is| is == text),
        };
        fits != self.not
    }
}
