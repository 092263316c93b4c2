//! Files over HTTP: who may send them, what is answered, and who may follow what becomes of them.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use super::{HEADER, snapshots};
use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::municipality::{Municipality, PERSON, TENANT};

on_both_databases!(Municipality:
    a_file_is_answered_first_and_its_run_is_the_senders_to_follow,
    what_is_no_feed_is_refused_and_nobody_writes_runs,
    a_run_tells_of_protected_people_what_its_readers_view_shows,
);

async fn a_run_tells_of_protected_people_what_its_readers_view_shows(place: &Municipality) {
    feed(place.ready().await).await;
    let admin = &place.admin;
    let text = latin(&format!("{HEADER}1;Mäki;;;11;2026-08-01;;E1\n"));
    let sent = send(&place.hr, "/Feeds/hr?extracted=2026-11-01T00:00:00Z", "text/csv; charset=iso-8859-1", text).await;
    ended(&place.hr, &location(&sent)).await;
    let user = admin.find("/Users", "userName eq \"1\"", "").await[0]["id"].as_str().expect("an id").to_owned();
    let mark = json!([{ "op": "add", "path": format!("{PERSON}:protectedIdentity"), "value": "skyddad" }]);
    admin.patch(&format!("/Users/{user}"), &mark).await.expect(200);
    let lines = ["1", "2"].map(|number| json!({ "Nr": number, "Namn": "Dold" }).to_string()).join("\n");
    let sent = send(&place.hr, "/Feeds/hr?simulate=true&mode=delta", "application/x-ndjson", lines.into()).await;
    let run = ended(&place.hr, &location(&sent)).await;
    let items = format!("/Runs/{}/items?list=object", run["id"].as_str().expect("an id"));

    let types = json!([{ "type": "User" }]);
    let view = json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": "cloud", "types": types });
    let view = admin.post("/Views", &view).await.expect(201).body["id"].as_str().expect("an id").to_owned();
    let cloud = Api::new(&place.server, place.server.client(TENANT, "cloud", "consumer"));
    let me = admin.find("/Clients", "name eq \"cloud\"", "").await[0]["id"].as_str().expect("an id").to_owned();
    let uses = json!([{ "op": "add", "value": { "view": view, "scopes": ["*:read", "Run:read"] } }]);
    admin.patch(&format!("/Clients/{me}"), &uses).await.expect(200);
    let reads = async || admin.find("/AuditEvents", "kind eq \"protectedRead\"", "&count=1000").await.len();
    let known = reads().await;
    let masked = cloud.get(&items).await.expect(200).body;
    assert!(!masked.to_string().contains("Dold") && !masked.to_string().contains("key"), "{masked}");
    assert_eq!(masked["items"][0], json!({ "kind": "User", "op": "updated", "row": 1, "id": user }));
    assert_eq!((masked["items"].as_array().map(Vec::len), reads().await), (Some(2), known), "who is new is not told");
    let hide = json!([{ "op": "add", "path": "protected", "value": "hide" }]);
    admin.patch(&format!("/Views/{view}"), &hide).await.expect(200);
    let hidden = cloud.get(&items).await.expect(200).body;
    assert!(!hidden.to_string().contains(&user) && !hidden.to_string().contains("Dold"), "{hidden}");
    // Whoever is shown it is remembered first.
    for whole in [&place.hr, admin] {
        assert!(whole.get(&items).await.expect(200).body.to_string().contains("Dold"));
    }
    assert_eq!(reads().await, known + 2);
}

async fn feed(place: &Municipality) -> String {
    let client =
        place.admin.get("/Clients?filter=name%20eq%20%22hr%22").await.expect(200).body["Resources"][0]["id"].clone();
    let feed = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Feed"], "name": "hr", "client": { "value": client },
        "map": format!("encoding = \"latin-1\"\n{}", snapshots("")),
    });
    place.admin.post("/Feeds", &feed).await.expect(201).body["id"].as_str().expect("an id").to_owned()
}

pub(super) async fn send(api: &Api, path: &str, kind: &str, body: Vec<u8>) -> Response {
    let request = api.client.post(format!("{}{path}", api.base)).bearer_auth(&api.token).header("content-type", kind);
    request.body(body).send().await.expect("an answer")
}

/// The run at a location, once nothing is to be done for it.
pub(super) async fn ended(api: &Api, location: &str) -> Value {
    let id = location.rsplit('/').next().expect("an id");
    for _ in 0..4_800 {
        let run = api.get(&format!("/Runs/{id}")).await.expect(200).body;
        if !["waiting", "running"].contains(&run["state"].as_str().expect("a state")) {
            return run;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the run does not end");
}

pub(super) fn location(response: &Response) -> String {
    response.headers().get("location").and_then(|value| value.to_str().ok()).expect("a location").to_owned()
}

fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).expect("Latin-1")).collect()
}

async fn a_file_is_answered_first_and_its_run_is_the_senders_to_follow(place: &Municipality) {
    let id = feed(place.ready().await).await;
    let text = format!("{HEADER}1;Mäki;2;;11;2026-08-01;;E1\n2;Ek;;131052-308T;21;nie;;E1\n");
    let latin = latin(&text);
    let sent =
        send(&place.hr, "/Feeds/hr?extracted=2026-11-01T00:00:00Z", "text/csv; charset=iso-8859-1", latin.clone())
            .await;
    assert_eq!(sent.status(), 202);
    let location = location(&sent);
    let run = ended(&place.hr, &location).await;
    assert_eq!(
        (&run["state"], &run["counts"]["created"], &run["counts"]["rejected"]),
        (&json!("applied"), &json!(1), &json!(1)),
        "{run}"
    );
    assert_eq!(run["feed"], json!({ "value": id, "display": "hr" }));
    // What was refused, without secrets.
    let run_id = run["id"].as_str().expect("an id");
    let items = place.hr.get(&format!("/Runs/{run_id}/items")).await.expect(200).body;
    assert_eq!((&items["items"][0]["row"], &items["items"][0]["raw"]["Hetu"]), (&json!(3), &json!("***")), "{items}");
    place.hr.get(&format!("/Runs/{run_id}/items?list=body")).await.expect(400);
    // By id it is the same feed; the same file again does nothing.
    let sent =
        send(&place.admin, &format!("/Feeds/{id}?extracted=2026-11-01T00:00:00Z&mode=delta"), "text/csv", latin).await;
    assert_eq!(sent.status(), 202);
    let again = ended(&place.admin, &self::location(&sent)).await;
    assert_eq!((&again["counts"]["unchanged"], &again["mode"]), (&json!(1), &json!("delta")), "{again}");
    // A simulation.
    let line = json!({ "Nr": "3", "Namn": "Ny" }).to_string().into_bytes();
    let sent = send(&place.hr, "/Feeds/hr?simulate=true&mode=delta", "application/x-ndjson", line).await;
    let simulated = ended(&place.hr, &self::location(&sent)).await;
    assert_eq!((&simulated["state"], &simulated["counts"]["created"]), (&json!("simulated"), &json!(1)), "{simulated}");
    let objects = place
        .hr
        .get(&format!("/Runs/{}/items?list=object", simulated["id"].as_str().expect("an id")))
        .await
        .expect(200)
        .body;
    assert_eq!(objects["items"][0]["key"], "3");
    // Others do not see it, and the sender not the list of all.
    let other = Api::new(&place.server, place.server.client(TENANT, "other", "source"));
    other.get(&format!("/Runs/{run_id}")).await.expect(403);
    other.get(&format!("/Runs/{run_id}/items")).await.expect(403);
    place.hr.get("/Runs").await.expect(403);
    let held = place.admin.get("/Runs?filter=state%20eq%20%22applied%22").await.expect(200).body;
    assert_eq!(held["totalResults"], 2);
    assert_eq!(
        place.server.number("SELECT COUNT(*) FROM run_item WHERE list = 'body'"),
        0,
        "files are kept no longer than needed"
    );
    // Deleted, nothing of it is left; without the feed nothing of what it has said.
    place
        .admin
        .client
        .delete(format!("{}/Runs/{run_id}", place.admin.base))
        .bearer_auth(&place.admin.token)
        .send()
        .await
        .expect("an answer");
    place.admin.get(&format!("/Runs/{run_id}")).await.expect(404);
    let deleted = place
        .admin
        .client
        .delete(format!("{}/Feeds/{id}", place.admin.base))
        .bearer_auth(&place.admin.token)
        .send()
        .await
        .expect("an answer");
    assert_eq!(deleted.status(), 204);
    assert_eq!(place.server.number("SELECT COUNT(*) FROM feed_record"), 0);
}

async fn what_is_no_feed_is_refused_and_nobody_writes_runs(place: &Municipality) {
    feed(place.ready().await).await;
    let csv = || latin(&format!("{HEADER}1;A;;;;;;\n"));
    let other = Api::new(&place.server, place.server.client(TENANT, "other", "source"));
    let reader = Api::new(&place.server, place.server.client(TENANT, "reader", "consumer"));
    let table: [(&Api, &str, &str, Vec<u8>, u16); 12] = [
        (&other, "/Feeds/hr", "text/csv", csv(), 404),
        (&reader, "/Feeds/hr", "text/csv", csv(), 403),
        (&place.hr, "/Feeds/nope", "text/csv", csv(), 404),
        (&place.hr, "/Feeds/hr", "application/json", csv(), 415),
        (&place.hr, "/Feeds/hr?mode=all", "text/csv", csv(), 400),
        (&place.hr, "/Feeds/hr?extracted=yesterday", "text/csv", csv(), 400),
        (&place.hr, "/Feeds/hr?simulate=perhaps", "text/csv", csv(), 400),
        (&place.hr, "/Feeds/hr", "text/csv", b"A;B\n1;2\n".to_vec(), 400),
        (&place.hr, "/Feeds/hr", "text/csv", Vec::new(), 400),
        (&place.hr, "/Feeds/hr", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", csv(), 400),
        (&place.hr, "/Runs", "text/csv", csv(), 405),
        (&place.hr, "/Feeds/hr", "text/csv", csv(), 202),
    ];
    for (api, path, kind, body, status) in table {
        let answer = send(api, path, kind, body).await;
        assert_eq!(answer.status().as_u16(), status, "{path} {kind}: {}", answer.text().await.unwrap_or_default());
    }
    // Not in bulk either, and nobody gives a run another result.
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "POST", "path": "/Runs", "bulkId": "r", "data": { "schemas": ["urn:matrikel:scim:schemas:1.0:Run"] } }],
    });
    let answer = place.admin.post("/Bulk", &bulk).await.expect(200).body;
    assert_eq!(answer["Operations"][0]["status"], "403", "{answer}");
    let run = place.admin.get("/Runs?count=1").await.expect(200).body["Resources"][0].clone();
    let path = format!("/Runs/{}", run["id"].as_str().expect("an id"));
    place.admin.patch(&path, &json!([{ "op": "replace", "path": "state", "value": "applied" }])).await.expect(400);
    assert_eq!(place.admin.put(&path, &run).await.status, 405);
}
