//! Memberships: one row for each member of each group. A group's document never holds its members, so that adding one
//! to a hundred thousand costs the one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::db::Db;
use crate::fixed::{self, Writing};
use crate::record::resource_id;
use crate::statement::{Among, LIST, Statement, Value, delete, insert};
use crate::{Error, GroupRef, MemberRef, ResourceId, Seq, TenantId};

/// A membership as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Resource type of the member.
    pub kind: String,
    /// Number of the change that made it.
    pub since: Seq,
}

/// Members that one statement names.
const RUN: usize = 64;

/// So few memberships of one group are not worth a statement of their own when they go.
const FEW: usize = 4;

/// Adds that the member is one of these, which are in order. Their ends bound what is read: PostgreSQL may find it
/// cheaper to walk through a group than to look up each member, and then walks through this part of it only, so that
/// all parts together are one walk and not one for each statement.
fn chosen<Row>(statement: Statement<Row>, column: &'static str, members: &[ResourceId]) -> Statement<Row> {
    let (Some(first), Some(last)) = (members.first(), members.last()) else { return statement.sql(" AND 1 = 0") };
    statement
        .sql(" AND ")
        .sql(column)
        .sql(" >= ")
        .bind(*first)
        .sql(" AND ")
        .sql(column)
        .sql(" <= ")
        .bind(*last)
        .sql(" AND ")
        .sql(column)
        .sql(" IN ")
        .list(members.iter().copied())
}

/// Which of these members a group has.
pub(crate) fn among(
    db: &mut Db,
    tenant: TenantId,
    group: ResourceId,
    members: &[ResourceId],
) -> Result<HashMap<ResourceId, Membership>, Error> {
    let mut found = HashMap::new();
    let mut members = members.to_vec();
    members.sort_unstable();
    for members in members.chunks(RUN) {
        let statement = Statement::<(Binary, Text, BigInt)>::new(
            "SELECT member_id, member_kind, since_seq FROM membership WHERE tenant_id = ",
        )
        .bind(tenant)
        .sql(" AND group_id = ")
        .bind(group);
        let rows = match members {
            [member] => statement.sql(" AND member_id = ").bind(*member).fixed::<One>().load(db)?,
            members => chosen(statement, "member_id", members).load::<(Vec<u8>, String, i64)>(db)?,
        };
        for (id, kind, since) in rows {
            found.insert(resource_id(&id)?, Membership { kind, since });
        }
    }
    Ok(found)
}

/// The statement that looks for one member.
struct One;

/// Which of these changes a client made.
pub(crate) fn made_by(
    db: &mut Db,
    tenant: TenantId,
    actor: ResourceId,
    seqs: impl IntoIterator<Item = Seq>,
) -> Result<HashSet<Seq>, Error> {
    let seqs: Vec<Seq> = seqs.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let mut made = HashSet::new();
    for seqs in seqs.chunks(RUN) {
        let of = Statement::<BigInt>::new("SELECT seq FROM change WHERE tenant_id = ").bind(tenant);
        let of = of.sql(" AND seq IN ").list(seqs.iter().copied()).sql(" AND actor = ").bind(actor);
        made.extend(of.load::<i64>(db)?);
    }
    Ok(made)
}

/// Every member id of a group, living or not.
pub(crate) fn ids_of_group(
    db: &mut Db,
    tenant: TenantId,
    group: ResourceId,
) -> Result<Vec<(ResourceId, Membership)>, Error> {
    Statement::<(Binary, Text, BigInt)>::new(
        "SELECT member_id, member_kind, since_seq FROM membership WHERE tenant_id = ",
    )
    .bind(tenant)
    .sql(" AND group_id = ")
    .bind(group)
    .load::<(Vec<u8>, String, i64)>(db)?
    .into_iter()
    .map(|(id, kind, since)| Ok((resource_id(&id)?, Membership { kind, since })))
    .collect()
}

/// The living groups that a resource is a direct member of, by id.
pub(crate) fn groups_of(db: &mut Db, tenant: TenantId, member: ResourceId) -> Result<Vec<ResourceId>, Error> {
    Ok(groups_of_all(db, tenant, Among::Each(&[member]))?
        .remove(&member)
        .unwrap_or_default()
        .into_iter()
        .map(|g| g.id)
        .collect())
}

/// The living groups that each of the resources is a direct member of, ordered by id.
pub(crate) fn groups_of_all(
    db: &mut Db,
    tenant: TenantId,
    members: Among<'_>,
) -> Result<HashMap<ResourceId, Vec<GroupRef>>, Error> {
    let mut found: HashMap<ResourceId, Vec<GroupRef>> = HashMap::new();
    for part in members.parts() {
        let statement = Statement::<(Binary, Binary, Text)>::new(
            "SELECT m.member_id, m.group_id, g.label FROM membership m \
             JOIN resource g ON g.tenant_id = m.tenant_id AND g.resource_id = m.group_id WHERE m.tenant_id = ",
        )
        .bind(tenant);
        let rows =
            part.bind(statement, "m.member_id")
                .sql(" ORDER BY m.member_id, m.group_id")
                .load::<(Vec<u8>, Vec<u8>, String)>(db)?;
        for (member, group, label) in rows {
            let group = GroupRef { id: resource_id(&group)?, label: label.into(), direct: true };
            found.entry(resource_id(&member)?).or_default().push(group);
        }
    }
    Ok(found)
}

/// One slice of the members of a group in id order, after `after`, with what people call them.
pub(crate) fn slice(
    db: &mut Db,
    tenant: TenantId,
    group: ResourceId,
    after: Option<ResourceId>,
    limit: i64,
) -> Result<Vec<MemberRef>, Error> {
    Statement::<(Binary, Text, Text)>::new(
        "SELECT m.member_id, m.member_kind, r.label FROM membership m \
         JOIN resource r ON r.tenant_id = m.tenant_id AND r.resource_id = m.member_id WHERE m.tenant_id = ",
    )
    .bind(tenant)
    .sql(" AND m.group_id = ")
    .bind(group)
    .sql(" AND m.member_id > ")
    .bind(after.map_or_else(Vec::new, |id| id.bytes()))
    .sql(" ORDER BY m.member_id LIMIT ")
    .bind(limit)
    .load::<(Vec<u8>, String, String)>(db)?
    .into_iter()
    .map(|(id, kind, label)| Ok(MemberRef { id: resource_id(&id)?, kind, label }))
    .collect()
}

/// The members of several groups, each in id order. `only`: just those among these ids.
pub(crate) fn members_of_all(
    db: &mut Db,
    tenant: TenantId,
    groups: &[ResourceId],
    only: Option<&HashSet<ResourceId>>,
) -> Result<HashMap<ResourceId, Vec<MemberRef>>, Error> {
    let mut found: HashMap<ResourceId, Vec<MemberRef>> = HashMap::new();
    let only = only.map(|only| {
        let mut ids: Vec<ResourceId> = only.iter().copied().collect();
        ids.sort_unstable();
        ids
    });
    for groups in groups.chunks(LIST) {
        let mut statement = Statement::<(Binary, Binary, Text, Text)>::new(
            "SELECT m.group_id, m.member_id, m.member_kind, r.label FROM membership m \
             JOIN resource r ON r.tenant_id = m.tenant_id AND r.resource_id = m.member_id WHERE m.tenant_id = ",
        )
        .bind(tenant)
        .sql(" AND m.group_id IN ")
        .list(groups.iter().copied());
        if let Some(only) = &only {
            statement = chosen(statement, "m.member_id", only);
        }
        let rows = statement.sql(" ORDER BY m.group_id, m.member_id").load::<(Vec<u8>, Vec<u8>, String, String)>(db)?;
        for (group, id, kind, label) in rows {
            let member = MemberRef { id: resource_id(&id)?, kind, label };
            found.entry(resource_id(&group)?).or_default().push(member);
        }
    }
    Ok(found)
}

/// Stores what became of each membership: there, or gone.
pub(crate) fn store(
    db: &mut Db,
    tenant: TenantId,
    mut rows: Vec<((ResourceId, ResourceId), Option<Membership>)>,
) -> Result<(), Error> {
    rows.sort_unstable_by_key(|(id, _)| *id);
    let mut gone: BTreeMap<ResourceId, Vec<ResourceId>> = BTreeMap::new();
    let mut there: Vec<Vec<Value>> = Vec::new();
    for ((group, member), membership) in rows {
        match membership {
            None => gone.entry(group).or_default().push(member),
            Some(membership) => there.push(vec![
                tenant.into(),
                group.into(),
                member.into(),
                membership.kind.into(),
                membership.since.into(),
            ]),
        }
    }
    take_away(db, tenant, gone)?;
    fixed::insert::<There>(db, there)?;
    Ok(())
}

/// Memberships that there are now.
struct There;

impl Writing for There {
    const INTO: &'static str = "membership (tenant_id, group_id, member_id, member_kind, since_seq)";
    const TAIL: &'static str =
        " ON CONFLICT (tenant_id, group_id, member_id) DO UPDATE SET since_seq = excluded.since_seq";
}

/// Deletes memberships, given by group.
fn take_away(db: &mut Db, tenant: TenantId, gone: BTreeMap<ResourceId, Vec<ResourceId>>) -> Result<(), Error> {
    let mut single: Vec<Vec<Value>> = Vec::new();
    for (group, mut members) in gone {
        if members.len() <= FEW {
            single.extend(members.into_iter().map(|member| vec![tenant.into(), group.into(), member.into()]));
            continue;
        }
        members.sort_unstable();
        for members in members.chunks(RUN) {
            let statement = Statement::<()>::new("DELETE FROM membership WHERE tenant_id = ")
                .bind(tenant)
                .sql(" AND group_id = ")
                .bind(group);
            chosen(statement, "member_id", members).run(db)?;
        }
    }
    delete(db, "membership", &["tenant_id", "group_id", "member_id"], single)?;
    Ok(())
}

/// Notes that a group is gone and its memberships are to be cleared.
pub(crate) fn mark_for_sweep(db: &mut Db, tenant: TenantId, groups: Vec<ResourceId>) -> Result<(), Error> {
    let rows = groups.into_iter().map(|group| vec![tenant.into(), group.into()]).collect();
    insert(db, "INSERT INTO sweep (tenant_id, group_id)", rows, "ON CONFLICT (tenant_id, group_id) DO NOTHING")?;
    Ok(())
}

/// Clears up to `limit` memberships of one deleted group; `true` when something may be left.
pub(crate) fn sweep(db: &mut Db, tenant: TenantId, limit: i64) -> Result<bool, Error> {
    let Some(group) = Statement::<Binary>::new("SELECT group_id FROM sweep WHERE tenant_id = ")
        .bind(tenant)
        .sql(" ORDER BY group_id LIMIT 1")
        .get_result::<Vec<u8>>(db)
        .optional()?
    else {
        return Ok(false);
    };
    // A range up to the last one of the slice: a subquery with a LIMIT makes PostgreSQL compare each with each.
    let last = Statement::<Binary>::new("SELECT member_id FROM membership WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND group_id = ")
        .bind(group.clone())
        .sql(" ORDER BY member_id LIMIT 1 OFFSET ")
        .bind(limit)
        .get_result::<Vec<u8>>(db)
        .optional()?;
    let slice = Statement::<()>::new("DELETE FROM membership WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND group_id = ")
        .bind(group.clone());
    match last {
        Some(last) => drop(slice.sql(" AND member_id <= ").bind(last).run(db)?),
        None => {
            slice.run(db)?;
            delete(db, "sweep", &["tenant_id", "group_id"], vec![vec![tenant.into(), group.into()]])?;
        }
    }
    Ok(true)
}

/// Tenants in which memberships of deleted groups are still to be cleared.
pub(crate) fn tenants_to_sweep(db: &mut Db) -> Result<Vec<TenantId>, Error> {
    let tenants = Statement::<BigInt>::new("SELECT DISTINCT tenant_id FROM sweep").load::<i64>(db)?;
    Ok(tenants.into_iter().map(TenantId).collect())
}

/// Whether the groups have more members in all than `limit`.
pub(crate) fn are_beyond(db: &mut Db, tenant: TenantId, groups: &[ResourceId], limit: u64) -> Result<bool, Error> {
    let mut left = i64::try_from(limit).unwrap_or(i64::MAX);
    for groups in groups.chunks(LIST) {
        let counted =
            Statement::<BigInt>::new("SELECT COUNT(*) FROM (SELECT 1 AS one FROM membership WHERE tenant_id = ")
                .bind(tenant)
                .sql(" AND group_id IN ")
                .list(groups.iter().copied())
                .sql(" LIMIT ")
                .bind(left.saturating_add(1))
                .sql(") AS counted")
                .get_result::<i64>(db)?;
        left -= counted;
        if left < 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
