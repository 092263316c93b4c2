//! A request body as JSON, stricter than the parser alone: an object (RFC 7644 section 3.1), no member twice in one
//! object (RFC 7643 section 2.1 leaves such a message without meaning), bounded depth, UTF-8, no U+0000. Every refusal is
//! 400 with the line and column. Knows nothing of SCIM attributes.

use scim::{Error, json};
use serde_json::Value;

/// Reads a body that must be a JSON object.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Error::invalid_syntax(format!("The body is not UTF-8: byte {} is not valid.", error.valid_up_to() + 1))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(Error::invalid_syntax("The body is empty. Send a JSON object."));
    }
    let value = json::read(text).map_err(|error| describe(&error))?;
    if !value.is_object() {
        return Err(Error::invalid_syntax("The body is not a JSON object at line 1 column 1."));
    }
    // The escape is the only way U+0000 gets into valid JSON, so most bodies need no walk.
    if text.contains("\\u0000") && holds_nul(&value) {
        return Err(Error::invalid_value("A text in the body holds U+0000, which cannot be stored. Remove it."));
    }
    Ok(value)
}

fn describe(error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let reason = text.strip_suffix(&position).unwrap_or(&text);
    Error::invalid_syntax(format!("The body is not valid JSON: {reason}{position}."))
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use scim::json::DEPTH_LIMIT;

    use super::*;

    #[test]
    fn what_the_parser_reads_is_what_was_sent() {
        let text = r#"{"a":[1,-2,3.5,true,null,"å"],"b":{"c":{},"d":[]},"e":18446744073709551615}"#;
        assert_eq!(parse(text.as_bytes()).expect("parses").to_string(), text);
        assert_eq!(parse("\u{feff}{}".as_bytes()).expect("a mark of order is no harm").to_string(), "{}");
    }

    #[test]
    fn what_is_no_json_object_is_refused_with_its_place() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(DEPTH_LIMIT), "]".repeat(DEPTH_LIMIT));
        let table: &[(&[u8], &str)] = &[
            (b"", "The body is empty."),
            (b"  \n", "The body is empty."),
            (b"{\n  \"a\": }", "The body is not valid JSON: expected value at line 2 column 8."),
            (b"{\"a\": 1", "The body is not valid JSON: EOF while parsing an object at line 1 column 7."),
            (b"{} x", "The body is not valid JSON: trailing characters at line 1 column 4."),
            (b"[1]", "The body is not a JSON object"),
            (b"\"text\"", "The body is not a JSON object"),
            (b"{\"a\": 1e999}", "The body is not valid JSON: number out of range at line 1 column"),
            (b"{\"a\": \"\xff\"}", "The body is not UTF-8: byte 8 is not valid."),
            (
                b"{\"a\": 1,\n \"a\": 2}",
                "The body is not valid JSON: the member \"a\" stands twice in one object at line 2 column 4.",
            ),
            (b"{\"b\": [{\"a\": 1, \"a\": 2}]}", "The body is not valid JSON: the member \"a\" stands twice"),
            (deep.as_bytes(), "The body is not valid JSON: it is nested deeper than 64 levels at line 1 column"),
        ];
        for (body, expected) in table {
            let error = parse(body).expect_err(expected);
            assert_eq!((error.status, error.scim_type), (400, Some(scim::ScimType::InvalidSyntax)));
            assert!(error.detail.starts_with(expected), "{}\nexpected {expected}", error.detail);
        }
    }

    #[test]
    fn depth_up_to_the_limit_is_fine() {
        let levels = DEPTH_LIMIT - 1;
        let text = format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        parse(text.as_bytes()).expect("parses");
    }

    #[test]
    fn a_text_with_nul_is_an_invalid_value_wherever_it_stands() {
        for text in [r#"{"a":"x\u0000"}"#, r#"{"a":[{"b\u0000":1}]}"#] {
            assert_eq!(parse(text.as_bytes()).expect_err(text).scim_type, Some(scim::ScimType::InvalidValue));
        }
        parse(br#"{"a":"a written \\u0000"}"#).expect("an escaped backslash is no NUL");
    }
}
