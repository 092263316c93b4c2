//! Reads of one resource, and searches that are look-ups, take a short way. They must say what the long way says, and show
//! at once what was acknowledged.

use serde_json::{Value, json};

use crate::support::both::on_both_databases;
use crate::support::client::Client;
use crate::support::messages::{add_members, group, patch, set, user_with};
use crate::support::server::Server;

on_both_databases!(Server:
    a_look_up_answers_what_a_search_answers,
    what_was_acknowledged_is_read_at_once,
    a_change_of_groups_shows_in_the_groups_and_in_the_tag,
    a_group_without_its_members_is_the_rest_of_it,
);

fn client(server: &Server) -> Client {
    Client::new(&server.base_url, &server.tenant("town"))
}

async fn created(client: &Client, path: &str, body: &Value) -> String {
    client.post(path, body).await.expect(201).id()
}

/// The same condition twice is no look-up, and the same condition.
async fn assert_alike(client: &Client, path: &str, filter: &str, more: &[(&str, &str)]) -> Value {
    let ask = |filter: String| {
        let parameters: Vec<(&str, String)> =
            more.iter().map(|(name, value)| (*name, (*value).to_owned())).chain([("filter", filter)]).collect();
        async move {
            let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, text)| (*name, text.as_str())).collect();
            client.find(path, &parameters).await.expect(200).json()
        }
    };
    let short = ask(filter.to_owned()).await;
    let long = ask(format!("{filter} and {filter}")).await;
    assert_eq!(short, long, "{path} {filter} {more:?}");
    short
}

pub(crate) async fn a_look_up_answers_what_a_search_answers(server: &Server) {
    let client = client(server);
    let mut ids = Vec::new();
    for n in 0..24 {
        let more = json!({
            "externalId": format!("E{n}"),
            "title": "Nurse",
            "emails": [{ "value": format!("P{n}@Town.example"), "primary": true }, { "value": format!("q{}@x.example", n / 2) }],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": if n < 3 { "Care" } else { "School" } },
        });
        ids.push(created(&client, "/Users", &user_with(&format!("Åsa.{n}"), &more)).await);
    }
    let members: Vec<&str> = ids.iter().map(String::as_str).collect();
    let inner = created(&client, "/Groups", &group("inner", &members)).await;
    let outer = created(&client, "/Groups", &group("outer", &[&inner])).await;
    for n in 0..70 {
        created(&client, "/Groups", &group(&format!("team {}", n / 2), &[&ids[1]])).await;
    }
    let long = "x".repeat(600);
    created(&client, "/Users", &user_with(&long, &json!({ "emails": [{ "value": format!("{long}a@x.example") }] })))
        .await;
    created(&client, "/Users", &user_with(&format!("{long}y"), &json!({}))).await;

    let filters = [
        ("userName eq \"Åsa.7\"", 1),
        ("userName eq \"ÅSA.7\"", 1),
        ("userName eq \"nobody\"", 0),
        ("userName eq \"\"", 0),
        ("emails.value eq \"p3@town.example\"", 1),
        ("emails eq \"p3@town.example\"", 1),
        ("emails[value eq \"P3@TOWN.example\"]", 1),
        ("emails.value eq \"q4@x.example\"", 2),
        ("externalId eq \"E5\"", 1),
        ("externalId eq \"e5\"", 0),
        ("externalId eq \"\"", 0),
        ("title eq \"nurse\"", 24),
        ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"care\"", 3),
        ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"school\"", 21),
        ("displayName eq \"x\"", 0),
        ("active eq true", 0),
    ];
    let (whole, two) = (format!("userName eq \"{long}\""), format!("userName eq \"{}\"", &long[..512]));
    let (id, direct) = (format!("id eq \"{}\"", ids[3]), format!("groups.value eq \"{outer}\""));
    let own = [(whole.as_str(), 1), (two.as_str(), 0), (id.as_str(), 1), (direct.as_str(), 24)];
    for (filter, total) in filters.into_iter().chain(own) {
        let found = assert_alike(&client, "/Users", filter, &[]).await;
        assert_eq!(found["totalResults"], total, "{filter}");
        for more in [
            &[("attributes", "userName,groups")][..],
            &[("excludedAttributes", "groups")],
            &[("count", "0")],
            &[("count", "1")],
            &[("count", "2"), ("startIndex", "2")],
            &[("sortBy", "userName")],
        ] {
            assert_alike(&client, "/Users", filter, more).await;
        }
    }
    let lean = [("excludedAttributes", "members")];
    let of = |id: &str| format!("members.value eq \"{id}\"");
    let filters = [
        (of(&ids[0]), 1),
        (of(&ids[1]), 71),
        (of(&inner), 1),
        (of(&ids[0].to_uppercase()), 0),
        (of("nobody"), 0),
        (format!("members[value eq \"{}\"]", ids[0]), 1),
        ("displayName eq \"TEAM 3\"".to_owned(), 2),
    ];
    for (filter, total) in &filters {
        let found = assert_alike(&client, "/Groups", filter, &lean).await;
        assert_eq!(found["totalResults"], *total, "{filter}");
        assert_alike(&client, "/Groups", filter, &[]).await;
    }
    client.delete(&format!("/Users/{}", ids[0])).await.expect(204);
    client.delete(&format!("/Groups/{inner}")).await.expect(204);
    for (filter, _) in &filters {
        assert_alike(&client, "/Groups", filter, &lean).await;
    }
    let gone = assert_alike(&client, "/Users", "userName eq \"Åsa.0\"", &[]).await;
    assert_eq!(gone["totalResults"], 0);
}

async fn what_was_acknowledged_is_read_at_once(server: &Server) {
    let client = client(server);
    let walks = (0..8).map(|walker| {
        let client = client.clone();
        tokio::spawn(async move {
            for n in 0..25 {
                let name = format!("w{walker}.{n}");
                let id = created(&client, "/Users", &user_with(&name, &json!({}))).await;
                let path = format!("/Users/{id}");
                client.get(&path).await.expect(200);
                let changed = client.patch(&path, &set("title", &json!(name))).await.expect(200);
                let read = client.get(&path).await.expect(200);
                assert_eq!(read.json(), changed.json());
                let found = client.find("/Users", &[("filter", &format!("userName eq \"{name}\""))]).await.expect(200);
                assert_eq!(found.json()["Resources"], json!([read.json()]));
                client.delete(&path).await.expect(204);
                client.get(&path).await.expect(404);
                let found = client.find("/Users", &[("filter", &format!("userName eq \"{name}\""))]).await.expect(200);
                assert_eq!(found.json()["totalResults"], 0);
            }
        })
    });
    for walk in walks.collect::<Vec<_>>() {
        walk.await.expect("a walk");
    }
}

pub(crate) async fn a_change_of_groups_shows_in_the_groups_and_in_the_tag(server: &Server) {
    let client = client(server);
    let anna = created(&client, "/Users", &user_with("anna", &json!({}))).await;
    let path = format!("/Users/{anna}");
    let groups = |body: &Value| {
        let groups = body["groups"].as_array().cloned().unwrap_or_default().into_iter();
        groups.map(|group| format!("{} {}", group["display"], group["type"]).replace('"', "")).collect::<Vec<_>>()
    };
    let mut tags: Vec<String> = Vec::new();
    let mut expect = async |named: &[&str]| {
        let answer = client.get(&path).await.expect(200);
        let mut found = groups(&answer.json());
        found.sort();
        assert_eq!(found, named);
        let tag = answer.headers["etag"].to_str().expect("text").to_owned();
        assert!(!tags.contains(&tag), "{tag} stood for other groups");
        client.send("GET", &path, &[("if-none-match", &tag)], None).await.expect(304);
        tags.push(tag);
    };
    expect(&[]).await;
    let inner = created(&client, "/Groups", &group("inner", &[&anna])).await;
    expect(&["inner direct"]).await;
    let outer = created(&client, "/Groups", &group("outer", &[&inner])).await;
    expect(&["inner direct", "outer indirect"]).await;
    client.patch(&format!("/Groups/{outer}"), &set("displayName", &json!("renamed"))).await.expect(204);
    expect(&["inner direct", "renamed indirect"]).await;
    client.patch(&format!("/Groups/{inner}"), &set("displayName", &json!("within"))).await.expect(204);
    expect(&["renamed indirect", "within direct"]).await;
    client.patch(&format!("/Groups/{outer}"), &add_members(&[&anna])).await.expect(204);
    expect(&["renamed direct", "within direct"]).await;
    client.delete(&format!("/Groups/{inner}")).await.expect(204);
    expect(&["renamed direct"]).await;
    let leaves = patch(&json!([{ "op": "remove", "path": format!("members[value eq \"{anna}\"]") }]));
    client.patch(&format!("/Groups/{outer}"), &leaves).await.expect(204);
    expect(&[]).await;
}

async fn a_group_without_its_members_is_the_rest_of_it(server: &Server) {
    let client = client(server);
    let anna = created(&client, "/Users", &user_with("anna", &json!({}))).await;
    let id = created(&client, "/Groups", &group("Care \"north\"", &[&anna])).await;
    let mut whole = client.get(&format!("/Groups/{id}")).await.expect(200).json();
    whole.as_object_mut().expect("an object").remove("members").expect("members");
    let lean = client.find(&format!("/Groups/{id}"), &[("excludedAttributes", "members")]).await.expect(200);
    assert_eq!(lean.json(), whole);
    let narrow = client.find(&format!("/Groups/{id}"), &[("excludedAttributes", "members,displayName")]).await;
    assert_eq!(narrow.expect(200).json().get("displayName"), None);
}
