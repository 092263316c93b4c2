//! Where the register of a run comes from: loaded anew into a database of its own, taken from a folder where an earlier run
//! kept it, or loaded into a server that runs already.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use store::Store;

use super::people::People;
use super::subject::Subject;
use super::world::{self, Loaded, World};
use super::{exists, machine, progress};
use crate::cli::client::Issued;
use crate::cli::{now, open, output};
use crate::config::Config;
use crate::directory::{Ctx, Directory, Profile, Random, Role, clients};

/// Connections while loading.
const CONNECTIONS: usize = 4;
/// The tenant of a register of our own.
pub(super) const TENANT: &str = "bench";

/// What is wanted.
pub(super) struct Place {
    /// Folder for files of the run.
    pub(super) folder: PathBuf,
    /// A PostgreSQL database; a SQLite file in the folder when `None`.
    pub(super) database_url: Option<String>,
    /// Folder to keep the loaded register in.
    pub(super) keep: Option<PathBuf>,
    /// Settings of the server.
    pub(super) variables: Vec<(String, String)>,
    /// Seed of the people.
    pub(super) seed: u64,
    /// How many there are to be.
    pub(super) size: u64,
}

/// A register that is ready.
pub(super) struct Prepared {
    /// The register.
    pub(super) world: World,
    /// Its file and a copy of it, if it is one.
    pub(super) files: Option<Files>,
}

/// The file of a register and a copy as it was just loaded.
pub(super) struct Files {
    /// What the server works on.
    pub(super) register: PathBuf,
    /// What raw SQL works on.
    pub(super) copy: PathBuf,
    /// Bytes of the file as loaded.
    pub(super) size: Option<u64>,
}

/// Loads a register, or takes the kept one, and starts a server on it.
pub(super) async fn own(place: &Place) -> anyhow::Result<Prepared> {
    let file = place.folder.join(format!("register-{}.db", place.size));
    let embedded = format!("sqlite:{}", file.display());
    let url = place.database_url.clone().unwrap_or_else(|| embedded.clone());
    let kept = place.keep.as_ref().map(|keep| keep.join(format!("{}-{}", place.size, place.seed)));
    let kept_file = |name: &str| kept.as_ref().map(|kept| kept.with_extension(name));
    let found = (kept_file("json").zip(kept_file("db"))).filter(|(notes, db)| exists(notes) && exists(db));
    let loaded = match (found, url == embedded) {
        (Some((notes, db)), true) => {
            output::remark(format!("Found {} people in {}.", place.size, db.display()))?;
            copy(&db, &file)?;
            serde_json::from_slice(&std::fs::read(&notes)?)
                .with_context(|| format!("{} cannot be read", notes.display()))?
        }
        _ => load(place, &url).await?,
    };
    let mut files = None;
    if url == embedded {
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let size = exists(&file).then(|| bytes(&file) + bytes(&log(&file)));
        if let (Some(notes), Some(db)) = (kept_file("json"), kept_file("db"))
            && !exists(&notes)
        {
            std::fs::create_dir_all(db.parent().unwrap_or(Path::new(".")))?;
            copy(&file, &db)?;
            // Last, so that what has notes is whole.
            std::fs::write(&notes, serde_json::to_vec(&loaded)?)?;
        }
        let beside = file.with_extension("copy");
        copy(&file, &beside)?;
        files = Some(Files { register: file, copy: beside, size });
    }
    let subject = Subject::start(&place.folder, &url, &loaded.token, &place.variables).await?;
    Ok(Prepared { world: World::new(subject, loaded), files })
}

/// Loads people into an empty tenant of a server that runs.
pub(super) async fn remote(url: &str, token: &str, process: Option<u32>, place: &Place) -> anyhow::Result<Prepared> {
    let people = People { size: place.size, seed: place.seed };
    let subject = Subject::running(url, token, process)?;
    let mut loaded =
        Loaded { seed: place.seed, size: 0, ids: Vec::new(), tenant: 0, token: token.to_owned(), rate: 0.0, cpu: 0.0 };
    let mut world = World::new(subject, Loaded { ids: Vec::new(), token: token.to_owned(), ..loaded });
    let (status, body) = world.ask(&world.subject.writer.plain("GET", "/Users?count=0")).await?;
    ensure!(status == 200, "the server answers {status}: {body}");
    let total = body.get("totalResults").and_then(serde_json::Value::as_u64);
    ensure!(total == Some(0), "the tenant has {total:?} people already; an empty one is needed");
    let bar = progress(people.size, "Loading people {bar:40} {pos}/{len} {per_sec}");
    let (ids, rate, cpu) = world::load(&world.subject, people, CONNECTIONS, &bar).await?;
    bar.finish_and_clear();
    loaded = Loaded { seed: place.seed, size: place.size, ids, tenant: 0, token: token.to_owned(), rate, cpu };
    world = World::new(world.subject, loaded);
    world.make_reading_groups().await?;
    Ok(Prepared { world, files: None })
}

/// Loads people into a database of its own, with a server that is stopped again.
pub(super) async fn load(place: &Place, url: &str) -> anyhow::Result<Loaded> {
    let (tenant, token) = make_tenant(url).await?;
    let people = People { size: place.size, seed: place.seed };
    let subject = Subject::start(&place.folder, url, &token, &place.variables).await?;
    let bar = progress(people.size, "Loading people {bar:40} {pos}/{len} {per_sec}");
    let (ids, rate, cpu) = world::load(&subject, people, CONNECTIONS, &bar).await?;
    bar.finish_and_clear();
    let memory = subject.process.and_then(machine::memory).unwrap_or_default();
    output::remark(format!(
        "Loaded {} people at {rate:.0} a second, {cpu:.0} µs of the server's CPU each, {} MiB.",
        people.size,
        memory >> 20
    ))?;
    let world = World::new(subject, Loaded { seed: place.seed, size: people.size, ids, tenant, token, rate, cpu });
    world.make_reading_groups().await?;
    // Stopped and started anew, so that the file is whole and memory is that of a server that reads.
    world.subject.stop().await?;
    Ok(world.loaded)
}

/// A tenant with one administrator, made as an operator would before the server starts.
async fn make_tenant(url: &str) -> anyhow::Result<(i64, String)> {
    let config = Config { database_url: Some(url.to_owned()), ..Config::default() };
    let directory = open::migrated(&config, true)?;
    let store: Store = directory.store().clone();
    let outcome = make_administrator(&directory).await;
    store.close();
    outcome
}

async fn make_administrator(directory: &Directory) -> anyhow::Result<(i64, String)> {
    let free = directory.store().tenant_by_slug(TENANT).await?.is_none();
    ensure!(free, "the database has a tenant {TENANT} already; give an empty one");
    let tenant = clients::create_tenant(directory.store(), TENANT, "Bench", now()).await?.id;
    let issued = Issued::new(tenant, None)?;
    let ctx = Ctx::system(tenant, now(), Random::os());
    clients::create(directory, &ctx, "driver", Role::Administrator, Profile::Rfc, issued.credential).await?;
    Ok((tenant.0, issued.token))
}

/// Copies a database that nobody has open: its file, and the log beside it when whoever closed it last left one. What is
/// committed may be there alone.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be copied to {}", from.display(), to.display());
    std::fs::copy(from, to).with_context(failed)?;
    let (log, beside) = (log(from), log(to));
    if exists(&log) {
        std::fs::copy(log, beside).with_context(failed)?;
    } else if exists(&beside) {
        std::fs::remove_file(beside).with_context(failed)?;
    }
    Ok(())
}

/// Where a database's write-ahead log is.
fn log(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_copied_with_what_is_committed_in_its_log_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from.db"), folder.path().join("to.db"));
        let read = |path: &Path| std::fs::read(path).unwrap_or_default();
        std::fs::write(&from, "pages").expect("a file");
        std::fs::write(log(&from), "frames").expect("a log");
        copy(&from, &to).expect("a copy");
        assert_eq!((read(&to), read(&log(&to))), (b"pages".to_vec(), b"frames".to_vec()));

        // Another database's log must not be left beside it.
        std::fs::remove_file(log(&from)).expect("no log");
        copy(&from, &to).expect("a copy");
        assert!(!exists(&log(&to)));
    }
}
