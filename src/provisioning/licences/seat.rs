//! One seat and its next step. A seat is reserved for who is yet to begin or rests, assigned to who has the right, waits to
//! be confirmed gone where a target system has to say so, and then is free. Who gets none waits.

use jiff::civil::Date;

use super::Terms;
use crate::calendar::{Calendar, plus};

/// What a seat is to its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is none yet: the holder is in the queue.
    Waiting,
    /// It is kept for the holder, who does not have the right.
    Reserved,
    /// The holder has the right.
    Assigned,
    /// The holder has the right no more; a target system has yet to confirm it.
    Reclaiming,
    /// It was taken back.
    Free,
}

impl Stage {
    /// The stage of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "waiting" => Some(Stage::Waiting),
            "reserved" => Some(Stage::Reserved),
            "assigned" => Some(Stage::Assigned),
            "reclaimPending" => Some(Stage::Reclaiming),
            "free" => Some(Stage::Free),
            _ => None,
        }
    }

    /// The name in the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Waiting => "waiting",
            Stage::Reserved => "reserved",
            Stage::Assigned => "assigned",
            Stage::Reclaiming => "reclaimPending",
            Stage::Free => "free",
        }
    }

    /// Whether nobody else can have the seat meanwhile.
    pub fn occupies(self) -> bool {
        matches!(self, Stage::Reserved | Stage::Assigned | Stage::Reclaiming)
    }
}

/// A seat, or a place in the queue for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// What it is.
    pub stage: Stage,
    /// Since when it is that, µs since 1970.
    pub since: i64,
    /// Whether it is reserved because the right rests: the holder had it before.
    pub is_resting: bool,
}

/// What the rules want of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The right holds.
    Now,
    /// It will once the account is active.
    Later,
    /// It rests.
    Rests,
    /// It is over, and the policy keeps the seat for some more time.
    Kept,
    /// There is no ground for it.
    Never,
}

/// How much room there is for who has no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Seats that nobody occupies; less than 0 where more are taken than there are.
    pub free: i64,
    /// How many wait who come before.
    pub before: i64,
    /// Whether one is given at all now, or only a place in the queue.
    pub is_open: bool,
}

impl Room {
    fn is_there(self) -> bool {
        self.is_open && self.before < self.free
    }
}

/// What becomes of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// It becomes that. `is_resting` as in [`Seat`].
    Become {
        /// What it becomes.
        stage: Stage,
        /// Whether it is reserved because the right rests.
        is_resting: bool,
    },
    /// It is taken back and free.
    Free,
    /// The place in the queue is given up, or what was no seat is forgotten.
    Leave,
}

/// The next step of a seat at a moment (µs since 1970), and when it is to be asked again by itself. The terms are `None` for an
/// entitlement that is not limited any more.
pub fn next(
    terms: Option<&Terms>,
    seat: Option<Seat>,
    wish: Wish,
    room: Room,
    now: i64,
    calendar: &Calendar,
) -> (Step, Option<i64>) {
    let Some(terms) = terms else {
        return (if seat.is_some() { Step::Leave } else { Step::Stay }, None);
    };
    let step = match (wish, seat.map(|seat| seat.stage)) {
        (_, Some(Stage::Free)) => Step::Leave,
        (Wish::Now | Wish::Later, stage) => wanted(wish, stage, room),
        (Wish::Rests | Wish::Kept | Wish::Never, None) => Step::Stay,
        (Wish::Rests | Wish::Kept | Wish::Never, Some(Stage::Waiting)) => Step::Leave,
        (Wish::Rests | Wish::Kept | Wish::Never, Some(Stage::Reclaiming)) => Step::Stay,
        (Wish::Rests, Some(stage)) => return resting(terms, seat, stage, now, calendar),
        (Wish::Kept, Some(_)) => Step::Stay,
        (Wish::Never, Some(_)) => give_back(terms, seat),
    };
    (step, None)
}

fn wanted(wish: Wish, stage: Option<Stage>, room: Room) -> Step {
    let shall = if wish == Wish::Now { Stage::Assigned } else { Stage::Reserved };
    let become_ = |stage| Step::Become { stage, is_resting: false };
    match stage {
        Some(stage) if stage == shall => Step::Stay,
        Some(stage) if stage.occupies() => become_(shall),
        _ if room.is_there() => become_(shall),
        Some(_) => Step::Stay,
        None => become_(Stage::Waiting),
    }
}

/// A seat whose holder's right rests: kept for so many days.
fn resting(terms: &Terms, seat: Option<Seat>, stage: Stage, now: i64, calendar: &Calendar) -> (Step, Option<i64>) {
    let rests = seat.filter(|seat| seat.is_resting);
    let since = rests.map_or(now, |seat| seat.since);
    let until = terms.leave_days.map(|days| calendar.start_of(plus(calendar.day_of(since), days)));
    match until {
        Some(until) if until <= now => (give_back(terms, seat), None),
        until if rests.is_some() && stage == Stage::Reserved => (Step::Stay, until),
        until => (Step::Become { stage: Stage::Reserved, is_resting: true }, until),
    }
}

/// What no target system ever had is free at once.
fn give_back(terms: &Terms, seat: Option<Seat>) -> Step {
    let was_there = seat.is_some_and(|seat| seat.stage == Stage::Assigned || seat.is_resting);
    match terms.confirms && was_there {
        true => Step::Become { stage: Stage::Reclaiming, is_resting: false },
        false => Step::Free,
    }
}

/// Whose turn it is, as a text: the lowest is the first. Priority, then the day from which on the right is wanted, then who asked
/// first (µs since 1970), then who it is.
pub fn turn(priority: i64, start: Date, asked: i64, user: &str) -> String {
    // The order of unsigned numbers is the order of their digits.
    let earlier = !(priority.cast_unsigned() ^ (1 << 63));
    let asked = asked.cast_unsigned() ^ (1 << 63);
    let (year, month, day) = (i32::from(start.year()) + 10_000, start.month(), start.day());
    format!("{earlier:016x}.{year:05}{month:02}{day:02}.{asked:016x}.{user}")
}
