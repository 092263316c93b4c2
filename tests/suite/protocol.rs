//! The protocol as foreign clients see it: the examples of RFC 7644 and every check of scim2-tester, against the program
//! itself on either database.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::conformance::scim2_tester;
use crate::support::server::Server;
use crate::support::vector;

/// Each file has a tenant of its own, so that it finds an empty register.
pub(crate) async fn run_vectors(server: &Server, folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(folder);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the vectors").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() > 3, "the vectors are there");
    let mut faults = Vec::new();
    for file in files {
        let token = server.tenant(&file.file_stem().expect("a name").to_string_lossy());
        faults.extend(vector::run(&file, &server.base_url, &token).await.err());
    }
    assert!(faults.is_empty(), "{} vectors failed\n\n{}", faults.len(), faults.join("\n\n"));
}

fn run_scim2_tester(server: &Server) {
    let token = server.tenant("tested");
    if let Err(report) = scim2_tester(&server.base_url, &token) {
        let failed: Vec<&str> = report.lines().filter(|line| !line.starts_with("SUCCESS")).collect();
        panic!("scim2-tester is not content\n{}", failed.join("\n"));
    }
}

#[tokio::test]
async fn the_examples_of_rfc_7644_hold_on_sqlite() {
    run_vectors(&Server::sqlite(), "rfc7644").await;
}

#[tokio::test]
async fn the_examples_of_rfc_7644_hold_on_postgres() {
    run_vectors(&Server::postgres(), "rfc7644").await;
}

#[tokio::test]
async fn paging_by_cursor_follows_rfc_9865_on_sqlite() {
    run_vectors(&Server::sqlite(), "cursor").await;
}

#[tokio::test]
async fn paging_by_cursor_follows_rfc_9865_on_postgres() {
    run_vectors(&Server::postgres(), "cursor").await;
}

#[tokio::test]
async fn memberships_are_resources_as_the_draft_says_on_sqlite() {
    run_vectors(&Server::sqlite(), "memberships").await;
}

#[tokio::test]
async fn memberships_are_resources_as_the_draft_says_on_postgres() {
    run_vectors(&Server::postgres(), "memberships").await;
}

#[test]
fn scim2_tester_passes_whole_on_sqlite() {
    run_scim2_tester(&Server::sqlite());
}

#[test]
fn scim2_tester_passes_whole_on_postgres() {
    run_scim2_tester(&Server::postgres());
}
