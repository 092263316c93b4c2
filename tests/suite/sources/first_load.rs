//! A first load: adopt what there was, work out the file of people, look, do it. Rows as they come from old systems.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::api::{Api, verify};
use crate::support::municipality::{Municipality, PERSON, TENANT};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// The accounts of the old directory. The map of a feed, of one kind.
const ACCOUNTS: &str = r#"source = "ad"
encoding = "latin-1"
[guard]
creates = { percent = 100, floor = 100 }
rejects = 90
[[resource]]
kind = "Adoption"
key = "Login"
[resource.columns]
userName = "Login"
employeeNumber = "Nr"
"urn:matrikel:scim:schemas:1.0:Person:personalNumber" = "Hetu"
address = "Mail"
aliases = { column = "Old mail", split = "," }
memberOf = { column = "Groups", split = "," }
"#;

const OLD: &str = "Login;Nr;Hetu;Mail;Old mail;Groups\n\
    MAKINEN.M;100;;maija.makinen@k.example;mm@k.example,maija@k.example;nurses,wiki,Gone group\n\
    bo.ek;;131052-308T;bo@k.example;;wiki\n\
    rektor;;;;;\n\
    makinen.m;107;;other@k.example;;\n\
    wrong;;131052-308U;w@k.example;;\n\
    late;999;;late@k.example;;nurses\n";

/// People of personnel, who spells names otherwise.
const PEOPLE: &str = r#"source = "staff"
[snapshot]
mode = "full"
[guard]
creates = { percent = 100, floor = 100 }
[[resource]]
kind = "User"
key = "Nr"
[resource.columns]
"name.familyName" = "Surname"
"name.givenName" = "Given"
"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber" = "Nr"
"urn:matrikel:scim:schemas:1.0:Person:personalNumber" = "Hetu"
userType = "Kind"
"#;

const STAFF: &str = "Nr;Surname;Given;Hetu;Kind\n\
    100;M\u{c4}KINEN;Maija Liisa;;Nurse\n\
    101;Ek;Bo;131052-308T;Nurse\n\
    102;Rektor;;;Cook\n\
    103;Makinen;M;;Cook\n";

struct Load<'m> {
    place: &'m Municipality,
    folder: TempDir,
}

impl Load<'_> {
    /// Runs a command with a map and a file; what it says, as JSON.
    fn read(&self, what: &[&str], map: &str, file: &[u8], more: &[&str]) -> Value {
        let (map_path, path) = (self.folder.path().join("map.toml"), self.folder.path().join("rows.csv"));
        fs::write(&map_path, map).expect("writes");
        fs::write(&path, file).expect("writes");
        let mut line = what.to_vec();
        let (map_path, path) = (map_path.to_str().expect("a path"), path.to_str().expect("a path"));
        line.extend(["--tenant", TENANT, "--client", "personnel", "--json", "--map", map_path, path]);
        line.extend(more);
        let said = self.place.command(&line).expect("done");
        let run = said.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{said}"));
        serde_json::from_str(run).expect("JSON")
    }

    fn accounts(&self) -> Value {
        let bytes: Vec<u8> = OLD.chars().map(|one| u8::try_from(u32::from(one)).expect("Latin-1")).collect();
        let rejects = self.folder.path().join("rejects.csv");
        self.read(&["import", "accounts"], ACCOUNTS, &bytes, &["--rejects", rejects.to_str().expect("a path")])
    }

    fn people(&self, day: u32, more: &[&str]) -> Value {
        let moment = format!("2026-11-{day:02}T00:00:00Z");
        self.read(&["import"], PEOPLE, STAFF.as_bytes(), &[&["--extracted", &moment], more].concat())
    }

    fn report(&self) -> Value {
        let said = self.place.command(&["import", "report", "--tenant", TENANT, "--json"]).expect("a report");
        serde_json::from_str(&said).expect("JSON")
    }
}

async fn of_number(admin: &Api, number: &str) -> Value {
    let found = admin.find("/Users", &format!("{ENTERPRISE}:employeeNumber eq \"{number}\""), "").await;
    assert_eq!(found.len(), 1, "{number}: {found:?}");
    found[0].clone()
}

fn groups(user: &Value) -> Vec<&str> {
    let groups = user["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names: Vec<&str> = groups.iter().filter_map(|group| group["display"].as_str()).collect();
    names.sort_unstable();
    names
}

fn of(report: &Value, login: &str) -> Vec<(String, String)> {
    let mut accounts = report["accounts"].as_array().expect("accounts").iter();
    let one = accounts.find(|one| one["userName"] == login).unwrap_or_else(|| panic!("{login}: {report}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut told: Vec<(String, String)> = one["memberships"]
        .as_array()
        .expect("memberships")
        .iter()
        .map(|one| (text(&one["display"]), text(&one["state"])))
        .collect();
    told.sort();
    told
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

async fn a_first_load_takes_over_what_there_was(place: Municipality) {
    place.ready().await;
    let admin = &place.admin;
    place.server.client_with(TENANT, "personnel", "source", &["--names", "generated"]);
    for name in ["nurses", "wiki", "ward"] {
        admin.post("/Groups", &json!({ "displayName": name })).await.expect(201);
    }
    let names =
        json!({ "userName": ["{{ familyName }}.{{ firstName[:1] }}", "{{ familyName }}"], "domain": "k.example" });
    let policy = json!({ "name": "all", "zone": "Europe/Helsinki", "names": names });
    admin.post("/Policies", &policy).await.expect(201);
    let grants = json!([{ "type": "group", "value": "nurses" }, { "type": "group", "value": "ward" }]);
    let rule = json!({ "name": "nurses", "filter": "userType eq \"Nurse\"", "grants": grants, "lifecycle": "active" });
    admin.post("/Rules", &rule).await.expect(201);

    // Adopt. A name that stands twice, in whatever case, and a number that is none are kept apart with their reasons.
    let load = Load { place: &place, folder: TempDir::new().expect("a folder") };
    let run = load.accounts();
    assert_eq!(run["counts"]["created"], 4, "{run}");
    let rejects = fs::read_to_string(load.folder.path().join("rejects.csv")).expect("rejects");
    assert!(rejects.contains("makinen.m") && rejects.contains("wrong"), "{rejects}");
    assert!(!rejects.contains("131052-308U"), "an identity number is nowhere: {rejects}");
    // The same file again changes nothing.
    let before = admin.find("/Adoptions", "userName eq \"rektor\"", "").await;
    load.accounts();
    assert_eq!(admin.find("/Adoptions", "userName eq \"rektor\"", "").await, before);
    assert_eq!(load.report()["counts"], json!({ "reserved": 1, "waiting": 3 }));

    // The file of people as a simulation: who they would be is shown, and nobody is there.
    let simulated = load.people(1, &["--simulate"]);
    assert_eq!(simulated["state"], "simulated", "{simulated}");
    let items = place.command(&["run", "show", "--tenant", TENANT, simulated["id"].as_str().expect("an id"), "--json"]);
    assert!(items.is_ok(), "{items:?}");
    assert!(admin.find("/Users", &format!("{ENTERPRISE}:employeeNumber pr"), "").await.is_empty());
    assert_eq!(load.report()["counts"], json!({ "reserved": 1, "waiting": 3 }), "nobody has taken over anything");

    // Apply.
    let run = load.people(1, &[]);
    assert_eq!((&run["state"], &run["counts"]["created"]), (&json!("applied"), &json!(4)), "{run}");
    let maija = of_number(admin, "100").await;
    assert_eq!((&maija["userName"], &maija[PERSON]["names"]["origin"]), (&json!("MAKINEN.M"), &json!("adopted")));
    let addresses: Vec<&str> =
        maija["emails"].as_array().expect("addresses").iter().filter_map(|one| one["value"].as_str()).collect();
    assert_eq!(addresses, ["maija.makinen@k.example", "mm@k.example", "maija@k.example"]);
    assert_eq!(groups(&maija), ["nurses", "ward", "wiki"]);
    let bo = of_number(admin, "101").await;
    assert_eq!(bo["userName"], "bo.ek", "known by the identity number");
    assert_eq!(groups(&bo), ["nurses", "ward", "wiki"]);
    // Names that were there, and those that are kept from everybody, are nobody's to be given.
    assert_eq!(of_number(admin, "102").await["userName"], "rektor2");
    assert_eq!(of_number(admin, "103").await["userName"], "makinen", "the next template");
    let report = load.report();
    let expected =
        pairs(&[("Gone group", "unknown"), ("nurses", "confirmed"), ("ward", "missing"), ("wiki", "unexplained")]);
    assert_eq!(of(&report, "MAKINEN.M"), expected);
    assert_eq!(of(&report, "bo.ek"), pairs(&[("nurses", "missing"), ("ward", "missing"), ("wiki", "unexplained")]));
    assert_eq!(report["counts"]["adopted"], 2, "{report}");
    // The same files again change nothing.
    let version = maija["meta"]["version"].clone();
    let run = load.people(2, &[]);
    assert_eq!((&run["counts"]["created"], &run["counts"]["updated"]), (&json!(0), &json!(0)), "{run}");
    load.accounts();
    assert_eq!(of_number(admin, "100").await["meta"]["version"], version);
    assert_eq!(load.report(), report);
    // Whoever is erased takes along what there was.
    admin.delete(&format!("/Users/{}", maija["id"].as_str().expect("an id"))).await.expect(204);
    assert!(admin.find("/Adoptions", "userName eq \"makinen.m\"", "").await.is_empty());
    verify(&place.server).await;
    // What is not about accounts is no such file.
    let wrong =
        place.command(&["import", "accounts", "--tenant", TENANT, "--client", "hr", "--map", "nowhere.toml", "x.csv"]);
    assert!(wrong.expect_err("no map").contains("nowhere.toml"));
}

#[tokio::test]
async fn a_first_load_takes_over_what_there_was_on_sqlite() {
    a_first_load_takes_over_what_there_was(Municipality::sqlite()).await;
}

#[tokio::test]
async fn a_first_load_takes_over_what_there_was_on_postgres() {
    a_first_load_takes_over_what_there_was(Municipality::postgres()).await;
}
