//! What a simulation says as one page of HTML that stands for itself: numbers, what each group and entitlement would gain and
//! lose, and person by person what would begin, end and become another, with the reasons. It needs no script, no font and no
//! picture from anywhere, can be printed, and every text of the register in it is escaped. Pure: whoever serves it brings
//! the items, slice by slice.

use std::fmt::Write as _;

use serde_json::{Map as Object, Value};

use super::item::{Item, Reason, Target, Turn};

/// People on a page at most; the table has all of them.
pub const MOST_PEOPLE: i64 = 2_000;
/// Groups and entitlements on a page at most.
pub const MOST_TARGETS: i64 = 500;

const STYLE: &str = "\
:root{--ink:#1d2733;--soft:#5b6876;--line:#d9dfe6;--ground:#f5f7f9;--card:#fff;--gain:#1f7a4d;--gain-soft:#e3f4ea;--loss:#a8322d;--loss-soft:#fbe7e5;--mark:#2b5c9e}\
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9aa7b4;--line:#34404d;--ground:#161c23;--card:#1f2832;--gain:#6fd39c;--gain-soft:#1d3a2b;--loss:#f0928c;--loss-soft:#432523;--mark:#8fb8ee}}\
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{max-width:64rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:1.7rem;line-height:1.2;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.25rem 0 .75rem}\
p{margin:.25rem 0}.soft{color:var(--soft)}.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem}\
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.75rem;margin-top:1.25rem}.tile{padding:.75rem 1rem}.tile b{display:block;font-size:1.6rem;line-height:1.2;font-variant-numeric:tabular-nums}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .75rem;border-top:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}thead th{border-top:0;font-size:.85rem;color:var(--soft);font-weight:600}\
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.gain{color:var(--gain)}.loss{color:var(--loss)}\
details{margin:.5rem 0;padding:.15rem 0}summary{cursor:pointer;padding:.5rem 1rem;display:flex;flex-wrap:wrap;gap:.4rem;align-items:baseline}summary::before{content:'\\25B8';color:var(--soft)}details[open] summary::before{content:'\\25BE'}summary b{margin-right:.35rem}\
.chip{border-radius:1rem;padding:.05rem .6rem;font-size:.85rem;overflow-wrap:anywhere}.chip.gain{background:var(--gain-soft)}.chip.loss{background:var(--loss-soft)}.chip.mark{color:var(--mark);border:1px solid var(--line)}\
.in{padding:0 1rem .75rem}.in h3{font-size:.9rem;margin:.75rem 0 .25rem;color:var(--soft)}code{font:.85em ui-monospace,monospace}.in td:first-child{width:11rem;min-width:7rem}del{color:var(--loss);text-decoration:none}ins{color:var(--gain);text-decoration:none}\
@media print{body{background:#fff}details{break-inside:avoid}.card{border-color:#bbb}}";

/// The beginning of the page: what it is about, the numbers, what each target would gain and lose.
pub fn head(document: &Object<String, Value>, targets: &[Target]) -> String {
    let word = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let counts = document.get("counts").and_then(Value::as_object);
    let count = |name: &str| counts.and_then(|counts| counts.get(name)?.as_u64()).unwrap_or_default();
    let title = escaped(if word("name").is_empty() { "Simulation" } else { word("name") });
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style></head><body><main>\
         <h1>{title}</h1><p class=\"soft\">What would become of {}. Nothing of it is done: this is a simulation ({}).</p>",
        match document.get("writes").and_then(Value::as_u64) {
            Some(writes) => format!("all that {} writes touch", spaced(writes)),
            None => "everybody".to_owned(),
        },
        escaped(word("state"))
    );
    let base = document.get("base").and_then(|base| base.get("at")?.as_str()).unwrap_or_default();
    let mut lines = vec![("worked out", day(base)), ("as of", day(word("asOf"))), ("only", word("filter").to_owned())];
    lines.push(("reason", word("reason").to_owned()));
    lines.push(("erased", day(word("expires"))));
    let told = lines.into_iter().filter(|(_, value)| !value.is_empty());
    let told: Vec<String> = told.map(|(label, value)| format!("{label} {}", escaped(&value))).collect();
    let _ = write!(page, "<p class=\"soft\">{}</p>", told.join(" · "));
    let changed = document.get("versions").and_then(Value::as_array).into_iter().flatten();
    let changed: Vec<String> = changed
        .filter_map(|one| {
            let name = one.get("display").and_then(Value::as_str).unwrap_or_default();
            Some(format!(
                "<span class=\"chip mark\">{} {}</span>",
                escaped(one.get("change")?.as_str()?),
                escaped(name)
            ))
        })
        .collect();
    let _ = write!(page, "<p>{}</p><div class=\"tiles\">", changed.join(" "));
    for (name, label, tone) in [
        ("users", "people looked at", ""),
        ("changed", "would change", ""),
        ("begins", "rights begin", "gain"),
        ("ends", "rights end", "loss"),
        ("activated", "accounts open", "gain"),
        ("disabled", "accounts close", "loss"),
        ("purged", "are purged", "loss"),
        ("created", "are created", "gain"),
        ("restored", "come back", "gain"),
        ("conflicts", "stay as they are", "loss"),
        ("failed", if document.contains_key("writes") { "are refused" } else { "cannot be worked out" }, "loss"),
    ] {
        let number = count(name);
        if number > 0 || matches!(name, "users" | "changed" | "begins" | "ends") {
            let tone = if number == 0 { "" } else { tone };
            let _ = write!(page, "<div class=\"card tile\"><b class=\"{tone}\">{}</b>{label}</div>", spaced(number));
        }
    }
    page.push_str("</div>");
    if !targets.is_empty() {
        page.push_str(
            "<h2>Groups and entitlements</h2><table class=\"card\"><thead><tr><th>Name</th><th>Kind</th>\
             <th class=\"n\">begins</th><th class=\"n\">ends</th></tr></thead><tbody>",
        );
        for target in targets {
            let new = if target.value.is_none() { " <span class=\"chip mark\">would be made</span>" } else { "" };
            let cell = |number: u64, sign: &str, tone: &str| match number {
                0 => "<td class=\"n soft\">–</td>".to_owned(),
                number => format!("<td class=\"n {tone}\">{sign}{}</td>", spaced(number)),
            };
            let _ = write!(
                page,
                "<tr><td>{}{new}</td><td class=\"soft\">{}</td>{}{}</tr>",
                escaped(&target.display),
                escaped(&target.kind),
                cell(target.begins, "+", "gain"),
                cell(target.ends, "−", "loss"),
            );
        }
        page.push_str("</tbody></table>");
        let rest = count("targets").saturating_sub(targets.len() as u64);
        if rest > 0 {
            let _ = write!(page, "<p class=\"soft\">and {} more</p>", spaced(rest));
        }
    }
    beside(document, &mut page);
    page.push_str("<h2>People</h2>");
    if count("items") == 0 {
        page.push_str("<p>Nobody would change.</p>");
    }
    page
}

/// What limits it would exceed, and what becomes of what views show.
fn beside(document: &Object<String, Value>, page: &mut String) {
    let listed = |name: &str| document.get(name).and_then(Value::as_array).into_iter().flatten();
    let text = |one: &Value, name: &str| escaped(one.get(name).and_then(Value::as_str).unwrap_or_default());
    let number = |one: &Value, name: &str| spaced(one.get(name).and_then(Value::as_u64).unwrap_or_default());
    for one in listed("tripped") {
        let (count, most) = (number(one, "count"), number(one, "most"));
        let _ =
            write!(page, "<p class=\"loss\">Too much at once: {} {count} of at most {most}</p>", text(one, "limit"));
    }
    if listed("perView").next().is_some() {
        page.push_str(
            "<h2>Views</h2><table class=\"card\"><thead><tr><th>Name</th><th class=\"n\">appear</th>\
             <th class=\"n\">change</th><th class=\"n\">leave</th></tr></thead><tbody>",
        );
        for one in listed("perView") {
            let _ = write!(
                page,
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                text(one, "display"),
                number(one, "appears"),
                number(one, "changes"),
                number(one, "leaves"),
            );
        }
        page.push_str("</tbody></table>");
    }
}

/// One User: in a line what would be, and below it the reasons and each attribute before and after.
pub fn person(item: &Item) -> String {
    let mut page = format!("<details class=\"card\"><summary><b>{}</b>", escaped(&item.called()));
    let mut chip = |tone: &str, text: &str| {
        let _ = write!(page, "<span class=\"chip {tone}\">{}</span>", escaped(text));
    };
    if item.op != "changed" {
        chip("loss", &item.op);
    }
    item.begins.iter().for_each(|turn| chip("gain", &format!("+ {}", turn.display)));
    item.ends.iter().for_each(|turn| chip("loss", &format!("− {}", turn.display)));
    let paths = item.changes.iter().filter_map(|change| change.get("path")?.as_str());
    paths.clone().for_each(|path| chip("mark", short(path)));
    page.push_str("</summary><div class=\"in\">");
    if let Some(reason) = &item.reason {
        let _ = write!(page, "<p class=\"loss\">{}</p>", escaped(reason));
    }
    for (title, turns) in [("Begins", &item.begins), ("Ends", &item.ends)] {
        if turns.is_empty() {
            continue;
        }
        let _ = write!(page, "<h3>{title}</h3><table><tbody>");
        turns.iter().for_each(|turn| turned(&mut page, turn));
        page.push_str("</tbody></table>");
    }
    if !item.changes.is_empty() {
        page.push_str("<h3>Changes</h3><table><thead><tr><th></th><th>before</th><th>after</th></tr></thead><tbody>");
        for change in &item.changes {
            let path = change.get("path").and_then(Value::as_str).unwrap_or_default();
            let _ = write!(page, "<tr><td><code>{}</code></td>", escaped(short(path)));
            let cell = |name: &str, tag: &str| match change.get(name) {
                None => "<span class=\"soft\">–</span>".to_owned(),
                Some(value) => format!("<{tag}>{}</{tag}>", escaped(&text(value))),
            };
            let _ = write!(page, "<td>{}</td><td>{}</td></tr>", cell("before", "del"), cell("after", "ins"));
        }
        page.push_str("</tbody></table>");
    }
    page.push_str("</div></details>");
    page
}

/// The end of the page; `rest` are people who are not on it.
pub fn foot(rest: u64) -> String {
    let more = match rest {
        0 => String::new(),
        rest => {
            format!("<p class=\"soft\">and {} more people: the table (format=csv) has all of them</p>", spaced(rest))
        }
    };
    format!("{more}</main></body></html>\n")
}

fn turned(page: &mut String, turn: &Turn) {
    let reasons: Vec<String> = turn.reasons.iter().map(reason).collect();
    let _ = write!(page, "<tr><td>{}</td><td>{}</td></tr>", escaped(&turn.display), reasons.join("<br>"));
}

fn reason(reason: &Reason) -> String {
    let by = reason
        .name
        .as_ref()
        .or(reason.rule.as_ref())
        .map_or_else(|| reason.kind.clone(), |rule| format!("rule {rule}"));
    let days = match (&reason.from, &reason.until) {
        (None, None) => String::new(),
        (from, until) => {
            let [from, until] = [from, until].map(|at| at.as_deref().map(day).unwrap_or_default());
            format!(", {from} – {until}")
        }
    };
    let facts = match reason.facts.is_empty() {
        true => String::new(),
        false => format!("<br><code class=\"soft\">{}</code>", escaped(&facts(&reason.facts))),
    };
    format!("{}{}{facts}", escaped(&by), escaped(&days))
}

/// Facts as people read them: names and values, without brackets.
fn facts(facts: &Object<String, Value>) -> String {
    let mut told = Vec::new();
    for (name, value) in facts {
        match value {
            Value::Array(elements) => {
                for element in elements.iter().filter_map(Value::as_object) {
                    told.push(self::facts(element));
                }
            }
            Value::Object(inner) => told.push(format!("{name} ({})", self::facts(inner))),
            value => told.push(format!("{name} {}", text(value))),
        }
    }
    told.join(", ")
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(object) => facts(object),
        Value::Array(values) => values.iter().map(self::text).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

/// A path without its URN.
fn short(path: &str) -> &str {
    path.rsplit(':').next().unwrap_or(path)
}

/// An instant to the minute.
fn day(instant: &str) -> String {
    let minute: String = instant.chars().take(16).collect();
    minute.replace('T', " ")
}

/// A number with a space between thousands.
fn spaced(number: u64) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            told.push('\u{202f}');
        }
        told.push(digit);
    }
    told
}

/// A text that is no markup, wherever it stands.
fn escaped(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => told.push_str("&amp;"),
            '<' => told.push_str("&lt;"),
            '>' => told.push_str("&gt;"),
            '"' => told.push_str("&quot;"),
            '\'' => told.push_str("&#39;"),
            other => told.push(other),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_tells_numbers_targets_and_reasons_and_runs_nothing() {
        let document = json!({
            "name": "nurses <August>", "state": "ready", "asOf": "2026-08-01T00:00:00Z",
            "counts": { "users": 15_080, "changed": 2, "begins": 1, "ends": 0, "targets": 3, "items": 2 },
            "versions": [{ "display": "nurses", "change": "activate" }, { "display": "old" }],
        });
        let targets: Vec<Target> = serde_json::from_value(json!([
            { "type": "Group", "display": "ward & night", "begins": 12, "ends": 0 },
        ]))
        .expect("targets");
        let page = head(document.as_object().expect("an object"), &targets);
        for part in [
            "nurses &lt;August&gt;",
            "15\u{202f}080",
            "ward &amp; night",
            "would be made",
            "+12",
            "and 2 more",
            "activate nurses",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let item: Item = serde_json::from_value(json!({
            "id": "u", "display": "<script>alert(1)</script>", "version": 1, "op": "changed",
            "changes": [{ "path": "urn:x:User:title", "before": "A", "after": { "b": "\"" } }],
            "begins": [{ "type": "Group", "display": "ward", "reasons": [
                { "kind": "rule", "rule": "r", "name": "tasks", "from": "2026-01-01T00:00:00Z", "facts": { "row": { "line": 7 }, "employments": [{ "employmentId": "e" }] } },
            ] }],
        }))
        .expect("an item");
        let told = person(&item);
        assert!(!told.contains("<script"), "{told}");
        for part in [
            "&lt;script&gt;",
            "+ ward",
            "rule tasks, 2026-01-01 00:00 – ",
            "row (line 7), employmentId e",
            "<del>A</del>",
            "b &quot;",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(foot(3).contains("and 3 more people") && foot(0).ends_with("</html>\n"));
        // Nothing is fetched from anywhere, and nothing runs.
        let whole = format!("{page}{told}{}", foot(0));
        for foreign in ["<script", "http:", "https:", "url(", "@import", "<img", "<link", "onclick"] {
            assert!(!whole.contains(foreign), "{foreign}");
        }
    }
}
