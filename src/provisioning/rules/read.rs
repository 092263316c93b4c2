//! What a rule's document says, part by part: days, names, what it gives, who is taken out or put in by hand. Faults are 400
//! invalidValue with their place.

use scim::template::Template;
use serde_json::{Map, Value};

use super::{By, Exception, Gives, Sort};
use crate::calendar::date_in;

/// Most days before a start and after an end.
const MAX_DAYS: i64 = 3_660;

/// 400 for a part of a rule.
pub(super) fn wrong(name: &str, detail: &str) -> scim::Error {
    scim::Error::invalid_value(format!("{name}: {detail}."))
}

/// A number of days; none: 0.
pub(super) fn days(document: &Map<String, Value>, name: &str) -> Result<i64, scim::Error> {
    let days = document.get(name).and_then(Value::as_i64).unwrap_or_default();
    match (0..=MAX_DAYS).contains(&days) {
        true => Ok(days),
        false => Err(wrong(name, &format!("must be 0 to {MAX_DAYS} days"))),
    }
}

/// A list of texts.
pub(super) fn texts(document: &Map<String, Value>, name: &str) -> Vec<String> {
    let values = document.get(name).and_then(Value::as_array).into_iter().flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Family and rank, which come together or not at all.
pub(super) fn family(document: &Map<String, Value>) -> Result<Option<(String, i64)>, scim::Error> {
    let family = document.get("family").and_then(Value::as_str).filter(|family| !family.is_empty());
    let rank = document.get("rank").and_then(Value::as_i64);
    match (family, rank) {
        (Some(family), Some(rank)) => Ok(Some((family.to_owned(), rank))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong("rank", "is missing: in a family the highest rank gives")),
        (None, Some(_)) => Err(wrong("family", "is missing: a rank is one within a family")),
    }
}

/// What the rule gives.
pub(super) fn grants(document: &Map<String, Value>) -> Result<Vec<Gives>, scim::Error> {
    let elements = document.get("grants").and_then(Value::as_array).into_iter().flatten().enumerate();
    let grants: Vec<Gives> = elements.map(|(index, element)| gives(index, element)).collect::<Result<_, _>>()?;
    for (index, one) in grants.iter().enumerate() {
        let is_same = |other: &Gives| same_slot(one, other).is_some();
        if grants.iter().skip(index + 1).any(is_same) {
            let slot = one.slot.clone().unwrap_or_default();
            return Err(wrong(
                &format!("grants[{index}].slot"),
                &format!("{slot} stands twice, and one alone can give"),
            ));
        }
    }
    Ok(grants)
}

/// The slot that two things share.
pub(super) fn same_slot<'g>(one: &'g Gives, other: &Gives) -> Option<&'g str> {
    let (slot, theirs) = (one.slot.as_deref()?, other.slot.as_deref()?);
    slot.eq_ignore_ascii_case(theirs).then_some(slot)
}

/// Whether a group that a row names and that there is not is made.
pub(super) fn is_made(document: &Map<String, Value>) -> Result<bool, scim::Error> {
    match document.get("missing").and_then(Value::as_str) {
        None | Some("report") => Ok(false),
        Some("create") => Ok(true),
        Some(_) => Err(wrong("missing", "must be report or create")),
    }
}

/// The template that the name of a group is, if it is one. Fails with what is wrong with it.
pub(super) fn group(value: &str) -> Result<Option<Template>, String> {
    if value.is_empty() {
        return Err("is empty".to_owned());
    }
    match value.contains("{{") || value.contains("{%") {
        true => template("", value).map(Some).map_err(|error| error.detail.trim_start_matches(": ").to_owned()),
        false => Ok(None),
    }
}

fn gives(index: usize, element: &Value) -> Result<Gives, scim::Error> {
    let place = |name: &str| format!("grants[{index}].{name}");
    let text = |name: &str| element.get(name).and_then(Value::as_str);
    let value = text("value").filter(|value| !value.trim().is_empty());
    let value = value.ok_or_else(|| wrong(&place("value"), "is missing"))?.to_owned();
    let sort = match text("type") {
        Some("group") => Sort::Group,
        Some("entitlement") => Sort::Entitlement,
        _ => return Err(wrong(&place("type"), "must be group or entitlement")),
    };
    let by = match (sort, text("by")) {
        (_, Some("id")) => By::Id,
        (Sort::Group, Some("externalId")) => By::ExternalId,
        (Sort::Group, None | Some("displayName")) | (Sort::Entitlement, None | Some("value")) => By::Name,
        (Sort::Group, Some(_)) => return Err(wrong(&place("by"), "must be id, externalId or displayName for a group")),
        (Sort::Entitlement, Some(_)) => return Err(wrong(&place("by"), "must be id or value for an entitlement")),
    };
    let is_made = match text("missing") {
        None | Some("report") => false,
        Some("create") if sort == Sort::Group && by == By::Name => true,
        Some("create") => return Err(wrong(&place("missing"), "create is for groups by displayName alone")),
        Some(_) => return Err(wrong(&place("missing"), "must be report or create")),
    };
    let domain = text("domain").map(str::to_owned);
    let template =
        if value.contains("{{") || value.contains("{%") { Some(template(&place("value"), &value)?) } else { None };
    match (by == By::ExternalId, &domain) {
        (true, None) => Err(wrong(&place("domain"), "is missing: every client has its own externalId")),
        (false, Some(_)) => Err(wrong(&place("domain"), "is for groups by externalId alone")),
        _ => Ok(Gives { sort, by, domain, value, template, is_made, slot: text("slot").map(str::to_owned) }),
    }
}

/// What a template may ask of.
const NAMES: [&str; 4] = ["unit", "employment", "enrolment", "user"];

fn template(place: &str, text: &str) -> Result<Template, scim::Error> {
    let template = Template::parse(text).map_err(|error| wrong(place, error.to_string().trim_end_matches('.')))?;
    let unknown = template.names().into_iter().find(|name| !NAMES.contains(name)).map(str::to_owned);
    match unknown {
        Some(name) => Err(wrong(place, &format!("{name} is none of {}", NAMES.join(", ")))),
        None => Ok(template),
    }
}

/// Who is taken out or put in by hand.
pub(super) fn exceptions(document: &Map<String, Value>, name: &str) -> Result<Vec<Exception>, scim::Error> {
    let elements = document.get(name).and_then(Value::as_array).into_iter().flatten();
    let mut found: Vec<Exception> = Vec::new();
    for element in elements {
        let text = |name: &str| element.get(name).and_then(Value::as_str);
        let user = text("value").ok_or_else(|| wrong(name, "names nobody: value is missing"))?.to_owned();
        let reason = text("reason").filter(|reason| !reason.trim().is_empty());
        let reason = reason.ok_or_else(|| wrong(name, &format!("{user} has no reason")))?.to_owned();
        let until = date_in(element, "until");
        if until.is_none() && element.get("until").is_some_and(|until| !until.is_null()) {
            return Err(wrong(name, "until is not a date such as 2027-06-30"));
        }
        if found.iter().any(|one| one.user == user) {
            return Err(wrong(name, &format!("{user} is named twice")));
        }
        let at = text("at").and_then(|at| at.parse::<jiff::Timestamp>().ok()).map(jiff::Timestamp::as_microsecond);
        found.push(Exception { user, reason, until, by: text("by").map(str::to_owned), at });
    }
    Ok(found)
}
