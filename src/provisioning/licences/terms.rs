//! What is agreed on of a licence: how many seats there are, what one costs, and when one is free again.

use serde_json::{Map, Value};

/// The extension of entitlements that says what is agreed on.
pub const LICENCE: &str = "urn:matrikel:scim:schemas:1.0:Licence";
/// Longest time that a seat is kept during a leave, in days.
const MAX_DAYS: i64 = 3_660;
/// Longest time that evidence is kept, in months.
const MAX_MONTHS: i64 = 1_200;
/// Most seats.
const MAX_SEATS: i64 = 1_000_000_000;
/// Highest price.
const MAX_PRICE: f64 = 1e9;

/// The moment at which the seat of somebody who leaves is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FreeAt {
    /// 00:00 after the last day.
    #[default]
    LastDay,
    /// When the account goes into limbo.
    Limbo,
    /// When the account is purged.
    Purge,
}

/// For how long a price is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Period {
    /// A month.
    #[default]
    Month,
    /// Three months.
    Quarter,
    /// Twelve months.
    Year,
}

impl Period {
    /// How many months it has.
    pub fn months(self) -> i64 {
        match self {
            Period::Month => 1,
            Period::Quarter => 3,
            Period::Year => 12,
        }
    }

    /// The period of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "month" => Some(Period::Month),
            "quarter" => Some(Period::Quarter),
            "year" => Some(Period::Year),
            _ => None,
        }
    }

    /// The name in the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Period::Month => "month",
            Period::Quarter => "quarter",
            Period::Year => "year",
        }
    }
}

/// What a seat costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Price {
    /// For the period.
    pub amount: f64,
    /// For how long.
    pub period: Period,
    /// ISO 4217; empty: not said.
    pub currency: String,
}

/// What is agreed on of an entitlement of which there are only so many.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// The value that users have.
    pub value: String,
    /// How many seats there are.
    pub permitted: i64,
    /// What a seat costs, if that is known.
    pub price: Option<Price>,
    /// Who pays where nobody else is known to.
    pub cost_center: Option<String>,
    /// How early it is given to who asks by a rule that says no priority.
    pub priority: i64,
    /// So many days a seat is kept while its holder's right rests; `None`: as long as it rests.
    pub leave_days: Option<i64>,
    /// When the seat of somebody who leaves is free.
    pub free_at: FreeAt,
    /// Whether a seat is kept between two employments as during a leave.
    pub bridges: bool,
    /// Whether nobody is given it by hand, and every leave rests it.
    pub is_restricted: bool,
    /// Whether a seat is free only when a target system has confirmed that the right is gone there.
    pub confirms: bool,
    /// Whether all accounts of a human being share one seat.
    pub is_of_person: bool,
}

impl Terms {
    /// Reads a document of `/Entitlements`; `None`: everybody may have it. Errors are 400 invalidValue and name the
    /// attribute.
    pub fn read(document: &Map<String, Value>) -> Result<Option<Self>, scim::Error> {
        let licence = document.get(LICENCE);
        let text = |name: &str| licence.and_then(|licence| licence.get(name)).and_then(Value::as_str);
        let number = |name: &str| licence.and_then(|licence| licence.get(name)).and_then(Value::as_i64);
        let is = |name: &str| licence.and_then(|licence| licence.get(name)) == Some(&Value::Bool(true));
        let place = |name: &str| format!("{LICENCE}:{name}");
        let free_at = match text("freeAt") {
            None | Some("lastDay") => FreeAt::LastDay,
            Some("limbo") => FreeAt::Limbo,
            Some("purge") => FreeAt::Purge,
            Some(_) => return Err(wrong(&place("freeAt"), "must be lastDay, limbo or purge")),
        };
        let leave_days = number("leaveDays");
        if leave_days.is_some_and(|days| !(0..=MAX_DAYS).contains(&days)) {
            return Err(wrong(&place("leaveDays"), &format!("must be 0 to {MAX_DAYS} days")));
        }
        let retention = number("retentionMonths");
        if retention.is_some_and(|months| !(1..=MAX_MONTHS).contains(&months)) {
            return Err(wrong(&place("retentionMonths"), &format!("must be 1 to {MAX_MONTHS} months")));
        }
        let price = match licence.and_then(|licence| licence.get("price")).and_then(Value::as_f64) {
            None => None,
            Some(amount) if !(0.0..=MAX_PRICE).contains(&amount) => {
                return Err(wrong(&place("price"), "must be 0 or more"));
            }
            Some(amount) => {
                let period = text("period").unwrap_or(Period::Month.as_str());
                let period =
                    Period::parse(period).ok_or_else(|| wrong(&place("period"), "must be month, quarter or year"))?;
                Some(Price { amount, period, currency: text("currency").unwrap_or_default().to_owned() })
            }
        };
        if document.get("limitedAssignmentsPermitted") != Some(&Value::Bool(true)) {
            return Ok(None);
        }
        let permitted = document.get("totalAssignmentsPermitted").and_then(Value::as_i64);
        let permitted = permitted.ok_or_else(|| {
            wrong("totalAssignmentsPermitted", "is missing: an entitlement that is limited says how many there are")
        })?;
        if !(0..=MAX_SEATS).contains(&permitted) {
            return Err(wrong("totalAssignmentsPermitted", &format!("must be 0 to {MAX_SEATS}")));
        }
        Ok(Some(Terms {
            value: document.get("value").and_then(Value::as_str).unwrap_or_default().to_owned(),
            permitted,
            price,
            cost_center: text("costCenter").map(str::to_owned),
            priority: number("priority").unwrap_or_default(),
            leave_days,
            free_at,
            bridges: is("bridge"),
            is_restricted: is("restricted"),
            confirms: is("confirmation"),
            is_of_person: is("perPerson"),
        }))
    }
}

/// For how many months after its end it stays known that somebody had an entitlement, by its document; `None`: no longer than
/// the account.
pub fn retention(document: &Map<String, Value>) -> Option<i64> {
    let months = document.get(LICENCE)?.get("retentionMonths")?.as_i64()?;
    (1..=MAX_MONTHS).contains(&months).then_some(months)
}

fn wrong(name: &str, detail: &str) -> scim::Error {
    scim::Error::invalid_value(format!("{name}: {detail}."))
}
