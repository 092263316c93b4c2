//! PATCH (RFC 7644 section 3.5.2): the first byte chooses resource type and strictness, the rest is the body. Whatever it
//! is, it is refused with a 4xx or carried out; what comes out is a document that would be accepted as it is, and the
//! same operations again do not fail in another way than with a SCIM error.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scim::patch;
use scim::resource::{self, Notes, Strictness};
use scim::schema::Registry;
use serde_json::{Map, Value, json};

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::builtin().unwrap());

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
    let kind = ["User", "Group", "Client", "User"][usize::from(choice & 3)];
    let strictness = if choice & 4 == 0 { Strictness::Tolerant } else { Strictness::Strict };
    let definition = REGISTRY.definition(kind).unwrap();
    let document = document(kind);
    let patch = match patch::parse(definition, &body, strictness, &mut Notes::default()) {
        Ok(patch) => patch,
        Err(error) => return assert!((400..500).contains(&error.status), "{error}"),
    };
    match patch::apply(definition, &document, &patch.document, &mut Notes::default()) {
        Ok(mut changed) => {
            let once = Value::Object(changed.clone()).to_string();
            resource::normalise(definition, &mut changed);
            assert_eq!(Value::Object(changed.clone()).to_string(), once, "the result was not canonical");
            let read = resource::validate(definition, &Value::Object(changed.clone()), strictness, &mut Notes::default());
            if let Err(error) = read {
                panic!("the result would be refused: {error}\n{once}");
            }
            if let Err(error) = patch::apply(definition, &changed, &patch.document, &mut Notes::default()) {
                assert!((400..500).contains(&error.status), "{error}");
            }
        }
        Err(error) => assert!((400..500).contains(&error.status), "{error}"),
    }
});

fn document(kind: &str) -> Map<String, Value> {
    let document = match kind {
        "User" => json!({
            "schemas": [
                "urn:ietf:params:scim:schemas:core:2.0:User",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            ],
            "userName": "maj@kommun.example",
            "name": { "familyName": "Öberg", "givenName": "Maj" },
            "active": true,
            "emails": [
                { "value": "maj@kommun.example", "type": "work", "primary": true },
                { "value": "maj@hem.example", "type": "home" },
            ],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                "employeeNumber": "17", "manager": { "value": "2" },
            },
        }),
        "Group" => json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": "Hemtjänsten norr",
        }),
        _ => json!({
            "schemas": ["urn:matrikel:scim:schemas:1.0:Client"],
            "name": "personalsystem", "role": "source", "active": true,
        }),
    };
    document.as_object().unwrap().clone()
}
