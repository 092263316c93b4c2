//! Simulations as a client meets them: over HTTP and by command, on a server that works them out by itself.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rules::resource::rule;
use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::server::{Server, attempt, command};

on_both_databases!(Server:
    a_client_asks_reads_and_applies,
    a_command_tells_and_applies,
);

const TENANT: &str = "storstad";

/// A register with a group, people and a proposed rule; what to ask it with, and the rule.
async fn staffed(server: &Server, people: usize) -> (Api, String) {
    let admin = Api::new(server, server.tenant(TENANT));
    admin.post("/Groups", &json!({ "displayName": "nurses" })).await.expect(201);
    for n in 0..people {
        let kind = if n == 0 { "clerk" } else { "nurse" };
        admin.post("/Users", &json!({ "userName": format!("=p{n:03}"), "userType": kind })).await.expect(201);
    }
    let made = admin.post("/Rules", &rule("nurses", &json!({}))).await.expect(201).body;
    (admin, made["id"].as_str().expect("an id").to_owned())
}

/// The simulation once nobody works at it any more.
pub(super) async fn settled(api: &Api, path: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let found = api.get(path).await.expect(200).body;
        if !["waiting", "running", "checking"].contains(&found["state"].as_str().expect("a state")) {
            return found;
        }
        assert!(Instant::now() < deadline, "{found}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_client_asks_reads_and_applies(server: &Server) {
    let (admin, rule) = staffed(server, 4).await;
    let reader = server.client_with(TENANT, "reader", "consumer", &["--scope", "Simulation:read", "--scope", "*:read"]);
    let reader = Api::new(server, reader);
    let hr = Api::new(server, server.client(TENANT, "hr", "source"));
    let body = json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:Simulation"], "name": "what if" });
    reader.post("/Simulations", &body).await.expect(403);
    hr.get("/Simulations").await.expect(403);
    let made = admin.post("/Simulations", &body).await.expect(201).body;
    assert_eq!(made["state"], "waiting");
    let path = format!("/Simulations/{}", made["id"].as_str().expect("an id"));
    let ready = settled(&admin, &path).await;
    assert_eq!((&ready["state"], &ready["counts"]["begins"]), (&json!("ready"), &json!(3)), "{ready}");
    let listed = reader.get("/Simulations?filter=state%20eq%20%22ready%22").await.expect(200).body;
    assert_eq!(listed["totalResults"], 1);

    // What it says of people is not for everybody who may read that it is there.
    let items = format!("{path}/items");
    reader.get(&items).await.expect(403);
    hr.get(&items).await.expect(403);
    admin.get("/Simulations/0197a5c0-0000-7000-8000-000000000000/items").await.expect(404);
    for wrong in ["list=people", "format=pdf", "startIndex=x", "list=target&format=csv", "list=target&format=html"] {
        admin.get(&format!("{items}?{wrong}")).await.expect(400);
    }
    let page = admin.get(&format!("{items}?startIndex=2&count=1")).await.expect(200).body;
    assert_eq!((&page["totalResults"], &page["startIndex"], &page["itemsPerPage"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(page["Resources"][0]["begins"][0]["reasons"][0]["rule"], json!(rule));
    let targets = admin.get(&format!("{items}?list=target")).await.expect(200).body;
    assert_eq!(
        (&targets["Resources"][0]["display"], &targets["Resources"][0]["begins"]),
        (&json!("nurses"), &json!(3))
    );
    let shown = text(&admin, &format!("{items}?format=html"), "text/html; charset=utf-8").await;
    for told in ["<h1>what if</h1>", "activate nurses", "<b>=p001</b>", "+ nurses", "rule nurses", "</html>"] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let table = text(&admin, &format!("{items}?format=csv"), "text/csv; charset=utf-8").await;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[1].contains(";'=p001;begins;Group nurses;") && lines[1].contains(";nurses;"), "{table}");

    // What only the server says is not a client's to write, and what was asked stays.
    for (name, value) in [("state", json!("ready")), ("filter", json!("userName pr"))] {
        let change = json!([{ "op": "replace", "path": name, "value": value }]);
        admin.patch(&path, &change).await.expect(400);
    }
    let apply = json!([{ "op": "replace", "path": "decision", "value": "apply" }]);
    reader.patch(&path, &apply).await.expect(403);
    assert_eq!(admin.patch(&path, &apply).await.expect(200).body["state"], "checking");
    let applied = settled(&admin, &path).await;
    assert_eq!(applied["state"], "applied", "{applied}");
    assert_eq!(admin.get(&format!("/Rules/{rule}")).await.expect(200).body["lifecycle"], "active");
    admin.delete(&path).await.expect(204);
    admin.get(&items).await.expect(404);
}

async fn a_command_tells_and_applies(server: &Server) {
    let (admin, rule) = staffed(server, 3).await;
    let url = server.database_url();
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("all.csv");
    let file = file.to_str().expect("a path");
    let page = folder.path().join("all.html");
    let page = page.to_str().expect("a path");
    let said = command(url, &["simulate", "--tenant", TENANT, "--activate", "NURSES", "--csv", file, "--html", page]);
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.starts_with("<!doctype html>") && page.matches("<details").count() == 2, "{page}");
    assert!(said.contains("state       ready") && said.contains("begins      2"), "{said}");
    assert!(said.contains("2      0  Group nurses") && said.contains("=p001: +nurses"), "{said}");
    assert_eq!(std::fs::read_to_string(file).expect("a table").lines().count(), 3);
    let said = command(url, &["simulate", "--tenant", TENANT, "--json"]);
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!((lines.len(), &lines[0]["counts"]["changed"]), (3, &json!(2)), "{said}");
    let id = lines[0]["id"].as_str().expect("an id");

    admin.post("/Users", &json!({ "userName": "late", "userType": "nurse" })).await.expect(201);
    let told = attempt(url, &["simulate", "apply", "--tenant", TENANT, id]).expect_err("it is another by now");
    assert!(told.contains("+   late: +nurses") && told.contains("nothing was changed"), "{told}");
    assert_eq!(admin.get(&format!("/Rules/{rule}")).await.expect(200).body.get("lifecycle"), None);
    let said = command(url, &["simulate", "apply", "--tenant", TENANT, id]);
    assert!(said.contains("The rules are changed"), "{said}");
    assert_eq!(admin.get(&format!("/Rules/{rule}")).await.expect(200).body["lifecycle"], "active");
    for wrong in [
        &["simulate", "--tenant", TENANT, "--activate", "nobody"][..],
        &["simulate", "--tenant", TENANT, "--as-of", "someday"],
        &["simulate", "apply", "--tenant", TENANT, "none"],
        &["simulate", "apply", "--tenant", TENANT, id, "--as-of", "2030-01-01"],
    ] {
        attempt(url, wrong).expect_err("refused");
    }
}

/// An answer that is no JSON.
async fn text(api: &Api, path: &str, media_type: &str) -> String {
    let asked = api.client.get(format!("{}{path}", api.base)).bearer_auth(&api.token).send().await.expect("an answer");
    assert_eq!(asked.headers()["content-type"], media_type);
    asked.text().await.expect("a body")
}

async fn a_server_that_was_killed_goes_on(mut server: Server) {
    let (admin, _) = staffed(&server, 3).await;
    let body = json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:Simulation"], "name": "what if" });
    let made = admin.post("/Simulations", &body).await.expect(201).body;
    let path = format!("/Simulations/{}", made["id"].as_str().expect("an id"));
    server.kill();
    // However far it had come: it is as if it had been at it, and nobody waits for its lease to end.
    server.execute(
        "UPDATE resource SET doc = REPLACE(doc, '\"state\":\"ready\"', '\"state\":\"running\"') WHERE kind = 'Simulation'; \
         DELETE FROM lease",
    );
    server.restart();
    let admin = Api::new(&server, admin.token);
    let found = settled(&admin, &path).await;
    assert_eq!((&found["state"], &found["counts"]["begins"]), (&json!("ready"), &json!(2)), "{found}");
    let items = admin.get(&format!("{path}/items")).await.expect(200).body;
    assert_eq!((&items["totalResults"], &items["itemsPerPage"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn a_server_that_was_killed_goes_on_on_sqlite() {
    a_server_that_was_killed_goes_on(Server::sqlite()).await;
}

#[tokio::test]
async fn a_server_that_was_killed_goes_on_on_postgres() {
    a_server_that_was_killed_goes_on(Server::postgres()).await;
}
