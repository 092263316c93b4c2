//! The result of a simulation in the words of a terminal, as a table and as a page.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map as Object, Value};
use store::ResourceId;

use super::{PAGE, with_id};
use crate::cli::output;
use crate::directory::simulations::{
    Conflict, DIFFERENCES, Difference, Item, OBJECTS, TARGETS, Target, Turn, cells, heads, page,
};
use crate::directory::{Ctx, Directory};

/// Targets and people that are shown; the rest is counted.
const SHOWN: usize = 20;

pub(super) async fn tell(
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

pub(super) async fn tell_differences(
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
            change => {
                let kind = match text("type") {
                    "Policy" => "policy",
                    "OrganizationalUnit" => "unit",
                    _ => "rule",
                };
                lines.push((kind, format!("{} ({change})", text("display"))));
            }
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
    let Item { op, changes, begins, ends, reason, conflicts, .. } = item;
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
    format!("  {}: {}", item.called(), told.join(", "))
}

/// A path without its URN.
fn short(path: &str) -> String {
    path.rsplit(':').next().unwrap_or(path).to_owned()
}

pub(super) async fn write_table(directory: &Directory, ctx: &Ctx, id: ResourceId, path: &Path) -> anyhow::Result<()> {
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

pub(super) async fn write_page(
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
