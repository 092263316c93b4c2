//! Bulk requests that are answered before they are carried out (RFC 9967), as clients meet them: accepted and fetched,
//! seen by nobody else, refused at once when they are none, limited, and carried on after kill -9.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::server::{MASTER_KEY, Server};

const BULK_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

fn bulk(operations: &[Value]) -> Value {
    json!({ "schemas": [BULK_REQUEST], "Operations": operations })
}

fn user(name: &str) -> Value {
    json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": { "schemas": [USER], "userName": name } })
}

/// Takes a processor tens of milliseconds each.
fn with_password(name: &str) -> Value {
    let mut user = user(name);
    user["data"]["password"] = "correct horse battery".into();
    user
}

fn group(name: &str, members: &[String]) -> Value {
    let members: Vec<Value> = members.iter().map(|member| json!({ "value": format!("bulkId:{member}") })).collect();
    let data = json!({ "schemas": [GROUP], "displayName": name, "members": members });
    json!({ "method": "POST", "path": "/Groups", "bulkId": name, "data": data })
}

async fn prefer(client: &Client, preference: &str, body: &Value) -> Answer {
    // What the client accepts has no meaning for an answer without a body.
    let headers = [("content-type", "application/scim+json"), ("prefer", preference), ("accept", "text/html")];
    client.send("POST", "/Bulk", &headers, Some(body.to_string().into_bytes())).await
}

/// The path of the result, after all that a 202 must say was seen.
fn accepted(client: &Client, answer: Answer) -> String {
    let answer = answer.expect(202);
    assert_eq!(answer.text, "");
    let transaction = answer.header("set-txn").to_owned();
    let location = answer.header("location").to_owned();
    assert_eq!(location, format!("{}/Bulk/{transaction}", client.base_url()));
    format!("/Bulk/{transaction}")
}

/// The result, once it is there; until then it is 202.
async fn result(client: &Client, path: &str) -> Value {
    for _ in 0..6_000 {
        let answer = client.get(path).await;
        if answer.status != 202 {
            return answer.expect(200).json();
        }
        assert_eq!((answer.text.as_str(), answer.header("retry-after")), ("", "1"));
        accepted(client, answer);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} is never done");
}

/// What of an answer does not differ by chance.
fn comparable(answer: &Value) -> Vec<Value> {
    let operations = answer["Operations"].as_array().expect("operations").iter();
    operations.map(|one| json!([one["method"], one["bulkId"], one["status"], one["response"]])).collect()
}

async fn total(client: &Client, path: &str) -> Value {
    client.get(path).await.expect(200).json()["totalResults"].clone()
}

pub(crate) async fn is_answered_first(server: Server) {
    let (here, there) = (server.tenant("here"), server.tenant("there"));
    let client = Client::new(&server.base_url, &here);
    let operations = [
        json!({ "method": "PATCH", "path": "/Users/bulkId:a",
            "data": { "operations": [{ "op": "Replace", "path": "title", "value": "t" }] } }),
        user("a"),
        user("A"),
        group("g", &["a".into(), "A".into()]),
        user("b"),
        group("h", &["a".into(), "b".into()]),
        json!({ "method": "DELETE", "path": "/Users/nobody" }),
    ];
    let answer = prefer(&client, "respond-async", &bulk(&operations)).await;
    assert_eq!(answer.header("preference-applied"), "respond-async");
    let path = accepted(&client, answer);
    let found = result(&client, &path).await;
    let elsewhere = Client::new(&server.base_url, &there);
    let synchronous = elsewhere.post("/Bulk", &bulk(&operations)).await.expect(200);
    assert_eq!(comparable(&found), comparable(&synchronous.json()));
    assert_eq!(total(&client, "/Users").await, json!(2));
    let location = found["Operations"][1]["location"].as_str().expect("a location").to_owned();
    let made = client.get(location.strip_prefix(client.base_url()).expect("ours")).await.expect(200);
    assert_eq!(made.json()["title"], "t");
    // It stays, with the tolerances that it used; also without the Accept that was ignored before.
    let again = client.get(&path).await.expect(200);
    assert_eq!((again.json(), again.header("matrikel-tolerance")), (found, synchronous.header("matrikel-tolerance")));
    assert_eq!(client.send("HEAD", &path, &[], None).await.status, 200);
    client.send("GET", &path, &[("accept", "text/html")], None).await.expect(406);
    client.send("DELETE", &path, &[], None).await.expect(405);

    // Nobody else: another client, another tenant, whatever its role; nobody at all.
    for token in [server.client("here", "other", "administrator"), there] {
        Client::new(&server.base_url, &token).get(&path).await.expect(404);
    }
    Client::anonymous(&server.base_url).get(&path).await.expect(401);
    for unknown in ["/Bulk/00000000-0000-7000-8000-000000000000", "/Bulk/x", "/Bulk/%00"] {
        client.get(unknown).await.expect(404);
    }

    // Who says how long it waits may get the answer itself.
    let answer = prefer(&client, "respond-async, wait=30", &bulk(&[user("c")])).await.expect(200);
    assert_eq!(answer.json()["Operations"][0]["status"], "201");

    // What is no bulk request is refused at once, and so is who may not send one.
    let few = json!({ "schemas": [BULK_REQUEST], "Operations": [] });
    let twice = bulk(&[user("d"), user("d")]);
    let many = bulk(&vec![json!({ "method": "DELETE", "path": "/Users/1" }); 1_001]);
    for (body, status) in [(json!({}), 400), (few, 400), (twice, 400), (many, 413)] {
        prefer(&client, "respond-async", &body).await.expect(status);
    }
    let consumer = Client::new(&server.base_url, &server.client("here", "reader", "consumer"));
    prefer(&consumer, "respond-async", &bulk(&[user("d")])).await.expect(403);
    prefer(&Client::anonymous(&server.base_url), "respond-async", &bulk(&[user("d")])).await.expect(401);
    assert_eq!(total(&client, "/Users").await, json!(3));
    // Of keys that lie as they are none opens a request where there is a master key.
    let lies_open = server.number("SELECT COUNT(*) FROM seal_key WHERE purpose = 'deferred' AND tenant_id = 1");
    let is_sealed = server.number("SELECT COUNT(*) FROM sealing_key WHERE purpose = 'defer' AND tenant_id = 1");
    assert_eq!((lies_open, is_sealed), if server.has_master_key() { (0, 1) } else { (1, 0) });
}

/// What was answered before there was a master key is there when there is one.
#[tokio::test]
async fn what_was_sealed_without_a_master_key_is_read_with_one() {
    let server = Server::postgres();
    let token = server.tenant("town");
    let client = Client::new(&server.base_url, &token);
    let path = accepted(&client, prefer(&client, "respond-async", &bulk(&[user("a")])).await);
    let found = result(&client, &path).await;
    let other = server.beside_with(&[MASTER_KEY]);
    let client = Client::new(&other.base_url, &token);
    assert_eq!(result(&client, &path).await["Operations"][0]["status"], found["Operations"][0]["status"]);
    let later = accepted(&client, prefer(&client, "respond-async", &bulk(&[user("b")])).await);
    assert_eq!(result(&client, &later).await["Operations"][0]["status"], "201");
    other.run(&["key", "rotate"]);
    result(&client, &later).await;
    result(&client, &path).await;
}

async fn only_so_many_wait(server: Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let slow: Vec<Value> = (0..40).map(|n| with_password(&format!("slow{n}"))).collect();
    let first = accepted(&client, prefer(&client, "respond-async", &bulk(&slow)).await);
    let second = accepted(&client, prefer(&client, "respond-async", &bulk(&[user("a")])).await);
    let refused = prefer(&client, "respond-async", &bulk(&[user("b")])).await.expect(429);
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.json()["detail"].as_str().expect("a detail").starts_with("2 requests"), "{}", refused.text);
    client.get(&second).await.expect(202);
    assert_eq!(comparable(&result(&client, &second).await).len(), 1);
    // One after the other, in order.
    assert_eq!(client.get(&first).await.expect(200).json()["Operations"].as_array().map(Vec::len), Some(40));
    accepted(&client, prefer(&client, "respond-async", &bulk(&[user("b")])).await);
}

async fn may_be_switched_off(server: Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let headers = [("content-type", "application/scim+json"), ("prefer", "respond-async")];
    let body = Some(bulk(&[user("a")]).to_string().into_bytes());
    let answer = client.send("POST", "/Bulk", &headers, body).await.expect(200);
    assert!(!answer.headers.contains_key("preference-applied"));
}

/// What the database refuses is tried again, and nothing that comes after it is decided before; in the end it is told.
async fn is_tried_again(mut server: Server) {
    server.refuse_boom();
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let members = ["a".to_owned(), "boom".to_owned()];
    let operations = bulk(&[user("a"), user("boom"), group("g", &members), user("c"), group("h", &members[..1])]);
    let told = |answer: &Value| -> Vec<Value> {
        answer["Operations"].as_array().expect("operations").iter().map(|one| one["status"].clone()).collect()
    };
    let path = accepted(&client, prefer(&client, "respond-async", &operations).await);
    assert_eq!(told(&result(&client, &path).await), ["201", "503", "409", "201", "201"]);

    // Where it is no longer refused when the server comes back, it succeeds, and what refers to it.
    let token = server.tenant("village");
    let elsewhere = Client::new(&server.base_url, &token);
    let path = accepted(&elsewhere, prefer(&elsewhere, "respond-async", &operations).await);
    while total(&elsewhere, "/Users").await != json!(1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.kill();
    server.accept_boom();
    server.restart();
    let elsewhere = Client::new(&server.base_url, &token);
    assert_eq!(told(&result(&elsewhere, &path).await), ["201"; 5]);
    assert_eq!(total(&elsewhere, "/Users").await, json!(3));
}

/// kill -9 at any moment after the 202, several times, and what was accepted is all done once.
pub(crate) async fn is_never_lost(mut server: Server) {
    let token = server.tenant("town");
    let mut requests = Vec::new();
    for round in 0..3_usize {
        let client = Client::new(&server.base_url, &token);
        let name = |n: usize| format!("u{round}-{n}");
        let mut operations: Vec<Value> = (0..300).map(|n| user(&name(n))).collect();
        // These are done last, and cost most.
        operations.extend((300..310).map(|n| with_password(&name(n))));
        let members: Vec<String> = (0..310).map(name).collect();
        operations.push(group(&format!("crew{round}"), &members));
        operations.push(user(&name(0)));
        operations.last_mut().expect("one")["bulkId"] = "again".into();
        let path = accepted(&client, prefer(&client, "respond-async", &bulk(&operations)).await);
        requests.push(path);
        // Any moment will do: this only spreads them.
        tokio::time::sleep(Duration::from_millis([0, 60, 350][round])).await;
        server.kill();
        server.restart();
    }
    let client = Client::new(&server.base_url, &token);
    for path in &requests {
        let answer = result(&client, path).await;
        let operations = answer["Operations"].as_array().expect("operations");
        assert_eq!(operations.len(), 312);
        for one in &operations[..311] {
            assert_eq!(one["status"], "201", "{one}");
            let location = one["location"].as_str().expect("a location");
            assert!(location.starts_with("http://127.0.0.1:"), "{location}");
        }
        assert_eq!(
            (&operations[311]["status"], &operations[311]["response"]["scimType"]),
            (&json!("409"), &json!("uniqueness"))
        );
    }
    assert_eq!(total(&client, "/Users").await, json!(930));
    let groups = client.get("/Groups").await.expect(200).json();
    assert_eq!(groups["totalResults"], 3);
    for group in groups["Resources"].as_array().expect("groups") {
        assert_eq!(group["members"].as_array().map(Vec::len), Some(310));
        assert!(group["meta"]["version"].as_str().expect("a version").starts_with("W/\"1."), "it was made once");
    }
}

#[tokio::test]
async fn a_bulk_request_is_answered_first_and_carried_out_then_on_sqlite() {
    is_answered_first(Server::sqlite_with(&[MASTER_KEY])).await;
}

#[tokio::test]
async fn a_bulk_request_is_answered_first_and_carried_out_then_on_postgres() {
    is_answered_first(Server::postgres()).await;
}

#[tokio::test]
async fn only_so_many_requests_of_a_client_wait_on_sqlite() {
    only_so_many_wait(Server::sqlite_with(&[("MATRIKEL_DEFERRED_REQUESTS", "2")])).await;
}

#[tokio::test]
async fn only_so_many_requests_of_a_client_wait_on_postgres() {
    only_so_many_wait(Server::postgres_with(&[("MATRIKEL_DEFERRED_REQUESTS", "2")])).await;
}

#[tokio::test]
async fn an_operator_may_have_no_request_wait() {
    may_be_switched_off(Server::sqlite_with(&[("MATRIKEL_DEFERRED_REQUESTS", "0")])).await;
}

#[tokio::test]
async fn what_the_database_refuses_is_tried_again_on_sqlite() {
    is_tried_again(Server::sqlite()).await;
}

#[tokio::test]
async fn what_the_database_refuses_is_tried_again_on_postgres() {
    is_tried_again(Server::postgres()).await;
}

#[tokio::test]
async fn what_was_accepted_survives_kill_9_and_is_done_once_on_sqlite() {
    is_never_lost(Server::sqlite_with(&[MASTER_KEY])).await;
}

#[tokio::test]
async fn what_was_accepted_survives_kill_9_and_is_done_once_on_postgres() {
    is_never_lost(Server::postgres()).await;
}
