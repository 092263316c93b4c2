//! What no two resources share: attributes that are unique, and the forms of such that a view shows. A document's unique
//! keys are a pure function of these paths and the document, as its index rows are.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use scim::filter::Target;
use scim::key;
use scim::schema::{Attribute, Definition, Schema, Uniqueness};

use crate::unique::UniqueKey;

/// A path at which no two resources share a value.
#[derive(Clone, Debug)]
pub(super) struct Unique {
    pub(super) target: Target,
    /// Number of the index of a form that views show. Its keys go with it.
    pub(super) form: Option<i64>,
}

impl Unique {
    /// What its keys are among.
    pub(super) fn namespace(&self, kind: &str) -> String {
        self.form.map_or_else(|| format!("{kind}:{}", self.target.canonical), form_namespace)
    }

    /// The path, as whoever has written the value knows it.
    pub(super) fn path(&self) -> &str {
        self.target.mapping.as_ref().map_or(&self.target.canonical, |mapping| mapping.path())
    }

    /// Whether the values of a document are bound at all.
    pub(super) fn binds(&self, document: &Map<String, Value>) -> bool {
        self.target.mapping.as_ref().is_none_or(|mapping| mapping.binds(document))
    }

    /// Whether its keys may be others when these names of a document have other values.
    pub(super) fn may_hang_on(&self, changed: &[&str]) -> bool {
        self.form.is_some() || self.target.hangs_on(changed)
    }

    /// Whether its keys may be others when a document becomes another one.
    pub(super) fn may_move(&self, before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
        self.form.is_some() || !self.target.is_same(before, after)
    }
}

/// What the unique keys of a form are among.
pub(super) fn form_namespace(path: i64) -> String {
    format!("#{path}")
}

/// The attributes that are unique, with their paths: simple ones of the core schema and of extensions.
pub(super) fn unique_paths(definition: &Definition) -> Vec<(String, &Attribute)> {
    let of = |schema: &'_ Schema, prefix: String| -> Vec<(String, usize)> {
        let numbered = schema.attributes.iter().enumerate();
        let unique =
            numbered.filter(|(_, attribute)| attribute.uniqueness != Uniqueness::None && attribute.name != "id");
        unique.map(|(n, attribute)| (format!("{prefix}{}", attribute.name), n)).collect()
    };
    let schemas = std::iter::once((&definition.core, String::new()))
        .chain(definition.extensions.iter().map(|(schema, _)| (schema, format!("{}:", schema.id))));
    schemas
        .flat_map(|(schema, prefix)| {
            let places = of(schema, prefix);
            places.into_iter().filter_map(move |(path, n)| Some((path, schema.attributes.get(n)?)))
        })
        .collect()
}

/// The unique keys that a document has at these paths, each with the path.
pub(super) fn keys_at(paths: &[&Unique], kind: &str, document: &Map<String, Value>) -> BTreeSet<(UniqueKey, String)> {
    let mut keys = BTreeSet::new();
    for unique in paths.iter().filter(|unique| unique.binds(document)) {
        let namespace = unique.namespace(kind);
        for value in unique.target.keys(document) {
            keys.insert((UniqueKey::new(&namespace, &value), unique.path().to_owned()));
        }
    }
    keys
}

/// The unique key of a resource's value of a form that is to be indexed under a number; `None`: it has none that binds.
pub(crate) fn form_key(path: i64, target: &Target, document: &Map<String, Value>) -> Option<UniqueKey> {
    let mapping = target.mapping.as_ref().filter(|mapping| mapping.binds(document))?;
    let value = key::of(&mapping.value(document)?, target.kind, target.rule)?;
    Some(UniqueKey::new(&form_namespace(path), &value))
}
