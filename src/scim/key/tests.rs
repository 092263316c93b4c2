//! Keys: cases in `cases/key.json`, and that their order is the order of the values.

use jiff::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

#[derive(Deserialize)]
struct Table {
    orders: Vec<Order>,
    none: Vec<Keyless>,
}

#[derive(Deserialize)]
struct Order {
    #[serde(rename = "type")]
    kind: Type,
    rule: String,
    groups: Vec<Vec<Value>>,
}

#[derive(Deserialize)]
struct Keyless {
    #[serde(rename = "type")]
    kind: Type,
    value: Value,
}

fn table() -> Table {
    serde_json::from_str(include_str!("../cases/key.json")).unwrap()
}

fn rule(name: &str) -> TextRule {
    match name {
        "exact" => TextRule::Exact,
        "fold" => TextRule::Fold,
        _ => TextRule::Username,
    }
}

#[test]
fn equal_values_share_a_key_and_greater_ones_sort_after() {
    for order in table().orders {
        let mut before = None;
        for group in order.groups {
            let keys: Vec<_> = group.iter().map(|value| of(value, order.kind, rule(&order.rule)).unwrap()).collect();
            assert!(keys.iter().all(|key| *key == keys[0]), "{group:?} have the keys {keys:?}");
            assert!(before < Some(keys[0].clone()), "{group:?} does not sort after {before:?}");
            assert!(*keys[0] < *ABSENT);
            before = Some(keys[0].clone());
        }
    }
}

#[test]
fn a_value_of_another_type_has_no_key() {
    for Keyless { kind, value } in table().none {
        assert_eq!(of(&value, kind, TextRule::Fold), None, "{value} as {kind:?}");
    }
}

#[test]
fn user_names_match_as_the_examples_of_rfc_8265_say() {
    // Section 3.5, table 1 and its notes: which of the examples match which.
    let table = [
        ("juliet@example.com", "Juliet@Example.COM", true),
        ("fussball", "fu\u{df}ball", false),
        ("\u{3c0}", "\u{3a0}", true),
        ("\u{3a3}", "\u{3c3}", true),
        ("\u{3a3}", "\u{3c2}", false),
        ("\u{3c3}", "\u{3c2}", false),
        // Section 3.3.1: width is mapped first, and no other compatibility mapping is done (table 2).
        ("\u{ff4a}\u{ff55}\u{ff4c}\u{ff49}\u{ff45}\u{ff54}", "juliet", true),
        ("henry\u{2163}", "henryiv", false),
        // NFC at the end.
        ("bj\u{f6}rn", "BJO\u{308}RN", true),
        ("foo bar", "foobar", false),
    ];
    for (one, other, equal) in table {
        let keys = (of_text(one, TextRule::Username), of_text(other, TextRule::Username));
        assert_eq!(keys.0 == keys.1, equal, "{one} {other}");
    }
}

#[test]
fn passwords_are_prepared_as_the_examples_of_rfc_8265_say() {
    // Section 4.3: case stays, other spaces become the ordinary one, nothing else is mapped.
    let table = [
        ("correct horse battery staple", "correct horse battery staple"),
        ("Correct Horse Battery Staple", "Correct Horse Battery Staple"),
        ("\u{3c0}\u{df}\u{e5}", "\u{3c0}\u{df}\u{e5}"),
        ("Jack of \u{2666}s", "Jack of \u{2666}s"),
        ("foo\u{1680}bar", "foo bar"),
        ("henry\u{2163}", "henry\u{2163}"),
        ("a\u{30a}", "\u{e5}"),
        ("tab\there", "tab\there"),
    ];
    for (given, prepared) in table {
        assert_eq!(opaque(given), prepared, "{given}");
        assert_eq!(opaque(prepared), prepared, "{given}");
    }
}

#[test]
fn a_key_is_cut_before_a_character_that_does_not_fit() {
    assert_eq!(cut("short"), "short");
    assert_eq!(cut(&"x".repeat(600)).len(), MAX_BYTES);
    assert_eq!(cut(&format!("x{}", "\u{e5}".repeat(300))).len(), MAX_BYTES - 1);
}

fn rules() -> impl Strategy<Value = TextRule> {
    prop_oneof![Just(TextRule::Exact), Just(TextRule::Fold), Just(TextRule::Username)]
}

proptest! {
    #[test]
    fn integers_sort_as_their_keys(a: i64, b: i64) {
        let key = |number: i64| of(&json!(number), Type::Integer, TextRule::Exact).unwrap();
        prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
    }

    #[test]
    fn decimals_sort_as_their_keys(a in -1e12..1e12, b in prop_oneof![-1e12..1e12, -1.0..1.0]) {
        let key = |number: f64| of(&json!(number), Type::Decimal, TextRule::Exact).unwrap();
        prop_assert_eq!(Some(key(a).cmp(&key(b))), a.partial_cmp(&b));
    }

    #[test]
    fn instants_sort_as_their_keys(
        a in -62_000_000_000_000_000_i64..250_000_000_000_000_000,
        b in -62_000_000_000_000_000_i64..250_000_000_000_000_000,
    ) {
        let key = |micros: i64| {
            let text = Timestamp::from_microsecond(micros).unwrap().to_string();
            of(&json!(text), Type::DateTime, TextRule::Exact).unwrap()
        };
        prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
    }

    #[test]
    fn a_text_key_is_its_own_key(text: String, rule in rules()) {
        let key = of_text(&text, rule);
        prop_assert_eq!(of_text(&key, rule), key);
    }

    #[test]
    fn no_text_reaches_the_sentinel(text in "[\u{10FFFD}-\u{10FFFF}a]{0,4}", rule in rules()) {
        prop_assert!(*of_text(&text, rule) < *ABSENT);
    }

    #[test]
    fn folding_disregards_case(text in "[a-zåäöéøßα-ω]{0,12}") {
        prop_assert_eq!(of_text(&text.to_uppercase(), TextRule::Fold), of_text(&text, TextRule::Fold));
    }

    #[test]
    fn cutting_keeps_the_order(a in "[a-zå]{0,300}", b in "[a-zå]{0,300}") {
        prop_assert!(a > b || cut(&a) <= cut(&b));
    }
}
