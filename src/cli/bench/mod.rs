//! `matrikel bench`: how fast the server is, beside what the HTTP library and the database give by themselves, measured in
//! turn in the same run. Every answer is checked; a wrong one makes the run fail. docs/PERFORMANCE.md says how to read it.

mod awake;
mod book;
mod ending;
mod group;
mod handler;
mod ldap;
mod machine;
mod masks;
mod measure;
mod night;
mod peer;
mod people;
mod pg;
mod raw;
mod read;
mod register;
mod report;
mod scenario;
mod signed;
mod subject;
mod target;
mod verify;
mod view;
mod walk;
mod whole;
mod wire;
mod world;
mod write;
mod year;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use self::awake::Awake;
use self::book::{Book, Register};
use self::handler::Handler;
use self::peer::Peer;
use self::pg::Pgbench;
use self::raw::Raw;
use self::register::Place;
use self::scenario::{Bench, SCENARIOS, Settings};
use self::subject::Folder;
use super::{Shared, output};
use crate::config::ConfigError;

/// Arguments of `matrikel bench`.
#[derive(clap::Args)]
#[command(
    long_about = "Measures a server with a load of made-up people and groups, every answer checked, beside raw baselines \
                  taken in turn in the same run.\n\nBy itself it starts a server of its own over a new SQLite file. With \
                  --database-url it uses a PostgreSQL database, which must be empty; with --url a server that runs \
                  already, in an empty tenant, which is left with whatever was loaded.",
    after_long_help = "Examples:\n  matrikel bench\n  matrikel bench --people 10k,100k --only get,create --rounds 3\n  \
                       matrikel bench --people 1M --keep million --json million.json\n  \
                       matrikel bench --whole --people 250k\n  matrikel bench --year --people 10k,150k\n  \
                       matrikel bench --url http://127.0.0.1:8080/scim/v2 --token mk_… --pid 4711\n\n\
                       Exit codes: 0 measured · 1 an answer was wrong, or it failed · 2 wrong usage or configuration"
)]
pub(super) struct Arguments {
    /// Sizes of the register: numbers of people such as 10k, 100k, 1M
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "10k", value_parser = people)]
    people: Vec<u64>,
    /// Rounds of each measurement; figures are their medians
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Milliseconds that a measurement takes in each round
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    time: u64,
    /// Connections, instead of each scenario's own
    #[arg(long, value_name = "N", value_delimiter = ',')]
    connections: Vec<usize>,
    /// Scenarios to measure; all unless told
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = scenario_name)]
    only: Vec<String>,
    /// Instead of scenarios: how long it takes to load a register with groups of all sizes, to copy it while it is served, and to
    /// restore it
    #[arg(long, conflicts_with_all = ["only", "url", "keep", "slapd"])]
    whole: bool,
    /// Name the scenarios and stop
    #[arg(long)]
    list: bool,
    /// Write everything as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the loaded register in this folder, and use what lies there already
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    keep: Option<PathBuf>,
    /// Folder for what is temporary
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A server that runs already, such as http://127.0.0.1:8080/scim/v2
    #[arg(long, value_name = "URL", requires = "token")]
    url: Option<String>,
    /// A token of an administrator of that server
    #[arg(long, value_name = "TOKEN", requires = "url", env = "MATRIKEL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Process of that server, to measure its processor time and memory
    #[arg(long, value_name = "PID", requires = "url")]
    pid: Option<u32>,
    /// A setting of the server that is started, such as MATRIKEL_WORKERS=4
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    set: Vec<(String, String)>,
    /// The script tools/slapd: measure OpenLDAP beside, with the same people
    #[arg(long, value_name = "FILE")]
    slapd: Option<PathBuf>,
    /// Measure files of sources, rules and days, in the place of requests
    #[arg(long, conflicts_with_all = ["url", "slapd", "keep", "only", "list"])]
    year: bool,
    /// Keep all cores awake meanwhile, by processes of the lowest priority: on a virtual machine with nothing else to do, what it
    /// costs to wake a core up would be counted as the server's
    #[arg(long)]
    awake: bool,
    /// Seed of the people
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Answer every request with a body of the size in its path, and nothing else
    #[arg(long, hide = true)]
    raw_handler: bool,
    /// Keep one core awake, and do nothing else
    #[arg(long, hide = true)]
    keep_awake: bool,
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.raw_handler {
        return super::wait(handler::serve());
    }
    if arguments.keep_awake {
        awake::count();
        return Ok(());
    }
    if arguments.list {
        for scenario in SCENARIOS {
            output::say(format!("{:<16} {}", scenario.name, scenario.about))?;
        }
        return Ok(());
    }
    let mut sizes = arguments.people.clone();
    sizes.sort_unstable();
    sizes.dedup();
    if arguments.url.is_some() && sizes.len() > 1 {
        return Err(
            ConfigError::new("A server that runs already is measured at one size; give one to --people.").into()
        );
    }
    let _awake = if arguments.awake { Some(Awake::start()?) } else { None };
    // Named from the root, because the server beside it works in another folder.
    let parent = std::path::absolute(arguments.folder.clone().unwrap_or_else(std::env::temp_dir))?;
    let folder = Folder::new(&parent, "run")?;
    if arguments.year {
        return year::run(shared, &sizes, arguments.seed, folder.path(), arguments.json.as_deref());
    }
    // The driver is one thread, so that it takes as little as can be from the server beside it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let book = RefCell::new(Book::default());
    let facts = machine::facts(folder.path(), arguments.awake);
    runtime.block_on(async {
        if arguments.whole {
            for size in sizes {
                let place = place(shared, arguments, size, &folder);
                whole::run(&place, arguments.json.as_deref()).await.with_context(|| format!("{size} people"))?;
            }
            return Ok(());
        }
        let handler = Handler::start(folder.path()).await?;
        for size in sizes {
            measure(shared, arguments, size, &folder, &handler, &book)
                .await
                .with_context(|| format!("{size} people"))?;
        }
        anyhow::Ok(())
    })?;
    if arguments.whole { Ok(()) } else { tell(arguments, &book.into_inner(), &facts) }
}

/// What register is wanted, and where.
fn place(shared: &Shared, arguments: &Arguments, size: u64, folder: &Folder) -> Place {
    Place {
        folder: folder.path().to_owned(),
        database_url: shared.database_url.clone(),
        keep: arguments.keep.clone(),
        variables: arguments.set.clone(),
        seed: arguments.seed,
        size,
    }
}

fn tell(arguments: &Arguments, book: &Book, facts: &Value) -> anyhow::Result<()> {
    let command = std::env::args().collect::<Vec<_>>();
    let mut command = command.iter().skip(1).map(String::as_str).collect::<Vec<_>>();
    if let Some(secret) = command.iter().position(|word| *word == "--token").and_then(|at| command.get_mut(at + 1)) {
        *secret = "…";
    }
    let command = format!("matrikel {}", command.join(" "));
    output::say(report::table(book, facts, &command).trim_end())?;
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&report::document(book, facts, &command))?;
        std::fs::write(file, text + "\n").with_context(|| format!("{} cannot be written", file.display()))?;
    }
    match book.faults() {
        0 => Ok(()),
        faults => anyhow::bail!("{faults} answers were wrong, resources lost or scenarios not measured; see above"),
    }
}

/// Loads a register of one size and measures all that is wanted.
async fn measure(
    shared: &Shared,
    arguments: &Arguments,
    size: u64,
    folder: &Folder,
    handler: &Handler,
    book: &RefCell<Book>,
) -> anyhow::Result<()> {
    let settings = Settings {
        rounds: usize::from(arguments.rounds),
        time: Duration::from_millis(arguments.time),
        connections: arguments.connections.clone(),
        only: arguments.only.clone(),
    };
    let place = place(shared, arguments, size, folder);
    let prepared = match (&arguments.url, &arguments.token) {
        (Some(url), Some(token)) => register::remote(url, token, arguments.pid, &place).await?,
        _ => register::own(&place).await?,
    };
    let world = prepared.world;
    let memory_before = world.subject.process.and_then(machine::memory);
    let raw = match &prepared.files {
        Some(files) => Some(Raw::prepare(&world, &files.copy, &files.register).await?),
        None => None,
    };
    let pgbench = match &shared.database_url {
        Some(url) if arguments.url.is_none() && url.starts_with("postgres") => {
            Pgbench::prepare(&world, url, folder.path()).await?
        }
        _ => None,
    };
    let peer = match &arguments.slapd {
        Some(tool) => Some(Peer::start(tool, folder.path(), world.people, settings.time).await?),
        None => None,
    };
    let bar = progress(SCENARIOS.len() as u64, "{msg:<28} {bar:40} {pos:>4}/{len} {elapsed}");
    let bench = Bench {
        world: &world,
        settings: &settings,
        book,
        handler,
        raw,
        pgbench,
        peer,
        readers: std::cell::OnceCell::new(),
        groups: std::cell::OnceCell::new(),
        bar: bar.clone(),
    };
    bench.run().await;
    bar.set_message("reading back");
    let (read_back, lost, fault) = ending::read_back(&world).await?;
    bar.finish_and_clear();
    if let Some(fault) = fault {
        output::remark(format!("read back: {fault}"))?;
    }
    let register = Register {
        load_rate: world.loaded.rate,
        load_cpu: world.loaded.cpu,
        file: prepared.files.as_ref().and_then(|files| files.size),
        memory_before,
        memory_after: world.subject.process.and_then(machine::memory),
        read_back,
        lost,
    };
    book.borrow_mut().registers.insert(size, register);
    drop(bench);
    world.subject.stop().await
}

/// A bar for whoever watches; none where nobody does.
fn progress(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// `10k`, `1M`, `500`.
fn people(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.to_ascii_lowercase() {
        text if text.ends_with('k') => (text.trim_end_matches('k').to_owned(), 1_000),
        text if text.ends_with('m') => (text.trim_end_matches('m').to_owned(), 1_000_000),
        text => (text, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number
        .filter(|number| (100..=10_000_000).contains(number))
        .ok_or_else(|| format!("{text} is no number of people from 100 to 10M, such as 10k"))
}

fn scenario_name(text: &str) -> Result<String, String> {
    if SCENARIOS.iter().any(|scenario| scenario.name == text) {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    Err(format!("there is no scenario {text}; there are {}", names.join(", ")))
}

fn variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| name.starts_with("MATRIKEL_"));
    pair.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "write MATRIKEL_<KEY>=VALUE".to_owned())
}

/// Whether a path is a file.
fn exists(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_number_of_people_is_read_as_people_write_it() {
        assert_eq!(super::people("10k"), Ok(10_000));
        assert_eq!(super::people("1M"), Ok(1_000_000));
        assert_eq!(super::people("250"), Ok(250));
        for wrong in ["", "k", "10", "many", "99999M", "-5"] {
            assert!(super::people(wrong).is_err(), "{wrong}");
        }
    }
}
