//! How accounts go: a source that deletes one withdraws it, what is over is purged, and names and numbers stay taken.
//! A source's DELETE erases nothing; an administrator's does, at once.

use provisioning::calendar::Calendar;
use provisioning::policy::Reuse;
use scim::key::{TextRule, of_text};
use serde_json::{Map, Value};
use store::secret::Secrets;
use store::work::{Draft, document_of};
use store::{Record, ResourceId, Tombstone, Work};

use super::super::{Ctx, Error, erasure, persons, secret, views, work_items};
use super::{Book, adopt, choose, claim, conclude, end, follow, sources, sponsor, standing, superior};

/// Names of login.
pub(in crate::directory) const USER_NAMES: &str = "userName";
/// Addresses.
pub(in crate::directory) const ADDRESSES: &str = "email";
/// Employee numbers.
pub(in crate::directory) const NUMBERS: &str = "employeeNumber";
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// Addresses are kept from others for ten years, names and numbers for ever.
const YEARS: i64 = 10;

/// The form in which a name, address or number is kept: one that differs in its case alone is the same.
pub(in crate::directory) fn buried_form(namespace: &str, value: &str) -> String {
    let rule = match namespace {
        USER_NAMES => TextRule::Username,
        ADDRESSES => TextRule::Fold,
        _ => TextRule::Exact,
    };
    of_text(value, rule)
}

/// The names, addresses and numbers of a User's document, with where they are kept and in which form.
fn names(document: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let mut names: Vec<(&'static str, String)> = Vec::new();
    names.extend(text(document.get("userName")).map(|name| (USER_NAMES, name)));
    let emails = document.get("emails").and_then(Value::as_array).into_iter().flatten();
    names.extend(emails.filter_map(|email| text(email.get("value"))).map(|email| (ADDRESSES, email)));
    names.extend(text(document.get(ENTERPRISE).and_then(|part| part.get("employeeNumber"))).map(|one| (NUMBERS, one)));
    names.into_iter().map(|(space, name)| (space, buried_form(space, &name))).collect()
}

/// Has a source withdraw an account instead of deleting it; `false`: no policy covers it, or it is an administrator who
/// deletes, and it is deleted.
pub(in crate::directory) fn withdraw(ctx: &Ctx, work: &mut Work<'_>, record: &Record) -> Result<bool, Error> {
    if ctx.caller.id == ResourceId::SYSTEM || ctx.caller.scopes.is_admin() {
        return Ok(false);
    }
    let before = document_of(record)?;
    let book = Book::of(work)?;
    if book.policy_of(&before).is_none() {
        return Ok(false);
    }
    let mut after = before.clone();
    standing::change_source(&mut after, ctx.caller.id, |source| source.withdraw(ctx.now));
    sources::fall_silent(&mut after, ctx.caller.id);
    let mut next = conclude(ctx, work, &book, (&record.kind, record.id), Some(&before), &mut after)?;
    choose(ctx, work, record.id, &mut after, &mut next)?;
    rewrite(ctx, work, record, after)?;
    follow(ctx, work, record.id, next)?;
    Ok(true)
}

/// Writes what became of a User's document by rule.
pub(super) fn rewrite(
    ctx: &Ctx,
    work: &mut Work<'_>,
    record: &Record,
    mut document: Map<String, Value>,
) -> Result<(), Error> {
    views::note(ctx.now, work, (&record.kind, record.id), &mut document)?;
    work.update(Draft {
        id: record.id,
        kind: record.kind.clone(),
        label: scim::resource::label(&document),
        doc: document.into(),
        secret: record.secret.clone(),
        members: Vec::new(),
        external: None,
    })?;
    Ok(())
}

/// 409 for an account that is on hold: nobody erases it until that is taken away.
pub(in crate::directory) fn refuse_held(record: &Record) -> Result<(), Error> {
    match is_held(record)? {
        true => {
            let detail = "The user is on legal hold and is not erased. An administrator takes the hold away first.";
            Err(scim::Error::status(409, detail).into())
        }
        false => Ok(()),
    }
}

/// Whether an account is on legal hold.
pub(in crate::directory) fn is_held(record: &Record) -> Result<bool, Error> {
    Ok(standing::is_on_hold(&document_of(record)?))
}

/// Deletes a User for good. Its rights end, and where a policy covers it its names stay taken.
pub(in crate::directory) fn purge(ctx: &Ctx, work: &mut Work<'_>, record: &Record) -> Result<(), Error> {
    let document = document_of(record)?;
    adopt::forget(work, record.id)?;
    let book = Book::of(work)?;
    if let Some(policy) = book.policy_of(&document) {
        let stone = Tombstone { resource: record.id, at: ctx.now, until: None };
        for (space, name) in names(&document) {
            let until = (space == ADDRESSES).then(|| years_after(&policy.terms.calendar, ctx.now));
            work.bury(space, &name, Tombstone { until, ..stone });
        }
        secret::bury(work, &Secrets::read(record.secret.as_deref())?, stone);
    }
    end(ctx, work, record.id)?;
    work_items::forget(ctx, work, record.id)?;
    persons::leave(ctx, work, record)?;
    work.remove(record.id)?;
    sponsor::note_gone(ctx, work, record.id)?;
    if book.policy_of(&document).is_some() {
        erasure::begin(ctx, work, record.id);
    }
    superior::note_gone(ctx, work, &document)
}

/// The beginning of the day ten years later.
pub(super) fn years_after(calendar: &Calendar, now: i64) -> i64 {
    let day = calendar.day_of(now);
    let span = jiff::Span::new().try_years(YEARS);
    let later = span.and_then(|span| day.checked_add(span)).unwrap_or(jiff::civil::Date::MAX);
    calendar.start_of(later)
}

/// Refuses names that were others', where the policy says that none is ever used again. Who comes back after a purge is
/// known by the identity number or the employee number, and may have the old ones. Fails with 409 uniqueness.
pub(super) fn refuse_buried(
    work: &mut Work<'_>,
    book: &Book,
    id: ResourceId,
    before: Option<&Map<String, Value>>,
    after: &Map<String, Value>,
) -> Result<(), Error> {
    if book.policy_of(after).is_none_or(|policy| policy.reuse != Reuse::Never) {
        return Ok(());
    }
    let known = before.map(names).unwrap_or_default();
    let wanted = names(after);
    let mut number = wanted.iter().filter(|(space, _)| *space == NUMBERS);
    let whose = match (claim::former(work, id)?, number.next()) {
        (Some(former), _) => Some(former),
        (None, Some((space, number))) => work.tombstone(space, number)?.map(|stone| stone.resource),
        (None, None) => None,
    };
    for (space, name) in wanted.iter().filter(|name| name.0 != NUMBERS && !known.contains(name)) {
        let stone = work.tombstone(space, name)?.filter(|stone| stone.binds_at(work.now()));
        if stone.is_some_and(|stone| whose != Some(stone.resource)) {
            let detail = format!("{space}: {name} was somebody's who has left, and is not used again.");
            return Err(scim::Error::new(scim::ScimType::Uniqueness, detail).into());
        }
    }
    Ok(())
}
