//! What an auditor can read: every write, act of administration and denied request, who it was, by which credential and
//! from where; in order, chained, and with nothing in it that is nobody's business.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::{Api, verify};
use crate::support::messages::user;
use crate::support::server::{MASTER_KEY, Server, attempt, command};

const ADDRESS: &str = "127.0.0.1";

pub(crate) struct Register {
    server: Server,
    hr: Api,
    cloud: Api,
    admin: Api,
}

impl Register {
    pub(crate) fn new(server: Server) -> Self {
        let admin = Api::new(&server, server.tenant("storstad"));
        let api = |name: &str, role: &str| Api::new(&server, server.client("storstad", name, role));
        let (hr, cloud) = (api("hr", "source"), api("cloud", "consumer"));
        Register { server, hr, cloud, admin }
    }

    async fn events(&self, filter: &str) -> Vec<Value> {
        self.admin.find("/AuditEvents", filter, "").await
    }

    /// Events that are written a moment after their answer.
    async fn denied(&self, filter: &str, count: usize) -> Vec<Value> {
        for _ in 0..400 {
            let found = self.events(filter).await;
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("fewer than {count} events: {filter}");
    }
}

fn pick<'v>(event: &'v Value, pointer: &str) -> &'v str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

async fn a_write_says_who_by_what_and_from_where(register: Register) {
    let Register { hr, admin, .. } = &register;
    let made = hr.ask(Method::POST, "/Users", Some(&user("bo")), &[("x-request-id", "morning-1")]).await.expect(201);
    let id = made.body["id"].as_str().expect("an id");
    hr.patch(&format!("/Users/{id}"), &json!([{ "op": "add", "path": "title", "value": "Rektor" }])).await.expect(200);
    let events = register.events(&format!("resource.value eq \"{id}\"")).await;
    let operations: Vec<&str> = events.iter().map(|event| pick(event, "/operation")).collect();
    assert_eq!(operations, ["update", "create"], "the newest first");
    let event = &events[1];
    for (pointer, expected) in [
        ("/kind", "write"),
        ("/requestId", "morning-1"),
        ("/address", ADDRESS),
        ("/actor/display", "hr"),
        ("/resource/type", "User"),
        ("/outcome/result", "done"),
    ] {
        assert_eq!(pick(event, pointer), expected, "{pointer} of {event}");
    }
    let client = admin.find("/Clients", "name eq \"hr\"", "").await.remove(0);
    assert_eq!(event["actor"]["value"], client["id"]);
    assert_eq!(event["credential"], client["credentials"][0]["value"]);
    assert!(!event.to_string().contains("bo@"), "no data of the person: {event}");

    let one = admin.get(&format!("/AuditEvents/{}", pick(event, "/id"))).await.expect(200);
    assert_eq!(one.body, *event, "the same by its id");
    let same = [("if-none-match", one.etag.as_deref().expect("an etag"))];
    let path = format!("/AuditEvents/{}", pick(event, "/id"));
    assert_eq!(admin.ask(Method::GET, &path, None, &same).await.status, 304);
    let part = admin.get(&format!("{path}?attributes=kind,actor.display")).await.expect(200).body;
    assert_eq!((part["actor"]["display"].as_str(), part.get("address")), (Some("hr"), None));
    for id in ["change-0", "change-999999", "audit-999999", "change-01", "x", "0197a5c0-0000-7000-8000-000000000001"] {
        admin.get(&format!("/AuditEvents/{id}")).await.expect(404);
    }
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "POST", "path": "/Users", "bulkId": "a", "data": user("eva") }],
    });
    hr.ask(Method::POST, "/Bulk", Some(&bulk), &[("x-request-id", "night"), ("prefer", "respond-async, wait=20")])
        .await;
    let events = register.denied("requestId eq \"night\" and operation eq \"create\"", 1).await;
    assert_eq!((pick(&events[0], "/address"), pick(&events[0], "/actor/display")), (ADDRESS, "hr"), "later, too");
    verify(&register.server).await;
}

async fn denied_requests_are_remembered_with_their_reason(register: Register) {
    let Register { hr, cloud, admin, server } = &register;
    let id = hr.post("/Users", &user("bo")).await.expect(201).body["id"].as_str().expect("an id").to_owned();
    let headers = [("x-request-id", "evening-1")];
    let path = format!("/Users/{id}?attributes=userName&filter=secret-of-the-url");
    cloud.ask(Method::DELETE, &path, None, &headers).await.expect(403);
    let events = register.denied("kind eq \"denied\" and requestId eq \"evening-1\"", 1).await;
    let event = &events[0];
    for (pointer, expected) in [
        ("/actor/display", "cloud"),
        ("/address", ADDRESS),
        ("/method", "DELETE"),
        ("/path", &format!("/scim/v2/Users/{id}")),
        ("/resource/type", "User"),
        ("/resource/value", &id),
        ("/outcome/result", "denied"),
    ] {
        assert_eq!(pick(event, pointer), expected, "{pointer} of {event}");
    }
    assert_eq!(event["outcome"]["status"], 403);
    assert!(pick(event, "/outcome/reason").contains("scope User:write"), "{event}");
    assert!(!event.to_string().contains("secret-of-the-url"), "no query: {event}");

    // A revoked token still says which tenant and credential it was.
    command(server.database_url(), &["client", "rotate", "--tenant", "storstad", "cloud"]);
    let old = cloud
        .token
        .split('_')
        .nth(2)
        .and_then(|id| uuid::Uuid::parse_str(id).ok())
        .expect("a token names its credential");
    for _ in 0..400 {
        // It is remembered for some seconds.
        if cloud.get("/Users").await.status == 401 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let filter = format!("kind eq \"denied\" and credential eq \"{old}\" and outcome.status eq 401");
    let event = &register.denied(&filter, 1).await[0];
    assert_eq!((event.get("actor"), pick(event, "/address")), (None, ADDRESS), "nobody is believed: {event}");

    // A person's name in a path is a name that the server did not give.
    hr.get("/Clients/bo.berg@example.se").await.expect(403);
    let events = register.denied("outcome.status eq 403 and path co \"Clients\"", 1).await;
    assert_eq!(pick(&events[0], "/path"), "/scim/v2/Clients/{id}");
    admin.get("/Users/0197a5c0-0000-7000-8000-000000000001").await.expect(404);
    assert!(register.events("outcome.status eq 404").await.is_empty(), "what is not there was not denied");
    let said = command(server.database_url(), &["audit", "verify", "--tenant", "storstad"]);
    assert!(said.contains("hold."), "{said}");
    verify(server).await;
}

async fn a_flood_of_denied_requests_leaves_a_few_lines(mut register: Register) {
    for _ in 0..150 {
        register.cloud.delete("/Users/0197a5c0-0000-7000-8000-000000000001").await.expect(403);
    }
    register.server.terminate();
    let text = command(
        register.server.database_url(),
        &["audit", "list", "--tenant", "storstad", "--filter", "kind eq \"denied\"", "--json", "--count", "1000"],
    );
    let events: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let counts: Vec<u64> = events.iter().filter_map(|event| event["count"].as_u64()).collect();
    assert_eq!(counts.iter().sum::<u64>(), 150, "none is lost: {counts:?}");
    // A test that is slow may reach into another minute.
    assert!(counts.len() <= 62, "and few are written: {counts:?}");
    assert!(counts.iter().any(|count| *count > 1), "one says how many more: {counts:?}");
}

async fn acts_of_administration_are_told_from_wherever_they_come(register: Register) {
    let (url, admin) = (register.server.database_url(), &register.admin);
    command(url, &["tenant", "set", "storstad", "--unique-group-names", "on"]);
    command(url, &["tenant", "suspend", "storstad"]);
    command(url, &["tenant", "resume", "storstad"]);
    command(url, &["index", "add", "--tenant", "storstad", "User", "title"]);
    command(url, &["client", "rotate", "--tenant", "storstad", "hr"]);
    register.server.run(&["signing-key", "rotate"]);
    let schema = json!({
        "id": "urn:example:scim:schemas:1.0:Badge", "name": "Badge",
        "attributes": [{ "name": "number", "type": "string" }],
    });
    for _ in 0..400 {
        // A suspension is remembered for some seconds.
        if admin.post("/Schemas", &schema).await.status == 201 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let rule = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Rule"], "name": "all", "filter": "userName pr",
        "grants": [{ "type": "group", "value": "everybody" }],
    });
    admin.post("/Rules", &rule).await.expect(201);
    let events = register.events("kind eq \"administration\"").await;
    let told = |operation: &str, actor: &str, kind: &str| {
        events.iter().any(|event| {
            (pick(event, "/operation"), pick(event, "/actor/display"), pick(event, "/resource/type"))
                == (operation, actor, kind)
        })
    };
    for (operation, actor, kind) in [
        ("tenantCreate", "operator", "Tenant"),
        ("tenantSet", "operator", "Tenant"),
        ("tenantSuspend", "operator", "Tenant"),
        ("tenantResume", "operator", "Tenant"),
        ("indexAdd", "operator", "User"),
        ("signingKeyRotate", "operator", "SigningKey"),
        ("create", "operator", "Client"),
        ("update", "operator", "Client"),
        ("create", "admin", "Schema"),
        ("create", "admin", "Rule"),
    ] {
        assert!(told(operation, actor, kind), "{operation} {actor} {kind} in {events:#?}");
    }
}

async fn only_administrators_read_events_and_nobody_writes_them(register: Register) {
    let Register { hr, cloud, admin, .. } = &register;
    for api in [hr, cloud] {
        api.get("/AuditEvents").await.expect(403);
        api.get("/AuditEvents/change-1").await.expect(403);
        let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"] });
        api.post("/AuditEvents/.search", &search).await.expect(403);
        let listed = api.get("/ResourceTypes").await.expect(200).body.to_string();
        assert!(!listed.contains("AuditEvent"), "{listed}");
    }
    for (method, path) in [
        (Method::POST, "/AuditEvents"),
        (Method::PUT, "/AuditEvents/change-1"),
        (Method::PATCH, "/AuditEvents/change-1"),
        (Method::DELETE, "/AuditEvents/change-1"),
    ] {
        admin.ask(method, path, Some(&json!({})), &[]).await.expect(405);
    }
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "DELETE", "path": "/AuditEvents/change-1" }],
    });
    let done = admin.post("/Bulk", &bulk).await.expect(200).body;
    assert_eq!(done["Operations"][0]["status"], "403", "{done}");
    let everything = admin.get("?count=1000").await.expect(200).body.to_string();
    assert!(!everything.contains("urn:matrikel:scim:schemas:1.0:AuditEvent"), "not among identities");
    let other = Register::of(&register.server, "grannby");
    let seen = other.get("/AuditEvents").await.expect(200).body.to_string();
    assert!(!seen.contains("\"hr\""), "nothing of another tenant: {seen}");
}

pub(crate) async fn events_are_filtered_and_paged(register: Register) {
    let Register { hr, cloud, admin, .. } = &register;
    for n in 0..25 {
        hr.post("/Users", &user(&format!("p{n}"))).await.expect(201);
        if n % 5 == 0 {
            cloud.post("/Users", &user("x")).await.expect(403);
        }
    }
    register.denied("kind eq \"denied\"", 5).await;
    let all = admin.get("/AuditEvents?count=1000").await.expect(200).body;
    let ids = |list: &Value| -> Vec<String> {
        let resources = list["Resources"].as_array().cloned().unwrap_or_default();
        resources.iter().map(|event| pick(event, "/id").to_owned()).collect()
    };
    let every = ids(&all);
    assert_eq!(all["totalResults"], every.len());
    let instants: Vec<&str> =
        all["Resources"].as_array().expect("a list").iter().map(|event| pick(event, "/when")).collect();
    assert!(instants.is_sorted_by(|newer, older| newer >= older), "{instants:?}");

    let mut by_index = Vec::new();
    while by_index.len() < every.len() {
        let page = admin.get(&format!("/AuditEvents?count=7&startIndex={}", by_index.len() + 1)).await.expect(200).body;
        assert_eq!(page["totalResults"], every.len());
        by_index.extend(ids(&page));
    }
    assert_eq!(by_index, every);
    let (mut by_cursor, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/AuditEvents?count=7&cursor={cursor}")).await.expect(200).body;
        by_cursor.extend(ids(&page));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(by_cursor, every);
    let middle = instants[instants.len() / 2];
    for filter in [
        format!("when gt \"{middle}\""),
        format!("when le \"{middle}\""),
        format!("when ge \"{middle}\" and kind eq \"write\""),
        "kind eq \"denied\" and actor.display eq \"cloud\"".to_owned(),
        "actor.display eq \"hr\" or outcome.status eq 403".to_owned(),
        "not (resource.type eq \"User\")".to_owned(),
        "kind eq \"protectedRead\"".to_owned(),
    ] {
        let parsed = scim::filter::Filter::parse(&filter).expect("a filter");
        let registry = scim::schema::Registry::builtin().expect("documents");
        let checked = parsed.check(registry.definition("AuditEvent").expect("a type")).expect("a filter of events");
        let resources = all["Resources"].as_array().expect("a list").iter();
        let naive = resources.filter(|event| checked.matches(event.as_object().expect("an object")));
        let naive: Vec<String> = naive.map(|event| pick(event, "/id").to_owned()).collect();
        let found: Vec<String> = admin
            .find("/AuditEvents", &filter, "&count=1000")
            .await
            .iter()
            .map(|event| pick(event, "/id").to_owned())
            .collect();
        assert_eq!(found, naive, "{filter}");
    }
    for (query, status) in [
        ("filter=nonsense", 400),
        ("filter=unknown%20eq%20%221%22", 400),
        ("sortBy=kind", 400),
        ("sortBy=when&sortOrder=descending&count=1", 200),
        ("count=7&cursor=AAAA", 400),
    ] {
        admin.get(&format!("/AuditEvents?{query}")).await.expect(status);
    }
}

async fn whoever_alters_an_event_is_found_out(mut register: Register) {
    let Register { hr, cloud, .. } = &register;
    hr.post("/Users", &user("bo")).await.expect(201);
    cloud.post("/Users", &user("eva")).await.expect(403);
    cloud.post("/Users", &user("eva")).await.expect(403);
    register.server.terminate();
    let url = register.server.database_url().to_owned();
    let verify = || attempt(&url, &["audit", "verify", "--tenant", "storstad"]);
    verify().expect("both hold");
    for (harm, mend) in [
        (
            "UPDATE audit SET content = replace(content, 'cloud', 'other') WHERE kind = 'denied'",
            "UPDATE audit SET content = replace(content, 'other', 'cloud') WHERE kind = 'denied'",
        ),
        ("UPDATE audit SET at = at - 1 WHERE n = 1", "UPDATE audit SET at = at + 1 WHERE n = 1"),
        ("UPDATE audit SET n = n + 1000 WHERE kind = 'denied'", "UPDATE audit SET n = n - 1000 WHERE n > 1000"),
        ("UPDATE audit_head SET n = n + 1", "UPDATE audit_head SET n = n - 1"),
        (
            "UPDATE change SET address = '192.0.2.1' WHERE address = '127.0.0.1'",
            "UPDATE change SET address = '127.0.0.1' WHERE address = '192.0.2.1'",
        ),
    ] {
        register.server.execute(harm);
        assert!(verify().is_err(), "{harm}");
        assert!(attempt(&url, &["check", "--tenant", "storstad"]).is_err(), "{harm}");
        register.server.execute(mend);
        verify().unwrap_or_else(|said| panic!("{mend}: {said}"));
    }
    // Content can be erased with its salt, and the chain still holds.
    register.server.execute("UPDATE audit SET content = NULL, salt = NULL WHERE kind = 'denied'");
    verify().expect("the chain holds without it");
    register.server.execute("DELETE FROM audit WHERE n = (SELECT MAX(n) FROM audit)");
    assert!(verify().is_err(), "the end is missing");
}

impl Register {
    fn of(server: &Server, slug: &str) -> Api {
        Api::new(server, server.tenant(slug))
    }
}

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use super::{Register, Server};

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_sqlite() {
                super::$name(Register::new(Server::sqlite_with(&[super::MASTER_KEY]))).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_postgres() {
                super::$name(Register::new(Server::postgres_with(&[super::MASTER_KEY]))).await;
            }
        })+
    };
}

on_both! {
    a_write_says_who_by_what_and_from_where,
    denied_requests_are_remembered_with_their_reason,
    a_flood_of_denied_requests_leaves_a_few_lines,
    acts_of_administration_are_told_from_wherever_they_come,
    only_administrators_read_events_and_nobody_writes_them,
    events_are_filtered_and_paged,
    whoever_alters_an_event_is_found_out,
}
