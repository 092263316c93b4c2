//! Which account of a person clouds get, written into the accounts themselves, so that views can filter by it. Worked out for
//! all accounts of a person at once, within the write that changes one of them, so that never two are chosen; what was said
//! by hand lies with the person. Which it is, is decided in [`provisioning::choice`].

use provisioning::calendar::instant;
use provisioning::choice::{Account, CLOUDS, Pin, decide};
use scim::key;
use serde_json::{Map, Value, json};
use store::work::document_of;
use store::{Due, Record, ResourceId, Work};

use super::super::work_items::{self, Item, Kind};
use super::super::{Ctx, Error, persons};
use super::depart::rewrite;
use super::{Book, Follow, standing};

/// What was chosen by hand, with the person.
const CHOICES: &str = "choices";

/// Brings an account that is about to be written, and the others of its person, to what is chosen by now.
pub(in crate::directory) fn choose(
    ctx: &Ctx,
    work: &mut Work<'_>,
    id: ResourceId,
    document: &mut Map<String, Value>,
    follow: &mut Follow,
) -> Result<(), Error> {
    let book = Book::of(work)?;
    let person = match book.clouds() {
        [] => None,
        _ => persons::person_of(document),
    };
    let Some(person) = person else {
        standing::put(document, CLOUDS, None);
        return Ok(());
    };
    let was = standing::part(document, CLOUDS).cloned();
    let next = tell(ctx, work, &book, person, Some((id, document)))?;
    follow.look_again(next);
    if was.as_ref() != standing::part(document, CLOUDS) {
        // Rules may go by it, and have been asked already.
        follow.look_again(Some(ctx.now));
    }
    Ok(())
}

/// The same for all accounts of a person, once the person is written.
pub(in crate::directory) fn choose_for(ctx: &Ctx, work: &mut Work<'_>, person: ResourceId) -> Result<(), Error> {
    let book = Book::of(work)?;
    if book.clouds().is_empty() {
        return Ok(());
    }
    tell(ctx, work, &book, person, None)?;
    // They know when it changes next once they have been looked at.
    let known = work.document_of(person)?.unwrap_or_default();
    persons::account_ids(&known).for_each(|id| work.put_due(id, Some(Due::at(ctx.now))));
    Ok(())
}

/// Writes what is chosen into the accounts of a person; into the one that is about to be written itself, which is not stored
/// here. Answers when it changes next by itself, µs since 1970.
fn tell(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    person: ResourceId,
    mut own: Option<(ResourceId, &mut Map<String, Value>)>,
) -> Result<Option<i64>, Error> {
    let Some(known) = work.document_of(person)? else { return Ok(None) };
    let mut all: Vec<(String, Option<Record>, Map<String, Value>)> = Vec::new();
    for id in persons::account_ids(&known) {
        match own.as_ref().filter(|(own, _)| *own == id) {
            Some((_, document)) => all.push((id.to_string(), None, Map::clone(document))),
            None => {
                let Some(record) = work.record(id)? else { continue };
                let document = document_of(&record)?;
                all.push((id.to_string(), Some(record), document));
            }
        }
    }
    let accounts: Vec<Account<'_>> = all.iter().map(|(id, _, document)| Account { id, document }).collect();
    let told = decide(book.clouds(), &accounts, &pins(&known), ctx.now);
    for ((_, record, mut document), clouds) in all.into_iter().zip(told.accounts) {
        let clouds = (!clouds.is_empty()).then_some(Value::Array(clouds));
        if standing::part(&document, CLOUDS) == clouds.as_ref() {
            continue;
        }
        match (record, &mut own) {
            (Some(record), _) => {
                standing::put(&mut document, CLOUDS, clouds);
                rewrite(ctx, work, &record, document)?;
                // What follows from that, and when it is over, is seen to when it is looked at.
                work.put_due(record.id, Some(Due::at(ctx.now)));
            }
            (None, Some((_, own))) => standing::put(own, CLOUDS, clouds),
            (None, None) => {}
        }
    }
    if told.undecided.is_empty() {
        work_items::close(ctx, work, Kind::Conflict, person, false)?;
    } else {
        let summary = "Several accounts of this person suit a cloud equally well, which gets one: choose.";
        let mut item = Item::new(Kind::Conflict, person, summary, "clouds");
        item.details = told.undecided;
        work_items::open(ctx, work, &item)?;
    }
    Ok(told.next)
}

fn choices(person: &Map<String, Value>) -> &[Value] {
    person.get(CHOICES).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'v>(choice: &'v Value, name: &str) -> Option<&'v str> {
    choice.get(name)?.as_str()
}

fn pins(person: &Map<String, Value>) -> Vec<Pin> {
    let pin = |choice: &Value| {
        Some(Pin {
            cloud: text(choice, "cloud")?.to_owned(),
            account: text(choice, "value")?.to_owned(),
            until: text(choice, "until").and_then(key::instant),
        })
    };
    choices(person).iter().filter_map(pin).collect()
}

/// Takes out what was chosen of accounts that are not the person's any more.
pub(in crate::directory) fn forget_choices(person: &mut Map<String, Value>) {
    let own: Vec<String> = persons::account_ids(person).map(|id| id.to_string()).collect();
    let mut left = choices(person).to_vec();
    left.retain(|choice| text(choice, "value").is_some_and(|value| own.iter().any(|own| own == value)));
    put_choices(person, left);
}

fn put_choices(person: &mut Map<String, Value>, choices: Vec<Value>) {
    match choices.is_empty() {
        true => drop(person.shift_remove(CHOICES)),
        false => drop(person.insert(CHOICES.to_owned(), choices.into())),
    }
}

/// Sees to what a client says was chosen: one account of the person for each cloud, since when and by whom. Fails with 400
/// for an account that is none of them, and for two choices for one cloud.
pub(in crate::directory) fn settle_choices(
    ctx: &Ctx,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
) -> Result<(), Error> {
    let own: Vec<String> = persons::account_ids(after).map(|id| id.to_string()).collect();
    let was = before.map(choices).unwrap_or_default();
    let is_said = |one: &Value, other: &Value| {
        ["cloud", "value", "until", "reason"].iter().all(|name| one.get(name) == other.get(name))
    };
    let mut settled: Vec<Value> = Vec::new();
    for choice in choices(after) {
        let (cloud, value) = (text(choice, "cloud").unwrap_or_default(), text(choice, "value").unwrap_or_default());
        let known = was.iter().find(|known| is_said(known, choice));
        if !own.iter().any(|own| own == value) {
            if known.is_some() {
                continue;
            }
            let detail = format!("{CHOICES}.value: {value:?} is none of the accounts of this person.");
            return Err(scim::Error::invalid_value(detail).into());
        }
        if settled.iter().any(|other| text(other, "cloud").is_some_and(|other| other.eq_ignore_ascii_case(cloud))) {
            let detail = format!("{CHOICES}.cloud: {cloud:?} is there twice, and gets one account.");
            return Err(scim::Error::invalid_value(detail).into());
        }
        let mut choice = choice.clone();
        if let Some(members) = choice.as_object_mut() {
            let said = json!({ "since": instant(ctx.now), "by": *ctx.caller.name });
            for name in ["since", "by"] {
                let value = known.unwrap_or(&said).get(name).cloned();
                members.extend(value.map(|value| (name.to_owned(), value)));
            }
            members.insert("$ref".to_owned(), format!("../Users/{value}").into());
        }
        settled.push(choice);
    }
    put_choices(after, settled);
    Ok(())
}
