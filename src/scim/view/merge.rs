//! What a client made of the part of a document that it sees, put back into the whole: what it does not see stays as it
//! was (RFC 7644 section 3.5.1 as seen through a view). Pure, and blind to schemas: only what was shown counts.

use serde_json::{Map, Value};

use crate::Error;
use crate::resource::{check_whole, normalise};
use crate::schema::Definition;

/// What becomes of `current` when a client makes `next` of what it sees, `seen`. Fails with 400 invalidValue when the
/// document lacks what is required.
pub fn write_back(
    def: &Definition,
    current: &Map<String, Value>,
    seen: &Map<String, Value>,
    next: Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    let mut merged = merge(current, seen, next);
    normalise(def, &mut merged);
    check_whole(def, &merged, false)?;
    Ok(merged)
}

/// `next` is what became of `seen`, which is a part of `current`. Returns what becomes of `current`.
///
/// An element of an array stays the element it was as long as what was seen of it is found again, or its `value`, or no
/// other is left that it could have become. One that was seen and is gone goes whole; one that was not seen stays.
fn merge(current: &Map<String, Value>, seen: &Map<String, Value>, mut next: Map<String, Value>) -> Map<String, Value> {
    let mut merged = Map::with_capacity(current.len().max(next.len()));
    for (name, whole) in current {
        let Some(value) = merge_value(whole, seen.get(name), next.shift_remove(name)) else { continue };
        merged.insert(name.clone(), value);
    }
    merged.extend(next);
    merged
}

/// What becomes of one value; `None`: it is gone.
fn merge_value(whole: &Value, seen: Option<&Value>, next: Option<Value>) -> Option<Value> {
    match (whole, seen, next) {
        (whole, None, None) => Some(whole.clone()),
        (Value::Array(whole), None, Some(Value::Array(next))) => Some(merge_elements(whole, &[], next)),
        (Value::Object(whole), None, Some(Value::Object(next))) => Some(Value::Object(merge(whole, &Map::new(), next))),
        (_, None, Some(next)) => Some(next),
        (whole, Some(seen), Some(next)) if *seen == next => Some(whole.clone()),
        (Value::Object(whole), Some(Value::Object(seen)), next) => {
            let next = match next {
                None => Map::new(),
                Some(Value::Object(next)) => next,
                Some(other) => return Some(other),
            };
            let merged = merge(whole, seen, next);
            (!merged.is_empty()).then_some(Value::Object(merged))
        }
        (Value::Array(whole), Some(Value::Array(seen)), next) => {
            let next = match next {
                None => Vec::new(),
                Some(Value::Array(next)) => next,
                Some(other) => return Some(other),
            };
            let merged = merge_elements(whole, seen, next);
            (merged.as_array().is_none_or(|merged| !merged.is_empty())).then_some(merged)
        }
        (_, Some(_), next) => next,
    }
}

/// An element that was seen, in whole and in part.
struct Known<'e> {
    place: usize,
    whole: &'e Value,
    seen: &'e Value,
}

fn merge_elements(whole: &[Value], seen: &[Value], next: Vec<Value>) -> Value {
    let mut shown = seen.iter().peekable();
    let mut known: Vec<Known<'_>> = Vec::with_capacity(seen.len());
    // Where an element stood, and what it becomes: those that were not seen stand where they stood.
    let mut merged: Vec<(usize, Value)> = Vec::with_capacity(whole.len().max(next.len()));
    for (place, whole) in whole.iter().enumerate() {
        match shown.next_if(|seen| is_part(seen, whole)) {
            Some(seen) => known.push(Known { place, whole, seen }),
            None => merged.push((place, whole.clone())),
        }
    }
    let turn =
        |known: &Known<'_>, next: Value| Some(known.place).zip(merge_value(known.whole, Some(known.seen), Some(next)));
    let mut left = next;
    for same in [|seen: &Value, next: &Value| seen == next, has_same_value] {
        for next in std::mem::take(&mut left) {
            let Some(found) = known.iter().position(|known| same(known.seen, &next)) else {
                left.push(next);
                continue;
            };
            merged.extend(turn(&known.remove(found), next));
        }
    }
    // Several that look alike, which their client sees as one, are several all the same.
    let shown: Vec<Value> = known.iter().map(|known| known.seen.clone()).collect();
    known.retain(|twin| {
        let alike = seen.iter().filter(|seen| *seen == twin.seen).count();
        let stays = alike > shown.iter().filter(|seen| *seen == twin.seen).count();
        if stays {
            merged.push((twin.place, twin.whole.clone()));
        }
        !stays
    });
    if left.len() == known.len() {
        for (known, next) in known.iter().zip(std::mem::take(&mut left)) {
            merged.extend(turn(known, next));
        }
    }
    merged.sort_by_key(|(place, _)| *place);
    Value::Array(merged.into_iter().map(|(_, value)| value).chain(left).collect())
}

fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| is_part(part, whole)))
        }
        (part, whole) => part == whole,
    }
}

fn has_same_value(seen: &Value, next: &Value) -> bool {
    seen.get("value").is_some_and(|value| next.get("value") == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn what_was_not_seen_stays_and_what_was_seen_is_as_its_client_left_it() {
        let table = [
            ("nothing changed", json!({"a": 1, "b": 2}), json!({"a": 1}), json!({"a": 1}), json!({"a": 1, "b": 2})),
            (
                "changed",
                json!({"a": 1, "b": 2}),
                json!({"a": 1}),
                json!({"a": 3, "c": 4}),
                json!({"a": 3, "b": 2, "c": 4}),
            ),
            ("removed", json!({"a": 1, "b": 2}), json!({"a": 1}), json!({}), json!({"b": 2})),
            (
                "part of an object removed",
                json!({"name": {"f": "x", "g": "y"}}),
                json!({"name": {"f": "x"}}),
                json!({}),
                json!({"name": {"g": "y"}}),
            ),
            (
                "an object of which nothing was seen",
                json!({"name": {"g": "y"}}),
                json!({}),
                json!({"name": {"f": "x"}}),
                json!({"name": {"g": "y", "f": "x"}}),
            ),
            (
                "an element changed, another gone, one that is not seen stays",
                json!({"e": [{"value": "a", "h": 1}, {"h": 2}, {"value": "b", "h": 3}]}),
                json!({"e": [{"value": "a"}, {"value": "b"}]}),
                json!({"e": [{"value": "a", "t": "w"}]}),
                json!({"e": [{"value": "a", "h": 1, "t": "w"}, {"h": 2}]}),
            ),
            (
                "all elements that were seen gone",
                json!({"e": [{"value": "a", "h": 1}, {"h": 2}]}),
                json!({"e": [{"value": "a"}]}),
                json!({}),
                json!({"e": [{"h": 2}]}),
            ),
            (
                "two that look alike came back as one",
                json!({"e": [{"t": "w", "h": 1}, {"t": "w", "h": 2}]}),
                json!({"e": [{"t": "w"}, {"t": "w"}]}),
                json!({"e": [{"t": "w"}, {"t": "x"}]}),
                json!({"e": [{"t": "w", "h": 1}, {"t": "w", "h": 2}, {"t": "x"}]}),
            ),
            (
                "the only one that is left became the only one that is new",
                json!({"e": [{"t": "w", "h": 1}]}),
                json!({"e": [{"t": "w"}]}),
                json!({"e": [{"t": "x"}]}),
                json!({"e": [{"t": "x", "h": 1}]}),
            ),
            (
                "texts",
                json!({"s": ["a", "h", "b"]}),
                json!({"s": ["a", "b"]}),
                json!({"s": ["b", "c", "d"]}),
                json!({"s": ["h", "b", "c", "d"]}),
            ),
        ];
        for (what, current, seen, next, expected) in table {
            assert_eq!(Value::Object(merge(&object(current), &object(seen), object(next))), expected, "{what}");
        }
    }
}
