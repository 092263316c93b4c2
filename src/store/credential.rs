//! Credentials: the digest of a secret, never the secret.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use uuid::Uuid;

use crate::db::Db;
use crate::record::resource_id;
use crate::statement::{Statement, insert};
use crate::{Error, ResourceId, TenantId};

/// What a client shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialKind {
    /// A bearer token: whoever has it is the client.
    #[default]
    Token,
    /// A secret for the token endpoint (RFC 6749 section 2.3.1).
    Secret,
    /// A public key, whose private half signs (RFC 7523 section 2.2).
    Key,
    /// A certificate, by what is to be found in it.
    Certificate,
}

impl CredentialKind {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            CredentialKind::Token => "token",
            CredentialKind::Secret => "secret",
            CredentialKind::Key => "key",
            CredentialKind::Certificate => "certificate",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [CredentialKind::Token, CredentialKind::Secret, CredentialKind::Key, CredentialKind::Certificate]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// One way for a client to prove itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Identifier, part of the token.
    pub id: Uuid,
    /// The client resource it belongs to.
    pub client: ResourceId,
    /// What it is.
    pub kind: CredentialKind,
    /// SHA-256 of the token or secret; of a key its thumbprint (RFC 7638); of a certificate that of its rule.
    pub digest: Vec<u8>,
    /// What people call it.
    pub label: Option<String>,
    /// What is public of it: a key as JWK (RFC 7517), a certificate's rule as JSON.
    pub material: Option<String>,
    /// µs since 1970.
    pub created_at: i64,
    /// µs since 1970; `None`: in force since it was made.
    pub starts_at: Option<i64>,
    /// µs since 1970; `None`: does not expire.
    pub expires_at: Option<i64>,
    /// µs since 1970; `None`: in force.
    pub revoked_at: Option<i64>,
    /// When it was last shown, in µs since 1970, as far as that has been written down.
    pub last_used_at: Option<i64>,
}

impl Credential {
    /// Whether it is in force at that moment.
    pub fn holds(&self, now: i64) -> bool {
        self.revoked_at.is_none()
            && self.starts_at.is_none_or(|start| start <= now)
            && self.expires_at.is_none_or(|end| now < end)
    }
}

type Instant = Nullable<BigInt>;
type Row = (
    (Vec<u8>, Vec<u8>, String, Vec<u8>, Option<String>, Option<String>),
    (i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>),
);
type Types =
    ((Binary, Binary, Text, Binary, Nullable<Text>, Nullable<Text>), (BigInt, Instant, Instant, Instant, Instant));

const SELECT: &str = "SELECT credential_id, client_id, kind, digest, label, material, created_at, starts_at, \
     expires_at, revoked_at, last_used_at FROM credential WHERE tenant_id = ";

fn from_row((of, dates): Row) -> Result<Credential, Error> {
    let (id, client, kind, digest, label, material) = of;
    let (created_at, starts_at, expires_at, revoked_at, last_used_at) = dates;
    let known = CredentialKind::parse(&kind);
    Ok(Credential {
        id: resource_id(&id)?.0,
        client: resource_id(&client)?,
        kind: known.ok_or_else(|| Error::Corrupt(format!("a credential of the kind {kind}")))?,
        digest,
        label,
        material,
        created_at,
        starts_at,
        expires_at,
        revoked_at,
        last_used_at,
    })
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

/// Credentials in the order of their ids, from behind one of them on.
pub(crate) fn slice(db: &mut Db, tenant: TenantId, after: &[u8], most: i64) -> Result<Vec<Credential>, Error> {
    let rows = Statement::<Types>::new(SELECT)
        .bind(tenant)
        .sql(" AND credential_id > ")
        .bind(after.to_vec())
        .sql(" ORDER BY credential_id LIMIT ")
        .bind(most)
        .load::<Row>(db)?;
    rows.into_iter().map(from_row).collect()
}

/// Writes down when credentials were last used, in µs since 1970; one that says so already of a later moment is left.
pub(crate) fn touch(db: &mut Db, tenant: TenantId, used: impl IntoIterator<Item = (Uuid, i64)>) -> Result<(), Error> {
    for (id, at) in used {
        Statement::<()>::new("UPDATE credential SET last_used_at = ")
            .bind(at)
            .sql(" WHERE tenant_id = ")
            .bind(tenant)
            .sql(" AND credential_id = ")
            .bind(id.as_bytes().to_vec())
            .sql(" AND (last_used_at IS NULL OR last_used_at < ")
            .bind(at)
            .sql(")")
            .run(db)?;
    }
    Ok(())
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
                credential.kind.as_str().to_owned().into(),
                credential.digest.into(),
                credential.label.into(),
                credential.material.into(),
                credential.created_at.into(),
                credential.starts_at.into(),
                credential.expires_at.into(),
                credential.revoked_at.into(),
                credential.last_used_at.into(),
            ]
        })
        .collect();
    insert(
        db,
        "INSERT INTO credential (tenant_id, credential_id, client_id, kind, digest, label, material, created_at, \
         starts_at, expires_at, revoked_at, last_used_at)",
        rows,
        "ON CONFLICT (tenant_id, credential_id) DO UPDATE SET label = excluded.label, starts_at = excluded.starts_at, \
         expires_at = excluded.expires_at, revoked_at = excluded.revoked_at",
    )?;
    Ok(())
}
