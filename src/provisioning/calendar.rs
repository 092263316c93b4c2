//! Dates and instants. HR's dates are days of a tenant's time zone: what begins on a day holds from 00:00 of it, what ends
//! on a day holds until 00:00 of the next. Where the clock is put forward at midnight the day begins when it begins.
//! Never asks what time it is.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::Value;

/// The days of one time zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
}

impl Default for Calendar {
    fn default() -> Self {
        Calendar::UTC
    }
}

impl Calendar {
    /// The name of the time zone.
    pub fn zone(&self) -> Option<&str> {
        self.zone.iana_name()
    }

    /// The days of UTC.
    pub const UTC: Calendar = Calendar { zone: TimeZone::UTC };

    /// The days of an IANA time zone, such as `Europe/Helsinki`; `None`: there is no such zone.
    pub fn of(zone: &str) -> Option<Self> {
        // Names alone: what the machine is set to is nobody's time zone.
        let zone = (zone != "local").then(|| TimeZone::get(zone).ok())??;
        Some(Calendar { zone })
    }

    /// The day of an instant (µs since 1970).
    pub fn day_of(&self, at: i64) -> Date {
        let at = Timestamp::from_microsecond(at).unwrap_or(if at < 0 { Timestamp::MIN } else { Timestamp::MAX });
        at.to_zoned(self.zone.clone()).date()
    }

    /// When a day begins (µs since 1970).
    pub fn start_of(&self, day: Date) -> i64 {
        let start = day.to_zoned(self.zone.clone()).and_then(|noon| noon.start_of_day());
        match start {
            Ok(start) => start.timestamp().as_microsecond(),
            // The first and the last day that there are.
            Err(_) if day < Date::constant(1970, 1, 1) => i64::MIN,
            Err(_) => i64::MAX,
        }
    }

    /// When a day is over: the beginning of the next (µs since 1970).
    pub fn end_of(&self, day: Date) -> i64 {
        self.start_of(plus(day, 1))
    }
}

/// The day so many days later; earlier for less than 0. Stays within what dates can say.
pub fn plus(day: Date, days: i64) -> Date {
    let span = Span::new().try_days(days);
    let moved = span.and_then(|span| day.checked_add(span));
    moved.unwrap_or(if days < 0 { Date::MIN } else { Date::MAX })
}

/// A date as documents write it: `2026-08-01` and nothing else.
pub fn date(text: &str) -> Option<Date> {
    (text.len() == 10).then(|| text.parse().ok())?
}

/// The date that a member of an object holds.
pub fn date_in(object: &Value, name: &str) -> Option<Date> {
    date(object.get(name)?.as_str()?)
}

/// An instant (µs since 1970) as documents write it.
pub fn instant(at: i64) -> Option<String> {
    Some(format!("{:.6}", Timestamp::from_microsecond(at).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn day(text: &str) -> Date {
        date(text).expect(text)
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect(text).as_microsecond()
    }

    #[test]
    fn a_day_begins_at_midnight_of_the_zone_and_is_over_when_the_next_begins() {
        let table = [
            ("Europe/Helsinki", "2026-01-01", "2025-12-31T22:00:00Z", 24),
            ("Europe/Helsinki", "2026-03-29", "2026-03-28T22:00:00Z", 23),
            ("Europe/Helsinki", "2026-07-01", "2026-06-30T21:00:00Z", 24),
            ("Europe/Helsinki", "2026-10-25", "2026-10-24T21:00:00Z", 25),
            ("Europe/Stockholm", "2026-03-29", "2026-03-28T23:00:00Z", 23),
            ("Europe/Stockholm", "2026-10-25", "2026-10-24T22:00:00Z", 25),
            ("UTC", "2026-03-29", "2026-03-29T00:00:00Z", 24),
            // There the clock goes from 23:59:59 to 01:00.
            ("America/Asuncion", "2023-10-01", "2023-10-01T04:00:00Z", 23),
        ];
        for (zone, text, begins, hours) in table {
            let calendar = Calendar::of(zone).expect(zone);
            let (start, end) = (calendar.start_of(day(text)), calendar.end_of(day(text)));
            assert_eq!(start, at(begins), "{zone} {text}");
            assert_eq!((end - start) / HOUR, hours, "{zone} {text}");
            assert_eq!(calendar.day_of(start), day(text), "{zone} {text}");
            assert_eq!(calendar.day_of(start - 1), plus(day(text), -1), "{zone} {text}");
            assert_eq!(calendar.day_of(end - 1), day(text), "{zone} {text}");
        }
    }

    #[test]
    fn what_is_no_zone_or_no_date_is_none() {
        for zone in ["", "local", "Europe/Sometown", "+02:00"] {
            assert!(Calendar::of(zone).is_none(), "{zone:?}");
        }
        for text in ["", "2026-2-01", "2026-02-30", "2026-02-01T00:00:00Z", "20260201", "01.02.2026"] {
            assert!(date(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn days_stay_within_what_can_be_said() {
        let calendar = Calendar::of("Europe/Helsinki").expect("a zone");
        assert_eq!(plus(Date::MAX, 1), Date::MAX);
        assert_eq!(plus(day("2026-01-01"), i64::MAX), Date::MAX);
        assert_eq!(plus(day("2026-01-01"), i64::MIN), Date::MIN);
        assert_eq!(calendar.day_of(i64::MAX), calendar.day_of(Timestamp::MAX.as_microsecond()));
        assert!(calendar.start_of(Date::MAX) > at("2500-01-01T00:00:00Z"));
        assert!(calendar.start_of(Date::MIN) < at("1000-01-01T00:00:00Z"));
    }
}
