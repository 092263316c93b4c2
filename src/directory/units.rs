//! Organisational units as they are written: each has the path of its codes from the root, the tree has no circle, and
//! what lies below a unit that moves, comes or goes moves with it in the same write. What a unit names may not be there
//! yet: whatever lies below such an open reference has no path until it is.

mod moves;

use std::collections::{BTreeSet, VecDeque};

use provisioning::units::{self, CODE, DEEPEST, KIND, PARENT, PATH, URN, Unit};
use scim::schema::Definition;
use serde_json::{Map, Value, json};
use store::work::{Draft, document_of};
use store::{Record, ResourceId, Work};

use super::particular::{Follow, Write};
use super::work_items::{self, Kind};
use super::{Error, settle};

pub(super) use moves::{keep_planned, move_all, move_on};

/// Children asked for at a time: all that one unit could have.
const MANY: i64 = 100_000;

/// Sees to a unit that is written or removed: it has its path, then what lies below it has too, and whoever works in any of
/// these units, or named it by a key that it had, is looked at; and so is whoever it concerns that somebody else leads it.
///
/// Fails with 400 invalidValue when the unit would be part of itself.
pub(super) fn attend(
    write: &Write<'_>,
    after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    let mut known = keys(work, write.id)?;
    let was_led_by = unit(work, write.id)?.and_then(|unit| unit.manager);
    if let Some(document) = after {
        settle(work, write.id, write.external, document)?;
    }
    Ok(Some(Box::new(move |write, after, work| {
        settle::note_change(write.ctx, work, KIND);
        match after {
            Some(record) => moves::note(write.ctx, work, write.id, &document_of(record)?)?,
            None => {
                work.put_due(write.id, None);
                work_items::close(write.ctx, work, Kind::PlannedMove, write.id, true)?;
            }
        }
        known.extend(keys(work, write.id)?);
        let is_led_by = unit(work, write.id)?.and_then(|unit| unit.manager);
        let led = if is_led_by == was_led_by { None } else { Some(led(work, write.id, known.clone())?) };
        let moved = spread(work, write.id, known)?;
        settle::look_at_units(write.ctx, work, moved)?;
        match led {
            Some((keys, numbers)) => settle::look_at_led(write.ctx, work, keys, &numbers),
            None => Ok(()),
        }
    })))
}

/// Whether a resource type is that of units, and not one of a tenant's own that is called so.
pub(super) fn are(definition: &Definition) -> bool {
    definition.core.id == URN
}

/// Works out the path of a unit that is about to be written; `external` is the key that its writer has for it.
///
/// Fails with 400 invalidValue when it would be part of itself.
fn settle(
    work: &mut Work<'_>,
    id: ResourceId,
    external: Option<&str>,
    document: &mut Map<String, Value>,
) -> Result<(), Error> {
    let unit = Unit::of(&id.to_string(), document);
    let above = match &unit.parent {
        None => None,
        Some(parent) => {
            let key = parent.key.as_deref().unwrap_or_default();
            let is_own = external == Some(key) || unit.code.to_lowercase() == key.to_lowercase();
            // Nobody but the unit itself may have its own keys, and it is not there yet.
            if parent.id.as_ref() == Some(&unit.id) || (parent.id.is_none() && is_own) {
                return Err(units::circle(&[unit.code.clone(), unit.code]).into());
            }
            Some(above(work, &unit)?)
        }
    };
    let path = match &above {
        None => Some(units::path(None, &unit.code)),
        Some(above) => {
            above.as_ref().and_then(|above| above.path.as_deref()).map(|above| units::path(Some(above), &unit.code))
        }
    };
    match path {
        Some(path) => drop(document.insert(PATH.to_owned(), path.into())),
        None => drop(document.shift_remove(PATH)),
    }
    Ok(())
}

/// The keys by which others may name a unit: its code, and what sources call it. They are asked for before and after a
/// write, since whoever named it by an old one does so no more.
fn keys(work: &mut Work<'_>, id: ResourceId) -> Result<BTreeSet<String>, Error> {
    let Some(unit) = unit(work, id)? else { return Ok(BTreeSet::new()) };
    let mut keys = work.calls_of(id)?;
    keys.insert(unit.code);
    Ok(keys)
}

/// Gives what lies below a unit its path. `keys` are those that the unit had or has; they come back with those of all units
/// whose path changed.
fn spread(work: &mut Work<'_>, id: ResourceId, keys: BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
    if let Some(unit) = unit(work, id)? {
        refuse_circle(work, unit)?;
    }
    let mut moved = keys.clone();
    let mut seen = BTreeSet::from([id]);
    let mut open = VecDeque::from([(id, keys)]);
    while let Some((id, keys)) = open.pop_front() {
        for child in children(work, id, &keys)? {
            if !seen.insert(child) {
                continue;
            }
            let Some(record) = work.record(child)?.filter(|record| record.kind == KIND) else { continue };
            let before = document_of(&record)?;
            let mut after = before.clone();
            settle(work, child, None, &mut after)?;
            if after.get(PATH) == before.get(PATH) {
                continue;
            }
            write(work, record, after)?;
            let keys = self::keys(work, child)?;
            moved.extend(keys.iter().cloned());
            open.push_back((child, keys));
        }
    }
    Ok(moved)
}

/// Where it matters who leads a unit: the keys of it and of those below it that nobody leads, and the numbers of those who
/// lead the others.
fn led(
    work: &mut Work<'_>,
    id: ResourceId,
    keys: BTreeSet<String>,
) -> Result<(BTreeSet<String>, BTreeSet<String>), Error> {
    let (mut all, mut numbers) = (keys.clone(), BTreeSet::new());
    let mut seen = BTreeSet::from([id]);
    let mut open = VecDeque::from([(id, keys)]);
    while let Some((id, keys)) = open.pop_front() {
        for child in children(work, id, &keys)? {
            if !seen.insert(child) {
                continue;
            }
            match unit(work, child)?.map(|unit| unit.manager) {
                None => {}
                Some(Some(manager)) => drop(numbers.insert(manager)),
                Some(None) => {
                    let keys = self::keys(work, child)?;
                    all.extend(keys.iter().cloned());
                    open.push_back((child, keys));
                }
            }
        }
    }
    Ok((all, numbers))
}

fn write(work: &mut Work<'_>, record: Record, document: Map<String, Value>) -> Result<(), Error> {
    let Record { id, kind, label, secret, .. } = record;
    work.update(Draft { id, kind, label, secret, doc: document.into(), members: Vec::new(), external: None })?;
    Ok(())
}

/// 400 when the way up from a unit leads back to it.
fn refuse_circle(work: &mut Work<'_>, unit: Unit) -> Result<(), Error> {
    let (id, mut codes) = (unit.id.clone(), vec![unit.code.clone()]);
    let mut at = unit;
    while codes.len() <= DEEPEST {
        let Some(above) = above(work, &at)? else { return Ok(()) };
        codes.push(above.code.clone());
        if above.id == id {
            return Err(units::circle(&codes).into());
        }
        at = above;
    }
    let detail = format!("parent: the unit would lie more than {DEEPEST} units below the root.");
    Err(scim::Error::invalid_value(detail).into())
}

/// The unit above one; `None`: it is not there, or there is none.
fn above(work: &mut Work<'_>, of: &Unit) -> Result<Option<Unit>, Error> {
    let Some(parent) = &of.parent else { return Ok(None) };
    if let Some(id) = parent.id.as_ref().and_then(|id| id.parse().ok())
        && let Some(found) = unit(work, id)?
    {
        return Ok(Some(found));
    }
    match &parent.key {
        Some(key) => Ok(find(work, key)?.map(|id| unit(work, id)).transpose()?.flatten()),
        None => Ok(None),
    }
}

/// The unit of that code, else the one that sources call so, if it is one.
fn find(work: &mut Work<'_>, key: &str) -> Result<Option<ResourceId>, Error> {
    let document = json!({ CODE: key });
    let document = document.as_object().cloned().unwrap_or_default();
    if let Some(id) = work.holder_of(KIND, &document)? {
        return Ok(Some(id));
    }
    let mut called = work.called(KIND, key)?.into_iter();
    Ok(called.next().filter(|_| called.next().is_none()))
}

fn unit(work: &mut Work<'_>, id: ResourceId) -> Result<Option<Unit>, Error> {
    let Some(record) = work.record(id)?.filter(|record| record.kind == KIND) else { return Ok(None) };
    Ok(Some(Unit::of(&id.to_string(), &document_of(&record)?)))
}

/// Units that name this one as the one above, by its id or one of these keys.
fn children(work: &mut Work<'_>, id: ResourceId, keys: &BTreeSet<String>) -> Result<BTreeSet<ResourceId>, Error> {
    let keys: Vec<String> = keys.iter().cloned().collect();
    let by_id = work.having(KIND, &format!("{PARENT}.value"), &[id.to_string()], None, MANY)?;
    let by_key = work.having(KIND, &format!("{PARENT}.{CODE}"), &keys, None, MANY)?;
    if let (Some(by_id), Some(by_key)) = (by_id, by_key) {
        return Ok(by_id.into_iter().chain(by_key).collect());
    }
    // Not indexed (any more): every unit is looked at.
    let mut found = BTreeSet::new();
    for record in work.records_of(KIND)? {
        let Some(parent) = units::parent(&document_of(&record)?) else { continue };
        let by_key = parent.key.is_some_and(|key| keys.iter().any(|known| known.to_lowercase() == key.to_lowercase()));
        if by_key || parent.id.as_deref() == Some(&*id.to_string()) {
            found.insert(record.id);
        }
    }
    Ok(found)
}
