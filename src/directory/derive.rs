//! The derive stage: what follows from a document by rule. Pure: from what shall be, the resource type and the
//! moment (µs since 1970).

use serde_json::{Map, Value};

use scim::resource::normalise;
use scim::schema::{Attribute, Definition};
use store::ResourceId;

use super::{clients, person};

/// Brings a document into its final form and says what people call the resource. Fails with 400 invalidValue when it
/// says something that the server could not act on.
pub(super) fn derive(
    definition: &Definition,
    document: &mut Map<String, Value>,
    now: i64,
) -> Result<String, scim::Error> {
    refer(definition, document);
    normalise(definition, document);
    match definition.name() {
        clients::CLIENT => clients::check(definition, document)?,
        person::USER => person::settle(document, now)?,
        _ => {}
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

/// Gives a singular reference to a resource of the same type, such as a user's manager, its `$ref` where the client
/// gave the `value` alone and that is an id of ours. It is relative to the resource's own location, as in RFC 7643
/// section 8.3, so that it is right under whatever name clients reach the server. That the other resource exists is not
/// asked: a manager may arrive later than the people below.
fn refer(definition: &Definition, document: &mut Map<String, Value>) {
    refer_in(definition, &definition.core.attributes, document);
    for (schema, _) in &definition.extensions {
        if let Some(Value::Object(fields)) = document.get_mut(&schema.id) {
            refer_in(definition, &schema.attributes, fields);
        }
    }
}

fn refer_in(definition: &Definition, attributes: &[Attribute], fields: &mut Map<String, Value>) {
    for attribute in attributes.iter().filter(|attribute| !attribute.multi_valued) {
        let leads_here = |sub: &Attribute| matches!(sub.reference_types.as_slice(), [one] if one == definition.name());
        if !attribute.sub("$ref").is_some_and(leads_here) {
            continue;
        }
        let Some(Value::Object(object)) = fields.get_mut(&attribute.name) else { continue };
        let is_id = |id: &&str| id.parse::<ResourceId>().is_ok();
        let Some(id) = object.get("value").and_then(Value::as_str).filter(is_id).map(str::to_owned) else { continue };
        // One that leads to another of our resources was read before the value was changed.
        let is_stale = |reference: &str| {
            let (before, other) = reference.rsplit_once('/').unwrap_or_default();
            other != id && is_id(&other) && before.ends_with(definition.endpoint())
        };
        if object.get("$ref").and_then(Value::as_str).is_none_or(is_stale) {
            object.insert("$ref".into(), format!("../{}/{id}", definition.endpoint()).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use scim::schema::Registry;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manager_has_a_reference_that_fits_its_value() {
        const URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        const ONE: &str = "0197a5c0-0000-7000-8000-000000000001";
        const TWO: &str = "0197a5c0-0000-7000-8000-000000000002";
        let registry = Registry::builtin().expect("documents");
        let definition = registry.definition("User").expect("a resource type");
        let other = format!("https://id.example.se/scim/v2/Users/{TWO}");
        let table = [
            (json!({ "value": ONE }), Some(format!("../Users/{ONE}"))),
            (json!({ "value": ONE, "$ref": other }), Some(format!("../Users/{ONE}"))),
            (json!({ "value": TWO, "$ref": other }), Some(other.clone())),
            (
                json!({ "value": ONE, "$ref": "https://elsewhere.example/p/7" }),
                Some("https://elsewhere.example/p/7".into()),
            ),
            (json!({ "value": "7" }), None),
            (json!({ "displayName": "Maj" }), None),
        ];
        for (manager, expected) in table {
            let mut document = json!({ "userName": "bo", URN: { "manager": manager } });
            let document = document.as_object_mut().expect("an object");
            derive(definition, document, 0).expect("derives");
            assert_eq!(document[URN]["manager"].get("$ref").and_then(Value::as_str), expected.as_deref(), "{manager}");
        }
    }
}
