//! `matrikel report`: what became of people on a day, unit by unit, whatever caused it; and, with `--rights`, which rights have
//! no ground, over everybody.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use super::open::Place;
use super::{Shared, now, open, output};
use crate::config::ConfigError;
use crate::directory::report::rights::{HEADS, Rights, told_counts};
use crate::directory::report::{Report, WORDS};
use crate::directory::{Ctx, Directory, Random};

/// Tell what became of people on one day, or which rights have no ground
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  matrikel report --tenant storstad --day 2026-08-11\n  \
                        matrikel report --tenant storstad --day 2026-08-11 --json > day.json\n  \
                        matrikel report --tenant storstad --rights\n  \
                        matrikel report --tenant storstad --rights --kind inherited --csv > inherited.csv")]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The day, of the time zone of the first policy
    #[arg(long, value_name = "DATE", group = "what")]
    day: Option<String>,
    /// Rights that no rule gives and nobody gave with a reason, that are inherited and not confirmed, or were held late
    #[arg(long, group = "what")]
    rights: bool,
    /// Of rights only those: hand, inherited, late or source
    #[arg(long, value_name = "KIND", requires = "rights")]
    kind: Option<String>,
    /// Of rights only those to this group or entitlement, by name or id
    #[arg(long, value_name = "NAME", requires = "rights")]
    target: Option<String>,
    /// Answer as a table with a line for each right
    #[arg(long, requires = "rights", conflicts_with = "json")]
    csv: bool,
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| {
        let tenant = open::tenant(directory.store(), &arguments.place.tenant).await?.id;
        let ctx = Ctx::system(tenant, now(), Random::os());
        let Some(day) = &arguments.day else { return rights(directory, ctx, arguments).await };
        let report = directory.report(&ctx, day).await?;
        match arguments.place.json {
            true => output::say(report.to_json())?,
            false => output::say(text(&report))?,
        }
        Ok(())
    })
}

/// Goes through all pages and writes each as it comes: nothing of it is kept but how many rights there are to each target.
async fn rights(directory: &Directory, ctx: Ctx, arguments: &Arguments) -> anyhow::Result<()> {
    directory.fresh_catalog(ctx.tenant, ctx.now).await?;
    let mut asked = Rights { count: Some(directory.limits().page_max), ..Rights::default() };
    for (name, value) in [("kind", &arguments.kind), ("target", &arguments.target)] {
        if let Some(value) = value {
            asked.take(name, value).map_err(|error| ConfigError::new(error.detail))?;
        }
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut counts, mut told) = (BTreeMap::new(), 0_u64);
    if arguments.csv {
        out.write_all(&lines(&[HEADS.map(str::to_owned)])?)?;
    } else if arguments.place.json {
        out.write_all(b"{\"rights\":[")?;
    }
    loop {
        let page = directory.rights_report(&Ctx { now: now(), ..ctx.clone() }, &asked).await?;
        if arguments.csv {
            out.write_all(&lines(&page.rights.iter().map(|right| right.cells()).collect::<Vec<_>>())?)?;
        } else if arguments.place.json {
            for right in &page.rights {
                let comma = if told == 0 { "" } else { "," };
                told += 1;
                write!(out, "{comma}{}", right.to_json())?;
            }
        }
        for (target, count) in page.counts() {
            *counts.entry(target).or_default() += count;
        }
        asked.cursor = page.next;
        if asked.cursor.is_none() {
            break;
        }
    }
    if arguments.place.json {
        writeln!(out, "],\"targets\":{}}}", told_counts(&counts))?;
    } else if !arguments.csv {
        writeln!(out, "{:>8}  target", "rights")?;
        for ((kind, name, id), count) in &counts {
            writeln!(out, "{count:>8}  {kind} {name} ({id})")?;
        }
    }
    Ok(out.flush()?)
}

fn lines(rows: &[[String; 9]]) -> anyhow::Result<Vec<u8>> {
    let mut table = csv::WriterBuilder::new().delimiter(b';').from_writer(Vec::new());
    rows.iter().try_for_each(|row| table.write_record(row))?;
    Ok(table.into_inner()?)
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
