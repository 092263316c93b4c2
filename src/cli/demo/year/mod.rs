//! A year of a municipality: who comes, moves, leaves, rests, stands in, marries and comes back; the school year; phones; and
//! the dirty facts that the files of a personnel system have. Pure and seeded: a year is an iterator of events, each of which
//! says what a source has to say from that day on, and the same seed, size and first day give the same year everywhere.
//! Knows nothing of the server.

mod cast;
mod happen;
mod say;
mod school;

use std::collections::{BTreeMap, VecDeque};

use jiff::ToSpan;
use jiff::civil::{Date, date};
use serde_json::Value;

use super::municipality::Municipality;
use super::random::Random;
use cast::Cast;
pub use say::{ENTERPRISE, PERSON, UNIT, to_scim};

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The personnel system's units.
    Units,
    /// The personnel system.
    Staff,
    /// The school register.
    School,
    /// The telephony platform.
    Phones,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Somebody is hired, mostly some weeks ahead.
    Joined,
    /// Somebody goes to another unit.
    Moved,
    /// Somebody gives notice.
    Left,
    /// An employment rests for some months.
    Leave,
    /// A short contract, and others after a gap.
    Substitute,
    /// Another employment beside the first.
    SecondJob,
    /// Another family name.
    Renamed,
    /// Who was gone is back.
    Rehired,
    /// Who was to begin does not.
    Cancelled,
    /// The first day is another.
    StartMoved,
    /// A telephone number.
    Phone,
    /// A pupil comes in the middle of the year.
    Enrolled,
    /// A pupil moves away.
    Departed,
    /// The school year changes: a pupil goes to the next class, or has finished.
    SchoolYear,
    /// Dirty: the same person under a second number.
    Twice,
    /// Dirty: the last day was some weeks ago.
    EndedLate,
    /// Dirty: two who lead each other.
    Circle,
    /// Dirty: a unit that there is not, for some weeks.
    UnknownUnit,
    /// Dirty: a name in capitals, for some weeks.
    Capitals,
    /// Dirty: a name in a wrong encoding, for some weeks.
    Garbled,
    /// Dirty: no identity number, until it is filled in.
    NoNumber,
    /// Dirty: two contracts that overlap.
    Overlap,
    /// Somebody dies.
    Died,
    /// Somebody's data become protected.
    Protected,
    /// A unit moves below another sector, with all who work there.
    UnitMoved,
    /// What was wrong or open is put right.
    Mended,
}

impl What {
    /// Each, and how often it happens: in a year, of a thousand employees (for a pupil's: of a thousand pupils); and how often
    /// at least. What follows from another is not drawn.
    const DRAWN: [(What, usize, usize); 23] = [
        (What::Joined, 120, 3),
        (What::Moved, 80, 3),
        (What::Left, 110, 3),
        (What::Leave, 50, 2),
        (What::Substitute, 300, 3),
        (What::SecondJob, 30, 2),
        (What::Renamed, 15, 2),
        (What::Rehired, 25, 2),
        (What::Cancelled, 4, 1),
        (What::StartMoved, 10, 1),
        (What::Phone, 150, 3),
        (What::Enrolled, 20, 2),
        (What::Departed, 20, 2),
        (What::Twice, 2, 1),
        (What::EndedLate, 8, 1),
        (What::Circle, 1, 1),
        (What::UnknownUnit, 4, 1),
        (What::Capitals, 4, 1),
        (What::Garbled, 4, 1),
        (What::NoNumber, 6, 1),
        (What::Overlap, 10, 1),
        (What::Died, 1, 1),
        (What::Protected, 1, 1),
    ];

    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            What::Joined => "joined",
            What::Moved => "moved",
            What::Left => "left",
            What::Leave => "leave",
            What::Substitute => "substitute",
            What::SecondJob => "second job",
            What::Renamed => "renamed",
            What::Rehired => "rehired",
            What::Cancelled => "cancelled",
            What::StartMoved => "start moved",
            What::Phone => "phone",
            What::Enrolled => "enrolled",
            What::Departed => "departed",
            What::SchoolYear => "school year",
            What::Twice => "twice",
            What::EndedLate => "ended late",
            What::Circle => "circle",
            What::UnknownUnit => "unknown unit",
            What::Capitals => "capitals",
            What::Garbled => "garbled",
            What::NoNumber => "no number",
            What::Overlap => "overlap",
            What::Died => "died",
            What::Protected => "protected",
            What::UnitMoved => "unit moved",
            What::Mended => "mended",
        }
    }
}

/// Something that happens, and what its source says of it from then on.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The day.
    pub day: Date,
    /// What happens.
    pub what: What,
    /// Who says it.
    pub source: Source,
    /// The source's own key.
    pub key: String,
    /// All that the source says of the key, as a line of its file; `None`: it does not have it any more.
    pub says: Option<Value>,
}

/// What is to happen on a day, and to whom if that is settled.
#[derive(Clone, Copy, Debug)]
struct Task {
    what: What,
    whom: Option<usize>,
}

/// A year, event by event in the order of days.
pub struct Year {
    random: Random,
    cast: Cast,
    plan: BTreeMap<(Date, usize), Task>,
    planned: usize,
    ready: VecDeque<Event>,
    first: Date,
    last: Date,
}

impl Year {
    /// A year from `first` on of a town with so many employees and pupils.
    pub fn begin(seed: u64, employees: usize, pupils: usize, first: Date) -> Self {
        Year::lasting(seed, employees, pupils, first, 365)
    }

    /// The same of another length in days. What happens at least once in a year happens at least once.
    pub fn lasting(seed: u64, employees: usize, pupils: usize, first: Date, days: i32) -> Self {
        let town = Municipality::generate(seed, employees);
        let mut random = Random::new(seed ^ 0x5945_4152);
        let cast = Cast::of(town, pupils, first, &mut random);
        let last = after(first, i64::from(days.max(1)) - 1);
        let mut year = Year { random, cast, plan: BTreeMap::new(), planned: 0, ready: VecDeque::new(), first, last };
        year.draw(employees, pupils, usize::try_from(days.max(1)).unwrap_or(1));
        year
    }

    fn draw(&mut self, employees: usize, pupils: usize, days: usize) {
        for (what, often, least) in What::DRAWN {
            let among = if matches!(what, What::Enrolled | What::Departed) { pupils } else { employees };
            let count = (among * often * days / 365 / 1_000).max(least);
            for _ in 0..if among == 0 { 0 } else { count } {
                let day = after(self.first, self.random.below(days) as i64);
                self.plan(day, what, None);
            }
        }
        // Some units are moved when a new term of office begins.
        for _ in 0..if employees < 50 { 1 } else { 1 + employees / 5_000 } {
            let day = after(self.first, (days / 3 + self.random.below(days / 3 + 1)) as i64);
            self.plan(day, What::UnitMoved, None);
        }
        for year in self.first.year()..=self.last.year() {
            self.plan(date(year, 8, 1), What::SchoolYear, None);
        }
    }

    /// Has something happen, if the day lies within the year.
    fn plan(&mut self, day: Date, what: What, whom: Option<usize>) {
        if self.first <= day && day <= self.last {
            self.planned += 1;
            self.plan.insert((day, self.planned), Task { what, whom });
        }
    }

    /// The last day.
    pub fn last_day(&self) -> Date {
        self.last
    }

    /// All that a source says by now, key by key: before the first event what it says at the beginning. Phones say nothing then.
    pub fn rows(&self, source: Source) -> Box<dyn Iterator<Item = Value> + '_> {
        match source {
            Source::Units => Box::new(self.cast.units()),
            Source::Staff => Box::new(self.cast.staff.iter().filter_map(|one| one.row(&self.cast))),
            Source::School => Box::new(self.cast.pupils.iter().map(cast::Pupil::row)),
            Source::Phones => Box::new(std::iter::empty()),
        }
    }

    /// How much is to happen yet as far as it is known, for a bar.
    pub fn left(&self) -> usize {
        self.plan.len() + self.ready.len()
    }
}

impl Iterator for Year {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let ((day, _), task) = self.plan.pop_first()?;
            self.happen(day, task);
        }
    }
}

/// The day so many days later, or earlier.
fn after(day: Date, days: i64) -> Date {
    day.saturating_add(days.days())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
