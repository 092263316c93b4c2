//! Writing a batch: everything that was settled goes to the tables in as few statements as possible.

use uuid::Uuid;

use super::Work;
use crate::index::{self, IndexDiff};
use crate::{
    Error, Seq, audit, change, credential, deferred, due, erasure, external, feed, grant, guard, idempotency,
    membership, record, route, seal, secret, tombstone, unique,
};

/// What a flushed batch left behind for its writer.
pub(crate) struct Flushed {
    /// The newest change and the transaction that made it; `None` when nothing changed.
    pub(crate) last: Option<(Seq, Uuid)>,
    /// Whether a deleted group's memberships are to be cleared.
    pub(crate) sweep: bool,
}

impl Work<'_> {
    /// Whether something was settled that has to be written.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.settled.changes.is_empty()
            || !self.settled.audit.is_empty()
            || !self.settled.resources.is_empty()
            || !self.settled.sealing_keys.is_empty()
            || !self.settled.credentials.is_empty()
            || !self.settled.used.is_empty()
            || !self.settled.routes.is_empty()
            || !self.settled.seal_keys.is_empty()
            || !self.settled.deferred.is_empty()
            || !self.settled.outcomes.is_empty()
            || !self.settled.keyed.is_empty()
            || !self.settled.feed_records.is_empty()
            || !self.settled.forgotten_feeds.is_empty()
            || !self.settled.run_items.is_empty()
            || !self.settled.dropped_items.is_empty()
            || self.settled.forget.is_some()
            || !self.settled.due.is_empty()
            || !self.settled.grants.is_empty()
            || !self.settled.tombstones.is_empty()
            || !self.settled.erasures.is_empty()
            || !self.settled.counts.is_empty()
            || !self.settled.passes.is_empty()
            || self.clock.book_seq != self.began_book
            || self.has_new_catalog()
            || self.recounted
    }

    /// Bytes of documents that were settled so far.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// Writes all that was settled. The transaction is the caller's to commit.
    pub(crate) fn flush(mut self) -> Result<Flushed, Error> {
        let mut settled = std::mem::take(&mut self.settled);
        let tenant = self.tenant;
        let last = settled.changes.last().map(|change| (change.seq, change.txn));

        let mut diff = IndexDiff::default();
        let (mut created, mut written) = (Vec::new(), Vec::new());
        let mut removed = Vec::new();
        let mut touched = std::mem::take(&mut settled.touched);
        for (id, after) in std::mem::take(&mut settled.resources) {
            let before = self.seen.remove(&id).flatten();
            let touched_with = touched.remove(&id).unwrap_or_default();
            match after {
                Some(mut record) => {
                    record.groups_seq = record.groups_seq.max(touched_with);
                    if before.as_ref().is_none_or(|before| before.doc != record.doc || before.secret != record.secret) {
                        let now = match settled.documents.remove(&id) {
                            Some(document) => document,
                            None => self.stored_document(&record)?,
                        };
                        let was = before.as_ref().map(|before| self.stored_document(before)).transpose()?;
                        diff.add(id, self.indexes.of(&record.kind)?, was.as_deref(), Some(&now));
                    }
                    if before.is_none() { created.push(record) } else { written.push(record) }
                }
                None => {
                    if let Some(before) = before {
                        let was = self.stored_document(&before)?;
                        diff.add(id, self.indexes.of(&before.kind)?, Some(&was), None);
                        removed.push(id);
                    }
                }
            }
        }
        // In the order of the tables: neighbours share pages.
        created.sort_unstable_by_key(|record| record.id);
        written.sort_unstable_by_key(|record| record.id);
        record::insert(self.db, tenant, created)?;
        record::update(self.db, tenant, written)?;
        record::remove(self.db, tenant, removed)?;
        record::touch_groups(self.db, tenant, touched)?;
        diff.store(self.db, tenant)?;
        unique::store(self.db, tenant, settled.unique.drain().collect())?;
        external::store(self.db, tenant, settled.external.drain().collect())?;
        membership::store(self.db, tenant, settled.take_memberships())?;
        index::store_paths(self.db, tenant, std::mem::take(&mut settled.paths))?;
        let sweep = !settled.sweeps.is_empty();
        membership::mark_for_sweep(self.db, tenant, std::mem::take(&mut settled.sweeps))?;
        credential::upsert(self.db, tenant, settled.credentials.into_values().collect())?;
        credential::touch(self.db, tenant, settled.used.drain())?;
        route::store(self.db, tenant, settled.routes.drain())?;
        seal::store(self.db, tenant, settled.seal_keys.into_iter(), self.origin.now)?;
        let outcomes = settled.outcomes.drain().collect();
        deferred::store(self.db, tenant, settled.deferred.drain().map(|(_, request)| request).collect(), outcomes)?;
        idempotency::store(self.db, tenant, settled.keyed.drain().map(|(_, keyed)| keyed))?;
        for feed in std::mem::take(&mut settled.forgotten_feeds) {
            feed::forget(self.db, tenant, feed)?;
        }
        feed::store(self.db, tenant, settled.feed_records.drain().collect())?;
        let dropped = std::mem::take(&mut settled.dropped_items);
        feed::store_items(self.db, tenant, dropped, settled.run_items.drain().collect())?;
        if let Some(now) = settled.forget {
            deferred::forget(self.db, tenant, now)?;
            idempotency::forget(self.db, tenant, now)?;
        }
        due::store(self.db, tenant, settled.due.drain())?;
        grant::store(self.db, tenant, settled.grants.drain().map(|(_, grant)| grant))?;
        tombstone::store(self.db, tenant, settled.tombstones.drain())?;
        erasure::store(self.db, tenant, settled.erasures.drain())?;
        guard::store(self.db, tenant, std::mem::take(&mut settled.counts), std::mem::take(&mut settled.passes))?;
        secret::store_keys(self.db, tenant, std::mem::take(&mut settled.sealing_keys))?;
        audit::append(self.db, tenant, std::mem::take(&mut settled.audit), &self.origin.random)?;
        let head = std::mem::take(&mut self.clock.digest);
        self.clock.digest = change::append(self.db, tenant, head, settled.changes, &self.origin.random)?;
        self.clock.store(self.db, tenant)?;
        Ok(Flushed { last, sweep })
    }
}
