//! Identity numbers and employee numbers, each within its account domain: whose one is nobody else's is, who comes at the
//! same time, what files are told, and that an answer says no more than the path.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::links::{id, numbered, value};
use crate::support::api::{Api, Said, verify};
use crate::support::both::on_both_databases;
use crate::support::messages::user_with;
use crate::support::municipality::{Municipality, PERSON};

on_both_databases!(Municipality:
    a_number_is_one_accounts_in_its_domain_and_links_across_domains,
    of_many_at_once_one_has_the_number,
    an_employee_number_is_one_accounts_of_its_domain_and_source,
    a_provisional_number_is_remembered_and_a_wrong_one_is_not,
    many_in_one_message_are_told_one_by_one,
    of_many_accounts_entered_at_once_a_view_exports_one,
);

const NUMBER: &str = "811218-9876";
const OTHER: &str = "131052-308T";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn employed(name: &str, number: &str) -> Value {
    user_with(name, &json!({ "externalId": format!("k-{name}"), ENTERPRISE: { "employeeNumber": number } }))
}

/// It is told that a path is taken, and nothing else.
fn is_taken(said: &Said, path: &str) {
    assert_eq!((said.status, said.body["scimType"].as_str()), (409, Some("uniqueness")), "{}", said.body);
    assert_eq!(said.detail(), format!("The value of {path} is already in use. Choose another."));
}

fn number_path() -> String {
    format!("{PERSON}:personalNumber")
}

async fn a_number_is_one_accounts_in_its_domain_and_links_across_domains(register: &Municipality) {
    register.ready().await;
    let (staff, school) =
        (register.source("hr2", "administration").await, register.source("primus", "education").await);
    let guests = register.source("guests", "administration").await;
    let maj = staff.post("/Users", &numbered("maj", NUMBER)).await.expect(201).body;
    // Written otherwise it is the same, and whoever says so: one human being has no second account in a domain unasked.
    for (source, number) in [(&staff, "198112189876"), (&guests, NUMBER)] {
        is_taken(&source.post("/Users", &numbered("maj.two", number)).await, &number_path());
    }
    let pupil = school.post("/Users", &numbered("maj.l", NUMBER)).await.expect(201).body;
    assert_eq!(pupil[PERSON]["person"]["value"], maj[PERSON]["person"]["value"]);
    assert_eq!(pupil[PERSON]["person"]["kind"], "asserted");

    // Whoever has another number, or none, cannot be given it either, in whatever way it is written.
    let eva = id(&staff.post("/Users", &numbered("eva", OTHER)).await.expect(201).body);
    let bo = id(&staff.post("/Users", &user_with("bo", &json!({}))).await.expect(201).body);
    for user in [&eva, &bo] {
        let path = format!("/Users/{user}");
        let set = json!([{ "op": "add", "path": number_path(), "value": NUMBER }]);
        is_taken(&staff.patch(&path, &set).await, &number_path());
        is_taken(&staff.put(&path, &numbered("bo2", NUMBER)).await, &number_path());
    }
    // Its own number again is no conflict, and neither is anything else that changes.
    let path = format!("/Users/{}", id(&maj));
    staff.put(&path, &numbered("maj", NUMBER)).await.expect(200);
    staff.patch(&path, &json!([{ "op": "replace", "path": "title", "value": "x" }])).await.expect(200);
    // A number that nobody has any more is free.
    staff.patch(&path, &json!([{ "op": "remove", "path": number_path() }])).await.expect(200);
    staff.put(&format!("/Users/{bo}"), &numbered("bo", NUMBER)).await.expect(200);
    is_taken(&staff.put(&path, &numbered("maj", NUMBER)).await, &number_path());
    staff.delete(&format!("/Users/{bo}")).await.expect(204);
    staff.put(&path, &numbered("maj", NUMBER)).await.expect(200);
    // A school's temporary number says nothing of who somebody is.
    for name in ["tf1", "tf2"] {
        school.post("/Users", &numbered(name, "20100101-TF01")).await.expect(201);
    }
    // While keys are changed, and after it, it is the same number.
    register.command(&["key", "rotate", "--tenant", crate::support::municipality::TENANT]).expect("rotated");
    is_taken(&staff.post("/Users", &numbered("maj.three", NUMBER)).await, &number_path());
    verify(&register.server).await;
}

async fn at_once(source: &Api, bodies: Vec<Value>) -> Vec<Said> {
    let mut set = JoinSet::new();
    for body in bodies {
        let source = source.clone();
        set.spawn(async move { source.post("/Users", &body).await });
    }
    set.join_all().await
}

async fn of_many_at_once_one_has_the_number(register: &Municipality) {
    register.ready().await;
    let staff = register.source("hr2", "administration").await;
    let bodies = |what: fn(&str, &str) -> Value, number: &str| -> Vec<Value> {
        (0..12).map(|n| what(&format!("u{n}-{}", number.len()), number)).collect()
    };
    for answers in [at_once(&staff, bodies(numbered, NUMBER)).await, at_once(&staff, bodies(employed, "1001")).await] {
        let made = answers.iter().filter(|said| said.status == 201).count();
        let refused = answers.iter().filter(|said| said.status == 409).count();
        assert_eq!((made, refused), (1, 11));
    }
}

async fn an_employee_number_is_one_accounts_of_its_domain_and_source(register: &Municipality) {
    register.ready().await;
    let (staff, school) =
        (register.source("hr2", "administration").await, register.source("primus", "education").await);
    let guests = register.source("guests", "administration").await;
    staff.post("/Users", &employed("maj", "1001")).await.expect(201);
    let path = format!("{ENTERPRISE}:employeeNumber");
    is_taken(&staff.post("/Users", &employed("maj.two", "1001")).await, &path);
    // Each source counts its people by itself.
    guests.post("/Users", &employed("guest", "1001")).await.expect(201);
    school.post("/Users", &employed("teacher", "1001")).await.expect(201);
    let eva = id(&staff.post("/Users", &employed("eva", "1002")).await.expect(201).body);
    let set = json!([{ "op": "replace", "path": path, "value": "1001" }]);
    is_taken(&staff.patch(&format!("/Users/{eva}"), &set).await, &path);
    verify(&register.server).await;
}

async fn a_provisional_number_is_remembered_and_a_wrong_one_is_not(register: &Municipality) {
    register.ready().await;
    let staff = register.source("hr2", "administration").await;
    let replace = |number: &str| json!([{ "op": "replace", "path": number_path(), "value": number }]);
    // A coordination number gives way to the real one: who comes with the old one is the same human being.
    let maj = id(&staff.post("/Users", &numbered("maj", "701063-2391")).await.expect(201).body);
    staff.patch(&format!("/Users/{maj}"), &replace(NUMBER)).await.expect(200);
    is_taken(&staff.post("/Users", &numbered("maj.two", "701063-2391")).await, &number_path());
    // And so does a Finnish one that is given for a while.
    let bo = id(&staff.post("/Users", &numbered("bo", "010594Y9032")).await.expect(201).body);
    staff.patch(&format!("/Users/{bo}"), &replace(OTHER)).await.expect(200);
    is_taken(&staff.post("/Users", &numbered("bo.two", "010594Y9032")).await, &number_path());
    // A real one that was corrected is whoever's it is.
    let eva = id(&staff.post("/Users", &numbered("eva", "900101-9802")).await.expect(201).body);
    staff.patch(&format!("/Users/{eva}"), &replace("121212+1212")).await.expect(200);
    staff.post("/Users", &numbered("ida", "900101-9802")).await.expect(201);
    // Nothing of it is in clear, nor with who is there.
    assert_eq!(register.server.number("SELECT COUNT(*) FROM tombstone WHERE value LIKE 't1.%'"), 2);
    assert_eq!(register.server.number("SELECT COUNT(*) FROM tombstone"), 2);
    assert_ne!(value(&register.person_of(&eva).await), value(&register.person_of(&maj).await));
}

async fn many_in_one_message_are_told_one_by_one(register: &Municipality) {
    register.ready().await;
    let staff = register.source("hr2", "administration").await;
    let operation = |n: usize| json!({ "method": "POST", "path": "/Users", "bulkId": format!("b{n}"), "data": numbered(&format!("u{n}"), NUMBER) });
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [operation(0), operation(1)],
    });
    let said = staff.post("/Bulk", &body).await.expect(200).body;
    let statuses: Vec<&str> =
        said["Operations"].as_array().expect("operations").iter().filter_map(|one| one["status"].as_str()).collect();
    assert_eq!(statuses, ["201", "409"]);
    assert!(!said["Operations"][1].to_string().contains("811218"), "{said}");
}

async fn of_many_accounts_entered_at_once_a_view_exports_one(register: &Municipality) {
    let Municipality { admin, .. } = register.ready().await;
    let prefer: Vec<String> = (0..5).map(|n| format!("{PERSON}:accountDomain eq \"d{n}\"")).collect();
    let policy = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "Europe/Helsinki",
        "clouds": [{ "name": "m365", "prefer": prefer, "keepDays": 0 }],
    });
    admin.post("/Policies", &policy).await.expect(201);
    let mut sources = Vec::new();
    for n in 0..5 {
        sources.push(register.source(&format!("s{n}"), &format!("d{n}")).await);
    }
    let mut set = JoinSet::new();
    for (n, source) in sources.into_iter().enumerate() {
        set.spawn(async move { source.post("/Users", &numbered(&format!("u{n}"), NUMBER)).await.expect(201).body });
    }
    let made = set.join_all().await;
    let persons: BTreeSet<String> = made.iter().map(|user| value(&user[PERSON]["person"])).collect();
    assert_eq!(persons.len(), 1);
    let view = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": "cloud",
        "types": [{ "type": "User", "filter": format!("{PERSON}:clouds[name eq \"m365\" and state eq \"chosen\"]") }],
    });
    admin.post("/Views", &view).await.expect(201);
    let token =
        register.server.client_with(crate::support::municipality::TENANT, "cloud", "consumer", &["--view", "cloud"]);
    let cloud = Api { token, ..admin.clone() };
    let seen = async || -> Vec<String> {
        let found = cloud.get("/Users").await.expect(200).body;
        let found = found["Resources"].as_array().cloned().unwrap_or_default();
        found.iter().map(|user| user["userName"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(seen().await, ["u0"]);
    // Everybody chooses another one at the same time.
    let person = format!("/Persons/{}", persons.first().expect("one"));
    let mut set = JoinSet::new();
    for user in &made {
        let (admin, person) = (admin.clone(), person.clone());
        let choice = json!([{ "op": "replace", "path": "choices", "value": [{ "cloud": "m365", "value": id(user) }] }]);
        set.spawn(async move { admin.patch(&person, &choice).await.expect(200) });
    }
    set.join_all().await;
    let chosen = admin.get(&person).await.expect(200).body["choices"][0]["value"].clone();
    let name =
        admin.get(&format!("/Users/{}", chosen.as_str().expect("an id"))).await.expect(200).body["userName"].clone();
    assert_eq!(json!(seen().await), json!([name]));
    verify(&register.server).await;
}
