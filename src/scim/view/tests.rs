//! Views: what is hidden stays hidden, from the answer and from the question.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::filter::tests::arbitrary::{document, fitting, released};
use crate::filter::tests::{checked, definition, object};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn releasing(paths: &[&str]) -> View {
    View::new(None, Some(paths.iter().map(|path| (*path).to_owned()).collect()))
}

fn restricted(view: &View, filter: &str) -> String {
    view.restrict(Some(checked(filter, "User"))).unwrap().to_string()
}

#[test]
fn everything_is_seen_where_nothing_is_said() {
    let view = View::everything();
    assert!(view.sees("userName") && view.is_whole() && view.filter().is_none());
    assert_eq!(view.restrict(None), None);
    assert_eq!(restricted(&view, "title pr"), "title pr");
}

#[test]
fn a_path_is_seen_with_its_attribute_its_parts_and_what_every_resource_has() {
    let view = releasing(&["name.familyName", "emails", &format!("{ENTERPRISE}:manager.value")]);
    for seen in ["id", "schemas", "meta", "meta.created", "name", "name.familyName", "emails", "emails.type"] {
        assert!(view.sees(seen), "{seen}");
    }
    assert!(view.sees(&format!("{ENTERPRISE}:manager")) && view.sees(ENTERPRISE));
    for hidden in ["userName", "name.givenName", "externalId", "email", "nam"] {
        assert!(!view.sees(hidden), "{hidden}");
    }
    assert!(!view.sees(&format!("{ENTERPRISE}:manager.displayName")));
    assert!(releasing(&[ENTERPRISE]).sees(&format!("{ENTERPRISE}:manager.displayName")));
}

#[test]
fn hidden_attributes_answer_as_if_absent() {
    let view = releasing(&["userName", "emails.type", "name.familyName", "name.givenName"]);
    for (filter, expected) in [
        ("userName eq \"x\"", "userName eq \"x\""),
        ("title eq \"x\"", "false"),
        ("title ne \"x\"", "true"),
        ("title pr", "false"),
        ("not (title pr)", "true"),
        ("title pr or userName pr", "userName pr"),
        ("title pr and userName pr", "false"),
        ("phoneNumbers[type ne \"x\"]", "false"),
        ("name pr", "name.familyName pr or name.givenName pr"),
        ("emails pr", "emails.type pr"),
        ("emails.value co \"x\" or emails.type eq \"x\"", "emails.type eq \"x\""),
        ("emails[type eq \"x\" and value pr]", "false"),
        ("emails[type eq \"x\" and value ne \"y\"]", "emails[type eq \"x\"]"),
        ("emails[type ne \"x\"]", "emails[type ne \"x\" and (type pr or type eq \"\")]"),
        ("emails[value ne \"x\"]", "emails[type pr or type eq \"\"]"),
        ("meta.created pr and id pr", "meta.created pr and id pr"),
    ] {
        assert_eq!(restricted(&view, filter), expected, "{filter}");
    }
}

#[test]
fn the_views_own_filter_may_use_what_is_hidden() {
    let own = checked("userType eq \"Employee\"", "User");
    let view = View::new(Some(own), Some(["title".to_owned()].into()));
    assert_eq!(restricted(&view, "title pr"), "userType eq \"Employee\" and title pr");
    assert_eq!(view.restrict(None).unwrap().to_string(), "userType eq \"Employee\"");
    assert_eq!(restricted(&view, "userType pr"), "false");
    assert!(view.admits(object(&json!({ "userType": "employee" }))));
    assert!(!view.admits(object(&json!({ "title": "x" }))));
}

#[test]
fn a_hidden_extension_is_named_nowhere() {
    let core = "urn:ietf:params:scim:schemas:core:2.0:User";
    let hidden = releasing(&["userName"]).of(definition("User"));
    let seen = releasing(&[&format!("{ENTERPRISE}:department")]).of(definition("User"));
    for (filter, masked) in [
        (format!("schemas eq \"{ENTERPRISE}\""), "false".to_owned()),
        (format!("schemas ne \"{ENTERPRISE}\""), "true".to_owned()),
        ("schemas co \"enterprise\"".to_owned(), "false".to_owned()),
        ("schemas co \"scim\"".to_owned(), format!("schemas eq \"{core}\"")),
        (format!("schemas eq \"{core}\""), format!("schemas eq \"{core}\"")),
        ("schemas pr".to_owned(), "schemas pr".to_owned()),
    ] {
        assert_eq!(restricted(&hidden, &filter), masked, "{filter}");
    }
    let about = format!("schemas eq \"{ENTERPRISE}\"");
    let left = format!("{about} and ({ENTERPRISE}:department pr or {ENTERPRISE}:department eq \"\")");
    assert_eq!(restricted(&seen, &about), left, "it is named as long as something of it is left");
    let whole = releasing(&[ENTERPRISE]).of(definition("User"));
    assert_eq!(restricted(&whole, &about), about);
    assert_eq!(restricted(&releasing(&["userName"]), &about), "false", "a view that knows no schemas");
    let mut document =
        json!({ "schemas": [core, ENTERPRISE], "id": "1", "userName": "x", ENTERPRISE: { "department": "d" } });
    if let Value::Object(members) = &mut document {
        hidden.project(members);
    }
    assert_eq!(document, json!({ "schemas": [core], "id": "1", "userName": "x" }));
}

#[test]
fn a_projection_leaves_what_is_released() {
    let view = releasing(&["emails.type", "name", &format!("{ENTERPRISE}:department")]);
    let mut document = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "id": "1",
        "meta": { "resourceType": "User" },
        "userName": "x",
        "name": { "familyName": "y" },
        "emails": [{ "value": "a", "type": "work" }, { "value": "b" }],
        "phoneNumbers": [{ "value": "1" }],
        ENTERPRISE: { "department": "d", "manager": { "value": "m" } },
    });
    if let Value::Object(members) = &mut document {
        view.project(members);
    }
    assert_eq!(
        document,
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
            "id": "1",
            "meta": { "resourceType": "User" },
            "name": { "familyName": "y" },
            "emails": [{ "type": "work" }],
            ENTERPRISE: { "department": "d" },
        })
    );
}

/// Other forms of `text` and `code`, each made of the other, of itself, of parts and of the extension.
fn forms() -> impl Strategy<Value = Vec<Mapping>> {
    let templates = [
        "a",
        "{{ text }}",
        "{{ code }}",
        "{{ text | upper }}b",
        "{{ code | default('a') }}",
        "{{ name.familyName }}",
        "{{ tags | first }}",
        "{{ resource['urn:example:scim:schemas:extension:1.0:Probe'].number }}",
        "{{ '' }}",
    ];
    let form = |path: &'static str| {
        proptest::option::of(proptest::sample::select(templates.to_vec())).prop_map(move |template| {
            template.map(|template| Mapping::new(definition("Probe"), path, template, None).unwrap())
        })
    };
    (form("text"), form("code")).prop_map(|(text, code)| text.into_iter().chain(code).collect())
}

fn checked_text(view: View, document: &Map<String, Value>) {
    checked_text_of("Probe", view, document);
}

fn checked_text_of(kind: &str, view: View, document: &Map<String, Value>) {
    let view = view.of(definition(kind));
    let text = serde_json::to_string(document).unwrap();
    let text = Text::read(&text).unwrap();
    let mut projected = document.clone();
    view.project(&mut projected);
    // To the byte: by which of the two ways an answer was made tells nothing. What is whole needs neither.
    assert_eq!(view.project_text(&text).is_none(), view.is_whole());
    if let Some(shown) = view.project_text(&text) {
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown.to_string(), Value::Object(projected).to_string());
    }
    if let Some(admitted) = view.admits_text(&text) {
        assert_eq!(admitted, view.admits(document));
    }
}

/// A view of which less is seen where `who` fits.
fn masking(paths: Option<Vec<String>>, forms: Vec<Mapping>, (who, left): (Filter<Checked>, Vec<String>)) -> View {
    let probe = definition("Probe");
    let paths: Option<BTreeSet<String>> = paths.map(|paths| paths.into_iter().collect());
    // Of who is masked no more is seen than of others.
    let of_all = View::new(None, paths.clone());
    let left = left.into_iter().filter(|path| of_all.sees_all(path)).collect();
    View::new(None, paths).mapping(forms).masking(probe, who, left)
}

#[test]
fn of_who_is_masked_less_is_seen_and_nothing_else_is_found() {
    let user = definition("User");
    let who = checked("userType pr", "User");
    let view = View::everything().masking(user, who, ["active".to_owned(), "name".to_owned()].into()).of(user);
    assert!(!view.is_whole() && !view.shows_names() && view.has_masks() && view.filter().is_none());
    assert!(view.sees_alike("name.familyName") && !view.sees_alike("title") && view.sees_all("title"));
    for (filter, asked) in [
        ("name.familyName eq \"x\" and active eq true", "name.familyName eq \"x\" and active eq true"),
        ("title eq \"x\"", "not (userType pr) and title eq \"x\""),
        ("title ne \"x\"", "not (userType pr) and title ne \"x\" or userType pr"),
    ] {
        assert_eq!(restricted(&view, filter), asked, "{filter}");
    }
    let order = view.ordering(Target::resolve(user, "title").unwrap());
    let anna = json!({ "userType": "x", "title": "t", "active": true, "name": { "familyName": "f" } });
    let bo = json!({ "title": "t" });
    assert_eq!((order.sort_key(object(&anna)), order.sort_key(object(&bo)).is_some()), (None, true));
    assert_eq!(view.ordering(Target::resolve(user, "name.familyName").unwrap()).unless, None);
    for (written, unseen) in [
        (json!({ "active": false, "name": { "familyName": "g" } }), None),
        (json!({ "active": true, "title": "t" }), Some("title")),
        (json!({ ENTERPRISE: { "department": "d" } }), Some("department")),
    ] {
        let found = view.unseen(object(&anna), object(&written));
        assert_eq!(found.as_deref().and_then(|path| path.rsplit(':').next()), unseen, "{written}");
        assert_eq!(view.unseen(object(&bo), object(&written)), None);
    }
    let derived = checked("groups pr", "User");
    assert!(View::everything().masking(user, derived, BTreeSet::new()).is_nothing(), "told by more than the document");
}

#[test]
fn who_has_left_is_inactive_and_found_as_such() {
    let user = definition("User");
    let view = View::everything().leaving(user, checked("userType pr", "User")).of(user);
    assert!(!view.is_whole() && view.shows_names() && !view.has_masks());
    assert!(!view.sees_alike("active") && view.sees_alike("title"));
    for (filter, asked) in [
        ("title eq \"x\"", "title eq \"x\""),
        ("active eq true", "not (userType pr) and active eq true"),
        ("active eq false", "not (userType pr) and active eq false or userType pr"),
        ("active ne true", "not (userType pr) and active ne true or userType pr"),
        ("not (active pr)", "not (userType pr) and not (active pr)"),
        ("active pr and title pr", "not (userType pr) and (active pr and title pr) or userType pr and title pr"),
    ] {
        assert_eq!(restricted(&view, filter), asked, "{filter}");
    }
    let order = view.ordering(Target::resolve(user, "active").unwrap());
    let key = |document: Value| order.sort_key(object(&document));
    assert_eq!(key(json!({ "userType": "x", "active": true })), key(json!({ "active": false })));
    assert_ne!(key(json!({ "userType": "x", "active": true })), key(json!({ "active": true })));
    let core = "urn:ietf:params:scim:schemas:core:2.0:User";
    for stored in [json!({ "active": true }), json!({ "active": false }), json!({})] {
        let mut document = json!({ "schemas": [core], "userName": "x", "userType": "x" });
        object_mut(&mut document).extend(object(&stored).clone());
        checked_text_of("User", View::everything().leaving(user, checked("userType pr", "User")), object(&document));
        view.project(object_mut(&mut document));
        let shown = json!({ "schemas": [core], "active": false, "userName": "x", "userType": "x" });
        assert_eq!(document.to_string(), shown.to_string(), "where it stands tells nothing");
    }
    let hidden = releasing(&["userName", "userType"]).leaving(user, checked("userType pr", "User")).of(user);
    assert_eq!(restricted(&hidden, "active eq false"), "false", "what is not released is not there");
}

#[test]
fn what_a_document_says_of_views_is_shown_to_nobody() {
    let user = definition("User");
    let noted = json!({ "~leaving": [{ "view": "v", "until": "2026-01-01T00:00:00Z" }], "userName": "x" });
    assert!(super::noted("v").matches(object(&noted)) && !super::noted("w").matches(object(&noted)));
    assert!(is_noted(object(&noted), "v") && !is_noted(object(&noted), "w"));
    for view in [View::everything(), releasing(&["userName"]), View::everything().leaving(user, super::noted("v"))] {
        let view = view.of(user);
        let mut document = object(&noted).clone();
        view.project(&mut document);
        assert!(!document.contains_key("~leaving") && document.contains_key("userName"), "{document:?}");
        if !view.is_whole() {
            checked_text_of("User", view, object(&noted));
        }
    }
    for asked in ["~leaving pr", "~leaving.view eq \"v\"", "~leaving[view eq \"v\"]"] {
        assert!(Filter::parse(asked).and_then(|filter| filter.check(user)).is_err(), "{asked}");
    }
}

fn object_mut(value: &mut Value) -> &mut Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn who_is_masked_is_seen_alike_by_text_and_found_by_what_is_seen(
        filter in fitting(), paths in proptest::option::of(released()), forms in forms(),
        mask in (fitting(), released()), document in document()
    ) {
        let (who, probe) = (mask.0.clone(), definition("Probe"));
        let view = masking(paths, forms, mask);
        if view.is_nothing() {
            return Ok(());
        }
        checked_text(view.clone(), &document);
        let view = view.of(probe);
        prop_assert_eq!(view.is_masked(&document), who.matches(&document));
        let mut projected = document.clone();
        view.project(&mut projected);
        let asked = view.restrict(Some(filter.clone())).unwrap();
        prop_assert_eq!(asked.matches(&document), filter.matches(&projected), "{}", asked);
        let tops = asked.tops();
        let mut part = document.clone();
        part.retain(|name, _| tops.contains(name.as_str()));
        prop_assert_eq!(asked.matches(&part), asked.matches(&document), "{}", asked);
        for path in ["text", "code", "name.familyName"].into_iter().filter_map(|path| Target::resolve(probe, path)) {
            if !view.sees_target(&path) {
                continue;
            }
            let (ordered, plain) = (view.ordering(path.clone()), path.sort_key(&projected));
            prop_assert_eq!(ordered.sort_key(&document), plain, "{}", ordered.canonical);
        }
    }

    #[test]
    fn text_and_document_are_seen_alike(
        filter in fitting(), paths in proptest::option::of(released()), forms in forms(), document in document()
    ) {
        checked_text(View::new(Some(filter), paths.map(|paths| paths.into_iter().collect())).mapping(forms), &document);
    }

    #[test]
    fn a_question_is_about_the_form_that_is_seen(
        filter in fitting(), paths in proptest::option::of(released()), forms in forms(), document in document()
    ) {
        let view = View::new(None, paths.map(|paths| paths.into_iter().collect()));
        let view = view.mapping(forms).of(definition("Probe"));
        let mut projected = document.clone();
        view.project(&mut projected);
        let masked = view.restrict(Some(filter.clone())).unwrap();
        prop_assert_eq!(masked.matches(&document), filter.matches(&projected), "{}", masked);
        let tops = masked.tops();
        let mut part = document.clone();
        part.retain(|name, _| tops.contains(name.as_str()));
        prop_assert_eq!(masked.matches(&part), masked.matches(&document), "{}", masked);
        for path in masked.attributes() {
            prop_assert!(!view.maps(path), "the original of {} is asked about", path);
        }
    }

    #[test]
    fn a_question_tells_no_more_than_the_answer(filter in fitting(), paths in released(), document in document()) {
        let view = View::new(None, Some(paths.into_iter().collect())).of(definition("Probe"));
        let mut projected = document.clone();
        view.project(&mut projected);
        let masked = view.restrict(Some(filter.clone())).unwrap();
        prop_assert_eq!(masked.matches(&document), filter.matches(&projected), "{}", masked);
        prop_assert_eq!(masked.matches(&projected), filter.matches(&projected), "{}", masked);
        for path in masked.attributes() {
            prop_assert!(view.sees(path), "{} is asked about", path);
        }
    }
}
