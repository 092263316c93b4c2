//! Paths of PATCH operations (RFC 7644 figure 7): whatever the text, it is read or refused as 400 invalidPath; what was
//! read prints as a text that reads as the same, and can be looked up in every resource type.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scim::path::PatchPath;
use scim::schema::Registry;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::builtin().unwrap());

fuzz_target!(|text: &str| {
    let path = match PatchPath::parse(text) {
        Ok(path) => path,
        Err(error) => {
            assert_eq!(error.body()["scimType"], "invalidPath");
            return;
        }
    };
    let printed = path.to_string();
    if printed.len() <= scim::filter::MAX_BYTES {
        assert_eq!(PatchPath::parse(&printed).expect("a printed path is one").to_string(), printed);
    }
    for definition in REGISTRY.definitions() {
        if let Some(place) = definition.resolve(&path.attr) {
            // A canonical path leads to the same place.
            let canonical = place.canonical();
            assert_eq!(definition.resolve(&canonical).map(|place| place.canonical()), Some(canonical));
        }
    }
});
