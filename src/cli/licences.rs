//! `matrikel licences`: what it was worth that seats of limited entitlements were taken back, as a table for people or as JSON.

use provisioning::calendar::date;
use serde_json::Value;

use super::open::Place;
use super::{Shared, now, open, output};
use crate::config::ConfigError;
use crate::directory::licences::report::Span;
use crate::directory::{Ctx, Random};

/// The commands about licences.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Tell what reclaimed seats have saved, by month, unit and cost centre, and what lies idle
    #[command(after_help = "Examples:\n  \
        matrikel licences report --tenant storstad\n  \
        matrikel licences report --tenant storstad --from 2026-01-01 --to 2026-12-31 --json")]
    Report {
        /// The first day
        #[arg(long, value_name = "DATE")]
        from: Option<String>,
        /// The last day; today at the latest
        #[arg(long, value_name = "DATE")]
        to: Option<String>,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) fn run(shared: &Shared, command: &Command) -> anyhow::Result<()> {
    let Command::Report { from, to, place } = command;
    let span = Span { from: day(from.as_deref())?, to: day(to.as_deref())? };
    open::run(&shared.load()?, async |directory| {
        let tenant = open::tenant(directory.store(), &place.tenant).await?.id;
        let ctx = Ctx::system(tenant, now(), Random::os());
        directory.fresh_catalog(tenant, ctx.now).await?;
        let report = directory.licence_report(&ctx, span).await?;
        match place.json {
            true => output::say(report)?,
            false => tell(&report)?,
        }
        Ok(())
    })
}

fn day(text: Option<&str>) -> anyhow::Result<Option<jiff::civil::Date>> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || ConfigError::new(format!("{text} is no day such as 2026-08-01"));
    Ok(Some(date(text).ok_or_else(wrong)?))
}

fn tell(report: &Value) -> anyhow::Result<()> {
    let rows = |name: &str| report.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let said = |row: &Value, name: &str| match row.pointer(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "-".to_owned(),
    };
    let money = |row: &Value, name: &str| match row.pointer(name).and_then(Value::as_f64) {
        Some(amount) => format!("{amount:.2}"),
        None => "-".to_owned(),
    };
    output::say(
        "entitlement              permitted     used reserved  pending  waiting     over     idle  idle/month",
    )?;
    for pool in rows("pools") {
        let count = |name: &str| said(&pool, name);
        output::say(
            format!(
                "{:<24} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>11} {}",
                count("/entitlement/display"),
                count("/permitted"),
                count("/used"),
                count("/reserved"),
                count("/reclaimPending"),
                count("/waiting"),
                count("/over"),
                count("/idle"),
                money(&pool, "/idlePerMonth"),
                pool.get("currency").and_then(Value::as_str).unwrap_or_default(),
            )
            .trim_end(),
        )?;
    }
    output::say("")?;
    output::say(
        "month    entitlement              unit             cost centre reclaimed  used again       saved        idle",
    )?;
    for row in rows("savings") {
        output::say(
            format!(
                "{:<8} {:<24} {:<16} {:<11} {:>9} {:>11} {:>11} {:>11} {}",
                said(&row, "/month"),
                said(&row, "/entitlement/display"),
                said(&row, "/unit"),
                said(&row, "/costCenter"),
                said(&row, "/reclaimed"),
                said(&row, "/usedAgain"),
                money(&row, "/saved"),
                money(&row, "/idle"),
                row.get("currency").and_then(Value::as_str).unwrap_or_default(),
            )
            .trim_end(),
        )?;
    }
    Ok(())
}
