//! The part of a write that is about the catalog: what resources are, what is unique among them, what is indexed. The
//! tenant's own documents are resources, and written as such; here is what follows from them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use scim::filter::Target;
use scim::schema::{Definition, Registry, Schema};

use super::{Work, document_of};
use crate::catalog::Catalog;
use crate::index::{self, IndexedPath, Indexes, KindIndexes, PathChange};
use crate::{Error, Record, ResourceId, Seq, record};

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
        for after in next.definitions() {
            let before = now.definition(after.name());
            if before.is_some_and(|before| before.says_the_same(after)) {
                continue;
            }
            self.reindex(after, next.is_own(after.name()), before.is_some(), &mut last)?;
            if let Some(before) = before
                && self.count(after.name()) > 0
            {
                self.rekey(before, next)?;
            }
        }
        for gone in now.definitions().iter().filter(|known| next.definition(known.name()).is_none()) {
            let paths: Vec<i64> = self.indexes.of(gone.name())?.paths().map(|path| path.id).collect();
            self.open.paths.extend(paths.into_iter().map(PathChange::Drop));
        }
        self.clock.catalog += 1;
        Ok(())
    }

    /// What was indexed of a type stays so as far as it is still there; what is unique is indexed too.
    fn reindex(&mut self, after: &Definition, is_own: bool, is_known: bool, last: &mut i64) -> Result<(), Error> {
        let kind = after.name();
        let known = if is_known { self.indexes.of(kind)?.paths().cloned().collect() } else { Vec::new() };
        let mut kept = BTreeSet::new();
        let mut wanted = index::proposed(after, is_own);
        for IndexedPath { id, mode, target, .. } in known {
            match Target::indexed(after, &target.canonical) {
                Some(now) if now.subs.is_empty() && mode == index::Mode::Values => drop(kept.insert(now.canonical)),
                Some(now) if now.subs.is_empty() && !now.multi => drop(kept.insert(now.canonical)),
                // It has become an attribute of several values, or one with parts.
                Some(now) => {
                    self.open.paths.push(PathChange::Drop(id));
                    if now.subs.is_empty() {
                        wanted.push((now.canonical.to_string(), index::Mode::of(now.multi)));
                    }
                }
                None => self.open.paths.push(PathChange::Drop(id)),
            }
        }
        wanted.sort();
        wanted.dedup();
        let is_ready = self.count(kind) == 0;
        for (path, mode) in wanted.into_iter().filter(|(path, _)| !kept.contains(path.as_str())) {
            *last += 1;
            self.open.paths.push(PathChange::Add { id: *last, kind: kind.to_owned(), path, mode, is_ready });
        }
        Ok(())
    }

    /// Gives the resources of a kind the unique keys that the new documents call for. Nobody has data of an extension
    /// that comes or goes.
    fn rekey(&mut self, before: &Definition, next: &Registry) -> Result<(), Error> {
        let kind = before.name();
        let stays =
            |schema: &&Arc<Schema>| next.definition(kind).is_some_and(|def| def.extension(&schema.id).is_some());
        let shared: BTreeSet<&str> =
            before.extensions.iter().map(|(schema, _)| schema).filter(stays).map(|schema| schema.id.as_str()).collect();
        let before = KindIndexes::clone(self.indexes.of(kind)?).within(&shared);
        let after = Indexes::unique_of(next, kind)?.within(&shared);
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

    /// Whether a resource of a kind has data of an extension. Resources that did not change after `since` are not
    /// looked at; 0: all are.
    pub fn uses(&mut self, kind: &str, extension: &str, since: Seq) -> Result<bool, Error> {
        let settled = [&self.settled, &self.open].into_iter().flat_map(|layer| layer.resources.values().flatten());
        for record in settled.filter(|record| record.kind == kind) {
            if document_of(record)?.contains_key(extension) {
                return Ok(true);
            }
        }
        record::has_member(self.db, self.tenant, kind, extension, since)
    }

    /// Resources of a kind in id order after `after`, as the database has them, at most `limit`.
    pub fn ids_of(&mut self, kind: &str, after: Option<ResourceId>, limit: i64) -> Result<Vec<ResourceId>, Error> {
        let slice = record::slice(self.db, self.tenant, kind, after, limit)?;
        Ok(slice.into_iter().map(|record| record.id).collect())
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
}
