//! `matrikel backup`, `restore` and `restored`: a copy of the embedded database while it is served, its way back, and the
//! word that a database was brought back by other means.

use std::path::PathBuf;

use serde_json::{Value, json};
use store::{BackupError, Held};

use super::{Shared, now, open, output, progress};
use crate::config::{Config, ConfigError};

/// Arguments of `matrikel backup`.
#[derive(clap::Args)]
#[command(
    long_about = "Copies the embedded database into one file, as of one moment, while servers go on serving. The copy is \
                  opened and looked through before it gets its name, and it is on disk then.\n\nPostgreSQL is backed up \
                  with its own tools: pg_dump or pg_basebackup.",
    after_long_help = "Examples:\n  matrikel backup backup/$(date +%F).db\n\n\
                       Exit codes: 0 the backup is there and whole · 1 failed · 2 wrong usage or configuration"
)]
pub(super) struct Backup {
    /// The file to make
    file: PathBuf,
    /// Take the place of a file that is there
    #[arg(long)]
    force: bool,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `matrikel restore`.
#[derive(clap::Args)]
#[command(
    long_about = "Puts a backup in the place of the embedded database. No server and no command may have it open. The \
                  database that is there is put aside under another name, not removed.\n\nWhat was handed out after the \
                  backup was made, such as cursors, expires. Tokens are as they were then: what was revoked since is to be \
                  revoked again.",
    after_long_help = "Examples:\n  matrikel restore backup/2026-07-30.db --force\n\n\
                       Exit codes: 0 restored · 1 failed, nothing was changed · 2 wrong usage or configuration"
)]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    /// Put the database that is there aside
    #[arg(long)]
    force: bool,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `matrikel restored`.
#[derive(clap::Args)]
#[command(
    long_about = "Says that the database was brought back from a backup by other means than `matrikel restore`: by \
                  pg_restore, by copying a file. What was handed out before, such as cursors, expires. Say it before servers \
                  start again.",
    after_long_help = "Examples:\n  pg_restore --dbname matrikel matrikel.dump && matrikel restored && matrikel check\n\n\
                       Exit codes: 0 done · 1 failed · 2 wrong usage or configuration"
)]
pub(super) struct Restored {
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

/// What is not for this database is wrong usage.
fn refuse(error: BackupError) -> anyhow::Error {
    match error {
        BackupError::Postgres => ConfigError::new(format!("{error}.")).into(),
        other => other.into(),
    }
}

fn load(shared: &Shared) -> anyhow::Result<Config> {
    let config = shared.load()?;
    config.check()?;
    Ok(config)
}

fn tenants(held: &[Held]) -> Vec<Value> {
    held.iter().map(|(slug, seq)| json!({ "tenant": slug, "changes": seq })).collect()
}

fn count(held: &[Held]) -> String {
    match held {
        [(slug, _)] => format!("the tenant {slug}"),
        several => format!("{} tenants", several.len()),
    }
}

pub(super) fn backup(shared: &Shared, arguments: &Backup) -> anyhow::Result<()> {
    let config = load(shared)?;
    let mut watch = progress::stages(arguments.json);
    let url = config.database_url();
    let made = store::backup(&url, &arguments.file, arguments.force, &mut watch).map_err(refuse)?;
    let file = arguments.file.display();
    if arguments.json {
        let file = file.to_string();
        output::say(json!({ "file": file, "bytes": made.bytes, "tenants": tenants(&made.tenants) }))?;
    } else {
        output::say(format!("{file} holds {} in {} bytes, and is whole.", count(&made.tenants), made.bytes))?;
    }
    Ok(())
}

pub(super) fn restore(shared: &Shared, arguments: &Restore) -> anyhow::Result<()> {
    let config = load(shared)?;
    if config.is_embedded() {
        open::prepare_folder(&config)?;
    }
    let restored = store::restore(&config.database_url(), &arguments.file, arguments.force, now()).map_err(refuse)?;
    if arguments.json {
        let aside = restored.aside.as_ref().map(|path| path.display().to_string());
        output::say(json!({ "tenants": tenants(&restored.tenants), "aside": aside }))?;
        return Ok(());
    }
    output::say(format!("{} is there again, with {}.", arguments.file.display(), count(&restored.tenants)))?;
    if let Some(aside) = restored.aside {
        output::say(format!("What was there before lies in {}; remove it when nobody needs it.", aside.display()))?;
    }
    Ok(())
}

pub(super) fn restored(shared: &Shared, arguments: &Restored) -> anyhow::Result<()> {
    let config = load(shared)?;
    open::migrated(&config, false)?.store().close();
    let begun = store::begin_epoch(&config.database_url(), now())?;
    if arguments.json {
        output::say(json!({ "tenants": begun }))?;
    } else {
        output::say(format!("What was handed out before expires, in {begun} tenants."))?;
    }
    Ok(())
}
