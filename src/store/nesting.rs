//! Groups within groups, in memory: which groups hold which, read once and kept until `nesting_seq` moves. It answers
//! indirect membership without recursive SQL and refuses cycles.

use std::collections::BTreeSet;
use std::sync::Arc;

use diesel::sql_types::{Binary, Text};

use crate::db::Db;
use crate::ids::ById;
use crate::record::resource_id;
use crate::statement::Statement;
use crate::{Error, GroupRef, ResourceId, TenantId};

/// The edges between a tenant's groups, and what the outer ones are called.
#[derive(Clone, Debug, Default)]
pub struct Nesting {
    parents: ById<ResourceId, Vec<ResourceId>>,
    labels: ById<ResourceId, Arc<str>>,
}

impl Nesting {
    /// Reads the edges between living groups.
    pub(crate) fn load(db: &mut Db, tenant: TenantId) -> Result<Self, Error> {
        let rows = Statement::<(Binary, Binary, Text)>::new(
            "SELECT m.group_id, m.member_id, g.label FROM membership m \
             JOIN resource g ON g.tenant_id = m.tenant_id AND g.resource_id = m.group_id \
             JOIN resource c ON c.tenant_id = m.tenant_id AND c.resource_id = m.member_id \
             WHERE m.member_kind <> 'User' AND m.tenant_id = ",
        )
        .bind(tenant)
        .load::<(Vec<u8>, Vec<u8>, String)>(db)?;
        let mut nesting = Nesting::default();
        for (parent, child, label) in rows {
            let parent = resource_id(&parent)?;
            nesting.parents.entry(resource_id(&child)?).or_default().push(parent);
            nesting.labels.entry(parent).or_insert_with(|| label.into());
        }
        Ok(nesting)
    }

    /// How many edges there are.
    pub(crate) fn edges(&self) -> usize {
        self.parents.values().map(Vec::len).sum()
    }

    /// Adds an edge.
    pub(crate) fn link(&mut self, parent: ResourceId, child: ResourceId, label: &str) {
        let parents = self.parents.entry(child).or_default();
        if !parents.contains(&parent) {
            parents.push(parent);
        }
        self.labels.insert(parent, label.into());
    }

    /// Takes an edge away.
    pub(crate) fn unlink(&mut self, parent: ResourceId, child: ResourceId) {
        if let Some(parents) = self.parents.get_mut(&child) {
            parents.retain(|known| *known != parent);
        }
    }

    /// Takes a group out, with every edge to and from it.
    pub(crate) fn forget(&mut self, group: ResourceId) {
        self.parents.remove(&group);
        for parents in self.parents.values_mut() {
            parents.retain(|known| *known != group);
        }
        self.labels.remove(&group);
    }

    /// Every group that holds one of `groups` directly or through others, without those given, by id.
    pub fn ancestors(&self, groups: impl IntoIterator<Item = ResourceId>) -> BTreeSet<ResourceId> {
        let given: Vec<ResourceId> = groups.into_iter().collect();
        let mut above = BTreeSet::new();
        let mut open = given.clone();
        while let Some(group) = open.pop() {
            for parent in self.parents.get(&group).into_iter().flatten() {
                if above.insert(*parent) {
                    open.push(*parent);
                }
            }
        }
        if !above.is_empty() {
            above.retain(|group| !given.contains(group));
        }
        above
    }

    /// Every group within `group`, directly or through others, without itself.
    pub fn descendants(&self, group: ResourceId) -> BTreeSet<ResourceId> {
        self.parents
            .keys()
            .copied()
            .filter(|child| *child != group && self.ancestors([*child]).contains(&group))
            .collect()
    }

    /// Whether `child` within `parent` would make a circle.
    pub fn would_cycle(&self, parent: ResourceId, child: ResourceId) -> bool {
        parent == child || self.ancestors([parent]).contains(&child)
    }

    /// A member's groups: the direct ones, then those that hold them.
    pub fn complete(&self, direct: Vec<GroupRef>) -> Vec<GroupRef> {
        let above = self.ancestors(direct.iter().map(|group| group.id));
        if above.is_empty() {
            return direct;
        }
        let mut groups = Vec::with_capacity(direct.len() + above.len());
        groups.extend(direct);
        groups.extend(above.into_iter().map(|id| GroupRef {
            id,
            label: self.labels.get(&id).cloned().unwrap_or_else(|| "".into()),
            direct: false,
        }));
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> ResourceId {
        ResourceId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn indirect_groups_come_after_direct_ones_and_once() {
        let mut nesting = Nesting::default();
        nesting.link(id(2), id(1), "two");
        nesting.link(id(3), id(2), "three");
        nesting.link(id(3), id(1), "three");
        let direct = vec![GroupRef { id: id(1), label: "one".into(), direct: true }];
        let names: Vec<_> = nesting.complete(direct).into_iter().map(|g| (g.label.to_string(), g.direct)).collect();
        assert_eq!(names, [("one".into(), true), ("two".into(), false), ("three".into(), false)]);
        assert_eq!(nesting.descendants(id(3)), [id(1), id(2)].into());
    }

    #[test]
    fn a_circle_is_seen_before_it_is_made() {
        let mut nesting = Nesting::default();
        nesting.link(id(2), id(1), "two");
        nesting.link(id(3), id(2), "three");
        assert!(nesting.would_cycle(id(1), id(3)));
        assert!(nesting.would_cycle(id(1), id(1)));
        assert!(!nesting.would_cycle(id(3), id(1)));
    }
}
