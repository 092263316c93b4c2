//! What a User says of the person behind it, day by day: employments, leaves, enrolments; which of them hold, which
//! employment is the main one, when anything changes next. Days are days of the tenant's own calendar; which instants they
//! begin and end at is asked elsewhere, and so is what follows from them.

use std::cmp::Ordering;

use jiff::civil::Date;
use serde_json::{Map, Value};

use crate::person::{EMPLOYMENTS, ENROLMENTS, LEAVES, PROTECTED, URN};

/// From a first day to a last one, both included; without a last day for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    /// The first day.
    pub from: Date,
    /// The last day, which still belongs to it.
    pub to: Option<Date>,
}

impl Period {
    /// Whether a day lies within.
    pub fn holds(&self, day: Date) -> bool {
        self.from <= day && self.to.is_none_or(|to| day <= to)
    }

    /// Whether it is over on a day.
    pub fn is_over(&self, day: Date) -> bool {
        self.to.is_some_and(|to| to < day)
    }

    /// The first day after it; `None` without an end.
    pub fn day_after(&self) -> Option<Date> {
        self.to.and_then(|to| to.tomorrow().ok())
    }

    /// The days on which it begins and on which it no longer holds.
    fn turns(&self) -> [Option<Date>; 2] {
        [Some(self.from), self.day_after()]
    }
}

/// One employment.
#[derive(Clone, Debug, PartialEq)]
pub struct Employment {
    /// Its key at its source, `employmentId`.
    pub id: String,
    /// `start` to `end`.
    pub period: Period,
    /// `type`: permanent, fixedTerm, substitute and so on.
    pub kind: Option<String>,
    /// Share of full time, 0 to 100.
    pub percentage: Option<f64>,
    /// Whether the source calls it the main one.
    pub preferred: bool,
    /// Key of the organisational unit.
    pub unit: Option<String>,
    /// Title of the position.
    pub title: Option<String>,
    /// Code of the work task.
    pub task: Option<String>,
    /// Employee number of the manager.
    pub manager: Option<String>,
    /// The cost centre.
    pub cost_center: Option<String>,
}

/// A time in which an employment rests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Key of the employment that rests.
    pub employment: String,
    /// `from` to `to`.
    pub period: Period,
    /// Kind of leave.
    pub kind: Option<String>,
    /// Whether account and mailbox stay open meanwhile.
    pub keep_access: bool,
}

/// A place at a school.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Its key at its source, `enrolmentId`.
    pub id: String,
    /// `from` to `to`.
    pub period: Period,
    /// Code of the school unit.
    pub school_unit: Option<String>,
    /// Kind of school.
    pub school_type: Option<String>,
    /// Class or group.
    pub class: Option<String>,
}

/// What one document says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Employments, in the order of the document.
    pub employments: Vec<Employment>,
    /// Leaves.
    pub leaves: Vec<Leave>,
    /// Places at schools.
    pub enrolments: Vec<Enrolment>,
    /// Whether the person's data are protected.
    pub is_protected: bool,
}

impl Facts {
    /// Reads a User's document. What [`person::settle`](crate::person::settle) would refuse is passed over: documents that
    /// are stored have been through it.
    pub fn of(document: &Map<String, Value>) -> Self {
        let Some(Value::Object(person)) = document.get(URN) else { return Facts::default() };
        Facts {
            employments: objects(person, EMPLOYMENTS).filter_map(employment).collect(),
            leaves: objects(person, LEAVES).filter_map(leave).collect(),
            enrolments: objects(person, ENROLMENTS).filter_map(enrolment).collect(),
            is_protected: person.get(PROTECTED).is_some_and(|value| !value.is_null()),
        }
    }

    /// Whether it says nothing of employments or enrolments: an account that HR and school know nothing of.
    pub fn is_empty(&self) -> bool {
        self.employments.is_empty() && self.enrolments.is_empty()
    }

    /// The employments that hold on a day, resting ones too.
    pub fn current(&self, day: Date) -> impl Iterator<Item = &Employment> {
        self.employments.iter().filter(move |employment| employment.period.holds(day))
    }

    /// The enrolments that hold on a day.
    pub fn enrolled(&self, day: Date) -> impl Iterator<Item = &Enrolment> {
        self.enrolments.iter().filter(move |enrolment| enrolment.period.holds(day))
    }

    /// The leave for which an employment rests on a day; of several, one that does not keep access.
    pub fn leave(&self, employment: &str, day: Date) -> Option<&Leave> {
        let leaves = self.leaves.iter().filter(|leave| leave.employment == employment && leave.period.holds(day));
        leaves.min_by_key(|leave| leave.keep_access)
    }

    /// The main one of the employments that hold on a day: what the source prefers, else the largest share, the earliest
    /// start, the lowest key. One that says no share counts as none at all.
    pub fn primary(&self, day: Date) -> Option<&Employment> {
        self.current(day).min_by(|one, other| rank(one, other))
    }

    /// The employment that says most of a person on a day: the primary one; before the first day the one that begins next,
    /// after the last day the one that ended last.
    pub fn leading(&self, day: Date) -> Option<&Employment> {
        let ahead = self.employments.iter().filter(|employment| employment.period.from > day);
        let next = || ahead.min_by(|one, other| one.period.from.cmp(&other.period.from).then_with(|| rank(one, other)));
        let over = self.employments.iter().filter(|employment| employment.period.is_over(day));
        let last = || over.min_by(|one, other| other.period.to.cmp(&one.period.to).then_with(|| rank(one, other)));
        self.primary(day).or_else(next).or_else(last)
    }

    /// The first day after `day` on which an employment, a leave or an enrolment begins or no longer holds.
    pub fn next_turn(&self, day: Date) -> Option<Date> {
        let periods = self.employments.iter().map(|employment| &employment.period);
        let periods = periods.chain(self.leaves.iter().map(|leave| &leave.period));
        let periods = periods.chain(self.enrolments.iter().map(|enrolment| &enrolment.period));
        periods.flat_map(Period::turns).flatten().filter(|turn| *turn > day).min()
    }
}

/// Writes `current`, `primary` and `unitPath` of a User's employments as they are on a day; `path` says where a unit lies
/// in the tree, by the key that the employment has for it. What is not known has no path. Says whether anything changed.
pub fn materialise(document: &mut Map<String, Value>, day: Date, path: impl Fn(&str) -> Option<String>) -> bool {
    let facts = Facts::of(document);
    let primary = facts.primary(day).map(|employment| employment.id.clone());
    let Some(Value::Object(person)) = document.get_mut(URN) else { return false };
    let mut is_changed = false;
    for value in person.get_mut(EMPLOYMENTS).and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(object) = value.as_object_mut() else { continue };
        let Some(employment) = employment(object) else { continue };
        let derived = [
            ("current", Some(employment.period.holds(day).into())),
            ("primary", Some((primary.as_ref() == Some(&employment.id)).into())),
            ("unitPath", employment.unit.as_deref().and_then(&path).map(Value::String)),
        ];
        for (name, shall) in derived {
            if object.get(name) == shall.as_ref() {
                continue;
            }
            is_changed = true;
            match shall {
                Some(shall) => drop(object.insert(name.to_owned(), shall)),
                None => drop(object.shift_remove(name)),
            }
        }
    }
    is_changed
}

/// Which of two employments goes before.
fn rank(one: &Employment, other: &Employment) -> Ordering {
    let share = |employment: &Employment| employment.percentage.unwrap_or_default();
    other
        .preferred
        .cmp(&one.preferred)
        .then_with(|| share(other).total_cmp(&share(one)))
        .then_with(|| one.period.from.cmp(&other.period.from))
        .then_with(|| compare_keys(&one.id, &other.id))
}

/// Keys that are numbers compare as numbers, before those that are none.
fn compare_keys(one: &str, other: &str) -> Ordering {
    let number = |key: &str| {
        let digits = key.trim_start_matches('0');
        key.bytes().all(|byte| byte.is_ascii_digit()).then(|| (digits.len(), digits.to_owned()))
    };
    match (number(one), number(other)) {
        (Some(a), Some(b)) => a.cmp(&b).then_with(|| one.cmp(other)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => one.cmp(other),
    }
}

fn employment(object: &Map<String, Value>) -> Option<Employment> {
    Some(Employment {
        id: text(object, "employmentId")?,
        period: period(object, "start", "end")?,
        kind: text(object, "type"),
        percentage: object.get("percentage").and_then(Value::as_f64),
        preferred: says(object, "preferred"),
        unit: text(object, "unit"),
        title: text(object, "title"),
        task: text(object, "taskCode"),
        manager: text(object, "manager"),
        cost_center: text(object, "costCenter"),
    })
}

fn leave(object: &Map<String, Value>) -> Option<Leave> {
    Some(Leave {
        employment: text(object, "employmentId")?,
        period: period(object, "from", "to")?,
        kind: text(object, "type"),
        keep_access: says(object, "keepAccess"),
    })
}

fn enrolment(object: &Map<String, Value>) -> Option<Enrolment> {
    Some(Enrolment {
        id: text(object, "enrolmentId")?,
        period: period(object, "from", "to")?,
        school_unit: text(object, "schoolUnit"),
        school_type: text(object, "schoolType"),
        class: text(object, "class"),
    })
}

fn period(object: &Map<String, Value>, first: &str, last: &str) -> Option<Period> {
    let date = |name: &str| object.get(name).and_then(Value::as_str).map(|text| text.parse::<Date>().ok());
    Some(Period {
        from: date(first)??,
        to: match date(last) {
            None => None,
            Some(to) => Some(to?),
        },
    })
}

fn objects<'p>(person: &'p Map<String, Value>, name: &str) -> impl Iterator<Item = &'p Map<String, Value>> {
    person.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn says(object: &Map<String, Value>, name: &str) -> bool {
    object.get(name) == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(person: Value) -> Map<String, Value> {
        Map::from_iter([("userName".to_owned(), "maj".into()), (URN.to_owned(), person)])
    }

    fn facts(person: Value) -> Facts {
        Facts::of(&document(person))
    }

    fn day(text: &str) -> Date {
        text.parse().expect("a date")
    }

    fn two() -> Value {
        json!({
            "employments": [
                { "employmentId": "1", "start": "2026-01-01", "end": "2026-06-30", "percentage": 100, "unit": "SIV" },
                { "employmentId": "2", "start": "2026-06-01", "percentage": 40, "unit": "TEK" },
            ],
            "leaves": [{ "employmentId": "2", "from": "2026-08-01", "to": "2026-08-31" }],
            "enrolments": [{ "enrolmentId": "a", "from": "2026-08-10", "to": "2027-06-05" }],
        })
    }

    #[test]
    fn the_first_and_the_last_day_belong_to_an_employment() {
        let facts = facts(two());
        let current = |text: &str| facts.current(day(text)).map(|one| one.id.as_str()).collect::<Vec<_>>();
        assert_eq!(current("2025-12-31"), Vec::<&str>::new());
        assert_eq!(current("2026-01-01"), ["1"]);
        assert_eq!(current("2026-06-30"), ["1", "2"]);
        assert_eq!(current("2026-07-01"), ["2"]);
    }

    #[test]
    fn the_primary_is_preferred_else_largest_else_earliest_else_lowest() {
        let at = |employments: Value| {
            let facts = facts(json!({ "employments": employments }));
            facts.primary(day("2026-07-01")).map(|one| one.id.clone())
        };
        let of = |id: &str, start: &str, percentage: f64, preferred: bool| json!({ "employmentId": id, "start": start, "percentage": percentage, "preferred": preferred });
        let table = [
            (vec![of("1", "2026-01-01", 100.0, false), of("2", "2026-02-01", 10.0, true)], Some("2")),
            (vec![of("1", "2026-01-01", 50.0, false), of("2", "2026-02-01", 50.5, false)], Some("2")),
            (vec![of("1", "2026-02-01", 50.0, false), of("2", "2026-01-01", 50.0, false)], Some("2")),
            (vec![of("10", "2026-01-01", 50.0, false), of("9", "2026-01-01", 50.0, false)], Some("9")),
            // What is preferred but does not hold yet is not the main one.
            (vec![of("1", "2026-01-01", 10.0, false), of("2", "2026-08-01", 100.0, true)], Some("1")),
            (vec![of("2", "2026-08-01", 100.0, true)], None),
        ];
        for (employments, expected) in table {
            assert_eq!(at(json!(employments)).as_deref(), expected, "{employments:?}");
        }
    }

    #[test]
    fn who_is_not_there_yet_or_no_longer_is_led_by_what_is_nearest() {
        let facts = facts(two());
        let leading = |text: &str| facts.leading(day(text)).map(|one| one.id.as_str());
        assert_eq!(leading("2025-12-01"), Some("1"));
        assert_eq!(leading("2026-06-15"), Some("1"));
        assert_eq!(leading("2026-07-01"), Some("2"));
        let ended = self::facts(json!({ "employments": [
            { "employmentId": "1", "start": "2024-01-01", "end": "2025-12-31" },
            { "employmentId": "2", "start": "2023-01-01", "end": "2026-01-31", "percentage": 5 },
        ] }));
        assert_eq!(ended.leading(day("2026-07-01")).map(|one| one.id.as_str()), Some("2"));
    }

    #[test]
    fn every_day_on_which_something_turns_is_told_in_order() {
        let facts = facts(two());
        let mut turns = Vec::new();
        let mut at = day("2025-01-01");
        while let Some(next) = facts.next_turn(at) {
            turns.push(next.to_string());
            at = next;
        }
        let expected =
            ["2026-01-01", "2026-06-01", "2026-07-01", "2026-08-01", "2026-08-10", "2026-09-01", "2027-06-06"];
        assert_eq!(turns, expected);
    }

    #[test]
    fn a_leave_that_closes_the_account_goes_before_one_that_keeps_it_open() {
        let facts = facts(json!({
            "employments": [{ "employmentId": "1", "start": "2026-01-01" }],
            "leaves": [
                { "employmentId": "1", "from": "2026-02-01", "to": "2026-02-20", "keepAccess": true },
                { "employmentId": "1", "from": "2026-02-10", "to": "2026-02-28" },
            ],
        }));
        let keeps = |text: &str| facts.leave("1", day(text)).map(|leave| leave.keep_access);
        assert_eq!(keeps("2026-01-31"), None);
        assert_eq!(keeps("2026-02-01"), Some(true));
        assert_eq!(keeps("2026-02-15"), Some(false));
        assert_eq!(keeps("2026-02-28"), Some(false));
        assert_eq!(facts.leave("2", day("2026-02-15")), None);
    }

    #[test]
    fn what_follows_from_the_day_is_written_once() {
        let mut document = document(two());
        let path = |unit: &str| (unit == "SIV").then(|| "/KER/SIV/".to_owned());
        assert!(materialise(&mut document, day("2026-06-30"), path));
        let flags = |document: &Map<String, Value>| {
            let employments = document[URN]["employments"].as_array().expect("an array").clone();
            employments
                .into_iter()
                .map(|one| (one["current"].clone(), one["primary"].clone(), one.get("unitPath").cloned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            flags(&document),
            [(true.into(), true.into(), Some("/KER/SIV/".into())), (true.into(), false.into(), None)]
        );
        assert!(!materialise(&mut document, day("2026-06-30"), path));
        assert!(materialise(&mut document, day("2026-07-01"), |_| None));
        assert_eq!(flags(&document), [(false.into(), false.into(), None), (true.into(), true.into(), None)]);
    }

    #[test]
    fn a_document_without_the_extension_says_nothing() {
        assert!(Facts::of(&Map::new()).is_empty());
        assert!(!materialise(&mut Map::new(), day("2026-07-01"), |_| None));
    }
}
