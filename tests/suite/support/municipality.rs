//! A tenant that has all that a municipality needs (`matrikel schema install municipality`), on a server with a master key
//! for secrets.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::api::{Api, wait_for_indexes};
use super::messages::user_with;
use super::server::{Server, attempt, command, start};

/// The extension of User.
pub(crate) const PERSON: &str = "urn:matrikel:scim:schemas:1.0:Person";
/// Units.
pub(crate) const UNIT: &str = "urn:matrikel:scim:schemas:1.0:OrganizationalUnit";
/// Where Prometheus fetches, for who looks.
const METRICS: (&str, &str) = ("MATRIKEL_METRICS_LISTEN", "127.0.0.1:0");
/// The tenant.
pub(crate) const TENANT: &str = "storstad";

/// A server with one such tenant, an administrator and HR.
pub(crate) struct Municipality {
    pub(crate) server: Server,
    pub(crate) admin: Api,
    pub(crate) hr: Api,
    folder: TempDir,
}

impl Municipality {
    /// On a new SQLite file.
    pub(crate) fn sqlite() -> Self {
        Municipality::of(Server::sqlite_with)
    }

    /// On a new PostgreSQL database.
    pub(crate) fn postgres() -> Self {
        Municipality::of(Server::postgres_with)
    }

    fn of(start: impl FnOnce(&[(&str, &str)]) -> Server) -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("keys");
        std::fs::write(&file, command("sqlite:unused", &["key", "new", "first"])).expect("the key file");
        let file = file.to_str().expect("a path");
        std::fs::write(folder.path().join("config.toml"), format!("secrets.key_file = {file:?}\n")).expect("a file");
        let server = start(&[("MATRIKEL_SECRETS_KEY_FILE", file), ("MATRIKEL_SCHEDULE_SECONDS", "1"), METRICS]);
        let admin = Api::new(&server, server.tenant(TENANT));
        let hr = Api::new(&server, server.client(TENANT, "hr", "source"));
        let municipality = Municipality { server, admin, hr, folder };
        municipality.command(&["schema", "install", "--tenant", TENANT, "municipality"]).expect("installed");
        municipality
    }

    /// The same once the server has noticed what was installed.
    pub(crate) async fn ready(&self) -> &Self {
        for _ in 0..400 {
            if self.admin.get("/ResourceTypes/Person").await.status == 200 {
                wait_for_indexes(&self.server).await;
                return self;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("the server does not notice what was installed");
    }

    /// Runs a command of the operator's on the server's database, with its master key.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<String, String> {
        let config = self.folder.path().join("config.toml");
        let config = ["--config", config.to_str().expect("a path")];
        attempt(self.server.database_url(), &[&config, arguments].concat())
    }

    /// Starts such a command, whose output nobody reads.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> std::process::Child {
        let config = self.folder.path().join("config.toml");
        let config = ["--config", config.to_str().expect("a path")];
        start(self.server.database_url(), &[&config, arguments].concat())
    }

    /// Another server over the same database, with the same master key.
    pub(crate) fn beside(&self) -> Server {
        let file = self.folder.path().join("keys");
        let file = file.to_str().expect("a path");
        self.server.beside_with(&[("MATRIKEL_SECRETS_KEY_FILE", file), ("MATRIKEL_SCHEDULE_SECONDS", "1")])
    }

    /// The lease of who was killed ends by itself in two minutes; whoever has the database can end it before.
    pub(crate) fn end_leases(&self) {
        let patience = if self.server.is_postgres() { "" } else { "PRAGMA busy_timeout = 30000; " };
        self.server.execute(&format!("{patience}DELETE FROM lease"));
    }

    /// Statements that have the database refuse every entry of the audit, and take it again.
    pub(crate) fn audit_refusal(&self) -> (&'static str, &'static str) {
        match self.server.is_postgres() {
            true => (
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
                 CREATE TRIGGER refuse BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION refuse();",
                "DROP TRIGGER refuse ON audit; DROP FUNCTION refuse();",
            ),
            false => (
                "CREATE TRIGGER refuse BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END;",
                "DROP TRIGGER refuse;",
            ),
        }
    }

    /// HR enters a person; the answer.
    pub(crate) async fn enter(&self, user_name: &str, person: &Value) -> Value {
        self.hr.post("/Users", &user_with(user_name, &json!({ PERSON: person }))).await.expect(201).body
    }

    /// What a search by POST finds, whose filter may name a secret.
    pub(crate) async fn search(&self, endpoint: &str, filter: &str) -> Vec<Value> {
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": filter });
        let found = self.hr.post(&format!("{endpoint}/.search"), &body).await.expect(200).body;
        found["Resources"].as_array().cloned().unwrap_or_default()
    }
}
