//! Who has an SQLite file open: a lock on a file beside it, shared by servers and commands, alone for a restore. The file
//! itself cannot be locked: SQLite's own locks are lost when any other handle of it is closed.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::OpenError;
use crate::db::Address;

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct Hold {
    _file: File,
}

/// The file that is locked.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(beside(path))
}

/// Takes part in using the database; `None` where there is nothing to lock.
pub(crate) fn share(address: &Address) -> Result<Option<Hold>, OpenError> {
    let Address::Sqlite(path) = address else { return Ok(None) };
    // In a folder that cannot be written to, nothing can be restored either.
    let Ok(file) = open(Path::new(path)) else { return Ok(None) };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(Hold { _file: file })),
        Err(TryLockError::WouldBlock) => Err(OpenError::Connect("a backup is being restored into it".into())),
        Err(TryLockError::Error(error)) => {
            tracing::warn!(%error, "the database's lock file cannot be locked; do not restore while this runs");
            Ok(None)
        }
    }
}

/// Takes the database for oneself alone; `None`: somebody uses it.
pub(crate) fn own(path: &Path) -> std::io::Result<Option<Hold>> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Hold { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
