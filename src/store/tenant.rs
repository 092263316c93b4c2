//! Tenants: the one table without a tenant prefix.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::db::Db;
use crate::statement::{Statement, insert};
use crate::{Error, TenantId, dialect, index};

/// One organisation's register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The tenant.
    pub id: TenantId,
    /// Short name in URLs and commands.
    pub slug: String,
    /// Name for people.
    pub name: String,
    /// `active` or `suspended`.
    pub state: String,
}

/// A tenant that is served.
pub const ACTIVE: &str = "active";
/// A tenant whose every request is refused.
pub const SUSPENDED: &str = "suspended";

impl Tenant {
    /// Whether it is served.
    pub fn is_active(&self) -> bool {
        self.state == ACTIVE
    }
}

type Row = (i64, String, String, String);

const SELECT: &str = "SELECT tenant_id, slug, name, state FROM tenant";

fn from_row((id, slug, name, state): Row) -> Tenant {
    Tenant { id: TenantId(id), slug, name, state }
}

/// Every tenant, by id.
pub(crate) fn all(db: &mut Db) -> Result<Vec<Tenant>, Error> {
    let rows = Statement::<(BigInt, Text, Text, Text)>::new(SELECT).sql(" ORDER BY tenant_id").load::<Row>(db)?;
    Ok(rows.into_iter().map(from_row).collect())
}

/// Looks at one row at most, however many there are.
pub(crate) fn probe(db: &mut Db) -> Result<(), Error> {
    Statement::<(BigInt, Text, Text, Text)>::new(SELECT).sql(" LIMIT 1").get_result::<Row>(db).optional()?;
    Ok(())
}

/// The tenant of that short name.
pub(crate) fn by_slug(db: &mut Db, slug: &str) -> Result<Option<Tenant>, Error> {
    let row = Statement::<(BigInt, Text, Text, Text)>::new(SELECT)
        .sql(" WHERE slug = ")
        .bind(slug)
        .get_result::<Row>(db)
        .optional()?;
    Ok(row.map(from_row))
}

/// The tenant.
pub(crate) fn by_id(db: &mut Db, tenant: TenantId) -> Result<Option<Tenant>, Error> {
    let row = Statement::<(BigInt, Text, Text, Text)>::new(SELECT)
        .sql(" WHERE tenant_id = ")
        .bind(tenant)
        .get_result::<Row>(db)
        .optional()?;
    Ok(row.map(from_row))
}

/// Whether a tenant is served from now on.
pub(crate) fn set_active(db: &mut Db, tenant: TenantId, active: bool) -> Result<(), Error> {
    let changed = Statement::<()>::new("UPDATE tenant SET state = ")
        .bind(if active { ACTIVE } else { SUSPENDED })
        .sql(" WHERE tenant_id = ")
        .bind(tenant)
        .run(db)?;
    if changed == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Creates a tenant with its clock and the indexes it starts with.
pub(crate) fn create(db: &mut Db, slug: &str, name: &str, now: i64) -> Result<Tenant, Error> {
    dialect::begin_write(db)?;
    let created = lay(db, slug, name, now);
    match created {
        Ok(tenant) => {
            dialect::commit(db)?;
            Ok(tenant)
        }
        Err(error) => {
            dialect::rollback(db);
            Err(error)
        }
    }
}

fn lay(db: &mut Db, slug: &str, name: &str, now: i64) -> Result<Tenant, Error> {
    dialect::lock_tenants(db)?;
    if by_slug(db, slug)?.is_some() {
        return Err(Error::Taken { path: "slug".into() });
    }
    let highest = Statement::<BigInt>::new("SELECT COALESCE(MAX(tenant_id), 0) FROM tenant").get_result::<i64>(db)?;
    let id = TenantId(highest + 1);
    insert(
        db,
        "INSERT INTO tenant (tenant_id, slug, name, state, created_at)",
        vec![vec![id.into(), slug.into(), name.into(), ACTIVE.into(), now.into()]],
        "",
    )?;
    insert(
        db,
        "INSERT INTO tenant_clock (tenant_id, seq, last_at, nesting_seq, counts, digest)",
        vec![vec![id.into(), 0.into(), 0.into(), 0.into(), "{}".into(), Vec::<u8>::new().into()]],
        "",
    )?;
    index::lay_defaults(db, id)?;
    Ok(Tenant { id, slug: slug.into(), name: name.into(), state: ACTIVE.into() })
}
