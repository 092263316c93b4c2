//! Views over HTTP and from the command line: who administers them, what is said of one that cannot be, and what their
//! clients see from the moment they are saved.

use serde_json::{Value, json};

use crate::support::api::{Api, verify};
use crate::support::both::on_both_databases;
use crate::support::messages::{group, user_with, with};
use crate::support::server::{Server, attempt, command};

on_both_databases!(Server: a_client_sees_through_its_view_at_once, a_view_is_administered_from_the_command_line,
    who_has_left_and_is_kept_moves_with_the_register);

const TENANT: &str = "storstad";

fn view(name: &str, types: &Value) -> Value {
    json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": name, "types": types })
}

fn staff() -> Value {
    json!([
        { "type": "User", "filter": "userType eq \"staff\"", "attributes": ["userName", "name.familyName", "groups"] },
        { "type": "Group", "filter": "displayName ne \"secret\"" },
    ])
}

struct World {
    admin: Api,
    cloud: Api,
    cloud_id: String,
    staff: String,
    guest: String,
    crew: String,
}

async fn world(server: &Server) -> World {
    let admin = Api::new(server, server.tenant(TENANT));
    let cloud = Api::new(server, server.client(TENANT, "cloud", "source"));
    let me = cloud.get("/Me").await.expect(200).body;
    let made = async |path: &str, body: &Value| {
        admin.post(path, body).await.expect(201).body["id"].as_str().expect("an id").to_owned()
    };
    let more = |kind: &str| json!({ "userType": kind, "title": "x", "name": { "familyName": "y", "givenName": "z" } });
    let staff = made("/Users", &user_with("maj", &more("staff"))).await;
    let guest = made("/Users", &user_with("bo", &more("guest"))).await;
    let crew = made("/Groups", &group("crew", &[&staff, &guest])).await;
    made("/Groups", &group("secret", &[&staff])).await;
    let cloud_id = me["id"].as_str().expect("an id").to_owned();
    World { admin, cloud, cloud_id, staff, guest, crew }
}

async fn a_client_sees_through_its_view_at_once(server: &Server) {
    let World { admin, cloud, cloud_id, staff: maj, guest, crew } = world(server).await;
    let before = cloud.get(&format!("/Users/{maj}")).await.expect(200);

    // What cannot be is said with its place, and nobody but an administrator gets so far.
    for (types, said) in [
        (json!([{ "type": "Nobody" }]), "types[0].type: there is no resource type Nobody."),
        (json!([{ "type": "User", "filter": "wage gt 1" }]), "types[0].filter: "),
        (json!([{ "type": "User" }, { "type": "Group", "attributes": ["wage"] }]), "types[1].attributes[0]: Group has"),
    ] {
        let error = admin.post("/Views", &view("wrong", &types)).await.expect(400);
        assert!(error.detail().starts_with(said), "{}", error.detail());
        assert_eq!(error.body["scimType"], "invalidValue");
    }
    cloud.post("/Views", &view("mine", &staff())).await.expect(403);
    cloud.get("/Views").await.expect(403);

    let made = admin.post("/Views", &view("staff", &staff())).await.expect(201);
    let id = made.body["id"].as_str().expect("an id").to_owned();
    admin.post("/Views", &view("STAFF", &staff())).await.expect(409);
    let preview = admin.get(&format!("/Views/{id}/preview?count=1")).await.expect(200).body;
    assert_eq!((&preview["types"][0]["type"], &preview["types"][0]["totalResults"]), (&json!("User"), &json!(1)));
    assert_eq!(preview["types"][0]["Resources"][0]["userName"], "maj");
    assert_eq!(preview["types"][0]["Resources"][0].get("title"), None);
    cloud.get(&format!("/Views/{id}/preview")).await.expect(403);
    admin.get(&format!("/Views/{maj}/preview")).await.expect(404);

    // Nobody uses a view that is not there; one that is used stays.
    let path = format!("/Clients/{cloud_id}");
    let uses = |id: &str| json!([{ "op": "replace", "path": "view", "value": id }]);
    let error = admin.patch(&path, &uses(&maj)).await.expect(400);
    assert!(error.detail().starts_with("view: "), "{}", error.detail());
    admin.patch(&path, &uses("0198c0de-0000-7000-8000-000000000000")).await.expect(200);
    assert_eq!(cloud.get("/Users").await.expect(200).body["totalResults"], 0, "a view that is not there shows nothing");
    admin.patch(&path, &uses(&id)).await.expect(200);
    let error = admin.delete(&format!("/Views/{id}")).await.expect(409);
    assert_eq!(error.detail(), "The client cloud uses this view. Give it another one first.");

    let after = cloud.get(&format!("/Users/{maj}")).await.expect(200);
    assert_ne!(before.etag, after.etag, "what is seen is another thing");
    assert_eq!((after.body.get("title"), &after.body["name"]), (None, &json!({ "familyName": "y" })));
    assert_eq!(after.body["groups"].as_array().map(Vec::len), Some(1), "{}", after.body);
    cloud.get(&format!("/Users/{guest}")).await.expect(404);
    assert_eq!(cloud.get("/Users").await.expect(200).body["totalResults"], 1);
    assert_eq!(cloud.find("/Users", "userName eq \"bo\"", "").await.len(), 0);
    assert_eq!(cloud.find("/Users", "title eq \"x\"", "").await.len(), 0);
    let seen = cloud.get(&format!("/Groups/{crew}")).await.expect(200).body;
    assert_eq!(seen["members"].as_array().map(Vec::len), Some(1));
    assert_eq!(cloud.get("").await.expect(200).body["totalResults"], 2, "one user, one group");
    cloud.post("/Users", &user_with("bo", &json!({}))).await.expect(409);
    cloud.post("/Groups", &group("secret", &[])).await.expect(403);
    let error =
        cloud.patch(&format!("/Users/{maj}"), &json!([{ "op": "replace", "path": "title", "value": "t" }])).await;
    error.expect(400);
    let renamed = with(cloud.get(&format!("/Users/{maj}")).await.body, &json!({ "userName": "maja" }));
    cloud.put(&format!("/Users/{maj}"), &renamed).await.expect(200);
    let whole = admin.get(&format!("/Users/{maj}")).await.expect(200).body;
    assert_eq!((&whole["title"], &whole["name"]["givenName"]), (&json!("x"), &json!("z")), "what is hidden stays");

    // A bulk request is no other door.
    let operations = json!([
        { "method": "DELETE", "path": format!("/Users/{guest}") },
        { "method": "PUT", "path": format!("/Users/{guest}"), "data": user_with("bo", &json!({})) },
        { "method": "POST", "path": "/Groups", "bulkId": "g", "data": group("new", &[&guest]) },
    ]);
    let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    let done = cloud.post("/Bulk", &json!({ "schemas": [urn], "Operations": operations })).await.expect(200).body;
    let statuses: Vec<&str> =
        done["Operations"].as_array().expect("operations").iter().filter_map(|one| one["status"].as_str()).collect();
    assert_eq!(statuses, ["404", "404", "400"], "{done}");

    // A change of the view is there at once, and so is its end.
    let wider = with(made.body.clone(), &json!({ "types": [{ "type": "User" }] }));
    admin.put(&format!("/Views/{id}"), &wider).await.expect(200);
    cloud.get(&format!("/Users/{guest}")).await.expect(200);
    cloud.get(&format!("/Groups/{crew}")).await.expect(404);
    let tag = cloud.get(&format!("/Users/{maj}")).await.expect(200).etag;
    assert_ne!(tag, after.etag);
    admin.patch(&path, &json!([{ "op": "remove", "path": "view" }])).await.expect(200);
    cloud.get(&format!("/Groups/{crew}")).await.expect(200);
    admin.delete(&format!("/Views/{id}")).await.expect(204);

    // An attribute of one type alone, by its path within the view.
    let made = admin.post("/Views", &view("grown", &staff())).await.expect(201).body;
    let path = format!("/Views/{}", made["id"].as_str().expect("an id"));
    let narrowed = json!([{ "op": "replace", "path": "types[type eq \"User\"].attributes", "value": ["userName"] }]);
    let answer = admin.patch(&path, &narrowed).await.expect(200).body;
    assert_eq!(answer["types"][0]["attributes"], json!(["userName"]));
    let wrong = json!([{ "op": "replace", "path": "types[type eq \"User\"].filter", "value": "wage pr" }]);
    admin.patch(&path, &wrong).await.expect(400);
}

async fn who_has_left_and_is_kept_moves_with_the_register(server: &Server) {
    let World { admin, cloud, cloud_id, staff: maj, guest, .. } = world(server).await;
    let types = json!([{ "type": "User", "filter": "userType eq \"staff\"" }]);
    let keeps = with(view("keeps", &types), &json!({ "leaving": "inactive" }));
    let id = admin.post("/Views", &keeps).await.expect(201).body["id"].as_str().expect("an id").to_owned();
    let uses = json!([{ "op": "replace", "path": "view", "value": id }]);
    admin.patch(&format!("/Clients/{cloud_id}"), &uses).await.expect(200);
    let before = cloud.get(&format!("/Users/{maj}")).await.expect(200);
    admin
        .patch(&format!("/Users/{maj}"), &json!([{ "op": "replace", "path": "userType", "value": "guest" }]))
        .await
        .expect(200);
    let after = cloud.get(&format!("/Users/{maj}")).await.expect(200);
    assert_eq!((&after.body["active"], before.etag == after.etag), (&json!(false), false));
    cloud.get(&format!("/Users/{guest}")).await.expect(404);
    let preview = admin.get(&format!("/Views/{id}/preview")).await.expect(200).body;
    assert_eq!(preview["types"][0]["Resources"][0]["active"], false, "{preview}");
    let whole = admin.get(&format!("/Users/{maj}")).await.expect(200).body;
    assert!(whole.get("active").is_none() && !whole.to_string().contains("leaving"), "{whole}");
    for path in ["/AuditEvents?count=1000", "/.search"] {
        let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "count": 1000 });
        let said = match path {
            "/.search" => admin.post(path, &search).await,
            path => admin.get(path).await,
        };
        assert!(!said.expect(200).body.to_string().contains("~leaving"), "{path}");
    }
    verify(server).await;

    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("tenant.jsonl");
    std::fs::write(&file, command(server.database_url(), &["export", "--tenant", TENANT])).expect("a file");
    let other = Server::sqlite();
    other.run(&["import", "--tenant", TENANT, file.to_str().expect("a path")]);
    verify(&other).await;
    let there = Api::new(&other, cloud.token.clone());
    let found = there.find("/Users", "active eq false", "").await;
    assert_eq!((found.len(), &found[0]["id"]), (1, &json!(maj)));
    assert_eq!(other.number("SELECT COUNT(*) FROM due"), 1, "and its day is known there");
}

async fn a_view_is_administered_from_the_command_line(server: &Server) {
    let World { .. } = world(server).await;
    let url = server.database_url();
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("view.json");
    std::fs::write(&file, json!({ "types": staff() }).to_string()).expect("written");
    let file = file.to_str().expect("a path");
    let run = |arguments: &[&str]| command(url, &[&["view"], arguments, &["--tenant", TENANT, "--json"]].concat());
    let made: Value = serde_json::from_str(&run(&["create", "staff", file])).expect("JSON");
    let again = attempt(url, &["view", "create", "staff", file, "--tenant", TENANT]);
    assert!(again.is_err_and(|said| said.contains("--replace")));
    run(&["create", "staff", file, "--replace"]);
    let listed: Value = serde_json::from_str(&run(&["list"])).expect("JSON");
    assert_eq!((listed[0]["id"].clone(), listed.as_array().map(Vec::len)), (made["id"].clone(), Some(1)));
    let shown: Value = serde_json::from_str(&run(&["show", "staff"])).expect("JSON");
    assert_eq!(shown["types"][1]["type"], "Group");
    let preview: Value = serde_json::from_str(&run(&["preview", "staff", "--count", "1"])).expect("JSON");
    assert_eq!(preview["types"][0]["totalResults"], 1);
    let text = command(url, &["view", "preview", "staff", "--tenant", TENANT]);
    assert!(text.contains("User: 1 are seen") && text.contains("maj") && !text.contains("bo\""), "{text}");
    run(&["delete", "staff"]);
    assert!(attempt(url, &["view", "show", "staff", "--tenant", TENANT]).is_err());
}
