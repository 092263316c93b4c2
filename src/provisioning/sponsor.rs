//! People without HR: elected, of an agency, guests. Their accounts need somebody who answers for them, the sponsor, and an
//! end that lies so many months ahead at most. Says whom a policy asks that of, what a write lacks, and when the end is
//! near. Who the sponsor is, and whether that one is still there, is asked elsewhere.

use jiff::civil::Date;
use scim::schema::Definition;
use serde_json::{Map, Value};

use crate::calendar::{date_in, plus};
use crate::lifecycle::{ENROLMENT, Terms};
use crate::person::{EMPLOYMENTS, ENROLMENTS, URN};

/// The attribute of the extension that says who answers.
pub const SPONSOR: &str = "sponsor";
/// Months ahead that an end may lie, where a policy does not say it.
const MONTHS: i64 = 12;
/// Most that a policy may say.
const MOST: i64 = 120;

/// Of whom a policy asks for a sponsor and an end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sponsoring {
    /// Months ahead at most, for whom no kind is named; `None`: nothing is asked.
    all: Option<i64>,
    /// The same for kinds of employment by name.
    kinds: Vec<(String, Option<i64>)>,
}

/// How it stands with somebody who needs a sponsor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The last day; `None`: no end is known.
    pub until: Option<Date>,
    /// From this day on the end is near; `None`: there is none.
    pub near: Option<Date>,
}

/// An employment or an enrolment.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tie<'d> {
    list: &'static str,
    key: &'d str,
    kind: Option<&'d str>,
    from: Option<Date>,
    to: Option<Date>,
}

impl Tie<'_> {
    fn is_over(&self, today: Date) -> bool {
        self.to.is_some_and(|to| to < today)
    }

    /// The path of its last day.
    fn end(&self) -> String {
        let (key, end) = if self.list == EMPLOYMENTS { ("employmentId", "end") } else { ("enrolmentId", "to") };
        format!("{URN}:{}[{key} eq {:?}].{end}", self.list, self.key)
    }
}

fn ties(document: &Map<String, Value>) -> Vec<Tie<'_>> {
    let of = |list: &'static str| {
        let all = document.get(URN).and_then(|person| person.get(list)).and_then(Value::as_array);
        all.into_iter().flatten().map(move |one| {
            let text = |name: &str| one.get(name).and_then(Value::as_str);
            let (key, kind, [from, to]) = match list == EMPLOYMENTS {
                true => ("employmentId", text("type"), ["start", "end"]),
                false => ("enrolmentId", Some(ENROLMENT), ["from", "to"]),
            };
            let key = text(key).unwrap_or_default();
            Tie { list, key, kind, from: date_in(one, from), to: date_in(one, to) }
        })
    };
    of(EMPLOYMENTS).chain(of(ENROLMENTS)).collect()
}

/// The id that a User's document names as sponsor.
pub fn sponsor(document: &Map<String, Value>) -> Option<&str> {
    document.get(URN)?.get(SPONSOR)?.get("value")?.as_str()
}

impl Sponsoring {
    /// Reads what the document of a policy says of it. Fails with 400 invalidValue that names the place.
    pub fn read(document: &Map<String, Value>, user: &Definition) -> Result<Self, scim::Error> {
        let longest = months(document, "")?;
        let is_asked = |object: &Map<String, Value>| object.get("sponsored").and_then(Value::as_bool);
        let own = is_asked(document).unwrap_or_default();
        let mut kinds = Vec::new();
        let said = document.get("kinds").and_then(Value::as_array).into_iter().flatten();
        for (n, kind) in said.filter_map(Value::as_object).enumerate() {
            let name = kind.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            let months = months(kind, &format!("kinds[{n}]."))?.or(longest).unwrap_or(MONTHS);
            kinds.push((name, is_asked(kind).unwrap_or(own).then_some(months)));
        }
        let sponsoring = Sponsoring { all: own.then_some(longest.unwrap_or(MONTHS)), kinds };
        let has_place = user.extension(URN).is_some_and(|person| person.attribute(SPONSOR).is_some());
        match sponsoring.is_asked() && !has_place {
            true => Err(refuse(
                "sponsored: the extension Person of this register has no sponsor. Install it again: matrikel schema \
                 install.",
            )),
            false => Ok(sponsoring),
        }
    }

    /// Whether it is asked of anybody.
    pub fn is_asked(&self) -> bool {
        self.all.is_some() || self.kinds.iter().any(|(_, months)| months.is_some())
    }

    fn months(&self, kind: Option<&str>) -> Option<i64> {
        let named = self.kinds.iter().find(|(name, _)| kind.is_some_and(|kind| kind.eq_ignore_ascii_case(name)));
        named.map_or(self.all, |(_, months)| *months)
    }

    /// Whether a write may leave a User's document so, and whether it has to do with what is asked. What a write leaves as it
    /// is, is not asked again: an account that was there before the policy stays.
    ///
    /// Fails with 400 invalidValue that names the path: an end that is missing or too far ahead, a sponsor that is missing,
    /// an account without any end.
    pub fn check(
        &self,
        before: Option<&Map<String, Value>>,
        after: &Map<String, Value>,
        today: Date,
    ) -> Result<bool, scim::Error> {
        let (was, is) = (before.map(ties).unwrap_or_default(), ties(after));
        if is.is_empty() && self.all.is_some() && (before.is_none() || !was.is_empty()) {
            return Err(refuse(&format!(
                "{URN}:{EMPLOYMENTS} is missing: an account of somebody without HR needs one, with an end."
            )));
        }
        let asked: Vec<(&Tie<'_>, i64)> = is.iter().filter_map(|tie| Some((tie, self.months(tie.kind)?))).collect();
        let mut is_touched = before.and_then(sponsor) != sponsor(after);
        for (tie, months) in asked.iter().filter(|(tie, _)| !was.contains(tie)) {
            is_touched = true;
            let Some(to) = tie.to else {
                return Err(refuse(&format!(
                    "{} is missing: somebody without HR has an end, {months} months ahead at most.",
                    tie.end()
                )));
            };
            let last = months_after(tie.from.unwrap_or(today).max(today), *months);
            if to > last {
                let end = tie.end();
                return Err(refuse(&format!(
                    "{end}: {to} is too far ahead; {last} is the last day that can be said now."
                )));
            }
        }
        let is_living = asked.iter().any(|(tie, _)| !tie.is_over(today));
        if is_living && is_touched && sponsor(after).is_none() {
            return Err(refuse(&format!(
                "{URN}:{SPONSOR}.value is missing: somebody has to answer for an account that HR does not know."
            )));
        }
        Ok(is_touched && is_living)
    }

    /// How it stands on a day; `None`: nothing is asked of this one, or all of it is over.
    pub fn stay(&self, terms: &Terms, document: &Map<String, Value>, today: Date) -> Option<Stay> {
        let all = ties(document);
        let living = all.iter().filter(|tie| self.months(tie.kind).is_some() && !tie.is_over(today));
        // No end is later than any.
        let last = living.max_by_key(|tie| tie.to.unwrap_or(Date::MAX))?;
        let near = last.to.map(|to| plus(to, -terms.of(last.kind).ending_before));
        Some(Stay { until: last.to, near })
    }
}

fn months_after(day: Date, months: i64) -> Date {
    let span = jiff::Span::new().try_months(months);
    span.and_then(|span| day.checked_add(span)).unwrap_or(Date::MAX)
}

fn months(object: &Map<String, Value>, place: &str) -> Result<Option<i64>, scim::Error> {
    let Some(months) = object.get("longestMonths").and_then(Value::as_i64) else { return Ok(None) };
    match (1..=MOST).contains(&months) {
        true => Ok(Some(months)),
        false => Err(refuse(&format!("{place}longestMonths: {months} is not between 1 and {MOST} months."))),
    }
}

fn refuse(detail: &str) -> scim::Error {
    scim::Error::invalid_value(detail.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TODAY: Date = Date::constant(2026, 2, 1);

    fn of(all: Option<i64>) -> Sponsoring {
        Sponsoring { all, kinds: vec![("external".into(), Some(12)), ("permanent".into(), None)] }
    }

    fn document(person: Value) -> Map<String, Value> {
        Map::from_iter([(URN.to_owned(), person)])
    }

    fn guest(kind: &str, start: &str, end: &str, sponsor: &str) -> Map<String, Value> {
        let mut one = json!({ "employmentId": "g", "type": kind, "start": start });
        if !end.is_empty() {
            one["end"] = json!(end);
        }
        let mut person = json!({ "employments": [one] });
        if !sponsor.is_empty() {
            person["sponsor"] = json!({ "value": sponsor });
        }
        document(person)
    }

    fn told(asked: &Sponsoring, before: Option<&Map<String, Value>>, after: &Map<String, Value>) -> String {
        match asked.check(before, after, TODAY) {
            Ok(touched) => format!("{touched}"),
            Err(error) => error.detail.replace(&format!("{URN}:"), ""),
        }
    }

    #[test]
    fn what_a_write_of_somebody_without_hr_lacks_is_named_by_its_path() {
        let table = [
            (guest("external", "2026-02-01", "2027-02-01", "s"), "true"),
            (guest("External", "2026-06-01", "2027-06-01", "s"), "true"),
            (guest("external", "2026-02-01", "", "s"), "employments[employmentId eq \"g\"].end is missing"),
            (guest("external", "2026-02-01", "2027-02-02", "s"), "2027-02-01 is the last day that can be said now"),
            (guest("external", "2020-02-01", "2027-02-02", "s"), "too far ahead"),
            (guest("external", "2026-02-01", "2026-03-01", ""), "sponsor.value is missing"),
            // What is over needs nobody any more.
            (guest("external", "2025-02-01", "2025-03-01", ""), "false"),
            (guest("permanent", "2026-02-01", "", ""), "false"),
            (guest("other", "2026-02-01", "", ""), "false"),
        ];
        for (after, expected) in table {
            let said = told(&of(None), None, &after);
            assert!(said.contains(expected), "{after:?}: {said}");
        }
        let all = of(Some(6));
        assert!(told(&all, None, &guest("other", "2026-02-01", "2026-09-01", "s")).contains("2026-08-01 is the last"));
        assert_eq!(told(&all, None, &guest("permanent", "2026-02-01", "", "")), "false");
        assert!(told(&all, None, &Map::new()).contains("employments is missing"));
        let pupil = document(json!({ "enrolments": [{ "enrolmentId": "p", "from": "2026-02-01" }] }));
        assert!(told(&all, None, &pupil).contains("enrolments[enrolmentId eq \"p\"].to is missing"));
    }

    #[test]
    fn what_a_write_leaves_as_it_is_is_not_asked_again() {
        let old = guest("external", "2026-01-01", "", "");
        let mut touched = old.clone();
        touched.insert("title".into(), "Guest".into());
        assert_eq!(told(&of(None), Some(&old), &touched), "false");
        // Who prolongs says a later end, so many months from now at most.
        let known = guest("external", "2025-02-01", "2026-02-10", "s");
        assert_eq!(told(&of(None), Some(&known), &guest("external", "2025-02-01", "2027-02-01", "s")), "true");
        assert!(told(&of(None), Some(&known), &guest("external", "2025-02-01", "2027-02-02", "s")).contains("too far"));
        let without = guest("external", "2025-02-01", "2026-02-10", "");
        assert!(told(&of(None), Some(&known), &without).contains("sponsor.value is missing"));
        assert_eq!(told(&of(Some(3)), Some(&Map::new()), &Map::new()), "false");
        assert!(told(&of(Some(3)), Some(&known), &Map::new()).contains("employments is missing"));
    }

    #[test]
    fn the_end_is_near_as_many_days_before_as_the_policy_says() {
        let terms = Terms::default();
        let stay = |document: &Map<String, Value>| of(None).stay(&terms, document, TODAY);
        let day = |text: &str| Some(text.parse::<Date>().expect("a date"));
        let known = stay(&guest("external", "2025-02-01", "2026-03-10", "s"));
        assert_eq!(known, Some(Stay { until: day("2026-03-10"), near: day("2026-03-03") }));
        assert_eq!(stay(&guest("external", "2025-02-01", "", "s")), Some(Stay { until: None, near: None }));
        assert_eq!(stay(&guest("external", "2025-02-01", "2026-01-31", "s")), None);
        assert_eq!(stay(&guest("permanent", "2025-02-01", "2026-03-10", "s")), None);
    }
}
