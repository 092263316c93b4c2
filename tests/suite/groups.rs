//! Large groups over HTTP: a hundred thousand members of which one is added, ten thousand that come and go in one
//! request, and what never costs more than the members a request is about. The users are put into the database behind
//! the server's back, as making them is not what is looked at here.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::both::on_both_databases;
use crate::support::client::Client;
use crate::support::messages::{add_members, group, patch, set};
use crate::support::server::Server;

on_both_databases!(Server:
    ten_thousand_members_come_and_go_in_one_request,
    a_thousand_operations_of_one_member_each_are_one_request,
    one_of_a_hundred_thousand_members_costs_the_one,
    a_large_group_is_sent_as_it_was_when_it_was_asked_for_and_holds_nothing_up,
    parts_of_a_large_group_are_what_was_asked_for,
    a_large_group_is_paged_from_either_end,
    what_does_not_ask_for_members_does_not_read_them,
    many_groups_join_one_at_once_and_none_of_them_can_take_it_in,
);

/// Far more than any of it takes where it is not slow out of proportion, on a machine that does other things too.
const SECONDS: Duration = Duration::from_secs(30);

/// The id of the n-th user that [`people`] puts in.
fn person(n: u32) -> String {
    format!("0198c0de-0000-7000-8000-{n:012x}")
}

/// Puts users into the only tenant of the server.
fn people(server: &Server, count: u32) {
    let doc = r#"'{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"person' || i || '"}'"#;
    let (numbers, id) = if server.is_postgres() {
        (
            format!("n(i) AS (SELECT generate_series(1, {count}))"),
            "decode('0198c0de000070008000' || lpad(to_hex(i), 12, '0'), 'hex')",
        )
    } else {
        (
            format!("RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"),
            "unhex('0198c0de000070008000' || printf('%012x', i))",
        )
    };
    server.execute(&format!(
        "INSERT INTO resource (tenant_id, resource_id, kind, version, seq, groups_seq, created_at, modified_at, label, doc) \
         WITH {numbers} SELECT t.tenant_id, {id}, 'User', 1, 1, 0, 0, 0, 'person' || i, {doc} FROM n, tenant t"
    ));
}

/// Makes every user a member of a group.
fn join_all(server: &Server, group: &str) {
    let group = group.replace('-', "");
    let group = if server.is_postgres() { format!("'\\x{group}'::bytea") } else { format!("x'{group}'") };
    server.execute(&format!(
        "INSERT INTO membership (tenant_id, group_id, member_id, member_kind, since_seq) \
         SELECT tenant_id, {group}, resource_id, kind, 1 FROM resource WHERE kind = 'User'"
    ));
}

/// The members of a group as it is answered, each once.
async fn members(client: &Client, path: &str) -> BTreeSet<String> {
    let group = client.get(path).await.expect(200).json();
    let members = group["members"].as_array().cloned().unwrap_or_default();
    let ids: BTreeSet<String> =
        members.iter().map(|member| member["value"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(ids.len(), members.len(), "nobody twice");
    ids
}

/// Runs a request, and says how long it took.
async fn timed<T>(server: &Server, what: &str, request: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let answer = request.await;
    let (took, database) = (begun.elapsed(), if server.is_postgres() { "PostgreSQL" } else { "SQLite" });
    eprintln!("{database}: {what}: {took:.1?}");
    assert!(took < SECONDS, "{what} took {took:?}");
    answer
}

async fn ten_thousand_members_come_and_go_in_one_request(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    people(server, 10_000);
    let path = format!("/Groups/{}", client.post("/Groups", &group("all", &[])).await.expect(201).id());
    let ids: Vec<String> = (1..=10_000).map(person).collect();
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let values: Vec<Value> = all.iter().map(|id| json!({ "value": id })).collect();

    timed(server, "adding 10,000 members", client.patch(&path, &add_members(&all))).await.expect(204);
    let there = timed(server, "reading 10,000 members", members(&client, &path)).await;
    assert!(there.iter().eq(&ids));
    let again = timed(server, "adding them again", client.patch(&path, &add_members(&all))).await.expect(204);
    assert_eq!(again.version(), 2, "nothing changed");
    let removal = patch(&json!([{ "op": "remove", "path": "members", "value": values }]));
    timed(server, "removing 10,000 members", client.patch(&path, &removal)).await.expect(204);
    assert_eq!(members(&client, &path).await, BTreeSet::new());
    let replacement = patch(&json!([{ "op": "replace", "path": "members", "value": values }]));
    timed(server, "replacing by 10,000 members", client.patch(&path, &replacement)).await.expect(204);
    let halved = group("all", &all[..5_000]);
    timed(server, "a PUT with 5,000 of 10,000", client.put(&path, &halved)).await.expect(200);
    assert!(members(&client, &path).await.iter().eq(&ids[..5_000]));
    let none = patch(&json!([{ "op": "remove", "path": "members" }]));
    timed(server, "removing all", client.patch(&path, &none)).await.expect(204);
    assert_eq!(members(&client, &path).await, BTreeSet::new());
    timed(server, "a POST with 10,000 members", client.post("/Groups", &group("new", &all))).await.expect(201);
}

async fn a_thousand_operations_of_one_member_each_are_one_request(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    people(server, 1_000);
    let path = format!("/Groups/{}", client.post("/Groups", &group("all", &[])).await.expect(201).id());
    let ids: Vec<String> = (1..=1_000).map(person).collect();
    let each = |operation: &dyn Fn(&String) -> Value| patch(&ids.iter().map(operation).collect());
    let joining = each(&|id| json!({ "op": "add", "path": "members", "value": [{ "value": id }] }));
    timed(server, "1,000 operations that add", client.patch(&path, &joining)).await.expect(204);
    assert!(members(&client, &path).await.iter().eq(&ids));
    let leaving = each(&|id| json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]") }));
    timed(server, "1,000 operations that remove", client.patch(&path, &leaving)).await.expect(204);
    assert_eq!(members(&client, &path).await, BTreeSet::new());
}

async fn one_of_a_hundred_thousand_members_costs_the_one(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    people(server, 100_001);
    let large = client.post("/Groups", &group("large", &[])).await.expect(201).id();
    let path = format!("/Groups/{large}");
    join_all(server, &large);
    let one = person(100_001);
    let removal = patch(&json!([{ "op": "remove", "path": format!("members[value eq \"{one}\"]") }]));

    timed(server, "removing one of 100,000", client.patch(&path, &removal)).await.expect(204);
    timed(server, "adding one to 100,000", client.patch(&path, &add_members(&[&one]))).await.expect(204);
    timed(server, "removing it again", client.patch(&path, &removal)).await.expect(204);
    timed(server, "renaming the group", client.patch(&path, &set("displayName", &json!("huge")))).await.expect(204);
    let bare = timed(server, "GET without members", client.get(&format!("{path}?excludedAttributes=members"))).await;
    assert_eq!(bare.expect(200).json().get("members"), None);
    for filter in ["members[value eq \"ID\"]", "members.value eq \"ID\"", "members eq \"ID\""] {
        for (id, found) in [(person(77), vec![large.clone()]), (one.clone(), vec![])] {
            let parameters = [("filter", &*filter.replace("ID", &id)), ("excludedAttributes", "members")];
            let answer = timed(server, filter, client.find("/Groups", &parameters)).await.expect(200);
            assert_eq!(answer.ids(), found, "{filter}");
        }
    }
    let there = timed(server, "GET of 100,000 members", members(&client, &path)).await;
    assert!(there.into_iter().eq((1..=100_000).map(person)));
    let user = client.get(&format!("/Users/{}", person(77))).await.expect(200).json();
    assert_eq!(user["groups"][0]["display"], "huge");
    timed(server, "deleting the group", client.delete(&path)).await.expect(204);
}

async fn a_large_group_is_sent_as_it_was_when_it_was_asked_for_and_holds_nothing_up(server: &Server) {
    let token = server.tenant("town");
    let client = Client::new(&server.base_url, &token);
    people(server, 100_000);
    let large = client.post("/Groups", &group("large", &[])).await.expect(201).id();
    let path = format!("/Groups/{large}");
    join_all(server, &large);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = http.get(format!("{}{path}", server.base_url)).bearer_auth(&token);
    let mut response = request.send().await.expect("an answer");
    let etag = response.headers()["etag"].to_str().expect("text").to_owned();
    let mut body = response.chunk().await.expect("a part").expect("a part").to_vec();
    // The reader dawdles; meanwhile the group becomes another one, and no transaction waits for the reader.
    if server.is_postgres() {
        server.execute(
            "DO $$ BEGIN IF EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL) \
             THEN RAISE EXCEPTION 'a transaction is open'; END IF; END $$",
        );
    }
    client.patch(&path, &set("displayName", &json!("renamed"))).await.expect(204);
    client.delete(&format!("/Users/{}", person(99_999))).await.expect(204);
    client.delete(&path).await.expect(204);
    while let Some(part) = response.chunk().await.expect("the rest") {
        body.extend(part);
    }
    let group: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((&group["displayName"], &group["meta"]["version"]), (&json!("large"), &json!(etag)));
    let members = group["members"].as_array().expect("members").iter();
    assert!(members.map(|member| member["value"].as_str().expect("an id").to_owned()).eq((1..=100_000).map(person)));
}

async fn parts_of_a_large_group_are_what_was_asked_for(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    people(server, 1_500);
    let large = client.post("/Groups", &group("large", &[])).await.expect(201).id();
    let path = format!("/Groups/{large}");
    join_all(server, &large);
    let place = format!("{}/Users/{}", server.base_url, person(1_500));
    let (value, kind, name) = (json!(person(1_500)), json!("User"), json!("person1500"));
    for (query, expected) in [
        ("", json!({ "value": value, "$ref": place, "type": kind })),
        ("?attributes=members", json!({ "value": value, "$ref": place, "type": kind })),
        ("?attributes=members.value", json!({ "value": value })),
        ("?attributes=members.display,members.type", json!({ "type": kind, "display": name })),
        ("?excludedAttributes=members.%24ref", json!({ "value": value, "type": kind })),
    ] {
        let group = client.get(&format!("{path}{query}")).await.expect(200).json();
        let members = group["members"].as_array().expect("members");
        assert_eq!((members.len(), &members[1_499]), (1_500, &expected), "{query}");
        assert_eq!(group.get("displayName").is_some(), !query.contains("?attributes"), "{query}");
        assert_eq!(group["id"], json!(large));
    }
    let etag = client.get(&path).await.header("etag").to_owned();
    let unchanged = client.send("GET", &path, &[("if-none-match", &etag)], None).await.expect(304);
    assert_eq!(unchanged.text, "");
    assert_eq!(client.send("HEAD", &path, &[], None).await.expect(200).text, "");
    let zipped = client.send("GET", &path, &[("accept-encoding", "gzip")], None).await.expect(200);
    assert_eq!(zipped.header("content-encoding"), "gzip");
}

async fn what_does_not_ask_for_members_does_not_read_them(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    people(server, 3);
    let members: Vec<String> = (1..=3).map(person).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let path = format!("/Groups/{}", client.post("/Groups", &group("crew", &members)).await.expect(201).id());
    let bare = [
        format!("{path}?excludedAttributes=members"),
        format!("{path}?attributes=displayName"),
        "/Groups?excludedAttributes=members".to_owned(),
        "/Groups?attributes=displayName&filter=displayName+eq+%22crew%22&sortBy=displayName".to_owned(),
    ];
    // A search reads once which groups hold which, and keeps it.
    for path in &bare {
        client.get(path).await.expect(200);
    }
    server.execute("ALTER TABLE membership RENAME TO taken_away");
    for path in &bare {
        assert!(client.get(path).await.expect(200).text.contains("crew"), "{path}");
    }
    client.patch(&path, &set("displayName", &json!("team"))).await.expect(204);
    client.get(&path).await.expect(503);
    server.execute("ALTER TABLE taken_away RENAME TO membership");
    assert_eq!(client.get(&path).await.expect(200).json()["members"].as_array().map(Vec::len), Some(3));
}

async fn many_groups_join_one_at_once_and_none_of_them_can_take_it_in(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let outer = client.post("/Groups", &group("outer", &[])).await.expect(201).id();
    let bulk: Vec<Value> = (0..500)
        .map(|n| json!({ "method": "POST", "path": "/Groups", "bulkId": n.to_string(), "data": group(&format!("g{n}"), &[]) }))
        .collect();
    let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": bulk });
    let made = client.post("/Bulk", &bulk).await.expect(200).json();
    let inner: Vec<&str> = made["Operations"]
        .as_array()
        .expect("operations")
        .iter()
        .filter_map(|operation| operation["location"].as_str()?.rsplit('/').next())
        .collect();
    assert_eq!(inner.len(), 500);
    let path = format!("/Groups/{outer}");
    timed(server, "500 groups into one", client.patch(&path, &add_members(&inner))).await.expect(204);
    for id in [inner[0], inner[499], &outer] {
        let refused = client.patch(&format!("/Groups/{id}"), &add_members(&[&outer])).await.expect(400).json();
        assert_eq!(refused["scimType"], "invalidValue");
    }
    let none = patch(&json!([{ "op": "remove", "path": "members" }]));
    timed(server, "500 groups out of one", client.patch(&path, &none)).await.expect(204);
    client.patch(&format!("/Groups/{}", inner[0]), &add_members(&[&outer])).await.expect(204);
}

async fn a_large_group_is_paged_from_either_end(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    people(server, 100_000);
    let large = client.post("/Groups", &group("large", &[])).await.expect(201).id();
    let small = client.post("/Groups", &group("small", &[&person(77)])).await.expect(201).id();
    join_all(server, &large);
    let of_group = format!("group.value eq \"{large}\"");
    let ask = |more: &[(&str, &str)]| {
        let parameters: Vec<(String, String)> =
            more.iter().chain(&[("filter", of_group.as_str())]).map(|(a, b)| ((*a).into(), (*b).into())).collect();
        let client = &client;
        async move {
            let parameters: Vec<(&str, &str)> = parameters.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            client.find("/GroupMemberships", &parameters).await.expect(200).json()
        }
    };

    let (mut met, mut cursor) = (BTreeSet::new(), String::new());
    let walk = async {
        for _ in 0..3 {
            let page = ask(&[("cursor", &cursor), ("count", "1000"), ("attributes", "member.value")]).await;
            assert_eq!(page["totalResults"], 100_000, "counted once, and said while nothing changes");
            for one in page["Resources"].as_array().expect("a page") {
                met.insert(one["member"]["value"].as_str().expect("an id").to_owned());
            }
            cursor = page["nextCursor"].as_str().expect("more").to_owned();
        }
    };
    timed(server, "3 pages of 1,000 by cursor", walk).await;
    assert!(met.iter().eq(&(1..=3_000).map(person).collect::<Vec<_>>()));
    let jump =
        timed(server, "a page of 50 from the 99,951st on", ask(&[("startIndex", "99951"), ("count", "50")])).await;
    assert_eq!((&jump["totalResults"], &jump["itemsPerPage"]), (&json!(100_000), &json!(50)));
    assert_eq!(jump["Resources"][49]["member"]["value"], person(100_000).as_str());
    let first = timed(server, "the first 50", ask(&[("count", "50")])).await;
    assert_eq!(first["Resources"][0]["member"]["value"], person(1).as_str());
    let of_member = format!("member.value eq \"{}\"", person(77));
    let parameters = [("filter", of_member.as_str())];
    let groups = timed(server, "the groups of one", client.find("/GroupMemberships", &parameters)).await;
    let groups = groups.expect(200).json();
    let groups: BTreeSet<&str> = groups["Resources"]
        .as_array()
        .expect("a page")
        .iter()
        .filter_map(|one| one["group"]["value"].as_str())
        .collect();
    assert_eq!(groups, BTreeSet::from([large.as_str(), small.as_str()]));
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:GroupMembership"],
        "group": { "value": small }, "member": { "value": person(78) },
    });
    timed(server, "one joins", client.post("/GroupMemberships", &body)).await.expect(201);
    let one = timed(
        server,
        "one of 100,000 by both ends",
        client.find("/GroupMemberships", &[("filter", &format!("{of_group} and {of_member}"))]),
    )
    .await;
    let id = one.expect(200).json()["Resources"][0]["id"].as_str().expect("an id").to_owned();
    timed(server, "one of 100,000 leaves", client.delete(&format!("/GroupMemberships/{id}"))).await.expect(204);
    assert_eq!(ask(&[("count", "0")]).await["totalResults"], 99_999);
    timed(server, "the large group is deleted", client.delete(&format!("/Groups/{large}"))).await.expect(204);
    assert_eq!(ask(&[]).await["totalResults"], 0, "whatever is still to be cleared");
    assert_eq!(client.get("/GroupMemberships").await.expect(200).json()["totalResults"], 2);
}
