//! What a write reads and says of what follows from facts: when resources are due, which rights are held on which
//! grounds, which names stay taken. None of it is a change of its own; it is written with the change that it follows from.

use std::collections::BTreeMap;

use super::Work;
use crate::due::Due;
use crate::external::ExternalKey;
use crate::grant::{Grant, GrantKey};
use crate::known::{Book, Booked};
use crate::tombstone::{Buried, Tombstone};
use crate::{Error, ResourceId, Seq, TenantId, due, grant, tombstone};

impl Work<'_> {
    /// Whose register it is.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Says when a resource is to be looked at again; `None`: never.
    pub fn put_due(&mut self, id: ResourceId, due: Option<Due>) {
        self.open.due.insert(id, due);
    }

    /// When a resource is looked at again.
    pub fn due_of(&mut self, id: ResourceId) -> Result<Option<Due>, Error> {
        match self.open.due.get(&id).or_else(|| self.settled.due.get(&id)) {
            Some(due) => Ok(*due),
            None => due::find(self.db, self.tenant, id),
        }
    }

    /// Whose the `externalId` of a domain is.
    pub fn external_holder_in(
        &mut self,
        domain: ResourceId,
        kind: &str,
        value: &str,
    ) -> Result<Option<ResourceId>, Error> {
        self.external_holder(&ExternalKey { domain, kind: kind.to_owned(), value: value.to_owned() })
    }

    /// Every grant of a user, ended ones too, in the order of their keys.
    pub fn grants_of(&mut self, user: ResourceId) -> Result<Vec<Grant>, Error> {
        let stored = grant::of_user(self.db, self.tenant, user)?;
        Ok(self.overlaid(stored, |key| key.user == user))
    }

    /// Every grant of a target, ended ones too, in the order of their keys.
    pub fn grants_on(&mut self, target: ResourceId) -> Result<Vec<Grant>, Error> {
        let stored = grant::of_target(self.db, self.tenant, target)?;
        Ok(self.overlaid(stored, |key| key.target == target))
    }

    fn overlaid(&self, stored: Vec<Grant>, wanted: impl Fn(&GrantKey) -> bool) -> Vec<Grant> {
        let mut all: BTreeMap<GrantKey, Grant> = stored.into_iter().map(|one| (one.key.clone(), one)).collect();
        for layer in [&self.settled, &self.open] {
            let written = layer.grants.iter().filter(|(key, _)| wanted(key));
            all.extend(written.map(|(key, grant)| (key.clone(), grant.clone())));
        }
        all.into_values().collect()
    }

    /// Writes a grant: a new one, or what became of one.
    pub fn put_grant(&mut self, grant: Grant) {
        self.open.grants.insert(grant.key.clone(), grant);
    }

    /// Ends a grant that is held, at an instant (µs since 1970).
    pub fn end_grant(&mut self, grant: Grant, at: i64) {
        self.put_grant(Grant { until: Some(at.max(grant.key.since)), ..grant });
    }

    /// What is left of a name or number whose owner is gone.
    pub fn tombstone(&mut self, namespace: &str, value: &str) -> Result<Option<Tombstone>, Error> {
        let buried = (namespace.to_owned(), value.to_owned());
        match self.open.tombstones.get(&buried).or_else(|| self.settled.tombstones.get(&buried)) {
            Some(stone) => Ok(Some(*stone)),
            None => tombstone::find(self.db, self.tenant, &buried),
        }
    }

    /// What is left of a resource.
    pub fn tombstones_of(&mut self, resource: ResourceId) -> Result<Vec<(Buried, Tombstone)>, Error> {
        let mut all: BTreeMap<Buried, Tombstone> = tombstone::of(self.db, self.tenant, resource)?.into_iter().collect();
        for layer in [&self.settled, &self.open] {
            all.extend(layer.tombstones.iter().map(|(buried, stone)| (buried.clone(), *stone)));
        }
        all.retain(|_, stone| stone.resource == resource);
        Ok(all.into_iter().collect())
    }

    /// Whether something is left in a namespace whose value begins so.
    pub fn is_any_buried(&mut self, namespace: &str, beginning: &str) -> Result<bool, Error> {
        let mut layers = [&self.settled, &self.open].into_iter();
        let is_here = |(space, value): &Buried| space == namespace && value.starts_with(beginning);
        if layers.any(|layer| layer.tombstones.keys().any(is_here)) {
            return Ok(true);
        }
        tombstone::is_any(self.db, self.tenant, namespace, beginning)
    }

    /// Keeps a name or number from being given to anyone else.
    pub fn bury(&mut self, namespace: &str, value: &str, stone: Tombstone) {
        self.open.tombstones.insert((namespace.to_owned(), value.to_owned()), stone);
    }

    /// Number of the newest change, those of this work among them.
    pub fn seq(&self) -> Seq {
        self.clock.seq
    }

    /// The moment of the newest change, µs since 1970.
    pub fn last_at(&self) -> i64 {
        self.clock.last_at
    }

    /// Number of the newest change of a policy, a rule or what they go by.
    pub fn book_seq(&self) -> Seq {
        self.clock.book_seq
    }

    /// Notes that the newest change is one of a policy, a rule or what they go by.
    pub fn move_book(&mut self) {
        self.clock.book_seq = self.clock.seq;
    }

    /// What was made of the policies, rules and what they go by as they stand now, if somebody has; never what was made of
    /// others.
    pub fn book(&self) -> Option<Book> {
        let known = self.memo.clone().or_else(|| self.books.get(&self.tenant))?;
        (known.seq == self.clock.book_seq && known.catalog == self.catalog.version()).then_some(known.book)
    }

    /// Keeps what was made of the policies and rules as they stand now: for this batch, and beyond it if they are committed.
    pub fn keep_book(&mut self, book: Book) {
        let booked = Booked { seq: self.clock.book_seq, catalog: self.catalog.version(), book };
        if self.clock.book_seq == self.began_book {
            self.books.insert(self.tenant, booked.clone());
        }
        self.memo = Some(booked);
    }
}
