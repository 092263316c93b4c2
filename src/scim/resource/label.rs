//! What people call a resource.

use serde_json::{Map, Value};

/// The attributes that [`label`] reads.
pub(crate) const NAMES: [&str; 3] = ["displayName", "name", "userName"];

/// What people call a resource: its display name, its name, or the name it signs in with.
pub fn label(document: &Map<String, Value>) -> String {
    let text = |name: &str| document.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let formatted = || {
        let name = document.get("name")?;
        let part = |sub: &str| name.get(sub).and_then(Value::as_str);
        match (part("formatted"), part("givenName"), part("familyName")) {
            (Some(formatted), ..) => Some(formatted.to_owned()),
            (None, Some(given), Some(family)) => Some(format!("{given} {family}")),
            (None, given, family) => given.or(family).map(str::to_owned),
        }
    };
    let display = text("displayName").or_else(|| text("name")).map(str::to_owned);
    display.or_else(formatted).or_else(|| text("userName").map(str::to_owned)).unwrap_or_default()
}
