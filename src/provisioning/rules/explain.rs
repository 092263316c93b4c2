//! Why a filter does not fit, in plain words: each clause that failed, and the fact it failed on. Of several values that
//! one value path was asked of, every one is told.

use scim::filter::{Checked, Filter, Op, Target};
use serde_json::{Map, Value};

use super::table::Row;
use super::{Case, Rule};

/// Most values of one attribute that are told.
const MAX_VALUES: usize = 8;

/// Which clauses of a rule's filter failed for a User, and on which facts. Empty when it fits.
pub fn why_not(rule: &Rule, case: &Case<'_>) -> Vec<String> {
    // All that is said of the person, what is over too: it is the fact on which a clause failed.
    let seen = case.seen_by(rule);
    if rule.filter.matches(&seen) {
        return why_no_row(rule, case, |_| true);
    }
    let mut document = case.document().clone();
    super::case::flag(rule, case, &mut document);
    let told = failed(&rule.filter, Scope::Document(&document));
    match told.is_empty() {
        false => told,
        // What fits is over, or not yet begun.
        true => case.told_dates(rule),
    }
}

impl Rule {
    /// Whether its filter fits a User, whatever the rows of its table say.
    pub fn fits(&self, case: &Case<'_>) -> bool {
        self.filter.matches(&case.seen_by(self))
    }
}

/// Which of the rows that are `wanted` come nearest to each employment, and on which fact they fail. Empty when one fits, or
/// the rule has no table.
pub fn why_no_row(rule: &Rule, case: &Case<'_>, wanted: impl Fn(&Row) -> bool) -> Vec<String> {
    let mut failed = case.rows_failed(rule);
    failed.retain(|(_, row, _)| wanted(row));
    let is_dated =
        |row: &Row| row.from.is_some_and(|from| from > case.day()) || row.to.is_some_and(|to| to < case.day());
    if failed.iter().any(|(_, row, failed)| failed.is_empty() && !is_dated(row)) {
        return Vec::new();
    }
    failed.sort_by_key(|(_, row, failed)| (failed.len(), row.line));
    let told = failed.iter().take(MAX_VALUES).map(|(employment, row, failed)| {
        let why = match (failed.is_empty(), row.from, row.to) {
            (false, ..) => failed.join(" and "),
            (true, Some(from), _) if from > case.day() => format!("it counts from {from} on"),
            (true, _, to) => format!("it counted until {}", to.map(|to| to.to_string()).unwrap_or_default()),
        };
        format!("row {}, employments {employment}: {why}", row.line)
    });
    told.collect()
}

#[derive(Clone, Copy)]
enum Scope<'d> {
    Document(&'d Map<String, Value>),
    Element(&'d Value),
}

impl<'d> Scope<'d> {
    fn holds(self, filter: &Filter<Checked>) -> bool {
        match self {
            Scope::Document(document) => filter.matches(document),
            Scope::Element(element) => filter.matches_element(element),
        }
    }

    fn values(self, target: &Target) -> Vec<&'d Value> {
        match self {
            Scope::Document(document) => values_of(document, target),
            Scope::Element(element) => target.sub.as_deref().and_then(|sub| element.get(sub)).into_iter().collect(),
        }
    }

    fn name(self, target: &Target) -> String {
        match (self, target.sub.as_deref()) {
            (Scope::Element(_), Some(sub)) => sub.to_owned(),
            (_, Some(sub)) => format!("{}.{sub}", target.attr),
            (_, None) => target.attr.to_string(),
        }
    }
}

/// Every value of a document that a path leads to.
fn values_of<'d>(document: &'d Map<String, Value>, target: &Target) -> Vec<&'d Value> {
    let attribute = match &target.extension {
        Some(urn) => document.get(&**urn).and_then(|extension| extension.get(&*target.attr)),
        None => document.get(&*target.attr),
    };
    let each = |value: &'d Value| match value {
        Value::Array(values) => values.iter().collect(),
        single => vec![single],
    };
    let values = attribute.map(each).unwrap_or_default();
    match target.sub.as_deref() {
        None => values,
        Some(sub) => values.into_iter().filter_map(|value| value.get(sub)).flat_map(each).collect(),
    }
}

fn failed(filter: &Filter<Checked>, scope: Scope<'_>) -> Vec<String> {
    if scope.holds(filter) {
        return Vec::new();
    }
    match filter {
        Filter::And(parts) => parts.iter().flat_map(|part| failed(part, scope)).collect(),
        Filter::Or(parts) => {
            let each: Vec<String> = parts.iter().map(|part| failed(part, scope).join(" and ")).collect();
            vec![format!("neither of {} holds: {}", parts.len(), each.join("; "))]
        }
        Filter::Not(part) => vec![format!("it must not be that {part}, and it is")],
        Filter::Present(target) => vec![format!("{} has no value", scope.name(target))],
        Filter::Compare(target, op, operand) => {
            let values = scope.values(target);
            let is = match values.as_slice() {
                [] => "has no value".to_owned(),
                values => format!("is {}", list(values)),
            };
            vec![format!("{} {is}, asked for is {} {}", scope.name(target), words(*op), operand.raw)]
        }
        Filter::Element(target, part) => {
            let values = scope.values(target);
            if values.is_empty() {
                return vec![format!("there are no {}", target.attr)];
            }
            let told = values.iter().take(MAX_VALUES).map(|element| {
                format!("{} {}: {}", target.attr, key_of(element), failed(part, Scope::Element(element)).join(" and "))
            });
            told.collect()
        }
        Filter::Const(_) => vec!["it asks for what nobody has".to_owned()],
    }
}

fn words(op: Op) -> &'static str {
    match op {
        Op::Eq => "exactly",
        Op::Ne => "anything but",
        Op::Co => "something with",
        Op::Sw => "something that begins with",
        Op::Ew => "something that ends with",
        Op::Gt => "more than",
        Op::Ge => "at least",
        Op::Lt => "less than",
        Op::Le => "at most",
    }
}

fn list(values: &[&Value]) -> String {
    let mut told: Vec<String> = values.iter().take(MAX_VALUES).map(ToString::to_string).collect();
    if values.len() > MAX_VALUES {
        told.push(format!("{} more", values.len() - MAX_VALUES));
    }
    told.join(", ")
}

/// By what a value of an attribute is told from the others.
fn key_of(element: &Value) -> String {
    let key = ["employmentId", "enrolmentId", "value", "type"].iter().find_map(|name| element.get(*name)?.as_str());
    key.map_or_else(|| element.to_string(), str::to_owned)
}
