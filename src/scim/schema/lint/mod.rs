//! Whether a schema or resource type that a client brings can be served (RFC 7643 sections 2, 6 and 7). What passes
//! comes back in canonical form with every characteristic written out; what does not is told by the place in the
//! document. Pure: knows the documents and the registry they are to join, never what is stored.

mod change;
mod resource_type;
mod schema;

use serde_json::{Map, Value};

use crate::Error;

pub use change::{breaks, newly_unique};
pub use resource_type::{amendment, resource_type};
pub use schema::schema;

/// One fault of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, such as `attributes[2].subAttributes[0].name`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Most faults that one answer tells.
const TOLD: usize = 8;

/// 400 invalidValue that tells the findings; `None` when there are none.
pub fn error(findings: &[Finding]) -> Option<Error> {
    let mut told: Vec<String> =
        findings.iter().take(TOLD).map(|finding| format!("{}: {}", finding.path, finding.message)).collect();
    if findings.len() > TOLD {
        told.push(format!("And {} more.", findings.len() - TOLD));
    }
    (!told.is_empty()).then(|| Error::invalid_value(told.join(" ")))
}

/// Findings as they are collected.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Finding { path: path.into(), message: message.into() });
    }
}

/// A member of an object, its name in any case.
fn member<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    object
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .filter(|value| !value.is_null())
}

/// Reads the members of one object, noting what is of the wrong type or unknown.
struct Members<'v> {
    object: &'v Map<String, Value>,
    path: String,
}

impl<'v> Members<'v> {
    fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn refuse_unknown(&self, known: &[&str], findings: &mut Findings) {
        for name in self.object.keys() {
            if !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                findings.add(self.at(name), format!("is not known here. Known are {}.", known.join(", ")));
            }
        }
    }

    fn text(&self, name: &str, findings: &mut Findings) -> Option<&'v str> {
        match member(self.object, name)? {
            Value::String(text) => Some(text),
            _ => {
                findings.add(self.at(name), "must be a string.");
                None
            }
        }
    }

    /// A boolean, and whether it was stated.
    fn boolean(&self, name: &str, findings: &mut Findings) -> Option<bool> {
        match member(self.object, name)? {
            Value::Bool(value) => Some(*value),
            _ => {
                findings.add(self.at(name), "must be true or false.");
                None
            }
        }
    }

    fn array(&self, name: &str, findings: &mut Findings) -> &'v [Value] {
        match member(self.object, name) {
            None => &[],
            Some(Value::Array(items)) => items,
            Some(_) => {
                findings.add(self.at(name), "must be an array.");
                &[]
            }
        }
    }

    /// Distinct texts.
    fn texts(&self, name: &str, findings: &mut Findings) -> Vec<&'v str> {
        let mut texts: Vec<&str> = Vec::new();
        for (n, value) in self.array(name, findings).iter().enumerate() {
            let path = format!("{}[{n}]", self.at(name));
            match value.as_str() {
                None => findings.add(path, "must be a string."),
                Some(text) if text.trim().is_empty() => findings.add(path, "must not be empty."),
                Some(text) if texts.contains(&text) => findings.add(path, "stands here twice."),
                Some(text) => texts.push(text),
            }
        }
        texts
    }

    /// `schemas`, if given, must name the kind of document this is.
    fn check_schemas(&self, urn: &str, findings: &mut Findings) {
        let schemas = self.texts("schemas", findings);
        if member(self.object, "schemas").is_some() && !schemas.iter().any(|known| known.eq_ignore_ascii_case(urn)) {
            findings.add(self.at("schemas"), format!("must hold {urn}."));
        }
    }
}

/// A letter, then letters, digits and those of `more`.
fn is_name(text: &str, more: &[u8]) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 64
        && bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
}

#[cfg(test)]
mod tests;
