//! What of an account is not dates, in its document: the clients that it is from, which of them have withdrawn it or block
//! it, and the block of an administrator. Reads and writes these parts of the Person extension; what they come to is
//! decided in `provisioning::lifecycle`.

use std::collections::BTreeSet;

use provisioning::calendar::{Calendar, instant, plus};
use provisioning::facts::Facts;
use provisioning::lifecycle::{State, Verdict};
use provisioning::person::URN;
use scim::key;
use serde_json::{Map, Value, json};
use store::ResourceId;

use super::super::scope::Access;
use super::super::{Ctx, Error};

/// The state of the account.
const LIFECYCLE: &str = "lifecycle";
/// The clients that it is from.
const SOURCES: &str = "sources";
/// Why an administrator keeps it from being active.
const BLOCK: &str = "block";
/// Why an administrator keeps it from being purged.
const HOLD: &str = "legalHold";
const ACTIVE: &str = "active";

/// A part of the Person extension.
pub(super) fn part<'d>(document: &'d Map<String, Value>, name: &str) -> Option<&'d Value> {
    part_in(document, URN, name)
}

/// The same to be changed.
pub(super) fn part_mut<'d>(document: &'d mut Map<String, Value>, name: &str) -> Option<&'d mut Value> {
    document.get_mut(URN)?.get_mut(name)
}

/// Puts a part into the Person extension, or takes it out; an extension without parts goes too.
pub(super) fn put(document: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    put_in(document, URN, name, value);
}

/// A part of an extension.
pub(super) fn part_in<'d>(document: &'d Map<String, Value>, urn: &str, name: &str) -> Option<&'d Value> {
    document.get(urn)?.get(name)
}

/// Puts a part into an extension, or takes it out; an extension without parts goes too.
pub(super) fn put_in(document: &mut Map<String, Value>, urn: &str, name: &str, value: Option<Value>) {
    match (value, document.get_mut(urn)) {
        (Some(value), Some(Value::Object(parts))) => drop(parts.insert(name.to_owned(), value)),
        (Some(value), _) => drop(document.insert(urn.to_owned(), json!({ name: value }))),
        (None, Some(Value::Object(parts))) => {
            if parts.shift_remove(name).is_some() && parts.is_empty() {
                document.shift_remove(urn);
            }
        }
        (None, _) => {}
    }
}

fn micros(value: Option<&Value>) -> Option<i64> {
    key::instant(value?.as_str()?)
}

/// The state that the document says, and since when (µs since 1970).
pub(super) fn held(document: &Map<String, Value>) -> Option<(State, i64)> {
    let lifecycle = part(document, LIFECYCLE)?;
    Some((State::parse(lifecycle.get("state")?.as_str()?)?, micros(lifecycle.get("since"))?))
}

/// The next state that the document says, and when (µs since 1970).
pub(super) fn next(document: &Map<String, Value>) -> Option<(State, i64)> {
    let lifecycle = part(document, LIFECYCLE)?;
    Some((State::parse(lifecycle.get("nextState")?.as_str()?)?, micros(lifecycle.get("next"))?))
}

/// Writes what the account is.
pub(super) fn write(document: &mut Map<String, Value>, verdict: &Verdict) {
    let mut lifecycle = Map::new();
    lifecycle.insert("state".into(), verdict.state.as_str().into());
    lifecycle.insert("since".into(), instant(verdict.since).into());
    if let Some((next, at)) = verdict.next
        && let Some(at) = instant(at)
    {
        lifecycle.insert("next".into(), at.into());
        lifecycle.insert("nextState".into(), next.as_str().into());
    }
    put(document, LIFECYCLE, Some(Value::Object(lifecycle)));
    document.insert(ACTIVE.to_owned(), verdict.state.is_active().into());
}

/// Takes out what no policy says any more.
pub(super) fn unwrite(document: &mut Map<String, Value>) {
    put(document, LIFECYCLE, None);
}

/// Gives back what a client cannot write, whatever it wrote there.
pub(super) fn restore(before: Option<&Map<String, Value>>, after: &mut Map<String, Value>) {
    for name in [LIFECYCLE, SOURCES] {
        let was = before.and_then(|before| part(before, name)).cloned();
        put(after, name, was);
    }
}

/// A block or a hold stays where it is not spoken of: only who takes it away by name lifts it.
pub(in crate::directory) fn keep_said(current: &Map<String, Value>, next: &mut Map<String, Value>) {
    for name in [BLOCK, HOLD] {
        if let Some(said) = part(current, name).filter(|_| part(next, name).is_none()) {
            put(next, name, Some(said.clone()));
        }
    }
}

/// Sees to the block and the hold that a write leaves: who may not say them changes nothing of them. Fails as denied for one
/// who tries.
pub(super) fn guard_said(
    ctx: &Ctx,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
) -> Result<(), Error> {
    let blocks = ctx.caller.scopes.allow("User", Access::Block);
    guard(ctx, BLOCK, blocks, "administrators and clients with the scope User:block", before, after)?;
    guard(ctx, HOLD, ctx.caller.scopes.is_admin(), "administrators", before, after)
}

fn guard(
    ctx: &Ctx,
    name: &str,
    may: bool,
    whose: &str,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
) -> Result<(), Error> {
    let was = before.and_then(|before| part(before, name)).cloned();
    let reason = |said: &Value| said.get("reason").and_then(Value::as_str).map(str::to_owned);
    let now = part(after, name).cloned();
    let is_same = was.as_ref().and_then(reason) == now.as_ref().and_then(reason);
    let shall = match (was, now) {
        (was, _) if is_same => was,
        (_, Some(now)) if may => {
            let reason = reason(&now).unwrap_or_default();
            if reason.trim().is_empty() {
                let detail = format!("{URN}:{name}.reason is missing: whoever says so says why.");
                return Err(scim::Error::invalid_value(detail).into());
            }
            Some(json!({ "reason": reason, "since": instant(ctx.now), "by": ctx.caller.name.as_ref() }))
        }
        (_, None) if may => None,
        // What is not spoken of is not changed.
        (was, None) => was,
        (_, Some(_)) => return Err(Error::Denied(format!("{URN}:{name} is changed by {whose}."))),
    };
    put(after, name, shall);
    Ok(())
}

/// Whether nothing purges the account.
pub(super) fn is_on_hold(document: &Map<String, Value>) -> bool {
    part(document, HOLD).is_some()
}

/// Whether an administrator or one of its sources keeps the account from being active.
pub(super) fn is_blocked(document: &Map<String, Value>) -> bool {
    part(document, BLOCK).is_some() || sources(document).any(|source| source.get("blocked").is_some())
}

/// When the last of the clients that it is from withdrew it (µs since 1970); `None`: one of them has not. Of an account of
/// which nobody knows whose it is, whoever withdraws it does.
pub(super) fn withdrawn(document: &Map<String, Value>) -> Option<i64> {
    let all: Vec<&Value> = sources(document).collect();
    let holders: Vec<&Value> = all.iter().copied().filter(|source| source["holds"] == true).collect();
    let asked = if holders.is_empty() { all } else { holders };
    let is_any = asked.iter().any(|source| source.get("withdrawn").is_some());
    let withdrawn = asked.iter().map(|source| micros(source.get("withdrawn")));
    match is_any {
        true if asked.iter().all(|source| source["holds"] == true) => {
            withdrawn.collect::<Option<Vec<i64>>>()?.into_iter().max()
        }
        true => withdrawn.flatten().max(),
        false => None,
    }
}

/// Whether the account is over: the clients that it is from have withdrawn it, or its last day has passed.
pub(super) fn is_over(document: &Map<String, Value>) -> bool {
    withdrawn(document).is_some()
        || held(document).is_some_and(|(state, _)| matches!(state, State::Disabled | State::Limbo))
}

/// Whether an account keeps its numbers from others: it is not over, or by its dates there is more to come.
pub(super) fn keeps_numbers(document: &Map<String, Value>, now: i64) -> bool {
    if !is_over(document) {
        return true;
    }
    let facts = Facts::of(document);
    // Whatever the zone, by then the day is over.
    let day = plus(Calendar::UTC.day_of(now), -1);
    let mut periods =
        facts.employments.iter().map(|one| one.period).chain(facts.enrolments.iter().map(|one| one.period));
    withdrawn(document).is_none() && periods.any(|period| period.to.is_none_or(|to| day <= to))
}

/// The clients that the account is from.
pub(super) fn holders(document: &Map<String, Value>) -> BTreeSet<ResourceId> {
    let holders = sources(document).filter(|source| source.get("holds") == Some(&Value::Bool(true)));
    holders.filter_map(|source| source.get("value")?.as_str()?.parse().ok()).collect()
}

fn sources(document: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    part(document, SOURCES).and_then(Value::as_array).into_iter().flatten()
}

/// The client that the account is from; of several the first.
pub(super) fn holder(document: &Map<String, Value>) -> Option<ResourceId> {
    sources(document).find(|source| source["holds"] == true)?["value"].as_str()?.parse().ok()
}

/// What the account's document says of one client.
pub(super) struct Source(Map<String, Value>);

impl Source {
    fn new(client: ResourceId) -> Self {
        Source(Map::from_iter([("value".to_owned(), client.to_string().into())]))
    }

    /// Whether the account is from this client.
    pub(super) fn holds(&self) -> bool {
        self.0.get("holds") == Some(&Value::Bool(true))
    }

    /// Whether it has withdrawn the account.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.0.contains_key("withdrawn")
    }

    /// The account is from this client from now on, or is again.
    pub(super) fn hold(&mut self, now: i64) {
        self.0.shift_remove("withdrawn");
        if !self.holds() {
            self.0.insert("holds".into(), true.into());
            self.0.insert("since".into(), instant(now).into());
        }
    }

    pub(super) fn withdraw(&mut self, now: i64) {
        self.0.insert("withdrawn".into(), instant(now).into());
        self.0.shift_remove("blocked");
    }

    pub(super) fn block(&mut self, now: i64) {
        self.0.entry("blocked").or_insert_with(|| instant(now).into());
    }

    pub(super) fn lift(&mut self) {
        self.0.shift_remove("blocked");
    }

    /// Whether two say the same, each without its moments.
    pub(super) fn is_same(one: Option<&Source>, other: Option<&Source>) -> bool {
        let said = |source: Option<&Source>| {
            source.map(|source| (source.holds(), source.is_withdrawn(), source.0.contains_key("blocked")))
        };
        said(one).unwrap_or_default() == said(other).unwrap_or_default()
    }

    /// Says what it said at another time; `None`: nothing.
    pub(super) fn become_as(&mut self, other: Option<Source>) {
        let value = self.0.get("value").cloned();
        self.0 = other.map(|other| other.0).unwrap_or_default();
        self.0.extend(value.map(|value| ("value".to_owned(), value)));
    }

    fn says_nothing(&self) -> bool {
        !self.holds() && !self.is_withdrawn() && !self.0.contains_key("blocked")
    }
}

/// What the document says of a client, if anything.
pub(super) fn source(document: &Map<String, Value>, client: ResourceId) -> Option<Source> {
    let client = client.to_string();
    sources(document).find(|source| source["value"] == *client).and_then(Value::as_object).cloned().map(Source)
}

/// Changes what the document says of a client.
pub(super) fn change_source(document: &mut Map<String, Value>, client: ResourceId, change: impl FnOnce(&mut Source)) {
    let mut source = source(document, client).unwrap_or_else(|| Source::new(client));
    change(&mut source);
    let mut all: Vec<Value> = sources(document).cloned().collect();
    let at = all.iter().position(|known| known["value"] == *client.to_string());
    match (at, source.says_nothing()) {
        (Some(at), true) => drop(all.remove(at)),
        (Some(at), false) => {
            if let Some(known) = all.get_mut(at) {
                *known = Value::Object(source.0);
            }
        }
        (None, true) => {}
        (None, false) => all.push(Value::Object(source.0)),
    }
    put(document, SOURCES, (!all.is_empty()).then_some(Value::Array(all)));
}

/// No client blocks the account any more.
pub(super) fn lift_all(document: &mut Map<String, Value>) {
    let clients: Vec<ResourceId> =
        sources(document).filter_map(|source| source["value"].as_str()?.parse().ok()).collect();
    for client in clients {
        change_source(document, client, Source::lift);
    }
}
