//! Writes that a client gave a key, so that the same request sent again is answered again and not done twice. Written in
//! the transaction of the change. Holds neither the key nor the request, only digests that the caller has made of them.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::db::Db;
use crate::statement::{Statement, insert};
use crate::{Error, ResourceId, TenantId};

/// How long a key is remembered: 24 hours, in µs.
pub const KEPT: i64 = 24 * 3_600 * 1_000_000;

/// A write that was carried out under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// Whose key it is.
    pub client: ResourceId,
    /// A digest of the key.
    pub key: Vec<u8>,
    /// A digest of the request.
    pub request: Vec<u8>,
    /// The HTTP status of its answer.
    pub status: u16,
    /// What the answer named, below the base URL, such as `/Users/…`.
    pub place: String,
    /// The entity tag that was answered.
    pub etag: Option<String>,
    /// µs since 1970.
    pub at: i64,
}

impl Keyed {
    /// Whether the key means nothing any more at `now` (µs since 1970).
    pub fn is_over(&self, now: i64) -> bool {
        self.at.saturating_add(KEPT) <= now
    }
}

/// The write that a client gave a key, however old.
pub(crate) fn find(db: &mut Db, tenant: TenantId, client: ResourceId, key: &[u8]) -> Result<Option<Keyed>, Error> {
    let found = Statement::<(Binary, BigInt, Text, Nullable<Text>, BigInt)>::new(
        "SELECT request, status, place, etag, at FROM idempotency WHERE tenant_id = ",
    )
    .bind(tenant)
    .sql(" AND client_id = ")
    .bind(client)
    .sql(" AND key = ")
    .bind(key.to_vec())
    .get_result::<(Vec<u8>, i64, String, Option<String>, i64)>(db)
    .optional()?;
    let Some((request, status, place, etag, at)) = found else { return Ok(None) };
    let status = u16::try_from(status).map_err(|_| Error::Corrupt(format!("a status of {status}")))?;
    Ok(Some(Keyed { client, key: key.to_vec(), request, status, place, etag, at }))
}

/// Remembers writes. A key that was used before, and is over, begins anew.
pub(crate) fn store(db: &mut Db, tenant: TenantId, keyed: impl Iterator<Item = Keyed>) -> Result<(), Error> {
    let rows = keyed.map(|keyed| {
        vec![
            tenant.into(),
            keyed.client.into(),
            keyed.key.into(),
            keyed.request.into(),
            i64::from(keyed.status).into(),
            keyed.place.into(),
            keyed.etag.into(),
            keyed.at.into(),
        ]
    });
    insert(
        db,
        "INSERT INTO idempotency (tenant_id, client_id, key, request, status, place, etag, at)",
        rows.collect(),
        "ON CONFLICT (tenant_id, client_id, key) DO UPDATE SET request = excluded.request, status = excluded.status, \
         place = excluded.place, etag = excluded.etag, at = excluded.at",
    )?;
    Ok(())
}

/// Tenants with keys that are over at `now`.
pub(crate) fn tenants_to_clear(db: &mut Db, now: i64) -> Result<Vec<TenantId>, Error> {
    let found = Statement::<BigInt>::new("SELECT DISTINCT tenant_id FROM idempotency WHERE at <= ")
        .bind(now.saturating_sub(KEPT))
        .sql(" ORDER BY tenant_id")
        .load::<i64>(db)?;
    Ok(found.into_iter().map(TenantId).collect())
}

/// Forgets the keys that are over at `now`.
pub(crate) fn forget(db: &mut Db, tenant: TenantId, now: i64) -> Result<(), Error> {
    Statement::<()>::new("DELETE FROM idempotency WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND at <= ")
        .bind(now.saturating_sub(KEPT))
        .run(db)?;
    Ok(())
}
