//! Who comes back under another number of the employer's: known by the identity number, in time and after a purge; not taken for
//! another where it is not clear; and whoever a second source enters that is there already.

use std::sync::Arc;

use matrikel::directory::secret::rotate::Rotated;
use matrikel::directory::{Ctx, Error};
use serde_json::{Value, json};

use super::town::{PERSON, Town, at, person, told};
use crate::support::both::on_both_databases;
use crate::support::register::body;

on_both_databases!(Town:
    who_comes_back_under_another_employee_number_is_known_by_the_identity_number,
    where_it_is_not_clear_nobody_is_taken_for_another,
    a_number_that_comes_late_is_looked_at_and_the_old_account_stays_closed,
    who_comes_back_after_a_purge_has_the_old_names_by_the_number,
    the_key_of_what_is_left_stays_as_long_as_something_is_left,
    a_second_source_feeds_the_account_that_is_there,
    without_a_key_or_a_policy_a_second_source_is_refused,
);

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const ADA: &str = "811218-9876";
const BO: &str = "131052-308T";

impl Town {
    /// HR of an account domain, which leaves names to the policy.
    fn office(&self) -> Ctx {
        let mut ctx = self.hr();
        Arc::make_mut(&mut ctx.caller).generates_names = true;
        ctx
    }

    pub(crate) async fn items(&self) -> Vec<Value> {
        let found = self.register.search(&self.admin(), "WorkItem", &[]).await.expect("found");
        found["Resources"].as_array().cloned().unwrap_or_default()
    }

    /// Purposes and numbers of the tenant's keys for what is left of identity numbers.
    async fn burying_keys(&self) -> Vec<i64> {
        let tenant = self.register.tenant;
        let keys = self.register.directory.store().read(move |reader| reader.sealing_keys(tenant)).await.expect("read");
        keys.iter().filter(|key| key.purpose == "bury").map(|key| key.id).collect()
    }

    async fn rotate(&self) -> Rotated {
        let (tenant, now) = (self.register.tenant, self.now());
        self.register.directory.rotate_keys(tenant, now, false, &mut |_| {}).await.expect("rotated")
    }
}

fn id_of(user: &Value) -> String {
    user["id"].as_str().expect("an id").to_owned()
}

/// Somebody with an identity number, the number of the employer and a day of work.
fn numbered(name: &str, number: &str, employee: &str, days: (&str, &str)) -> Value {
    let mut body = person(name, &[("1", "permanent", days.0, days.1)]);
    body[PERSON]["personalNumber"] = json!(number);
    body[ENTERPRISE]["employeeNumber"] = json!(employee);
    body["externalId"] = json!(format!("hr-{employee}"));
    body
}

/// The same without any name of login.
fn nameless(given: &str, family: &str, number: &str, employee: &str, days: (&str, &str)) -> Value {
    let mut body = numbered("x", number, employee, days);
    let fields = body.as_object_mut().expect("an object");
    fields.shift_remove("userName");
    fields.shift_remove("emails");
    body["name"] = json!({ "givenName": given, "familyName": family });
    body
}

fn is_taken(refused: Result<matrikel::directory::Written, Error>, path: &str) {
    match refused {
        Err(Error::Scim(error)) => {
            assert_eq!(error.scim_type.map(scim::ScimType::as_str), Some("uniqueness"));
            assert!(error.detail.contains(&format!("{path} is already in use")), "{}", error.detail);
        }
        Err(error) => panic!("another reason: {error}"),
        Ok(written) => panic!("it was made: {}", body(&written)),
    }
}

async fn who_comes_back_under_another_employee_number_is_known_by_the_identity_number(town: &Town) {
    town.with_policy(json!({})).await;
    let id = id_of(&town.enter(&town.hr(), numbered("ada", ADA, "1001", ("2025-01-01", "2026-01-31"))).await);
    is_taken(
        town.create(&town.hr(), "User", numbered("ada2", ADA, "2001", ("2026-01-10", ""))).await,
        "personalNumber",
    );
    town.wait_until("2026-02-10").await;
    assert_eq!(town.state(&id).await, "disabled off, limbo 2026-03-03");
    // What is only simulated leaves it as it is.
    let mut pretending = town.hr();
    pretending.simulate = true;
    let again = || numbered("ada", "19811218-9876", "2001", ("2026-02-09", ""));
    town.create(&pretending, "User", again()).await.expect("simulated");
    assert_eq!(town.state(&id).await, "disabled off, limbo 2026-03-03");
    let back = town.enter(&town.hr(), again()).await;
    assert_eq!((id_of(&back), told(&back).as_str()), (id.clone(), "active on"));
    assert_eq!([&back["externalId"], &back[ENTERPRISE]["employeeNumber"]], ["hr-2001", "2001"]);
    // Deleted by its source, and entered anew out of limbo.
    town.delete(&town.hr(), "User", &id).await.expect("withdrawn");
    town.wait_until("2026-04-10").await;
    let back = town.enter(&town.hr(), numbered("ada", ADA, "3001", ("2026-04-01", ""))).await;
    assert_eq!((id_of(&back), told(&back).as_str()), (id.clone(), "active on"));
    assert_eq!(town.items().await, Vec::<Value>::new(), "nobody has to look at it");
    // A school's temporary number says nothing, and another account domain's account is not this one's.
    town.delete(&town.hr(), "User", &id).await.expect("withdrawn");
    let mut school = town.hr();
    Arc::make_mut(&mut school.caller).account_domain = Some("education".into());
    let other = town.enter(&school, numbered("ada.school", ADA, "4001", ("2026-04-01", ""))).await;
    assert_ne!(id_of(&other), id);
}

async fn where_it_is_not_clear_nobody_is_taken_for_another(town: &Town) {
    town.with_policy(json!({})).await;
    let over = ("2025-01-01", "2025-12-31");
    let ada = id_of(&town.enter(&town.hr(), numbered("ada", ADA, "1001", over)).await);
    let bo = id_of(&town.enter(&town.hr(), numbered("bo", BO, "1002", over)).await);
    // The employer's number says Bo, the other one says Ada.
    let mut new = numbered("new", ADA, "1002", ("2026-01-01", ""));
    new["externalId"] = json!("hr-9");
    let new = town.enter(&town.hr(), new).await;
    assert!(![&ada, &bo].contains(&&id_of(&new)), "{new}");
    let items = town.items().await;
    assert_eq!(items.len(), 1);
    assert_eq!([&items[0]["kind"], &items[0]["cause"], &items[0]["state"]], ["review", "rehire", "open"]);
    assert_eq!(items[0]["about"]["value"], new["id"]);
    let mut expected = vec![format!("User {ada}"), format!("User {bo}")];
    expected.sort_unstable();
    assert_eq!(items[0]["details"], json!(expected));
    assert!(!items[0].to_string().contains("811218"), "{}", items[0]);
    // One who has another number is another, whatever the employer's says.
    let cia = id_of(&town.enter(&town.hr(), numbered("cia", "900101-9802", "1003", over)).await);
    let mut other = numbered("other", "121212+1212", "1003", ("2026-01-01", ""));
    other["externalId"] = json!("hr-10");
    assert_ne!(id_of(&town.enter(&town.hr(), other).await), cia);
    assert_eq!(town.items().await.len(), 2);
}

async fn a_number_that_comes_late_is_looked_at_and_the_old_account_stays_closed(town: &Town) {
    town.with_policy(json!({})).await;
    let old = numbered("ada", ADA, "1001", ("2025-01-01", "2025-12-31"));
    let first = id_of(&town.enter(&town.hr(), old.clone()).await);
    let mut body = numbered("ada2", ADA, "2001", ("2026-01-01", ""));
    body[PERSON].as_object_mut().expect("an object").shift_remove("personalNumber");
    let second = id_of(&town.enter(&town.hr(), body).await);
    assert_eq!(town.items().await.len(), 0);
    let path = format!("{PERSON}:personalNumber");
    town.patch(&town.hr(), "User", &second, json!([{ "op": "add", "path": path, "value": ADA }])).await.expect("given");
    let items = town.items().await;
    assert_eq!((items.len(), &items[0]["about"]["value"]), (1, &json!(second)));
    // The old one cannot be opened beside it: neither by its key nor by other dates.
    let mut open = old;
    open[PERSON]["employments"][0]["end"] = json!("2026-12-31");
    is_taken(town.create(&town.hr(), "User", open).await, "personalNumber");
    let dates = json!([{ "op": "replace", "path": format!("{PERSON}:employments"), "value": [
        { "employmentId": "1", "start": "2025-01-01", "end": "2026-12-31" }] }]);
    let refused = town.patch(&town.hr(), "User", &first, dates).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("personalNumber is already in use")));
    let ahead = json!([{ "op": "replace", "path": format!("{PERSON}:employments"), "value": [
        { "employmentId": "2", "start": "2027-01-01" }] }]);
    assert!(town.patch(&town.hr(), "User", &first, ahead).await.is_err(), "it would open by itself");
}

async fn who_comes_back_after_a_purge_has_the_old_names_by_the_number(town: &Town) {
    let policy =
        json!({ "names": { "domain": "storstad.example" }, "purge": true, "purgeAfter": 30, "reuse": "never" });
    town.with_policy(policy).await;
    let days = ("2025-01-01", "2026-01-31");
    let id = id_of(&town.enter(&town.office(), nameless("Maija", "Virta", ADA, "1001", days)).await);
    assert_eq!(town.whole(&id).await["userName"], "maija.virta");
    assert_eq!(town.wait_until("2026-06-01").await.purged, 1);
    let left = |like: &str| {
        let query = "SELECT COUNT(*) FROM tombstone WHERE namespace = 'personalNumber' AND value LIKE";
        town.register.number(&format!("{query} '{like}'"))
    };
    assert_eq!((left("%"), left("t1.%"), left("%811218%")), (1, 1, 0));
    // Another of that name has another user name.
    let other = town.enter(&town.office(), nameless("Maija", "Virta", BO, "1002", ("2026-06-01", ""))).await;
    assert_eq!(other["userName"], "maija.virta2");
    // A number that is wrong is corrected, and gives nobody another one's names.
    let wrong = town.enter(&town.office(), nameless("Wille", "Berg", ADA, "1003", ("2026-09-01", ""))).await;
    let right = json!([{ "op": "replace", "path": format!("{PERSON}:personalNumber"), "value": "900101-9802" }]);
    town.patch(&town.office(), "User", &id_of(&wrong), right).await.expect("corrected");
    // The keys are changed meanwhile, and the start is far off: the names are given when it is near.
    town.rotate().await;
    let back = town.enter(&town.office(), nameless("Maija", "Berg", ADA, "2001", ("2026-09-01", ""))).await;
    assert_ne!(id_of(&back), id, "a new id");
    town.wait_until("2026-09-01").await;
    assert_eq!(town.whole(&id_of(&back)).await["userName"], "maija.virta", "the old name");
    assert_eq!(town.whole(&id_of(&back)).await["emails"][0]["value"], "maija.virta@storstad.example");
    assert_eq!(town.whole(&id_of(&wrong)).await["userName"], "wille.berg");
}

async fn the_key_of_what_is_left_stays_as_long_as_something_is_left(town: &Town) {
    town.with_policy(json!({ "purge": true, "purgeAfter": 30 })).await;
    let id = id_of(&town.enter(&town.hr(), numbered("ada", ADA, "1001", ("2025-01-01", "2026-01-31"))).await);
    town.enter(&town.hr(), numbered("bo", BO, "1002", ("2025-01-01", ""))).await;
    assert_eq!(town.burying_keys().await, [1]);
    assert_eq!(town.rotate().await.resealed, 2);
    assert_eq!(town.burying_keys().await, [2], "nothing was left under the old one");
    town.wait_until("2026-06-01").await;
    assert!(town.seen(&town.admin(), &id).await.is_none());
    for expected in [vec![2, 3], vec![2, 4]] {
        town.rotate().await;
        assert_eq!(town.burying_keys().await, expected);
    }
}

async fn a_second_source_feeds_the_account_that_is_there(town: &Town) {
    town.with_policy(json!({})).await;
    let (manual, hr) = (town.source("manual"), town.hr());
    let mut guest = numbered("ada", ADA, "", ("2025-01-01", "2026-03-31"));
    guest.as_object_mut().expect("an object").shift_remove(ENTERPRISE);
    guest["externalId"] = json!("guest-7");
    guest["title"] = json!("Guest");
    let id = id_of(&town.enter(&manual, guest.clone()).await);
    // HR enters her with its own key: it is the same account, and what was said stays.
    let mut entry = numbered("ada.other", ADA, "1001", ("2026-01-01", ""));
    entry[PERSON]["employments"][0]["employmentId"] = json!("hr-1");
    entry["title"] = json!("Clerk");
    let said = town.enter(&hr, entry.clone()).await;
    assert_eq!(id_of(&said), id);
    let whole = town.whole(&id).await;
    assert_eq!([&whole["userName"], &whole["title"]], ["ada", "Guest"]);
    assert_eq!(whole[ENTERPRISE]["employeeNumber"], "1001");
    let keys: Vec<&str> = whole[PERSON]["employments"]
        .as_array()
        .expect("jobs")
        .iter()
        .filter_map(|one| one["employmentId"].as_str())
        .collect();
    assert_eq!(keys, ["1", "hr-1"]);
    assert_eq!(town.seen(&hr, &id).await.expect("there")["externalId"], "hr-1001");
    assert_eq!(town.seen(&manual, &id).await.expect("there")["externalId"], "guest-7");
    // Each can withdraw for itself; it is over when both have.
    town.delete(&manual, "User", &id).await.expect("withdrawn");
    assert!(town.seen(&manual, &id).await.is_none());
    assert_eq!(town.state(&id).await, "active on");
    // It is HR's own now, and entered once.
    entry["externalId"] = json!("hr-1001-b");
    entry["userName"] = json!("ada.third");
    is_taken(town.create(&hr, "User", entry).await, "personalNumber");
    town.delete(&hr, "User", &id).await.expect("withdrawn");
    assert!(town.state(&id).await.starts_with("disabled off"));
}

async fn without_a_key_or_a_policy_a_second_source_is_refused(town: &Town) {
    let policy = town.with_policy(json!({})).await;
    town.enter(&town.source("manual"), numbered("ada", ADA, "1001", ("2025-01-01", ""))).await;
    let mut entry = numbered("ada.other", ADA, "2001", ("2026-01-01", ""));
    entry.as_object_mut().expect("an object").shift_remove("externalId");
    is_taken(town.create(&town.hr(), "User", entry.clone()).await, "personalNumber");
    town.delete(&town.admin(), "Policy", &policy).await.expect("gone");
    town.refresh().await;
    entry["externalId"] = json!("hr-2001");
    is_taken(town.create(&town.hr(), "User", entry).await, "personalNumber");
    assert!(at("2026-01-01") < town.now());
}
