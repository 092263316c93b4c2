//! `matrikel erase`: what is known of somebody goes, at the person's own request or because no policy says when.

use anyhow::Context;
use serde_json::json;

use super::{Shared, now, open, output};
use crate::config::ConfigError;
use crate::directory::{Ctx, Random, ResourceId};

/// Arguments of `matrikel erase`.
#[derive(clap::Args)]
#[command(
    long_about = "Erases a User, who is deleted first unless that was done already, and what is known of the account: the \
                  content of every change, rights and what spoke for them, seats, what runs have left. What stays is the \
                  headers of changes, so that the chain still verifies, names that a policy keeps from others, and evidence \
                  of access for as long as an entitlement says (retentionMonths).\n\nThis cannot be taken back. Somebody on \
                  legal hold is not erased. Copies of the database know the person still: see OPERATIONS.",
    after_long_help = "Examples:\n  matrikel erase --tenant storstad --user 0197c0de-0000-7000-8000-000000000001\n\n\
                       Exit codes: 0 erased · 1 failed · 2 wrong usage or configuration"
)]
pub(super) struct Arguments {
    /// Id of the User, who may be deleted already
    #[arg(long, value_name = "ID")]
    user: String,
    #[command(flatten)]
    place: open::Place,
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    let id: ResourceId =
        arguments.user.parse().map_err(|_| ConfigError::new(format!("{} is no id.", arguments.user)))?;
    open::run(&shared.load()?, async |directory| {
        let tenant = open::tenant(directory.store(), &arguments.place.tenant).await?.id;
        let ctx = Ctx::system(tenant, now(), Random::os());
        directory.erase_user(&ctx, id).await.with_context(|| format!("{id} is not erased"))?;
        if arguments.place.json {
            return Ok(output::say(json!({ "user": id.to_string(), "erased": true }))?);
        }
        Ok(output::say(format!("{id} is erased."))?)
    })
}
