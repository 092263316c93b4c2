//! The server and openapi.yaml hold each other: paths, methods, statuses, headers, bodies and attributes; and what
//! Schemathesis makes up from the file finds no fault with the server.

use crate::support::conformance::{openapi_check, schemathesis};
use crate::support::server::{MASTER_KEY, Server};

/// So that the answer to one more, or to a larger one, can be seen.
const FEW: [(&str, &str); 4] = [
    ("MATRIKEL_FEED_LIMIT", "1048576"),
    ("MATRIKEL_DEFERRED_REQUESTS", "2"),
    ("MATRIKEL_FAILED_ATTEMPTS", "0"),
    MASTER_KEY,
];
/// Tokens that are none are sent by the hundred.
const PATIENT: [(&str, &str); 2] = [("MATRIKEL_FAILED_ATTEMPTS", "0"), MASTER_KEY];

fn check_file(server: &Server) {
    let (administrator, consumer) = (server.tenant("described"), server.client("described", "reader", "consumer"));
    let licensed = server.tenant("licensed");
    let stranger = server.client_with("licensed", "stranger", "consumer", &["--scope", "User:read"]);
    server.run(&["schema", "install", "--tenant", "licensed", "municipality"]);
    let (described, licensed) = ([&*administrator, &consumer], [&*licensed, &stranger]);
    if let Err(report) = openapi_check(&server.base_url, described, licensed) {
        panic!("the server and openapi.yaml differ\n{report}");
    }
}

fn run_schemathesis(server: &Server) {
    if let Err(report) = schemathesis(&server.base_url, &server.tenant("explored")) {
        panic!("Schemathesis is not content\n{report}");
    }
}

#[test]
fn the_server_on_sqlite_and_the_file_say_the_same() {
    check_file(&Server::sqlite_with(&FEW));
}

#[test]
fn the_server_on_postgres_and_the_file_say_the_same() {
    check_file(&Server::postgres_with(&FEW));
}

#[test]
fn schemathesis_finds_no_fault_on_sqlite() {
    run_schemathesis(&Server::sqlite_with(&PATIENT));
}

#[test]
fn schemathesis_finds_no_fault_on_postgres() {
    run_schemathesis(&Server::postgres_with(&PATIENT));
}
