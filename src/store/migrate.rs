//! Lays and updates the tables. The two sets of migrations have the same names and the same columns.

use diesel::migration::MigrationSource;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::OpenError;
use crate::db::{Address, Db, Purpose};
use crate::session;

const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

/// Applies every migration that is missing and names them. Fails with [`OpenError::Pooled`] where connections have no
/// sessions of their own.
pub fn migrate(url: &str) -> Result<Vec<String>, OpenError> {
    match open(url)? {
        Db::Sqlite(mut connection) => apply(&mut connection, SQLITE),
        Db::Postgres(mut connection) => apply(&mut connection, POSTGRES),
    }
}

/// Names the migrations that are missing, and changes nothing. Fails with [`OpenError::Pooled`] where connections have no
/// sessions of their own.
pub fn pending(url: &str) -> Result<Vec<String>, OpenError> {
    match open(url)? {
        Db::Sqlite(mut connection) => missing(&mut connection, SQLITE),
        Db::Postgres(mut connection) => missing(&mut connection, POSTGRES),
    }
}

/// A migration of an SQLite file that this version does not know, if there is one.
pub(crate) fn unknown(url: &str) -> Result<Option<String>, OpenError> {
    let Db::Sqlite(mut connection) = Db::open(&Address::parse(url)?, Purpose::Write)? else { return Ok(None) };
    let failed = |error: &dyn std::fmt::Display| OpenError::Migrate(error.to_string());
    let known = MigrationSource::<diesel::sqlite::Sqlite>::migrations(&SQLITE).map_err(|error| failed(&error))?;
    let known: Vec<String> = known.iter().map(|migration| migration.name().version().to_string()).collect();
    let applied = connection.applied_migrations().map_err(|error| failed(&error))?;
    Ok(applied.iter().map(ToString::to_string).find(|version| !known.contains(version)))
}

/// Whoever uses a database has its tables looked at first, so this is where it is seen what kind of connections there are.
fn open(url: &str) -> Result<Db, OpenError> {
    let address = Address::parse(url)?;
    let mut db = Db::open(&address, Purpose::Write)?;
    session::are_own(&mut db, &address)?;
    Ok(db)
}

fn apply<B, C>(connection: &mut C, source: EmbeddedMigrations) -> Result<Vec<String>, OpenError>
where
    B: diesel::backend::Backend,
    C: MigrationHarness<B>,
    EmbeddedMigrations: MigrationSource<B>,
{
    let applied = connection.run_pending_migrations(source).map_err(|error| OpenError::Migrate(error.to_string()))?;
    Ok(applied.iter().map(ToString::to_string).collect())
}

fn missing<B, C>(connection: &mut C, source: EmbeddedMigrations) -> Result<Vec<String>, OpenError>
where
    B: diesel::backend::Backend,
    C: MigrationHarness<B>,
    EmbeddedMigrations: MigrationSource<B>,
{
    let missing = connection.pending_migrations(source).map_err(|error| OpenError::Migrate(error.to_string()))?;
    Ok(missing.iter().map(|migration| migration.name().to_string()).collect())
}
