//! Reads the case files of `cases/`: each file is an array of cases that a reader can extend without code.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use crate::Error;
use crate::resource::{Notes, Strictness};
use crate::schema::{Definition, Registry};

/// A type with what the shipped ones lack: immutable, `request`, `always`, required sub-attributes and every kind.
const DEVICE: &str = include_str!("cases/device.json");

/// Every case of a folder below `cases/`.
pub(crate) fn load(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let cases: Vec<Case> = files
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            let cases: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file:?}: {error}"));
            let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
            cases.into_iter().map(move |case| Case { file: stem.clone(), case })
        })
        .collect();
    assert!(!cases.is_empty(), "{folder:?} has no cases");
    cases
}

pub(crate) struct Case {
    file: String,
    case: Value,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.file, self.case["case"].as_str().expect("a case has a name"))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        self.case.get(name)
    }

    pub(crate) fn document(&self, name: &str) -> Map<String, Value> {
        self.case[name].as_object().unwrap_or_else(|| panic!("{} has no {name}", self.name())).clone()
    }

    pub(crate) fn strictness(&self) -> Strictness {
        if self.case["strict"] == true { Strictness::Strict } else { Strictness::Tolerant }
    }

    pub(crate) fn definition(&self) -> Arc<Definition> {
        definition(self.case["type"].as_str().unwrap_or("User"))
    }

    /// Compares the outcome with `expect` or `error`, and the tolerances with `notes` where it is given.
    pub(crate) fn check(&self, outcome: Result<Value, Error>, notes: &Notes) {
        let name = self.name();
        match (outcome, self.case.get("expect"), self.case.get("error")) {
            (Ok(found), Some(expected), None) => {
                assert_eq!(found.to_string(), expected.to_string(), "{name}");
            }
            (Err(found), None, Some(expected)) => {
                let kind = found.scim_type.map(|kind| kind.as_str());
                assert_eq!(kind, expected["scimType"].as_str(), "{name}: {found}");
                assert_eq!(u64::from(found.status), expected["status"].as_u64().unwrap_or(400), "{name}: {found}");
                if let Some(detail) = expected["detail"].as_str() {
                    assert_eq!(found.detail, detail, "{name}");
                }
            }
            (found, expected, error) => panic!("{name}: found {found:?}, expected {expected:?} {error:?}"),
        }
        if let Some(expected) = self.case.get("notes") {
            assert_eq!(Value::from_iter(notes.iter()), *expected, "{name}");
        }
    }
}

/// A shipped resource type, or `Device` of the case files.
pub(crate) fn definition(name: &str) -> Arc<Definition> {
    static SHIPPED: LazyLock<Registry> = LazyLock::new(|| Registry::builtin().unwrap());
    static OWN: LazyLock<Registry> = LazyLock::new(|| {
        let device: Value = serde_json::from_str(DEVICE).unwrap();
        let documents = |name: &str| device[name].as_array().unwrap().clone();
        Registry::new(documents("schemas"), documents("resourceTypes")).unwrap()
    });
    SHIPPED.definition(name).or_else(|| OWN.definition(name)).expect("a known type").clone()
}
