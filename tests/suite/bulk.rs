//! Bulk as clients see it: the vectors, the limits, who may do what, and a request as large as one may be.

use reqwest::Client;
use serde_json::{Value, json};

use crate::protocol::run_vectors;
use crate::support::server::Server;

const BULK_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

async fn send(server: &Server, token: &str, body: String) -> (u16, Value) {
    let client = Client::builder().no_proxy().build().expect("a client");
    let request = client.post(format!("{}/Bulk", server.base_url)).bearer_auth(token);
    let request = request.header("content-type", "application/scim+json").body(body);
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

fn bulk(operations: &[Value]) -> String {
    json!({ "schemas": [BULK_REQUEST], "Operations": operations }).to_string()
}

fn user(name: &str) -> Value {
    json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": { "schemas": [USER], "userName": name } })
}

async fn check(server: &Server) {
    run_vectors(server, "bulk").await;
    let token = server.tenant("limits");

    let delete = json!({ "method": "DELETE", "path": "/Users/1" });
    let (status, error) = send(server, &token, bulk(&vec![delete; 1_001])).await;
    assert_eq!(status, 413);
    assert!(error["detail"].as_str().expect("a detail").contains("maxOperations, which is 1000"), "{error}");

    let mut large = user("large");
    large["data"]["displayName"] = "x".repeat(10 << 20).into();
    let (status, error) = send(server, &token, bulk(&[large])).await;
    assert_eq!(status, 413);
    assert!(error["detail"].as_str().expect("a detail").contains("maxPayloadSize, which is 10485760"), "{error}");

    let (status, answer) = send(server, &server.client("limits", "reader", "consumer"), bulk(&[user("a")])).await;
    assert_eq!(status, 403, "{answer}");

    let client = json!({ "method": "POST", "path": "/Clients", "bulkId": "c", "data": { "name": "c" } });
    let (status, answer) = send(server, &server.client("limits", "hr", "source"), bulk(&[client, user("a")])).await;
    assert_eq!(status, 200, "{answer}");
    let statuses: Vec<&Value> =
        answer["Operations"].as_array().expect("operations").iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, ["403", "201"]);

    let many: Vec<Value> = (0..1_000).map(|n| user(&format!("user{n}"))).collect();
    let begun = std::time::Instant::now();
    let (status, answer) = send(server, &token, bulk(&many)).await;
    println!("1,000 operations in {:?}", begun.elapsed());
    assert_eq!(status, 200);
    let operations = answer["Operations"].as_array().expect("operations");
    assert_eq!(operations.len(), 1_000);
    for (n, operation) in operations.iter().enumerate() {
        assert_eq!((&operation["bulkId"], &operation["status"]), (&json!(format!("user{n}")), &json!("201")));
    }
}

/// The batch that holds the refused user is rolled back and run again one write at a time.
async fn refuse(server: &Server) {
    server.refuse_boom();
    let token = server.tenant("refuse");
    let group = |name: &str, members: [&str; 2]| {
        let members = members.map(|member| json!({ "value": format!("bulkId:{member}") }));
        let data = json!({ "schemas": [GROUP], "displayName": name, "members": members });
        json!({ "method": "POST", "path": "/Groups", "bulkId": name, "data": data })
    };
    let led = |name: &str, manager: &str| {
        let mut led = user(name);
        led["data"]["schemas"] = json!([USER, ENTERPRISE]);
        led["data"][ENTERPRISE] = json!({ "manager": { "value": format!("bulkId:{manager}") } });
        led
    };
    let operations = [
        user("a"),
        group("g", ["a", "boom"]),
        user("boom"),
        led("b", "boom"),
        led("c", "a"),
        led("d", "b"),
        group("h", ["a", "c"]),
    ];
    let (status, answer) = send(server, &token, bulk(&operations)).await;
    assert_eq!(status, 200, "{answer}");
    let told = answer["Operations"].as_array().expect("operations");
    let statuses: Vec<&Value> = told.iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, ["201", "409", "503", "409", "201", "409", "201"]);
    for (place, named) in [(1, "bulkId:boom"), (3, "bulkId:boom"), (5, "bulkId:b ")] {
        let detail = told[place]["response"]["detail"].as_str().expect("a detail");
        assert!(detail.contains(named), "{detail}");
    }
    let client = Client::builder().no_proxy().build().expect("a client");
    for (path, count) in [("Users", 2), ("Groups", 1)] {
        let request = client.get(format!("{}/{path}", server.base_url)).bearer_auth(&token);
        let list: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(list["totalResults"], count, "{path}");
    }
}

#[tokio::test]
async fn bulk_holds_on_sqlite() {
    check(&Server::sqlite()).await;
}

#[tokio::test]
async fn bulk_holds_on_postgres() {
    check(&Server::postgres()).await;
}

#[tokio::test]
async fn only_what_the_database_refuses_fails_on_sqlite() {
    refuse(&Server::sqlite()).await;
}

#[tokio::test]
async fn only_what_the_database_refuses_fails_on_postgres() {
    refuse(&Server::postgres()).await;
}
