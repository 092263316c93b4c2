//! `matrikel schedule`: what falls due, without a server. What is overdue can be done at once, and a copy of a register, or
//! one for trying things out, can be moved through its days: what happens on the first of August is then seen today.

use anyhow::{Context, bail};
use provisioning::calendar::{Calendar, date, instant};
use serde_json::json;

use super::open::Place;
use super::{Shared, now, open, output};
use crate::directory::Directory;
use crate::schedule::{Done, Pace, Scheduler};
use store::Random;

/// The commands about what falls due.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Do what is due up to a moment, the oldest first
    #[command(after_help = "Examples:\n  \
        matrikel schedule run --tenant storstad --until 2026-08-01 --zone Europe/Stockholm\n  \
        matrikel schedule run --tenant copy --until 2027-01-01 --ahead\n\n\
        What is overdue happens now, whatever day it was due. With --ahead each happens at the moment at which it is \
        due: the register believes from then on that it is that day. Use it on a copy.")]
    Run {
        /// A day, whose beginning is meant, or an instant such as 2026-08-01T06:00:00Z
        #[arg(long, value_name = "DATE")]
        until: String,
        /// The time zone of the day
        #[arg(long, value_name = "ZONE", default_value = "UTC")]
        zone: String,
        /// Go beyond the present moment
        #[arg(long)]
        ahead: bool,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) fn run(shared: &Shared, command: &Command) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| perform(directory, command).await)
}

async fn perform(directory: &Directory, command: &Command) -> anyhow::Result<()> {
    let Command::Run { until, zone, ahead, place } = command;
    let tenant = open::tenant(directory.store(), &place.tenant).await?.id;
    let moment = moment(until, zone)?;
    if moment > now() && !ahead {
        bail!(
            "{until} lies ahead. A register that is moved there believes that it is that day: say --ahead for a copy"
        );
    }
    let pace = if *ahead { Pace::AsItWas } else { Pace::AsItIs };
    let scheduler = Scheduler::new(directory.clone(), &Random::os())?;
    let done = scheduler.run(tenant, now, moment, pace, |_, _| {}).await?;
    let done = done.context("another process looks after the days of this tenant. Try again in two minutes")?;
    say(&done, moment, place.json)
}

fn say(done: &Done, until: i64, as_json: bool) -> anyhow::Result<()> {
    let Done { looked, changed, purged, put_off } = done;
    let until = instant(until).unwrap_or_default();
    if as_json {
        let told = json!({ "until": until, "looked": looked, "changed": changed, "purged": purged, "putOff": put_off });
        return Ok(output::say(told)?);
    }
    let put_off = if *put_off == 0 { String::new() } else { format!(", {put_off} put off") };
    Ok(output::say(format!("up to {until}: {looked} looked at, {changed} changed, {purged} purged{put_off}"))?)
}

/// The moment that is meant, µs since 1970.
pub(super) fn moment(text: &str, zone: &str) -> anyhow::Result<i64> {
    let calendar =
        Calendar::of(zone).with_context(|| format!("{zone} is no IANA time zone, such as Europe/Helsinki"))?;
    if let Some(day) = date(text) {
        return Ok(calendar.start_of(day));
    }
    let instant = text.parse::<jiff::Timestamp>();
    Ok(instant.with_context(|| format!("{text} is neither a day such as 2026-08-01 nor an instant"))?.as_microsecond())
}
