//! What a User holds by rule: memberships of groups and entitlements, each with the grounds that it has. Judges with
//! `provisioning::rules` and says what is to follow; what is written, is written by [`follow`](super::follow). A member that
//! somebody put into a group stays when a rule ends: it is a ground of its own.

mod gather;
mod moves;
mod said;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde_json::{Map, Value};

use provisioning::calendar::Calendar;
use provisioning::lifecycle;
use provisioning::rules::{Account, Case, Held, Judged, Plan, State, plan, weigh};
use provisioning::units::Units;
use store::{Grant, ResourceId, Work};

use super::super::licences::{self, Decided};
use super::super::{Ctx, Error};
use super::{Book, Follow};

pub(in crate::directory) use gather::position;
use gather::{Gathered, gather, held_by_hand, kin};

/// Among the facts of a right that ended: what became of it.
const ENDED: &str = "ended";
const RESTS: &str = "rests";
const LAPSED: &str = "lapsed";
const ENTITLEMENTS: &str = "entitlements";

/// Whose rights are worked out, and on which day.
pub(in crate::directory) struct Subject<'s> {
    /// The User.
    pub(in crate::directory) id: ResourceId,
    /// Its document as it is stored.
    pub(in crate::directory) before: Option<&'s Map<String, Value>>,
    /// Its document as it shall be.
    pub(in crate::directory) document: &'s Map<String, Value>,
    /// Whether it is only now created.
    pub(in crate::directory) is_new: bool,
    /// Its state, where a policy covers it.
    pub(in crate::directory) state: Option<lifecycle::State>,
    /// The days of the tenant.
    pub(in crate::directory) calendar: &'s Calendar,
    /// The organisation's units.
    pub(in crate::directory) units: &'s Units,
}

impl Subject<'_> {
    /// What the account may hold: by its state; without a policy by `active`.
    pub(in crate::directory) fn account(&self) -> Account {
        match self.state {
            None if self.document.get("active") == Some(&Value::Bool(false)) => Account::Rests,
            None | Some(lifecycle::State::Active | lifecycle::State::Ending) => Account::Holds,
            Some(lifecycle::State::Planned | lifecycle::State::Staged) => Account::Reserves,
            Some(lifecycle::State::Suspended) => Account::Rests,
            Some(_) => Account::Gone,
        }
    }
}

/// What the rules say of one User.
pub(in crate::directory) struct Judgement {
    /// Every claim and how it ends.
    pub(in crate::directory) judged: Vec<Judged>,
    /// What is held, and what rests or is lost.
    pub(in crate::directory) held: Vec<Held>,
    /// The rows of that; `None`: a member that somebody put there, of whom no row tells.
    rows: Vec<Option<Grant>>,
    /// From when until when the dates behind each of them speak for it by now, where a document says so.
    dates: Vec<Option<(Option<Date>, Option<Date>)>>,
    /// What is to change.
    plan: Plan,
    /// When a rule may say something else by itself.
    next: Option<Date>,
    /// What of the targets the User has: as a member, or among its entitlements.
    has: BTreeSet<String>,
    /// The values of the targets that are entitlements.
    values: BTreeMap<String, Value>,
    /// What becomes of its seats of limited entitlements.
    seats: Decided,
}

/// Works out what the rules say of a User.
pub(in crate::directory) fn judge(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    subject: &Subject<'_>,
) -> Result<Judgement, Error> {
    let rules = book.rules();
    let day = subject.calendar.day_of(ctx.now);
    let case = Case::new(&subject.id.to_string(), subject.document, day);
    let Gathered { claims, mut held, rows, has, values } = gather(ctx, work, book, &case, subject, true)?;
    let mut by_hand = held_by_hand(work, rules, subject, &claims, &held)?;
    let kin = kin(ctx, work, book, subject, &claims)?;
    by_hand.extend(kin.by_hand);
    let account = subject.account();
    let mut judged = weigh(claims, &case, &held, &kin.others, &by_hand, account);
    let seats = licences::decide(ctx, work, book.pools(), subject, &case, &held, &mut judged)?;
    for (one, row) in held.iter_mut().zip(&rows) {
        // What stands in the document beside a seat, or without one, is nobody's ground.
        if row.is_none() && (seats.kept.contains(&one.target) || seats.without.contains(&one.target)) {
            one.state = State::Lapsed;
        }
    }
    let plan = plan(&judged, &held, account);
    let next = rules.iter().filter_map(|rule| rule.next_turn(&case)).chain(kin.next).min();
    let dates = held.iter().map(|one| rules.iter().find_map(|rule| rule.dates_of(&case, &one.ground))).collect();
    Ok(Judgement { judged, held, rows, dates, plan, next, has, values, seats })
}

/// Says what follows from the rules for a User: its entitlements as they shall be, if they change, and what it holds by hand.
pub(super) fn settle(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    subject: &Subject<'_>,
    follow: &mut Follow,
) -> Result<(Option<Value>, BTreeSet<String>), Error> {
    let has_seats = !book.pools().is_empty() || work.count(licences::ASSIGNMENT) > 0;
    if book.rules().is_empty() && !has_seats && (subject.is_new || work.grants_of(subject.id)?.is_empty()) {
        return Ok((None, BTreeSet::new()));
    }
    let heard = said::hear(ctx, work, book, subject)?;
    let Subject { id, before, document, state, calendar, units, .. } = *subject;
    // Where a source has spoken there are rows, also of somebody who is new.
    let subject = &Subject { id, before, document, is_new: subject.is_new && !heard, state, calendar, units };
    let mut judgement = judge(ctx, work, book, subject)?;
    follow.seats = std::mem::take(&mut judgement.seats.moves);
    follow.look_again(judgement.seats.due);
    follow.look_again(judgement.next.map(|day| subject.calendar.start_of(day)));
    judgement.write_grants(ctx, subject, follow);
    judgement.note_conflicts(book.rules(), subject, follow);
    let by_hand = judgement.by_hand();
    Ok((judgement.move_targets(subject, follow), by_hand))
}
