//! Documents against the rows that are made of them, and the other way round.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use scim::mapping::Mapping;

use super::seats::Seats;
use super::{Check, ROWS, SLICE};
use crate::clock::Clock;
use crate::index::{IndexRow, Indexes};
use crate::record::resource_id;
use crate::statement::{Statement, Value};
use crate::unique::UniqueKey;
use crate::work::document_of;
use crate::{Error, Record, ResourceId, TenantId, db::Db, record};

/// Rows asked for in one statement.
const PROBES: usize = 64;

/// A row that a document calls for: its columns after the tenant, and for whom.
type Expected = (Vec<Value>, ResourceId);

/// A row of `attr_index`, with its path, key and resource.
pub(crate) type IndexPlace = (i64, String, ResourceId);
/// A row of `unique_key`, and who holds it.
pub(crate) type UniquePlace = (UniqueKey, ResourceId);

/// The rows that the document of a resource calls for; nothing is known of one that cannot be read.
pub(crate) struct Called(Option<(BTreeSet<IndexRow>, BTreeSet<UniqueKey>)>);

impl Called {
    /// Whether the index row may be there.
    pub(crate) fn is_for(&self, row: &IndexRow) -> bool {
        self.0.as_ref().is_none_or(|(index, _)| index.contains(row))
    }

    /// Whether the unique key may be there.
    pub(crate) fn is_for_key(&self, key: &UniqueKey) -> bool {
        self.0.as_ref().is_none_or(|(_, unique)| unique.contains(key))
    }
}

/// The rows that each of the resources calls for; those that do not exist, or have no known type, call for none.
pub(crate) fn called(
    db: &mut Db,
    tenant: TenantId,
    indexes: &Indexes,
    ids: impl Iterator<Item = ResourceId>,
) -> Result<HashMap<ResourceId, Called>, Error> {
    let ids: Vec<ResourceId> = ids.collect::<HashSet<_>>().into_iter().collect();
    let mut called = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(256) {
        for (id, record) in record::find_all(db, tenant, ids)? {
            let Ok(rows) = indexes.of(&record.kind) else { continue };
            let sets = document_of(&record).ok().map(|document| {
                let unique = rows.unique_keys(&record.kind, &document).into_iter().map(|(key, _)| key);
                (rows.rows(&document).into_iter().collect(), unique.collect())
            });
            called.insert(id, Called(sets));
        }
    }
    Ok(called)
}

/// One slice of the index rows of a tenant in the order of their key, without those that are being cleared.
pub(crate) fn index_slice(
    db: &mut Db,
    tenant: TenantId,
    after: Option<&IndexPlace>,
    limit: i64,
) -> Result<Vec<IndexPlace>, Error> {
    let mut slice = Statement::<(BigInt, Text, Binary)>::new(
        "SELECT path_id, value, resource_id FROM attr_index WHERE tenant_id = ",
    )
    .bind(tenant);
    if let Some((path, value, id)) = after {
        slice = slice
            .sql(" AND (path_id, value, resource_id) > (")
            .bind(*path)
            .sql(", ")
            .bind(value.as_str())
            .sql(", ")
            .bind(*id)
            .sql(")");
    }
    slice
        .sql(" ORDER BY path_id, value, resource_id LIMIT ")
        .bind(limit)
        .load::<(i64, String, Vec<u8>)>(db)?
        .into_iter()
        .map(|(path, value, id)| Ok((path, value, resource_id(&id)?)))
        .collect()
}

/// One slice of the unique keys of a tenant in their order.
pub(crate) fn unique_slice(
    db: &mut Db,
    tenant: TenantId,
    after: Option<&UniqueKey>,
    limit: i64,
) -> Result<Vec<UniquePlace>, Error> {
    let mut slice = Statement::<(Text, Text, Binary)>::new(
        "SELECT namespace, value, resource_id FROM unique_key WHERE tenant_id = ",
    )
    .bind(tenant);
    if let Some(key) = after {
        slice = slice
            .sql(" AND (namespace, value) > (")
            .bind(key.namespace.as_str())
            .sql(", ")
            .bind(key.value.as_str())
            .sql(")");
    }
    slice
        .sql(" ORDER BY namespace, value LIMIT ")
        .bind(limit)
        .load::<(String, String, Vec<u8>)>(db)?
        .into_iter()
        .map(|(namespace, value, id)| Ok((UniqueKey { namespace, value }, resource_id(&id)?)))
        .collect()
}

/// The paths whose rows are being cleared and mean nothing.
pub(crate) fn dropping(db: &mut Db, tenant: TenantId) -> Result<HashSet<i64>, Error> {
    let paths = Statement::<BigInt>::new("SELECT path_id FROM attr_path WHERE state = 'dropping' AND tenant_id = ")
        .bind(tenant);
    Ok(paths.load::<i64>(db)?.into_iter().collect())
}

/// What a pass over the documents has counted.
#[derive(Default)]
struct Passed {
    /// Rows by path.
    index: BTreeMap<i64, i64>,
    /// Keys.
    unique: i64,
    /// Whether a row was missed, so that as many rows as there should be says nothing.
    missed: bool,
}

impl Check<'_, '_> {
    /// Whether every indexed path is known, named once and in a known state.
    pub(super) fn paths(&mut self) -> Result<bool, Error> {
        let rows = Statement::<(BigInt, Text, Text, Text, Text)>::new(
            "SELECT path_id, kind, path, type, state FROM attr_path WHERE tenant_id = ",
        )
        .bind(self.tenant)
        .sql(" ORDER BY path_id")
        .load::<(i64, String, String, String, String)>(&mut self.reader.db)?;
        let mut known = HashSet::new();
        let before = self.report.findings.len();
        for (id, kind, path, mode, state) in rows {
            if !["ready", "building", "dropping"].contains(&state.as_str()) {
                self.find("attr_path", format!("path {id} ({kind} {path}) is in the unknown state {state:?}"));
            }
            if !["sort", "value"].contains(&mode.as_str()) {
                self.find("attr_path", format!("path {id} ({kind} {path}) is of the unknown type {mode:?}"));
            }
            // A form is told by its text, a path in any case.
            let name = if Mapping::is_text(&path) { path.clone() } else { path.to_lowercase() };
            if state != "dropping" && !known.insert((kind.clone(), name)) {
                self.find("attr_path", format!("path {id}: {kind} {path} is indexed twice"));
            }
        }
        match self.reader.shared.indexes(&mut self.reader.db, self.tenant) {
            Ok(_) => {}
            Err(Error::Corrupt(detail)) => self.find("attr_path", detail),
            Err(error) => return Err(error),
        }
        Ok(self.report.findings.len() == before)
    }

    /// Every row that a document calls for is there, and there are no more rows than that: so the sets are equal. Where
    /// they are not, what lies beside the documents is looked for row by row.
    pub(super) fn rows(&mut self, clock: &Clock) -> Result<(), Error> {
        let indexes = self.reader.shared.indexes(&mut self.reader.db, self.tenant)?;
        let total = clock.counts.values().sum::<i64>().unsigned_abs();
        let mut passed = Passed::default();
        let mut seats = Seats::default();
        let mut done = 0;
        for (kind, rows_of) in indexes.kinds() {
            let mut after = None;
            loop {
                let records = record::slice(&mut self.reader.db, self.tenant, kind, after, SLICE)?;
                let Some(last) = records.last() else { break };
                after = Some(last.id);
                let (mut index, mut unique): (Vec<Expected>, Vec<Expected>) = (Vec::new(), Vec::new());
                for record in &records {
                    let document = match document_of(record) {
                        Ok(document) => document,
                        Err(_) => {
                            self.find("resource", format!("{}: the document is no JSON", record.id));
                            passed.missed = true;
                            continue;
                        }
                    };
                    seats.pass(record.id, &document);
                    let row = |values: Vec<Value>| (values, record.id);
                    // An index that is being built may lack rows still, but must have none too many.
                    let rows = rows_of.rows(&document);
                    rows.iter().for_each(|(path, _)| *passed.index.entry(*path).or_default() += 1);
                    let ready = rows.into_iter().filter(|(path, _)| rows_of.is_ready(*path));
                    index.extend(ready.map(|(path, key)| row(vec![path.into(), key.into()])));
                    let keys: BTreeSet<_> =
                        rows_of.unique_keys(kind, &document).into_iter().map(|(key, _)| key).collect();
                    unique.extend(keys.into_iter().map(|key| row(vec![key.namespace.into(), key.value.into()])));
                }
                passed.unique += unique.len() as i64;
                let found = self.report.findings.len() as u64 + self.report.more;
                self.probe("attr_index", ["path_id", "value"], &index)?;
                self.probe("unique_key", ["namespace", "value"], &unique)?;
                passed.missed |= found != self.report.findings.len() as u64 + self.report.more;
                self.newest(&records)?;
                done += records.len() as u64;
                (self.watch)("Documents and indexes", done, total);
            }
        }
        self.kinds(&indexes)?;
        self.seats(&seats)?;
        self.beside(&indexes, &passed)
    }

    fn probe(&mut self, table: &'static str, columns: [&'static str; 2], expected: &[Expected]) -> Result<(), Error> {
        for rows in expected.chunks(PROBES) {
            // Each row is spelled out with its whole key, so that both databases find it by that without statistics.
            let mut statement = Statement::<BigInt>::new("SELECT COUNT(*) FROM ").sql(table).sql(" WHERE ");
            for (n, (values, id)) in rows.iter().enumerate() {
                statement = statement.sql(if n == 0 { "(tenant_id = " } else { " OR (tenant_id = " }).bind(self.tenant);
                for (column, value) in columns.iter().zip(values) {
                    statement = statement.sql(" AND ").sql(*column).sql(" = ").bind(value.clone());
                }
                statement = statement.sql(" AND resource_id = ").bind(*id).sql(")");
            }
            let found = statement.get_result::<i64>(&mut self.reader.db)?;
            if found == rows.len() as i64 {
                continue;
            }
            // One by one only where something is missing.
            match rows {
                [(values, id)] => {
                    let of = match values.first() {
                        Some(Value::Int(path)) => format!("path {path}"),
                        Some(Value::Text(namespace)) => namespace.clone(),
                        _ => String::new(),
                    };
                    self.find(table, format!("{id} lacks a row of {of}"));
                }
                rows => rows.iter().try_for_each(|row| self.probe(table, columns, std::slice::from_ref(row)))?,
            }
        }
        Ok(())
    }

    /// The newest change of each resource is the version that lies there, and left the document that lies there.
    fn newest(&mut self, records: &[Record]) -> Result<(), Error> {
        let rows = Statement::<(Binary, BigInt, BigInt, Nullable<Text>)>::new(
            "SELECT resource_id, version, at, doc FROM change WHERE tenant_id = ",
        )
        .bind(self.tenant)
        .sql(" AND seq IN ")
        .list(records.iter().map(|record| record.seq))
        .load::<(Vec<u8>, i64, i64, Option<String>)>(&mut self.reader.db)?;
        let known: HashMap<_, _> = rows.into_iter().map(|(id, version, at, doc)| ((id, version, at), doc)).collect();
        for record in records {
            let left = known.get(&(record.id.bytes(), record.version, record.modified_at));
            if left.is_none_or(|doc| doc.as_ref().is_some_and(|doc| *doc != *record.doc)) {
                self.find("resource", format!("{} is not as change {} left it", record.id, record.seq));
            }
        }
        Ok(())
    }

    /// Every resource is of a type that there is.
    fn kinds(&mut self, indexes: &Indexes) -> Result<(), Error> {
        for (kind, count) in super::living(&mut self.reader.db, self.tenant)? {
            if indexes.of(&kind).is_err() {
                self.find("resource", format!("{count} are of the unknown type {kind}"));
            }
        }
        Ok(())
    }

    /// What lies beside the documents.
    fn beside(&mut self, indexes: &Arc<Indexes>, passed: &Passed) -> Result<(), Error> {
        let found: BTreeMap<i64, i64> =
            Statement::<(BigInt, BigInt)>::new("SELECT path_id, COUNT(*) FROM attr_index WHERE tenant_id = ")
                .bind(self.tenant)
                .sql(" GROUP BY path_id")
                .load::<(i64, i64)>(&mut self.reader.db)?
                .into_iter()
                .collect();
        let dropping = dropping(&mut self.reader.db, self.tenant)?;
        let is_beyond = |(path, count): (&i64, &i64)| {
            !dropping.contains(path) && *count > passed.index.get(path).copied().unwrap_or_default()
        };
        if passed.missed || found.iter().any(is_beyond) {
            self.stray_index_rows(indexes, &dropping)?;
        }
        let found = Statement::<BigInt>::new("SELECT COUNT(*) FROM unique_key WHERE tenant_id = ")
            .bind(self.tenant)
            .get_result::<i64>(&mut self.reader.db)?;
        if passed.missed || found > passed.unique {
            self.stray_unique_keys(indexes)?;
        }
        Ok(())
    }

    fn stray_index_rows(&mut self, indexes: &Indexes, dropping: &HashSet<i64>) -> Result<(), Error> {
        let mut after = None;
        loop {
            let rows = index_slice(&mut self.reader.db, self.tenant, after.as_ref(), ROWS)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.clone());
            let ids = rows.iter().filter(|(path, ..)| !dropping.contains(path)).map(|(.., id)| *id);
            let called = called(&mut self.reader.db, self.tenant, indexes, ids)?;
            for (path, value, id) in rows {
                let row = (path, value);
                if !dropping.contains(&path) && !called.get(&id).is_some_and(|called| called.is_for(&row)) {
                    self.find(
                        "attr_index",
                        format!("a row of path {path} for {id} that its document does not call for"),
                    );
                }
            }
        }
    }

    fn stray_unique_keys(&mut self, indexes: &Indexes) -> Result<(), Error> {
        let mut after = None;
        loop {
            let rows = unique_slice(&mut self.reader.db, self.tenant, after.as_ref(), ROWS)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(last.clone());
            let called = called(&mut self.reader.db, self.tenant, indexes, rows.iter().map(|(_, id)| *id))?;
            for (key, id) in rows {
                if !called.get(&id).is_some_and(|called| called.is_for_key(&key)) {
                    let namespace = key.namespace;
                    self.find(
                        "unique_key",
                        format!("a key of {namespace} for {id} that its document does not call for"),
                    );
                }
            }
        }
    }
}
