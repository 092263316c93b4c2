//! SQLite's log, carried over into the file beside the writes. A commit appends its pages to the log; each of them has to be
//! written to its place in the file later on, and be made durable there, which takes tens of milliseconds for some thousand
//! pages. A writer that does so itself keeps everyone waiting meanwhile. So a thread with a connection of its own carries
//! over what is there again and again, while writes go on; the writer only does the little that is left when the log has
//! become long, after it has answered, and begins the log anew. Without this thread all works as well: SQLite carries the
//! log over by itself when it has become twice as long ([`db`](crate::db)).
//!
//! Nothing here makes a write durable: that it is when the log has it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use diesel::sql_types::Integer;
use diesel::{QueryResult, RunQueryDsl, SqliteConnection};

use crate::db::Db;
use crate::room::Room;

/// Pages that are carried over at a time, 32 MiB: one that many commits have changed is written once for all of them.
const STEP: u64 = 8_000;
/// Pages with which a log is long enough to be begun anew, 128 MiB: the writer has to wait for that.
const LONG: u64 = 32_000;
/// Pages that an operation is taken to write until it is known, and a commit at the least: what follows on a load by Bulk
/// writes more for each operation than that did.
const GUESS: u64 = 10;

/// How far the log has come, and whose turn it is.
pub(crate) struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Operations committed since it was last carried over.
    operations: u64,
    /// Pages that these have written, as far as can be told.
    written: u64,
    /// Thousandths of a page that an operation writes.
    each: u64,
    /// Pages that wake the thread that carries over.
    awaited: u64,
    /// Pages in the log when it was last carried over.
    pages: u64,
    /// Whether it is being carried over.
    carrying: bool,
    /// Whether the writer should do the rest.
    ending: bool,
    closed: bool,
}

impl Default for Log {
    fn default() -> Self {
        let state = State {
            operations: 0,
            written: 0,
            each: GUESS * 1_000,
            awaited: STEP,
            pages: 0,
            carrying: false,
            ending: false,
            closed: false,
        };
        Log { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a commit of so many operations was made.
    pub(crate) fn grow(&self, operations: usize) {
        let mut state = self.lock();
        let operations = operations as u64;
        state.operations += operations;
        state.written += (operations * state.each / 1_000).max(GUESS);
        if state.written >= state.awaited {
            self.changed.notify_one();
        }
    }

    /// Whether the writer should [`end`] the log now; it is told once.
    pub(crate) fn is_to_be_ended(&self) -> bool {
        std::mem::take(&mut self.lock().ending)
    }

    /// Whether nothing is done about the log, nor to be done, that a commit would have to wait for.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.lock();
        !state.carrying && !state.ending && state.written < STEP
    }

    /// Lets the thread that carries over stop.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Carries over what is there, as a kill leaves it, and then a step at a time until it is closed. Gives the log room.
    pub(crate) fn carry(&self, mut db: Db, mut room: Room) {
        let is_closed = || self.lock().closed;
        self.carry_step(&mut db);
        // There is no log before the first write.
        let mut is_due = self.wait(1);
        while is_due {
            room.make(&mut db, is_closed);
            is_due = self.wait(STEP);
            if is_due {
                self.carry_step(&mut db);
            }
        }
    }

    /// Waits for so many pages; `false` when it is closed.
    fn wait(&self, pages: u64) -> bool {
        let mut state = self.lock();
        state.carrying = false;
        state.awaited = pages;
        let idle = |state: &mut State| state.written < state.awaited && !state.closed;
        state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        state.carrying = !state.closed;
        state.carrying
    }

    fn carry_step(&self, db: &mut Db) {
        let Db::Sqlite(connection) = db else { return };
        let operations = self.begin();
        match carry_over(connection) {
            Ok(carried) => self.note(operations, u64::try_from(carried.log).unwrap_or(0)),
            // The writer meets the same fault, and tells those who wait.
            Err(error) => tracing::warn!(%error, "the log could not be carried over; it is tried again"),
        }
    }

    /// Begins to count anew; the operations until now.
    fn begin(&self) -> u64 {
        let mut state = self.lock();
        state.written = 0;
        std::mem::take(&mut state.operations)
    }

    /// Learns from a step how many pages an operation writes.
    fn note(&self, operations: u64, pages: u64) {
        let mut state = self.lock();
        // Shorter than before: it has been begun anew.
        let grown = pages.checked_sub(state.pages).unwrap_or(pages);
        if let Some(each) = (grown * 1_000).checked_div(operations).filter(|each| *each > 0) {
            state.each = each;
        }
        state.pages = pages;
        state.ending = pages >= LONG;
    }
}

/// What SQLite says of carrying its log over: -1 each where there is none.
#[derive(Debug, PartialEq, Eq, diesel::QueryableByName)]
struct Carried {
    /// Pages that the log has.
    #[diesel(sql_type = Integer)]
    log: i32,
    /// How many of these lie in the file as well.
    #[diesel(sql_type = Integer)]
    checkpointed: i32,
}

/// Carries over what nobody reads from the log any more; waits for no one and keeps no one waiting.
fn carry_over(connection: &mut SqliteConnection) -> QueryResult<Carried> {
    diesel::sql_query("PRAGMA wal_checkpoint(PASSIVE)").get_result(connection)
}

/// Carries over the rest, on the connection that writes and between two writes: the next one begins the log anew, unless
/// somebody reads from it still.
pub(crate) fn end(db: &mut Db) {
    let Db::Sqlite(connection) = db else { return };
    if let Err(error) = carry_over(connection) {
        tracing::debug!(%error, "the rest of the log was not carried over");
    }
}

#[cfg(test)]
mod tests {
    use diesel::Connection;
    use diesel::connection::SimpleConnection;

    use super::*;
    use crate::db::{Address, Purpose};

    /// Operations, a commit each unless told, until a step is due.
    fn until_a_step(log: &Log, in_a_commit: usize) -> usize {
        log.begin();
        let commits = (1..).find(|_| {
            log.grow(in_a_commit);
            !log.is_quiet()
        });
        commits.expect("a step is due some day") * in_a_commit
    }

    #[test]
    fn a_step_is_as_many_operations_as_write_its_pages() {
        let log = Log::default();
        assert_eq!(until_a_step(&log, 1), 800, "until it is known");
        log.note(100, 2_000);
        assert_eq!(until_a_step(&log, 1), 400, "20 pages each");
        log.note(10, 800);
        assert_eq!(until_a_step(&log, 1), 100, "80 pages each, of a log that was begun anew");
        log.note(10, 800);
        assert_eq!(until_a_step(&log, 1), 100, "nothing was written");
        log.note(1, 20_000);
        assert_eq!(until_a_step(&log, 1), 1);
        log.note(0, 30_000);
        assert_eq!(until_a_step(&log, 1), 1, "what others wrote says nothing");
    }

    #[test]
    fn single_operations_after_a_load_by_bulk_are_not_taken_for_its_like() {
        let log = Log::default();
        log.note(10_000, 25_000);
        assert_eq!(until_a_step(&log, 1_000), 4_000, "2.5 pages each, in commits of a thousand");
        assert_eq!(until_a_step(&log, 1), 800, "a commit each");
        assert_eq!(until_a_step(&log, 2), 1_600);
    }

    #[test]
    fn the_writer_is_asked_once_to_end_a_log_that_has_become_long() {
        let log = Log::default();
        log.note(100, LONG - 1);
        assert!(!log.is_to_be_ended() && log.is_quiet());
        log.note(100, LONG);
        assert!(!log.is_quiet());
        assert!(log.is_to_be_ended());
        assert!(!log.is_to_be_ended() && log.is_quiet());
    }

    #[test]
    fn whoever_carries_over_waits_for_a_step_and_stops_when_it_is_closed() {
        let log = Log::default();
        log.grow(1);
        log.grow(1_000);
        assert!(!log.is_quiet(), "a step is due");
        assert!(log.wait(STEP));
        assert!(!log.is_quiet(), "it is being carried over");
        assert_eq!(log.begin(), 1_001);
        log.close();
        assert!(!log.wait(1));
        assert!(log.is_quiet());
    }

    #[test]
    fn what_a_kill_has_left_is_carried_over_at_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("register.db");
        let address = Address::Sqlite(path.to_string_lossy().into_owned());
        let mut before = Db::open(&address, Purpose::Batches).expect("opens");
        before.batch_execute("CREATE TABLE t (a BLOB); INSERT INTO t VALUES (randomblob(400000))").expect("a row");
        let length = || std::fs::metadata(&path).expect("a file").len();
        assert!(length() < 400_000, "it lies in the log");
        let log = Log::default();
        log.close();
        log.carry(Db::open(&address, Purpose::Batches).expect("opens"), Room::of(&path.to_string_lossy()));
        assert!(length() > 400_000, "{}", length());
    }

    #[test]
    fn nothing_is_left_in_a_log_that_all_have_closed() {
        for ends_last in ["writer", "log", "reader"] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("register.db");
            let address = Address::Sqlite(path.to_string_lossy().into_owned());
            let mut writer = Db::open(&address, Purpose::Batches).expect("opens");
            let mut reader = Db::open(&address, Purpose::Read).expect("opens");
            let mut beside = Db::open(&address, Purpose::Write).expect("opens");
            writer.batch_execute("CREATE TABLE t (a BLOB); INSERT INTO t VALUES (randomblob(400000))").expect("a row");
            reader.batch_execute("SELECT count(*) FROM t").expect("a read");
            if let Db::Sqlite(beside) = &mut beside {
                carry_over(beside).expect("carried over");
            }
            writer.batch_execute("INSERT INTO t VALUES (randomblob(400000))").expect("a row");
            match ends_last {
                "writer" => drop((reader, beside, writer)),
                "log" => drop((reader, writer, beside)),
                _ => drop((writer, beside, reader)),
            }
            let left = std::fs::read_dir(folder.path()).expect("a folder").count();
            assert_eq!(left, 1, "{ends_last} ends last");
        }
    }

    #[test]
    fn what_is_carried_over_beside_a_writer_makes_room_for_a_log_from_its_beginning() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = Address::Sqlite(folder.path().join("register.db").to_string_lossy().into_owned());
        let mut writer = Db::open(&address, Purpose::Batches).expect("opens");
        let Db::Sqlite(mut beside) = Db::open(&address, Purpose::Write).expect("opens") else { panic!("SQLite") };
        writer.batch_execute("CREATE TABLE t (a BLOB)").expect("a table");
        for _ in 0..20 {
            writer.batch_execute("INSERT INTO t VALUES (randomblob(40000))").expect("a row");
        }
        let carried = carry_over(&mut beside).expect("carried over");
        assert!(carried.log > 200 && carried.checkpointed == carried.log, "{carried:?}");

        writer.batch_execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (randomblob(40000))").expect("a row");
        let meanwhile = carry_over(&mut beside).expect("keeps nobody waiting");
        assert!(meanwhile.log <= carried.log + 30, "{meanwhile:?}");
        writer.batch_execute("COMMIT").expect("a writer is not kept from its commit");

        end(&mut writer);
        writer.batch_execute("INSERT INTO t VALUES (randomblob(40000))").expect("a row");
        let anew = carry_over(&mut beside).expect("carried over");
        assert!(anew.log < 30, "{anew:?}");
        let rows = beside
            .transaction(|db| diesel::sql_query("SELECT count(*) AS log, 0 AS checkpointed FROM t").get_result(db));
        assert_eq!(rows, Ok(Carried { log: 22, checkpointed: 0 }));
    }
}
