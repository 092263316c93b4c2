//! Who leads a User, where its policy has that derived: `manager` of the enterprise extension, what named it and who was
//! passed over. Who is to be looked at again when an account comes, goes or gets another number is found by index: those
//! whom it leads, and those who have passed it over. Never asks everybody as long as the indexes are there.

use std::collections::BTreeSet;

use provisioning::facts::Facts;
use provisioning::person::{URN, USER};
use provisioning::superior::{Candidate, Choice, Passed, candidates, choose, leads};
use serde_json::{Map, Value, json};
use store::{Due, ResourceId, Work};

use super::super::{Ctx, Error};
use super::book::Book;
use super::depart::ENTERPRISE;
use super::{EVERYBODY, Follow, standing};

/// What named the manager.
const FROM: &str = "managerFrom";
/// Who was passed over.
const PASSED: &str = "managersPassed";
const MANAGER: &str = "manager";
/// Accounts of one number that are looked at.
const MANY: i64 = 10;
/// So many people are looked at one by one for the sake of one manager; if there are more, everybody is.
const FEW: i64 = 5_000;
/// No organisation is deeper.
const DEEPEST: usize = 64;

/// Whether any policy has managers derived.
pub(super) fn is_derived(book: &Book) -> bool {
    book.policies().iter().any(|policy| policy.derives_manager)
}

/// Writes who leads a User into its document, and notes in `follow` who is to be looked at for its sake.
pub(super) fn settle(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    id: ResourceId,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
    follow: &mut Follow,
) -> Result<(), Error> {
    if is_derived(book) {
        note_moved(before, after, follow);
    }
    if !book.policy_of(after).is_some_and(|policy| policy.derives_manager) {
        return forget(before, after);
    }
    let day = book.calendar_of(after).day_of(ctx.now);
    let asked = candidates(&Facts::of(after), day, book.units());
    let own = number(after).map(str::to_owned);
    let domain = standing::part(after, "accountDomain").cloned();
    let choice = choose(asked, own.as_deref(), |key| find(work, id, domain.as_ref(), key, before.is_none()))?;
    let was = before.and_then(manager_of);
    let is = choice.chosen.as_ref().map(|(_, id)| *id);
    if let Some(was) = was.filter(|was| Some(*was) != is) {
        // A circle that was cut may be none any more.
        follow.freed.extend(cut_above(work, was)?);
    }
    write(after, choice);
    Ok(())
}

/// The account of an employee number that can lead. Of several those of the User's own account domain count.
fn find(
    work: &mut Work<'_>,
    of: ResourceId,
    domain: Option<&Value>,
    key: &str,
    is_new: bool,
) -> Result<Result<ResourceId, Passed>, Error> {
    let path = format!("{ENTERPRISE}:employeeNumber");
    let found = work.having(USER, &path, &[key.to_owned()], None, MANY)?.unwrap_or_default();
    let mut known = Vec::new();
    for id in found {
        // What the index has is only the beginning of a long number.
        if let Some(document) = work.document_of(id)?
            && number(&document).is_some_and(|own| own.eq_ignore_ascii_case(key))
        {
            known.push((id, document));
        }
    }
    if known.iter().any(|(_, document)| standing::part(document, "accountDomain") == domain) {
        known.retain(|(_, document)| standing::part(document, "accountDomain") == domain);
    }
    if known.iter().any(|(_, document)| leads(document).is_ok()) {
        known.retain(|(_, document)| leads(document).is_ok());
    }
    let (id, document) = match known.as_slice() {
        [] => return Ok(Err(Passed::Open)),
        [one] => one,
        _ => return Ok(Err(Passed::Several)),
    };
    if *id == of {
        return Ok(Err(Passed::Itself));
    }
    if let Err(reason) = leads(document) {
        return Ok(Err(reason));
    }
    // Nobody is led yet by who is only now entered.
    if !is_new && is_above(work, *id, of)? {
        return Ok(Err(Passed::Loop));
    }
    Ok(Ok(*id))
}

/// Whether one is led by another, directly or by others.
fn is_above(work: &mut Work<'_>, one: ResourceId, other: ResourceId) -> Result<bool, Error> {
    let mut at = one;
    for _ in 0..DEEPEST {
        let Some(above) = work.document_of(at)?.as_deref().and_then(manager_of) else { return Ok(false) };
        if above == other {
            return Ok(true);
        }
        at = above;
    }
    Ok(false)
}

/// Those from one up who have passed somebody over because of a circle.
fn cut_above(work: &mut Work<'_>, from: ResourceId) -> Result<BTreeSet<ResourceId>, Error> {
    let mut found = BTreeSet::new();
    let mut at = Some(from);
    for _ in 0..DEEPEST {
        let Some(id) = at else { break };
        let Some(document) = work.document_of(id)? else { break };
        let passed = standing::part(&document, PASSED).and_then(Value::as_array);
        if passed.into_iter().flatten().any(|one| one["reason"] == Passed::Loop.as_str()) {
            found.insert(id);
        }
        at = manager_of(&document);
    }
    Ok(found)
}

fn number(document: &Map<String, Value>) -> Option<&str> {
    document.get(ENTERPRISE)?.get("employeeNumber")?.as_str()
}

fn manager_of(document: &Map<String, Value>) -> Option<ResourceId> {
    document.get(ENTERPRISE)?.get(MANAGER)?.get("value")?.as_str()?.parse().ok()
}

fn write(document: &mut Map<String, Value>, choice: Choice<ResourceId>) {
    let told = |one: &Candidate| {
        let (kind, of) = one.named.parts();
        json!({ "key": one.key, "kind": kind, "of": of })
    };
    let passed: Vec<Value> = choice
        .passed
        .iter()
        .map(|(one, reason)| {
            let (kind, of) = one.named.parts();
            json!({ "key": one.key, "kind": kind, "of": of, "reason": reason.as_str() })
        })
        .collect();
    standing::put(document, FROM, choice.chosen.as_ref().map(|(one, _)| told(one)));
    standing::put(document, PASSED, (!passed.is_empty()).then(|| passed.into()));
    let manager = choice.chosen.map(|(_, id)| json!({ "value": id.to_string(), "$ref": format!("../Users/{id}") }));
    put_manager(document, manager);
}

fn put_manager(document: &mut Map<String, Value>, manager: Option<Value>) {
    match (manager, document.get_mut(ENTERPRISE)) {
        (Some(manager), Some(Value::Object(part))) => drop(part.insert(MANAGER.to_owned(), manager)),
        (Some(manager), _) => drop(document.insert(ENTERPRISE.to_owned(), json!({ MANAGER: manager }))),
        (None, Some(Value::Object(part))) => {
            if part.shift_remove(MANAGER).is_some() && part.is_empty() {
                document.shift_remove(ENTERPRISE);
            }
        }
        (None, _) => {}
    }
}

/// Takes out what no policy derives any more; what a client writes is the client's.
fn forget(before: Option<&Map<String, Value>>, after: &mut Map<String, Value>) -> Result<(), Error> {
    let was_derived = before.is_some_and(|before| standing::part(before, FROM).is_some());
    if was_derived && before.and_then(manager_of) == manager_of(after) {
        put_manager(after, None);
    }
    standing::put(after, FROM, None);
    standing::put(after, PASSED, None);
    Ok(())
}

/// An account that can lead from now on, cannot any more, or has another number: those who go by its numbers are looked at.
fn note_moved(before: Option<&Map<String, Value>>, after: &Map<String, Value>, follow: &mut Follow) {
    let said = |document: &Map<String, Value>| (number(document).map(str::to_owned), leads(document));
    let (was, is) = (before.map(said), said(after));
    if was.as_ref() != Some(&is) {
        follow.numbers.extend(was.and_then(|(number, _)| number).into_iter().chain(is.0));
    }
}

/// An account is gone: those who went by its number are looked at.
pub(super) fn note_gone(ctx: &Ctx, work: &mut Work<'_>, document: &Map<String, Value>) -> Result<(), Error> {
    let book = Book::of(work)?;
    match number(document).filter(|_| is_derived(&book)) {
        Some(number) => look_at(ctx, work, [FROM, PASSED], &BTreeSet::from([number.to_owned()])),
        None => Ok(()),
    }
}

/// After a User was written: whoever goes by its numbers, or was cut off because of it, is looked at.
pub(super) fn follow(ctx: &Ctx, work: &mut Work<'_>, follow: &Follow) -> Result<(), Error> {
    for id in &follow.freed {
        work.put_due(*id, Some(Due::at(ctx.now)));
    }
    look_at(ctx, work, [FROM, PASSED], &follow.numbers)
}

/// Somebody else leads a unit, or nobody any more. Those who have passed over one of these numbers are looked at.
pub(super) fn look_past(ctx: &Ctx, work: &mut Work<'_>, numbers: &BTreeSet<String>) -> Result<(), Error> {
    let book = Book::of(work)?;
    match is_derived(&book) {
        true => look_at(ctx, work, [PASSED], numbers),
        false => Ok(()),
    }
}

fn look_at<const N: usize>(
    ctx: &Ctx,
    work: &mut Work<'_>,
    parts: [&str; N],
    numbers: &BTreeSet<String>,
) -> Result<(), Error> {
    if numbers.is_empty() {
        return Ok(());
    }
    let numbers: Vec<String> = numbers.iter().cloned().collect();
    for part in parts {
        let there = work.having(USER, &format!("{URN}:{part}.key"), &numbers, None, FEW)?;
        match there.filter(|there| (there.len() as i64) < FEW) {
            Some(there) => there.into_iter().for_each(|id| work.put_due(id, Some(Due::at(ctx.now)))),
            // Too many to be named, or nobody knows who: everybody is looked at.
            None => work.put_due(EVERYBODY, Some(Due::at(ctx.now))),
        }
    }
    Ok(())
}
