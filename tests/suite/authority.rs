//! What a client may do and write: scopes, attribute authority, credentials that it is given, and that it cannot shut
//! itself out.

use serde_json::{Map, Value, json};

use crate::support::both::on_both_databases;
use crate::support::client::Client;
use crate::support::messages::{client as client_body, group, patch, set, user, user_with, with};
use crate::support::server::{Server, attempt, command};

on_both_databases!(Server:
    a_client_writes_its_part_and_no_more,
    members_are_a_path_like_others,
    a_client_that_has_its_own_members_leaves_those_of_others,
    scopes_are_asked_at_every_route,
    what_a_client_is_given_is_checked_when_it_is_saved,
    credentials_are_shown_once_dated_and_revoked,
    an_administrator_cannot_shut_itself_out,
);

const CASES: &str = include_str!("../vectors/authority/users.json");

async fn a_client_writes_its_part_and_no_more(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    let token = server.client("town", "part", "source");
    let part = Client::new(&server.base_url, &token);
    let me = format!("/Clients/{}", part.get("/Me").await.expect(200).id());
    for case in serde_json::from_str::<Vec<Value>>(CASES).expect("the cases") {
        let name = case["case"].as_str().expect("a name");
        let writes = json!([{ "type": "User", "paths": case["paths"] }]);
        let outside = case["outside"].as_str().unwrap_or("refuse");
        let given = patch(&json!([
            { "op": "replace", "path": "writes", "value": writes }, { "op": "replace", "path": "outside", "value": outside }
        ]));
        admin.patch(&me, &given).await.expect(200);
        let path = format!("/Users/{}", admin.post("/Users", &user_with("u", &case["before"])).await.expect(201).id());
        let (body, changes) =
            (user_with("u", &case["put"].as_object().cloned().unwrap_or_default().into()), &case["patch"]);
        let answer = match (&case["put"], changes, &case["delete"]) {
            (Value::Object(_), ..) => part.put(&path, &body).await,
            (_, Value::Array(_), _) => part.patch(&path, &patch(changes)).await,
            _ => part.delete(&path).await,
        };
        assert_eq!(u64::from(answer.status), case["status"].as_u64().expect("a status"), "{name}: {}", answer.text);
        let says = case["says"].as_str().unwrap_or_default();
        assert!(answer.text.contains(says), "{name}: {}", answer.text);
        assert_eq!(answer.header("matrikel-ignored"), case["ignored"].as_str().unwrap_or_default(), "{name}");
        let after = admin.get(&path).await.expect(200).json();
        for (attribute, value) in case["after"].as_object().unwrap_or(&Map::new()) {
            assert_eq!(&after[attribute], value, "{name}: {attribute}");
        }
        admin.delete(&path).await.expect(204);
    }
    // POST and Bulk go the same way.
    let writes = json!([{ "type": "User", "paths": ["userName", "title"] }]);
    let given = json!([{ "op": "replace", "path": "writes", "value": writes }, { "op": "remove", "path": "outside" }]);
    admin.patch(&me, &patch(&given)).await.expect(200);
    let made = part.post("/Users", &user_with("v", &json!({ "title": "clerk", "externalId": "7" }))).await.expect(201);
    assert_eq!(made.json()["externalId"], "7", "its own name for it is each client's own");
    part.post("/Users", &user_with("w", &json!({ "nickName": "W" }))).await.expect(403);
    let operation = |data: Value| json!({ "method": "PATCH", "path": format!("/Users/{}", made.id()), "data": data });
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [operation(set("title", &json!("x"))), operation(set("nickName", &json!("x")))],
    });
    let answer = part.post("/Bulk", &bulk).await.expect(200).json();
    let statuses: Vec<&str> =
        answer["Operations"].as_array().expect("operations").iter().filter_map(|one| one["status"].as_str()).collect();
    assert_eq!(statuses, ["200", "403"]);
}

async fn members_are_a_path_like_others(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    let anna = admin.post("/Users", &user("anna")).await.expect(201).id();
    let bo = admin.post("/Users", &user("bo")).await.expect(201).id();
    let crew = format!("/Groups/{}", admin.post("/Groups", &group("crew", &[&anna])).await.expect(201).id());
    let limited = |name: &str, path: &str| {
        Client::new(&server.base_url, &server.client_with("town", name, "source", &["--write", path]))
    };
    let (namer, joiner) = (limited("namer", "Group:displayName"), limited("joiner", "Group:members"));
    let add = |id: &str| patch(&json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]));
    let members = async || admin.get(&crew).await.expect(200).json()["members"].as_array().map_or(0, Vec::len);

    namer.patch(&crew, &add(&bo)).await.expect(403);
    namer.patch(&crew, &add(&anna)).await.expect(204);
    let joining = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:GroupMember"],
        "group": { "value": crew.trim_start_matches("/Groups/") }, "member": { "value": bo } });
    let refused = namer.post("/GroupMemberships", &joining).await;
    assert!([400, 403].contains(&refused.status), "{}", refused.text);
    // Who is not named stays, for the members are not its to clear.
    namer.put(&crew, &group("renamed", &[])).await.expect(200);
    assert_eq!(members().await, 1);
    namer.put(&crew, &group("renamed", &[&anna])).await.expect(200);
    namer.put(&crew, &group("renamed", &[&anna, &bo])).await.expect(403);

    joiner.patch(&crew, &set("displayName", &json!("mine"))).await.expect(403);
    joiner.patch(&crew, &add(&bo)).await.expect(204);
    assert_eq!(members().await, 2);
    joiner.delete(&crew).await.expect(403);
}

async fn a_client_that_has_its_own_members_leaves_those_of_others(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    let of = |name: &str, further: &[&str]| {
        Client::new(&server.base_url, &server.client_with("town", name, "source", further))
    };
    let own = ["--memberships", "own"];
    let (school, health, all) = (of("school", &own), of("health", &own), of("all", &[]));
    let lenient = of("lenient", &[&own[..], &["--outside", "ignore"]].concat());
    let mut people = Vec::new();
    for name in ["anna", "bo", "cia"] {
        people.push(admin.post("/Users", &user(name)).await.expect(201).id());
    }
    let [anna, bo, cia] = [0, 1, 2].map(|n: usize| people[n].as_str());
    let names = |group: &Value| names(group, &[anna, bo, cia]);
    let id = admin.post("/Groups", &group("crew", &[anna])).await.expect(201).id();
    let crew = format!("/Groups/{id}");
    // What the answer says is how it is, and what everybody sees.
    let put = async |client: &Client, members: &[&str]| {
        let answer = client.put(&crew, &group("crew", members)).await.expect(200);
        assert_eq!(names(&answer.json()), names(&admin.get(&crew).await.expect(200).json()));
        (names(&answer.json()), answer.version())
    };
    assert_eq!(put(&school, &[bo]).await.0, ["anna", "bo"]);
    assert_eq!(put(&health, &[cia]).await.0, ["anna", "bo", "cia"]);
    let (_, version) = put(&school, &[bo]).await;
    assert_eq!(put(&health, &[cia, anna]).await.1, version, "nothing of it changes anything");
    assert_eq!(put(&school, &[]).await.0, ["anna", "cia"]);

    let value = |id: &str| json!([{ "value": id }]);
    let replace = patch(&json!([{ "op": "replace", "path": "members", "value": value(bo) }]));
    school.patch(&crew, &replace).await.expect(204);
    let clear = patch(&json!([{ "op": "remove", "path": "members" }]));
    health.patch(&crew, &clear).await.expect(204);
    assert_eq!(names(&admin.get(&crew).await.json()), ["anna", "bo"]);
    // One that it names is not its to take out, in whichever way it says so.
    let remove = |id: &str| patch(&json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]));
    let refused = health.patch(&crew, &remove(bo)).await.expect(403);
    assert!(refused.text.contains("put there by another"), "{}", refused.text);
    let link =
        admin.find("/GroupMemberships", &[("filter", &format!("member.value eq \"{bo}\""))]).await.ids().remove(0);
    health.delete(&format!("/GroupMemberships/{link}")).await.expect(403);
    let left = lenient.patch(&crew, &remove(bo)).await.expect(204);
    assert_eq!(left.header("matrikel-ignored"), "members");
    assert_eq!(names(&admin.get(&crew).await.json()), ["anna", "bo"]);
    school.patch(&crew, &remove(bo)).await.expect(204);

    // Within one batch it is the same.
    let operation = |method: &str, data: Value| json!({ "method": method, "path": crew, "data": data });
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            operation("PUT", group("crew", &[cia, bo])), operation("PUT", group("crew", &[bo])),
            operation("PATCH", remove(anna)),
        ],
    });
    let answer = school.post("/Bulk", &bulk).await.expect(200).json();
    let statuses = answer["Operations"].as_array().expect("operations").iter().map(|one| one["status"].clone());
    assert_eq!(statuses.collect::<Vec<_>>(), ["200", "200", "403"]);
    assert_eq!(names(&admin.get(&crew).await.json()), ["anna", "bo"]);

    // Whom a rule puts there by a write of the client's own is not the client's member either.
    let rule = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Rule"], "name": "crew", "filter": "userType eq \"Employee\"",
        "lifecycle": "active", "grants": [{ "type": "group", "value": "crew" }],
    });
    admin.post("/Rules", &rule).await.expect(201);
    let hired = school.post("/Users", &user_with("dan", &json!({ "userType": "Employee" }))).await.expect(201).id();
    let mut there = Vec::new();
    for _ in 0..400 {
        there = names(&admin.get(&crew).await.json());
        if there.len() == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(there, [hired.as_str(), "anna", "bo"]);
    assert_eq!(put(&school, &[]).await.0, [hired.as_str(), "anna"]);
    // As the standard has it, for who is not set so.
    assert_eq!(put(&all, &[cia]).await.0, [hired.as_str(), "cia"]);
}

/// The members of a group, by the names of those who are known; of others the id.
fn names(group: &Value, known: &[&str]) -> Vec<String> {
    const NAMES: [&str; 3] = ["anna", "bo", "cia"];
    let members = group["members"].as_array().into_iter().flatten();
    let ids = members.map(|member| member["value"].as_str().expect("an id"));
    let name = |id: &str| known.iter().position(|known| *known == id).map_or(id, |at| NAMES[at]).to_owned();
    let mut names: Vec<String> = ids.map(name).collect();
    // Ids begin with digits.
    names.sort_unstable();
    names
}

async fn scopes_are_asked_at_every_route(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    let of = |name: &str, scopes: &[&str]| {
        let mut further = Vec::new();
        scopes.iter().for_each(|scope| further.extend(["--scope", scope]));
        Client::new(&server.base_url, &server.client_with("town", name, "source", &further))
    };
    let anna = format!("/Users/{}", admin.post("/Users", &user("anna")).await.expect(201).id());
    let crew = format!("/Groups/{}", admin.post("/Groups", &group("crew", &[])).await.expect(201).id());
    let reader = of("reader", &["User:read"]);
    let writer = of("writer", &["User:write"]);
    let auditor = of("auditor", &["Client:read"]);

    reader.get(&anna).await.expect(200);
    let told = reader.get(&crew).await.expect(403);
    assert!(told.text.contains("lacks the scope Group:read"), "{}", told.text);
    reader.get("/GroupMemberships").await.expect(403);
    let told = reader.patch(&anna, &set("title", &json!("x"))).await.expect(403);
    assert!(told.text.contains("lacks the scope User:write"), "{}", told.text);
    assert_eq!(reader.get("").await.expect(200).json()["totalResults"], 1, "groups are left out");
    reader.get("/ResourceTypes").await.expect(200);
    reader.post("/Schemas", &json!({})).await.expect(403);
    reader.post("/Bulk", &json!({})).await.expect(403);

    writer.patch(&anna, &set("title", &json!("x"))).await.expect(200);
    writer.get(&anna).await.expect(403);
    writer.post("/Groups", &group("mine", &[])).await.expect(403);
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            { "method": "PATCH", "path": anna, "data": set("title", &json!("y")) }, { "method": "DELETE", "path": crew },
        ],
    });
    let answer = writer.post("/Bulk", &bulk).await.expect(200).json();
    assert_eq!(
        (answer["Operations"][0]["status"].as_str(), answer["Operations"][1]["status"].as_str()),
        (Some("200"), Some("403"))
    );

    auditor.get("/Clients").await.expect(200);
    auditor.get("/Users").await.expect(403);
    auditor.post("/Clients", &client_body("mine", "administrator")).await.expect(403);
    assert!(
        attempt(server.database_url(), &["client", "create", "--tenant", "town", "x", "--scope", "Client:write"])
            .is_err()
    );
}

async fn what_a_client_is_given_is_checked_when_it_is_saved(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    for (given, says) in [
        (json!({ "scopes": ["User"] }), "no scope"),
        (json!({ "scopes": ["Nothing:read"] }), "no type Nothing"),
        (json!({ "scopes": ["Client:write"] }), "admin"),
        (json!({ "writes": [{ "type": "Nothing", "paths": ["a"] }] }), "no type Nothing"),
        (json!({ "writes": [{ "type": "User", "paths": ["nothing"] }] }), "no attribute nothing"),
        (json!({ "writes": [{ "type": "User", "paths": ["emails[nothing eq 1]"] }] }), "writes[0].paths"),
        (json!({ "writes": [{ "type": "User", "paths": ["groups"] }] }), "server alone"),
        (json!({ "writes": [{ "type": "User", "paths": ["title"] }, { "type": "User" }] }), "twice"),
        (json!({ "outside": "sometimes" }), "refuse, ignore"),
        (json!({ "memberships": "mine" }), "own, all"),
        (json!({ "networks": ["10.0.0.0/40"] }), "no network"),
        (json!({ "rateLimit": { "requestsPerSecond": 0 } }), "rateLimit.requestsPerSecond"),
    ] {
        let answer = admin.post("/Clients", &with(client_body("x", "source"), &given)).await.expect(400);
        assert!(answer.text.contains(says), "{given}: {}", answer.text);
    }
    let whole = json!({
        "scopes": ["User:read", "User:write"], "outside": "ignore", "memberships": "own", "networks": ["192.0.2.0/24", "::1"],
        "writes": [{ "type": "User", "paths": ["name.familyName", "phoneNumbers[type eq \"mobile\"]"] }],
        "rateLimit": { "requestsPerSecond": 20, "burst": 40, "concurrent": 4 },
    });
    let made = admin.post("/Clients", &with(client_body("x", "source"), &whole)).await.expect(201).json();
    for (name, value) in whole.as_object().expect("an object") {
        assert_eq!(&made[name], value, "{name}");
    }
}

async fn credentials_are_shown_once_dated_and_revoked(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    let hr = admin.post("/Clients", &client_body("hr", "source")).await.expect(201).id();
    let (client, path) = (format!("/Clients/{hr}"), format!("/Clients/{hr}/credentials"));
    let token = admin.post(&path, &json!({ "kind": "token", "label": "nightly" })).await.expect(201);
    assert_eq!(token.header("cache-control"), "no-store");
    let (token, first) = (token.json()["token"].as_str().expect("a token").to_owned(), token.json());
    let source = Client::new(&server.base_url, &token);
    source.get("/Users").await.expect(200);
    let ahead = json!({ "kind": "token", "startsAt": "2099-01-01T00:00:00Z", "expiresAt": "2100-01-01T00:00:00Z" });
    let second = admin.post(&path, &ahead).await.expect(201).json();
    let later = Client::new(&server.base_url, second["token"].as_str().expect("a token"));
    later.get("/Users").await.expect(401);

    let secret = admin.post(&path, &json!({ "kind": "secret" })).await.expect(201).json();
    assert!(secret["secret"].as_str().is_some_and(|text| text.starts_with("ms_")), "{secret}");
    Client::new(&server.base_url, secret["secret"].as_str().expect("a secret")).get("/Users").await.expect(401);
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    admin.post(&path, &json!({ "kind": "key", "jwk": jwk })).await.expect(201);
    admin.post(&path, &json!({ "kind": "key", "jwk": jwk })).await.expect(409);
    let private = with(jwk, &json!({ "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A" }));
    let refused = admin.post(&path, &json!({ "kind": "key", "jwk": private })).await.expect(400);
    assert!(!refused.text.contains("nWGxne"), "{}", refused.text);
    let rule = json!({ "kind": "certificate", "certificate": { "dns": "hr.example.se" } });
    let certificate = admin.post(&path, &rule).await.expect(201).json();
    let other = admin.post("/Clients", &client_body("other", "source")).await.expect(201).id();
    admin.post(&format!("/Clients/{other}/credentials"), &rule).await.expect(409);

    let shown = admin.get(&client).await.expect(200);
    assert!(!shown.text.contains(&token) && !shown.text.contains("ms_"), "{}", shown.text);
    let kinds: Vec<Value> =
        shown.json()["credentials"].as_array().expect("credentials").iter().map(|one| one["kind"].clone()).collect();
    assert_eq!(kinds.len(), 5);
    for kind in ["token", "secret", "key", "certificate"] {
        assert!(kinds.contains(&json!(kind)), "{kinds:?}");
    }

    // It takes a moment until that a credential was used is written down; it is no change of the client.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let answer = admin.get(&client).await.expect(200);
        assert_eq!(answer.version(), shown.version());
        let found = answer.json()["credentials"].as_array().expect("credentials").clone();
        let used = found.iter().find(|one| one["value"] == first["value"]).expect("the first")["lastUsedAt"].clone();
        if used.is_string() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "when it was used is not written: {}", answer.text);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    for gone in [&first, &certificate] {
        admin.delete(&format!("{path}/{}", gone["value"].as_str().expect("an id"))).await.expect(204);
    }
    source.get("/Users").await.expect(401);
    admin.post(&format!("/Clients/{other}/credentials"), &rule).await.expect(201);
    admin.delete(&format!("{path}/0198c0de-0000-7000-8000-000000000000")).await.expect(404);
    admin
        .post("/Clients/0198c0de-0000-7000-8000-000000000000/credentials", &json!({ "kind": "token" }))
        .await
        .expect(404);
    let hers = Client::new(&server.base_url, &server.client("town", "her", "source"));
    hers.post(&path, &json!({ "kind": "token" })).await.expect(403);

    // Rotation without interruption: the old token works for some days.
    let old = Client::new(&server.base_url, &server.client("town", "turn", "source"));
    let new =
        command(server.database_url(), &["client", "rotate", "--tenant", "town", "turn", "--keep-days", "7", "--json"]);
    let new: Value = serde_json::from_str(&new).expect("JSON");
    old.get("/Users").await.expect(200);
    Client::new(&server.base_url, new["token"].as_str().expect("a token")).get("/Users").await.expect(200);
}

async fn an_administrator_cannot_shut_itself_out(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    let me = admin.get("/Me").await.expect(200);
    let path = format!("/Clients/{}", me.id());
    let shown = me.json()["credentials"][0]["value"].as_str().expect("a credential").to_owned();
    admin.delete(&path).await.expect(403);
    admin.patch(&path, &set("active", &json!(false))).await.expect(403);
    admin.patch(&path, &set("role", &json!("source"))).await.expect(403);
    admin.patch(&path, &set("scopes", &json!(["*:read"]))).await.expect(403);
    admin.delete(&format!("{path}/credentials/{shown}")).await.expect(403);
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "DELETE", "path": path }],
    });
    assert_eq!(admin.post("/Bulk", &bulk).await.expect(200).json()["Operations"][0]["status"], "403");
    admin.patch(&path, &set("description", &json!("still here"))).await.expect(200);
    // Another administrator may.
    let other = Client::new(&server.base_url, &server.client("town", "other", "administrator"));
    other.delete(&format!("{path}/credentials/{shown}")).await.expect(204);
    admin.get("/Users").await.expect(401);
    other.delete(&path).await.expect(204);
}
