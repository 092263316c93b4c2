//! What the audit tells of changes: their rows without content, the newest first. Verifies nothing.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::by::By;
use crate::change::{Change, Op, corrupt};
use crate::db::Db;
use crate::record::resource_id;
use crate::statement::Statement;
use crate::{Error, ResourceId, Seq, TenantId};

type TraceRow = (
    (i64, Vec<u8>, String, String, i64, i64, Vec<u8>, Vec<u8>, String),
    (Option<Vec<u8>>, Option<String>, Option<String>),
);
type TraceTypes = (
    (BigInt, Binary, Text, Text, BigInt, BigInt, Binary, Binary, Text),
    (Nullable<Binary>, Nullable<Text>, Nullable<Text>),
);

/// Changes with numbers from `from` and below `below`, the newest first, at most `limit`; of one resource, or of all.
pub(crate) fn traces(
    db: &mut Db,
    tenant: TenantId,
    (from, below): (Seq, Seq),
    resource: Option<ResourceId>,
    limit: i64,
) -> Result<Vec<Change>, Error> {
    let mut statement = Statement::<TraceTypes>::new(
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
        .load::<TraceRow>(db)?;
    let trace =
        |((seq, resource, kind, op, version, at, actor, txn, cause), (credential, address, request)): TraceRow| {
            Ok(Change {
                seq,
                resource: resource_id(&resource)?,
                kind,
                op: Op::parse(&op).ok_or_else(|| corrupt(tenant, seq, "unknown operation"))?,
                version,
                at,
                actor: resource_id(&actor)?,
                txn: resource_id(&txn)?.0,
                cause,
                by: By::read(credential, address, request)?,
                doc: None,
                external: None,
                members: Vec::new(),
            })
        };
    rows.into_iter().map(trace).collect()
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
