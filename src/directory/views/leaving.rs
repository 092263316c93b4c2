//! What becomes of users that leave a view which says `leaving: inactive`: for some days its clients go on seeing them, as
//! inactive ones. The write that makes a user leave notes it in the document, where nobody reads it (`scim`'s `NOTES`): which
//! view, and until when. From then on the view's filter finds it by that note; when its time has come the note falls due and
//! goes, and whoever comes back loses it at once. So nothing is worked out from the clock when somebody reads.
//!
//! When the view itself becomes another one, what it showed before stands in it (`former`) until every user that it lets go
//! has its note, slice by slice in the background. Never says who may see what: that is the view made of this.

use std::sync::Arc;

use provisioning::calendar::instant;
use scim::filter::{Checked, Filter, NOTED, NOTED_VIEW, NOTES};
use scim::key;
use scim::schema::{Definition, Registry};
use scim::view::{is_noted, noted, read_by};
use serde_json::{Map, Value, json};
use store::work::{Draft, document_of};
use store::{Due, Record, ResourceId, Work};

use super::super::audit::note_protected;
use super::super::particular::{Follow, Write};
use super::super::settle::{self, Book, Fallen, USER};
use super::super::{Ctx, Error};
use super::{Rule, VIEW, filter, rules};

/// What the view showed before it was changed, as long as not every user that it lets go has its note.
const FORMER: &str = "former";
const LEAVING: &str = "leaving";
const DAYS: &str = "leavingDays";
const UNTIL: &str = "until";
/// Days that are not named.
const USUAL_DAYS: i64 = 30;
/// Most days that can be named.
const MOST_DAYS: i64 = 3_650;
const DAY: i64 = 86_400_000_000;
/// Users that one write looks at when a view has become another one.
const SLICE: i64 = 500;
/// A filter that every user fits, by its document alone.
const ALL: &str = "userName pr";

/// What of a view's document says who is shown as inactive.
pub(super) struct Left<'v> {
    view: ResourceId,
    former: Vec<&'v str>,
}

/// A view that shows users who have left for some days.
#[derive(Debug)]
pub(in crate::directory) struct Leaving {
    view: ResourceId,
    days: i64,
    /// Who is seen as everybody is.
    shown: Filter<Checked>,
    /// Who was, before the view was changed.
    former: Vec<Filter<Checked>>,
}

/// For how many days a view shows users that have left; `None`: they are gone.
fn days(document: &Map<String, Value>) -> Option<i64> {
    let says = document.get(LEAVING).and_then(Value::as_str)?;
    let days = document.get(DAYS).and_then(Value::as_i64).unwrap_or(USUAL_DAYS);
    says.eq_ignore_ascii_case("inactive").then_some(days.clamp(1, MOST_DAYS))
}

fn former(document: &Map<String, Value>) -> impl Iterator<Item = &str> {
    document.get(FORMER).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

impl<'v> Left<'v> {
    /// What a view says of users that leave it; `None`: they are gone.
    pub(super) fn of(view: ResourceId, document: &'v Map<String, Value>) -> Option<Self> {
        days(document)?;
        Some(Left { view, former: former(document).collect() })
    }

    /// Who it may be, beside those who are seen as everybody is: whoever has a note, or was seen before the view was changed.
    pub(super) fn filter(&self, definition: &Definition) -> Filter<Checked> {
        let former = self.former.iter().filter_map(|text| filter(text, definition).ok());
        Filter::any([noted(&self.view.to_string())].into_iter().chain(former))
    }

    /// What a form of the view is the form of, beside those who are seen as everybody is.
    pub(super) fn view(&self) -> String {
        self.view.to_string()
    }
}

impl Leaving {
    /// What the document of a view says; `None`: nobody stays, or it fits the users of the day no more.
    fn read(registry: &Registry, view: ResourceId, document: &Map<String, Value>) -> Option<Self> {
        let (days, user) = (days(document)?, registry.definition(USER)?);
        let rule = rules(document, view).find(|rule| rule.kind == USER)?;
        let shown = rule.shown(user).ok()??;
        let former = former(document).filter_map(|text| filter(text, user).ok()).collect();
        Some(Leaving { view, days, shown, former })
    }

    /// Every view of the register of which that is so, by id.
    pub(in crate::directory) fn all(work: &mut Work<'_>) -> Result<Vec<Leaving>, Error> {
        let mut all = Vec::new();
        if work.keeps_notes(USER) {
            let registry = work.catalog().registry().clone();
            for record in work.records_of(VIEW)? {
                all.extend(Leaving::read(&registry, record.id, &document_of(&record)?));
            }
            all.sort_by_key(|leaving| leaving.view);
        }
        Ok(all)
    }

    fn has_shown(&self, document: &Map<String, Value>) -> bool {
        self.shown.matches(document) || self.former.iter().any(|former| former.matches(document))
    }

    /// Until when a user whose document becomes another one is shown as inactive.
    fn until(&self, before: &Map<String, Value>, after: &Map<String, Value>, now: i64) -> Option<i64> {
        if self.shown.matches(after) {
            return None;
        }
        match until(before, &self.view.to_string()) {
            Some(until) => Some(until).filter(|until| *until > now),
            None => self.has_shown(before).then(|| now.saturating_add(self.days.saturating_mul(DAY))),
        }
    }

    /// Whether the view was changed, and a user left or came back by that without its note saying so.
    fn is_to_note(&self, document: &Map<String, Value>) -> bool {
        match is_noted(document, &self.view.to_string()) {
            true => self.shown.matches(document),
            false => !self.shown.matches(document) && self.has_shown(document),
        }
    }
}

fn notes(document: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    document.get(NOTES).and_then(Value::as_array).into_iter().flatten()
}

fn end_of(note: &Value) -> Option<i64> {
    key::instant(note.get(UNTIL)?.as_str()?)
}

fn until(document: &Map<String, Value>, view: &str) -> Option<i64> {
    end_of(notes(document).find(|note| note.get(NOTED_VIEW).is_some_and(|noted| noted == view))?)
}

/// When the first note of a user falls due, µs since 1970.
pub(in crate::directory) fn next(document: &Map<String, Value>) -> Option<i64> {
    notes(document).filter_map(end_of).min()
}

/// Says in a user's document, as it is about to be written, which views go on showing it as inactive, and has it known if
/// it is a protected person's. `now`: µs since 1970.
pub(in crate::directory) fn note(
    now: i64,
    work: &mut Work<'_>,
    (kind, id): (&str, ResourceId),
    document: &mut Map<String, Value>,
) -> Result<(), Error> {
    note_protected(work, kind, document)?;
    if kind != USER || !work.keeps_notes(USER) {
        return Ok(());
    }
    let book = Book::of(work)?;
    let before = work.document_of(id)?;
    let note = |leaving: &Leaving| {
        let until = instant(leaving.until(before.as_deref()?, document, now)?)?;
        Some(json!({ NOTED_VIEW: leaving.view.to_string(), UNTIL: until }))
    };
    let notes: Vec<Value> = book.leavings().iter().filter_map(note).collect();
    match notes.is_empty() {
        true => drop(document.shift_remove(NOTES)),
        false => drop(document.insert(NOTES.to_owned(), Value::Array(notes))),
    }
    if let Some(next) = next(document)
        && work.due_of(id)?.is_none_or(|due| due.at > next)
    {
        work.put_due(id, Some(Due::at(next)));
    }
    Ok(())
}

/// The same in a document that others hold too: it is copied only where something may be said in it.
pub(in crate::directory) fn note_in_shared(
    now: i64,
    work: &mut Work<'_>,
    (kind, id): (&str, ResourceId),
    document: &mut Arc<Map<String, Value>>,
) -> Result<(), Error> {
    match kind == USER && work.keeps_notes(USER) {
        true => note(now, work, (kind, id), Arc::make_mut(document)),
        false => note_protected(work, kind, document),
    }
}

/// Checks what a view says of those who leave it. Fails with 400 invalidValue that names the place.
pub(super) fn check(registry: &Registry, document: &Map<String, Value>) -> Result<(), scim::Error> {
    let wrong = |detail: &str| Err(scim::Error::invalid_value(detail.to_owned()));
    let word = document.get(LEAVING).and_then(Value::as_str).unwrap_or("gone");
    let stays = word.eq_ignore_ascii_case("inactive");
    if !stays && !word.eq_ignore_ascii_case("gone") {
        return wrong(
            "leaving must be gone or inactive: whoever leaves the view is not there any more, or for some days inactive.",
        );
    }
    match document.get(DAYS).and_then(Value::as_i64) {
        Some(_) if !stays => return wrong("leavingDays is for views whose leaving is inactive."),
        Some(days) if !(1..=MOST_DAYS).contains(&days) => return wrong("leavingDays must be from 1 to 3650."),
        _ => {}
    }
    if !stays {
        return Ok(());
    }
    let rule = rules(document, ResourceId::SYSTEM).enumerate().find(|(_, rule)| rule.kind == USER);
    let (Some((index, rule)), Some(user)) = (rule, registry.definition(USER)) else {
        return wrong("leaving: inactive is for users, and the view does not show any.");
    };
    if rule.shown(user)?.is_some_and(|shown| read_by(&shown, user).is_none()) {
        return wrong(&format!(
            "types[{index}].filter: with leaving: inactive it can ask about stored attributes alone: not about groups, \
             externalId, id or meta."
        ));
    }
    if rule.released.as_ref().is_some_and(|paths| !paths.iter().any(|path| path.eq_ignore_ascii_case("active"))) {
        return wrong(&format!("types[{index}].attributes: with leaving: inactive, active must be among them."));
    }
    let forms = rule.forms.iter().filter_map(|form| Some((form, rule.mapping(form, user).ok()?)));
    match forms.into_iter().find(|(_, mapping)| mapping.asks_for("active")) {
        Some((form, _)) => wrong(&format!(
            "mappings[{}].template: with leaving: inactive it cannot ask for active, which is another one to who looks \
             through the view.",
            form.place
        )),
        None => Ok(()),
    }
}

/// What a view shows of users, as a filter that can be read again; `None`: none.
fn shown_text(rule: &Rule<'_>, user: &Definition) -> String {
    let parts = [rule.filter.map(|text| format!("({text})")), rule.protected.text(user)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { ALL.to_owned() } else { parts.join(" and ") }
}

/// Sees to a view that comes, changes or goes: users that it lets go stay in it until they have their notes.
pub(super) fn attend(
    write: &Write<'_>,
    mut after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    let before = write.before.map(document_of).transpose()?;
    let stayed = before.as_ref().is_some_and(|before| days(before).is_some());
    let stays = after.as_deref().is_some_and(|after| days(after).is_some());
    if let Some(after) = after.as_deref_mut() {
        let mut shown: Vec<String> =
            before.as_ref().filter(|_| stays).into_iter().flat_map(former).map(str::to_owned).collect();
        let registry = work.catalog().registry().clone();
        if let (true, Some(user), Some(before)) = (stays, registry.definition(USER), &before) {
            let text = |document| Some(shown_text(&rules(document, write.id).find(|rule| rule.kind == USER)?, user));
            shown.extend(text(before).filter(|was| text(after).as_ref() != Some(was) && !shown.contains(was)));
        }
        match shown.is_empty() {
            true => drop(after.shift_remove(FORMER)),
            false => drop(after.insert(FORMER.to_owned(), shown.into())),
        }
    }
    if !stayed && !stays {
        return Ok(None);
    }
    lay(work, write.id, stays)?;
    let is_to_spread = (stayed && !stays) || after.is_some_and(|after| after.contains_key(FORMER));
    Ok(Some(Box::new(move |write, record, work| {
        work.move_book();
        match record {
            Some(_) if is_to_spread => work.put_due(write.id, Some(Due::at(write.ctx.now))),
            Some(_) => {}
            None => {
                work.put_due(write.id, None);
                if work.has_notes(USER)? {
                    settle::tell_everybody_soon(write.ctx, work);
                }
            }
        }
        Ok(())
    })))
}

/// Has notes indexed as long as there is a view that leaves some, or a note that was left.
fn lay(work: &mut Work<'_>, view: ResourceId, stays: bool) -> Result<(), Error> {
    let mut wanted = stays || work.has_notes(USER)?;
    if !wanted {
        for record in work.records_of(VIEW)?.into_iter().filter(|record| record.id != view) {
            wanted |= days(&document_of(&record)?).is_some();
        }
    }
    Ok(work.keep_notes(USER, wanted)?)
}

/// Has the next slice of users that a changed view lets go get their notes, or lose those of a view that keeps nobody; and
/// goes on from there the next time.
pub(in crate::directory) fn spread(ctx: &Ctx, work: &mut Work<'_>, view: &Record, due: Due) -> Result<Fallen, Error> {
    let book = Book::of(work)?;
    let found = book.leavings().iter().find(|leaving| leaving.view == view.id);
    let users = match found {
        Some(_) => work.ids_of(USER, due.after, SLICE)?,
        None => work.having(USER, NOTED, &[view.id.to_string()], None, SLICE)?.unwrap_or_default(),
    };
    let is_last = (users.len() as i64) < SLICE;
    let last = users.last().copied().filter(|_| !is_last);
    for id in users {
        let Some(document) = work.document_of(id)? else { continue };
        if found.is_none_or(|leaving| leaving.is_to_note(&document))
            && let Some(user) = work.record(id)?
        {
            settle::look(ctx, work, &user)?;
        }
    }
    match found {
        _ if !is_last => {}
        found => {
            finish(work, view)?;
            if found.is_none() {
                let stays = days(&document_of(view)?).is_some();
                lay(work, view.id, stays)?;
            }
        }
    }
    let after = last.filter(|_| found.is_some());
    work.put_due(view.id, last.map(|_| Due { at: due.at, after }));
    Ok(Fallen::Same)
}

/// Takes out what the view showed before: whoever it has let go has a note.
fn finish(work: &mut Work<'_>, view: &Record) -> Result<(), Error> {
    let mut document = document_of(view)?;
    if document.shift_remove(FORMER).is_some() {
        let Record { id, kind, label, secret, .. } = view.clone();
        work.update(Draft { id, kind, label, secret, doc: document.into(), members: Vec::new(), external: None })?;
        work.move_book();
    }
    Ok(())
}
