//! Files, rules and days (`matrikel bench --year`): how long a first load, a snapshot with nothing changed, one with a hundredth
//! changed, the activation of a rule that touches two thirds and a day on which a hundredth falls due take, for each person, beside
//! what it takes to insert the rows of as many people by SQL alone. All of it within this process, on a database of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use jiff::civil::date;
use provisioning::calendar::Calendar;
use serde_json::{Value, json};
use store::ResourceId;
use store::baseline::SqliteBaseline;
use store::feed::FeedKey;

use super::machine;
use crate::cli::demo::play::{self, town::Town};
use crate::cli::demo::year::{Source, Year};
use crate::cli::{Shared, open, output};
use crate::config::Config;
use crate::directory::clients;
use crate::directory::secret::Keyring;

/// Rows that the baseline inserts in a commit, as many as a batch of the writer has.
const COMMIT: i64 = 500;
const PAGE: i64 = 5_000;
const DAY: i64 = 86_400_000_000;

/// A measurement.
struct Figure {
    what: &'static str,
    /// People whom it is about: those that are new, in the file, touched or due.
    people: u64,
    seconds: f64,
    memory: Option<u64>,
}

/// Measures each size and tells it.
pub(super) fn run(shared: &Shared, sizes: &[u64], seed: u64, folder: &Path, file: Option<&Path>) -> anyhow::Result<()> {
    let mut told = Vec::new();
    for size in sizes {
        let (figures, each) = measure(shared, *size, seed, folder).with_context(|| format!("{size} people"))?;
        output::say(format!("\n{size} people, {} build", if cfg!(debug_assertions) { "debug" } else { "release" }))?;
        output::say(format!(
            "{:<44} {:>8} {:>9} {:>12} {:>9} {:>8}",
            "", "people", "seconds", "µs a person", "ratio", "MiB"
        ))?;
        for figure in &figures {
            let of_one = figure.seconds * 1e6 / figure.people.max(1) as f64;
            let ratio = each.map(|each| of_one / each);
            let mib = figure.memory.map(|bytes| bytes >> 20);
            output::say(format!(
                "{:<44} {:>8} {:>9.2} {:>12.0} {:>9} {:>8}",
                figure.what,
                figure.people,
                figure.seconds,
                of_one,
                ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
                mib.map_or_else(|| "-".to_owned(), |mib| mib.to_string()),
            ))?;
            told.push(json!({
                "size": size, "what": figure.what, "people": figure.people, "seconds": figure.seconds,
                "microsecondsEach": of_one, "ratio": ratio, "memoryMiB": mib,
            }));
        }
        if let Some(each) = each {
            output::say(format!("ratio: to {each:.0} µs, which inserting all rows of a person by SQL alone takes"))?;
        }
    }
    if let Some(file) = file {
        std::fs::write(file, serde_json::to_string_pretty(&Value::Array(told))? + "\n")
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}

/// The figures, and the µs that the rows of a person take by SQL alone, where that is measured.
fn measure(shared: &Shared, size: u64, seed: u64, folder: &Path) -> anyhow::Result<(Vec<Figure>, Option<f64>)> {
    let register = folder.join(format!("year-{size}.db"));
    let is_own = shared.database_url.is_none();
    let url = shared.database_url.clone().unwrap_or_else(|| format!("sqlite:{}", register.display()));
    let mut config = Config { database_url: Some(url), data_dir: folder.to_owned(), ..Config::default() };
    config.secrets.keys = Some(Keyring::line("bench")?);
    let directory = open::migrated(&config, true)?;
    let store = directory.store().clone();
    let copy = folder.join(format!("year-{size}.copy"));
    let outcome = crate::cli::wait(async {
        let tenant = clients::create_tenant(&store, &format!("year{size}"), "Year", crate::cli::now()).await?.id;
        let first = Calendar::of("Europe/Helsinki").context("a zone")?.start_of(date(2026, 3, 2)) + 6 * DAY / 24;
        let town = Town::at(directory.clone(), tenant, first)?;
        town.prepare(play::policy()).await?;
        if is_own {
            let path = copy.to_str().context("a path in UTF-8")?.to_owned();
            let from = register.to_str().context("a path in UTF-8")?.to_owned();
            tokio::task::spawn_blocking(move || {
                store::backup(&format!("sqlite:{from}"), Path::new(&path), true, &mut |_, _, _| {})
            })
            .await??;
        }
        let employees = usize::try_from(size / 3)?;
        let figures = go(&town, seed, employees, usize::try_from(size)? - employees).await?;
        anyhow::Ok((tenant, ids(&town).await?, figures))
    });
    let (tenant, ids, figures) = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            store.close();
            return Err(error);
        }
    };
    store.close();
    if !is_own {
        return Ok((figures, None));
    }
    let (from, beside) = (register.to_str().context("UTF-8")?, copy.to_str().context("UTF-8")?);
    let mut baseline = SqliteBaseline::open(beside, from, tenant)?;
    baseline.stage(&ids)?;
    let began = Instant::now();
    let mut done = 0;
    let all = i64::try_from(ids.len())?;
    while done < all {
        baseline.insert(done, COMMIT.min(all - done))?;
        done += COMMIT;
    }
    let each = began.elapsed().as_secs_f64() * 1e6 / ids.len().max(1) as f64;
    Ok((figures, Some(each)))
}

/// The ids of all whom the feeds have said.
async fn ids(town: &Town) -> anyhow::Result<Vec<ResourceId>> {
    let mut ids = Vec::new();
    for name in ["staff", "pupils"] {
        let feed = town.directory.feed(&town.ctx(), name).await?.context("the feed is there")?.id;
        let (tenant, mut after): (_, Option<FeedKey>) = (town.tenant, None);
        loop {
            let last = after.take();
            let read =
                move |reader: &mut store::Reader| reader.feed_records(tenant, feed, last.as_ref(), (false, PAGE));
            let page = town.directory.store().read(read).await.map_err(|error: store::Error| error)?;
            ids.extend(page.iter().map(|(_, record)| record.resource));
            match page.into_iter().next_back() {
                Some((key, _)) => after = Some(key),
                None => break,
            }
        }
    }
    Ok(ids)
}

async fn go(town: &Town, seed: u64, employees: usize, pupils: usize) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let year = Year::begin(seed, employees, pupils, date(2026, 3, 2));
    let all = (employees + pupils) as u64;
    let mut note = |what: &'static str, people: u64, began: Instant| {
        let memory = machine::memory(std::process::id());
        figures.push(Figure { what, people, seconds: began.elapsed().as_secs_f64(), memory });
    };
    send(town, Source::Units, year.rows(Source::Units)).await?;
    let began = Instant::now();
    for source in [Source::Staff, Source::School] {
        send(town, source, year.rows(source)).await?;
    }
    note("a first load, held and allowed", all, began);
    town.wait_until(town.now() + 1_000_000).await?;
    let began = Instant::now();
    for source in [Source::Staff, Source::School] {
        let changed = send(town, source, year.rows(source)).await?;
        anyhow::ensure!(changed == 0, "{changed} changed of what was the same");
    }
    note("the same again", all, began);
    town.wait_until(town.now() + 1_000_000).await?;
    let retitle = |source: Source| {
        year.rows(source).enumerate().map(|(n, mut row)| {
            if let Some(name) = row.get_mut("family").filter(|_| n % 100 == 7) {
                *name = json!(format!("{}-Berg", name.as_str().unwrap_or_default()));
            }
            row
        })
    };
    let began = Instant::now();
    let mut changed = 0;
    for source in [Source::Staff, Source::School] {
        changed += send(town, source, retitle(source)).await?;
    }
    note("a hundredth changed (people: all of the file)", all, began);
    anyhow::ensure!(changed > 0, "nothing changed");
    town.wait_until(town.now() + 1_000_000).await?;
    town.create("Rule", play::rule(("pupils", "enrolments[from pr]", "all-pupils"))).await?;
    let began = Instant::now();
    let done = town.wait_until(town.now()).await?;
    note("a rule that touches two thirds is activated", done.changed.max(pupils as u64), began);
    // A hundredth of the staff's and pupils' accounts begins tomorrow.
    let calendar = Calendar::of("Europe/Helsinki").context("a zone")?;
    let tomorrow = calendar.day_of(town.now() + DAY).to_string();
    let newcomers = (0..all / 100).map(|n| {
        json!({
            "id": format!("n{n}"), "given": "Nea", "family": format!("Ny{n}"),
            "enrolments": [{ "enrolmentId": format!("n{n}-1"), "schoolUnit": "00", "class": "1A", "year": 1, "from": tomorrow }],
        })
    });
    town.send(Source::School, newcomers, false, Arc::new(|_, _, _| {})).await?;
    town.wait_until(town.now()).await?;
    let began = Instant::now();
    let done = town.wait_until(town.now() + DAY).await?;
    note("a day on which a hundredth falls due", done.looked.max(1), began);
    Ok(figures)
}

async fn send(town: &Town, source: Source, rows: impl IntoIterator<Item = Value>) -> anyhow::Result<u64> {
    Ok(town.send(source, rows, true, Arc::new(|_, _, _| {})).await?.changed)
}
