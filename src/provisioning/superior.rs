//! Who leads somebody: whom the main employment names, else who leads its unit, else the next unit up. Who has left, is not
//! there yet, is not known, is the person itself or would close a circle is passed over, and why is told. Knows no
//! register: who has an employee number is asked of the caller.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde_json::{Map, Value};

use crate::facts::Facts;
use crate::lifecycle::State;
use crate::person::URN;
use crate::units::Units;

/// What names a manager.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// The employment of that key.
    Employment(String),
    /// The unit of that code.
    Unit(String),
}

impl Named {
    /// `employment` or `unit`, and which.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Named::Employment(id) => ("employment", id),
            Named::Unit(code) => ("unit", code),
        }
    }
}

/// Somebody who comes into question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The employee number.
    pub key: String,
    /// What names it.
    pub named: Named,
}

/// Why a candidate is not the one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Passed {
    /// Nobody has the number yet: the reference is open.
    Open,
    /// Several accounts have it, and nobody can tell which is meant.
    Several,
    /// The account is closed.
    Left,
    /// The account is not active yet.
    Ahead,
    /// It is the person itself.
    Itself,
    /// It is led by the person, directly or by others.
    Loop,
}

impl Passed {
    /// The word in the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Passed::Open => "open",
            Passed::Several => "several",
            Passed::Left => "left",
            Passed::Ahead => "ahead",
            Passed::Itself => "self",
            Passed::Loop => "loop",
        }
    }
}

/// What became of all candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice<I> {
    /// The one, if there is one.
    pub chosen: Option<(Candidate, I)>,
    /// Those before it.
    pub passed: Vec<(Candidate, Passed)>,
}

/// Who comes into question on a day, the first first; each number once.
pub fn candidates(facts: &Facts, day: Date, units: &Units) -> Vec<Candidate> {
    let Some(employment) = facts.leading(day) else { return Vec::new() };
    let named = Named::Employment(employment.id.clone());
    let own = employment.manager.iter().map(|key| Candidate { key: key.clone(), named: named.clone() });
    let unit = employment.unit.as_deref().unwrap_or_default();
    let above = units.leaders(unit).map(|(code, key)| Candidate { key: key.into(), named: Named::Unit(code.into()) });
    let mut known = BTreeSet::new();
    own.chain(above).filter(|one| !one.key.trim().is_empty() && known.insert(one.key.to_lowercase())).collect()
}

/// Takes the first of whom `ask` knows nothing that speaks against it. `own` is the employee number of the person itself.
/// Fails as `ask` does.
pub fn choose<I, E>(
    candidates: Vec<Candidate>,
    own: Option<&str>,
    mut ask: impl FnMut(&str) -> Result<Result<I, Passed>, E>,
) -> Result<Choice<I>, E> {
    let mut passed = Vec::new();
    for candidate in candidates {
        let answer = match own {
            Some(own) if own.eq_ignore_ascii_case(&candidate.key) => Err(Passed::Itself),
            _ => ask(&candidate.key)?,
        };
        match answer {
            Ok(is) => return Ok(Choice { chosen: Some((candidate, is)), passed }),
            Err(reason) => passed.push((candidate, reason)),
        }
    }
    Ok(Choice { chosen: None, passed })
}

/// Whether an account can lead anybody: by its state, where it has one, else by `active`. Who is on leave leads on.
pub fn leads(document: &Map<String, Value>) -> Result<(), Passed> {
    let state = document.get(URN).and_then(|person| person.get("lifecycle")?.get("state")?.as_str());
    match state.and_then(State::parse) {
        Some(State::Planned | State::Staged) => Err(Passed::Ahead),
        Some(State::Active | State::Ending | State::Suspended) => Ok(()),
        Some(_) => Err(Passed::Left),
        None if document.get("active") == Some(&Value::Bool(false)) => Err(Passed::Left),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::calendar::date;
    use crate::units::{Parent, Unit};

    fn unit(code: &str, parent: Option<&str>, manager: Option<&str>) -> Unit {
        Unit {
            id: code.to_owned(),
            code: code.to_owned(),
            parent: parent.map(|key| Parent { id: None, key: Some(key.to_owned()) }),
            manager: manager.map(str::to_owned),
            path: Some(format!("/{code}/")),
            name: None,
        }
    }

    fn candidates_of(employments: &Value, day: &str) -> Vec<(String, String)> {
        let units =
            [unit("CITY", None, Some("1")), unit("CARE", Some("CITY"), None), unit("WARD", Some("CARE"), Some("30"))];
        let document = json!({ URN: { "employments": employments } });
        let facts = Facts::of(document.as_object().expect("an object"));
        let units = Units::new(units.to_vec(), []);
        let found = candidates(&facts, date(day).expect("a day"), &units);
        found.into_iter().map(|one| (one.key, one.named.parts().1.to_owned())).collect()
    }

    #[test]
    fn the_employment_comes_first_then_the_unit_then_the_units_above() {
        let pairs = |texts: &[(&str, &str)]| -> Vec<(String, String)> {
            texts.iter().map(|(key, of)| ((*key).to_owned(), (*of).to_owned())).collect()
        };
        let named = json!([{ "employmentId": "e", "start": "2026-01-01", "unit": "WARD", "manager": "7" }]);
        assert_eq!(candidates_of(&named, "2026-05-01"), pairs(&[("7", "e"), ("30", "WARD"), ("1", "CITY")]));
        let twice = json!([{ "employmentId": "e", "start": "2026-01-01", "unit": "WARD", "manager": "30" }]);
        assert_eq!(candidates_of(&twice, "2026-05-01"), pairs(&[("30", "e"), ("1", "CITY")]));
        // The main one decides; before the first day it is the one that begins next.
        let two = json!([
            { "employmentId": "a", "start": "2026-01-01", "percentage": 20, "manager": "7" },
            { "employmentId": "b", "start": "2026-01-01", "percentage": 80, "manager": "8" },
        ]);
        assert_eq!(candidates_of(&two, "2026-05-01"), pairs(&[("8", "b")]));
        assert_eq!(candidates_of(&two, "2025-05-01"), pairs(&[("8", "b")]));
        assert_eq!(candidates_of(&json!([]), "2026-05-01"), []);
    }

    #[test]
    fn who_cannot_lead_is_passed_over_and_it_is_said_why() {
        let of = |key: &str| Candidate { key: key.to_owned(), named: Named::Unit("U".to_owned()) };
        let ask = |key: &str| -> Result<Result<u8, Passed>, ()> {
            Ok(match key {
                "left" => Err(Passed::Left),
                "open" => Err(Passed::Open),
                "loop" => Err(Passed::Loop),
                _ => Ok(7),
            })
        };
        let asked = ["Me", "open", "left", "loop", "boss", "other"].map(of).to_vec();
        let choice = choose(asked, Some("me"), ask).expect("an answer");
        assert_eq!(choice.chosen, Some((of("boss"), 7)));
        let reasons: Vec<&str> = choice.passed.iter().map(|(_, reason)| reason.as_str()).collect();
        assert_eq!(reasons, ["self", "open", "left", "loop"]);
        assert_eq!(choose(vec![of("left")], None, ask).expect("an answer").chosen, None);
    }

    #[test]
    fn who_is_on_leave_leads_and_who_is_gone_or_not_there_yet_does_not() {
        let cases =
            [(json!({}), Ok(())), (json!({ "active": false }), Err(Passed::Left)), (json!({ "active": true }), Ok(()))];
        for (document, expected) in cases {
            assert_eq!(leads(document.as_object().expect("an object")), expected, "{document}");
        }
        for (state, expected) in [
            ("planned", Err(Passed::Ahead)),
            ("staged", Err(Passed::Ahead)),
            ("active", Ok(())),
            ("ending", Ok(())),
            ("suspended", Ok(())),
            ("disabled", Err(Passed::Left)),
            ("limbo", Err(Passed::Left)),
        ] {
            let document = json!({ "active": false, URN: { "lifecycle": { "state": state } } });
            assert_eq!(leads(document.as_object().expect("an object")), expected, "{state}");
        }
    }
}
