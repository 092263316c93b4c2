//! The handful of statements that differ between SQLite and PostgreSQL, and nothing else.

use std::time::Duration;

use diesel::QueryResult;
use diesel::connection::SimpleConnection;

use crate::db::Db;

/// Begins a write. SQLite takes its one write lock at once, so that a decision never has to be taken twice; PostgreSQL
/// locks by the tenant's clock row (see [`lock_clause`]).
pub(crate) fn begin_write(db: &mut Db) -> QueryResult<()> {
    match db {
        Db::Sqlite(connection) => connection.batch_execute("BEGIN IMMEDIATE"),
        Db::Postgres(connection) => connection.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
    }
}

/// So often SQLite's write lock is asked for, for ten seconds in all.
const TRIES: u32 = 50_000;
/// Between two looks.
const PAUSE: Duration = Duration::from_micros(200);

/// Begins a write on a connection for batches. Another process that writes batch after batch lets go of SQLite's lock for less
/// than a millisecond at a time, and SQLite itself looks ten times a second at last, so it would wait in vain: whoever looks
/// more often gets its turn.
pub(crate) fn begin_batch(db: &mut Db) -> QueryResult<()> {
    let mut begun = begin_write(db);
    for _ in 1..TRIES {
        match begun {
            Err(error) if is_locked(&error) => {
                std::thread::sleep(PAUSE);
                begun = begin_write(db);
            }
            begun => return begun,
        }
    }
    begun
}

/// Whether SQLite says that another connection writes.
fn is_locked(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, told) if told.message() == "database is locked")
}

/// Begins a read in which every statement sees the same state.
pub(crate) fn begin_read(db: &mut Db) -> QueryResult<()> {
    match db {
        Db::Sqlite(connection) => connection.batch_execute("BEGIN DEFERRED"),
        Db::Postgres(connection) => connection.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
    }
}

/// Lets the open read take its time: PostgreSQL would end a session that waits for a slow taker of an export.
pub(crate) fn take_time(db: &mut Db) -> QueryResult<()> {
    match db {
        Db::Sqlite(_) => Ok(()),
        Db::Postgres(connection) => connection.batch_execute("SET LOCAL idle_in_transaction_session_timeout = 0"),
    }
}

/// Commits.
pub(crate) fn commit(db: &mut Db) -> QueryResult<()> {
    db.batch_execute("COMMIT")
}

/// Rolls back; a connection that is gone has rolled back already.
pub(crate) fn rollback(db: &mut Db) {
    if let Err(error) = db.batch_execute("ROLLBACK") {
        tracing::debug!(%error, "rollback failed");
    }
}

/// What follows a SELECT of the clock row to lock it until the commit.
pub(crate) fn lock_clause(db: &Db) -> &'static str {
    match db {
        Db::Sqlite(_) => "",
        Db::Postgres(_) => " FOR UPDATE",
    }
}

/// Whether the connection still answers, and the open transaction still takes statements: PostgreSQL refuses all that
/// follow a failed one. SQLite always answers.
pub(crate) fn is_alive(db: &mut Db) -> bool {
    match db {
        Db::Sqlite(_) => true,
        Db::Postgres(connection) => connection.batch_execute("SELECT 1").is_ok(),
    }
}

/// Whether a connection that is in no transaction can write. One that was opened while the file system or the server of a
/// failed-over PostgreSQL was read-only cannot, and never will.
pub(crate) fn can_write(db: &mut Db) -> bool {
    let begin_and_end = match db {
        Db::Sqlite(_) => "BEGIN IMMEDIATE; ROLLBACK",
        Db::Postgres(_) => "BEGIN READ WRITE; ROLLBACK",
    };
    db.batch_execute(begin_and_end).map_or_else(|error| is_locked(&error), |()| true)
}

/// Lets one transaction at a time create a tenant. SQLite has one writer anyway.
pub(crate) fn lock_tenants(db: &mut Db) -> QueryResult<()> {
    match db {
        Db::Sqlite(_) => Ok(()),
        Db::Postgres(connection) => connection.batch_execute("LOCK TABLE tenant IN EXCLUSIVE MODE"),
    }
}

/// The verb of an insertion of rows that are all written or none, with the transaction around them. SQLite would otherwise
/// copy each page before it is changed, to take back the one statement.
pub(crate) fn insert_all(db: &Db) -> &'static str {
    match db {
        Db::Sqlite(_) => "INSERT OR FAIL",
        Db::Postgres(_) => "INSERT",
    }
}

/// What follows a table to name the index to be used, where the planner would choose a worse one: SQLite keeps no
/// statistics, and may prefer any index that has the order. PostgreSQL finds out by itself.
pub(crate) fn index_hint(db: &Db, hint: &'static str) -> &'static str {
    match db {
        Db::Sqlite(_) => hint,
        Db::Postgres(_) => "",
    }
}
