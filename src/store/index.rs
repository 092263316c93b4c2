//! The narrow index: which paths of which resource types have rows in `attr_index`, and the rows of a document. The
//! rows are a pure function of the paths and the document; an update writes the difference of two sets.
//!
//! A path of type `sort` has exactly one row a resource, [`scim::key::ABSENT`] without a value: it answers comparisons
//! and sorting. A path of type `value` has a row for each value: it answers comparisons alone.

mod bound;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde::Deserialize;
use serde_json::{Map, Value};

use scim::filter::Target;
use scim::key;
use scim::mapping::Mapping;
use scim::resource::differing;
use scim::schema::{Attribute, Definition, Registry, Type};

use crate::db::Db;
use crate::fixed::{self, Writing};
use crate::statement::{self, Statement, insert, insert_apart};
use crate::unique::{self, UniqueKey};
use crate::{Error, ResourceId, TenantId, catalog};

pub(crate) use bound::form_key;
use bound::{Unique, form_namespace, keys_at, unique_paths};

/// The indexes that a tenant starts with.
const DEFAULTS: &str = include_str!("../../schemas/indexes.json");

/// An index that answers searches.
const READY: &str = "ready";
/// An index that some resources have no rows of yet.
const BUILDING: &str = "building";
/// An index that answers nothing and is kept up no more; its number is free when its rows are gone.
const DROPPING: &str = "dropping";
/// What people call a resource, in schemas that are not ours.
const NAMES: [&str; 6] = ["displayName", "display", "name", "title", "value", "userName"];

#[derive(Deserialize)]
struct Default {
    kind: String,
    path: String,
    #[serde(rename = "type")]
    mode: String,
}

/// What a path's rows can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// One row for each value.
    Values,
    /// One row, the sort key.
    Sort,
}

impl Mode {
    /// How a path is indexed: for comparing and sorting if it has a single value, else for comparing.
    pub(crate) fn of(is_multi: bool) -> Self {
        if is_multi { Mode::Values } else { Mode::Sort }
    }

    /// The word in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Mode::Values => "value",
            Mode::Sort => "sort",
        }
    }
}

/// One indexed path.
#[derive(Clone, Debug)]
pub(crate) struct IndexedPath {
    pub(crate) id: i64,
    pub(crate) mode: Mode,
    pub(crate) target: Target,
    /// Whether every resource has its rows; until then writes keep it up and searches pass it over.
    is_ready: bool,
}

/// What the store knows of one resource type in one tenant.
#[derive(Clone, Debug)]
pub(crate) struct KindIndexes {
    paths: Vec<IndexedPath>,
    unique: Vec<Unique>,
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
    /// Reads which paths are indexed.
    pub(crate) fn load(db: &mut Db, tenant: TenantId, registry: &Registry) -> Result<Self, Error> {
        let rows = Statement::<(BigInt, Text, Text, Text, Text)>::new(
            "SELECT path_id, kind, path, type, state FROM attr_path WHERE tenant_id = ",
        )
        .bind(tenant)
        .sql(" ORDER BY path_id")
        .load::<(i64, String, String, String, String)>(db)?;
        let mut paths: HashMap<String, Vec<IndexedPath>> = HashMap::new();
        for (id, kind, path, mode, state) in rows.into_iter().filter(|(.., state)| state != DROPPING) {
            let target = registry.definition(&kind).and_then(|definition| Target::indexed(definition, &path));
            // A form that does not fit its type any more is shown by no view.
            if target.is_none() && Mapping::is_text(&path) {
                continue;
            }
            let target = target.ok_or_else(|| Error::Corrupt(format!("index on the unknown path {path} of {kind}")))?;
            let mode = if mode == "sort" { Mode::Sort } else { Mode::Values };
            paths.entry(kind).or_default().push(IndexedPath { id, mode, target, is_ready: state == READY });
        }
        let kinds = registry.definitions().iter().map(|definition| {
            let paths = paths.remove(definition.name()).unwrap_or_default();
            (definition.name().to_owned(), Arc::new(KindIndexes::new(definition, paths)))
        });
        Ok(Indexes { kinds: kinds.chain(Indexes::of_catalog(registry).kinds).collect() })
    }

    /// The tenant's own schemas and resource types alone, which are known before what they describe is.
    pub(crate) fn of_catalog(registry: &Registry) -> Self {
        let own = catalog::KINDS.into_iter().filter_map(|kind| KindIndexes::of_catalog(registry, kind));
        Indexes { kinds: own.collect() }
    }

    /// What is unique among resources of a kind, by a registry that is not in force yet; without paths.
    pub(crate) fn unique_of(registry: &Registry, kind: &str) -> Result<KindIndexes, Error> {
        let definition = registry.definition(kind).ok_or_else(|| Error::Corrupt(format!("no resource type {kind}")))?;
        Ok(KindIndexes::new(definition, Vec::new()))
    }

    /// Whether nothing is indexed, as in a tenant that does not exist.
    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.values().all(|kind| kind.paths.is_empty())
    }

    /// Every kind of resource with its indexes.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&str, &Arc<KindIndexes>)> {
        self.kinds.iter().map(|(kind, indexes)| (kind.as_str(), indexes))
    }

    /// The indexes of a resource type.
    pub(crate) fn of(&self, kind: &str) -> Result<&Arc<KindIndexes>, Error> {
        self.kinds.get(kind).ok_or_else(|| Error::Corrupt(format!("no resource type {kind}")))
    }
}

impl KindIndexes {
    fn new(definition: &Definition, paths: Vec<IndexedPath>) -> Self {
        let unique = unique_paths(definition).into_iter();
        let own =
            unique.filter_map(|(path, _)| Some(Unique { target: Target::resolve(definition, &path)?, form: None }));
        let is_unique = |path: &&IndexedPath| path.target.mapping.as_ref().is_some_and(|mapping| mapping.is_unique());
        let forms = paths.iter().filter(is_unique);
        let forms = forms.map(|path| Unique { target: path.target.clone(), form: Some(path.id) });
        let unique = own.chain(forms).collect();
        KindIndexes { paths, unique, has_members: definition.core.attribute("members").is_some() }
    }

    /// Schemas and resource types are found by their `id`, which no two of a tenant share.
    fn of_catalog(registry: &Registry, kind: &str) -> Option<(String, Arc<KindIndexes>)> {
        let any = registry.definitions().first()?;
        let unique = Target::resolve(any, "id").map(|target| Unique { target, form: None }).into_iter().collect();
        Some((kind.to_owned(), Arc::new(KindIndexes { paths: Vec::new(), unique, has_members: false })))
    }

    /// Whether every resource has its rows at that path.
    pub(crate) fn is_ready(&self, path: i64) -> bool {
        self.paths.iter().any(|known| known.id == path && known.is_ready)
    }

    /// Whether the same paths are unique.
    pub(crate) fn has_same_unique(&self, other: &KindIndexes) -> bool {
        let paths = |kind: &KindIndexes| {
            kind.unique.iter().map(|unique| unique.target.canonical.clone()).collect::<BTreeSet<_>>()
        };
        paths(self) == paths(other)
    }

    /// Without the unique paths of extensions that are not among these, and without those of forms.
    pub(crate) fn within(mut self, extensions: &BTreeSet<&str>) -> Self {
        let stays = |target: &Target| target.extension.as_deref().is_none_or(|urn| extensions.contains(urn));
        self.unique.retain(|unique| unique.form.is_none() && stays(&unique.target));
        self
    }

    /// Whether no two resources share a value of that path, by its canonical form.
    pub(crate) fn is_unique(&self, canonical: &str) -> bool {
        self.unique.iter().any(|unique| &*unique.target.canonical == canonical)
    }

    /// Whether resources of the type have members.
    pub(crate) fn has_members(&self) -> bool {
        self.has_members
    }

    /// Every indexed path.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &IndexedPath> {
        self.paths.iter()
    }

    /// The index of a path, by its canonical form, if it is ready.
    pub(crate) fn path(&self, canonical: &str) -> Option<&IndexedPath> {
        self.paths.iter().find(|path| path.is_ready && &*path.target.canonical == canonical)
    }

    /// The index rows of a document, each once.
    pub(crate) fn rows(&self, document: &Map<String, Value>) -> Vec<IndexRow> {
        let mut rows = Vec::with_capacity(self.paths.len() + 4);
        for path in &self.paths {
            path.rows(document, &mut rows);
        }
        rows
    }

    /// The rows of a document at one path.
    pub(crate) fn rows_at(&self, path: i64, document: &Map<String, Value>) -> Vec<IndexRow> {
        let mut rows = Vec::new();
        if let Some(path) = self.paths.iter().find(|known| known.id == path) {
            path.rows(document, &mut rows);
        }
        rows
    }

    /// The unique keys that a document loses and gains when it becomes another one, each with the path it stands at.
    pub(crate) fn unique_moves(
        &self,
        kind: &str,
        before: Option<&Map<String, Value>>,
        after: &Map<String, Value>,
    ) -> (Vec<UniqueKey>, BTreeSet<(UniqueKey, String)>) {
        let changed = before.map(|before| differing(before, after)).unwrap_or_default();
        let moved = |unique: &&Unique| {
            before.is_none_or(|before| unique.may_hang_on(&changed) && unique.may_move(before, after))
        };
        let moved: Vec<&Unique> = self.unique.iter().filter(moved).collect();
        let held = before.map_or_else(BTreeSet::new, |before| keys_at(&moved, kind, before));
        let wanted = keys_at(&moved, kind, after);
        (held.difference(&wanted).map(|(key, _)| key.clone()).collect(), wanted.difference(&held).cloned().collect())
    }

    /// The unique keys of a document, each with the path it stands at.
    pub(crate) fn unique_keys(&self, kind: &str, document: &Map<String, Value>) -> BTreeSet<(UniqueKey, String)> {
        keys_at(&self.unique.iter().collect::<Vec<_>>(), kind, document)
    }
}

impl IndexedPath {
    /// Adds this path's rows of a document, each once.
    fn rows(&self, document: &Map<String, Value>, rows: &mut Vec<IndexRow>) {
        let own = rows.len();
        match self.mode {
            Mode::Sort => {
                let sort_key = self.target.sort_key(document);
                rows.push((self.id, key::cut(sort_key.as_deref().unwrap_or(key::ABSENT)).into_owned()));
            }
            Mode::Values => {
                for value in self.target.keys(document) {
                    let row = (self.id, key::cut(&value).into_owned());
                    if !rows.iter().skip(own).any(|known| *known == row) {
                        rows.push(row);
                    }
                }
            }
        }
    }
}

/// Paths of a resource type that are indexed unasked, and how: what is unique, and in a tenant's own type what people
/// call a resource. The server's own types have their defaults besides.
pub(crate) fn proposed(definition: &Definition, is_own: bool) -> Vec<(String, Mode)> {
    let mode = |attribute: &Attribute| Mode::of(attribute.multi_valued);
    let mut paths: Vec<(String, Mode)> =
        unique_paths(definition).into_iter().map(|(path, attribute)| (path, mode(attribute))).collect();
    for name in NAMES.into_iter().filter(|_| is_own) {
        let named = definition.core.attribute(name).filter(|attribute| attribute.kind == Type::String);
        if let Some(attribute) = named.filter(|_| !paths.iter().any(|(path, _)| path == name)) {
            paths.push((attribute.name.clone(), mode(attribute)));
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

/// What becomes of an indexed path.
#[derive(Debug)]
pub(crate) enum PathChange {
    /// It is indexed from now on; `is_ready`: there is no resource yet that lacks its rows.
    Add { id: i64, kind: String, path: String, mode: Mode, is_ready: bool },
    /// Every resource has its rows now.
    Ready(i64),
    /// It is indexed no more, and its rows are cleared in the background.
    Drop(i64),
    /// It is indexed no more. No resource has rows of it.
    Remove(i64),
}

/// Writes what became of indexed paths.
pub(crate) fn store_paths(db: &mut Db, tenant: TenantId, changes: Vec<PathChange>) -> Result<(), Error> {
    for change in changes {
        match change {
            PathChange::Add { id, kind, path, mode, is_ready } => {
                let state = if is_ready { READY } else { BUILDING };
                let row = vec![tenant.into(), id.into(), kind.into(), path.into(), mode.as_str().into(), state.into()];
                insert(db, "INSERT INTO attr_path (tenant_id, path_id, kind, path, type, state)", vec![row], "")?;
            }
            PathChange::Ready(id) | PathChange::Drop(id) => {
                let state = if matches!(change, PathChange::Ready(_)) { READY } else { DROPPING };
                Statement::<()>::new("UPDATE attr_path SET state = ")
                    .bind(state)
                    .sql(" WHERE tenant_id = ")
                    .bind(tenant)
                    .sql(" AND path_id = ")
                    .bind(id)
                    .run(db)?;
                if matches!(change, PathChange::Drop(_)) {
                    unique::clear(db, tenant, &form_namespace(id))?;
                }
            }
            PathChange::Remove(id) => {
                statement::delete(db, "attr_path", &["tenant_id", "path_id"], vec![vec![tenant.into(), id.into()]])?;
            }
        }
    }
    Ok(())
}

/// How far an index is built: the path and the last resource that has its rows.
pub(crate) type Place = (i64, Option<ResourceId>);

/// A path whose rows are being made or cleared.
#[derive(Clone, Debug)]
pub(crate) struct Unfinished {
    pub(crate) path: i64,
    pub(crate) kind: String,
    pub(crate) is_dropping: bool,
}

/// The first path of a tenant that is being built or dropped.
pub(crate) fn unfinished(db: &mut Db, tenant: TenantId) -> Result<Option<Unfinished>, Error> {
    let found = Statement::<(BigInt, Text, Text)>::new("SELECT path_id, kind, state FROM attr_path WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND state <> ")
        .bind(READY)
        .sql(" ORDER BY path_id LIMIT 1")
        .get_result::<(i64, String, String)>(db)
        .optional()?;
    Ok(found.map(|(path, kind, state)| Unfinished { path, kind, is_dropping: state == DROPPING }))
}

/// Removes some rows of a path; whether there were any.
pub(crate) fn clear_rows(db: &mut Db, tenant: TenantId, path: i64, limit: i64) -> Result<bool, Error> {
    let cleared = Statement::<()>::new("DELETE FROM attr_index WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND path_id = ")
        .bind(path)
        .sql(" AND (value, resource_id) IN (SELECT value, resource_id FROM attr_index WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND path_id = ")
        .bind(path)
        .sql(" LIMIT ")
        .bind(limit)
        .sql(")")
        .run(db)?;
    Ok(cleared > 0)
}

/// The highest number of a path in the tenant; 0 without any.
pub(crate) fn highest(db: &mut Db, tenant: TenantId) -> Result<i64, Error> {
    let highest = Statement::<BigInt>::new("SELECT COALESCE(MAX(path_id), 0) FROM attr_path WHERE tenant_id = ")
        .bind(tenant)
        .get_result::<i64>(db)?;
    Ok(highest)
}

/// Tenants with an index that is being built or dropped.
pub(crate) fn tenants_to_build(db: &mut Db) -> Result<Vec<TenantId>, Error> {
    let tenants = Statement::<BigInt>::new("SELECT DISTINCT tenant_id FROM attr_path WHERE state <> ")
        .bind(READY)
        .load::<i64>(db)?;
    Ok(tenants.into_iter().map(TenantId).collect())
}

/// Adds rows; those that are there already stay. How many were not.
pub(crate) fn add_rows(db: &mut Db, tenant: TenantId, rows: Vec<(ResourceId, IndexRow)>) -> Result<u64, Error> {
    let row = |(id, (path, value)): (ResourceId, IndexRow)| -> Vec<statement::Value> {
        vec![tenant.into(), path.into(), value.into(), id.into()]
    };
    let head = "INSERT INTO attr_index (tenant_id, path_id, value, resource_id)";
    let tail = "ON CONFLICT (tenant_id, path_id, value, resource_id) DO NOTHING";
    Ok(insert_apart(db, head, rows.into_iter().map(row).collect(), tail)? as u64)
}

/// Writes the indexes that a new tenant starts with.
pub(crate) fn lay_defaults(db: &mut Db, tenant: TenantId) -> Result<(), Error> {
    let defaults: Vec<Default> = serde_json::from_str(DEFAULTS).map_err(|error| Error::Corrupt(error.to_string()))?;
    let rows = (1_i64..)
        .zip(defaults)
        .map(|(id, path)| {
            vec![tenant.into(), id.into(), path.kind.into(), path.path.into(), path.mode.into(), READY.into()]
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
    /// Adds what becomes of a resource's rows when its document becomes another one. What hangs on an attribute that
    /// stays as it is costs a comparison.
    pub(crate) fn add(
        &mut self,
        id: ResourceId,
        indexes: &KindIndexes,
        before: Option<&Map<String, Value>>,
        after: Option<&Map<String, Value>>,
    ) {
        let with_id = |row: IndexRow| (id, row);
        match (before, after) {
            (None, None) => {}
            (None, Some(after)) => self.new.extend(indexes.rows(after).into_iter().map(with_id)),
            (Some(before), None) => self.gone.extend(indexes.rows(before).into_iter().map(with_id)),
            (Some(before), Some(after)) => {
                let changed = differing(before, after);
                for path in &indexes.paths {
                    if !path.target.hangs_on(&changed) || path.target.is_same(before, after) {
                        continue;
                    }
                    let (mut gone, mut new) = (Vec::new(), Vec::new());
                    path.rows(before, &mut gone);
                    path.rows(after, &mut new);
                    self.new.extend(new.iter().filter(|row| !gone.contains(row)).cloned().map(with_id));
                    self.gone.extend(gone.into_iter().filter(|row| !new.contains(row)).map(with_id));
                }
            }
        }
    }

    /// Writes the difference, in the order of the table: neighbours share pages.
    pub(crate) fn store(mut self, db: &mut Db, tenant: TenantId) -> Result<(), Error> {
        self.gone.sort_unstable_by(|one, other| one.1.cmp(&other.1));
        self.new.sort_unstable_by(|one, other| one.1.cmp(&other.1));
        let row = |(id, (path, value)): (ResourceId, IndexRow)| -> Vec<statement::Value> {
            vec![tenant.into(), path.into(), value.into(), id.into()]
        };
        statement::delete(
            db,
            "attr_index",
            &["tenant_id", "path_id", "value", "resource_id"],
            self.gone.into_iter().map(row).collect(),
        )?;
        fixed::insert::<NewRows>(db, self.new.into_iter().map(row).collect())?;
        Ok(())
    }
}

/// Rows that were not there.
struct NewRows;

impl Writing for NewRows {
    const INTO: &'static str = "attr_index (tenant_id, path_id, value, resource_id)";
}
