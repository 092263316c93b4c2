//! What real provisioning clients send, file by file and against the program itself on either database; and what only
//! several requests at once can show.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Client;
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::vector;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(folder);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the vectors").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

fn stem(file: &Path) -> String {
    file.file_stem().expect("a name").to_string_lossy().into_owned()
}

/// Each client is a source with a tenant of its own.
async fn run_clients(server: &Server) {
    let files = files("clients");
    assert!(files.len() >= 12, "a file for each client");
    let mut faults = Vec::new();
    for file in files {
        let name = stem(&file);
        server.tenant(&name);
        let token = server.client(&name, "client", "source");
        faults.extend(vector::run(&file, &server.base_url, &token).await.err());
    }
    assert!(faults.is_empty(), "{} clients are not served\n\n{}", faults.len(), faults.join("\n\n"));
}

#[tokio::test]
async fn every_client_gets_the_answers_it_needs_on_sqlite() {
    run_clients(&Server::sqlite()).await;
}

#[tokio::test]
async fn every_client_gets_the_answers_it_needs_on_postgres() {
    run_clients(&Server::postgres()).await;
}

/// A file is named after the profile of the client that sends it.
async fn run_profiles(server: &Server) {
    let mut faults = Vec::new();
    for file in files("profiles") {
        let name = stem(&file);
        server.tenant(&name);
        let token = server.client_with(&name, "client", "source", &["--profile", &name]);
        faults.extend(vector::run(&file, &server.base_url, &token).await.err());
    }
    assert!(faults.is_empty(), "{} profiles are not kept\n\n{}", faults.len(), faults.join("\n\n"));
}

#[tokio::test]
async fn profiles_are_kept_on_sqlite() {
    run_profiles(&Server::sqlite()).await;
}

#[tokio::test]
async fn profiles_are_kept_on_postgres() {
    run_profiles(&Server::postgres()).await;
}

/// Entra sends several changes of one group at the same time (scimmy issue 79).
async fn run_parallel(server: &Server) {
    server.tenant("parallel");
    let token = server.client("parallel", "entra", "source");
    let client = Client::builder().no_proxy().build().expect("a client");
    let send = async |method: reqwest::Method, path: &str, body: Value| {
        let request = client.request(method, format!("{}{path}", server.base_url)).bearer_auth(&token).json(&body);
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap_or_default())
    };
    let (_, group) = send(
        reqwest::Method::POST,
        "/Groups",
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "all"
        }),
    )
    .await;
    let group = format!("/Groups/{}", group["id"].as_str().expect("an id"));
    let mut members = Vec::new();
    for number in 0..20 {
        let (_, user) = send(
            reqwest::Method::POST,
            "/Users",
            json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": format!("u{number}")
            }),
        )
        .await;
        members.push(user["id"].clone());
    }
    let changes = members.iter().map(|member| {
        send(
            reqwest::Method::PATCH,
            &group,
            json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": member }] }]
            }),
        )
    });
    for (status, body) in futures_util::future::join_all(changes).await {
        assert_eq!(status, 204, "{body}");
    }
    let (_, group) = send(reqwest::Method::GET, &group, Value::Null).await;
    assert_eq!(group["members"].as_array().map(Vec::len), Some(members.len()), "no update is lost");
}

#[tokio::test]
async fn parallel_changes_of_one_group_all_hold_on_sqlite() {
    run_parallel(&Server::sqlite()).await;
}

#[tokio::test]
async fn parallel_changes_of_one_group_all_hold_on_postgres() {
    run_parallel(&Server::postgres()).await;
}
