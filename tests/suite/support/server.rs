//! The program itself, started as an operator would: migrated, with tenants and clients made on its command line, and
//! serving at a free port until the value goes. Nothing of it is replaced for the tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::postgres::{Database, database_from};

/// A running server over a database of its own.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where SCIM is served, such as `http://127.0.0.1:40001/scim/v2`.
    pub(crate) base_url: String,
    database_url: String,
    process: Child,
    // Dropped after the process has been stopped: see `drop`.
    folder: TempDir,
    _database: Option<Database>,
}

impl Server {
    /// A server on a new SQLite file.
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let url = format!("sqlite:{}", folder.path().join("register.db").display());
        command(&url, &["migrate"]);
        Server::start(folder, url, None)
    }

    /// A server on a new PostgreSQL database.
    pub(crate) fn postgres() -> Self {
        let database = database_from("migrated", |url| drop(command(url, &["migrate"])));
        let url = database.url().to_owned();
        Server::start(TempDir::new().expect("a temporary folder"), url, Some(database))
    }

    /// Another process over the same database.
    pub(crate) fn beside(&self) -> Self {
        Server::start(TempDir::new().expect("a temporary folder"), self.database_url.clone(), None)
    }

    /// Kills the process and starts it again; it serves at another port then.
    pub(crate) fn restart(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.process = serve(&self.database_url, &self.log());
        self.base_url = self.wait_for_address();
    }

    /// The database, for looks behind the server's back.
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    fn start(folder: TempDir, database_url: String, database: Option<Database>) -> Self {
        let process = serve(&database_url, &folder.path().join("server.log"));
        let mut server = Server { base_url: String::new(), database_url, process, folder, _database: database };
        server.base_url = server.wait_for_address();
        server
    }

    /// Makes a tenant with one administrator and returns the administrator's token.
    pub(crate) fn tenant(&self, slug: &str) -> String {
        command(&self.database_url, &["tenant", "create", slug, "--name", slug]);
        self.client(slug, "admin", "administrator")
    }

    /// Makes a client of a tenant and returns its token.
    pub(crate) fn client(&self, slug: &str, name: &str, role: &str) -> String {
        let made = command(&self.database_url, &["client", "create", "--tenant", slug, name, "--role", role, "--json"]);
        let made: Value = serde_json::from_str(&made).unwrap_or_else(|error| panic!("{error}: {made}"));
        made["token"].as_str().unwrap_or_else(|| panic!("a token in {made}")).to_owned()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// The log says where the server listens.
    fn wait_for_address(&mut self) -> String {
        for _ in 0..600 {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            for line in log.lines() {
                let event: Value = serde_json::from_str(line).unwrap_or_default();
                let field = |name: &str| event.get(name).or_else(|| event["fields"].get(name)).and_then(Value::as_str);
                if let Some(url) = field("base_url") {
                    return url.to_owned();
                }
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                panic!("the server stopped ({status}): {log}");
            }
            thread::sleep(Duration::from_millis(25));
        }
        panic!("the server does not say where it listens: {}", fs::read_to_string(self.log()).unwrap_or_default());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts the program, its output in a new log.
fn serve(database_url: &str, log: &Path) -> Child {
    let output = File::create(log).expect("a log file");
    program(database_url)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("MATRIKEL_LOG_FORMAT", "json")
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("the log file again"))
        .stderr(output)
        .spawn()
        .expect("the program starts")
}

/// Runs one command of the program to its end and returns what it printed.
fn command(database_url: &str, arguments: &[&str]) -> String {
    let output = program(database_url).args(arguments).stdin(Stdio::null()).output().expect("the program runs");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "matrikel {} failed: {said}{complained}", arguments.join(" "));
    said.into_owned()
}

fn program(database_url: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_matrikel"));
    program.env("DATABASE_URL", database_url).current_dir(std::env::temp_dir());
    program
}
