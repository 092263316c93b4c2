//! What becomes of one User's seats: what the rules want of each limited entitlement, how much room there is, and whether
//! another account of the same person has a seat already. A right that has no seat is not held but waits. Writes nothing.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde_json::{Map, Value};

use provisioning::licences::{FreeAt, Room, Stage, Step, Terms, Wish, next};
use provisioning::lifecycle;
use provisioning::person::USER;
use provisioning::rules::{Account, Case, Held, Judged, Kind, Standing, State};
use store::{ResourceId, Work};

use super::known::{Known, Payer};
use super::seats::{Move, Turn, heir, of_person, of_user};
use super::{ASSIGNMENT, Error, Pools, may_concern, pool};
use crate::directory::settle::rights::{Subject, position};
use crate::directory::{Ctx, persons};

/// What becomes of the seats of one User.
#[derive(Debug, Default)]
pub(in crate::directory) struct Decided {
    /// What is to be written.
    pub(in crate::directory) moves: Vec<Move>,
    /// When it is to be asked again by itself, µs since 1970.
    pub(in crate::directory) due: Option<i64>,
    /// Entitlements that the User keeps although there is no ground for them any more: the policy says so.
    pub(in crate::directory) kept: BTreeSet<String>,
    /// Entitlements that the User does not have, whatever its document says.
    pub(in crate::directory) without: BTreeSet<String>,
}

/// Works out what becomes of the seats of a User. Of what has been judged, rights that have no seat are made to wait, and
/// rights of restricted entitlements to rest or to be withheld. Fails with 409 when a client gives somebody by hand what
/// there is none left of, and as denied for what nobody may be given by hand.
pub(in crate::directory) fn decide(
    ctx: &Ctx,
    work: &mut Work<'_>,
    pools: &Pools,
    subject: &Subject<'_>,
    case: &Case<'_>,
    held: &[Held],
    judged: &mut [Judged],
) -> Result<Decided, Error> {
    let mut decided = Decided::default();
    if pools.is_empty() && work.count(ASSIGNMENT) == 0 {
        return Ok(decided);
    }
    let seats = if subject.is_new { Vec::new() } else { of_user(work, subject.id)? };
    let mut targets: BTreeSet<ResourceId> = seats.iter().filter_map(Known::entitlement).collect();
    for (id, terms) in pools {
        let key = id.to_string();
        let is_claimed = judged.iter().any(|one| one.claim.target.as_ref() == Ok(&key));
        let is_held = held.iter().any(|one| one.target == key);
        if is_claimed || is_held || has(subject.document, terms) {
            targets.insert(*id);
        }
    }
    for target in targets {
        let known = seats.iter().find(|known| known.entitlement() == Some(target)).cloned();
        let mut one =
            One { ctx, subject, case, held, target, key: target.to_string(), terms: pools.get(&target), known };
        one.decide(judged, work, &mut decided)?;
    }
    Ok(decided)
}

fn has(document: &Map<String, Value>, terms: &Terms) -> bool {
    position(document, &Value::from(terms.value.as_str())).is_some()
}

/// One entitlement and one User.
struct One<'d> {
    ctx: &'d Ctx,
    subject: &'d Subject<'d>,
    case: &'d Case<'d>,
    held: &'d [Held],
    target: ResourceId,
    key: String,
    terms: Option<&'d Terms>,
    known: Option<Known>,
}

impl One<'_> {
    fn decide(&mut self, judged: &mut [Judged], work: &mut Work<'_>, decided: &mut Decided) -> Result<(), Error> {
        self.restrict(judged);
        self.reserve(judged);
        let wish = self.wish(judged);
        let is_given = self.is_given_now();
        let is_of_rule = judged.iter().any(|one| one.claim.target.as_ref() == Ok(&self.key));
        if is_given && !is_of_rule && self.terms.is_some_and(|terms| terms.is_restricted) {
            let value = self.terms.map(|terms| terms.value.as_str()).unwrap_or_default();
            return Err(Error::Denied(format!("The entitlement {value:?} is restricted: nobody is given it by hand.")));
        }
        let turn = self.turn(judged);
        let person = self.person();
        let sharing = self.sharing(person, work)?;
        let room = self.room(&turn, person, work)?;
        // A seat that leans on another account's is none without it.
        let seat = match (self.known.as_ref(), sharing.anchored) {
            (Some(known), false) if known.is_shared() => None,
            (known, _) => known.and_then(Known::seat),
        };
        let (mut step, due) = next(self.terms, seat, wish, room, self.ctx.now, self.subject.calendar);
        let wants = matches!(wish, Wish::Now | Wish::Later);
        let shall = if wish == Wish::Now { Stage::Assigned } else { Stage::Reserved };
        let is_adopted = wish == Wish::Now && self.was_held() && !is_given;
        if wants && seat.is_none_or(|seat| !seat.stage.occupies()) && (sharing.anchored || is_adopted) {
            // The person has a seat, or the User had it before anybody counted: nothing is taken from who has it.
            step = Step::Become { stage: shall, is_resting: false };
        }
        let is_shared = sharing.anchored && !sharing.is_anchor;
        let was_shared = self.known.as_ref().is_some_and(Known::is_shared);
        if step == Step::Stay && self.known.is_some() && is_shared != was_shared {
            step = match seat.filter(|seat| seat.stage.occupies()) {
                Some(seat) => Step::Become { stage: seat.stage, is_resting: seat.is_resting },
                None => Step::Stay,
            };
        }
        let heir = self.known.as_ref().map(|known| heir(work, known)).transpose()?.flatten();
        if heir.is_some() && matches!(step, Step::Become { stage: Stage::Reclaiming, .. }) {
            step = Step::Free;
        }
        decided.due = decided.due.into_iter().chain(due).min();
        let stage = match step {
            Step::Stay => seat.map(|seat| seat.stage),
            Step::Become { stage, .. } => Some(stage),
            Step::Free | Step::Leave => None,
        };
        self.tell(wish, stage, judged, decided);
        if wish == Wish::Now && stage != Some(Stage::Assigned) && is_given && !is_of_rule {
            let value = self.terms.map(|terms| terms.value.as_str()).unwrap_or_default();
            let detail =
                format!("entitlements: none of {value:?} is free, and others wait for it before. Nothing was done.");
            return Err(scim::Error::status(409, detail).into());
        }
        let may_differ = |known: &Known| known.stage() == Some(Stage::Waiting) || known.person() != person;
        if step != Step::Stay || self.known.as_ref().is_some_and(may_differ) {
            let day = self.case.day();
            decided.moves.push(Move {
                entitlement: self.target,
                value: self.terms.map(|terms| terms.value.clone()).unwrap_or_default(),
                step,
                turn: wants.then_some(turn),
                person,
                is_shared,
                heir,
                payer: Payer::of(self.subject.document, day, self.terms),
                permitted: self.terms.map_or(0, |terms| terms.permitted),
                known: self.known.clone(),
            });
        }
        Ok(())
    }

    fn of_target<'j>(&self, judged: &'j [Judged]) -> impl Iterator<Item = &'j Judged> {
        let key = self.key.clone();
        judged.iter().filter(move |one| one.claim.target.as_ref() == Ok(&key))
    }

    /// What is restricted is not given by hand, and rests during every leave.
    fn restrict(&self, judged: &mut [Judged]) {
        if self.terms.is_none_or(|terms| !terms.is_restricted) {
            return;
        }
        for one in judged.iter_mut().filter(|one| one.claim.target.as_ref() == Ok(&self.key)) {
            if !matches!(one.standing, Standing::Held | Standing::Reserved) {
                continue;
            }
            let employment = one.claim.ground.element.as_deref();
            let employment = employment.and_then(|element| element.get("employmentId")?.as_str());
            let leave = employment.and_then(|id| self.case.facts().leave(id, self.case.day()));
            if one.claim.ground.kind == Kind::Hand {
                one.standing = Standing::Withheld("it is restricted, and nobody is given it by hand".to_owned());
            } else if let Some(leave) = leave {
                let reason =
                    format!("the employment {} rests for a leave since {}", leave.employment, leave.period.from);
                one.standing = Standing::Rests(reason);
            }
        }
    }

    /// Of whoever is staged, what begins with the first day is reserved.
    fn reserve(&self, judged: &mut [Judged]) {
        if self.terms.is_none() || self.subject.state != Some(lifecycle::State::Staged) {
            return;
        }
        let starts = self.case.facts().employments.iter().map(|one| one.period.from);
        let first = starts.filter(|start| *start > self.case.day()).min();
        for one in judged.iter_mut().filter(|one| one.claim.target.as_ref() == Ok(&self.key)) {
            if matches!(one.standing, Standing::Ahead(Some(from)) if first.is_none_or(|first| from <= first)) {
                one.standing = Standing::Reserved;
            }
        }
    }

    /// Whether it is held on a ground that no rule of today gives.
    fn is_held_otherwise(&self) -> bool {
        self.held.iter().any(|one| {
            let is_ruled = one.kind == Kind::Rule || (one.kind == Kind::Hand && !one.ground.is_empty());
            one.target == self.key && one.state == State::Held && !is_ruled
        })
    }

    /// Whether it was held before this write, on whatever ground, and nobody counted it.
    fn was_held(&self) -> bool {
        let has = |document: &Map<String, Value>| self.terms.is_some_and(|terms| has(document, terms));
        self.known.is_none()
            && (self.held.iter().any(|one| one.target == self.key && one.state == State::Held && one.since > 0)
                || self.subject.before.is_some_and(has))
    }

    /// Whether this write puts it into the User's document.
    fn is_given_now(&self) -> bool {
        let has = |document: &Map<String, Value>| self.terms.is_some_and(|terms| has(document, terms));
        has(self.subject.document) && !self.subject.before.is_some_and(has)
    }

    fn wish(&self, judged: &[Judged]) -> Wish {
        let account = self.subject.account();
        let any = |is: fn(&Standing) -> bool| self.of_target(judged).any(|one| is(&one.standing));
        let is_open = matches!(account, Account::Holds | Account::Reserves);
        let rested = || self.held.iter().any(|one| one.target == self.key && one.state == State::Rests);
        // What a client puts beside a claim that does not hold is not by hand: it is what the rule says.
        let by_hand = self.is_held_otherwise() && (!self.is_given_now() || self.of_target(judged).next().is_none());
        if any(|one| *one == Standing::Held) || (is_open && by_hand) {
            return Wish::Now;
        }
        if any(|one| *one == Standing::Reserved) {
            return Wish::Later;
        }
        let day = self.case.day();
        let facts = self.case.facts();
        let is_between = || !facts.employments.is_empty() && facts.current(day).next().is_none();
        let is_kept = matches!(
            (self.terms.map(|terms| terms.free_at), self.subject.state),
            (Some(FreeAt::Limbo | FreeAt::Purge), Some(lifecycle::State::Disabled))
                | (Some(FreeAt::Purge), Some(lifecycle::State::Limbo))
        );
        match account {
            Account::Gone if is_kept => Wish::Kept,
            Account::Gone => Wish::Never,
            _ if any(|one| matches!(one, Standing::Rests(_))) => Wish::Rests,
            Account::Rests if rested() || self.is_held_otherwise() => Wish::Rests,
            _ if self.terms.is_some_and(|terms| terms.bridges) && is_between() => Wish::Rests,
            _ => Wish::Never,
        }
    }

    fn turn(&self, judged: &[Judged]) -> Turn {
        let on = || self.of_target(judged).filter(|one| matches!(one.standing, Standing::Held | Standing::Reserved));
        let default = self.terms.map_or(0, |terms| terms.priority);
        let priority = on().map(|one| one.claim.rule.priority).max().filter(|priority| *priority != 0);
        let start: Option<Date> = on().filter_map(|one| one.claim.ground.from).min();
        let waiting = self.known.as_ref().filter(|known| known.stage() == Some(Stage::Waiting));
        let asked = waiting.and_then(|known| known.moment("since")).unwrap_or(self.ctx.now);
        Turn {
            priority: priority.unwrap_or(default),
            start: start.unwrap_or_else(|| self.subject.calendar.day_of(asked)),
            asked,
            user: self.subject.id,
        }
    }

    fn person(&self) -> Option<ResourceId> {
        let is_of_person = self.terms.is_some_and(|terms| terms.is_of_person);
        is_of_person.then(|| persons::person_of(self.subject.document)).flatten()
    }

    /// Whether an account of the person has a seat, and whether it is this one.
    fn sharing(&self, person: Option<ResourceId>, work: &mut Work<'_>) -> Result<Sharing, Error> {
        let Some(person) = person else { return Ok(Sharing::default()) };
        let mine = self.known.as_ref().map(|known| known.id);
        let sits = |known: &Known| !known.is_shared() && known.stage().is_some_and(Stage::occupies);
        let others = of_person(work, person)?.into_iter();
        let others = others.filter(|other| Some(other.id) != mine && other.entitlement() == Some(self.target));
        let anchor = others.filter(sits).map(|other| other.id).min();
        // Of two accounts with a seat each, which are linked now, the older seat stays.
        let is_anchor =
            self.known.as_ref().is_some_and(|known| sits(known) && anchor.is_none_or(|other| known.id < other));
        Ok(Sharing { anchored: anchor.is_some(), is_anchor })
    }

    fn room(&self, turn: &Turn, person: Option<ResourceId>, work: &mut Work<'_>) -> Result<Room, Error> {
        let Some(terms) = self.terms else { return Ok(Room { free: 0, before: 0, is_open: false }) };
        if let Some(winners) = &self.ctx.winners {
            let is_open = winners.contains(&(self.target, self.subject.id));
            return Ok(Room { free: 1, before: 0, is_open });
        }
        let free = terms.permitted - pool::counts(work, self.target)?.used;
        let before = match free > 0 {
            true => work.count_before(ASSIGNMENT, "turn", &self.key, Some(&turn.text(self.target)), free)?,
            false => 0,
        };
        let waits = self.known.as_ref().is_some_and(|known| known.stage() == Some(Stage::Waiting));
        // The scheduler lets everybody of a moment join the queue first, unless there is one for each. So does who is yet to
        // be told whose account it is.
        let is_hurried = self.ctx.caller.id == ResourceId::SYSTEM && terms.permitted < work.count(USER);
        let is_unknown = terms.is_of_person && person.is_none() && persons::concern(USER, work);
        Ok(Room { free, before, is_open: waits || !(is_hurried || is_unknown) })
    }

    /// Says in what was judged what came of it.
    fn tell(&self, wish: Wish, stage: Option<Stage>, judged: &mut [Judged], decided: &mut Decided) {
        let has_seat = stage == Some(Stage::Assigned);
        if self.terms.is_none() || (wish == Wish::Now && has_seat) {
            return;
        }
        if wish == Wish::Kept && has_seat {
            decided.kept.insert(self.key.clone());
            return;
        }
        decided.without.insert(self.key.clone());
        let waits = stage == Some(Stage::Waiting);
        for one in judged.iter_mut().filter(|one| one.claim.target.as_ref() == Ok(&self.key)) {
            if one.standing == Standing::Held || (waits && one.standing == Standing::Reserved) {
                one.standing = Standing::Waiting;
            }
        }
    }
}

/// How the accounts of a person stand to one seat.
#[derive(Clone, Copy, Debug, Default)]
struct Sharing {
    /// Another account has one.
    anchored: bool,
    /// This account has one that goes before.
    is_anchor: bool,
}

/// Whether any seat of a User follows its person.
pub(in crate::directory) fn follows_person(pools: &Pools, work: &Work<'_>) -> bool {
    may_concern(work) && pools.values().any(|terms| terms.is_of_person)
}
