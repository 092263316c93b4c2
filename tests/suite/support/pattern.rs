//! Patterns of JSON values with variables, as `tests/vectors/README.md` tells them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Variables by name.
pub(crate) type Variables = BTreeMap<String, Value>;

/// The value with every `${name}` of a known variable replaced; a string that is nothing else takes the variable's type.
pub(crate) fn fill(template: &Value, variables: &Variables) -> Value {
    match template {
        Value::String(text) => fill_text(text, variables),
        Value::Array(items) => items.iter().map(|item| fill(item, variables)).collect(),
        Value::Object(members) => {
            let filled = members.iter().map(|(name, value)| match fill_text(name, variables) {
                Value::String(name) => (name, fill(value, variables)),
                _ => (name.clone(), fill(value, variables)),
            });
            Value::Object(filled.collect())
        }
        other => other.clone(),
    }
}

fn fill_text(text: &str, variables: &Variables) -> Value {
    if let Some(value) = keyword(text).and_then(|name| variables.get(name)) {
        return value.clone();
    }
    let mut filled = text.to_owned();
    for (name, value) in variables {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        filled = filled.replace(&format!("${{{name}}}"), &value);
    }
    Value::String(filled)
}

/// `any` of `${any}`, if that is the whole text.
fn keyword(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}').filter(|inner| !inner.contains('}'))
}

/// Adds to `faults` whatever in `found` the pattern does not match, and to `variables` what it captures.
pub(crate) fn compare(
    pattern: &Value,
    found: Option<&Value>,
    place: &str,
    variables: &mut Variables,
    faults: &mut Vec<String>,
) {
    let pattern = fill(pattern, variables);
    let matches = match (&pattern, found) {
        (Value::String(text), _) if keyword(text).is_some() => {
            compare_keyword(keyword(text).unwrap_or_default(), found, variables)
        }
        (_, None) => false,
        (Value::String(text), Some(Value::String(found))) if text.contains("${capture:") => {
            capture(text, found, variables)
        }
        (Value::Object(wanted), Some(found)) => match wanted.iter().next() {
            Some((name, value)) if keyword(name).is_some() => {
                compare_special(keyword(name).unwrap_or_default(), value, found, variables)
            }
            _ => return compare_members(wanted, found, place, variables, faults),
        },
        (Value::Array(wanted), Some(Value::Array(items))) if wanted.len() == items.len() => {
            for (number, (wanted, item)) in wanted.iter().zip(items).enumerate() {
                compare(wanted, Some(item), &format!("{place}[{number}]"), variables, faults);
            }
            return;
        }
        (wanted, Some(found)) => wanted == found,
    };
    if !matches {
        let found = found.map_or("nothing".to_owned(), Value::to_string);
        faults.push(format!("{place}: expected {pattern}, found {found}"));
    }
}

fn compare_members(
    wanted: &Map<String, Value>,
    found: &Value,
    place: &str,
    variables: &mut Variables,
    faults: &mut Vec<String>,
) {
    let Value::Object(members) = found else {
        faults.push(format!("{place}: expected an object, found {found}"));
        return;
    };
    for (name, pattern) in wanted {
        compare(pattern, members.get(name), &format!("{place}.{name}"), variables, faults);
    }
}

fn compare_keyword(keyword: &str, found: Option<&Value>, variables: &mut Variables) -> bool {
    let Some(found) = found else { return keyword == "absent" };
    match keyword.split_once(':') {
        Some(("capture", name)) => {
            variables.insert(name.to_owned(), found.clone());
            true
        }
        Some(("not", name)) => variables.get(name) != Some(found),
        Some(("has", part)) => found.as_str().is_some_and(|text| text.contains(part)),
        _ => match keyword {
            "any" => true,
            "string" => found.as_str().is_some_and(|text| !text.is_empty()),
            "number" => found.is_number(),
            "boolean" => found.is_boolean(),
            "array" => found.as_array().is_some_and(|items| !items.is_empty()),
            "time" => found.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
            _ => false,
        },
    }
}

fn compare_special(keyword: &str, wanted: &Value, found: &Value, variables: &mut Variables) -> bool {
    match (keyword, wanted, found) {
        ("length", wanted, Value::Array(items)) => wanted.as_u64() == Some(items.len() as u64),
        ("contains", Value::Array(wanted), Value::Array(items)) => assign(wanted, items, variables),
        ("only", Value::Array(wanted), Value::Array(items)) => {
            wanted.len() == items.len() && assign(wanted, items, variables)
        }
        ("exactly", Value::Object(wanted), Value::Object(members)) => {
            let mut faults = Vec::new();
            compare_members(wanted, found, "", variables, &mut faults);
            faults.is_empty() && members.keys().all(|name| wanted.contains_key(name))
        }
        _ => false,
    }
}

/// Whether each pattern has an element of its own; the first that fits is taken.
fn assign(wanted: &[Value], items: &[Value], variables: &mut Variables) -> bool {
    let mut free: Vec<&Value> = items.iter().collect();
    wanted.iter().all(|pattern| {
        let fits = free.iter().position(|item| {
            let mut faults = Vec::new();
            let mut scope = variables.clone();
            compare(pattern, Some(item), "", &mut scope, &mut faults);
            if faults.is_empty() {
                *variables = scope;
            }
            faults.is_empty()
        });
        fits.map(|place| free.remove(place)).is_some()
    })
}

/// `…/Users/${capture:id}` against the text that was found.
fn capture(pattern: &str, found: &str, variables: &mut Variables) -> bool {
    let Some((before, rest)) = pattern.split_once("${capture:") else { return pattern == found };
    let Some((name, after)) = rest.split_once('}') else { return false };
    let Some(tail) = found.strip_prefix(before) else { return false };
    let end = tail.find(['/', '?', '"']).unwrap_or(tail.len());
    let (value, rest) = tail.split_at(end);
    variables.insert(name.to_owned(), Value::from(value));
    !value.is_empty() && capture(after, rest, variables)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(pattern: &Value, found: &Value) -> usize {
        let mut variables = Variables::from([("n".to_owned(), json!(3)), ("name".to_owned(), json!("Åsa"))]);
        let mut faults = Vec::new();
        compare(pattern, Some(found), "body", &mut variables, &mut faults);
        faults.len()
    }

    #[test]
    fn a_pattern_matches_what_it_says() {
        for (pattern, found) in [
            (json!({"a": 1}), json!({"a": 1, "b": 2})),
            (json!({"a": "${absent}"}), json!({"b": 2})),
            (json!({"a": "${n}"}), json!({"a": 3})),
            (json!("hej ${name}"), json!("hej Åsa")),
            (json!({"${only}": [2, 1]}), json!([1, 2])),
            (json!({"${contains}": [{"v": "x"}]}), json!([{"v": "y"}, {"v": "x", "w": 1}])),
            (json!({"${length}": 2}), json!([1, 2])),
            (json!({"${exactly}": {"a": "${any}"}}), json!({"a": 1})),
            (json!("${time}"), json!("2026-03-01T10:00:00.123Z")),
            (json!("${has:b}"), json!("abc")),
            (json!("${not:n}"), json!(4)),
            (json!("/Users/${capture:id}"), json!("/Users/7")),
        ] {
            assert_eq!(faults(&pattern, &found), 0, "{pattern} {found}");
        }
    }

    #[test]
    fn a_pattern_refuses_what_it_does_not_say() {
        for (pattern, found) in [
            (json!({"a": 1}), json!({"a": 2})),
            (json!({"a": "${any}"}), json!({})),
            (json!({"a": "${absent}"}), json!({"a": null})),
            (json!({"a": 1}), json!([1])),
            (json!([1]), json!([1, 2])),
            (json!({"${only}": [1, 1]}), json!([1, 2])),
            (json!({"${contains}": [1, 1]}), json!([1, 2])),
            (json!({"${length}": 1}), json!([1, 2])),
            (json!({"${exactly}": {"a": "${any}"}}), json!({"a": 1, "b": 1})),
            (json!("${time}"), json!("yesterday")),
            (json!("${not:n}"), json!(3)),
            (json!("${unheard-of}"), json!(3)),
            (json!("/Users/${capture:id}"), json!("/Users/7/8")),
        ] {
            assert_ne!(faults(&pattern, &found), 0, "{pattern} {found}");
        }
    }

    #[test]
    fn what_is_captured_can_be_used() {
        let mut variables = Variables::new();
        let mut faults = Vec::new();
        let found = json!({"id": "7", "ref": "http://host/Users/7"});
        let pattern = json!({"id": "${capture:id}", "ref": "http://host/Users/${id}"});
        compare(&pattern, Some(&found), "body", &mut variables, &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(fill(&json!({"value": "${id}"}), &variables), json!({"value": "7"}));
    }
}
