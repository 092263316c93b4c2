//! What it was worth that seats were taken back, by month, entitlement, unit and cost centre as they were then; and how many
//! seats lie idle. Worked out from the seats that are free, which name nobody.

use std::collections::BTreeMap;

use jiff::civil::Date;
use provisioning::calendar::{date, instant};
use provisioning::licences::{Period, Price, Reclaim, Stage, Terms, worth};
use serde_json::{Value, json};
use store::work::document_of;
use store::{ResourceId, Work};

use super::known::Known;
use super::pool::Counts;
use super::{ASSIGNMENT, Error, are_there};
use crate::directory::rules::ENTITLEMENT;
use crate::directory::settle::Book;
use crate::directory::{Ctx, Directory};

/// The schema of the answer.
pub const REPORT_URN: &str = "urn:matrikel:scim:api:messages:1.0:LicenceReport";
/// The resource type that the report is about.
pub const ABOUT: &str = ENTITLEMENT;
/// Seats read at a time.
const SLICE: i64 = 500;
/// In millionths of a unit of money is counted.
const PARTS: i128 = 1_000_000;

/// Which days a report is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first day; `None`: since there are seats.
    pub from: Option<Date>,
    /// The last day; `None`: today.
    pub to: Option<Date>,
}

impl Span {
    /// Takes the day that a parameter names; another parameter says nothing. Fails with 400 invalidValue for what is no day.
    pub fn take(&mut self, name: &str, value: &str) -> Result<(), scim::Error> {
        let end = match name.to_ascii_lowercase().as_str() {
            "from" => &mut self.from,
            "to" => &mut self.to,
            _ => return Ok(()),
        };
        let wrong = || scim::Error::invalid_value(format!("{name} is no day such as 2026-08-01."));
        *end = Some(date(value).ok_or_else(wrong)?);
        Ok(())
    }
}

/// By what savings are told apart: month, entitlement, unit, cost centre, currency.
type Place = (Date, ResourceId, String, String, String);

/// What came together in one place.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    reclaimed: u64,
    used_again: u64,
    saved: i128,
    idle: i128,
}

impl Directory {
    /// The report, JSON. Fails with 404 when the tenant has no seats, 400 invalidValue for a span that ends before it begins.
    pub async fn licence_report(&self, ctx: &Ctx, span: Span) -> Result<Value, Error> {
        if let (Some(from), Some(to)) = (span.from, span.to)
            && to < from
        {
            return Err(scim::Error::invalid_value("to comes before from.").into());
        }
        if !are_there(&self.registry_of(ctx.tenant)) {
            return Err(
                scim::Error::status(404, "The tenant has no Assignments: see `matrikel schema install`.").into()
            );
        }
        let (caller, origin) = (ctx.clone(), ctx.origin());
        let tell =
            move |reader: &mut store::Reader| reader.simulate(caller.tenant, origin, |work| tell(&caller, span, work));
        self.store().read_for(ctx.tenant, tell).await
    }
}

fn tell(ctx: &Ctx, span: Span, work: &mut Work<'_>) -> Result<Value, Error> {
    let calendar = Book::of(work)?.calendar_of(&serde_json::Map::new());
    let from = span.from.map_or(i64::MIN / 4, |day| calendar.start_of(day));
    let until = span.to.map_or(ctx.now, |day| calendar.end_of(day)).min(ctx.now);
    let mut sums: BTreeMap<Place, Sum> = BTreeMap::new();
    let mut after = None;
    loop {
        let ids = work.ids_of(ASSIGNMENT, after, SLICE)?;
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        for id in ids {
            let Some(known) = Known::find(work, id)?.filter(|known| known.stage() == Some(Stage::Free)) else {
                continue;
            };
            let (Some(reclaim), Some(entitlement)) = (reclaim(&known), known.entitlement()) else { continue };
            let text = |name: &str| known.text(name).unwrap_or_default().to_owned();
            let place =
                |month: Date| (month, entitlement, text("unit"), text("costCenter"), reclaim.price.currency.clone());
            let month = |at: i64| calendar.day_of(at).with().day(1).build().ok();
            let within = |at: &i64| (from..until).contains(at);
            if let Some(month) = Some(reclaim.freed).filter(within).and_then(month) {
                sums.entry(place(month)).or_default().reclaimed += 1;
            }
            if let Some(month) = reclaim.used_from.filter(within).and_then(month) {
                sums.entry(place(month)).or_default().used_again += 1;
            }
            for one in worth(&reclaim, from, until, &calendar) {
                let sum = sums.entry(place(one.month)).or_default();
                sum.saved += one.saved;
                sum.idle += one.idle;
            }
        }
    }
    let mut names: BTreeMap<ResourceId, String> = BTreeMap::new();
    let pools = pools(work, &mut names)?;
    let savings: Vec<Value> = sums.iter().map(|(place, sum)| row(place, sum, &names)).collect();
    Ok(json!({
        "schemas": [REPORT_URN],
        "from": span.from.map(|day| day.to_string()),
        "until": instant(until),
        "pools": pools,
        "savings": savings,
    }))
}

fn reclaim(known: &Known) -> Option<Reclaim> {
    let period = known.text("period").and_then(Period::parse).unwrap_or_default();
    Some(Reclaim {
        freed: known.moment("freedAt")?,
        used_from: known.moment("usedAgainFrom"),
        used_until: known.moment("usedAgainUntil"),
        given_up: known.moment("givenUpAt"),
        price: Price {
            amount: known.document.get("price").and_then(Value::as_f64).unwrap_or_default(),
            period,
            currency: known.text("currency").unwrap_or_default().to_owned(),
        },
    })
}

/// How it stands with each limited entitlement now.
fn pools(work: &mut Work<'_>, names: &mut BTreeMap<ResourceId, String>) -> Result<Vec<Value>, Error> {
    let mut pools = Vec::new();
    for record in work.records_of(ENTITLEMENT)? {
        let document = document_of(&record)?;
        let value = document.get("value").and_then(Value::as_str).unwrap_or_default().to_owned();
        names.insert(record.id, value.clone());
        let Ok(Some(Terms { permitted, price, .. })) = Terms::read(&document) else { continue };
        let counts = Counts::of(&document);
        let idle = (permitted - counts.used).max(0);
        pools.push(json!({
            "entitlement": { "value": record.id.to_string(), "display": value },
            "permitted": permitted,
            "used": counts.used,
            "reserved": counts.reserved,
            "reclaimPending": counts.reclaiming,
            "waiting": counts.waiting,
            "over": (counts.used - permitted).max(0),
            "idle": idle,
            "idlePerMonth": price.as_ref().map(|price| {
                // For people: no sum is made of it.
                #[expect(clippy::cast_precision_loss, reason = "far fewer seats than a float is exact for")]
                let idle = idle as f64 * price.amount;
                #[expect(clippy::cast_precision_loss, reason = "twelve at most")]
                let months = price.period.months() as f64;
                (idle / months * 100.0).round() / 100.0
            }),
            "currency": price.map(|price| price.currency).filter(|currency| !currency.is_empty()),
        }));
    }
    pools.sort_by_key(|pool| pool.pointer("/entitlement/display").and_then(Value::as_str).map(str::to_owned));
    Ok(pools)
}

fn row(place: &Place, sum: &Sum, names: &BTreeMap<ResourceId, String>) -> Value {
    let (month, entitlement, unit, cost_center, currency) = place;
    let said = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
    json!({
        "month": month.strftime("%Y-%m").to_string(),
        "entitlement": { "value": entitlement.to_string(), "display": names.get(entitlement) },
        "unit": said(unit),
        "costCenter": said(cost_center),
        "currency": said(currency),
        "reclaimed": sum.reclaimed,
        "usedAgain": sum.used_again,
        "saved": money(sum.saved),
        "idle": money(sum.idle),
    })
}

/// Money as a number with two places.
fn money(parts: i128) -> f64 {
    let cents = (parts + PARTS / 200) / (PARTS / 100);
    #[expect(clippy::cast_precision_loss, reason = "far below what a float is exact for")]
    let cents = cents as f64;
    cents / 100.0
}
