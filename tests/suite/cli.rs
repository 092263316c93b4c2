//! The command line as an operator uses it: the program itself, its output and its exit codes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::security::until;
use crate::support::both::on_both_databases;
use crate::support::client::Client;
use crate::support::messages::user;
use crate::support::server::{Server, command};

on_both_databases!(Server:
    tenants_and_clients_are_made_listed_and_revoked,
    a_rotation_takes_effect_on_a_running_server,
    migrating_again_does_nothing,
);

/// The program in a folder of its own, with nothing in its environment.
fn matrikel(folder: &Path, arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_matrikel"));
    program.env_clear().current_dir(folder).args(arguments).stdin(Stdio::null());
    program
}

fn run(mut program: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program.output().expect("the program runs");
    (status.code(), String::from_utf8(stdout).expect("text"), String::from_utf8(stderr).expect("text"))
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_command_explains_itself() {
    let folder = TempDir::new().expect("a folder");
    let commands: [&[&str]; 39] = [
        &[],
        &["serve"],
        &["demo"],
        &["migrate"],
        &["tenant"],
        &["tenant", "create"],
        &["tenant", "list"],
        &["client"],
        &["client", "create"],
        &["client", "list"],
        &["client", "rotate"],
        &["client", "revoke"],
        &["tenant", "set"],
        &["tenant", "suspend"],
        &["tenant", "resume"],
        &["schema"],
        &["schema", "install"],
        &["schema", "list"],
        &["schema", "show"],
        &["schema", "lint"],
        &["schema", "shipped"],
        &["index"],
        &["index", "add"],
        &["index", "list"],
        &["index", "remove"],
        &["check"],
        &["backup"],
        &["restore"],
        &["restored"],
        &["erase"],
        &["erasures"],
        &["export"],
        &["import"],
        &["export", "accounts"],
        &["run"],
        &["run", "list"],
        &["run", "show"],
        &["run", "allow"],
        &["run", "reject"],
    ];
    for command in commands {
        for flag in ["--help", "-h"] {
            let (code, said, complained) = run(matrikel(folder.path(), &[command, &[flag]].concat()));
            assert_eq!((code, complained.as_str()), (Some(0), ""), "{command:?}");
            assert!(said.contains("Usage: matrikel"), "{command:?}: {said}");
        }
    }
    let (code, said, _) = run(matrikel(folder.path(), &["--version"]));
    assert_eq!((code, said.trim()), (Some(0), concat!("matrikel ", env!("CARGO_PKG_VERSION"))));
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "asking for help makes nothing");
}

#[test]
fn wrong_usage_and_configuration_are_told_in_a_sentence_and_exit_with_2() {
    let folder = TempDir::new().expect("a folder");
    let file = |text: &str| fs::write(folder.path().join("wrong.toml"), text).expect("a file");
    let mut cases: Vec<(Command, &str)> = vec![
        (matrikel(folder.path(), &["severe"]), "serve"),
        (matrikel(folder.path(), &["client", "create", "hr"]), "--tenant"),
        (matrikel(folder.path(), &["serve", "--config", "missing.toml"]), "missing.toml cannot be read"),
        (matrikel(folder.path(), &["serve", "--listen", "nowhere"]), "127.0.0.1:8080"),
        (
            matrikel(folder.path(), &["serve", "--database-url", "mysql://host/db"]),
            "mysql, which Matrikel does not speak",
        ),
        (matrikel(folder.path(), &["tenant", "create", "Stor Stad"]), "lower-case"),
        (matrikel(folder.path(), &["client", "list", "--tenant", "nobody"]), "There is no tenant nobody"),
    ];
    for (name, value, words) in [
        ("DATABASE_URL", "oracle:thing", "oracle, which Matrikel does not speak"),
        ("MATRIKEL_LISTN", "x", "Did you mean MATRIKEL_LISTEN?"),
        ("MATRIKEL_WORKERS", "many", "number of threads"),
        ("MATRIKEL_LOG_FORMAT", "xml", "text or json"),
    ] {
        let mut program = matrikel(folder.path(), &["serve", "--check-config"]);
        program.env(name, value);
        cases.push((program, words));
    }
    for (program, words) in cases {
        let shown = format!("{program:?}");
        let (code, said, complained) = run(program);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{shown}: {complained}");
        assert!(complained.contains(words), "{shown}: {complained}");
    }
    for (text, words) in [
        ("listn = \"127.0.0.1:1\"", "has the unknown key listn. Did you mean listen?"),
        ("[log]\nformt = \"json\"", "unknown key log.formt. Did you mean log.format?"),
        ("zzzzzzzzzz = 1", "unknown key zzzzzzzzzz"),
        ("page_default = 5\npage_max = 2", "larger than page_max"),
        ("workers = 0", "1 to 1024"),
        ("listen = ", "not valid TOML"),
    ] {
        file(text);
        for command in ["serve", "migrate"] {
            let (code, _, complained) = run(matrikel(folder.path(), &[command, "--config", "wrong.toml"]));
            assert_eq!(code, Some(2), "{text}: {complained}");
            assert!(complained.contains(words), "{text}: {complained}");
        }
    }
}

#[test]
fn the_effective_configuration_is_shown_without_the_password_and_can_be_read_back() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("matrikel.toml"), "listen = \"127.0.0.1:1\"\nworkers = 3\npage_max = 500\n")
        .expect("a file");
    let mut program = matrikel(folder.path(), &["serve", "--check-config", "--listen", "127.0.0.1:3"]);
    program.env("MATRIKEL_LISTEN", "127.0.0.1:2").env("MATRIKEL_WORKERS", "4");
    program.env("DATABASE_URL", "postgres://matrikel:Zx9-secret@db/matrikel");
    let (code, said, complained) = run(program);
    assert_eq!((code, complained.as_str()), (Some(0), ""));
    assert!(!said.contains("Zx9"), "{said}");
    for line in ["listen = \"127.0.0.1:3\"", "workers = 4", "page_max = 500"] {
        assert!(said.lines().any(|found| found == line), "{line} in {said}");
    }
    fs::write(folder.path().join("shown.toml"), &said).expect("a file");
    let (code, again, _) = run(matrikel(folder.path(), &["serve", "--check-config", "--config", "shown.toml"]));
    assert_eq!((code, again), (Some(0), said));
}

async fn tenants_and_clients_are_made_listed_and_revoked(server: &Server) {
    let url = server.database_url();
    let tenant = json_of(&command(url, &["tenant", "create", "storstad", "--name", "Storstads kommun", "--json"]));
    assert_eq!(
        (&tenant["slug"], &tenant["name"], &tenant["state"]),
        (&json!("storstad"), &json!("Storstads kommun"), &json!("active"))
    );
    let listed = json_of(&command(url, &["tenant", "list", "--json"]));
    assert_eq!(listed, json!([tenant]));
    let folder = TempDir::new().expect("a folder");
    let again = |arguments: &[&str]| run(matrikel(folder.path(), &[arguments, &["--database-url", url]].concat()));
    let (code, _, complained) = again(&["tenant", "create", "storstad"]);
    assert_eq!(code, Some(1), "{complained}");
    assert!(complained.contains("there is a tenant storstad already"), "{complained}");

    let create = ["client", "create", "--tenant", "storstad", "hr", "--role", "source", "--days", "7", "--json"];
    let made = json_of(&command(url, &create));
    let hr = Client::new(&server.base_url, made["token"].as_str().expect("a token"));
    hr.post("/Users", &user("anna")).await.expect(201);
    let (code, _, complained) = again(&create);
    assert_eq!(code, Some(1), "{complained}");
    assert!(complained.contains("matrikel client rotate"), "{complained}");

    let plain = command(url, &["client", "create", "--tenant", "storstad", "cloud", "--role", "consumer"]);
    assert_eq!(plain.lines().count(), 1, "the token alone, so that a script can take it: {plain}");
    Client::new(&server.base_url, plain.trim()).get("/Users").await.expect(200);
    let list = || json_of(&command(url, &["client", "list", "--tenant", "storstad", "--json"]));
    let clients = list();
    let names: Vec<&str> = clients.as_array().expect("clients").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["cloud", "hr"]);
    assert_eq!(
        (&clients[1]["role"], &clients[1]["active"], &clients[1]["id"]),
        (&json!("source"), &json!(true), &made["id"])
    );
    let credential = clients[1]["credentials"][0].clone();
    assert_eq!((&credential["expiresAt"], &credential["revokedAt"]), (&made["expiresAt"], &Value::Null));
    assert!(!clients.to_string().contains("mk_"));

    let one = credential["id"].as_str().expect("an id");
    let revoked =
        json_of(&command(url, &["client", "revoke", "--tenant", "storstad", "hr", "--credential", one, "--json"]));
    assert_eq!(revoked["revoked"], true);
    assert!(list()[1]["credentials"][0]["revokedAt"].is_string());
    assert_eq!(list()[0]["credentials"][0]["revokedAt"], Value::Null, "another client's stands");
    until(&hr, 401).await;
    for wrong in
        [["client", "revoke", "--tenant", "storstad", "nobody"], ["client", "rotate", "--tenant", "storstad", "nobody"]]
    {
        let (code, _, complained) = again(&wrong);
        assert_eq!(code, Some(2), "{complained}");
        assert!(complained.contains("There is no client nobody"), "{complained}");
    }
}

async fn a_rotation_takes_effect_on_a_running_server(server: &Server) {
    let url = server.database_url();
    let old = Client::new(&server.base_url, &server.tenant("town"));
    old.get("/Users").await.expect(200);
    let made = json_of(&command(url, &["client", "rotate", "--tenant", "town", "admin", "--json"]));
    let new = Client::new(&server.base_url, made["token"].as_str().expect("a token"));
    new.get("/Users").await.expect(200);
    until(&old, 401).await;
    new.get("/Users").await.expect(200);
    let clients = json_of(&command(url, &["client", "list", "--tenant", "town", "--json"]));
    let credentials = clients[0]["credentials"].as_array().expect("credentials");
    assert_eq!(credentials.len(), 2);
    assert_eq!(credentials.iter().filter(|one| one["revokedAt"].is_null()).count(), 1, "one is in force");
}

#[tokio::test]
async fn a_server_that_is_asked_to_stop_exits_with_0_and_keeps_its_data() {
    for mut server in [Server::sqlite(), Server::postgres()] {
        let token = server.tenant("town");
        let id = Client::new(&server.base_url, &token).post("/Users", &user("anna")).await.expect(201).id();
        assert_eq!(server.terminate(), Some(0), "{}", server.said());
        assert!(!server.said().contains("ERROR"), "{}", server.said());
        server.restart();
        let client = Client::new(&server.base_url, &token);
        client.get(&format!("/Users/{id}")).await.expect(200);
        client.get("//healthz").await.expect(200);
        client.get("//readyz").await.expect(200);
    }
}

#[test]
fn a_postgres_that_was_not_migrated_is_refused_with_what_to_do() {
    let database = crate::support::postgres::database();
    let folder = TempDir::new().expect("a folder");
    for arguments in [["serve", "--listen", "127.0.0.1:0"], ["tenant", "create", "town"]] {
        let (code, _, complained) =
            run(matrikel(folder.path(), &[&arguments[..], &["--database-url", database.url()][..]].concat()));
        assert_eq!(code, Some(2), "{complained}");
        assert!(complained.contains("matrikel migrate"), "{complained}");
    }
    let (code, _, _) = run(matrikel(folder.path(), &["migrate", "--check", "--database-url", database.url()]));
    assert_eq!(code, Some(1));
}

async fn migrating_again_does_nothing(server: &Server) {
    let url = server.database_url();
    assert_eq!(command(url, &["migrate", "--check"]).trim(), "Up to date.");
    let said = command(url, &["migrate"]);
    assert_eq!(said.trim(), "Up to date; nothing to do.");
}

/// `matrikel demo` and the line of JSON that it prints when everything is ready.
fn demo(folder: &Path) -> (Child, Value) {
    let mut program =
        matrikel(folder, &["demo", "--json", "--people", "50", "--listen", "127.0.0.1:0", "--data", "town"]);
    let mut process = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
    let ready = json_of(&line);
    (process, ready)
}

/// Asks the process to stop, and returns its exit code and what more it had said.
fn stop(process: Child) -> (Option<i32>, String) {
    let sent = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let output = process.wait_with_output().expect("it ends");
    (
        output.status.code(),
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat(),
    )
}

#[tokio::test]
async fn a_demo_says_one_line_serves_and_finds_its_data_again() {
    let folder = TempDir::new().expect("a folder");
    let mut before = None;
    for _ in 0..2 {
        let (process, ready) = demo(folder.path());
        let base_url = ready["base_url"].as_str().expect("a URL");
        let client = |name: &str| Client::new(base_url, ready["tokens"][name].as_str().expect("a token"));
        let users = client("cloud").get("/Users?count=0").await.expect(200).json()["totalResults"].clone();
        let groups = client("cloud").get("/Groups?count=0").await.expect(200).json()["totalResults"].clone();
        assert!(users.as_u64() >= Some(50) && groups.as_u64() > Some(0), "{users} {groups}");
        client("cloud").post("/Users", &user("x")).await.expect(403);
        client("admin").get("/Clients").await.expect(200);
        client("hr").get("//healthz").await.expect(200);
        let found = (users, groups, ready["tokens"].clone());
        assert_eq!(*before.get_or_insert(found.clone()), found, "the second start finds what the first has made");
        assert_eq!(stop(process), (Some(0), String::new()), "one line and nothing more");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(folder.path().join("town/demo-tokens.json")).expect("the tokens").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}
