//! Filters (RFC 7644 section 3.4.2.2): whatever the text, it is read or refused as 400 invalidFilter; what was read
//! prints as a text that reads as the same; what fits a resource type can be asked of a document.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scim::filter::{Filter, Parsed};
use scim::schema::Registry;
use serde_json::{Map, Value, json};

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::builtin().unwrap());
static USER: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "1", "userName": "maj@kommun.example", "active": true, "name": { "familyName": "Öberg" },
        "emails": [{ "value": "maj@kommun.example", "type": "work", "primary": true }, { "value": "m@hem.example" }],
        "meta": { "resourceType": "User", "created": "2026-01-02T03:04:05Z", "lastModified": "2026-01-02T03:04:05Z" },
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "employeeNumber": "17" },
    });
    user.as_object().unwrap().clone()
});

fuzz_target!(|text: &str| {
    let filter = match Filter::<Parsed>::parse(text) {
        Ok(filter) => filter,
        Err(error) => {
            assert_eq!(error.body()["scimType"], "invalidFilter");
            return;
        }
    };
    // A printed filter may be longer than what was read, beyond the limit for texts.
    let printed = filter.to_string();
    if printed.len() <= scim::filter::MAX_BYTES {
        let again = Filter::<Parsed>::parse(&printed).expect("a printed filter is one");
        assert_eq!(again.to_string(), printed);
    }
    for definition in REGISTRY.definitions() {
        if let Ok(checked) = filter.clone().check(definition) {
            let holds = checked.matches(&USER);
            assert_ne!(Filter::Not(Box::new(checked.clone())).matches(&USER), holds);
            let _ = checked.attributes().len();
        }
        let _ = filter.clone().check_lenient(definition).map(|checked| checked.matches(&USER));
    }
});
