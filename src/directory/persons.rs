//! `/Persons`: who is the same human being. Every account has a person; accounts of different domains that share an identity
//! number are linked as one, others by who may say so. Every link is dated and can be taken back; none is ever moved without
//! a word: whoever links an account that is linked already is refused. What the account itself says of it is its `person`.

use std::collections::BTreeMap;

use provisioning::calendar::instant;
use provisioning::person::{NUMBER, URN, USER};
use scim::schema::shipped::is_installed;
use scim::schema::{Definition, Registry};
use serde_json::{Map, Value, json};
use store::work::{Draft, document_of};
use store::{Due, Record, ResourceId, Work};

use super::particular::{Follow, Write};
use super::remove::is_seen_under_lock;
use super::{Ctx, Error, licences, settle, views, work_items};

/// The resource type.
const KIND: &str = "Person";
/// Its schema.
const SCHEMA: &str = "urn:matrikel:scim:schemas:core:1.0:Person";
/// The accounts of a person.
const ACCOUNTS: &str = "accounts";
/// Those that were.
const FORMER: &str = "formerAccounts";
/// What an account says of its person.
const LINK: &str = "person";
/// An identity number that both accounts have says so.
const ASSERTED: &str = "asserted";
/// What a client can say that a link rests on.
const SAID: [&str; 2] = ["matched", "manual"];
/// A school's temporary number says nothing of who somebody is.
const TEMPORARY: &str = "temporary";

/// A person as it is stored, and its document.
type Known = (Record, Map<String, Value>);

/// Whether the tenant has persons, and they are those that are shipped.
pub(super) fn are_there(registry: &Registry) -> bool {
    is_installed(registry, KIND, SCHEMA) && registry.definition(USER).is_some_and(|user| user.extension(URN).is_some())
}

/// Whether resources of a kind have a person: they are Users, and the tenant has persons.
pub(super) fn concern(kind: &str, work: &Work<'_>) -> bool {
    kind == USER && are_there(work.catalog().registry())
}

/// Whether a resource type is that of persons.
pub(super) fn are(definition: &Definition) -> bool {
    definition.core.id == SCHEMA
}

fn part<'d>(document: &'d Map<String, Value>, name: &str) -> Option<&'d Value> {
    document.get(URN)?.get(name)
}

fn text<'v>(value: Option<&'v Value>, name: &str) -> Option<&'v str> {
    value?.get(name)?.as_str()
}

fn accounts(document: &Map<String, Value>) -> &[Value] {
    document.get(ACCOUNTS).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The accounts of a person, by its document.
pub(super) fn account_ids(document: &Map<String, Value>) -> impl Iterator<Item = ResourceId> {
    accounts(document).iter().filter_map(|one| text(Some(one), "value")?.parse().ok())
}

/// The person of an account, by its document.
pub(super) fn person_of(document: &Map<String, Value>) -> Option<ResourceId> {
    text(part(document, LINK), "value")?.parse().ok()
}

fn domain_of(document: &Map<String, Value>) -> Option<&str> {
    part(document, "accountDomain").and_then(Value::as_str)
}

/// A person's document.
fn read(work: &mut Work<'_>, id: ResourceId) -> Result<Option<Known>, Error> {
    let Some(record) = work.record(id)?.filter(|record| record.kind == KIND) else { return Ok(None) };
    let document = document_of(&record)?;
    Ok(Some((record, document)))
}

fn write(work: &mut Work<'_>, record: Record, mut document: Map<String, Value>) -> Result<(), Error> {
    views::note(work.now(), work, (&record.kind, record.id), &mut document)?;
    let Record { id, kind, label, secret, .. } = record;
    work.update(Draft { id, kind, label, secret, doc: document.into(), members: Vec::new(), external: None })?;
    Ok(())
}

fn account(ctx: &Ctx, user: ResourceId, document: &Map<String, Value>, kind: Option<&str>) -> Value {
    let account = json!({ "value": user.to_string(), "$ref": format!("../Users/{user}") });
    with(
        account,
        [
            ("kind", kind.map(Value::from)),
            ("accountDomain", domain_of(document).map(Value::from)),
            ("since", instant(ctx.now).map(Value::from)),
            ("by", Some((*ctx.caller.name).into())),
        ],
    )
}

/// Writes into an account's document whose it is.
fn put_link(ctx: &Ctx, document: &mut Map<String, Value>, person: ResourceId, kind: Option<&str>) {
    let link = json!({ "value": person.to_string(), "$ref": format!("../Persons/{person}") });
    let link = with(link, [("kind", kind.map(Value::from)), ("since", instant(ctx.now).map(Value::from))]);
    match document.get_mut(URN) {
        Some(Value::Object(fields)) => drop(fields.insert(LINK.to_owned(), link)),
        _ => drop(document.insert(URN.to_owned(), json!({ LINK: link }))),
    }
}

/// The other accounts of the human being whose account this is, by its document.
pub(super) fn siblings(
    work: &mut Work<'_>,
    user: ResourceId,
    document: &Map<String, Value>,
) -> Result<Vec<ResourceId>, Error> {
    if !are_there(work.catalog().registry()) {
        return Ok(Vec::new());
    }
    let Some((_, person)) = person_of(document).map(|id| read(work, id)).transpose()?.flatten() else {
        return Ok(Vec::new());
    };
    Ok(account_ids(&person).filter(|id| *id != user).collect())
}

/// Has accounts looked at, since whose they are has changed: what one human being must not have together may be another.
fn look_at(ctx: &Ctx, work: &mut Work<'_>, accounts: &[Value]) {
    let ids: Vec<ResourceId> = accounts.iter().filter_map(|one| text(Some(one), "value")?.parse().ok()).collect();
    ids.into_iter().for_each(|id| look_again(ctx, work, id));
}

/// Accounts of one person may have rights by each other's, and share seats of limited entitlements: one that is another's now
/// is looked at again.
fn look_again(ctx: &Ctx, work: &mut Work<'_>, user: ResourceId) {
    if work.count(settle::RULE) > 0 || work.count(licences::ASSIGNMENT) > 0 {
        work.put_due(user, Some(Due::at(ctx.now)));
    }
}

/// Sees to the person of an account that is about to be written, with what stands for its number in the document. `before`
/// is the document as it is stored. Says whether the account is linked with others from now on.
pub(super) fn settle(
    ctx: &Ctx,
    work: &mut Work<'_>,
    id: ResourceId,
    before: Option<&Map<String, Value>>,
    document: &mut Map<String, Value>,
) -> Result<bool, Error> {
    let number = |document: &Map<String, Value>| part(document, NUMBER).and_then(Value::as_str).map(str::to_owned);
    let own = before.and_then(person_of);
    if own.is_some() && before.and_then(number) == number(document) {
        return Ok(false);
    }
    let shared = match number(document) {
        Some(number) => sharing(work, id, document, &number)?,
        None => None,
    };
    match (own, shared) {
        (Some(own), Some((record, shared))) if own != record.id => {
            // An account that is linked already stays where it is until somebody takes that back.
            let is_alone = read(work, own)?.is_none_or(|(_, person)| accounts(&person).len() < 2);
            if is_alone && !was_taken_back(&shared, id) {
                forget(ctx, work, own)?;
                join(ctx, work, id, document, record, shared)?;
                return Ok(true);
            }
        }
        (None, Some((record, shared))) if !was_taken_back(&shared, id) => {
            join(ctx, work, id, document, record, shared)?;
            return Ok(true);
        }
        (None, _) => begin(ctx, work, id, document)?,
        (Some(_), _) => {}
    }
    Ok(false)
}

/// The person whose account has the same identity number in another account domain, and none in this one.
fn sharing(
    work: &mut Work<'_>,
    id: ResourceId,
    document: &Map<String, Value>,
    number: &str,
) -> Result<Option<Known>, Error> {
    if part(document, "personalNumberType").and_then(Value::as_str) == Some(TEMPORARY) {
        return Ok(None);
    }
    let there = settle::having_number(work, &[number.to_owned()])?;
    let mut found: Option<Known> = None;
    for other in there.into_iter().filter(|other| *other != id) {
        let Some(record) = work.record(other)? else { continue };
        let Some(person) = person_of(&document_of(&record)?) else { continue };
        let Some(known) = read(work, person)? else { continue };
        match &found {
            Some((one, _)) if one.id != known.0.id => return Ok(None),
            _ => found = Some(known),
        }
    }
    let is_here = |account: &Value| account.get("accountDomain").and_then(Value::as_str) == domain_of(document);
    // One person has two accounts in one domain only if somebody says so.
    Ok(found.filter(|(_, person)| !accounts(person).iter().any(is_here)))
}

fn was_taken_back(person: &Map<String, Value>, user: ResourceId) -> bool {
    let former = person.get(FORMER).and_then(Value::as_array);
    former.into_iter().flatten().any(|one| text(Some(one), "value") == Some(&*user.to_string()))
}

/// A new person for an account.
fn begin(ctx: &Ctx, work: &mut Work<'_>, user: ResourceId, document: &mut Map<String, Value>) -> Result<(), Error> {
    let id = ctx.random.resource_id(ctx.now)?;
    put_link(ctx, document, id, None);
    let accounts = [account(ctx, user, document, None)];
    let doc = json!({ "schemas": [SCHEMA], ACCOUNTS: accounts }).as_object().cloned().unwrap_or_default();
    work.create(Draft {
        id,
        kind: KIND.to_owned(),
        label: String::new(),
        doc: doc.into(),
        secret: None,
        members: Vec::new(),
        external: None,
    })?;
    Ok(())
}

fn join(
    ctx: &Ctx,
    work: &mut Work<'_>,
    user: ResourceId,
    document: &mut Map<String, Value>,
    record: Record,
    mut person: Map<String, Value>,
) -> Result<(), Error> {
    put_link(ctx, document, record.id, Some(ASSERTED));
    let mut all = accounts(&person).to_vec();
    look_at(ctx, work, &all);
    all.push(account(ctx, user, document, Some(ASSERTED)));
    person.insert(ACCOUNTS.to_owned(), all.into());
    write(work, record, person)
}

/// Removes a person that has no account any more.
fn forget(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<(), Error> {
    if work.record(id)?.is_some_and(|record| record.kind == KIND) {
        work_items::forget(ctx, work, id)?;
        work.remove(id)?;
    }
    Ok(())
}

/// An account goes: its person goes with the last one.
pub(super) fn leave(ctx: &Ctx, work: &mut Work<'_>, user: &Record) -> Result<(), Error> {
    if !concern(&user.kind, work) {
        return Ok(());
    }
    let Some((record, mut person)) = person_of(&document_of(user)?).map(|id| read(work, id)).transpose()?.flatten()
    else {
        return Ok(());
    };
    let gone = user.id.to_string();
    let left: Vec<Value> =
        accounts(&person).iter().filter(|one| text(Some(one), "value") != Some(&*gone)).cloned().collect();
    if left.is_empty() {
        return forget(ctx, work, record.id);
    }
    look_at(ctx, work, &left);
    person.insert(ACCOUNTS.to_owned(), left.into());
    settle::forget_choices(&mut person);
    let id = record.id;
    write(work, record, person)?;
    settle::choose_for(ctx, work, id)
}

/// What follows from a person that a client writes: accounts that come and go.
#[derive(Debug, Default)]
struct Linking {
    joined: Vec<(ResourceId, String)>,
    left: Vec<ResourceId>,
}

/// Sees to a person that a client writes or removes: its accounts say so once it is written, and those that left have persons
/// of their own. Fails with 400 for an account that is none, 409 for one that is linked with others, and for the removal of
/// a person that has accounts.
pub(super) fn attend(
    write: &Write<'_>,
    after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    let before = write.before.map(document_of).transpose()?;
    let Some(after) = after else {
        refuse_removal(before.as_ref())?;
        return Ok(None);
    };
    let linking = prepare(write.ctx, write.id, before.as_ref(), after, work)?;
    Ok(Some(Box::new(move |write, _, work| linking.follow(write.ctx, write.id, work))))
}

/// Fails with 400 for an account that is none, 409 for one that is linked with others.
fn prepare(
    ctx: &Ctx,
    id: ResourceId,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
    work: &mut Work<'_>,
) -> Result<Linking, Error> {
    let by_value = |document: &Map<String, Value>| -> BTreeMap<String, Value> {
        let pair = |one: &Value| Some((text(Some(one), "value")?.to_owned(), one.clone()));
        accounts(document).iter().filter_map(pair).collect()
    };
    let was = before.map(by_value).unwrap_or_default();
    let mut linking = Linking::default();
    let mut shall = Vec::new();
    for account in accounts(after).to_vec() {
        let value = text(Some(&account), "value").unwrap_or_default().to_owned();
        let kind = text(Some(&account), "kind").unwrap_or("manual").to_owned();
        let known = was.get(&value);
        if known.is_some_and(|known| text(Some(known), "kind") == text(Some(&account), "kind")) {
            let kept = |name: &str| known.and_then(|known| known.get(name)).cloned();
            shall.push(with(
                account,
                [("since", kept("since")), ("by", kept("by")), ("accountDomain", kept("accountDomain"))],
            ));
            continue;
        }
        if !SAID.contains(&kind.as_str()) {
            let detail =
                format!("accounts.kind: a link can be said to be {}; {kind} is for numbers to say.", SAID.join(" or "));
            return Err(scim::Error::invalid_value(detail).into());
        }
        let user = linkable(ctx, work, id, &value)?;
        let made = self::account(ctx, user.0, &user.1, Some(&kind));
        shall.push(with(made, [("reason", account.get("reason").cloned())]));
        linking.joined.push((user.0, kind));
    }
    let stays = |value: &str| shall.iter().any(|one| text(Some(one), "value") == Some(value));
    let mut former = before.and_then(|before| before.get(FORMER)?.as_array()).cloned().unwrap_or_default();
    for (value, account) in was.iter().filter(|(value, _)| !stays(value)) {
        let of = |name: &str| account.get(name).cloned();
        let ended = json!({ "value": value, "until": instant(ctx.now), "by": *ctx.caller.name });
        former.push(with(ended, [("kind", of("kind")), ("since", of("since"))]));
        linking.left.extend(value.parse::<ResourceId>().ok());
    }
    // Whoever is linked again is not one that was taken back.
    former.retain(|one| text(Some(one), "value").is_none_or(|value| !stays(value)));
    for (name, list) in [(ACCOUNTS, shall), (FORMER, former)] {
        match list.is_empty() {
            true => drop(after.shift_remove(name)),
            false => drop(after.insert(name.to_owned(), list.into())),
        }
    }
    settle::settle_choices(ctx, before, after)?;
    Ok(linking)
}

/// An object with more members, as far as they have a value.
fn with<const N: usize>(mut object: Value, more: [(&str, Option<Value>); N]) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    object
}

/// The account of that id, which is linked with no other. One that the caller does not see is not there.
fn linkable(
    ctx: &Ctx,
    work: &mut Work<'_>,
    person: ResourceId,
    value: &str,
) -> Result<(ResourceId, Map<String, Value>), Error> {
    let missing = || scim::Error::invalid_value(format!("accounts.value: there is no User {value:?}."));
    let id: ResourceId = value.parse().map_err(|()| missing())?;
    let record = work.record(id)?.filter(|record| record.kind == USER).ok_or_else(missing)?;
    let registry = work.catalog().registry().clone();
    let definition = registry.definition(USER).ok_or_else(missing)?;
    if !is_seen_under_lock(ctx, definition, record.clone(), work)? {
        return Err(missing().into());
    }
    let document = document_of(&record)?;
    let now = person_of(&document).filter(|now| *now != person);
    let others = now.map(|now| read(work, now)).transpose()?.flatten();
    if others.is_some_and(|(_, person)| accounts(&person).len() > 1) {
        let detail = format!("accounts.value: User {value} is linked with others already. Take that link back first.");
        return Err(scim::Error::new(scim::ScimType::Uniqueness, detail).into());
    }
    Ok((id, document))
}

impl Linking {
    /// After the person was written: its accounts say so, and those that left have persons of their own.
    fn follow(self, ctx: &Ctx, person: ResourceId, work: &mut Work<'_>) -> Result<(), Error> {
        let is_moved = !self.joined.is_empty() || !self.left.is_empty();
        for (user, kind) in self.joined {
            let Some(record) = work.record(user)? else { continue };
            let mut document = document_of(&record)?;
            if let Some(own) = person_of(&document).filter(|own| *own != person) {
                forget(ctx, work, own)?;
            }
            put_link(ctx, &mut document, person, Some(&kind));
            write(work, record, document)?;
            look_again(ctx, work, user);
        }
        for user in self.left {
            let Some(record) = work.record(user)? else { continue };
            let mut document = document_of(&record)?;
            begin(ctx, work, user, &mut document)?;
            let own = person_of(&document);
            write(work, record, document)?;
            look_again(ctx, work, user);
            own.map_or(Ok(()), |own| settle::choose_for(ctx, work, own))?;
        }
        settle::choose_for(ctx, work, person)?;
        if is_moved && let Some((_, document)) = read(work, person)? {
            look_at(ctx, work, accounts(&document));
        }
        Ok(())
    }
}

/// 409 for a person that has accounts: it goes with the last of them.
fn refuse_removal(document: Option<&Map<String, Value>>) -> Result<(), Error> {
    if document.is_none_or(|document| accounts(document).is_empty()) {
        return Ok(());
    }
    let detail = "The person has accounts, and goes with the last of them. Links are taken back one by one.";
    Err(scim::Error::status(409, detail).into())
}
