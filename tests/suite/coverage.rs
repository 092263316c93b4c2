//! Every route of openapi.yaml, asked by those who may not: without a token, with one that is none, one that has ended,
//! another tenant's and one with too little scope; and, in [`outside`], about what is outside the view of who asks. What is not listed in the file does not exist, and what is listed is
//! asked here, so that no route is without a guard.

mod outside;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::messages::{client as client_body, group, user};
use crate::support::server::Server;

/// A method at a path of the file.
#[derive(Debug)]
struct Operation {
    method: String,
    path: String,
    is_open: bool,
}

/// The operations of the file. It is YAML of our own making: a path has two blanks before it, a method four.
fn operations() -> Vec<Operation> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.yaml");
    let text = fs::read_to_string(file).expect("openapi.yaml");
    let paths = text.split("\npaths:\n").nth(1).expect("paths").split("\ncomponents:").next().expect("the paths");
    let (mut found, mut path): (Vec<Operation>, _) = (Vec::new(), String::new());
    for line in paths.lines() {
        if let Some(rest) = line.strip_prefix("  /") {
            path = format!("/{}", rest.trim_end_matches(':'));
        } else if let Some(rest) = line.strip_prefix("    ").filter(|rest| !rest.starts_with([' ', '-', '#'])) {
            let method = rest.split(':').next().expect("a name").to_uppercase();
            if ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
                found.push(Operation { method, path: path.clone(), is_open: false });
            }
        } else if line.trim() == "security: []"
            && let Some(last) = found.last_mut()
        {
            last.is_open = true;
        }
    }
    // The block of OPTIONS, which is open to all, comes last at the first path.
    found.iter_mut().filter(|one| one.path == "/scim/v2/Users").for_each(|one| one.is_open = false);
    assert!(found.len() > 60, "{} operations", found.len());
    found
}

/// A body that a route would not refuse before it asks who sends it.
fn body(operation: &Operation) -> Option<Vec<u8>> {
    matches!(operation.method.as_str(), "POST" | "PUT" | "PATCH").then(|| b"{}".to_vec())
}

async fn ask(client: &Client, operation: &Operation, path: &str) -> u16 {
    let headers = [("content-type", "application/scim+json")];
    client.send(&operation.method, &format!("/{path}"), &headers, body(operation)).await.status
}

async fn run(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    let foreign = Client::new(&server.base_url, &server.tenant("other"));
    let anna = admin.post("/Users", &user("anna")).await.expect(201).id();
    let crew = admin.post("/Groups", &group("crew", &[&anna])).await.expect(201).id();
    let client = admin.post("/Clients", &client_body("hr", "source")).await.expect(201).id();
    let ended = json!({ "kind": "token", "startsAt": "2098-01-01T00:00:00Z", "expiresAt": "2099-01-01T00:00:00Z" });
    let untimely = admin.post(&format!("/Clients/{client}/credentials"), &ended).await.expect(201).json();
    let untimely = Client::new(&server.base_url, untimely["token"].as_str().expect("a token"));
    let nothing = server.client_with("town", "nothing", "consumer", &["--scope", "GroupMembership:read"]);
    let nothing = Client::new(&server.base_url, &nothing);
    let bad = admin.with_authorization("Bearer mk_1_0198c0de000070008000000000000000_none");
    for operation in operations().iter().filter(|operation| !operation.is_open) {
        // `//` is from the root on.
        let id = match operation.path.as_str() {
            path if path.contains("/Users/") => anna.as_str(),
            path if path.contains("/Groups/") => crew.as_str(),
            _ => client.as_str(),
        };
        let path = operation
            .path
            .replace("{id}", id)
            .replace("{urn}", "urn:x")
            .replace("{name}", "X")
            .replace("{day}", "2026-08-11");
        let path = path.replace("{credential}", id);
        for (who, stranger) in [
            ("nobody", &Client::anonymous(&server.base_url)),
            ("a bad token", &bad),
            ("a token of another time", &untimely),
        ] {
            assert_eq!(ask(stranger, operation, &path).await, 401, "{who}: {operation:?}");
        }
        if operation.path.ends_with("{id}") && !operation.path.contains("/Bulk/") {
            let status = ask(&foreign, operation, &path).await;
            assert!([400, 404, 405].contains(&status), "another tenant's administrator gets {status}: {operation:?}");
        }
        let status = ask(&nothing, operation, &path).await;
        let is_for_all = [
            "/scim/v2",
            "/scim/v2/.search",
            "/scim/v2/Me",
            "/scim/v2/ServiceProviderConfig",
            "/scim/v2/Schemas",
            "/scim/v2/ResourceTypes",
            "/scim/v2/Schemas/{urn}",
            "/scim/v2/ResourceTypes/{name}",
            "/scim/v2/Bulk/{id}",
        ];
        let is_read = ["GET", "HEAD"].contains(&operation.method.as_str()) || operation.path == "/scim/v2/.search";
        match is_for_all.contains(&operation.path.as_str()) && is_read {
            true => assert!([200, 400, 404].contains(&status), "{status}: {operation:?}"),
            false => assert_eq!(status, 403, "without a scope: {operation:?}"),
        }
    }
    let all: Value = nothing.get("").await.expect(200).json();
    assert_eq!(all["totalResults"], 0, "who may read nothing finds nothing");
}

#[tokio::test]
async fn every_route_has_a_guard_on_sqlite() {
    run(&Server::sqlite_with(&[("MATRIKEL_FAILED_ATTEMPTS", "0")])).await;
}

#[tokio::test]
async fn every_route_has_a_guard_on_postgres() {
    run(&Server::postgres_with(&[("MATRIKEL_FAILED_ATTEMPTS", "0")])).await;
}
