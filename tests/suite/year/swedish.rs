//! The second story: a Swedish municipality, whose door access system follows two registers every night. Each sentence that the
//! register answers for is asserted. What waits for others: the tool that proposes which records are the same person although
//! names are spelled differently; that connections are encrypted is `tls`'s.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::city::{City, PERSON, groups, rule};
use crate::support::api::Api;

const STAFF: &str = r#"
source = "staff"
[snapshot]
mode = "full"
[guard]
creates = { percent = 100, floor = 500 }
rejects = 50
[[resource]]
kind = "User"
key = "nr"
withdraw = "delete"
[resource.columns]
"name.familyName" = "namn"
"name.givenName" = "förnamn"
userType = { constant = "Employee" }
[[resource.list]]
path = "urn:matrikel:scim:schemas:1.0:Person:employments"
key = "employmentId"
[resource.list.columns]
employmentId = "anst"
start = { column = "från", date = "%Y-%m-%d" }
end = { column = "till", date = "%Y-%m-%d" }
unit = "enhet"
position = "befattning"
"#;

const PUPILS: &str = r#"
source = "pupils"
[snapshot]
mode = "full"
[guard]
creates = { percent = 100, floor = 500 }
[[resource]]
kind = "User"
key = "id"
withdraw = "delete"
[resource.columns]
"name.familyName" = "namn"
"name.givenName" = "förnamn"
userType = { constant = "Pupil" }
[[resource.list]]
path = "urn:matrikel:scim:schemas:1.0:Person:enrolments"
key = "enrolmentId"
[resource.list.columns]
enrolmentId = "plats"
schoolUnit = "skola"
class = "klass"
from = { column = "från", date = "%Y-%m-%d" }
"#;

/// What the program beside the access system sees when it compares: key → whether its card works, its organisation, its
/// permission groups.
async fn compare(door: &Api) -> BTreeSet<String> {
    let found = door.get("/Users?count=500").await.expect(200).body;
    let of = |user: &Value| {
        let unit =
            user[PERSON]["employments"].as_array().and_then(|list| list.iter().find(|one| one["current"] == true));
        let unit = unit.and_then(|one| one["unit"].as_str()).unwrap_or("-");
        let family = user["name"]["familyName"].as_str().unwrap_or_default();
        format!("{family} {} {unit} {}", if user["active"] == true { "on" } else { "off" }, groups(user).join(","))
    };
    found["Resources"].as_array().expect("people").iter().map(of).collect()
}

fn set(people: &[&str]) -> BTreeSet<String> {
    people.iter().map(|one| (*one).to_owned()).collect()
}

async fn the_story(city: &City) {
    city.policy().await;
    for code in ["S1", "S2", "KÖK"] {
        let unit = json!({
            "schemas": ["urn:matrikel:scim:schemas:1.0:OrganizationalUnit"], "code": code, "displayName": code,
        });
        city.hr.post("/OrganizationalUnits", &unit).await.expect(201);
    }
    // A position gives membership of the permission groups that belong to it.
    for (name, filter) in [
        ("door-caretaker", "employments[position eq \"vaktmästare\" and current eq true]"),
        ("door-kitchen", "employments[unit eq \"KÖK\" and current eq true]"),
        ("door-school", "enrolments[from pr]"),
    ] {
        city.group(name).await;
        let active = json!({ "lifecycle": "active" });
        city.admin.post("/Rules", &rule(name, filter, name, &active)).await.expect(201);
    }
    let school = city.client("school", &["--role", "source", "--names", "generated", "--account-domain", "education"]);
    let door = city.client(
        "door",
        &["--role", "consumer", "--scope", "Run:read", "--scope", "User:read", "--scope", "Group:read"],
    );
    for (name, client, map) in [("staff", "hr", STAFF), ("pupils", "school", PUPILS)] {
        let found = city.admin.find("/Clients", &format!("name eq \"{client}\""), "").await;
        let feed = json!({
            "schemas": ["urn:matrikel:scim:schemas:1.0:Feed"], "name": name, "client": { "value": found[0]["id"] }, "map": map,
        });
        city.admin.post("/Feeds", &feed).await.expect(201);
    }
    // A record that somebody has made by hand.
    let guest = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", PERSON], "userName": "guest-1", "externalId": "g1",
        "name": { "familyName": "Gäst" }, PERSON: { "employments": [{ "employmentId": "g", "start": "2100-01-01", "type": "external" }] },
    });
    let guest = city.admin.post("/Users", &guest).await.expect(201);
    let by_hand = format!("/Users/{}", guest.body["id"].as_str().expect("an id"));
    let untouched = city.admin.get(&by_hand).await.expect(200).etag;

    // Staff and pupils each have a register that is kept up to date; the whole thing goes live in one day.
    let head = "nr;förnamn;namn;anst;från;till;enhet;befattning\n";
    let staff = format!(
        "{head}1;Åsa;Öberg;11;2090-01-01;;S1;vaktmästare\n2;Bo;Ek;21;2095-01-01;;S1;lärare\n3;Gun;Alm;31;2099-01-01;;KÖK;kock\n"
    );
    let pupils =
        "id;förnamn;namn;plats;skola;klass;från\np1;Ida;Lind;1;S1;7A;2099-08-10\np2;Nils;Berg;1;S2;3B;2099-08-10\n";
    let run = city.night(&city.hr, "staff", "2100-01-11", &staff).await;
    assert_eq!(run["counts"]["created"], 3);
    city.night(&school, "pupils", "2100-01-11", pupils).await;
    let first = set(&[
        "Gäst on - ",
        "Öberg on S1 door-caretaker",
        "Ek on S1 ",
        "Alm on KÖK door-kitchen",
        "Lind on - door-school",
        "Berg on - door-school",
    ]);
    assert_eq!(compare(&door).await, first);

    // Every night: who came, who went and who changed organisation.
    city.day("2100-01-12").await;
    let next = format!(
        "{head}1;Åsa;Öberg;11;2090-01-01;2100-01-11;S1;vaktmästare\n1;Åsa;Öberg;12;2100-01-12;;KÖK;kock\n3;Gun;Alm;31;2099-01-01;2100-01-11;KÖK;kock\n4;Kim;Dahl;41;2100-01-12;;S2;vaktmästare\n2;Bo;Ek;21;2095-01-01;;S1;lärare\n"
    );
    let run = city.night(&city.hr, "staff", "2100-01-12", &next).await;
    let counts = ["created", "updated", "disabled"].map(|name| run["counts"][name].as_u64().unwrap_or_default());
    assert_eq!(counts, [1, 1, 1], "{run}");
    let second = set(&[
        "Gäst on - ",
        "Öberg on KÖK door-kitchen",
        "Ek on S1 ",
        "Alm off - ",
        "Dahl on S2 door-caretaker",
        "Lind on - door-school",
        "Berg on - door-school",
    ]);
    assert_eq!(compare(&door).await, second);
    // Who pulls what has changed since last night gets just that.
    let changed = door.find("/Users", "meta.lastModified ge \"2100-01-11T22:00:00Z\"", "&count=500").await;
    let changed: BTreeSet<&str> = changed.iter().filter_map(|user| user["name"]["familyName"].as_str()).collect();
    assert_eq!(changed, BTreeSet::from(["Öberg", "Alm", "Dahl"]));
    // Somebody is not in the file any more.
    city.day("2100-01-13").await;
    let without = next.replace("2;Bo;Ek;21;2095-01-01;;S1;lärare\n", "");
    city.night(&city.hr, "staff", "2100-01-13", &without).await;
    assert!(compare(&door).await.contains("Ek off S1 "), "{:?}", compare(&door).await);

    // Every run leaves a report that the administrator of the access system can read.
    let runs = door.get("/Runs?count=50").await.expect(200).body;
    assert_eq!(runs["totalResults"], 4, "{runs}");
    assert!(runs["Resources"].as_array().expect("runs").iter().all(|run| run["counts"]["rows"].as_u64() > Some(0)));
    // Person records made by hand are never touched.
    assert_eq!(city.admin.get(&by_hand).await.expect(200).etag, untouched);
    // It has run since without disturbance: the same again does nothing.
    let before = city.changes().await;
    for day in ["2100-01-14", "2100-01-15", "2100-01-16"] {
        city.day(day).await;
        let run = city.night(&city.hr, "staff", day, &without).await;
        assert_eq!(run["counts"]["unchanged"], 3, "{run}");
        city.night(&school, "pupils", day, pupils).await;
    }
    assert_eq!(city.changes().await, before);

    // What a run could not read is told with its reason, and is erased in time; the run stays.
    city.day("2100-01-17").await;
    let run = city.night(&city.hr, "staff", "2100-01-17", &format!("{without}5;Eva;Ny;51;aldrig;;S1;lärare\n")).await;
    assert_eq!(run["counts"]["rejected"], 1, "{run}");
    let (path, items) = (format!("/Runs/{}", run["id"].as_str().expect("an id")), |items: &Value| {
        items["items"].as_array().map_or(0, Vec::len)
    });
    let rejects = format!("{path}/items?list=reject");
    assert_eq!(items(&city.admin.get(&rejects).await.expect(200).body), 1);
    assert_eq!(city.expire("2100-01-17").await, 0, "it has just ended");
    assert_eq!(city.expire("2100-04-17").await, 1);
    assert_eq!(items(&city.admin.get(&rejects).await.expect(200).body), 0);
    assert_eq!(city.admin.get(&path).await.expect(200).body["counts"]["rejected"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_swedish_municipality_on_sqlite() {
    the_story(&City::sqlite("2100-01-11").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_swedish_municipality_on_postgres() {
    the_story(&City::postgres("2100-01-11").await).await;
}
