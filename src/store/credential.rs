//! Credentials: the digest of a secret, never the secret.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use uuid::Uuid;

use crate::db::Db;
use crate::record::resource_id;
use crate::statement::{Statement, insert};
use crate::{Error, ResourceId, TenantId};

/// One way for a client to prove itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Identifier, part of the token.
    pub id: Uuid,
    /// The client resource it belongs to.
    pub client: ResourceId,
    /// SHA-256 of the token.
    pub digest: Vec<u8>,
    /// µs since 1970.
    pub created_at: i64,
    /// µs since 1970; `None`: does not expire.
    pub expires_at: Option<i64>,
    /// µs since 1970; `None`: in force.
    pub revoked_at: Option<i64>,
}

type Row = (Vec<u8>, Vec<u8>, Vec<u8>, i64, Option<i64>, Option<i64>);
type Types = (Binary, Binary, Binary, BigInt, Nullable<BigInt>, Nullable<BigInt>);

const SELECT: &str = "SELECT credential_id, client_id, digest, created_at, expires_at, revoked_at FROM credential \
     WHERE tenant_id = ";

fn from_row((id, client, digest, created_at, expires_at, revoked_at): Row) -> Result<Credential, Error> {
    let id = resource_id(&id)?.0;
    Ok(Credential { id, client: resource_id(&client)?, digest, created_at, expires_at, revoked_at })
}

/// Finds a credential.
pub(crate) fn find(db: &mut Db, tenant: TenantId, id: Uuid) -> Result<Option<Credential>, Error> {
    Statement::<Types>::new(SELECT)
        .bind(tenant)
        .sql(" AND credential_id = ")
        .bind(id.as_bytes().to_vec())
        .get_result::<Row>(db)
        .optional()?
        .map(from_row)
        .transpose()
}

/// Every credential of one client, by id.
pub(crate) fn of_client(db: &mut Db, tenant: TenantId, client: ResourceId) -> Result<Vec<Credential>, Error> {
    Statement::<Types>::new(SELECT)
        .bind(tenant)
        .sql(" AND client_id = ")
        .bind(client)
        .sql(" ORDER BY credential_id")
        .load::<Row>(db)?
        .into_iter()
        .map(from_row)
        .collect()
}

/// Writes credentials, new or changed.
pub(crate) fn upsert(db: &mut Db, tenant: TenantId, credentials: Vec<Credential>) -> Result<(), Error> {
    let rows = credentials
        .into_iter()
        .map(|credential| {
            vec![
                tenant.into(),
                credential.id.as_bytes().to_vec().into(),
                credential.client.into(),
                credential.digest.into(),
                credential.created_at.into(),
                credential.expires_at.into(),
                credential.revoked_at.into(),
            ]
        })
        .collect();
    insert(
        db,
        "INSERT INTO credential (tenant_id, credential_id, client_id, digest, created_at, expires_at, revoked_at)",
        rows,
        "ON CONFLICT (tenant_id, credential_id) DO UPDATE SET expires_at = excluded.expires_at, \
         revoked_at = excluded.revoked_at",
    )?;
    Ok(())
}
