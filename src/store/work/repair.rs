//! Mending what is derived: index rows, unique keys, memberships and external ids that point nowhere, counts. One slice
//! at a time under the tenant's lock, with other work between, so that a server may go on serving. A document, a version
//! and the chain of changes are never touched.

use std::collections::HashMap;

use super::{Work, document_of};
use crate::check::references::{DANGLING, NOT_DUE, ORPHANED, STALE_NOTES, SWEPT_ALIVE, UNTOUCHED, pairs};
use crate::check::rows::{IndexPlace, called, dropping, index_slice, unique_slice};
use crate::statement::{Value, delete};
use crate::unique::{self, UniqueKey};
use crate::{Error, Record, ResourceId, Seq, check, index, membership, record};

/// How far a repair has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mending {
    stage: Stage,
    /// Rows that were put right so far.
    pub mended: u64,
    /// Rows that were looked at so far.
    pub looked: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Rows that documents call for, by type and after a resource.
    #[default]
    Begin,
    Missing(String, Option<ResourceId>),
    /// Index rows and unique keys that no document calls for.
    Index(Option<IndexPlace>),
    Unique(Option<UniqueKey>),
    References,
    Counts,
    Done,
}

/// Resources or rows looked at in one slice.
const SLICE: i64 = 500;

impl Mending {
    /// Whether nothing is left to be looked at.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }
}

impl Work<'_> {
    /// Mends one slice; how far that has brought it. Goes by the database: what this batch has settled keeps its rows
    /// when it is flushed.
    pub fn mend(&mut self, mending: &Mending) -> Result<Mending, Error> {
        let mut next = mending.clone();
        next.stage = match mending.stage.clone() {
            Stage::Begin => self.kind_after(None).map_or(Stage::Index(None), |kind| Stage::Missing(kind, None)),
            Stage::Missing(kind, after) => self.add_missing(kind, after, &mut next)?,
            Stage::Index(after) => self.clear_index(after.as_ref(), &mut next)?,
            Stage::Unique(after) => self.clear_unique(after.as_ref(), &mut next)?,
            Stage::References => self.clear_references(&mut next)?,
            Stage::Counts => self.recount(&mut next)?,
            Stage::Done => Stage::Done,
        };
        self.swept |= next.mended != mending.mended;
        Ok(next)
    }

    /// The types in the order of their names.
    fn kind_after(&self, kind: Option<&str>) -> Option<String> {
        let kinds = self.indexes.kinds().map(|(name, _)| name);
        kinds.filter(|name| kind.is_none_or(|kind| *name > kind)).min().map(str::to_owned)
    }

    fn add_missing(&mut self, kind: String, after: Option<ResourceId>, to: &mut Mending) -> Result<Stage, Error> {
        let records = record::slice(self.db, self.tenant, &kind, after, SLICE)?;
        let Some(last) = records.last().map(|record| record.id) else {
            return Ok(self.kind_after(Some(&kind)).map_or(Stage::Index(None), |kind| Stage::Missing(kind, None)));
        };
        let rows_of = self.indexes.of(&kind)?.clone();
        let mut rows = Vec::new();
        for record in &records {
            // One that cannot be read is told by the check, and calls for nothing here.
            let Ok(document) = document_of(record) else { continue };
            rows.extend(rows_of.rows(&document).into_iter().map(|row| (record.id, row)));
            for (key, _) in rows_of.unique_keys(&kind, &document) {
                to.mended += u64::from(self.claim(key, record)?);
            }
        }
        to.looked += records.len() as u64;
        to.mended += index::add_rows(self.db, self.tenant, rows)?;
        Ok(Stage::Missing(kind, Some(last)))
    }

    /// Gives a resource its unique key, unless another one calls for it too: that is a contradiction between documents.
    fn claim(&mut self, key: UniqueKey, record: &Record) -> Result<bool, Error> {
        let holder = unique::holder(self.db, self.tenant, &key)?;
        if holder == Some(record.id) {
            return Ok(false);
        }
        if let Some(holder) = holder {
            let ids = std::iter::once(holder);
            let claims = called(self.db, self.tenant, &self.indexes, ids)?;
            if claims.get(&holder).is_some_and(|called| called.is_for_key(&key)) {
                return Ok(false);
            }
        }
        unique::store(self.db, self.tenant, vec![(key, Some(record.id))])?;
        Ok(true)
    }

    fn clear_index(&mut self, after: Option<&IndexPlace>, to: &mut Mending) -> Result<Stage, Error> {
        let rows = index_slice(self.db, self.tenant, after, SLICE)?;
        let Some(last) = rows.last().cloned() else { return Ok(Stage::Unique(None)) };
        let dropping = dropping(self.db, self.tenant)?;
        let ids = rows.iter().map(|(.., id)| *id);
        let called = called(self.db, self.tenant, &self.indexes, ids)?;
        to.looked += rows.len() as u64;
        let mut stray: Vec<Vec<Value>> = Vec::new();
        for (path, value, id) in rows {
            let row = (path, value);
            if !dropping.contains(&path) && !called.get(&id).is_some_and(|called| called.is_for(&row)) {
                stray.push(vec![self.tenant.into(), row.0.into(), row.1.into(), id.into()]);
            }
        }
        to.mended += stray.len() as u64;
        delete(self.db, "attr_index", &["tenant_id", "path_id", "value", "resource_id"], stray)?;
        Ok(Stage::Index(Some(last)))
    }

    fn clear_unique(&mut self, after: Option<&UniqueKey>, to: &mut Mending) -> Result<Stage, Error> {
        let rows = unique_slice(self.db, self.tenant, after, SLICE)?;
        let Some((last, _)) = rows.last().cloned() else { return Ok(Stage::References) };
        let called = called(self.db, self.tenant, &self.indexes, rows.iter().map(|(_, id)| *id))?;
        to.looked += rows.len() as u64;
        let is_stray =
            |(key, id): &(UniqueKey, ResourceId)| !called.get(id).is_some_and(|called| called.is_for_key(key));
        let stray: Vec<_> = rows.into_iter().filter(is_stray).map(|(key, _)| (key, None)).collect();
        to.mended += stray.len() as u64;
        unique::store(self.db, self.tenant, stray)?;
        Ok(Stage::Unique(Some(last)))
    }

    /// Takes away up to a thousand of each kind of row that points nowhere.
    fn clear_references(&mut self, to: &mut Mending) -> Result<Stage, Error> {
        let tenant = self.tenant;
        let mut found = 0;
        let row = |values: Vec<Value>| std::iter::once(Value::from(tenant)).chain(values).collect::<Vec<_>>();
        let memberships = pairs(self.db, tenant, "m.group_id, m.member_id", DANGLING)?;
        found += memberships.len();
        let rows = memberships.into_iter().map(|(group, member)| row(vec![group.into(), member.into()])).collect();
        delete(self.db, "membership", &["tenant_id", "group_id", "member_id"], rows)?;

        let externals = pairs(self.db, tenant, "e.resource_id, e.domain_id", ORPHANED)?;
        found += externals.len();
        let rows = externals.into_iter().map(|(id, domain)| row(vec![id.into(), domain.into()])).collect();
        delete(self.db, "external_id", &["tenant_id", "resource_id", "domain_id"], rows)?;

        let swept = pairs(self.db, tenant, "s.group_id, s.group_id", SWEPT_ALIVE)?;
        found += swept.len();
        let rows = swept.into_iter().map(|(group, _)| row(vec![group.into()])).collect();
        delete(self.db, "sweep", &["tenant_id", "group_id"], rows)?;

        let mut due = pairs(self.db, tenant, "d.resource_id, d.resource_id", NOT_DUE)?;
        due.retain(|(id, _)| *id != ResourceId::SYSTEM);
        found += due.len();
        let rows = due.into_iter().map(|(id, _)| row(vec![id.into()])).collect();
        delete(self.db, "due", &["tenant_id", "resource_id"], rows)?;

        let notes = pairs(self.db, tenant, "o.request_id, o.request_id", STALE_NOTES)?;
        found += notes.len();
        let rows = notes.into_iter().map(|(request, _)| row(vec![request.into()])).collect();
        delete(self.db, "deferred_outcome", &["tenant_id", "request_id"], rows)?;

        let untouched = pairs(self.db, tenant, "m.member_id, m.group_id", UNTOUCHED)?;
        found += untouched.len();
        let mut touched: HashMap<ResourceId, Seq> = HashMap::new();
        for (member, group) in untouched {
            let since = membership::among(self.db, tenant, group, &[member])?;
            let newest = touched.entry(member).or_default();
            *newest = (*newest).max(since.get(&member).map_or(0, |membership| membership.since));
        }
        // Who is held in memory by this batch keeps what the batch makes of it.
        self.seen.retain(|id, _| !touched.contains_key(id) || self.settled.resources.contains_key(id));
        record::touch_groups(self.db, tenant, touched)?;

        to.mended += found as u64;
        to.looked += found as u64;
        Ok(if found == 0 { Stage::Counts } else { Stage::References })
    }

    /// Counts the resources anew. What this batch has settled is not in the database yet.
    fn recount(&mut self, to: &mut Mending) -> Result<Stage, Error> {
        let mut counts = check::living(self.db, self.tenant)?;
        for layer in [&self.settled, &self.open] {
            for (id, after) in &layer.resources {
                // What an upper layer says over a lower one is counted once: with the upper.
                if std::ptr::eq(layer, &self.settled) && self.open.resources.contains_key(id) {
                    continue;
                }
                if let Some(before) = self.seen.get(id).and_then(Option::as_ref) {
                    *counts.entry(before.kind.clone()).or_default() -= 1;
                }
                if let Some(after) = after {
                    *counts.entry(after.kind.clone()).or_default() += 1;
                }
            }
        }
        counts.retain(|_, count| *count != 0);
        let mut known = self.clock.counts.clone();
        known.retain(|_, count| *count != 0);
        if known != counts {
            self.clock.counts = counts;
            self.recounted = true;
            to.mended += 1;
        }
        Ok(Stage::Done)
    }
}
