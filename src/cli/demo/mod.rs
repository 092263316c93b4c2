//! `matrikel demo`: a register on an embedded database, filled over HTTP with a made-up municipality by one client and
//! read by another, then served. What it does with the register any SCIM client could do; only the tenant and its
//! clients are made directly. A second start finds its data, and an interrupted first one is completed.

mod feed;
pub mod municipality;
mod names;
pub(in crate::cli) mod person;
mod places;
pub mod play;
pub(in crate::cli) mod random;
pub mod year;

mod client;
mod prepare;
mod pull;
mod push;
mod questions;

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;

use self::client::Client;
use self::municipality::Municipality;
use self::prepare::{Register, State};
use super::progress::bar;
use super::{Shared, now, open, output, serve, wait};
use crate::config::Config;
use crate::directory::Directory;
use crate::directory::secret::Keyring;
use crate::http::Clock;
use crate::telemetry;

/// The master key, in the folder of the data.
const KEYS: &str = "demo-keys";

/// Arguments of `matrikel demo`.
#[derive(clap::Args)]
#[command(
    long_about = "Starts a server on a database of its own, creates the tenant `demo` with the clients hr, cloud and \
                  admin, pushes a made-up municipality as hr over HTTP, pulls it again as cloud, prints tokens and six \
                  questions to ask with curl, and serves until Ctrl-C.\n\nThe tokens lie in DIR/demo-tokens.json, \
                  readable by you alone, so that a second start finds its data. Neither matrikel.toml nor DATABASE_URL is \
                  read: a demo never fills a real register by mistake.",
    after_long_help = "Examples:\n  matrikel demo\n  matrikel demo --people 500 --listen 127.0.0.1:9000 --data /tmp/town\n  \
                       matrikel demo --json --people 0 --listen 127.0.0.1:0 --data /tmp/empty\n  matrikel demo --feeds town --size kerava\n  \
                       matrikel demo --year --size hultsfred --data /tmp/year\n\n\
                       Exit codes: 0 stopped when asked · 1 failed · 2 wrong usage or configuration"
)]
pub(super) struct Arguments {
    /// How many people the municipality employs; 0 for an empty register
    #[arg(long, value_name = "N", default_value_t = 2000)]
    people: usize,
    /// Address and port to listen at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Folder for the database and the tokens
    #[arg(long, value_name = "DIR", default_value = "demo-data")]
    data: PathBuf,
    /// Seed of the municipality: the same seed and size make the same town
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Play a year of the municipality that ends today, with everything that happens in one, and serve what has become of it
    #[arg(long, conflicts_with = "feeds")]
    year: bool,
    /// Days between two files of a source in that year
    #[arg(long, value_name = "DAYS", default_value_t = 7, requires = "year", value_parser = clap::value_parser!(i64).range(1..=31))]
    step: i64,
    /// Write the files that the municipality's systems would send into a folder, and stop: see `matrikel import --map`
    #[arg(long, value_name = "DIR")]
    feeds: Option<PathBuf>,
    /// Size of a known municipality, in place of --people
    #[arg(long, value_enum)]
    size: Option<Size>,
    /// Say nothing but one line of JSON on standard output when everything is ready
    #[arg(long)]
    json: bool,
}

/// How large a municipality is.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Size {
    /// 14,000 inhabitants: 900 employees, 2,700 pupils.
    Hultsfred,
    /// 38,000 inhabitants: 2,000 employees, 6,000 pupils.
    Kerava,
    /// 660,000 inhabitants: 37,500 employees, 112,500 pupils.
    Helsinki,
}

impl Arguments {
    fn people(&self) -> usize {
        match self.size {
            None => self.people,
            Some(Size::Hultsfred) => 900,
            Some(Size::Kerava) => 2_000,
            Some(Size::Helsinki) => 37_500,
        }
    }
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(folder) = &arguments.feeds {
        let people = arguments.people();
        feed::write(&Municipality::generate(arguments.seed, people), arguments.seed, folder)?;
        let told = match arguments.json {
            true => json!({ "folder": folder, "employees": people, "pupils": people * 3 }).to_string(),
            false => format!("Wrote files of {people} employees and {} pupils to {}.", people * 3, folder.display()),
        };
        return Ok(output::say(told)?);
    }
    let mut config = Config {
        listen: arguments.listen.clone(),
        data_dir: arguments.data.clone(),
        database_url: shared.database_url.clone(),
        shutdown_seconds: 5,
        ..Config::default()
    };
    config.log.level = "warn".to_owned();
    config.check()?;
    telemetry::init(&config.log)?;
    // What of a person is secret is sealed under a key that lies beside the database: good enough for a demo.
    let keys = arguments.data.join(KEYS);
    if arguments.year || keys.exists() {
        config.secrets.key_file = Some(keys);
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&arguments.data)
        .with_context(|| format!("the folder {} cannot be made; name another with --data", arguments.data.display()))?;
    if let Some(keys) = config.secrets.key_file.as_ref().filter(|keys| !keys.exists()) {
        std::fs::write(keys, format!("{}\n", Keyring::line("demo")?))?;
        std::fs::set_permissions(keys, std::fs::Permissions::from_mode(0o600))?;
    }
    let directory = open::migrated(&config, true)?;
    let store = directory.store().clone();
    let outcome = wait(perform(&config, arguments, directory));
    store.close();
    outcome
}

async fn perform(config: &Config, arguments: &Arguments, directory: Directory) -> anyhow::Result<()> {
    let mut register = prepare::register(&directory, &arguments.data, arguments.people(), arguments.seed).await?;
    if arguments.year && !register.state.has_year {
        live_through(&directory, arguments, &mut register.state).await?;
    }
    let running = serve::start(config, directory, Clock::of_machine())?;
    let base_url = running.base_url();
    let stop = serve::stop_signal();
    tokio::pin!(stop);
    let filled = tokio::select! {
        outcome = fill(&base_url, arguments, register) => outcome,
        outcome = &mut stop => {
            running.stop().await?;
            outcome?;
            return tell(arguments.json, "Stopped before everything was there. The next start completes it.");
        }
    };
    if let Err(error) = filled {
        running.stop().await?;
        return Err(error);
    }
    stop.await?;
    tell(arguments.json, "Stopping.")?;
    Ok(running.stop().await?)
}

/// Plays a year in the tenant, which must be empty.
async fn live_through(directory: &Directory, arguments: &Arguments, state: &mut State) -> anyhow::Result<()> {
    let tenant = directory.store().tenant_by_slug(prepare::TENANT).await?.context("the tenant is made")?.id;
    let users = directory.store().read(move |reader| reader.count(tenant, "User")).await?;
    if users > 0 {
        anyhow::bail!(
            "{} holds people already. A year begins in an empty folder: name another with --data",
            arguments.data.display()
        );
    }
    let today = jiff::Timestamp::from_microsecond(now())?.to_zoned(jiff::tz::TimeZone::UTC).date();
    let employees = arguments.people();
    let year = play::Play {
        seed: arguments.seed,
        employees,
        pupils: employees * 3,
        first: today.saturating_sub(jiff::Span::new().days(364)),
        step: arguments.step,
        json: arguments.json,
    };
    tell(
        arguments.json,
        &format!("A year of {employees} employees and {} pupils, from {} to {today}:", year.pupils, year.first),
    )?;
    let days = bar(arguments.json, "days", 365);
    play::play(directory.clone(), tenant, &year, &days).await?;
    (state.has_year, state.is_loaded) = (true, true);
    state.write(&arguments.data)
}

/// Pushes what is missing, pulls everything, and says what there is now.
async fn fill(base_url: &str, arguments: &Arguments, mut register: Register) -> anyhow::Result<()> {
    let state = &register.state;
    let (source, consumer) =
        (Client::new(base_url, state.token("hr")?)?, Client::new(base_url, state.token("cloud")?)?);
    let town = Municipality::generate(state.seed, state.people);
    let is_empty_by_wish = state.people == 0 || state.has_year;
    if state.people != arguments.people() && !state.has_year {
        tell(
            arguments.json,
            &format!(
                "{} holds a municipality of {} people already and keeps it. For another size name another folder.",
                arguments.data.display(),
                state.people
            ),
        )?;
    }
    if register.state.is_loaded {
        tell(arguments.json, &format!("Found the register in {}.", arguments.data.display()))?;
    } else if !is_empty_by_wish {
        if register.is_resumed {
            tell(arguments.json, "The last start was interrupted; pushing what is missing.")?;
        }
        push::push(&source, &town, |label, length| bar(arguments.json, label, length)).await?;
    }
    if !register.state.is_loaded {
        register.state.is_loaded = true;
        register.state.write(&arguments.data)?;
    }
    if !is_empty_by_wish {
        pull::pull(&consumer, &town, |label, length| bar(arguments.json, label, length)).await?;
    }
    if arguments.json {
        output::say(json!({ "base_url": base_url, "tokens": register.state.tokens }))?;
        return Ok(());
    }
    introduce(base_url, &register.state)?;
    if !is_empty_by_wish {
        output::say(questions::questions(&consumer, &town).await?)?;
    }
    output::say("\nServing until Ctrl-C.")?;
    Ok(())
}

fn introduce(base_url: &str, state: &State) -> anyhow::Result<()> {
    output::say(format!("\nThe register is at {base_url}\n"))?;
    for (client, role) in [("hr", "pushes"), ("cloud", "pulls"), ("admin", "may do everything")] {
        output::say(format!("  {client:<6} {role:<18} {}", state.token(client)?))?;
    }
    Ok(())
}

/// A word for a person who watches; a machine gets none.
fn tell(json: bool, sentence: &str) -> anyhow::Result<()> {
    if !json {
        output::remark(sentence)?;
    }
    Ok(())
}
