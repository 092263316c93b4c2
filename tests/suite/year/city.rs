//! A register of a city that is served over HTTP at a clock of its own: days pass when the test says so, and what falls due on
//! the way happens as if somebody had looked all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use matrikel::cli::serve;
use matrikel::config::Config;
use matrikel::directory::secret::Keyring;
use matrikel::directory::{Ctx, Directory, Limits, Random, TenantId};
use matrikel::http::Clock;
use matrikel::http::server::Running;
use matrikel::schedule::{Pace, Scheduler};
use scim::schema::Registry;
use serde_json::{Value, json};
use store::Store;
use tempfile::TempDir;

use crate::lifecycle::town::at;
use crate::support::api::Api;
use crate::support::postgres::Database;
use crate::support::server::{MASTER_KEY, command, execute};
use crate::support::statements::migrated;

pub(super) const PERSON: &str = "urn:matrikel:scim:schemas:1.0:Person";
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const TENANT: &str = "city";

/// The city. Its days are those of Helsinki.
pub(super) struct City {
    pub(super) admin: Api,
    pub(super) hr: Api,
    url: String,
    base: String,
    directory: Directory,
    tenant: TenantId,
    now: Arc<AtomicI64>,
    _running: Running,
    _folder: TempDir,
    _database: Option<Database>,
}

impl City {
    /// On a new SQLite file, on a day.
    pub(super) async fn sqlite(day: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("register.db").display());
        store::migrate(&url).expect("migrated");
        City::of(url, folder, None, day).await
    }

    /// On a new PostgreSQL database, on a day.
    pub(super) async fn postgres(day: &str) -> Self {
        let database = migrated();
        City::of(database.url().to_owned(), TempDir::new().expect("a folder"), Some(database), day).await
    }

    async fn of(url: String, folder: TempDir, database: Option<Database>, day: &str) -> Self {
        let keys = folder.path().join("keys");
        std::fs::write(&keys, MASTER_KEY.1).expect("the keys");
        let config = folder.path().join("config.toml");
        std::fs::write(&config, format!("secrets.key_file = {keys:?}\n")).expect("the configuration");
        let config = config.to_str().expect("a path");
        command(&url, &["--config", config, "tenant", "create", TENANT, "--name", "City"]);
        command(&url, &["--config", config, "schema", "install", "--tenant", TENANT, "municipality"]);
        let registry = Arc::new(Registry::builtin().expect("the schemas"));
        let store = Store::open(&store::Options::new(&url), registry.clone()).expect("the store");
        let tenant = store.tenant_by_slug(TENANT).await.expect("read").expect("it is there").id;
        let ring = Keyring::of_text(MASTER_KEY.1).expect("a ring");
        let directory = Directory::new(store, registry, Limits::default()).with_keys(ring);
        let now = Arc::new(AtomicI64::new(at(day)));
        let served = Config {
            listen: "127.0.0.1:0".to_owned(),
            data_dir: folder.path().to_owned(),
            database_url: Some(url.clone()),
            ..Config::default()
        };
        let clock = Arc::clone(&now);
        let clock = Clock::of(move || clock.load(Ordering::Relaxed));
        let running = serve::start(&served, directory.clone(), clock).expect("it serves");
        let base = running.base_url();
        let nobody = Api { client: reqwest::Client::new(), base: base.clone(), token: String::new() };
        let mut city = City {
            admin: nobody.clone(),
            hr: nobody,
            url,
            base,
            directory,
            tenant,
            now,
            _running: running,
            _folder: folder,
            _database: database,
        };
        city.admin = city.client("admin", &["--role", "administrator"]);
        let names = ["--role", "source", "--names", "generated", "--account-domain", "administration"];
        city.hr = city.client("hr", &names);
        city
    }

    /// A client that is made as an operator makes one.
    pub(super) fn client(&self, name: &str, arguments: &[&str]) -> Api {
        let create = ["client", "create", "--tenant", TENANT, name, "--json"];
        let made: Value = serde_json::from_str(&command(&self.url, &[&create, arguments].concat())).expect("JSON");
        let token = made["token"].as_str().expect("a token").to_owned();
        // No token that a person is given lasts until the days of the story.
        let patience = if self.url.starts_with("sqlite:") { "PRAGMA busy_timeout = 30000; " } else { "" };
        execute(&self.url, &format!("{patience}UPDATE credential SET expires_at = 9000000000000000"));
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Api { client, base: self.base.clone(), token }
    }

    /// Days pass; what falls due on the way happens.
    pub(super) async fn day(&self, moment: &str) {
        let scheduler = Scheduler::new(self.directory.clone(), &Random::os()).expect("a scheduler");
        let clock = || self.now.load(Ordering::Relaxed);
        let run = scheduler.run(self.tenant, clock, at(moment), Pace::AsItWas, |_, _| {});
        run.await.expect("it is done").expect("nobody else is at it");
        self.now.store(at(moment), Ordering::Relaxed);
    }

    /// What is due by now happens, as a running server looks every few seconds.
    pub(super) async fn look(&self) {
        let moment = jiff::Timestamp::from_microsecond(self.now.load(Ordering::Relaxed)).expect("a moment");
        self.day(&moment.to_string()).await;
    }

    /// The file that a source sends in a night; its run.
    pub(super) async fn night(&self, source: &Api, feed: &str, day: &str, rows: &str) -> Value {
        let path = format!("{}/Feeds/{feed}?extracted={day}T01:00:00Z", source.base);
        let request = source.client.post(path).bearer_auth(&source.token).header("content-type", "text/csv");
        let sent = request.body(rows.to_owned()).send().await.expect("an answer");
        assert_eq!(sent.status(), 202, "{}", sent.text().await.unwrap_or_default());
        let location = sent.headers().get("location").and_then(|value| value.to_str().ok()).expect("a location");
        let run = location.rsplit('/').next().expect("an id");
        let run = self.settled(&format!("/Runs/{run}")).await;
        assert_eq!(run["state"], "applied", "{run}");
        self.look().await;
        run
    }

    /// The policy of the city: accounts by their dates, names by the template.
    pub(super) async fn policy(&self) {
        let policy = json!({
            "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "staff", "zone": "Europe/Helsinki",
            "purge": true, "purgeAfter": 60, "kinds": [{ "type": "substitute", "bridgeDays": 30 }],
            "names": { "userName": ["{{ firstName }}.{{ familyName }}"], "domain": "city.example" },
        });
        self.admin.post("/Policies", &policy).await.expect(201);
    }

    pub(super) async fn group(&self, name: &str) {
        let group = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name });
        self.admin.post("/Groups", &group).await.expect(201);
    }

    /// Follows a simulation or a run to its end.
    pub(super) async fn settled(&self, path: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let found = self.admin.get(path).await.expect(200).body;
            if !["waiting", "running", "checking"].contains(&found["state"].as_str().expect("a state")) {
                return found;
            }
            assert!(Instant::now() < deadline, "{found}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Erases what runs that ended before a day have left; of how many that was.
    pub(super) async fn expire(&self, before: &str) -> u64 {
        let ctx = Ctx::system(self.tenant, self.now.load(Ordering::Relaxed), Random::os());
        self.directory.expire_run_items(&ctx, at(before)).await.expect("erased")
    }

    /// How many changes there are of the people.
    pub(super) async fn changes(&self) -> usize {
        let tenant = self.tenant;
        let read = self.directory.store().read(move |reader| reader.changes(tenant, 0, None, 1_000_000)).await;
        let changes = read.unwrap_or_else(|error: store::Error| panic!("{error}"));
        changes.iter().filter(|stored| ["User", "Group", "Person"].contains(&stored.change.kind.as_str())).count()
    }
}

impl Drop for City {
    fn drop(&mut self) {
        self.directory.store().close();
    }
}

/// A rule that gives a group.
pub(super) fn rule(name: &str, filter: &str, group: &str, more: &Value) -> Value {
    let mut rule = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Rule"], "name": name, "filter": filter,
        "grants": [{ "type": "group", "value": group }],
    });
    for (name, value) in more.as_object().expect("an object") {
        rule[name] = value.clone();
    }
    rule
}

/// Names of the groups of a user.
pub(super) fn groups(user: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        user["groups"].as_array().into_iter().flatten().filter_map(|group| group["display"].as_str()).collect();
    names.sort_unstable();
    names
}

/// State and whether the account is active.
pub(super) fn state(user: &Value) -> (&str, bool) {
    (user[PERSON]["lifecycle"]["state"].as_str().unwrap_or("none"), user["active"] == true)
}
