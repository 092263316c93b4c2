//! In which state an account is: from the dates of its person, the policy that covers it, whether its sources have
//! withdrawn it, what blocks it, and the moment. Says what holds at any moment and when that changes next; never looks
//! into a document and never asks what time it is.

use jiff::civil::Date;

use crate::calendar::{Calendar, plus};
use crate::facts::{Facts, Period};

/// The states of an account, in the order of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Known, and the start is far off.
    Planned,
    /// The start is near: the account is prepared.
    Staged,
    /// Somebody works, or goes to school.
    Active,
    /// The last day is near.
    Ending,
    /// Everything rests, or the account is blocked.
    Suspended,
    /// The last day is over.
    Disabled,
    /// That was a while ago: gone for all who pull.
    Limbo,
    /// Erased but for its names. No living account is in it.
    Purged,
}

impl State {
    const ALL: [State; 8] = [
        State::Planned,
        State::Staged,
        State::Active,
        State::Ending,
        State::Suspended,
        State::Disabled,
        State::Limbo,
        State::Purged,
    ];

    /// As documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Planned => "planned",
            State::Staged => "staged",
            State::Active => "active",
            State::Ending => "ending",
            State::Suspended => "suspended",
            State::Disabled => "disabled",
            State::Limbo => "limbo",
            State::Purged => "purged",
        }
    }

    /// Reads what documents write.
    pub fn parse(text: &str) -> Option<Self> {
        State::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// SCIM's `active`.
    pub fn is_active(self) -> bool {
        matches!(self, State::Active | State::Ending)
    }

    /// Whether those who pull see the account without asking about states themselves.
    pub fn is_shown(self) -> bool {
        matches!(self, State::Active | State::Ending | State::Suspended | State::Disabled)
    }
}

/// Days before and after, for one kind of employment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// Staged so many days before the first.
    pub stage_before: i64,
    /// Ending so many days before the last.
    pub ending_before: i64,
    /// Limbo so many days after the account was disabled.
    pub limbo_after: i64,
    /// The account is kept as it is so many days after the last, for the next contract.
    pub bridge: i64,
}

impl Default for Offsets {
    fn default() -> Self {
        Offsets { stage_before: 14, ending_before: 7, limbo_after: 30, bridge: 0 }
    }
}

/// What a policy says of days.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The time zone of the dates.
    pub calendar: Calendar,
    /// For every kind of employment that is not named.
    pub offsets: Offsets,
    /// For kinds by name; enrolments have the kind [`ENROLMENT`].
    pub kinds: Vec<(String, Offsets)>,
    /// Whether a leave that says so keeps the account open.
    pub keep_access: bool,
    /// Days in limbo before the account is purged; `None`: never.
    pub purge_after: Option<i64>,
}

/// The kind of enrolments among kinds of employment.
pub const ENROLMENT: &str = "enrolment";

impl Default for Terms {
    fn default() -> Self {
        Terms {
            calendar: Calendar::default(),
            offsets: Offsets::default(),
            kinds: Vec::new(),
            keep_access: true,
            purge_after: None,
        }
    }
}

impl Terms {
    /// The days of a kind of employment.
    pub(crate) fn of(&self, kind: Option<&str>) -> Offsets {
        let named = self.kinds.iter().find(|(name, _)| kind.is_some_and(|kind| kind.eq_ignore_ascii_case(name)));
        named.map_or(self.offsets, |(_, offsets)| *offsets)
    }
}

/// What of an account is not dates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The state that it was in, and since when (µs since 1970).
    pub held: Option<(State, i64)>,
    /// Whether there were dates before this change.
    pub was_dated: bool,
    /// When the last of the sources that it is from withdrew it, µs since 1970.
    pub withdrawn: Option<i64>,
    /// Whether a source that had withdrawn it brings it back now.
    pub is_back: bool,
    /// Whether somebody blocks it.
    pub is_blocked: bool,
    /// Whether it is on hold: nothing purges it.
    pub is_on_hold: bool,
}

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its state; [`State::Purged`]: it is to be purged.
    pub state: State,
    /// Since when, µs since 1970: actually, whatever the dates say.
    pub since: i64,
    /// The next state and when it comes by itself, µs since 1970.
    pub next: Option<(State, i64)>,
}

/// In which state an account is at `now` (µs since 1970).
pub fn judge(terms: &Terms, facts: &Facts, standing: Standing, now: i64) -> Verdict {
    let line = Line::of(terms, facts, standing, now);
    let state = line.at(now);
    let since = standing.held.filter(|(held, _)| *held == state).map_or(now, |(_, since)| since);
    let turns = line.turns(now);
    let next = turns.into_iter().map(|at| (line.at(at), at)).find(|(next, _)| *next != state);
    let purge = match (state, terms.purge_after) {
        // Who is to come back is not purged.
        (State::Limbo, Some(days)) if !line.is_awaited(now) && !standing.is_on_hold => {
            let since = terms.calendar.day_of(since);
            Some(terms.calendar.start_of(plus(since, days)))
        }
        _ => None,
    };
    match purge {
        Some(at) if at <= now => Verdict { state: State::Purged, since: now, next: None },
        Some(at) => Verdict { state, since, next: Some((State::Purged, at)) },
        None => Verdict { state, since, next },
    }
}

/// What holds an account: an employment or an enrolment.
struct Tie<'f> {
    period: Period,
    offsets: Offsets,
    /// The employment that may rest.
    employment: Option<&'f str>,
}

impl Tie<'_> {
    /// The last day on which it keeps the account.
    fn until(&self) -> Option<Date> {
        self.period.to.map(|to| plus(to, self.offsets.bridge))
    }
}

/// Ties without a gap between them.
struct Chain {
    from: Date,
    /// The last day on which the account is kept; `None`: no end is known.
    until: Option<Date>,
    /// The last day of the last tie.
    last: Option<Date>,
    ending_before: i64,
    limbo_after: i64,
    limbo_from: Option<Date>,
}

impl Chain {
    fn new(tie: &Tie<'_>) -> Self {
        let mut chain = Chain {
            from: tie.period.from,
            until: tie.until(),
            last: tie.period.to,
            ending_before: tie.offsets.ending_before,
            limbo_after: 0,
            limbo_from: None,
        };
        chain.keep(tie);
        chain
    }

    /// Whether a tie that begins no earlier leaves no gap.
    fn reaches(&self, tie: &Tie<'_>) -> bool {
        self.until.is_none_or(|until| tie.period.from <= plus(until, 1))
    }

    fn add(&mut self, tie: &Tie<'_>) {
        self.until = later(self.until, tie.until());
        if self.last.is_some() && self.last == tie.period.to {
            self.ending_before = self.ending_before.max(tie.offsets.ending_before);
        } else if later(self.last, tie.period.to) != self.last {
            (self.last, self.ending_before) = (tie.period.to, tie.offsets.ending_before);
        }
        self.keep(tie);
    }

    /// Of several that ended, the one that is kept longest counts.
    fn keep(&mut self, tie: &Tie<'_>) {
        self.limbo_after = self.limbo_after.max(tie.offsets.limbo_after);
        let from = tie.until().map(|until| plus(until, 1 + tie.offsets.limbo_after));
        self.limbo_from = self.limbo_from.max(from);
    }

    fn holds(&self, day: Date) -> bool {
        self.from <= day && self.until.is_none_or(|until| day <= until)
    }

    fn is_ending(&self, day: Date) -> bool {
        self.last.is_some_and(|last| plus(last, -self.ending_before) <= day)
    }
}

/// The later of two ends; none is later than any.
fn later(one: Option<Date>, other: Option<Date>) -> Option<Date> {
    one.zip(other).map(|(one, other)| one.max(other))
}

/// The states of an account over time, as far as is known.
struct Line<'f> {
    terms: &'f Terms,
    facts: &'f Facts,
    ties: Vec<Tie<'f>>,
    chains: Vec<Chain>,
    /// From then on nothing ties the account any more, whatever the dates say.
    cut: Option<i64>,
    is_blocked: bool,
    /// What was of the account, whatever the dates of today say.
    past: Past,
    /// Whether no dates are known, and none ever were.
    is_bare: bool,
}

/// What was of an account.
#[derive(Clone, Copy, Debug)]
enum Past {
    /// Nobody has had it.
    Never,
    /// Somebody had it until then, µs since 1970.
    Ended(i64),
    /// That was a while ago.
    Gone,
}

impl<'f> Line<'f> {
    fn of(terms: &'f Terms, facts: &'f Facts, standing: Standing, now: i64) -> Self {
        let employments = facts.employments.iter().map(|one| Tie {
            period: one.period,
            offsets: terms.of(one.kind.as_deref()),
            employment: Some(one.id.as_str()),
        });
        let enrolments = facts.enrolments.iter();
        let enrolments =
            enrolments.map(|one| Tie { period: one.period, offsets: terms.of(Some(ENROLMENT)), employment: None });
        let mut ties: Vec<Tie<'f>> = employments.chain(enrolments).collect();
        ties.sort_by_key(|tie| tie.period.from);
        let mut chains: Vec<Chain> = Vec::new();
        for tie in &ties {
            match chains.last_mut() {
                Some(chain) if chain.reaches(tie) => chain.add(tie),
                _ => chains.push(Chain::new(tie)),
            }
        }
        let past = match standing.held {
            Some((State::Active | State::Ending | State::Suspended, _)) => Past::Ended(now),
            Some((State::Disabled, since)) => Past::Ended(since),
            Some((State::Limbo | State::Purged, _)) => Past::Gone,
            Some((State::Planned | State::Staged, _)) | None => Past::Never,
        };
        // An account of which no dates were ever known is there as long as its source says so.
        let is_bare = ties.is_empty()
            && match standing.held {
                None => true,
                Some((State::Active | State::Ending | State::Suspended, _)) => !standing.was_dated,
                Some(_) => standing.is_back && !standing.was_dated,
            };
        Line { terms, facts, ties, chains, past, is_bare, cut: standing.withdrawn, is_blocked: standing.is_blocked }
    }

    /// The state at an instant.
    fn at(&self, at: i64) -> State {
        let state = match self.cut.filter(|cut| *cut <= at) {
            Some(cut) => self.after_cut(cut, at),
            None => self.by_dates(at),
        };
        if self.is_blocked && state.is_active() { State::Suspended } else { state }
    }

    fn by_dates(&self, at: i64) -> State {
        let day = self.terms.calendar.day_of(at);
        if self.is_bare {
            return State::Active;
        }
        if let Some(chain) = self.chains.iter().find(|chain| chain.holds(day)) {
            return match () {
                () if self.rests(day) => State::Suspended,
                () if chain.is_ending(day) => State::Ending,
                () => State::Active,
            };
        }
        let is_near = |tie: &Tie<'_>| day < tie.period.from && plus(tie.period.from, -tie.offsets.stage_before) <= day;
        if self.ties.iter().any(is_near) {
            return State::Staged;
        }
        match self.chains.iter().rev().find(|chain| chain.until.is_some_and(|until| until < day)) {
            Some(chain) if chain.limbo_from.is_some_and(|limbo| limbo <= day) => State::Limbo,
            Some(_) => State::Disabled,
            // Work that never was, by what is known now: who had an account is not as if there had been none.
            None => match self.past {
                Past::Never => State::Planned,
                Past::Gone => State::Limbo,
                Past::Ended(ended) if self.limbo_after(ended) <= day => State::Limbo,
                Past::Ended(_) => State::Disabled,
            },
        }
    }

    /// The day on which limbo begins for what ended at an instant that no date says.
    fn limbo_after(&self, ended: i64) -> Date {
        plus(self.terms.calendar.day_of(ended), 1 + self.terms.offsets.limbo_after)
    }

    /// The state once nothing ties the account any more.
    fn after_cut(&self, cut: i64, at: i64) -> State {
        let calendar = &self.terms.calendar;
        let (cut_on, day) = (calendar.day_of(cut), calendar.day_of(at));
        let Some(chain) = self.chains.iter().rev().find(|chain| chain.from <= cut_on) else {
            return match self.past {
                Past::Ended(_) if day < self.limbo_after(cut) => State::Disabled,
                Past::Never if self.is_bare && day < self.limbo_after(cut) => State::Disabled,
                // Who never came leaves no account that others should see.
                Past::Ended(_) | Past::Never | Past::Gone => State::Limbo,
            };
        };
        let by_cut = plus(cut_on, 1 + chain.limbo_after);
        let limbo = chain.limbo_from.map_or(by_cut, |limbo| limbo.min(by_cut));
        if limbo <= day { State::Limbo } else { State::Disabled }
    }

    /// Whether everything that holds on a day rests.
    fn rests(&self, day: Date) -> bool {
        let mut holding = false;
        for tie in &self.ties {
            if tie.period.holds(day) {
                holding = true;
                let leave = tie.employment.and_then(|id| self.facts.leave(id, day));
                if leave.is_none_or(|leave| leave.keep_access && self.terms.keep_access) {
                    return false;
                }
            } else if tie.period.from <= day && tie.until().is_some_and(|until| day <= until) {
                return false;
            }
        }
        holding
    }

    /// Whether somebody is to come back after an instant.
    fn is_awaited(&self, at: i64) -> bool {
        let day = self.terms.calendar.day_of(at);
        self.cut.is_none_or(|cut| at < cut) && self.ties.iter().any(|tie| day < tie.period.from)
    }

    /// The instants after `now` at which the state may be another one, in order.
    fn turns(&self, now: i64) -> Vec<i64> {
        let mut days: Vec<Date> = Vec::new();
        for tie in &self.ties {
            let Offsets { stage_before, ending_before, .. } = tie.offsets;
            days.extend([plus(tie.period.from, -stage_before), tie.period.from]);
            days.extend(tie.period.to.map(|to| plus(to, -ending_before)));
            days.extend(tie.period.to.map(|to| plus(to, 1)));
            days.extend(tie.until().map(|until| plus(until, 1)));
        }
        for Chain { limbo_from, limbo_after, .. } in &self.chains {
            days.extend(*limbo_from);
            days.extend(self.cut.map(|cut| plus(self.terms.calendar.day_of(cut), 1 + limbo_after)));
        }
        days.extend(self.cut.map(|cut| self.limbo_after(cut)));
        if let Past::Ended(ended) = self.past {
            days.push(self.limbo_after(ended));
        }
        for leave in &self.facts.leaves {
            days.push(leave.period.from);
            days.extend(leave.period.to.map(|to| plus(to, 1)));
        }
        let mut turns: Vec<i64> = days.into_iter().map(|day| self.terms.calendar.start_of(day)).collect();
        turns.extend(self.cut);
        turns.retain(|at| *at > now);
        turns.sort_unstable();
        turns.dedup();
        turns
    }
}

#[cfg(test)]
mod tests;
