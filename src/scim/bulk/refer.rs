//! References by bulkId within the data of an operation: found and replaced by one walk, so that what is linked is what
//! is resolved.

use serde_json::Value;

use super::Method;

/// What stands before a bulkId in a reference.
pub(super) const PREFIX: &str = "bulkId:";

/// What a reference stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The id of the resource.
    Id,
    /// Its location: a `$ref`.
    Location,
}

/// Calls `each` with the bulkId of every reference, and puts what it returns in the reference's place.
pub(super) fn visit(method: Method, data: &mut Value, each: &mut dyn FnMut(&str, Form) -> Option<String>) {
    let Value::Object(members) = data else { return };
    for (name, value) in members {
        match value {
            Value::Array(operations) if method == Method::Patch && name.eq_ignore_ascii_case("Operations") => {
                operations.iter_mut().for_each(|operation| patch_operation(operation, each));
            }
            value => walk(Some(name), value, each),
        }
    }
}

fn patch_operation(operation: &mut Value, each: &mut dyn FnMut(&str, Form) -> Option<String>) {
    let Value::Object(members) = operation else { return };
    for (name, value) in members {
        match value {
            Value::String(path) if name.eq_ignore_ascii_case("path") => quoted(path, each),
            value => walk(Some(name), value, each),
        }
    }
}

fn walk(name: Option<&str>, value: &mut Value, each: &mut dyn FnMut(&str, Form) -> Option<String>) {
    match value {
        Value::String(text) => {
            let found = if name == Some("$ref") {
                let at = if text.starts_with(PREFIX) { Some(0) } else { text.rfind("/bulkId:").map(|at| at + 1) };
                at.and_then(|at| text.get(at + PREFIX.len()..)).and_then(|bulk_id| each(bulk_id, Form::Location))
            } else {
                text.strip_prefix(PREFIX).and_then(|bulk_id| each(bulk_id, Form::Id))
            };
            if let Some(found) = found {
                *text = found;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| walk(name, value, each)),
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| walk(Some(name), value, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// References among the quoted values of a PATCH path, such as `members[value eq "bulkId:x"]`.
fn quoted(path: &mut String, each: &mut dyn FnMut(&str, Form) -> Option<String>) {
    let mut out = String::with_capacity(path.len());
    let mut rest = path.as_str();
    while let Some(start) = rest.find('"') {
        let (before, from) = rest.split_at(start);
        let mut values = serde_json::Deserializer::from_str(from).into_iter::<String>();
        // What is no text literal is for the path's own parser to refuse.
        let Some(Ok(text)) = values.next() else { break };
        let (literal, after) = from.split_at(values.byte_offset());
        out.push_str(before);
        match text.strip_prefix(PREFIX).and_then(|bulk_id| each(bulk_id, Form::Id)) {
            Some(found) => out.push_str(&Value::String(found).to_string()),
            None => out.push_str(literal),
        }
        rest = after;
    }
    out.push_str(rest);
    *path = out;
}
