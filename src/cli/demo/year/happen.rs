//! What happens to the staff on a day, and what the personnel system says of it.

use jiff::civil::Date;
use serde_json::json;

use super::super::municipality::Level;
use super::super::person::{draw_name, draw_phones};
use super::cast::{Leave, Spelling};
use super::{Event, Source, Task, What, Year, after};

impl Year {
    pub(super) fn happen(&mut self, day: Date, task: Task) {
        let Task { what, whom } = task;
        match what {
            What::Joined => self.join(day, what),
            What::NoNumber => {
                let whom = self.newcomer(day, 5);
                if let Some(employee) = self.cast.staff.get_mut(whom) {
                    employee.personal = None;
                }
                self.tell(day, what, whom);
                self.later(day, 10, 30, whom);
            }
            What::Cancelled | What::StartMoved => match whom {
                None => {
                    let whom = self.newcomer(day, 30);
                    self.tell(day, What::Joined, whom);
                    let then = after(day, 5 + self.random.below(15) as i64);
                    self.plan(then, what, Some(whom));
                }
                Some(whom) => self.change_start(day, what, whom),
            },
            What::Substitute => self.substitute(day, whom),
            What::Overlap => self.overlap(day),
            What::Rehired => self.rehire(day),
            What::Twice => self.enter_twice(day),
            What::Mended => self.mend(day, whom),
            What::Circle => self.lead_each_other(day),
            What::UnitMoved => self.move_unit(day),
            What::Phone => self.phone(day),
            What::Enrolled => self.pupil_comes(day),
            What::Departed => self.pupil_leaves(day),
            What::SchoolYear => self.school_year(day),
            What::Moved | What::Left | What::Leave | What::SecondJob | What::Renamed | What::EndedLate => {
                self.change(day, what);
            }
            What::UnknownUnit | What::Capitals | What::Garbled | What::Died | What::Protected => self.change(day, what),
        }
    }

    /// What the personnel system says of somebody from now on.
    fn tell(&mut self, day: Date, what: What, whom: usize) {
        let Some(employee) = self.cast.staff.get(whom) else { return };
        let (key, says) = (employee.number.clone(), employee.row(&self.cast));
        self.ready.push_back(Event { day, what, source: Source::Staff, key, says });
    }

    /// It is put right some days later.
    fn later(&mut self, day: Date, least: usize, most: usize, whom: usize) {
        let then = after(day, (least + self.random.below(most - least)) as i64);
        self.plan(then, What::Mended, Some(whom));
    }

    /// Somebody who begins after at least so many days.
    fn newcomer(&mut self, day: Date, least: usize) -> usize {
        let named = draw_name(&mut self.random);
        let whom = self.cast.hire(named, &mut self.random);
        let start = after(day, (least + self.random.below(30)) as i64);
        let is_fixed = self.random.chance(30);
        let end = is_fixed.then(|| after(start, 90 + self.random.below(300) as i64));
        let unit = self.cast.workplace(&mut self.random);
        let kind = if is_fixed { "fixedTerm" } else { "permanent" };
        self.cast.employ(whom, kind, start, end, unit, &mut self.random);
        whom
    }

    fn join(&mut self, day: Date, what: What) {
        let whom = self.newcomer(day, 0);
        self.tell(day, what, whom);
    }

    fn change_start(&mut self, day: Date, what: What, whom: usize) {
        let shift = self.random.below(30) as i64;
        let Some(employee) = self.cast.staff.get_mut(whom) else { return };
        match (what, employee.employments.last_mut()) {
            (What::StartMoved, Some(last)) => {
                last.start = after(last.start, shift - 10).max(day);
                last.end = last.end.map(|end| end.max(last.start));
            }
            _ => employee.is_gone = true,
        }
        self.tell(day, what, whom);
    }

    /// A contract of some weeks, of somebody new or of who has had one, and perhaps another after a gap.
    fn substitute(&mut self, day: Date, whom: Option<usize>) {
        let whom = whom.filter(|whom| self.cast.staff.get(*whom).is_some_and(|one| !one.is_gone));
        let whom = match whom {
            Some(whom) => whom,
            None => {
                let named = draw_name(&mut self.random);
                self.cast.hire(named, &mut self.random)
            }
        };
        let end = after(day, 10 + self.random.below(50) as i64);
        let unit = self.cast.workplace(&mut self.random);
        self.cast.employ(whom, "substitute", day, Some(end), unit, &mut self.random);
        self.tell(day, What::Substitute, whom);
        if self.random.chance(60) {
            let again = after(end, 1 + self.random.below(40) as i64);
            self.plan(again, What::Substitute, Some(whom));
        }
    }

    fn overlap(&mut self, day: Date) {
        let named = draw_name(&mut self.random);
        let whom = self.cast.hire(named, &mut self.random);
        for (from, days) in [(0, 60), (25, 70)] {
            let (start, unit) = (after(day, from), self.cast.workplace(&mut self.random));
            self.cast.employ(whom, "substitute", start, Some(after(start, days)), unit, &mut self.random);
        }
        self.tell(day, What::Overlap, whom);
    }

    fn rehire(&mut self, day: Date) {
        let gone = |one: &super::cast::Employee| !one.employments.is_empty() && one.is_over(day);
        let Some(whom) = self.cast.someone(&mut self.random, gone) else { return };
        let (start, unit) = (after(day, self.random.below(15) as i64), self.cast.workplace(&mut self.random));
        self.cast.employ(whom, "permanent", start, None, unit, &mut self.random);
        self.tell(day, What::Rehired, whom);
    }

    /// The same human being is entered once more, with the same identity number.
    fn enter_twice(&mut self, day: Date) {
        let Some(first) = self.cast.someone(&mut self.random, |one| one.current(day).is_some()) else { return };
        let Some(known) = self.cast.staff.get(first).cloned() else { return };
        let named = draw_name(&mut self.random);
        let whom = self.cast.hire(named, &mut self.random);
        let unit = self.cast.workplace(&mut self.random);
        self.cast.employ(whom, "fixedTerm", day, Some(after(day, 120)), unit, &mut self.random);
        if let Some(second) = self.cast.staff.get_mut(whom) {
            (second.given, second.family, second.personal) = (known.given, known.family, known.personal);
        }
        self.tell(day, What::Twice, whom);
    }

    /// What changes of somebody who works.
    fn change(&mut self, day: Date, what: What) {
        let Some(whom) = self.cast.someone(&mut self.random, |one| one.current(day).is_some()) else { return };
        let Some(place) = self.cast.staff.get(whom).and_then(|one| one.current(day)) else { return };
        let (days, chance) = (self.random.below(40) as i64, self.random.chance(50));
        let (unit, family) = (self.cast.workplace(&mut self.random), draw_name(&mut self.random).family);
        let Some(employee) = self.cast.staff.get_mut(whom) else { return };
        let Some(employment) = employee.employments.get_mut(place) else { return };
        let ends = |employment: &mut super::cast::Employment, last: Date, reason: &'static str| {
            employment.end = Some(employment.end.map_or(last, |end| end.min(last)).max(employment.start));
            employment.reason = Some(reason);
        };
        match what {
            What::Moved | What::SecondJob => {
                let start = after(day, days);
                if what == What::Moved {
                    ends(employment, after(start, -1), "moved");
                }
                let (kind, last) = match what {
                    What::Moved => ("permanent", None),
                    _ => ("fixedTerm", Some(after(start, 60 + days * 3))),
                };
                self.cast.employ(whom, kind, start, last, unit, &mut self.random);
                if let Some(one) = self.cast.staff.get_mut(whom).and_then(|one| one.employments.last_mut())
                    && what == What::SecondJob
                {
                    one.percent = 40;
                }
            }
            What::Left => employee.employments.iter_mut().for_each(|one| ends(one, after(day, 14 + days), "notice")),
            What::EndedLate => employee.employments.iter_mut().for_each(|one| ends(one, after(day, -days - 1), "late")),
            What::Died => employee.employments.iter_mut().for_each(|one| ends(one, day, "death")),
            What::Leave => {
                let (employment, from) = (employment.id.clone(), after(day, days));
                let to = after(from, 60 + days * 5);
                if employee.leaves.iter().all(|leave| leave.from != from) {
                    employee.leaves.push(Leave { employment, from, to, keeps: chance });
                }
            }
            What::Renamed => employee.former.push(std::mem::replace(&mut employee.family, family)),
            What::UnknownUnit => employment.unit = "99-999".to_owned(),
            What::Capitals => employee.spelling = Spelling::Capitals,
            What::Garbled => employee.spelling = Spelling::Garbled,
            _ => employee.is_protected = true,
        }
        self.tell(day, what, whom);
        if matches!(what, What::UnknownUnit | What::Capitals | What::Garbled) {
            self.later(day, 7, 28, whom);
        }
    }

    fn mend(&mut self, day: Date, whom: Option<usize>) {
        let unit = self.cast.workplace(&mut self.random);
        let code = self.cast.town.units.get(unit).map(|unit| unit.code.clone()).unwrap_or_default();
        let personal = self.cast.identity_number(1956, 45, &mut self.random);
        let Some((whom, employee)) = whom.and_then(|whom| Some((whom, self.cast.staff.get_mut(whom)?))) else { return };
        employee.spelling = Spelling::Right;
        employee.personal.get_or_insert(personal);
        employee.employments.iter_mut().filter(|one| one.unit == "99-999").for_each(|one| one.unit.clone_from(&code));
        self.tell(day, What::Mended, whom);
    }

    fn lead_each_other(&mut self, day: Date) {
        let works = |one: &super::cast::Employee| one.current(day).is_some();
        let Some(one) = self.cast.someone(&mut self.random, works) else { return };
        let Some(other) = self.cast.someone(&mut self.random, works) else { return };
        for (whom, lead) in [(one, other), (other, one)] {
            let number = self.cast.staff.get(lead).map(|lead| lead.number.clone());
            let Some(employee) = self.cast.staff.get_mut(whom) else { continue };
            let current = employee.current(day);
            if let Some(employment) = current.and_then(|place| employee.employments.get_mut(place)) {
                employment.manager = number;
            }
            self.tell(day, What::Circle, whom);
        }
    }

    /// A workplace goes to another department; in a town that is too small for any, a sector below another.
    fn move_unit(&mut self, day: Date) {
        let place = 1 + self.random.below(self.cast.town.units.len().saturating_sub(1));
        let units = &self.cast.town.units;
        let Some(unit) = units.get(place) else { return };
        let wanted = if unit.level == Level::Workplace { Level::Department } else { Level::Sector };
        let fits = |other: &usize| {
            units.get(*other).is_some_and(|other| other.level == wanted)
                && Some(*other) != unit.parent
                && !self.lies_below(*other, place)
        };
        let above: Vec<usize> = (0..units.len()).filter(fits).collect();
        let Some(parent) = above.get(self.random.below(above.len())).copied() else { return };
        let key = unit.code.clone();
        if let Some(unit) = self.cast.town.units.get_mut(place) {
            unit.parent = Some(parent);
        }
        let says = self.cast.unit(place);
        self.ready.push_back(Event { day, what: What::UnitMoved, source: Source::Units, key, says });
    }

    fn lies_below(&self, unit: usize, above: usize) -> bool {
        let mut next = Some(unit);
        while let Some(place) = next {
            if place == above {
                return true;
            }
            next = self.cast.town.units.get(place).and_then(|unit| unit.parent);
        }
        false
    }

    fn phone(&mut self, day: Date) {
        let Some(whom) = self.cast.someone(&mut self.random, |one| one.current(day).is_some()) else { return };
        let Some(employee) = self.cast.staff.get(whom) else { return };
        let key = employee.number.clone();
        let (work, mobile) = draw_phones(&mut self.random);
        let (kind, value) = mobile.map_or(("work", work), |mobile| ("mobile", mobile));
        let says = Some(json!({ "number": key, "type": kind, "value": value }));
        self.ready.push_back(Event { day, what: What::Phone, source: Source::Phones, key, says });
    }
}
