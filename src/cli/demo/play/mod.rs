//! A year, played: the sources send their files step by step at a moved clock, days pass, and what falls due falls due, all of
//! it through the write path of a living register. The year ends today, so that the register that it leaves can be served.

mod maps;
mod tally;
pub mod town;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use indicatif::ProgressBar;
use jiff::civil::Date;
use provisioning::calendar::Calendar;
use scim::query::SearchRequest;
use scim::resource::Projection;
use serde_json::{Value, json};

use super::year::{ENTERPRISE, Event, Source, Year, to_scim};
use crate::cli::output;
use crate::directory::{Ctx, Precondition};
use tally::{Month, Tally};
use town::Town;

/// Whose days they are.
const ZONE: &str = "Europe/Helsinki";
/// Sources send their files at six in the morning.
const MORNING: i64 = 6 * 3_600_000_000;

/// What is to be played, and how it is told.
pub(super) struct Play {
    pub(super) seed: u64,
    pub(super) employees: usize,
    pub(super) pupils: usize,
    /// The first day.
    pub(super) first: Date,
    /// Days between two files of a source.
    pub(super) step: i64,
    pub(super) json: bool,
}

/// What follows in the town: whose accounts live by their dates, how they are called, and who gets what.
pub fn policy() -> Value {
    json!({
        "name": "municipality", "zone": ZONE, "purge": true, "purgeAfter": 60,
        "kinds": [{ "type": "substitute", "bridgeDays": 30 }, { "type": "enrolment", "bridgeDays": 20 }],
        "names": {
            "userName": ["{{ firstName }}.{{ familyName }}"], "domain": "kommun.example", "familyNameChange": "rename",
            "aliasMonths": 6, "longest": 40,
        },
    })
}

/// Name, filter and groups of rules.
pub const RULES: [(&str, &str, &str); 6] = [
    ("staff", "employments[start pr]", "all-staff"),
    ("staff of units", "employments[unit pr]", "{{ unit.code }}-staff"),
    ("nurses", "employments[taskCode eq \"nurse\" and current eq true]", "nurses"),
    ("teachers", "employments[taskCode eq \"teacher\"]", "teachers"),
    ("pupils", "enrolments[from pr]", "all-pupils"),
    ("classes", "enrolments[class pr]", "{{ enrolment.schoolUnit }}-{{ enrolment.class }}"),
];

/// A rule as it is entered, active at once.
pub fn rule((name, filter, group): (&str, &str, &str)) -> Value {
    json!({
        "name": name, "lifecycle": "active", "filter": filter,
        "grants": [{ "type": "group", "value": group, "missing": "create" }],
    })
}

/// Plays it in a tenant that has nobody yet.
pub(super) async fn play(
    directory: crate::directory::Directory,
    tenant: crate::directory::TenantId,
    play: &Play,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let calendar = Calendar::of(ZONE).context("the zone is known")?;
    let mut year = Year::begin(play.seed, play.employees, play.pupils, play.first).peekable_by_day();
    let town = Town::at(directory, tenant, calendar.start_of(play.first) + MORNING)?;
    town.prepare(policy()).await?;
    for spec in RULES {
        town.create("Rule", rule(spec)).await?;
    }
    let (mut tally, mut month) = (Tally::default(), Month::default());
    let told = |label: &str, month: &Month, tally: &Tally| match play.json {
        true => output::say(month.json(label, tally.active())),
        false => bar.suspend(|| output::say(month.line(label, tally.active()))),
    };
    if !play.json {
        output::say(Month::HEAD)?;
    }
    for source in [Source::Units, Source::Staff, Source::School] {
        month.add(town.send(source, year.year.rows(source), true, quiet()).await?);
    }
    town.wait_until(town.now()).await?;
    tally.follow(&town, &mut month).await?;
    told("before ", &std::mem::take(&mut month), &tally)?;
    let mut ids = BTreeMap::new();
    let mut is_full = false;
    let mut day = play.first;
    let last = year.year.last_day();
    bar.set_length(u64::try_from(last.until(day).map_or(0, |span| span.get_days().abs())).unwrap_or_default());
    loop {
        let said = year.until(day);
        for source in [Source::Units, Source::Staff, Source::School] {
            if is_full {
                month.add(town.send(source, year.year.rows(source), true, quiet()).await?);
            } else if let Some(rows) = said.rows.get(&source) {
                month.add(town.send(source, rows.values().cloned(), false, quiet()).await?);
            }
        }
        for event in said.phones {
            ring(&town, &event, &mut ids).await?;
        }
        let next = day.saturating_add(jiff::Span::new().days(play.step)).min(last);
        let is_over = day >= last;
        is_full = next.month() != day.month() || said.has_gone;
        let until = if is_over { next.saturating_add(jiff::Span::new().days(1)) } else { next };
        // On the last day no later than now.
        let moment = calendar.start_of(until) + if is_over { 0 } else { MORNING };
        town.wait_until(moment.min(calendar.start_of(next) + MORNING)).await?;
        tally.follow(&town, &mut month).await?;
        bar.inc(u64::try_from(play.step).unwrap_or(1));
        if is_over || next.month() != day.month() {
            let label = format!("{:04}-{:02}", day.year(), day.month());
            told(&label, &std::mem::take(&mut month), &tally)?;
        }
        if is_over {
            bar.finish_and_clear();
            return Ok(());
        }
        day = next;
    }
}

/// Nobody is told how far a file has come.
fn quiet() -> crate::intake::Watch {
    Arc::new(|_, _, _| {})
}

/// What was said in a step: of each key the last word.
struct Said {
    rows: BTreeMap<Source, BTreeMap<String, Value>>,
    phones: Vec<Event>,
    /// Whether a source has lost a key, which only a whole file tells.
    has_gone: bool,
}

/// A year and the event that lies ahead.
struct Days {
    year: Year,
    ahead: Option<Event>,
}

impl Year {
    fn peekable_by_day(self) -> Days {
        Days { year: self, ahead: None }
    }
}

impl Days {
    fn until(&mut self, day: Date) -> Said {
        let mut said = Said { rows: BTreeMap::new(), phones: Vec::new(), has_gone: false };
        loop {
            let Some(event) = self.ahead.take().or_else(|| self.year.next()) else { return said };
            if event.day > day {
                self.ahead = Some(event);
                return said;
            }
            match (event.source, event.says.clone()) {
                (Source::Phones, _) => said.phones.push(event),
                (source, Some(row)) => drop(said.rows.entry(source).or_default().insert(event.key, row)),
                (source, None) => {
                    said.has_gone = true;
                    said.rows.entry(source).or_default().remove(&event.key);
                }
            }
        }
    }
}

/// The telephony platform sets a number, which HR has not.
async fn ring(town: &Town, event: &Event, ids: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    let Some(row) = &event.says else { return Ok(()) };
    let ctx = town.ctx();
    let catalog = town.directory.catalog(town.tenant, ctx.now).await?;
    let definition = catalog.registry().definition("User").cloned().context("there is no resource type User")?;
    let id = match ids.get(&event.key) {
        Some(id) => id.clone(),
        None => {
            let filter = format!("{ENTERPRISE}:employeeNumber eq {}", json!(event.key));
            let request = SearchRequest { filter: Some(filter), ..SearchRequest::default() };
            let found = town.directory.search(&ctx, std::slice::from_ref(&definition), &request).await?;
            let found: Value = serde_json::from_str(&found.body)?;
            let first = found.get("Resources").and_then(Value::as_array).and_then(|list| list.first());
            let Some(id) = first.and_then(|user| user.get("id")).and_then(Value::as_str) else { return Ok(()) };
            ids.insert(event.key.clone(), id.to_owned());
            id.to_owned()
        }
    };
    let (none, whole) = (Precondition::none(), Projection::whole(&definition));
    let patch = to_scim(Source::Phones, row);
    match town.directory.patch(&Ctx { ..ctx }, &definition, &id, patch, &none, &whole).await {
        Ok(_) => {}
        // Purged meanwhile.
        Err(crate::directory::Error::Scim(error)) if error.status == 404 => drop(ids.remove(&event.key)),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
