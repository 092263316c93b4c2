//! The narrow index: which paths of which resource types have rows in `attr_index`, and the rows of a document. The
//! rows are a pure function of the paths and the document; an update writes the difference of two sets.
//!
//! A path of type `sort` has exactly one row a resource, [`scim::key::ABSENT`] without a value: it answers comparisons
//! and sorting. A path of type `value` has a row for each value: it answers comparisons alone.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde::Deserialize;
use serde_json::{Map, Value};

use scim::filter::Target;
use scim::key;
use scim::schema::{Definition, Registry, Uniqueness};

use crate::db::Db;
use crate::statement::{self, Statement, insert};
use crate::unique::UniqueKey;
use crate::{Error, ResourceId, TenantId};

/// The indexes that a tenant starts with.
const DEFAULTS: &str = include_str!("../../schemas/indexes.json");

#[derive(Deserialize)]
struct Default {
    kind: String,
    path: String,
    #[serde(rename = "type")]
    mode: String,
}

/// What a path's rows can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One row for each value.
    Values,
    /// One row, the sort key.
    Sort,
}

/// One indexed path.
#[derive(Clone, Debug)]
pub(crate) struct IndexedPath {
    pub(crate) id: i64,
    pub(crate) mode: Mode,
    pub(crate) target: Target,
}

/// What the store knows of one resource type in one tenant.
#[derive(Clone, Debug)]
pub(crate) struct KindIndexes {
    paths: Vec<IndexedPath>,
    unique: Vec<Target>,
    has_members: bool,
}

/// The indexes of one tenant, by resource type. Read once and shared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Indexes {
    kinds: HashMap<String, Arc<KindIndexes>>,
}

/// One row of `attr_index`, without its tenant and resource.
pub(crate) type IndexRow = (i64, String);

impl Indexes {
    /// Reads which paths are indexed and ready.
    pub(crate) fn load(db: &mut Db, tenant: TenantId, registry: &Registry) -> Result<Self, Error> {
        let rows = Statement::<(BigInt, Text, Text, Text)>::new(
            "SELECT path_id, kind, path, type FROM attr_path WHERE state = 'ready' AND tenant_id = ",
        )
        .bind(tenant)
        .sql(" ORDER BY path_id")
        .load::<(i64, String, String, String)>(db)?;
        let mut paths: HashMap<String, Vec<IndexedPath>> = HashMap::new();
        for (id, kind, path, mode) in rows {
            let target = registry.definition(&kind).and_then(|definition| Target::resolve(definition, &path));
            let target = target.ok_or_else(|| Error::Corrupt(format!("index on the unknown path {path} of {kind}")))?;
            let mode = if mode == "sort" { Mode::Sort } else { Mode::Values };
            paths.entry(kind).or_default().push(IndexedPath { id, mode, target });
        }
        let kinds = registry.definitions().iter().map(|definition| {
            let paths = paths.remove(definition.name()).unwrap_or_default();
            (definition.name().to_owned(), Arc::new(KindIndexes::new(definition, paths)))
        });
        Ok(Indexes { kinds: kinds.collect() })
    }

    /// Whether nothing is indexed, as in a tenant that does not exist.
    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.values().all(|kind| kind.paths.is_empty())
    }

    /// The indexes of a resource type.
    pub(crate) fn of(&self, kind: &str) -> Result<&Arc<KindIndexes>, Error> {
        self.kinds.get(kind).ok_or_else(|| Error::Corrupt(format!("no resource type {kind}")))
    }
}

impl KindIndexes {
    fn new(definition: &Definition, paths: Vec<IndexedPath>) -> Self {
        let unique = definition
            .attributes()
            .filter(|attribute| attribute.uniqueness != Uniqueness::None && attribute.name != "id")
            .filter_map(|attribute| Target::resolve(definition, &attribute.name))
            .collect();
        KindIndexes { paths, unique, has_members: definition.core.attribute("members").is_some() }
    }

    /// Whether resources of the type have members.
    pub(crate) fn has_members(&self) -> bool {
        self.has_members
    }

    /// The index of a path, by its canonical form.
    pub(crate) fn path(&self, canonical: &str) -> Option<&IndexedPath> {
        self.paths.iter().find(|path| &*path.target.canonical == canonical)
    }

    /// The index rows of a document.
    pub(crate) fn rows(&self, document: &Map<String, Value>) -> BTreeSet<IndexRow> {
        let mut rows = BTreeSet::new();
        for path in &self.paths {
            match path.mode {
                Mode::Sort => {
                    let sort_key = path.target.sort_key(document);
                    rows.insert((path.id, key::cut(sort_key.as_deref().unwrap_or(key::ABSENT)).into_owned()));
                }
                Mode::Values => {
                    for value in path.target.keys(document) {
                        rows.insert((path.id, key::cut(&value).into_owned()));
                    }
                }
            }
        }
        rows
    }

    /// The unique keys of a document, each with the path it stands at.
    pub(crate) fn unique_keys(&self, kind: &str, document: &Map<String, Value>) -> BTreeSet<(UniqueKey, String)> {
        let mut keys = BTreeSet::new();
        for target in &self.unique {
            let namespace = format!("{kind}:{}", target.canonical);
            for value in target.keys(document) {
                keys.insert((UniqueKey::new(&namespace, &value), target.canonical.to_string()));
            }
        }
        keys
    }
}

/// Writes the indexes that a new tenant starts with.
pub(crate) fn lay_defaults(db: &mut Db, tenant: TenantId) -> Result<(), Error> {
    let defaults: Vec<Default> = serde_json::from_str(DEFAULTS).map_err(|error| Error::Corrupt(error.to_string()))?;
    let rows = (1_i64..)
        .zip(defaults)
        .map(|(id, path)| {
            vec![tenant.into(), id.into(), path.kind.into(), path.path.into(), path.mode.into(), "ready".into()]
        })
        .collect();
    insert(db, "INSERT INTO attr_path (tenant_id, path_id, kind, path, type, state)", rows, "")?;
    Ok(())
}

/// Rows that came and went, by resource.
#[derive(Debug, std::default::Default)]
pub(crate) struct IndexDiff {
    gone: Vec<(ResourceId, IndexRow)>,
    new: Vec<(ResourceId, IndexRow)>,
}

impl IndexDiff {
    /// Adds the difference between two sets of rows of one resource.
    pub(crate) fn add(&mut self, id: ResourceId, before: &BTreeSet<IndexRow>, after: &BTreeSet<IndexRow>) {
        self.gone.extend(before.difference(after).cloned().map(|row| (id, row)));
        self.new.extend(after.difference(before).cloned().map(|row| (id, row)));
    }

    /// Writes the difference.
    pub(crate) fn store(self, db: &mut Db, tenant: TenantId) -> Result<(), Error> {
        let row = |(id, (path, value)): (ResourceId, IndexRow)| -> Vec<statement::Value> {
            vec![tenant.into(), path.into(), value.into(), id.into()]
        };
        statement::delete(
            db,
            "attr_index",
            &["tenant_id", "path_id", "value", "resource_id"],
            self.gone.into_iter().map(row).collect(),
        )?;
        insert(
            db,
            "INSERT INTO attr_index (tenant_id, path_id, value, resource_id)",
            self.new.into_iter().map(row).collect(),
            "",
        )?;
        Ok(())
    }
}
