//! Secrets at rest: a value that a schema calls secret is nowhere to be found but in the answer to who asks for it by name.
//! Not in the database's files, not in its log, not in exports, logs, metrics, errors or change rows; found by its whole
//! value alone; sealed anew while servers serve.

use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::api::{Api, verify, wait_for_indexes};
use crate::support::messages::{user_with, with};
use crate::support::postgres::ask;
use crate::support::server::{Server, attempt, command};

const PERSON: &str = "urn:example:scim:schemas:1.0:Person";
const CARD: &str = "urn:example:scim:schemas:1.0:Card";
/// Texts that stand nowhere by chance.
const NUMBER: &str = "19121212-zq7w-1212";
const OTHER: &str = "20010203-zq7w-2399";
const PIN: &str = "zq7w-pin-0451";

pub(crate) struct Register {
    server: Server,
    hr: Api,
    admin: Api,
    folder: TempDir,
}

impl Register {
    fn sqlite() -> Self {
        Register::of(Server::sqlite_with)
    }

    fn postgres() -> Self {
        Register::of(Server::postgres_with)
    }

    pub(crate) fn of(start: impl FnOnce(&[(&str, &str)]) -> Server) -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("keys");
        std::fs::write(&file, new_key("first")).expect("the key file");
        let file = file.to_str().expect("a path");
        std::fs::write(folder.path().join("config.toml"), format!("secrets.key_file = {file:?}\n")).expect("a file");
        let server = start(&[
            ("MATRIKEL_SECRETS_KEY_FILE", file),
            ("MATRIKEL_METRICS_LISTEN", "127.0.0.1:0"),
            ("MATRIKEL_LOG_LEVEL", "debug"),
        ]);
        let admin = Api::new(&server, server.tenant("storstad"));
        let hr = Api::new(&server, server.client("storstad", "hr", "source"));
        Register { server, hr, admin, folder }
    }

    fn key_file(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn command(&self, arguments: &[&str]) -> Result<String, String> {
        let config = self.folder.path().join("config.toml");
        let config = ["--config", config.to_str().expect("a path")];
        attempt(self.server.database_url(), &[&config, arguments].concat())
    }

    /// A type of its own with a unique number, and an extension of User.
    async fn describe(&self) {
        let secret = |name: &str, more: Value| {
            with(
                json!({ "name": name, "type": "string", "secret": true, "caseExact": true, "returned": "request" }),
                &more,
            )
        };
        let person = json!({ "id": PERSON, "name": "Person", "attributes": [
            { "name": "title", "type": "string" }, secret("number", json!({ "uniqueness": "server", "required": true })),
        ]});
        let card = json!({ "id": CARD, "name": "Card", "attributes": [
            secret("pin", json!({ "caseExact": false })), { "name": "issuer", "type": "string" },
        ]});
        self.admin.post("/Schemas", &person).await.expect(201);
        self.admin.post("/Schemas", &card).await.expect(201);
        let kind = json!({ "name": "Person", "endpoint": "/Persons", "schema": PERSON });
        self.admin.post("/ResourceTypes", &kind).await.expect(201);
        let value =
            json!([{ "op": "add", "path": "schemaExtensions", "value": [{ "schema": CARD, "required": false }] }]);
        self.admin.patch("/ResourceTypes/User", &value).await.expect(200);
        wait_for_indexes(&self.server).await;
    }

    async fn search(&self, endpoint: &str, filter: &str) -> Vec<Value> {
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": filter });
        let found = self.hr.post(&format!("{endpoint}/.search"), &body).await.expect(200).body;
        found["Resources"].as_array().cloned().unwrap_or_default()
    }
}

fn new_key(name: &str) -> String {
    command("sqlite:unused", &["key", "new", name])
}

fn person(number: &str) -> Value {
    json!({ "schemas": [PERSON], "number": number, "title": "Rektor" })
}

/// Files below a folder in which a text stands.
fn files_with(folder: &Path, text: &str) -> String {
    let found = Command::new("grep").args(["-r", "-l", "-a", "-F", text]).arg(folder).output().expect("grep");
    assert!(found.status.code() != Some(2) || !found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stderr));
    String::from_utf8_lossy(&found.stdout).into_owned()
}

async fn a_secret_is_nowhere_but_in_the_answer_to_who_asks(register: &Register) {
    register.describe().await;
    let Register { hr, admin, server, .. } = register;
    let made = hr.post("/Persons", &person(NUMBER)).await.expect(201);
    assert!(!made.body.to_string().contains("zq7w"), "not by itself: {}", made.body);
    let path = format!("/Persons/{}", made.body["id"].as_str().expect("an id"));
    assert_eq!(hr.get(&path).await.expect(200).body.get("number"), None);
    assert_eq!(hr.get(&format!("{path}?attributes=number")).await.expect(200).body["number"], NUMBER);
    let holder = user_with(
        "bo",
        &json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", CARD],
        CARD: { "pin": PIN, "issuer": "Storstad" }, "password": "correct horse battery" }),
    );
    let user = hr.post("/Users?attributes=userName", &holder).await.expect(201).body["id"].clone();
    let user = format!("/Users/{}", user.as_str().expect("an id"));
    let shown = hr.get(&format!("{user}?attributes={CARD}:pin")).await.expect(200).body;
    assert_eq!(shown[CARD]["pin"], PIN);
    assert_eq!(hr.get(&user).await.expect(200).body[CARD], json!({ "issuer": "Storstad" }));

    // It is kept by a PUT that does not name it, changed and taken away; and every change shows.
    let version = hr.get(&path).await.expect(200).etag;
    hr.put(&path, &json!({ "schemas": [PERSON], "title": "Rektor" })).await.expect(200);
    hr.put(&path, &person(NUMBER)).await.expect(200);
    hr.patch(&path, &json!([{ "op": "replace", "path": "number", "value": NUMBER }])).await.expect(200);
    assert_eq!(hr.get(&path).await.expect(200).etag, version, "nothing has changed");
    hr.patch(&path, &json!([{ "op": "replace", "path": "number", "value": OTHER }])).await.expect(200);
    assert_ne!(hr.get(&path).await.expect(200).etag, version);
    let named = hr.get(&format!("{path}?attributes=number")).await.expect(200).body;
    assert_eq!(named["number"], OTHER);
    hr.patch(&path, &json!([{ "op": "remove", "path": "number" }])).await.expect(400);
    hr.patch(&user, &json!([{ "op": "remove", "path": format!("{CARD}:pin") }])).await.expect(200);
    assert!(register.search("/Users", &format!("{CARD}:pin pr")).await.is_empty());
    hr.patch(&user, &json!([{ "op": "add", "path": format!("{CARD}:pin"), "value": PIN }])).await.expect(200);
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "POST", "path": "/Persons", "bulkId": "a", "data": person(NUMBER) }],
    });
    let later = [("prefer", "respond-async, wait=20")];
    let done = hr.ask(Method::POST, "/Bulk", Some(&bulk), &later).await.expect(200).body;
    assert_eq!(done["Operations"][0]["status"], "201", "{done}");
    hr.post("/Persons", &person(NUMBER)).await.expect(409);

    // Now look for it everywhere.
    let address = server.metrics_address();
    let metrics = admin.client.get(format!("http://{address}/metrics")).send().await.expect("metrics").text().await;
    let export = register.command(&["export", "--tenant", "storstad", "--history"]).expect("an export");
    let events = admin.get("/AuditEvents?count=1000").await.expect(200).body.to_string();
    for (what, text) in
        [("log", server.said()), ("metrics", metrics.expect("text")), ("export", export), ("audit", events)]
    {
        assert!(text.len() > 100 && !text.contains("zq7w"), "{what}: {text}");
    }
    verify(server).await;
    // The whole of PostgreSQL's folder has the files of other tests, too: what is secret in those is nowhere either.
    let folder = match server.database_url().strip_prefix("sqlite:") {
        Some(file) => Path::new(file).parent().expect("a folder").to_owned(),
        None => {
            server.execute("CHECKPOINT");
            PathBuf::from(ask("SHOW data_directory"))
        }
    };
    assert_ne!(files_with(&folder, "Storstad"), "", "what is not secret is found there");
    assert_eq!(files_with(&folder, "zq7w"), "", "the database, its log, or the server's");
}

async fn a_secret_is_found_by_its_whole_value_and_by_nothing_less(register: &Register) {
    register.describe().await;
    let Register { hr, .. } = register;
    let id = hr.post("/Persons", &person(NUMBER)).await.expect(201).body["id"].clone();
    hr.post("/Persons", &person(OTHER)).await.expect(201);
    let holder = user_with(
        "bo",
        &json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", CARD], CARD: { "pin": PIN } }),
    );
    hr.post("/Users", &holder).await.expect(201);
    for (endpoint, filter, count) in [
        ("/Persons", format!("number eq \"{NUMBER}\""), 1),
        ("/Persons", format!("number eq \"{}\"", NUMBER.to_uppercase()), 0),
        ("/Persons", format!("{PERSON}:number eq \"{OTHER}\" or number eq \"{NUMBER}\""), 2),
        ("/Persons", format!("not (number eq \"{NUMBER}\")"), 1),
        ("/Persons", format!("title co \"ekt\" and number eq \"{NUMBER}\""), 1),
        ("/Persons", "number pr".into(), 2),
        ("/Persons", "number eq \"s1.00\"".into(), 0),
        ("/Persons", "number eq null".into(), 0),
        ("/Users", format!("{CARD}:pin eq \"{}\"", PIN.to_uppercase()), 1),
        ("/Users", format!("{CARD}:pin pr"), 1),
        ("", format!("{CARD}:pin eq \"{PIN}\""), 1),
    ] {
        let found = register.search(endpoint, &filter).await;
        assert_eq!(found.len(), count, "{filter}");
        if count == 1 && filter.starts_with("number") {
            assert_eq!(found[0]["id"], id);
        }
    }
    let refused =
        |filter: &str| json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": filter });
    for operator in ["ne", "co", "sw", "ew", "gt", "ge", "lt", "le"] {
        let said = hr.post("/Persons/.search", &refused(&format!("number {operator} \"{NUMBER}\""))).await.expect(403);
        assert_eq!(said.body["scimType"], "sensitive");
        assert!(!said.body.to_string().contains("zq7w"), "{}", said.body);
    }
    for path in ["number", "NUMBER", &format!("{PERSON}:number")] {
        for filter in
            [format!("{path} eq \"{NUMBER}\""), format!("{path} pr"), format!("title eq \"x\" and not ({path} pr)")]
        {
            let url = reqwest::Url::parse_with_params("http://x/", [("filter", &filter)]).expect("a URL");
            let said = hr.get(&format!("/Persons?{}", url.query().expect("a query"))).await.expect(403);
            assert_eq!(said.body["scimType"], "sensitive", "{filter}");
        }
    }
    hr.get("/Persons?sortBy=number").await.expect(403);
    let all = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "attributes": ["number"], "cursor": "", "count": 1 });
    let page = hr.post("/Persons/.search", &all).await.expect(200).body;
    assert!([NUMBER, OTHER].contains(&page["Resources"][0]["number"].as_str().expect("a number")), "{page}");
    let wrong = hr.post("/Persons", &json!({ "schemas": [PERSON], "number": [NUMBER] })).await.expect(400);
    assert!(!wrong.body.to_string().contains("zq7w"), "{}", wrong.body);
}

async fn a_secret_stays_where_others_are_changed(register: &Register) {
    register.describe().await;
    let Register { hr, admin, .. } = register;
    let value = json!([{ "op": "add", "path": "schemaExtensions", "value": [{ "schema": CARD, "required": false }] }]);
    admin.patch("/ResourceTypes/Group", &value).await.expect(200);
    let bo = hr.post("/Users", &user_with("bo", &json!({}))).await.expect(201).body["id"].clone();
    let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group", CARD], "displayName": "Crew",
        CARD: { "pin": PIN, "issuer": "Storstad" } });
    let group = hr.post("/Groups", &body).await.expect(201).body["id"].clone();
    let path = format!("/Groups/{}", group.as_str().expect("an id"));
    let urn = "urn:ietf:params:scim:schemas:core:2.0:GroupMembership";
    let joined = json!({ "schemas": [urn], "group": { "value": group }, "member": { "value": bo } });
    let joined = hr.post("/GroupMemberships", &joined).await.expect(201).body["id"].clone();
    hr.delete(&format!("/GroupMemberships/{}", joined.as_str().expect("an id"))).await.expect(204);
    hr.patch(&path, &json!([{ "op": "add", "path": "members", "value": [{ "value": bo }] }])).await.expect(204);
    hr.patch(&path, &json!([{ "op": "replace", "path": "displayName", "value": "Team" }])).await.expect(204);
    hr.delete(&format!("/Users/{}", bo.as_str().expect("an id"))).await.expect(204);
    let shown = hr.get(&format!("{path}?attributes=displayName,{CARD}:pin")).await.expect(200).body;
    assert_eq!((shown["displayName"].as_str(), shown[CARD]["pin"].as_str()), (Some("Team"), Some(PIN)));
    assert_eq!(register.search("/Groups", &format!("{CARD}:pin eq \"{PIN}\"")).await.len(), 1);
    verify(&register.server).await;
}

async fn what_could_not_be_kept_secret_is_no_schema(register: &Register) {
    let attribute =
        |more: Value| with(json!({ "name": "number", "type": "string", "secret": true, "returned": "request" }), &more);
    let schema = |attribute: Value| json!({ "id": PERSON, "name": "Person", "attributes": [attribute] });
    for more in [
        json!({ "returned": "default" }),
        json!({ "returned": "always" }),
        json!({ "type": "integer" }),
        json!({ "type": "complex", "subAttributes": [{ "name": "a" }] }),
        json!({ "multiValued": true }),
        json!({ "mutability": "immutable" }),
        json!({ "canonicalValues": ["1"] }),
        json!({ "name": "displayName" }),
        json!({ "secret": "yes" }),
    ] {
        let said = register.admin.post("/Schemas", &schema(attribute(more.clone()))).await.expect(400);
        assert!(said.detail().contains("attributes[0]"), "{more}: {}", said.body);
    }
    let nested = json!({ "name": "a", "type": "complex", "subAttributes": [attribute(json!({}))] });
    register.admin.post("/Schemas", &schema(nested)).await.expect(400);
    let kept = register.admin.post("/Schemas", &schema(attribute(json!({})))).await.expect(201).body;
    assert_eq!(kept["attributes"][0]["secret"], true, "and says so");
    let plain = Server::sqlite();
    let admin = Api::new(&plain, plain.tenant("storstad"));
    let said = admin.post("/Schemas", &schema(attribute(json!({})))).await.expect(400);
    assert!(said.detail().contains("master key"), "{}", said.body);
}

pub(crate) async fn keys_are_rotated_while_the_server_serves(register: &Register) {
    register.describe().await;
    let Register { hr, server, .. } = register;
    let mut numbers = Vec::new();
    for n in 0..30 {
        let number = format!("{n:04}-zq7w");
        hr.post("/Persons", &person(&number)).await.expect(201);
        numbers.push(number);
    }
    let version = register.search("/Persons", "number eq \"0003-zq7w\"").await[0]["meta"]["version"].clone();
    let second = new_key("second");
    let file = register.key_file();
    let first = std::fs::read_to_string(&file).expect("the key file");
    std::fs::write(&file, format!("{second}{first}")).expect("both keys");

    let writer = {
        let hr = hr.clone();
        tokio::spawn(async move {
            let mut written = Vec::new();
            for n in 0..60 {
                let number = format!("new-{n:04}-zq7w");
                hr.post("/Persons", &person(&number)).await.expect(201);
                // Whatever key it is sealed under by now, it is unique and found.
                hr.post("/Persons", &person("0007-zq7w")).await.expect(409);
                written.push(number);
            }
            written
        })
    };
    for _ in 0..3 {
        let (folder, url) = (register.folder.path().to_owned(), server.database_url().to_owned());
        let rotate = move || {
            let config = folder.join("config.toml");
            attempt(&url, &["--config", config.to_str().expect("a path"), "key", "rotate", "--json"])
        };
        let said = tokio::task::spawn_blocking(rotate).await.expect("joined").expect("rotates");
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert!(said[0]["resources"].as_u64().is_some_and(|resealed| resealed >= 30), "{said}");
        for number in &numbers {
            assert_eq!(register.search("/Persons", &format!("number eq \"{number}\"")).await.len(), 1, "{number}");
        }
    }
    numbers.extend(writer.await.expect("joined"));
    let said = register.command(&["key", "list", "--json"]).expect("a list");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["masters"], json!(["second", "first"]));
    let keys = said["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 2, "the old ones are forgotten: {said}");
    assert!(keys.iter().all(|key| key["master"] == "second" && key["id"] == 4), "{said}");
    // The old master key is needed no more.
    std::fs::write(&file, second).expect("the new key alone");
    register.command(&["key", "rotate", "--only-master"]).expect("nothing is missing");
    for number in &numbers {
        assert_eq!(register.search("/Persons", &format!("number eq \"{number}\"")).await.len(), 1, "{number}");
        hr.post("/Persons", &person(number)).await.expect(409);
    }
    let same = register.search("/Persons", "number eq \"0003-zq7w\"").await[0]["meta"]["version"].clone();
    assert_eq!(same, version, "what says the same has no other version");
    assert_eq!(server.number("SELECT COUNT(*) FROM unique_key WHERE namespace LIKE '%number%'"), numbers.len() as i64);
    verify(server).await;
    let said = register.command(&["audit", "list", "--tenant", "storstad", "--filter", "operation eq \"keyRotate\""]);
    assert_eq!(said.expect("events").lines().count(), 4);
}

async fn a_rotation_that_broke_off_is_gone_on_with(register: &Register) {
    register.describe().await;
    for n in 0..5 {
        register.hr.post("/Persons", &person(&format!("{n:04}-zq7w"))).await.expect(201);
    }
    register.command(&["key", "rotate"]).expect("rotates");
    // As if it had been broken off once more before the last step: two keys are there, and each resource is under one of them.
    let other =
        "INSERT INTO sealing_key SELECT tenant_id, purpose, key_id + 1, master, sealed, created_at FROM sealing_key";
    register.server.execute(other);
    let said =
        register.command(&["key", "rotate"]).expect_err("a key that was put there by somebody else opens nothing");
    assert!(said.contains("master key"), "{said}");
    register.server.execute("DELETE FROM sealing_key WHERE key_id = 3");
    register.command(&["key", "rotate"]).expect("goes on");
    assert_eq!(register.search("/Persons", "number eq \"0003-zq7w\"").await.len(), 1);
    verify(&register.server).await;
}

async fn without_its_key_a_secret_is_refused_and_all_else_served(register: &Register) {
    register.describe().await;
    let id = register.hr.post("/Persons", &person(NUMBER)).await.expect(201).body["id"].clone();
    let path = format!("/Persons/{}", id.as_str().expect("an id"));
    std::fs::write(register.key_file(), new_key("third")).expect("another key");
    let beside = register.server.beside();
    let blind = Api { base: beside.base_url.clone(), ..register.hr.clone() };
    blind.get("/Users").await.expect(200);
    let said = blind.get(&format!("{path}?attributes=number")).await.expect(503);
    assert!(!said.body.to_string().contains("zq7w"), "{}", said.body);
    blind.post("/Persons", &person(OTHER)).await.expect(503);
    assert!(register.command(&["key", "rotate"]).is_err(), "nothing is thrown away");
    assert_eq!(register.hr.get(&format!("{path}?attributes=number")).await.expect(200).body["number"], NUMBER);
}

async fn an_export_holds_no_secret_and_is_read_with_its_key(register: &Register) {
    register.describe().await;
    register.hr.post("/Persons", &person(NUMBER)).await.expect(201);
    let export = register.command(&["export", "--tenant", "storstad", "--history"]).expect("an export");
    assert!(!export.contains("zq7w"));
    let file = register.folder.path().join("storstad.jsonl");
    std::fs::write(&file, export).expect("a file");
    let copy = TempDir::new().expect("a folder");
    let url = format!("sqlite:{}", copy.path().join("copy.db").display());
    let file = file.to_str().expect("a path");
    command(&url, &["import", "--tenant", "storstad", file]);
    let checked = command(&url, &["check"]);
    assert!(checked.contains("all is well"), "{checked}");
    command(&url, &["audit", "verify"]);
}

/// A secret among other conditions is tested on documents; whom that counted is counted again when a secret changes.
async fn a_secret_is_tested_and_counted_as_it_is_now(register: &Register) {
    register.describe().await;
    let hr = &register.hr;
    let mut people = Vec::new();
    for n in 0..3 {
        let card = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", CARD],
            "title": "Rektor", CARD: { "pin": PIN, "issuer": "Storstad" },
        });
        let made = hr.post("/Users", &user_with(&format!("u{n}"), &card)).await.expect(201).body;
        people.push(format!("/Users/{}", made["id"].as_str().expect("an id")));
    }
    let filters = [
        format!("{CARD}:pin eq \"{PIN}\" and title eq \"Rektor\""),
        format!("not ({CARD}:pin pr) or {CARD}:pin eq \"{PIN}\""),
        format!("title eq \"Rektor\" and {CARD}:pin pr"),
    ];
    let counts = async || {
        let mut counts = Vec::new();
        for filter in &filters {
            // Asked twice: the second time what was counted is known.
            let first = register.search("/Users", filter).await.len();
            assert_eq!(register.search("/Users", filter).await.len(), first, "{filter}");
            counts.push(first);
        }
        counts
    };
    assert_eq!(counts().await, [3, 3, 3]);
    let pin = format!("{CARD}:pin");
    hr.patch(&people[0], &json!([{ "op": "replace", "path": pin, "value": OTHER }])).await.expect(200);
    assert_eq!(counts().await, [2, 2, 3]);
    hr.patch(&people[1], &json!([{ "op": "remove", "path": pin }])).await.expect(200);
    assert_eq!(counts().await, [1, 2, 2]);
    hr.patch(&people[0], &json!([{ "op": "replace", "path": pin, "value": PIN }])).await.expect(200);
    hr.patch(&people[1], &json!([{ "op": "replace", "path": "title", "value": "Adjunkt" }])).await.expect(200);
    assert_eq!(counts().await, [2, 3, 2]);
}

crate::support::both::on_both_databases! {
    Register:
    a_secret_is_nowhere_but_in_the_answer_to_who_asks,
    a_secret_is_found_by_its_whole_value_and_by_nothing_less,
    a_secret_is_tested_and_counted_as_it_is_now,
    a_secret_stays_where_others_are_changed,
    what_could_not_be_kept_secret_is_no_schema,
    keys_are_rotated_while_the_server_serves,
    a_rotation_that_broke_off_is_gone_on_with,
    without_its_key_a_secret_is_refused_and_all_else_served,
    an_export_holds_no_secret_and_is_read_with_its_key,
}
