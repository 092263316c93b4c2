//! Every statement that the server sends carries the tenant. The tables are laid out by tenant with the very script for
//! Citus (`tools/citus.sql`, over stand-ins that cut them into parts), the server does all it can do, and the log of PostgreSQL
//! tells of each statement which parts its plan reads and for whom it inserts. A statement whose tenant the
//! planner does not find in its conditions reads all parts, and is a fault.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::{Api, verify};
use crate::support::client::Client;
use crate::support::messages::{group, patch, user};
use crate::support::server::Server;
use crate::support::statements::{ABOUT_ALL, Entry, Log, fault, laid_out};
use crate::{audit, deferred, extension, operating, points, protocol, secrets, security, types};

/// A server on tables that are laid out by tenant, and the log of what it asks.
fn watched() -> (Server, Log) {
    // So few that a search which no index answers is refused, as one of the checks expects.
    watched_with(&[("MATRIKEL_SCAN_LIMIT", "500")])
}

fn watched_with(variables: &[(&str, &str)]) -> (Server, Log) {
    let database = laid_out();
    let log = Log::begin(database.url());
    (Server::on(database, variables), log)
}

fn judge(log: &Log) {
    let entries = log.entries();
    let plans = entries
        .iter()
        .filter(|entry| matches!(entry, Entry::Plan { parts, .. } if parts.iter().any(|part| part.contains("_part"))));
    assert!(plans.count() > 50, "the log tells of plans");
    let faults = log.faults();
    assert!(faults.is_empty(), "{} statements are not a tenant's\n{}", faults.len(), faults.join("\n"));
}

/// Names of tests, and what each has a server do.
macro_rules! each_statement_is_a_tenants {
    ($($name:ident: |$server:pat_param| $run:expr;)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            let ($server, log) = watched();
            $run;
            judge(&log);
        })+
    };
}

each_statement_is_a_tenants! {
    in_the_examples_of_the_rfc: |server| protocol::run_vectors(&server, "rfc7644").await;
    in_walks_by_cursor: |server| protocol::run_vectors(&server, "cursor").await;
    in_what_is_asked_of_memberships: |server| protocol::run_vectors(&server, "memberships").await;
    in_bulk_requests: |server| protocol::run_vectors(&server, "bulk").await;
    in_bulk_requests_that_are_answered_first: |server| deferred::is_answered_first(server).await;
    in_what_is_carried_on_after_kill_9: |server| deferred::is_never_lost(server).await;
    in_types_of_a_tenants_own: |server| types::a_type_without_code(&server).await;
    in_types_on_two_nodes: |mut server| types::each_tenant_has_its_own(&mut server).await;
    in_extensions: |mut server| extension::a_tenant_extends_its_users(&mut server).await;
    in_indexes_that_come_and_go: |server| operating::an_operator_chooses_what_is_indexed(&server).await;
    in_unique_names_of_groups: |server| operating::group_names_are_unique_if_the_tenant_says_so(&server).await;
    in_a_suspension: |server| operating::a_suspended_tenant_is_refused_and_resumed(&server).await;
    in_the_keeping_of_clients: |server| security::an_administrator_keeps_the_clients(&server).await;
    in_rotated_and_revoked_tokens: |server| security::a_revoked_or_rotated_token_and_one_of_an_inactive_client_end(&server).await;
    in_look_ups_and_searches: |server| points::a_look_up_answers_what_a_search_answers(&server).await;
    in_renamed_and_nested_groups: |server| points::a_change_of_groups_shows_in_the_groups_and_in_the_tag(&server).await;
    in_what_an_auditor_reads: |server| audit::events_are_filtered_and_paged(audit::Register::new(server)).await;
    in_memberships_of_deleted_groups: |server| a_deleted_group_is_swept(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_what_is_sealed_and_sealed_anew() {
    let mut log = None;
    let register = secrets::Register::of(|variables| {
        let (server, found) = watched_with(variables);
        log = Some(found);
        server
    });
    secrets::keys_are_rotated_while_the_server_serves(&register).await;
    judge(&log.expect("a log"));
}

/// More members than one statement names come, go, and are cleared after their group; what is kept is right.
async fn a_deleted_group_is_swept(server: &Server) {
    let token = server.tenant("town");
    let client = Client::new(&server.base_url, &token);
    let one =
        |n| json!({ "method": "POST", "path": "/Users", "bulkId": format!("{n}"), "data": user(&format!("u{n}")) });
    let operations: Vec<Value> = (0..300).map(one).collect();
    let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    client.post("/Bulk", &json!({ "schemas": [urn], "Operations": operations })).await.expect(200);
    let ids = client.get("/Users?count=300").await.expect(200).ids();
    let members: Vec<&str> = ids.iter().map(String::as_str).collect();
    let crew = client.post("/Groups", &group("crew", &members)).await.expect(201).id();
    client.post("/Groups", &group("all", &[&crew])).await.expect(201);
    let api = Api::new(server, token);
    let found = api.find(
        "/Users",
        "userName co \"u1\" and meta.lastModified gt \"2020-01-01T00:00:00Z\"",
        "&sortBy=userName&count=200",
    );
    assert_eq!(found.await.len(), 111);
    let leavers: Vec<Value> = members[..70].iter().map(|id| json!({ "value": id })).collect();
    client
        .patch(&format!("/Groups/{crew}"), &patch(&json!([{ "op": "remove", "path": "members", "value": leavers }])))
        .await
        .expect(204);
    client.get(&format!("/Groups/{crew}")).await.expect(200);
    client.delete(&format!("/Groups/{crew}")).await.expect(204);
    client.delete(&format!("/Users/{}", ids[299])).await.expect(204);
    for _ in 0..800 {
        if server.number("SELECT COUNT(*) FROM sweep") == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(server.number("SELECT COUNT(*) FROM membership"), 0);
    verify(server).await;
}

#[test]
fn the_script_for_citus_names_every_table_and_each_unique_key_begins_with_the_tenant() {
    let database = laid_out();
    assert_eq!(Log::begin(database.url()).strays(), Vec::<String>::new());
}

#[tokio::test]
async fn what_reads_several_tenants_is_seen() {
    let (server, log) = watched();
    server.tenant("one");
    for several in
        ["SELECT COUNT(*) FROM resource WHERE kind = 'User'", "SELECT 1 FROM sweep WHERE tenant_id IN (1, 2, 3, 4, 5)"]
    {
        // As the program itself would.
        server.execute(&format!("SET application_name = 'matrikel'; {several}"));
    }
    let seen = log.faults();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.iter().all(|fault| fault.contains("resource_part7") || fault.contains("sweep_part")), "{seen:?}");
}

#[test]
fn what_writes_for_several_tenants_is_seen() {
    let table: [(&str, &[&str], bool); 6] = [
        ("(tenant_id, seq) VALUES ($1, $2), ($3, $4)", &["1", "5", "1", "6"], false),
        ("(tenant_id, seq) VALUES ($1, $2), ($1, $3) ON CONFLICT (tenant_id, seq) DO NOTHING", &["1", "5", "6"], false),
        ("(tenant_id, seq) VALUES ($1, $2), ($3, $4)", &["1", "5", "2", "6"], true),
        ("(tenant_id, seq) VALUES ($1, $2), ($2, $3)", &["1", "5", "6"], true),
        ("(tenant_id, seq) VALUES (1, $1), ($2, $3)", &["5", "1", "6"], true),
        ("(seq, tenant_id) VALUES ($1, $2)", &["5", "1"], true),
    ];
    for (rows, values, is_fault) in table {
        let values = values.iter().map(|value| Some((*value).to_owned())).collect();
        let entry = Entry::Statement { text: format!("INSERT INTO change {rows}"), values };
        assert_eq!(fault(&entry).is_some(), is_fault, "{rows}");
    }
}

#[test]
fn every_statement_about_all_tenants_has_a_reason_and_is_still_there() {
    let sources = ["membership", "index", "deferred", "idempotency", "due", "tenant"].map(|file| {
        std::fs::read_to_string(format!("{}/src/store/{file}.rs", env!("CARGO_MANIFEST_DIR"))).expect("a source")
    });
    for (statement, reason) in ABOUT_ALL {
        assert!(sources.iter().any(|source| source.contains(statement)), "{statement} ({reason}) is not sent any more");
    }
}
