//! What a write changes: resources come, change and go, with what hangs on them. Each leaves one change row.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Draft, USUAL, Work, document_of, text_of};
use crate::change::{Change, Delta, Op};
use crate::external::{self, ExternalKey};
use crate::membership::Membership;
use crate::secret::has_values;
use crate::unique::{self, UniqueKey};
use crate::{Error, Record, ResourceId};

/// Bytes by which a change mostly makes it no longer.
const MORE: usize = 64;

impl Work<'_> {
    /// Creates a resource. Fails with [`Error::Taken`] when its id, a unique value or the `externalId` is held by another.
    pub fn create(&mut self, draft: Draft) -> Result<Record, Error> {
        let layers = self.open.resources.get(&draft.id).or_else(|| self.settled.resources.get(&draft.id));
        if matches!(layers.or_else(|| self.seen.get(&draft.id)), Some(Some(_))) {
            return Err(Error::Taken { path: "id".into() });
        }
        // Ids are random, so the database is not asked; should it know this one, its key refuses the row at the flush.
        self.seen.entry(draft.id).or_insert(None);
        let claimed = self.unique_claims(&draft, None)?;
        self.check_external(&draft)?;
        let (seq, at) = self.clock.tick(self.origin.now);
        self.clock.count(&draft.kind, 1);
        let record = Record {
            id: draft.id,
            kind: draft.kind.clone(),
            version: 1,
            seq,
            groups_seq: 0,
            created_at: at,
            modified_at: at,
            label: draft.label.clone(),
            doc: self.text_of(&draft, USUAL)?,
            secret: draft.secret.clone(),
        };
        self.open.unique.extend(claimed);
        let doc = Some(record.doc.clone());
        self.put(record, draft, Op::Create, doc)
    }

    /// Changes a resource that exists. The caller has seen that something differs.
    pub fn update(&mut self, draft: Draft) -> Result<Record, Error> {
        let current = self.record(draft.id)?.ok_or(Error::NotFound)?;
        let doc = self.text_of(&draft, current.doc.len() + MORE)?;
        let moved = doc != current.doc;
        // What is sealed may be another where the text is the same.
        let is_resealed = draft.secret != current.secret
            && (has_values(draft.secret.as_deref()) || has_values(current.secret.as_deref()));
        let claimed = if moved || is_resealed {
            let held = self.document(&current)?;
            self.unique_claims(&draft, Some(&held))?
        } else {
            HashMap::new()
        };
        self.check_external(&draft)?;
        let (seq, at) = self.clock.tick(self.origin.now);
        if draft.label != current.label && self.indexes.of(&draft.kind)?.has_members() {
            self.clock.nesting_seq = seq;
        }
        let op =
            if moved || draft.external.is_some() || draft.secret != current.secret { Op::Update } else { Op::Members };
        let record = Record {
            version: current.version + 1,
            seq,
            modified_at: at,
            label: draft.label.clone(),
            doc,
            secret: draft.secret.clone(),
            ..current
        };
        self.open.unique.extend(claimed);
        let doc = moved.then(|| record.doc.clone());
        self.put(record, draft, op, doc)
    }

    /// Deletes a resource: it leaves its groups, a change row for each, and its names are free again.
    pub fn remove(&mut self, id: ResourceId) -> Result<(), Error> {
        let current = self.record(id)?.ok_or(Error::NotFound)?;
        for group in self.groups_of(id)? {
            let Some(group) = self.record(group)? else { continue };
            let members = vec![Delta { member: id, kind: current.kind.clone(), joined: false }];
            let doc = self.document(&group)?;
            self.update(Draft {
                id: group.id,
                kind: group.kind,
                label: group.label,
                doc,
                secret: group.secret,
                members,
                external: None,
            })?;
        }
        // Asked for before the number is drawn: the cache is found by the number of the newest change of nesting.
        let nesting = if self.indexes.of(&current.kind)?.has_members() { Some(self.nesting()?) } else { None };
        let (seq, at) = self.clock.tick(self.origin.now);
        self.clock.count(&current.kind, -1);
        let document = self.document(&current)?;
        for (key, _) in self.indexes.of(&current.kind)?.unique_keys(&current.kind, &document) {
            self.open.unique.insert(key, None);
        }
        for key in self.externals_of(id)? {
            self.open.external_of.insert((id, key.domain), None);
            self.open.external.insert(key, None);
        }
        if let Some(mut nesting) = nesting {
            Arc::make_mut(&mut nesting).forget(id);
            self.nesting = Some(nesting);
            self.open.sweeps.push(id);
            self.clock.nesting_seq = seq;
        }
        self.open.changes.push(Change {
            seq,
            resource: id,
            kind: current.kind.clone(),
            op: Op::Delete,
            version: current.version + 1,
            at,
            actor: self.origin.actor,
            txn: self.txn,
            cause: self.origin.cause.to_owned(),
            by: self.origin.by.clone(),
            doc: None,
            external: None,
            members: Vec::new(),
        });
        self.open.resources.insert(id, None);
        Ok(())
    }

    /// Puts sealed values in the place of those of a resource that say the same under other keys: neither a change nor a
    /// version. Index rows and unique keys follow.
    pub fn reseal(&mut self, record: &Record, secret: Option<Vec<u8>>) -> Result<(), Error> {
        let before = self.document(record)?;
        let next = Record { secret, ..record.clone() };
        let after = Arc::new(document_of(&next)?);
        let indexes = self.indexes.of(&record.kind)?.clone();
        let (held, wanted) = (indexes.unique_keys(&record.kind, &before), indexes.unique_keys(&record.kind, &after));
        for (key, _) in held.difference(&wanted) {
            self.open.unique.insert(key.clone(), None);
        }
        for (key, _) in wanted.difference(&held) {
            self.open.unique.insert(key.clone(), Some(record.id));
        }
        self.open.documents.insert(record.id, after);
        self.open.resources.insert(record.id, Some(next));
        Ok(())
    }

    /// Fails with [`Error::Taken`] when another resource than `id` holds a unique value that the document has.
    pub fn check_unique(&mut self, kind: &str, id: ResourceId, document: &Map<String, Value>) -> Result<(), Error> {
        for (key, path) in self.indexes.of(kind)?.clone().unique_keys(kind, document) {
            if self.holder(&key)?.is_some_and(|holder| holder != id) {
                return Err(Error::Taken { path });
            }
        }
        Ok(())
    }

    /// The text that is stored of a draft, which is expected to be so long: made before the lock, or now.
    fn text_of(&mut self, draft: &Draft, length: usize) -> Result<Arc<String>, Error> {
        let secret = draft.secret.as_deref();
        match self.foretold.take() {
            Some((document, text)) if Arc::ptr_eq(&document, &draft.doc) && !has_values(secret) => Ok(text),
            _ => text_of(&draft.doc, secret, length).map(Arc::new),
        }
    }

    fn put(&mut self, record: Record, draft: Draft, op: Op, doc: Option<Arc<String>>) -> Result<Record, Error> {
        let members = self.apply_members(&record, draft.members)?;
        if let Some((domain, value)) = &draft.external {
            self.apply_external(&record, *domain, value.clone())?;
        }
        self.open.changes.push(Change {
            seq: record.seq,
            resource: record.id,
            kind: record.kind.clone(),
            op,
            version: record.version,
            at: record.modified_at,
            actor: self.origin.actor,
            txn: self.txn,
            cause: self.origin.cause.to_owned(),
            by: self.origin.by.clone(),
            doc,
            external: draft.external,
            members,
        });
        self.open.documents.insert(record.id, draft.doc);
        self.open.resources.insert(record.id, Some(record.clone()));
        Ok(record)
    }

    /// Puts deltas into the overlay and returns those that changed something, in the order given.
    fn apply_members(&mut self, group: &Record, deltas: Vec<Delta>) -> Result<Vec<Delta>, Error> {
        if deltas.is_empty() {
            return Ok(deltas);
        }
        let ids: Vec<ResourceId> = deltas.iter().map(|delta| delta.member).collect();
        let is_new = group.version == 1;
        let mut present = if is_new { HashMap::new() } else { self.memberships_among(group.id, &ids)? };
        let mut effective = Vec::with_capacity(deltas.len());
        for delta in deltas {
            if present.contains_key(&delta.member) == delta.joined {
                continue;
            }
            let membership = delta.joined.then(|| Membership { kind: delta.kind.clone(), since: group.seq });
            match &membership {
                Some(membership) => drop(present.insert(delta.member, membership.clone())),
                None => drop(present.remove(&delta.member)),
            }
            if self.indexes.of(&delta.kind)?.has_members() {
                let mut nesting = self.nesting()?;
                // Held by nobody else, it is changed where it is: a copy for each of many groups would be slow.
                self.nesting = None;
                let edges = Arc::make_mut(&mut nesting);
                if delta.joined {
                    edges.link(group.id, delta.member, &group.label);
                } else {
                    edges.unlink(group.id, delta.member);
                }
                self.nesting = Some(nesting);
                self.clock.nesting_seq = group.seq;
            }
            self.open.set_membership(group.id, delta.member, membership);
            self.open.touched.insert(delta.member, group.seq);
            effective.push(delta);
        }
        Ok(effective)
    }

    fn apply_external(&mut self, record: &Record, domain: ResourceId, value: Option<String>) -> Result<(), Error> {
        let key = |value: String| ExternalKey { domain, kind: record.kind.clone(), value };
        // What has just come to be is called nothing yet; what was under its id before let go of its names.
        let held = if record.version == 1 { None } else { self.external_of(record.id, domain)? };
        if let Some(held) = held {
            self.open.external.insert(key(held), None);
        }
        if let Some(value) = &value {
            self.open.external.insert(key(value.clone()), Some(record.id));
        }
        self.open.external_of.insert((record.id, domain), value);
        Ok(())
    }

    fn check_external(&mut self, draft: &Draft) -> Result<(), Error> {
        let Some((domain, Some(value))) = &draft.external else { return Ok(()) };
        let key = ExternalKey { domain: *domain, kind: draft.kind.clone(), value: value.clone() };
        match self.external_holder(&key)? {
            Some(holder) if holder != draft.id => Err(Error::Taken { path: "externalId".into() }),
            _ => Ok(()),
        }
    }

    pub(super) fn external_holder(&mut self, key: &ExternalKey) -> Result<Option<ResourceId>, Error> {
        match self.open.external.get(key).or_else(|| self.settled.external.get(key)) {
            Some(holder) => Ok(*holder),
            None => external::holder(self.db, self.tenant, key),
        }
    }

    pub(super) fn externals_of(&mut self, id: ResourceId) -> Result<HashSet<ExternalKey>, Error> {
        let mut keys: HashSet<ExternalKey> = external::keys_of(self.db, self.tenant, id)?.into_iter().collect();
        for layer in [&self.settled, &self.open] {
            for (key, holder) in &layer.external {
                if *holder == Some(id) {
                    keys.insert(key.clone());
                } else {
                    keys.remove(key);
                }
            }
        }
        Ok(keys)
    }

    /// What becomes of the unique keys when the document `before` gives way to the draft's. Fails when another resource
    /// holds one.
    fn unique_claims(
        &mut self,
        draft: &Draft,
        before: Option<&Map<String, Value>>,
    ) -> Result<HashMap<UniqueKey, Option<ResourceId>>, Error> {
        let (freed, wanted) = self.indexes.of(&draft.kind)?.unique_moves(&draft.kind, before, &draft.doc);
        let mut claims: HashMap<UniqueKey, Option<ResourceId>> = freed.into_iter().map(|key| (key, None)).collect();
        for (key, path) in wanted {
            match self.holder(&key)? {
                Some(holder) if holder != draft.id => return Err(Error::Taken { path }),
                _ => drop(claims.insert(key, Some(draft.id))),
            }
        }
        Ok(claims)
    }

    pub(super) fn holder(&mut self, key: &UniqueKey) -> Result<Option<ResourceId>, Error> {
        match self.open.unique.get(key).or_else(|| self.settled.unique.get(key)) {
            Some(holder) => Ok(*holder),
            None => unique::holder(self.db, self.tenant, key),
        }
    }
}
