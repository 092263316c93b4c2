//! `matrikel import FEED --map MAP.toml`: a file that a source sends, read, compared with what it said before, and carried
//! out or only worked out. The file of `matrikel export` is another matter: see `transfer`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use jiff::Timestamp;
use serde_json::{Map as Object, Value, json};
use store::ResourceId;

use super::{Shared, now, open, output, progress};
use crate::config::ConfigError;
use crate::directory::feeds::map::{Format, Map, Mode};
use crate::directory::feeds::{OBJECTS, REJECTS, WARNINGS};
use crate::directory::{Ctx, Directory, Random};
use crate::intake::{Intake, Reject, Submission, Watch, preview, report};

/// Items of a list that are read at a time.
const PAGE: i64 = 1_000;

/// What of `matrikel import` is about a feed.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file is a feed: which of its columns is what (TOML)
    #[arg(long, value_name = "MAP.toml")]
    pub(super) map: Option<PathBuf>,
    /// As which client it is carried out: its keys, its scopes
    #[arg(long, value_name = "NAME", requires = "map")]
    client: Option<String>,
    /// Show what the map makes of the first rows, and what is wrong with it
    #[arg(long, requires = "map")]
    check: bool,
    /// Work out all that would be done, and store nothing but the run
    #[arg(long, requires = "map", conflicts_with = "check")]
    simulate: bool,
    /// The file is all of the source: what is not in it is withdrawn
    #[arg(long, requires = "map", conflicts_with = "delta")]
    full: bool,
    /// The file is what has changed: nothing is withdrawn
    #[arg(long, requires = "map")]
    delta: bool,
    /// When the source made it, where no column says it (RFC 3339); without it when the file was last written
    #[arg(long, requires = "map", value_name = "INSTANT")]
    extracted: Option<Timestamp>,
    /// Write what was refused to a file, with the reason
    #[arg(long, requires = "map", value_name = "FILE")]
    rejects: Option<PathBuf>,
}

/// Whose register, which file, and how it is answered.
pub(super) struct Asked<'a> {
    pub(super) tenant: &'a str,
    pub(super) file: &'a Path,
    pub(super) json: bool,
    /// The one resource type that the map may be about.
    pub(super) only: Option<&'a str>,
}

pub(super) fn import(shared: &Shared, asked: &Asked<'_>, arguments: &Arguments, map: &Path) -> anyhow::Result<()> {
    let config = shared.load()?;
    let text = std::fs::read_to_string(map).with_context(|| format!("{} cannot be read", map.display()))?;
    open::run(&config, async |directory| {
        let tenant = open::tenant(directory.store(), asked.tenant).await?.id;
        let intake = intake(directory, Ctx::system(tenant, now(), Random::os()), asked.json);
        let file = File::open(asked.file).with_context(|| format!("{} cannot be read", asked.file.display()))?;
        let format = format_of(asked.file);
        if arguments.check {
            return check(&intake, asked, map, &text, file, format).await;
        }
        let client = arguments.client.as_deref();
        let client =
            client.ok_or_else(|| ConfigError::new("Say with --client NAME as which client it is carried out."))?;
        let fitting = fits(&intake, map, &text).await?;
        if let Some(only) = asked.only
            && let Some(part) = fitting.parts.iter().find(|part| part.definition.name() != only)
        {
            let kind = part.definition.name();
            let detail =
                format!("{}: this map is about {kind}, and here it is to be about {only} alone.", map.display());
            return Err(ConfigError::new(detail).into());
        }
        let feed = intake.directory.put_feed(&intake.ctx, client, &text).await?;
        let otherwise = file.metadata().and_then(|meta| meta.modified()).ok();
        let otherwise =
            otherwise.and_then(|at| Timestamp::try_from(at).ok()).map_or(intake.ctx.now, Timestamp::as_microsecond);
        let mut submission = Submission {
            file,
            format,
            mode: match (arguments.full, arguments.delta) {
                (true, _) => Some(Mode::Full),
                (_, true) => Some(Mode::Delta),
                _ => None,
            },
            extracted: arguments.extracted.map(Timestamp::as_microsecond),
            otherwise,
            simulate: arguments.simulate,
            at_once: true,
        };
        let run = intake.submit(&feed, &mut submission).await?.id();
        let document = intake.carry(run, Some(submission.file)).await?;
        tell(&intake, asked.json, run, document, arguments.rejects.as_deref()).await
    })
}

/// The means to carry out feeds, with a bar for each stage.
pub(super) fn intake(directory: &Directory, ctx: Ctx, json: bool) -> Intake {
    let bars = Mutex::new(progress::stages(json));
    let watch: Watch = Arc::new(move |stage, done, total| {
        let mut bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
        // How long a file is shows at its end.
        bars(stage, done, if total == 0 { done + 1 } else { total });
    });
    Intake { directory: directory.clone(), ctx, clock: Arc::new(now), watch }
}

/// How a file is written by its name, where the map does not say.
fn format_of(file: &Path) -> Format {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "xlsx" => Format::Xlsx,
        "jsonl" | "ndjson" => Format::JsonLines,
        _ => Format::Csv,
    }
}

/// The map, or every fault of it with its line.
async fn fits(intake: &Intake, file: &Path, text: &str) -> anyhow::Result<Map> {
    let catalog = intake.directory.fresh_catalog(intake.ctx.tenant, intake.ctx.now).await?;
    Map::read(text, catalog.registry()).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(|fault| format!("  {}: {fault}", file.display())).collect();
        ConfigError::new(format!("The map cannot be used.\n{}", faults.join("\n"))).into()
    })
}

async fn check(
    intake: &Intake,
    asked: &Asked<'_>,
    path: &Path,
    text: &str,
    mut file: File,
    format: Format,
) -> anyhow::Result<()> {
    let map = fits(intake, path, text).await?;
    let preview = preview(&mut file, map.format.unwrap_or(format), &map)?;
    let rows = preview.rows.iter().map(|(number, said)| {
        let said: Vec<Value> = said
            .iter()
            .map(|said| match said {
                Ok(said) => said.clone(),
                Err(reason) => json!({ "error": reason }),
            })
            .collect();
        json!({ "row": number, "says": said })
    });
    if asked.json {
        let rows: Vec<Value> = rows.collect();
        return Ok(output::say(json!({ "feed": map.source, "columns": preview.columns, "rows": rows }))?);
    }
    for row in rows {
        output::say(serde_json::to_string_pretty(&row)?)?;
    }
    output::say(format!("The map fits. These are the first {} rows.", preview.rows.len()))?;
    Ok(())
}

/// Says what became of a run. Fails when it was not carried out, so that a script notices.
pub(super) async fn tell(
    intake: &Intake,
    json: bool,
    run: ResourceId,
    document: Option<Object<String, Value>>,
    rejects: Option<&Path>,
) -> anyhow::Result<()> {
    let document = match document {
        Some(document) => Some(document),
        None => intake.directory.run_document(&intake.ctx, run).await?,
    };
    let mut document = document.context("the run is gone")?;
    document.insert("id".into(), run.to_string().into());
    if let Some(path) = rejects {
        write_rejects(intake, run, path).await?;
    }
    if json {
        output::say(Value::Object(document.clone()))?;
    } else {
        output::say(report::text(&document).trim_end())?;
        show(intake, run, REJECTS, "refused").await?;
        show(intake, run, WARNINGS, "look at").await?;
        show_objects(intake, run).await?;
    }
    let state = document.get("state").and_then(Value::as_str).unwrap_or_default();
    match state {
        "held" => anyhow::bail!(
            "The run is held and nothing of it was applied. Look at it, then: matrikel run allow (or reject) {run}"
        ),
        "failed" => anyhow::bail!("{}", document.get("reason").and_then(Value::as_str).unwrap_or("The run failed.")),
        _ => Ok(()),
    }
}

/// Shows the first of a list.
async fn show(intake: &Intake, run: ResourceId, list: &'static str, label: &str) -> anyhow::Result<()> {
    const SHOWN: i64 = 10;
    let found: Vec<(i64, Reject)> = intake.directory.run_items(&intake.ctx, run, list, (-1, SHOWN + 1)).await?;
    for (_, reject) in found.iter().take(usize::try_from(SHOWN).unwrap_or_default()) {
        let key = reject.key.as_deref().unwrap_or("-");
        output::say(format!("  {label}: row {}, {key}: {}", reject.row, reject.reason))?;
    }
    if found.len() > usize::try_from(SHOWN).unwrap_or_default() {
        output::say(format!("  {label}: and more; matrikel run show {run} --{list} shows all"))?;
    }
    Ok(())
}

async fn show_objects(intake: &Intake, run: ResourceId) -> anyhow::Result<()> {
    const SHOWN: i64 = 10;
    let found: Vec<(i64, Value)> = intake.directory.run_items(&intake.ctx, run, OBJECTS, (0, SHOWN + 1)).await?;
    for (_, object) in found.iter().take(usize::try_from(SHOWN).unwrap_or_default()) {
        say_object(object)?;
    }
    if found.len() > usize::try_from(SHOWN).unwrap_or_default() {
        output::say(format!("  … matrikel run show {run} --object shows all"))?;
    }
    Ok(())
}

fn say_object(object: &Value) -> anyhow::Result<()> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    output::say(format!("  {} {} {}", text("op"), text("kind"), text("key")))?;
    for change in object.get("changes").and_then(Value::as_array).into_iter().flatten() {
        let value = |name: &str| change.get(name).map_or_else(|| "-".to_owned(), Value::to_string);
        let path = change.get("path").and_then(Value::as_str).unwrap_or_default();
        output::say(format!("    {path}: {} → {}", value("before"), value("after")))?;
    }
    Ok(())
}

/// All of a list, as lines of JSON.
pub(super) async fn say_all(intake: &Intake, run: ResourceId, list: &'static str) -> anyhow::Result<()> {
    let mut after = -1;
    loop {
        let found: Vec<(i64, Value)> = intake.directory.run_items(&intake.ctx, run, list, (after, PAGE)).await?;
        let Some((last, _)) = found.last() else { return Ok(()) };
        after = *last;
        for (_, item) in &found {
            output::say(item)?;
        }
    }
}

async fn write_rejects(intake: &Intake, run: ResourceId, path: &Path) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
    let mut out = csv::WriterBuilder::new().delimiter(b';').from_writer(file);
    out.write_record(["row", "type", "key", "reason", "raw"])?;
    let mut after = -1;
    loop {
        let found: Vec<(i64, Reject)> = intake.directory.run_items(&intake.ctx, run, REJECTS, (after, PAGE)).await?;
        let Some((last, _)) = found.last() else { break };
        after = *last;
        for (_, reject) in &found {
            let raw = if reject.raw.is_empty() { String::new() } else { serde_json::to_string(&reject.raw)? };
            let (kind, key) = (reject.kind.as_deref().unwrap_or_default(), reject.key.as_deref().unwrap_or_default());
            out.write_record([&reject.row.to_string(), kind, key, &reject.reason, &raw])?;
        }
    }
    out.flush()?;
    out.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?.flush()?;
    Ok(())
}
