//! `matrikel simulate`: what rules and policies would make of everybody, now or on a day to come, or writes of what they touch, told
//! before anything is changed; and the decision to apply it. `told` puts it into words.

mod told;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde_json::{Map as Object, Value, json};
use store::{ResourceId, format_instant};

use self::told::{tell, tell_differences, write_page, write_table};
use super::open::Place;
use super::{Shared, now, open, output, progress, schedule};
use crate::config::ConfigError;
use crate::directory::simulations::{SIMULATION, Simulator, State};
use crate::directory::{Ctx, Directory, Precondition, Random};

/// Items that are read at a time.
const PAGE: i64 = 500;
/// How soon another process is asked again that is at it.
const PAUSE: Duration = Duration::from_millis(500);

/// What is to be simulated, or decided.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
        matrikel simulate --tenant storstad --activate nurses\n  \
        matrikel simulate --tenant storstad --as-of 2026-08-01 --zone Europe/Helsinki --csv august.csv\n  \
        matrikel simulate --tenant storstad --bulk leavers.json --html leavers.html\n  \
        matrikel simulate apply --tenant storstad 0197a5c0-…\n\n\
        Without --activate, --deprecate, --policy, --withdraw and --bulk it is about all rules that are proposed. Nothing is changed."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Short name of the tenant
    #[arg(long, value_name = "SLUG", required = true)]
    tenant: Option<String>,
    /// Look ahead to a day, whose beginning is meant, or an instant such as 2026-08-01T06:00:00Z
    #[arg(long, value_name = "DATE")]
    as_of: Option<String>,
    /// The time zone of the day
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    /// Names or ids of proposed rules, as if they were active
    #[arg(long, value_name = "RULE", num_args = 1..)]
    activate: Vec<String>,
    /// Names or ids of active rules, as if they were not
    #[arg(long, value_name = "RULE", num_args = 1..)]
    deprecate: Vec<String>,
    /// A policy as if it were so: a file of JSON as one sends it to /Policies; with an id in it, in that one's place
    #[arg(long, value_name = "FILE", num_args = 1..)]
    policy: Vec<PathBuf>,
    /// A unit as if it were so, such as under another parent: a file of JSON as one sends it to /OrganizationalUnits; with an id
    /// in it, in that one's place
    #[arg(long, value_name = "FILE", num_args = 1..)]
    unit: Vec<PathBuf>,
    /// Ids of policies, as if they were deleted
    #[arg(long, value_name = "ID", num_args = 1..)]
    withdraw: Vec<String>,
    /// Writes as if they were made: a file of JSON as one sends it to /Bulk
    #[arg(long, value_name = "FILE", conflicts_with_all = ["activate", "deprecate", "policy", "unit", "withdraw", "as_of", "filter"])]
    bulk: Option<PathBuf>,
    /// Tell of these views alone who would appear, change and leave (ids)
    #[arg(long, value_name = "ID", num_args = 1..)]
    view: Vec<String>,
    /// Look only at Users that fit a SCIM filter
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// What it is called in lists
    #[arg(long, default_value = "matrikel simulate")]
    name: String,
    /// Answer as lines of JSON: the simulation, then each User of whom something would change
    #[arg(long)]
    json: bool,
    /// Write all of it as a table
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write it as a page that a browser shows
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Work a simulation out once more and, if it still says the same, do it
    Apply {
        /// Id of the simulation
        id: String,
        /// Do nothing at all where anything that was recorded has moved, even if it comes to the same
        #[arg(long)]
        strict: bool,
        /// Undo a run, or make writes, although that exceeds limits of the guard
        #[arg(long)]
        beyond_limits: bool,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| match &arguments.command {
        Some(Command::Apply { id, strict, beyond_limits, place }) => {
            apply(directory, id, place, (*strict, *beyond_limits)).await
        }
        None => simulate(directory, arguments).await,
    })
}

async fn simulate(directory: &Directory, arguments: &Arguments) -> anyhow::Result<()> {
    let slug = arguments.tenant.as_deref().unwrap_or_default();
    let tenant = open::tenant(directory.store(), slug).await?.id;
    let ctx = Ctx::system(tenant, now(), Random::os());
    let definition = directory.registry().definition(SIMULATION).cloned();
    let definition = definition.context("there is no resource type Simulation")?;
    let mut body = Object::from_iter([
        ("schemas".to_owned(), json!([definition.core.id])),
        ("name".to_owned(), arguments.name.as_str().into()),
    ]);
    if let Some(text) = &arguments.as_of {
        let moment = schedule::moment(text, &arguments.zone)?;
        body.insert("asOf".to_owned(), format_instant(moment).into());
    }
    if let Some(filter) = &arguments.filter {
        body.insert("filter".to_owned(), filter.as_str().into());
    }
    for (list, names) in [("activate", &arguments.activate), ("deprecate", &arguments.deprecate)] {
        let mut rules = Vec::new();
        for name in names {
            let rule = directory.rule_called(&ctx, name).await?;
            let unknown =
                || ConfigError::new(format!("There is no rule {name}, or several are called so: use its id."));
            rules.push(json!({ "value": rule.ok_or_else(unknown)?.to_string() }));
        }
        if !rules.is_empty() {
            body.insert(list.to_owned(), rules.into());
        }
    }
    let (policies, units) = (proposed(&arguments.policy)?, proposed(&arguments.unit)?);
    if let Some(file) = &arguments.bulk {
        let (_, message) = read(file)?;
        let none = || ConfigError::new(format!("{} has no Operations: it is no bulk request.", file.display()));
        let operations = message.get("Operations").filter(|operations| operations.is_array());
        body.insert("operations".to_owned(), operations.cloned().ok_or_else(none)?);
    }
    let ids = |ids: &[String]| ids.iter().map(|id| json!({ "value": id })).collect::<Vec<Value>>();
    for (list, named) in [
        ("policies", policies),
        ("units", units),
        ("withdraw", ids(&arguments.withdraw)),
        ("views", ids(&arguments.view)),
    ] {
        if !named.is_empty() {
            body.insert(list.to_owned(), named.into());
        }
    }
    ask(directory, &ctx, body, &Shown { json: arguments.json, csv: &arguments.csv, html: &arguments.html }).await
}

/// A file of JSON.
fn read(file: &Path) -> anyhow::Result<(String, Value)> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let value = serde_json::from_str(&text)
        .map_err(|error| ConfigError::new(format!("{} is no JSON: {error}", file.display())))?;
    Ok((text, value))
}

/// What files propose, as a simulation names it.
fn proposed(files: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for file in files {
        let (text, document) = read(file)?;
        let mut proposed = json!({ "document": text });
        if let (Some(id), Some(proposed)) = (document.get("id"), proposed.as_object_mut()) {
            proposed.insert("value".to_owned(), id.clone());
        }
        all.push(proposed);
    }
    Ok(all)
}

/// How a result is shown.
pub(super) struct Shown<'a> {
    pub(super) json: bool,
    pub(super) csv: &'a Option<PathBuf>,
    pub(super) html: &'a Option<PathBuf>,
}

/// Makes the simulation that undoes a run, and shows it.
pub(super) async fn undo(directory: &Directory, ctx: &Ctx, run: &str, shown: &Shown<'_>) -> anyhow::Result<()> {
    let definition = directory.registry().definition(SIMULATION).cloned();
    let definition = definition.context("there is no resource type Simulation")?;
    let body = Object::from_iter([
        ("schemas".to_owned(), json!([definition.core.id])),
        ("name".to_owned(), format!("undo of run {run}").into()),
        ("undo".to_owned(), json!({ "value": run })),
    ]);
    ask(directory, ctx, body, shown).await
}

/// Makes a simulation, works it out and shows it.
async fn ask(directory: &Directory, ctx: &Ctx, body: Object<String, Value>, shown: &Shown<'_>) -> anyhow::Result<()> {
    let definition = directory.registry().definition(SIMULATION).cloned();
    let definition = definition.context("there is no resource type Simulation")?;
    let projection = scim::resource::Projection::whole(&definition);
    let made = directory.create(ctx, &definition, Value::Object(body), &projection).await?;
    let made: Value = serde_json::from_str(&made.body)?;
    let id = made.get("id").and_then(Value::as_str).unwrap_or_default();
    let id: ResourceId = id.parse().map_err(|()| unknown(id))?;
    let document = attend(directory, ctx, id, shown.json).await?;
    if let Some(path) = shown.csv {
        write_table(directory, ctx, id, path).await?;
    }
    if let Some(path) = shown.html {
        write_page(directory, ctx, id, &document, path).await?;
    }
    tell(directory, ctx, id, &document, shown.json).await
}

async fn apply(
    directory: &Directory,
    id: &str,
    place: &Place,
    (strict, beyond_limits): (bool, bool),
) -> anyhow::Result<()> {
    let tenant = open::tenant(directory.store(), &place.tenant).await?.id;
    let ctx = Ctx::system(tenant, now(), Random::os());
    let definition = directory.registry().definition(SIMULATION).cloned();
    let definition = definition.context("there is no resource type Simulation")?;
    let simulation: ResourceId = id.parse().map_err(|()| unknown(id))?;
    let value = json!({ "decision": "apply", "strict": strict, "beyondLimits": beyond_limits });
    let message = json!({
        "schemas": [scim::patch::PATCH_OP_URN],
        "Operations": [{ "op": "replace", "value": value }],
    });
    let projection = scim::resource::Projection::whole(&definition);
    directory.patch(&ctx, &definition, id, message, &Precondition::none(), &projection).await?;
    let document = attend(directory, &ctx, simulation, place.json).await?;
    match State::of(&document) {
        Some(State::Applied) if place.json => Ok(output::say(with_id(simulation, &document))?),
        Some(State::Applied) if document.contains_key("undo") => {
            let run = document.get("run").and_then(|run| run.get("value")?.as_str()).unwrap_or_default();
            let skipped = document.get("skipped").and_then(Value::as_u64).unwrap_or_default();
            output::say(format!("The run is undone, by the run {run}."))?;
            match skipped {
                0 => Ok(()),
                more => Ok(output::say(format!("{more} had moved meanwhile and stay as they are: list=skipped."))?),
            }
        }
        Some(State::Applied) if document.contains_key("writes") => {
            Ok(output::say("All of it is done, in one write.".to_owned())?)
        }
        Some(State::Applied) => {
            Ok(output::say("The rules are changed. People follow as the scheduler comes to them.".to_owned())?)
        }
        Some(State::Changed) => {
            tell_differences(directory, &ctx, simulation, &document, place.json).await?;
            if let Some(reason) = document.get("reason").and_then(Value::as_str) {
                bail!("{reason}")
            }
            bail!("it says something else by now, and nothing was changed. Apply it again if that is what you want")
        }
        _ => {
            let reason = document.get("reason").and_then(Value::as_str).unwrap_or("it was not applied");
            bail!("{reason}")
        }
    }
}

/// Works it out, or waits for the process that does.
async fn attend(directory: &Directory, ctx: &Ctx, id: ResourceId, json: bool) -> anyhow::Result<Object<String, Value>> {
    let bar: Arc<Mutex<Option<ProgressBar>>> = Arc::default();
    let shown = Arc::clone(&bar);
    let watch = Arc::new(move |done: u64, total: u64| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = shown.get_or_insert_with(|| progress::bar(json, "people", 0));
        bar.set_length(total);
        bar.set_position(done);
    });
    let simulator = Simulator::new(directory.clone(), &Random::os(), Arc::new(now), watch)?;
    loop {
        simulator.attend(ctx.tenant).await?;
        let document = directory.simulation(ctx, id).await?.context("the simulation was deleted")?;
        if !State::of(&document).is_some_and(State::is_open) {
            if let Some(bar) = bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
                bar.finish_and_clear();
            }
            return Ok(document);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn with_id(id: ResourceId, document: &Object<String, Value>) -> Value {
    let mut told = document.clone();
    told.insert("id".to_owned(), id.to_string().into());
    Value::Object(told)
}

fn unknown(id: &str) -> anyhow::Error {
    ConfigError::new(format!("There is no simulation {id}.")).into()
}
