//! `export` and `import`: from one database to the other and back with the same answers, and nothing from half a file.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{cursor, document, filled, followed, seen};
use crate::support::client::Client;
use crate::support::messages::user;
use crate::support::server::{Server, attempt, command};

fn export(server: &Server, file: &Path, further: &[&str]) -> Vec<String> {
    let lines = command(server.database_url(), &[&["export", "--tenant", "storstad"], further].concat());
    fs::write(file, &lines).expect("a file");
    lines.lines().map(str::to_owned).collect()
}

fn import(server: &Server, file: &Path, further: &[&str]) -> Result<String, String> {
    let file = file.to_str().expect("text");
    attempt(server.database_url(), &[&["import", "--tenant", "storstad", file], further].concat())
}

/// The lines between header and trailer.
fn inner(lines: &[String]) -> &[String] {
    &lines[1..lines.len() - 1]
}

async fn answers_move_unchanged(from: &Server, to: &Server, further: &[&str]) {
    let folder = TempDir::new().expect("a folder");
    let token = filled(from).await;
    let place = cursor(from, &token).await;
    let before = seen(from, &token).await;
    let first = export(from, &folder.path().join("first.jsonl"), further);

    let said = import(to, &folder.path().join("first.jsonl"), &[]).expect("imported");
    assert!(said.contains("Tenant storstad has ") && !said.contains("rotate"), "{said}");
    // The same token, as the tenant has the same number.
    assert_eq!(seen(to, &token).await, before);
    assert_eq!(followed(from, &token, &place).await, "200");
    assert_eq!(followed(to, &token, &place).await, "expiredCursor");
    assert!(command(to.database_url(), &["check"]).contains("all is well"));

    let second = export(to, &folder.path().join("second.jsonl"), further);
    assert_eq!(inner(&second), inner(&first));
    let (old, new): (Value, Value) =
        (serde_json::from_str(&first[0]).expect("JSON"), serde_json::from_str(&second[0]).expect("JSON"));
    assert!(new["export"]["epoch"].as_i64() > old["export"]["epoch"].as_i64());
    assert_eq!(new["export"]["head"], old["export"]["head"]);

    let again = import(to, &folder.path().join("first.jsonl"), &[]).expect("nothing to do");
    assert!(again.contains("nothing was done"), "{again}");
    let other = import(to, &folder.path().join("second.jsonl"), &[]).expect_err("not empty");
    assert!(other.contains("is not empty"), "{other}");
    // It lives on.
    let api = Client::new(&to.base_url, &token);
    assert_eq!(api.post("/Users", &user("person1")).await.status, 409);
    assert_eq!(api.post("/Users", &user("newcomer")).await.status, 201);
    assert!(command(to.database_url(), &["check"]).contains("all is well"));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_move_unchanged_from_sqlite_to_postgres() {
    answers_move_unchanged(&Server::sqlite(), &Server::postgres(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_history_move_unchanged_from_postgres_to_sqlite() {
    answers_move_unchanged(&Server::postgres(), &Server::sqlite(), &["--history"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_another_number_answers_alike_and_says_that_tokens_do_not() {
    let (from, to) = (Server::sqlite(), Server::sqlite());
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("storstad.jsonl");
    let token = filled(&from).await;
    let before = seen(&from, &token).await;
    export(&from, &file, &["--history"]);
    to.tenant("another");
    command(to.database_url(), &["tenant", "create", "storstad"]);
    let said = import(&to, &file, &[]).expect("imported into an empty tenant");
    assert!(said.contains("matrikel client rotate"), "{said}");
    assert!(command(to.database_url(), &["check"]).contains("storstad: all is well"));
    let rotated = command(to.database_url(), &["client", "rotate", "--tenant", "storstad", "admin", "--json"]);
    let rotated: Value = serde_json::from_str(&rotated).expect("JSON");
    let after = seen(&to, rotated["token"].as_str().expect("a token")).await;
    let users = |seen: &[(String, u16, Option<String>, String)]| -> Vec<_> {
        seen.iter().filter(|(path, ..)| !path.starts_with("/Clients")).cloned().collect()
    };
    assert_eq!(users(&after), users(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_stored_of_a_file_that_is_not_whole() {
    let (from, to) = (Server::sqlite(), Server::sqlite());
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("storstad.jsonl");
    filled(&from).await;
    let lines = export(&from, &file, &["--history"]);
    let whole = fs::read_to_string(&file).expect("the file");
    let without = |n: usize| [&lines[..n], &lines[n + 1..]].concat().join("\n") + "\n";
    for (text, words) in [
        (whole[..whole.len() / 2].to_owned(), "cut short"),
        (lines[..lines.len() - 1].join("\n") + "\n", "cut short"),
        (without(5), "not as it was written"),
        (whole.replacen("person1", "mallory", 1), "not as it was written"),
        (whole.replacen("\"format\":1", "\"format\":2", 1), "format 2"),
        (format!("{whole}more\n"), "follows the last line"),
        ("{}\n".to_owned(), "line 1"),
        (String::new(), "line 1"),
    ] {
        fs::write(&file, text).expect("a file");
        let said = import(&to, &file, &[]).expect_err("refused");
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(to.number("SELECT COUNT(*) FROM tenant"), 0, "{words}");
    }
    let missing = import(&to, Path::new("no-such-file.jsonl"), &[]).expect_err("refused");
    assert!(missing.contains("cannot be read"), "{missing}");
}

async fn what_broke_off_goes_on(from: &Server, to: &Server) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("storstad.jsonl");
    let token = from.tenant("storstad");
    let api = Client::new(&from.base_url, &token);
    let create = |name: String| json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": user(&name) });
    let operations: Vec<Value> = (0..900).map(|n| create(format!("person{n}"))).collect();
    let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    let bulk = api.post("/Bulk", &json!({ "schemas": [urn], "Operations": operations })).await;
    assert_eq!(bulk.status, 200);
    let mut boom = user("last");
    boom["displayName"] = json!("boom");
    assert_eq!(api.post("/Users", &boom).await.status, 201);
    export(from, &file, &[]);

    to.refuse_boom();
    import(to, &file, &[]).expect_err("one resource is refused");
    to.accept_boom();
    let stored = to.number("SELECT COUNT(*) FROM resource");
    assert!((400..900).contains(&stored), "{stored} were stored");
    // Half a register serves nobody and is not called whole.
    let answer = Client::new(&to.base_url, &token).get("/Users").await;
    assert!([401, 403].contains(&answer.status), "{}", answer.text);
    assert!(attempt(to.database_url(), &["check"]).expect_err("unfinished").contains("import is not finished"));
    attempt(to.database_url(), &["tenant", "resume", "storstad"]).expect_err("not yet");
    let said = import(to, &file, &[]).expect_err("not without being asked");
    assert!(said.contains("--resume"), "{said}");

    let said = import(to, &file, &["--resume", "--json"]).expect("the rest");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert!(said["stored"].as_i64() < said["lines"].as_i64(), "{said}");
    let said: Value = serde_json::from_str(&import(to, &file, &["--resume", "--json"]).expect("all")).expect("JSON");
    assert_eq!((&said["stored"], &said["resources"]), (&json!(0), &json!(902)));
    assert!(command(to.database_url(), &["check"]).contains("all is well"));
    let found = document(&Client::new(&to.base_url, &token).get("/Users?count=0").await);
    assert_eq!(found["totalResults"], 901);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_broke_off_goes_on_on_sqlite() {
    what_broke_off_goes_on(&Server::postgres(), &Server::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_broke_off_goes_on_on_postgres() {
    what_broke_off_goes_on(&Server::sqlite(), &Server::postgres()).await;
}
