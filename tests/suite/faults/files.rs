//! The file of an embedded database that may not grow, or not be written at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::{is_told, names, until_it_can};
use crate::support::api::verify;
use crate::support::client::Client;
use crate::support::messages::{set, user, user_with};
use crate::support::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_may_not_grow_refuses_writes_answers_reads_and_recovers() {
    let server = Server::sqlite();
    let token = server.tenant("town");
    let client = Client::new(&server.base_url, &token);
    let mut acknowledged = BTreeSet::new();
    server.limit_files(Some(1 << 20));
    let padding = json!({ "title": "x".repeat(20_000) });
    let mut refused = 0;
    for n in 0..200 {
        let name = format!("u{n}");
        let answer = client.post("/Users", &user_with(&name, &padding)).await;
        if answer.status == 201 {
            acknowledged.insert(name);
            continue;
        }
        is_told(&answer);
        refused += 1;
        assert_eq!(names(&client).await, acknowledged, "what is there can be read");
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "{} were stored", acknowledged.len());
    server.limit_files(None);
    acknowledged.insert("after".to_owned());
    until_it_can(&client, "after").await;
    assert_eq!(names(&client).await, acknowledged);
    verify(&server).await;
}

/// The library that turns a server's files read-only, made of `readonly.c`.
fn library(folder: &Path) -> String {
    let (source, made) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/faults/readonly.c"), folder.join("ro.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&made).arg(source).arg("-ldl");
    let status = compiler.status().expect("a C compiler, which the build needs too");
    assert!(status.success(), "the library is made");
    made.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_that_turns_read_only_refuses_writes_answers_reads_and_recovers() {
    let folder = TempDir::new().expect("a folder");
    let flag = folder.path().join("read-only");
    let flag_text = flag.display().to_string();
    let server =
        Server::sqlite_with(&[("LD_PRELOAD", &library(folder.path())), ("MATRIKEL_TEST_READ_ONLY", &flag_text)]);
    let token = server.tenant("town");
    let client = Client::new(&server.base_url, &token);
    let kept = client.post("/Users", &user("kept")).await.expect(201).id();
    for round in 0..3 {
        fs::write(&flag, "").expect("the flag");
        for n in 0..2 {
            is_told(&client.post("/Users", &user(&format!("u{round}-{n}"))).await);
            is_told(&client.patch(&format!("/Users/{kept}"), &set("title", &json!("other"))).await);
        }
        let there: Vec<String> = names(&client).await.into_iter().filter(|name| name.starts_with('u')).collect();
        assert_eq!(there, Vec::<String>::new(), "what was refused is not there");
        let person = client.get(&format!("/Users/{kept}")).await.expect(200).json();
        assert_eq!(person.get("title"), None, "what is there can be read as it was");
        fs::remove_file(&flag).expect("the flag");
        until_it_can(&client, &format!("after{round}")).await;
    }
    let expected = ["after0", "after1", "after2", "kept"].map(str::to_owned);
    assert_eq!(names(&client).await.into_iter().collect::<Vec<_>>(), expected);
    verify(&server).await;
}
