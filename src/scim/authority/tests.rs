use serde_json::{Value, json};

use super::*;
use crate::cases::{Case, definition, load};

fn absence(case: &Case) -> Absence {
    match case.field("by").and_then(Value::as_str) {
        Some("PATCH") => Absence::Removal,
        Some("PUT") => Absence::Silence,
        other => panic!("{}: by {other:?}", case.name()),
    }
}

#[test]
fn what_is_outside_is_as_it_was_and_a_change_of_it_is_named() {
    for case in load("authority") {
        let definition = case.definition();
        let paths = case.field("paths").and_then(Value::as_array).expect("paths");
        let paths = paths.iter().map(|path| path.as_str().expect("a path"));
        let authority = Authority::parse(&definition, paths).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        let before = case.document("before");
        let (held, changed) = authority.hold(&definition, &before, case.document("after"), absence(&case));
        assert_eq!(json!(changed), case.field("changed").cloned().unwrap_or(json!([])), "{}", case.name());
        assert_eq!(Value::Object(held.clone()), Value::Object(case.document("held")), "{}", case.name());
        // What was held is within the authority.
        let (again, changed) = authority.hold(&definition, &before, held.clone(), absence(&case));
        assert_eq!((Value::Object(again), changed), (Value::Object(held), Vec::new()), "{}", case.name());
    }
}

#[test]
fn a_path_is_shown_in_the_schemas_own_case() {
    let user = definition("User");
    let table = [
        ("USERNAME", "userName"),
        ("name.FamilyName", "name.familyName"),
        ("phonenumbers[TYPE eq \"mobile\"].Value", "phoneNumbers[TYPE eq \"mobile\"].value"),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        ),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
        ),
        ("urn:ietf:params:scim:schemas:core:2.0:User:title", "title"),
    ];
    for (text, shown) in table {
        let authority = Authority::parse(&user, [text]).expect(text);
        assert_eq!(authority.paths().collect::<Vec<_>>(), [shown]);
    }
}

#[test]
fn a_path_that_leads_nowhere_or_that_nobody_writes_is_refused() {
    let user = definition("User");
    for text in [
        "",
        "nothing",
        "name.nothing",
        "emails[nothing eq 1]",
        "emails[type eq \"work\"].nothing",
        "name[givenName eq \"a\"]",
        "groups",
        "id",
        "meta.version",
        "emails[type eq",
        "urn:example:nothing",
    ] {
        assert!(Authority::parse(&user, [text]).is_err(), "{text}");
    }
}

#[test]
fn members_of_a_group_are_a_path_like_others() {
    let group = definition("Group");
    let authority = |paths: &[&str]| Authority::parse(&group, paths.iter().copied()).expect("paths");
    assert!(authority(&["members"]).covers("members"));
    assert!(!authority(&["displayName"]).covers("members"));
    assert!(authority(&["displayName"]).covers("externalId"));
}
