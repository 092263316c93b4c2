//! What is too much at once: how much of each sort a change does to people, what is allowed, and by how much it is exceeded.
//! The one engine for files, single writes and days that come. Pure: documents and counts in, what trips out; who is
//! counted, and what becomes of it, is not known here.

use std::collections::{BTreeMap, BTreeSet};

use scim::key;
use serde_json::{Map, Value};

use crate::person::{EMPLOYMENTS, URN};

/// What is done to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// Accounts that come to be.
    Creates,
    /// Accounts whose `active` becomes false.
    Disables,
    /// Accounts that are deleted.
    Deletes,
    /// Memberships that end, of accounts that stay open.
    MemberRemovals,
    /// Entitlements that end, of accounts that stay open.
    LicenceRemovals,
    /// Accounts whose first address is another.
    EmailChanges,
}

impl Sort {
    /// Every sort.
    pub const ALL: [Sort; 6] =
        [Sort::Creates, Sort::Disables, Sort::Deletes, Sort::MemberRemovals, Sort::LicenceRemovals, Sort::EmailChanges];

    /// The name in policies, maps and runs.
    pub fn as_str(self) -> &'static str {
        match self {
            Sort::Creates => "creates",
            Sort::Disables => "disables",
            Sort::Deletes => "deletes",
            Sort::MemberRemovals => "memberRemovals",
            Sort::LicenceRemovals => "licenceRemovals",
            Sort::EmailChanges => "emailChanges",
        }
    }

    /// The sort of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Sort::ALL.into_iter().find(|sort| sort.as_str().eq_ignore_ascii_case(name))
    }

    /// What is allowed where nobody says otherwise.
    pub fn usual(self) -> Threshold {
        let (percent, floor) = match self {
            Sort::Creates => (20.0, 50),
            Sort::Disables => (5.0, 10),
            Sort::Deletes => (2.0, 5),
            Sort::MemberRemovals => (20.0, 50),
            Sort::LicenceRemovals => (5.0, 10),
            Sort::EmailChanges => (5.0, 20),
        };
        Threshold { percent, floor }
    }
}

/// How much of one sort may be done without being held: the larger of a share and a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// Percent of the living records.
    pub percent: f64,
    /// At least so many are always allowed.
    pub floor: u64,
}

impl Threshold {
    /// The most that is allowed where `living` records live.
    pub fn limit(&self, living: u64) -> u64 {
        // Counts are far below what a float holds exactly, and the share is not negative: checked when it is read.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count"
        )]
        let share = (self.percent / 100.0 * living as f64).floor() as u64;
        share.max(self.floor)
    }
}

/// A unit of so many people is looked at by itself,
const UNIT: u64 = 10;

/// What is the most that a unit of so many people may lose at once; `None`: it is too small to be looked at.
pub fn unit_limit(people: u64) -> Option<u64> {
    (people >= UNIT).then_some(people / 2)
}

/// The fewest losses that can be too many for a unit.
pub const UNIT_LOSSES: u64 = UNIT / 2 + 1;

/// What something does, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By sort.
    pub sorts: BTreeMap<Sort, u64>,
    /// By the key of a unit, people who are disabled or deleted.
    pub units: BTreeMap<String, u64>,
}

impl Tally {
    /// Whether it does nothing that is counted.
    pub fn is_empty(&self) -> bool {
        self.sorts.is_empty()
    }

    /// So many more of a sort.
    pub fn add(&mut self, sort: Sort, n: u64) {
        if n > 0 {
            *self.sorts.entry(sort).or_default() += n;
        }
    }

    /// All that another one counts as well.
    pub fn take_in(&mut self, other: Tally) {
        for (sort, n) in other.sorts {
            self.add(sort, n);
        }
        for (unit, n) in other.units {
            *self.units.entry(unit).or_default() += n;
        }
    }

    /// Counts what becomes of one account. `None`: it was not there, or is no more. Answers whether it stays open, so that
    /// what it loses beside counts. Who is blocked now is not counted: nothing holds that back.
    pub fn count(&mut self, before: Option<&Map<String, Value>>, after: Option<&Map<String, Value>>) -> bool {
        let is_open = |document: &Map<String, Value>| document.get("active") != Some(&Value::Bool(false));
        let is_blocked =
            |document: &Map<String, Value>| document.get(URN).is_some_and(|one| one.get("block").is_some());
        match (before, after) {
            (None, Some(_)) => self.add(Sort::Creates, 1),
            (Some(before), None) => {
                self.add(Sort::Deletes, 1);
                self.lose(before);
            }
            (Some(before), Some(after)) if is_blocked(after) && !is_blocked(before) => {}
            (Some(before), Some(after)) if is_open(before) && !is_open(after) => {
                self.add(Sort::Disables, 1);
                self.lose(before);
            }
            (Some(before), Some(after)) => {
                let gone = values(before, "entitlements");
                let kept = values(after, "entitlements");
                self.add(Sort::LicenceRemovals, gone.difference(&kept).count() as u64);
                let address = address(before);
                self.add(Sort::EmailChanges, u64::from(address.is_some() && address != self::address(after)));
                return true;
            }
            (None, None) => {}
        }
        false
    }

    fn lose(&mut self, before: &Map<String, Value>) {
        let employments = before.get(URN).and_then(|person| person.get(EMPLOYMENTS)).and_then(Value::as_array);
        let units: BTreeSet<&str> =
            employments.into_iter().flatten().filter_map(|one| one.get("unit")?.as_str()).collect();
        for unit in units {
            *self.units.entry(unit.to_owned()).or_default() += 1;
        }
    }
}

fn values<'d>(document: &'d Map<String, Value>, name: &str) -> BTreeSet<&'d str> {
    let all = document.get(name).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|one| one.get("value")?.as_str()).collect()
}

/// The address that an account is written to: the one that is primary, else the first.
fn address(document: &Map<String, Value>) -> Option<&str> {
    let all = document.get("emails").and_then(Value::as_array)?;
    let primary = all.iter().find(|one| one.get("primary") == Some(&Value::Bool(true)));
    primary.or(all.first())?.get("value")?.as_str()
}

/// A limit that is exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Which: a sort, or `unit` and its key.
    pub limit: String,
    /// How many there would be.
    pub count: u64,
    /// How many are allowed.
    pub most: u64,
}

/// What of these is more than it may be: name, how many, the most.
pub fn exceeded<'n>(counts: impl IntoIterator<Item = (&'n str, u64, u64)>) -> Vec<Excess> {
    let over = counts.into_iter().filter(|(_, count, most)| count > most);
    over.map(|(limit, count, most)| Excess { limit: limit.to_owned(), count, most }).collect()
}

/// A change of many that was declared beforehand.
#[derive(Clone, Debug, PartialEq)]
struct Planned {
    from: i64,
    until: i64,
    percent: f64,
    sort: Option<Sort>,
}

/// What a policy lets pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guard {
    /// By sort and client; `None`: every client that has none of its own.
    limits: Vec<(Sort, Option<String>, Threshold)>,
    planned: Vec<Planned>,
}

impl Guard {
    /// Reads the document of a policy; `None`: it guards nothing. Fails with 400 invalidValue that names the place.
    pub fn read(document: &Map<String, Value>) -> Result<Option<Self>, scim::Error> {
        let refuse = |place: String, what: &str| Err(scim::Error::invalid_value(format!("{place}: {what}")));
        let mut read = Guard::default();
        for (n, one) in list(document, "guardLimits").enumerate() {
            let Some(sort) = one.get("sort").and_then(Value::as_str).and_then(Sort::parse) else {
                return refuse(format!("guardLimits[{n}].sort"), "it is none that is counted.");
            };
            let percent = one.get("percent").and_then(Value::as_f64).unwrap_or_default();
            let floor = one.get("floor").and_then(Value::as_u64).unwrap_or_default();
            if !(0.0..=1_000.0).contains(&percent) || one.get("floor").is_some_and(|floor| floor.as_u64().is_none()) {
                return refuse(format!("guardLimits[{n}]"), "percent and floor are not negative.");
            }
            let client = one.get("client").and_then(Value::as_str).map(str::to_owned);
            read.limits.push((sort, client, Threshold { percent, floor }));
        }
        for (n, one) in list(document, "guardPlanned").enumerate() {
            let instant = |name: &str| one.get(name).and_then(Value::as_str).and_then(key::instant);
            let percent = one.get("percent").and_then(Value::as_f64).unwrap_or_default();
            let sort = one.get("sort").and_then(Value::as_str);
            match (instant("from"), instant("until"), sort.map(Sort::parse)) {
                (Some(from), Some(until), sort)
                    if from < until && (0.0..=1_000.0).contains(&percent) && sort != Some(None) =>
                {
                    read.planned.push(Planned { from, until, percent, sort: sort.flatten() });
                }
                _ => {
                    return refuse(
                        format!("guardPlanned[{n}]"),
                        "from comes before until, and percent is not negative.",
                    );
                }
            }
        }
        Ok((document.get("guarded") == Some(&Value::Bool(true))).then_some(read))
    }

    /// What a client, by its id, may do of a sort at a moment (µs since 1970).
    pub fn threshold(&self, client: &str, sort: Sort, now: i64) -> Threshold {
        let of = |wanted: Option<&str>| {
            let mut fits = self.limits.iter().filter(|(known, who, _)| *known == sort && who.as_deref() == wanted);
            fits.next().map(|(.., threshold)| *threshold)
        };
        let mut threshold = of(Some(client)).or_else(|| of(None)).unwrap_or_else(|| sort.usual());
        let open = self.planned.iter().filter(|one| one.from <= now && now < one.until);
        for planned in open.filter(|one| one.sort.is_none_or(|planned| planned == sort)) {
            threshold.percent = threshold.percent.max(planned.percent);
        }
        threshold
    }

    /// Whether a change of many is declared for a moment, so that units are not looked at by themselves.
    pub fn is_planned(&self, now: i64) -> bool {
        self.planned.iter().any(|one| one.from <= now && now < one.until)
    }

    /// The fewest of any sort that can be too many for a client.
    pub fn fewest(&self, client: &str, now: i64) -> u64 {
        Sort::ALL.into_iter().map(|sort| self.threshold(client, sort, now).floor + 1).min().unwrap_or(1)
    }
}

fn list<'d>(document: &'d Map<String, Value>, name: &str) -> impl Iterator<Item = &'d Map<String, Value>> {
    document.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    /// What one account's way from one document to another counts as: `disables 1, unit A 1`.
    fn counted(before: Option<&Value>, after: Option<&Value>) -> String {
        let mut tally = Tally::default();
        tally.count(before.map(object).as_ref(), after.map(object).as_ref());
        let sorts = tally.sorts.iter().map(|(sort, n)| format!("{} {n}", sort.as_str()));
        sorts.chain(tally.units.iter().map(|(unit, n)| format!("unit {unit} {n}"))).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn every_way_of_an_account_counts_as_what_it_is() {
        let at = |unit: &str, active: bool| json!({ "active": active, URN: { EMPLOYMENTS: [{ "unit": unit }, { "unit": unit }] } });
        let blocked = json!({ "active": false, URN: { "block": { "reason": "x" } } });
        let holds = |values: &[&str]| json!({ "entitlements": values.iter().map(|value| json!({ "value": value })).collect::<Vec<_>>() });
        let mail = |value: &str| json!({ "emails": [{ "value": "old@x" }, { "value": value, "primary": true }] });
        let table = [
            (None, Some(at("A", true)), "creates 1"),
            (Some(at("A", true)), None, "deletes 1, unit A 1"),
            (Some(at("A", true)), Some(at("B", false)), "disables 1, unit A 1"),
            (Some(at("A", false)), Some(at("A", true)), ""),
            (Some(at("A", false)), Some(at("A", false)), ""),
            (Some(at("A", true)), Some(blocked.clone()), ""),
            (Some(json!({})), Some(json!({ "active": false })), "disables 1"),
            (Some(holds(&["a", "b"])), Some(holds(&["b", "c"])), "licenceRemovals 1"),
            (Some(mail("a@x")), Some(mail("b@x")), "emailChanges 1"),
            (Some(mail("a@x")), Some(json!({})), "emailChanges 1"),
            (Some(json!({})), Some(mail("a@x")), ""),
            (None, None, ""),
        ];
        for (before, after, expected) in table {
            assert_eq!(counted(before.as_ref(), after.as_ref()), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_limit_is_the_larger_of_a_share_and_a_number_and_a_client_may_have_its_own() {
        let policy = json!({ "guarded": true,
            "guardLimits": [
                { "sort": "disables", "percent": 1, "floor": 3 },
                { "sort": "disables", "client": "c", "percent": 50 } ],
            "guardPlanned": [{ "name": "x", "from": "2026-08-10T00:00:00Z", "until": "2026-08-11T00:00:00Z",
                "percent": 90, "sort": "creates" }] });
        let guard = Guard::read(&object(&policy)).expect("read").expect("it guards");
        let (before, within) = (0, key::instant("2026-08-10T12:00:00Z").expect("a moment"));
        let table = [
            ("d", Sort::Disables, before, 100, 3),
            ("d", Sort::Disables, before, 1_000, 10),
            ("c", Sort::Disables, before, 1_000, 500),
            ("c", Sort::Deletes, before, 1_000, 20),
            ("d", Sort::Creates, before, 1_000, 200),
            ("d", Sort::Creates, within, 1_000, 900),
            ("d", Sort::Disables, within, 1_000, 10),
        ];
        for (client, sort, now, living, expected) in table {
            assert_eq!(guard.threshold(client, sort, now).limit(living), expected, "{client} {sort:?} {now}");
        }
        assert_eq!((guard.is_planned(before), guard.is_planned(within)), (false, true));
        assert_eq!((guard.fewest("d", before), guard.fewest("c", before)), (4, 1));
        let mut off = object(&policy);
        off.insert("guarded".into(), false.into());
        assert_eq!(Guard::read(&off).expect("read"), None);
        assert_eq!((unit_limit(9), unit_limit(10), unit_limit(11)), (None, Some(5), Some(5)));
    }

    #[test]
    fn what_a_policy_says_wrongly_is_named_by_its_place() {
        let table = [
            (json!({ "guardLimits": [{ "sort": "smiles", "percent": 1 }] }), "guardLimits[0].sort"),
            (json!({ "guardLimits": [{ "sort": "deletes", "percent": -1 }] }), "guardLimits[0]"),
            (json!({ "guardLimits": [{ "sort": "deletes", "percent": 1, "floor": -1 }] }), "guardLimits[0]"),
            (json!({ "guardPlanned": [{ "name": "x", "percent": 1 }] }), "guardPlanned[0]"),
        ];
        for (policy, place) in table {
            let error = Guard::read(&object(&policy)).expect_err("refused");
            assert!(error.detail.starts_with(place), "{policy}: {}", error.detail);
        }
    }
}
