//! Indexes that come and go while the server serves: which paths of a resource type an operator has indexed, and the
//! slices in which rows are made and cleared. Never reads or writes a resource.

use scim::filter::Target;
use scim::schema::{Mutability, Returned};

use super::{Work, document_of};
use crate::bearing::Mark;
use crate::index::{self, Mode, PathChange, Place, Unfinished};
use crate::{Error, record};

/// Core attributes that are no part of a stored document.
const ELSEWHERE: [&str; 7] = ["id", "externalId", "schemas", "meta", "groups", "members", "password"];
/// Most indexed paths of one resource type: each is written with every change of a resource.
pub(super) const MOST: usize = 40;

/// What became of the wish to have a path indexed, or indexed no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// It was heard; the canonical path.
    Done(String),
    /// It was so already.
    AsItWas(String),
    /// The path is unique and stays indexed.
    Unique(String),
    /// There is no value at that path that could be indexed.
    Unknown,
    /// So many paths of the type are indexed, and no more can be.
    TooMany(usize),
}

impl Work<'_> {
    /// Has a path of a resource type indexed, in any case of its names. What there is gets its rows in the background.
    pub fn index(&mut self, kind: &str, path: &str) -> Result<Indexing, Error> {
        let Some(target) = self.target(kind, path) else { return Ok(Indexing::Unknown) };
        let indexes = self.indexes.of(kind)?;
        if indexes.paths().any(|known| known.target.canonical == target.canonical) {
            return Ok(Indexing::AsItWas(target.canonical.to_string()));
        }
        if indexes.paths().count() >= MOST {
            return Ok(Indexing::TooMany(MOST));
        }
        let (path, mode) = (target.canonical.to_string(), Mode::of(target.multi));
        let (id, is_ready) = (index::highest(self.db, self.tenant)? + 1, self.count(kind) == 0);
        self.open.paths.push(PathChange::Add { id, kind: kind.to_owned(), path: path.clone(), mode, is_ready });
        self.clock.catalog += 1;
        Ok(Indexing::Done(path))
    }

    /// The number that the next indexed path gets.
    pub(crate) fn next_path(&mut self) -> Result<i64, Error> {
        let laid = self.open.paths.iter().chain(&self.settled.paths).filter_map(|change| match change {
            PathChange::Add { id, .. } => Some(*id),
            _ => None,
        });
        let laid = laid.max().unwrap_or_default();
        Ok(laid.max(index::highest(self.db, self.tenant)?) + 1)
    }

    /// Has what becomes of an indexed path written with all else.
    pub(crate) fn add_path(&mut self, change: PathChange) {
        self.open.paths.push(change);
        self.clock.catalog += 1;
    }

    /// Whether the batch has the path of a mark indexed.
    pub(crate) fn lays(&self, mark: &Mark) -> bool {
        let mut paths = self.open.paths.iter().chain(&self.settled.paths);
        paths.any(
            |change| matches!(change, PathChange::Add { kind, path, .. } if kind == mark.kind && path == mark.path),
        )
    }

    /// Has a path indexed no more. What is unique stays so, and stays indexed.
    pub fn unindex(&mut self, kind: &str, path: &str) -> Result<Indexing, Error> {
        let Some(target) = self.target(kind, path) else { return Ok(Indexing::Unknown) };
        let canonical = target.canonical.to_string();
        let indexes = self.indexes.of(kind)?;
        let Some(known) = indexes.paths().find(|known| known.target.canonical == target.canonical) else {
            return Ok(Indexing::AsItWas(canonical));
        };
        if indexes.is_unique(&canonical) {
            return Ok(Indexing::Unique(canonical));
        }
        self.open.paths.push(PathChange::Drop(known.id));
        self.clock.catalog += 1;
        Ok(Indexing::Done(canonical))
    }

    /// A path that can be indexed: a value that is stored in the document, and that a search may ask for.
    fn target(&self, kind: &str, path: &str) -> Option<Target> {
        let definition = self.catalog.registry().definition(kind)?;
        let place = definition.resolve(path)?;
        let hidden = |attribute: &scim::schema::Attribute| {
            attribute.returned == Returned::Never || attribute.mutability == Mutability::WriteOnly
        };
        if place.attribute.is_none_or(hidden) || place.sub.is_some_and(hidden) {
            return None;
        }
        let is_elsewhere = place.extension.is_none()
            && place.attribute.is_some_and(|attribute| ELSEWHERE.contains(&attribute.name.as_str()));
        Target::at(definition, &place).filter(|target| target.subs.is_empty() && !is_elsewhere)
    }

    /// Gives a slice of resources their rows of an index that is being built; the place to go on from, `None` when
    /// nothing is left to build. An index that is being dropped loses a slice of its rows. Goes by the database: what this batch has settled keeps its rows when it is flushed.
    pub(crate) fn build(&mut self, after: Option<Place>, limit: i64) -> Result<Option<Place>, Error> {
        let tenant = self.tenant;
        let Some(Unfinished { path, kind, is_dropping }) = index::unfinished(self.db, tenant)? else { return Ok(None) };
        if is_dropping {
            return self.clear(path, limit);
        }
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
            rows.extend(indexes.rows_at(path, &document_of(record)?).into_iter().map(|row| (record.id, row)));
        }
        let (db, _) = self.database();
        index::add_rows(db, tenant, rows)?;
        Ok(Some((path, Some(last))))
    }

    /// Clears a slice of the rows of an index that is no more.
    fn clear(&mut self, path: i64, limit: i64) -> Result<Option<Place>, Error> {
        let (db, tenant) = self.database();
        if index::clear_rows(db, tenant, path, limit)? {
            return Ok(Some((path, None)));
        }
        self.open.paths.push(PathChange::Remove(path));
        self.clock.catalog += 1;
        Ok(None)
    }
}
