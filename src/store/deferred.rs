//! Requests that were accepted and answered before they are carried out (RFC 9967): the request until it is done, then
//! its result, and meanwhile what became of each of its operations, written with the operation itself so that none is
//! done twice. All that came or is answered is sealed by the caller; here it is bytes.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use uuid::Uuid;

use crate::db::Db;
use crate::record::resource_id;
use crate::statement::{Statement, insert};
use crate::{Error, ResourceId, TenantId};

/// A request that is carried out after its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferred {
    /// Identifier; it grows with time.
    pub id: Uuid,
    /// The client that asked, and the only one that may see the result.
    pub client: ResourceId,
    /// µs since 1970.
    pub accepted_at: i64,
    /// When the result is forgotten, µs since 1970; `None`: there is none yet.
    pub expires_at: Option<i64>,
    /// The sealed request while there is no result, then the sealed result.
    pub body: Vec<u8>,
}

/// How far an operation of a deferred request has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has still to be carried out.
    Open,
    /// It was decided; what was noted then.
    Decided(Vec<u8>),
    /// The request is done or gone: nothing of it may be carried out any more.
    Over,
}

type Row = (Vec<u8>, Vec<u8>, i64, Option<i64>, Vec<u8>);
type Types = (Binary, Binary, BigInt, Nullable<BigInt>, Binary);

const SELECT: &str = "SELECT request_id, client_id, accepted_at, expires_at, body FROM deferred WHERE tenant_id = ";

fn from_row((id, client, accepted_at, expires_at, body): Row) -> Result<Deferred, Error> {
    Ok(Deferred { id: resource_id(&id)?.0, client: resource_id(&client)?, accepted_at, expires_at, body })
}

/// A deferred request. The body of one that is not done is left out: it may be large, and only who carries it out needs
/// it.
pub(crate) fn find(db: &mut Db, tenant: TenantId, id: Uuid) -> Result<Option<Deferred>, Error> {
    type Found = (Vec<u8>, Vec<u8>, i64, Option<i64>, Option<Vec<u8>>);
    let found = Statement::<(Binary, Binary, BigInt, Nullable<BigInt>, Nullable<Binary>)>::new(
        "SELECT request_id, client_id, accepted_at, expires_at, CASE WHEN expires_at IS NULL THEN NULL ELSE body END \
         FROM deferred WHERE tenant_id = ",
    )
    .bind(tenant)
    .sql(" AND request_id = ")
    .bind(id.as_bytes().to_vec())
    .get_result::<Found>(db)
    .optional()?;
    found.map(|(id, client, at, end, body)| from_row((id, client, at, end, body.unwrap_or_default()))).transpose()
}

/// The oldest request of a client that is not done.
pub(crate) fn next(db: &mut Db, tenant: TenantId, client: ResourceId) -> Result<Option<Deferred>, Error> {
    let found = Statement::<Types>::new(SELECT)
        .bind(tenant)
        .sql(" AND client_id = ")
        .bind(client)
        .sql(" AND expires_at IS NULL ORDER BY accepted_at, request_id LIMIT 1")
        .get_result::<Row>(db)
        .optional()?;
    found.map(from_row).transpose()
}

/// Tenant and client of every request that was accepted before `before` and is not done, oldest first.
pub(crate) fn waiting(db: &mut Db, before: i64) -> Result<Vec<(TenantId, ResourceId)>, Error> {
    Statement::<(BigInt, Binary)>::new(
        "SELECT tenant_id, client_id FROM deferred WHERE expires_at IS NULL AND accepted_at < ",
    )
    .bind(before)
    .sql(" ORDER BY accepted_at, request_id")
    .load::<(i64, Vec<u8>)>(db)?
    .into_iter()
    .map(|(tenant, client)| Ok((TenantId(tenant), resource_id(&client)?)))
    .collect()
}

/// How many requests of a client are not done.
pub(crate) fn count(db: &mut Db, tenant: TenantId, client: ResourceId) -> Result<i64, Error> {
    Ok(Statement::<BigInt>::new("SELECT count(*) FROM deferred WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND client_id = ")
        .bind(client)
        .sql(" AND expires_at IS NULL")
        .get_result::<i64>(db)?)
}

/// How far an operation has come.
pub(crate) fn progress(db: &mut Db, tenant: TenantId, id: Uuid, place: i64) -> Result<Progress, Error> {
    let found = Statement::<(Nullable<BigInt>, Nullable<Binary>)>::new(
        "SELECT d.expires_at, o.outcome FROM deferred d LEFT JOIN deferred_outcome o \
         ON o.tenant_id = d.tenant_id AND o.request_id = d.request_id AND o.place = ",
    )
    .bind(place)
    .sql(" WHERE d.tenant_id = ")
    .bind(tenant)
    .sql(" AND d.request_id = ")
    .bind(id.as_bytes().to_vec())
    .get_result::<(Option<i64>, Option<Vec<u8>>)>(db)
    .optional()?;
    Ok(match found {
        Some((None, Some(outcome))) => Progress::Decided(outcome),
        Some((None, None)) => Progress::Open,
        Some((Some(_), _)) | None => Progress::Over,
    })
}

/// What was noted of the operations of a request, by place.
pub(crate) fn outcomes(db: &mut Db, tenant: TenantId, id: Uuid) -> Result<Vec<(i64, Vec<u8>)>, Error> {
    Ok(Statement::<(BigInt, Binary)>::new("SELECT place, outcome FROM deferred_outcome WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND request_id = ")
        .bind(id.as_bytes().to_vec())
        .sql(" ORDER BY place")
        .load::<(i64, Vec<u8>)>(db)?)
}

/// Tenants with results that are to be forgotten at `now`.
pub(crate) fn tenants_to_clear(db: &mut Db, now: i64) -> Result<Vec<TenantId>, Error> {
    let found = Statement::<BigInt>::new("SELECT DISTINCT tenant_id FROM deferred WHERE expires_at <= ")
        .bind(now)
        .sql(" ORDER BY tenant_id")
        .load::<i64>(db)?;
    Ok(found.into_iter().map(TenantId).collect())
}

/// Writes requests, new or done, and what was noted of operations. What was noted for a request that is done goes.
pub(crate) fn store(
    db: &mut Db,
    tenant: TenantId,
    requests: Vec<Deferred>,
    outcomes: Vec<((Uuid, i64), Vec<u8>)>,
) -> Result<(), Error> {
    let rows = outcomes
        .into_iter()
        .map(|((id, place), outcome)| vec![tenant.into(), id.as_bytes().to_vec().into(), place.into(), outcome.into()]);
    insert(
        db,
        "INSERT INTO deferred_outcome (tenant_id, request_id, place, outcome)",
        rows.collect(),
        "ON CONFLICT (tenant_id, request_id, place) DO UPDATE SET outcome = excluded.outcome",
    )?;
    for done in requests.iter().filter(|request| request.expires_at.is_some()) {
        Statement::<()>::new("DELETE FROM deferred_outcome WHERE tenant_id = ")
            .bind(tenant)
            .sql(" AND request_id = ")
            .bind(done.id.as_bytes().to_vec())
            .run(db)?;
    }
    let rows = requests.into_iter().map(|request| {
        vec![
            tenant.into(),
            request.id.as_bytes().to_vec().into(),
            request.client.into(),
            request.accepted_at.into(),
            request.expires_at.into(),
            request.body.into(),
        ]
    });
    insert(
        db,
        "INSERT INTO deferred (tenant_id, request_id, client_id, accepted_at, expires_at, body)",
        rows.collect(),
        "ON CONFLICT (tenant_id, request_id) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body",
    )?;
    Ok(())
}

/// Forgets the results whose time has come at `now`.
pub(crate) fn forget(db: &mut Db, tenant: TenantId, now: i64) -> Result<(), Error> {
    Statement::<()>::new("DELETE FROM deferred WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND expires_at <= ")
        .bind(now)
        .run(db)?;
    Ok(())
}
