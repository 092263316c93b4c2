//! What a document of a view becomes, and what is said when it cannot be.

use scim::schema::Registry;
use serde_json::{Map, Value, json};

use super::*;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn views(document: Value) -> Arc<Views> {
    let registry = Registry::builtin().expect("documents");
    Outlook::through(ResourceId::SYSTEM, object(document)).views(&registry, Veil::None)
}

#[test]
fn a_type_that_is_not_named_is_not_seen_and_what_administers_the_server_is_no_views_business() {
    let views = views(json!({ "types": [{ "type": "User", "filter": "active eq true", "attributes": ["userName"] }] }));
    assert!(
        views.of("User").filter().is_some() && views.of("User").sees("userName") && !views.of("User").sees("title")
    );
    assert!(views.of("Group").is_nothing() && views.of("Thing").is_nothing());
    assert!(views.of("Client").is_whole() && views.of("View").is_open());
    let registry = Registry::builtin().expect("documents");
    assert!(Outlook::nothing().views(&registry, Veil::None).of("User").is_nothing());
    assert!(Outlook::everything().views(&registry, Veil::None).are_everything());
}

#[test]
fn what_cannot_be_understood_any_more_hides() {
    let views = views(json!({ "types": [
        { "type": "User", "filter": "urn:gone:extension:field eq \"x\"" },
        { "type": "Group", "attributes": ["displayName", "urn:gone:extension:field"] },
        { "type": "Gone" },
    ] }));
    assert!(views.of("User").is_nothing());
    assert!(views.of("Group").sees("displayName") && !views.of("Group").sees("members"));
}

#[test]
fn what_is_wrong_with_a_view_is_said_with_its_place() {
    let registry = Registry::builtin().expect("documents");
    let rule = |rule: Value| json!({ "types": [{ "type": "Group" }, rule] });
    let leaving = |more: Value, days: i64| {
        let mut rule = json!({ "type": "User" });
        for (name, value) in more.as_object().into_iter().flatten() {
            rule[name] = value.clone();
        }
        json!({ "leaving": "inactive", "leavingDays": days, "types": [rule] })
    };
    for (document, said) in [
        (rule(json!({ "type": "Nobody" })), "types[1].type: there is no resource type Nobody."),
        (rule(json!({ "type": "Group" })), "types[1].type: Group is named twice."),
        (rule(json!({ "type": "Client" })), "types[1].type: Client cannot be part of a view."),
        (rule(json!({ "type": "GroupMembership" })), "types[1].type: GroupMembership cannot be part"),
        (rule(json!({ "type": "User", "filter": "userName eq" })), "types[1].filter: "),
        (rule(json!({ "type": "User", "filter": "nothing pr" })), "types[1].filter: "),
        (rule(json!({ "type": "User", "filter": "active gt true" })), "types[1].filter: "),
        (rule(json!({ "type": "User", "filter": "meta.version eq \"1\"" })), "types[1].filter: meta.version is"),
        (rule(json!({ "type": "User", "attributes": ["userName", "wage"] })), "types[1].attributes[1]: User has no"),
        (rule(json!({ "type": "User", "attributes": ["emails.type"] })), "types[1].attributes[0]: emails.type says"),
        (rule(json!({ "type": "User", "membersOutside": "shown" })), "types[1].membersOutside must be omit"),
        (json!({ "leaving": "asleep", "types": [] }), "leaving must be gone or inactive"),
        (json!({ "leavingDays": 3, "types": [] }), "leavingDays is for views"),
        (json!({ "leaving": "inactive", "types": [] }), "leaving: inactive is for users"),
        (leaving(json!({}), 0), "leavingDays must be from 1 to 3650."),
        (leaving(json!({ "filter": "groups pr" }), 3), "types[0].filter: with leaving: inactive"),
        (leaving(json!({ "attributes": ["userName"] }), 3), "types[0].attributes: with leaving: inactive"),
        (
            json!({
                "leaving": "inactive", "types": [{ "type": "User" }],
                "mappings": [{ "type": "User", "path": "title", "template": "{{ active }}" }],
            }),
            "mappings[0].template: with leaving: inactive",
        ),
    ] {
        let error = check(&registry, &object(document.clone())).expect_err("refused");
        assert_eq!((error.status, error.scim_type), (400, Some(scim::ScimType::InvalidValue)), "{document}");
        assert!(error.detail.starts_with(said), "{document}: {}", error.detail);
    }
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    for good in [
        json!({ "type": "User" }),
        json!({ "type": "User", "attributes": ["EMAILS.type", "emails.value", "name.familyName", enterprise] }),
        json!({ "type": "User", "attributes": ["emails", "emails.type", "addresses.country"] }),
    ] {
        check(&registry, &object(rule(good.clone()))).unwrap_or_else(|error| panic!("{good}: {}", error.detail));
    }
}
