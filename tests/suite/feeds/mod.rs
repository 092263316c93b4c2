//! Files of a source: what becomes of them by command and over HTTP, on both databases.

mod erased;
mod http;
mod interrupted;
mod rules;
mod snapshot;
mod undone;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::municipality::{Municipality, PERSON, TENANT};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const HEADER: &str = "Nr;Namn;Chef;Hetu;Anst;Från;Till;Enhet\n";

/// The map of the tests, with more above its first table and below its user.
fn map(above: &str, part: &str) -> String {
    format!(
        r#"source = "hr"
{above}
[[resource]]
kind = "User"
key = "Nr"
{part}
[resource.columns]
userName = "Nr"
"name.familyName" = "Namn"
"{ENTERPRISE}:manager.value" = {{ column = "Chef", refers = "User" }}
"{PERSON}:personalNumber" = "Hetu"
[[resource.list]]
path = "{PERSON}:employments"
key = "employmentId"
[resource.list.columns]
employmentId = "Anst"
start = {{ column = "Från", date = "%Y-%m-%d" }}
end = {{ column = "Till", date = "%Y-%m-%d" }}
unit = "Enhet"
"#
    )
}

/// A map of snapshots that holds hardly anything back.
fn snapshots(part: &str) -> String {
    let loose = "percent = 100, floor = 5000 }";
    map(
        &format!(
            "[snapshot]\nmode = \"full\"\n[guard]\ncreates = {{ {loose}\ndisables = {{ {loose}\ndeletes = {{ {loose}\nrejects = 90\n"
        ),
        part,
    )
}

/// Files of a source beside a municipality.
struct Files<'m> {
    place: &'m Municipality,
    folder: TempDir,
}

/// What a command says of a run.
struct Ran {
    run: Value,
    /// Whether the command failed.
    failed: Option<String>,
}

impl Ran {
    fn state(&self) -> &str {
        self.run["state"].as_str().unwrap_or_default()
    }

    fn id(&self) -> &str {
        self.run["id"].as_str().unwrap_or_default()
    }

    /// What was done, of all that is not nothing: `created 3, rejected 1`.
    fn counts(&self) -> String {
        let counts = self.run["counts"].as_object().or_else(|| self.run["planned"].as_object());
        let told = [
            "created",
            "updated",
            "unchanged",
            "disabled",
            "deleted",
            "withdrawn",
            "outside",
            "rejected",
            "duplicates",
            "open",
        ];
        let told = told.iter().filter_map(|name| {
            let count = counts?.get(*name)?.as_u64().filter(|count| *count > 0)?;
            Some(format!("{name} {count}"))
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

impl<'m> Files<'m> {
    fn of(place: &'m Municipality) -> Self {
        Files { place, folder: TempDir::new().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Reads a file with a map, at a moment on 1 November 2026 unless the arguments say otherwise.
    fn read(&self, map: &str, name: &str, bytes: &[u8], arguments: &[&str]) -> Ran {
        fs::write(self.path("map.toml"), map).expect("writes");
        fs::write(self.path(name), bytes).expect("writes");
        let (map, file) = (self.path("map.toml"), self.path(name));
        let mut line = vec!["import", "--tenant", TENANT, "--client", "hr", "--json"];
        line.extend(["--map", map.to_str().expect("a path"), file.to_str().expect("a path")]);
        line.extend(arguments);
        let (said, failed) = match self.place.command(&line) {
            Ok(said) => (said, None),
            Err(said) => (said.clone(), Some(said)),
        };
        let run = said.lines().find(|line| line.starts_with('{')).and_then(|line| serde_json::from_str(line).ok());
        Ran { run: run.unwrap_or_default(), failed }
    }

    /// Reads rows of the tests' columns as the snapshot of a day in November.
    fn day(&self, map: &str, day: u32, rows: &str) -> Ran {
        let moment = format!("2026-11-{day:02}T00:00:00Z");
        self.read(map, "day.csv", format!("{HEADER}{rows}").as_bytes(), &["--extracted", &moment])
    }

    /// Runs a command about runs; what it says.
    fn run(&self, command: &str, id: &str, arguments: &[&str]) -> Result<String, String> {
        self.place.command(&[&["run", command, "--tenant", TENANT, id], arguments].concat())
    }

    /// The user with a key of HR's, as HR sees it.
    async fn user(&self, key: &str) -> Option<Value> {
        let found = self.place.hr.get(&format!("/Users?filter=externalId%20eq%20%22{key}%22")).await.expect(200).body;
        found["Resources"].as_array().and_then(|found| found.first()).cloned()
    }

    /// Keys, and whether they are active, in order.
    async fn keys(&self) -> Vec<(String, bool)> {
        let found = self.place.hr.get("/Users?count=1000").await.expect(200).body;
        let of = |user: &Value| {
            let key = user["externalId"].as_str().unwrap_or("-").to_owned();
            (key, user["active"].as_bool().unwrap_or(true))
        };
        let mut keys: Vec<(String, bool)> = found["Resources"].as_array().expect("resources").iter().map(of).collect();
        keys.sort();
        keys
    }

    /// The number of the newest change.
    fn changes(&self) -> i64 {
        self.place.server.number("SELECT COUNT(*) FROM change WHERE kind NOT IN ('Feed', 'Run', 'WorkItem')")
    }
}

/// The ids of the employments of a user.
fn employments(user: &Value) -> Vec<&str> {
    let list = user[PERSON]["employments"].as_array().into_iter().flatten();
    let mut ids: Vec<&str> = list.filter_map(|one| one["employmentId"].as_str()).collect();
    ids.sort_unstable();
    ids
}
