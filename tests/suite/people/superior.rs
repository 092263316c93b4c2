//! Who leads somebody, where a policy has that derived: from employments and units, in whichever order they arrive, and when a
//! unit, a manager or an employment changes.

use serde_json::{Value, json};

use crate::lifecycle::town::{PERSON, Town, person};
use crate::support::both::on_both_databases;
use crate::support::municipality::Municipality;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

impl Municipality {
    async fn with_managers(&self) -> &Self {
        let policy = json!({
            "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "staff", "zone": "Europe/Helsinki", "manager": "derived",
        });
        self.ready().await.admin.post("/Policies", &policy).await.expect(201);
        self
    }

    /// Somebody with an employee number who works in a unit; the id.
    async fn hire(&self, number: &str, unit: &str, manager: Option<&str>) -> String {
        let mut employment = json!({ "employmentId": "e", "start": "2020-01-01", "unit": unit });
        if let Some(manager) = manager {
            employment["manager"] = json!(manager);
        }
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", PERSON, ENTERPRISE], "userName": format!("u{number}"),
            ENTERPRISE: { "employeeNumber": number }, PERSON: { "employments": [employment] },
        });
        self.hr.post("/Users", &body).await.expect(201).body["id"].as_str().expect("an id").to_owned()
    }

    async fn user(&self, id: &str) -> Value {
        self.hr.get(&format!("/Users/{id}")).await.expect(200).body
    }

    /// Waits until somebody is led by that one, or by nobody.
    async fn led_by(&self, id: &str, manager: Option<&str>) -> Value {
        let mut last = Value::Null;
        for _ in 0..1_200 {
            let user = self.user(id).await;
            if user[ENTERPRISE]["manager"]["value"].as_str() == manager {
                return user;
            }
            last = user;
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{id} should be led by {manager:?}: {last}");
    }
}

/// Who was passed over, and why.
fn passed(user: &Value) -> Vec<String> {
    let told =
        |one: &Value| format!("{} {}", one["key"].as_str().expect("a key"), one["reason"].as_str().expect("a reason"));
    user[PERSON]["managersPassed"].as_array().map(|all| all.iter().map(told).collect()).unwrap_or_default()
}

async fn the_employment_names_the_manager_else_the_unit_does_else_the_next_one_up(register: &Municipality) {
    register.with_managers().await;
    register.unit("CITY", None, &json!({ "manager": "1" })).await;
    let care = register.unit("CARE", Some("CITY"), &json!({})).await;
    register.unit("WARD", Some("CARE"), &json!({ "manager": "30" })).await;
    // The number is known before the one who has it: the reference is open, and is closed when the other arrives.
    let nurse = register.hire("100", "WARD", Some("77")).await;
    let user = register.user(&nurse).await;
    assert_eq!(user[ENTERPRISE].get("manager"), None);
    assert_eq!(passed(&user), ["77 open", "30 open", "1 open"]);
    let open = register.hr.find("/Users", &format!("{PERSON}:managersPassed[reason eq \"open\"]"), "").await;
    assert_eq!(open.len(), 1, "open references are found");
    let mayor = register.hire("1", "CITY", None).await;
    let user = register.led_by(&nurse, Some(&mayor)).await;
    assert_eq!(user[PERSON]["managerFrom"], json!({ "key": "1", "kind": "unit", "of": "CITY" }));
    assert_eq!(user[ENTERPRISE]["manager"]["$ref"], format!("../Users/{mayor}"));
    let head = register.hire("30", "WARD", None).await;
    register.led_by(&nurse, Some(&head)).await;
    // Who leads a unit is led by the next one up; the first of all by nobody.
    let head_says = register.led_by(&head, Some(&mayor)).await;
    assert_eq!(passed(&head_says), ["30 self"]);
    assert_eq!(passed(&register.user(&mayor).await), ["1 self"]);
    let own = register.hire("77", "WARD", None).await;
    let user = register.led_by(&nurse, Some(&own)).await;
    assert_eq!((passed(&user).len(), &user[PERSON]["managerFrom"]["kind"]), (0, &json!("employment")));

    // Somebody leads the unit in between: those below whom nobody else leads follow, and those who passed somebody over.
    let clerk = register.hire("101", "CARE", None).await;
    register.led_by(&clerk, Some(&mayor)).await;
    let boss = register.hire("20", "CITY", None).await;
    let set = json!([{ "op": "add", "path": "manager", "value": "20" }]);
    register.hr.patch(&format!("/OrganizationalUnits/{care}"), &set).await.expect(200);
    register.led_by(&clerk, Some(&boss)).await;
    register.led_by(&head, Some(&boss)).await;
    register.led_by(&nurse, Some(&own)).await;
    // A client's own word does not count, and is no error.
    let said = json!([{ "op": "add", "path": format!("{ENTERPRISE}:manager.value"), "value": clerk }]);
    register.hr.patch(&format!("/Users/{nurse}"), &said).await.expect(200);
    register.led_by(&nurse, Some(&own)).await;
}

async fn a_manager_who_leaves_falls_through_and_circles_are_cut(register: &Municipality) {
    register.with_managers().await;
    register.unit("CITY", None, &json!({ "manager": "1" })).await;
    let mayor = register.hire("1", "CITY", None).await;
    let boss = register.hire("20", "CITY", None).await;
    let clerk = register.hire("100", "CITY", Some("20")).await;
    register.led_by(&clerk, Some(&boss)).await;
    // An end that comes late acts now.
    let end = json!([{ "op": "add", "path": format!("{PERSON}:employments[employmentId eq \"e\"].end"), "value": "2024-01-01" }]);
    register.hr.patch(&format!("/Users/{boss}"), &end).await.expect(200);
    let user = register.led_by(&clerk, Some(&mayor)).await;
    assert_eq!(passed(&user), ["20 left"]);
    let back = json!([{ "op": "remove", "path": format!("{PERSON}:employments[employmentId eq \"e\"].end") }]);
    register.hr.patch(&format!("/Users/{boss}"), &back).await.expect(200);
    register.led_by(&clerk, Some(&boss)).await;

    // Two who lead each other: the one who was there first does not, and is again when the circle is open.
    let lead = json!([{ "op": "add", "path": format!("{PERSON}:employments[employmentId eq \"e\"].manager"), "value": "100" }]);
    register.hr.patch(&format!("/Users/{boss}"), &lead).await.expect(200);
    let user = register.led_by(&boss, Some(&mayor)).await;
    assert_eq!(passed(&user), ["100 loop"]);
    register.led_by(&clerk, Some(&boss)).await;
    let other =
        json!([{ "op": "add", "path": format!("{PERSON}:employments[employmentId eq \"e\"].manager"), "value": "1" }]);
    register.hr.patch(&format!("/Users/{clerk}"), &other).await.expect(200);
    register.led_by(&boss, Some(&clerk)).await;
    // Gone for good.
    register.admin.delete(&format!("/Users/{clerk}")).await.expect(204);
    let user = register.led_by(&boss, Some(&mayor)).await;
    assert_eq!(passed(&user), ["100 open"]);
}

async fn on_the_day_on_which_a_manager_leaves_the_next_one_leads(town: &Town) {
    town.with_policy(json!({ "manager": "derived" })).await;
    let led = |name: &str, manager: &str, more: &[(&str, &str, &str, &str)]| {
        let mut body = person(name, more);
        body[PERSON]["employments"][0]["manager"] = json!(manager);
        body
    };
    let old = town.enter(&town.hr(), person("old", &[("1", "permanent", "2020-01-01", "2026-03-31")])).await;
    let new = town.enter(&town.hr(), person("new", &[("1", "permanent", "2026-05-01", "")])).await;
    let mut both =
        person("maj", &[("1", "fixedTerm", "2020-01-01", "2026-04-30"), ("2", "permanent", "2026-05-01", "")]);
    both[PERSON]["employments"][0]["manager"] = json!("n-old");
    both[PERSON]["employments"][1]["manager"] = json!("n-new");
    let maj = town.enter(&town.hr(), both).await;
    let other = town.enter(&town.hr(), led("olle", "n-new", &[("1", "permanent", "2020-01-01", "")])).await;
    let id = |user: &Value| user["id"].as_str().expect("an id").to_owned();
    let leads = async |user: &Value| town.whole(&id(user)).await[ENTERPRISE]["manager"]["value"].clone();
    assert_eq!(leads(&maj).await, old["id"]);
    assert_eq!(passed(&town.whole(&id(&other)).await), ["n-new ahead"]);
    town.wait_until("2026-03-31T12:00:00Z").await;
    assert_eq!(leads(&maj).await, old["id"]);
    town.wait_until("2026-04-02").await;
    assert_eq!(leads(&maj).await, Value::Null);
    assert_eq!(passed(&town.whole(&id(&maj)).await), ["n-old left"]);
    town.wait_until("2026-05-02").await;
    assert_eq!(leads(&maj).await, new["id"], "another employment is the main one");
    assert_eq!(leads(&other).await, new["id"], "it is there by now");
    // Nothing is left to be done, and who asks again changes nothing.
    let before = town.whole(&id(&maj)).await["meta"]["version"].clone();
    town.wait_until("2026-05-03").await;
    assert_eq!(town.whole(&id(&maj)).await["meta"]["version"], before);
}

on_both_databases!(
    Municipality: the_employment_names_the_manager_else_the_unit_does_else_the_next_one_up,
    a_manager_who_leaves_falls_through_and_circles_are_cut
);
on_both_databases!(Town: on_the_day_on_which_a_manager_leaves_the_next_one_leads);
