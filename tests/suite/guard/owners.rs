//! Whoever owns a work item, and is no administrator, sees what is its own and nothing else, and says that it is done.

use reqwest::Method;
use serde_json::{Value, json};

use super::http::{people, with_guard};
use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::municipality::{Municipality, TENANT};

on_both_databases!(Municipality:
    an_owner_sees_and_decides_its_own_alone,
    what_is_held_is_counted_for_whoever_watches,
);

/// Holds two clients, so that there are two items; their ids.
async fn two_items(place: &Municipality) -> (String, String) {
    with_guard(place, json!([{ "sort": "disables", "percent": 0, "floor": 1 }])).await;
    let other = place.source("hr2", "education").await;
    let of_hr = people(place, 2).await;
    let mut of_other = Vec::new();
    for name in ["o1", "o2"] {
        let body = crate::support::messages::user_with(name, &json!({ "externalId": name }));
        of_other.push(other.post("/Users", &body).await.expect(201).body["id"].as_str().expect("an id").to_owned());
    }
    for (client, ids) in [(&place.hr, &of_hr), (&other, &of_other)] {
        client.delete(&format!("/Users/{}", ids[0])).await.expect(204);
        client.delete(&format!("/Users/{}", ids[1])).await.expect(503);
    }
    let items = place.admin.find("/WorkItems", "state eq \"open\"", "").await;
    let ids: Vec<String> = items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect();
    let [one, two] = ids.as_slice() else { panic!("{items:?}") };
    (one.clone(), two.clone())
}

fn set(name: &str, value: &Value) -> Value {
    json!([{ "op": "replace", "path": name, "value": value }])
}

async fn an_owner_sees_and_decides_its_own_alone(place: &Municipality) {
    place.ready().await;
    let (one, two) = two_items(place).await;
    let desk =
        Api::new(&place.server, place.server.client_with(TENANT, "desk", "consumer", &["--scope", "WorkItem:decide"]));
    let reader = ["--scope", "WorkItem:decide", "--scope", "WorkItem:read"];
    let reader = Api::new(&place.server, place.server.client_with(TENANT, "reader", "consumer", &reader));
    let of = |id: &str| format!("/WorkItems/{id}");
    let (mine, others) = (of(&one), of(&two));
    assert_eq!(desk.get("/WorkItems").await.expect(200).body["totalResults"], 0, "nothing is its own yet");
    desk.get(&mine).await.expect(404);
    desk.patch(&mine, &set("state", &json!("done"))).await.expect(404);

    // An administrator says whose it is: somebody who is there.
    let me = place.admin.find("/Clients", "name eq \"desk\"", "").await[0]["id"].clone();
    for nobody in [json!("01913a51-7b00-7c1e-8d42-5f0a7e2b9c15"), json!("somebody"), json!(one)] {
        let refused = place.admin.patch(&mine, &set("owner", &json!({ "value": nobody }))).await.expect(400);
        assert!(refused.detail().contains("a Client or a User"), "{}", refused.detail());
    }
    let item = place.admin.patch(&mine, &set("owner", &json!({ "value": me }))).await.expect(200).body;
    assert_eq!((&item["owner"]["value"], &item["owner"]["type"]), (&me, &json!("Client")));

    let found = desk.get("/WorkItems").await.expect(200).body;
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!(one)));
    let asked = desk.find("/WorkItems", "owner.value pr or kind eq \"heldChange\"", "").await;
    assert_eq!(asked.len(), 1, "no question finds what is another's");
    desk.get(&mine).await.expect(200);
    desk.get(&others).await.expect(404);
    // The rest of the register is none of its business, nor is what the item is about.
    for path in ["/Runs", "/Users", "/Clients", "/Policies"] {
        desk.get(path).await.expect(403);
    }
    // Who may read all of them decides its own alone.
    assert_eq!(reader.get("/WorkItems").await.expect(200).body["totalResults"], 2);
    reader.patch(&mine, &set("state", &json!("done"))).await.expect(403);

    desk.patch(&others, &set("state", &json!("done"))).await.expect(404);
    for (name, value) in [("owner", json!({ "value": "x" })), ("due", json!("2100-01-01T00:00:00Z"))] {
        let denied = desk.patch(&mine, &set(name, &value)).await.expect(403);
        assert!(denied.detail().contains(name), "{}", denied.detail());
    }
    desk.delete(&mine).await.expect(403);
    let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        { "method": "DELETE", "path": mine }, { "method": "DELETE", "path": others } ] });
    let answer = desk.post("/Bulk", &bulk).await.expect(200).body;
    let statuses: Vec<&Value> =
        answer["Operations"].as_array().expect("a list").iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [&json!("403"), &json!("404")], "{answer}");
    let both = json!([
        { "op": "replace", "path": "state", "value": "dismissed" },
        { "op": "replace", "path": "remark", "value": "It was the school." },
    ]);
    let done = desk.patch(&mine, &both).await.expect(200).body;
    assert_eq!((&done["state"], &done["decidedBy"]), (&json!("dismissed"), &me));
    // Given to somebody else, it is out of its sight.
    let reading = place.admin.find("/Clients", "name eq \"reader\"", "").await[0]["id"].clone();
    place.admin.patch(&mine, &set("owner", &json!({ "value": reading }))).await.expect(200);
    desk.get(&mine).await.expect(404);
    reader.patch(&mine, &set("state", &json!("open"))).await.expect(200);
    place.admin.ask(Method::DELETE, &mine, None, &[]).await.expect(409);
}

/// The count of a kind at `/metrics`.
async fn counted(place: &Municipality, kind: &str) -> u64 {
    let text = reqwest::get(format!("http://{}/metrics", place.server.metrics_address())).await.expect("an answer");
    let text = text.text().await.expect("text");
    let line = format!("matrikel_decisions_waiting{{kind=\"{kind}\"}} ");
    let count = text.lines().find_map(|one| one.strip_prefix(&line)).expect("it is exported");
    count.parse().expect("a number")
}

async fn what_is_held_is_counted_for_whoever_watches(place: &Municipality) {
    let until = async |kind: &str, expected: u64| {
        for _ in 0..400 {
            if counted(place, kind).await == expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{kind}: {} and not {expected}", counted(place, kind).await);
    };
    place.ready().await;
    until("heldChange", 0).await;
    two_items(place).await;
    until("heldChange", 2).await;
    // An item that somebody has closed lets nothing go.
    let items = place.admin.find("/WorkItems", "state eq \"open\"", "").await;
    let path = format!("/WorkItems/{}", items[0]["id"].as_str().expect("an id"));
    place.admin.patch(&path, &set("state", &json!("dismissed"))).await.expect(200);
    until("heldChange", 2).await;
    for run in place.admin.find("/Runs", "state eq \"held\"", "").await {
        let run = format!("/Runs/{}", run["id"].as_str().expect("an id"));
        place.admin.patch(&run, &set("decision", &json!("allow"))).await.expect(200);
    }
    until("heldChange", 0).await;
    until("heldRun", 0).await;
}
