//! Somebody without HR, from the first day to the last: entered by hand with a sponsor and an end, given what the rules say,
//! left alone by feeds, looked after when the sponsor leaves, prolonged, and closed when the end is reached.

use serde_json::{Value, json};

use super::city::{City, ENTERPRISE, PERSON, groups, rule, state};
use crate::support::api::Api;

const STAFF: &str = r#"
source = "staff"
[snapshot]
mode = "full"
[guard]
creates = { percent = 100, floor = 500 }
disables = { percent = 100, floor = 500 }
rejects = 100
[[resource]]
kind = "User"
key = "nr"
withdraw = "delete"
[resource.columns]
"name.familyName" = "namn"
"name.givenName" = { constant = "Kim" }
userType = { constant = "Employee" }
"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber" = "nr"
"urn:matrikel:scim:schemas:1.0:Person:personalNumber" = "pnr"
[[resource.list]]
path = "urn:matrikel:scim:schemas:1.0:Person:employments"
key = "employmentId"
[resource.list.columns]
employmentId = "anst"
start = { column = "från", date = "%Y-%m-%d" }
end = { column = "till", date = "%Y-%m-%d" }
"#;

/// A number that is a real one by its check digit, and somebody's.
const NUMBER: &str = "19811218-9876";

/// The file of the staff of a night; its run.
async fn night(city: &City, day: &str, rows: &str) -> Value {
    city.night(&city.hr, "staff", day, &format!("nr;pnr;namn;anst;från;till\n{rows}")).await
}

/// A guest; `end` and `sponsor` are left out where they are empty.
fn guest(end: &str, sponsor: &str) -> Value {
    let mut employment = json!({ "employmentId": "g", "type": "external", "start": "2100-01-20" });
    if !end.is_empty() {
        employment["end"] = json!(end);
    }
    let mut person = json!({ "personalNumber": NUMBER, "employments": [employment] });
    if !sponsor.is_empty() {
        person["sponsor"] = json!({ "value": sponsor });
    }
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", PERSON, ENTERPRISE], "userName": "guest-1",
        "name": { "familyName": "Gäst" }, ENTERPRISE: { "employeeNumber": "900" }, PERSON: person,
    })
}

fn put(path: &str, value: &Value) -> Value {
    json!([{ "op": "replace", "path": format!("{PERSON}:{path}"), "value": value }])
}

/// The work item of a kind about somebody that is open.
async fn open(city: &City, kind: &str, about: &str) -> Option<Value> {
    let filter = format!("kind eq \"{kind}\" and about.value eq \"{about}\" and state eq \"open\"");
    city.admin.find("/WorkItems", &filter, "").await.into_iter().next()
}

async fn id_of(api: &Api, family: &str) -> String {
    let found = api.find("/Users", &format!("name.familyName eq \"{family}\""), "").await;
    found[0]["id"].as_str().expect("an id").to_owned()
}

async fn the_story(city: &City) {
    let policy = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "staff", "zone": "Europe/Helsinki",
        "kinds": [{ "type": "external", "sponsored": true, "longestMonths": 6 }],
    });
    city.admin.post("/Policies", &policy).await.expect(201);
    city.group("guests").await;
    let filter = "employments[type eq \"external\" and current eq true]";
    city.admin.post("/Rules", &rule("guests", filter, "guests", &json!({ "lifecycle": "active" }))).await.expect(201);
    let desk = city.client("desk", &["--role", "source", "--account-domain", "administration"]);
    let client = city.admin.find("/Clients", "name eq \"hr\"", "").await[0]["id"].clone();
    let feed = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Feed"], "name": "staff", "client": { "value": client }, "map": STAFF,
    });
    city.admin.post("/Feeds", &feed).await.expect(201);
    let staff = "1;;Öberg;11;2090-01-01;\n2;;Ek;21;2090-01-01;\n3;;Alm;31;2090-01-01;\n";
    night(city, "2100-01-11", staff).await;
    let (first, second, third) =
        (id_of(&city.admin, "Öberg").await, id_of(&city.admin, "Ek").await, id_of(&city.admin, "Alm").await);

    // What the policy asks for is asked for by its path.
    let nobody = "01913a51-7b00-7c1e-8d42-5f0a7e2b9c15";
    for (body, said) in [
        (guest("", &first), "Person:employments[employmentId eq \"g\"].end is missing"),
        (guest("2100-07-21", &first), "2100-07-20 is the last day"),
        (guest("2100-03-31", ""), "Person:sponsor.value is missing"),
        (guest("2100-03-31", nobody), "Person:sponsor.value leads to nobody"),
        (guest("2100-03-31", "Öberg"), "Person:sponsor.value leads to nobody"),
    ] {
        let refused = desk.post("/Users", &body).await.expect(400);
        assert_eq!(refused.body["scimType"], "invalidValue");
        assert!(refused.detail().contains(said), "{}", refused.detail());
    }
    let made = desk.post("/Users", &guest("2100-03-31", &first)).await.expect(201).body;
    let id = made["id"].as_str().expect("an id").to_owned();
    let path = format!("/Users/{id}");
    assert_eq!(made[PERSON]["sponsor"], json!({ "value": first, "$ref": made[PERSON]["sponsor"]["$ref"] }));
    assert!(
        made[PERSON]["sponsor"]["$ref"].as_str().is_some_and(|to| to.ends_with(&format!("/Users/{first}"))),
        "{made}"
    );
    assert_eq!(state(&made), ("staged", false));

    // The account and the rights are there on the day.
    city.day("2100-01-20").await;
    let seen = desk.get(&path).await.expect(200);
    assert_eq!((state(&seen.body), groups(&seen.body)), (("active", true), vec!["guests"]));

    // No file touches it: neither by the number, nor by what is not in it.
    let run = night(city, "2100-01-21", &format!("{staff}900;;Gäst;91;2100-01-01;\n")).await;
    assert_eq!((&run["counts"]["created"], &run["counts"]["rejected"]), (&json!(0), &json!(1)), "{run}");
    assert_eq!(desk.get(&path).await.expect(200).etag, seen.etag);
    let item = open(city, "takeover", &id).await.expect("somebody is to decide");
    assert_eq!((&item["details"], &item["cause"]), (&json!(["staff 900"]), &json!("feed staff")));
    // Nor by the identity number under another key.
    let run = night(city, "2100-01-22", &format!("{staff}901;{NUMBER};Gäst;92;2100-01-01;\n")).await;
    assert_eq!((&run["counts"]["created"], &run["counts"]["rejected"]), (&json!(0), &json!(1)), "{run}");
    assert_eq!(desk.get(&path).await.expect(200).etag, seen.etag);
    // Who was an employee and is a guest now is no more the feed's.
    let stays = json!([
        { "op": "add", "path": format!("{PERSON}:employments"), "value": [
            { "employmentId": "g2", "type": "external", "start": "2100-01-21", "end": "2100-05-31" }] },
        { "op": "add", "path": format!("{PERSON}:sponsor.value"), "value": second },
    ]);
    let former = format!("/Users/{third}");
    let etag = city.admin.patch(&former, &stays).await.expect(200).etag;
    let left = "1;;Öberg;11;2090-01-01;2100-02-10\n2;;Ek;21;2090-01-01;\n";
    let run = night(city, "2100-01-23", left).await;
    let counts = ["deleted", "disabled", "withdrawn"].map(|name| run["counts"][name].as_u64().unwrap_or_default());
    assert_eq!((counts, &run["counts"]["outside"]), ([0, 0, 0], &json!(1)), "{run}");
    assert_eq!(city.admin.get(&former).await.expect(200).etag, etag);

    // The sponsor leaves: the account keeps its end, and whoever entered it is asked.
    city.day("2100-02-11").await;
    city.look().await;
    assert_eq!(state(&city.admin.get(&format!("/Users/{first}")).await.expect(200).body), ("disabled", false));
    assert_eq!(state(&desk.get(&path).await.expect(200).body), ("active", true));
    let item = open(city, "sponsorship", &id).await.expect("nobody answers");
    assert!(item["summary"].as_str().is_some_and(|said| said.starts_with("Nobody answers")), "{item}");
    assert_eq!(item["owner"]["type"], "Client");
    assert_eq!(item["due"], "2100-03-31T21:00:00.000000Z");
    let end = "employments[employmentId eq \"g\"].end";
    let refused = desk.patch(&path, &put(end, &json!("2100-04-30"))).await.expect(400);
    assert!(refused.detail().contains("sponsor.value leads to nobody"), "{}", refused.detail());
    desk.patch(&path, &put("sponsor.value", &json!(id))).await.expect(400);
    desk.patch(&path, &put("sponsor.value", &json!(second))).await.expect(200);
    assert_eq!(open(city, "sponsorship", &id).await, None);

    // Before the end the sponsor is asked, who has it prolonged by so many months again at most.
    city.day("2100-03-24").await;
    assert_eq!(state(&desk.get(&path).await.expect(200).body), ("ending", true));
    let item = open(city, "sponsorship", &id).await.expect("the end is near");
    assert_eq!((&item["owner"]["value"], &item["owner"]["type"]), (&json!(second), &json!("User")));
    desk.patch(&path, &put(end, &json!("2100-09-25"))).await.expect(400);
    desk.patch(&path, &put(end, &json!("2100-06-30"))).await.expect(200);
    assert_eq!(open(city, "sponsorship", &id).await, None);
    assert_eq!(state(&desk.get(&path).await.expect(200).body), ("active", true));
    city.day("2100-06-23").await;
    assert!(open(city, "sponsorship", &id).await.is_some());
    let remove = json!([{ "op": "remove", "path": format!("{PERSON}:sponsor") }]);
    assert!(desk.patch(&path, &remove).await.expect(400).detail().contains("sponsor.value is missing"));

    // The end is reached: the account is closed, and nothing is left to decide but whose it is.
    city.day("2100-07-01").await;
    let over = desk.get(&path).await.expect(200).body;
    assert_eq!((state(&over), groups(&over)), (("disabled", false), Vec::new()));
    assert_eq!(open(city, "sponsorship", &id).await, None);
    assert!(open(city, "takeover", &id).await.is_some());
    desk.patch(&path, &remove).await.expect(200);
    assert_eq!(open(city, "takeover", &id).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_guest_from_the_first_day_to_the_last_on_sqlite() {
    the_story(&City::sqlite("2100-01-11").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_guest_from_the_first_day_to_the_last_on_postgres() {
    the_story(&City::postgres("2100-01-11").await).await;
}
