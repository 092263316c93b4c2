//! The derive stage: what follows from a document by rule. Pure: from what was, what shall be and the resource type.

use serde_json::{Map, Value};

use provisioning::{calendar, person};
use scim::resource::{label, normalise};
use scim::schema::{Attribute, Definition, Registry};
use store::ResourceId;

use super::{adoptions, authorities, clients, feeds, issuers, rules, settle, simulations, units, views};

/// Brings a document into its final form and says what people call the resource. `before` is the document as it is
/// stored, with what stands for its secrets; `now`: µs since 1970. Fails with 400 invalidValue when it
/// says something that the server could not act on.
pub(super) fn derive(
    registry: &Registry,
    definition: &Definition,
    document: &mut Map<String, Value>,
    before: Option<&Map<String, Value>>,
    now: i64,
) -> Result<String, scim::Error> {
    refer(definition, document);
    normalise(definition, document);
    if definition.name() == clients::CLIENT {
        clients::check(definition, document)?;
    }
    if (definition.name() == person::USER || adoptions::are(definition)) && definition.extension(person::URN).is_some()
    {
        person::settle(document, before, calendar::Calendar::default().day_of(now))?;
    }
    if units::are(definition) {
        provisioning::units::check(document)?;
    }
    if definition.name() == issuers::ISSUER {
        issuers::check(document)?;
    }
    if definition.name() == settle::POLICY {
        settle::check_policy(registry, document)?;
    }
    if adoptions::are(definition) {
        adoptions::check(document)?;
    }
    if definition.name() == settle::AUTHORITY {
        authorities::check(registry, document)?;
    }
    if definition.name() == feeds::FEED {
        feeds::check(registry, document)?;
    }
    if definition.name() == views::VIEW {
        views::check(registry, document)?;
    }
    if definition.name() == settle::RULE {
        rules::check(registry, document)?;
    }
    if definition.name() == simulations::SIMULATION {
        simulations::check(registry, document)?;
    }
    Ok(label(document))
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
            derive(&registry, definition, document, None, 0).expect("derives");
            assert_eq!(document[URN]["manager"].get("$ref").and_then(Value::as_str), expected.as_deref(), "{manager}");
        }
    }
}
