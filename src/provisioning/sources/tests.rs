//! Whose value counts: cases, and properties over whatever order things come in.

use std::sync::LazyLock;

use proptest::prelude::*;
use scim::schema::Registry;
use serde_json::json;

use super::*;

const MOBILE: &str = "phoneNumbers[type eq \"mobile\"]";

static BUILTIN: LazyLock<Registry> = LazyLock::new(|| Registry::builtin().expect("documents"));

fn site(path: &str) -> Site {
    Site::parse(BUILTIN.definition("User").expect("a type"), path).expect("a site")
}

fn mobile(number: &str) -> Value {
    json!({ "value": number, "type": "mobile" })
}

fn says(source: &str, values: Vec<Value>) -> Statement {
    Statement { source: source.into(), values, since: String::new() }
}

fn wish<'w>(shown: &'w [Value], wanted: &'w [Value]) -> Wish<'w> {
    Wish { shown, wanted, absence: Absence::Silence, is_named: false }
}

#[test]
fn what_is_no_place_of_values_is_refused_with_the_reason() {
    let user = BUILTIN.definition("User").expect("a type");
    for (path, why) in [
        ("shoeSize", "no attribute"),
        ("phoneNumbers[type eq", "no path"),
        ("phoneNumbers.value", "part of elements"),
        ("phoneNumbers[type eq \"work\"].value", "part of elements"),
        ("name[familyName pr]", "one value"),
        ("password", "not for sources"),
        ("active", "not for sources"),
        ("id", "not for sources"),
        ("groups", "not for sources"),
        ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "whole extension"),
    ] {
        let detail = Site::parse(user, path).expect_err(path).detail;
        assert!(detail.contains(why), "{path}: {detail}");
    }
    assert_eq!(site("PHONENUMBERS[type eq \"mobile\"]").path(), MOBILE);
    assert_eq!(site("name.familyname").path(), "name.familyName");
}

#[test]
fn values_are_taken_and_put_where_they_are_and_nothing_else_moves() {
    let document = json!({ "userName": "bo", "name": { "familyName": "Ek", "givenName": "Bo" }, "phoneNumbers": [
        { "value": "1", "type": "work", "primary": true }, mobile("2"), { "value": "3", "type": "fax" } ] });
    let document = document.as_object().expect("an object");
    let place = site(MOBILE);
    assert_eq!(place.values(document), [mobile("2")]);
    let mut other = document.clone();
    place.put(&mut other, vec![json!({ "value": "9", "type": "mobile", "primary": true })]);
    assert_eq!(other["phoneNumbers"][1], mobile("9"), "in its place, and not a second primary one");
    assert_eq!(other["phoneNumbers"].as_array().map(Vec::len), Some(3));
    place.put(&mut other, Vec::new());
    assert_eq!(other["phoneNumbers"].as_array().map(Vec::len), Some(2));
    site("phoneNumbers").put(&mut other, Vec::new());
    assert!(!other.contains_key("phoneNumbers"));
    let family = site("name.familyName");
    family.put(&mut other, vec![json!("Berg")]);
    assert_eq!(other["name"], json!({ "familyName": "Berg", "givenName": "Bo" }));
    family.put(&mut other, Vec::new());
    assert_eq!(other["name"], json!({ "givenName": "Bo" }));
    let number = site("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department");
    number.put(&mut other, vec![json!("Care")]);
    assert_eq!(number.values(&other), [json!("Care")]);
    number.put(&mut other, Vec::new());
    assert_eq!(other.keys().collect::<Vec<_>>(), ["userName", "name"]);
}

#[test]
fn places_overlap_when_a_value_may_lie_in_both() {
    let table = [
        (MOBILE, MOBILE, true),
        (MOBILE, "phoneNumbers", true),
        (MOBILE, "phoneNumbers[type eq \"work\"]", false),
        ("name", "name.familyName", true),
        ("name.givenName", "name.familyName", false),
        ("title", "displayName", false),
    ];
    for (one, other, expected) in table {
        assert_eq!(site(one).overlaps(&site(other)), expected, "{one} {other}");
    }
}

#[test]
fn a_write_says_what_is_new_in_it_and_nothing_that_comes_back() {
    let place = site(MOBILE);
    let (hers, his) = (vec![mobile("1")], vec![mobile("2")]);
    let both = vec![mobile("1"), mobile("2")];
    let removal = |wish| Wish { absence: Absence::Removal, ..wish };
    let named = |wish| Wish { is_named: true, ..wish };
    let table: [(&str, &[Value], Wish<'_>, Heard); 12] = [
        ("puts its own once more where another's shows", &his, removal(wish(&hers, &his)), Heard::Nothing),
        ("takes another's from among both", &his, removal(wish(&both, &his)), Heard::Outside),
        ("reads and writes back", &[], wish(&hers, &hers), Heard::Nothing),
        ("says the same by name", &[], named(wish(&hers, &hers)), Heard::Says(hers.clone())),
        ("another number", &[], wish(&hers, &his), Heard::Says(his.clone())),
        ("one more", &[], wish(&hers, &both), Heard::Says(his.clone())),
        ("says again what does not show", &his, wish(&hers, &his), Heard::Nothing),
        ("leaves out what is its own and does not show", &his, wish(&hers, &[]), Heard::Says(vec![])),
        ("leaves out what is its own", &his, wish(&his, &[]), Heard::Says(vec![])),
        ("leaves out what is another's", &[], wish(&hers, &[]), Heard::Nothing),
        ("takes away what is another's", &[], removal(wish(&hers, &[])), Heard::Outside),
        ("takes away its own", &his, removal(wish(&his, &[])), Heard::Says(vec![])),
    ];
    for (what, own, wish, expected) in table {
        assert_eq!(hear(&place, own, wish), expected, "{what}");
    }
    assert_eq!(overhear(&place, wish(&hers, &hers)), Heard::Nothing);
    assert_eq!(overhear(&place, wish(&hers, &[])), Heard::Nothing);
    assert_eq!(overhear(&place, removal(wish(&hers, &[]))), Heard::Outside);
    assert_eq!(overhear(&place, wish(&hers, &his)), Heard::Outside);
}

#[test]
fn all_that_is_said_shows_once_where_nobody_counts_more() {
    let place = site(MOBILE);
    let order = ["b".to_owned(), "a".to_owned()];
    let said = [says("a", vec![mobile("1"), mobile("2")]), says("b", vec![mobile("2"), mobile("3")])];
    let shown = choose(&place, &said, &order, Combine::All);
    assert_eq!(shown, [mobile("2"), mobile("3"), mobile("1")]);
    assert_eq!(choose(&place, &said, &order, Combine::Highest), [mobile("2"), mobile("3")]);
    assert!(choose(&place, &said, &[], Combine::Highest).is_empty(), "who is not named has no word");
}

/// What a register with one place would do: sources say and withdraw by name.
fn play(acts: &[(usize, Option<u8>)], order: &[String], combine: Combine) -> (Vec<Statement>, Vec<Value>) {
    let place = site(MOBILE);
    let (mut said, mut shown): (Vec<Statement>, Vec<Value>) = (Vec::new(), Vec::new());
    for (who, number) in acts {
        let Some(source) = order.get(*who) else { continue };
        let own = said.iter().find(|one| one.source == *source).map(|one| one.values.clone()).unwrap_or_default();
        let others: Vec<Value> = shown.iter().filter(|value| !place.has(&own, value)).cloned().collect();
        let wanted: Vec<Value> = match (number, combine) {
            (Some(number), Combine::Highest) => vec![mobile(&number.to_string())],
            (Some(number), Combine::All) => {
                let new = mobile(&number.to_string());
                others
                    .into_iter()
                    .filter(|value| !place.has(std::slice::from_ref(&new), value))
                    .chain([new.clone()])
                    .collect()
            }
            (None, _) => Vec::new(),
        };
        let is_named = combine == Combine::Highest;
        let wish = Wish { shown: &shown, wanted: &wanted, absence: Absence::Silence, is_named };
        if let Heard::Says(values) = hear(&place, &own, wish) {
            said.retain(|one| one.source != *source);
            if !values.is_empty() {
                said.push(says(source, values));
            }
        }
        shown = choose(&place, &said, order, combine);
    }
    (said, shown)
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(
        last in prop::collection::vec(prop::option::of(0u8..4), 3),
        noise in prop::collection::vec((0usize..3, prop::option::of(0u8..4)), 0..12),
        turn in Just(vec![0usize, 1, 2]).prop_shuffle(),
    ) {
        let order: Vec<String> = ["tele", "hr", "school"].map(String::from).to_vec();
        let ends = |turn: &[usize]| {
            let mut acts = noise.clone();
            acts.extend(turn.iter().map(|who| (*who, last.get(*who).copied().flatten())));
            play(&acts, &order, Combine::Highest).1
        };
        let expected: Vec<Value> =
            last.iter().flatten().take(1).map(|number| mobile(&number.to_string())).collect();
        prop_assert_eq!(ends(&[0, 1, 2]), expected.clone());
        prop_assert_eq!(ends(&turn), expected);
    }

    #[test]
    fn a_withdrawal_shows_what_the_next_one_says(numbers in prop::collection::vec(prop::option::of(0u8..4), 1..6)) {
        let order: Vec<String> = (0..numbers.len()).map(|n| n.to_string()).collect();
        let place = site(MOBILE);
        let mut said: Vec<Statement> = order.iter().zip(&numbers)
            .filter_map(|(source, number)| Some(says(source, vec![mobile(&(*number)?.to_string())])))
            .collect();
        while let Some(first) = said.first().cloned() {
            prop_assert_eq!(choose(&place, &said, &order, Combine::Highest), first.values);
            said.remove(0);
        }
        prop_assert!(choose(&place, &said, &order, Combine::Highest).is_empty());
    }
}
