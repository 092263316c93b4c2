//! Attributes that views show in another form: which of them are indexed, and that no two resources which a view shows
//! share a value of one that is unique. What views say is the caller's to read; here are forms, each the text of a mapping.

use std::collections::{BTreeSet, HashMap};

use diesel::sql_types::Binary;
use scim::filter::{NOTED, NOTES, Target};
use scim::mapping::Mapping;

use super::building::MOST;
use super::{Work, document_of};
use crate::index::{self, Mode, PathChange};
use crate::record::resource_id;
use crate::statement::Statement;
use crate::unique::UniqueKey;
use crate::{Error, ResourceId, record};

/// Records read at a time.
const SLICE: i64 = 500;

/// What became of the forms that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forming {
    /// They are indexed, or will be.
    Done,
    /// Two resources of the type that are shown the form would share a value at this path.
    Shared {
        /// The resource type.
        kind: String,
        /// The path.
        path: String,
    },
    /// So many paths of the type are indexed, and no more can be.
    TooMany(usize),
}

impl Work<'_> {
    /// Whether any form is indexed.
    pub fn has_forms(&self) -> bool {
        self.indexes.kinds().any(|(_, indexes)| indexes.paths().any(|path| path.target.mapping.is_some()))
    }

    /// Whether resources of a kind may have notes of views that they have left.
    pub fn keeps_notes(&self, kind: &str) -> bool {
        self.indexes.of(kind).is_ok_and(|indexes| indexes.paths().any(|path| &*path.target.canonical == NOTED))
    }

    /// Has it indexed of resources of a kind which views they have left, or no more. Nobody has left one before.
    pub fn keep_notes(&mut self, kind: &str, wanted: bool) -> Result<(), Error> {
        let indexes = self.indexes.of(kind)?;
        let known = indexes.paths().find(|path| &*path.target.canonical == NOTED).map(|path| path.id);
        let change = match (known, wanted) {
            (Some(id), false) => PathChange::Drop(id),
            (None, true) => {
                let id = self.next_path()?;
                let (kind, path, mode) = (kind.to_owned(), NOTED.to_owned(), Mode::Values);
                PathChange::Add { id, kind, path, mode, is_ready: true }
            }
            _ => return Ok(()),
        };
        self.add_path(change);
        Ok(())
    }

    /// Whether any resource of a kind has a note of a view that it has left.
    pub fn has_notes(&mut self, kind: &str) -> Result<bool, Error> {
        let indexes = self.indexes.of(kind)?.clone();
        let Some(path) = indexes.path(NOTED) else { return Ok(false) };
        let written = |id: &ResourceId| {
            let layers = [&self.open, &self.settled];
            layers.into_iter().find_map(|layer| layer.documents.get(id).map(|document| document.contains_key(NOTES)))
        };
        let layers = [&self.settled, &self.open];
        if layers.into_iter().flat_map(|layer| layer.documents.keys()).any(|id| written(id) == Some(true)) {
            return Ok(true);
        }
        let rows = Statement::<Binary>::new("SELECT DISTINCT resource_id FROM attr_index WHERE tenant_id = ")
            .bind(self.tenant)
            .sql(" AND path_id = ")
            .bind(path.id)
            .sql(" LIMIT ")
            .bind(2 * SLICE)
            .load::<Vec<u8>>(self.db)?;
        // Of those that this batch has written the rows are still what they were.
        let stored = rows.iter().map(|id| resource_id(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(stored.len() as i64 == 2 * SLICE || stored.iter().any(|id| written(id) != Some(false)))
    }

    /// Has these forms indexed, each the name of a resource type and a mapping's text, and no others. Rows are made in the
    /// background; unique values are claimed at once, by a pass over all resources of the type.
    pub fn set_forms(&mut self, wanted: &BTreeSet<(String, String)>) -> Result<Forming, Error> {
        let mut known = BTreeSet::new();
        let mut changes = Vec::new();
        let indexes = self.indexes.clone();
        for (kind, indexes) in indexes.kinds() {
            for path in indexes.paths().filter(|path| path.target.mapping.is_some()) {
                let form = (kind.to_owned(), path.target.canonical.to_string());
                if !wanted.contains(&form) {
                    changes.push(PathChange::Drop(path.id));
                }
                known.insert(form);
            }
        }
        let mut id = index::highest(self.db, self.tenant)?;
        let mut claimed = HashMap::new();
        for (kind, text) in wanted.difference(&known) {
            let registry = self.catalog.registry().clone();
            let target = registry.definition(kind).and_then(|definition| Target::indexed(definition, text));
            let Some(target) = target.filter(|target| target.mapping.is_some()) else { continue };
            let of_kind = wanted.iter().filter(|(of, _)| of == kind).count();
            let others = indexes.of(kind)?.paths().filter(|path| path.target.mapping.is_none()).count();
            if of_kind + others > MOST {
                return Ok(Forming::TooMany(MOST));
            }
            id += 1;
            if target.mapping.as_deref().is_some_and(Mapping::is_unique)
                && !self.claim_form(kind, id, &target, &mut claimed)?
            {
                let path = target.mapping.as_ref().map(|mapping| mapping.path().to_owned()).unwrap_or_default();
                return Ok(Forming::Shared { kind: kind.clone(), path });
            }
            let is_ready = self.count(kind) == 0;
            let (kind, path, mode) = (kind.clone(), text.clone(), Mode::Sort);
            changes.push(PathChange::Add { id, kind, path, mode, is_ready });
        }
        if !changes.is_empty() {
            self.open.unique.extend(claimed);
            self.open.paths.extend(changes);
            self.clock.catalog += 1;
        }
        Ok(Forming::Done)
    }

    /// Claims the values of every resource of the kind; whether no two want the same one.
    fn claim_form(
        &mut self,
        kind: &str,
        path: i64,
        target: &Target,
        claimed: &mut HashMap<UniqueKey, Option<ResourceId>>,
    ) -> Result<bool, Error> {
        let mut after = None;
        loop {
            let slice = record::slice(self.db, self.tenant, kind, after, SLICE)?;
            let Some(last) = slice.last() else { break };
            after = Some(last.id);
            for record in slice.into_iter().filter(|record| !self.overlays(record.id)) {
                let key = index::form_key(path, target, &document_of(&record)?);
                if key.is_some_and(|key| claimed.insert(key, Some(record.id)).is_some()) {
                    return Ok(false);
                }
            }
        }
        // What this batch has made of some of them.
        let now: HashMap<ResourceId, _> = [&self.settled, &self.open]
            .into_iter()
            .flat_map(|layer| layer.resources.iter().map(|(id, record)| (*id, record)))
            .collect();
        for (id, record) in now {
            let Some(record) = record.as_ref().filter(|record| record.kind == kind) else { continue };
            let key = index::form_key(path, target, &document_of(record)?);
            if key.is_some_and(|key| claimed.insert(key, Some(id)).is_some()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn overlays(&self, id: ResourceId) -> bool {
        [&self.settled, &self.open].iter().any(|layer| layer.resources.contains_key(&id))
    }
}
