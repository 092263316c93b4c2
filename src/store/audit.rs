//! What leaves no change and is remembered all the same: requests that were denied and acts of administration, in order
//! and chained, one chain a tenant. Written by the tenant's own writer in the batch that is due, so a record is durable when
//! its write is answered. What an entry tells is the directory's business and lies in its content, which can be erased.
//!
//! `digest = SHA-256(previous digest, header, commitment)` and `commitment = HMAC-SHA-256(salt, content)`, as with
//! changes; the header holds the number, the instant and the kind.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::check::Watch;
use crate::clock::Clock;
use crate::db::Db;
use crate::reader::Reader;
use crate::statement::{Statement, insert};
use crate::{Change, Error, Random, ResourceId, Seq, TenantId, change, trace};

/// Something to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// µs since 1970, as the caller's clock says.
    pub at: i64,
    /// What kind of entry it is: a word of the directory's.
    pub kind: &'static str,
    /// What it tells, JSON.
    pub content: String,
}

/// An entry as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// Number within the tenant, from 1 without a gap.
    pub n: i64,
    /// µs since 1970; never earlier than that of the entry before it.
    pub at: i64,
    /// What kind of entry it is.
    pub kind: String,
    /// What it tells, JSON; `None` when that was erased.
    pub content: Option<String>,
}

/// The end of a tenant's chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Head {
    n: i64,
    last_at: i64,
    digest: Vec<u8>,
}

/// Numbers from the first on and below the second, of changes and of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Of changes.
    pub changes: (Seq, Seq),
    /// Of entries.
    pub entries: (i64, i64),
}

/// What was found wrong with a tenant's chains, and how far they go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chains {
    /// Changes that were followed.
    pub changes: u64,
    /// Entries that were followed.
    pub entries: u64,
    /// What is wrong, for the operator.
    pub findings: Vec<String>,
}

/// Rows read at a time.
const SLICE: i64 = 256;

fn commit(salt: &[u8], content: &str) -> Result<Vec<u8>, Error> {
    let mut mac = Hmac::<Sha256>::new_from_slice(salt).map_err(|error| Error::Corrupt(format!("a salt: {error}")))?;
    mac.update(content.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

fn header(tenant: TenantId, n: i64, at: i64, kind: &str) -> Vec<u8> {
    let mut header = b"audit".to_vec();
    header.extend(tenant.0.to_be_bytes());
    header.extend(n.to_be_bytes());
    header.extend(at.to_be_bytes());
    header.extend(kind.as_bytes());
    header
}

fn head(db: &mut Db, tenant: TenantId) -> Result<Head, Error> {
    let found =
        Statement::<(BigInt, BigInt, Binary)>::new("SELECT n, last_at, digest FROM audit_head WHERE tenant_id = ")
            .bind(tenant)
            .get_result::<(i64, i64, Vec<u8>)>(db)
            .optional()?;
    Ok(found.map(|(n, last_at, digest)| Head { n, last_at, digest }).unwrap_or_default())
}

/// Writes entries at the end of the chain. The caller holds the tenant's lock.
pub(crate) fn append(db: &mut Db, tenant: TenantId, entries: Vec<Entry>, random: &Random) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut head = head(db, tenant)?;
    let mut rows = Vec::with_capacity(entries.len());
    for Entry { at, kind, content } in entries {
        let salt = random.salt()?;
        let commitment = commit(&salt, &content)?;
        head.n += 1;
        head.last_at = head.last_at.max(at);
        head.digest = change::link(&head.digest, &header(tenant, head.n, head.last_at, kind), &commitment);
        rows.push(vec![
            tenant.into(),
            head.n.into(),
            head.last_at.into(),
            kind.into(),
            Some(content).into(),
            Some(salt).into(),
            commitment.into(),
            head.digest.clone().into(),
        ]);
    }
    insert(db, "INSERT INTO audit (tenant_id, n, at, kind, content, salt, commitment, digest)", rows, "")?;
    insert(
        db,
        "INSERT INTO audit_head (tenant_id, n, last_at, digest)",
        vec![vec![tenant.into(), head.n.into(), head.last_at.into(), head.digest.into()]],
        "ON CONFLICT (tenant_id) DO UPDATE SET n = excluded.n, last_at = excluded.last_at, digest = excluded.digest",
    )?;
    Ok(())
}

type Row = (i64, i64, String, Option<String>);
type Types = (BigInt, BigInt, Text, Nullable<Text>);

/// The instant of the first entry from a number on; `None`: there is none.
fn instant_from(db: &mut Db, tenant: TenantId, n: i64) -> Result<Option<(i64, i64)>, Error> {
    Ok(Statement::<(BigInt, BigInt)>::new("SELECT n, at FROM audit WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND n >= ")
        .bind(n)
        .sql(" ORDER BY n LIMIT 1")
        .get_result::<(i64, i64)>(db)
        .optional()?)
}

/// The first number whose instant is `at` or later, between 1 and `end`: instants grow with the numbers, so it is found
/// in as many steps as `end` has binary digits.
fn first_at(
    end: i64,
    at: i64,
    mut instant_from: impl FnMut(i64) -> Result<Option<(i64, i64)>, Error>,
) -> Result<i64, Error> {
    let (mut low, mut high) = (1, end.max(1));
    while low < high {
        let middle = low + (high - low) / 2;
        match instant_from(middle)? {
            Some((n, instant)) if instant < at => low = n.max(middle) + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

impl Reader {
    /// All there is of a tenant's changes and entries.
    pub fn audit_span(&mut self, tenant: TenantId) -> Result<Span, Error> {
        let (seq, n) = (Clock::read_or_begin(&mut self.db, tenant)?.seq, head(&mut self.db, tenant)?.n);
        Ok(Span { changes: (1, seq + 1), entries: (1, n + 1) })
    }

    /// What of a span is not before `from` and is before `below`, µs since 1970.
    pub fn audit_between(
        &mut self,
        tenant: TenantId,
        span: Span,
        (from, below): (Option<i64>, Option<i64>),
    ) -> Result<Span, Error> {
        let Span { mut changes, mut entries } = span;
        let db = &mut self.db;
        if let Some(from) = from {
            let first = first_at(changes.1, from, |seq| trace::instant_from(db, tenant, seq))?;
            changes.0 = changes.0.max(first);
            let first = first_at(entries.1, from, |n| instant_from(db, tenant, n))?;
            entries.0 = entries.0.max(first);
        }
        if let Some(below) = below {
            let end = first_at(changes.1, below, |seq| trace::instant_from(db, tenant, seq))?;
            changes.1 = changes.1.min(end);
            let end = first_at(entries.1, below, |n| instant_from(db, tenant, n))?;
            entries.1 = entries.1.min(end);
        }
        Ok(Span { changes, entries })
    }

    /// Changes of a span without their content, the newest first, at most `limit`; of one resource, or of all.
    pub fn traces(
        &mut self,
        tenant: TenantId,
        span: (Seq, Seq),
        resource: Option<ResourceId>,
        limit: usize,
    ) -> Result<Vec<Change>, Error> {
        trace::traces(&mut self.db, tenant, span, resource, i64::try_from(limit).unwrap_or(i64::MAX))
    }

    /// Entries of a span, the newest first, at most `limit`.
    pub fn audited(&mut self, tenant: TenantId, span: (i64, i64), limit: usize) -> Result<Vec<Audited>, Error> {
        let rows = Statement::<Types>::new("SELECT n, at, kind, content FROM audit WHERE tenant_id = ")
            .bind(tenant)
            .sql(" AND n >= ")
            .bind(span.0)
            .sql(" AND n < ")
            .bind(span.1)
            .sql(" ORDER BY n DESC LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .load::<Row>(&mut self.db)?;
        Ok(rows.into_iter().map(|(n, at, kind, content)| Audited { n, at, kind, content }).collect())
    }

    /// Follows both chains of a tenant from their first links, within one snapshot.
    pub fn verify_chains(&mut self, tenant: TenantId, watch: &mut Watch<'_>) -> Result<Chains, Error> {
        self.snapshot(|reader| {
            let clock = Clock::read_or_begin(&mut reader.db, tenant)?;
            let (changes, findings) = follow_changes(&mut reader.db, tenant, &clock, watch)?;
            let mut chains = Chains { changes, entries: 0, findings };
            chains.findings.iter_mut().for_each(|finding| finding.insert_str(0, "change: "));
            let (entries, finding) = follow(&mut reader.db, tenant, watch)?;
            chains.entries = entries;
            chains.findings.extend(finding.map(|finding| format!("audit: {finding}")));
            Ok(chains)
        })
    }
}

/// Follows the chain of changes: how many there are, and what is wrong.
pub(crate) fn follow_changes(
    db: &mut Db,
    tenant: TenantId,
    clock: &Clock,
    watch: &mut Watch<'_>,
) -> Result<(u64, Vec<String>), Error> {
    let (mut seq, mut head, mut findings) = (0, Vec::new(), Vec::new());
    loop {
        match change::read(db, tenant, seq, Some(head.clone()), SLICE) {
            Ok(changes) => {
                let Some(last) = changes.last() else { break };
                if last.change.seq != seq + changes.len() as i64 {
                    findings.push(format!("a number is missing after {seq}"));
                }
                (seq, head) = (last.change.seq, last.digest.clone());
                watch("Chain of changes", seq.unsigned_abs(), clock.seq.unsigned_abs());
            }
            Err(Error::Corrupt(detail)) => {
                findings.push(detail);
                return Ok((seq.unsigned_abs(), findings));
            }
            Err(error) => return Err(error),
        }
    }
    if (seq, &head) != (clock.seq, &clock.digest) {
        findings.push(format!("ends at {seq}, and not where the clock stands, at {}", clock.seq));
    }
    Ok((seq.unsigned_abs(), findings))
}

/// Follows the chain of entries: how many there are, and what is wrong first.
pub(crate) fn follow(db: &mut Db, tenant: TenantId, watch: &mut Watch<'_>) -> Result<(u64, Option<String>), Error> {
    let head = head(db, tenant)?;
    let (mut n, mut digest, mut before) = (0, Vec::new(), i64::MIN);
    loop {
        let rows = Statement::<(BigInt, BigInt, Text, Nullable<Text>, Nullable<Binary>, Binary, Binary)>::new(
            "SELECT n, at, kind, content, salt, commitment, digest FROM audit WHERE tenant_id = ",
        )
        .bind(tenant)
        .sql(" AND n > ")
        .bind(n)
        .sql(" ORDER BY n LIMIT ")
        .bind(SLICE)
        .load::<(i64, i64, String, Option<String>, Option<Vec<u8>>, Vec<u8>, Vec<u8>)>(db)?;
        if rows.is_empty() {
            break;
        }
        for (number, at, kind, content, salt, commitment, stored) in rows {
            let wrong = |what: &str| Ok((n.unsigned_abs(), Some(format!("entry {number}: {what}"))));
            if number != n + 1 {
                return wrong("one before it is missing");
            }
            if at < before {
                return wrong("it is older than the one before it");
            }
            let is_whole = match (&salt, &content) {
                (Some(salt), Some(content)) => commit(salt, content)? == commitment,
                (None, content) => content.is_none(),
                (Some(_), None) => false,
            };
            if !is_whole {
                return wrong("the content is not what was committed to");
            }
            digest = change::link(&digest, &header(tenant, number, at, &kind), &commitment);
            if digest != stored {
                return wrong("the chain is broken here");
            }
            (n, before) = (number, at);
        }
        watch("Chain of the audit", n.unsigned_abs(), head.n.unsigned_abs());
    }
    let ends = (n, &digest) == (head.n, &head.digest);
    Ok((n.unsigned_abs(), (!ends).then(|| format!("ends at {n}, and not where its head stands, at {}", head.n))))
}
