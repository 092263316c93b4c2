//! What the database itself can do, for comparison: the rows of resources that a server has made, inserted, read and
//! updated by SQL alone. Nothing is validated, derived or numbered here; the fewest statements do it. Never used by a
//! server.
//!
//! Which tables a resource has rows in is read from the database, so that a table that is added later counts too.

mod postgres;
mod sqlite;

pub use postgres::PostgresBaseline;
pub use sqlite::SqliteBaseline;

use crate::db::Db;
use crate::statement::Statement;
use crate::{Error, ResourceId};

/// Resources that one statement stages.
const RUN: usize = 500;

/// A table with rows of resources.
struct Table {
    name: String,
    columns: String,
    key: String,
}

impl Table {
    /// The tables of resources among columns in order, each with its table and its place in the primary key (0: none).
    fn all(columns: &[(String, String, i64)]) -> Vec<Self> {
        let mut tables = Vec::new();
        for of_one in columns.chunk_by(|a, b| a.0 == b.0) {
            let has = |column: &str| of_one.iter().any(|(_, name, _)| name == column);
            let (Some((name, ..)), true) = (of_one.first(), has("tenant_id") && has("resource_id")) else { continue };
            let names = |keys_only: bool| {
                let chosen = of_one.iter().filter(|(.., key)| !keys_only || *key > 0);
                chosen.map(|(_, column, _)| column.as_str()).collect::<Vec<_>>().join(", ")
            };
            tables.push(Table { name: name.clone(), columns: names(false), key: names(true) });
        }
        tables
    }
}

/// Numbers resources from 0 in a table of numbers and ids.
fn stage(db: &mut Db, table: &'static str, resources: &[ResourceId]) -> Result<(), Error> {
    let mut n = 0_i64;
    for run in resources.chunks(RUN) {
        let mut insert = Statement::<()>::new("INSERT INTO ").sql(table).sql(" VALUES ");
        for (place, id) in run.iter().enumerate() {
            insert = insert.sql(if place == 0 { "(" } else { ", (" }).bind(n).sql(", ").bind(*id).sql(")");
            n += 1;
        }
        insert.run(db)?;
    }
    Ok(())
}
