//! `matrikel export` and `matrikel import`: a tenant as lines of JSON, out of one register and into another. With a map,
//! a file is what a source sends instead, see `feed`; `export accounts` is what goes back to it.

use std::fs::File;
use std::io::{BufReader, BufWriter, IsTerminal};
use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;
use store::{Imported, TransferError};

use super::{Shared, accounts, adopt, feed, now, open, output, progress, wait};
use crate::config::ConfigError;
use crate::directory::{Ctx, Random};

/// Arguments of `matrikel export`.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    long_about = "Writes a tenant to standard output as lines of JSON, as it stands at one moment, while servers go on \
                  serving. Everything that answers rest on goes along: resources with ids, versions and times, external \
                  ids, memberships, schemas and indexes of the tenant's own, clients with the hashes of their tokens, and \
                  the keys that seal cursors. The file is as confidential as the database.\n\nOf the changes, number, time \
                  and digest go along; with --history also what they changed.",
    after_long_help = "Examples:\n  matrikel export --tenant storstad > storstad.jsonl\n  \
                       matrikel export --tenant storstad --history | gzip > storstad.jsonl.gz\n\n\
                       Exit codes: 0 written · 1 failed · 2 wrong usage or configuration"
)]
pub(super) struct Export {
    #[command(subcommand)]
    part: Option<Part>,
    /// Short name of the tenant
    #[arg(long, value_name = "SLUG", required = true)]
    tenant: Option<String>,
    /// Also what each change changed, for whoever has to tell the past
    #[arg(long)]
    history: bool,
    /// What was written, as a line of JSON on standard error
    #[arg(long)]
    json: bool,
}

/// What is written instead of all.
#[derive(clap::Subcommand)]
enum Part {
    /// User name and address of each account, by the key of the source that it came from
    Accounts(accounts::Arguments),
}

/// What is read instead of a tenant.
#[derive(clap::Subcommand)]
enum Kind {
    /// Accounts as they were before the register: user names, addresses, memberships, reserved names
    Accounts(adopt::Accounts),
    /// What became of them, and of their memberships
    Report(adopt::Report),
}

/// Arguments of `matrikel import`.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    long_about = "Reads a file of `matrikel export` into a tenant that does not exist yet or is empty, on either database. \
                  The file is read through before anything is stored: one that was cut short or altered is refused. Until \
                  the last line is stored the tenant serves nobody.\n\nThe same file again does nothing. An import that \
                  broke off goes on with --resume.\n\nWith --map the file is what a source sends from time to time: CSV, a \
                  workbook (XLSX) or lines of JSON. What it says is compared with what it said before, and created, changed or \
                  withdrawn accordingly; what would be too much at once is held until a person allows it. A run that broke off \
                  goes on when the same file is read again.",
    after_long_help = "Examples:\n  matrikel import --tenant storstad storstad.jsonl\n  \
                       matrikel import --tenant storstad storstad.jsonl --resume\n  \
                       matrikel import --tenant storstad staff.csv --map staff.toml --check\n  \
                       matrikel import --tenant storstad staff.csv --map staff.toml --client hr --simulate\n  \
                       matrikel import --tenant storstad staff.csv --map staff.toml --client hr --full\n\n\
                       Exit codes: 0 all of it is there · 1 failed or held · 2 wrong usage or configuration"
)]
pub(super) struct Import {
    #[command(subcommand)]
    kind: Option<Kind>,
    /// Short name of the tenant; it is made when there is none
    #[arg(long, value_name = "SLUG", required = true)]
    tenant: Option<String>,
    /// The file
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Go on with an import of this file that broke off
    #[arg(long, conflicts_with = "map")]
    resume: bool,
    #[command(flatten)]
    feed: feed::Arguments,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn export(shared: &Shared, arguments: &Export) -> anyhow::Result<()> {
    if let Some(Part::Accounts(arguments)) = &arguments.part {
        return accounts::export(shared, arguments);
    }
    let slug = arguments.tenant.as_deref().unwrap_or_default();
    let config = shared.load()?;
    if std::io::stdout().is_terminal() {
        return Err(ConfigError::new("An export is a file: matrikel export --tenant SLUG > FILE.").into());
    }
    let directory = open::migrated(&config, false)?;
    let store = directory.store().clone();
    let outcome = wait(async {
        let tenant = open::tenant(&store, slug).await?.id;
        // Remembered first: what breaks off has been written as far as it came.
        let about = json!({ "resource": { "type": "Tenant", "value": slug } });
        let ctx = Ctx::system(tenant, now(), Random::os());
        directory.remember_act(&ctx, "tenantExport", about.as_object().cloned().unwrap_or_default()).await?;
        let (history, mut watch) = (arguments.history, progress::stages(arguments.json));
        let written = store.read(move |reader| {
            let mut out = BufWriter::with_capacity(1 << 18, std::io::stdout().lock());
            reader.export(tenant, history, &mut out, &mut watch)
        });
        Ok(written.await.map_err(|error: TransferError| error)?)
    });
    store.close();
    let written = outcome?;
    if arguments.json {
        return Ok(output::remark(json!({
            "tenant": slug, "lines": written.lines, "bytes": written.bytes, "resources": written.resources,
            "waiting": written.waiting,
        }))?);
    }
    output::remark(format!("Wrote {} resources of {} in {} lines.", written.resources, slug, written.lines))?;
    if written.waiting > 0 {
        output::remark(format!(
            "{} bulk requests that were accepted are not carried out yet and did not go along; export again later.",
            written.waiting
        ))?;
    }
    Ok(())
}

pub(super) fn import(shared: &Shared, arguments: &Import) -> anyhow::Result<()> {
    match &arguments.kind {
        Some(Kind::Accounts(accounts)) => return adopt::import(shared, accounts),
        Some(Kind::Report(report)) => return adopt::report(shared, report),
        None => {}
    }
    let slug = arguments.tenant.as_deref().unwrap_or_default();
    let path = arguments.file.clone().unwrap_or_default();
    if let Some(map) = &arguments.feed.map {
        let asked = feed::Asked { tenant: slug, file: &path, json: arguments.json, only: None };
        return feed::import(shared, &asked, &arguments.feed, map);
    }
    let config = shared.load()?;
    super::tenant::check_slug(slug)?;
    let file = File::open(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let directory = open::migrated(&config, false)?;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut watch = progress::stages(arguments.json);
    let outcome = directory.store().import(slug, &mut file, arguments.resume, now(), &mut watch);
    let led = outcome.as_ref().ok().filter(|imported| imported.tenant.is_active()).map(|imported| {
        let ctx = Ctx::system(imported.tenant.id, now(), Random::os());
        wait(async { Ok(directory.lead_again(&ctx).await?) })
    });
    directory.store().close();
    let imported = outcome.with_context(|| format!("{} was not imported", path.display()))?;
    for lost in led.transpose()?.unwrap_or_default() {
        output::remark(format!(
            "A certificate or an issuer leads to {lost} no more: it leads to another register of this server."
        ))?;
    }
    let Imported { tenant, number_before, lines, stored, resources } = imported;
    if arguments.json {
        return Ok(output::say(json!({
            "tenant": tenant.slug, "id": tenant.id.0, "id_before": number_before, "lines": lines, "stored": stored,
            "resources": resources,
        }))?);
    }
    if stored == 0 && lines > 0 {
        output::say(format!("All of {} is in {} already; nothing was done.", path.display(), tenant.slug))?;
        return Ok(());
    }
    output::say(format!("Tenant {} has {resources} resources; {stored} of {lines} lines were stored.", tenant.slug))?;
    if tenant.id.0 != number_before {
        output::say(format!(
            "Tokens name the tenant's number, which was {number_before} and is {}: give each client a new one with \
             `matrikel client rotate`.",
            tenant.id
        ))?;
    }
    Ok(())
}
