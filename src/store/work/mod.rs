//! `Work`: what a write sees and what it would change. Reads go to the overlay first and to the database after it;
//! nothing is written until the whole batch is flushed. A simulation is the same work, thrown away.
//!
//! Two layers lie over the database: what the operations before this one of the same batch have settled, and what the
//! open operation has done so far. A refused operation loses its layer and has drawn no number.

mod flush;
mod layer;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::change::{Change, Delta, Op};
use crate::clock::Clock;
use crate::db::Db;
use crate::external::{self, ExternalKey};
use crate::index::Indexes;
use crate::membership::{self, Membership};
use crate::nesting::Nesting;
use crate::unique::{self, UniqueKey};
use crate::{Credential, Error, GroupRef, MemberRef, Random, Record, ResourceId, SealKey, Seq, TenantId};
use crate::{credential, dialect, record, seal};

use layer::Layer;

/// On whose behalf an operation runs, and when.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client; [`ResourceId::SYSTEM`] for the server itself.
    pub actor: ResourceId,
    /// Why: `request`, `operator`, `due` …
    pub cause: &'static str,
    /// µs since 1970, as the caller's clock says.
    pub now: i64,
    /// Source of the transaction's id and of salts.
    pub random: Random,
}

/// A resource as an operation wants it to be.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The resource.
    pub id: ResourceId,
    /// Its resource type.
    pub kind: String,
    /// What people call it.
    pub label: String,
    /// The canonical document without what is derived or secret.
    pub doc: Map<String, Value>,
    /// Sealed values that never leave the server.
    pub secret: Option<Vec<u8>>,
    /// Members that come or go. Those that are there or gone already are passed over.
    pub members: Vec<Delta>,
    /// The caller's domain and the `externalId` it is to have there; `None` leaves it as it is.
    pub external: Option<(ResourceId, Option<String>)>,
}

/// The overlay of one batch in one tenant.
pub struct Work<'d> {
    db: &'d mut Db,
    tenant: TenantId,
    indexes: Arc<Indexes>,
    clock: Clock,
    nesting: Option<Arc<Nesting>>,
    cached_nesting: Option<(Seq, Arc<Nesting>)>,
    /// Rows as the database has them, read under the lock.
    seen: HashMap<ResourceId, Option<Record>>,
    settled: Layer,
    open: Layer,
    /// Clock and nesting as the operations before the open one left them.
    before: (Clock, Option<Arc<Nesting>>),
    origin: Origin,
    txn: Uuid,
    swept: bool,
}

impl<'d> Work<'d> {
    pub(crate) fn new(
        db: &'d mut Db,
        tenant: TenantId,
        indexes: Arc<Indexes>,
        clock: Clock,
        cached_nesting: Option<(Seq, Arc<Nesting>)>,
        origin: Origin,
    ) -> Self {
        Work {
            db,
            tenant,
            indexes,
            before: (clock.clone(), None),
            clock,
            nesting: None,
            cached_nesting,
            seen: HashMap::new(),
            settled: Layer::default(),
            open: Layer::default(),
            origin,
            txn: Uuid::nil(),
            swept: false,
        }
    }

    /// Begins an operation.
    pub(crate) fn begin(&mut self, origin: Origin) -> Result<(), Error> {
        self.txn = origin.random.uuid()?;
        self.origin = origin;
        Ok(())
    }

    /// Keeps what the open operation did.
    pub(crate) fn accept(&mut self) {
        self.settled.absorb(std::mem::take(&mut self.open));
        // A discard that no operation began must not take back what was settled.
        self.before = (self.clock.clone(), self.nesting.clone());
    }

    /// Forgets what the open operation did.
    pub(crate) fn discard(&mut self) {
        self.open = Layer::default();
        (self.clock, self.nesting) = self.before.clone();
    }

    /// Runs one of several operations of a simulation: what it does is kept when it succeeds and forgotten otherwise,
    /// and [`Work::changes`] begins anew with each. In a write every operation is a write of its own instead.
    pub fn rehearse<T, E>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        self.accept();
        let outcome = run(self);
        if outcome.is_err() {
            self.discard();
        }
        outcome
    }

    /// The changes of the open operation so far, in order.
    pub fn changes(&self) -> &[Change] {
        &self.open.changes
    }

    /// A resource as it stands now.
    pub fn record(&mut self, id: ResourceId) -> Result<Option<Record>, Error> {
        let touched = self.open.touched.get(&id).or_else(|| self.settled.touched.get(&id)).copied();
        let mut found = self.stored_record(id)?;
        if let (Some(record), Some(seq)) = (&mut found, touched) {
            record.groups_seq = record.groups_seq.max(seq);
        }
        Ok(found)
    }

    fn stored_record(&mut self, id: ResourceId) -> Result<Option<Record>, Error> {
        if let Some(found) = self.open.resources.get(&id).or_else(|| self.settled.resources.get(&id)) {
            return Ok(found.clone());
        }
        if let Some(found) = self.seen.get(&id) {
            return Ok(found.clone());
        }
        let found = record::find(self.db, self.tenant, id)?;
        self.seen.insert(id, found.clone());
        Ok(found)
    }

    /// Kind and label of each of these resources that lives.
    pub fn kinds(&mut self, ids: &[ResourceId]) -> Result<HashMap<ResourceId, (String, String)>, Error> {
        let mut found = HashMap::with_capacity(ids.len());
        let mut unknown = Vec::new();
        for id in ids {
            match self.open.resources.get(id).or_else(|| self.settled.resources.get(id)) {
                Some(Some(record)) => drop(found.insert(*id, (record.kind.clone(), record.label.clone()))),
                Some(None) => {}
                None => unknown.push(*id),
            }
        }
        found.extend(record::kinds(self.db, self.tenant, &unknown)?);
        Ok(found)
    }

    /// The `externalId` that a domain has given a resource.
    pub fn external_of(&mut self, id: ResourceId, domain: ResourceId) -> Result<Option<String>, Error> {
        let key = (id, domain);
        if let Some(value) = self.open.external_of.get(&key).or_else(|| self.settled.external_of.get(&key)) {
            return Ok(value.clone());
        }
        Ok(external::of_resources(self.db, self.tenant, domain, &[id])?.remove(&id))
    }

    /// Which of these resources are members of the group.
    pub fn members_among(&mut self, group: ResourceId, ids: &[ResourceId]) -> Result<HashSet<ResourceId>, Error> {
        Ok(self.memberships_among(group, ids)?.into_keys().collect())
    }

    fn memberships_among(
        &mut self,
        group: ResourceId,
        ids: &[ResourceId],
    ) -> Result<HashMap<ResourceId, Membership>, Error> {
        let mut found = HashMap::new();
        let mut unknown = Vec::new();
        for id in ids {
            match self.open.membership(group, *id).or_else(|| self.settled.membership(group, *id)) {
                Some(Some(membership)) => drop(found.insert(*id, membership.clone())),
                Some(None) => {}
                None => unknown.push(*id),
            }
        }
        found.extend(membership::among(self.db, self.tenant, group, &unknown)?);
        Ok(found)
    }

    /// Every living member of the group, by id.
    pub fn members(&mut self, group: ResourceId) -> Result<Vec<MemberRef>, Error> {
        let stored = membership::ids_of_group(self.db, self.tenant, group)?;
        let mut kinds: BTreeMap<ResourceId, Membership> = stored.into_iter().collect();
        for layer in [&self.settled, &self.open] {
            for (member, membership) in layer.memberships_of(group) {
                match membership {
                    Some(membership) => drop(kinds.insert(*member, membership.clone())),
                    None => drop(kinds.remove(member)),
                }
            }
        }
        let ids: Vec<ResourceId> = kinds.into_keys().collect();
        let mut living = self.kinds(&ids)?;
        Ok(ids
            .into_iter()
            .filter_map(|id| living.remove(&id).map(|(kind, label)| MemberRef { id, kind, label }))
            .collect())
    }

    /// The living groups that the resource is a direct member of.
    pub fn groups_of(&mut self, member: ResourceId) -> Result<BTreeSet<ResourceId>, Error> {
        let mut groups: BTreeSet<ResourceId> =
            membership::groups_of(self.db, self.tenant, member)?.into_iter().collect();
        for layer in [&self.settled, &self.open] {
            for group in layer.groups_touched_by(member) {
                match layer.membership(group, member) {
                    Some(Some(_)) => drop(groups.insert(group)),
                    Some(None) => drop(groups.remove(&group)),
                    None => {}
                }
            }
            groups.retain(|group| !matches!(layer.resources.get(group), Some(None)));
        }
        Ok(groups)
    }

    /// The groups of a resource with their names, direct and indirect. `record` must come from this work.
    pub fn group_refs_of(&mut self, record: &Record) -> Result<Vec<GroupRef>, Error> {
        if record.groups_seq == 0 {
            return Ok(Vec::new());
        }
        let ids: Vec<ResourceId> = self.groups_of(record.id)?.into_iter().collect();
        let mut kinds = self.kinds(&ids)?;
        let direct = ids.into_iter().filter_map(|id| {
            let (_, label) = kinds.remove(&id)?;
            Some(GroupRef { id, label, direct: true })
        });
        let direct = direct.collect();
        let mut groups = self.nesting()?.complete(direct);
        // An outer group may have been renamed in this batch, which the edges do not know.
        let outer: Vec<ResourceId> = groups.iter().filter(|group| !group.direct).map(|group| group.id).collect();
        let mut kinds = self.kinds(&outer)?;
        for group in &mut groups {
            if let Some((_, label)) = kinds.remove(&group.id) {
                group.label = label;
            }
        }
        Ok(groups)
    }

    /// The groups within groups, as they stand now.
    pub fn nesting(&mut self) -> Result<Arc<Nesting>, Error> {
        if let Some(nesting) = &self.nesting {
            return Ok(nesting.clone());
        }
        let nesting = match &self.cached_nesting {
            Some((seq, nesting)) if *seq == self.clock.nesting_seq => nesting.clone(),
            _ => Arc::new(Nesting::load(self.db, self.tenant)?),
        };
        self.nesting = Some(nesting.clone());
        // Read before the open operation changed anything, so a discard may keep it.
        self.before.1 = Some(nesting.clone());
        Ok(nesting)
    }

    /// The newest change of nesting or of a group's name.
    pub fn nesting_seq(&self) -> Seq {
        self.clock.nesting_seq
    }

    /// Creates a resource. Fails with [`Error::Taken`] when its id, a unique value or the `externalId` is held by another.
    pub fn create(&mut self, draft: Draft) -> Result<Record, Error> {
        let layers = self.open.resources.get(&draft.id).or_else(|| self.settled.resources.get(&draft.id));
        if matches!(layers.or_else(|| self.seen.get(&draft.id)), Some(Some(_))) {
            return Err(Error::Taken { path: "id".into() });
        }
        // Ids are random, so the database is not asked; should it know this one, its key refuses the row at the flush.
        self.seen.entry(draft.id).or_insert(None);
        let claimed = self.unique_claims(&draft, &BTreeSet::new())?;
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
            doc: text_of(&draft.doc)?,
            secret: draft.secret.clone(),
        };
        self.open.unique.extend(claimed);
        let doc = Some(record.doc.clone());
        self.put(record, draft, Op::Create, doc)
    }

    /// Changes a resource that exists. The caller has seen that something differs.
    pub fn update(&mut self, draft: Draft) -> Result<Record, Error> {
        let current = self.record(draft.id)?.ok_or(Error::NotFound)?;
        let doc = text_of(&draft.doc)?;
        let moved = doc != current.doc;
        let claimed = if moved {
            let held = self.unique_of(&current)?;
            self.unique_claims(&draft, &held)?
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
            let doc = document_of(&group)?;
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
        for (key, _) in self.unique_of(&current)? {
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
            doc: None,
            external: None,
            members: Vec::new(),
        });
        self.open.resources.insert(id, None);
        Ok(())
    }

    /// Writes a credential of a client.
    pub fn put_credential(&mut self, credential: Credential) {
        self.open.credentials.insert(credential.id, credential);
    }

    /// The tenant's key for a purpose; made now when it has none.
    pub fn seal_key(&mut self, purpose: &'static str) -> Result<SealKey, Error> {
        if let Some(key) = self.open.seal_keys.get(purpose).or_else(|| self.settled.seal_keys.get(purpose)) {
            return Ok(key.clone());
        }
        if let Some(key) = seal::find(self.db, self.tenant, purpose)? {
            return Ok(key);
        }
        let key = SealKey::make()?;
        self.open.seal_keys.insert(purpose, key.clone());
        Ok(key)
    }

    /// Every credential of a client.
    pub fn credentials_of(&mut self, client: ResourceId) -> Result<Vec<Credential>, Error> {
        let stored = credential::of_client(self.db, self.tenant, client)?;
        let mut all: BTreeMap<Uuid, Credential> = stored.into_iter().map(|one| (one.id, one)).collect();
        for layer in [&self.settled, &self.open] {
            all.extend(
                layer.credentials.iter().filter(|(_, one)| one.client == client).map(|(id, one)| (*id, one.clone())),
            );
        }
        Ok(all.into_values().collect())
    }

    /// The database itself, for what leaves no change: clearing after a deleted group.
    pub(crate) fn database(&mut self) -> (&mut Db, TenantId) {
        self.swept = true;
        (self.db, self.tenant)
    }

    /// Whether the transaction still takes statements.
    pub(crate) fn is_sound(&mut self) -> bool {
        dialect::is_alive(self.db)
    }

    /// Whether the database was written to directly.
    pub(crate) fn swept(&self) -> bool {
        self.swept
    }

    fn put(&mut self, record: Record, draft: Draft, op: Op, doc: Option<String>) -> Result<Record, Error> {
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
            doc,
            external: draft.external,
            members,
        });
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
        if let Some(held) = self.external_of(record.id, domain)? {
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

    fn external_holder(&mut self, key: &ExternalKey) -> Result<Option<ResourceId>, Error> {
        match self.open.external.get(key).or_else(|| self.settled.external.get(key)) {
            Some(holder) => Ok(*holder),
            None => external::holder(self.db, self.tenant, key),
        }
    }

    fn externals_of(&mut self, id: ResourceId) -> Result<HashSet<ExternalKey>, Error> {
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

    fn unique_of(&self, record: &Record) -> Result<BTreeSet<(UniqueKey, String)>, Error> {
        Ok(self.indexes.of(&record.kind)?.unique_keys(&record.kind, &document_of(record)?))
    }

    /// What becomes of the unique keys when `held` gives way to the draft's. Fails when another resource holds one.
    fn unique_claims(
        &mut self,
        draft: &Draft,
        held: &BTreeSet<(UniqueKey, String)>,
    ) -> Result<HashMap<UniqueKey, Option<ResourceId>>, Error> {
        let wanted = self.indexes.of(&draft.kind)?.unique_keys(&draft.kind, &draft.doc);
        let mut claims: HashMap<UniqueKey, Option<ResourceId>> =
            held.difference(&wanted).map(|(key, _)| (key.clone(), None)).collect();
        for (key, path) in wanted.difference(held) {
            match self.holder(key)? {
                Some(holder) if holder != draft.id => return Err(Error::Taken { path: path.clone() }),
                _ => drop(claims.insert(key.clone(), Some(draft.id))),
            }
        }
        Ok(claims)
    }

    fn holder(&mut self, key: &UniqueKey) -> Result<Option<ResourceId>, Error> {
        match self.open.unique.get(key).or_else(|| self.settled.unique.get(key)) {
            Some(holder) => Ok(*holder),
            None => unique::holder(self.db, self.tenant, key),
        }
    }
}

/// The document of a record.
pub fn document_of(record: &Record) -> Result<Map<String, Value>, Error> {
    serde_json::from_str(&record.doc).map_err(|error| Error::Corrupt(format!("document of {}: {error}", record.id)))
}

fn text_of(doc: &Map<String, Value>) -> Result<String, Error> {
    serde_json::to_string(doc).map_err(|error| Error::Corrupt(error.to_string()))
}
