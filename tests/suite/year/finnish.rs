//! The first story: a Finnish city, where an employee is entered once. Each sentence that the register answers for is asserted.
//! What waits for others: how many seats of a licence there are, and who is next in the queue; which of two accounts is the one
//! that goes to the cloud.

use serde_json::{Value, json};

use super::city::{City, ENTERPRISE, PERSON, groups, rule, state};
use crate::support::api::Api;

const NUMBER: &str = "010190-999W";

fn maija() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE, PERSON], "externalId": "1001",
        "name": { "givenName": "Maija", "familyName": "Hämäläinen" }, "userType": "Employee",
        ENTERPRISE: { "employeeNumber": "1001" },
        PERSON: { "personalNumber": NUMBER, "personalNumberType": "fi", "employments": [{
            "employmentId": "1001-1", "type": "permanent", "start": "2100-03-01", "unit": "TK", "title": "Sairaanhoitaja",
            "taskCode": "nurse", "professionalNumber": "12345678901",
        }] },
    })
}

async fn the_story(city: &City) {
    city.policy().await;
    let unit = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:OrganizationalUnit"], "code": "TK", "displayName": "Terveyskeskus",
    });
    city.hr.post("/OrganizationalUnits", &unit).await.expect(201);
    for name in ["all-staff", "TK-staff", "health-records"] {
        city.group(name).await;
    }
    let entitlement = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Entitlement"], "value": "mailbox", "display": "Mailbox", "type": "licence",
    });
    city.admin.post("/Entitlements", &entitlement).await.expect(201);
    let active = json!({ "lifecycle": "active" });
    city.admin.post("/Rules", &rule("staff", "employments[start pr]", "all-staff", &active)).await.expect(201);
    let units = rule("units", "employments[unit pr]", "{{ unit.code }}-staff", &active);
    city.admin.post("/Rules", &units).await.expect(201);
    let mut mail = rule("mail", "employments[start pr]", "", &active);
    mail["grants"] = json!([{ "type": "entitlement", "value": "mailbox" }]);
    city.admin.post("/Rules", &mail).await.expect(201);
    let cloud = city.client("cloud", &["--role", "consumer"]);

    let (id, records) = she_is_entered_once_and_the_rest_follows(city, &cloud).await;
    telephone_numbers_come_from_the_telephony_platform(city, &cloud, &id).await;
    health_records_follow_the_task(city, &id, &records).await;
    the_school_links_its_account(city, &id).await;
    rules_are_simulated_before_they_are_rolled_out(city, &id).await;
    users_never_notice(city, &id).await;
    who_leaves_is_closed_and_erased(city, &cloud, &id).await;
}

/// "The HR system is the only place where an employee is entered. From that one entry the account, the mailbox, the groups and
/// the licences follow by rule, with no form and no ticket."
async fn she_is_entered_once_and_the_rest_follows(city: &City, cloud: &Api) -> (String, String) {
    let made = city.hr.post("/Users", &maija()).await.expect(201).body;
    let id = made["id"].as_str().expect("an id").to_owned();
    let path = format!("/Users/{id}");
    assert_eq!(state(&made), ("planned", false), "January: the start is far off");
    cloud.get(&path).await.expect(404);
    city.day("2100-02-20").await;
    let staged = city.hr.get(&path).await.expect(200).body;
    assert_eq!(state(&staged), ("staged", false));
    assert_eq!(staged["userName"], "maija.hamalainen", "the name is made, and HR is told");
    assert_eq!(groups(&staged), [""; 0], "rights are not given before the first day");
    city.day("2100-03-01").await;
    let user = cloud.get(&path).await.expect(200).body;
    assert_eq!(state(&user), ("active", true));
    assert_eq!(user["emails"][0]["value"], "maija.hamalainen@city.example");
    assert_eq!(groups(&user), ["TK-staff", "all-staff"]);
    assert_eq!(user["entitlements"][0]["value"], "mailbox", "{user}");
    // A rule on a restricted right, which nobody activates alone.
    let records = rule(
        "records",
        "employments[taskCode eq \"nurse\" and professionalNumber pr and current eq true]",
        "health-records",
        &json!({ "restricted": true }),
    );
    let made = city.admin.post("/Rules", &records).await.expect(201).body;
    (id, made["id"].as_str().expect("an id").to_owned())
}

/// "Telephone numbers come from the telephony platform and end up on the account and in the telephone directory."
async fn telephone_numbers_come_from_the_telephony_platform(city: &City, cloud: &Api, id: &str) {
    let write = ["--role", "source", "--write", "User:phoneNumbers"];
    let phones = city.client("phones", &write);
    let path = format!("/Users/{id}");
    let number = json!([{ "op": "replace", "path": "phoneNumbers", "value": [{ "type": "mobile", "value": "tel:+358401234567" }] }]);
    phones.patch(&path, &number).await.expect(200);
    let title = json!([{ "op": "replace", "path": "title", "value": "Boss" }]);
    phones.patch(&path, &title).await.expect(403);
    // What HR says of somebody else's attribute, nothing, leaves it where it is.
    let more = json!([{ "op": "replace", "path": "preferredLanguage", "value": "fi-FI" }]);
    city.hr.patch(&path, &more).await.expect(200);
    let directory = cloud.find("/Users", "phoneNumbers.value eq \"tel:+358401234567\"", "").await;
    assert_eq!(directory[0]["userName"], "maija.hamalainen");
}

/// "Access to the health-record system follows the person's work task, by way of a group: it must be lawful and free of mistakes."
async fn health_records_follow_the_task(city: &City, id: &str, rule: &str) {
    let (user, rule) = (format!("/Users/{id}"), format!("/Rules/{rule}"));
    let on = json!([{ "op": "replace", "path": "lifecycle", "value": "active" }]);
    city.admin.patch(&rule, &on).await.expect(403);
    let second = city.client("second", &["--role", "administrator"]);
    second.patch(&rule, &on).await.expect(200);
    city.look().await;
    assert!(groups(&city.admin.get(&user).await.expect(200).body).contains(&"health-records"));
    let why = city.admin.get(&format!("{user}/why?target=health-records")).await.expect(200).body;
    let ground = &why["rights"][0]["grounds"][0];
    assert_eq!((&ground["standing"], &ground["since"].is_string()), (&json!("held"), &true), "{why}");
    // Another task from a day on: on that day, and not before, the right is gone.
    let task = |employments: Value| json!([{ "op": "replace", "path": format!("{PERSON}:employments"), "value": employments }]);
    let mut first = maija()[PERSON]["employments"][0].clone();
    first["end"] = json!("2100-04-30");
    let mut clerk = first.clone();
    clerk["employmentId"] = json!("1001-2");
    (clerk["start"], clerk["taskCode"]) = (json!("2100-05-01"), json!("clerk"));
    clerk.as_object_mut().expect("an object").remove("end");
    city.hr.patch(&user, &task(json!([first, clerk]))).await.expect(200);
    city.day("2100-04-30").await;
    assert!(groups(&city.admin.get(&user).await.expect(200).body).contains(&"health-records"));
    city.day("2100-05-01").await;
    let after = city.admin.get(&user).await.expect(200).body;
    assert_eq!((groups(&after), state(&after)), (vec!["TK-staff", "all-staff"], ("active", true)));
    let why = city.admin.get(&format!("{user}/why?target=health-records")).await.expect(200).body;
    assert!(why.to_string().contains("taskCode"), "which clause fails on which fact: {why}");
    let then = city.admin.get(&format!("{user}/why?target=health-records&at=2100-04-01T08:00:00Z")).await.expect(200);
    assert_eq!(then.body["rights"][0]["held"], true, "{}", then.body);
}

/// "Schools have their own register; the HR number is exported there so that the two identities of one person are linked, each
/// account stays unique to its source."
async fn the_school_links_its_account(city: &City, id: &str) {
    let school = city.client("school", &["--role", "source", "--names", "generated", "--account-domain", "education"]);
    let exported = school.get(&format!("/Users/{id}")).await.expect(200).body;
    assert_eq!(exported[ENTERPRISE]["employeeNumber"], "1001");
    let teacher = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", PERSON], "externalId": "s-77",
        "name": { "givenName": "Maija", "familyName": "Hämäläinen" },
        PERSON: { "personalNumber": NUMBER, "personalNumberType": "fi", "employments": [
            { "employmentId": "s-77-1", "type": "hourly", "start": "2100-05-01" }] },
    });
    let made = school.post("/Users", &teacher).await.expect(201).body;
    assert_ne!(made["id"], *id);
    let whole = city.admin.get(&format!("/Users/{id}")).await.expect(200).body;
    assert_eq!(made[PERSON]["person"]["value"], whole[PERSON]["person"]["value"], "one human being");
    assert_eq!(made["userName"], "maija.hamalainen2", "and two accounts");
    // Entered once more by HR, under another number of its own, she has no second account.
    let mut twice = maija();
    (twice["externalId"], twice[ENTERPRISE]["employeeNumber"]) = (json!("1002"), json!("1002"));
    let refused = city.hr.post("/Users", &twice).await.expect(409);
    assert_eq!(refused.body["scimType"], "uniqueness");
    assert!(refused.detail().contains("personalNumber") && !refused.detail().contains(NUMBER), "{}", refused.detail());
}

/// "Every change of rule is simulated before it is rolled out, and errors are screened out there."
async fn rules_are_simulated_before_they_are_rolled_out(city: &City, id: &str) {
    let dotted = rule(
        "wrong",
        &format!("{PERSON}:employments.taskCode eq \"clerk\" and {PERSON}:employments.unit eq \"TK\""),
        "all-staff",
        &json!({}),
    );
    city.admin.post("/Rules", &dotted).await.expect(400);
    city.group("clerks").await;
    let clerks = rule("clerks", "employments[taskCode eq \"clerk\" and current eq true]", "clerks", &json!({}));
    let made = city.admin.post("/Rules", &clerks).await.expect(201).body;
    let before = city.changes().await;
    let asked = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Simulation"], "name": "clerks", "activate": [{ "value": made["id"] }],
    });
    let simulation = city.admin.post("/Simulations", &asked).await.expect(201).body;
    let path = format!("/Simulations/{}", simulation["id"].as_str().expect("an id"));
    let ready = city.settled(&path).await;
    assert_eq!((&ready["state"], &ready["counts"]["begins"]), (&json!("ready"), &json!(1)), "{ready}");
    assert_eq!(city.changes().await, before, "nothing has happened");
    let items = city.admin.get(&format!("{path}/items")).await.expect(200).body;
    assert_eq!(
        (&items["Resources"][0]["id"], &items["Resources"][0]["begins"][0]["display"]),
        (&json!(id), &json!("clerks"))
    );
    let apply = json!([{ "op": "replace", "path": "decision", "value": "apply" }]);
    city.admin.patch(&path, &apply).await.expect(200);
    assert_eq!(city.settled(&path).await["state"], "applied");
    city.look().await;
    assert_eq!(
        groups(&city.admin.get(&format!("/Users/{id}")).await.expect(200).body),
        ["TK-staff", "all-staff", "clerks"]
    );
}

/// "Users never notice the system: it is an invisible worker."
async fn users_never_notice(city: &City, id: &str) {
    let path = format!("/Users/{id}");
    let before = city.hr.get(&path).await.expect(200);
    let changes = city.changes().await;
    // HR says the same again, and some weeks go by.
    let mut same = maija();
    same[PERSON]["employments"] = before.body[PERSON]["employments"].clone();
    same["preferredLanguage"] = before.body["preferredLanguage"].clone();
    same["phoneNumbers"] = before.body["phoneNumbers"].clone();
    city.hr.put(&path, &same).await.expect(200);
    city.day("2100-06-20").await;
    city.look().await;
    assert_eq!((city.hr.get(&path).await.expect(200).etag, city.changes().await), (before.etag, changes));
}

/// "When someone leaves, the account is closed and erased by an agreed process."
async fn who_leaves_is_closed_and_erased(city: &City, cloud: &Api, id: &str) {
    let path = format!("/Users/{id}");
    let ends = json!([{ "op": "replace", "path": format!("{PERSON}:employments[employmentId eq \"1001-2\"].end"), "value": "2100-08-31" }]);
    city.hr.patch(&path, &ends).await.expect(200);
    city.day("2100-08-31T20:59:59Z").await;
    let last = cloud.get(&path).await.expect(200).body;
    assert_eq!((state(&last), groups(&last).len()), (("ending", true), 3), "the last day is a day of work");
    city.day("2100-09-01").await;
    let gone = cloud.get(&path).await.expect(200).body;
    assert_eq!((state(&gone), groups(&gone)), (("disabled", false), vec![]));
    assert!(gone.get("entitlements").is_none(), "the licence is free the same day: {gone}");
    city.day("2100-10-05").await;
    cloud.get(&path).await.expect(404);
    let limbo = city.admin.get(&path).await.expect(200).body;
    assert_eq!(state(&limbo).0, "limbo");
    city.day("2100-12-15").await;
    city.admin.get(&path).await.expect(404);
    // Nobody is ever given her name.
    let namesake = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", PERSON], "externalId": "2002",
        "name": { "givenName": "Maija", "familyName": "Hämäläinen" },
        PERSON: { "employments": [{ "employmentId": "2002-1", "type": "permanent", "start": "2100-12-16" }] },
    });
    let made = city.hr.post("/Users", &namesake).await.expect(201).body;
    assert!(!["maija.hamalainen", "maija.hamalainen2"].contains(&made["userName"].as_str().expect("a name")), "{made}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_finnish_city_on_sqlite() {
    the_story(&City::sqlite("2100-01-11").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_finnish_city_on_postgres() {
    the_story(&City::postgres("2100-01-11").await).await;
}
