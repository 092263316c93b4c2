//! Writing a tenant out: one snapshot, every table in the order of its key, a slice at a time.

use std::io::Write;

use diesel::sql_types::{BigInt, Binary, Text};
use sha2::{Digest, Sha256};

use super::{
    ChangeLine, DueLine, ErasureLine, ExternalLine, FORMAT, Header, Hex, IndexLine, Line, MembershipLine, ResourceLine,
    SealKeyLine, SealingKeyLine, TombstoneLine, Trailer, TransferError, raw,
};
use crate::by::By;
use crate::change::Kept;
use crate::check::{Watch, living};
use crate::clock::Clock;
use crate::reader::Reader;
use crate::record::resource_id;
use crate::secret::SealingKey;
use crate::statement::Statement;
use crate::{
    Erasure, Error, Record, TenantId, Tombstone, catalog, change, credential, dialect, due, erasure, grant, record,
    secret, tenant, tombstone,
};

/// Rows read at a time.
pub(super) const SLICE: i64 = 500;
/// Changes read at a time: one may be of a hundred thousand members.
const CHANGES: i64 = 64;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Lines between the header and the trailer.
    pub lines: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// Resources.
    pub resources: u64,
    /// Requests that were accepted and not carried out: they do not go along.
    pub waiting: u64,
}

impl Reader {
    /// Writes a tenant as it stands at one moment. `history`: changes go with what they changed, else as links of the
    /// chain alone.
    pub fn export(
        &mut self,
        tenant: TenantId,
        history: bool,
        to: &mut dyn Write,
        watch: &mut Watch<'_>,
    ) -> Result<Exported, TransferError> {
        self.snapshot(|reader| {
            dialect::take_time(&mut reader.db).map_err(Error::from)?;
            let export = Export { reader, tenant, to, watch, digest: Sha256::new(), bytes: 0, lines: 0, total: 0 };
            export.run(history)
        })
    }
}

pub(super) struct Export<'e, 'w> {
    pub(super) reader: &'e mut Reader,
    pub(super) tenant: TenantId,
    to: &'e mut dyn Write,
    watch: &'e mut Watch<'w>,
    digest: Sha256,
    bytes: u64,
    lines: u64,
    total: u64,
}

impl Export<'_, '_> {
    fn run(mut self, history: bool) -> Result<Exported, TransferError> {
        let header = self.header(history)?;
        let resources = header.living.values().sum::<i64>().unsigned_abs();
        self.total = header.lines;
        let kinds = header.living.keys().cloned();
        // The tenant's own schemas first, then what they are needed for.
        let (own, others): (Vec<_>, Vec<_>) = kinds.partition(|kind| catalog::KINDS.contains(&kind.as_str()));
        let own = catalog::KINDS.into_iter().map(str::to_owned).filter(|kind| own.contains(kind));
        let kinds: Vec<String> = own.chain(others).collect();
        self.line(&Line::Export(header))?;
        self.lines = 0;
        self.seal_keys()?;
        self.indexes()?;
        for kind in kinds {
            self.resources(&kind)?;
        }
        self.externals()?;
        self.memberships()?;
        self.credentials()?;
        self.provisions()?;
        self.feeds()?;
        self.changes(history)?;
        let (lines, digest) = (self.lines, self.digest.clone().finalize().to_vec());
        self.line(&Line::End(Trailer { lines, sha256: Hex(digest) }))?;
        self.to.flush()?;
        let waiting = self.number("SELECT COUNT(*) FROM deferred WHERE expires_at IS NULL AND tenant_id = ")?;
        Ok(Exported { lines, bytes: self.bytes, resources, waiting })
    }

    pub(super) fn line(&mut self, line: &Line) -> Result<(), TransferError> {
        let mut text = serde_json::to_vec(line).map_err(|error| Error::Corrupt(error.to_string()))?;
        text.push(b'\n');
        self.to.write_all(&text)?;
        self.digest.update(&text);
        self.bytes += text.len() as u64;
        self.lines += 1;
        if self.lines.is_multiple_of(256) {
            (self.watch)("Exporting", self.lines, self.total);
        }
        Ok(())
    }

    fn number(&mut self, sql: &'static str) -> Result<u64, Error> {
        Ok(Statement::<BigInt>::new(sql).bind(self.tenant).get_result::<i64>(&mut self.reader.db)?.unsigned_abs())
    }

    fn header(&mut self, history: bool) -> Result<Header, Error> {
        let db = &mut self.reader.db;
        let about = tenant::by_id(db, self.tenant)?.ok_or(Error::NotFound)?;
        let created_at = tenant::created_at(db, self.tenant)?;
        let clock = Clock::read(db, self.tenant)?;
        let living = living(db, self.tenant)?;
        let mut lines = 0;
        for sql in [
            "SELECT COUNT(*) FROM seal_key WHERE tenant_id = ",
            "SELECT COUNT(*) FROM sealing_key WHERE tenant_id = ",
            "SELECT COUNT(*) FROM attr_path WHERE state <> 'dropping' AND tenant_id = ",
            "SELECT COUNT(*) FROM resource WHERE tenant_id = ",
            "SELECT COUNT(*) FROM external_id WHERE tenant_id = ",
            "SELECT COUNT(*) FROM membership m LEFT JOIN sweep s ON s.tenant_id = m.tenant_id AND \
             s.group_id = m.group_id WHERE s.group_id IS NULL AND m.tenant_id = ",
            "SELECT COUNT(*) FROM credential WHERE tenant_id = ",
            "SELECT COUNT(*) FROM due WHERE tenant_id = ",
            "SELECT COUNT(*) FROM grant_ WHERE tenant_id = ",
            "SELECT COUNT(*) FROM tombstone WHERE tenant_id = ",
            "SELECT COUNT(*) FROM erasure WHERE tenant_id = ",
            "SELECT COUNT(*) FROM feed_record WHERE tenant_id = ",
            "SELECT COUNT(*) FROM change WHERE tenant_id = ",
        ] {
            lines += self.number(sql)?;
        }
        Ok(Header {
            format: FORMAT,
            tenant: self.tenant.0,
            slug: about.slug,
            name: about.name,
            state: about.state,
            epoch: about.epoch,
            created_at,
            seq: clock.seq,
            last_at: clock.last_at,
            nesting_seq: clock.nesting_seq,
            catalog_version: clock.catalog,
            head: Hex(clock.digest),
            history,
            living,
            lines,
        })
    }

    fn seal_keys(&mut self) -> Result<(), TransferError> {
        let rows = Statement::<(Text, Binary, BigInt)>::new(
            "SELECT purpose, key, created_at FROM seal_key WHERE tenant_id = ",
        )
        .bind(self.tenant)
        .sql(" ORDER BY purpose")
        .load::<(String, Vec<u8>, i64)>(&mut self.reader.db)
        .map_err(Error::from)?;
        for (purpose, key, created_at) in rows {
            self.line(&Line::SealKey(SealKeyLine { purpose, key: Hex(key), created_at }))?;
        }
        for SealingKey { purpose, id, master, sealed, created_at } in secret::keys(&mut self.reader.db, self.tenant)? {
            let sealed = Hex(sealed);
            self.line(&Line::SealingKey(SealingKeyLine { purpose, id, master, sealed, created_at }))?;
        }
        Ok(())
    }

    fn indexes(&mut self) -> Result<(), TransferError> {
        let rows = Statement::<(BigInt, Text, Text, Text)>::new(
            "SELECT path_id, kind, path, type FROM attr_path WHERE state <> 'dropping' AND tenant_id = ",
        )
        .bind(self.tenant)
        .sql(" ORDER BY path_id")
        .load::<(i64, String, String, String)>(&mut self.reader.db)
        .map_err(Error::from)?;
        for (id, kind, path, mode) in rows {
            self.line(&Line::Index(IndexLine { id, kind, path, mode }))?;
        }
        Ok(())
    }

    fn resources(&mut self, kind: &str) -> Result<(), TransferError> {
        let mut after = None;
        loop {
            let records = record::slice(&mut self.reader.db, self.tenant, kind, after, SLICE)?;
            let Some(last) = records.last() else { return Ok(()) };
            after = Some(last.id);
            for record in records {
                let doc = raw(&record.doc)?;
                let Record { id, kind, version, seq, groups_seq, created_at, modified_at, label, secret, .. } = record;
                let secret = secret.map(Hex);
                let line = ResourceLine {
                    id: id.0,
                    kind,
                    version,
                    seq,
                    groups_seq,
                    created_at,
                    modified_at,
                    label,
                    doc,
                    secret,
                };
                self.line(&Line::Resource(line))?;
            }
        }
    }

    fn externals(&mut self) -> Result<(), TransferError> {
        let mut after: Option<(Vec<u8>, String, String)> = None;
        loop {
            let mut slice = Statement::<(Binary, Text, Text, Binary)>::new(
                "SELECT domain_id, kind, value, resource_id FROM external_id WHERE tenant_id = ",
            )
            .bind(self.tenant);
            if let Some((domain, kind, value)) = after {
                slice = slice.sql(" AND (domain_id, kind, value) > (").bind(domain).sql(", ").bind(kind);
                slice = slice.sql(", ").bind(value).sql(")");
            }
            let rows = slice
                .sql(" ORDER BY domain_id, kind, value LIMIT ")
                .bind(SLICE)
                .load::<(Vec<u8>, String, String, Vec<u8>)>(&mut self.reader.db)
                .map_err(Error::from)?;
            let Some((domain, kind, value, _)) = rows.last() else { return Ok(()) };
            after = Some((domain.clone(), kind.clone(), value.clone()));
            for (domain, kind, value, resource) in rows {
                let (domain, resource) = (resource_id(&domain)?.0, resource_id(&resource)?.0);
                self.line(&Line::External(ExternalLine { domain, kind, value, resource }))?;
            }
        }
    }

    fn memberships(&mut self) -> Result<(), TransferError> {
        let mut after: Option<(Vec<u8>, Vec<u8>)> = None;
        loop {
            let mut slice = Statement::<(Binary, Binary, Text, BigInt)>::new(
                "SELECT m.group_id, m.member_id, m.member_kind, m.since_seq FROM membership m LEFT JOIN sweep s \
                 ON s.tenant_id = m.tenant_id AND s.group_id = m.group_id \
                 WHERE s.group_id IS NULL AND m.tenant_id = ",
            )
            .bind(self.tenant);
            if let Some((group, member)) = after {
                slice = slice.sql(" AND (m.group_id, m.member_id) > (").bind(group).sql(", ").bind(member).sql(")");
            }
            let rows = slice
                .sql(" ORDER BY m.group_id, m.member_id LIMIT ")
                .bind(SLICE)
                .load::<(Vec<u8>, Vec<u8>, String, i64)>(&mut self.reader.db)
                .map_err(Error::from)?;
            let Some((group, member, ..)) = rows.last() else { return Ok(()) };
            after = Some((group.clone(), member.clone()));
            for (group, member, kind, since) in rows {
                let (group, member) = (resource_id(&group)?.0, resource_id(&member)?.0);
                self.line(&Line::Membership(MembershipLine { group, member, kind, since }))?;
            }
        }
    }

    fn credentials(&mut self) -> Result<(), TransferError> {
        let mut after = Vec::new();
        loop {
            let slice = credential::slice(&mut self.reader.db, self.tenant, &after, SLICE)?;
            let Some(last) = slice.last() else { return Ok(()) };
            after = last.id.as_bytes().to_vec();
            for credential in slice {
                self.line(&Line::Credential(credential.into()))?;
            }
        }
    }

    /// What follows by rule: when resources are due, what is held on which ground, which names stay taken.
    fn provisions(&mut self) -> Result<(), TransferError> {
        let mut after = None;
        loop {
            let slice = due::slice(&mut self.reader.db, self.tenant, after, SLICE)?;
            let Some((last, _)) = slice.last() else { break };
            after = Some(*last);
            for (resource, due) in slice {
                self.line(&Line::Due(DueLine { resource: resource.0, at: due.at }))?;
            }
        }
        let mut after = None;
        loop {
            let slice = grant::slice(&mut self.reader.db, self.tenant, after.as_ref(), SLICE)?;
            let Some(last) = slice.last() else { break };
            after = Some(last.key.clone());
            for grant in slice {
                self.line(&Line::Grant(grant.into()))?;
            }
        }
        let mut after = None;
        loop {
            let slice = tombstone::slice(&mut self.reader.db, self.tenant, after.as_ref(), SLICE)?;
            let Some((last, _)) = slice.last() else { break };
            after = Some(last.clone());
            for ((namespace, value), stone) in slice {
                let Tombstone { resource, at, until } = stone;
                self.line(&Line::Tombstone(TombstoneLine { namespace, value, resource: resource.0, at, until }))?;
            }
        }
        let mut after = None;
        loop {
            let slice = erasure::slice(&mut self.reader.db, self.tenant, after, SLICE)?;
            let Some((last, _)) = slice.last() else { return Ok(()) };
            after = Some(*last);
            for (id, Erasure { kind, at, runs_at, done_at }) in slice {
                self.line(&Line::Erasure(ErasureLine { resource: id.0, kind, at, runs: runs_at, done: done_at }))?;
            }
        }
    }

    fn changes(&mut self, history: bool) -> Result<(), TransferError> {
        let mut after = 0;
        loop {
            let changes = change::slice(&mut self.reader.db, self.tenant, after, CHANGES)?;
            let Some(last) = changes.last() else { return Ok(()) };
            after = last.change.seq;
            for Kept { change, external, salt, commitment, chunks } in changes {
                let doc = change.text().filter(|_| history).map(raw).transpose()?;
                let by = if history { change.by } else { By::default() };
                let line = ChangeLine {
                    seq: change.seq,
                    resource: change.resource.0,
                    kind: change.kind,
                    op: change.op.as_str().to_owned(),
                    version: change.version,
                    at: change.at,
                    actor: change.actor.0,
                    txn: change.txn,
                    cause: change.cause,
                    commitment: Hex(commitment),
                    salt: salt.filter(|_| history).map(Hex),
                    doc,
                    external: external.filter(|_| history),
                    members: if history { chunks.into_iter().map(Hex).collect() } else { Vec::new() },
                    credential: by.credential,
                    address: by.address,
                    request: by.request.as_deref().map(str::to_owned),
                };
                self.line(&Line::Change(line))?;
            }
        }
    }
}
