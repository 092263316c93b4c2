//! A real client that pushes: Canaille, an identity provider that hands every change of its users and groups on by SCIM. It is
//! driven by its own commands alone, and knows of the server no more than its address and a token.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::conformance::environment;
use crate::support::server::Server;

/// A Canaille with a database of its own. Without a broker it pushes before its command ends.
struct Canaille(TempDir);

impl Canaille {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let configuration = format!(
            "SECRET_KEY = \"of no use to anybody\"\nSERVER_NAME = \"canaille.localhost\"\n[CANAILLE]\nDATABASE = \"sql\"\n\
             [CANAILLE_SQL]\nDATABASE_URI = \"sqlite:///{}\"\n[CANAILLE_SCIM]\nENABLE_CLIENT = true\n[CANAILLE_OIDC]\n",
            folder.path().join("canaille.db").display()
        );
        fs::write(folder.path().join("canaille.toml"), configuration).expect("written");
        let canaille = Canaille(folder);
        canaille.run(&["install"]);
        canaille
    }

    /// What a command said, on standard output and standard error.
    fn run(&self, arguments: &[&str]) -> String {
        let program = environment("canaille/bin/canaille");
        let output = Command::new(&program)
            .args(arguments)
            .env("CANAILLE_CONFIG", self.0.path().join("canaille.toml"))
            .current_dir(self.0.path())
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}. 'make setup' installs it.", program.display()));
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "canaille {}: {said}", arguments.join(" "));
        // It goes on when a push has failed, and says so.
        for complaint in ["failed", "not supported", "Unable"] {
            assert!(!said.contains(complaint), "canaille {}: {said}", arguments.join(" "));
        }
        said
    }

    /// The attribute `id` of what a command made.
    fn made(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        let made = said.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
        made.and_then(|made| made["id"].as_str().map(str::to_owned)).unwrap_or_else(|| panic!("an id: {said}"))
    }
}

/// A server that Canaille pushes to.
struct Place {
    _server: Server,
    admin: Client,
    /// What Canaille itself sees.
    pushed: Client,
}

impl Place {
    fn new(server: Server, name: &str, canaille: &Canaille) -> Self {
        let admin = Client::new(&server.base_url, &server.tenant("town"));
        let token = server.client_with("town", "canaille", "source", &["--profile", "core"]);
        let url = server.base_url.as_str();
        let back = url.replace("/scim/v2", "/callback");
        let client = ["create", "client", "--client-name", name, "--client-id", name, "--client-uri", url];
        canaille.run(&[&client[..], &["--redirect-uris", &back, "--grant-types", "client_credentials"]].concat());
        // The token that it shows us is one that it has for that client; ours is put there.
        let own = ["create", "token", "--token-id", name, "--client", name, "--access-token", &token];
        let dated = ["--issue-date", "2026-01-01T00:00:00+00:00", "--lifetime", "2000000000", "--scope", "openid"];
        canaille.run(&[&own[..], &dated].concat());
        let pushed = Client::new(url, &token);
        Place { _server: server, admin, pushed }
    }

    async fn users(&self, client: &Client) -> Value {
        client.find("/Users", &[("sortBy", "userName")]).await.expect(200).json()
    }

    async fn check_what_was_pushed(&self, asa: &str, crew: &str) {
        // Its externalId is its own: another client does not see it, and what it wrote is all there.
        let found = self.users(&self.pushed).await;
        assert_eq!((&found["totalResults"], &found["Resources"][0]["externalId"]), (&2.into(), &asa.into()));
        let seen = &self.users(&self.admin).await["Resources"][0];
        for (pointer, expected) in [
            ("/userName", "asa"),
            ("/name/givenName", "Åsa"),
            ("/name/familyName", "Öberg"),
            ("/title", "Rektor"),
            ("/emails/0/value", "asa@kommun.se"),
            ("/groups/0/display", "crew"),
        ] {
            assert_eq!(seen.pointer(pointer).and_then(Value::as_str), Some(expected), "{pointer} of {seen}");
        }
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        assert_eq!((&seen[enterprise]["department"], seen.get("externalId")), (&"Skola".into(), None), "{seen}");
        let group = self.pushed.get("/Groups").await.expect(200).json()["Resources"][0].clone();
        assert_eq!((&group["displayName"], &group["externalId"]), (&"crew".into(), &crew.into()));
        assert_eq!(group["members"].as_array().map(Vec::len), Some(2), "{group}");
    }

    async fn check_what_was_changed(&self) {
        let left = self.users(&self.admin).await;
        assert_eq!((&left["totalResults"], &left["Resources"][0]["name"]["familyName"]), (&1.into(), &"Ek".into()));
        let group = self.admin.get("/Groups").await.expect(200).json()["Resources"][0].clone();
        let expected = (&"staff".into(), &left["Resources"][0]["id"]);
        assert_eq!((&group["displayName"], &group["members"][0]["value"]), expected);
    }

    async fn check_what_is_left(&self) {
        assert_eq!(self.admin.get("/Groups").await.expect(200).json()["totalResults"], 0);
        let denied = self.admin.find("/AuditEvents", &[("filter", "kind eq \"denied\"")]).await.expect(200).json();
        assert_eq!(denied["totalResults"], 0, "{denied}");
    }
}

/// One Canaille pushes to both databases.
#[tokio::test]
async fn what_canaille_does_with_its_people_is_done_here() {
    let canaille = Canaille::new();
    let places =
        [Place::new(Server::sqlite(), "sqlite", &canaille), Place::new(Server::postgres(), "postgres", &canaille)];
    let person = |name: &'static str, given: &'static str, email: &'static str| {
        let plain = ["create", "user", "--user-name", name, "--given-name", given, "--family-name", "Öberg"];
        canaille.made(&[&plain[..], &["--emails", email, "--department", "Skola", "--title", "Rektor"]].concat())
    };
    let asa = person("asa", "Åsa", "asa@kommun.se");
    person("bo", "Bo", "bo@kommun.se");
    let crew = canaille.made(&["create", "group", "--display-name", "crew", "--members", "asa", "--members", "bo"]);
    for place in &places {
        place.check_what_was_pushed(&asa, &crew).await;
    }
    canaille.run(&["set", "user", "asa", "--family-name", "Ek"]);
    canaille.run(&["set", "group", &crew, "--members", "asa", "--display-name", "staff"]);
    canaille.run(&["delete", "user", "--user-name", "bo", "--noconfirm"]);
    for place in &places {
        place.check_what_was_changed().await;
    }
    canaille.run(&["delete", "group", "--display-name", "staff", "--noconfirm"]);
    for place in &places {
        place.check_what_is_left().await;
    }
}
