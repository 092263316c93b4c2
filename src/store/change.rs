//! The change rows: every committed change of a tenant in order, as an after-image and member deltas, chained so that
//! nothing can be taken out or altered unseen.
//!
//! `digest = SHA-256(previous digest, header, commitment)` and `commitment = HMAC-SHA-256(salt, content)`. The header
//! holds no personal data. Content and salt can be erased, and the chain still verifies by the commitment.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::by::By;
use crate::db::Db;
use crate::fixed::{self, Writing};
use crate::record::resource_id;
use crate::statement::Statement;
use crate::{Error, Random, ResourceId, Seq, TenantId};

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A resource came to be.
    Create,
    /// Its document or a caller's `externalId` changed.
    Update,
    /// Only its members changed.
    Members,
    /// It is gone.
    Delete,
}

impl Op {
    /// The operation of that word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Op::Create, Op::Update, Op::Members, Op::Delete].into_iter().find(|known| known.as_str() == word)
    }

    /// The word in the table and in plans.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Create => "create",
            Op::Update => "update",
            Op::Members => "members",
            Op::Delete => "delete",
        }
    }
}

/// A member that came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The member.
    pub member: ResourceId,
    /// Its resource type.
    pub kind: String,
    /// Whether it came.
    pub joined: bool,
}

/// One change, before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Number within the tenant.
    pub seq: Seq,
    /// What changed.
    pub resource: ResourceId,
    /// Its resource type.
    pub kind: String,
    /// What was done.
    pub op: Op,
    /// Its version after the change.
    pub version: i64,
    /// µs since 1970.
    pub at: i64,
    /// The client that did it; [`ResourceId::SYSTEM`] for the server itself.
    pub actor: ResourceId,
    /// The transaction it belongs to.
    pub txn: Uuid,
    /// Why: `request`, `operator`, `due` …
    pub cause: String,
    /// By what, beside the actor.
    pub by: By,
    /// The document after the change; `None` when it is as it was, or gone.
    pub doc: Option<Arc<String>>,
    /// What became of the actor's `externalId`: `Some(None)` when it was taken away.
    pub external: Option<(ResourceId, Option<String>)>,
    /// Members that came or went.
    pub members: Vec<Delta>,
}

/// Most deltas in one `change_member` row.
const CHUNK: usize = 4_096;

impl Change {
    /// The document after the change as text; `None` when it is as it was, or gone.
    pub fn text(&self) -> Option<&str> {
        self.doc.as_deref().map(String::as_str)
    }

    fn header(&self, tenant: TenantId) -> Vec<u8> {
        let mut header = Vec::with_capacity(128);
        header.extend(tenant.0.to_be_bytes());
        header.extend(self.seq.to_be_bytes());
        header.extend(self.resource.0.as_bytes());
        header.extend(self.version.to_be_bytes());
        header.extend(self.at.to_be_bytes());
        header.extend(self.actor.0.as_bytes());
        header.extend(self.txn.as_bytes());
        for text in [self.kind.as_str(), self.op.as_str(), self.cause.as_str()] {
            push(&mut header, text.as_bytes());
        }
        header
    }

    fn external_text(&self) -> Option<String> {
        let (domain, value) = self.external.as_ref()?;
        Some(serde_json::json!({ "domain": domain.to_string(), "value": value }).to_string())
    }

    fn member_chunks(&self) -> Vec<Vec<u8>> {
        self.members
            .chunks(CHUNK)
            .map(|deltas| {
                let mut chunk = Vec::with_capacity(deltas.len() * 24);
                for delta in deltas {
                    chunk.push(u8::from(delta.joined));
                    push(&mut chunk, delta.kind.as_bytes());
                    chunk.extend(delta.member.0.as_bytes());
                }
                chunk
            })
            .collect()
    }
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

fn commit(
    salt: &[u8],
    doc: Option<&str>,
    external: Option<&str>,
    chunks: &[Vec<u8>],
    by: &By,
) -> Result<Vec<u8>, Error> {
    let mut mac = Hmac::<Sha256>::new_from_slice(salt).map_err(|error| Error::Corrupt(format!("a salt: {error}")))?;
    for part in [doc, external] {
        mac.update(&[u8::from(part.is_some())]);
        let part = part.unwrap_or_default();
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    for chunk in chunks {
        mac.update(&(chunk.len() as u64).to_be_bytes());
        mac.update(chunk);
    }
    // Changes of earlier versions had none, and hold as they are.
    if !by.is_nothing() {
        let text = by.text();
        mac.update(b"by");
        mac.update(&(text.len() as u64).to_be_bytes());
        mac.update(text.as_bytes());
    }
    Ok(mac.finalize().into_bytes().to_vec())
}

pub(crate) fn link(previous: &[u8], header: &[u8], commitment: &[u8]) -> Vec<u8> {
    Sha256::new().chain_update(previous).chain_update(header).chain_update(commitment).finalize().to_vec()
}

/// Writes changes in order and returns the chain's new head.
pub(crate) fn append(
    db: &mut Db,
    tenant: TenantId,
    mut head: Vec<u8>,
    changes: Vec<Change>,
    random: &Random,
) -> Result<Vec<u8>, Error> {
    let mut kept = Vec::with_capacity(changes.len());
    for mut change in changes {
        let salt = random.salt()?;
        let chunks = change.member_chunks();
        change.members = Vec::new();
        let external = change.external_text();
        let commitment = commit(&salt, change.text(), external.as_deref(), &chunks, &change.by)?;
        let one = Kept { change, external, salt: Some(salt), commitment, chunks };
        head = one.link(tenant, &head);
        kept.push((one, head.clone()));
    }
    keep(db, tenant, kept)?;
    Ok(head)
}

/// A change as its rows have it, without its digest, which is made of this and of what was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The change; its members are in `chunks`, and its `external` in the text.
    pub(crate) change: Change,
    pub(crate) external: Option<String>,
    /// `None`: the content was erased.
    pub(crate) salt: Option<Vec<u8>>,
    pub(crate) commitment: Vec<u8>,
    pub(crate) chunks: Vec<Vec<u8>>,
}

impl Kept {
    /// Head of the chain after this change.
    pub(crate) fn link(&self, tenant: TenantId, head: &[u8]) -> Vec<u8> {
        link(head, &self.change.header(tenant), &self.commitment)
    }

    /// Whether the content is what was committed to, or was erased as a whole.
    pub(crate) fn is_whole(&self) -> Result<bool, Error> {
        let (doc, external) = (self.change.text(), self.external.as_deref());
        match &self.salt {
            Some(salt) => Ok(commit(salt, doc, external, &self.chunks, &self.change.by)? == self.commitment),
            // Without its salt no content can be told from a forged one, so there must be none.
            None => Ok(doc.is_none() && external.is_none() && self.chunks.is_empty() && self.change.by.is_nothing()),
        }
    }
}

/// Writes changes, each with the head of the chain after it.
pub(crate) fn keep(db: &mut Db, tenant: TenantId, changes: Vec<(Kept, Vec<u8>)>) -> Result<(), Error> {
    let mut rows = Vec::with_capacity(changes.len());
    let mut member_rows = Vec::new();
    for (Kept { change, external, salt, commitment, chunks }, head) in changes {
        for (n, chunk) in (0_i64..).zip(chunks) {
            member_rows.push(vec![tenant.into(), change.seq.into(), n.into(), chunk.into()]);
        }
        let [credential, address, request] = change.by.columns();
        rows.push(vec![
            tenant.into(),
            change.seq.into(),
            change.resource.into(),
            change.kind.into(),
            change.op.as_str().into(),
            change.version.into(),
            change.at.into(),
            change.actor.into(),
            change.txn.as_bytes().to_vec().into(),
            change.cause.into(),
            change.doc.into(),
            external.into(),
            salt.into(),
            commitment.into(),
            head.into(),
            credential,
            address,
            request,
        ]);
    }
    fixed::insert::<Changes>(db, rows)?;
    fixed::insert::<Members>(db, member_rows)?;
    Ok(())
}

/// Rows of changes.
struct Changes;

impl Writing for Changes {
    const INTO: &'static str = "change (tenant_id, seq, resource_id, kind, op, version, at, actor, txn, cause, doc, external, salt, \
         commitment, digest, credential, address, request)";
}

/// Rows of member deltas.
struct Members;

impl Writing for Members {
    const INTO: &'static str = "change_member (tenant_id, seq, chunk, members)";
}

/// The transaction that made a change; `None`: no such change.
pub(crate) fn txn_of(db: &mut Db, tenant: TenantId, seq: Seq) -> Result<Option<Uuid>, Error> {
    Statement::<Binary>::new("SELECT txn FROM change WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND seq = ")
        .bind(seq)
        .get_result::<Vec<u8>>(db)
        .optional()?
        .map(|bytes| Ok(resource_id(&bytes)?.0))
        .transpose()
}

/// The columns of the header, and those of [`By`].
pub(crate) type HeaderRow = (i64, Vec<u8>, String, String, i64, i64, Vec<u8>, Vec<u8>, String);
pub(crate) type HeaderTypes = (BigInt, Binary, Text, Text, BigInt, BigInt, Binary, Binary, Text);
pub(crate) type ByRow = (Option<Vec<u8>>, Option<String>, Option<String>);
pub(crate) type ByTypes = (Nullable<Binary>, Nullable<Text>, Nullable<Text>);

type Row = (HeaderRow, (Option<String>, Option<String>, Option<Vec<u8>>, Vec<u8>, Vec<u8>), ByRow);
type Types = (HeaderTypes, (Nullable<Text>, Nullable<Text>, Nullable<Binary>, Binary, Binary), ByTypes);

/// A change as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The change.
    pub change: Change,
    /// Head of the chain after it.
    pub digest: Vec<u8>,
}

/// Reads changes after `after` in order, verifying each link from `head` on. Returns them, at most `limit`.
/// Fails with [`Error::Corrupt`] where the chain does not hold.
pub(crate) fn read(
    db: &mut Db,
    tenant: TenantId,
    after: Seq,
    mut head: Option<Vec<u8>>,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let rows = rows(db, tenant, after, limit)?;
    let mut stored = Vec::with_capacity(rows.len());
    for row in rows {
        let one = restore(db, tenant, row, head.take())?;
        head = Some(one.digest.clone());
        stored.push(one);
    }
    Ok(stored)
}

/// One slice of changes after `after` as their rows have them; nothing is verified.
pub(crate) fn slice(db: &mut Db, tenant: TenantId, after: Seq, limit: i64) -> Result<Vec<Kept>, Error> {
    rows(db, tenant, after, limit)?.into_iter().map(|row| Ok(kept(db, tenant, row)?.0)).collect()
}

fn rows(db: &mut Db, tenant: TenantId, after: Seq, limit: i64) -> Result<Vec<Row>, Error> {
    let rows = Statement::<Types>::new(
        "SELECT seq, resource_id, kind, op, version, at, actor, txn, cause, doc, external, salt, commitment, digest, \
         credential, address, request FROM change WHERE tenant_id = ",
    )
    .bind(tenant)
    .sql(" AND seq > ")
    .bind(after)
    .sql(" ORDER BY seq LIMIT ")
    .bind(limit)
    .load::<Row>(db)?;
    Ok(rows)
}

/// A row with its member deltas, and its digest.
fn kept(db: &mut Db, tenant: TenantId, row: Row) -> Result<(Kept, Vec<u8>), Error> {
    let (header, (doc, external, salt, commitment, digest), by) = row;
    let change = Change { doc: doc.map(Arc::new), ..read_header(tenant, header, by)? };
    let chunks = Statement::<Binary>::new("SELECT members FROM change_member WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND seq = ")
        .bind(change.seq)
        .sql(" ORDER BY chunk")
        .load::<Vec<u8>>(db)?;
    Ok((Kept { change, external, salt, commitment, chunks }, digest))
}

/// A change without its content.
pub(crate) fn read_header(
    tenant: TenantId,
    (seq, resource, kind, op, version, at, actor, txn, cause): HeaderRow,
    (credential, address, request): ByRow,
) -> Result<Change, Error> {
    Ok(Change {
        seq,
        resource: resource_id(&resource)?,
        kind,
        op: Op::parse(&op).ok_or_else(|| corrupt(tenant, seq, "unknown operation"))?,
        version,
        at,
        actor: resource_id(&actor)?,
        txn: resource_id(&txn)?.0,
        cause,
        by: By::read(credential, address, request)?,
        doc: None,
        external: None,
        members: Vec::new(),
    })
}

fn corrupt(tenant: TenantId, seq: Seq, what: &str) -> Error {
    Error::Corrupt(format!("change {seq} of tenant {tenant}: {what}"))
}

fn restore(db: &mut Db, tenant: TenantId, row: Row, head: Option<Vec<u8>>) -> Result<Stored, Error> {
    let (kept, digest) = kept(db, tenant, row)?;
    let seq = kept.change.seq;
    if !kept.is_whole()? {
        return Err(corrupt(tenant, seq, "the content is not what was committed to"));
    }
    if let Some(head) = head
        && kept.link(tenant, &head) != digest
    {
        return Err(corrupt(tenant, seq, "the chain is broken here"));
    }
    let Kept { mut change, external: external_text, chunks, .. } = kept;
    let members = chunks.iter().map(|chunk| deltas(chunk)).collect::<Option<Vec<_>>>();
    change.external = external_text.as_deref().map(external).transpose()?;
    change.members = members.ok_or_else(|| corrupt(tenant, seq, "member deltas are cut short"))?.concat();
    Ok(Stored { change, digest })
}

fn external(text: &str) -> Result<(ResourceId, Option<String>), Error> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| Error::Corrupt(error.to_string()))?;
    let domain = value.get("domain").and_then(serde_json::Value::as_str).and_then(|id| id.parse().ok());
    let domain = domain.ok_or_else(|| Error::Corrupt("an externalId without a domain".into()))?;
    Ok((domain, value.get("value").and_then(serde_json::Value::as_str).map(str::to_owned)))
}

fn deltas(mut chunk: &[u8]) -> Option<Vec<Delta>> {
    let mut deltas = Vec::new();
    while let Some((joined, rest)) = chunk.split_first() {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let (member, rest) = rest.split_at_checked(16)?;
        let kind = std::str::from_utf8(kind).ok()?.to_owned();
        deltas.push(Delta { member: ResourceId::from_bytes(member)?, kind, joined: *joined == 1 });
        chunk = rest;
    }
    Some(deltas)
}
