//! Files, rules and days (`matrikel bench --year --people 10k,150k`): how long a first load, a snapshot with nothing changed, one
//! with a hundredth changed, the activation of a rule that touches two thirds and a day on which a hundredth falls due take, for each
//! person, beside what it takes to insert the rows of as many people by SQL alone; what the processor spends on it, how much memory
//! it takes, and how flat all of that is from the smallest size to the largest. All of it within this process, on a database of
//! its own; the files lie there before the clock starts.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::civil::date;
use provisioning::calendar::Calendar;
use serde_json::{Value, json};
use store::ResourceId;
use store::baseline::SqliteBaseline;
use store::feed::FeedKey;

use super::machine;
use crate::cli::demo::play;
use crate::cli::demo::play::town::{Town, lines};
use crate::cli::demo::year::{Source, Year};
use crate::cli::{Shared, open, output};
use crate::config::Config;
use crate::directory::clients;
use crate::directory::secret::Keyring;

/// Rows that the baseline inserts in a commit, as many as a batch of the writer has.
const COMMIT: i64 = 500;
const PAGE: i64 = 5_000;
const DAY: i64 = 86_400_000_000;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A measurement.
struct Figure {
    what: &'static str,
    /// People whom it is about: those that are new, in the file, touched or due.
    people: u64,
    seconds: f64,
    /// Processor time of this process, µs.
    cpu: Option<f64>,
    /// The most memory (PSS) of this process meanwhile, bytes.
    memory: Option<u64>,
}

impl Figure {
    fn each(&self, total: f64) -> f64 {
        total / self.people.max(1) as f64
    }

    /// µs a person.
    fn time(&self) -> f64 {
        self.each(self.seconds * 1e6)
    }

    /// µs of the processor a person.
    fn processor(&self) -> Option<f64> {
        self.cpu.map(|cpu| self.each(cpu))
    }

    fn mib(&self) -> Option<f64> {
        self.memory.map(|bytes| bytes as f64 / f64::from(1 << 20))
    }
}

/// Measures each size and tells it, and how the largest compares with the smallest.
pub(super) fn run(shared: &Shared, sizes: &[u64], seed: u64, folder: &Path, file: Option<&Path>) -> anyhow::Result<()> {
    let mut told = Vec::new();
    let mut all: Vec<(u64, Vec<Figure>)> = Vec::new();
    for size in sizes {
        let (figures, each) = measure(shared, *size, seed, folder).with_context(|| format!("{size} people"))?;
        tell(*size, &figures, each)?;
        told.extend(figures.iter().map(|figure| {
            json!({
                "size": size, "what": figure.what, "people": figure.people, "seconds": figure.seconds,
                "microsecondsEach": figure.time(), "ratio": each.map(|each| figure.time() / each),
                "processorMicrosecondsEach": figure.processor(), "memoryMiB": figure.mib(),
            })
        }));
        all.push((*size, figures));
    }
    if let [(small, first), .., (large, last)] = all.as_slice() {
        compare((*small, first), (*large, last))?;
    }
    if let Some(file) = file {
        std::fs::write(file, serde_json::to_string_pretty(&Value::Array(told))? + "\n")
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}

fn tell(size: u64, figures: &[Figure], baseline: Option<f64>) -> anyhow::Result<()> {
    output::say(format!("\n{size} people, {} build", if cfg!(debug_assertions) { "debug" } else { "release" }))?;
    output::say(format!(
        "{:<48} {:>8} {:>9} {:>9} {:>8} {:>8} {:>7} {:>8}",
        "", "people", "seconds", "people/s", "µs each", "µs CPU", "ratio", "MiB PSS"
    ))?;
    let known =
        |value: Option<f64>, places: usize| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.places$}"));
    for figure in figures {
        output::say(format!(
            "{:<48} {:>8} {:>9.2} {:>9.0} {:>8.0} {:>8} {:>7} {:>8}",
            figure.what,
            figure.people,
            figure.seconds,
            1e6 / figure.time().max(f64::MIN_POSITIVE),
            figure.time(),
            known(figure.processor(), 0),
            known(baseline.map(|each| figure.time() / each), 2),
            known(figure.mib(), 0),
        ))?;
    }
    if let Some(each) = baseline {
        output::say(format!("ratio: to {each:.0} µs, which inserting all rows of a person by SQL alone takes"))?;
    }
    Ok(())
}

/// What a person costs where there are many, against what one costs where there are few: 1 is flat.
fn compare((small, first): (u64, &[Figure]), (large, last): (u64, &[Figure])) -> anyhow::Result<()> {
    output::say(format!("\n{large} people to {small}: a person's time, its processor time, and memory as a whole"))?;
    output::say(format!("{:<48} {:>9} {:>9} {:>9}", "", "time", "CPU", "memory"))?;
    let ratio = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) if one > 0.0 => format!("{:.2}", other / one),
        _ => "-".to_owned(),
    };
    for (one, other) in first.iter().zip(last) {
        output::say(format!(
            "{:<48} {:>9} {:>9} {:>9}",
            other.what,
            ratio(Some(one.time()), Some(other.time())),
            ratio(one.processor(), other.processor()),
            ratio(one.mib(), other.mib()),
        ))?;
    }
    Ok(())
}

/// Looks at this process while something is done: what it spends, and the most memory that it has.
struct Watch {
    began: Instant,
    spent: Option<f64>,
    is_over: Arc<AtomicBool>,
    looking: JoinHandle<Option<u64>>,
}

impl Watch {
    fn begin() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let looking = std::thread::spawn(move || {
            let mut most = None;
            loop {
                most = most.max(machine::memory(std::process::id()));
                if over.load(Ordering::Relaxed) {
                    return most;
                }
                std::thread::park_timeout(LOOK);
            }
        });
        Watch { began: Instant::now(), spent: machine::ticks(std::process::id()), is_over, looking }
    }

    fn end(self, what: &'static str, people: u64) -> Figure {
        let seconds = self.began.elapsed().as_secs_f64();
        let spent = machine::ticks(std::process::id());
        self.is_over.store(true, Ordering::Relaxed);
        self.looking.thread().unpark();
        let memory = self.looking.join().ok().flatten();
        let cpu = spent.zip(self.spent).map(|(after, before)| after - before);
        Figure { what, people, seconds, cpu, memory }
    }
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
    let both = [Source::Staff, Source::School];
    send(town, vec![(Source::Units, lines(year.rows(Source::Units))?)]).await?;
    let files = |year: &Year| both.into_iter().map(|source| Ok((source, lines(year.rows(source))?))).collect();
    let first: anyhow::Result<Vec<_>> = files(&year);
    let (first, watch) = (first?, Watch::begin());
    send(town, first).await?;
    figures.push(watch.end("a first load, held and allowed", all));
    town.wait_until(town.now() + 1_000_000).await?;
    let same: anyhow::Result<Vec<_>> = files(&year);
    let (same, watch) = (same?, Watch::begin());
    let changed = send(town, same).await?;
    figures.push(watch.end("a full snapshot with nothing changed", all));
    anyhow::ensure!(changed == 0, "{changed} changed of what was the same");
    town.wait_until(town.now() + 1_000_000).await?;
    let retitled = |source: Source| {
        let rows = year.rows(source).enumerate().map(|(n, mut row)| {
            if let Some(name) = row.get_mut("family").filter(|_| n % 100 == 7) {
                *name = json!(format!("{}-Berg", name.as_str().unwrap_or_default()));
            }
            row
        });
        Ok((source, lines(rows)?))
    };
    let other: anyhow::Result<Vec<_>> = both.into_iter().map(retitled).collect();
    let (other, watch) = (other?, Watch::begin());
    let changed = send(town, other).await?;
    figures.push(watch.end("a full snapshot with a hundredth changed", all));
    anyhow::ensure!(changed > 0, "nothing changed");
    town.wait_until(town.now() + 1_000_000).await?;
    town.create("Rule", play::rule(("pupils", "enrolments[from pr]", "all-pupils"))).await?;
    let watch = Watch::begin();
    let done = town.wait_until(town.now()).await?;
    figures.push(watch.end("a rule is activated that touches two thirds", done.changed.max(pupils as u64)));
    // A hundredth of the accounts begins tomorrow.
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
    let watch = Watch::begin();
    let done = town.wait_until(town.now() + DAY).await?;
    figures.push(watch.end("a day on which a hundredth falls due", done.looked.max(1)));
    Ok(figures)
}

/// Sends files, whole; how much is another for it.
async fn send(town: &Town, files: Vec<(Source, File)>) -> anyhow::Result<u64> {
    let mut changed = 0;
    for (source, file) in files {
        changed += town.send_file(source, file, true, Arc::new(|_, _, _| {})).await?.changed;
    }
    Ok(changed)
}
