//! Parts of the relation between groups and members, walked in key order: group by group, and within a group member by
//! member. A step reads what it gives and no more, whatever the sizes of the groups. Memberships of deleted groups that are
//! still to be cleared count nowhere.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::db::Db;
use crate::link::{Head, MembershipId};
use crate::record::resource_id;
use crate::statement::Statement;
use crate::{Error, ResourceId, TenantId, dialect};

/// A part of the relation: the memberships that have all that is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Within {
    pub(crate) group: Option<ResourceId>,
    pub(crate) member: Option<ResourceId>,
    /// Resource type of the member.
    pub(crate) kind: Option<String>,
}

/// The memberships of one tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relation {
    tenant: TenantId,
    /// Whether a deleted group's memberships are still there.
    is_littered: bool,
}

/// Where a step begins and which way it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// From small ids to great ones.
    pub(crate) up: bool,
    /// Where it begins, and whether that membership itself belongs to it; `None`: at the end of the relation.
    pub(crate) bound: Option<(MembershipId, bool)>,
}

impl Way {
    fn compare(self, is_inclusive: bool) -> &'static str {
        match (self.up, is_inclusive) {
            (true, true) => " >= ",
            (true, false) => " > ",
            (false, true) => " <= ",
            (false, false) => " < ",
        }
    }

    /// Whether `one` comes after `other`.
    fn is_beyond<T: Ord>(self, one: &T, other: &T) -> bool {
        if self.up { one > other } else { one < other }
    }
}

impl Relation {
    /// The relation as the transaction sees it.
    pub(crate) fn of(db: &mut Db, tenant: TenantId) -> Result<Self, Error> {
        let litter = Statement::<Binary>::new("SELECT group_id FROM sweep WHERE tenant_id = ").bind(tenant);
        let is_littered = litter.sql(" LIMIT 1").get_result::<Vec<u8>>(db).optional()?.is_some();
        Ok(Relation { tenant, is_littered })
    }

    /// How many memberships lie in the parts, each counted once.
    pub(crate) fn count(self, db: &mut Db, parts: &[Within]) -> Result<u64, Error> {
        let statement =
            Statement::<BigInt>::new("SELECT COUNT(*) FROM membership WHERE tenant_id = ").bind(self.tenant);
        Ok(u64::try_from(self.any_of(statement, parts).get_result::<i64>(db)?).unwrap_or_default())
    }

    /// The membership that has `skipped` others of the parts before it; `None`: there are not that many.
    pub(crate) fn nth(
        self,
        db: &mut Db,
        parts: &[Within],
        up: bool,
        skipped: u64,
    ) -> Result<Option<MembershipId>, Error> {
        let whole = Within::default();
        let order = if let [part] = parts { part } else { &whole };
        let statement = Statement::<(Binary, Binary)>::new("SELECT group_id, member_id FROM membership");
        let statement = statement.sql(hint(db, order)).sql(" WHERE tenant_id = ").bind(self.tenant);
        let statement = self.any_of(statement, parts);
        in_order(statement, order, up)
            .sql(" LIMIT 1 OFFSET ")
            .bind(i64::try_from(skipped).unwrap_or(i64::MAX))
            .get_result::<(Vec<u8>, Vec<u8>)>(db)
            .optional()?
            .map(|(group, member)| Ok(MembershipId { group: resource_id(&group)?, member: resource_id(&member)? }))
            .transpose()
    }

    /// The next memberships of the parts, each once: one statement a part, of `limit` rows at most.
    pub(crate) fn step(self, db: &mut Db, parts: &[Within], way: Way, limit: usize) -> Result<Vec<Head>, Error> {
        let mut found = BTreeMap::new();
        for part in parts {
            found.extend(self.slice(db, part, way, limit)?.into_iter().map(|head| (head.id, head)));
        }
        let mut heads: Vec<Head> = found.into_values().collect();
        if !way.up {
            heads.reverse();
        }
        heads.truncate(limit);
        Ok(heads)
    }

    fn slice(self, db: &mut Db, part: &Within, way: Way, limit: usize) -> Result<Vec<Head>, Error> {
        let select = "SELECT group_id, member_id, member_kind, since_seq FROM membership";
        let statement = Statement::<(Binary, Binary, Text, BigInt)>::new(select);
        let statement = statement.sql(hint(db, part)).sql(" WHERE tenant_id = ").bind(self.tenant);
        let Some(statement) = begin(self.all_of(statement, part), part, way) else { return Ok(Vec::new()) };
        in_order(statement, part, way.up)
            .sql(" LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .load::<(Vec<u8>, Vec<u8>, String, i64)>(db)?
            .into_iter()
            .map(|(group, member, kind, since)| {
                let id = MembershipId { group: resource_id(&group)?, member: resource_id(&member)? };
                Ok(Head { id, kind, since })
            })
            .collect()
    }

    /// Appends that a membership lies in one of the parts. Of several each is spelled out with the tenant, so that each is
    /// found by an index of its own.
    fn any_of<Row>(self, mut statement: Statement<Row>, parts: &[Within]) -> Statement<Row> {
        match parts {
            [] => return statement.sql(" AND 1 = 0"),
            [part] => return self.all_of(statement, part),
            _ => {}
        }
        for (n, part) in parts.iter().enumerate() {
            let open = if n == 0 { " AND ((tenant_id = " } else { ") OR (tenant_id = " };
            statement = self.all_of(statement.sql(open).bind(self.tenant), part);
        }
        statement.sql("))")
    }

    /// Appends all that the part names.
    fn all_of<Row>(self, mut statement: Statement<Row>, part: &Within) -> Statement<Row> {
        if let Some(group) = part.group {
            statement = statement.sql(" AND group_id = ").bind(group);
        }
        if let Some(member) = part.member {
            statement = statement.sql(" AND member_id = ").bind(member);
        }
        if let Some(kind) = &part.kind {
            statement = statement.sql(" AND member_kind = ").bind(kind.as_str());
        }
        match self.is_littered {
            true => statement
                .sql(" AND group_id NOT IN (SELECT s.group_id FROM sweep s WHERE s.tenant_id = ")
                .bind(self.tenant)
                .sql(")"),
            false => statement,
        }
    }
}

/// Appends what lies ahead on the way, in terms of the ends that the part leaves open; `None`: nothing does.
fn begin<Row>(statement: Statement<Row>, part: &Within, way: Way) -> Option<Statement<Row>> {
    let Some((bound, is_inclusive)) = way.bound else { return Some(statement) };
    Some(match (part.group, part.member) {
        (Some(group), None) if group == bound.group => {
            statement.sql(" AND member_id").sql(way.compare(is_inclusive)).bind(bound.member)
        }
        (Some(group), None) if way.is_beyond(&group, &bound.group) => statement,
        (Some(_), None) => return None,
        (None, Some(member)) => {
            let is_there = way.is_beyond(&member, &bound.member) || (is_inclusive && member == bound.member);
            statement.sql(" AND group_id").sql(way.compare(is_there)).bind(bound.group)
        }
        (Some(group), Some(member)) => {
            let id = MembershipId { group, member };
            match way.is_beyond(&id, &bound) || (is_inclusive && id == bound) {
                true => statement,
                false => return None,
            }
        }
        (None, None) => statement
            .sql(" AND (group_id, member_id)")
            .sql(way.compare(is_inclusive))
            .sql("(")
            .bind(bound.group)
            .sql(", ")
            .bind(bound.member)
            .sql(")"),
    })
}

/// The groups of one member are in the order of the primary key too, and SQLite would walk through all groups along it.
fn hint(db: &Db, part: &Within) -> &'static str {
    match (part.group, part.member) {
        (None, Some(_)) => dialect::index_hint(db, " INDEXED BY membership_member"),
        _ => "",
    }
}

/// Appends the order, naming only what the part leaves open.
fn in_order<Row>(statement: Statement<Row>, part: &Within, up: bool) -> Statement<Row> {
    let down = if up { "" } else { " DESC" };
    match (part.group, part.member) {
        (Some(_), Some(_)) => statement,
        (Some(_), None) => statement.sql(" ORDER BY member_id").sql(down),
        (None, Some(_)) => statement.sql(" ORDER BY group_id").sql(down),
        (None, None) => statement.sql(" ORDER BY group_id").sql(down).sql(", member_id").sql(down),
    }
}
