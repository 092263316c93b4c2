//! What a write reads: the open operation's layer first, then what the batch has settled, then the database.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::Work;
use crate::membership::{self, Membership};
use crate::nesting::Nesting;
use crate::statement::Among;
use crate::{
    Credential, Error, GroupRef, MemberRef, Record, ResourceId, Route, Seq, credential, external, record, route,
};

/// Memberships that are remembered when they are asked for; more at once are not asked for again.
const FEW: usize = 32;

impl Work<'_> {
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
        Ok(external::of_resources(self.db, self.tenant, domain, Among::Each(&[id]))?.remove(&id))
    }

    /// Which of these resources are members of the group.
    pub fn members_among(&mut self, group: ResourceId, ids: &[ResourceId]) -> Result<HashSet<ResourceId>, Error> {
        Ok(self.memberships_among(group, ids)?.into_keys().collect())
    }

    /// Which of these resources are members of the group because a client put them there.
    pub fn members_put_by(
        &mut self,
        group: ResourceId,
        ids: &[ResourceId],
        client: ResourceId,
    ) -> Result<HashSet<ResourceId>, Error> {
        let members = self.memberships_among(group, ids)?;
        let mut made = membership::made_by(self.db, self.tenant, client, members.values().map(|one| one.since))?;
        for layer in [&self.settled, &self.open] {
            made.extend(layer.changes.iter().filter(|change| change.actor == client).map(|change| change.seq));
        }
        Ok(members.into_iter().filter(|(_, one)| made.contains(&one.since)).map(|(id, _)| id).collect())
    }

    /// Number of the change that made the resource a member of the group; `None`: it is none.
    pub fn member_since(&mut self, group: ResourceId, member: ResourceId) -> Result<Option<Seq>, Error> {
        Ok(self.memberships_among(group, &[member])?.remove(&member).map(|membership| membership.since))
    }

    pub(super) fn memberships_among(
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
                None => match self.seen_members.get(&(group, *id)) {
                    Some(Some(membership)) => drop(found.insert(*id, membership.clone())),
                    Some(None) => {}
                    None => unknown.push(*id),
                },
            }
        }
        if unknown.is_empty() {
            return Ok(found);
        }
        let stored = membership::among(self.db, self.tenant, group, &unknown)?;
        if unknown.len() <= FEW {
            // Whoever asks what becomes of a few is followed by those who make it so.
            let seen = unknown.into_iter().map(|id| ((group, id), stored.get(&id).cloned()));
            self.seen_members.extend(seen);
        }
        found.extend(stored);
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
            Some(GroupRef { id, label: label.into(), direct: true })
        });
        let direct = direct.collect();
        let mut groups = self.nesting()?.complete(direct);
        // An outer group may have been renamed in this batch, which the edges do not know.
        let outer: Vec<ResourceId> = groups.iter().filter(|group| !group.direct).map(|group| group.id).collect();
        let mut kinds = self.kinds(&outer)?;
        for group in &mut groups {
            if let Some((_, label)) = kinds.remove(&group.id) {
                group.label = label.into();
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

    /// Where a key leads that names no tenant.
    pub fn route(&mut self, key: &str) -> Result<Option<Route>, Error> {
        match self.open.routes.get(key).or_else(|| self.settled.routes.get(key)) {
            Some(written) => Ok(written.map(|target| Route { tenant: self.tenant, target })),
            None => route::find(self.db, key),
        }
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
}
