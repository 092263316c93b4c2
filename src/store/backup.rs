//! A copy of an SQLite register as of one moment while it is served, and the way back. A copy gets its name when it is whole,
//! proven and on disk, and not before; what a restore replaces is kept aside. PostgreSQL has tools of its own for both; what
//! is left to do here after them is [`begin_epoch`].

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::check::Watch;
use crate::db::{Address, Db, Purpose};
use crate::statement::Statement;
use crate::{Erasure, Error, OpenError, ResourceId, Seq, TenantId, erasure, hold, migrate, tenant};

/// How often the growing file is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database is PostgreSQL.
    #[error(
        "this is for the embedded database. Back up PostgreSQL with pg_dump or pg_basebackup, restore it with pg_restore, \
         and run `matrikel restored` before servers start again; docs/OPERATIONS.md has the commands"
    )]
    Postgres,
    /// There is no database.
    #[error("there is no database {0} to back up")]
    Missing(PathBuf),
    /// There is a file of that name.
    #[error("{0} exists. Name another file, or add --force")]
    Exists(PathBuf),
    /// Somebody uses the database.
    #[error("{0} is in use. Stop the server, and let other commands end, before restoring")]
    InUse(PathBuf),
    /// The file is no backup of a register.
    #[error("{0} is no backup of a register: {1}")]
    Unfit(PathBuf, String),
    /// A file cannot be handled.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// The database cannot be opened or migrated.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database.
    #[error(transparent)]
    Store(#[from] Error),
}

/// A tenant in a backup, and the number of its newest change there.
pub type Held = (String, Seq);

/// A tenant, and of whom it keeps nothing any more.
pub type Erased = (String, Vec<(ResourceId, Erasure)>);

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Size in bytes.
    pub bytes: u64,
    /// What is in it.
    pub tenants: Vec<Held>,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What is there now.
    pub tenants: Vec<Held>,
    /// Where the file lies that was there before.
    pub aside: Option<PathBuf>,
}

fn path_of(url: &str) -> Result<PathBuf, BackupError> {
    match Address::parse(url)? {
        Address::Sqlite(path) => Ok(PathBuf::from(path)),
        Address::Postgres(_) => Err(BackupError::Postgres),
    }
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

fn at(path: &Path) -> impl Fn(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |error| BackupError::Io(path.clone(), error)
}

/// Copies the embedded database to `to` while it is in use. `force`: a file that is there gives way.
pub fn backup(url: &str, to: &Path, force: bool, watch: &mut Watch<'_>) -> Result<Backup, BackupError> {
    let from = path_of(url)?;
    if !from.exists() {
        return Err(BackupError::Missing(from));
    }
    if !force && to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let part = with(to, &format!(".part-{}", std::process::id()));
    // Made here, so that nobody else can read it; an empty file is one that may be copied into.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(at(&part))?;
    let outcome = copy(&from, &part, watch).and_then(|backup| {
        settle(&part, to)?;
        Ok(backup)
    });
    if outcome.is_err() {
        // The error is what matters, not that its remains cannot be removed.
        let _ = fs::remove_file(&part);
    }
    outcome
}

fn copy(from: &Path, part: &Path, watch: &mut Watch<'_>) -> Result<Backup, BackupError> {
    let address = Address::Sqlite(from.to_string_lossy().into_owned());
    let mut db = Db::open(&address, Purpose::Write)?;
    let number = |db: &mut Db, sql| Statement::<BigInt>::new(sql).get_result::<i64>(db).map_err(Error::from);
    let pages = number(&mut db, "PRAGMA page_count")?;
    let total = pages.saturating_mul(number(&mut db, "PRAGMA page_size")?).unsigned_abs();
    let name = part.to_str().ok_or_else(|| BackupError::Unfit(part.to_owned(), "the name is no text".into()))?;
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let copied = Statement::<()>::new("VACUUM INTO ").bind(name).run(&mut db);
            let _ = sender.send(copied.map(drop).map_err(Error::from));
        });
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(outcome) => break outcome,
                Err(RecvTimeoutError::Disconnected) => break Err(Error::Unavailable("the copy broke off".into())),
                Err(RecvTimeoutError::Timeout) => {
                    let size = fs::metadata(part).map_or(0, |metadata| metadata.len());
                    watch("Copying", size.min(total), total);
                }
            }
        }
    })?;
    watch("Copying", total, total);
    let mut copied = look(part)?;
    let tenants = heads(&mut copied).map_err(|error| BackupError::Unfit(part.to_owned(), error.to_string()))?;
    let bytes = fs::metadata(part).map_err(at(part))?.len();
    Ok(Backup { bytes, tenants })
}

/// Puts a file that is whole in its place, so that it is there whatever happens next.
fn settle(part: &Path, to: &Path) -> Result<(), BackupError> {
    File::open(part).and_then(|file| file.sync_all()).map_err(at(part))?;
    fs::rename(part, to).map_err(at(to))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Opens a file that nobody changes, without a trace beside it, and sees that SQLite finds it whole and that it is a register.
fn look(path: &Path) -> Result<Db, BackupError> {
    let unfit = |what: String| BackupError::Unfit(path.to_owned(), what);
    let absolute = fs::canonicalize(path).map_err(at(path))?;
    let name: String = absolute
        .to_string_lossy()
        .bytes()
        .map(|byte| match byte {
            b'%' | b'?' | b'#' => format!("%{byte:02x}"),
            byte if byte.is_ascii() => char::from(byte).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect();
    let connection = SqliteConnection::establish(&format!("file:{name}?mode=ro&immutable=1"));
    let mut db = Db::Sqlite(connection.map_err(|error| unfit(error.to_string()))?);
    let verdict = Statement::<Text>::new("PRAGMA quick_check(1)").get_result::<String>(&mut db);
    match verdict {
        Ok(verdict) if verdict == "ok" => {}
        Ok(verdict) => return Err(unfit(verdict)),
        Err(error) => return Err(unfit(error.to_string())),
    }
    let tables = Statement::<BigInt>::new("SELECT COUNT(*) FROM sqlite_schema WHERE name = 'tenant_clock'");
    match tables.get_result::<i64>(&mut db) {
        Ok(1) => Ok(db),
        Ok(_) => Err(unfit("it is no register".into())),
        Err(error) => Err(unfit(error.to_string())),
    }
}

/// The tenants, each with the number of its newest change; the chain must end where the clock stands.
fn heads(db: &mut Db) -> Result<Vec<Held>, Error> {
    let mut held = Vec::new();
    for tenant in tenant::all(db)? {
        let id: TenantId = tenant.id;
        let (seq, digest) =
            Statement::<(BigInt, Binary)>::new("SELECT seq, digest FROM tenant_clock WHERE tenant_id = ")
                .bind(id)
                .get_result::<(i64, Vec<u8>)>(db)?;
        let newest = Statement::<(BigInt, Binary)>::new("SELECT seq, digest FROM change WHERE tenant_id = ")
            .bind(id)
            .sql(" ORDER BY seq DESC LIMIT 1")
            .get_result::<(i64, Vec<u8>)>(db)
            .optional()?;
        let is_importing = tenant.state == tenant::IMPORTING;
        if !is_importing && newest.unwrap_or_default() != (seq, digest) {
            return Err(Error::Corrupt(format!("the changes of {} do not end where its clock stands", tenant.slug)));
        }
        held.push((tenant.slug, seq));
    }
    Ok(held)
}

/// A backup that lies beside the embedded database and waits to take its place. Nobody else can open that database
/// meanwhile; where this is dropped, nothing has changed.
#[derive(Debug)]
pub struct Restoring {
    target: PathBuf,
    part: PathBuf,
    now: i64,
    tenants: Vec<Held>,
    _hold: hold::Hold,
}

/// Makes a copy of a backup beside the embedded database, which nobody may have open; [`Restoring::finish`] puts it in its
/// place. `force`: a database that is there will be put aside. Every tenant begins a new epoch at `now` (µs since 1970).
pub fn restore(url: &str, from: &Path, force: bool, now: i64) -> Result<Restoring, BackupError> {
    let target = path_of(url)?;
    let hold = hold::own(&target).map_err(at(&target))?;
    let Some(hold) = hold else { return Err(BackupError::InUse(target)) };
    if !force && target.exists() {
        return Err(BackupError::Exists(target));
    }
    if fs::metadata(with(from, "-wal")).is_ok_and(|metadata| metadata.len() > 0) {
        let what = "a -wal file lies beside it, so it is not whole by itself. Make backups with `matrikel backup`";
        return Err(BackupError::Unfit(from.to_owned(), what.into()));
    }
    drop(look(from)?);
    let part = with(&target, ".restoring");
    clear(&part);
    let mut restoring = Restoring { target, part, now, tenants: Vec::new(), _hold: hold };
    restoring.tenants = bring(from, &restoring.part, now)?;
    Ok(restoring)
}

impl Restoring {
    /// Where the copy can be opened, by one that closes it again before it takes its place.
    pub fn url(&self) -> String {
        format!("sqlite:{}", self.part.display())
    }

    /// What is in the copy.
    pub fn tenants(&self) -> &[Held] {
        &self.tenants
    }

    /// Of whom nothing is kept any more in the database that will be put aside, by the short names of its tenants; `None`:
    /// there is none.
    pub fn erasures(&self) -> Result<Option<Vec<Erased>>, BackupError> {
        if !self.target.exists() {
            return Ok(None);
        }
        let address = Address::Sqlite(self.target.to_string_lossy().into_owned());
        let mut db = Db::open(&address, Purpose::Read)?;
        let mut all = Vec::new();
        for tenant in tenant::all(&mut db)? {
            all.push((tenant.slug, erasure::slice(&mut db, tenant.id, None, i64::MAX)?));
        }
        Ok(Some(all))
    }

    /// Puts the copy in its place, and what is there aside.
    pub fn finish(self) -> Result<Restored, BackupError> {
        let mut db = Db::open(&Address::parse(&self.url())?, Purpose::Write)?;
        // One file, with nothing beside it that would have to be moved with it.
        db.batch_execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE").map_err(Error::from)?;
        drop(db);
        let aside = put_aside(&self.target, self.now)?;
        settle(&self.part, &self.target)?;
        Ok(Restored { tenants: self.tenants.clone(), aside })
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        clear(&self.part);
    }
}

/// Removes a copy that takes nobody's place, also one that an earlier restore left when it broke off.
fn clear(part: &Path) {
    for ending in ["", "-wal", "-shm", "-journal", ".lock"] {
        let _ = fs::remove_file(with(part, ending));
    }
}

/// Makes a copy of the backup that this version can serve, in a new epoch.
fn bring(from: &Path, part: &Path, now: i64) -> Result<Vec<Held>, BackupError> {
    let unfit = |error: Error| BackupError::Unfit(from.to_owned(), error.to_string());
    let mut source = File::open(from).map_err(at(from))?;
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part).map_err(at(part))?;
    io::copy(&mut source, &mut copy).map_err(at(part))?;
    drop(copy);
    let url = format!("sqlite:{}", part.display());
    if let Some(newer) = migrate::unknown(&url)? {
        let what = format!("it was made by a newer version of Matrikel (migration {newer})");
        return Err(BackupError::Unfit(from.to_owned(), what));
    }
    migrate::migrate(&url)?;
    let mut db = Db::open(&Address::parse(&url)?, Purpose::Write)?;
    let tenants = heads(&mut db).map_err(unfit)?;
    tenant::begin_epoch(&mut db, now)?;
    Ok(tenants)
}

/// Renames the database that is there, with what lies beside it.
fn put_aside(target: &Path, now: i64) -> Result<Option<PathBuf>, BackupError> {
    let aside = with(target, &format!(".before-{now}"));
    let mut is_there = false;
    for ending in ["", "-wal", "-shm"] {
        match fs::rename(with(target, ending), with(&aside, ending)) {
            Ok(()) => is_there = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(BackupError::Io(target.to_owned(), error)),
        }
    }
    Ok(is_there.then_some(aside))
}

/// Begins a new epoch at `now` (µs since 1970) in every tenant of a database that was restored by other means: what was
/// handed out before the restore, such as cursors, expires. How many tenants there are.
pub fn begin_epoch(url: &str, now: i64) -> Result<usize, BackupError> {
    let address = Address::parse(url)?;
    let _hold = hold::share(&address)?;
    let mut db = Db::open(&address, Purpose::Write)?;
    Ok(tenant::begin_epoch(&mut db, now)?)
}
