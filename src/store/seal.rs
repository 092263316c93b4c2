//! Keys for sealing what is handed out and must come back unchanged, such as cursors: one for each tenant and purpose,
//! made under the writer at its first use, so that all nodes and every restart have the same one.

use std::fmt;

use diesel::prelude::*;
use diesel::sql_types::Binary;

use crate::db::Db;
use crate::statement::{Statement, insert};
use crate::{Error, Random, TenantId};

/// 32 random bytes. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey(pub [u8; 32]);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl SealKey {
    /// A new key, always from the operating system: a repeatable stream is none for secrets.
    pub(crate) fn make() -> Result<Self, Error> {
        Ok(SealKey(Random::os().bytes()?))
    }
}

/// The key of a purpose, if it has been made.
pub(crate) fn find(db: &mut Db, tenant: TenantId, purpose: &str) -> Result<Option<SealKey>, Error> {
    let key = Statement::<Binary>::new("SELECT key FROM seal_key WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND purpose = ")
        .bind(purpose)
        .get_result::<Vec<u8>>(db)
        .optional()?;
    let whole = |key: Vec<u8>| <[u8; 32]>::try_from(key).map_err(|_| Error::Corrupt("a seal key is not whole".into()));
    Ok(key.map(whole).transpose()?.map(SealKey))
}

/// Writes keys that were made.
pub(crate) fn store(
    db: &mut Db,
    tenant: TenantId,
    keys: impl Iterator<Item = (&'static str, SealKey)>,
    now: i64,
) -> Result<(), Error> {
    let rows = keys.map(|(purpose, key)| vec![tenant.into(), purpose.into(), key.0.to_vec().into(), now.into()]);
    insert(db, "INSERT INTO seal_key (tenant_id, purpose, key, created_at)", rows.collect(), "")?;
    Ok(())
}
