//! The resource table: one row a resource, its document as text.

use std::collections::HashMap;
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::db::Db;
use crate::fixed::{self, Writing};
use crate::statement::{LIST, Statement, Value, delete, runs};
use crate::{Error, ResourceId, Seq, TenantId};

/// Resources that one statement names where there may be very many.
const RUN: usize = 64;
/// So few resources are not worth a list of values.
const FEW: usize = 4;

/// One resource as stored. `id`, `meta`, `externalId`, `groups` and `members` are derived and never in `doc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The resource.
    pub id: ResourceId,
    /// Name of its resource type.
    pub kind: String,
    /// 1 at creation, one more with every change.
    pub version: i64,
    /// Number of the change that made this version.
    pub seq: Seq,
    /// Number of the newest change of the groups it is a direct member of.
    pub groups_seq: Seq,
    /// µs since 1970.
    pub created_at: i64,
    /// µs since 1970.
    pub modified_at: i64,
    /// What people call it: shown as `display` of members and groups.
    pub label: String,
    /// The canonical document as JSON text, shared with the change that has left it.
    pub doc: Arc<String>,
    /// Sealed values that never leave the server.
    pub secret: Option<Vec<u8>>,
}

pub(crate) const COLUMNS: &str =
    "r.resource_id, r.kind, r.version, r.seq, r.groups_seq, r.created_at, r.modified_at, r.label, r.doc, r.secret";

pub(crate) type Types = (Binary, Text, BigInt, BigInt, BigInt, BigInt, BigInt, Text, Text, Nullable<Binary>);

pub(crate) type Row = (Vec<u8>, String, i64, i64, i64, i64, i64, String, String, Option<Vec<u8>>);

impl Record {
    pub(crate) fn from_row(row: Row) -> Result<Self, Error> {
        let (id, kind, version, seq, groups_seq, created_at, modified_at, label, doc, secret) = row;
        let (id, doc) = (resource_id(&id)?, Arc::new(doc));
        Ok(Record { id, kind, version, seq, groups_seq, created_at, modified_at, label, doc, secret })
    }
}

/// Reads an id column.
pub(crate) fn resource_id(bytes: &[u8]) -> Result<ResourceId, Error> {
    ResourceId::from_bytes(bytes).ok_or_else(|| Error::Corrupt("an id is not 16 bytes long".into()))
}

/// Finds one resource.
pub(crate) fn find(db: &mut Db, tenant: TenantId, id: ResourceId) -> Result<Option<Record>, Error> {
    Statement::<Types>::new("SELECT ")
        .sql(COLUMNS)
        .sql(" FROM resource r WHERE r.tenant_id = ")
        .bind(tenant)
        .sql(" AND r.resource_id = ")
        .bind(id)
        .fixed::<Find>()
        .get_result::<Row>(db)
        .optional()?
        .map(Record::from_row)
        .transpose()
}

/// The statement that finds one resource.
struct Find;

/// Whether a resource of a kind has a top-level object of that name in its document, among those that were changed after
/// `since`. Looks at texts, not at an index: a document's own text is compact, and a text within it has its quotes escaped.
/// Which were changed since then is found by their instants, which are indexed: they are in the order of the numbers.
pub(crate) fn has_member(db: &mut Db, tenant: TenantId, kind: &str, name: &str, since: Seq) -> Result<bool, Error> {
    let key = serde_json::Value::from(name).to_string();
    has_text(db, tenant, kind, &format!("{key}:{{"), since)
}

/// Whether the stored document of a resource of a kind holds a text, among those that were changed after `since`.
pub(crate) fn has_text(db: &mut Db, tenant: TenantId, kind: &str, text: &str, since: Seq) -> Result<bool, Error> {
    let find = match db {
        Db::Sqlite(_) => "instr(r.doc, ",
        Db::Postgres(_) => "strpos(r.doc, ",
    };
    let found = Statement::<BigInt>::new("SELECT r.seq FROM resource r WHERE r.tenant_id = ")
        .bind(tenant)
        .sql(" AND r.kind = ")
        .bind(kind)
        .sql(" AND r.seq > ")
        .bind(since)
        .sql(" AND r.modified_at > COALESCE((SELECT c.at FROM change c WHERE c.tenant_id = ")
        .bind(tenant)
        .sql(" AND c.seq = ")
        .bind(since)
        .sql("), ")
        .bind(i64::MIN)
        .sql(") AND ")
        .sql(find)
        .bind(text)
        .sql(") > 0 LIMIT 1")
        .get_result::<i64>(db)
        .optional()?;
    Ok(found.is_some())
}

/// Finds many resources; those that do not exist are left out.
pub(crate) fn find_all(
    db: &mut Db,
    tenant: TenantId,
    ids: &[ResourceId],
) -> Result<HashMap<ResourceId, Record>, Error> {
    let mut found = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(LIST) {
        let rows = Statement::<Types>::new("SELECT ")
            .sql(COLUMNS)
            .sql(" FROM resource r WHERE r.tenant_id = ")
            .bind(tenant)
            .sql(" AND r.resource_id IN ")
            .list(ids.iter().copied())
            .load::<Row>(db)?;
        for row in rows {
            let record = Record::from_row(row)?;
            found.insert(record.id, record);
        }
    }
    Ok(found)
}

/// Kind and label of each of the resources that exist, without their documents.
pub(crate) fn kinds(
    db: &mut Db,
    tenant: TenantId,
    ids: &[ResourceId],
) -> Result<HashMap<ResourceId, (String, String)>, Error> {
    let mut found = HashMap::with_capacity(ids.len());
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    // In order and with both ends named: see `touch_groups`.
    for ids in ids.chunks(RUN) {
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else { continue };
        let statement =
            Statement::<(Binary, Text, Text)>::new("SELECT resource_id, kind, label FROM resource WHERE tenant_id = ")
                .bind(tenant);
        let rows = match ids {
            [id] => statement.sql(" AND resource_id = ").bind(*id).fixed::<Kind>().load(db)?,
            ids => statement
                .sql(" AND resource_id >= ")
                .bind(*first)
                .sql(" AND resource_id <= ")
                .bind(*last)
                .sql(" AND resource_id IN ")
                .list(ids.iter().copied())
                .load::<(Vec<u8>, String, String)>(db)?,
        };
        for (id, kind, label) in rows {
            found.insert(resource_id(&id)?, (kind, label));
        }
    }
    Ok(found)
}

/// The statement that finds the kind of one.
struct Kind;

/// What each of the resources is called, of those that exist. They may lie far apart, so other than in [`kinds`] their
/// ends are not named: PostgreSQL might walk through all that lies between. Each is spelled out with the whole key
/// instead, so that both databases find it by that without statistics.
pub(crate) fn labels(
    db: &mut Db,
    tenant: TenantId,
    ids: impl IntoIterator<Item = ResourceId>,
) -> Result<HashMap<ResourceId, String>, Error> {
    let mut ids: Vec<ResourceId> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    let mut found = HashMap::with_capacity(ids.len());
    for ids in runs(ids) {
        let mut statement = Statement::<(Binary, Text)>::new("SELECT resource_id, label FROM resource WHERE ");
        for (n, id) in ids.into_iter().enumerate() {
            let open = if n == 0 { "(tenant_id = " } else { " OR (tenant_id = " };
            statement = statement.sql(open).bind(tenant).sql(" AND resource_id = ").bind(id).sql(")");
        }
        for (id, label) in statement.load::<(Vec<u8>, String)>(db)? {
            found.insert(resource_id(&id)?, label);
        }
    }
    Ok(found)
}

/// Writes new records; fails when one of them exists.
pub(crate) fn insert(db: &mut Db, tenant: TenantId, records: Vec<Record>) -> Result<(), Error> {
    fixed::insert::<New>(db, rows(tenant, records))?;
    Ok(())
}

/// Records that are not there yet.
struct New;

impl Writing for New {
    const INTO: &'static str = COLUMNS_OF_ALL;
}

/// Writes changed records.
pub(crate) fn update(db: &mut Db, tenant: TenantId, records: Vec<Record>) -> Result<(), Error> {
    fixed::insert::<Changed>(db, rows(tenant, records))?;
    Ok(())
}

/// Records that are there.
struct Changed;

impl Writing for Changed {
    const INTO: &'static str = COLUMNS_OF_ALL;
    // What never changes is not named: each index that holds a named column is written anew.
    const TAIL: &'static str = " ON CONFLICT (tenant_id, resource_id) DO UPDATE SET version = excluded.version, seq = excluded.seq, \
         groups_seq = excluded.groups_seq, modified_at = excluded.modified_at, label = excluded.label, \
         doc = excluded.doc, secret = excluded.secret";
}

const COLUMNS_OF_ALL: &str = "resource (tenant_id, resource_id, kind, version, seq, groups_seq, created_at, \
     modified_at, label, doc, secret)";

fn rows(tenant: TenantId, records: Vec<Record>) -> Vec<Vec<Value>> {
    records
        .into_iter()
        .map(|record| {
            vec![
                tenant.into(),
                record.id.into(),
                record.kind.into(),
                record.version.into(),
                record.seq.into(),
                record.groups_seq.into(),
                record.created_at.into(),
                record.modified_at.into(),
                record.label.into(),
                record.doc.into(),
                record.secret.into(),
            ]
        })
        .collect()
}

/// Removes records.
pub(crate) fn remove(db: &mut Db, tenant: TenantId, ids: Vec<ResourceId>) -> Result<(), Error> {
    let keys = ids.into_iter().map(|id| vec![tenant.into(), id.into()]).collect::<Vec<Vec<Value>>>();
    delete(db, "resource", &["tenant_id", "resource_id"], keys)?;
    Ok(())
}

/// Notes that the groups of these resources changed, each with its change.
pub(crate) fn touch_groups(db: &mut Db, tenant: TenantId, touched: HashMap<ResourceId, Seq>) -> Result<(), Error> {
    let mut touched: Vec<(ResourceId, Seq)> = touched.into_iter().collect();
    touched.sort_unstable();
    if touched.len() <= FEW {
        for (id, seq) in touched {
            Statement::<()>::new("UPDATE resource SET groups_seq = ")
                .bind(seq)
                .sql(" WHERE tenant_id = ")
                .bind(tenant)
                .sql(" AND resource_id = ")
                .bind(id)
                .fixed::<Touch>()
                .run(db)?;
        }
        return Ok(());
    }
    // In order and with both ends named, so that all runs together read no more than the tenant's resources once,
    // whatever PostgreSQL thinks is cheapest. Both databases call the columns of VALUES `column1`, `column2` ….
    for run in runs(touched) {
        let (Some((first, _)), Some((last, _))) = (run.first().copied(), run.last().copied()) else { continue };
        Statement::<()>::new("UPDATE resource SET groups_seq = touched.column2 FROM (")
            .values(run.into_iter().map(|(id, seq)| vec![id.into(), seq.into()]).collect())
            .sql(") AS touched WHERE resource.resource_id = touched.column1 AND resource.tenant_id = ")
            .bind(tenant)
            .sql(" AND resource.resource_id >= ")
            .bind(first)
            .sql(" AND resource.resource_id <= ")
            .bind(last)
            .run(db)?;
    }
    Ok(())
}

/// The statement that notes it of one.
struct Touch;

/// The next resources of a kind in id order, in the direction given as it is written in SQL, from a bound on with its
/// comparison.
pub(crate) fn run(
    db: &mut Db,
    tenant: TenantId,
    kind: &str,
    bound: Option<(ResourceId, &'static str)>,
    direction: &'static str,
    limit: usize,
) -> Result<Vec<Record>, Error> {
    let mut statement = Statement::<Types>::new("SELECT ")
        .sql(COLUMNS)
        .sql(" FROM resource r WHERE r.tenant_id = ")
        .bind(tenant)
        .sql(" AND r.kind = ")
        .bind(kind);
    if let Some((id, comparison)) = bound {
        statement = statement.sql(" AND r.resource_id").sql(comparison).bind(id);
    }
    statement
        .sql(" ORDER BY r.resource_id")
        .sql(direction)
        .sql(" LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .load::<Row>(db)?
        .into_iter()
        .map(Record::from_row)
        .collect()
}

/// One slice of the resources of a kind in id order, after `after`.
pub(crate) fn slice(
    db: &mut Db,
    tenant: TenantId,
    kind: &str,
    after: Option<ResourceId>,
    limit: i64,
) -> Result<Vec<Record>, Error> {
    Statement::<Types>::new("SELECT ")
        .sql(COLUMNS)
        .sql(" FROM resource r WHERE r.tenant_id = ")
        .bind(tenant)
        .sql(" AND r.kind = ")
        .bind(kind)
        .sql(" AND r.resource_id > ")
        .bind(after.map_or_else(Vec::new, |id| id.bytes()))
        .sql(" ORDER BY r.resource_id LIMIT ")
        .bind(limit)
        .load::<Row>(db)?
        .into_iter()
        .map(Record::from_row)
        .collect()
}
