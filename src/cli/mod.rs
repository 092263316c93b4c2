//! The command line, one file a command. Here are only the commands' names, the configuration they share and the exit
//! codes: 0 done, 1 failed, 2 wrong usage or configuration.

mod accounts;
mod adopt;
mod audit;
mod backup;
mod bench;
mod check;
mod client;
pub mod demo;
mod erase;
mod erasures;
mod federation;
mod feed;
mod index;
mod key;
mod licences;
mod migrate;
mod notify;
mod open;
mod output;
mod progress;
mod report;
mod rules;
mod run;
mod schedule;
mod schema;
pub mod serve;
mod signing_key;
mod simulate;
mod tenant;
mod transfer;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError};
use crate::telemetry;

#[derive(Parser)]
#[command(
    name = "matrikel",
    version,
    about = "A SCIM 2.0 identity register",
    long_about = "Matrikel keeps a register of people and groups that sources (such as HR) push over SCIM 2.0 and that \
                  consumers (such as cloud services) pull.\n\nNew here? `matrikel demo` fills a register with a made-up \
                  municipality and shows what to ask it.",
    after_help = "Exit codes: 0 done · 1 failed · 2 wrong usage or configuration",
    after_long_help = "The way from nothing to a running register:\n  \
        matrikel migrate                                             create the tables\n  \
        matrikel tenant create storstad --name \"Storstads kommun\"     one organisation\n  \
        matrikel client create --tenant storstad hr --role source      whoever pushes; shows its token once\n  \
        matrikel client create --tenant storstad cloud --role consumer whoever pulls; shows its token once\n  \
        matrikel serve                                               and there it is\n\n\
        Configuration: matrikel.toml (or --config FILE), then DATABASE_URL and MATRIKEL_* from the environment, then \
        flags; the later wins. `matrikel serve --check-config` shows what results.\n\n\
        Exit codes: 0 done · 1 failed · 2 wrong usage or configuration"
)]
struct Arguments {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

/// What every command needs to find its configuration and database.
#[derive(clap::Args, Clone)]
struct Shared {
    /// Configuration file; matrikel.toml when it exists and none is named
    #[arg(long, global = true, value_name = "FILE", env = "MATRIKEL_CONFIG")]
    config: Option<PathBuf>,
    /// Database: sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE (or DATABASE_URL)
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Arguments),
    /// Fill a register with a made-up municipality, serve it, and show what to ask it
    Demo(demo::Arguments),
    /// Measure how fast the server is, every answer checked, beside raw baselines
    Bench(bench::Arguments),
    /// Bring the database's tables up to date
    Migrate(migrate::Arguments),
    /// The organisations of the register
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// The programs that may use an organisation's register, and their tokens
    #[command(subcommand)]
    Client(client::Command),
    /// What clients may see
    #[command(subcommand)]
    View(view::Command),
    /// The keys that sign access tokens
    #[command(subcommand)]
    SigningKey(signing_key::Command),
    /// Schemas and resource types of an organisation's own
    #[command(subcommand)]
    Schema(schema::Command),
    /// What is indexed in an organisation's register
    #[command(subcommand)]
    Index(index::Command),
    /// The school federation: its members, and what a small one of your own needs
    #[command(subcommand)]
    Federation(federation::Command),
    /// What falls due in an organisation's register
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// Erase what is known of somebody, or of all whom a list of erasures names
    Erase(erase::Arguments),
    /// List of whom nothing is kept any more, for copies that know them still
    Erasures(erasures::Arguments),
    /// What reclaimed licences have saved, and what lies idle
    #[command(subcommand)]
    Licences(licences::Command),
    /// The keys that secrets are sealed under
    #[command(subcommand)]
    Key(key::Command),
    /// What was done in an organisation's register, and what was denied
    #[command(subcommand)]
    Audit(audit::Command),
    /// What became of people on a day, whatever caused it
    Report(report::Arguments),
    /// Whether registers are whole; --repair mends what is derived
    Check(check::Arguments),
    /// Copy the embedded database while it is served
    Backup(backup::Backup),
    /// Put a backup in the place of the embedded database
    Restore(backup::Restore),
    /// Say that the database was brought back from a backup by other means
    Restored(backup::Restored),
    /// Write an organisation's register to standard output, as lines of JSON; or its accounts, for their source
    Export(transfer::Export),
    /// Read an organisation's register from a file of `export`; or, with --map, a file that a source sends
    Import(transfer::Import),
    /// What was made of the files that sources send, and the decision on one that is held
    #[command(subcommand)]
    Run(run::Command),
    /// Rules as tables: read one in, write one out
    #[command(subcommand)]
    Rules(rules::Command),
    /// Work out what rules would make of everybody, and change nothing
    Simulate(Box<simulate::Arguments>),
}

impl Shared {
    /// The configuration from file, environment and the shared flags.
    fn load(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.config.as_deref(), environment())?;
        if let Some(url) = &self.database_url {
            config.database_url = Some(url.clone());
        }
        Ok(config)
    }
}

/// Runs the command of this process.
pub fn run() -> ExitCode {
    let Arguments { shared, command } = Arguments::parse();
    let outcome = match command {
        Command::Serve(arguments) => serve::run(&shared, &arguments),
        Command::Demo(arguments) => demo::run(&shared, &arguments),
        Command::Bench(arguments) => bench::run(&shared, &arguments),
        Command::Migrate(arguments) => migrate::run(&shared, &arguments),
        Command::Tenant(command) => tenant::run(&shared, command),
        Command::Client(command) => client::run(&shared, command),
        Command::View(command) => view::run(&shared, &command),
        Command::SigningKey(command) => signing_key::run(&shared, &command),
        Command::Schema(command) => schema::run(&shared, &command),
        Command::Index(command) => index::run(&shared, &command),
        Command::Federation(command) => federation::run(&shared, command),
        Command::Schedule(command) => schedule::run(&shared, &command),
        Command::Erase(arguments) => erase::run(&shared, &arguments),
        Command::Erasures(arguments) => erasures::run(&shared, &arguments),
        Command::Licences(command) => licences::run(&shared, &command),
        Command::Key(command) => key::run(&shared, &command),
        Command::Audit(command) => audit::run(&shared, &command),
        Command::Report(arguments) => report::run(&shared, &arguments),
        Command::Check(arguments) => check::run(&shared, &arguments),
        Command::Backup(arguments) => backup::backup(&shared, &arguments),
        Command::Restore(arguments) => backup::restore(&shared, &arguments),
        Command::Restored(arguments) => backup::restored(&shared, &arguments),
        Command::Export(arguments) => transfer::export(&shared, &arguments),
        Command::Import(arguments) => transfer::import(&shared, &arguments),
        Command::Run(command) => run::run(&shared, &command),
        Command::Rules(command) => rules::run(&shared, &command),
        Command::Simulate(arguments) => simulate::run(&shared, &arguments),
    };
    telemetry::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            if error.downcast_ref::<ConfigError>().is_some() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Variables that are text; others cannot be ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Runs a command that waits for the store or the network.
fn wait<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future)
}

/// Microseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "the moment of an operator's command enters here, as Ctx::now")]
fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        super::Arguments::command().debug_assert();
    }
}
