//! Reading a tenant in. The one case in which rows are written past the directory: they were decided by another one. Until
//! the last line is stored the tenant is in the state `importing` and serves nobody; each slice is one transaction that
//! notes how far the file has come, so that what breaks off can go on.

use std::io::{BufRead, Seek};
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};

use super::survey::{Survey, fault, parse, survey};
use super::{ChangeLine, ErasureLine, Header, Hex, Line, SealingKeyLine, TombstoneLine, TransferError};
use crate::by::By;
use crate::catalog::{self, Catalog};
use crate::change::{Change, Kept, Op};
use crate::check::{Watch, living};
use crate::clock::Clock;
use crate::credential::Credential;
use crate::db::{Db, Purpose};
use crate::feed::{FeedKey, FeedRecord};
use crate::index::{self, IndexRow, Indexes};
use crate::secret::SealingKey;
use crate::statement::{Statement, Value, insert};
use crate::store::Store;
use crate::unique::UniqueKey;
use crate::work::document_of;
use crate::{
    Buried, Due, Erasure, Error, Grant, Record, ResourceId, Tenant, TenantId, Tombstone, change, credential, dialect,
    due, erasure, feed, grant, record, secret, tenant, tombstone, unique,
};

/// Lines written in one transaction.
const SLICE: usize = 500;
/// Bytes of lines that end a slice early.
const WEIGHT: usize = 4 << 20;

/// What became of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The tenant as it is now.
    pub tenant: Tenant,
    /// Its number where it came from. With another number its clients' tokens are no longer good.
    pub number_before: i64,
    /// Lines between the header and the trailer.
    pub lines: u64,
    /// Lines that were stored now: fewer when an import went on, none when the file was there already.
    pub stored: u64,
    /// Resources.
    pub resources: u64,
}

impl Store {
    /// Reads a file into the tenant of that short name, which is made if there is none and must be empty otherwise. The
    /// same file again does nothing; one whose import broke off goes on with `resume`.
    pub fn import<R: BufRead + Seek>(
        &self,
        slug: &str,
        file: &mut R,
        resume: bool,
        now: i64,
        watch: &mut Watch<'_>,
    ) -> Result<Imported, TransferError> {
        let survey = survey(file, watch)?;
        let mut db = Db::open(self.address(), Purpose::Write).map_err(|error| Error::Unavailable(error.to_string()))?;
        let (tenant, done) = transaction(&mut db, |db| arrive(db, slug, &survey, resume, now))?;
        let Header { tenant: number_before, lines, .. } = survey.header;
        let resources = survey.header.living.values().sum::<i64>().unsigned_abs();
        let stored = match done {
            None => 0,
            Some(done) => {
                file.rewind()?;
                let registry = self.registry().clone();
                let import = Import {
                    db: &mut db,
                    tenant: tenant.id,
                    registry,
                    header: survey.header,
                    done,
                    at: 0,
                    indexes: None,
                    slice: Slice::default(),
                    seq: 0,
                    chains: (Vec::new(), Vec::new()),
                };
                import.run(file, now, watch)?
            }
        };
        let tenant = tenant::by_id(&mut db, tenant.id)?.ok_or(Error::NotFound)?;
        Ok(Imported { tenant, number_before, lines, stored, resources })
    }
}

fn transaction<T>(db: &mut Db, body: impl FnOnce(&mut Db) -> Result<T, TransferError>) -> Result<T, TransferError> {
    dialect::begin_write(db).map_err(Error::from)?;
    let outcome = body(db).and_then(|value| {
        dialect::commit(db).map_err(Error::from)?;
        Ok(value)
    });
    if outcome.is_err() {
        dialect::rollback(db);
    }
    outcome
}

/// Finds or makes the tenant and takes possession of it. The lines that are stored already; `None`: all are.
fn arrive(
    db: &mut Db,
    slug: &str,
    survey: &Survey,
    resume: bool,
    now: i64,
) -> Result<(Tenant, Option<u64>), TransferError> {
    let header = &survey.header;
    let Some(found) = tenant::by_slug(db, slug)? else {
        let made = tenant::lay_bare(db, slug, &header.name, Some(TenantId(header.tenant)), header.created_at)?;
        begin(db, made.id, survey, now)?;
        return Ok((made, Some(0)));
    };
    let clock = Clock::lock(db, found.id)?;
    let state = Statement::<(Binary, BigInt, Nullable<BigInt>)>::new(
        "SELECT source, lines, done_at FROM import_state WHERE tenant_id = ",
    )
    .bind(found.id)
    .get_result::<(Vec<u8>, i64, Option<i64>)>(db)
    .optional()
    .map_err(Error::from)?;
    match state {
        Some((source, _, Some(_))) if source == survey.source => Ok((found, None)),
        Some((source, lines, None)) => match source == survey.source {
            true if resume => Ok((found, Some(lines.unsigned_abs()))),
            true => Err(TransferError::Unfinished(lines.unsigned_abs() + 1)),
            false => Err(TransferError::Other),
        },
        _ if clock.seq > 0 || !living(db, found.id)?.is_empty() => Err(TransferError::NotEmpty(slug.to_owned())),
        _ => {
            // What the tenant starts with gives way; who has read it is to see that it has.
            for table in ["attr_path", "seal_key", "sealing_key", "import_state"] {
                let gone = Statement::<()>::new("DELETE FROM ").sql(table).sql(" WHERE tenant_id = ").bind(found.id);
                gone.run(db).map_err(Error::from)?;
            }
            // A server that has read them looks again.
            Clock { catalog: clock.catalog + 1, ..clock }.store(db, found.id)?;
            begin(db, found.id, survey, now)?;
            Ok((found, Some(0)))
        }
    }
}

fn begin(db: &mut Db, tenant: TenantId, survey: &Survey, now: i64) -> Result<(), Error> {
    tenant::set_state(db, tenant, tenant::IMPORTING, now.max(survey.header.epoch.saturating_add(1)))?;
    let row = vec![tenant.into(), survey.source.clone().into(), 0.into()];
    insert(db, "INSERT INTO import_state (tenant_id, source, lines)", vec![row], "")?;
    Ok(())
}

struct Import<'i> {
    db: &'i mut Db,
    tenant: TenantId,
    registry: Arc<scim::schema::Registry>,
    header: Header,
    /// Lines after the header that are stored already.
    done: u64,
    /// Lines after the header that were read.
    at: u64,
    indexes: Option<Arc<Indexes>>,
    slice: Slice,
    /// The newest change so far.
    seq: i64,
    /// Heads of the chain as it was, and as it is here: the tenant's number is in every link.
    chains: (Vec<u8>, Vec<u8>),
}

/// What is written next.
#[derive(Default)]
struct Slice {
    lines: usize,
    weight: usize,
    seal_keys: Vec<Vec<Value>>,
    sealing_keys: Vec<((String, i64), Option<SealingKey>)>,
    paths: Vec<Vec<Value>>,
    records: Vec<Record>,
    index: Vec<(ResourceId, IndexRow)>,
    unique: Vec<(UniqueKey, ResourceId)>,
    externals: Vec<Vec<Value>>,
    memberships: Vec<Vec<Value>>,
    credentials: Vec<Credential>,
    due: Vec<(ResourceId, Option<Due>)>,
    grants: Vec<Grant>,
    tombstones: Vec<(Buried, Tombstone)>,
    erasures: Vec<(ResourceId, Erasure)>,
    feeds: Vec<(FeedKey, FeedRecord)>,
    changes: Vec<(Kept, Vec<u8>)>,
}

impl Import<'_> {
    fn run(mut self, file: &mut impl BufRead, now: i64, watch: &mut Watch<'_>) -> Result<u64, TransferError> {
        let before = self.done;
        let mut text = Vec::new();
        file.read_until(b'\n', &mut text)?;
        while self.at < self.header.lines {
            text.clear();
            file.read_until(b'\n', &mut text)?;
            self.at += 1;
            self.take(&text)?;
            if self.slice.lines >= SLICE || self.slice.weight >= WEIGHT {
                self.flush()?;
                (watch)("Importing", self.at, self.header.lines);
            }
        }
        self.flush()?;
        self.finish(now)?;
        (watch)("Importing", self.at, self.header.lines);
        Ok(self.header.lines - before)
    }

    fn fault(&self, what: impl Into<String>) -> TransferError {
        fault(self.at + 1, what)
    }

    fn take(&mut self, text: &[u8]) -> Result<(), TransferError> {
        let is_stored = self.at <= self.done;
        // The chain is followed from its first link, also through what is stored already.
        if is_stored && !text.starts_with(b"{\"change\":") {
            return Ok(());
        }
        let tenant = self.tenant;
        match parse(self.at + 1, text)? {
            Line::SealKey(line) => {
                let row = vec![tenant.into(), line.purpose.into(), line.key.0.into(), line.created_at.into()];
                self.slice.seal_keys.push(row);
            }
            Line::SealingKey(line) => {
                let SealingKeyLine { purpose, id, master, sealed: Hex(sealed), created_at } = line;
                let key = SealingKey { purpose: purpose.clone(), id, master, sealed, created_at };
                self.slice.sealing_keys.push(((purpose, id), Some(key)));
            }
            Line::Index(line) => {
                let row = vec![
                    tenant.into(),
                    line.id.into(),
                    line.kind.into(),
                    line.path.into(),
                    line.mode.into(),
                    "ready".into(),
                ];
                self.slice.paths.push(row);
            }
            Line::Resource(line) => {
                let record = Record {
                    id: ResourceId(line.id),
                    kind: line.kind,
                    version: line.version,
                    seq: line.seq,
                    groups_seq: line.groups_seq,
                    created_at: line.created_at,
                    modified_at: line.modified_at,
                    label: line.label,
                    doc: Arc::new(line.doc.get().to_owned()),
                    secret: line.secret.map(|secret| secret.0),
                };
                self.take_record(record)?;
            }
            Line::External(line) => {
                let (domain, resource) = (ResourceId(line.domain), ResourceId(line.resource));
                let row = vec![tenant.into(), domain.into(), line.kind.into(), line.value.into(), resource.into()];
                self.slice.externals.push(row);
            }
            Line::Membership(line) => {
                let (group, member) = (ResourceId(line.group), ResourceId(line.member));
                let row = vec![tenant.into(), group.into(), member.into(), line.kind.into(), line.since.into()];
                self.slice.memberships.push(row);
            }
            Line::Credential(line) => {
                let credential = line.credential();
                let credential = credential.ok_or_else(|| self.fault("a credential of an unknown kind"))?;
                self.slice.credentials.push(credential);
            }
            Line::Due(line) => self.slice.due.push((ResourceId(line.resource), Some(Due::at(line.at)))),
            Line::Grant(line) => self.slice.grants.push(line.into()),
            Line::Tombstone(TombstoneLine { namespace, value, resource, at, until }) => {
                let stone = Tombstone { resource: ResourceId(resource), at, until };
                self.slice.tombstones.push(((namespace, value), stone));
            }
            Line::Erasure(ErasureLine { resource, kind, at, runs, done }) => {
                let erasure = Erasure { kind, at, runs_at: runs, done_at: done };
                self.slice.erasures.push((ResourceId(resource), erasure));
            }
            Line::FeedRecord(line) => self.slice.feeds.push(line.into()),
            Line::Change(line) => self.take_change(line, is_stored)?,
            Line::Export(_) | Line::End(_) => return Err(self.fault("not a line for this place")),
        }
        if !is_stored {
            self.slice.lines += 1;
            self.slice.weight += text.len();
        }
        Ok(())
    }

    fn take_record(&mut self, record: Record) -> Result<(), TransferError> {
        let indexes = if catalog::KINDS.contains(&record.kind.as_str()) {
            Arc::new(Indexes::of_catalog(&self.registry))
        } else {
            self.indexes()?
        };
        let rows_of = indexes.of(&record.kind).map_err(|error| self.fault(error.to_string()))?;
        let document = document_of(&record)?;
        let id = record.id;
        self.slice.index.extend(rows_of.rows(&document).into_iter().map(|row| (id, row)));
        let keys = rows_of.unique_keys(&record.kind, &document).into_iter().map(|(key, _)| (key, id));
        self.slice.unique.extend(keys);
        self.slice.records.push(record);
        Ok(())
    }

    /// The tenant's indexes, which are known once its own schemas are stored.
    fn indexes(&mut self) -> Result<Arc<Indexes>, TransferError> {
        if let Some(indexes) = &self.indexes {
            return Ok(indexes.clone());
        }
        // The line that is being read is not in the slice yet.
        self.at -= 1;
        let flushed = self.flush();
        self.at += 1;
        flushed?;
        let version = self.header.catalog_version;
        let indexes = Catalog::load(self.db, self.tenant, version, &self.registry)?.indexes.clone();
        self.indexes = Some(indexes.clone());
        Ok(indexes)
    }

    fn take_change(&mut self, line: ChangeLine, is_stored: bool) -> Result<(), TransferError> {
        if line.seq != self.seq + 1 {
            return Err(self.fault(format!("change {} follows change {}", line.seq, self.seq)));
        }
        let op = Op::parse(&line.op).ok_or_else(|| self.fault("an unknown operation"))?;
        let change = Change {
            seq: line.seq,
            resource: ResourceId(line.resource),
            kind: line.kind,
            op,
            version: line.version,
            at: line.at,
            actor: ResourceId(line.actor),
            txn: line.txn,
            cause: line.cause,
            by: By { credential: line.credential, address: line.address, request: line.request.map(Into::into) },
            doc: line.doc.map(|doc| Arc::new(doc.get().to_owned())),
            external: None,
            members: Vec::new(),
        };
        let kept = Kept {
            change,
            external: line.external,
            salt: line.salt.map(|salt| salt.0),
            commitment: line.commitment.0,
            chunks: line.members.into_iter().map(|chunk| chunk.0).collect(),
        };
        if !kept.is_whole()? {
            return Err(self.fault("the content of the change is not what was committed to"));
        }
        self.seq = kept.change.seq;
        self.chains.0 = kept.link(TenantId(self.header.tenant), &self.chains.0);
        self.chains.1 = kept.link(self.tenant, &self.chains.1);
        if !is_stored {
            self.slice.changes.push((kept, self.chains.1.clone()));
        }
        Ok(())
    }

    /// Stores the slice, and that it is stored.
    fn flush(&mut self) -> Result<(), TransferError> {
        let slice = std::mem::take(&mut self.slice);
        if slice.lines == 0 {
            return Ok(());
        }
        let (tenant, done, at) = (self.tenant, self.done, self.at);
        transaction(self.db, |db| {
            still_ours(db, tenant, done)?;
            let stored: Result<(), Error> = (|| {
                insert(db, "INSERT INTO seal_key (tenant_id, purpose, key, created_at)", slice.seal_keys, "")?;
                secret::store_keys(db, tenant, slice.sealing_keys)?;
                insert(db, "INSERT INTO attr_path (tenant_id, path_id, kind, path, type, state)", slice.paths, "")?;
                record::insert(db, tenant, slice.records)?;
                index::add_rows(db, tenant, slice.index)?;
                unique::add(db, tenant, slice.unique)?;
                let head = "INSERT INTO external_id (tenant_id, domain_id, kind, value, resource_id)";
                insert(db, head, slice.externals, "")?;
                let head = "INSERT INTO membership (tenant_id, group_id, member_id, member_kind, since_seq)";
                insert(db, head, slice.memberships, "")?;
                credential::upsert(db, tenant, slice.credentials)?;
                due::store(db, tenant, slice.due)?;
                grant::store(db, tenant, slice.grants)?;
                tombstone::store(db, tenant, slice.tombstones)?;
                erasure::store(db, tenant, slice.erasures)?;
                feed::store(db, tenant, slice.feeds)?;
                change::keep(db, tenant, slice.changes)
            })();
            stored?;
            note(db, tenant, at, None)?;
            Ok(())
        })?;
        self.done = self.at;
        Ok(())
    }

    /// The last step: what was stored is what the header said, and is the tenant's register from now on.
    fn finish(&mut self, now: i64) -> Result<(), TransferError> {
        let header = &self.header;
        if self.seq != header.seq || self.chains.0 != header.head.0 {
            return Err(fault(self.at + 2, "the chain of changes does not end where the header says"));
        }
        let (tenant, done) = (self.tenant, self.done);
        let mut clock = Clock {
            seq: header.seq,
            last_at: header.last_at,
            nesting_seq: header.nesting_seq,
            counts: header.living.clone(),
            catalog: header.catalog_version,
            book_seq: header.seq,
            digest: self.chains.1.clone(),
        };
        let state = if header.state == tenant::SUSPENDED { tenant::SUSPENDED } else { tenant::ACTIVE };
        let line = self.at + 2;
        transaction(self.db, |db| {
            let found = still_ours(db, tenant, done)?;
            if living(db, tenant)? != clock.counts {
                return Err(fault(line, "the file has other resources than its header says"));
            }
            clock.catalog = clock.catalog.max(found);
            clock.store(db, tenant)?;
            let epoch = tenant::by_id(db, tenant)?.ok_or(Error::NotFound)?.epoch;
            tenant::set_state(db, tenant, state, epoch)?;
            note(db, tenant, done, Some(now))?;
            Ok(())
        })
    }
}

/// Nobody else has written to the tenant; the version of its catalog.
fn still_ours(db: &mut Db, tenant: TenantId, done: u64) -> Result<i64, TransferError> {
    let clock = Clock::lock(db, tenant)?;
    let lines = Statement::<BigInt>::new("SELECT lines FROM import_state WHERE done_at IS NULL AND tenant_id = ")
        .bind(tenant)
        .get_result::<i64>(db)
        .optional()
        .map_err(Error::from)?;
    if clock.seq != 0 || lines.map(i64::unsigned_abs) != Some(done) {
        let what = "something else has written to the tenant while it was being imported";
        return Err(Error::Unavailable(what.into()).into());
    }
    Ok(clock.catalog)
}

fn note(db: &mut Db, tenant: TenantId, lines: u64, done_at: Option<i64>) -> Result<(), Error> {
    Statement::<()>::new("UPDATE import_state SET lines = ")
        .bind(i64::try_from(lines).unwrap_or(i64::MAX))
        .sql(", done_at = ")
        .bind(done_at)
        .sql(" WHERE tenant_id = ")
        .bind(tenant)
        .run(db)?;
    Ok(())
}
