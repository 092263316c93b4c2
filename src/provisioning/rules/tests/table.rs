//! Rules whose rows say what each unit, title and task gets; and things of which somebody has one alone.

use std::sync::Arc;

use serde_json::json;

use super::super::*;
use super::{day, document, rule, user};

fn table(rows: &Value, more: &Value) -> Rule {
    let mut document = json!({
        "name": "t", "lifecycle": "active", "filter": "employments[start pr]", "table": rows,
    });
    document.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    let read = Rule::read("t", 1, document.as_object().expect("an object"), &user());
    read.unwrap_or_else(|error| panic!("{}", error.detail))
}

fn refused(document: &Value) -> String {
    Rule::read("t", 1, document.as_object().expect("an object"), &user()).expect_err("refused").detail.to_string()
}

fn two_jobs() -> Map<String, Value> {
    document(json!({ "employments": [
        { "employmentId": "a", "start": "2026-01-01", "end": "2026-06-30", "unit": "WARD", "unitPath": "/CARE/WARD/", "title": "Nurse" },
        { "employmentId": "b", "start": "2026-03-01", "unitPath": "/TECH/", "title": "Clerk", "taskCode": "x" },
    ] }))
}

/// What a rule gives on a day: the ground, what of it and how it stands.
fn given(rule: &Rule, document: &Map<String, Value>, at: &str) -> Vec<String> {
    let case = Case::new("u", document, day(at));
    let mut told = Vec::new();
    for (ground, when) in rule.grounds(&case) {
        for gives in rule.gives_on(&ground) {
            let days = [ground.from, ground.to].map(|day| day.map(|day| day.to_string()).unwrap_or_default());
            told.push(format!("{} {} {}..{} {when:?}", ground.id, gives.value, days[0], days[1]));
        }
    }
    told
}

#[test]
fn each_employment_and_row_is_a_ground_within_the_days_of_both() {
    let rule = table(
        &json!([
            { "unit": "CARE/*", "groups": ["care", "ward"], "line": 7 },
            { "title": "clerk", "groups": ["office"], "from": "2026-04-01", "to": "2026-12-31" },
            { "title": "mayor", "groups": ["hall"] },
        ]),
        &json!({ "before": 10, "after": 5 }),
    );
    let document = two_jobs();
    let care = |group: &str| format!("t/a/care_*;;; {group} 2025-12-22..2026-07-05 Holds");
    let office = |when: &str| format!("t/b/;clerk;; office 2026-04-01..2026-12-31 {when}");
    assert_eq!(given(&rule, &document, "2026-02-01"), [care("care"), care("ward"), office("Ahead")]);
    assert_eq!(given(&rule, &document, "2026-04-01"), [care("care"), care("ward"), office("Holds")]);
    assert_eq!(given(&rule, &document, "2026-07-05"), [care("care"), care("ward"), office("Holds")]);
    assert_eq!(given(&rule, &document, "2026-07-06"), [office("Holds")]);
    assert_eq!(given(&rule, &document, "2027-01-01"), [] as [String; 0]);
    // The row is the provenance, and it says its dates again when asked.
    let case = Case::new("u", &document, day("2026-05-01"));
    let (ground, _) = rule.grounds(&case).remove(0);
    assert_eq!(ground.facts["row"], json!({ "line": 7, "unit": "CARE/*" }));
    assert_eq!(ground.facts["employments"][0]["unitPath"], "/CARE/WARD/");
    assert_eq!(rule.dates_of(&case, &ground.id), Some((ground.from, ground.to)));
    // Every day on which something turns is found.
    let turns = ["2026-02-01", "2026-04-01", "2026-07-01", "2026-07-06"];
    let next = turns.map(|at| rule.next_turn(&Case::new("u", &document, day(at))).map(|day| day.to_string()));
    let expected = ["2026-02-19", "2026-07-06", "2026-07-06", "2027-01-01"];
    assert_eq!(next, expected.map(|day| Some(day.to_owned())));
}

#[test]
fn a_table_in_another_order_has_the_same_grounds() {
    let rows = [json!({ "title": "nurse", "groups": ["a"] }), json!({ "unit": "WARD", "groups": ["b"] })];
    let (one, other) = (table(&json!(rows), &json!({})), table(&json!([rows[1], rows[0]]), &json!({})));
    let sorted = |rule: &Rule| {
        let mut told = given(rule, &two_jobs(), "2026-05-01");
        told.sort();
        told
    };
    assert_eq!(sorted(&one), sorted(&other));
    // Two rows that ask the same, each for a time of its own.
    let twice = table(
        &json!([{ "title": "nurse", "groups": ["a"], "to": "2026-03-31" }, { "title": "Nurse", "groups": ["a"], "from": "2026-05-01" }]),
        &json!({}),
    );
    assert_eq!(given(&twice, &two_jobs(), "2026-03-31").len(), 2);
    assert_eq!(given(&twice, &two_jobs(), "2026-04-15"), ["t/a/;nurse;;#2 a 2026-05-01..2026-06-30 Ahead"]);
}

#[test]
fn who_fits_no_row_is_told_the_nearest_and_what_failed() {
    let rule = table(
        &json!([
            { "unit": "CARE/*", "title": "physician", "professionalNumber": "yes", "groups": ["a"], "line": 2 },
            { "unit": "TECH", "title": "plumber", "groups": ["b"], "line": 3 },
            { "title": "clerk", "groups": ["c"], "from": "2027-01-01", "line": 4 },
        ]),
        &json!({}),
    );
    let document = two_jobs();
    let case = Case::new("u", &document, day("2026-05-01"));
    let told = why_not(&rule, &case);
    assert_eq!(told[0], "row 4, employments b: it counts from 2027-01-01 on");
    assert!(told.contains(&"row 3, employments b: title is Clerk, asked for is plumber".to_owned()), "{told:?}");
    let of_row = why_no_row(&rule, &case, |row| row.line == 2);
    assert_eq!(
        of_row[0],
        "row 2, employments a: title is Nurse, asked for is physician and professionalNumber has no value, asked for is yes"
    );
    let fits = Case::new("u", &document, day("2027-02-01"));
    assert_eq!(why_not(&rule, &fits), [] as [String; 0]);
}

#[test]
fn what_a_table_cannot_say_is_refused() {
    let with = |more: Value| {
        let mut document = json!({ "name": "t", "filter": "employments[start pr]", "table": [{ "groups": ["g"] }] });
        document.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        refused(&document)
    };
    for (more, expected) in [
        (json!({ "grants": [{ "type": "group", "value": "g" }] }), "grants: must be empty"),
        (json!({ "table": [] }), "grants: is missing"),
        (json!({ "table": [{ "title": "x" }] }), "table[0].groups: is missing"),
        (json!({ "table": [{ "groups": ["g"] }, { "groups": ["g"], "to": "soon" }] }), "table[1].to: is not a date"),
        (json!({ "table": [{ "groups": ["{{ salary }}"] }] }), "table[0].groups: salary is none of"),
        (json!({ "missing": "perhaps" }), "missing: must be"),
        (json!({ "include": [{ "value": "u", "reason": "x", "until": "2026-12-31" }] }), "include: must be empty"),
    ] {
        let told = with(more.clone());
        assert!(told.starts_with(expected), "{more}: {told}");
    }
}

#[test]
fn of_what_somebody_has_one_alone_the_highest_priority_gives() {
    let slot = |name: &str, priority: i64| {
        let more = json!({ "priority": priority, "grants": [{ "type": "group", "value": name, "slot": "printer" }] });
        Arc::new(rule(name, "employments[start pr]", more))
    };
    let document = two_jobs();
    let case = Case::new("u", &document, day("2026-05-01"));
    let judge = |rules: &[Arc<Rule>]| {
        let claims = claims(rules, &case, |gives, _, _| Ok(gives.value.clone()));
        let judged = weigh(claims, &case, &[], &[], &[], Account::Holds);
        let mut told: Vec<(String, Standing)> =
            judged.into_iter().map(|one| (one.claim.rule.name.clone(), one.standing)).collect();
        told.dedup();
        told
    };
    let (low, high) = (slot("low", 1), slot("high", 5));
    let expected = [("low".to_owned(), Standing::Superseded("high".into())), ("high".to_owned(), Standing::Held)];
    assert_eq!(judge(&[low.clone(), high.clone()]), expected);
    assert_eq!(judge(std::slice::from_ref(&low)), [("low".to_owned(), Standing::Held)]);
    // Of two with the same priority nobody could say which gives: that is refused when the second is activated.
    let refusal = check_together(&slot("other", 5), &high).expect_err("refused").detail;
    assert!(refusal.starts_with("priority: is 5"), "{refusal}");
    assert!(check_together(&low, &high).is_ok());
    let twice = json!([{ "type": "group", "value": "a", "slot": "p" }, { "type": "group", "value": "b", "slot": "P" }]);
    assert!(refused(&json!({ "name": "t", "filter": "title pr", "grants": twice })).contains("stands twice"));
    // One rule that means two things for two jobs: the one of the earlier ground.
    let named = rule(
        "n",
        "employments[title pr]",
        json!({
            "grants": [{ "type": "group", "value": "{{ employment.title }}", "slot": "desk" }],
        }),
    );
    let found =
        claims(&[Arc::new(named)], &case, |gives, ground, _| gives.name(&document, ground, |_| Err(String::new())));
    let judged = weigh(found, &case, &[], &[], &[], Account::Holds);
    let held: Vec<&str> = judged
        .iter()
        .filter(|one| one.standing == Standing::Held)
        .filter_map(|one| one.claim.target.as_deref().ok())
        .collect();
    assert_eq!(held, ["Nurse"]);
}
