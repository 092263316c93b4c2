//! Members that come and go: what a list of changes means for a group as it stands, without reading more of it than
//! the changes are about.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::json;

use scim::patch::RelationChange;
use scim::schema::{Definition, Registry};
use store::change::Delta;
use store::{Eyes, MemberRef, Reading, ResourceId, Work, look};

use super::types::refuse_outdated;
use super::{Ctx, Error};

/// Where a group's members can be looked up: in the work of a write, or in a read before it.
pub(super) trait Members {
    /// Which of the resources are members of the group.
    fn among(&mut self, group: ResourceId, ids: &[ResourceId]) -> Result<HashSet<ResourceId>, store::Error>;
    /// All members of the group.
    fn all(&mut self, group: ResourceId) -> Result<Vec<MemberRef>, store::Error>;
    /// Which of these members a client has put there.
    fn put_by(
        &mut self,
        group: ResourceId,
        ids: &[ResourceId],
        client: ResourceId,
    ) -> Result<HashSet<ResourceId>, store::Error>;
}

impl Members for Work<'_> {
    fn among(&mut self, group: ResourceId, ids: &[ResourceId]) -> Result<HashSet<ResourceId>, store::Error> {
        self.members_among(group, ids)
    }

    fn all(&mut self, group: ResourceId) -> Result<Vec<MemberRef>, store::Error> {
        self.members(group)
    }

    fn put_by(
        &mut self,
        group: ResourceId,
        ids: &[ResourceId],
        client: ResourceId,
    ) -> Result<HashSet<ResourceId>, store::Error> {
        self.members_put_by(group, ids, client)
    }
}

impl Members for Reading<'_> {
    fn among(&mut self, group: ResourceId, ids: &[ResourceId]) -> Result<HashSet<ResourceId>, store::Error> {
        self.0.members_among(self.1, group, ids)
    }

    fn all(&mut self, group: ResourceId) -> Result<Vec<MemberRef>, store::Error> {
        self.0.all_members(self.1, group)
    }

    fn put_by(
        &mut self,
        group: ResourceId,
        ids: &[ResourceId],
        client: ResourceId,
    ) -> Result<HashSet<ResourceId>, store::Error> {
        self.0.members_put_by(self.1, group, ids, client)
    }
}

/// The members that a caller sees: nothing is done to the others, and they are not found.
pub(super) struct SeenMembers<'m, M>(pub(super) &'m mut M, pub(super) &'m Ctx);

impl<M: Members + Eyes> Members for SeenMembers<'_, M> {
    fn among(&mut self, group: ResourceId, ids: &[ResourceId]) -> Result<HashSet<ResourceId>, store::Error> {
        let mut among = Members::among(self.0, group, ids)?;
        if !self.1.views.are_everything() {
            let seen = look(self.0, &self.1.sight(), &among.iter().copied().collect::<Vec<_>>())?;
            among.retain(|id| seen.has(*id));
        }
        Ok(among)
    }

    fn all(&mut self, group: ResourceId) -> Result<Vec<MemberRef>, store::Error> {
        let all = Members::all(self.0, group)?;
        if self.1.views.are_everything() {
            return Ok(all);
        }
        let seen = look(self.0, &self.1.sight(), &all.iter().map(|member| member.id).collect::<Vec<_>>())?;
        Ok(seen.keep(all))
    }

    fn put_by(
        &mut self,
        group: ResourceId,
        ids: &[ResourceId],
        client: ResourceId,
    ) -> Result<HashSet<ResourceId>, store::Error> {
        Members::put_by(self.0, group, ids, client)
    }
}

/// The members of a group that is yet to be.
pub(super) struct Nobody;

impl Members for Nobody {
    fn among(&mut self, _: ResourceId, _: &[ResourceId]) -> Result<HashSet<ResourceId>, store::Error> {
        Ok(HashSet::new())
    }

    fn all(&mut self, _: ResourceId) -> Result<Vec<MemberRef>, store::Error> {
        Ok(Vec::new())
    }

    fn put_by(&mut self, _: ResourceId, _: &[ResourceId], _: ResourceId) -> Result<HashSet<ResourceId>, store::Error> {
        Ok(HashSet::new())
    }
}

/// Most members that are looked up on a thread that others wait for.
const FEW: usize = 32;

/// Whether it takes no more than a few look-ups to say what the changes mean, whatever the size of the group.
pub(super) fn are_few(changes: &[RelationChange]) -> bool {
    let named = changes.iter().map(|change| match change {
        RelationChange::Add(elements) => elements.len(),
        RelationChange::RemoveValues(ids) => ids.len(),
        RelationChange::Replace(_) | RelationChange::RemoveWhere(_) | RelationChange::RemoveAll => usize::MAX,
    });
    named.fold(0, usize::saturating_add) <= FEW
}

/// Members before and after, by id; only those that the changes are about.
#[derive(Debug, Default)]
pub(super) struct Moves(BTreeMap<ResourceId, (bool, bool)>);

impl Moves {
    /// Works the changes out in order. Fails with 400 invalidValue for an id that is none.
    pub(super) fn of(changes: &[RelationChange], group: ResourceId, members: &mut impl Members) -> Result<Self, Error> {
        let mut moves = Moves::default();
        moves.look_up(changes, group, members)?;
        for change in changes {
            match change {
                RelationChange::Add(elements) => moves.set(&ids_of(elements)?, true),
                RelationChange::Replace(elements) => {
                    moves.clear(group, members)?;
                    moves.set(&ids_of(elements)?, true);
                }
                RelationChange::RemoveValues(ids) => {
                    // What is no id of ours is nobody's member, and removing it is no error.
                    let ids: Vec<ResourceId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
                    moves.set(&ids, false);
                }
                RelationChange::RemoveWhere(filter) => {
                    let chosen: Vec<ResourceId> = moves
                        .now(group, members)?
                        .into_iter()
                        .filter(|member| {
                            filter.matches_element(&json!({
                                "value": member.id.to_string(), "type": member.kind, "display": member.label
                            }))
                        })
                        .map(|member| member.id)
                        .collect();
                    moves.set(&chosen, false);
                }
                RelationChange::RemoveAll => moves.clear(group, members)?,
            }
        }
        Ok(moves)
    }

    /// Asks about everyone that the changes name at once, however many changes that is.
    fn look_up(
        &mut self,
        changes: &[RelationChange],
        group: ResourceId,
        members: &mut impl Members,
    ) -> Result<(), Error> {
        let mut named: Vec<ResourceId> = Vec::new();
        for change in changes {
            match change {
                RelationChange::Add(elements) | RelationChange::Replace(elements) => named.extend(ids_of(elements)?),
                RelationChange::RemoveValues(ids) => {
                    named.extend(ids.iter().filter_map(|id| id.parse::<ResourceId>().ok()))
                }
                RelationChange::RemoveWhere(_) | RelationChange::RemoveAll => {}
            }
        }
        named.sort_unstable();
        named.dedup();
        let present = members.among(group, &named)?;
        self.0.extend(named.into_iter().map(|id| (id, (present.contains(&id), present.contains(&id)))));
        Ok(())
    }

    /// The moves that are the caller's to make: where a client has only its own members, those that others have put there
    /// stay. What it says of all members at once is not about them; one whom it names is refused (403), or stays and is
    /// told of.
    pub(super) fn of_caller(
        mut self,
        ctx: &Ctx,
        changes: &[RelationChange],
        group: ResourceId,
        members: &mut impl Members,
    ) -> Result<Self, Error> {
        if !ctx.caller.writes.own_members {
            return Ok(self);
        }
        let leaving = self.0.iter().filter(|(_, moved)| **moved == (true, false));
        let leaving: Vec<ResourceId> = leaving.map(|(id, _)| *id).collect();
        if leaving.is_empty() {
            return Ok(self);
        }
        let own = members.put_by(group, &leaving, ctx.caller.id)?;
        let names_them = changes
            .iter()
            .any(|change| matches!(change, RelationChange::RemoveValues(_) | RelationChange::RemoveWhere(_)));
        for id in leaving.into_iter().filter(|id| !own.contains(id)) {
            if names_them {
                ctx.keep_member(id)?;
            }
            self.0.insert(id, (true, true));
        }
        Ok(self)
    }

    /// Whether anything would change.
    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(|(before, after)| before == after)
    }

    /// The members that come and go. Fails with 400 invalidValue for one that does not exist, cannot be a member, or
    /// would put a group within itself, and with 409 when the resource type has changed meanwhile.
    pub(super) fn deltas(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        group: ResourceId,
        work: &mut Work<'_>,
    ) -> Result<Vec<Delta>, Error> {
        refuse_outdated(definition, work)?;
        let moved: Vec<(ResourceId, bool)> = self
            .0
            .iter()
            .filter(|(_, (before, after))| before != after)
            .map(|(id, (_, after))| (*id, *after))
            .collect();
        let ids: Vec<ResourceId> = moved.iter().map(|(id, _)| *id).collect();
        let kinds = work.kinds(&ids)?;
        let joining: Vec<ResourceId> = moved.iter().filter(|(_, joined)| *joined).map(|(id, _)| *id).collect();
        let seen = ctx.look(work, &joining)?;
        let mut deltas = Vec::with_capacity(moved.len());
        for (member, joined) in moved {
            let kind = match kinds.get(&member) {
                Some((kind, _)) if !joined || (seen.has(member) && may_be_member(definition, kind)) => kind.clone(),
                // A membership of something that is gone can still be taken away.
                None if !joined => "User".to_owned(),
                _ => return Err(unknown(&member.to_string()).into()),
            };
            deltas.push(Delta { member, kind, joined });
        }
        let catalog = work.catalog().clone();
        refuse_cycles(catalog.registry(), group, &deltas, &kinds, work)?;
        Ok(deltas)
    }

    /// Sets what becomes of these. Who was not looked up before has been found in the group.
    fn set(&mut self, ids: &[ResourceId], there: bool) {
        for id in ids {
            self.0.entry(*id).or_insert((true, true)).1 = there;
        }
    }

    fn clear(&mut self, group: ResourceId, members: &mut impl Members) -> Result<(), Error> {
        for member in members.all(group)? {
            self.0.entry(member.id).or_insert((true, true));
        }
        self.0.values_mut().for_each(|(_, after)| *after = false);
        Ok(())
    }

    /// The members as the changes so far leave them. One that has just come has no name yet.
    fn now(&self, group: ResourceId, members: &mut impl Members) -> Result<Vec<MemberRef>, Error> {
        let mut now: BTreeMap<ResourceId, MemberRef> =
            members.all(group)?.into_iter().map(|member| (member.id, member)).collect();
        for (id, (_, after)) in &self.0 {
            if *after {
                now.entry(*id).or_insert_with(|| MemberRef { id: *id, kind: String::new(), label: String::new() });
            } else {
                now.remove(id);
            }
        }
        Ok(now.into_values().collect())
    }
}

fn ids_of(elements: &[serde_json::Value]) -> Result<Vec<ResourceId>, Error> {
    elements
        .iter()
        .map(|element| {
            let value = element.get("value").and_then(serde_json::Value::as_str).unwrap_or_default();
            value.parse().map_err(|()| unknown(value).into())
        })
        .collect()
}

fn unknown(id: &str) -> scim::Error {
    scim::Error::invalid_value(format!("members: {id} is not a resource that can be a member. Create it first."))
}

/// Whether resources of the kind can be members: the schema says what `members.$ref` may point to.
fn may_be_member(definition: &Definition, kind: &str) -> bool {
    let reference = definition.attribute(scim::resource::MEMBERS).and_then(|members| members.sub("$ref"));
    reference.is_some_and(|reference| reference.reference_types.iter().any(|known| known == kind))
}

fn refuse_cycles(
    registry: &Registry,
    group: ResourceId,
    deltas: &[Delta],
    kinds: &HashMap<ResourceId, (String, String)>,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    let nests = |kind: &str| {
        registry.definition(kind).is_some_and(|definition| definition.core.attribute(scim::resource::MEMBERS).is_some())
    };
    let joining =
        deltas.iter().filter(|delta| delta.joined && kinds.get(&delta.member).is_some_and(|(kind, _)| nests(kind)));
    let mut above = None;
    for delta in joining {
        // What joins lies below the group and so does not change what is above it.
        let above = match &mut above {
            Some(above) => above,
            none => none.insert(work.nesting()?.ancestors([group])),
        };
        if delta.member == group || above.contains(&delta.member) {
            return Err(scim::Error::invalid_value(format!(
                "members: {} holds this group already, directly or through others. A group cannot be within itself.",
                delta.member
            ))
            .into());
        }
    }
    Ok(())
}
