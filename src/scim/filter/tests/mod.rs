//! Filters: cases in `cases/filter/`, and properties on random filters and documents.

pub(crate) mod arbitrary;
mod cases;
mod properties;

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::{Checked, Filter};
use crate::schema::{Definition, Registry};

static BUILTIN: LazyLock<Registry> = LazyLock::new(|| Registry::builtin().unwrap());

static PROBE: LazyLock<Registry> = LazyLock::new(|| {
    let mut documents: Value = serde_json::from_str(include_str!("../../cases/probe.json")).unwrap();
    let mut take = |name: &str| documents[name].take().as_array().unwrap().clone();
    Registry::new(take("schemas"), take("resourceTypes")).unwrap()
});

/// A shipped resource type, or `Probe`, which has every data type.
pub(crate) fn definition(name: &str) -> &'static Arc<Definition> {
    PROBE.definition(name).or_else(|| BUILTIN.definition(name)).unwrap()
}

pub(crate) fn checked(text: &str, name: &str) -> Filter<Checked> {
    Filter::parse(text).unwrap().check(definition(name)).unwrap()
}

pub(crate) fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}
