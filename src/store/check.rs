//! Whether a register is what it must be: every index, key and membership row is a function of the documents, the counts
//! are those of the rows, and the chain of changes holds. It reads, and mends nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use diesel::sql_types::{BigInt, Binary, Text};

use crate::clock::Clock;
use crate::reader::Reader;
use crate::statement::{Statement, Value};
use crate::work::document_of;
use crate::{Error, Record, ResourceId, TenantId, change, record};

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The table.
    pub table: &'static str,
    /// What is wrong, for the operator.
    pub detail: String,
}

/// Resources or changes read at a time.
const SLICE: i64 = 256;
/// Rows asked for in one statement.
const PROBES: usize = 64;

/// A row that a document calls for: its columns after the tenant, and for whom.
type Expected = (Vec<Value>, ResourceId);

impl Reader {
    /// Checks a tenant as it stands at one moment. No finding: all is well.
    pub fn verify(&mut self, tenant: TenantId) -> Result<Vec<Finding>, Error> {
        self.snapshot(|reader| Check { reader, tenant, findings: Vec::new() }.run())
    }
}

struct Check<'c> {
    reader: &'c mut Reader,
    tenant: TenantId,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn run(mut self) -> Result<Vec<Finding>, Error> {
        self.resources()?;
        self.references()?;
        self.chain()?;
        Ok(self.findings)
    }

    fn find(&mut self, table: &'static str, detail: String) {
        self.findings.push(Finding { table, detail });
    }

    /// Every row that a document calls for is there, and there are no more rows than that: so the sets are equal.
    fn resources(&mut self) -> Result<(), Error> {
        let indexes = self.reader.shared.indexes(&mut self.reader.db, self.tenant)?;
        let (mut index_rows, mut unique_rows) = (0, 0);
        let mut living: BTreeMap<String, i64> = BTreeMap::new();
        for (kind, rows_of) in indexes.kinds() {
            let mut after = None;
            loop {
                let records = record::slice(&mut self.reader.db, self.tenant, kind, after, SLICE)?;
                let Some(last) = records.last() else { break };
                after = Some(last.id);
                *living.entry(kind.to_owned()).or_default() += records.len() as i64;
                let (mut index, mut unique): (Vec<Expected>, Vec<Expected>) = (Vec::new(), Vec::new());
                for record in &records {
                    let document = document_of(record)?;
                    let row = |values: Vec<Value>| (values, record.id);
                    // An index that is being built may lack rows still, but must have none too many.
                    let rows = rows_of.rows(&document);
                    index_rows += rows.len() as i64;
                    let ready = rows.into_iter().filter(|(path, _)| rows_of.is_ready(*path));
                    index.extend(ready.map(|(path, key)| row(vec![path.into(), key.into()])));
                    let keys: BTreeSet<_> =
                        rows_of.unique_keys(kind, &document).into_iter().map(|(key, _)| key).collect();
                    unique.extend(keys.into_iter().map(|key| row(vec![key.namespace.into(), key.value.into()])));
                }
                unique_rows += unique.len() as i64;
                self.probe("attr_index", ["path_id", "value"], &index)?;
                self.probe("unique_key", ["namespace", "value"], &unique)?;
                self.newest(&records)?;
            }
        }
        self.total("attr_index", index_rows)?;
        self.total("unique_key", unique_rows)?;
        let mut counts = Clock::read(&mut self.reader.db, self.tenant)?.counts;
        counts.retain(|_, count| *count != 0);
        if counts != living {
            self.find("tenant_clock", format!("counts {counts:?}, but {living:?} live"));
        }
        Ok(())
    }

    fn probe(&mut self, table: &'static str, columns: [&'static str; 2], expected: &[Expected]) -> Result<(), Error> {
        for rows in expected.chunks(PROBES) {
            let mut statement = Statement::<BigInt>::new("SELECT COUNT(*) FROM ")
                .sql(table)
                .sql(" WHERE tenant_id = ")
                .bind(self.tenant)
                .sql(" AND (");
            for (n, (values, id)) in rows.iter().enumerate() {
                statement = statement.sql(if n == 0 { "(resource_id = " } else { " OR (resource_id = " }).bind(*id);
                for (column, value) in columns.iter().zip(values) {
                    statement = statement.sql(" AND ").sql(*column).sql(" = ").bind(value.clone());
                }
                statement = statement.sql(")");
            }
            let found = statement.sql(")").get_result::<i64>(&mut self.reader.db)?;
            if found == rows.len() as i64 {
                continue;
            }
            // One by one only where something is missing.
            match rows {
                [(values, id)] => self.find(table, format!("{id} lacks the row {values:?}")),
                rows => rows.iter().try_for_each(|row| self.probe(table, columns, std::slice::from_ref(row)))?,
            }
        }
        Ok(())
    }

    fn total(&mut self, table: &'static str, expected: i64) -> Result<(), Error> {
        let mut rows =
            Statement::<BigInt>::new("SELECT COUNT(*) FROM ").sql(table).sql(" WHERE tenant_id = ").bind(self.tenant);
        if table == "attr_index" {
            // The rows of an index that is being dropped wait for being cleared, and mean nothing.
            rows = rows
                .sql(" AND path_id NOT IN (SELECT path_id FROM attr_path WHERE state = 'dropping' AND tenant_id = ")
                .bind(self.tenant)
                .sql(")");
        }
        let found = rows.get_result::<i64>(&mut self.reader.db)?;
        if found > expected {
            self.find(table, format!("{found} rows where the documents call for {expected}"));
        }
        Ok(())
    }

    /// The newest change of each resource is the version that lies there.
    fn newest(&mut self, records: &[Record]) -> Result<(), Error> {
        let rows = Statement::<(Binary, BigInt, BigInt)>::new(
            "SELECT resource_id, version, at FROM change WHERE tenant_id = ",
        )
        .bind(self.tenant)
        .sql(" AND seq IN ")
        .list(records.iter().map(|record| record.seq))
        .load::<(Vec<u8>, i64, i64)>(&mut self.reader.db)?;
        let known: HashSet<_> = rows.into_iter().collect();
        for record in records {
            if !known.contains(&(record.id.bytes(), record.version, record.modified_at)) {
                self.find("resource", format!("{} is not as change {} left it", record.id, record.seq));
            }
        }
        Ok(())
    }

    /// What points at a resource points at one that lives; members of deleted groups wait for their sweep.
    fn references(&mut self) -> Result<(), Error> {
        let externals = Statement::<Text>::new(
            "SELECT e.value FROM external_id e LEFT JOIN resource r ON r.tenant_id = e.tenant_id AND \
             r.resource_id = e.resource_id AND r.kind = e.kind WHERE r.resource_id IS NULL AND e.tenant_id = ",
        )
        .bind(self.tenant)
        .load::<String>(&mut self.reader.db)?;
        for value in externals {
            self.find("external_id", format!("{value:?} belongs to nobody"));
        }
        let members = Statement::<(Binary, Binary)>::new(
            "SELECT m.group_id, m.member_id FROM membership m \
             LEFT JOIN resource g ON g.tenant_id = m.tenant_id AND g.resource_id = m.group_id \
             LEFT JOIN resource r ON r.tenant_id = m.tenant_id AND r.resource_id = m.member_id AND r.kind = m.member_kind \
             LEFT JOIN sweep s ON s.tenant_id = m.tenant_id AND s.group_id = m.group_id \
             WHERE s.group_id IS NULL AND (g.resource_id IS NULL OR r.resource_id IS NULL) AND m.tenant_id = ",
        )
        .bind(self.tenant)
        .load::<(Vec<u8>, Vec<u8>)>(&mut self.reader.db)?;
        for (group, member) in members {
            let (group, member) = (record::resource_id(&group)?, record::resource_id(&member)?);
            self.find("membership", format!("of {member} in {group}: one of them is not there"));
        }
        Ok(())
    }

    fn chain(&mut self) -> Result<(), Error> {
        let clock = Clock::read(&mut self.reader.db, self.tenant)?;
        let (mut seq, mut head) = (0, Vec::new());
        loop {
            match change::read(&mut self.reader.db, self.tenant, seq, Some(head.clone()), SLICE) {
                Ok(changes) => {
                    let Some(last) = changes.last() else { break };
                    if last.change.seq != seq + changes.len() as i64 {
                        self.find("change", format!("a number is missing after {seq}"));
                    }
                    (seq, head) = (last.change.seq, last.digest.clone());
                }
                Err(Error::Corrupt(detail)) => {
                    self.find("change", detail);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        if (seq, &head) != (clock.seq, &clock.digest) {
            self.find("change", format!("ends at {seq}, and not where the clock stands, at {}", clock.seq));
        }
        Ok(())
    }
}
