//! One User on one day, and the grounds that a rule has there. An employment (or a place at a school) counts from 00:00 on
//! its first day to the end of its last, a rule's `before` and `after` added; while it rests for a leave, so does what
//! follows from it. Whether a rule's filter says `current` or not, what is over is no ground.

use std::sync::Arc;

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::facts::{element_facts, facts_of, row_facts};
use super::table::{Asked, Row};
use super::{HAND_DAYS, Rule};
use crate::calendar::plus;
use crate::facts::{Facts, Period};
use crate::person::{EMPLOYMENTS, ENROLMENTS, URN};

/// What a ground is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A rule, and the employment that fits it.
    Rule,
    /// Somebody gave it.
    Hand,
    /// It was there when the register took over.
    Inherited,
    /// A source said so.
    Source,
}

impl Kind {
    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "rule" => Some(Kind::Rule),
            "hand" => Some(Kind::Hand),
            "inherited" => Some(Kind::Inherited),
            "source" => Some(Kind::Source),
            _ => None,
        }
    }

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Rule => "rule",
            Kind::Hand => "hand",
            Kind::Inherited => "inherited",
            Kind::Source => "source",
        }
    }
}

/// Because of what somebody has a right.
#[derive(Clone, Debug, PartialEq)]
pub struct Ground {
    /// What it is.
    pub kind: Kind,
    /// The rule's id, and after a slash the key of the employment, when it is one.
    pub id: String,
    /// First day; `None`: since ever.
    pub from: Option<Date>,
    /// Last day; `None`: for good.
    pub to: Option<Date>,
    /// What made it true: the attributes that the rule asked for, as they were.
    pub facts: Value,
    /// The employment or the place at a school, for templates.
    pub element: Option<Arc<Value>>,
    /// The row of the rule's table, by its place there.
    pub row: Option<usize>,
}

/// How a ground stands on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Its first day is yet to come.
    Ahead,
    /// It holds.
    Holds,
    /// It rests, and why.
    Rests(String),
}

/// An employment or a place at a school, and the User as if it had no other.
#[derive(Debug)]
pub(super) struct Single {
    /// The attribute it is a value of.
    pub(super) list: &'static str,
    id: String,
    period: Period,
    /// The value.
    pub(super) element: Arc<Value>,
    /// The document with this value alone and `current` true; and false.
    held: Map<String, Value>,
    over: Map<String, Value>,
}

/// One User on one day. Made once for all rules.
#[derive(Debug)]
pub struct Case<'d> {
    user: String,
    day: Date,
    document: &'d Map<String, Value>,
    facts: Facts,
    singles: Vec<Single>,
}

impl<'d> Case<'d> {
    /// The User of that id whose document this is.
    pub fn new(user: &str, document: &'d Map<String, Value>, day: Date) -> Self {
        let facts = Facts::of(document);
        let employments = facts.employments.iter().map(|one| (EMPLOYMENTS, "employmentId", &one.id, one.period));
        let enrolments = facts.enrolments.iter().map(|one| (ENROLMENTS, "enrolmentId", &one.id, one.period));
        let singles = employments.chain(enrolments).filter_map(|(list, key, id, period)| {
            let elements = document.get(URN)?.get(list)?.as_array()?;
            let element = elements.iter().find(|element| element.get(key).and_then(Value::as_str) == Some(id))?;
            let with = |current: bool| alone(document, list, element, current);
            let (held, over) = (with(true), with(false));
            Some(Single { list, id: id.clone(), period, element: Arc::new(element.clone()), held, over })
        });
        let singles = singles.collect();
        Case { user: user.to_owned(), day, document, facts, singles }
    }

    /// The User's id.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The day.
    pub fn day(&self) -> Date {
        self.day
    }

    /// The document.
    pub fn document(&self) -> &Map<String, Value> {
        self.document
    }

    /// What it says, day by day.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What fits a rule but for the day, with its dates.
    pub(super) fn told_dates(&self, rule: &Rule) -> Vec<String> {
        let fits =
            |single: &&Single| rule.filter.matches(&single.held) && !widened(rule, single.period).holds(self.day);
        let told = self.singles.iter().filter(fits).map(|single| {
            let period = widened(rule, single.period);
            match period.from > self.day {
                true => format!("{} {} counts from {} on", single.list, single.id, period.from),
                false => {
                    let to = period.to.map(|to| to.to_string()).unwrap_or_default();
                    format!("{} {} counted until {to}", single.list, single.id)
                }
            }
        });
        told.collect()
    }

    /// The employments that fit a rule's filter on the day, and how they fail each of the rows: key of the employment,
    /// place of the row, what fails.
    pub(super) fn rows_failed<'r>(&self, rule: &'r Rule) -> Vec<(&str, &'r Row, Vec<String>)> {
        let holds = |single: &&Single| {
            single.list == EMPLOYMENTS
                && widened(rule, single.period).holds(self.day)
                && rule.filter.matches(&single.held)
        };
        let each = |single: &Single| {
            let asked = Asked::of(&single.element);
            rule.table.iter().map(|row| row.failures(&asked)).collect::<Vec<_>>()
        };
        let singles = self.singles.iter().filter(holds);
        singles
            .flat_map(|single| {
                let rows = rule.table.iter().zip(each(single));
                rows.map(|(row, failed)| (single.id.as_str(), row, failed)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The User as a rule looks at it: what holds by the rule's own dates alone, and `current` by them.
    pub(super) fn seen_by(&self, rule: &Rule) -> Map<String, Value> {
        let mut document = self.document.clone();
        let says_current = mentions(rule, EMPLOYMENTS, "current");
        for list in [EMPLOYMENTS, ENROLMENTS] {
            let Some(elements) = document.get_mut(URN).and_then(|person| person.get_mut(list)) else { continue };
            let Some(elements) = elements.as_array_mut() else { continue };
            elements.retain_mut(|element| {
                let single = self.singles.iter().find(|single| single.list == list && *single.element == *element);
                let holds = single.is_some_and(|single| widened(rule, single.period).holds(self.day));
                if let (EMPLOYMENTS, Some(element)) = (list, element.as_object_mut()) {
                    element.insert("current".to_owned(), holds.into());
                }
                holds || (says_current && list == EMPLOYMENTS)
            });
        }
        document
    }
}

/// Has `current` of every employment say what a rule makes of it.
pub(super) fn flag(rule: &Rule, case: &Case<'_>, document: &mut Map<String, Value>) {
    let elements = document.get_mut(URN).and_then(|person| person.get_mut(EMPLOYMENTS)).and_then(Value::as_array_mut);
    for element in elements.into_iter().flatten().filter_map(Value::as_object_mut) {
        let is_of = |single: &&Single| element.get("employmentId").and_then(Value::as_str) == Some(single.id.as_str());
        let single = case.singles.iter().filter(|single| single.list == EMPLOYMENTS).find(is_of);
        let holds = single.is_some_and(|single| widened(rule, single.period).holds(case.day));
        element.insert("current".to_owned(), holds.into());
    }
}

/// The period of a ground by a rule's `before` and `after`.
fn widened(rule: &Rule, period: Period) -> Period {
    Period { from: plus(period.from, -rule.before), to: period.to.map(|to| plus(to, rule.after)) }
}

/// The document as if the person had that one employment or place alone.
fn alone(document: &Map<String, Value>, list: &str, element: &Value, current: bool) -> Map<String, Value> {
    let mut document = document.clone();
    if let Some(Value::Object(person)) = document.get_mut(URN) {
        person.shift_remove(EMPLOYMENTS);
        person.shift_remove(ENROLMENTS);
        let mut element = element.clone();
        if let (EMPLOYMENTS, Some(element)) = (list, element.as_object_mut()) {
            element.insert("current".to_owned(), current.into());
        }
        person.insert(list.to_owned(), Value::Array(vec![element]));
    }
    document
}

/// Whether a rule asks about an attribute of the person, or about one part of it.
fn mentions(rule: &Rule, list: &str, sub: &str) -> bool {
    let whole = format!("{URN}:{list}");
    let is_within =
        |path: &String| path.strip_prefix(&whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    match sub {
        "" => rule.asks.iter().any(is_within),
        sub => rule.asks.contains(&format!("{whole}.{sub}")),
    }
}

impl Rule {
    /// On which grounds it gives a User, or will: by employments and places at schools, each of which fits by itself; by
    /// the User as a whole, when what it asks is about no single one of them; by hand. An exclusion is not looked at.
    pub fn grounds(&self, case: &Case<'_>) -> Vec<(Ground, When)> {
        let mut grounds = Vec::new();
        let lists: Vec<&str> = [EMPLOYMENTS, ENROLMENTS].into_iter().filter(|list| mentions(self, list, "")).collect();
        if !self.table.is_empty() {
            self.grounds_by_row(case, &mut grounds);
        } else if lists.is_empty() {
            if self.filter.matches(case.document) {
                let facts = facts_of(self, case.document);
                grounds.push((
                    Ground {
                        kind: Kind::Rule,
                        id: self.id.clone(),
                        from: None,
                        to: None,
                        facts,
                        element: None,
                        row: None,
                    },
                    When::Holds,
                ));
            }
        } else {
            self.grounds_by_element(case, &lists, &mut grounds);
        }
        grounds.extend(self.ground_by_hand(case));
        grounds
    }

    fn grounds_by_element(&self, case: &Case<'_>, lists: &[&str], grounds: &mut Vec<(Ground, When)>) {
        let whole = case.seen_by(self);
        let fits = self.filter.matches(&whole);
        let mut holds = false;
        for single in case.singles.iter().filter(|single| lists.contains(&single.list)) {
            let period = widened(self, single.period);
            let is_held = self.filter.matches(&single.held);
            let ground = |from, to| Ground {
                kind: Kind::Rule,
                id: format!("{}/{}", self.id, single.id),
                from,
                to,
                facts: element_facts(self, single),
                element: Some(Arc::clone(&single.element)),
                row: None,
            };
            if is_held && period.holds(case.day) && fits {
                holds = true;
                grounds.push((ground(Some(period.from), period.to), self.rest(case, single)));
            } else if is_held && period.from > case.day {
                grounds.push((ground(Some(period.from), period.to), When::Ahead));
            } else if !is_held
                && !period.holds(case.day)
                && fits
                && self.filter.matches(&single.over)
                && mentions(self, EMPLOYMENTS, "current")
            {
                // It asks for what is not current.
                holds = true;
                grounds.push((ground(None, None), When::Holds));
            }
        }
        if fits && !holds {
            let facts = facts_of(self, &whole);
            grounds.push((
                Ground { kind: Kind::Rule, id: self.id.clone(), from: None, to: None, facts, element: None, row: None },
                When::Holds,
            ));
        }
    }

    /// Each employment that fits the filter and a row of the table is a ground, within the days of both.
    fn grounds_by_row(&self, case: &Case<'_>, grounds: &mut Vec<(Ground, When)>) {
        let fits = self.filter.matches(&case.seen_by(self));
        for single in case.singles.iter().filter(|single| single.list == EMPLOYMENTS) {
            if !self.filter.matches(&single.held) {
                continue;
            }
            for (index, row, period) in self.rows_of(single) {
                let ground = || Ground {
                    kind: Kind::Rule,
                    id: format!("{}/{}/{}", self.id, single.id, row.key),
                    from: Some(period.from),
                    to: period.to,
                    facts: row_facts(self, single, row),
                    element: Some(Arc::clone(&single.element)),
                    row: Some(index),
                };
                if period.holds(case.day) && fits {
                    grounds.push((ground(), self.rest(case, single)));
                } else if period.from > case.day {
                    grounds.push((ground(), When::Ahead));
                }
            }
        }
    }

    /// The rows that an employment fits, with the days on which both hold.
    fn rows_of(&self, single: &Single) -> Vec<(usize, &Row, Period)> {
        let asked = Asked::of(&single.element);
        let all = widened(self, single.period);
        let rows = self.table.iter().enumerate().filter(|(_, row)| row.fits(&asked));
        rows.filter_map(|(index, row)| Some((index, row, row.within(all)?))).collect()
    }

    /// Whether what follows from an employment rests on the day of the case.
    fn rest(&self, case: &Case<'_>, single: &Single) -> When {
        let leave = case.facts.leave(&single.id, case.day).filter(|_| single.list == EMPLOYMENTS);
        match leave {
            Some(leave) if !leave.keep_access || self.is_restricted => {
                let to = leave.period.to.map(|to| format!(" until {to}")).unwrap_or_default();
                When::Rests(format!("the employment {} rests for a leave since {}{to}", single.id, leave.period.from))
            }
            _ => When::Holds,
        }
    }

    fn ground_by_hand(&self, case: &Case<'_>) -> Option<(Ground, When)> {
        let given = self.exception(&self.include, &case.user, case.day)?;
        // What is given for longer than is allowed ends when it would have.
        let last = given.at.map(|at| plus(crate::calendar::Calendar::default().day_of(at), HAND_DAYS));
        let to = given.until.into_iter().chain(last).min();
        if to.is_some_and(|to| to < case.day) {
            return None;
        }
        let facts =
            json!({ "by": given.by, "reason": given.reason, "until": given.until.map(|until| until.to_string()) });
        let leading = case.facts.leading(case.day).map(|employment| employment.id.as_str());
        let of = case.singles.iter().find(|single| single.list == EMPLOYMENTS && Some(single.id.as_str()) == leading);
        let element = of.map(|single| Arc::clone(&single.element));
        Some((Ground { kind: Kind::Hand, id: self.id.clone(), from: None, to, facts, element, row: None }, When::Holds))
    }

    /// First and last day of a ground of this rule by what the User's document says now; `None`: it says nothing of it.
    pub fn dates_of(&self, case: &Case<'_>, ground: &str) -> Option<(Option<Date>, Option<Date>)> {
        let key = ground.strip_prefix(self.id.as_str())?.strip_prefix('/')?;
        if !self.table.is_empty() {
            let of = |single: &Single| Some(key.strip_prefix(single.id.as_str())?.strip_prefix('/')?.to_owned());
            let (single, row) = case.singles.iter().find_map(|single| Some((single, of(single)?)))?;
            let row = self.table.iter().find(|known| known.key == row)?;
            let period = row.within(widened(self, single.period))?;
            return Some((Some(period.from), period.to));
        }
        let period = widened(self, case.singles.iter().find(|single| single.id == key)?.period);
        Some((Some(period.from), period.to))
    }

    /// The first day after that of the case on which this rule may say something else of the User, though nothing is
    /// written.
    pub fn next_turn(&self, case: &Case<'_>) -> Option<Date> {
        let exceptions = self.include.iter().chain(&self.exclude).filter(|one| one.user == case.user);
        let by_hand = exceptions.filter_map(|one| one.until).map(|until| plus(until, 1));
        // One that does not fit may still stand in the way of another, or be asked for beside it.
        let is_asked = |single: &&Single| {
            mentions(self, single.list, "") || (single.list == EMPLOYMENTS && !self.table.is_empty())
        };
        let turns = case.singles.iter().filter(is_asked).flat_map(|single| {
            let rows = if self.table.is_empty() { Vec::new() } else { self.rows_of(single) };
            let rows = rows.into_iter().flat_map(|(_, _, period)| [Some(period.from), period.day_after()]);
            let period = widened(self, single.period);
            let leaves = case.facts.leaves.iter().filter(|leave| leave.employment == single.id);
            let rests = leaves.flat_map(|leave| [Some(leave.period.from), leave.period.day_after()]);
            [Some(period.from), period.day_after()].into_iter().chain(rests).chain(rows).flatten().collect::<Vec<_>>()
        });
        by_hand.chain(turns).filter(|day| *day > case.day).min()
    }
}
