//! What is there before the rules are weighed: what they claim for a User, what it holds by its rows and by its document, and
//! what the other accounts of the same human being claim and have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use provisioning::rules::{
    Account, Case, Claim, Held, Kind, Other, Rule, Sort, State, When, asks_for_others, claims, told_others, weigh_alone,
};
use provisioning::units::Units;
use store::{Grant, ResourceId, Work};

use super::{ENDED, ENTITLEMENTS, LAPSED, RESTS, Subject};
use crate::directory::rules::{ENTITLEMENT, target};
use crate::directory::settle::{Book, held_state};
use crate::directory::{Ctx, Error, persons};

/// What the rules claim for a User, and what it holds.
pub(super) struct Gathered {
    pub(super) claims: Vec<Claim>,
    pub(super) held: Vec<Held>,
    pub(super) rows: Vec<Option<Grant>>,
    pub(super) has: BTreeSet<String>,
    pub(super) values: BTreeMap<String, Value>,
}

/// `makes`: whether groups that are missing are made.
pub(super) fn gather(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    case: &Case<'_>,
    subject: &Subject<'_>,
    makes: bool,
) -> Result<Gathered, Error> {
    let rules = book.rules();
    let claims = find_claims(ctx, work, rules, case, subject, makes)?;
    let stored = if subject.is_new { Vec::new() } else { work.grants_of(subject.id)? };
    let (held, rows) = remembered(stored, rules);
    let mut targets: BTreeSet<String> = claims.iter().filter_map(|claim| claim.target.clone().ok()).collect();
    // What a source says of something that no rule gives is between the two.
    targets.extend(held.iter().filter(|one| one.kind != Kind::Source).map(|one| one.target.clone()));
    let judged = held.into_iter().zip(rows).filter(|(one, _)| targets.contains(&one.target));
    let (mut held, mut rows): (Vec<Held>, Vec<Option<Grant>>) = judged.unzip();
    let limited =
        book.pools().iter().filter(|(_, terms)| position(subject.document, &terms.value.clone().into()).is_some());
    targets.extend(limited.map(|(id, _)| id.to_string()));
    let (has, values) = possessions(work, subject, &targets)?;
    for target in &has {
        if !held.iter().any(|one| one.target == *target && one.state == State::Held) {
            let (target, ground) = (target.clone(), String::new());
            held.push(Held { target, kind: Kind::Hand, ground, since: 0, state: State::Held });
            rows.push(None);
        }
    }
    Ok(Gathered { claims, held, rows, has, values })
}

/// What the other accounts of the same person claim and have.
#[derive(Default)]
pub(super) struct Kin {
    pub(super) others: Vec<Other>,
    /// Rules of which they have by hand what they give, as far as the User's own claims must not be combined with it.
    pub(super) by_hand: Vec<(Arc<Rule>, i64)>,
    /// When a rule may say something else of one of them.
    pub(super) next: Option<Date>,
}

pub(super) fn kin(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    subject: &Subject<'_>,
    claims: &[Claim],
) -> Result<Kin, Error> {
    let mut kin = Kin::default();
    let rules = book.rules();
    if !asks_for_others(rules) {
        return Ok(kin);
    }
    for id in persons::siblings(work, subject.id, subject.document)? {
        let Some(document) = work.document_of(id)? else { continue };
        let calendar = book.calendar_of(&document);
        let state = held_state(&document);
        let (is_new, units) = (false, subject.units);
        let before = Some(&*document);
        let other = Subject { id, before, document: &document, is_new, state, calendar: &calendar, units };
        let user = id.to_string();
        let case = Case::new(&user, &document, calendar.day_of(ctx.now));
        let found = gather(ctx, work, book, &case, &other, false)?;
        kin.by_hand.extend(held_by_hand(work, rules, &other, claims, &found.held)?);
        let judged = weigh_alone(found.claims, &case, &found.held, other.account());
        kin.others.extend(told_others(&judged, &user, &found.held));
        kin.next = rules.iter().filter_map(|rule| rule.next_turn(&case)).chain(kin.next).min();
    }
    Ok(kin)
}

/// Every claim of the rules, with the resource that each means.
fn find_claims(
    ctx: &Ctx,
    work: &mut Work<'_>,
    rules: &[Arc<Rule>],
    case: &Case<'_>,
    subject: &Subject<'_>,
    makes: bool,
) -> Result<Vec<Claim>, Error> {
    let mut failed = None;
    let found = claims(rules, case, |gives, ground, when| {
        let name = gives.name(case.document(), ground, |key| unit(subject.units, key));
        let outcome = name.and_then(|name| {
            let found = target::find(gives, &name, work);
            let is_wanted = makes && *when == When::Holds && subject.account() == Account::Holds;
            let found = match found {
                Ok(Err(_)) if gives.is_made && is_wanted => target::make_group(ctx, work, &name),
                found => found,
            };
            found.unwrap_or_else(|error| {
                let told = error.to_string();
                failed = Some(error);
                Err(told)
            })
        });
        outcome.map(|id| id.to_string())
    });
    failed.map_or(Ok(found), Err)
}

/// What a template may ask of a unit: its key at the source, its code and where it lies. An unknown one gives nothing.
fn unit(units: &Units, key: &str) -> Result<Value, String> {
    match units.find(key) {
        Some(unit) => Ok(json!({ "key": key, "code": unit.code, "path": unit.path })),
        // Where the organisation keeps no units, a source's key says it all.
        None if units.is_empty() => Ok(json!({ "key": key, "code": key })),
        None => Err(format!("the unit {key} is not known")),
    }
}

/// What the rows say is held, rests or is lost: of each ground its newest row.
fn remembered(stored: Vec<Grant>, rules: &[Arc<Rule>]) -> (Vec<Held>, Vec<Option<Grant>>) {
    let mut newest: BTreeMap<(ResourceId, String, String), Grant> = BTreeMap::new();
    for grant in stored {
        let key = (grant.key.target, grant.key.ground_kind.clone(), grant.key.ground_id.clone());
        newest.insert(key, grant);
    }
    let mut held = Vec::new();
    let mut rows = Vec::new();
    for grant in newest.into_values() {
        let Some(kind) = Kind::parse(&grant.key.ground_kind) else { continue };
        let state = match (grant.until, ended(&grant).as_deref()) {
            (None, _) => State::Held,
            (Some(_), Some(RESTS)) => State::Rests,
            (Some(until), Some(LAPSED)) if !is_given_since(rules, &grant, until) => State::Lapsed,
            _ => continue,
        };
        let (target, ground, since) = (grant.key.target.to_string(), grant.key.ground_id.clone(), grant.key.since);
        held.push(Held { target, kind, ground, since, state });
        rows.push(Some(grant));
    }
    (held, rows)
}

fn ended(grant: &Grant) -> Option<String> {
    let facts: Value = serde_json::from_str(&grant.facts).ok()?;
    Some(facts.get(ENDED)?.as_str()?.to_owned())
}

/// Whether a right was given by hand once more after it was lost.
fn is_given_since(rules: &[Arc<Rule>], grant: &Grant, until: i64) -> bool {
    let user = grant.key.user.to_string();
    let rule = rules.iter().find(|rule| rule.id == grant.key.ground_id);
    let given = rule.and_then(|rule| rule.include.iter().find(|one| one.user == user));
    given.is_some_and(|given| given.at.is_some_and(|at| at >= until))
}

/// Which of the targets the User has, and the values of those that are entitlements.
fn possessions(
    work: &mut Work<'_>,
    subject: &Subject<'_>,
    targets: &BTreeSet<String>,
) -> Result<(BTreeSet<String>, BTreeMap<String, Value>), Error> {
    let (mut has, mut values) = (BTreeSet::new(), BTreeMap::new());
    for target in targets {
        let Ok(id) = target.parse::<ResourceId>() else { continue };
        let Some(record) = work.record(id)? else { continue };
        if record.kind == ENTITLEMENT {
            let document = work.document_of(id)?;
            let Some(value) = document.as_deref().and_then(|document| document.get("value")).cloned() else { continue };
            if position(subject.document, &value).is_some() {
                has.insert(target.clone());
            }
            values.insert(target.clone(), value);
        } else if !subject.is_new && work.member_since(id, subject.id)?.is_some() {
            has.insert(target.clone());
        }
    }
    Ok((has, values))
}

/// Where among a User's entitlements a value stands.
pub(in crate::directory) fn position(document: &Map<String, Value>, value: &Value) -> Option<usize> {
    document.get(ENTITLEMENTS)?.as_array()?.iter().position(|element| is_value(element, value))
}

/// Rules of which the User has by hand what they give, as far as something must not be combined with it.
pub(super) fn held_by_hand(
    work: &mut Work<'_>,
    rules: &[Arc<Rule>],
    subject: &Subject<'_>,
    claims: &[Claim],
    held: &[Held],
) -> Result<Vec<(Arc<Rule>, i64)>, Error> {
    let mut found = Vec::new();
    let concerned = |rule: &Rule| claims.iter().any(|claim| claim.rule.id != rule.id && claim.rule.excludes(rule));
    for rule in rules.iter().filter(|rule| concerned(rule)) {
        for gives in rule.gives().filter(|gives| !gives.is_template()) {
            let Ok(id) = target::find(gives, &gives.value, work)? else { continue };
            let of_target = held.iter().filter(|one| one.target == id.to_string() && is_by_hand(one));
            let mut by_hand = of_target.map(|one| one.since);
            let is_known = held.iter().any(|one| one.target == id.to_string() && one.state == State::Held);
            let is_member = !is_known && gives.sort == Sort::Group && !subject.is_new;
            let since = match by_hand.next() {
                Some(since) => Some(since),
                None if is_member && work.member_since(id, subject.id)?.is_some() => Some(0),
                None => None,
            };
            found.extend(since.map(|since| (Arc::clone(rule), since)));
        }
    }
    Ok(found)
}

/// Whether somebody gave it, and it is held, or rests and is held again with the account: what it must not meet is not to come
/// before it. What is given beside a rule is that rule's, and weighed as such.
fn is_by_hand(held: &Held) -> bool {
    held.kind != Kind::Rule && held.rule().is_empty() && held.state != State::Lapsed
}

/// Whether an element of a User's entitlements has a value.
pub(super) fn is_value(element: &Value, value: &Value) -> bool {
    match (element.get("value").and_then(Value::as_str), value.as_str()) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
    }
}
