//! The clock row of a tenant: the last change number, the last instant, and how many resources of each kind live.
//! Whoever holds its lock is the tenant's only writer, so every decision made under it stands until the commit.

use std::collections::BTreeMap;

use diesel::sql_types::{BigInt, Binary, Text};

use crate::db::Db;
use crate::statement::Statement;
use crate::{Error, Seq, TenantId, dialect};

/// A tenant's clock as read under its lock, advanced by the changes of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Number of the newest change; 0 before the first.
    pub(crate) seq: Seq,
    /// Instant of the newest change, µs.
    pub(crate) last_at: i64,
    /// Number of the newest change of nesting or of a group's name.
    pub(crate) nesting_seq: Seq,
    /// Living resources by kind.
    pub(crate) counts: BTreeMap<String, i64>,
    /// Version of the tenant's schemas, resource types and indexes.
    pub(crate) catalog: i64,
    /// Number of the newest change of a policy, a rule or what they go by.
    pub(crate) book_seq: Seq,
    /// Digest of the newest change: the head of the chain.
    pub(crate) digest: Vec<u8>,
}

type Row = (i64, i64, i64, String, i64, i64, Vec<u8>);

impl Clock {
    /// Reads the clock and locks it until the transaction ends.
    pub(crate) fn lock(db: &mut Db, tenant: TenantId) -> Result<Self, Error> {
        let lock = dialect::lock_clause(db);
        Self::load(db, tenant, lock)
    }

    /// Reads the clock.
    pub(crate) fn read(db: &mut Db, tenant: TenantId) -> Result<Self, Error> {
        Self::load(db, tenant, "")
    }

    /// Reads the clock, which stands at its beginning where a tenant was erased and has none.
    pub(crate) fn read_or_begin(db: &mut Db, tenant: TenantId) -> Result<Self, Error> {
        match Self::read(db, tenant) {
            Err(Error::NotFound) => Ok(Clock::default()),
            clock => clock,
        }
    }

    fn load(db: &mut Db, tenant: TenantId, lock: &'static str) -> Result<Self, Error> {
        let found = Statement::<(
            BigInt,
            BigInt,
            BigInt,
            Text,
            BigInt,
            BigInt,
            Binary,
        )>::new(
            "SELECT seq, last_at, nesting_seq, counts, catalog_version, book_seq, digest FROM tenant_clock WHERE tenant_id = ",
        )
        .bind(tenant)
        .sql(lock);
        let found = match lock.is_empty() {
            true => found.fixed::<Read>().get_result::<Row>(db),
            false => found.fixed::<Lock>().get_result::<Row>(db),
        };
        let (seq, last_at, nesting_seq, counts, catalog, book_seq, digest) = found?;
        let counts = serde_json::from_str(&counts).map_err(|error| Error::Corrupt(error.to_string()))?;
        Ok(Clock { seq, last_at, nesting_seq, counts, catalog, book_seq, digest })
    }

    /// Draws the next number and its instant, which is later than every instant before it.
    pub(crate) fn tick(&mut self, now: i64) -> (Seq, i64) {
        self.seq += 1;
        self.last_at = now.max(self.last_at + 1);
        (self.seq, self.last_at)
    }

    /// Becomes equal to another one of the same tenant, whose kinds are mostly the same, without making it anew.
    pub(crate) fn follow(&mut self, other: &Clock) {
        let Clock { seq, last_at, nesting_seq, counts, catalog, book_seq, digest } = other;
        if self.counts.keys().eq(counts.keys()) {
            self.counts.values_mut().zip(counts.values()).for_each(|(own, count)| *own = *count);
        } else {
            self.counts.clone_from(counts);
        }
        self.digest.clone_from(digest);
        (self.seq, self.last_at, self.nesting_seq) = (*seq, *last_at, *nesting_seq);
        (self.catalog, self.book_seq) = (*catalog, *book_seq);
    }

    /// Counts a resource in (`1`) or out (`-1`).
    pub(crate) fn count(&mut self, kind: &str, by: i64) {
        match self.counts.get_mut(kind) {
            Some(count) => *count += by,
            None => drop(self.counts.insert(kind.to_owned(), by)),
        }
    }

    /// Stores what the batch made of the clock.
    pub(crate) fn store(&self, db: &mut Db, tenant: TenantId) -> Result<(), Error> {
        let counts = serde_json::to_string(&self.counts).map_err(|error| Error::Corrupt(error.to_string()))?;
        Statement::<()>::new("UPDATE tenant_clock SET seq = ")
            .bind(self.seq)
            .sql(", last_at = ")
            .bind(self.last_at)
            .sql(", nesting_seq = ")
            .bind(self.nesting_seq)
            .sql(", counts = ")
            .bind(counts)
            .sql(", catalog_version = ")
            .bind(self.catalog)
            .sql(", book_seq = ")
            .bind(self.book_seq)
            .sql(", digest = ")
            .bind(self.digest.clone())
            .sql(" WHERE tenant_id = ")
            .bind(tenant)
            .fixed::<Store>()
            .run(db)?;
        Ok(())
    }
}

/// The statements that read the clock, read and lock it, and store it.
struct Read;
struct Lock;
struct Store;
