//! `matrikel backup`, `restore` and `restored`: a copy of the embedded database while it is served, its way back, and the
//! word that a database was brought back by other means.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};
use store::{BackupError, Held, Restoring};

use super::erasures::{self, Told, list::Lists};
use super::{Shared, now, open, output, progress};
use crate::config::{Config, ConfigError};
use crate::directory::Directory;

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
                  database that is there is put aside under another name, not removed.\n\nWho was erased after the backup \
                  was made is in it still. They are erased again before it takes its place: all whom the database that is \
                  put aside had erased, and all whom a list of `matrikel erasures` names.\n\nWhat was handed out after the \
                  backup was made, such as cursors, expires. Tokens are as they were then: what was revoked since is to be \
                  revoked again.",
    after_long_help = "Examples:\n  matrikel restore backup/2026-07-30.db --force\n  \
                       matrikel restore backup/2026-07-30.db --erasures /srv/elsewhere/erasures.jsonl\n\n\
                       Exit codes: 0 restored · 1 failed, nothing was changed · 2 wrong usage or configuration"
)]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    /// Put the database that is there aside
    #[arg(long)]
    force: bool,
    /// A list of `matrikel erasures`: all whom it names are erased again
    #[arg(long, value_name = "FILE")]
    erasures: Option<PathBuf>,
    /// Erase nobody again: whoever was erased since the backup is there again
    #[arg(long, conflicts_with = "erasures")]
    no_erasures: bool,
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
    let list = arguments.erasures.as_deref().map(Lists::read).transpose()?;
    let restoring = store::restore(&config.database_url(), &arguments.file, arguments.force, now()).map_err(refuse)?;
    let told = match arguments.no_erasures {
        true => None,
        false => erase_again(&config, &restoring, list, arguments.json)?,
    };
    let restored = restoring.finish().map_err(refuse)?;
    if arguments.json {
        let aside = restored.aside.as_ref().map(|path| path.display().to_string());
        let erasures = told.map(|told| told.iter().map(Told::document).collect::<Vec<_>>());
        output::say(json!({ "tenants": tenants(&restored.tenants), "aside": aside, "erasures": erasures }))?;
        return Ok(());
    }
    output::say(format!("{} is there again, with {}.", arguments.file.display(), count(&restored.tenants)))?;
    told.iter().flatten().try_for_each(Told::say)?;
    if let Some(aside) = restored.aside {
        output::say(format!("What was there before lies in {}; remove it when nobody needs it.", aside.display()))?;
    }
    Ok(())
}

/// Erases in a copy that waits whom a list names, and whom the database that will be put aside has erased. `None`: there is
/// no list of either kind, which is said.
fn erase_again(
    config: &Config,
    restoring: &Restoring,
    list: Option<Lists>,
    as_json: bool,
) -> anyhow::Result<Option<Vec<Told>>> {
    let is_here = |slug: &str| restoring.tenants().iter().any(|(known, _)| known == slug);
    if let Some(list) = &list
        && !list.tenants().any(is_here)
    {
        let listed = list.tenants().collect::<Vec<_>>().join(", ");
        anyhow::bail!("the list is of {listed}, and the backup is not. Nothing was restored");
    }
    let is_named = list.is_some();
    let mut lists = list.unwrap_or_default();
    let aside = restoring.erasures().map_err(|error| {
        output::remark(format!("Whom the database that is put aside had erased cannot be read out of it: {error}."))
    });
    let aside = match aside {
        Ok(aside) => aside,
        Err(said) => said.map(|()| None)?,
    };
    if aside.is_none() && !is_named {
        output::remark(
            "There is no list of erasures: whoever was erased after the backup was made is there again. Where a list is kept \
             elsewhere, say `matrikel erase --list FILE` before the server starts.",
        )?;
        return Ok(None);
    }
    for (tenant, erased) in aside.into_iter().flatten().filter(|(tenant, _)| is_here(tenant)) {
        erased.into_iter().for_each(|(id, one)| lists.add(&tenant, id, one.kind, one.at));
    }
    if lists.len() == 0 {
        return Ok(Some(Vec::new()));
    }
    let copy = Config { database_url: Some(restoring.url()), ..config.clone() };
    let replay = async |directory: &Directory| erasures::replay(directory, &lists, None, as_json).await;
    let told = open::run(&copy, replay);
    Ok(Some(told.context("whom the list names cannot be erased in the copy, so nothing was restored")?))
}

pub(super) fn restored(shared: &Shared, arguments: &Restored) -> anyhow::Result<()> {
    let config = load(shared)?;
    open::migrated(&config, false)?.store().close();
    let begun = store::begin_epoch(&config.database_url(), now())?;
    if arguments.json {
        output::say(json!({ "tenants": begun }))?;
    } else {
        output::say(format!("What was handed out before expires, in {begun} tenants."))?;
        output::remark(
            "Whoever was erased after the backup was made is there again: say `matrikel erase --list FILE` with the newest \
             list of `matrikel erasures` before servers start.",
        )?;
    }
    Ok(())
}
