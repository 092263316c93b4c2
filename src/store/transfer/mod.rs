//! A tenant as lines of JSON: [`export`] writes them from one snapshot, [`import`] makes a register of them that answers
//! alike, on either database. A file begins with a header that says what is in it and ends with a digest of all that was
//! before, so that one that was cut short or altered is found before anything of it is stored.
//!
//! Documents go as they are stored, byte for byte; ids, versions, numbers and instants too. What is derived, index rows
//! and unique keys, is made anew. Secrets go as they lie in the database: passwords and tokens as hashes, but the keys that
//! seal cursors in plain, so that a file is as confidential as the database it came from.

mod export;
mod feeds;
mod import;
mod survey;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Credential, CredentialKind, Error, Grant, GrantKey, ResourceId};

pub use export::Exported;
pub use import::Imported;

/// The version of the lines.
const FORMAT: u32 = 1;

/// Why a transfer did not take place.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The database.
    #[error(transparent)]
    Store(#[from] Error),
    /// The file.
    #[error("the file cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// What the file says.
    #[error("line {line} of the file: {what}")]
    File {
        /// From 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The tenant has a register already.
    #[error("the tenant {0} is not empty. Import into a tenant that does not exist yet, or that has nothing in it")]
    NotEmpty(String),
    /// An import broke off and may go on.
    #[error("an import of this file broke off after line {0}. Add --resume to go on with it")]
    Unfinished(u64),
    /// An import of another file broke off.
    #[error("an import of another file into this tenant broke off; only that file can be gone on with")]
    Other,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Export(Header),
    SealKey(SealKeyLine),
    SealingKey(SealingKeyLine),
    Index(IndexLine),
    Resource(ResourceLine),
    External(ExternalLine),
    Membership(MembershipLine),
    Credential(CredentialLine),
    Due(DueLine),
    Grant(GrantLine),
    Tombstone(TombstoneLine),
    Erasure(ErasureLine),
    FeedRecord(feeds::FeedRecordLine),
    Change(ChangeLine),
    End(Trailer),
}

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    tenant: i64,
    slug: String,
    name: String,
    state: String,
    epoch: i64,
    created_at: i64,
    seq: i64,
    last_at: i64,
    nesting_seq: i64,
    catalog_version: i64,
    /// Head of the chain, which is made with the tenant's number.
    head: Hex,
    /// Whether changes go with their content.
    history: bool,
    /// Living resources by type.
    living: BTreeMap<String, i64>,
    /// Lines between this one and the last.
    lines: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealKeyLine {
    purpose: String,
    key: Hex,
    created_at: i64,
}

/// A key for secrets, sealed under a master key that does not go along.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealingKeyLine {
    purpose: String,
    id: i64,
    master: String,
    sealed: Hex,
    created_at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexLine {
    id: i64,
    kind: String,
    path: String,
    mode: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceLine {
    id: Uuid,
    kind: String,
    version: i64,
    seq: i64,
    groups_seq: i64,
    created_at: i64,
    modified_at: i64,
    label: String,
    doc: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<Hex>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExternalLine {
    domain: Uuid,
    kind: String,
    value: String,
    resource: Uuid,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MembershipLine {
    group: Uuid,
    member: Uuid,
    kind: String,
    since: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialLine {
    id: Uuid,
    client: Uuid,
    #[serde(default = "token", skip_serializing_if = "is_token")]
    kind: String,
    digest: Hex,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    material: Option<String>,
    created_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    starts_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<i64>,
}

fn token() -> String {
    CredentialKind::Token.as_str().to_owned()
}

fn is_token(kind: &str) -> bool {
    kind == CredentialKind::Token.as_str()
}

impl From<Credential> for CredentialLine {
    fn from(credential: Credential) -> Self {
        CredentialLine {
            id: credential.id,
            client: credential.client.0,
            kind: credential.kind.as_str().to_owned(),
            digest: Hex(credential.digest),
            label: credential.label,
            material: credential.material,
            created_at: credential.created_at,
            starts_at: credential.starts_at,
            expires_at: credential.expires_at,
            revoked_at: credential.revoked_at,
        }
    }
}

impl CredentialLine {
    /// `None`: its kind is not known here.
    fn credential(self) -> Option<Credential> {
        Some(Credential {
            id: self.id,
            client: ResourceId(self.client),
            kind: CredentialKind::parse(&self.kind)?,
            digest: self.digest.0,
            label: self.label,
            material: self.material,
            created_at: self.created_at,
            starts_at: self.starts_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            last_used_at: None,
        })
    }
}

/// When a resource is looked at again. Where it was read in, whoever depends on it is told from the beginning.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DueLine {
    resource: Uuid,
    at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantLine {
    user: Uuid,
    target: Uuid,
    kind: String,
    ground: String,
    since: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<i64>,
    version: i64,
    facts: String,
}

impl From<Grant> for GrantLine {
    fn from(grant: Grant) -> Self {
        GrantLine {
            user: grant.key.user.0,
            target: grant.key.target.0,
            kind: grant.key.ground_kind,
            ground: grant.key.ground_id,
            since: grant.key.since,
            until: grant.until,
            from: grant.ground_from,
            to: grant.ground_until,
            version: grant.rule_version,
            facts: grant.facts,
        }
    }
}

impl From<GrantLine> for Grant {
    fn from(line: GrantLine) -> Self {
        Grant {
            key: GrantKey {
                user: ResourceId(line.user),
                target: ResourceId(line.target),
                ground_kind: line.kind,
                ground_id: line.ground,
                since: line.since,
            },
            until: line.until,
            ground_from: line.from,
            ground_until: line.to,
            rule_version: line.version,
            facts: line.facts,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TombstoneLine {
    namespace: String,
    value: String,
    resource: Uuid,
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
}

/// Of whom nothing is kept. Where it was read in, what runs have left did not go along.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErasureLine {
    resource: Uuid,
    kind: String,
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    runs: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeLine {
    seq: i64,
    resource: Uuid,
    kind: String,
    op: String,
    version: i64,
    at: i64,
    actor: Uuid,
    txn: Uuid,
    cause: String,
    commitment: Hex,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<Hex>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doc: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    external: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    members: Vec<Hex>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<String>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trailer {
    /// Lines between the header and this one.
    lines: u64,
    /// Of every byte before this line.
    sha256: Hex,
}

/// Bytes, written in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Hex(Vec<u8>);

impl From<Hex> for String {
    fn from(Hex(bytes): Hex) -> Self {
        const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let digit = |n: u8| DIGITS.get(usize::from(n)).copied().unwrap_or_default();
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

impl TryFrom<String> for Hex {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digit = |c: u8| (c as char).to_digit(16).and_then(|n| u8::try_from(n).ok());
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        text.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>().map(Hex).ok_or("no hexadecimal digits")
    }
}

/// A stored document as it stands in a line.
fn raw(doc: &str) -> Result<Box<RawValue>, Error> {
    serde_json::from_str(doc).map_err(|error| Error::Corrupt(format!("a document is no JSON: {error}")))
}
