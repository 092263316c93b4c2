//! kill -9 of the real program while people are purged and their long past is erased, and two servers that do it at once:
//! everything is erased in the end, once, and nothing else is lost.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::messages::user_with;
use crate::support::moment::a_moment;
use crate::support::municipality::{Municipality, PERSON};

const PEOPLE: usize = 10;
/// Who stays.
const OTHERS: usize = 3;
/// Changes of the one with the longest past: several slices.
const LONG: usize = 1_700;

/// Changes people by as few requests as may be.
async fn change(api: &Api, changes: Vec<(String, Value)>) {
    for some in changes.chunks(500) {
        let patch = |(id, operation): &(String, Value)| {
            let urn = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
            let data = json!({ "schemas": [urn], "Operations": [operation] });
            json!({ "method": "PATCH", "path": format!("/Users/{id}"), "data": data })
        };
        let operations: Vec<Value> = some.iter().map(patch).collect();
        let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
        let answer = api.post("/Bulk", &json!({ "schemas": [urn], "Operations": operations })).await.expect(200);
        let all = answer.body["Operations"].as_array().cloned().unwrap_or_default();
        assert!(all.len() == some.len() && all.iter().all(|one| one["status"] == "200"), "{}", answer.body);
    }
}

/// People with a long past.
async fn lived(place: &Municipality) -> Vec<String> {
    place.ready().await;
    let policy = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "UTC", "purge": true,
        "purgeAfter": 60,
    });
    place.admin.post("/Policies", &policy).await.expect(201);
    let mut people = Vec::new();
    for n in 0..PEOPLE + OTHERS {
        let person = json!({ "employments": [{ "employmentId": "1", "start": "2019-01-01" }] });
        let body = user_with(&format!("p{n}.traceable"), &json!({ PERSON: person }));
        let made = place.hr.post("/Users", &body).await.expect(201).body;
        people.push(made["id"].as_str().expect("an id").to_owned());
    }
    let title = |n: usize| json!({ "op": "replace", "path": "title", "value": format!("traceable {n}") });
    let mut changes: Vec<(String, Value)> = (0..LONG).map(|n| (people[0].clone(), title(n))).collect();
    for n in 0..30 {
        changes.extend(people.iter().skip(1).map(|id| (id.clone(), title(n))));
    }
    change(&place.hr, changes).await;
    people
}

/// An administrator deletes who is over, one after the other, as far as the server lives; under a policy that is a purge.
async fn delete(admin: Api, people: Vec<String>) {
    for id in people.iter().take(PEOPLE) {
        let request = admin.client.delete(format!("{}/Users/{id}", admin.base)).bearer_auth(&admin.token);
        match request.send().await {
            Ok(answer) => assert!([204, 404].contains(&answer.status().as_u16()), "{answer:?}"),
            // The server was killed; whoever is left is asked for again.
            Err(_) => return,
        }
    }
}

/// Changes of somebody, of those that a condition holds for.
fn changes(place: &Municipality, id: &str, condition: &str) -> i64 {
    let hex = id.replace('-', "");
    let id = if place.server.is_postgres() { format!("'\\x{hex}'::bytea") } else { format!("x'{hex}'") };
    place.server.number(&format!("SELECT COUNT(*) FROM change WHERE resource_id = {id} AND {condition}"))
}

/// What is known of those who stay.
async fn known(place: &Municipality, people: &[String]) -> Vec<(i64, Value)> {
    let mut known = Vec::new();
    for id in people.iter().skip(PEOPLE) {
        let body = place.admin.get(&format!("/Users/{id}")).await.expect(200).body;
        known.push((changes(place, id, "salt IS NOT NULL"), json!([body["userName"], body["title"], body[PERSON]])));
    }
    known
}

fn is_done(place: &Municipality) -> bool {
    let users = i64::try_from(OTHERS).expect("few");
    place.server.number("SELECT COUNT(*) FROM resource WHERE kind = 'User'") == users
        && place.server.number("SELECT COUNT(*) FROM erasure WHERE done_at IS NULL") == 0
}

async fn is_as_it_should_be(place: &Municipality, people: &[String], before: &[(i64, Value)]) {
    for id in people.iter().take(PEOPLE) {
        assert_eq!(changes(place, id, "salt IS NOT NULL"), 0, "all of the past is erased");
        assert_eq!(changes(place, id, "op = 'delete'"), 1, "and each was purged once");
        assert!(changes(place, id, "doc IS NULL") > 30, "whose headers stay");
        place.admin.get(&format!("/Users/{id}")).await.expect(404);
    }
    let stones = "SELECT COUNT(*) FROM tombstone WHERE namespace = 'userName'";
    assert_eq!(place.server.number(stones), i64::try_from(PEOPLE).expect("few"));
    assert_eq!(known(place, people).await, before, "others have their past");
    place.command(&["check"]).expect("all is well");
}

async fn erased_under_kills(mut place: Municipality) {
    let people = lived(&place).await;
    let before = known(&place, &people).await;
    for _ in 0..6 {
        let deleting = tokio::spawn(delete(place.admin.clone(), people.clone()));
        a_moment(1_400).await;
        place.server.kill();
        deleting.await.expect("it ends");
        place.end_leases();
        place.server.restart();
        place.admin.base = place.server.base_url.clone();
    }
    delete(place.admin.clone(), people.clone()).await;
    until(async || is_done(&place)).await;
    is_as_it_should_be(&place, &people, &before).await;
}

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..2_400 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not all is erased");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_erased_under_kill_9_is_erased_in_the_end_on_sqlite() {
    erased_under_kills(Municipality::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_erased_under_kill_9_is_erased_in_the_end_on_postgres() {
    erased_under_kills(Municipality::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_erase_at_once_come_to_the_same() {
    let place = Municipality::postgres();
    let people = lived(&place).await;
    let before = known(&place, &people).await;
    let mut other = place.beside();
    let deleting = tokio::spawn(delete(place.admin.clone(), people.clone()));
    let mut round = 0;
    // Nobody keeps the lease for long, so that both are at it; and one of them is killed now and then.
    until(async || {
        place.end_leases();
        round += 1;
        if round % 40 == 0 {
            a_moment(300).await;
            other.kill();
            other.restart();
        }
        is_done(&place)
    })
    .await;
    deleting.await.expect("it ended");
    is_as_it_should_be(&place, &people, &before).await;
}
