//! Persons: every account has one; accounts of different domains with one number are the same human being's; other links are
//! said by whoever may, and all of them can be taken back.

use serde_json::{Value, json};

use crate::support::api::{Api, verify};
use crate::support::both::on_both_databases;
use crate::support::messages::user_with;
use crate::support::municipality::{Municipality, PERSON, TENANT};

const NUMBER: &str = "811218-9876";

impl Municipality {
    /// A source whose accounts lie in an account domain.
    pub(crate) async fn source(&self, name: &str, domain: &str) -> Api {
        let token = self.server.client_with(TENANT, name, "source", &["--account-domain", domain]);
        Api { token, ..self.hr.clone() }
    }

    pub(crate) async fn person_of(&self, user: &str) -> Value {
        self.admin.get(&format!("/Users/{user}")).await.expect(200).body[PERSON]["person"].clone()
    }

    async fn accounts(&self, person: &str) -> Vec<Value> {
        let person = self.admin.get(&format!("/Persons/{person}")).await.expect(200).body;
        person["accounts"].as_array().cloned().unwrap_or_default()
    }
}

pub(crate) fn id(said: &Value) -> String {
    said["id"].as_str().unwrap_or_else(|| panic!("an id in {said}")).to_owned()
}

pub(crate) fn value(link: &Value) -> String {
    link["value"].as_str().unwrap_or_else(|| panic!("a person in {link}")).to_owned()
}

pub(crate) fn numbered(name: &str, number: &str) -> Value {
    user_with(name, &json!({ PERSON: { "personalNumber": number } }))
}

async fn accounts_with_one_number_are_one_persons(register: &Municipality) {
    register.ready().await;
    let (staff, school) =
        (register.source("hr2", "administration").await, register.source("primus", "education").await);
    let maj = staff.post("/Users", &numbered("maj", NUMBER)).await.expect(201).body;
    assert_eq!(maj[PERSON]["accountDomain"], "administration");
    let first = register.person_of(&id(&maj)).await;
    assert_eq!(first.get("kind"), None, "one account rests on nothing");
    assert_eq!(first["$ref"], format!("../Persons/{}", value(&first)));
    let pupil = school.post("/Users", &numbered("maj.l", "19811218-9876")).await.expect(201).body;
    let link = register.person_of(&id(&pupil)).await;
    assert_eq!([&link["value"], &link["kind"]], [&first["value"], &json!("asserted")]);
    assert!(link["since"].is_string());
    let accounts = register.accounts(&value(&first)).await;
    let domains: Vec<&Value> = accounts.iter().map(|account| &account["accountDomain"]).collect();
    assert_eq!(domains, ["administration", "education"]);
    assert_eq!(accounts[1]["by"], "primus");

    // One with another number is somebody else's.
    let other = school.post("/Users", &numbered("eva", "900101-9802")).await.expect(201).body;
    assert_ne!(register.person_of(&id(&other)).await["value"], first["value"]);
    // A temporary number says nothing; the real one that comes later does.
    staff.post("/Users", &numbered("tf.old", "20100101-TF01")).await.expect(201);
    let new = school.post("/Users", &numbered("tf.new", "20100101-TF01")).await.expect(201).body;
    let alone = register.person_of(&id(&new)).await;
    let bo = staff.post("/Users", &numbered("bo", "131052-308T")).await.expect(201).body;
    let real = json!([{ "op": "replace", "path": format!("{PERSON}:personalNumber"), "value": "131052-308T" }]);
    school.patch(&format!("/Users/{}", id(&new)), &real).await.expect(200);
    let link = register.person_of(&id(&new)).await;
    assert_eq!([&link["value"], &link["kind"]], [&register.person_of(&id(&bo)).await["value"], &json!("asserted")]);
    register.admin.get(&format!("/Persons/{}", value(&alone))).await.expect(404);
    verify(&register.server).await;
}

async fn a_link_is_said_dated_and_taken_back(register: &Municipality) {
    let Municipality { admin, hr, .. } = register.ready().await;
    let mut users = Vec::new();
    for name in ["a", "b", "c"] {
        users.push(id(&hr.post("/Users", &user_with(name, &json!({}))).await.expect(201).body));
    }
    let persons: Vec<String> = [
        value(&register.person_of(&users[0]).await),
        value(&register.person_of(&users[1]).await),
        value(&register.person_of(&users[2]).await),
    ]
    .into();
    let path = format!("/Persons/{}", persons[0]);
    let link = |user: &str, kind: &str| json!([{ "op": "add", "path": "accounts", "value": [{ "value": user, "kind": kind, "reason": "seen" }] }]);
    let refused = admin.patch(&path, &link(&users[1], "asserted")).await.expect(400);
    assert!(refused.detail().contains("accounts.kind"), "{}", refused.detail());
    admin.patch(&path, &link("0197a5c0-0000-7000-8000-000000000001", "manual")).await.expect(400);
    admin.patch(&path, &link(&users[1], "matched")).await.expect(200);
    assert_eq!(value(&register.person_of(&users[1]).await), persons[0]);
    admin.get(&format!("/Persons/{}", persons[1])).await.expect(404);
    let accounts = register.accounts(&persons[0]).await;
    assert_eq!([&accounts[1]["kind"], &accounts[1]["by"], &accounts[1]["reason"]], ["matched", "admin", "seen"]);

    // Nobody steals an account that is linked, and a person with accounts is not deleted.
    let stolen = admin.patch(&format!("/Persons/{}", persons[2]), &link(&users[1], "manual")).await.expect(409);
    assert_eq!(stolen.body["scimType"], "uniqueness");
    admin.delete(&path).await.expect(409);

    let before = admin.get(&path).await.expect(200);
    admin.put(&path, &before.body).await.expect(200);
    assert_eq!(admin.get(&path).await.expect(200).etag, before.etag, "the same again is no new version");

    let remove = json!([{ "op": "remove", "path": format!("accounts[value eq \"{}\"]", users[1]) }]);
    let left = admin.patch(&path, &remove).await.expect(200).body;
    let former = &left["formerAccounts"][0];
    assert_eq!([&former["value"], &former["kind"]], [&json!(users[1]), &json!("matched")]);
    assert!(former["since"].is_string() && former["until"].is_string() && former["by"] == "admin", "{former}");
    let own = register.person_of(&users[1]).await;
    assert_ne!(value(&own), persons[0], "both are as they were");
    assert_eq!(register.accounts(&value(&own)).await.len(), 1);

    // The last account takes the person along.
    hr.delete(&format!("/Users/{}", users[2])).await.expect(204);
    admin.get(&format!("/Persons/{}", persons[2])).await.expect(404);
    verify(&register.server).await;
}

async fn a_link_that_was_taken_back_is_not_made_again(register: &Municipality) {
    let Municipality { admin, .. } = register.ready().await;
    let (staff, school) =
        (register.source("hr2", "administration").await, register.source("primus", "education").await);
    let maj = id(&staff.post("/Users", &numbered("maj", NUMBER)).await.expect(201).body);
    let other = id(&school.post("/Users", &numbered("other", NUMBER)).await.expect(201).body);
    let shared = value(&register.person_of(&maj).await);
    let remove = json!([{ "op": "remove", "path": format!("accounts[value eq \"{other}\"]") }]);
    admin.patch(&format!("/Persons/{shared}"), &remove).await.expect(200);
    let own = value(&register.person_of(&other).await);
    assert_ne!(own, shared);
    // The number comes and goes, and the word stands.
    let path = format!("/Users/{other}");
    let number = format!("{PERSON}:personalNumber");
    school.patch(&path, &json!([{ "op": "remove", "path": number }])).await.expect(200);
    school.patch(&path, &json!([{ "op": "add", "path": number, "value": NUMBER }])).await.expect(200);
    assert_eq!(value(&register.person_of(&other).await), own);
}

async fn clients_that_are_not_told_of_a_user_cannot_link_it(register: &Municipality) {
    let Municipality { admin, hr, .. } = register.ready().await;
    let seen = id(&hr.post("/Users", &user_with("seen", &json!({ "title": "x" }))).await.expect(201).body);
    let hidden = id(&hr.post("/Users", &user_with("hidden", &json!({}))).await.expect(201).body);
    let view = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": "few",
        "types": [{ "type": "User", "filter": "title eq \"x\"" }, { "type": "Person" }],
    });
    admin.post("/Views", &view).await.expect(201);
    let token = register.server.client_with(TENANT, "few", "source", &["--view", "few"]);
    let few = Api { token, ..hr.clone() };
    let person = value(&register.person_of(&seen).await);
    let add = |user: &str| json!([{ "op": "add", "path": "accounts", "value": [{ "value": user, "kind": "manual" }] }]);
    let missing =
        few.patch(&format!("/Persons/{person}"), &add("0197a5c0-0000-7000-8000-000000000001")).await.expect(400);
    let unseen = few.patch(&format!("/Persons/{person}"), &add(&hidden)).await.expect(400);
    assert_eq!(
        unseen.detail().replace(&hidden, "X"),
        missing.detail().replace("0197a5c0-0000-7000-8000-000000000001", "X"),
        "it answers as if there was none"
    );
}

on_both_databases!(Municipality:
    accounts_with_one_number_are_one_persons,
    a_link_is_said_dated_and_taken_back,
    a_link_that_was_taken_back_is_not_made_again,
    clients_that_are_not_told_of_a_user_cannot_link_it,
);
