//! `Idempotency-Key`: what was done with a key is not done again, whatever came between.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::client::{Answer, Client};
use crate::support::messages::{add_members, group, set, user};
use crate::support::server::Server;

async fn ask(client: &Client, method: &str, path: &str, key: &str, body: Option<&Value>) -> Answer {
    ask_with(client, method, path, &[("idempotency-key", key)], body).await
}

async fn ask_with(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
    let headers = [&[("content-type", "application/scim+json")], headers].concat();
    client.send(method, path, &headers, body.map(|body| body.to_string().into_bytes())).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("matrikel-replayed") == "true"
}

/// The answer to what was done before is the first one's.
#[track_caller]
fn same(first: &Answer, again: &Answer) {
    let told = |answer: &Answer| {
        (answer.status, ["etag", "location"].map(|name| answer.header(name).to_owned()), answer.text.clone())
    };
    assert_eq!(told(first), told(again));
    assert!(!is_replayed(first) && is_replayed(again));
}

async fn total(client: &Client, path: &str) -> Value {
    client.get(path).await.expect(200).json()["totalResults"].clone()
}

async fn each_verb_is_done_once(server: Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let body = group("crew", &[]);
    let made = ask(&client, "POST", "/Groups", "k1", Some(&body)).await.expect(201);
    same(&made, &ask(&client, "POST", "/Groups", "k1", Some(&body)).await);
    same(&made, &ask(&client, "POST", "/Groups", "\"k1\"", Some(&body)).await);
    assert_eq!(total(&client, "/Groups").await, json!(1));
    // Another request with the key is told so, whatever it is about.
    let crew = format!("/Groups/{}", made.id());
    let refused = ask(&client, "POST", "/Groups", "k1", Some(&group("other", &[]))).await.expect(422);
    assert!(refused.json()["detail"].as_str().expect("a detail").starts_with("This Idempotency-Key"));
    ask(&client, "POST", "/Groups?attributes=id", "k1", Some(&body)).await.expect(422);
    ask(&client, "DELETE", &crew, "k1", None).await.expect(422);
    // A key belongs to its client.
    let other = Client::new(&server.base_url, &server.client("town", "other", "administrator"));
    ask(&other, "POST", "/Groups", "k1", Some(&body)).await.expect(201);
    assert_eq!(total(&client, "/Groups").await, json!(2));

    // A version that has moved by the request itself does not stand in its way, and a 204 is one again.
    let person = client.post("/Users", &user("maj")).await.expect(201);
    let path = format!("/Users/{}", person.id());
    let conditional = [("idempotency-key", "k2"), ("if-match", person.header("etag"))];
    let title = set("title", &json!("one"));
    let changed = ask_with(&client, "PATCH", &path, &conditional, Some(&title)).await.expect(200);
    same(&changed, &ask_with(&client, "PATCH", &path, &conditional, Some(&title)).await);
    ask(&client, "PATCH", &path, "k2", Some(&title)).await.expect(422);
    let joined = ask(&client, "PATCH", &crew, "k3", Some(&add_members(&[&person.id()]))).await.expect(204);
    same(&joined, &ask(&client, "PATCH", &crew, "k3", Some(&add_members(&[&person.id()]))).await);
    let membership =
        json!({ "group": { "value": other_group(&client, &crew).await }, "member": { "value": person.id() } });
    let linked = ask(&client, "POST", "/GroupMemberships", "k4", Some(&membership)).await.expect(201);
    same(&linked, &ask(&client, "POST", "/GroupMemberships", "k4", Some(&membership)).await);

    // What changed nothing is done once too: later changes stay.
    let put = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "maj", "title": "one" });
    let replaced = ask(&client, "PUT", &path, "k5", Some(&put)).await.expect(200);
    assert_eq!(replaced.version(), changed.version());
    client.patch(&path, &set("title", &json!("two"))).await.expect(200);
    let again = ask(&client, "PUT", &path, "k5", Some(&put)).await.expect(200);
    assert!(is_replayed(&again));
    assert_eq!(again.json()["title"], "two", "the resource as it is now");
    assert_eq!(again.header("etag"), again.json()["meta"]["version"]);

    let gone = ask(&client, "DELETE", &path, "k6", None).await.expect(204);
    same(&gone, &ask(&client, "DELETE", &path, "k6", None).await);
    client.delete(&crew).await.expect(204);
    let told = ask(&client, "POST", "/Groups", "k1", Some(&body)).await.expect(201);
    assert!(is_replayed(&told));
    assert_eq!((told.id(), told.header("location")), (made.id(), made.header("location")));
    client.get(&crew).await.expect(404);

    // An error is found out anew.
    client.post("/Users", &user("ove")).await.expect(201);
    ask(&client, "POST", "/Users", "k7", Some(&user("ove"))).await.expect(409);
    let ove = client.find("/Users", &[("filter", "userName eq \"ove\"")]).await.ids().remove(0);
    client.delete(&format!("/Users/{ove}")).await.expect(204);
    assert!(!is_replayed(&ask(&client, "POST", "/Users", "k7", Some(&user("ove"))).await.expect(201)));

    let schema = json!({ "id": "urn:example:Badge", "attributes": [{ "name": "colour" }] });
    let added = ask(&client, "POST", "/Schemas", "k8", Some(&schema)).await.expect(201);
    same(&added, &ask(&client, "POST", "/Schemas", "k8", Some(&schema)).await);

    for key in ["", "two keys", "a,b", "\"", "a\"b", &"x".repeat(256)] {
        ask(&client, "POST", "/Users", key, Some(&user("never"))).await.expect(400);
    }
    client.send("GET", "/Users", &[("idempotency-key", "two keys")], None).await.expect(200);
}

async fn other_group(client: &Client, not: &str) -> String {
    let ids = client.get("/Groups").await.expect(200).ids();
    ids.into_iter().find(|id| !not.ends_with(id.as_str())).expect("another group")
}

async fn the_like_at_once_are_done_once(server: Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let mut asked: JoinSet<Answer> = JoinSet::new();
    for _ in 0..24 {
        let client = client.clone();
        asked.spawn(async move { ask(&client, "POST", "/Groups", "once", Some(&group("crew", &[]))).await });
    }
    let answers = asked.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 24);
    assert_eq!(answers.iter().filter(|answer| !is_replayed(answer)).count(), 1);
    assert!(answers.iter().all(|answer| answer.text == answers[0].text));
    assert_eq!(total(&client, "/Groups").await, json!(1));
}

fn bulk(names: &[&str]) -> Value {
    let post = |name: &&str| json!({ "method": "POST", "path": "/Groups", "bulkId": name, "data": group(name, &[]) });
    let operations: Vec<Value> = names.iter().map(post).collect();
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations })
}

async fn a_bulk_request_is_done_once(server: Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let mut asked: JoinSet<Answer> = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        asked.spawn(async move { ask(&client, "POST", "/Bulk", "b1", Some(&bulk(&["a", "b", "c"]))).await });
    }
    let answers = asked.join_all().await;
    assert_eq!(answers.iter().filter(|answer| !is_replayed(answer)).count(), 1);
    assert!(answers.iter().all(|answer| (answer.status, &answer.text) == (200, &answers[0].text)), "{answers:?}");
    assert_eq!(answers[0].json()["Operations"].as_array().map(Vec::len), Some(3));
    assert_eq!(total(&client, "/Groups").await, json!(3));
    ask(&client, "POST", "/Bulk", "b1", Some(&bulk(&["a"]))).await.expect(422);
    ask(&client, "POST", "/Groups", "b1", Some(&group("a", &[]))).await.expect(422);
    // Answered first, it is the same transaction again.
    let headers = [("idempotency-key", "b2"), ("prefer", "respond-async")];
    let first = ask_with(&client, "POST", "/Bulk", &headers, Some(&bulk(&["d"]))).await.expect(202);
    let again = ask_with(&client, "POST", "/Bulk", &headers, Some(&bulk(&["d"]))).await.expect(202);
    assert_eq!(first.header("set-txn"), again.header("set-txn"));
    assert!(is_replayed(&again));
}

async fn a_key_is_forgotten_after_a_day(mut server: Server) {
    let token = server.tenant("town");
    let client = Client::new(&server.base_url, &token);
    let body = group("crew", &[]);
    ask(&client, "POST", "/Groups", "k", Some(&body)).await.expect(201);
    ask(&client, "POST", "/Groups", "l", Some(&body)).await.expect(201);
    assert_eq!(server.number("SELECT COUNT(*) FROM idempotency"), 2);
    let a_day_passes = "UPDATE idempotency SET at = at - 86400000000";
    server.execute(a_day_passes);
    assert!(!is_replayed(&ask(&client, "POST", "/Groups", "k", Some(&body)).await.expect(201)));
    assert!(is_replayed(&ask(&client, "POST", "/Groups", "k", Some(&body)).await.expect(201)));
    assert_eq!(total(&client, "/Groups").await, json!(3));
    // A server that starts sweeps.
    server.execute(a_day_passes);
    server.kill();
    server.restart();
    for _ in 0..3_000 {
        if server.number("SELECT COUNT(*) FROM idempotency") == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("keys that are over are still there");
}

/// Clients that got no answer ask again, and each of their groups is there once; nothing but the key tells them apart.
async fn a_request_that_kill_9_left_unanswered_may_be_sent_again(mut server: Server) {
    let token = server.tenant("town");
    let mut sent = 0;
    for round in 0..3 {
        let client = Client::new(&server.base_url, &token);
        let mut writers: JoinSet<(usize, String)> = JoinSet::new();
        for writer in 0..8 {
            let client = client.clone();
            writers.spawn(async move {
                for n in 0.. {
                    let key = format!("{round}-{writer}-{n}");
                    let headers = [("content-type", "application/scim+json"), ("idempotency-key", key.as_str())];
                    let body = group("crew", &[]).to_string().into_bytes();
                    match client.attempt("POST", "/Groups", &headers, Some(body)).await {
                        Ok(answer) => drop(answer.expect(201)),
                        Err(_) => return (n + 1, key),
                    }
                }
                unreachable!("the server is killed")
            });
        }
        // Any moment will do: this only spreads them.
        while server.number("SELECT COUNT(*) FROM idempotency") < sent + 20 + round * 7 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        server.kill();
        let left = writers.join_all().await;
        server.restart();
        let client = Client::new(&server.base_url, &token);
        for (count, key) in left {
            ask(&client, "POST", "/Groups", &key, Some(&group("crew", &[]))).await.expect(201);
            sent += i64::try_from(count).expect("few");
        }
        assert_eq!(total(&client, "/Groups?count=0").await, json!(sent));
    }
}

/// The test on both databases.
macro_rules! on_both {
    ($($name:ident => $sqlite:ident, $postgres:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $sqlite() {
            $name(Server::sqlite()).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $postgres() {
            $name(Server::postgres()).await;
        }
    )*};
}

on_both! {
    each_verb_is_done_once => each_verb_is_done_once_on_sqlite, each_verb_is_done_once_on_postgres;
    the_like_at_once_are_done_once => the_like_at_once_are_done_once_on_sqlite, the_like_at_once_are_done_once_on_postgres;
    a_bulk_request_is_done_once => a_bulk_request_is_done_once_on_sqlite, a_bulk_request_is_done_once_on_postgres;
    a_key_is_forgotten_after_a_day => a_key_is_forgotten_after_a_day_on_sqlite, a_key_is_forgotten_after_a_day_on_postgres;
    a_request_that_kill_9_left_unanswered_may_be_sent_again =>
        what_kill_9_left_unanswered_may_be_sent_again_on_sqlite,
        what_kill_9_left_unanswered_may_be_sent_again_on_postgres;
}
