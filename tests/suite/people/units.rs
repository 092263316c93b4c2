//! Organisational units: paths, circles, references to what is not there yet, and who works below a unit that moves.

use serde_json::{Value, json};

use crate::support::api::verify;
use crate::support::both::on_both_databases;
use crate::support::messages::with;
use crate::support::municipality::{Municipality, PERSON, UNIT};

fn unit(code: &str, more: &Value) -> Value {
    with(json!({ "schemas": [UNIT], "code": code, "displayName": code }), more)
}

impl Municipality {
    /// A unit below another one, by its key; the id.
    pub(crate) async fn unit(&self, code: &str, parent: Option<&str>, more: &Value) -> String {
        let body = match parent {
            Some(key) => unit(code, &with(json!({ "parent": { "code": key } }), more)),
            None => unit(code, more),
        };
        let made = self.hr.post("/OrganizationalUnits", &body).await.expect(201).body;
        made["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until the first employment of somebody lies there: the server does that by itself.
    async fn works_at(&self, user: &Value, path: &Value) {
        let user = format!("/Users/{}", user["id"].as_str().expect("an id"));
        for _ in 0..1_200 {
            let said = self.hr.get(&user).await.expect(200).body;
            if said[PERSON]["employments"][0]["unitPath"] == *path {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{user} does not come to work at {path}");
    }

    async fn path(&self, id: &str) -> Value {
        self.hr.get(&format!("/OrganizationalUnits/{id}")).await.expect(200).body["path"].clone()
    }
}

async fn a_unit_lies_where_its_codes_lead(register: &Municipality) {
    let Municipality { hr, server, .. } = register.ready().await;
    let root = register.unit("KER", None, &json!({ "externalId": "100" })).await;
    // A parent may be named by what its source calls it, by its code in any case, or by its id.
    let siv = register.unit("SIV", Some("100"), &json!({ "externalId": "200" })).await;
    let school = register.unit("KOULU", Some("siv"), &json!({})).await;
    let body =
        unit("LUOKKA", &json!({ "parent": { "value": school }, "names": [{ "language": "sv", "value": "Klass" }] }));
    let class = hr.post("/OrganizationalUnits", &body).await.expect(201).body;
    assert_eq!(class["path"], "/KER/SIV/KOULU/LUOKKA/");
    assert_eq!(class["parent"]["$ref"], format!("../OrganizationalUnits/{school}"));
    let below = hr.find("/OrganizationalUnits", "path sw \"/ker/siv/\"", "").await;
    assert_eq!(below.len(), 3);

    // A unit that moves takes what lies below it along; so does one that is called otherwise.
    let office = register.unit("TEK", Some("KER"), &json!({})).await;
    hr.patch(
        &format!("/OrganizationalUnits/{school}"),
        &json!([{ "op": "replace", "path": "parent.code", "value": "TEK" }]),
    )
    .await
    .expect(200);
    let class = class["id"].as_str().expect("an id");
    assert_eq!(register.path(class).await, "/KER/TEK/KOULU/LUOKKA/");
    hr.patch(&format!("/OrganizationalUnits/{root}"), &json!([{ "op": "replace", "path": "code", "value": "STAD" }]))
        .await
        .expect(200);
    // Those that named it by its code are left without; those that named it by another key are not.
    assert_eq!(register.path(&office).await, Value::Null);
    assert_eq!(register.path(class).await, Value::Null);
    assert_eq!(register.path(&siv).await, "/STAD/SIV/");
    hr.patch(&format!("/OrganizationalUnits/{root}"), &json!([{ "op": "replace", "path": "code", "value": "KER" }]))
        .await
        .expect(200);
    assert_eq!(register.path(class).await, "/KER/TEK/KOULU/LUOKKA/");

    let version = hr.get(&format!("/OrganizationalUnits/{class}")).await.expect(200).etag;
    let same = hr.get(&format!("/OrganizationalUnits/{class}")).await.expect(200).body;
    hr.put(&format!("/OrganizationalUnits/{class}"), &same).await.expect(200);
    assert_eq!(hr.get(&format!("/OrganizationalUnits/{class}")).await.expect(200).etag, version, "the same again");
    verify(server).await;
}

async fn nothing_is_part_of_itself(register: &Municipality) {
    let Municipality { hr, .. } = register.ready().await;
    let a = register.unit("A", None, &json!({ "externalId": "a1" })).await;
    register.unit("B", Some("A"), &json!({})).await;
    register.unit("C", Some("B"), &json!({})).await;
    let close = json!([{ "op": "add", "path": "parent", "value": { "code": "C" } }]);
    let refused = hr.patch(&format!("/OrganizationalUnits/{a}"), &close).await.expect(400);
    assert_eq!(refused.body["scimType"], "invalidValue");
    let way = "A, which is part of C, which is part of B, which is part of A";
    assert!(refused.detail().contains(way), "{}", refused.detail());
    for own in [json!({ "code": "a" }), json!({ "code": "a1" }), json!({ "value": a })] {
        let close = json!([{ "op": "add", "path": "parent", "value": own }]);
        hr.patch(&format!("/OrganizationalUnits/{a}"), &close).await.expect(400);
    }
    // A reference that is open may not close a circle either, when what it names arrives.
    register.unit("D", Some("E"), &json!({})).await;
    let refused = hr.post("/OrganizationalUnits", &unit("E", &json!({ "parent": { "code": "D" } }))).await.expect(400);
    assert!(refused.detail().contains("circle"), "{}", refused.detail());
    let taken = hr.post("/OrganizationalUnits", &unit("b", &json!({}))).await.expect(409);
    assert_eq!(taken.body["scimType"], "uniqueness");
    hr.post("/OrganizationalUnits", &unit("A/B", &json!({}))).await.expect(400);
    hr.post("/OrganizationalUnits", &unit("F", &json!({ "validFrom": "2026-13-01" }))).await.expect(400);
    let given = hr.post("/OrganizationalUnits", &unit("G", &json!({ "path": "/X/" }))).await.expect(201).body;
    assert_eq!(given["path"], "/G/", "nobody says where a unit lies");
}

async fn what_is_named_may_come_later_and_go(register: &Municipality) {
    let Municipality { hr, server, .. } = register.ready().await;
    let class = register.unit("LUOKKA", Some("KOULU"), &json!({})).await;
    let employment = json!([{ "employmentId": "1", "start": "2020-01-01", "unit": "luokka" }]);
    let maj = register.enter("maj", &json!({ "employments": employment })).await;
    assert_eq!(maj[PERSON]["employments"][0].get("unitPath"), None, "the reference is open");
    assert_eq!(maj[PERSON]["employments"][0]["current"], true);
    let school = register.unit("KOULU", None, &json!({})).await;
    assert_eq!(register.path(&class).await, "/KOULU/LUOKKA/");
    // Who works there is looked at without anybody writing of them.
    register.works_at(&maj, &json!("/KOULU/LUOKKA/")).await;
    let move_it = json!([{ "op": "replace", "path": "code", "value": "SKOLA" }]);
    hr.patch(&format!("/OrganizationalUnits/{school}"), &move_it).await.expect(200);
    register.works_at(&maj, &Value::Null).await;
    let back = json!([{ "op": "replace", "path": "code", "value": "KOULU" }]);
    hr.patch(&format!("/OrganizationalUnits/{school}"), &back).await.expect(200);
    register.works_at(&maj, &json!("/KOULU/LUOKKA/")).await;
    hr.delete(&format!("/OrganizationalUnits/{school}")).await.expect(204);
    assert_eq!(register.path(&class).await, Value::Null);
    register.works_at(&maj, &Value::Null).await;
    verify(server).await;
}

async fn a_filter_asks_for_a_unit_and_all_below(register: &Municipality) {
    let Municipality { hr, .. } = register.ready().await;
    register.unit("KER", None, &json!({})).await;
    register.unit("SIV", Some("KER"), &json!({ "externalId": "200" })).await;
    register.unit("KOULU", Some("SIV"), &json!({})).await;
    register.unit("SIVUT", Some("KER"), &json!({})).await;
    for (name, unit, task, end) in [
        ("maj", "KOULU", "x", None),
        ("eva", "200", "y", None),
        ("bo", "SIVUT", "x", None),
        ("sten", "SIV", "x", Some("2021-12-31")),
    ] {
        let mut employment = json!({ "employmentId": "1", "start": "2020-01-01", "unit": unit, "taskCode": task });
        if let Some(end) = end {
            employment["end"] = end.into();
        }
        let made = register.enter(name, &json!({ "employments": [employment] })).await;
        let said = &made[PERSON]["employments"][0];
        assert_eq!([said["current"] == true, said["primary"] == true], [end.is_none(); 2], "{said}");
    }
    let path = format!("{PERSON}:employments");
    let found = async |filter: &str| -> Vec<String> {
        let found = hr.find("/Users", filter, "&sortBy=userName").await;
        found.iter().map(|user| user["userName"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(found(&format!("{path}[unitPath sw \"/KER/SIV/\"]")).await, ["eva", "maj", "sten"]);
    let narrow = format!("{path}[unitPath sw \"/KER/SIV/\" and taskCode eq \"x\" and current eq true]");
    assert_eq!(found(&narrow).await, ["maj"]);
    // Who moves lies elsewhere at once.
    let maj = hr.find("/Users", "userName eq \"maj\"", "").await.remove(0);
    let maj = format!("/Users/{}", maj["id"].as_str().expect("an id"));
    let to = json!([{ "op": "replace", "path": format!("{path}[employmentId eq \"1\"].unit"), "value": "SIVUT" }]);
    let moved = hr.patch(&maj, &to).await.expect(200).body;
    assert_eq!(moved[PERSON]["employments"][0]["unitPath"], "/KER/SIVUT/");
    assert_eq!(found(&narrow).await, Vec::<String>::new());
}

on_both_databases!(Municipality:
    a_unit_lies_where_its_codes_lead,
    nothing_is_part_of_itself,
    what_is_named_may_come_later_and_go,
    a_filter_asks_for_a_unit_and_all_below,
);
