//! Rules that ask where a unit lies: while nobody knows the unit they do not fire, and whatever becomes of the unit, rights
//! follow.

use serde_json::{Value, json};

use super::person::until;
use crate::support::api::verify;
use crate::support::both::on_both_databases;
use crate::support::messages::user_with;
use crate::support::municipality::{Municipality, PERSON, UNIT};

on_both_databases!(Municipality:
    a_rule_that_needs_a_unit_waits_for_it_and_follows_it,
);

async fn unit(register: &Municipality, code: &str, parent: Option<&str>) -> String {
    let mut body = json!({ "schemas": [UNIT], "code": code, "displayName": code });
    if let Some(parent) = parent {
        body["parent"] = json!({ "code": parent });
    }
    let made = register.admin.post("/OrganizationalUnits", &body).await.expect(201).body;
    format!("/OrganizationalUnits/{}", made["id"].as_str().expect("an id"))
}

async fn a_rule_that_needs_a_unit_waits_for_it_and_follows_it(register: &Municipality) {
    let admin = &register.ready().await.admin;
    let policy =
        json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "Europe/Helsinki" });
    admin.post("/Policies", &policy).await.expect(201);
    for name in ["education", "everybody"] {
        admin.post("/Groups", &json!({ "displayName": name })).await.expect(201);
    }
    for (name, filter) in [
        ("education", r#"employments[unitPath sw "/KER/SIV/" and current eq true]"#),
        ("everybody", r#"employments[current eq true]"#),
    ] {
        let rule = json!({
            "schemas": ["urn:matrikel:scim:schemas:1.0:Rule"], "name": name, "lifecycle": "active", "filter": filter,
            "grants": [{ "type": "group", "value": name }],
        });
        admin.post("/Rules", &rule).await.expect(201);
    }
    let employment = json!({ "employmentId": "1", "start": "2020-01-01", "unit": "SCHOOL-7" });
    let body = user_with("maj", &json!({ PERSON: { "employments": [employment] } }));
    let maj = register.hr.post("/Users", &body).await.expect(201).body;
    let employment = |user: &Value| user[PERSON]["employments"][0].clone();
    assert_eq!(
        (&employment(&maj)["unit"], employment(&maj).get("unitPath")),
        (&json!("SCHOOL-7"), None),
        "the key is kept"
    );
    let maj = maj["id"].as_str().expect("an id").to_owned();
    until(register, &[(&maj, &["everybody"])]).await;
    let why = admin.get(&format!("/Users/{maj}/why?target=education")).await.expect(200).body;
    assert_eq!(why["rights"][0]["held"], false, "{why}");
    // The unit comes before the one that it is part of, and lies nowhere yet where the rule asks for it.
    let school = unit(register, "SCHOOL-7", Some("SIV")).await;
    until(register, &[(&maj, &["everybody"])]).await;
    let ker = unit(register, "KER", None).await;
    unit(register, "SIV", Some("KER")).await;
    until(register, &[(&maj, &["education", "everybody"])]).await;
    // It moves elsewhere, and back; what does not depend on it is not touched.
    unit(register, "TEK", Some("KER")).await;
    let part_of = |code: &str| json!([{ "op": "replace", "path": "parent.code", "value": code }]);
    admin.patch(&school, &part_of("TEK")).await.expect(200);
    until(register, &[(&maj, &["everybody"])]).await;
    admin.patch(&school, &part_of("SIV")).await.expect(200);
    until(register, &[(&maj, &["education", "everybody"])]).await;
    // What lies above is called otherwise.
    admin.patch(&ker, &json!([{ "op": "replace", "path": "code", "value": "KERAVA" }])).await.expect(200);
    until(register, &[(&maj, &["everybody"])]).await;
    verify(&register.server).await;
}
