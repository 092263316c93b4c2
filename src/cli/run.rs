//! `matrikel run`: what was made of each file of a feed, the decision on one that is held, and the way back.

use std::path::PathBuf;

use anyhow::Context;
use scim::query::SearchRequest;
use scim::resource::Projection;
use serde_json::{Value, json};
use store::ResourceId;

use super::feed::{intake, say_all, tell};
use super::open::Place;
use super::{Shared, now, open, output, simulate};
use crate::config::ConfigError;
use crate::directory::feeds::{OBJECTS, REJECTS, RUN, WARNINGS};
use crate::directory::{Ctx, Directory, Precondition, Random};
use crate::intake::report;

/// The commands about runs.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List the runs, the newest first
    #[command(after_help = "Example: matrikel run list --tenant storstad --filter 'state eq \"held\"'")]
    List {
        #[command(flatten)]
        place: Place,
        /// Only those that fit a SCIM filter
        #[arg(long, value_name = "FILTER")]
        filter: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
        count: u64,
    },
    /// Show the report of a run, or one of its lists as lines of JSON
    #[command(after_help = "Example: matrikel run show --tenant storstad 0197a5c0-… --reject")]
    Show {
        /// Id of the run
        id: String,
        #[command(flatten)]
        place: Place,
        /// All that was refused
        #[arg(long)]
        reject: bool,
        /// All that should be looked at
        #[arg(long, conflicts_with = "reject")]
        warning: bool,
        /// All that a simulation would change
        #[arg(long, conflicts_with_all = ["reject", "warning"])]
        object: bool,
    },
    /// Allow a run that is held, and carry it out
    #[command(after_help = "Example: matrikel run allow --tenant storstad 0197a5c0-… --remark \"Merger of 1 August\"")]
    Allow {
        /// Id of the run
        id: String,
        #[command(flatten)]
        place: Place,
        /// Why
        #[arg(long, value_name = "TEXT")]
        remark: Option<String>,
    },
    /// Work out what would undo a run: what it made goes, what it changed or withdrew comes back. Nothing is changed
    #[command(after_help = "Example: matrikel run undo --tenant storstad 0197a5c0-…\n\n\
        What somebody has changed since stays, and is listed. To do it: matrikel simulate apply with the id that is shown.")]
    Undo {
        /// Id of the run
        id: String,
        #[command(flatten)]
        place: Place,
        /// Write all of it as a table
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
        /// Write it as a page that a browser shows
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Reject a run that is held, or stop one that is being carried out
    #[command(after_help = "Example: matrikel run reject --tenant storstad 0197a5c0-… --remark \"Broken export\"")]
    Reject {
        /// Id of the run
        id: String,
        #[command(flatten)]
        place: Place,
        /// Why
        #[arg(long, value_name = "TEXT")]
        remark: Option<String>,
    },
}

pub(super) fn run(shared: &Shared, command: &Command) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| perform(directory, command).await)
}

async fn perform(directory: &Directory, command: &Command) -> anyhow::Result<()> {
    let (Command::List { place, .. }
    | Command::Show { place, .. }
    | Command::Allow { place, .. }
    | Command::Undo { place, .. }
    | Command::Reject { place, .. }) = command;
    let tenant = open::tenant(directory.store(), &place.tenant).await?.id;
    let ctx = Ctx::system(tenant, now(), Random::os());
    match command {
        Command::List { filter, count, .. } => list(directory, &ctx, place, filter.clone(), *count).await,
        Command::Show { id, reject, warning, object, .. } => {
            let (run, intake) = (run_id(id)?, intake(directory, ctx, place.json));
            match (reject, warning, object) {
                (true, ..) => say_all(&intake, run, REJECTS).await,
                (_, true, _) => say_all(&intake, run, WARNINGS).await,
                (.., true) => say_all(&intake, run, OBJECTS).await,
                _ => {
                    let document = directory.run_document(&intake.ctx, run).await?;
                    let mut document = document.ok_or_else(|| unknown(id))?;
                    document.insert("id".into(), id.as_str().into());
                    match place.json {
                        true => output::say(Value::Object(document))?,
                        false => output::say(report::text(&document).trim_end())?,
                    }
                    Ok(())
                }
            }
        }
        Command::Allow { id, remark, .. } => {
            let run = run_id(id)?;
            decide(directory, &ctx, run, "allow", remark.as_deref()).await?;
            let intake = intake(directory, ctx, place.json);
            let document = intake.carry(run, None).await?;
            tell(&intake, place.json, run, document, None).await
        }
        Command::Undo { id, csv, html, .. } => {
            run_id(id)?;
            simulate::undo(directory, &ctx, id, &simulate::Shown { json: place.json, csv, html }).await
        }
        Command::Reject { id, remark, .. } => {
            let run = run_id(id)?;
            decide(directory, &ctx, run, "reject", remark.as_deref()).await?;
            tell(&intake(directory, ctx, place.json), place.json, run, None, None).await
        }
    }
}

/// Notes what a person has decided of a run that is held.
pub(super) async fn decide(
    directory: &Directory,
    ctx: &Ctx,
    run: ResourceId,
    decision: &str,
    remark: Option<&str>,
) -> anyhow::Result<()> {
    let definition = directory.registry().definition(RUN).cloned().context("there is no resource type Run")?;
    let mut value = json!({ "decision": decision });
    if let (Some(value), Some(remark)) = (value.as_object_mut(), remark) {
        value.insert("remark".into(), remark.into());
    }
    let message = json!({
        "schemas": [scim::patch::PATCH_OP_URN], "Operations": [{ "op": "replace", "value": value }],
    });
    let (id, none, whole) = (run.to_string(), Precondition::none(), Projection::whole(&definition));
    directory.patch(ctx, &definition, &id, message, &none, &whole).await?;
    Ok(())
}

async fn list(
    directory: &Directory,
    ctx: &Ctx,
    place: &Place,
    filter: Option<String>,
    count: u64,
) -> anyhow::Result<()> {
    let definition = directory.registry().definition(RUN).cloned().context("there is no resource type Run")?;
    let request = SearchRequest {
        filter,
        count: Some(count),
        sort_by: Some("started".into()),
        descending: true,
        ..SearchRequest::default()
    };
    let found = directory.search(ctx, std::slice::from_ref(&definition), &request).await?;
    let mut answer: Value = serde_json::from_str(&found.body)?;
    let runs = answer.get_mut("Resources").map(Value::take).unwrap_or_else(|| json!([]));
    if place.json {
        return Ok(output::say(runs)?);
    }
    for run in runs.as_array().into_iter().flatten() {
        let text = |name: &str| run.get(name).and_then(Value::as_str).unwrap_or_default();
        let feed = run.get("feed").and_then(|feed| feed.get("display")).and_then(Value::as_str).unwrap_or_default();
        output::say(format!(
            "{}  {:<20} {:<10} {:<6} {}",
            text("id"),
            text("started"),
            text("state"),
            text("mode"),
            feed
        ))?;
    }
    Ok(())
}

fn run_id(id: &str) -> anyhow::Result<ResourceId> {
    id.parse().map_err(|()| unknown(id))
}

fn unknown(id: &str) -> anyhow::Error {
    ConfigError::new(format!("There is no run {id}. `matrikel run list` shows which are.")).into()
}
