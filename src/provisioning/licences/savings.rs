//! What it was worth that seats were taken back. A reclaimed seat saves from the moment at which somebody else sits on it until
//! that one gives it back too: for so long one seat less had to be paid for. Until then it lies idle, which is told apart.
//! Prices are pro rata of the month, by the calendar of the tenant.

use jiff::ToSpan;
use jiff::civil::Date;

use super::Price;
use crate::calendar::Calendar;

/// Parts of a unit of money in which is counted: sums are exact.
const PARTS: f64 = 1e6;

/// A seat that was taken back. Instants are µs since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Reclaim {
    /// When.
    pub freed: i64,
    /// Since when somebody else sits on it.
    pub used_from: Option<i64>,
    /// Until when: that one gave it back too, or the seat itself was given up.
    pub used_until: Option<i64>,
    /// When the seat itself was given up, without having been used again.
    pub given_up: Option<i64>,
    /// What a seat cost when it was taken back.
    pub price: Price,
}

/// What a reclaimed seat was worth in a month, in millionths of the currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worth {
    /// The first day of the month.
    pub month: Date,
    /// While it was used again.
    pub saved: i128,
    /// While it lay idle.
    pub idle: i128,
}

/// What it was worth in every month from `from` to `until` (µs since 1970) in which it was anything.
pub fn worth(reclaim: &Reclaim, from: i64, until: i64, calendar: &Calendar) -> Vec<Worth> {
    let mut worths = Vec::new();
    let idle_until = reclaim.used_from.or(reclaim.given_up).unwrap_or(until);
    let used = reclaim.used_from.map(|since| (since, reclaim.used_until.unwrap_or(until)));
    let last = used.map_or(idle_until, |(_, until)| until).min(until);
    let Ok(mut month) = calendar.day_of(reclaim.freed.max(from)).with().day(1).build() else { return worths };
    // As many parts as a month has of the price.
    #[expect(clippy::cast_possible_truncation, reason = "prices are below 1e9, see Terms")]
    let price = (reclaim.price.amount * PARTS).round() as i64;
    let months = i128::from(reclaim.price.period.months());
    loop {
        let Ok(following) = month.checked_add(1.month()) else { return worths };
        let (begins, ends) = (calendar.start_of(month), calendar.start_of(following));
        if begins >= last {
            return worths;
        }
        let part = |since: i64, till: i64| {
            let (since, till) = (since.max(begins).max(from), till.min(ends).min(until));
            let length = i128::from(ends - begins).max(1) * months;
            i128::from((till - since).max(0)) * i128::from(price) / length
        };
        let idle = part(reclaim.freed, idle_until);
        let saved = used.map_or(0, |(since, till)| part(since, till));
        if idle != 0 || saved != 0 {
            worths.push(Worth { month, saved, idle });
        }
        month = following;
    }
}
