//! Who comes back, and who is there already: whether a source's POST is about an account that it had withdrawn or that is
//! over by its dates, known by the source's own key, the employee number or the identity number; and whether it is about one
//! that another source of the same account domain has entered, which it then feeds too. Nobody is taken for another: where
//! it is not clear, the account is a new one, and somebody looks at it.

use provisioning::person::{NUMBER, URN, USER};
use provisioning::sources::Site;
use scim::authority::Absence;
use scim::schema::Definition;
use serde_json::{Map, Value};
use store::work::{Draft, document_of};
use store::{Record, ResourceId, Work};

use super::super::remove::is_seen_under_lock;
use super::super::{Ctx, Error};
use super::claim::Sharing;
use super::depart::{ENTERPRISE, refuse_buried};
use super::{Book, Voice, conclude, sources, sponsor, standing, wished as names};

/// Whose account a POST is about.
pub(in crate::directory) enum Return {
    /// A new one.
    Nobodys,
    /// One that its source brings back.
    Back(Record),
    /// One that another source has entered: this one feeds it too from now on.
    Joins(Record),
    /// One of these, or none of them.
    Unclear(Vec<ResourceId>),
}

/// Whether the account is one that its source may bring back: it has withdrawn it, or the account is over by its dates.
fn may_return(ctx: &Ctx, document: &Map<String, Value>) -> bool {
    let Some(source) = standing::source(document, ctx.caller.id) else { return false };
    source.is_withdrawn() || (source.holds() && standing::is_over(document))
}

/// The account that a source's POST is about: it has the same externalId of this source, or else the same identity number or
/// employee number. `sharing` is who has the number; it is empty where that says nothing.
pub(in crate::directory) fn returning(
    ctx: &Ctx,
    work: &mut Work<'_>,
    definition: &Definition,
    draft: &Draft,
    (has_number, sharing): (bool, &Sharing),
) -> Result<Return, Error> {
    if ctx.caller.id == ResourceId::SYSTEM || draft.kind != USER {
        return Ok(Return::Nobodys);
    }
    if let Some((domain, Some(value))) = &draft.external
        && let Some(id) = work.external_holder_in(*domain, &draft.kind, value)?
    {
        // A name that somebody has who stays is a conflict, whatever the number says.
        return Ok(may_come_back(ctx, work, id)?.map_or(Return::Nobodys, Return::Back));
    }
    let numbered = &sharing.holders;
    let mut found: Vec<Record> = Vec::new();
    for (record, _) in numbered {
        found.extend(may_come_back(ctx, work, record.id)?);
    }
    let mut is_unclear = found.len() > 1;
    for record in employed(ctx, work, draft)? {
        if found.iter().any(|known| known.id == record.id) {
            continue;
        }
        // One who has another number is another.
        let theirs = document_of(&record)?;
        let person = theirs.get(URN).filter(|person| person.get(NUMBER).is_some());
        let is_hard = |person: &Value| person.get("personalNumberType").and_then(Value::as_str) != Some("temporary");
        let has_another = has_number && person.is_some_and(is_hard);
        is_unclear |= has_another || !found.is_empty() || !numbered.is_empty();
        found.push(record);
    }
    match found.as_slice() {
        _ if is_unclear => Ok(Return::Unclear(found.iter().map(|record| record.id).collect())),
        [one] => Ok(Return::Back(one.clone())),
        [] => match numbered.as_slice() {
            [(there, document)] if joins(ctx, work, definition, draft, (there, document))? => {
                Ok(Return::Joins(there.clone()))
            }
            _ => Ok(Return::Nobodys),
        },
        _ => Ok(Return::Unclear(found.iter().map(|record| record.id).collect())),
    }
}

/// Accounts with the employee number of a draft that their source may bring back.
fn employed(ctx: &Ctx, work: &mut Work<'_>, draft: &Draft) -> Result<Vec<Record>, Error> {
    let number = draft.doc.get(ENTERPRISE).and_then(|part| part.get("employeeNumber")).and_then(Value::as_str);
    let Some(number) = number else { return Ok(Vec::new()) };
    let path = format!("{ENTERPRISE}:employeeNumber");
    let mut found = Vec::new();
    for id in work.having(&draft.kind, &path, &[number.to_owned()], None, 10)?.unwrap_or_default() {
        found.extend(may_come_back(ctx, work, id)?);
    }
    Ok(found)
}

/// Whether a source may feed an account that others have entered: a policy covers it, so that it is known whose it is; the
/// source has not entered it itself, sees it, and has a key of its own for it.
fn joins(
    ctx: &Ctx,
    work: &mut Work<'_>,
    definition: &Definition,
    draft: &Draft,
    (record, document): (&Record, &Map<String, Value>),
) -> Result<bool, Error> {
    let Some((domain, Some(_))) = &draft.external else { return Ok(false) };
    let is_own = standing::source(document, ctx.caller.id).is_some_and(|source| source.holds());
    if is_own || standing::holders(document).is_empty() || Book::of(work)?.policy_of(document).is_none() {
        return Ok(false);
    }
    if work.external_of(record.id, *domain)?.is_some() {
        return Ok(false);
    }
    is_seen_under_lock(ctx, definition, record.clone(), work)
}

fn may_come_back(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<Option<Record>, Error> {
    let Some(record) = work.record(id)? else { return Ok(None) };
    let document = document_of(&record)?;
    let is_covered = Book::of(work)?.policy_of(&document).is_some();
    Ok((is_covered && may_return(ctx, &document)).then_some(record))
}

/// What a POST makes of the account that it brings back: what it says is said, and what it does not speak of stays.
pub(in crate::directory) fn merged(before: &Map<String, Value>, written: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = before.clone();
    for (name, value) in written {
        match (merged.get_mut(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                for (name, value) in new {
                    old.insert(name.clone(), value.clone());
                }
            }
            (Some(Value::Array(old)), Value::Array(new)) if name == "schemas" => add_missing(old, new),
            _ => drop(merged.insert(name.clone(), value.clone())),
        }
    }
    merged
}

/// What a POST makes of an account that others have entered: what nobody has said is said, and jobs come beside those that
/// are there.
pub(in crate::directory) fn filled(before: &Map<String, Value>, written: &Map<String, Value>) -> Map<String, Value> {
    let mut filled = before.clone();
    for (name, value) in written {
        match (filled.get_mut(name), value) {
            (None, _) => drop(filled.insert(name.clone(), value.clone())),
            (Some(Value::Object(old)), Value::Object(new)) => {
                for (name, value) in new {
                    match (old.get_mut(name), value, key_of(name)) {
                        (None, ..) => drop(old.insert(name.clone(), value.clone())),
                        (Some(Value::Array(old)), Value::Array(new), Some(key)) => add_keyed(old, new, key),
                        _ => {}
                    }
                }
            }
            (Some(Value::Array(old)), Value::Array(new)) if name == "schemas" => add_missing(old, new),
            _ => {}
        }
    }
    filled
}

/// What tells the parts of a person's list apart.
fn key_of(list: &str) -> Option<&'static str> {
    match list {
        "employments" => Some("employmentId"),
        "enrolments" => Some("enrolmentId"),
        _ => None,
    }
}

fn add_keyed(old: &mut Vec<Value>, new: &[Value], key: &str) {
    let missing: Vec<Value> =
        new.iter().filter(|part| old.iter().all(|known| known.get(key) != part.get(key))).cloned().collect();
    old.extend(missing);
}

fn add_missing(old: &mut Vec<Value>, new: &[Value]) {
    let missing: Vec<Value> = new.iter().filter(|value| !old.contains(value)).cloned().collect();
    old.extend(missing);
}

/// Settles the account that its source brings back, or that another source feeds too. `written` is what the source says,
/// `wished` the names that it says, `after` what becomes of it.
pub(in crate::directory) fn bring_back(
    ctx: &Ctx,
    work: &mut Work<'_>,
    id: ResourceId,
    before: &Map<String, Value>,
    (written, wished): (&Map<String, Value>, Option<&Map<String, Value>>),
    after: &mut Map<String, Value>,
) -> Result<super::Follow, Error> {
    let book = Book::of(work)?;
    let is_off = written.get("active") == Some(&Value::Bool(false));
    let is_named = |site: &Site| !site.values(written).is_empty();
    let voice = Voice { absence: Absence::Silence, names: &is_named, number: None, wished };
    let user = work.catalog().registry().definition(USER).cloned();
    if let Some(user) = user.filter(|user| sources::concern(user, work)) {
        for (_, site) in book.sites(USER) {
            let said = site.values(written);
            if !said.is_empty() {
                site.put(after, said);
            }
        }
        sources::hear(ctx, &book, &user, Some(before), after, &voice)?;
    }
    if let Some(user) = work.catalog().registry().definition(USER) {
        names::hear(ctx, &book, user, Some(before), after, &voice);
    }
    standing::restore(Some(before), after);
    standing::guard_said(ctx, Some(before), after)?;
    sponsor::check(ctx, work, &book, id, Some(before), after)?;
    standing::change_source(after, ctx.caller.id, |source| {
        source.lift();
        source.hold(ctx.now);
        if is_off {
            source.block(ctx.now);
        }
    });
    refuse_buried(work, &book, id, Some(before), after)?;
    conclude(ctx, work, &book, (USER, id), Some(before), after)
}
