//! Rules as tables: rows come and go with their days and those of the employment, each with its provenance; files are read in
//! whole or not at all, written out the same, and simulated before they give.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::grants::{groups, wake, why, with_groups};
use crate::lifecycle::town::{PERSON, Town, at};
use crate::support::both::on_both_databases;
use crate::support::municipality::{Municipality, TENANT};
use crate::support::register::id;

on_both_databases!(Town:
    rows_give_within_their_days_and_those_of_the_employment,
    a_group_that_a_row_names_is_reported_or_made,
    of_two_that_fill_one_place_the_priority_decides_and_equal_ones_are_refused,
);
on_both_databases!(Municipality:
    a_file_is_read_whole_or_not_at_all_simulated_and_applied,
);

async fn tabled(town: &Town, rows: Value, more: Value) -> String {
    let mut body = json!({ "name": "tasks", "lifecycle": "active", "filter": "employments[start pr]", "table": rows });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let made = town.create(&town.admin(), "Rule", body).await.unwrap_or_else(|error| panic!("{error}"));
    wake(town).await;
    id(&made)
}

async fn hired(town: &Town, name: &str, employments: Value) -> String {
    let body = json!({ "userName": name, "externalId": name, PERSON: { "employments": employments } });
    town.enter(&town.hr(), body).await["id"].as_str().expect("an id").to_owned()
}

async fn rows_give_within_their_days_and_those_of_the_employment(town: &Town) {
    with_groups(town, &["ward", "night", "office"]).await;
    let rows = json!([
        { "line": 2, "title": "nurse*", "groups": ["ward"] },
        { "line": 3, "unit": "W1", "taskCode": "night", "professionalNumber": "yes", "groups": ["night"], "from": "2026-03-01", "to": "2026-04-30" },
        { "line": 4, "title": "clerk", "groups": ["office"] },
    ]);
    let rule = tabled(town, rows.clone(), json!({ "before": 7, "after": 10 })).await;
    let work = json!([
        { "employmentId": "1", "start": "2026-02-01", "end": "2026-05-31", "title": "Nurse, senior", "unit": "w1", "taskCode": "NIGHT", "professionalNumber": "9" },
        { "employmentId": "2", "start": "2025-01-01", "title": "Porter" },
    ]);
    let maj = hired(town, "maj", work).await;
    assert_eq!(groups(town, &maj).await, [""; 0]);
    // Days before the start, and after the end, count for a table as for any rule.
    town.wait_until("2026-01-25").await;
    assert_eq!(groups(town, &maj).await, ["ward"]);
    town.wait_until("2026-03-01").await;
    assert_eq!(groups(town, &maj).await, ["night", "ward"]);
    let told = why(town, &town.admin(), &maj, Some("night"), None).await.expect("an answer");
    let ground = &told["rights"][0]["grounds"][0];
    assert_eq!((&ground["standing"], &ground["to"]), (&json!("held"), &json!("2026-04-30")));
    assert_eq!(ground["facts"]["row"]["line"], 3, "{ground}");
    assert_eq!(ground["facts"]["employments"][0]["professionalNumber"], "9");
    let told = why(town, &town.admin(), &maj, Some("office"), None).await.expect("an answer");
    let failed = told["rights"][0]["grounds"][0]["failed"].to_string();
    assert!(failed.contains("row 4, employments 2: title is Porter, asked for is clerk"), "{failed}");
    // A table in another order takes nothing away; one without a row does.
    let before = town.register.number("SELECT COUNT(*) FROM grant_");
    let turned = json!([rows[2], rows[1], rows[0]]);
    town.patch(&town.admin(), "Rule", &rule, json!([{ "op": "replace", "path": "table", "value": turned }]))
        .await
        .expect("taken");
    wake(town).await;
    assert_eq!(town.register.number("SELECT COUNT(*) FROM grant_"), before);
    town.wait_until("2026-05-01").await;
    assert_eq!(groups(town, &maj).await, ["ward"]);
    town.wait_until("2026-06-10T12:00:00Z").await;
    assert_eq!(groups(town, &maj).await, ["ward"]);
    town.wait_until("2026-06-11").await;
    assert_eq!(groups(town, &maj).await, [""; 0]);
    let then = why(town, &town.admin(), &maj, Some("night"), Some(at("2026-04-01"))).await.expect("an answer");
    assert_eq!(then["rights"][0]["grounds"][0]["facts"]["row"]["line"], 3, "the row is evidence");
}

async fn a_group_that_a_row_names_is_reported_or_made(town: &Town) {
    with_groups(town, &["there"]).await;
    let rows = json!([{ "title": "nurse", "groups": ["there", "T-{{ employment.taskCode }}"] }]);
    let rule = tabled(town, rows, json!({})).await;
    let maj =
        hired(town, "maj", json!([{ "employmentId": "1", "start": "2026-01-01", "title": "Nurse", "taskCode": "n" }]))
            .await;
    assert_eq!(groups(town, &maj).await, ["there"]);
    let told = why(town, &town.admin(), &maj, None, None).await.expect("an answer").to_string();
    assert!(told.contains("there is no group \\\"T-n\\\""), "{told}");
    town.patch(&town.admin(), "Rule", &rule, json!([{ "op": "add", "path": "missing", "value": "create" }]))
        .await
        .expect("taken");
    wake(town).await;
    assert_eq!(groups(town, &maj).await, ["T-n", "there"]);
}

async fn of_two_that_fill_one_place_the_priority_decides_and_equal_ones_are_refused(town: &Town) {
    with_groups(town, &["house", "own"]).await;
    let rule = |name: &str, priority: i64| {
        json!({
            "name": name, "lifecycle": "active", "filter": "employments[start pr]", "priority": priority,
            "grants": [{ "type": "group", "value": name, "slot": "printer" }],
        })
    };
    town.create(&town.admin(), "Rule", rule("house", 1)).await.expect("a rule");
    let refused = town.create(&town.admin(), "Rule", rule("own", 1)).await.expect_err("refused").to_string();
    assert!(refused.contains("priority: is 1, and so is that of the rule house"), "{refused}");
    let maj = hired(town, "maj", json!([{ "employmentId": "1", "start": "2026-01-01" }])).await;
    wake(town).await;
    assert_eq!(groups(town, &maj).await, ["house"]);
    town.create(&town.admin(), "Rule", rule("own", 2)).await.expect("a rule");
    wake(town).await;
    assert_eq!(groups(town, &maj).await, ["own"]);
    let told = why(town, &town.admin(), &maj, Some("house"), None).await.expect("an answer");
    assert_eq!(told["rights"][0]["grounds"][0]["standing"], "superseded");
}

fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a file");
    path.to_str().expect("a path").to_owned()
}

async fn a_file_is_read_whole_or_not_at_all_simulated_and_applied(register: &Municipality) {
    let folder = TempDir::new().expect("a folder");
    let Municipality { admin, .. } = register.ready().await;
    let policy =
        json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "staff", "zone": "Europe/Helsinki" });
    admin.post("/Policies", &policy).await.expect(201);
    register.unit("CARE", None, &json!({})).await;
    register.unit("WARD", Some("CARE"), &json!({})).await;
    let work = json!([{ "employmentId": "1", "start": "2020-01-01", "unit": "WARD", "title": "Nurse" }]);
    let maj = register.enter("maj", &json!({ "employments": work })).await;

    let import = |path: &str| {
        register.command(&["rules", "import", path, "--tenant", TENANT, "--rule", "tasks", "--create-groups"])
    };
    let faulty = "Unit;Title;Groups;From;Salary\nCARE/*;Nurse;ward;;1\n;Clerk;;;\nWARD;;x;soon;\n";
    let refused = import(&file(&folder, "faulty.csv", faulty)).expect_err("faults");
    for told in ["line 1: there is a column \"Salary\"", "line 3, groups: is missing", "line 4, from: is not a date"] {
        assert!(refused.contains(told), "{told}: {refused}");
    }
    assert!(admin.find("/Rules", "name eq \"tasks\"", "").await.is_empty(), "nothing of it is taken");
    let refused = import(&file(&folder, "short.csv", "unit;groups\nCARE\n")).expect_err("faults");
    assert!(refused.contains("line 2"), "{refused}");

    let whole = "Unit;Title;Groups;From;Note\nCARE/*;Nur*;\"ward|all; care\";;day and night\nWARD;;house;1.1.2021;\n";
    let said = import(&file(&folder, "tasks.csv", whole)).expect("read");
    assert!(said.contains("2 rows are the table of the rule tasks"), "{said}");
    let rule = admin.find("/Rules", "name eq \"tasks\"", "").await.remove(0);
    assert_eq!((&rule["lifecycle"], &rule["table"][0]["groups"]), (&json!("proposed"), &json!(["ward", "all; care"])));
    // What is written out is read in again as it was.
    let out = folder.path().join("out.csv");
    let out = out.to_str().expect("a path");
    register.command(&["rules", "export", "--tenant", TENANT, "tasks", out]).expect("written");
    let written = std::fs::read_to_string(Path::new(out)).expect("a file");
    assert!(written.contains("CARE/*;Nur*;;;\"ward|all; care\""), "{written}");
    import(out).expect("read again");
    let again = admin.find("/Rules", "name eq \"tasks\"", "").await.remove(0);
    let without_lines = |rule: &Value| {
        let mut rows = rule["table"].clone();
        rows.as_array_mut().expect("rows").iter_mut().for_each(|row| row["line"] = Value::Null);
        rows
    };
    assert_eq!(without_lines(&again), without_lines(&rule));

    let told = register.command(&["simulate", "--tenant", TENANT, "--activate", "tasks"]).expect("simulated");
    assert!(told.contains("maj: +all; care, +house, +ward"), "{told}");
    let simulation = told.lines().find_map(|line| line.strip_prefix("simulation")).expect("its id").trim();
    register.command(&["simulate", "apply", "--tenant", TENANT, simulation]).expect("applied");
    let user = format!("/Users/{}", maj["id"].as_str().expect("an id"));
    let mut names = Vec::new();
    for _ in 0..1_200 {
        let user = admin.get(&user).await.expect(200).body;
        let groups = user["groups"].as_array().cloned().unwrap_or_default();
        names = groups.iter().map(|group| group["display"].as_str().expect("a name").to_owned()).collect();
        names.sort();
        if names.len() == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(names, ["all; care", "house", "ward"]);
    // What gives is not changed under way: the next table is tried out as another rule.
    let refused = import(out).expect_err("it is active");
    assert!(refused.contains("--deprecate tasks"), "{refused}");
}
