//! A connection to either database behind one type.

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, SqliteConnection};

use crate::OpenError;

/// One connection.
#[derive(diesel::MultiConnection)]
pub(crate) enum Db {
    /// The embedded default.
    Sqlite(SqliteConnection),
    /// The scale.
    Postgres(PgConnection),
}

/// Which database a URL means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Path of the file.
    Sqlite(String),
    /// The URL as libpq takes it.
    Postgres(String),
}

impl Address {
    /// Reads a database URL; an unknown scheme is refused with the known ones.
    pub(crate) fn parse(url: &str) -> Result<Self, OpenError> {
        match url.split_once(':') {
            Some(("sqlite", path)) => Ok(Address::Sqlite(path.trim_start_matches("//").to_owned())),
            Some(("postgres" | "postgresql", _)) => Ok(Address::Postgres(url.to_owned())),
            Some((scheme, _)) => Err(OpenError::Scheme { scheme: scheme.to_owned() }),
            None => Err(OpenError::Scheme { scheme: String::new() }),
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reads alone, of any kind.
    Read,
    /// Writes of any kind, and migrations.
    Write,
    /// The writer's own, batch after batch, and of who carries its log over: they wait for their turn by
    /// [`begin_batch`](crate::dialect::begin_batch).
    Batches,
}

/// SQLite: a write is durable when it is answered (WAL with synchronous=FULL); readers never wait for the writer. The log
/// is carried over after 32 MB: pages that every write changes are then carried over once for many. Where a server writes,
/// [`log`](crate::log) does that instead.
const SQLITE: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 167772160; \
     PRAGMA wal_autocheckpoint = 8000;";

/// PostgreSQL: a session that died with its node lets go of its locks by itself.
const POSTGRES: &str = "SET idle_in_transaction_session_timeout = '30s'; SET lock_timeout = '20s'; \
     SET tcp_user_timeout = '20s'; SET timezone = 'UTC'; SET client_min_messages = 'warning'; \
     SET application_name = 'matrikel';";

/// What libpq gives up after, unless the URL says otherwise: a host that is gone without a word would keep a connection waiting for two
/// minutes when it is made, and for a quarter of an hour when it is used. In seconds, and `tcp_user_timeout` in milliseconds.
const PATIENCE: [(&str, &str); 5] = [
    ("connect_timeout", "5"),
    ("tcp_user_timeout", "10000"),
    ("keepalives_idle", "10"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "2"),
];

/// The URL with what it does not say of [`PATIENCE`].
fn patient(url: &str) -> String {
    let said = url.split_once('?').map_or("", |(_, said)| said);
    let is_said = |key: &str| said.split('&').any(|pair| pair.split('=').next() == Some(key));
    let mut patient = url.to_owned();
    for (key, value) in PATIENCE.iter().filter(|(key, _)| !is_said(key)) {
        let separator = if patient.contains('?') { '&' } else { '?' };
        patient.push_str(&format!("{separator}{key}={value}"));
    }
    patient
}

impl Db {
    /// Opens a connection and sets what the promises rest on.
    pub(crate) fn open(address: &Address, purpose: Purpose) -> Result<Self, OpenError> {
        let connect = |error: &dyn std::error::Error| OpenError::Connect(error.to_string());
        match address {
            Address::Sqlite(path) => {
                let mut connection = SqliteConnection::establish(path).map_err(|error| connect(&error))?;
                connection.batch_execute(SQLITE).map_err(|error| connect(&error))?;
                // What is not found here the system has in its own cache, at a microsecond a page. A large cache costs
                // the writer more than it saves: a commit that has split a page goes over the whole of its table.
                let cache = match purpose {
                    Purpose::Read => "PRAGMA cache_size = -4096; PRAGMA query_only = ON;",
                    Purpose::Write => "PRAGMA cache_size = -8192;",
                    Purpose::Batches => {
                        "PRAGMA cache_size = -8192; PRAGMA busy_timeout = 0; PRAGMA wal_autocheckpoint = 64000;"
                    }
                };
                connection.batch_execute(cache).map_err(|error| connect(&error))?;
                Ok(Db::Sqlite(connection))
            }
            Address::Postgres(url) => {
                let connection = PgConnection::establish(&patient(url));
                let mut connection = connection.map_err(|error| connect(&redact(&error, url)))?;
                connection.batch_execute(POSTGRES).map_err(|error| connect(&error))?;
                Ok(Db::Postgres(connection))
            }
        }
    }
}

/// libpq repeats the URL it could not read; its password must not reach a log.
fn redact(error: &diesel::ConnectionError, url: &str) -> std::io::Error {
    let password = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'))
        .and_then(|(user, _)| user.split_once(':'))
        .map_or("", |(_, password)| password);
    let text = error.to_string();
    std::io::Error::other(if password.is_empty() { text } else { text.replace(password, "***") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_is_refused_with_the_known_ones() {
        let error = Address::parse("mysql://localhost/x").expect_err("not ours").to_string();
        assert!(error.contains("mysql") && error.contains("sqlite:PATH") && error.contains("postgres://"), "{error}");
        assert!(Address::parse("matrikel.db").is_err());
    }

    #[test]
    fn what_the_url_does_not_say_of_patience_is_added() {
        let all =
            "connect_timeout=5&tcp_user_timeout=10000&keepalives_idle=10&keepalives_interval=5&keepalives_count=2";
        assert_eq!(patient("postgres://h/d"), format!("postgres://h/d?{all}"));
        assert_eq!(patient("postgres://h/d?sslmode=require"), format!("postgres://h/d?sslmode=require&{all}"));
        let said = "postgres://a,b/d?connect_timeout=1&keepalives_idle=60&target_session_attrs=read-write";
        let rest = "tcp_user_timeout=10000&keepalives_interval=5&keepalives_count=2";
        assert_eq!(patient(said), format!("{said}&{rest}"));
    }

    #[test]
    fn both_spellings_of_either_database_are_understood() {
        assert_eq!(Address::parse("sqlite:a/b.db").expect("ours"), Address::Sqlite("a/b.db".into()));
        assert_eq!(Address::parse("sqlite:///a/b.db").expect("ours"), Address::Sqlite("/a/b.db".into()));
        assert!(matches!(Address::parse("postgresql://h/d"), Ok(Address::Postgres(_))));
    }
}
