//! When the scheduler is to look at a resource again: one row a resource, and none for one of which nothing follows. Says
//! only when, never what for: whoever looks works out anew what holds then.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};

use crate::db::Db;
use crate::record::resource_id;
use crate::statement::{Statement, delete, insert};
use crate::tenant::ACTIVE;
use crate::{Error, ResourceId, TenantId};

/// When a resource is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// µs since 1970.
    pub at: i64,
    /// Of a resource that many depend on: the last of those that were told so far, in id order.
    pub after: Option<ResourceId>,
}

impl Due {
    /// At that instant (µs since 1970).
    pub fn at(at: i64) -> Self {
        Due { at, after: None }
    }
}

/// When a resource is due; `None`: never.
pub(crate) fn find(db: &mut Db, tenant: TenantId, id: ResourceId) -> Result<Option<Due>, Error> {
    let row = Statement::<(BigInt, Nullable<Binary>)>::new("SELECT at, after FROM due WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND resource_id = ")
        .bind(id)
        .get_result::<(i64, Option<Vec<u8>>)>(db)
        .optional()?;
    row.map(|(at, after)| Ok(Due { at, after: after.map(|id| resource_id(&id)).transpose()? })).transpose()
}

/// What is due at `until` (µs since 1970) or was before, the oldest first, at most `limit`.
pub(crate) fn before(db: &mut Db, tenant: TenantId, until: i64, limit: i64) -> Result<Vec<(ResourceId, i64)>, Error> {
    let rows = Statement::<(Binary, BigInt)>::new("SELECT resource_id, at FROM due WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND at <= ")
        .bind(until)
        .sql(" ORDER BY at, resource_id LIMIT ")
        .bind(limit)
        .load::<(Vec<u8>, i64)>(db)?;
    rows.into_iter().map(|(id, at)| Ok((resource_id(&id)?, at))).collect()
}

/// The tenants that are served and of which something is due at `until` (µs since 1970): one question, however many there
/// are.
pub(crate) fn tenants(db: &mut Db, until: i64) -> Result<Vec<TenantId>, Error> {
    let rows = Statement::<BigInt>::new(
        "SELECT tenant_id FROM tenant WHERE EXISTS (SELECT 1 FROM due WHERE due.tenant_id = tenant.tenant_id AND at <= ",
    )
    .bind(until)
    .sql(") AND state = ")
    .bind(ACTIVE)
    .sql(" ORDER BY tenant_id")
    .load::<i64>(db)?;
    Ok(rows.into_iter().map(TenantId).collect())
}

/// A slice of a tenant's rows in the order of ids.
pub(crate) fn slice(
    db: &mut Db,
    tenant: TenantId,
    after: Option<ResourceId>,
    limit: i64,
) -> Result<Vec<(ResourceId, Due)>, Error> {
    let mut rows = Statement::<(Binary, BigInt, Nullable<Binary>)>::new(
        "SELECT resource_id, at, after FROM due WHERE tenant_id = ",
    )
    .bind(tenant);
    if let Some(after) = after {
        rows = rows.sql(" AND resource_id > ").bind(after);
    }
    let rows = rows.sql(" ORDER BY resource_id LIMIT ").bind(limit).load::<(Vec<u8>, i64, Option<Vec<u8>>)>(db)?;
    let read = |(id, at, after): (Vec<u8>, i64, Option<Vec<u8>>)| {
        Ok((resource_id(&id)?, Due { at, after: after.map(|id| resource_id(&id)).transpose()? }))
    };
    rows.into_iter().map(read).collect()
}

/// How many are due at `until`, and since when the oldest is; nothing of more than `limit` is counted.
pub(crate) fn backlog(db: &mut Db, tenant: TenantId, until: i64, limit: i64) -> Result<(i64, Option<i64>), Error> {
    Ok(Statement::<(BigInt, Nullable<BigInt>)>::new(
        "SELECT COUNT(*), MIN(at) FROM (SELECT at FROM due WHERE tenant_id = ",
    )
    .bind(tenant)
    .sql(" AND at <= ")
    .bind(until)
    .sql(" ORDER BY at, resource_id LIMIT ")
    .bind(limit)
    .sql(") waiting")
    .get_result::<(i64, Option<i64>)>(db)?)
}

/// Writes when resources are due; `None`: not any more.
pub(crate) fn store(
    db: &mut Db,
    tenant: TenantId,
    changes: impl IntoIterator<Item = (ResourceId, Option<Due>)>,
) -> Result<(), Error> {
    let (mut rows, mut gone) = (Vec::new(), Vec::new());
    for (id, due) in changes {
        match due {
            Some(Due { at, after }) => {
                let after = after.map(|id| id.0.as_bytes().to_vec());
                rows.push(vec![tenant.into(), id.into(), at.into(), after.into()]);
            }
            None => gone.push(vec![tenant.into(), id.into()]),
        }
    }
    insert(
        db,
        "INSERT INTO due (tenant_id, resource_id, at, after)",
        rows,
        "ON CONFLICT (tenant_id, resource_id) DO UPDATE SET at = excluded.at, after = excluded.after",
    )?;
    delete(db, "due", &["tenant_id", "resource_id"], gone)?;
    Ok(())
}

/// What is due at exactly that instant.
pub(crate) fn just_at(db: &mut Db, tenant: TenantId, at: i64) -> Result<Vec<ResourceId>, Error> {
    let rows = Statement::<Binary>::new("SELECT resource_id FROM due WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND at = ")
        .bind(at)
        .sql(" ORDER BY resource_id")
        .load::<Vec<u8>>(db)?;
    rows.iter().map(|id| resource_id(id)).collect()
}
