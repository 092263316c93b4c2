//! One layer of the overlay: what it says about a thing wins over what lies under it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::audit::Entry;
use crate::change::Change;
use crate::external::ExternalKey;
use crate::feed::{FeedKey, FeedRecord};
use crate::guard::{Counted, Pass, Passing};
use crate::idempotency::Keyed;
use crate::index::PathChange;
use crate::membership::Membership;
use crate::secret::SealingKey;
use crate::unique::UniqueKey;
use crate::{Buried, Credential, Deferred, Due, Erasure, Grant, GrantKey, Record, ResourceId, SealKey, Seq, Tombstone};

type Memberships = HashMap<ResourceId, Option<Membership>>;

/// Everything an operation, or a batch of them, has done. `None` in a map means: gone.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) resources: HashMap<ResourceId, Option<Record>>,
    /// Their documents, as far as these were written, before they became text.
    pub(super) documents: HashMap<ResourceId, Arc<Map<String, Value>>>,
    pub(super) unique: HashMap<UniqueKey, Option<ResourceId>>,
    pub(super) external: HashMap<ExternalKey, Option<ResourceId>>,
    /// By resource and domain.
    pub(super) external_of: HashMap<(ResourceId, ResourceId), Option<String>>,
    memberships: HashMap<ResourceId, Memberships>,
    groups_by_member: HashMap<ResourceId, HashSet<ResourceId>>,
    /// Resources whose direct groups changed, and with which change.
    pub(super) touched: HashMap<ResourceId, Seq>,
    /// Deleted groups.
    pub(super) sweeps: Vec<ResourceId>,
    pub(super) credentials: HashMap<Uuid, Credential>,
    /// When credentials were last used.
    pub(super) used: HashMap<Uuid, i64>,
    /// Where keys lead that name no tenant.
    pub(super) routes: HashMap<String, Option<Option<ResourceId>>>,
    /// By purpose.
    pub(super) seal_keys: HashMap<&'static str, SealKey>,
    /// Requests that were accepted or are done now.
    pub(super) deferred: HashMap<Uuid, Deferred>,
    /// What became of operations of deferred requests, by request and place.
    pub(super) outcomes: HashMap<(Uuid, i64), Vec<u8>>,
    /// Writes that a client gave a key, by client and key.
    pub(super) keyed: HashMap<(ResourceId, Vec<u8>), Keyed>,
    /// What feeds have said.
    pub(super) feed_records: HashMap<FeedKey, FeedRecord>,
    /// Feeds that are no more.
    pub(super) forgotten_feeds: Vec<ResourceId>,
    /// What runs hold, by run, list and place.
    pub(super) run_items: HashMap<(ResourceId, &'static str, i64), Vec<u8>>,
    /// Lists of runs that are emptied first.
    pub(super) dropped_items: Vec<(ResourceId, &'static str)>,
    /// Results and keys that are older are forgotten.
    pub(super) forget: Option<i64>,
    pub(super) changes: Vec<Change>,
    /// Keys for secrets by purpose and number; `None`: it is gone.
    pub(super) sealing_keys: BTreeMap<(String, i64), Option<SealingKey>>,
    /// What leaves no change and is remembered.
    pub(super) audit: Vec<Entry>,
    /// When resources are due.
    pub(super) due: HashMap<ResourceId, Option<Due>>,
    pub(super) grants: HashMap<GrantKey, Grant>,
    pub(super) tombstones: HashMap<Buried, Tombstone>,
    /// Of whom nothing is to be kept.
    pub(super) erasures: HashMap<ResourceId, Erasure>,
    /// What clients have done, to be added.
    pub(super) counts: BTreeMap<Counted, i64>,
    /// What is decided about them.
    pub(super) passes: BTreeMap<Passing, Option<Pass>>,
    /// What becomes of indexed paths.
    pub(super) paths: Vec<PathChange>,
}

impl Layer {
    pub(super) fn membership(&self, group: ResourceId, member: ResourceId) -> Option<&Option<Membership>> {
        self.memberships.get(&group)?.get(&member)
    }

    pub(super) fn memberships_of(&self, group: ResourceId) -> impl Iterator<Item = (&ResourceId, &Option<Membership>)> {
        self.memberships.get(&group).into_iter().flatten()
    }

    pub(super) fn groups_touched_by(&self, member: ResourceId) -> impl Iterator<Item = ResourceId> {
        self.groups_by_member.get(&member).into_iter().flatten().copied()
    }

    /// Whether it removed a resource.
    pub(super) fn is_gone(&self, id: ResourceId) -> bool {
        matches!(self.resources.get(&id), Some(None))
    }

    /// The documents of a kind that it wrote, of resources that it left there.
    pub(super) fn documents_of(&self, kind: &str) -> impl Iterator<Item = (ResourceId, &Map<String, Value>)> {
        let is_of_kind = move |id| self.resources.get(id).and_then(Option::as_ref).is_some_and(|is| is.kind == kind);
        self.documents.iter().filter(move |(id, _)| is_of_kind(id)).map(|(id, document)| (*id, &**document))
    }

    pub(super) fn set_membership(&mut self, group: ResourceId, member: ResourceId, membership: Option<Membership>) {
        self.memberships.entry(group).or_default().insert(member, membership);
        self.groups_by_member.entry(member).or_default().insert(group);
    }

    /// Bytes of documents that it holds.
    pub(super) fn weight(&self) -> usize {
        let changes = self.changes.iter();
        let changes = changes.map(|change| change.text().map_or(64, str::len) + change.members.len() * 24);
        let held = self.run_items.values().map(Vec::len).sum::<usize>();
        changes.sum::<usize>() + held + self.deferred.values().map(|request| request.body.len()).sum::<usize>()
    }

    /// Takes all that `upper` says over what this layer said.
    pub(super) fn absorb(&mut self, upper: Layer) {
        pour(&mut self.resources, upper.resources);
        pour(&mut self.documents, upper.documents);
        pour(&mut self.unique, upper.unique);
        pour(&mut self.external, upper.external);
        pour(&mut self.external_of, upper.external_of);
        for (group, memberships) in upper.memberships {
            pour(self.memberships.entry(group).or_default(), memberships);
        }
        for (member, groups) in upper.groups_by_member {
            self.groups_by_member.entry(member).or_default().extend(groups);
        }
        pour(&mut self.touched, upper.touched);
        self.sweeps.extend(upper.sweeps);
        pour(&mut self.credentials, upper.credentials);
        pour(&mut self.used, upper.used);
        pour(&mut self.routes, upper.routes);
        pour(&mut self.seal_keys, upper.seal_keys);
        pour(&mut self.deferred, upper.deferred);
        pour(&mut self.outcomes, upper.outcomes);
        pour(&mut self.keyed, upper.keyed);
        pour(&mut self.feed_records, upper.feed_records);
        self.forgotten_feeds.extend(upper.forgotten_feeds);
        pour(&mut self.run_items, upper.run_items);
        self.dropped_items.extend(upper.dropped_items);
        self.forget = self.forget.max(upper.forget);
        self.changes.extend(upper.changes);
        self.audit.extend(upper.audit);
        self.sealing_keys.extend(upper.sealing_keys);
        pour(&mut self.due, upper.due);
        pour(&mut self.grants, upper.grants);
        pour(&mut self.tombstones, upper.tombstones);
        pour(&mut self.erasures, upper.erasures);
        for (key, n) in upper.counts {
            *self.counts.entry(key).or_default() += n;
        }
        self.passes.extend(upper.passes);
        self.paths.extend(upper.paths);
    }

    /// Every membership that was set.
    pub(super) fn take_memberships(&mut self) -> Vec<((ResourceId, ResourceId), Option<Membership>)> {
        std::mem::take(&mut self.memberships)
            .into_iter()
            .flat_map(|(group, members)| members.into_iter().map(move |(member, is)| ((group, member), is)))
            .collect()
    }
}

/// Puts what one map says over what another one does. Most are empty.
fn pour<K: Eq + Hash, V>(into: &mut HashMap<K, V>, upper: HashMap<K, V>) {
    match (into.is_empty(), upper.is_empty()) {
        (_, true) => {}
        (true, false) => *into = upper,
        (false, false) => into.extend(upper),
    }
}
