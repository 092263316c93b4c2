//! Whether PostgreSQL gives each connection a session of its own. A pool in between may lend the same few sessions to all
//! connections, by the transaction: what one has prepared is then missing in the next, or is another statement of that name.

use diesel::connection::SimpleConnection;
use diesel::result::Error as Failure;
use uuid::Uuid;

use crate::OpenError;
use crate::db::{Address, Db, Purpose};

/// What PostgreSQL complains of, in any language, when a session is not the one that was asked.
const ANOTHER: &str = "another session";

/// Fails with [`OpenError::Pooled`] when two connections share sessions; `one` is open and at rest. SQLite has none.
///
/// Each leaves a word in its session and looks for it again, the second first: a pool that lends what was given back last
/// shows the first one the second's word, and one that lends in turn shows the second one a third session, or the first's.
pub(crate) fn are_own(one: &mut Db, address: &Address) -> Result<(), OpenError> {
    let Db::Postgres(one) = one else { return Ok(()) };
    let Db::Postgres(mut other) = Db::open(address, Purpose::Read)? else { return Ok(()) };
    let words = [Uuid::new_v4(), Uuid::new_v4()];
    let asked = leave(one, words[0])
        .and_then(|()| leave(&mut other, words[1]))
        .and_then(|()| look_for(&mut other, words[1]))
        .and_then(|()| look_for(one, words[0]));
    asked.map_err(|error| match error {
        Failure::DatabaseError(_, told) if told.message().contains(ANOTHER) => OpenError::Pooled,
        error => OpenError::Connect(error.to_string()),
    })
}

fn leave(connection: &mut impl SimpleConnection, word: Uuid) -> Result<(), Failure> {
    connection.batch_execute(&format!("SET matrikel.session = '{word}'"))
}

/// Fails with [`ANOTHER`] where the word is not. Nothing is prepared for it, as that is what would not be found.
fn look_for(connection: &mut impl SimpleConnection, word: Uuid) -> Result<(), Failure> {
    connection.batch_execute(&format!(
        "SELECT CASE WHEN current_setting('matrikel.session', true) IS DISTINCT FROM '{word}' \
         THEN ('{ANOTHER} ' || current_setting('server_version'))::integer END"
    ))
}
