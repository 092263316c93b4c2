//! Statements as pieces of SQL and bound values: one text for both databases, prepared once a connection and found
//! again by that text. Values are always bound, never written into the text.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::RunQueryDsl;
use diesel::query_dsl::methods::LoadQuery;
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, HasSqlType, Nullable, Text};
use diesel::sqlite::Sqlite;
use diesel::{PgConnection, QueryResult, SqliteConnection};

use crate::db::Db;
use crate::{ResourceId, TenantId, dialect};

/// A value to bind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Int(i64),
    OptionalInt(Option<i64>),
    Text(String),
    /// A text that others hold too.
    Shared(Arc<String>),
    OptionalText(Option<String>),
    /// An id, which is bound as its sixteen bytes.
    Id(ResourceId),
    Bytes(Vec<u8>),
    OptionalBytes(Option<Vec<u8>>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Value::OptionalInt(value)
    }
}

impl From<TenantId> for Value {
    fn from(value: TenantId) -> Self {
        Value::Int(value.0)
    }
}

impl From<ResourceId> for Value {
    fn from(value: ResourceId) -> Self {
        Value::Id(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

impl From<Arc<String>> for Value {
    fn from(value: Arc<String>) -> Self {
        Value::Shared(value)
    }
}

impl From<Option<Arc<String>>> for Value {
    fn from(value: Option<Arc<String>>) -> Self {
        value.map_or(Value::OptionalText(None), Value::Shared)
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Value::OptionalText(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Value::Bytes(value)
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(value: Option<Vec<u8>>) -> Self {
        Value::OptionalBytes(value)
    }
}

#[derive(Clone, Debug)]
enum Piece {
    Sql(Cow<'static, str>),
    Bind(Value),
}

/// A statement whose rows have the SQL types `Row`; `()` for one without rows.
#[derive(Clone, Debug)]
pub(crate) struct Statement<Row = ()> {
    pieces: Vec<Piece>,
    row: PhantomData<Row>,
}

/// Pieces that most statements have room with.
const USUAL: usize = 16;

impl<Row> Statement<Row> {
    /// Starts a statement.
    pub(crate) fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        let mut pieces = Vec::with_capacity(USUAL);
        pieces.push(Piece::Sql(sql.into()));
        Statement { pieces, row: PhantomData }
    }

    /// Appends SQL.
    pub(crate) fn sql(mut self, sql: impl Into<Cow<'static, str>>) -> Self {
        self.pieces.push(Piece::Sql(sql.into()));
        self
    }

    /// Appends a bound value.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.pieces.push(Piece::Bind(value.into()));
        self
    }

    /// Appends `VALUES (?, ?), (?, ?) …`.
    pub(crate) fn values(mut self, rows: Vec<Vec<Value>>) -> Self {
        self.pieces.reserve(rows.iter().map(|row| 2 * row.len() + 1).sum());
        for (n, row) in rows.into_iter().enumerate() {
            self = self.sql(if n == 0 { "VALUES (" } else { ", (" });
            for (column, value) in row.into_iter().enumerate() {
                self = if column == 0 { self } else { self.sql(", ") }.bind(value);
            }
            self = self.sql(")");
        }
        self
    }

    /// Appends `(?, ?, …)` with the values. The list is padded with its last value to a power of two, so that few
    /// texts are prepared whatever the lengths are.
    pub(crate) fn list(mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        let mut values: Vec<Value> = values.into_iter().map(Into::into).collect();
        if let Some(last) = values.last().cloned() {
            values.resize(values.len().next_power_of_two(), last);
        } else {
            values.push(Value::OptionalBytes(None));
        }
        for (n, value) in values.into_iter().enumerate() {
            self.pieces.push(Piece::Sql(if n == 0 { "(" } else { ", " }.into()));
            self.pieces.push(Piece::Bind(value));
        }
        self.sql(")")
    }
}

impl Statement {
    /// Runs the statement and says how many rows it touched.
    pub(crate) fn run(self, db: &mut Db) -> QueryResult<usize> {
        match db {
            Db::Sqlite(connection) => self.execute(connection),
            Db::Postgres(connection) => self.execute(connection),
        }
    }
}

/// Past the type that hides which database it is: what that one converts at run time costs as much as the statement.
impl<Row> Statement<Row> {
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

impl<Row> QueryId for Statement<Row> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for Statement<Row> {
    type SqlType = Row;
}

impl<Row> RunQueryDsl<SqliteConnection> for Statement<Row> {}
impl<Row> RunQueryDsl<PgConnection> for Statement<Row> {}

/// A database that takes every kind of [`Value`].
pub(crate) trait Binds: Backend + HasSqlType<BigInt> + HasSqlType<Binary> + HasSqlType<Text> {
    /// Binds a value.
    fn bind<'b>(value: &'b Value, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()>;
}

impl<DB> Binds for DB
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Binary> + HasSqlType<Text>,
    i64: ToSql<BigInt, DB>,
    [u8]: ToSql<Binary, DB>,
    str: ToSql<Text, DB>,
    Option<i64>: ToSql<Nullable<BigInt>, DB>,
    Option<Vec<u8>>: ToSql<Nullable<Binary>, DB>,
    Option<String>: ToSql<Nullable<Text>, DB>,
{
    fn bind<'b>(value: &'b Value, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        match value {
            Value::Int(value) => out.push_bind_param::<BigInt, _>(value),
            Value::OptionalInt(value) => out.push_bind_param::<Nullable<BigInt>, _>(value),
            Value::Text(value) => out.push_bind_param::<Text, str>(value),
            Value::Shared(value) => out.push_bind_param::<Text, str>(value),
            Value::OptionalText(value) => out.push_bind_param::<Nullable<Text>, _>(value),
            Value::Id(value) => out.push_bind_param::<Binary, [u8]>(value.0.as_bytes()),
            Value::Bytes(value) => out.push_bind_param::<Binary, [u8]>(value),
            Value::OptionalBytes(value) => out.push_bind_param::<Nullable<Binary>, _>(value),
        }
    }
}

/// Binds a value at the end of a statement.
pub(crate) fn push_value<'b, DB: Binds>(value: &'b Value, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()> {
    DB::bind(value, out)
}

impl<Row> Statement<Row> {
    pub(crate) fn write<'b, DB: Binds>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        for piece in &self.pieces {
            match piece {
                Piece::Sql(sql) => out.push_sql(sql),
                Piece::Bind(value) => DB::bind(value, &mut out)?,
            }
        }
        Ok(())
    }
}

impl<Row> QueryFragment<Sqlite> for Statement<Row> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.write(out)
    }
}

impl<Row> QueryFragment<Pg> for Statement<Row> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.write(out)
    }
}

/// Which rows are meant: those of each of these resources, or of a whole range of ids.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Among<'i> {
    /// Those of these.
    Each(&'i [ResourceId]),
    /// All from the first to the last.
    Range(ResourceId, ResourceId),
}

impl<'i> Among<'i> {
    /// `dense`: hardly any other resource lies between the first and the last of them, which are in order.
    pub(crate) fn new(ids: &'i [ResourceId], dense: bool) -> Self {
        match (ids.first(), ids.last()) {
            (Some(first), Some(last)) if dense => Among::Range(*first.min(last), *first.max(last)),
            _ => Among::Each(ids),
        }
    }

    /// As many parts as statements are needed.
    pub(crate) fn parts(self) -> Vec<Among<'i>> {
        match self {
            Among::Each(ids) => ids.chunks(LIST).map(Among::Each).collect(),
            range => vec![range],
        }
    }

    /// Appends the condition on a column.
    pub(crate) fn bind<Row>(self, statement: Statement<Row>, column: &'static str) -> Statement<Row> {
        let statement = statement.sql(" AND ").sql(column);
        match self {
            Among::Each(ids) => statement.sql(" IN ").list(ids.iter().copied()),
            Among::Range(first, last) => {
                statement.sql(" >= ").bind(first).sql(" AND ").sql(column).sql(" <= ").bind(last)
            }
        }
    }
}

/// Longest list that one statement takes; longer ones are cut into several statements.
pub(crate) const LIST: usize = 256;

/// Most rows that one statement writes.
const ROWS: usize = 64;

/// Writes rows with as few statements as possible: `head VALUES (…), (…) tail`, in runs whose lengths are powers of two;
/// `head` begins with `INSERT INTO`. When it fails, some rows may be written: the transaction must not be committed.
/// Says how many rows it touched.
pub(crate) fn insert(db: &mut Db, head: &'static str, rows: Vec<Vec<Value>>, tail: &'static str) -> QueryResult<usize> {
    let verb = dialect::insert_all(db);
    insert_by(db, verb, head.strip_prefix("INSERT").unwrap_or(head), rows, tail)
}

/// The same for a transaction that goes on when it fails: each statement writes all of its rows or none.
pub(crate) fn insert_apart(
    db: &mut Db,
    head: &'static str,
    rows: Vec<Vec<Value>>,
    tail: &'static str,
) -> QueryResult<usize> {
    insert_by(db, "", head, rows, tail)
}

fn insert_by(
    db: &mut Db,
    verb: &'static str,
    head: &'static str,
    rows: Vec<Vec<Value>>,
    tail: &'static str,
) -> QueryResult<usize> {
    let mut touched = 0;
    for run in runs(rows) {
        touched += Statement::<()>::new(verb).sql(head).sql(" ").values(run).sql(" ").sql(tail).run(db)?;
    }
    Ok(touched)
}

/// Deletes the rows whose `columns` hold the values of one of `keys`. Each key is spelled out with every column, so
/// that both databases find it by the primary key without statistics.
pub(crate) fn delete(
    db: &mut Db,
    table: &'static str,
    columns: &[&'static str],
    keys: Vec<Vec<Value>>,
) -> QueryResult<()> {
    for run in runs(keys) {
        let mut statement = Statement::<()>::new("DELETE FROM ").sql(table).sql(" WHERE ");
        for (n, key) in run.into_iter().enumerate() {
            statement = statement.sql(if n == 0 { "(" } else { " OR (" });
            for (place, (column, value)) in columns.iter().zip(key).enumerate() {
                statement =
                    if place == 0 { statement } else { statement.sql(" AND ") }.sql(*column).sql(" = ").bind(value);
            }
            statement = statement.sql(")");
        }
        statement.run(db)?;
    }
    Ok(())
}

/// Cuts rows into runs of 64, 32, 16 … so that at most seven texts exist for each statement.
pub(crate) fn runs<Row>(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let mut left = rows.len();
    let mut rows = rows.into_iter();
    let mut runs = Vec::new();
    while left > 0 {
        let size = ROWS.min(1 << left.ilog2());
        runs.push(rows.by_ref().take(size).collect());
        left -= size;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_powers_of_two_and_none_is_lost() {
        let rows: Vec<_> = (0..203).map(|n| vec![Value::Int(n)]).collect();
        let runs = runs(rows.clone());
        assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 64, 8, 2, 1]);
        assert_eq!(runs.concat(), rows);
    }
}
