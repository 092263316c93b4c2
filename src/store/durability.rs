//! Whether the database is where, and as, it keeps what it commits. The promise that an answered write is durable rests on it,
//! and nobody but the operator can change it, so it is said at every start. Changes nothing.

use std::path::Path;

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

/// Types of file systems by the number that the system gives them (`statfs(2)`): those that reach over a network, whose locks
/// and syncs SQLite's log cannot rely on, and those that are memory.
const DOUBTFUL: [(u32, &str); 10] = [
    (0x0000_6969, "a network file system (nfs)"),
    (0xff53_4d42, "a network file system (cifs)"),
    (0xfe53_4d42, "a network file system (smb)"),
    (0x0000_517b, "a network file system (smb)"),
    (0x0102_1997, "a network file system (9p)"),
    (0x5346_414f, "a network file system (afs)"),
    (0x00c3_6400, "a network file system (ceph)"),
    (0x0bd0_0bd0, "a network file system (lustre)"),
    (0x0102_1994, "memory (tmpfs)"),
    (0x8584_58f6, "memory (ramfs)"),
];

/// On what a file of SQLite's lies that may not keep what is committed; `None` when it does, as far as is known.
pub(crate) fn doubtful_place(file: &Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(file).ok()?;
    place(found.f_type as u32)
}

fn place(kind: u32) -> Option<&'static str> {
    DOUBTFUL.iter().find(|(known, _)| *known == kind).map(|(_, place)| *place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_networks_are_told_from_disks() {
        assert_eq!(doubtful_place(Path::new("/dev/shm")), Some("memory (tmpfs)"));
        assert_eq!(place(0x6969), Some("a network file system (nfs)"));
        assert_eq!(place(0xef53), None, "ext4");
        assert_eq!(doubtful_place(Path::new("/nowhere/at/all")), None);
    }
}
