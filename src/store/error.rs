//! What the store can say when it cannot do a thing.

/// A failed read or write. Nothing of it has been stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No such row.
    #[error("not found")]
    NotFound,
    /// A value that must be unique is held by another resource.
    #[error("{path} is already in use")]
    Taken {
        /// Canonical path of the attribute.
        path: String,
    },
    /// The resource has moved on since the caller looked.
    #[error("the resource has changed")]
    Stale,
    /// Too much is waiting already; try again later.
    #[error("too much work is waiting")]
    Busy,
    /// The search would have to test more documents than the limit allows.
    #[error("more than {limit} resources would have to be looked at")]
    TooMany {
        /// Documents that may be tested for one search.
        limit: u64,
    },
    /// The page would have more members in its groups than one answer may hold.
    #[error("the groups of the page have more than {limit} members")]
    TooManyMembers {
        /// Members on one page.
        limit: u64,
    },
    /// There is no space left for what would be written.
    #[error("the database has no space left")]
    Full,
    /// The database cannot be reached or refuses work.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A row does not hold what it must.
    #[error("the database holds something unexpected: {0}")]
    Corrupt(String),
}

impl Error {
    /// What nobody does any more.
    pub(crate) fn stopping() -> Self {
        Error::Unavailable("the server is stopping".into())
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::Error as Diesel;
        match error {
            Diesel::NotFound => Error::NotFound,
            Diesel::DeserializationError(cause) => Error::Corrupt(cause.to_string()),
            Diesel::DatabaseError(_, cause) if is_full(cause.message()) => Error::Full,
            other => Error::Unavailable(other.to_string()),
        }
    }
}

/// Whether SQLite (SQLITE_FULL) or PostgreSQL (53100) says so. Diesel passes on no code.
fn is_full(message: &str) -> bool {
    message == "database or disk is full" || message.ends_with("No space left on device")
}

/// Why a database cannot be opened or migrated. The text is for the operator and holds no password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL's scheme is not one of ours.
    #[error(
        "database URL scheme {scheme:?} is not known. Use sqlite:PATH for the embedded database, or \
         postgres://USER@HOST/DATABASE for PostgreSQL"
    )]
    Scheme {
        /// What stands before the colon.
        scheme: String,
    },
    /// The database did not answer.
    #[error("cannot open the database: {0}")]
    Connect(String),
    /// The connections have no sessions of their own.
    #[error(
        "PostgreSQL is reached through a pool that lends its sessions by the transaction, and what a connection has prepared \
         would be missing in the next. Set pool_mode = session for this database (PgBouncer), or name PostgreSQL itself in \
         database_url"
    )]
    Pooled,
    /// A migration failed.
    #[error("cannot migrate the database: {0}")]
    Migrate(String),
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};

    use super::Error;

    #[test]
    fn a_full_database_is_told_from_one_that_cannot_be_reached() {
        let mut db = SqliteConnection::establish(":memory:").expect("a database");
        db.batch_execute("PRAGMA max_page_count = 2; CREATE TABLE thing (bytes BLOB)").expect("a table");
        let error = db.batch_execute("INSERT INTO thing VALUES (zeroblob(100000))").expect_err("it is full");
        assert!(matches!(Error::from(error), Error::Full));
        let error = db.batch_execute("INSERT INTO nothing VALUES (1)").expect_err("there is no such table");
        assert!(matches!(Error::from(error), Error::Unavailable(_)));
    }
}
