//! Room in the file of SQLite's log, made before it is needed. A commit that makes the file longer waits for the journal of
//! the file system as well, and with it for what else waits there to be written: ten times as long as one that writes
//! where zeros lie already. Once the log has been begun anew it lies in its own file; until then, which may be days
//! after a start, it does not. So zeros are written behind it, beside the writes.
//!
//! Zeros behind the log are no part of it: SQLite reads up to the first frame whose salt is not that of the log, as it
//! has to where an older and longer log lay in the same file. They are written under SQLite's write lock, so that nobody
//! appends meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::db::Db;
use crate::dialect;

/// A log is given room for so many bytes: it is mostly begun anew before, and SQLite lets a file of this length be
/// ([`db`](crate::db)).
const ROOM: u64 = 160 << 20;
/// Written at a time: a commit that comes meanwhile waits for no more.
const PIECE: u64 = 1 << 20;
/// A register of fewer bytes is seldom written to, and its log not worth as many.
const WORTH: u64 = 16 << 20;
/// So many times the room has to be free where the file lies.
const PLENTY: u64 = 10;

/// The room that a register's log has.
pub(crate) struct Room {
    file: PathBuf,
    log: PathBuf,
    /// Whether it has been made, or cannot be.
    is_settled: bool,
}

impl Room {
    /// Of the register in that file.
    pub(crate) fn of(file: &str) -> Self {
        Room { file: file.into(), log: format!("{file}-wal").into(), is_settled: false }
    }

    /// Makes room as soon as the register is worth it and there is plenty, a piece at a time until `enough` says so. What cannot be made is
    /// left: all works without it.
    pub(crate) fn make(&mut self, db: &mut Db, enough: impl Fn() -> bool) {
        if self.is_settled || length(&self.file) < WORTH || length(&self.log) == 0 {
            return;
        }
        self.is_settled = true;
        if !has_plenty(&self.file) {
            return;
        }
        if let Err(error) = self.fill(db, ROOM, enough) {
            tracing::debug!(%error, "no room was made for the log; its file grows as it is written");
        }
    }

    fn fill(&self, db: &mut Db, room: u64, enough: impl Fn() -> bool) -> io::Result<()> {
        let log = OpenOptions::new().write(true).open(&self.log)?;
        while !enough() {
            dialect::begin_batch(db).map_err(io::Error::other)?;
            let lengthened = lengthen(&log, room);
            dialect::rollback(db);
            if !lengthened? {
                break;
            }
            log.sync_data()?;
        }
        Ok(())
    }
}

/// Writes a piece behind what is there; whether there was one to write.
fn lengthen(log: &File, room: u64) -> io::Result<bool> {
    let end = log.metadata()?.len();
    let piece = room.saturating_sub(end).min(PIECE);
    log.write_all_at(&vec![0; usize::try_from(piece).unwrap_or(0)], end)?;
    Ok(piece > 0)
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

fn has_plenty(file: &Path) -> bool {
    rustix::fs::statvfs(file).is_ok_and(|place| place.f_bavail * place.f_frsize >= PLENTY * ROOM)
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::dsl::sql;
    use diesel::sql_types::BigInt;
    use diesel::{RunQueryDsl, SqliteConnection};

    use super::*;
    use crate::db::{Address, Purpose};

    fn open(file: &str, purpose: Purpose) -> Db {
        Db::open(&Address::Sqlite(file.to_owned()), purpose).expect("opens")
    }

    fn count(db: &mut Db) -> i64 {
        let Db::Sqlite(db) = db else { panic!("SQLite") };
        sql::<BigInt>("SELECT count(*) FROM t").get_result::<i64>(db as &mut SqliteConnection).expect("a number")
    }

    /// What another process would find after a kill: the files as they lie there.
    fn after_a_kill(file: &str) -> i64 {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("copy.db").to_string_lossy().into_owned();
        fs::copy(file, &copy).expect("the file");
        fs::copy(format!("{file}-wal"), format!("{copy}-wal")).expect("the log");
        let mut db = open(&copy, Purpose::Write);
        let Db::Sqlite(sqlite) = &mut db else { panic!("SQLite") };
        let whole: String =
            sql::<diesel::sql_types::Text>("PRAGMA integrity_check").get_result(sqlite).expect("an answer");
        assert_eq!(whole, "ok");
        count(&mut db)
    }

    #[test]
    fn a_log_with_room_is_read_as_without_and_written_in_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("register.db").to_string_lossy().into_owned();
        let mut writer = open(&file, Purpose::Batches);
        writer.batch_execute("CREATE TABLE t (a BLOB); INSERT INTO t VALUES (randomblob(5000))").expect("a row");
        let room = Room::of(&file);
        let mut beside = open(&file, Purpose::Batches);
        room.fill(&mut beside, 5 << 19, || false).expect("filled");
        assert_eq!(length(&room.log), 5 << 19, "two pieces and a half");
        assert_eq!((count(&mut beside), after_a_kill(&file)), (1, 1));

        for n in 2..=100 {
            writer.batch_execute("INSERT INTO t VALUES (randomblob(5000))").expect("a row");
            if n % 20 == 0 {
                assert_eq!((count(&mut beside), after_a_kill(&file)), (n, n));
            }
        }
        assert_eq!(length(&room.log), 5 << 19, "in place");
        room.fill(&mut beside, 1 << 20, || false).expect("nothing to do");
        assert_eq!(length(&room.log), 5 << 19, "never shorter");
    }

    #[test]
    fn room_is_made_while_others_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("register.db").to_string_lossy().into_owned();
        let mut writer = open(&file, Purpose::Batches);
        writer.batch_execute("CREATE TABLE t (a BLOB)").expect("a table");
        let beside = std::thread::spawn({
            let file = file.clone();
            move || Room::of(&file).fill(&mut open(&file, Purpose::Batches), 24 << 20, || false)
        });
        let mut rows = 0;
        while !beside.is_finished() || rows < 200 {
            dialect::begin_batch(&mut writer).expect("its turn");
            writer.batch_execute("INSERT INTO t VALUES (randomblob(20000)); COMMIT").expect("a row");
            rows += 1;
        }
        beside.join().expect("no panic").expect("filled");
        assert!(length(Path::new(&format!("{file}-wal"))) >= 24 << 20);
        assert_eq!((count(&mut writer), after_a_kill(&file)), (rows, rows));
    }

    #[test]
    fn a_small_register_and_one_without_a_log_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("register.db").to_string_lossy().into_owned();
        let mut db = open(&file, Purpose::Batches);
        db.batch_execute("CREATE TABLE t (a BLOB)").expect("a table");
        let before = length(Path::new(&format!("{file}-wal")));
        let mut room = Room::of(&file);
        room.make(&mut db, || false);
        assert!(!room.is_settled, "it may become worth it");
        assert_eq!(length(&room.log), before);

        fs::write(folder.path().join("large.db"), vec![0; WORTH as usize]).expect("a file");
        let mut room = Room::of(&folder.path().join("large.db").to_string_lossy());
        room.make(&mut db, || false);
        assert!(!room.is_settled && !room.log.exists(), "there is no log yet");
    }

    #[test]
    fn whoever_closes_does_not_wait_for_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("register.db").to_string_lossy().into_owned();
        let mut db = open(&file, Purpose::Batches);
        db.batch_execute("CREATE TABLE t (a BLOB)").expect("a table");
        let room = Room::of(&file);
        let before = length(&room.log);
        room.fill(&mut db, ROOM, || true).expect("enough");
        assert_eq!(length(&room.log), before);
    }
}
