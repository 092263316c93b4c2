//! `matrikel report`: what became of people on a day, unit by unit, whatever caused it.

use super::open::Place;
use super::{Shared, now, open, output};
use crate::directory::report::{Report, WORDS};
use crate::directory::{Ctx, Random};

/// Tell what became of people on one day
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  matrikel report --tenant storstad --day 2026-08-11\n  \
                        matrikel report --tenant storstad --day 2026-08-11 --json > day.json")]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The day, of the time zone of the first policy
    #[arg(long, value_name = "DATE")]
    day: String,
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| {
        let tenant = open::tenant(directory.store(), &arguments.place.tenant).await?.id;
        let ctx = Ctx::system(tenant, now(), Random::os());
        let report = directory.report(&ctx, &arguments.day).await?;
        match arguments.place.json {
            true => output::say(report.to_json())?,
            false => output::say(text(&report))?,
        }
        Ok(())
    })
}

fn text(report: &Report) -> String {
    let Report { day, zone, changes, people, runs, items } = report;
    let mut lines = vec![format!("{day} ({zone}): {changes} changes, {} people", people.len())];
    let json = report.to_json();
    let units = json.get("units").and_then(serde_json::Value::as_array).into_iter().flatten();
    let heads: Vec<String> = WORDS.into_iter().chain(["given", "taken"]).map(|word| format!("{word:>8}")).collect();
    lines.push(format!("{:<20}{}", "unit", heads.concat()));
    for unit in units {
        let name = unit.get("unit").and_then(serde_json::Value::as_str).filter(|name| !name.is_empty()).unwrap_or("-");
        let count = |word: &str| unit.get("counts").and_then(|counts| counts.get(word)?.as_u64()).unwrap_or_default();
        let cells: Vec<String> =
            WORDS.into_iter().chain(["given", "taken"]).map(|word| format!("{:>8}", count(word))).collect();
        lines.push(format!("{name:<20}{}", cells.concat()));
    }
    for (what, all) in [("run", runs), ("to decide", items)] {
        for one in all {
            let word = |name: &str| one.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
            lines.push(format!("{what} {} {}{} {}", word("value"), word("kind"), word("cause"), word("state")));
        }
    }
    lines.join("\n")
}
