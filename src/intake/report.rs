//! What a run says to a person: its report as text.

use std::fmt::Write as _;

use serde_json::{Map as Object, Value};

/// The report of a run, a line each.
pub fn text(document: &Object<String, Value>) -> String {
    let word = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let part = |name: &str, sub: &str| document.get(name).and_then(|part| part.get(sub));
    let mut report = String::new();
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(report, "{label:<12}{value}");
        }
    };
    line("run", word("id"));
    line("feed", part("feed", "display").and_then(Value::as_str).unwrap_or_default());
    line("state", word("state"));
    line("mode", word("mode"));
    line("extracted", word("extracted"));
    line("started", word("started"));
    line("ended", word("ended"));
    line("raised by", word("raised"));
    line("reason", word("reason"));
    for tripped in document.get("tripped").and_then(Value::as_array).into_iter().flatten() {
        let number = |name: &str| tripped.get(name).and_then(Value::as_u64).unwrap_or_default();
        let limit = tripped.get("limit").and_then(Value::as_str).unwrap_or_default();
        line("held for", &format!("{limit}: {} where {} are allowed", number("count"), number("most")));
    }
    let counts = document.get("counts").or_else(|| document.get("planned")).and_then(Value::as_object);
    let is_done = document.contains_key("counts") && document.get("simulated") != Some(&Value::Bool(true));
    line("", "");
    for (name, count) in counts.into_iter().flatten() {
        if let Some(count) = count.as_u64().filter(|count| *count > 0) {
            let _ = writeln!(report, "{}{name:<12}{count:>8}", if is_done { "  " } else { "  would be " });
        }
    }
    report
}
