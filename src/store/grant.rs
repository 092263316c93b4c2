//! Rights and their grounds. One row says that one user held one thing because of one ground, from when until when: what
//! was actually so beside what the dates behind it say. A row is never taken away while evidence is kept; it ends.

use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::db::Db;
use crate::record::resource_id;
use crate::statement::{Statement, insert};
use crate::{Error, ResourceId, TenantId};

/// What a grant is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantKey {
    /// Who holds it.
    pub user: ResourceId,
    /// What: a group or an entitlement.
    pub target: ResourceId,
    /// `rule`, `hand`, `inherited`, `source`.
    pub ground_kind: String,
    /// Which: of a rule, the rule and the employment.
    pub ground_id: String,
    /// Held since, µs since 1970.
    pub since: i64,
}

/// A right on one ground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What it is known by.
    pub key: GrantKey,
    /// Held until, µs since 1970; `None`: it is held.
    pub until: Option<i64>,
    /// From when the facts behind it speak for it.
    pub ground_from: Option<i64>,
    /// Until when they do.
    pub ground_until: Option<i64>,
    /// Version of the rule; 0: of none.
    pub rule_version: i64,
    /// The facts, JSON.
    pub facts: String,
}

impl Grant {
    /// Whether it is held at an instant (µs since 1970).
    pub fn is_held_at(&self, at: i64) -> bool {
        self.key.since <= at && self.until.is_none_or(|until| at < until)
    }
}

type Row = (Vec<u8>, Vec<u8>, String, String, i64, Option<i64>, Option<i64>, Option<i64>, i64, String);
type Types = (Binary, Binary, Text, Text, BigInt, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, BigInt, Text);

const SELECT: &str = "SELECT user_id, target_id, ground_kind, ground_id, since, until, ground_from, ground_until, \
     rule_version, facts FROM grant_ WHERE tenant_id = ";
const ORDER: &str = " ORDER BY user_id, target_id, ground_kind, ground_id, since";

fn from_row(row: Row) -> Result<Grant, Error> {
    let (user, target, ground_kind, ground_id, since, until, ground_from, ground_until, rule_version, facts) = row;
    let key = GrantKey { user: resource_id(&user)?, target: resource_id(&target)?, ground_kind, ground_id, since };
    Ok(Grant { key, until, ground_from, ground_until, rule_version, facts })
}

/// Every grant of a user, ended ones too, in the order of their keys.
pub(crate) fn of_user(db: &mut Db, tenant: TenantId, user: ResourceId) -> Result<Vec<Grant>, Error> {
    let rows = Statement::<Types>::new(SELECT).bind(tenant).sql(" AND user_id = ").bind(user).sql(ORDER);
    rows.load::<Row>(db)?.into_iter().map(from_row).collect()
}

/// Every grant of each of these users, ended ones too, in the order of their keys.
pub(crate) fn of_users(db: &mut Db, tenant: TenantId, users: &[ResourceId]) -> Result<Vec<Grant>, Error> {
    let rows = Statement::<Types>::new(SELECT).bind(tenant).sql(" AND user_id IN ");
    rows.list(users.iter().copied()).sql(ORDER).load::<Row>(db)?.into_iter().map(from_row).collect()
}

/// Every grant of a target, ended ones too, in the order of their keys.
pub(crate) fn of_target(db: &mut Db, tenant: TenantId, target: ResourceId) -> Result<Vec<Grant>, Error> {
    let rows = Statement::<Types>::new(SELECT).bind(tenant).sql(" AND target_id = ").bind(target).sql(ORDER);
    rows.load::<Row>(db)?.into_iter().map(from_row).collect()
}

/// A slice of a tenant's grants in the order of their keys.
pub(crate) fn slice(db: &mut Db, tenant: TenantId, after: Option<&GrantKey>, limit: i64) -> Result<Vec<Grant>, Error> {
    let mut rows = Statement::<Types>::new(SELECT).bind(tenant);
    if let Some(key) = after {
        rows = rows
            .sql(" AND (user_id, target_id, ground_kind, ground_id, since) > (")
            .bind(key.user)
            .sql(", ")
            .bind(key.target)
            .sql(", ")
            .bind(key.ground_kind.as_str())
            .sql(", ")
            .bind(key.ground_id.as_str())
            .sql(", ")
            .bind(key.since)
            .sql(")");
    }
    rows.sql(ORDER).sql(" LIMIT ").bind(limit).load::<Row>(db)?.into_iter().map(from_row).collect()
}

/// Writes grants, new ones and what became of others.
pub(crate) fn store(db: &mut Db, tenant: TenantId, grants: impl IntoIterator<Item = Grant>) -> Result<(), Error> {
    let rows = grants.into_iter().map(|grant| {
        let Grant { key, until, ground_from, ground_until, rule_version, facts } = grant;
        vec![
            tenant.into(),
            key.user.into(),
            key.target.into(),
            key.ground_kind.into(),
            key.ground_id.into(),
            key.since.into(),
            until.into(),
            ground_from.into(),
            ground_until.into(),
            rule_version.into(),
            facts.into(),
        ]
    });
    insert(
        db,
        "INSERT INTO grant_ (tenant_id, user_id, target_id, ground_kind, ground_id, since, until, ground_from, \
         ground_until, rule_version, facts)",
        rows.collect(),
        "ON CONFLICT (tenant_id, user_id, target_id, ground_kind, ground_id, since) DO UPDATE SET \
         until = excluded.until, ground_from = excluded.ground_from, ground_until = excluded.ground_until, \
         rule_version = excluded.rule_version, facts = excluded.facts",
    )?;
    Ok(())
}
