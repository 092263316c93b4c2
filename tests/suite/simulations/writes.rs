//! Writes as a simulation, as a client meets it: what operations would do to whatever they touch, nothing of it done, and all of
//! it done in one write once it is decided.

use std::collections::BTreeMap;

use matrikel::directory::simulations::SIMULATION;
use matrikel::directory::{Ctx, Random};
use serde_json::{Value, json};

use super::http::settled;
use crate::lifecycle::town::{PERSON, Town};
use crate::rules::grants::{wake, with_groups, works};
use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::register::id;
use crate::support::server::{Server, attempt, command};

on_both_databases!(Server:
    what_is_told_of_writes_is_what_they_do,
    what_has_moved_is_told_and_decided_on_anew,
    what_cannot_be_asked_is_refused,
    a_client_is_simulated_within_its_own_view,
    a_command_reads_a_bulk_request,
);
on_both_databases!(Town:
    what_follows_from_a_fact_is_told_with_it,
    what_is_too_much_is_told_and_decided_on_by_who_says_so,
);

const TENANT: &str = "storstad";
const SCHEMA: &str = "urn:matrikel:scim:schemas:1.0:Simulation";
const SECRET: &str = "Sekretessbelagd";

fn asked(operations: &Value) -> Value {
    json!({ "schemas": [SCHEMA], "name": "what if", "operations": operations })
}

fn replace(path: &str, value: &Value) -> Value {
    json!({ "Operations": [{ "op": "replace", "path": path, "value": value }] })
}

fn added(member: &str) -> Value {
    json!({ "Operations": [{ "op": "add", "path": "members", "value": [{ "value": member }] }] })
}

/// Asks, and waits for what it says: its path and its document.
async fn simulated(api: &Api, operations: &Value) -> (String, Value) {
    let made = api.post("/Simulations", &asked(operations)).await.expect(201).body;
    let path = format!("/Simulations/{}", made["id"].as_str().expect("an id"));
    let ready = settled(api, &path).await;
    (path, ready)
}

/// What it says of each resource, by what it is called.
async fn items(api: &Api, path: &str) -> BTreeMap<String, Value> {
    let found = api.get(&format!("{path}/items?count=500")).await.expect(200).body;
    let items = found["Resources"].as_array().expect("items").iter();
    items.map(|item| (item["display"].as_str().expect("a name").to_owned(), item.clone())).collect()
}

async fn decide(api: &Api, path: &str) -> Value {
    api.patch(path, &json!([{ "op": "replace", "path": "decision", "value": "apply" }])).await.expect(200);
    settled(api, path).await
}

/// A register with two people and a group that one of them is in: their ids.
async fn peopled(server: &Server) -> (Api, [String; 3]) {
    let admin = Api::new(server, server.tenant(TENANT));
    let made = async |path: &str, body: &Value| {
        admin.post(path, body).await.expect(201).body["id"].as_str().expect("an id").to_owned()
    };
    let maj = made("/Users", &json!({ "userName": "maj", "title": "clerk" })).await;
    let bo = made("/Users", &json!({ "userName": "bo" })).await;
    let crew = made("/Groups", &json!({ "displayName": "crew", "members": [{ "value": bo }] })).await;
    (admin, [maj, bo, crew])
}

async fn what_is_told_of_writes_is_what_they_do(server: &Server) {
    let (admin, [maj, bo, crew]) = peopled(server).await;
    let nobody = "0197a5c0-0000-7000-8000-000000000000";
    let before = server.number("SELECT COUNT(*) FROM change WHERE kind IN ('User', 'Group')");
    // A body may be an object, as in a bulk request, or its text.
    let new = json!({ "userName": "new", "name": { "familyName": SECRET } }).to_string();
    let operations = json!([
        { "method": "PATCH", "path": format!("/Users/{maj}"), "data": replace("title", &json!("head")) },
        { "method": "POST", "path": "/Users", "bulkId": "n", "data": new },
        { "method": "PATCH", "path": format!("/Groups/{crew}"), "data": added("bulkId:n") },
        { "method": "PATCH", "path": format!("/Groups/{crew}"), "data": added(&maj) },
        { "method": "DELETE", "path": format!("/Users/{bo}") },
        { "method": "DELETE", "path": format!("/Users/{nobody}") },
        { "method": "POST", "path": "/Users", "bulkId": "twice", "data": { "userName": "MAJ" } },
        { "method": "PATCH", "path": format!("/Groups/{crew}"), "data": replace("displayName", &json!("crew")) },
    ]);
    let (path, ready) = simulated(&admin, &operations).await;
    assert_eq!((&ready["state"], &ready["writes"]), (&json!("ready"), &json!(8)), "{ready}");
    let counts =
        ["created", "changed", "purged", "failed", "begins", "items"].map(|name| ready["counts"][name].as_u64());
    assert_eq!(counts, [Some(1), Some(1), Some(1), Some(2), Some(2), Some(6)], "{ready}");
    let items = items(&admin, &path).await;
    assert_eq!(items["maj"]["changes"], json!([{ "path": "title", "before": "clerk", "after": "head" }]));
    assert_eq!((&items["maj"]["begins"][0]["display"], &items["bo"]["op"]), (&json!("crew"), &json!("purged")));
    assert_eq!((&items[SECRET]["op"], &items[SECRET]["begins"][0]["display"]), (&json!("created"), &json!("crew")));
    assert!(items[&format!("DELETE /Users/{nobody}")]["reason"].as_str().is_some_and(|why| why.contains(nobody)));
    assert!(items["POST /Users/twice"]["reason"].as_str().is_some_and(|why| why.contains("userName")));
    assert_eq!(items[&format!("PATCH /Groups/{crew}")]["op"], "kept");
    let targets = admin.get(&format!("{path}/items?list=target")).await.expect(200).body["Resources"].clone();
    assert_eq!((&targets[0]["display"], &targets[0]["begins"]), (&json!("crew"), &json!(2)));

    // Nothing of it is done, and what was asked is nowhere to be read.
    assert_eq!(server.number("SELECT COUNT(*) FROM change WHERE kind IN ('User', 'Group')"), before);
    assert_eq!((&ready["operations"], &ready["counts"]["users"]), (&Value::Null, &json!(3)));
    let told = |what: &str| {
        server.number(&format!("SELECT COUNT(*) FROM change WHERE kind = 'Simulation' AND doc LIKE '%{what}%'"))
    };
    assert!(told("writes") > 0 && told(SECRET) == 0, "history has no word of it");

    let applied = decide(&admin, &path).await;
    assert_eq!(applied["state"], "applied", "{applied}");
    let new = items[SECRET]["id"].as_str().expect("an id");
    let made = admin.get(&format!("/Users/{new}")).await.expect(200).body;
    assert_eq!((&made["userName"], &made["groups"][0]["value"]), (&json!("new"), &json!(crew)));
    assert_eq!(admin.get(&format!("/Users/{maj}")).await.expect(200).body["title"], "head");
    admin.get(&format!("/Users/{bo}")).await.expect(404);
    let members = admin.get(&format!("/Groups/{crew}")).await.expect(200).body["members"].clone();
    let mut members: Vec<&str> =
        members.as_array().expect("members").iter().map(|one| one["value"].as_str().expect("an id")).collect();
    members.sort_unstable();
    let mut expected = [maj.as_str(), new];
    expected.sort_unstable();
    assert_eq!(members, expected);
    // All of it is one transaction, of whoever decided.
    let transactions = "SELECT COUNT(DISTINCT txn) AS number FROM change WHERE kind IN ('User', 'Group') AND seq > (SELECT MAX(seq) FROM change WHERE kind = 'Group' AND op = 'create')";
    assert_eq!(server.number(transactions), 1);
    // It is done once.
    admin.patch(&path, &json!([{ "op": "replace", "path": "decision", "value": "apply" }])).await.expect(409);
}

async fn what_has_moved_is_told_and_decided_on_anew(server: &Server) {
    let (admin, [maj, bo, _]) = peopled(server).await;
    let etag = admin.get(&format!("/Users/{bo}")).await.expect(200).etag.expect("a tag");
    let operations = json!([
        { "method": "PATCH", "path": format!("/Users/{maj}"), "data": replace("title", &json!("head")) },
        { "method": "PATCH", "path": format!("/Users/{bo}"), "version": etag, "data": replace("title", &json!("cook")) },
    ]);
    let (path, ready) = simulated(&admin, &operations).await;
    assert_eq!(ready["counts"]["changed"], 2, "{ready}");
    admin
        .patch(&format!("/Users/{bo}"), &json!([{ "op": "replace", "path": "title", "value": "mate" }]))
        .await
        .expect(200);
    let changed = decide(&admin, &path).await;
    assert_eq!((&changed["state"], &changed["counts"]["failed"]), (&json!("changed"), &json!(1)), "{changed}");
    assert_eq!(admin.get(&format!("/Users/{maj}")).await.expect(200).body["title"], "clerk", "nothing was done");
    let applied = decide(&admin, &path).await;
    assert_eq!(applied["state"], "applied", "{applied}");
    let title = async |id: &str| admin.get(&format!("/Users/{id}")).await.expect(200).body["title"].clone();
    assert_eq!((title(&maj).await, title(&bo).await), (json!("head"), json!("mate")));
}

async fn what_cannot_be_asked_is_refused(server: &Server) {
    let (admin, [maj, ..]) = peopled(server).await;
    let one = json!([{ "method": "DELETE", "path": format!("/Users/{maj}") }]);
    let with = |name: &str, value: &Value| {
        let mut body = asked(&one);
        body[name] = value.clone();
        body
    };
    for (name, value) in
        [("filter", json!("userName pr")), ("asOf", json!("2100-01-01T00:00:00Z")), ("undo", json!({ "value": maj }))]
    {
        let refused = admin.post("/Simulations", &with(name, &value)).await.expect(400);
        assert!(refused.detail().contains(name), "{}", refused.detail());
    }
    for (operations, detail) in [
        (json!([{ "method": "FETCH", "path": "/Users" }]), "Operations[0]"),
        (json!([{ "method": "POST", "path": "/Users", "data": "[1]" }]), "operations[0].data"),
        (
            json!([{ "method": "POST", "path": "/Users", "bulkId": "a", "data": { "manager": "{" } }, { "method": "POST", "path": "/Users", "bulkId": "a", "data": {} }]),
            "bulkId",
        ),
    ] {
        let refused = admin.post("/Simulations", &asked(&operations)).await.expect(400);
        assert!(refused.detail().contains(detail), "{}", refused.detail());
    }
    let many: Vec<Value> = (0..1_001).map(|_| one[0].clone()).collect();
    admin.post("/Simulations", &asked(&json!(many))).await.expect(400);
    // What administers the register has its own way of being asked about.
    let rule = json!({ "name": "r", "filter": "userName pr", "grants": [] });
    let (path, ready) =
        simulated(&admin, &json!([{ "method": "POST", "path": "/Rules", "bulkId": "r", "data": rule }])).await;
    assert_eq!((&ready["state"], &ready["counts"]["failed"]), (&json!("ready"), &json!(1)), "{ready}");
    assert!(
        items(&admin, &path).await["POST /Rules/r"]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("not about a Rule"))
    );
    // What was asked stays.
    let change = json!([{ "op": "replace", "path": "operations", "value": one }]);
    admin.patch(&path, &change).await.expect(400);
    let hr = Api::new(server, server.client(TENANT, "hr", "source"));
    hr.post("/Simulations", &asked(&one)).await.expect(403);
}

async fn a_client_is_simulated_within_its_own_view(server: &Server) {
    let (admin, [maj, bo, _]) = peopled(server).await;
    let view = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": "clerks",
        "types": [{ "type": "User", "filter": "title pr" }, { "type": "Group" }, { "type": "Simulation" }],
    });
    let view = admin.post("/Views", &view).await.expect(201).body["id"].clone();
    let deputy = Api::new(server, server.client(TENANT, "deputy", "administrator"));
    let found = admin.get("/Clients?filter=name%20eq%20%22deputy%22").await.expect(200).body;
    let client = found["Resources"][0]["id"].as_str().expect("an id");
    admin
        .patch(&format!("/Clients/{client}"), &json!([{ "op": "replace", "path": "view", "value": view }]))
        .await
        .expect(200);
    let operations = json!([
        { "method": "DELETE", "path": format!("/Users/{maj}") },
        { "method": "DELETE", "path": format!("/Users/{bo}") },
    ]);
    let (path, ready) = simulated(&deputy, &operations).await;
    assert_eq!((&ready["counts"]["purged"], &ready["counts"]["failed"]), (&json!(1), &json!(1)), "{ready}");
    assert_eq!(decide(&deputy, &path).await["state"], "applied");
    admin.get(&format!("/Users/{maj}")).await.expect(404);
    admin.get(&format!("/Users/{bo}")).await.expect(200);
}

async fn a_command_reads_a_bulk_request(server: &Server) {
    let (admin, [maj, ..]) = peopled(server).await;
    let url = server.database_url();
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("leavers.json");
    let page = folder.path().join("leavers.html");
    let (file, page) = (file.to_str().expect("a path"), page.to_str().expect("a path"));
    let message = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "DELETE", "path": format!("/Users/{maj}") }],
    });
    std::fs::write(file, message.to_string()).expect("written");
    let said = command(url, &["simulate", "--tenant", TENANT, "--bulk", file, "--html", page]);
    assert!(said.contains("purged      1") && said.contains("maj: purged"), "{said}");
    assert!(std::fs::read_to_string(page).expect("a page").contains("all that 1 writes touch"));
    let id = said.lines().find_map(|line| line.strip_prefix("simulation")).expect("an id").trim();
    admin.get(&format!("/Users/{maj}")).await.expect(200);
    let said = command(url, &["simulate", "apply", "--tenant", TENANT, id]);
    assert!(said.contains("All of it is done"), "{said}");
    admin.get(&format!("/Users/{maj}")).await.expect(404);
    attempt(url, &["simulate", "--tenant", TENANT, "--bulk", page]).expect_err("no JSON");
    attempt(url, &["simulate", "--tenant", TENANT, "--bulk", file, "--filter", "userName pr"]).expect_err("not both");
    std::fs::write(file, "{}").expect("written");
    let said = attempt(url, &["simulate", "--tenant", TENANT, "--bulk", file]).expect_err("no bulk request");
    assert!(said.contains("no bulk request"), "{said}");
}

/// A simulation that the operator asks for, who decides on it too.
async fn by_the_operator(town: &Town, operations: &Value) -> (String, Value) {
    let made =
        town.create(&operator(town), SIMULATION, asked(operations)).await.unwrap_or_else(|error| panic!("{error}"));
    super::attend(town).await;
    (id(&made), super::document(town, &id(&made)).await)
}

fn operator(town: &Town) -> Ctx {
    Ctx::system(town.register.tenant, town.now(), Random::os())
}

async fn what_follows_from_a_fact_is_told_with_it(town: &Town) {
    with_groups(town, &["nurses"]).await;
    let rule = json!({
        "name": "nurses", "filter": r#"employments[taskCode eq "nurse" and current eq true]"#, "lifecycle": "active",
        "grants": [{ "type": "group", "value": "nurses" }],
    });
    town.create(&town.admin(), "Rule", rule).await.expect("a rule");
    let maj = town.enter(&town.hr(), works("maj", &[("1", "nurse", "2026-01-01", "")])).await;
    wake(town).await;
    let maj = maj["id"].as_str().expect("an id").to_owned();
    let over = replace(&format!("{PERSON}:employments[employmentId eq \"1\"].end"), &json!("2026-01-02"));
    let operations = json!([{ "method": "PATCH", "path": format!("/Users/{maj}"), "data": over }]);
    let (simulation, told) = by_the_operator(town, &operations).await;
    assert_eq!((&told["state"], &told["counts"]["ends"]), (&json!("ready"), &json!(1)), "{told}");
    let items = super::items(town, &simulation).await;
    assert_eq!(super::names(&items[0].ends), ["nurses"]);
    assert!(items[0].changes.iter().any(|change| change["path"] == format!("{PERSON}:lifecycle")), "{items:?}");
    super::decide(town, &operator(town), &simulation).await.expect("decided");
    super::attend(town).await;
    let after = town.seen(&town.admin(), &maj).await.expect("it is there");
    for change in items[0].changes.iter().filter(|change| change["path"] == "active") {
        assert_eq!(change["after"], after["active"], "{items:?}");
    }
    assert_eq!(after["groups"].as_array().map(Vec::len).unwrap_or_default(), 0, "{after}");
}

async fn what_is_too_much_is_told_and_decided_on_by_who_says_so(town: &Town) {
    let limits = json!([{ "sort": "deletes", "percent": 0, "floor": 1 }]);
    town.with_policy(json!({ "guarded": true, "guardLimits": limits })).await;
    let mut operations = Vec::new();
    for name in ["maj", "bo", "eva"] {
        let made = town.enter(&town.hr(), works(name, &[("1", "nurse", "2026-01-01", "")])).await;
        operations
            .push(json!({ "method": "DELETE", "path": format!("/Users/{}", made["id"].as_str().expect("an id")) }));
    }
    wake(town).await;
    let (simulation, told) = by_the_operator(town, &operations.into()).await;
    assert_eq!(told["state"], "ready", "{told}");
    assert!(told["tripped"].as_array().is_some_and(|limits| !limits.is_empty()), "{told}");
    let refused = super::decide(town, &operator(town), &simulation).await.expect_err("too much");
    assert!(refused.to_string().contains("beyondLimits"), "{refused}");
    let decision = json!([{ "op": "replace", "value": { "decision": "apply", "beyondLimits": true } }]);
    town.patch(&operator(town), SIMULATION, &simulation, decision).await.expect("decided");
    super::attend(town).await;
    assert_eq!(super::document(town, &simulation).await["state"], "applied");
}
