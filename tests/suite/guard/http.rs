//! What is held, as clients and operators meet it: 503 with Retry-After, runs, work items, a file beside single writes, the report.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::both::on_both_databases;
use crate::support::messages::user_with;
use crate::support::municipality::{Municipality, TENANT};

on_both_databases!(Municipality:
    a_push_beyond_the_limit_is_told_to_come_back_and_a_person_decides,
    a_file_counts_with_what_its_client_has_done_by_itself,
    the_report_of_a_day_is_json_or_a_table,
);

pub(super) async fn with_guard(place: &Municipality, limits: Value) {
    let policy = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "Europe/Helsinki", "guarded": true,
        "guardLimits": limits,
    });
    place.admin.post("/Policies", &policy).await.expect(201);
}

pub(super) async fn people(place: &Municipality, n: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..n {
        let body = user_with(&format!("u{n}"), &json!({ "externalId": format!("u{n}") }));
        ids.push(place.hr.post("/Users", &body).await.expect(201).body["id"].as_str().expect("an id").to_owned());
    }
    ids
}

async fn a_push_beyond_the_limit_is_told_to_come_back_and_a_person_decides(place: &Municipality) {
    place.ready().await;
    with_guard(place, json!([{ "sort": "disables", "percent": 0, "floor": 1 }])).await;
    let ids = people(place, 5).await;
    let delete = |id: &str| {
        let (client, token) = (place.hr.client.clone(), place.hr.token.clone());
        let url = format!("{}/Users/{id}", place.hr.base);
        async move { client.delete(url).bearer_auth(token).send().await.expect("an answer") }
    };
    assert_eq!(delete(&ids[0]).await.status(), 204);
    let refused = delete(&ids[1]).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"3600".parse().expect("a value"))
    );
    let told: Value = serde_json::from_str(&refused.text().await.expect("a body")).expect("JSON");
    let detail = told["detail"].as_str().expect("a detail");
    assert!(detail.contains("disables 2 of at most 1") && detail.contains("/Runs"), "{detail}");

    // Within a bulk request it is the operation that is refused, and others are carried out.
    let operations = json!([
        { "method": "DELETE", "path": format!("/Users/{}", ids[2]) },
        { "method": "PATCH", "path": format!("/Users/{}", ids[3]), "data": {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "path": "title", "value": "x" }] } },
    ]);
    let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations });
    let answer = place.hr.post("/Bulk", &bulk).await.expect(200).body;
    let statuses: Vec<&Value> =
        answer["Operations"].as_array().expect("a list").iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [&json!("503"), &json!("200")], "{answer}");

    let runs = place.admin.find("/Runs", "state eq \"held\"", "").await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = runs[0]["id"].as_str().expect("an id");
    assert_eq!(place.admin.find("/WorkItems", "state eq \"open\" and kind eq \"heldChange\"", "").await.len(), 1);
    place.hr.get("/WorkItems").await.expect(403);
    place.command(&["run", "allow", "--tenant", TENANT, run, "--remark", "closing a ward"]).expect("allowed");
    assert_eq!(delete(&ids[1]).await.status(), 204);
    assert!(place.admin.find("/WorkItems", "state eq \"open\"", "").await.is_empty());
}

async fn a_file_counts_with_what_its_client_has_done_by_itself(place: &Municipality) {
    place.ready().await;
    with_guard(place, json!([{ "sort": "disables", "percent": 0, "floor": 2 }])).await;
    let ids = people(place, 6).await;
    for id in &ids[..2] {
        place.hr.ask(Method::DELETE, &format!("/Users/{id}"), None, &[]).await.expect(204);
    }
    let folder = tempfile::TempDir::new().expect("a folder");
    let (map, file) = (folder.path().join("map.toml"), folder.path().join("day.csv"));
    let text = "source = \"hr\"\n[snapshot]\nmode = \"delta\"\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\n[resource.columns]\n\
                userName = \"Nr\"\nactive = \"On\"\n";
    std::fs::write(&map, text).expect("writes");
    std::fs::write(&file, "Nr;On\nu4;false\n").expect("writes");
    let line = ["import", "--tenant", TENANT, "--client", "hr", "--json", "--map"];
    let paths = [map.to_str().expect("a path"), file.to_str().expect("a path")];
    let said = place.command(&[&line[..], &paths[..]].concat());
    let said = said.unwrap_or_else(|said| said);
    let run: Value =
        said.lines().find(|line| line.starts_with('{')).and_then(|line| serde_json::from_str(line).ok()).expect(&said);
    assert_eq!(run["state"], "held", "{said}");
    assert_eq!(run["tripped"], json!([{ "limit": "disables", "count": 3, "most": 2 }]));
    assert_eq!(place.admin.find("/WorkItems", "kind eq \"heldRun\" and state eq \"open\"", "").await.len(), 1);
    place.command(&["run", "allow", "--tenant", TENANT, run["id"].as_str().expect("an id")]).expect("allowed");
    assert_eq!(place.hr.get(&format!("/Users/{}", ids[4])).await.expect(200).body["active"], false);
}

async fn the_report_of_a_day_is_json_or_a_table(place: &Municipality) {
    place.ready().await;
    let ids = people(place, 2).await;
    let made = place.admin.get(&format!("/Users/{}", ids[0])).await.expect(200).body;
    let day = made["meta"]["created"].as_str().expect("a moment")[..10].to_owned();
    let path = format!("/Reports/{day}");
    let report = place.admin.get(&path).await.expect(200).body;
    assert_eq!(report["units"][0]["counts"]["joined"], 2, "{report}");
    assert_eq!(report["units"][0]["people"][0]["by"], json!(["hr"]));
    place.hr.get(&path).await.expect(403);
    place.admin.get("/Reports/yesterday").await.expect(400);
    place.admin.ask(Method::GET, &path, None, &[("accept", "text/html")]).await.expect(406);
    let table = place.admin.client.get(format!("{}{path}", place.admin.base)).bearer_auth(&place.admin.token);
    let table = table.header("accept", "text/csv").send().await.expect("an answer");
    assert_eq!(table.headers()["content-type"], "text/csv; charset=utf-8");
    let table = table.text().await.expect("a body");
    assert!(table.starts_with("unit;user;what;given;taken;causes;by\r\n") && table.lines().count() == 3, "{table}");
    let said = place.command(&["report", "--tenant", TENANT, "--day", &day]).expect("told");
    assert!(said.contains("2 people"), "{said}");
    let said = place.command(&["report", "--tenant", TENANT, "--day", &day, "--json"]).expect("told");
    assert_eq!(serde_json::from_str::<Value>(&said).expect("JSON")["people"], 2);
}
