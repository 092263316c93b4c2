//! Who there is: employees and pupils with what their source says of them now.

use std::collections::HashSet;

use jiff::civil::Date;
use serde_json::Value;

use super::super::municipality::{Level, Municipality};
use super::super::person::{Named, draw_name};
use super::super::random::Random;
use super::after;

/// An employment as the personnel system has it.
#[derive(Clone, Debug)]
pub(super) struct Employment {
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) start: Date,
    pub(super) end: Option<Date>,
    pub(super) reason: Option<&'static str>,
    pub(super) unit: String,
    pub(super) title: String,
    pub(super) task: &'static str,
    pub(super) percent: u32,
    /// The employee number of who leads it.
    pub(super) manager: Option<String>,
}

impl Employment {
    pub(super) fn is_over(&self, day: Date) -> bool {
        self.end.is_some_and(|end| end < day)
    }

    pub(super) fn holds(&self, day: Date) -> bool {
        self.start <= day && !self.is_over(day)
    }
}

/// A time in which an employment rests.
#[derive(Clone, Debug)]
pub(super) struct Leave {
    pub(super) employment: String,
    pub(super) from: Date,
    pub(super) to: Date,
    pub(super) keeps: bool,
}

/// How a name is written just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Spelling {
    #[default]
    Right,
    Capitals,
    Garbled,
}

/// An employee.
#[derive(Clone, Debug)]
pub(super) struct Employee {
    pub(super) number: String,
    pub(super) given: String,
    pub(super) family: String,
    pub(super) former: Vec<String>,
    pub(super) language: &'static str,
    pub(super) personal: Option<String>,
    pub(super) spelling: Spelling,
    pub(super) is_protected: bool,
    pub(super) employments: Vec<Employment>,
    pub(super) leaves: Vec<Leave>,
    /// Whether the source has the employee no more.
    pub(super) is_gone: bool,
}

impl Employee {
    /// The one of the employments that hold which began first.
    pub(super) fn current(&self, day: Date) -> Option<usize> {
        self.employments.iter().position(|employment| employment.holds(day))
    }

    pub(super) fn is_over(&self, day: Date) -> bool {
        self.employments.iter().all(|employment| employment.is_over(day))
    }

    /// The key of the next employment.
    pub(super) fn next_key(&self) -> String {
        format!("{}-{}", self.number, self.employments.len() + 1)
    }
}

/// A place at a school.
#[derive(Clone, Debug)]
pub(super) struct Enrolment {
    pub(super) id: String,
    pub(super) school: String,
    pub(super) class: String,
    pub(super) year: u32,
    pub(super) from: Date,
    pub(super) to: Option<Date>,
}

/// A pupil.
#[derive(Clone, Debug)]
pub(super) struct Pupil {
    pub(super) key: String,
    pub(super) given: String,
    pub(super) family: String,
    pub(super) personal: Option<String>,
    /// The newest two, the newest last.
    pub(super) enrolments: Vec<Enrolment>,
    pub(super) count: usize,
}

/// Everybody, and the town.
pub(super) struct Cast {
    pub(super) town: Municipality,
    pub(super) staff: Vec<Employee>,
    pub(super) pupils: Vec<Pupil>,
    /// Codes of units where people work and pupils learn.
    pub(super) workplaces: Vec<usize>,
    numbers: HashSet<String>,
    hired: usize,
    enrolled: usize,
}

const TASKS: [&str; 6] = ["nurse", "teacher", "clerk", "caretaker", "cook", "social worker"];

impl Cast {
    pub(super) fn of(town: Municipality, pupils: usize, first: Date, random: &mut Random) -> Self {
        let units = town.units.iter().enumerate();
        let mut workplaces: Vec<usize> =
            units.filter(|(_, unit)| unit.level == Level::Workplace).map(|(n, _)| n).collect();
        if workplaces.is_empty() {
            workplaces = (0..town.units.len()).collect();
        }
        let mut cast = Cast {
            town,
            staff: Vec::new(),
            pupils: Vec::new(),
            workplaces,
            numbers: HashSet::new(),
            hired: 0,
            enrolled: 0,
        };
        for n in 0..cast.town.people.len() {
            cast.take_over(n, first, random);
        }
        for _ in 0..pupils {
            let year = random.below(10) as u32;
            let from = school_begins(first);
            cast.enrol(year, from, random);
        }
        cast
    }

    /// Who is employed when the year begins: mostly since years, some until a day of the year.
    fn take_over(&mut self, n: usize, first: Date, random: &mut Random) {
        let Some(person) = self.town.people.get(n).cloned() else { return };
        let named = Named { given: person.given_name, family: person.family_name, swedish: person.language == "sv-FI" };
        let start = after(first, -(10 + random.below(20 * 365) as i64));
        let is_short = person.user_type == "Substitute";
        let place = self.hire(named, random);
        let unit = person.unit;
        let end = is_short.then(|| after(first, 20 + random.below(200) as i64));
        let kind = if is_short { "substitute" } else { "permanent" };
        self.employ(place, kind, start, end, unit, random);
        if let Some(last) = self.staff.get_mut(place).and_then(|one| one.employments.last_mut()) {
            last.title = person.title;
        }
    }

    /// Somebody new without an employment; the place in `staff`.
    pub(super) fn hire(&mut self, named: Named, random: &mut Random) -> usize {
        self.hired += 1;
        let number = (100_000 + self.hired).to_string();
        let personal = self.identity_number(1956, 45, random);
        self.staff.push(Employee {
            number,
            given: named.given,
            family: named.family,
            former: Vec::new(),
            language: if named.swedish { "sv-FI" } else { "fi-FI" },
            personal: Some(personal),
            spelling: Spelling::Right,
            is_protected: false,
            employments: Vec::new(),
            leaves: Vec::new(),
            is_gone: false,
        });
        self.staff.len() - 1
    }

    /// One more employment of somebody.
    pub(super) fn employ(
        &mut self,
        whom: usize,
        kind: &'static str,
        start: Date,
        end: Option<Date>,
        unit: usize,
        random: &mut Random,
    ) {
        let code = self.town.units.get(unit).map(|unit| unit.code.clone()).unwrap_or_default();
        // What is done in a unit is mostly the same.
        let task = TASKS.get(if random.chance(75) { unit % TASKS.len() } else { random.below(TASKS.len()) });
        let title = self.town.people.get(random.below(self.town.people.len())).map(|one| one.title.clone());
        let manager = self.staff.get(unit).filter(|_| unit != whom).map(|head| head.number.clone());
        let Some(employee) = self.staff.get_mut(whom) else { return };
        let id = employee.next_key();
        let percent = if random.chance(20) { 80 } else { 100 };
        employee.employments.push(Employment {
            id,
            kind,
            start,
            end,
            reason: None,
            unit: code,
            title: title.unwrap_or_default(),
            task: task.copied().unwrap_or_default(),
            percent,
            manager,
        });
    }

    /// A new pupil from a day on.
    pub(super) fn enrol(&mut self, year: u32, from: Date, random: &mut Random) -> usize {
        self.enrolled += 1;
        let named = draw_name(random);
        let school = self.workplaces.get(random.below(self.workplaces.len())).copied().unwrap_or_default();
        let school = self.town.units.get(school).map(|unit| unit.code.clone()).unwrap_or_default();
        let personal = random.chance(98).then(|| self.identity_number(2008, 10, random));
        let key = format!("p{}", self.enrolled);
        let class = format!("{year}{}", random.pick(&["A", "B", "C", "D"]));
        let enrolment = Enrolment { id: format!("{key}-1"), school, class, year, from, to: None };
        self.pupils.push(Pupil {
            key,
            given: named.given,
            family: named.family,
            personal,
            enrolments: vec![enrolment],
            count: 1,
        });
        self.pupils.len() - 1
    }

    /// A Finnish identity number that nobody has: those from 900 on are given to nobody for good.
    pub(super) fn identity_number(&mut self, from: usize, years: usize, random: &mut Random) -> String {
        loop {
            let (day, month, year) = (1 + random.below(28), 1 + random.below(12), from + random.below(years));
            let serial = 900 + random.below(100);
            let digits = ((day * 100 + month) * 100 + year % 100) * 1_000 + serial;
            let check = b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(digits % 31).copied().unwrap_or(b'0');
            let century = if year < 2000 { '-' } else { 'A' };
            let number = format!("{day:02}{month:02}{:02}{century}{serial:03}{}", year % 100, char::from(check));
            if self.numbers.insert(number.clone()) {
                return number;
            }
        }
    }

    /// A unit where people work.
    pub(super) fn workplace(&self, random: &mut Random) -> usize {
        self.workplaces.get(random.below(self.workplaces.len())).copied().unwrap_or_default()
    }

    /// An employee who is as asked for, if one is found in some tries.
    pub(super) fn someone(&self, random: &mut Random, is: impl Fn(&Employee) -> bool) -> Option<usize> {
        (0..60)
            .map(|_| random.below(self.staff.len()))
            .find(|place| self.staff.get(*place).is_some_and(|employee| !employee.is_gone && is(employee)))
    }

    /// All that is said of the units.
    pub(super) fn units(&self) -> impl Iterator<Item = Value> + '_ {
        (0..self.town.units.len()).filter_map(|place| self.unit(place))
    }
}

/// The first of August before a day.
pub(super) fn school_begins(day: Date) -> Date {
    let of = |year| jiff::civil::date(year, 8, 1);
    if of(day.year()) < day { of(day.year()) } else { of(day.year() - 1) }
}
