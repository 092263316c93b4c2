//! The keys that sign access tokens: one set for the server and all its nodes, whatever the tenant. What a key is lies with
//! whoever signs; here is when it may be used. A key is published before it signs and kept until what it signed is over.

use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::db::Db;
use crate::statement::{Statement, insert};
use crate::{Error, dialect};

/// A key as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// `kid` of the tokens it signs.
    pub id: String,
    /// The algorithm it signs with.
    pub algorithm: String,
    /// Its public half as JWK.
    pub public: String,
    /// Its private half, sealed by whoever made it.
    pub private: Vec<u8>,
    /// µs since 1970.
    pub created_at: i64,
    /// When it begins to sign, µs since 1970; until then it is only published.
    pub signs_from: i64,
    /// When it means nothing any more, µs since 1970; `None`: that is not known yet.
    pub ends_at: Option<i64>,
}

/// Shows nothing of the private half.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, {}, …)", self.id, self.algorithm)
    }
}

type Row = (String, String, String, Vec<u8>, i64, i64, Option<i64>);
type Types = (Text, Text, Text, Binary, BigInt, BigInt, Nullable<BigInt>);

/// Every key, the oldest first.
pub(crate) fn all(db: &mut Db) -> Result<Vec<SigningKey>, Error> {
    let rows = Statement::<Types>::new(
        "SELECT key_id, algorithm, public, private, created_at, signs_from, ends_at FROM signing_key \
         ORDER BY signs_from, key_id",
    )
    .load::<Row>(db)?;
    let key = |(id, algorithm, public, private, created_at, signs_from, ends_at): Row| SigningKey {
        id,
        algorithm,
        public,
        private,
        created_at,
        signs_from,
        ends_at,
    };
    Ok(rows.into_iter().map(key).collect())
}

/// Adds a key. With `others_end`, all others end then at the latest, and those that have ended by now are removed; without,
/// nothing is added when there is a key of the algorithm that has no end: another node was faster.
pub(crate) fn add(db: &mut Db, key: &SigningKey, others_end: Option<i64>) -> Result<(), Error> {
    dialect::begin_write(db)?;
    match lay(db, key, others_end) {
        Ok(()) => Ok(dialect::commit(db)?),
        Err(error) => {
            dialect::rollback(db);
            Err(error)
        }
    }
}

/// Stores the private half of a key as it is sealed now, if it is still as it was read.
pub(crate) fn reseal(db: &mut Db, id: &str, before: &[u8], after: Vec<u8>) -> Result<(), Error> {
    Statement::<()>::new("UPDATE signing_key SET private = ")
        .bind(after)
        .sql(" WHERE key_id = ")
        .bind(id)
        .sql(" AND private = ")
        .bind(before.to_vec())
        .run(db)?;
    Ok(())
}

fn lay(db: &mut Db, key: &SigningKey, others_end: Option<i64>) -> Result<(), Error> {
    dialect::lock_tenants(db)?;
    match others_end {
        None => {
            let lasts = |other: &SigningKey| other.algorithm == key.algorithm && other.ends_at.is_none();
            if all(db)?.iter().any(lasts) {
                return Ok(());
            }
        }
        Some(end) => {
            Statement::<()>::new("UPDATE signing_key SET ends_at = ")
                .bind(end)
                .sql(" WHERE ends_at IS NULL OR ends_at > ")
                .bind(end)
                .run(db)?;
            Statement::<()>::new("DELETE FROM signing_key WHERE ends_at <= ").bind(key.created_at).run(db)?;
        }
    }
    let row = vec![
        key.id.as_str().into(),
        key.algorithm.as_str().into(),
        key.public.as_str().into(),
        key.private.clone().into(),
        key.created_at.into(),
        key.signs_from.into(),
        key.ends_at.into(),
    ];
    insert(
        db,
        "INSERT INTO signing_key (key_id, algorithm, public, private, created_at, signs_from, ends_at)",
        vec![row],
        "",
    )?;
    Ok(())
}
