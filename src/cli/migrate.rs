//! `matrikel migrate`: the database's tables, brought up to date or only looked at.

use super::{Shared, open, output};
use crate::config::redact;

#[derive(clap::Args)]
#[command(
    long_about = "Brings the database's tables up to date with this version. Doing it again does nothing.",
    after_long_help = "Examples:\n  matrikel migrate\n  matrikel migrate --check || echo \"not up to date\"\n\n\
                       Exit codes: 0 up to date · 1 failed, or --check found something to do · 2 wrong usage or \
                       configuration"
)]
pub(super) struct Arguments {
    /// Change nothing; exit with 1 when there is something to do
    #[arg(long)]
    check: bool,
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    let config = shared.load()?;
    config.check()?;
    open::prepare_folder(&config)?;
    let url = config.database_url();
    if arguments.check {
        let pending = store::pending(&url)?;
        if !pending.is_empty() {
            anyhow::bail!("{} lacks {} migrations: {}", redact(&url), pending.len(), pending.join(", "));
        }
        output::say("Up to date.")?;
        return Ok(());
    }
    let applied = store::migrate(&url)?;
    if applied.is_empty() {
        output::say("Up to date; nothing to do.")?;
    }
    for migration in applied {
        output::say(format!("Applied {migration}."))?;
    }
    Ok(())
}
