//! What an operator does with whole registers: checks and mends them, takes them from one database to another, backs them
//! up and brings them back.

mod backup;
mod check;
mod erasing;
mod erasures;
mod transfer;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::messages::user;
use crate::support::server::{Server, command};

/// A register with something of everything, and its administrator's token.
pub(crate) async fn filled(server: &Server) -> String {
    let token = server.tenant("storstad");
    let url = server.database_url();
    command(url, &["schema", "install", "--tenant", "storstad", "device"]);
    command(url, &["index", "add", "--tenant", "storstad", "User", "title"]);
    let api = Client::new(&server.base_url, &token);
    let mut ids = Vec::new();
    for n in 0..7 {
        let mut body = user(&format!("person{n}"));
        body["externalId"] = json!(format!("hr-{n}"));
        body["title"] = json!("Åkare \"a\\b\" \u{10FFFD}");
        if n == 3 {
            body["password"] = json!("correct horse battery");
        }
        ids.push(made(&api.post("/Users", &body).await));
    }
    let members = |ids: &[String]| json!(ids.iter().map(|id| json!({ "value": id })).collect::<Vec<_>>());
    let group = "urn:ietf:params:scim:schemas:core:2.0:Group";
    let inner = json!({ "schemas": [group], "displayName": "Inner", "members": members(&ids[1..5]) });
    let inner = made(&api.post("/Groups", &inner).await);
    let outer = json!({ "schemas": [group], "displayName": "Outer", "members": members(&[inner, ids[5].clone()]) });
    made(&api.post("/Groups", &outer).await);
    let gone = json!({ "schemas": [group], "displayName": "Gone", "members": members(&ids) });
    let gone = made(&api.post("/Groups", &gone).await);
    assert_eq!(api.delete(&format!("/Groups/{gone}")).await.status, 204);
    assert_eq!(api.delete(&format!("/Users/{}", ids[6])).await.status, 204);
    let mut changed = user("person0");
    changed["active"] = json!(false);
    assert_eq!(api.put(&format!("/Users/{}", ids[0]), &changed).await.status, 200);
    // The first cursor makes the key that seals them all.
    cursor(server, &token).await;
    token
}

/// The id of what was created.
fn made(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text);
    document(answer)["id"].as_str().expect("an id").to_owned()
}

pub(crate) fn document(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text).expect("JSON")
}

/// What a client can see of a register: status, entity tag and body of many requests.
pub(crate) async fn seen(server: &Server, token: &str) -> Vec<(String, u16, Option<String>, String)> {
    let api = Client::new(&server.base_url, token);
    let mut paths: Vec<String> = [
        "/Users",
        "/Users?sortBy=userName&sortOrder=descending",
        "/Users?filter=title+pr&sortBy=title",
        "/Users?filter=externalId+eq+%22hr-2%22",
        "/Groups",
        "/GroupMemberships",
        "/Clients",
        "/Devices",
        "/Schemas",
        "/ResourceTypes",
    ]
    .map(str::to_owned)
    .to_vec();
    for (endpoint, name) in [("Users", "userName"), ("Groups", "displayName")] {
        let found = document(&api.get(&format!("/{endpoint}?sortBy={name}")).await);
        for resource in found["Resources"].as_array().expect("resources") {
            paths.push(format!("/{endpoint}/{}", resource["id"].as_str().expect("an id")));
        }
    }
    let mut seen = Vec::new();
    for path in paths {
        let answer = api.get(&path).await;
        let etag = answer.headers.get("etag").map(|tag| tag.to_str().expect("text").to_owned());
        seen.push((path, answer.status, etag, answer.text.replace(&server.base_url, "BASE")));
    }
    assert!(seen.len() > 16 && seen.iter().all(|(_, status, ..)| *status == 200), "{seen:?}");
    seen
}

/// A cursor that leads on.
pub(crate) async fn cursor(server: &Server, token: &str) -> String {
    let page = Client::new(&server.base_url, token).get("/Users?cursor&count=2").await;
    document(&page)["nextCursor"].as_str().unwrap_or_else(|| panic!("{}", page.text)).to_owned()
}

/// What following the cursor gives: `200`, or the scimType of the refusal.
pub(crate) async fn followed(server: &Server, token: &str, cursor: &str) -> String {
    let page = Client::new(&server.base_url, token).get(&format!("/Users?cursor={cursor}&count=2")).await;
    match page.status {
        400 => document(&page)["scimType"].as_str().unwrap_or_default().to_owned(),
        status => status.to_string(),
    }
}
