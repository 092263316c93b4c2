//! Organisational units (`urn:matrikel:scim:schemas:1.0:OrganizationalUnit`): what one says of itself, and the tree that
//! they are together. A unit is found by its code or by the key that a source has for it; what is named and not there yet
//! is an open reference, and whoever lies below it has no path. Never reads a unit itself.

use std::collections::HashMap;

use jiff::civil::Date;
use serde_json::{Map, Value};

/// The resource type.
pub const KIND: &str = "OrganizationalUnit";
/// Its schema.
pub const URN: &str = "urn:matrikel:scim:schemas:1.0:OrganizationalUnit";
/// The codes from the root down.
pub const PATH: &str = "path";
/// The unit above.
pub const PARENT: &str = "parent";
/// The unit's own short name.
pub const CODE: &str = "code";

/// Moves that are planned.
pub const MOVES: &str = "moves";

/// Most characters of a code.
const LONGEST: usize = 64;
/// Most units on the way to the root.
pub const DEEPEST: usize = 64;

/// The unit above, as it is written: by id, by key, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parent {
    /// Its id.
    pub id: Option<String>,
    /// Its code, or the key that a source has for it.
    pub key: Option<String>,
}

/// One unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its id.
    pub id: String,
    /// Its code.
    pub code: String,
    /// What it is part of.
    pub parent: Option<Parent>,
    /// Employee number of whoever leads it.
    pub manager: Option<String>,
    /// The codes from the root down, as they are stored with it.
    pub path: Option<String>,
    /// Name for people.
    pub name: Option<String>,
}

impl Unit {
    /// Reads a unit's document.
    pub fn of(id: &str, document: &Map<String, Value>) -> Self {
        let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
        Unit {
            id: id.to_owned(),
            code: text(CODE).unwrap_or_default(),
            parent: parent(document),
            manager: text("manager"),
            path: text(PATH),
            name: text("displayName"),
        }
    }
}

/// What a unit's document says that it is part of.
pub fn parent(document: &Map<String, Value>) -> Option<Parent> {
    let parent = document.get(PARENT)?;
    let text = |name: &str| parent.get(name).and_then(Value::as_str).map(str::to_owned);
    let parent = Parent { id: text("value"), key: text(CODE) };
    (parent != Parent::default()).then_some(parent)
}

/// The days of planned moves, each with what it makes of the parent, in the order of the days. What is no date is passed over.
fn moves(document: &Map<String, Value>) -> Vec<(Date, Map<String, Value>)> {
    let planned = document.get(MOVES).and_then(Value::as_array).into_iter().flatten();
    let mut moves: Vec<(Date, Map<String, Value>)> = planned
        .filter_map(|one| {
            let parent = ["value", CODE].into_iter().filter_map(|name| Some((name.to_owned(), one.get(name)?.clone())));
            Some((date(one.get("from")?.as_str()?)?, parent.collect()))
        })
        .collect();
    moves.sort_by_key(|(from, _)| *from);
    moves
}

/// The days of planned moves, the next one first.
pub fn planned(document: &Map<String, Value>) -> impl Iterator<Item = Date> + use<> {
    moves(document).into_iter().map(|(from, _)| from)
}

/// The document once the moves that are planned until a day are done; `None`: there is none.
pub fn moved(document: &Map<String, Value>, day: Date) -> Option<Map<String, Value>> {
    let (_, parent) = moves(document).into_iter().rfind(|(from, _)| *from <= day)?;
    let mut after = document.clone();
    match parent.is_empty() {
        true => drop(after.shift_remove(PARENT)),
        false => drop(after.insert(PARENT.to_owned(), Value::Object(parent))),
    }
    let is_ahead = |one: &Value| one.get("from").and_then(Value::as_str).and_then(date).is_some_and(|from| from > day);
    match after.get_mut(MOVES).and_then(Value::as_array_mut) {
        Some(planned) if planned.iter().any(is_ahead) => planned.retain(is_ahead),
        _ => drop(after.shift_remove(MOVES)),
    }
    Some(after)
}

fn date(text: &str) -> Option<Date> {
    text.parse().ok().filter(|_| text.len() == 10)
}

/// Checks what a unit says of itself. Errors with 400 invalidValue: a code that cannot stand in a path, what is no date, an
/// end before the beginning, two moves on one day.
pub fn check(document: &Map<String, Value>) -> Result<(), scim::Error> {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let refuse = |sentence: String| Err(scim::Error::invalid_value(sentence));
    let code = text(CODE).unwrap_or_default();
    let stands = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    if code.is_empty() || code.chars().count() > LONGEST || !code.chars().all(stands) {
        return refuse(format!("code must be letters, digits, dots, hyphens and underscores, at most {LONGEST}."));
    }
    let mut days = [None, None];
    for (name, day) in ["validFrom", "validTo"].into_iter().zip(&mut days) {
        let Some(text) = text(name) else { continue };
        match date(text) {
            Some(date) => *day = Some(date),
            None => return refuse(format!("{name} is not a date such as 2026-08-01.")),
        }
    }
    let planned = document.get(MOVES).and_then(Value::as_array).map(Vec::len).unwrap_or_default();
    let moves = moves(document);
    if moves.len() < planned {
        return refuse("moves: from is not a date such as 2026-08-01.".to_owned());
    }
    if let Some((day, _)) =
        moves.iter().zip(moves.iter().skip(1)).find(|(one, next)| one.0 == next.0).map(|(one, _)| one)
    {
        return refuse(format!("moves: two of them are on {day}."));
    }
    match days {
        [Some(from), Some(to)] if to < from => refuse("validTo is before validFrom.".to_owned()),
        _ => Ok(()),
    }
}

/// The path of a unit below `above`; at the root without.
pub fn path(above: Option<&str>, code: &str) -> String {
    format!("{}{code}/", above.unwrap_or("/"))
}

/// The units of a tenant.
#[derive(Clone, Debug, Default)]
pub struct Units {
    units: Vec<Unit>,
    ids: HashMap<String, usize>,
    /// Codes, in lower case.
    codes: HashMap<String, usize>,
    /// Keys that sources have for units; `None`: two units have it.
    keys: HashMap<String, Option<usize>>,
}

impl Units {
    /// These units; `keys` are what sources call them: ids and keys.
    pub fn new(units: Vec<Unit>, keys: impl IntoIterator<Item = (String, String)>) -> Self {
        let ids: HashMap<String, usize> = units.iter().enumerate().map(|(n, unit)| (unit.id.clone(), n)).collect();
        let codes = units.iter().enumerate().map(|(n, unit)| (unit.code.to_lowercase(), n)).collect();
        let mut known: HashMap<String, Option<usize>> = HashMap::new();
        for (id, key) in keys {
            let Some(place) = ids.get(&id).copied() else { continue };
            known.entry(key).and_modify(|at| *at = at.filter(|at| *at == place)).or_insert(Some(place));
        }
        Units { units, ids, codes, keys: known }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// The unit of that code or, if none has it, of the one that sources call so. A key that two units have is neither's.
    pub fn find(&self, key: &str) -> Option<&Unit> {
        let place = self.codes.get(&key.to_lowercase()).copied().or_else(|| self.keys.get(key).copied().flatten());
        self.units.get(place?)
    }

    /// The unit above one.
    pub fn above(&self, unit: &Unit) -> Option<&Unit> {
        let parent = unit.parent.as_ref()?;
        let by_id = parent.id.as_ref().and_then(|id| self.units.get(*self.ids.get(id)?));
        by_id.or_else(|| self.find(parent.key.as_deref()?))
    }

    /// A unit and those above it, from itself up.
    pub fn chain<'u>(&'u self, unit: &'u Unit) -> impl Iterator<Item = &'u Unit> {
        std::iter::successors(Some(unit), |unit| self.above(unit)).take(DEEPEST)
    }

    /// Where the unit of that key lies; `None`: it or one above it is not known.
    pub fn path(&self, key: &str) -> Option<String> {
        self.find(key)?.path.clone()
    }

    /// Employee numbers of those who lead a unit and the units above it, the nearest first.
    pub fn managers(&self, key: &str) -> impl Iterator<Item = &str> {
        self.leaders(key).map(|(_, manager)| manager)
    }

    /// The same, with the code of the unit that each leads.
    pub fn leaders(&self, key: &str) -> impl Iterator<Item = (&str, &str)> {
        let chain = self.find(key).into_iter().flat_map(|unit| self.chain(unit));
        chain.filter_map(|unit| Some((unit.code.as_str(), unit.manager.as_deref()?)))
    }
}

/// The codes on the way up that end where they began, for people: `A, B, A`.
pub fn circle(codes: &[String]) -> scim::Error {
    let shown = codes.join(", which is part of ");
    scim::Error::invalid_value(format!("parent closes a circle: {shown}. A unit cannot be part of itself."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn unit(id: &str, code: &str, parent: Option<(Option<&str>, Option<&str>)>, path: Option<&str>) -> Unit {
        let owned = |text: &str| text.to_owned();
        Unit {
            id: id.to_owned(),
            code: code.to_owned(),
            parent: parent.map(|(id, key)| Parent { id: id.map(owned), key: key.map(owned) }),
            manager: Some(format!("boss-{id}")),
            path: path.map(owned),
            name: None,
        }
    }

    fn units() -> Units {
        let units = vec![
            unit("1", "KER", None, Some("/KER/")),
            unit("2", "SIV", Some((Some("1"), None)), Some("/KER/SIV/")),
            unit("3", "KOULU", Some((None, Some("900"))), Some("/KER/SIV/KOULU/")),
            unit("4", "ORPHAN", Some((None, Some("nobody"))), None),
        ];
        let keys = [("2", "900"), ("3", "x"), ("4", "x"), ("9", "y"), ("2", "900")];
        Units::new(units, keys.map(|(id, key)| (id.to_owned(), key.to_owned())))
    }

    #[test]
    fn a_unit_is_found_by_code_in_any_case_and_by_what_one_source_calls_it() {
        let units = units();
        let code = |key: &str| units.find(key).map(|unit| unit.code.as_str());
        assert_eq!(
            [code("siv"), code("900"), code("x"), code("y"), code("nobody")],
            [Some("SIV"), Some("SIV"), None, None, None]
        );
        assert_eq!(units.path("koulu").as_deref(), Some("/KER/SIV/KOULU/"));
        assert_eq!(units.path("ORPHAN"), None);
    }

    #[test]
    fn who_leads_is_told_from_the_unit_up() {
        let units = units();
        assert_eq!(units.managers("KOULU").collect::<Vec<_>>(), ["boss-3", "boss-2", "boss-1"]);
        assert_eq!(units.managers("nobody").count(), 0);
        let own = Units::new(vec![unit("1", "A", Some((Some("1"), None)), None)], []);
        assert_eq!(own.managers("A").count(), DEEPEST, "a circle ends");
    }

    #[test]
    fn planned_moves_are_done_by_their_days() {
        let planned = json!({
            "code": "A", "parent": { "code": "B" },
            "moves": [{ "from": "2026-09-01" }, { "from": "2026-08-01", "code": "C" }, { "from": "2027-01-01", "value": "7" }],
        });
        let planned = planned.as_object().expect("an object");
        let day = |text: &str| date(text).expect("a day");
        let days: Vec<Date> = super::planned(planned).collect();
        assert_eq!(days, ["2026-08-01", "2026-09-01", "2027-01-01"].map(day));
        assert_eq!(moved(planned, day("2026-07-31")), None);
        let after = moved(planned, day("2026-08-01")).expect("moved");
        assert_eq!((&after["parent"], after["moves"].as_array().map(Vec::len)), (&json!({ "code": "C" }), Some(2)));
        let after = moved(planned, day("2026-12-31")).expect("moved");
        assert_eq!((after.get("parent"), &after["moves"]), (None, &json!([{ "from": "2027-01-01", "value": "7" }])));
        let after = moved(planned, day("2027-01-01")).expect("moved");
        assert_eq!((&after["parent"], after.get("moves")), (&json!({ "value": "7" }), None));
    }

    #[test]
    fn what_cannot_stand_in_a_path_is_refused() {
        let told = |document: Value| check(document.as_object().expect("an object")).map_err(|error| error.detail);
        assert_eq!(told(json!({ "code": "Å1-x_y.z", "validFrom": "2026-01-01", "validTo": "2026-01-01" })), Ok(()));
        for (document, expected) in [
            (json!({ "code": "A/B" }), "code must be"),
            (json!({ "code": "A B" }), "code must be"),
            (json!({ "code": "" }), "code must be"),
            (json!({ "code": "A".repeat(65) }), "code must be"),
            (json!({ "code": "A", "validTo": "31.12.2026" }), "validTo is not a date"),
            (json!({ "code": "A", "validFrom": "2026-02-01", "validTo": "2026-01-01" }), "validTo is before"),
            (json!({ "code": "A", "moves": [{ "from": "2026-2-1", "code": "B" }] }), "from is not a date"),
            (json!({ "code": "A", "moves": [{ "from": "2026-02-01" }, { "from": "2026-02-01" }] }), "two of them"),
        ] {
            assert!(told(document.clone()).expect_err("refused").contains(expected), "{document}");
        }
        assert_eq!(path(None, "KER"), "/KER/");
        assert_eq!(path(Some("/KER/"), "SIV"), "/KER/SIV/");
    }
}
