mod table;
mod weigh;

use std::sync::Arc;

use jiff::civil::Date;
use scim::schema::{Definition, Registry};
use serde_json::{Map, Value, json};

use super::*;
use crate::person::URN;

pub(super) fn user() -> Arc<Definition> {
    let mut person: Value = serde_json::from_str(include_str!("../../../schemas/install/person.json")).expect("JSON");
    let attributes = person["attributes"].as_array_mut().expect("attributes");
    let employments = attributes.iter_mut().find(|one| one["name"] == "employments").expect("employments");
    let subs = employments["subAttributes"].as_array_mut().expect("sub-attributes");
    for (name, kind) in [("current", "boolean"), ("unitPath", "string"), ("preferred", "boolean")] {
        if !subs.iter().any(|sub| sub["name"] == name) {
            subs.push(json!({ "name": name, "type": kind, "multiValued": false, "description": "-", "required": false,
                "caseExact": false, "mutability": "readOnly", "returned": "default", "uniqueness": "none" }));
        }
    }
    let extended = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"], "id": "User",
        "name": "User", "endpoint": "/Users", "schema": "urn:ietf:params:scim:schemas:core:2.0:User",
        "schemaExtensions": [{ "schema": URN, "required": false }] });
    let registry = Registry::builtin().and_then(|one| one.extend(vec![person], vec![extended], 1)).expect("a registry");
    registry.definition("User").expect("User").clone()
}

pub(super) fn day(text: &str) -> Date {
    text.parse().expect(text)
}

pub(super) fn rule(name: &str, filter: &str, more: impl Into<Value>) -> Rule {
    let more = more.into();
    let mut document = json!({
        "name": name, "lifecycle": "active", "filter": filter, "grants": [{ "type": "group", "value": format!("{name}-group") }],
    });
    let object = document.as_object_mut().expect("an object");
    object.extend(more.as_object().cloned().unwrap_or_default());
    Rule::read(name, 1, object, &user()).unwrap_or_else(|error| panic!("{name}: {}", error.detail))
}

pub(super) fn document(person: Value) -> Map<String, Value> {
    Map::from_iter([
        ("userName".to_owned(), "maj".into()),
        ("userType".to_owned(), "employee".into()),
        (URN.to_owned(), person),
    ])
}

fn two_jobs() -> Map<String, Value> {
    document(json!({
        "employments": [
            { "employmentId": "1", "start": "2026-01-01", "end": "2026-06-30", "taskCode": "nurse", "unitPath": "/KER/SIV/SKL/" },
            { "employmentId": "2", "start": "2026-06-01", "taskCode": "rector", "unitPath": "/KER/TEK/" },
        ],
        "leaves": [{ "employmentId": "2", "from": "2026-08-01", "to": "2026-08-31" }],
    }))
}

/// The grounds of a rule on a day: key and how it stands.
fn stand(rule: &Rule, document: &Map<String, Value>, at: &str) -> Vec<(String, &'static str)> {
    let case = Case::new("u", document, day(at));
    let of = |(ground, when): (Ground, When)| {
        let when = match when {
            When::Ahead => "ahead",
            When::Holds => "holds",
            When::Rests(_) => "rests",
        };
        (ground.id, when)
    };
    rule.grounds(&case).into_iter().map(of).collect()
}

fn expect(entries: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    entries.iter().map(|(id, when)| ((*id).to_owned(), *when)).collect()
}

#[test]
fn each_employment_that_fits_is_a_ground_of_its_own_from_its_first_to_its_last_day() {
    let any = rule("r", r#"employments[unitPath sw "/KER/" and current eq true]"#, json!({}));
    let document = two_jobs();
    let table = [
        ("2025-12-31", vec![("r/1", "ahead"), ("r/2", "ahead")]),
        ("2026-01-01", vec![("r/1", "holds"), ("r/2", "ahead")]),
        ("2026-06-01", vec![("r/1", "holds"), ("r/2", "holds")]),
        ("2026-06-30", vec![("r/1", "holds"), ("r/2", "holds")]),
        ("2026-07-01", vec![("r/2", "holds")]),
        ("2026-08-01", vec![("r/2", "rests")]),
        ("2026-09-01", vec![("r/2", "holds")]),
    ];
    for (at, expected) in table {
        assert_eq!(stand(&any, &document, at), expect(&expected), "{at}");
    }
}

#[test]
fn what_is_over_is_no_ground_even_if_the_rule_does_not_say_current() {
    let nurse = rule("r", r#"employments[taskCode eq "nurse"]"#, json!({}));
    assert_eq!(stand(&nurse, &two_jobs(), "2026-06-30"), expect(&[("r/1", "holds")]));
    assert_eq!(stand(&nurse, &two_jobs(), "2026-07-01"), expect(&[]));
    let former = rule("r", r#"employments[taskCode eq "nurse" and current eq false]"#, json!({}));
    assert_eq!(stand(&former, &two_jobs(), "2026-06-30"), expect(&[]));
    assert_eq!(stand(&former, &two_jobs(), "2026-07-01"), expect(&[("r/1", "holds")]));
}

#[test]
fn days_before_the_start_and_after_the_end_count_as_the_rule_says() {
    let wide =
        rule("r", r#"employments[taskCode eq "nurse" and current eq true]"#, json!({ "before": 7, "after": 30 }));
    let document = two_jobs();
    let table = [
        ("2025-12-24", vec![("r/1", "ahead")]),
        ("2025-12-25", vec![("r/1", "holds")]),
        ("2026-07-30", vec![("r/1", "holds")]),
        ("2026-07-31", vec![]),
    ];
    for (at, expected) in table {
        assert_eq!(stand(&wide, &document, at), expect(&expected), "{at}");
    }
    let case = Case::new("u", &document, day("2025-12-01"));
    assert_eq!(wide.next_turn(&case), Some(day("2025-12-25")));
    let case = Case::new("u", &document, day("2025-12-25"));
    assert_eq!(wide.next_turn(&case), Some(day("2026-05-25")), "the other employment may stand in the way of one");
    let case = Case::new("u", &document, day("2026-05-25"));
    assert_eq!(wide.next_turn(&case), Some(day("2026-07-31")));
    let case = Case::new("u", &document, day("2026-09-01"));
    assert_eq!(wide.next_turn(&case), None);
}

#[test]
fn a_leave_that_keeps_access_rests_restricted_rights_alone() {
    let document = document(json!({
        "employments": [{ "employmentId": "1", "start": "2026-01-01" }],
        "leaves": [{ "employmentId": "1", "from": "2026-02-01", "to": "2026-02-28", "keepAccess": true }],
    }));
    let plain = rule("r", "employments[start pr]", json!({}));
    let restricted = rule("r", "employments[start pr]", json!({ "restricted": true }));
    assert_eq!(stand(&plain, &document, "2026-02-10"), expect(&[("r/1", "holds")]));
    assert_eq!(stand(&restricted, &document, "2026-02-10"), expect(&[("r/1", "rests")]));
    assert_eq!(stand(&restricted, &document, "2026-03-01"), expect(&[("r/1", "holds")]));
}

#[test]
fn what_is_asked_of_the_user_and_of_no_employment_has_one_ground_without_dates() {
    let all = rule("r", r#"userType eq "employee""#, json!({ "before": 9, "after": 9 }));
    assert_eq!(stand(&all, &two_jobs(), "2020-01-01"), expect(&[("r", "holds")]));
    let none = rule("r", r#"userType eq "pupil""#, json!({}));
    assert_eq!(stand(&none, &two_jobs(), "2026-06-15"), expect(&[]));
    let both = rule("r", r#"employments[taskCode eq "nurse"] and employments[taskCode eq "rector"]"#, json!({}));
    assert_eq!(
        stand(&both, &two_jobs(), "2026-06-15"),
        expect(&[("r", "holds")]),
        "two jobs together, and no single one"
    );
    assert_eq!(stand(&both, &two_jobs(), "2026-07-01"), expect(&[]));
    let no_nurse = rule("r", r#"employments[start pr] and not (employments[taskCode eq "nurse"])"#, json!({}));
    assert_eq!(stand(&no_nurse, &two_jobs(), "2026-06-15"), expect(&[]));
    assert_eq!(stand(&no_nurse, &two_jobs(), "2026-07-15"), expect(&[("r/2", "holds")]));
}

#[test]
fn a_place_at_a_school_is_a_ground_too() {
    let pupil = document(json!({ "enrolments": [
        { "enrolmentId": "e", "schoolUnit": "S1", "class": "7B", "from": "2026-08-10", "to": "2027-06-05" },
    ] }));
    let class = rule("r", r#"enrolments[schoolUnit eq "S1"]"#, json!({}));
    assert_eq!(stand(&class, &pupil, "2026-08-09"), expect(&[("r/e", "ahead")]));
    assert_eq!(stand(&class, &pupil, "2027-06-05"), expect(&[("r/e", "holds")]));
    assert_eq!(stand(&class, &pupil, "2027-06-06"), expect(&[]));
}

#[test]
fn what_would_match_across_two_jobs_is_refused_with_what_to_write_instead() {
    let table = [
        (
            r#"employments.taskCode eq "x" and employments.current eq true"#,
            Some(r#"employments[taskCode eq "x" and current eq true]"#),
        ),
        (
            r#"userType pr and (employments.taskCode eq "x" and (employments.unitPath sw "/A/" and active eq true))"#,
            Some(r#"employments[taskCode eq "x" and unitPath sw "/A/"]"#),
        ),
        (
            r#"employments[taskCode eq "x"] and employments.current eq true"#,
            Some(r#"employments[taskCode eq "x" and current eq true]"#),
        ),
        (
            r#"emails.type eq "work" and emails.value ew "@kerava.fi""#,
            Some(r#"emails[type eq "work" and value ew "@kerava.fi"]"#),
        ),
        (
            r#"title pr or (emails.type eq "work" and emails.value ew "@x")"#,
            Some(r#"emails[type eq "work" and value ew "@x"]"#),
        ),
        (r#"employments.taskCode eq "x""#, None),
        (r#"employments.taskCode eq "x" or employments.taskCode eq "y""#, None),
        (r#"employments[taskCode eq "x" and current eq true] and userType pr"#, None),
        (r#"employments[taskCode eq "x"] and employments[taskCode eq "y"]"#, None),
    ];
    for (text, instead) in table {
        let outcome = filter(text, &user());
        match (instead, outcome) {
            (None, outcome) => assert!(outcome.is_ok(), "{text}: {outcome:?}"),
            (Some(instead), Err(error)) => assert!(error.detail.contains(instead), "{text}: {}", error.detail),
            (Some(_), Ok(filter)) => panic!("{text} was taken as {filter}"),
        }
    }
}

#[test]
fn what_is_wrong_with_a_rule_is_told_by_its_place() {
    let base = json!({ "name": "r", "filter": "userName pr", "grants": [{ "type": "group", "value": "g" }] });
    let table = [
        (json!({ "lifecycle": "on" }), "lifecycle:"),
        (json!({ "scope": "all" }), "scope:"),
        (json!({ "filter": "userNam pr" }), "filter:"),
        (json!({ "filter": null }), "filter: is missing"),
        (json!({ "grants": [] }), "grants: is missing"),
        (json!({ "grants": [{ "type": "door", "value": "g" }] }), "grants[0].type:"),
        (json!({ "grants": [{ "type": "group", "value": " " }] }), "grants[0].value:"),
        (json!({ "grants": [{ "type": "entitlement", "by": "externalId", "value": "g" }] }), "grants[0].by:"),
        (json!({ "grants": [{ "type": "entitlement", "value": "g", "missing": "create" }] }), "grants[0].missing:"),
        (json!({ "grants": [{ "type": "group", "by": "externalId", "value": "g" }] }), "grants[0].domain:"),
        (json!({ "grants": [{ "type": "group", "domain": "d", "value": "g" }] }), "grants[0].domain:"),
        (json!({ "grants": [{ "type": "group", "value": "{{ unit.code" }] }), "grants[0].value:"),
        (json!({ "grants": [{ "type": "group", "value": "{{ wage }}" }] }), "grants[0].value: wage is none of"),
        (json!({ "before": -1 }), "before:"),
        (json!({ "after": 99999 }), "after:"),
        (json!({ "family": "f" }), "rank:"),
        (json!({ "rank": 1 }), "family:"),
        (json!({ "notWith": ["R"] }), "notWith:"),
        (json!({ "onConflict": "fight" }), "onConflict:"),
        (json!({ "include": [{ "value": "u", "until": "2027-01-01" }] }), "include: u has no reason"),
        (json!({ "include": [{ "value": "u", "reason": "x" }] }), "include: u has no until"),
        (json!({ "exclude": [{ "value": "u", "reason": "x", "until": "soon" }] }), "exclude: until"),
        (
            json!({ "restricted": true, "include": [{ "value": "u", "reason": "x", "until": "2027-01-01" }] }),
            "include: must be empty",
        ),
        (
            json!({ "include": [{ "value": "u", "reason": "x", "until": "2027-01-01" }], "exclude": [{ "value": "u", "reason": "y" }] }),
            "include: u is among exclude",
        ),
    ];
    for (more, expected) in table {
        let mut document = base.clone();
        document.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        let error = Rule::read("id", 1, document.as_object().expect("an object"), &user()).expect_err(expected);
        assert!(error.detail.starts_with(expected), "{more}: {}", error.detail);
    }
}

#[test]
fn equal_ranks_of_a_family_cannot_both_be_active() {
    let one = rule("one", "userName pr", json!({ "family": "doors", "rank": 1 }));
    let same = rule("same", "userName pr", json!({ "family": "Doors", "rank": 1 }));
    let other = rule("other", "userName pr", json!({ "family": "doors", "rank": 2 }));
    let proposed = rule("new", "userName pr", json!({ "family": "doors", "rank": 1, "lifecycle": "proposed" }));
    assert!(check_together(&one, &same).expect_err("refused").detail.starts_with("rank:"));
    assert!(check_together(&one, &other).is_ok());
    assert!(check_together(&one, &proposed).is_ok());
    assert!(check_together(&one, &one).is_ok());
}

#[test]
fn a_rule_tells_which_clause_failed_on_which_fact() {
    let table = [
        (r#"userType eq "pupil""#, vec![r#"userType is "employee", asked for is exactly "pupil""#]),
        (r#"title pr and userType eq "employee""#, vec!["title has no value"]),
        (
            r#"employments[unitPath sw "/KER/SIV/" and taskCode eq "rector" and current eq true]"#,
            vec![
                r#"employments 1: taskCode is "nurse", asked for is exactly "rector" and current is false, asked for is exactly true"#,
                r#"employments 2: unitPath is "/KER/TEK/", asked for is something that begins with "/KER/SIV/""#,
            ],
        ),
        (r#"employments[taskCode eq "nurse"]"#, vec!["employments 1 counted until 2026-06-30"]),
        (r#"enrolments[class eq "7B"]"#, vec!["there are no enrolments"]),
        (r#"not (userType eq "employee")"#, vec![r#"it must not be that userType eq "employee", and it is"#]),
    ];
    let document = two_jobs();
    let case = Case::new("u", &document, day("2026-07-15"));
    for (text, expected) in table {
        let told = why_not(&rule("r", text, json!({})), &case);
        assert_eq!(told, expected, "{text}");
    }
    assert_eq!(why_not(&rule("r", r#"employments[taskCode eq "rector"]"#, json!({})), &case), Vec::<String>::new());
}

#[test]
fn a_name_may_be_made_of_the_employment_its_unit_and_the_user() {
    let document = two_jobs();
    let case = Case::new("u", &document, day("2026-06-15"));
    let unit = |key: &str| match key {
        "SKL" => Ok(json!({ "code": "SKL", "path": "/KER/SIV/SKL/" })),
        key => Err(format!("the unit {key} is not known")),
    };
    for (template, unit_key, expected) in [
        ("{{ unit.code }}-staff", Some("SKL"), Ok("SKL-staff")),
        ("{{ unit.code }}-staff", Some("XX"), Err("the unit XX is not known")),
        ("{{ employment.taskCode }}s", None, Ok("nurses")),
        ("{{ user.userType }}s", None, Ok("employees")),
    ] {
        let given = rule(
            "r",
            "employments[taskCode eq \"nurse\"]",
            json!({ "grants": [{ "type": "group", "value": template }] }),
        );
        let (mut ground, _) = given.grounds(&case).pop().expect("a ground");
        let mut element = ground.element.as_deref().cloned().expect("an employment");
        if let Some(key) = unit_key {
            element["unit"] = key.into();
        }
        ground.element = Some(Arc::new(element));
        let name = given.grants[0].name(&document, &ground, unit);
        assert_eq!(name.as_deref().map_err(String::as_str), expected, "{template}");
    }
    // Without the value that it asks for there is no name.
    let given = rule(
        "r",
        "employments[taskCode eq \"nurse\"]",
        json!({ "grants": [{ "type": "group", "value": "{{ unit.code }}-staff" }] }),
    );
    let (ground, _) = given.grounds(&case).pop().expect("a ground");
    assert!(given.grants[0].name(&document, &ground, unit).is_err());
}
