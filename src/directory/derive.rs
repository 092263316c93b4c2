//! The derive stage: what follows from a document by rule. Pure: from what was, what shall be and the resource type.

use serde_json::{Map, Value};

use scim::resource::normalise;
use scim::schema::Definition;

use super::clients;

/// Brings a document into its final form and says what people call the resource. Fails with 400 invalidValue when it
/// says something that the server could not act on.
pub(super) fn derive(definition: &Definition, document: &mut Map<String, Value>) -> Result<String, scim::Error> {
    normalise(definition, document);
    if definition.name() == clients::CLIENT {
        clients::check(definition, document)?;
    }
    Ok(label(document))
}

/// What people call a resource: its display name, its name, or the name it signs in with.
fn label(document: &Map<String, Value>) -> String {
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
