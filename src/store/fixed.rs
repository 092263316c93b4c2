//! Statements whose text their type says: it is put together once a connection, and the prepared statement is found by
//! the type, without making the text anew and hashing it. For what every write does; all else is a [`Statement`] alone.

use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::RunQueryDsl;
use diesel::query_dsl::methods::LoadQuery;
use diesel::sqlite::Sqlite;
use diesel::{PgConnection, QueryResult, SqliteConnection};

use crate::db::Db;
use crate::statement::{Binds, Statement, Value, push_value, runs};

/// A statement that has one text for each database, whatever its values are. `Name` stands for that text: no other statement
/// has it.
pub(crate) struct Fixed<Name, Row = ()> {
    statement: Statement<Row>,
    name: PhantomData<Name>,
}

impl<Row> Statement<Row> {
    /// The same, found by a name of its own.
    pub(crate) fn fixed<Name>(self) -> Fixed<Name, Row> {
        Fixed { statement: self, name: PhantomData }
    }
}

impl<Name: 'static> Fixed<Name> {
    /// Runs the statement and says how many rows it touched.
    pub(crate) fn run(self, db: &mut Db) -> QueryResult<usize> {
        match db {
            Db::Sqlite(connection) => self.execute(connection),
            Db::Postgres(connection) => self.execute(connection),
        }
    }
}

impl<Name: 'static, Row> Fixed<Name, Row> {
    /// The rows.
    pub(crate) fn load<'q, U>(self, db: &mut Db) -> QueryResult<Vec<U>>
    where
        Self: LoadQuery<'q, SqliteConnection, U> + LoadQuery<'q, PgConnection, U>,
    {
        match db {
            Db::Sqlite(connection) => RunQueryDsl::load(self, connection),
            Db::Postgres(connection) => RunQueryDsl::load(self, connection),
        }
    }

    /// The first row; fails when there is none.
    pub(crate) fn get_result<'q, U>(self, db: &mut Db) -> QueryResult<U>
    where
        Self: LoadQuery<'q, SqliteConnection, U> + LoadQuery<'q, PgConnection, U>,
    {
        match db {
            Db::Sqlite(connection) => RunQueryDsl::get_result(self, connection),
            Db::Postgres(connection) => RunQueryDsl::get_result(self, connection),
        }
    }
}

impl<Name: 'static, Row> QueryId for Fixed<Name, Row> {
    type QueryId = Fixed<Name>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Name, Row> Query for Fixed<Name, Row> {
    type SqlType = Row;
}

impl<Name, Row> RunQueryDsl<SqliteConnection> for Fixed<Name, Row> {}
impl<Name, Row> RunQueryDsl<PgConnection> for Fixed<Name, Row> {}

impl<Name, Row> QueryFragment<Sqlite> for Fixed<Name, Row> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.statement.write(out)
    }
}

impl<Name, Row> QueryFragment<Pg> for Fixed<Name, Row> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.statement.write(out)
    }
}

/// A way in which rows are written, and the text of it. No two have the same.
pub(crate) trait Writing: 'static {
    /// The table and its columns: `resource (tenant_id, …)`. All rows that are written at once are of one tenant.
    const INTO: &'static str;
    /// What follows the rows.
    const TAIL: &'static str = "";
}

/// So many rows for a table, each with as many values as that names columns.
struct Insertion<W, const ROWS: usize> {
    rows: Vec<Vec<Value>>,
    way: PhantomData<W>,
}

impl<W: Writing, const ROWS: usize> QueryId for Insertion<W, ROWS> {
    type QueryId = Insertion<W, ROWS>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<W, const ROWS: usize> RunQueryDsl<SqliteConnection> for Insertion<W, ROWS> {}
impl<W, const ROWS: usize> RunQueryDsl<PgConnection> for Insertion<W, ROWS> {}

impl<W: Writing, const ROWS: usize> Insertion<W, ROWS> {
    /// `first`: how the first value that was bound is named again.
    fn write<'b, DB: Backend + Binds>(
        &'b self,
        verb: &str,
        first: &str,
        mut out: AstPass<'_, 'b, DB>,
    ) -> QueryResult<()> {
        out.push_sql(verb);
        out.push_sql(W::INTO);
        out.push_sql(" VALUES ");
        for (n, row) in self.rows.iter().enumerate() {
            out.push_sql(if n == 0 { "(" } else { ", (" });
            for (column, value) in row.iter().enumerate() {
                if column > 0 {
                    out.push_sql(", ");
                }
                match (n, column) {
                    (1.., 0) => out.push_sql(first),
                    _ => push_value(value, &mut out)?,
                }
            }
            out.push_sql(")");
        }
        out.push_sql(W::TAIL);
        Ok(())
    }

    fn run(rows: Vec<Vec<Value>>, db: &mut Db) -> QueryResult<usize> {
        let insertion = Insertion::<W, ROWS> { rows, way: PhantomData };
        match db {
            Db::Sqlite(connection) => insertion.execute(connection),
            Db::Postgres(connection) => insertion.execute(connection),
        }
    }
}

/// SQLite would otherwise copy each page before it is changed, to take back the one statement; see
/// [`crate::dialect::insert_all`].
impl<W: Writing, const ROWS: usize> QueryFragment<Sqlite> for Insertion<W, ROWS> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.write("INSERT OR FAIL INTO ", "?1", out)
    }
}

impl<W: Writing, const ROWS: usize> QueryFragment<Pg> for Insertion<W, ROWS> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.write("INSERT INTO ", "$1", out)
    }
}

/// Writes rows as [`crate::statement::insert`] does, in runs whose lengths are powers of two. When it fails, some rows may
/// be written: the transaction must not be committed.
pub(crate) fn insert<W: Writing>(db: &mut Db, rows: Vec<Vec<Value>>) -> QueryResult<()> {
    debug_assert!(rows.iter().all(|row| row.len() == W::INTO.matches(',').count() + 1), "{} values", W::INTO);
    debug_assert!(rows.iter().all(|row| row.first() == rows.first().and_then(|row| row.first())), "one tenant");
    for run in runs(rows) {
        match run.len() {
            1 => Insertion::<W, 1>::run(run, db),
            2 => Insertion::<W, 2>::run(run, db),
            4 => Insertion::<W, 4>::run(run, db),
            8 => Insertion::<W, 8>::run(run, db),
            16 => Insertion::<W, 16>::run(run, db),
            32 => Insertion::<W, 32>::run(run, db),
            _ => Insertion::<W, 64>::run(run, db),
        }?;
    }
    Ok(())
}
