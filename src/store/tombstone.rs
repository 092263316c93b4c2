//! Names and numbers that stay taken after their owner is gone, so that nobody else is given them. Says whose they were
//! and until when; whether one is refused or only never made up again is the policy's business.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::db::Db;
use crate::record::resource_id;
use crate::statement::{Statement, insert};
use crate::{Error, ResourceId, TenantId};

/// Where a name or number is taken, and which.
pub type Buried = (String, String);

/// What is left of a name or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Whose it was.
    pub resource: ResourceId,
    /// Since when, µs since 1970.
    pub at: i64,
    /// Until when; `None`: for ever.
    pub until: Option<i64>,
}

impl Tombstone {
    /// Whether it binds at an instant (µs since 1970).
    pub fn binds_at(&self, at: i64) -> bool {
        self.until.is_none_or(|until| at < until)
    }
}

type Types = (Text, Text, Binary, BigInt, Nullable<BigInt>);
type Row = (String, String, Vec<u8>, i64, Option<i64>);

const SELECT: &str = "SELECT namespace, value, resource_id, at, until FROM tombstone WHERE tenant_id = ";

fn from_row((namespace, value, resource, at, until): Row) -> Result<(Buried, Tombstone), Error> {
    Ok(((namespace, value), Tombstone { resource: resource_id(&resource)?, at, until }))
}

/// What is left of a value.
pub(crate) fn find(db: &mut Db, tenant: TenantId, (namespace, value): &Buried) -> Result<Option<Tombstone>, Error> {
    let row = Statement::<Types>::new(SELECT)
        .bind(tenant)
        .sql(" AND namespace = ")
        .bind(namespace.as_str())
        .sql(" AND value = ")
        .bind(value.as_str())
        .get_result::<Row>(db)
        .optional()?;
    row.map(|row| Ok(from_row(row)?.1)).transpose()
}

/// What is left of a resource.
pub(crate) fn of(db: &mut Db, tenant: TenantId, resource: ResourceId) -> Result<Vec<(Buried, Tombstone)>, Error> {
    let rows = Statement::<Types>::new(SELECT).bind(tenant).sql(" AND resource_id = ").bind(resource);
    rows.sql(" ORDER BY namespace, value").load::<Row>(db)?.into_iter().map(from_row).collect()
}

/// Whether there is one of a namespace whose value begins so.
pub(crate) fn is_any(db: &mut Db, tenant: TenantId, namespace: &str, beginning: &str) -> Result<bool, Error> {
    // Nothing that is kept has a letter behind the last one.
    let end = format!("{beginning}\u{10ffff}");
    let row = Statement::<Types>::new(SELECT)
        .bind(tenant)
        .sql(" AND namespace = ")
        .bind(namespace)
        .sql(" AND value >= ")
        .bind(beginning)
        .sql(" AND value < ")
        .bind(end.as_str())
        .sql(" LIMIT 1")
        .get_result::<Row>(db)
        .optional()?;
    Ok(row.is_some())
}

/// A slice of a tenant's tombstones in the order of their keys.
pub(crate) fn slice(
    db: &mut Db,
    tenant: TenantId,
    after: Option<&Buried>,
    limit: i64,
) -> Result<Vec<(Buried, Tombstone)>, Error> {
    let mut rows = Statement::<Types>::new(SELECT).bind(tenant);
    if let Some((namespace, value)) = after {
        rows = rows.sql(" AND (namespace, value) > (").bind(namespace.as_str()).sql(", ").bind(value.as_str()).sql(")");
    }
    let rows = rows.sql(" ORDER BY namespace, value LIMIT ").bind(limit);
    rows.load::<Row>(db)?.into_iter().map(from_row).collect()
}

/// Writes tombstones. One that is there already gives way.
pub(crate) fn store(
    db: &mut Db,
    tenant: TenantId,
    tombstones: impl IntoIterator<Item = (Buried, Tombstone)>,
) -> Result<(), Error> {
    let rows = tombstones.into_iter().map(|((namespace, value), stone)| {
        let Tombstone { resource, at, until } = stone;
        vec![tenant.into(), namespace.into(), value.into(), resource.into(), at.into(), until.into()]
    });
    insert(
        db,
        "INSERT INTO tombstone (tenant_id, namespace, value, resource_id, at, until)",
        rows.collect(),
        "ON CONFLICT (tenant_id, namespace, value) DO UPDATE SET resource_id = excluded.resource_id, \
         at = excluded.at, until = excluded.until",
    )?;
    Ok(())
}
