//! A sample municipality, made from a seed: a bilingual town with its sectors, departments and units, and the people who
//! work there. The same seed and size give the same town on every machine. Knows nothing of the server: what it makes is
//! plain data and the SCIM resources that a personnel system would push.

use std::collections::HashMap;

use serde_json::{Value, json};

pub use super::person::{Person, Workplace};
use super::person::{draw_name, draw_phones, fold};
use super::places::{KINDS, Kind, Language, OFFICE_HEADS, OFFICE_STAFF, OFFICE_TITLES, PLACES, Pair, SECTORS, TOWN};
use super::random::Random;

const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// A domain that is reserved for examples.
const DOMAIN: &str = "kommun.example";

/// The town.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Municipality {
    /// Units, each after the one it belongs to; the first is the town itself.
    pub units: Vec<Unit>,
    /// People, each after their manager; the first one of a unit is its head.
    pub people: Vec<Person>,
}

/// How high a unit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The town itself.
    Town,
    /// A sector of the town.
    Sector,
    /// A department of a sector.
    Department,
    /// A school, a library, a service home …
    Workplace,
}

/// A part of the town; a Group in SCIM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Unique code, such as `23-004`.
    pub code: String,
    /// Name to show, unique too.
    pub name: String,
    /// How high it stands.
    pub level: Level,
    /// Number of the unit it belongs to, always lower than its own.
    pub parent: Option<usize>,
    kind: Option<usize>,
}

impl Unit {
    /// The SCIM Group that a source would send, without `id` and without members, whose ids only the server knows.
    pub fn to_scim(&self) -> Value {
        json!({ "schemas": [GROUP], "externalId": self.code, "displayName": self.name })
    }

    fn kind(&self) -> Option<&'static Kind> {
        KINDS.get(self.kind?)
    }
}

impl Municipality {
    /// Makes a town with that many people. 2,000 people have 120 units; others in proportion, one at least.
    pub fn generate(seed: u64, people: usize) -> Self {
        let mut random = Random::new(seed);
        let units = build_units(&mut random, (people * 120 / 2000).max(1));
        let people = employ(&mut random, &units, people);
        Municipality { units, people }
    }

    /// For each unit the people who work there, by number.
    pub fn people_by_unit(&self) -> Vec<Vec<usize>> {
        collect(self.units.len(), self.people.iter().map(|person| Some(person.unit)))
    }

    /// For each unit the units right below it, by number.
    pub fn units_by_parent(&self) -> Vec<Vec<usize>> {
        collect(self.units.len(), self.units.iter().map(|unit| unit.parent))
    }
}

fn collect(units: usize, owners: impl Iterator<Item = Option<usize>>) -> Vec<Vec<usize>> {
    let mut lists = vec![Vec::new(); units];
    for (number, owner) in owners.enumerate() {
        if let Some(list) = owner.and_then(|owner| lists.get_mut(owner)) {
            list.push(number);
        }
    }
    lists
}

/// The town, its sectors and departments, then workplaces below the departments until there are `count`.
fn build_units(random: &mut Random, count: usize) -> Vec<Unit> {
    let office = |code: String, name: Pair, level: Level, parent: Option<usize>| Unit {
        code,
        name: format!("{} – {}", name.0, name.1),
        level,
        parent,
        kind: None,
    };
    let mut units = vec![office("00".into(), TOWN, Level::Town, None)];
    for (sector, number) in SECTORS.iter().zip(1..) {
        units.push(office(format!("{number}0"), sector.name, Level::Sector, Some(0)));
    }
    let mut departments = Vec::new();
    for (sector, number) in SECTORS.iter().zip(1..) {
        for (name, part) in sector.departments.iter().zip(1..) {
            departments.push(units.len());
            units.push(office(format!("{number}{part}"), *name, Level::Department, Some(number)));
        }
    }
    units.truncate(count);
    let mut made = vec![0_usize; KINDS.len()];
    let mut within = vec![0_usize; units.len()];
    while units.len() < count {
        let place = scarcest(&made);
        let (Some(kind), Some(nth)) = (KINDS.get(place), made.get_mut(place)) else { break };
        let Some(parent) = departments.get(kind.department).copied() else { break };
        let Some(number) = within.get_mut(parent) else { break };
        *number += 1;
        let code = units.get(parent).map(|department| format!("{}-{number:03}", department.code)).unwrap_or_default();
        units.push(Unit {
            code,
            name: name_workplace(random, place, kind, *nth),
            level: Level::Workplace,
            parent: Some(parent),
            kind: Some(place),
        });
        *nth += 1;
    }
    units
}

/// The kind that is furthest behind its share.
fn scarcest(made: &[usize]) -> usize {
    let total: usize = KINDS.iter().map(|kind| kind.share).sum();
    let all = made.iter().sum::<usize>() + 1;
    let lag = |place: usize, kind: &Kind| {
        (kind.share * all) as i64 - (made.get(place).copied().unwrap_or_default() * total) as i64
    };
    let lags = KINDS.iter().enumerate().map(|(place, kind)| (lag(place, kind), std::cmp::Reverse(place)));
    lags.max().map_or(0, |(_, std::cmp::Reverse(place))| place)
}

fn name_workplace(random: &mut Random, place: usize, kind: &Kind, nth: usize) -> String {
    // Each kind walks through the town from another corner, so that not every place has one of everything first.
    let site = PLACES.get((nth + place * 7) % PLACES.len()).copied().unwrap_or_default();
    let swedish = match kind.language {
        Language::Swedish => true,
        Language::Finnish => false,
        Language::Either => random.chance(45),
    };
    let name = if swedish { format!("{} {}", site.0, kind.noun.0) } else { format!("{} {}", site.1, kind.noun.1) };
    match nth / PLACES.len() {
        0 => name,
        round => format!("{name} {}", round + 1),
    }
}

/// The heads of all units in order, then everybody else.
fn employ(random: &mut Random, units: &[Unit], count: usize) -> Vec<Person> {
    let mut taken = HashMap::new();
    let mut people = Vec::with_capacity(count);
    for number in 0..count {
        let head = number < units.len();
        let place = if head { number } else { random.weighted(units.iter().map(staff)) };
        let Some(unit) = units.get(place) else { break };
        let named = draw_name(random);
        let (work_phone, mobile_phone) = draw_phones(random);
        let local = format!("{}.{}", fold(&named.given), fold(&named.family));
        let home = format!("{}.{}{:02}@home.example", fold(&named.given), fold(&named.family), random.below(100));
        let title = draw_title(random, unit, head);
        people.push(Person {
            user_name: unique_name(&mut taken, &local),
            given_name: named.given,
            family_name: named.family,
            home_email: Some(home).filter(|_| random.chance(15)),
            work_phone,
            mobile_phone,
            title: if named.swedish { title.0 } else { title.1 }.to_owned(),
            language: if named.swedish { "sv-FI" } else { "fi-FI" },
            user_type: if !head && random.chance(8) { "Substitute" } else { "Employee" },
            active: head || random.chance(97),
            employee_number: (100_000 + number).to_string(),
            unit: place,
            manager: if head { unit.parent } else { Some(place) },
            workplace: describe(units, place),
        });
    }
    people
}

fn staff(unit: &Unit) -> usize {
    unit.kind().map_or(OFFICE_STAFF, |kind| kind.staff)
}

fn draw_title(random: &mut Random, unit: &Unit, head: bool) -> Pair {
    let titles = unit.kind().map_or(OFFICE_TITLES, |kind| kind.titles);
    let drawn = titles.get(random.below(titles.len()).min(random.below(titles.len()))).copied().unwrap_or_default();
    if !head {
        return drawn;
    }
    match (unit.kind(), unit.level) {
        (Some(kind), _) => kind.head,
        (None, Level::Town) => OFFICE_HEADS[0],
        (None, Level::Sector) => OFFICE_HEADS[1],
        (None, _) => OFFICE_HEADS[2],
    }
}

/// `maj.lind@kommun.example`, then `maj.lind2@kommun.example`. No name ends in a digit, so numbers never collide.
fn unique_name(taken: &mut HashMap<String, usize>, local: &str) -> String {
    let count = taken.entry(local.to_owned()).or_default();
    *count += 1;
    if *count == 1 { format!("{local}@{DOMAIN}") } else { format!("{local}{count}@{DOMAIN}") }
}

fn describe(units: &[Unit], place: usize) -> Workplace {
    let mut workplace = Workplace::default();
    if let Some(unit) = units.get(place) {
        workplace.cost_center = unit.code.replace('-', "");
    }
    let mut next = units.get(place);
    while let Some(unit) = next {
        match unit.level {
            Level::Town => workplace.organization = unit.name.clone(),
            Level::Sector => workplace.division = Some(unit.name.clone()),
            Level::Department => workplace.department = Some(unit.name.clone()),
            Level::Workplace => {}
        }
        next = unit.parent.and_then(|parent| units.get(parent));
    }
    workplace
}

#[cfg(test)]
#[path = "municipality_tests.rs"]
mod tests;
