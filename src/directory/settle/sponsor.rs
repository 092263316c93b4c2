//! People without HR and who answers for them, within the write: a sponsor is a User who is there, and who lacks one or has
//! an end that is near is somebody's to decide about. When a sponsor goes or comes back, those for whom it answers are found
//! by index and looked at again. What is asked of whom is [`provisioning::sponsor`]'s. Closes no account: its end does.

use provisioning::calendar::plus;
use provisioning::lifecycle::State;
use provisioning::person::{URN, USER};
use provisioning::sponsor::{SPONSOR, sponsor};
use provisioning::superior::leads;
use serde_json::{Map, Value, json};
use store::{Due, ResourceId, Work};

use super::super::remove::is_seen_under_lock;
use super::super::work_items::{Item, Kind, Notice};
use super::super::{Ctx, Error};
use super::book::Book;
use super::{EVERYBODY, Follow, held_state, standing};

/// So many people are looked at one by one for the sake of one sponsor; if there are more, everybody is.
const FEW: i64 = 5_000;

/// Whether any policy asks for sponsors.
pub(super) fn is_asked(book: &Book) -> bool {
    book.policies().iter().any(|policy| policy.sponsoring.is_asked())
}

/// Sees to what a client's write says of the sponsor and the end of a User. Fails with 400 invalidValue that names the path:
/// what the policy asks for is missing, or the sponsor is none that could be.
pub(super) fn check(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    id: ResourceId,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
) -> Result<(), Error> {
    if !is_asked(book) {
        return Ok(());
    }
    let today = book.calendar_of(after).day_of(ctx.now);
    let asked = match book.policy_of(after) {
        Some(policy) => policy.sponsoring.check(before, after, today)?,
        None => false,
    };
    let Some(named) = sponsor(after).map(str::to_owned) else {
        // A reference that leads nowhere is none.
        standing::put(after, SPONSOR, None);
        return Ok(());
    };
    if asked || before.and_then(sponsor) != Some(&*named) {
        let known = find(ctx, work, &named)?.filter(|known| *known != id);
        let Some(known) = known else {
            let detail = format!(
                "{URN}:{SPONSOR}.value leads to nobody who could answer: it is the id of another User, whose account is open."
            );
            return Err(scim::Error::invalid_value(detail).into());
        };
        let reference = json!({ "value": known.to_string(), "$ref": format!("../Users/{known}") });
        standing::put(after, SPONSOR, Some(reference));
    }
    Ok(())
}

/// The User of an id, as far as the caller sees it and its account is open.
fn find(ctx: &Ctx, work: &mut Work<'_>, named: &str) -> Result<Option<ResourceId>, Error> {
    let Ok(id) = named.parse::<ResourceId>() else { return Ok(None) };
    if !answers(work, id)? {
        return Ok(None);
    }
    let Some(definition) = work.catalog().registry().definition(USER).cloned() else { return Ok(None) };
    let Some(record) = work.record(id)? else { return Ok(None) };
    Ok(is_seen_under_lock(ctx, &definition, record, work)?.then_some(id))
}

/// Whether somebody is there and can answer for others.
fn answers(work: &mut Work<'_>, id: ResourceId) -> Result<bool, Error> {
    let Some(record) = work.record(id)?.filter(|record| record.kind == USER) else { return Ok(false) };
    Ok(leads(&store::work::document_of(&record)?).is_ok())
}

/// Notes in `follow` what is to be decided about a User without HR, when that is to be looked at again, and whether those for
/// whom the User answers are to be looked at.
pub(super) fn settle(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    id: ResourceId,
    before: Option<&Map<String, Value>>,
    after: &Map<String, Value>,
    follow: &mut Follow,
) -> Result<(), Error> {
    if !is_asked(book) {
        return Ok(());
    }
    let can = |document: &Map<String, Value>| leads(document).is_ok();
    follow.answers_otherwise = before.is_some_and(|before| can(before) != can(after));
    if before.and_then(sponsor).is_some() && sponsor(after).is_none() {
        follow.notices.push(Notice::Close(Kind::Takeover, id));
    }
    let calendar = book.calendar_of(after);
    let today = calendar.day_of(ctx.now);
    let is_open = !matches!(held_state(after), Some(State::Disabled | State::Limbo | State::Purged));
    let policy = book.policy_of(after).filter(|_| is_open);
    let Some(stay) = policy.and_then(|policy| policy.sponsoring.stay(&policy.terms, after, today)) else {
        if before.is_some_and(|before| sponsor(before).is_some() || is_held(book, before, today)) {
            follow.notices.push(Notice::Close(Kind::Sponsorship, id));
        }
        return Ok(());
    };
    let until = stay.until.map(|until| calendar.start_of(plus(until, 1)));
    follow.look_again(until);
    let named = sponsor(after).and_then(|named| named.parse::<ResourceId>().ok());
    let answers = match named {
        Some(named) => answers(work, named)?,
        None => false,
    };
    let mut item = if !answers {
        let summary =
            "Nobody answers for this account any more: name another sponsor, or say an earlier end. It keeps its end.";
        let mut item = Item::new(Kind::Sponsorship, id, summary, "sponsor");
        item.owner = standing::holder(after);
        item.details = named.iter().map(|named| format!("sponsor {named}")).collect();
        item
    } else if stay.until.is_none() {
        let summary = "This account is of somebody without HR and has no end: say one.";
        Item { owner: named, ..Item::new(Kind::Sponsorship, id, summary, "policy") }
    } else if stay.near.is_some_and(|near| near <= today) {
        let summary =
            "The end of this account is near: say a later one if it is still needed; otherwise it closes by itself.";
        Item { owner: named, ..Item::new(Kind::Sponsorship, id, summary, "day") }
    } else {
        follow.look_again(stay.near.map(|near| calendar.start_of(near)));
        if before.is_some() {
            follow.notices.push(Notice::Close(Kind::Sponsorship, id));
        }
        return Ok(());
    };
    item.details.extend(stay.until.map(|until| format!("until {until}")));
    item.due = until;
    follow.notices.push(Notice::Open(item));
    Ok(())
}

/// Whether something was asked of a User.
fn is_held(book: &Book, document: &Map<String, Value>, today: jiff::civil::Date) -> bool {
    let policy = book.policy_of(document);
    policy.is_some_and(|policy| policy.sponsoring.stay(&policy.terms, document, today).is_some())
}

/// Somebody can answer for others from now on, or cannot any more, or is gone: those for whom it does are looked at.
pub(super) fn look_at_sponsored(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<(), Error> {
    let there = work.having(USER, &format!("{URN}:{SPONSOR}.value"), &[id.to_string()], None, FEW)?;
    match there.filter(|there| (there.len() as i64) < FEW) {
        Some(there) => there.into_iter().for_each(|id| work.put_due(id, Some(Due::at(ctx.now)))),
        // Too many to be named, or nobody knows who: everybody is looked at.
        None => work.put_due(EVERYBODY, Some(Due::at(ctx.now))),
    }
    Ok(())
}

/// A User is gone: those for whom it answered are looked at.
pub(super) fn note_gone(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<(), Error> {
    let book = Book::of(work)?;
    match is_asked(&book) {
        true => look_at_sponsored(ctx, work, id),
        false => Ok(()),
    }
}
