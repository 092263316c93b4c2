//! Whether two documents say the same. Documents in canonical form have their names in one order, so they are compared
//! side by side and no name is looked up; where the order differs, the names are.

use serde_json::{Map, Value};

/// Whether two documents have the same names with the same values, in whatever order the names are.
pub fn equals(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    if one.len() != other.len() {
        return false;
    }
    for ((name, value), (other_name, other_value)) in one.iter().zip(other) {
        if name != other_name {
            return one == other;
        }
        if !equals_value(value, other_value) {
            return false;
        }
    }
    true
}

/// The names that have not the same value in both documents.
pub fn differing<'d>(one: &'d Map<String, Value>, other: &'d Map<String, Value>) -> Vec<&'d str> {
    let mut names = Vec::new();
    let mut aligned = 0;
    for ((name, value), (other_name, other_value)) in one.iter().zip(other) {
        if name != other_name {
            break;
        }
        aligned += 1;
        if !equals_value(value, other_value) {
            names.push(name.as_str());
        }
    }
    for (name, value) in one.iter().skip(aligned) {
        if other.get(name) != Some(value) {
            names.push(name);
        }
    }
    names.extend(other.keys().skip(aligned).map(String::as_str).filter(|name| !one.contains_key(*name)));
    names
}

fn equals_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => equals(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equals_value(one, other))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_differ_whose_values_do_or_that_one_document_lacks() {
        let one = json!({ "a": 1, "b": { "c": 1 }, "d": 4, "e": 5, "f": 6 });
        let table = [
            (json!({ "a": 1, "b": { "c": 2 }, "d": 4, "e": 5, "f": 6 }), "b"),
            (json!({ "a": 1, "b": { "c": 1 }, "x": 0, "d": 4, "e": 5, "f": 7 }), "f x"),
            (json!({ "f": 6, "e": 0, "b": { "c": 1 }, "a": 1 }), "d e"),
            (json!({}), "a b d e f"),
        ];
        for (other, expected) in table {
            let (one, other) = (one.as_object().unwrap(), other.as_object().unwrap());
            for (one, other) in [(one, other), (other, one)] {
                let mut names = differing(one, other);
                names.sort_unstable();
                assert_eq!(names.join(" "), expected, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn documents_are_equal_whatever_the_order_of_their_names_and_unequal_for_any_other_value() {
        let table = [
            (json!({}), json!({}), true),
            (json!({ "a": 1, "b": 2 }), json!({ "a": 1, "b": 2 }), true),
            (json!({ "a": 1, "b": 2 }), json!({ "b": 2, "a": 1 }), true),
            (
                json!({ "a": { "b": 1, "c": [{ "d": 1, "e": 2 }] } }),
                json!({ "a": { "c": [{ "e": 2, "d": 1 }], "b": 1 } }),
                true,
            ),
            (json!({ "a": [1, 2] }), json!({ "a": [2, 1] }), false),
            (json!({ "a": [1] }), json!({ "a": [1, 2] }), false),
            (json!({ "a": 1 }), json!({ "a": 1, "b": 2 }), false),
            (json!({ "a": 1, "b": 2 }), json!({ "b": 2, "a": 3 }), false),
            (json!({ "a": { "b": [{ "c": true }] } }), json!({ "a": { "b": [{ "c": false }] } }), false),
        ];
        for (one, other, expected) in table {
            let (one, other) = (one.as_object().unwrap(), other.as_object().unwrap());
            assert_eq!(equals(one, other), expected, "{one:?} {other:?}");
            assert_eq!(equals(other, one), expected, "{other:?} {one:?}");
            assert_eq!(one == other, expected, "as serde has it");
            assert_eq!(differing(one, other).is_empty(), expected);
        }
    }
}
