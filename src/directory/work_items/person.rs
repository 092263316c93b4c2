//! What about somebody a person has to look at, by what its document was and is: a first day that passed with nobody there,
//! and rights by hand of one who has another task by now. Pure; what must not be combined is said by the rules.

use std::collections::BTreeSet;

use provisioning::calendar::Calendar;
use provisioning::facts::Facts;
use provisioning::lifecycle::State;
use provisioning::person::URN;
use serde_json::{Map, Value};
use store::ResourceId;

use super::{Item, Kind};

/// What becomes of an item about somebody.
#[derive(Clone, Debug)]
pub(in crate::directory) enum Notice {
    /// It is opened, if it is not there.
    Open(Item),
    /// Its ground is gone.
    Close(Kind, ResourceId),
}

/// What somebody has to look at after a write. `states` are what the account was and is, `by_hand` what it holds by hand.
pub(in crate::directory) fn notice(
    id: ResourceId,
    before: Option<&Map<String, Value>>,
    after: &Map<String, Value>,
    states: (Option<State>, Option<State>),
    by_hand: &BTreeSet<String>,
    (calendar, now): (&Calendar, i64),
) -> Vec<Notice> {
    let mut notices = Vec::new();
    match states {
        (Some(State::Planned | State::Staged), Some(is @ (State::Suspended | State::Disabled | State::Limbo)))
            if has_begun(after, calendar, now) && (is != State::Suspended || is_blocked(after)) =>
        {
            let summary = "The first day has passed, and the account has never been active: find out whether this person \
                           has come, and have the source say so.";
            notices.push(Notice::Open(Item::new(Kind::NoShow, id, summary, "day")));
        }
        (was, is)
            if was != is && is.is_none_or(|is| is.is_active() || matches!(is, State::Planned | State::Staged)) =>
        {
            notices.push(Notice::Close(Kind::NoShow, id));
        }
        _ => {}
    }
    let Some(before) = before.filter(|_| !by_hand.is_empty()) else { return notices };
    let (was, is) = (tasks(before), tasks(after));
    if !was.is_empty() && was != is {
        let summary =
            "This person has another unit or task now: decide whether what was given by hand is still needed.";
        let mut item = Item::new(Kind::Review, id, summary, "unit or task");
        item.details = by_hand.iter().cloned().collect();
        item.details.extend(is.difference(&was).map(|(unit, task)| format!("now {unit} {task}").trim_end().to_owned()));
        notices.push(Notice::Open(item));
    }
    notices
}

/// Whether somebody keeps it from being active; who is on leave from the first day is expected later.
fn is_blocked(document: &Map<String, Value>) -> bool {
    let person = document.get(URN);
    let mut sources = person.and_then(|person| person.get("sources")?.as_array()).into_iter().flatten();
    person.is_some_and(|person| person.get("block").is_some()) || sources.any(|source| source.get("blocked").is_some())
}

fn has_begun(document: &Map<String, Value>, calendar: &Calendar, now: i64) -> bool {
    let (facts, day) = (Facts::of(document), calendar.day_of(now));
    let mut starts = facts.employments.iter().map(|one| one.period.from);
    starts.any(|from| from <= day) || facts.enrolments.iter().any(|one| one.period.from <= day)
}

/// The units and tasks of the employments that hold, as the document says it.
fn tasks(document: &Map<String, Value>) -> BTreeSet<(String, String)> {
    let employments = document.get(URN).and_then(|person| person.get("employments")).and_then(Value::as_array);
    let current = employments.into_iter().flatten().filter(|one| one.get("current") == Some(&Value::Bool(true)));
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    current.map(|one| (text(one, "unit"), text(one, "taskCode"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(
        before: Option<&Value>,
        after: &Value,
        states: (Option<State>, Option<State>),
        hand: &[&str],
    ) -> Vec<String> {
        let day = 1_770_000_000_000_000;
        let object = |value: &Value| value.as_object().cloned().expect("an object");
        let by_hand = hand.iter().map(|one| (*one).to_owned()).collect();
        let before = before.map(object);
        let calendar = Calendar::default();
        let found = notice(ResourceId::SYSTEM, before.as_ref(), &object(after), states, &by_hand, (&calendar, day));
        found
            .iter()
            .map(|notice| match notice {
                Notice::Open(item) => format!("open {}", item.kind.as_str()),
                Notice::Close(kind, _) => format!("close {}", kind.as_str()),
            })
            .collect()
    }

    #[test]
    fn what_a_person_has_to_look_at_is_found_by_what_was_and_is() {
        let one = |unit: &str, start: &str| {
            json!({ URN: { "employments": [
                { "employmentId": "1", "start": start, "unit": unit, "taskCode": "n", "current": true } ] } })
        };
        let (past, ahead) = (one("A", "2020-01-01"), one("A", "2040-01-01"));
        let mut blocked = past.clone();
        blocked[URN]["sources"] = json!([{ "value": "c", "blocked": "2020-01-01T00:00:00Z" }]);
        let states = |was, is| (Some(was), Some(is));
        use State::{Active, Disabled, Planned, Staged, Suspended};
        let moved = one("B", "2020-01-01");
        type Case<'c> = (Option<&'c Value>, &'c Value, (Option<State>, Option<State>), &'c [&'c str], &'c [&'c str]);
        let table: [Case<'_>; 11] = [
            (Some(&past), &blocked, states(Staged, Suspended), &[], &["open noShow"]),
            (Some(&past), &past, states(Staged, Suspended), &[], &[]),
            (None, &blocked, (None, Some(Suspended)), &[], &[]),
            (Some(&past), &past, states(Staged, Disabled), &[], &["open noShow"]),
            (Some(&ahead), &ahead, states(Staged, Disabled), &[], &[]),
            (Some(&past), &past, states(Staged, Active), &[], &["close noShow"]),
            (Some(&past), &past, states(Active, Suspended), &[], &[]),
            (Some(&past), &past, states(Planned, Planned), &[], &[]),
            (None, &past, (None, Some(Disabled)), &[], &[]),
            (Some(&past), &moved, states(Active, Active), &["g"], &["open review"]),
            (Some(&past), &moved, states(Active, Active), &[], &[]),
        ];
        for (before, after, states, hand, expected) in table {
            assert_eq!(told(before, after, states, hand), expected, "{states:?} {after}");
        }
    }
}
