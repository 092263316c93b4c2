//! The cases of `cases/filter/`, and what does not fit a table.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{checked, definition, object};
use crate::filter::{Filter, MAX_BYTES, MAX_DEPTH, MAX_NODES, Op, Target};
use crate::key::TextRule;
use crate::{Error, ScimType};

#[derive(Deserialize)]
struct Matches {
    documents: Map<String, Value>,
    cases: Vec<MatchCase>,
}

#[derive(Deserialize)]
struct MatchCase {
    filter: String,
    fits: Vec<String>,
}

#[derive(Deserialize)]
struct Cases<T> {
    cases: Vec<T>,
}

#[derive(Deserialize)]
struct ErrorCase {
    #[serde(rename = "type", default = "user")]
    kind: String,
    filter: String,
    at: Option<usize>,
    #[serde(default)]
    sensitive: bool,
    detail: String,
}

#[derive(Deserialize)]
struct PrintCase {
    filter: String,
    parsed: String,
    checked: Option<String>,
}

fn user() -> String {
    "User".into()
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_filter_fits_exactly_the_documents_it_names() {
    let table: Matches = read(include_str!("../../cases/filter/matches.json"));
    for case in table.cases {
        let filter = checked(&case.filter, "User");
        let fits: Vec<_> = table
            .documents
            .iter()
            .filter(|(_, document)| filter.matches(object(document)))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(fits, case.fits.iter().collect::<Vec<_>>(), "{}", case.filter);
    }
}

#[test]
fn every_error_says_where_and_what() {
    let table: Cases<ErrorCase> = read(include_str!("../../cases/filter/errors.json"));
    for case in table.cases {
        let parsed = Filter::parse(&case.filter).and_then(|filter| filter.check(definition(&case.kind)));
        let error = parsed.expect_err(&case.filter);
        let expected = if case.sensitive { ScimType::Sensitive } else { ScimType::InvalidFilter };
        assert_eq!(error.scim_type, Some(expected), "{}", case.filter);
        assert!(error.detail.contains(&case.detail), "{}: {}", case.filter, error.detail);
        if let Some(at) = case.at {
            assert!(error.detail.starts_with(&format!("At character {at}: ")), "{}: {}", case.filter, error.detail);
        }
    }
}

#[test]
fn every_filter_prints_as_its_case_says() {
    let table: Cases<PrintCase> = read(include_str!("../../cases/filter/prints.json"));
    for case in table.cases {
        let filter = Filter::parse(&case.filter).unwrap();
        assert_eq!(filter.to_string(), case.parsed);
        let checked = filter.check(definition("User")).unwrap();
        assert_eq!(checked.to_string(), case.checked.unwrap_or(case.parsed));
    }
}

#[test]
fn limits_are_kept_to_the_letter() {
    let fails = |text: String, message: &str| {
        let error = Filter::parse(&text).unwrap_err();
        assert_eq!(error.scim_type, Some(ScimType::InvalidFilter));
        assert!(error.detail.contains(message), "{}", error.detail);
    };
    let nested = |depth: usize| format!("{}title pr{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&nested(MAX_DEPTH)).is_ok());
    fails(nested(MAX_DEPTH + 1), "33: filters may be nested 32 levels deep at most");
    // The `or` itself is one more expression.
    let wide = |parts: usize| vec!["a pr"; parts].join(" or ");
    assert!(Filter::parse(&wide(MAX_NODES - 1)).is_ok());
    fails(wide(MAX_NODES), "512 expressions at most");
    let long = |bytes: usize| format!("title eq \"{}\"", "x".repeat(bytes - 11));
    assert!(Filter::parse(&long(MAX_BYTES)).is_ok());
    fails(long(MAX_BYTES + 1), "the text is 16385 bytes long; at most 16384 are read");
}

#[test]
fn a_lenient_check_takes_unknown_attributes_as_absent() {
    let document = json!({ "displayName": "x", "members": [{ "value": "1" }] });
    let fits = |text: &str| {
        let filter = Filter::parse(text).unwrap().check_lenient(definition("Group")).unwrap();
        filter.matches(object(&document))
    };
    assert!(!fits("userName pr"));
    assert!(!fits("userName eq \"x\""));
    assert!(fits("userName ne \"x\""));
    assert!(fits("userName eq null"));
    assert!(!fits("userName ne null"));
    assert!(!fits("emails[type eq \"work\"]"));
    assert!(fits("not (emails[type ne \"work\"])"));
    assert!(fits("userName pr or displayName eq \"X\""));
    assert!(fits("members[nonsense ne 5 and value eq \"1\"]"));
}

#[test]
fn a_check_over_several_types_wants_each_path_in_one_of_them() {
    let types = [&**definition("User"), &**definition("Group")];
    let filters = Filter::parse("userName pr or members[value pr]").unwrap().check_any(&types).unwrap();
    let user = json!({ "userName": "x" });
    let group = json!({ "members": [{ "value": "1" }] });
    assert!(filters[0].matches(object(&user)) && filters[1].matches(object(&group)));
    assert!(!filters[0].matches(object(&group)) && !filters[1].matches(object(&user)));
    let fails = |text: &str| Filter::parse(text).unwrap().check_any(&types).unwrap_err().detail;
    assert_eq!(fails("userName pr and shoe pr"), "At character 17: shoe is not an attribute of User or Group.");
    assert_eq!(fails("members[shoe pr]"), "At character 9: members.shoe is not an attribute of User or Group.");
}

#[test]
fn a_value_filter_is_checked_and_tested_by_itself() {
    let attribute = definition("Group").attribute("members").unwrap();
    let check = |text: &str| Filter::parse(text).unwrap().check_element(attribute);
    let filter = check("VALUE eq \"1\" and not (type eq \"Group\")").unwrap();
    assert!(filter.matches_element(&json!({ "value": "1", "type": "User" })));
    assert!(!filter.matches_element(&json!({ "value": "1", "type": "group" })));
    assert!(!filter.matches_element(&json!("1")));
    assert_eq!(filter.attributes().into_iter().collect::<Vec<_>>(), ["members.type", "members.value"]);
    assert_eq!(
        check("shoe pr").unwrap_err(),
        Error::invalid_filter("At character 1: shoe is not a sub-attribute of members.")
    );
    let simple = definition("User").attribute("title").unwrap();
    assert!(Filter::parse("value pr").unwrap().check_element(simple).is_err());
}

#[test]
fn a_filter_names_the_canonical_paths_it_depends_on() {
    let filter = checked("EMAILS[Type pr] or emails co \"x\" and not (META.created pr)", "User");
    let paths: Vec<_> = filter.attributes().into_iter().collect();
    assert_eq!(paths, ["emails", "emails.type", "emails.value", "meta.created"]);
}

#[test]
fn conjuncts_are_flattened() {
    let filter = checked("title pr and (active eq true and (id pr or id pr))", "User");
    let parts: Vec<_> = filter.conjuncts().into_iter().map(ToString::to_string).collect();
    assert_eq!(parts, ["title pr", "active eq true", "id pr or id pr"]);
}

#[test]
fn not_is_pushed_down_to_what_has_no_parts() {
    let pushed = |text: &str| checked(text, "User").push_not().to_string();
    assert_eq!(pushed("not (title pr and active eq true)"), "not (title pr) or active ne true");
    assert_eq!(pushed("not (title pr or active ne true)"), "not (title pr) and active eq true");
    assert_eq!(pushed("not (not (title pr))"), "title pr");
    assert_eq!(pushed("not (title gt \"x\")"), "not (title gt \"x\")");
    assert_eq!(
        pushed("not (emails[not (type eq \"a\" or value pr)])"),
        "not (emails[type ne \"a\" and not (value pr)])"
    );
}

#[test]
fn a_target_knows_its_rule_its_values_and_its_sort_key() {
    let user = definition("User");
    let target = |path: &str| Target::resolve(user, path).unwrap();
    assert_eq!(target("USERNAME").rule, TextRule::Username);
    assert_eq!(target("displayName").rule, TextRule::Fold);
    assert_eq!(target("groups.$ref").rule, TextRule::Exact);
    assert_eq!(target("emails").comparable().unwrap().canonical.as_ref(), "emails.value");
    assert!(target("name").comparable().is_none());
    assert!(Target::resolve(user, "shoe").is_none());
    let document =
        json!({ "title": "X", "emails": [{ "value": "A", "type": "x" }, { "value": "B", "primary": true }] });
    let document = object(&document);
    assert_eq!(target("emails.value").keys(document), ["a", "b"]);
    assert_eq!(target("emails.value").sort_key(document).unwrap(), "b");
    assert_eq!(target("emails.type").sort_key(document), None);
    assert_eq!(target("title").sort_key(document).unwrap(), "x");
    assert_eq!(target("nickName").sort_key(document), None);
    assert_eq!(Op::parse("EQ"), Some(Op::Eq));
}
