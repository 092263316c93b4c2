//! What the audit tells of changes: their rows without content, the newest first. Verifies nothing.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::change::{ByRow, ByTypes, Change, HeaderRow, HeaderTypes, read_header};
use crate::db::Db;
use crate::statement::Statement;
use crate::{Error, ResourceId, Seq, TenantId};

/// Changes with numbers from `from` and below `below`, the newest first, at most `limit`; of one resource, or of all.
pub(crate) fn traces(
    db: &mut Db,
    tenant: TenantId,
    (from, below): (Seq, Seq),
    resource: Option<ResourceId>,
    limit: i64,
) -> Result<Vec<Change>, Error> {
    let mut statement = Statement::<(HeaderTypes, ByTypes)>::new(
        "SELECT seq, resource_id, kind, op, version, at, actor, txn, cause, credential, address, request \
         FROM change WHERE tenant_id = ",
    )
    .bind(tenant);
    if let Some(resource) = resource {
        statement = statement.sql(" AND resource_id = ").bind(resource);
    }
    let rows = statement
        .sql(" AND seq >= ")
        .bind(from)
        .sql(" AND seq < ")
        .bind(below)
        .sql(" ORDER BY seq DESC LIMIT ")
        .bind(limit)
        .load::<(HeaderRow, ByRow)>(db)?;
    rows.into_iter().map(|(header, by)| read_header(tenant, header, by)).collect()
}

/// The instant of the first change from a number on; `None`: there is none.
pub(crate) fn instant_from(db: &mut Db, tenant: TenantId, seq: Seq) -> Result<Option<(Seq, i64)>, Error> {
    Ok(Statement::<(BigInt, BigInt)>::new("SELECT seq, at FROM change WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND seq >= ")
        .bind(seq)
        .sql(" ORDER BY seq LIMIT 1")
        .get_result::<(i64, i64)>(db)
        .optional()?)
}

/// The newest document of a resource, whether it lives or not; `None`: it never had one, or that is erased.
pub(crate) fn image_ever(db: &mut Db, tenant: TenantId, resource: ResourceId) -> Result<Option<String>, Error> {
    Ok(Statement::<Text>::new("SELECT doc FROM change WHERE doc IS NOT NULL AND tenant_id = ")
        .bind(tenant)
        .sql(" AND resource_id = ")
        .bind(resource)
        .sql(" ORDER BY seq DESC LIMIT 1")
        .get_result::<String>(db)
        .optional()?)
}

/// What a resource's document was before a change, by the newest change before it that has one; `None`: it was not there, or
/// what it said is erased.
pub(crate) fn image_before(
    db: &mut Db,
    tenant: TenantId,
    resource: ResourceId,
    seq: Seq,
) -> Result<Option<String>, Error> {
    let row = Statement::<(Text, Nullable<Text>)>::new("SELECT op, doc FROM change WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND resource_id = ")
        .bind(resource)
        .sql(" AND seq < ")
        .bind(seq)
        .sql(" AND (doc IS NOT NULL OR op = 'delete') ORDER BY seq DESC LIMIT 1")
        .get_result::<(String, Option<String>)>(db)
        .optional()?;
    Ok(row.and_then(|(_, doc)| doc))
}
