//! A PostgreSQL database of its own for every test, over the binaries that are installed.
//!
//! One cluster serves a whole run. nextest starts it before the first test (`.config/nextest.toml`) and passes its URL
//! in `MATRIKEL_TEST_PG`; without nextest the first test of a process starts one with the same script. The script's
//! watchdog stops and removes the cluster when its owner has gone. A test that cannot have a database fails with a
//! sentence that says what to install; none is ever skipped. Needs nothing but `std`, so that other crates of the
//! workspace can include this file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// A database that exists as long as this value.
#[derive(Debug)]
pub(crate) struct Database {
    name: String,
    url: String,
}

impl Database {
    /// The URL, such as `postgres://postgres@127.0.0.1:24001/t_512_0`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The whole cluster goes at the end of the run: a database that cannot be dropped now is no reason to fail.
        let _ = run(&[&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)]);
    }
}

/// An empty database.
pub(crate) fn database() -> Database {
    copy_of("template0")
}

/// A copy of the database that `build` makes: `build` gets the URL of an empty database, once a run for each `name`
/// (lower-case letters, digits and `_`), however many processes ask. It must leave no connection open.
pub(crate) fn database_from(name: &str, build: impl Fn(&str)) -> Database {
    let ready = format!("ready_{name}");
    let raw = format!("raw_{name}");
    // The server is the lock between processes: only one of them creates `raw`, and only a finished one is renamed.
    for _ in 0..1200 {
        if ask(&format!("SELECT count(*) FROM pg_database WHERE datname = '{ready}'")) == "1" {
            return copy_of(&ready);
        }
        if run(&[&format!("CREATE DATABASE {raw} TEMPLATE template0")]).is_ok() {
            let unfinished = Database { url: format!("{}/{raw}", server()), name: raw.clone() };
            // Another may have finished it between the look and the creation; then this one is dropped again.
            if ask(&format!("SELECT count(*) FROM pg_database WHERE datname = '{ready}'")) == "1" {
                continue;
            }
            build(&unfinished.url);
            let close = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{raw}'");
            if let Err(reason) = run(&[&close, &format!("ALTER DATABASE {raw} RENAME TO {ready}")]) {
                panic!("The template database {name} cannot be finished: {reason}");
            }
        } else {
            thread::sleep(Duration::from_millis(50));
        }
    }
    panic!("Another test has been building the template database {name} for a minute. It probably failed: see there.");
}

fn copy_of(template: &str) -> Database {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    if let Err(reason) = run(&[&format!("CREATE DATABASE {name} TEMPLATE {template}")]) {
        panic!("No database for this test: {reason}");
    }
    Database { url: format!("{}/{name}", server()), name }
}

/// The cluster's URL without a database.
fn server() -> &'static str {
    static SERVER: OnceLock<String> = OnceLock::new();
    SERVER.get_or_init(|| std::env::var("MATRIKEL_TEST_PG").unwrap_or_else(|_| start_cluster()))
}

/// Runs the script that starts and stops clusters, and returns what it printed.
pub(crate) fn script(arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("tests/suite/support/postgres.sh"))
        .find(|script| script.exists())
        .expect("tests/suite/support/postgres.sh is in the work tree");
    let output = Command::new(&script).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{} cannot be run: {error}", script.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "PostgreSQL cannot be started or stopped for the tests. {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Starts a cluster that goes with this process, and returns its URL without a database.
pub(crate) fn start_cluster() -> String {
    script(&["start", &std::process::id().to_string()])
}

/// Runs statements, each by itself, as the cluster's owner.
fn run(statements: &[&str]) -> Result<String, String> {
    let mut command = Command::new(psql());
    command.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-d"]).arg(format!("{}/postgres", server()));
    for statement in statements {
        command.args(["-c", statement]);
    }
    let output =
        command.output().map_err(|error| format!("psql cannot be run ({error}). 'make setup' installs it."))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

pub(crate) fn ask(question: &str) -> String {
    run(&[question]).unwrap_or_else(|reason| panic!("The test cluster does not answer: {reason}"))
}

/// Debian's `psql` on PATH is a script that looks for the program every time: the program itself is four times faster.
fn psql() -> &'static Path {
    static PSQL: OnceLock<PathBuf> = OnceLock::new();
    PSQL.get_or_init(|| {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok()).max();
        let program = newest.map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin/psql")));
        program.filter(|program| program.exists()).unwrap_or_else(|| PathBuf::from("psql"))
    })
}

#[test]
fn every_test_has_a_database_of_its_own() {
    let (one, other) = (database(), database());
    assert_ne!(one.url(), other.url());
}

#[test]
fn a_template_is_built_once_and_copied() {
    let built = AtomicU32::new(0);
    let build = |url: &str| {
        built.fetch_add(1, Ordering::Relaxed);
        let made = Command::new(psql()).args(["-X", "-q", "-d", url, "-c", "CREATE TABLE thing (n int)"]).status();
        assert!(made.is_ok_and(|status| status.success()));
    };
    let (one, other) = (database_from("fixture", build), database_from("fixture", build));
    assert_eq!(built.load(Ordering::Relaxed), 1);
    for database in [&one, &other] {
        let seen = Command::new(psql()).args(["-X", "-q", "-d", database.url(), "-c", "TABLE thing"]).output();
        assert!(seen.is_ok_and(|seen| seen.status.success()));
    }
}
