//! Names of the client's own in the place of ids (SS 12000:2018), beyond `tests/vectors/profiles/egil.json`: they are one
//! client's, open nothing that its scopes and view do not, and are nothing to clients of other profiles.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::messages::{group, set, user, user_with, with};
use crate::support::server::Server;

on_both_databases!(Server: a_name_of_its_own_leads_a_client_no_further_than_it_sees,
    references_are_by_the_names_that_a_client_knows, a_name_in_a_reference_leads_no_further_than_the_client_sees);

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const CLASS: &str = "5f3e0b5c-5a51-4d0f-9f63-7a1f0a9f1a01";
const SCHOOL: &str = "5f3e0b5c-5a51-4d0f-9f63-7a1f0a9f1a02";

const PUPIL: &str = "0f9c3a5e-8a9f-4a55-9d43-0a5f7c1e2b11";
const TEACHER: &str = "0f9c3a5e-8a9f-4a55-9d43-0a5f7c1e2b12";
const NOBODY: &str = "0f9c3a5e-8a9f-4a55-9d43-0a5f7c1e2b13";

fn named(name: &str, external: &str, kind: &str) -> Value {
    user_with(name, &json!({ "externalId": external, "userType": kind }))
}

/// Has the client `school` see these types through a view, whose id it answers.
async fn narrow(admin: &Api, types: &Value) -> String {
    let view = json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": "pupils", "types": types });
    let view = admin.post("/Views", &view).await.expect(201).body["id"].as_str().expect("an id").to_owned();
    let me = admin.find("/Clients", "name eq \"school\"", "").await[0]["id"].as_str().expect("an id").to_owned();
    let uses = json!([{ "op": "replace", "path": "view", "value": view }]);
    admin.patch(&format!("/Clients/{me}"), &uses).await.expect(200);
    view
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
    let view = narrow(&admin, &types).await;
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
    admin.patch(&format!("/Views/{view}"), &narrower).await.expect(200);
    school.get(&path(PUPIL)).await.expect(404);
    assert_eq!(school.get(&path(&own)).await.expect(200).body["id"], own);
}

/// A client of the profile, with a pupil whose manager is a teacher, a class of both, and a school that holds the class.
async fn school(server: &Server) -> (Api, Api) {
    let admin = Api::new(server, server.tenant("town"));
    let school = Api::new(server, server.client_with("town", "school", "source", &["--profile", "egil"]));
    school.post("/Users", &named("bo", TEACHER, "teacher")).await.expect(201);
    let manager = json!({ "externalId": PUPIL, "userType": "pupil", ENTERPRISE: { "manager": { "value": TEACHER } } });
    let pupil = school.post("/Users", &user_with("ada", &manager)).await.expect(201).body;
    assert_eq!(pupil[ENTERPRISE]["manager"]["value"], TEACHER, "{pupil}");
    let class = with(group("7 B", &[PUPIL, TEACHER]), &json!({ "externalId": CLASS }));
    school.post("/Groups", &class).await.expect(201);
    let whole = with(group("School", &[CLASS]), &json!({ "externalId": SCHOOL }));
    school.post("/Groups", &whole).await.expect(201);
    (admin, school)
}

/// The values of references, and that each leads to where its value does.
fn values(references: &Value) -> Vec<&str> {
    let several = references.as_array().map_or(std::slice::from_ref(references), Vec::as_slice);
    let value = |one: &&'_ Value| one["value"].is_string();
    for one in several.iter().filter(value).filter(|one| one["$ref"].is_string()) {
        let (address, id) = (one["$ref"].as_str().expect("one"), one["value"].as_str().expect("one"));
        assert!(address.ends_with(&format!("/{id}")), "{one}");
    }
    let mut values: Vec<&str> = several.iter().filter_map(|one| one["value"].as_str()).collect();
    values.sort_unstable();
    values
}

async fn references_are_by_the_names_that_a_client_knows(server: &Server) {
    let (admin, school) = school(server).await;
    let class = format!("/Groups/{CLASS}");
    let pupil = format!("/Users/{PUPIL}");

    // They are answered, one by one and in lists, whatever is asked for beside them.
    for path in [class.clone(), format!("{class}?attributes=members.value,members.$ref")] {
        let shown = school.get(&path).await.expect(200).body;
        assert_eq!((values(&shown["members"]), &shown["id"]), (vec![PUPIL, TEACHER], &json!(CLASS)), "{shown}");
    }
    let shown = school.get(&pupil).await.expect(200).body;
    assert_eq!(values(&shown[ENTERPRISE]["manager"]), [TEACHER]);
    assert_eq!(values(&shown["groups"]), [CLASS, SCHOOL]);
    let listed = school.get("/Groups?sortBy=displayName&attributes=members").await.expect(200).body;
    let members: Vec<_> =
        listed["Resources"].as_array().expect("some").iter().map(|one| values(&one["members"])).collect();
    assert_eq!(members, [vec![PUPIL, TEACHER], vec![CLASS]]);
    let everything =
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "attributes": ["groups"] });
    let found = school.post("/.search", &everything).await.expect(200).body;
    let of = |id: &str| found["Resources"].as_array().and_then(|all| all.iter().find(|one| one["id"] == id)).cloned();
    assert_eq!(values(&of(PUPIL).expect("one")["groups"]), [CLASS, SCHOOL]);
    let links = school.get("/GroupMemberships").await.expect(200).body;
    for link in links["Resources"].as_array().expect("some") {
        let ends = [values(&link["group"])[0], values(&link["member"])[0]];
        assert!(ends.iter().all(|end| [CLASS, SCHOOL, PUPIL, TEACHER].contains(end)), "{link}");
    }

    // They are understood in filters.
    for (endpoint, filter, expected) in [
        ("/Groups", format!("members.value eq \"{PUPIL}\""), vec![CLASS]),
        ("/Groups", format!("members[value eq \"{CLASS}\" and type eq \"Group\"]"), vec![SCHOOL]),
        ("/Groups", format!("id eq \"{SCHOOL}\""), vec![SCHOOL]),
        ("/Users", format!("{ENTERPRISE}:manager.value eq \"{TEACHER}\""), vec![PUPIL]),
        ("/Users", format!("groups.value eq \"{CLASS}\" and userName eq \"bo\""), vec![TEACHER]),
        ("/Users", format!("externalId eq \"{PUPIL}\""), vec![PUPIL]),
        ("/Users", format!("groups.value eq \"{NOBODY}\""), vec![]),
    ] {
        let found = school.find(endpoint, &filter, "").await;
        assert_eq!(found.iter().filter_map(|one| one["id"].as_str()).collect::<Vec<_>>(), expected, "{filter}");
    }
    let links = school.find("/GroupMemberships", &format!("member.value eq \"{PUPIL}\""), "").await;
    assert_eq!(links.len(), 1);

    // They are understood in what is written: PATCH, PUT, a membership.
    let without = json!([{ "op": "remove", "path": format!("members[value eq \"{PUPIL}\"]") }]);
    school.patch(&class, &without).await.expect(204);
    let again = json!([{ "op": "add", "path": "members", "value": [{ "value": PUPIL }] }]);
    let shown = school.patch(&format!("{class}?attributes=members"), &again).await.expect(200).body;
    assert_eq!(values(&shown["members"]), [PUPIL, TEACHER]);
    let alone = with(group("7 B", &[PUPIL]), &json!({ "externalId": CLASS }));
    let shown = school.put(&class, &alone).await.expect(200).body;
    assert_eq!(values(&shown["members"]), [PUPIL]);
    let nobody = json!([{ "op": "replace", "path": format!("{ENTERPRISE}:manager.value"), "value": PUPIL }]);
    let shown = school.patch(&pupil, &nobody).await.expect(200).body;
    assert_eq!(values(&shown[ENTERPRISE]["manager"]), [PUPIL]);
    let link = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:GroupMembership"], "group": { "value": CLASS }, "member": { "value": TEACHER },
    });
    let made = school.post("/GroupMemberships", &link).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!((values(&made.body["group"]), values(&made.body["member"])), (vec![CLASS], vec![TEACHER]));

    // Others know the register's ids, and so is it stored.
    let stored = admin.find("/Groups", "displayName eq \"7 B\"", "").await[0].clone();
    let ids = values(&stored["members"]);
    assert!(ids.len() == 2 && !ids.contains(&PUPIL) && !ids.contains(&TEACHER), "{stored}");
    // And the client may go by these too.
    assert_eq!(school.find("/Groups", &format!("members.value eq \"{}\"", ids[0]), "").await.len(), 1);
    crate::support::api::verify(server).await;
}

async fn a_name_in_a_reference_leads_no_further_than_the_client_sees(server: &Server) {
    let (admin, school) = school(server).await;
    let types = json!([{ "type": "User", "filter": "userType ne \"teacher\"" }, { "type": "Group" }]);
    let view = narrow(&admin, &types).await;
    let class = format!("/Groups/{CLASS}");
    assert_eq!(values(&school.get(&class).await.expect(200).body["members"]), [PUPIL]);
    assert_eq!(school.get(&format!("/Users/{PUPIL}")).await.expect(200).body[ENTERPRISE], Value::Null);
    // Who is hidden and who is not there are one, in filters and in what is said of a refusal.
    for name in [TEACHER, NOBODY] {
        assert!(school.find("/Groups", &format!("members.value eq \"{name}\""), "").await.is_empty());
        assert!(school.find("/Users", &format!("id eq \"{name}\""), "").await.is_empty());
    }
    let told = async |name: &str| {
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": name }] }]);
        let said = school.patch(&class, &add).await.expect(400);
        assert!(said.detail().contains(name), "{}", said.detail());
        said.body.to_string().replace(name, "NAME")
    };
    assert_eq!(told(TEACHER).await, told(NOBODY).await);

    // Where the view hides names they lead nowhere, and are not shown.
    let types = json!([{ "type": "User", "attributes": ["userName"] }, { "type": "Group" }]);
    let narrower = json!([{ "op": "replace", "path": "types", "value": types }]);
    admin.patch(&format!("/Views/{view}"), &narrower).await.expect(200);
    let shown = school.get(&class).await.expect(200).body;
    assert!(values(&shown["members"]).len() == 2 && !values(&shown["members"]).contains(&PUPIL), "{shown}");
    assert!(school.find("/Groups", &format!("members.value eq \"{PUPIL}\""), "").await.is_empty());
}
