//! Which of some resources bear a mark: a value at one path, which few resources of a register have, and which must be known
//! of whoever is named anywhere. A register of which nobody bears it is told from memory, without a statement; the first
//! who does has the path indexed by the write that says so ([`Work::note_bearer`]), and from then on one statement tells.
//!
//! That nobody bears it holds as long as the catalog is the one that was asked about, because the first bearer makes another
//! one. Of a register that had bearers before there was such an index it is found out once, by a look at its documents.

use std::collections::BTreeSet;

use diesel::sql_types::Binary;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use scim::key;

use crate::catalog::{self, Catalog};
use crate::index::{Mode, PathChange};
use crate::reader::Reader;
use crate::record::{self, resource_id};
use crate::statement::{LIST, Statement};
use crate::store::Store;
use crate::work::Work;
use crate::{Error, ResourceId, TenantId};

/// A value that marks resources.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Name of the resource type.
    pub kind: &'static str,
    /// Canonical path of a text.
    pub path: &'static str,
    /// The attribute's name, as documents write it.
    pub name: &'static str,
}

impl Mark {
    fn is_laid(&self, catalog: &Catalog) -> Option<(i64, bool)> {
        let indexes = catalog.indexes.of(self.kind).ok()?;
        let path = indexes.paths().find(|path| &*path.target.canonical == self.path)?;
        Some((path.id, indexes.is_ready(path.id)))
    }

    /// What a stored document that bears it holds.
    fn text(&self) -> String {
        format!("\"{}\":\"", self.name)
    }
}

/// Tenants without a bearer, and the version of the catalog of which that is known.
pub(crate) type Unborne = Cache<(TenantId, &'static str), i64>;

/// Nothing is known yet; of so many tenants at most.
pub(crate) fn unborne(tenants: u64) -> Unborne {
    Cache::builder().max_capacity(tenants).eviction_policy(EvictionPolicy::lru()).build()
}

impl Work<'_> {
    /// Notes that a resource that is about to be written bears a mark.
    pub fn note_bearer(&mut self, mark: &Mark) -> Result<(), Error> {
        if mark.is_laid(self.catalog()).is_some() || self.lays(mark) {
            return Ok(());
        }
        // It is the server's own, and asks nobody how many paths there are. Who bore it before has rows when it is built.
        let id = self.next_path()?;
        let (kind, path) = (mark.kind.to_owned(), mark.path.to_owned());
        self.add_path(PathChange::Add { id, kind, path, mode: Mode::Values, is_ready: false });
        Ok(())
    }
}

impl Store {
    /// Whether any resource of a tenant may bear the mark, from memory alone; `false`: none does. A node learns of the first
    /// with the tenant's catalog.
    pub fn may_bear(&self, tenant: TenantId, mark: &Mark) -> bool {
        let shared = self.shared();
        let known = shared.cached_catalog(tenant);
        known.is_none_or(|catalog| {
            mark.is_laid(&catalog).is_some()
                || shared.unborne().get(&(tenant, mark.path)).is_none_or(|version| version != catalog.version())
        })
    }
}

impl Reader {
    /// Those of the resources that bear the mark.
    pub fn bearers(
        &mut self,
        tenant: TenantId,
        mark: &Mark,
        ids: &BTreeSet<ResourceId>,
    ) -> Result<BTreeSet<ResourceId>, Error> {
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let known = self.shared.cached_catalog(tenant);
        if let Some(known) = &known
            && let Some((path, true)) = mark.is_laid(known)
        {
            let found = self.bearers_by_index(tenant, path, ids)?;
            // Whoever has it indexed no more has made another catalog before the first row goes.
            if catalog::version(&mut self.db, tenant)? == known.version() {
                return Ok(found);
            }
        }
        let version = catalog::version(&mut self.db, tenant)?;
        let is_laid = mark.is_laid(&*self.shared.catalog(&mut self.db, tenant, version)?).is_some();
        if !is_laid && self.is_unborne(tenant, mark, version)? {
            return Ok(BTreeSet::new());
        }
        self.bearers_by_text(tenant, mark, ids)
    }

    /// Whether nobody bears a mark that is not indexed in the catalog of that version.
    fn is_unborne(&mut self, tenant: TenantId, mark: &Mark, version: i64) -> Result<bool, Error> {
        let key = (tenant, mark.path);
        if self.shared.unborne().get(&key) == Some(version) {
            return Ok(true);
        }
        let is_borne = record::has_text(&mut self.db, tenant, mark.kind, &mark.text(), 0)?;
        if !is_borne && catalog::version(&mut self.db, tenant)? == version {
            self.shared.unborne().insert(key, version);
        }
        Ok(!is_borne)
    }

    fn bearers_by_index(
        &mut self,
        tenant: TenantId,
        path: i64,
        ids: &BTreeSet<ResourceId>,
    ) -> Result<BTreeSet<ResourceId>, Error> {
        let statement = Statement::<Binary>::new("SELECT resource_id FROM attr_index WHERE tenant_id = ")
            .bind(tenant)
            .sql(" AND path_id = ")
            .bind(path)
            .sql(" AND value <> ")
            .bind(key::ABSENT);
        // Of many it is sooner said who they all are: few bear a mark.
        let statement = match ids.len() <= LIST {
            true => statement.sql(" AND resource_id IN ").list(ids.iter().copied()),
            false => statement,
        };
        let rows = statement.load::<Vec<u8>>(&mut self.db)?;
        let all = rows.iter().map(|id| resource_id(id)).collect::<Result<BTreeSet<_>, _>>()?;
        Ok(all.intersection(ids).copied().collect())
    }

    /// The same where the index is not ready, or is another one than was known.
    fn bearers_by_text(
        &mut self,
        tenant: TenantId,
        mark: &Mark,
        ids: &BTreeSet<ResourceId>,
    ) -> Result<BTreeSet<ResourceId>, Error> {
        let (ids, text) = (ids.iter().copied().collect::<Vec<_>>(), mark.text());
        let found = record::find_all(&mut self.db, tenant, &ids)?.into_values();
        Ok(found
            .filter(|record| record.kind == mark.kind && record.doc.contains(&text))
            .map(|record| record.id)
            .collect())
    }
}
