//! `matrikel simulate`: what rules would make of everybody, now or on a day to come, told before anything is changed; and
//! the decision to apply it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde_json::{Map as Object, Value, json};
use store::{ResourceId, format_instant};

use super::open::Place;
use super::{Shared, now, open, output, progress, schedule};
use crate::config::ConfigError;
use crate::directory::simulations::{
    DIFFERENCES, Difference, Item, OBJECTS, SIMULATION, Simulator, State, TARGETS, Target, Turn, cells, heads, page,
};
use crate::directory::{Ctx, Directory, Precondition, Random};

/// Items that are read at a time.
const PAGE: i64 = 500;
/// Targets and people that are shown; the rest is counted.
const SHOWN: usize = 20;
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
        matrikel simulate apply --tenant storstad 0197a5c0-…\n\n\
        Without --activate and --deprecate it is about all rules that are proposed. Nothing is changed."
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
    /// Work a simulation out once more and, if it still says the same, change the rules
    Apply {
        /// Id of the simulation
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| match &arguments.command {
        Some(Command::Apply { id, place }) => apply(directory, id, place).await,
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
    let projection = scim::resource::Projection::whole(&definition);
    let made = directory.create(&ctx, &definition, Value::Object(body), &projection).await?;
    let made: Value = serde_json::from_str(&made.body)?;
    let id = made.get("id").and_then(Value::as_str).unwrap_or_default();
    let id: ResourceId = id.parse().map_err(|()| unknown(id))?;
    let document = attend(directory, &ctx, id, arguments.json).await?;
    if let Some(path) = &arguments.csv {
        write_table(directory, &ctx, id, path).await?;
    }
    if let Some(path) = &arguments.html {
        write_page(directory, &ctx, id, &document, path).await?;
    }
    tell(directory, &ctx, id, &document, arguments.json).await
}

async fn apply(directory: &Directory, id: &str, place: &Place) -> anyhow::Result<()> {
    let tenant = open::tenant(directory.store(), &place.tenant).await?.id;
    let ctx = Ctx::system(tenant, now(), Random::os());
    let definition = directory.registry().definition(SIMULATION).cloned();
    let definition = definition.context("there is no resource type Simulation")?;
    let simulation: ResourceId = id.parse().map_err(|()| unknown(id))?;
    let message = json!({
        "schemas": [scim::patch::PATCH_OP_URN],
        "Operations": [{ "op": "replace", "path": "decision", "value": "apply" }],
    });
    let projection = scim::resource::Projection::whole(&definition);
    directory.patch(&ctx, &definition, id, message, &Precondition::none(), &projection).await?;
    let document = attend(directory, &ctx, simulation, place.json).await?;
    match State::of(&document) {
        Some(State::Applied) if place.json => Ok(output::say(with_id(simulation, &document))?),
        Some(State::Applied) => {
            Ok(output::say("The rules are changed. People follow as the scheduler comes to them.".to_owned())?)
        }
        Some(State::Changed) => {
            tell_differences(directory, &ctx, simulation, &document, place.json).await?;
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

async fn tell(
    directory: &Directory,
    ctx: &Ctx,
    id: ResourceId,
    document: &Object<String, Value>,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        output::say(with_id(id, document))?;
        let mut after = 0;
        loop {
            let found: Vec<(i64, Value)> = directory.simulated(ctx, id, OBJECTS, (after, PAGE)).await?;
            let Some((last, _)) = found.last() else { return Ok(()) };
            after = *last;
            found.iter().try_for_each(|(_, item)| output::say(item))?;
        }
    }
    output::say(report(id, document).trim_end())?;
    let (targets, more) = first::<Target>(directory, ctx, id, TARGETS).await?;
    if !targets.is_empty() {
        output::say("\n  begins   ends")?;
    }
    for Target { kind, display, begins, ends, .. } in &targets {
        output::say(format!("{begins:>8} {ends:>6}  {kind} {display}"))?;
    }
    tell_rest(more)?;
    let (people, more) = first::<Item>(directory, ctx, id, OBJECTS).await?;
    if !people.is_empty() {
        output::say("")?;
    }
    for item in &people {
        output::say(line(item))?;
    }
    tell_rest(more)
}

async fn tell_differences(
    directory: &Directory,
    ctx: &Ctx,
    id: ResourceId,
    document: &Object<String, Value>,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        return Ok(output::say(with_id(id, document))?);
    }
    let is_about_rules = document.get("difference").and_then(|one| one.get("rules")) == Some(&Value::Bool(true));
    if is_about_rules {
        output::say("Rules or policies were changed since.")?;
    }
    let (found, more) = first::<Difference>(directory, ctx, id, DIFFERENCES).await?;
    for Difference { was, is, display, .. } in &found {
        let told = |item: &Option<Item>| item.as_ref().map_or_else(|| format!("{display}: nothing"), line);
        output::say(format!("- {}\n+ {}", told(was), told(is)))?;
    }
    tell_rest(more)
}

/// The first items of a list, and whether there are more.
async fn first<T: serde::de::DeserializeOwned>(
    directory: &Directory,
    ctx: &Ctx,
    id: ResourceId,
    list: &str,
) -> anyhow::Result<(Vec<T>, bool)> {
    let span = (0, i64::try_from(SHOWN + 1).unwrap_or(PAGE));
    let found: Vec<(i64, T)> = directory.simulated(ctx, id, list, span).await?;
    let more = found.len() > SHOWN;
    Ok((found.into_iter().take(SHOWN).map(|(_, item)| item).collect(), more))
}

fn tell_rest(more: bool) -> anyhow::Result<()> {
    if more {
        output::say("  … more: --csv FILE or --json has all of it")?;
    }
    Ok(())
}

fn report(id: ResourceId, document: &Object<String, Value>) -> String {
    let word = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut lines = vec![("simulation", id.to_string()), ("state", word("state")), ("reason", word("reason"))];
    lines.push(("as of", word("asOf")));
    for one in document.get("versions").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("change") {
            "" => {}
            change => lines.push(("rule", format!("{} ({change})", text("display")))),
        }
    }
    let counts = document.get("counts").and_then(Value::as_object).into_iter().flatten();
    let counts = counts.filter_map(|(name, count)| Some((name.as_str(), count.as_u64()?.to_string())));
    lines.extend(counts.filter(|(name, _)| *name != "items"));
    let told = lines.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(label, value)| format!("{label:<12}{value}\n")).collect()
}

/// What would become of one User, in a line.
fn line(item: &Item) -> String {
    let Item { display, op, changes, begins, ends, reason, .. } = item;
    let mut told = Vec::new();
    if op != "changed" {
        told.push(op.clone());
    }
    told.extend(reason.clone());
    let named = |sign: &'static str| move |turn: &Turn| format!("{sign}{}", turn.display);
    told.extend(begins.iter().map(named("+")));
    told.extend(ends.iter().map(named("-")));
    let path = |change: &Value| change.get("path").and_then(Value::as_str).map(short);
    told.extend(changes.iter().filter_map(path));
    format!("  {display}: {}", told.join(", "))
}

/// A path without its URN.
fn short(path: &str) -> String {
    path.rsplit(':').next().unwrap_or(path).to_owned()
}

async fn write_table(directory: &Directory, ctx: &Ctx, id: ResourceId, path: &Path) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
    let mut out = csv::WriterBuilder::new().delimiter(b';').from_writer(file);
    out.write_record(heads())?;
    let mut after = 0;
    loop {
        let found: Vec<(i64, Item)> = directory.simulated(ctx, id, OBJECTS, (after, PAGE)).await?;
        let Some((last, _)) = found.last() else { break };
        after = *last;
        for row in found.iter().flat_map(|(_, item)| cells(item)) {
            out.write_record(row)?;
        }
    }
    out.flush()?;
    Ok(())
}

async fn write_page(
    directory: &Directory,
    ctx: &Ctx,
    id: ResourceId,
    document: &Object<String, Value>,
    path: &Path,
) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
    let mut out = std::io::BufWriter::new(file);
    let targets: Vec<(i64, Target)> = directory.simulated(ctx, id, TARGETS, (0, page::MOST_TARGETS)).await?;
    let targets: Vec<Target> = targets.into_iter().map(|(_, target)| target).collect();
    out.write_all(page::head(document, &targets).as_bytes())?;
    let mut after = 0;
    loop {
        let span = (after, PAGE.min(page::MOST_PEOPLE - after));
        let found: Vec<(i64, Item)> = directory.simulated(ctx, id, OBJECTS, span).await?;
        let Some((last, _)) = found.last() else { break };
        after = *last;
        found.iter().try_for_each(|(_, item)| out.write_all(page::person(item).as_bytes()))?;
    }
    let people = document.get("counts").and_then(|counts| counts.get("items")?.as_u64()).unwrap_or_default();
    let rest = people.saturating_sub(u64::try_from(page::MOST_PEOPLE).unwrap_or_default());
    out.write_all(page::foot(rest).as_bytes())?;
    Ok(out.flush()?)
}

fn with_id(id: ResourceId, document: &Object<String, Value>) -> Value {
    let mut told = document.clone();
    told.insert("id".to_owned(), id.to_string().into());
    Value::Object(told)
}

fn unknown(id: &str) -> anyhow::Error {
    ConfigError::new(format!("There is no simulation {id}.")).into()
}
