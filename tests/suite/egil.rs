//! Names of the client's own in the place of ids (SS 12000:2018), beyond `tests/vectors/profiles/egil.json`: they are one
//! client's, open nothing that its scopes and view do not, and are nothing to clients of other profiles.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::messages::{set, user, user_with};
use crate::support::server::Server;

on_both_databases!(Server: a_name_of_its_own_leads_a_client_no_further_than_it_sees);

const PUPIL: &str = "0f9c3a5e-8a9f-4a55-9d43-0a5f7c1e2b11";
const TEACHER: &str = "0f9c3a5e-8a9f-4a55-9d43-0a5f7c1e2b12";
const NOBODY: &str = "0f9c3a5e-8a9f-4a55-9d43-0a5f7c1e2b13";

fn named(name: &str, external: &str, kind: &str) -> Value {
    user_with(name, &json!({ "externalId": external, "userType": kind }))
}

async fn a_name_of_its_own_leads_a_client_no_further_than_it_sees(server: &Server) {
    let admin = Api::new(server, server.tenant("town"));
    let client = |name: &str, role: &str, profile: &str| {
        Api::new(server, server.client_with("town", name, role, &["--profile", profile]))
    };
    let (school, other) = (client("school", "source", "egil"), client("other", "source", "egil"));
    let (plain, reader) = (client("plain", "source", "rfc"), client("reader", "consumer", "egil"));
    school.post("/Users", &named("ada", PUPIL, "pupil")).await.expect(201);
    school.post("/Users", &named("bo", TEACHER, "teacher")).await.expect(201);

    // It is one client's name, and one profile's.
    let path = |name: &str| format!("/Users/{name}");
    for stranger in [&other, &plain, &admin, &reader] {
        stranger.get(&path(PUPIL)).await.expect(404);
    }
    plain.put("/Users", &named("ada", PUPIL, "pupil")).await.expect(405);
    plain.post("/Users", &named("eva", NOBODY, "pupil")).await.expect(201);
    plain.get(&path(NOBODY)).await.expect(404);
    reader.put("/Users", &named("ada", PUPIL, "pupil")).await.expect(403);
    reader.delete(&path(PUPIL)).await.expect(403);
    school.put("/Nothing", &named("ada", PUPIL, "pupil")).await.expect(404);
    // The server's own id is as good, and shown to whoever has no names.
    let own = admin.find("/Users", "userName eq \"ada\"", "").await[0]["id"].as_str().expect("an id").to_owned();
    assert_ne!(own, PUPIL);
    assert_eq!(school.get(&path(&own)).await.expect(200).body["id"], PUPIL);

    // What is outside the view is not there, by its name neither.
    let types = json!([{ "type": "User", "filter": "userType ne \"teacher\"" }]);
    let view = json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": "pupils", "types": types });
    let view = admin.post("/Views", &view).await.expect(201).body["id"].clone();
    let me = admin.find("/Clients", "name eq \"school\"", "").await[0]["id"].as_str().expect("an id").to_owned();
    admin
        .patch(&format!("/Clients/{me}"), &json!([{ "op": "replace", "path": "view", "value": view }]))
        .await
        .expect(200);
    school.get(&path(PUPIL)).await.expect(200);
    let hidden = path(admin.find("/Users", "userName eq \"bo\"", "").await[0]["id"].as_str().expect("an id"));
    let before = admin.get(&hidden).await.expect(200).body;
    for (method, body) in [
        (Method::GET, None),
        (Method::PUT, Some(user("bo"))),
        (Method::PATCH, Some(set("title", &json!("t")))),
        (Method::DELETE, None),
    ] {
        let told = async |name: &str| {
            let said = school.ask(method.clone(), &path(name), body.as_ref(), &[]).await.expect(404);
            said.body.to_string().replace(name, "NAME")
        };
        assert_eq!(told(TEACHER).await, told(NOBODY).await, "{method}");
    }
    let at_collection = async |name: &str| {
        let said = school.put("/Users", &named("bo", name, "pupil")).await.expect(404);
        said.body.to_string().replace(name, "NAME")
    };
    assert_eq!(at_collection(TEACHER).await, at_collection(NOBODY).await);
    assert_eq!(admin.get(&hidden).await.expect(200).body, before, "nothing was touched");

    // A view that hides the names hides their use.
    let types = json!([{ "type": "User", "attributes": ["userName"] }]);
    let narrower = json!([{ "op": "replace", "path": "types", "value": types }]);
    admin.patch(&format!("/Views/{}", view.as_str().expect("an id")), &narrower).await.expect(200);
    school.get(&path(PUPIL)).await.expect(404);
    assert_eq!(school.get(&path(&own)).await.expect(200).body["id"], own);
}
