//! What falls due while servers run, while several do, and when whoever does it is killed.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::town::{PERSON, person};
use crate::support::both::on_both_databases;
use crate::support::client::Client;
use crate::support::server::{MASTER_KEY, Server};

on_both_databases!(Town: a_server_does_what_is_due, what_is_killed_in_the_middle_is_done_once);

/// A server with the extension and a client of each kind.
struct Town {
    server: Server,
    admin: Client,
    hr: Client,
    cloud: Client,
}

impl Town {
    fn sqlite() -> Self {
        Town::of(Server::sqlite_with(&[MASTER_KEY, ("MATRIKEL_SCHEDULE_SECONDS", "1")]))
    }

    fn postgres() -> Self {
        Town::of(Server::postgres_with(&[MASTER_KEY, ("MATRIKEL_SCHEDULE_SECONDS", "1")]))
    }

    fn of(server: Server) -> Self {
        let [admin, hr, cloud] =
            [server.tenant("town"), server.client("town", "hr", "source"), server.client("town", "cloud", "consumer")]
                .map(|token| Client::new(&server.base_url, &token));
        let town = Town { server, admin, hr, cloud };
        let installed = town.program(&["schema", "install", "--tenant", "town", "person"]).output().expect("it runs");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        town
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_matrikel"));
        program.env("DATABASE_URL", self.server.database_url()).env(MASTER_KEY.0, MASTER_KEY.1);
        program.current_dir(std::env::temp_dir()).args(arguments).stdin(Stdio::null());
        program
    }

    /// Enters so many people who begin on a day; their paths.
    async fn enter(&self, count: usize, start: &str) -> Vec<String> {
        let one = |n: usize| {
            let data = person(&format!("p{n}"), &[("1", "permanent", start, "")]);
            json!({ "method": "POST", "path": "/Users", "bulkId": n.to_string(), "data": data })
        };
        let operations: Vec<Value> = (0..count).map(one).collect();
        let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
        let answer =
            self.hr.post("/Bulk", &json!({ "schemas": [urn], "Operations": operations })).await.expect(200).json();
        let entered = answer["Operations"].as_array().expect("operations").iter();
        let path = |one: &Value| {
            assert_eq!(one["status"], "201", "{one}");
            format!("/Users/{}", one["location"].as_str().expect("a location").rsplit('/').next().expect("an id"))
        };
        entered.map(path).collect()
    }

    async fn policy(&self) {
        let policy = json!({
            "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "Europe/Helsinki",
        });
        self.admin.post("/Policies", &policy).await.expect(201);
    }

    /// State and version of each of them.
    async fn states(&self, paths: &[String]) -> Vec<(String, i64)> {
        let mut states = Vec::new();
        for path in paths {
            let answer = self.admin.get(path).await.expect(200);
            let state = answer.json()[PERSON]["lifecycle"]["state"].as_str().unwrap_or("none").to_owned();
            states.push((state, answer.version()));
        }
        states
    }
}

async fn a_server_does_what_is_due(town: &Town) {
    let paths = town.enter(30, "2020-01-01").await;
    let later = town.enter_later().await;
    // Another server on the same database looks too, where there can be one.
    let _other = town.server.is_postgres().then(|| town.server.beside());
    town.policy().await;
    let told = |states: &[(String, i64)]| states.iter().all(|(state, _)| state != "none");
    for _ in 0..400 {
        if told(&town.states(&paths[29..]).await) && told(&town.states(std::slice::from_ref(&later)).await) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let states = town.states(&paths).await;
    assert!(states.iter().all(|(state, version)| state == "active" && *version == 2), "{states:?}");
    assert_eq!(town.states(std::slice::from_ref(&later)).await, [("planned".to_owned(), 2)]);
    // Whoever pulls sees who is there.
    let seen = town.cloud.get("/Users?count=0").await.expect(200);
    assert_eq!(seen.json()["totalResults"], 30);
    town.cloud.get(&later).await.expect(404);
    town.hr.get(&later).await.expect(200);
    town.hr.delete(&later).await.expect(204);
    town.hr.get(&later).await.expect(404);
    town.hr.delete(&later).await.expect(404);
    town.admin.get(&later).await.expect(200);
    assert_eq!(town.hr.get("/Users?count=0").await.expect(200).json()["totalResults"], 30);
    let events = town.admin.get("/Users?filter=active%20eq%20true&count=0").await.expect(200);
    assert_eq!(events.json()["totalResults"], 30);
}

impl Town {
    /// The lease of who was killed ends by itself; whoever has the database can end it before.
    fn end_lease(&self) {
        let end = if self.server.is_postgres() { "" } else { "PRAGMA busy_timeout = 30000; " };
        self.server.execute(&format!("{end}DELETE FROM lease"));
    }

    async fn enter_later(&self) -> String {
        let answer =
            self.hr.post("/Users", &person("later", &[("1", "permanent", "2100-01-01", "")])).await.expect(201);
        format!("/Users/{}", answer.id())
    }
}

async fn what_is_killed_in_the_middle_is_done_once(town: &Town) {
    town.policy().await;
    let paths = town.enter(400, "2100-03-01").await;
    // A server would finish what the killed one leaves: only the command is to.
    let run = ["schedule", "run", "--tenant", "town", "--until", "2100-06-01T00:00:00Z", "--ahead", "--json"];
    for milliseconds in [120, 60, 240, 30, 180] {
        let mut running = town.program(&run).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        running.kill().expect("killed");
        running.wait().expect("it has ended");
        town.end_lease();
    }
    let mut done = town.program(&run).output().expect("it runs");
    // What PostgreSQL had been told by who was killed it may still have done after the lease was taken away.
    while String::from_utf8_lossy(&done.stderr).contains("another process looks after") {
        town.end_lease();
        done = town.program(&run).output().expect("it runs");
    }
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let states = town.states(&paths).await;
    let wrong: Vec<_> = states.iter().filter(|one| **one != ("active".to_owned(), 3)).collect();
    assert!(wrong.is_empty(), "planned, staged, active, and each once: {wrong:?}");
    let checked = town.program(&["check"]).output().expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
