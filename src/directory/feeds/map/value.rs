//! What a column says: a text becomes the value of an attribute, by table, date format and type. What cannot be one is
//! told in a sentence that never repeats a secret.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use scim::schema::Type;
use scim::template::{Template, TemplateError};
use serde_json::Value;

use super::row::Row;
use super::spot::Spot;

/// Whence a value comes.
#[derive(Clone, Debug, PartialEq)]
pub enum From {
    /// A column.
    Column(String),
    /// Several columns, put together.
    Template(Template),
    /// The same for every row.
    Constant(Value),
}

/// A column, and the attribute that it becomes.
#[derive(Clone, Debug)]
pub struct Column {
    /// Where it goes.
    pub spot: Spot,
    /// The path as the map writes it, for sentences.
    pub path: String,
    /// Whence it comes.
    pub from: From,
    /// What its texts mean; without it they mean themselves.
    pub values: Option<BTreeMap<String, Value>>,
    /// What a text means that the table does not have.
    pub otherwise: Option<Value>,
    /// How dates are written, in the terms of strptime.
    pub date: Option<String>,
    /// Between several values.
    pub split: Option<String>,
    /// The resource type whose key it is, as the same source knows it.
    pub refers: Option<String>,
    /// Whether it is never shown.
    pub is_secret: bool,
}

/// What a column of a row says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A value.
    Value(Value),
    /// The key of another resource.
    Key(String),
}

impl Column {
    /// The names of the columns that it reads.
    pub fn names(&self) -> Vec<&str> {
        match &self.from {
            From::Column(name) => vec![name],
            From::Template(template) => template.names().into_iter().collect(),
            From::Constant(_) => Vec::new(),
        }
    }

    /// What a row says; `None`: nothing. The error is a sentence.
    pub fn read(&self, row: &Row) -> Result<Option<Said>, String> {
        let (name, text) = match &self.from {
            From::Constant(value) => return Ok(Some(Said::Value(value.clone()))),
            From::Column(name) => (name.as_str(), row.text(name)),
            From::Template(template) => (self.path.as_str(), self.render(template, row)?.map(Cow::Owned)),
        };
        let Some(text) = text else { return Ok(None) };
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if text.contains('\u{FFFD}') {
            return Err(format!("{name}: a letter was lost. The file is in another encoding than the map says."));
        }
        if self.refers.is_some() {
            return Ok(Some(Said::Key(text.to_owned())));
        }
        if self.spot.is_list {
            let parts = match &self.split {
                Some(split) => text.split(split.as_str()).map(str::trim).filter(|part| !part.is_empty()).collect(),
                None => vec![text],
            };
            let values: Result<Vec<Value>, String> = parts.into_iter().map(|part| self.value(name, part)).collect();
            return Ok(Some(Said::Value(Value::Array(values?))));
        }
        self.value(name, text).map(|value| Some(Said::Value(value)))
    }

    /// What a template makes of a row; `None`: a column that it needs is empty.
    fn render(&self, template: &Template, row: &Row) -> Result<Option<String>, String> {
        let value = |name: &str| {
            let text = row.text(name)?;
            let text = text.trim();
            (!text.is_empty()).then(|| Cow::Owned(Value::from(text)))
        };
        match template.render(value) {
            Ok(text) => Ok(Some(text)),
            Err(TemplateError::Undefined) => Ok(None),
            Err(error) => Err(format!("{}: {error}", self.path)),
        }
    }

    fn value(&self, name: &str, text: &str) -> Result<Value, String> {
        if let Some(values) = &self.values {
            let meant = values.get(text).or(self.otherwise.as_ref());
            return meant.cloned().ok_or_else(|| format!("{name}: {} is not among its values.", self.shown(text)));
        }
        if let Some(format) = &self.date {
            return self
                .date(format, text)
                .ok_or_else(|| format!("{name}: {} is no date of the form {format}.", self.shown(text)));
        }
        let wrong = |what: &str| format!("{name}: {} is no {what}.", self.shown(text));
        match self.spot.kind {
            Type::Boolean => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                _ => Err(wrong("true or false; give it a table of values")),
            },
            Type::Integer => text.parse::<i64>().map(Value::from).map_err(|_| wrong("whole number")),
            // In the north a comma stands before the decimals.
            Type::Decimal => text
                .replace(',', ".")
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .map(Value::from)
                .ok_or_else(|| wrong("number")),
            _ => Ok(Value::from(text)),
        }
    }

    fn date(&self, format: &str, text: &str) -> Option<Value> {
        // A cell that is a date has no form of its own, and a reader of sheets writes it as ISO 8601.
        let date = Date::strptime(format, text).or_else(|_| text.parse::<Date>()).ok();
        let date = date.or_else(|| DateTime::strptime(format, text).ok().map(DateTime::date))?;
        Some(match self.spot.kind {
            Type::DateTime => Value::from(format!("{date}T00:00:00Z")),
            _ => Value::from(date.to_string()),
        })
    }

    /// A text as it may be told.
    fn shown(&self, text: &str) -> String {
        if self.is_secret { "what it says".to_owned() } else { format!("{text:?}") }
    }
}
