//! Accounts as they were before the register, as resources (`/Adoptions`, where the tenant has installed them): their names
//! are kept from everybody else from the moment they are written, and the User with the number takes them over, at once if
//! it is there. One without a number is names that nobody is given. What the User then has is the business of `settle::adopt`.

use provisioning::person;
use scim::schema::Definition;
use scim::schema::shipped::is_installed;
use serde_json::{Map, Value};
use store::work::document_of;
use store::{Due, Record, ResourceId, Tombstone, Work};

use super::Error;
use super::particular::{Follow, Write};
use super::settle::{ADDRESSES, NUMBERS, USER, USER_NAMES, buried_form};

/// The resource type.
pub(super) const ADOPTION: &str = "Adoption";
const URN: &str = "urn:matrikel:scim:schemas:core:1.0:Adoption";
/// Whose it was, by employee number.
pub(super) const EMPLOYEE_NUMBER: &str = "employeeNumber";
/// The same attribute of a User.
const OF_USER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber";

/// The groups that it was in. `groups` is what the server derives of every type.
pub(super) const MEMBER_OF: &str = "memberOf";

/// Whether resources of the type are what was there before the register.
pub(super) fn are(definition: &Definition) -> bool {
    definition.name() == ADOPTION && definition.core.id == URN
}

/// Whether the tenant has any.
pub(super) fn are_there(work: &Work<'_>) -> bool {
    work.count(ADOPTION) > 0 && is_installed(work.catalog().registry(), ADOPTION, URN)
}

/// Checks one. Fails with 400 invalidValue for one that says nothing.
pub(super) fn check(document: &Map<String, Value>) -> Result<(), scim::Error> {
    if names(document).iter().all(|(space, _)| *space == NUMBERS) && !document.contains_key(MEMBER_OF) {
        return Err(scim::Error::invalid_value("An adoption has a userName, an address, aliases or memberOf."));
    }
    Ok(())
}

/// Sees to one that is written or removed: its names are its own, and whoever has the number is looked at.
pub(super) fn attend(
    write: &Write<'_>,
    after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    let after = after.map(|document| &*document);
    let before = write.before.map(document_of).transpose()?;
    let (id, now) = (write.id, write.ctx.now);
    let old = before.as_ref().map(names).unwrap_or_default();
    let new = after.map(names).unwrap_or_default();
    if let Some(before) = &before {
        free(work, id, before, &new)?;
    }
    let number = after.and_then(|after| text(after, EMPLOYEE_NUMBER)).unwrap_or_default();
    for (space, name) in new.iter().filter(|name| !old.contains(name)) {
        let stone = work.tombstone(space, name)?.filter(|stone| stone.resource != id && stone.binds_at(now));
        if *space == NUMBERS {
            if stone.is_none() {
                work.bury(space, name, Tombstone { resource: id, at: now, until: None });
            }
            continue;
        }
        if stone.is_some() || is_held(work, space, name, &number)? {
            let detail = format!("{space}: {name} is another's already.");
            return Err(scim::Error::new(scim::ScimType::Uniqueness, detail).into());
        }
        work.bury(space, name, Tombstone { resource: id, at: now, until: None });
    }
    Ok(Some(Box::new(|write, record, work| {
        let Some(record) = record else { return Ok(()) };
        for user in owners(work, record)? {
            work.put_due(user, Some(Due::at(write.ctx.now)));
        }
        Ok(())
    })))
}

/// Frees the names of an adoption, but for those that it keeps.
pub(super) fn free(
    work: &mut Work<'_>,
    id: ResourceId,
    document: &Map<String, Value>,
    kept: &[(&'static str, String)],
) -> Result<(), Error> {
    for (space, name) in names(document).iter().filter(|name| !kept.contains(name)) {
        if let Some(stone) = work.tombstone(space, name)?.filter(|stone| stone.resource == id) {
            work.bury(space, name, Tombstone { until: Some(work.now()), ..stone });
        }
    }
    Ok(())
}

/// The names and the number, with where they are kept and in which form.
fn names(document: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let aliases = document.get("aliases").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let named = [(USER_NAMES, "userName"), (ADDRESSES, "address"), (NUMBERS, EMPLOYEE_NUMBER)];
    let named = named.into_iter().filter_map(|(space, name)| Some((space, text(document, name)?)));
    let all = named.chain(aliases.map(|alias| (ADDRESSES, alias.to_owned())));
    all.map(|(space, name)| (space, buried_form(space, &name))).collect()
}

fn text(document: &Map<String, Value>, name: &str) -> Option<String> {
    document.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// Whether a User has a name who has another employee number.
fn is_held(work: &mut Work<'_>, space: &str, name: &str, number: &str) -> Result<bool, Error> {
    let path = if space == USER_NAMES { "userName" } else { "emails.value" };
    for holder in work.having(USER, path, &[name.to_owned()], None, 2)?.unwrap_or_default() {
        let own = work.document_of(holder)?.map(|document| provisioning::names::employee_number(&document));
        if number.is_empty() || own.as_deref() != Some(number) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The Users with the number.
fn owners(work: &mut Work<'_>, record: &Record) -> Result<Vec<ResourceId>, Error> {
    let document = document_of(record)?;
    let identity = document.get(person::URN).and_then(|person| person.get(person::NUMBER)).and_then(Value::as_str);
    let path = format!("{}:{}", person::URN, person::NUMBER);
    let places = [(OF_USER, text(&document, EMPLOYEE_NUMBER)), (path.as_str(), identity.map(str::to_owned))];
    let mut found = Vec::new();
    for (path, value) in places {
        if let Some(value) = value {
            found.extend(work.having(USER, path, &[value], None, 2)?.unwrap_or_default());
        }
    }
    Ok(found)
}
