//! The program itself, started as an operator would: migrated, with tenants and clients made on its command line, and
//! serving at a free port until the value goes. Nothing of it is replaced for the tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, SqliteConnection};
use serde_json::Value;
use tempfile::TempDir;

use super::postgres::Database;
use super::statements::{Watch, migrated};

const LOG: &str = "server.log";

/// A master key, for servers that sign tokens or keep secrets.
pub(crate) const MASTER_KEY: (&str, &str) =
    ("MATRIKEL_SECRETS_KEYS", "test:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");

/// A running server over a database of its own.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where SCIM is served, such as `http://127.0.0.1:40001/scim/v2`.
    pub(crate) base_url: String,
    database_url: String,
    variables: Vec<(String, String)>,
    process: Child,
    // Dropped after the process has been stopped: see `drop`.
    folder: TempDir,
    _watch: Option<Watch>,
    _database: Option<Database>,
}

impl Server {
    /// A server on a new SQLite file.
    pub(crate) fn sqlite() -> Self {
        Server::sqlite_with(&[])
    }

    /// The same with configuration in environment variables.
    pub(crate) fn sqlite_with(variables: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let url = format!("sqlite:{}", folder.path().join("register.db").display());
        command(&url, &["migrate"]);
        Server::start(folder, url, None, variables)
    }

    /// A server on a new PostgreSQL database.
    pub(crate) fn postgres() -> Self {
        Server::postgres_with(&[])
    }

    /// Another process over the same database.
    pub(crate) fn beside(&self) -> Self {
        self.beside_with(&[])
    }

    /// The same with configuration in environment variables.
    pub(crate) fn beside_with(&self, variables: &[(&str, &str)]) -> Self {
        Server::start(TempDir::new().expect("a temporary folder"), self.database_url.clone(), None, variables)
    }

    /// Another process that finds the same database at another address.
    pub(crate) fn beside_at(&self, url: String) -> Self {
        Server::start(TempDir::new().expect("a temporary folder"), url, None, &[])
    }

    /// Lets the process write no file beyond so many bytes; `None`: as large as it likes.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let id = self.process.id().to_string();
        // The soft limit alone, which may be raised again.
        let set = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={limit}:")]).status();
        assert!(set.is_ok_and(|status| status.success()), "prlimit (util-linux) sets a limit");
    }

    /// The same with configuration in environment variables.
    pub(crate) fn postgres_with(variables: &[(&str, &str)]) -> Self {
        Server::on(migrated(), variables)
    }

    /// The same on a PostgreSQL database that is there and migrated.
    pub(crate) fn on(database: Database, variables: &[(&str, &str)]) -> Self {
        let url = database.url().to_owned();
        Server::start(TempDir::new().expect("a temporary folder"), url, Some(database), variables)
    }

    fn start(folder: TempDir, database_url: String, database: Option<Database>, variables: &[(&str, &str)]) -> Self {
        let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let watch = database.as_ref().and_then(|database| Watch::over(database.url()));
        let process = serve(&database_url, &folder.path().join(LOG), &variables);
        let mut server = Server {
            base_url: String::new(),
            database_url,
            variables,
            process,
            folder,
            _watch: watch,
            _database: database,
        };
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
        self.client_with(slug, name, role, &[])
    }

    /// The same with further arguments of the command line.
    pub(crate) fn client_with(&self, slug: &str, name: &str, role: &str, further: &[&str]) -> String {
        let mut arguments = vec!["client", "create", "--tenant", slug, name, "--role", role, "--json"];
        arguments.extend(further);
        let made = command(&self.database_url, &arguments);
        let made: Value = serde_json::from_str(&made).unwrap_or_else(|error| panic!("{error}: {made}"));
        made["token"].as_str().unwrap_or_else(|| panic!("a token in {made}")).to_owned()
    }

    /// Has a certificate stand for a client, by a rule such as `dns=hr.example.se`; answers the credential's id.
    pub(crate) fn certify(&self, slug: &str, client: &str, rule: &str) -> uuid::Uuid {
        let add = ["client", "credential", "add", "--tenant", slug, client, "--kind", "certificate", "--json"];
        let made = command(&self.database_url, &[&add[..], &["--certificate", rule]].concat());
        let made: Value = serde_json::from_str(&made).unwrap_or_else(|error| panic!("{error}: {made}"));
        let id = made["id"].as_str().unwrap_or_else(|| panic!("an id in {made}"));
        id.parse().expect("an id")
    }

    /// Memory that the server holds now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the process is there");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
        resident.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Whether the database is PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        !self.database_url.starts_with("sqlite:")
    }

    /// Runs statements on the database behind the server's back.
    pub(crate) fn execute(&self, statements: &str) {
        execute(&self.database_url, statements);
    }

    /// Lets the database refuse every resource that is called `boom`, when it is written and not before.
    pub(crate) fn refuse_boom(&self) {
        self.execute(if self.is_postgres() {
            "ALTER TABLE resource ADD CONSTRAINT refused CHECK (label <> 'boom')"
        } else {
            "CREATE TRIGGER refused BEFORE INSERT ON resource WHEN NEW.label = 'boom' \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        });
    }

    /// Lets it take them again.
    pub(crate) fn accept_boom(&self) {
        self.execute(if self.is_postgres() {
            "ALTER TABLE resource DROP CONSTRAINT refused"
        } else {
            "DROP TRIGGER refused"
        });
    }

    /// The one number that a query on the database answers.
    pub(crate) fn number(&self, query: &str) -> i64 {
        number(&self.database_url, query)
    }

    /// What a command of the operator says, with the server's own configuration.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = program(&self.database_url).envs(self.variables.iter().cloned()).args(arguments).output();
        let output = output.expect("the program runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "matrikel {} failed: {said}", arguments.join(" "));
        said
    }

    /// Whether it was given the master key of the tests.
    pub(crate) fn has_master_key(&self) -> bool {
        self.variables.iter().any(|(name, _)| name == MASTER_KEY.0)
    }

    /// Where the data lie.
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Everything the server has said so far, on standard output and standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.log()).expect("the log")
    }

    /// The same once it holds so many of a text: lines of the log gather before they are written.
    pub(crate) async fn said_at_least(&self, times: usize, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let said = self.said();
            if said.matches(text).count() >= times {
                return said;
            }
            assert!(Instant::now() < deadline, "not {times} times {text}: {said}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks the server to stop, as an init system does, and returns its exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        assert!(sent.success(), "no process {id}");
        self.process.wait().expect("the process ends").code()
    }

    /// Takes the server away without a word: kill -9.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("the process was there");
        self.process.wait().expect("the process ends");
    }

    /// Starts the server again on the same data, at another port and with an empty log. It must have ended.
    pub(crate) fn restart(&mut self) {
        self.process = serve(&self.database_url, &self.log(), &self.variables);
        self.base_url = self.wait_for_address();
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join(LOG)
    }

    /// Where Prometheus fetches, such as `127.0.0.1:40002`; the server must have been told to listen for it.
    pub(crate) fn metrics_address(&self) -> String {
        let said = self.said();
        let events = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let address = events.filter(|event| event["message"] == "metrics at /metrics");
        let address = address.filter_map(|event| event["address"].as_str().map(str::to_owned)).next();
        address.unwrap_or_else(|| panic!("no metrics: {said}"))
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

/// Starts the program as a server whose output goes to a file.
fn serve(database_url: &str, log: &Path, variables: &[(String, String)]) -> Child {
    let output = File::create(log).expect("a log file");
    program(database_url)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("MATRIKEL_LOG_FORMAT", "json")
        .envs(variables.iter().cloned())
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("the log file again"))
        .stderr(output)
        .spawn()
        .expect("the program starts")
}

/// Runs statements on a database, when it is their turn.
pub(crate) fn execute(database_url: &str, statements: &str) {
    let outcome = match database_url.strip_prefix("sqlite:") {
        Some(file) => {
            let patient = format!("PRAGMA busy_timeout = 20000; {statements}");
            SqliteConnection::establish(file).expect("a connection").batch_execute(&patient)
        }
        None => PgConnection::establish(database_url).expect("a connection").batch_execute(statements),
    };
    outcome.expect("the statements run");
}

/// The one number that a query on a database answers.
pub(crate) fn number(database_url: &str, query: &str) -> i64 {
    use diesel::RunQueryDsl;
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        number: i64,
    }
    let query = diesel::sql_query(query.replacen("COUNT(*)", "COUNT(*) AS number", 1));
    let row: Row = match database_url.strip_prefix("sqlite:") {
        Some(file) => query.get_result(&mut SqliteConnection::establish(file).expect("a connection")),
        None => query.get_result(&mut PgConnection::establish(database_url).expect("a connection")),
    }
    .expect("a row");
    row.number
}

/// Runs one command of the program to its end and returns what it printed.
pub(crate) fn command(database_url: &str, arguments: &[&str]) -> String {
    let output = program(database_url).args(arguments).stdin(Stdio::null()).output().expect("the program runs");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "matrikel {} failed: {said}{complained}", arguments.join(" "));
    said.into_owned()
}

/// The same for a command that may fail; then everything it said.
pub(crate) fn attempt(database_url: &str, arguments: &[&str]) -> Result<String, String> {
    let output = program(database_url).args(arguments).stdin(Stdio::null()).output().expect("the program runs");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(said.into_owned()) } else { Err(format!("{said}{complained}")) }
}

/// Starts a command whose output nobody reads.
pub(crate) fn start(database_url: &str, arguments: &[&str]) -> Child {
    let mut program = program(database_url);
    program.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    program.spawn().expect("the program starts")
}

fn program(database_url: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_matrikel"));
    program.env("DATABASE_URL", database_url).current_dir(std::env::temp_dir());
    program
}
