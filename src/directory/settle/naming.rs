//! Names of accounts whose client leaves them to the policy: made when the account is first staged, under the lock, so that
//! no two are given the same; kept from then on; made anew when a family name changes and the policy says so, with the old
//! address as an alias for a while. What names come into question is [`provisioning::names`]'s business.

use std::borrow::Cow;

use jiff::{Span, Timestamp};
use provisioning::calendar::instant;
use provisioning::lifecycle::State;
use provisioning::names::{OnChange, Person, Scheme, employee_number};
use provisioning::person::{NEUTRAL, USER, is_protected};
use provisioning::policy::Policy;
use scim::key;
use serde_json::{Map, Value, json};
use store::{ResourceId, Tombstone, Work};

use super::super::{Ctx, Error};
use super::adopt::Adopting;
use super::depart::{ADDRESSES, NUMBERS, USER_NAMES, buried_form, years_after};
use super::{POLICY, claim, standing};

/// What the server keeps of the names.
pub(in crate::directory) const NAMES: &str = "names";
/// What it kept of them before.
pub(in crate::directory) const EARLIER: &str = "namesBefore";
/// Addresses that go on for a while.
pub(super) const ALIASES: &str = "aliases";
/// Their type among `emails`.
const ALIAS: &str = "alias";
const EMAILS: &str = "emails";
const USER_NAME: &str = "userName";

/// Sees to the names of an account, if they are the server's to make. Answers when the next alias goes, µs since 1970.
///
/// Fails with 400 invalidValue for a client that leaves names to a policy where none covers the account.
pub(super) fn settle(
    ctx: &Ctx,
    work: &mut Work<'_>,
    policy: Option<&Policy>,
    id: ResourceId,
    before: Option<&Map<String, Value>>,
    (after, adopted): (&mut Map<String, Value>, Option<&Adopting>),
) -> Result<Option<i64>, Error> {
    let was = before.and_then(|before| standing::part(before, NAMES)).cloned();
    if was.is_none() && !(before.is_none() && ctx.caller.generates_names) {
        return Ok(None);
    }
    let aliases = before.and_then(|before| standing::part(before, ALIASES)).cloned();
    let earlier = before.and_then(|before| standing::part(before, EARLIER)).cloned();
    standing::put(after, NAMES, was);
    standing::put(after, EARLIER, earlier);
    standing::put(after, ALIASES, aliases);
    let Some(policy) = policy else {
        return match before {
            Some(_) => Ok(None),
            None => Err(nameless()),
        };
    };
    let usual = Scheme::default();
    let scheme = policy.names.as_ref().unwrap_or(&usual);
    let mut naming = Naming { work, policy, scheme, id, now: ctx.now };
    match before {
        // What it writes of names has no effect.
        Some(before) if ctx.caller.generates_names => keep(before, after),
        Some(before) => naming.take_over(before, after),
        None => {}
    }
    if standing::part(after, NAMES).is_none() {
        // Whose names are the server's to make is known from the beginning.
        standing::put(after, NAMES, Some(json!({ "origin": "generated" })));
    }
    let state = standing::held(after).map(|(state, _)| state);
    match (given(after), state) {
        (None, None | Some(State::Staged | State::Active | State::Ending | State::Suspended)) => {
            naming.name(after, adopted)?;
        }
        // A start that was cancelled before the first active day: the name is somebody else's to have.
        (Some(_), Some(State::Planned)) if is_made(after) => naming.unname(after),
        (Some(_), _) => naming.rename(before, after)?,
        (None, _) => {}
    }
    Ok(naming.expire(after))
}

/// The body of a request about a User, without the names in it that its client leaves to a policy. In the place of the user
/// name, which every User has, stands what is there: `current`, or for a new one its id.
pub(in crate::directory) fn body<'b>(
    ctx: &Ctx,
    kind: &str,
    body: &'b Value,
    current: Option<&Map<String, Value>>,
    id: &str,
) -> Cow<'b, Value> {
    let Some(members) = body.as_object().filter(|_| kind == USER && ctx.caller.generates_names) else {
        return Cow::Borrowed(body);
    };
    let is_ours = |name: &str| [USER_NAME, EMAILS].iter().any(|ours| ours.eq_ignore_ascii_case(name));
    let mut members: Map<String, Value> =
        members.iter().filter(|(name, _)| !is_ours(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    let there = |name: &str| current.and_then(|current| current.get(name)).cloned();
    members.insert(USER_NAME.to_owned(), there(USER_NAME).unwrap_or_else(|| id.into()));
    if let Some(emails) = there(EMAILS) {
        members.insert(EMAILS.to_owned(), emails);
    }
    Cow::Owned(Value::Object(members))
}

/// 400 for a client that leaves names to a policy where there is none.
pub(in crate::directory) fn refuse_nameless(ctx: &Ctx, kind: &str, work: &Work<'_>) -> Result<(), Error> {
    match kind == USER && ctx.caller.generates_names && work.count(POLICY) == 0 {
        true => Err(nameless()),
        false => Ok(()),
    }
}

fn nameless() -> Error {
    let detail = "userName is left to a policy by this client (names: generated), and none covers this user.";
    scim::Error::invalid_value(detail).into()
}

/// The user name that was made or kept.
fn given(document: &Map<String, Value>) -> Option<String> {
    standing::part(document, NAMES)?.get(USER_NAME)?.as_str().map(str::to_owned)
}

fn is_made(document: &Map<String, Value>) -> bool {
    standing::part(document, NAMES).and_then(|names| names.get("origin")).is_some_and(|origin| origin == "generated")
}

/// Puts the names back that were there.
fn keep(before: &Map<String, Value>, after: &mut Map<String, Value>) {
    for name in [USER_NAME, EMAILS] {
        match before.get(name) {
            Some(value) => drop(after.insert(name.to_owned(), value.clone())),
            None => drop(after.shift_remove(name)),
        }
    }
}

struct Naming<'n, 'w, 'd> {
    work: &'w mut Work<'d>,
    policy: &'n Policy,
    scheme: &'n Scheme,
    id: ResourceId,
    now: i64,
}

impl Naming<'_, '_, '_> {
    /// Makes the first names.
    fn name(&mut self, document: &mut Map<String, Value>, adopted: Option<&Adopting>) -> Result<(), Error> {
        let person = Person::of(document, &self.id.to_string());
        let is_protected = is_protected(document);
        let former = match adopted {
            Some(adopted) => Some(adopted.id()),
            None => self.former(document)?,
        };
        let user_name = match adopted.and_then(Adopting::user_name) {
            Some(name) => name,
            None => self.free_name(&person, is_protected, former)?,
        };
        let address = match adopted.and_then(Adopting::address) {
            Some(address) => Some(address),
            None => self.free_address(&person, &user_name, is_protected, former)?,
        };
        document.insert(USER_NAME.to_owned(), user_name.clone().into());
        if let Some(address) = &address {
            put_address(document, None, address);
        }
        for alias in adopted.iter().flat_map(|adopted| adopted.aliases()) {
            add_alias(document, &alias);
        }
        let origin = if adopted.is_some_and(Adopting::has_names) { "adopted" } else { "generated" };
        self.note(document, origin, &user_name, address.as_deref());
        // Names that were there before tell of whom they are.
        if is_protected
            && origin == "generated"
            && let Some(names) = standing::part_mut(document, NAMES).and_then(Value::as_object_mut)
        {
            names.insert(NEUTRAL.to_owned(), true.into());
        }
        Ok(())
    }

    /// Takes back what was never used.
    fn unname(&self, document: &mut Map<String, Value>) {
        let address = address(document);
        document.insert(USER_NAME.to_owned(), self.id.to_string().into());
        if let Some(address) = address {
            remove_address(document, &address);
        }
        standing::put(document, NAMES, Some(json!({ "origin": "generated" })));
    }

    /// Another client has given the account another name: that is the name from now on.
    fn take_over(&mut self, before: &Map<String, Value>, after: &mut Map<String, Value>) {
        let text = |document: &Map<String, Value>| document.get(USER_NAME).and_then(Value::as_str).map(str::to_owned);
        let (was, now) = (text(before), text(after));
        if was == now {
            return;
        }
        if let Some(now) = now {
            let address = address(after);
            self.note(after, "manual", &now, address.as_deref());
        }
    }

    /// Makes new names for a new family name, if the policy wants that.
    fn rename(&mut self, before: Option<&Map<String, Value>>, after: &mut Map<String, Value>) -> Result<(), Error> {
        let Some(before) = before.filter(|_| self.scheme.on_change == OnChange::Rename) else { return Ok(()) };
        let id = self.id.to_string();
        let (was, is) = (Person::of(before, &id), Person::of(after, &id));
        let is_same = !is.has_another_family_name(&was) || self.scheme.makes_the_same(&was, &is);
        if is_same || is_protected(after) || !is_made(after) {
            return Ok(());
        }
        let (old_name, old_address) = (given(after), address(after));
        let user_name = self.free_name(&is, false, None)?;
        let address = self.free_address(&is, &user_name, false, None)?;
        if let Some(old) = old_name {
            // Names are never given to anybody else.
            let stone = Tombstone { resource: self.id, at: self.now, until: None };
            self.work.bury(USER_NAMES, &buried_form(USER_NAMES, &old), stone);
        }
        after.insert(USER_NAME.to_owned(), user_name.clone().into());
        if let Some(address) = &address {
            if let Some(old) = old_address.as_deref().filter(|old| old != address) {
                self.put_alias(after, old);
            }
            put_address(after, old_address.as_deref(), address);
        }
        self.note(after, "generated", &user_name, address.as_deref());
        Ok(())
    }

    /// Lets the old address go on as an alias.
    fn put_alias(&self, document: &mut Map<String, Value>, old: &str) {
        let until = months_after(self.now, self.scheme.alias_months);
        let mut aliases = standing::part(document, ALIASES).and_then(Value::as_array).cloned().unwrap_or_default();
        aliases.push(json!({ "value": old, "until": instant(until) }));
        standing::put(document, ALIASES, Some(aliases.into()));
    }

    /// Takes out the aliases whose time is over; nobody is given them for ten years.
    fn expire(&mut self, document: &mut Map<String, Value>) -> Option<i64> {
        let aliases = standing::part(document, ALIASES).and_then(Value::as_array).cloned()?;
        let until = |alias: &Value| alias.get("until").and_then(Value::as_str).and_then(key::instant);
        let (over, left): (Vec<Value>, Vec<Value>) =
            aliases.into_iter().partition(|alias| until(alias).is_some_and(|until| until <= self.now));
        for alias in over.iter().filter_map(|alias| alias.get("value").and_then(Value::as_str)) {
            remove_address(document, alias);
            let until = Some(years_after(&self.policy.terms.calendar, self.now));
            let stone = Tombstone { resource: self.id, at: self.now, until };
            self.work.bury(ADDRESSES, &buried_form(ADDRESSES, alias), stone);
        }
        let next = left.iter().filter_map(until).min();
        standing::put(document, ALIASES, (!left.is_empty()).then(|| left.into()));
        next
    }

    fn note(&self, document: &mut Map<String, Value>, origin: &str, user_name: &str, address: Option<&str>) {
        self.keep_earlier(document);
        let mut names = json!({ "origin": origin, USER_NAME: user_name, "since": instant(self.now) });
        let Some(members) = names.as_object_mut() else { return };
        if let Some(address) = address {
            members.insert("address".into(), address.into());
        }
        if origin == "generated" {
            let person = Person::of(document, &self.id.to_string());
            let template = self.scheme.made_by(&person, is_protected(document), user_name);
            members.insert("policy".into(), self.policy.name.as_str().into());
            members.extend(template.map(|template| ("template".to_owned(), template.into())));
        }
        standing::put(document, NAMES, Some(names));
    }

    /// What the names were goes among those before, with its end.
    fn keep_earlier(&self, document: &mut Map<String, Value>) {
        let Some(Value::Object(mut was)) = standing::part(document, NAMES).cloned() else { return };
        if !was.contains_key(USER_NAME) {
            return;
        }
        was.insert("until".into(), instant(self.now).into());
        let mut earlier = standing::part(document, EARLIER).and_then(Value::as_array).cloned().unwrap_or_default();
        earlier.push(Value::Object(was));
        standing::put(document, EARLIER, Some(earlier.into()));
    }

    /// Who had this identity number, or else this employee number, and was purged: the old names are this one's to have.
    fn former(&mut self, document: &Map<String, Value>) -> Result<Option<ResourceId>, Error> {
        if let Some(former) = claim::former(self.work, self.id)? {
            return Ok(Some(former));
        }
        let number = employee_number(document);
        if number.is_empty() {
            return Ok(None);
        }
        Ok(self.work.tombstone(NUMBERS, &buried_form(NUMBERS, &number))?.map(|stone| stone.resource))
    }

    /// What is left of a namespace of who was purged.
    fn old(&mut self, former: Option<ResourceId>, space: &str) -> Result<Vec<String>, Error> {
        let Some(former) = former else { return Ok(Vec::new()) };
        let left = self.work.tombstones_of(former)?.into_iter();
        Ok(left.filter(|((known, _), _)| known == space).map(|((_, value), _)| value).collect())
    }

    fn free_name(&mut self, person: &Person, is_protected: bool, former: Option<ResourceId>) -> Result<String, Error> {
        let old = if is_protected { Vec::new() } else { self.old(former, USER_NAMES)? };
        let made = self.scheme.user_names(person, is_protected).chain(self.scheme.user_names(person, true));
        for name in old.into_iter().chain(made) {
            if self.is_buried(USER_NAMES, &name, former)? {
                continue;
            }
            let document = Map::from_iter([(USER_NAME.to_owned(), Value::from(name.clone()))]);
            if self.work.holder_of(USER, &document)?.is_none_or(|holder| holder == self.id) {
                return Ok(name);
            }
        }
        Err(scim::Error::invalid_value("names.userName: there is no name left that this user could have.").into())
    }

    fn free_address(
        &mut self,
        person: &Person,
        user_name: &str,
        is_protected: bool,
        former: Option<ResourceId>,
    ) -> Result<Option<String>, Error> {
        let mut made = self.scheme.addresses(person, user_name, is_protected).peekable();
        if made.peek().is_none() {
            return Ok(None);
        }
        let old = if is_protected { Vec::new() } else { self.old(former, ADDRESSES)? };
        for address in old.into_iter().chain(made) {
            if !self.is_buried(ADDRESSES, &address, former)? && !self.is_address_held(&address)? {
                return Ok(Some(address));
            }
        }
        Err(scim::Error::invalid_value("names.address: there is no address left that this user could have.").into())
    }

    fn is_buried(&mut self, space: &str, value: &str, former: Option<ResourceId>) -> Result<bool, Error> {
        let stone = self.work.tombstone(space, &buried_form(space, value))?;
        let binding = stone.filter(|stone| stone.binds_at(self.now));
        Ok(binding.is_some_and(|stone| stone.resource != self.id && Some(stone.resource) != former))
    }

    /// Whether another user has an address, as the primary one or as any other.
    fn is_address_held(&mut self, address: &str) -> Result<bool, Error> {
        Ok(claim::having_address(self.work, address)?.into_iter().any(|holder| holder != self.id))
    }
}

/// The address that was made.
fn address(document: &Map<String, Value>) -> Option<String> {
    standing::part(document, NAMES)?.get("address")?.as_str().map(str::to_owned)
}

/// Makes an address the primary one; the one before goes on as an alias.
fn put_address(document: &mut Map<String, Value>, old: Option<&str>, address: &str) {
    let mut emails = document.get(EMAILS).and_then(Value::as_array).cloned().unwrap_or_default();
    emails.retain(|email| email.get("value").and_then(Value::as_str) != Some(address));
    for email in emails.iter_mut().filter_map(Value::as_object_mut) {
        if email.get("primary") == Some(&Value::Bool(true)) {
            email.insert("primary".into(), false.into());
        }
        if old.is_some() && email.get("value").and_then(Value::as_str) == old {
            email.insert("type".into(), ALIAS.into());
        }
    }
    emails.insert(0, json!({ "value": address, "type": "work", "primary": true }));
    document.insert(EMAILS.to_owned(), emails.into());
}

/// An address that the account had before, and keeps.
fn add_alias(document: &mut Map<String, Value>, alias: &str) {
    let mut emails = document.get(EMAILS).and_then(Value::as_array).cloned().unwrap_or_default();
    if emails.iter().all(|email| email.get("value").and_then(Value::as_str) != Some(alias)) {
        emails.push(json!({ "value": alias, "type": ALIAS }));
    }
    document.insert(EMAILS.to_owned(), emails.into());
}

fn remove_address(document: &mut Map<String, Value>, address: &str) {
    let Some(Value::Array(emails)) = document.get_mut(EMAILS) else { return };
    emails.retain(|email| email.get("value").and_then(Value::as_str) != Some(address));
    if emails.is_empty() {
        document.shift_remove(EMAILS);
    }
}

/// So many months later, µs since 1970.
fn months_after(now: i64, months: i64) -> i64 {
    let later = Timestamp::from_microsecond(now).and_then(|now| {
        let later = now.to_zoned(jiff::tz::TimeZone::UTC).checked_add(Span::new().try_months(months)?)?;
        Ok(later.timestamp().as_microsecond())
    });
    later.unwrap_or(i64::MAX)
}
