//! A rule as a table: each row says for which unit, title, task and professional number it is, and which groups it gives from
//! when until when. A cell that is empty asks nothing. Each employment that fits the rule's filter and a row is a ground of
//! its own, with the row as its provenance; a row is known by what it asks, so that a table in another order takes nothing
//! away. [`read`] makes a file's rows into those of a rule's document and tells every fault with its line.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::{By, Gives, Sort, group, wrong};
use crate::calendar::{date, date_in};
use crate::facts::Period;

/// Most rows of a table: as many values as an attribute may have.
pub const MOST_ROWS: usize = 1_000;
/// Columns of a file, and the attributes they become.
pub const COLUMNS: [&str; 8] = ["unit", "title", "taskCode", "professionalNumber", "groups", "from", "to", "note"];
/// Between the groups of a cell.
const BETWEEN: char = '|';
/// Behind the code of a unit: it, and all units below it.
const BELOW: &str = "/*";

/// Which units a row is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Any,
    /// That one.
    One(String),
    /// That one and those below it.
    Below(String),
}

/// What a cell asks of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Any,
    Is(String),
    Begins(String),
}

impl Word {
    fn of(text: Option<&str>) -> Self {
        match text.map(str::trim) {
            None | Some("" | "*") => Word::Any,
            Some(text) => match text.strip_suffix('*') {
                Some(begin) => Word::Begins(begin.to_lowercase()),
                None => Word::Is(text.to_lowercase()),
            },
        }
    }

    fn fits(&self, value: Option<&str>) -> bool {
        match self {
            Word::Any => true,
            Word::Is(text) => value.is_some_and(|value| value.to_lowercase() == *text),
            Word::Begins(text) => value.is_some_and(|value| value.to_lowercase().starts_with(text.as_str())),
        }
    }
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// The line of the file it came from, or its place in the rule; from 1.
    pub line: u64,
    /// What it asks, as part of the key of a ground.
    pub key: String,
    place: Place,
    title: Word,
    task: Word,
    /// Whether a professional number must be there, or must not; `None`: either.
    professional: Option<bool>,
    /// What it gives.
    pub gives: Vec<Gives>,
    /// First day on which it gives.
    pub from: Option<Date>,
    /// Last day.
    pub to: Option<Date>,
    /// As it is written, for people.
    pub told: Value,
}

/// An employment as rows look at it.
#[derive(Debug)]
pub(super) struct Asked<'e> {
    unit: Option<String>,
    /// The codes of its unit and of those above it, from the top, in lower case.
    codes: Vec<String>,
    title: Option<&'e str>,
    task: Option<&'e str>,
    has_number: bool,
}

impl<'e> Asked<'e> {
    pub(super) fn of(employment: &'e Value) -> Self {
        let text = |name: &str| employment.get(name).and_then(Value::as_str).map(str::trim);
        let path = text("unitPath").unwrap_or_default();
        Asked {
            unit: text("unit").map(str::to_lowercase),
            codes: path.split('/').filter(|code| !code.is_empty()).map(str::to_lowercase).collect(),
            title: text("title"),
            task: text("taskCode"),
            has_number: text("professionalNumber").is_some_and(|number| !number.is_empty()),
        }
    }
}

impl Row {
    /// Whether an employment fits, whatever the day.
    pub(super) fn fits(&self, asked: &Asked<'_>) -> bool {
        self.is_for(asked)
            && self.title.fits(asked.title)
            && self.task.fits(asked.task)
            && self.professional.is_none_or(|wanted| wanted == asked.has_number)
    }

    /// What of it an employment does not fit, in words; empty: it fits.
    pub(super) fn failures(&self, asked: &Asked<'_>) -> Vec<String> {
        let number = asked.has_number.then_some("there");
        let cells = [
            ("unit", self.is_for(asked), asked.unit.as_deref()),
            ("title", self.title.fits(asked.title), asked.title),
            ("taskCode", self.task.fits(asked.task), asked.task),
            ("professionalNumber", self.professional.is_none_or(|wanted| wanted == asked.has_number), number),
        ];
        let failed = cells.into_iter().filter(|(_, fits, _)| !fits).map(|(name, _, is)| {
            let is = is.map_or_else(|| "has no value".to_owned(), |is| format!("is {is}"));
            let wanted = self.told.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{name} {is}, asked for is {wanted}")
        });
        failed.collect()
    }

    /// Where the tree of units is known, the path decides; a key that leads nowhere is only itself.
    fn is_for(&self, asked: &Asked<'_>) -> bool {
        match &self.place {
            Place::Any => true,
            Place::One(code) => asked.unit.as_ref() == Some(code) || asked.codes.last() == Some(code),
            Place::Below(code) => asked.codes.contains(code),
        }
    }

    /// The part of a period in which the row gives; `None`: none of it.
    pub(super) fn within(&self, period: Period) -> Option<Period> {
        let from = self.from.map_or(period.from, |from| from.max(period.from));
        let to = self.to.into_iter().chain(period.to).min();
        to.is_none_or(|to| from <= to).then_some(Period { from, to })
    }
}

/// The rows of a rule's document. Errors are 400 invalidValue and name the row.
pub(super) fn rows(document: &Map<String, Value>, is_made: bool) -> Result<Vec<Row>, scim::Error> {
    let elements = document.get("table").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if elements.len() > MOST_ROWS {
        return Err(wrong("table", &format!("has {} rows, and {MOST_ROWS} are the most", elements.len())));
    }
    let mut rows = Vec::with_capacity(elements.len());
    let mut known: BTreeMap<String, u32> = BTreeMap::new();
    for (index, element) in elements.iter().enumerate() {
        let mut row =
            row(index, element, is_made).map_err(|(name, detail)| wrong(&format!("table[{index}].{name}"), &detail))?;
        // Two rows that ask the same are two grounds: each has its own time.
        let times = known.entry(row.key.clone()).and_modify(|times| *times += 1).or_insert(1);
        if *times > 1 {
            row.key = format!("{}#{times}", row.key);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn row(index: usize, element: &Value, is_made: bool) -> Result<Row, (&'static str, String)> {
    let text = |name: &str| element.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let place = match text("unit") {
        None => Place::Any,
        Some(unit) => match unit.strip_suffix(BELOW) {
            Some("") => return Err(("unit", "names no unit before /*".to_owned())),
            Some(code) => Place::Below(code.to_lowercase()),
            None if unit.contains('*') => {
                return Err(("unit", format!("{unit:?}: a star stands behind a slash, for all units below: CODE/*")));
            }
            None => Place::One(unit.to_lowercase()),
        },
    };
    let professional = match text("professionalNumber").map(str::to_lowercase).as_deref() {
        None => None,
        Some("yes") => Some(true),
        Some("no") => Some(false),
        Some(other) => return Err(("professionalNumber", format!("{other:?} is neither yes nor no"))),
    };
    let day = |name: &'static str| match text(name) {
        None => Ok(None),
        Some(_) => date_in(element, name).map(Some).ok_or((name, "is not a date such as 2026-08-01".to_owned())),
    };
    let (from, to) = (day("from")?, day("to")?);
    if let (Some(from), Some(to)) = (from, to)
        && to < from
    {
        return Err(("to", format!("{to} is before {from}")));
    }
    let groups = element.get("groups").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let gives = groups.map(|name| {
        let value = name.trim().to_owned();
        let template = group(&value).map_err(|detail| ("groups", detail))?;
        Ok(Gives { sort: Sort::Group, by: By::Name, domain: None, value, template, is_made, slot: None })
    });
    let gives: Vec<Gives> = gives.collect::<Result<_, _>>()?;
    if gives.is_empty() {
        return Err(("groups", "is missing: a row that gives nothing does nothing".to_owned()));
    }
    let line = element.get("line").and_then(Value::as_u64).unwrap_or(index as u64 + 1);
    let asks =
        ["unit", "title", "taskCode", "professionalNumber"].map(|name| text(name).unwrap_or_default().to_lowercase());
    let mut told = json!({ "line": line });
    for name in COLUMNS {
        if let (Some(value), Some(told)) = (element.get(name).filter(|_| name != "groups"), told.as_object_mut()) {
            told.insert(name.to_owned(), value.clone());
        }
    }
    let (title, task) = (Word::of(text("title")), Word::of(text("taskCode")));
    let key = asks.map(|ask| ask.replace(['/', ';', '#'], "_")).join(";");
    Ok(Row { line, key, place, title, task, professional, gives, from, to, told })
}

/// What is wrong with a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, or the row of a sheet; from 1.
    pub line: u64,
    /// The column; empty where it is the whole line.
    pub column: String,
    /// Why, as a sentence without its full stop.
    pub reason: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = self.reason.as_str();
        let end = if reason.ends_with(['.', '?', '!']) { "" } else { "." };
        match self.column.as_str() {
            "" => write!(f, "line {}: {reason}{end}", self.line),
            column => write!(f, "line {}, {column}: {reason}{end}", self.line),
        }
    }
}

/// The attribute that a column of a file is, by its head in any case.
pub fn column(head: &str) -> Option<&'static str> {
    let head = head.trim().to_lowercase().replace([' ', '_', '-'], "");
    match head.as_str() {
        "task" => Some("taskCode"),
        "group" => Some("groups"),
        "professional" => Some("professionalNumber"),
        _ => COLUMNS.into_iter().find(|name| name.to_lowercase() == head),
    }
}

/// Makes the rows of a file, each with its line and its cells by attribute, into those of a rule's `table`. Errors are all
/// that is wrong with them: nothing of a table with faults is taken.
pub fn read(lines: impl IntoIterator<Item = (u64, BTreeMap<&'static str, String>)>) -> Result<Vec<Value>, Vec<Fault>> {
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    for (line, cells) in lines {
        let fault = |column: &str, reason: String| Fault { line, column: column.to_owned(), reason };
        let mut element = Map::from_iter([("line".to_owned(), Value::from(line))]);
        for (name, cell) in cells.iter().filter(|(_, cell)| !cell.trim().is_empty()) {
            let cell = cell.trim();
            let value = match *name {
                "groups" => cell.split(BETWEEN).map(str::trim).filter(|name| !name.is_empty()).collect(),
                "from" | "to" => day(cell).into(),
                _ => cell.into(),
            };
            element.insert((*name).to_owned(), value);
        }
        let element = Value::Object(element);
        match row(rows.len(), &element, false) {
            Err((name, reason)) => faults.push(fault(name, reason)),
            Ok(row) => {
                let said = format!("{} {:?} {:?} {:?}", row.key, element.get("groups"), row.from, row.to);
                match known.insert(said, line) {
                    Some(other) => faults.push(fault("", format!("says the same as line {other}"))),
                    None => rows.push(element),
                }
            }
        }
    }
    if rows.is_empty() && faults.is_empty() {
        faults.push(Fault { line: 1, column: String::new(), reason: "there is no row below the line of names".into() });
    }
    if rows.len() > MOST_ROWS {
        let reason = format!("there are {} rows, and {MOST_ROWS} are the most", rows.len());
        faults.push(Fault { line: 1, column: String::new(), reason });
    }
    if faults.is_empty() { Ok(rows) } else { Err(faults) }
}

/// A date as ISO 8601, also where a file has it as `1.8.2026`.
fn day(cell: &str) -> String {
    let parts: Vec<&str> = cell.split('.').collect();
    let written = match parts.as_slice() {
        [day, month, year] if year.len() == 4 => format!("{year}-{month:0>2}-{day:0>2}"),
        _ => return cell.to_owned(),
    };
    date(&written).map_or_else(|| cell.to_owned(), |_| written)
}

/// The cells of a rule's table, in the order of [`COLUMNS`], to be written to a file and read in again.
pub fn cells(document: &Map<String, Value>) -> Vec<[String; COLUMNS.len()]> {
    let elements = document.get("table").and_then(Value::as_array).into_iter().flatten();
    let cell = |element: &Value, name: &str| match element.get(name) {
        Some(Value::Array(values)) => {
            values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(&BETWEEN.to_string())
        }
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    };
    elements.map(|element| COLUMNS.map(|name| cell(element, name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&[(&'static str, &str)]]) -> Vec<(u64, BTreeMap<&'static str, String>)> {
        let cells =
            |cells: &[(&'static str, &str)]| cells.iter().map(|(name, cell)| (*name, (*cell).to_owned())).collect();
        (2..).zip(texts).map(|(line, text)| (line, cells(text))).collect()
    }

    #[test]
    fn a_file_becomes_rows_and_goes_back_the_same() {
        let file = lines(&[
            &[("unit", "CARE/*"), ("title", "Nurse*"), ("groups", "nurses| ward "), ("from", "1.8.2026")],
            &[
                ("taskCode", "phys"),
                ("professionalNumber", "Yes"),
                ("groups", "records"),
                ("to", "2026-12-31"),
                ("note", "x"),
            ],
        ]);
        let rows = read(file).expect("rows");
        assert_eq!(
            rows[0],
            json!({ "line": 2, "unit": "CARE/*", "title": "Nurse*", "groups": ["nurses", "ward"], "from": "2026-08-01" })
        );
        let document = json!({ "table": rows });
        let cells = cells(document.as_object().expect("an object"));
        assert_eq!(cells[0], ["CARE/*", "Nurse*", "", "", "nurses|ward", "2026-08-01", "", ""]);
        assert_eq!(cells[1], ["", "", "phys", "Yes", "records", "", "2026-12-31", "x"]);
        assert_eq!(
            [column("Task"), column("professional number"), column(" TO "), column("salary")],
            [Some("taskCode"), Some("professionalNumber"), Some("to"), None]
        );
    }

    #[test]
    fn every_fault_names_its_line() {
        let faults = read(lines(&[
            &[("unit", "A"), ("groups", "g")],
            &[("unit", "A")],
            &[("unit", "*"), ("groups", "g")],
            &[("unit", "/*"), ("groups", "g")],
            &[("professionalNumber", "12"), ("groups", "g")],
            &[("from", "soon"), ("groups", "g")],
            &[("from", "2026-02-01"), ("to", "2026-01-01"), ("groups", "g")],
            &[("groups", "{{ salary }}-staff")],
            &[("unit", "a"), ("groups", "g")],
        ]))
        .expect_err("faults");
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let expected = [
            "line 3, groups: is missing",
            "line 4, unit: \"*\"",
            "line 5, unit: names no unit",
            "line 6, professionalNumber: \"12\" is neither",
            "line 7, from: is not a date",
            "line 8, to: 2026-01-01 is before",
            "line 9, groups: ",
            "line 10: says the same as line 2",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}");
        }
        assert!(read(Vec::new()).is_err(), "an empty table is a mistake");
    }

    #[test]
    fn a_row_asks_what_stands_in_its_cells() {
        let employment =
            json!({ "unit": "900", "unitPath": "/CITY/CARE/WARD/", "title": "Nurse, senior", "taskCode": "n1" });
        let fits = |row: Value| super::row(0, &row, false).expect("a row").fits(&Asked::of(&employment));
        for (row, expected) in [
            (json!({}), true),
            (json!({ "unit": "ward" }), true),
            (json!({ "unit": "900" }), true),
            (json!({ "unit": "CARE" }), false),
            (json!({ "unit": "care/*" }), true),
            (json!({ "unit": "CITY/*", "title": "nurse*", "taskCode": "N1" }), true),
            (json!({ "unit": "TECH/*" }), false),
            (json!({ "title": "nurse" }), false),
            (json!({ "professionalNumber": "yes" }), false),
            (json!({ "professionalNumber": "no" }), true),
        ] {
            let mut whole = row.clone();
            whole["groups"] = json!(["g"]);
            assert_eq!(fits(whole), expected, "{row}");
        }
    }
}
