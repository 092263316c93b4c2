//! `matrikel erase`: what is known of somebody goes, at the person's own request, because no policy says when, or because a
//! newer register had it erased.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::erasures::{self, Told, list::Lists};
use super::{Shared, now, open, output};
use crate::config::ConfigError;
use crate::directory::{Ctx, Directory, Random, ResourceId};

/// Arguments of `matrikel erase`.
#[derive(clap::Args)]
#[command(
    long_about = "Erases a User, who is deleted first unless that was done already, and what is known of the account: the \
                  content of every change, rights and what spoke for them, seats, what runs have left. What stays is the \
                  headers of changes, so that the chain still verifies, names that a policy keeps from others, and evidence \
                  of access for as long as an entitlement says (retentionMonths).\n\nWith --list it erases again all whom a \
                  list of `matrikel erasures` names: for a copy that was brought back and is older than the list. What is done \
                  is not done twice, and what broke off goes on when the same command is given again.\n\nThis cannot be taken \
                  back. Somebody on legal hold is not erased. Copies of the database know the person still: see OPERATIONS.",
    after_long_help = "Examples:\n  matrikel erase --tenant storstad --user 0197c0de-0000-7000-8000-000000000001\n  \
                       matrikel erase --list erasures.jsonl\n\n\
                       Exit codes: 0 erased, but for those on legal hold · 1 failed · 2 wrong usage or configuration"
)]
pub(super) struct Arguments {
    /// Id of the User, who may be deleted already
    #[arg(long, value_name = "ID", required_unless_present = "list", requires = "tenant")]
    user: Option<String>,
    /// A list of `matrikel erasures`: all whom it names
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    list: Option<PathBuf>,
    /// Short name of the tenant; with --list all of those that it names, where none is named here
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    let tenant = arguments.tenant.as_deref();
    if let Some(path) = &arguments.list {
        return by_list(shared, path, tenant, arguments.json);
    }
    let user = arguments.user.as_deref().unwrap_or_default();
    let id: ResourceId = user.parse().map_err(|_| ConfigError::new(format!("{user} is no id.")))?;
    open::run(&shared.load()?, async |directory| {
        one(directory, tenant.unwrap_or_default(), id).await?;
        if arguments.json {
            return Ok(output::say(json!({ "user": id.to_string(), "erased": true }))?);
        }
        Ok(output::say(format!("{id} is erased."))?)
    })
}

async fn one(directory: &Directory, slug: &str, id: ResourceId) -> anyhow::Result<()> {
    let tenant = open::tenant(directory.store(), slug).await?.id;
    let ctx = Ctx::system(tenant, now(), Random::os());
    directory.erase_user(&ctx, id).await.with_context(|| format!("{id} is not erased"))
}

fn by_list(shared: &Shared, path: &Path, tenant: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let lists = Lists::read(path)?;
    let told = open::run(&shared.load()?, async |directory| {
        if let Some(slug) = tenant {
            open::tenant(directory.store(), slug).await?;
        }
        erasures::replay(directory, &lists, tenant, as_json).await
    })?;
    if as_json {
        let tenants: Vec<Value> = told.iter().map(Told::document).collect();
        return Ok(output::say(json!({ "tenants": tenants }))?);
    }
    told.iter().try_for_each(Told::say)
}
