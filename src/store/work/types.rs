//! The part of a write that is about the catalog: what resources are, what is unique among them, what is indexed. The
//! tenant's own documents are resources, and written as such; here is what follows from them.

use std::collections::HashMap;
use std::sync::Arc;

use scim::schema::Registry;

use super::{Work, document_of};
use crate::catalog::Catalog;
use crate::index::{self, Indexes, PathChange, Place};
use crate::{Error, Record, ResourceId, record};

/// Records read at a time.
const SLICE: i64 = 500;

impl Work<'_> {
    /// What the tenant's resources are, as this write finds it.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Living resources of a kind.
    pub fn count(&self, kind: &str) -> i64 {
        self.clock.counts.get(kind).copied().unwrap_or_default()
    }

    /// Whether this batch has changed the catalog.
    pub(crate) fn has_new_catalog(&self) -> bool {
        self.clock.catalog != self.catalog.version()
    }

    /// The version of the catalog, if this batch has changed it.
    pub(crate) fn new_catalog(&self) -> Option<i64> {
        self.has_new_catalog().then_some(self.clock.catalog)
    }

    /// What follows from a changed set of documents: paths that are indexed, and unique keys of what is stored. The
    /// caller writes the documents themselves, and has seen that no stored resource contradicts them. Fails with
    /// [`Error::Taken`] when two resources share a value that is to be unique.
    pub fn adopt(&mut self, next: &Registry) -> Result<(), Error> {
        let catalog = self.catalog.clone();
        let now = catalog.registry();
        let mut last = index::highest(self.db, self.tenant)?;
        for definition in next.definitions().iter().filter(|definition| next.is_own(definition.name())) {
            let kind = definition.name();
            let known: Vec<(i64, String)> = match now.definition(kind) {
                Some(_) => self.indexes.of(kind)?.paths().map(|(id, path)| (id, path.to_owned())).collect(),
                None => Vec::new(),
            };
            for (id, path) in &known {
                // With resources there is nothing that could be gone; without them there are no rows.
                if definition.resolve(path).is_none() || self.count(kind) == 0 {
                    self.open.paths.push(PathChange::Remove(*id));
                }
            }
            let is_ready = self.count(kind) == 0;
            for (path, mode) in index::proposed(definition) {
                if !is_ready && known.iter().any(|(_, known)| *known == path) {
                    continue;
                }
                last += 1;
                self.open.paths.push(PathChange::Add { id: last, kind: kind.to_owned(), path, mode, is_ready });
            }
            if !is_ready {
                self.rekey(kind, next)?;
            }
        }
        for gone in now.definitions().iter().filter(|known| next.definition(known.name()).is_none()) {
            let paths: Vec<i64> = self.indexes.of(gone.name())?.paths().map(|(id, _)| id).collect();
            self.open.paths.extend(paths.into_iter().map(PathChange::Remove));
        }
        self.clock.catalog += 1;
        Ok(())
    }

    /// Gives the resources of a kind the unique keys that the new documents call for.
    fn rekey(&mut self, kind: &str, next: &Registry) -> Result<(), Error> {
        let (before, after) = (self.indexes.of(kind)?.clone(), Indexes::unique_of(next, kind)?);
        if before.has_same_unique(&after) {
            return Ok(());
        }
        let mut holders: HashMap<_, ResourceId> = HashMap::new();
        for record in self.records_of(kind)? {
            let document = document_of(&record)?;
            let (held, wanted) = (before.unique_keys(kind, &document), after.unique_keys(kind, &document));
            for (key, _) in held.difference(&wanted) {
                self.open.unique.insert(key.clone(), None);
            }
            for (key, path) in wanted.difference(&held) {
                if holders.insert(key.clone(), record.id).is_some_and(|holder| holder != record.id) {
                    return Err(Error::Taken { path: path.clone() });
                }
                self.open.unique.insert(key.clone(), Some(record.id));
            }
        }
        Ok(())
    }

    /// Every resource of a kind that there are few of, as it stands now.
    pub fn records_of(&mut self, kind: &str) -> Result<Vec<Record>, Error> {
        let mut found: HashMap<ResourceId, Record> = HashMap::new();
        let mut after = None;
        loop {
            let slice = record::slice(self.db, self.tenant, kind, after, SLICE)?;
            let Some(last) = slice.last() else { break };
            after = Some(last.id);
            found.extend(slice.into_iter().map(|record| (record.id, record)));
        }
        for layer in [&self.settled, &self.open] {
            for (id, record) in &layer.resources {
                match record {
                    Some(record) if record.kind == kind => drop(found.insert(*id, record.clone())),
                    _ => drop(found.remove(id)),
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// Gives a slice of resources their rows of an index that is being built; the place to go on from, `None` when
    /// nothing is left to build. Goes by the database: what this batch has settled keeps its rows when it is flushed.
    pub(crate) fn build(&mut self, after: Option<Place>, limit: i64) -> Result<Option<Place>, Error> {
        let tenant = self.tenant;
        let Some((path, kind)) = index::to_build(self.db, tenant)? else { return Ok(None) };
        let from = after.filter(|(known, _)| *known == path).and_then(|(_, id)| id);
        let records = record::slice(self.db, tenant, &kind, from, limit)?;
        let Some(last) = records.last().map(|record| record.id) else {
            self.open.paths.push(PathChange::Ready(path));
            self.clock.catalog += 1;
            // The new catalog asks for what is left to build.
            return Ok(None);
        };
        let indexes = self.indexes.of(&kind)?.clone();
        let mut rows = Vec::new();
        for record in &records {
            let of_path = indexes.rows(&document_of(record)?).into_iter().filter(|(known, _)| *known == path);
            rows.extend(of_path.map(|row| (record.id, row)));
        }
        let (db, _) = self.database();
        index::add_rows(db, tenant, rows)?;
        Ok(Some((path, Some(last))))
    }
}
