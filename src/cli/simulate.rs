//! `matrikel simulate`: what rules and policies would make of everybody, now or on a day to come, told before anything is changed; and
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
    Conflict, DIFFERENCES, Difference, Item, OBJECTS, SIMULATION, Simulator, State, TARGETS, Target, Turn, cells,
    heads, page,
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
        Without --activate, --deprecate, --policy and --withdraw it is about all rules that are proposed. Nothing is changed."
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
        /// Undo a run although that exceeds limits of the guard
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

/// What files propose, as a simulation names it.
fn proposed(files: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let document: Value = serde_json::from_str(&text)
            .map_err(|error| ConfigError::new(format!("{} is no JSON: {error}", file.display())))?;
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
    tell_beside(document)?;
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

/// What limits it would exceed, and what becomes of what views show.
fn tell_beside(document: &Object<String, Value>) -> anyhow::Result<()> {
    let listed = |name: &str| document.get(name).and_then(Value::as_array).into_iter().flatten();
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |one: &Value, name: &str| one.get(name).and_then(Value::as_u64).unwrap_or_default();
    for one in listed("tripped") {
        let (limit, count, most) = (text(one, "limit"), number(one, "count"), number(one, "most"));
        output::say(format!("too much    {limit} {count} of at most {most}"))?;
    }
    if listed("perView").next().is_some() {
        output::say("\n  appear change  leave")?;
    }
    for one in listed("perView") {
        let (appears, changes, leaves) = (number(one, "appears"), number(one, "changes"), number(one, "leaves"));
        output::say(format!("{appears:>8} {changes:>6} {leaves:>6}  View {}", text(one, "display")))?;
    }
    Ok(())
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
    for Difference { was, is, display, kind, .. } in &found {
        if let Some(kind) = kind {
            output::say(format!("~ {kind} {display} has moved"))?;
            continue;
        }
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
            change => lines.push((
                if text("type") == "Policy" { "policy" } else { "rule" },
                format!("{} ({change})", text("display")),
            )),
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
    let Item { display, op, changes, begins, ends, reason, conflicts, .. } = item;
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
    let kept = |one: &Conflict| {
        one.path.as_deref().map_or_else(|| one.reason.clone(), |path| format!("({} stays)", short(path)))
    };
    told.extend(conflicts.iter().map(kept));
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
