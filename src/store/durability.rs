//! Whether PostgreSQL is set to keep what it commits. The promise that an answered write is durable rests on it, and
//! nobody but the operator can change it, so it is said at every start. Changes nothing.

use diesel::sql_types::Text;

use crate::Error;
use crate::db::Db;
use crate::statement::Statement;

/// The settings with which a crash of the machine, or of PostgreSQL alone, loses what was committed.
const LOSING: &str = "SELECT name || ' = ' || setting FROM pg_settings WHERE setting = 'off' \
     AND name IN ('fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name";

/// What is set so that a committed write may be lost in a crash, such as `fsync = off`; nothing for SQLite, whose
/// connections set it themselves.
pub(crate) fn dangers(db: &mut Db) -> Result<Vec<String>, Error> {
    match db {
        Db::Sqlite(_) => Ok(Vec::new()),
        Db::Postgres(_) => Ok(Statement::<Text>::new(LOSING).load::<String>(db)?),
    }
}
