//! The baseline of SQLite: rows inserted, read and updated by SQL alone in a copy of a register's file.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use super::{Table, stage};
use crate::db::{Address, Db, Purpose};
use crate::statement::Statement;
use crate::{Error, OpenError, ResourceId, TenantId};

/// Changes by updates are numbered from here on, so that none has the number of one that is staged.
const UPDATES: i64 = 1 << 40;

/// A copy of a register's file to compare with.
pub struct SqliteBaseline {
    db: Db,
    tenant: TenantId,
    tables: Vec<Table>,
}

impl SqliteBaseline {
    /// Opens the copy, with the register that it was copied from beside it to take rows from. Both are paths of files.
    pub fn open(copy: &str, register: &str, tenant: TenantId) -> Result<Self, OpenError> {
        let mut db = Db::open(&Address::Sqlite(copy.to_owned()), Purpose::Write)?;
        let failed = |error: &dyn std::error::Error| OpenError::Connect(error.to_string());
        db.batch_execute(&format!("ATTACH '{}' AS register", register.replace('\'', "''")))
            .map_err(|error| failed(&error))?;
        let tables = tables(&mut db).map_err(|error| failed(&error))?;
        Ok(SqliteBaseline { db, tenant, tables })
    }

    /// Takes the rows of these resources out of the register, to be inserted later, and says how many rows they are. The
    /// copy must not have them.
    pub fn stage(&mut self, resources: &[ResourceId]) -> Result<i64, Error> {
        self.db.batch_execute("CREATE TEMP TABLE staged (n INTEGER PRIMARY KEY, resource_id BLOB NOT NULL UNIQUE)")?;
        stage(&mut self.db, "temp.staged", resources)?;
        let mut rows = 0;
        for Table { name, .. } in &self.tables {
            self.db.batch_execute(&format!(
                "CREATE TEMP TABLE staged_{name} AS SELECT s.n AS n, t.* FROM register.{name} t \
                 JOIN temp.staged s ON s.resource_id = t.resource_id WHERE t.tenant_id = {tenant}; \
                 CREATE INDEX temp.staged_{name}_n ON staged_{name} (n);",
                tenant = self.tenant.0
            ))?;
            rows += Statement::<BigInt>::new(format!("SELECT COUNT(*) FROM temp.staged_{name}"))
                .get_result::<i64>(&mut self.db)?;
        }
        Ok(rows)
    }

    /// Inserts the rows of the staged resources from `first` on, `count` of them, in one commit, and moves the clock.
    pub fn insert(&mut self, first: i64, count: i64) -> Result<(), Error> {
        self.db.batch_execute("BEGIN IMMEDIATE")?;
        for Table { name, columns, .. } in &self.tables {
            Statement::<()>::new(format!(
                "INSERT INTO main.{name} ({columns}) SELECT {columns} FROM temp.staged_{name} WHERE n >= "
            ))
            .bind(first)
            .sql(" AND n < ")
            .bind(first + count)
            .run(&mut self.db)?;
        }
        Statement::<()>::new("UPDATE main.tenant_clock SET seq = seq + ")
            .bind(count)
            .sql(" WHERE tenant_id = ")
            .bind(self.tenant)
            .run(&mut self.db)?;
        Ok(self.db.batch_execute("COMMIT")?)
    }

    /// Takes out again all that was inserted, so that it can be inserted anew.
    pub fn clear(&mut self) -> Result<(), Error> {
        self.db.batch_execute("BEGIN IMMEDIATE")?;
        for Table { name, key, .. } in &self.tables {
            let delete = format!("DELETE FROM main.{name} WHERE ({key}) IN (SELECT {key} FROM temp.staged_{name})");
            self.db.batch_execute(&delete)?;
        }
        Ok(self.db.batch_execute("COMMIT")?)
    }

    /// Reads what a GET of a resource has to read: its row, its external ids and the groups it is in, and says how many rows
    /// that was.
    pub fn read(&mut self, id: ResourceId) -> Result<usize, Error> {
        let document = Statement::<(BigInt, Text)>::new("SELECT version, doc FROM main.resource WHERE tenant_id = ")
            .bind(self.tenant)
            .sql(" AND resource_id = ")
            .bind(id)
            .load::<(i64, String)>(&mut self.db)?;
        let external = Statement::<Text>::new("SELECT value FROM main.external_id WHERE tenant_id = ")
            .bind(self.tenant)
            .sql(" AND resource_id = ")
            .bind(id)
            .load::<String>(&mut self.db)?;
        let groups = Statement::<Binary>::new("SELECT group_id FROM main.membership WHERE tenant_id = ")
            .bind(self.tenant)
            .sql(" AND member_id = ")
            .bind(id)
            .load::<Vec<u8>>(&mut self.db)?;
        Ok(document.len() + external.len() + groups.len())
    }

    /// Writes what the server writes when an attribute without an index changes, in one commit: the resource's row with its
    /// next version and the document that it has, the row of the change, and the clock.
    pub fn update(&mut self, id: ResourceId) -> Result<usize, Error> {
        let (version, doc) =
            Statement::<(BigInt, Text)>::new("SELECT version, doc FROM main.resource WHERE tenant_id = ")
                .bind(self.tenant)
                .sql(" AND resource_id = ")
                .bind(id)
                .get_result::<(i64, String)>(&mut self.db)?;
        self.db.batch_execute("BEGIN IMMEDIATE")?;
        let seq = Statement::<BigInt>::new(
            "UPDATE main.tenant_clock SET seq = seq + 1, last_at = last_at + 1, digest = randomblob(32) WHERE tenant_id = ",
        )
        .bind(self.tenant)
        .sql(" RETURNING seq")
        .get_result::<i64>(&mut self.db)?;
        let seq = seq.saturating_add(UPDATES);
        let updated = Statement::<()>::new("UPDATE main.resource SET modified_at = modified_at + 1, version = ")
            .bind(version + 1)
            .sql(", seq = ")
            .bind(seq)
            .sql(", doc = ")
            .bind(doc.clone())
            .sql(" WHERE tenant_id = ")
            .bind(self.tenant)
            .sql(" AND resource_id = ")
            .bind(id)
            .run(&mut self.db)?;
        Statement::<()>::new(
            "INSERT INTO main.change (op, kind, cause, at, actor, txn, salt, commitment, digest, credential, address, request, \
             tenant_id, seq, resource_id, version, doc) VALUES ('update', 'User', 'request', 1800000000000000, \
             randomblob(16), randomblob(16), randomblob(16), randomblob(32), randomblob(32), randomblob(16), '127.0.0.1', \
             '00000000-0000-0000-0000-000000000000', ",
        )
        .bind(self.tenant)
        .sql(", ")
        .bind(seq)
        .sql(", ")
        .bind(id)
        .sql(", ")
        .bind(version + 1)
        .sql(", ")
        .bind(doc)
        .sql(")")
        .run(&mut self.db)?;
        self.db.batch_execute("COMMIT")?;
        Ok(updated)
    }
}

/// The tables that hold rows of resources, with their columns and primary keys.
fn tables(db: &mut Db) -> QueryResult<Vec<Table>> {
    let columns = Statement::<(Text, Text, BigInt)>::new(
        "SELECT m.name, c.name, c.pk FROM sqlite_master m, pragma_table_info(m.name) c \
         WHERE m.type = 'table' ORDER BY m.name, c.cid",
    )
    .load::<(String, String, i64)>(db)?;
    Ok(Table::all(&columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_and_out_again_as_the_register_has_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let id = ResourceId(uuid::Uuid::from_u128(1));
        for name in ["register", "copy"] {
            crate::migrate(&format!("sqlite:{}", path(name))).expect("migrated");
        }
        let mut register = Db::open(&Address::Sqlite(path("register")), Purpose::Write).expect("opens");
        let resource = "INSERT INTO resource VALUES (1, X'00000000000000000000000000000001', 'User', 1, 1, 0, 0, 0, 'A', '{}', NULL); \
                        INSERT INTO attr_index VALUES (1, 1, 'a', X'00000000000000000000000000000001')";
        register.batch_execute(resource).expect("rows of tenant_id 1");
        let mut baseline = SqliteBaseline::open(&path("copy"), &path("register"), TenantId(1)).expect("opens");
        let clock = "INSERT INTO main.tenant_clock (tenant_id, seq, last_at, nesting_seq, counts, digest) VALUES (1, 1, 0, 0, '{}', X'00')";
        baseline.db.batch_execute(clock).expect("a clock");
        assert_eq!(baseline.stage(&[id]).expect("staged"), 2);
        for _ in 0..2 {
            assert_eq!(baseline.read(id).expect("reads"), 0);
            baseline.insert(0, 1).expect("inserted");
            assert_eq!(baseline.read(id).expect("reads"), 1);
            for _ in 0..2 {
                assert_eq!(baseline.update(id).expect("updated"), 1);
            }
            baseline.clear().expect("cleared");
        }
        let changes = Statement::<BigInt>::new("SELECT COUNT(*) FROM main.change").get_result::<i64>(&mut baseline.db);
        assert_eq!(changes.expect("counts"), 4, "each update has its change");
    }
}
