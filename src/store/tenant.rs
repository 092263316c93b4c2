//! Tenants: the one table without a tenant prefix.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::db::Db;
use crate::erase::ERASED;
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
    /// `active`, `suspended`, `importing` or `erasing`.
    pub state: String,
    /// Moves with every restore and import: what was handed out before is worth nothing after.
    pub epoch: i64,
}

/// A tenant that is served.
pub const ACTIVE: &str = "active";
/// A tenant whose every request is refused.
pub const SUSPENDED: &str = "suspended";
/// A tenant whose register is being read in, and is not whole yet.
pub const IMPORTING: &str = "importing";

impl Tenant {
    /// Whether it is served.
    pub fn is_active(&self) -> bool {
        self.state == ACTIVE
    }
}

/// The tenants that are served and have a resource of a kind: one question, however many there are.
pub(crate) fn having(db: &mut Db, kind: &str) -> Result<Vec<TenantId>, Error> {
    let rows = Statement::<BigInt>::new(
        "SELECT tenant_id FROM tenant WHERE EXISTS (SELECT 1 FROM resource WHERE resource.tenant_id = tenant.tenant_id AND kind = ",
    )
    .bind(kind)
    .sql(") AND state = ")
    .bind(ACTIVE)
    .sql(" ORDER BY tenant_id")
    .load::<i64>(db)?;
    Ok(rows.into_iter().map(TenantId).collect())
}

type Row = (i64, String, String, String, i64);
type Types = (BigInt, Text, Text, Text, BigInt);

const SELECT: &str = "SELECT tenant_id, slug, name, state, epoch FROM tenant";

fn from_row((id, slug, name, state, epoch): Row) -> Tenant {
    Tenant { id: TenantId(id), slug, name, state, epoch }
}

/// Every tenant, by id, but for those that were erased.
pub(crate) fn all(db: &mut Db) -> Result<Vec<Tenant>, Error> {
    let rows = Statement::<Types>::new(SELECT)
        .sql(" WHERE state <> ")
        .bind(ERASED)
        .sql(" ORDER BY tenant_id")
        .load::<Row>(db)?;
    Ok(rows.into_iter().map(from_row).collect())
}

/// Looks at one row at most, however many there are.
pub(crate) fn probe(db: &mut Db) -> Result<(), Error> {
    Statement::<Types>::new(SELECT).sql(" LIMIT 1").get_result::<Row>(db).optional()?;
    Ok(())
}

/// The tenant of that short name.
pub(crate) fn by_slug(db: &mut Db, slug: &str) -> Result<Option<Tenant>, Error> {
    let row = Statement::<Types>::new(SELECT).sql(" WHERE slug = ").bind(slug).get_result::<Row>(db).optional()?;
    Ok(row.map(from_row))
}

/// The tenant.
pub(crate) fn by_id(db: &mut Db, tenant: TenantId) -> Result<Option<Tenant>, Error> {
    let row =
        Statement::<Types>::new(SELECT).sql(" WHERE tenant_id = ").bind(tenant).get_result::<Row>(db).optional()?;
    Ok(row.map(from_row))
}

/// Whether a tenant is served from now on.
pub(crate) fn set_active(db: &mut Db, tenant: TenantId, active: bool) -> Result<(), Error> {
    let changed = Statement::<()>::new("UPDATE tenant SET state = ")
        .bind(if active { ACTIVE } else { SUSPENDED })
        .sql(" WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND state IN ")
        .list([ACTIVE, SUSPENDED])
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
    let tenant = lay_bare(db, slug, name, None, now)?;
    index::lay_defaults(db, tenant.id)?;
    Ok(tenant)
}

/// Writes a tenant with its clock and without indexes; with that id if nobody has it. Part of a transaction.
pub(crate) fn lay_bare(
    db: &mut Db,
    slug: &str,
    name: &str,
    wanted: Option<TenantId>,
    now: i64,
) -> Result<Tenant, Error> {
    dialect::lock_tenants(db)?;
    if by_slug(db, slug)?.is_some() {
        return Err(Error::Taken { path: "slug".into() });
    }
    let id = match wanted {
        Some(wanted) if wanted.0 > 0 && by_id(db, wanted)?.is_none() => wanted,
        _ => {
            let highest = "SELECT COALESCE(MAX(tenant_id), 0) FROM tenant";
            TenantId(Statement::<BigInt>::new(highest).get_result::<i64>(db)? + 1)
        }
    };
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
    Ok(Tenant { id, slug: slug.into(), name: name.into(), state: ACTIVE.into(), epoch: 0 })
}

/// When a tenant came to be, µs since 1970.
pub(crate) fn created_at(db: &mut Db, tenant: TenantId) -> Result<i64, Error> {
    let created = Statement::<BigInt>::new("SELECT created_at FROM tenant WHERE tenant_id = ").bind(tenant);
    Ok(created.get_result::<i64>(db)?)
}

/// Sets the state and the epoch of a tenant whose data were brought from elsewhere.
pub(crate) fn set_state(db: &mut Db, tenant: TenantId, state: &str, epoch: i64) -> Result<(), Error> {
    Statement::<()>::new("UPDATE tenant SET state = ")
        .bind(state)
        .sql(", epoch = ")
        .bind(epoch)
        .sql(" WHERE tenant_id = ")
        .bind(tenant)
        .run(db)?;
    Ok(())
}

/// Begins a new epoch in every tenant: the data were brought back from earlier. It is later than every one before it,
/// also when the same backup is restored twice.
pub(crate) fn begin_epoch(db: &mut Db, now: i64) -> Result<usize, Error> {
    let begun = Statement::<()>::new("UPDATE tenant SET epoch = CASE WHEN epoch >= ")
        .bind(now)
        .sql(" THEN epoch + 1 ELSE ")
        .bind(now)
        .sql(" END")
        .run(db)?;
    Ok(begun)
}
