//! Pupils: who comes and goes in the middle of the year, and the first of August.

use jiff::civil::Date;

use super::cast::Enrolment;
use super::{Event, Source, What, Year, after};

/// The year of school after which one has finished.
const LAST_YEAR: u32 = 9;

impl Year {
    fn tell_of_pupil(&mut self, day: Date, what: What, place: usize) {
        let Some(pupil) = self.cast.pupils.get(place) else { return };
        let (key, says) = (pupil.key.clone(), Some(pupil.row()));
        self.ready.push_back(Event { day, what, source: Source::School, key, says });
    }

    pub(super) fn pupil_comes(&mut self, day: Date) {
        let year = self.random.below(10) as u32;
        let from = after(day, self.random.below(14) as i64);
        let place = self.cast.enrol(year, from, &mut self.random);
        self.tell_of_pupil(day, What::Enrolled, place);
    }

    pub(super) fn pupil_leaves(&mut self, day: Date) {
        let place = self.random.below(self.cast.pupils.len());
        let to = after(day, self.random.below(14) as i64);
        let Some(pupil) = self.cast.pupils.get_mut(place) else { return };
        let Some(last) = pupil.enrolments.last_mut().filter(|last| last.to.is_none() && last.from <= to) else {
            return;
        };
        last.to = Some(to);
        self.tell_of_pupil(day, What::Departed, place);
    }

    /// Everybody goes to the next class, the oldest have finished, and as many begin.
    pub(super) fn school_year(&mut self, day: Date) {
        let mut beginners = 0;
        for place in 0..self.cast.pupils.len() {
            let Some(pupil) = self.cast.pupils.get_mut(place) else { continue };
            let Some(last) = pupil.enrolments.last_mut().filter(|last| last.to.is_none() && last.from < day) else {
                continue;
            };
            last.to = Some(after(day, -1));
            let last = last.clone();
            if last.year >= LAST_YEAR {
                beginners += 1;
            } else {
                pupil.count += 1;
                let letter = last.class.trim_start_matches(|letter: char| letter.is_ascii_digit());
                let year = last.year + 1;
                let (id, class) = (format!("{}-{}", pupil.key, pupil.count), format!("{year}{letter}"));
                pupil.enrolments =
                    vec![last.clone(), Enrolment { id, class, year, from: day, to: None, school: last.school }];
            }
            self.tell_of_pupil(day, What::SchoolYear, place);
        }
        for _ in 0..beginners {
            let place = self.cast.enrol(0, day, &mut self.random);
            self.tell_of_pupil(day, What::SchoolYear, place);
        }
    }
}
