//! Names by cases in `cases/names.json`, and what holds of all of them.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn scheme(names: &Value) -> Result<Scheme, String> {
    Scheme::read(names.as_object().expect("an object")).map_err(|error| error.detail)
}

fn person(value: &Value) -> Person {
    let text = |name: &str| super::text(value.get(name));
    Person {
        given: text("given"),
        first: text("first"),
        family: text("family"),
        employee_number: text("employeeNumber"),
        code: text("code"),
    }
}

#[test]
fn a_person_has_the_names_that_the_case_says() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../cases/names.json")).expect("cases");
    for case in &cases {
        let names = case.get("names").cloned().unwrap_or_else(|| json!({}));
        let scheme = scheme(&names).expect("a scheme");
        let person = person(&case["person"]);
        let is_protected = case["protected"] == json!(true);
        let made: Vec<String> = match case.get("expect") {
            Some(_) => scheme.user_names(&person, is_protected).take(200).collect(),
            None => {
                let user_name = super::text(case.get("userName"));
                scheme.addresses(&person, &user_name, is_protected).take(200).collect()
            }
        };
        let expected = case.get("expect").or(case.get("addresses")).and_then(Value::as_array).expect("names");
        if expected.is_empty() {
            assert!(made.is_empty(), "{}: {:?}", case["name"], made.first());
        }
        let shown: Vec<Value> = made.into_iter().take(expected.len()).map(Value::String).collect();
        assert_eq!(&shown, expected, "{}", case["name"]);
    }
}

#[test]
fn what_makes_no_names_is_refused_with_its_place() {
    let table = [
        (json!({ "userName": ["{{ firstName"] }), "names.userName: "),
        (json!({ "userName": ["{{ nickName }}"] }), "names.userName: there is no nickName"),
        (json!({ "userName": ["{{ userName }}"] }), "asks for the name that it is to make"),
        (json!({ "letters": ["ae"] }), "names.letters: \"ae\" is no letter"),
        (json!({ "letters": ["a=b"] }), "names.letters: "),
        (json!({ "letters": ["ä=é"] }), "names.letters: "),
        (json!({ "longest": 3 }), "names.longest: it must be 4 to 64."),
        (json!({ "domain": "storstad" }), "names.domain: "),
        (json!({ "domain": "a@b.fi" }), "names.domain: "),
        (json!({ "familyNameChange": "ask" }), "names.familyNameChange: "),
        (json!({ "aliasMonths": -1 }), "names.aliasMonths: "),
    ];
    for (names, expected) in table {
        let told = scheme(&names).expect_err("refused");
        assert!(told.contains(expected), "{names}: {told}");
    }
}

#[test]
fn nobody_is_renamed_for_capitals_or_a_garbled_letter() {
    for (before, after) in [
        ("Mäkinen", "MÄKINEN"),
        ("Mäkinen", "MÃ¤kinen"),
        ("MÃ¤kinen", "Mäkinen"),
        ("Mäkinen", "MÃƒÂ¤kinen"),
        ("Åström", "Ã…strÃ¶m"),
        ("Mäkinen", "M?kinen"),
        ("Mäkinen", "M??kinen"),
        ("M\u{FFFD}kinen", "Mäkinen"),
        ("O\u{308}berg", "Öberg"),
        ("von  der Au", " Von Der Au "),
        ("Straße", "Straße"),
    ] {
        assert!(is_same(before, after), "{before} and {after}");
    }
    for (before, after) in [
        ("Mäkinen", "Virtanen"),
        ("Lind", "Lindqvist"),
        ("Mäkinen", "Makinen"),
        ("Mäkinen", "?irtanen"),
        ("Lind", "?"),
        ("Aho", "?ho"),
        ("", "Lind"),
    ] {
        assert!(!is_same(before, after), "{before} and {after}");
    }
}

#[test]
fn a_document_says_what_templates_know() {
    let document = json!({
        "name": { "givenName": "Maj Britt", "familyName": "Lindqvist" },
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "employeeNumber": "10042" },
        crate::person::URN: { "callName": "Britt" },
    });
    let mut document: Map<String, Value> = document.as_object().cloned().expect("an object");
    let said = Person::of(&document, "0197a5c0-0000-7000-8000-0000000a1b2c");
    assert_eq!(
        [&*said.first, &*said.given, &*said.employee_number, &*said.code],
        ["Britt", "Maj Britt", "10042", "000a1b2c"]
    );
    document.remove(crate::person::URN);
    let now = Person::of(&document, "");
    assert_eq!(now.first, "Maj");
    let married = Person { family: "Berg".into(), ..now.clone() };
    assert!(married.has_another_family_name(&now));
    let emptied = Person { family: String::new(), ..now.clone() };
    assert!(!emptied.has_another_family_name(&now), "a name that is lost is no new name");
}

proptest! {
    #[test]
    fn a_name_is_short_plain_and_comes_once(given in "\\PC{0,24}", family in "\\PC{0,24}", longest in 4_i64..40) {
        let scheme = scheme(&json!({ "longest": longest, "userName": ["{{ firstName }}.{{ familyName }}", "{{ familyName }}"] }))
            .expect("a scheme");
        let person = Person { first: given, family, ..Person::default() };
        let names: Vec<String> = scheme.user_names(&person, false).take(60).collect();
        for name in &names {
            prop_assert!(name.len() <= longest as usize, "{name}");
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b)), "{name}");
            prop_assert!(!name.starts_with(['.', '-', '_']) && !name.ends_with(['.', '-', '_']), "{name}");
        }
    }

    #[test]
    fn a_text_that_is_folded_stays_so(text in "\\PC{0,24}") {
        let letters = Letters::default();
        let folded = letters.fold(&text);
        prop_assert_eq!(letters.fold(&folded), folded.clone());
    }

    #[test]
    fn a_name_is_the_same_when_it_comes_back_garbled(name in "[A-Za-zåäöÅÄÖéüñšž -]{1,20}") {
        let garbled: String = name.bytes().map(char::from).collect();
        prop_assert!(is_same(&name, &garbled), "{name} and {garbled}");
        prop_assert!(is_same(&name, &name.to_uppercase()));
    }
}
