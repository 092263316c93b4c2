//! The schemas, resource types and indexes of one tenant, at one version. The tenant's own documents are resources of
//! the kinds [`SCHEMA`] and [`RESOURCE_TYPE`], written as every resource is; `tenant_clock.catalog_version` moves with
//! each change of them and of the state of an index, so that one look at the clock row tells whether what a node
//! remembers still holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde_json::Value;

use scim::schema::Registry;

use crate::clock::Clock;
use crate::db::Db;
use crate::index::Indexes;
use crate::reader::Reader;
use crate::statement::Statement;
use crate::work::document_of;
use crate::{Error, Record, Seq, TenantId, record};

/// Kind of the schemas that a tenant has of its own. Their `id` is the URN, and lies in the document.
pub const SCHEMA: &str = "Schema";
/// Kind of the resource types that a tenant has of its own. Their `id` is the name, and lies in the document.
pub const RESOURCE_TYPE: &str = "ResourceType";
/// Both kinds.
pub(crate) const KINDS: [&str; 2] = [SCHEMA, RESOURCE_TYPE];

/// Documents read at a time.
const SLICE: i64 = 500;

/// What a tenant's resources are, as a node knows it.
#[derive(Debug)]
pub struct Catalog {
    version: i64,
    registry: Arc<Registry>,
    pub(crate) indexes: Arc<Indexes>,
    /// The tenant's own documents, by kind and id in lower case.
    records: HashMap<(String, String), Record>,
}

impl Catalog {
    /// Grows with every change.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The built-in documents and the tenant's own.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Whether the tenant has no document of its own.
    pub(crate) fn is_plain(&self) -> bool {
        self.records.is_empty()
    }

    /// The tenant's own schema of that URN, or resource type of that name, in any case.
    pub fn record(&self, kind: &str, id: &str) -> Option<&Record> {
        self.records.get(&(kind.to_owned(), id.to_ascii_lowercase()))
    }

    /// The tenant's own documents of a kind, by id in lower case.
    pub fn documents(&self, kind: &str) -> Result<BTreeMap<String, Value>, Error> {
        let own = self.records.iter().filter(|((known, _), _)| known == kind);
        own.map(|((_, id), record)| Ok((id.clone(), Value::Object(document_of(record)?)))).collect()
    }

    /// Reads a tenant's catalog as the transaction sees it.
    pub(crate) fn load(db: &mut Db, tenant: TenantId, version: i64, builtin: &Arc<Registry>) -> Result<Self, Error> {
        let mut records = HashMap::new();
        let mut registry = builtin.clone();
        // A tenant that never had a document of its own has version 0, and nothing is read for it.
        if version > 0 {
            let mut documents: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
            let mut revision = 0;
            for kind in KINDS {
                for record in all(db, tenant, kind)? {
                    revision = revision.max(record.seq);
                    documents.entry(kind).or_default().push(Value::Object(document_of(&record)?));
                    records.insert((kind.to_owned(), record.label.to_ascii_lowercase()), record);
                }
            }
            let mut take = |kind| documents.remove(kind).unwrap_or_default();
            let extended = builtin.extend(take(SCHEMA), take(RESOURCE_TYPE), revision);
            registry = Arc::new(extended.map_err(|error| Error::Corrupt(error.to_string()))?);
        }
        let indexes = Arc::new(Indexes::load(db, tenant, &registry)?);
        Ok(Catalog { version, registry, indexes, records })
    }
}

/// The version of a tenant's catalog; 0 for a tenant that does not exist.
pub(crate) fn version(db: &mut Db, tenant: TenantId) -> Result<i64, Error> {
    let version = Statement::<BigInt>::new("SELECT catalog_version FROM tenant_clock WHERE tenant_id = ")
        .bind(tenant)
        .get_result::<i64>(db)
        .optional()?;
    Ok(version.unwrap_or_default())
}

fn all(db: &mut Db, tenant: TenantId, kind: &str) -> Result<Vec<Record>, Error> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let after = records.last().map(|record| record.id);
        let slice = record::slice(db, tenant, kind, after, SLICE)?;
        let is_last = (slice.len() as i64) < SLICE;
        records.extend(slice);
        if is_last {
            return Ok(records);
        }
    }
}

/// An indexed path, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The resource type.
    pub kind: String,
    /// The canonical path.
    pub path: String,
    /// `sort`: compares and sorts; `value`: compares.
    pub mode: String,
    /// `ready`, `building` or `dropping`.
    pub state: String,
}

impl Reader {
    /// What is indexed in the tenant, by resource type and path.
    pub fn indexes(&mut self, tenant: TenantId) -> Result<Vec<Index>, Error> {
        let rows = Statement::<(Text, Text, Text, Text)>::new(
            "SELECT kind, path, type, state FROM attr_path WHERE tenant_id = ",
        )
        .bind(tenant)
        .sql(" ORDER BY kind, path")
        .load::<(String, String, String, String)>(&mut self.db)?;
        Ok(rows.into_iter().map(|(kind, path, mode, state)| Index { kind, path, mode, state }).collect())
    }

    /// Which extensions of a resource type no resource has data of, and the number of the last change that this tells of.
    pub fn unused(&mut self, tenant: TenantId, kind: &str, extensions: &[String]) -> Result<(Seq, Vec<String>), Error> {
        self.snapshot(|reader| {
            let seq = Clock::read(&mut reader.db, tenant)?.seq;
            let mut unused = Vec::new();
            for extension in extensions {
                if !record::has_member(&mut reader.db, tenant, kind, extension, 0)? {
                    unused.push(extension.clone());
                }
            }
            Ok((seq, unused))
        })
    }

    /// Indexes of the tenant that are being built or dropped.
    pub fn unfinished_indexes(&mut self, tenant: TenantId) -> Result<i64, Error> {
        let count = "SELECT COUNT(*) FROM attr_path WHERE state <> 'ready' AND tenant_id = ";
        Ok(Statement::<BigInt>::new(count).bind(tenant).get_result::<i64>(&mut self.db)?)
    }

    /// The tenant's schemas, resource types and indexes as they stand now.
    pub fn catalog(&mut self, tenant: TenantId) -> Result<Arc<Catalog>, Error> {
        // One state for the version and what it is the version of.
        self.snapshot(|reader| {
            let version = version(&mut reader.db, tenant)?;
            reader.shared.catalog(&mut reader.db, tenant, version)
        })
    }
}
