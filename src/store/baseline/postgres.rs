//! The baseline of PostgreSQL: tables like the register's own and filled like them, in a schema `bench` beside it, and
//! scripts for pgbench that read and insert one resource a transaction, in one statement.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::{Table, stage};
use crate::db::{Address, Db, Purpose};
use crate::statement::Statement;
use crate::{Error, OpenError, ResourceId, TenantId};

/// Tables to compare with, in the register's own database.
pub struct PostgresBaseline {
    db: Db,
    tenant: TenantId,
    tables: Vec<Table>,
    staged: usize,
}

impl PostgresBaseline {
    /// Makes the tables, and takes the rows of these resources to be inserted.
    pub fn prepare(url: &str, tenant: TenantId, resources: &[ResourceId]) -> Result<Self, OpenError> {
        let mut db = Db::open(&Address::parse(url)?, Purpose::Write)?;
        let failed = |error: Error| OpenError::Connect(error.to_string());
        let tables = tables(&mut db).map_err(|error| failed(error.into()))?;
        let mut baseline = PostgresBaseline { db, tenant, tables, staged: resources.len() };
        baseline.build(resources).map_err(failed)?;
        Ok(baseline)
    }

    fn build(&mut self, resources: &[ResourceId]) -> Result<(), Error> {
        self.db.batch_execute(
            "DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench; CREATE SEQUENCE bench.next MINVALUE 0; \
             CREATE TABLE bench.staged (n BIGINT PRIMARY KEY, resource_id BYTEA NOT NULL UNIQUE)",
        )?;
        stage(&mut self.db, "bench.staged", resources)?;
        for Table { name, .. } in &self.tables {
            self.db.batch_execute(&format!(
                "CREATE TABLE bench.{name} (LIKE public.{name} INCLUDING ALL); \
                 CREATE TABLE bench.staged_{name} AS SELECT s.n, t.* FROM public.{name} t \
                 JOIN bench.staged s ON s.resource_id = t.resource_id WHERE t.tenant_id = {tenant}; \
                 CREATE INDEX ON bench.staged_{name} (n); \
                 INSERT INTO bench.{name} SELECT t.* FROM public.{name} t WHERE t.tenant_id = {tenant} AND \
                 NOT EXISTS (SELECT 1 FROM bench.staged s WHERE s.resource_id = t.resource_id); \
                 ANALYZE bench.{name}; ANALYZE bench.staged_{name};",
                tenant = self.tenant.0
            ))?;
        }
        Ok(self.db.batch_execute("ANALYZE bench.staged; ANALYZE public.resource")?)
    }

    /// How many resources can be inserted before [`PostgresBaseline::clear`].
    pub fn staged(&self) -> usize {
        self.staged
    }

    /// A script for pgbench: reads the row of a resource.
    pub fn select_script(&self) -> String {
        format!(
            "\\set n random(0, {last})\nSELECT version, doc FROM public.resource WHERE tenant_id = {tenant} AND \
             resource_id = (SELECT resource_id FROM bench.staged WHERE n = :n);\n",
            last = self.staged.saturating_sub(1),
            tenant = self.tenant.0
        )
    }

    /// A script for pgbench: inserts all rows of the next resource.
    pub fn insert_script(&self) -> String {
        let mut script = "WITH k AS MATERIALIZED (SELECT nextval('bench.next') AS n)".to_owned();
        for Table { name, columns, .. } in &self.tables {
            script += &format!(
                ", in_{name} AS (INSERT INTO bench.{name} ({columns}) SELECT {columns} FROM bench.staged_{name} \
                 WHERE n = (SELECT k.n FROM k))"
            );
        }
        script + " SELECT n FROM k;\n"
    }

    /// Takes out again what was inserted, and says how much that was.
    pub fn clear(&mut self) -> Result<usize, Error> {
        let inserted = Statement::<BigInt>::new(
            "SELECT COUNT(*) FROM bench.resource r JOIN bench.staged s ON s.resource_id = r.resource_id WHERE r.tenant_id = ",
        )
        .bind(self.tenant)
        .get_result::<i64>(&mut self.db)?;
        for Table { name, key, .. } in &self.tables {
            let delete = format!("DELETE FROM bench.{name} WHERE ({key}) IN (SELECT {key} FROM bench.staged_{name})");
            self.db.batch_execute(&delete)?;
            self.db.batch_execute(&format!("VACUUM bench.{name}"))?;
        }
        self.db.batch_execute("ALTER SEQUENCE bench.next RESTART")?;
        Ok(usize::try_from(inserted).unwrap_or_default())
    }
}

/// The tables that hold rows of resources, with their columns and primary keys.
fn tables(db: &mut Db) -> QueryResult<Vec<Table>> {
    let columns = Statement::<(Text, Text, BigInt)>::new(
        "SELECT c.relname::text, a.attname::text, COALESCE(array_position(i.indkey::int2[], a.attnum), -1)::bigint + 1 \
         FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace AND s.nspname = 'public' \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
         WHERE c.relkind = 'r' ORDER BY c.relname, a.attnum",
    )
    .load::<(String, String, i64)>(db)?;
    Ok(Table::all(&columns))
}
