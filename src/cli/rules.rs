//! `matrikel rules`: rules as tables. A file of rows becomes the table of one rule, which is proposed and gives nothing until it
//! is activated; so it can be simulated whole first. A file with faults changes nothing, and each fault names its line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::{Map as Object, Value, json};

use provisioning::rules::Stage;
use provisioning::rules::table::{COLUMNS, Fault, cells, column, read};
use scim::resource::Projection;
use scim::schema::Definition;

use super::open::Place;
use super::{Shared, now, open, output};
use crate::config::ConfigError;
use crate::directory::feeds::map::{Format, Header, Limits, Map, Mode};
use crate::directory::{Ctx, Directory, Fetched, Precondition, Random};
use crate::intake::read::{Told, Unread, read as read_file};

/// The resource type.
const RULE: &str = "Rule";
const SCHEMA: &str = "urn:matrikel:scim:schemas:1.0:Rule";
/// Whom a table is about that says nothing else: whoever is employed.
const EVERYBODY: &str = "employments[start pr]";
/// Faults that are shown; the rest is counted.
const SHOWN: usize = 50;

/// The commands about rules.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Read a table into a rule, which stays proposed
    #[command(after_help = "Example: matrikel rules import --tenant storstad --rule tasks-2027 tasks.csv\n\n\
        Columns, in any order and all but groups may be missing: unit; title; taskCode; professionalNumber; groups; from; to; note.\n\
        An empty cell asks nothing; CARE/* is a unit and all below it; Nurse* is what begins so; groups are separated by |.\n\
        Then: matrikel simulate --tenant storstad --activate tasks-2027 --deprecate tasks-2026")]
    Import {
        /// CSV (with ; , or tab) or a workbook (.xlsx)
        file: PathBuf,
        /// Name of the rule: a new one, or one that is proposed
        #[arg(long, value_name = "NAME")]
        rule: String,
        /// Whom the table is about at all, as a SCIM filter over User
        #[arg(long, value_name = "FILTER")]
        filter: Option<String>,
        /// Make groups that there are not; they are reported otherwise
        #[arg(long)]
        create_groups: bool,
        /// The encoding of CSV, such as windows-1252; without it UTF-8
        #[arg(long, value_name = "LABEL")]
        encoding: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Write the table of a rule as CSV, as it can be read in again
    Export {
        /// Name of the rule
        rule: String,
        /// The file; without it to standard output
        file: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) fn run(shared: &Shared, command: &Command) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| perform(directory, command).await)
}

async fn perform(directory: &Directory, command: &Command) -> anyhow::Result<()> {
    let (Command::Import { place, .. } | Command::Export { place, .. }) = command;
    let tenant = open::tenant(directory.store(), &place.tenant).await?.id;
    let ctx = Ctx::system(tenant, now(), Random::os());
    directory.fresh_catalog(tenant, ctx.now).await?;
    let definition = directory.registry().definition(RULE).cloned().context("there is no resource type Rule")?;
    match command {
        Command::Import { file, rule, filter, create_groups, encoding, place } => {
            let rows = table_of(file, encoding.as_deref())?;
            let mut parts = Object::from_iter([("table".to_owned(), Value::Array(rows))]);
            if let Some(filter) = filter {
                parts.insert("filter".to_owned(), filter.as_str().into());
            }
            if *create_groups {
                parts.insert("missing".to_owned(), "create".into());
            }
            import(directory, &ctx, &definition, rule, parts, place).await
        }
        Command::Export { rule, file, .. } => {
            let document = match directory.rule_called(&ctx, rule).await? {
                Some(id) => document(directory, &ctx, &definition, &id.to_string()).await?,
                None => return Err(unknown(rule)),
            };
            write(&document, file.as_deref())
        }
    }
}

async fn import(
    directory: &Directory,
    ctx: &Ctx,
    definition: &Arc<Definition>,
    name: &str,
    parts: Object<String, Value>,
    place: &Place,
) -> anyhow::Result<()> {
    let projection = Projection::whole(definition);
    let count = parts.get("table").and_then(Value::as_array).map_or(0, Vec::len);
    let id = match directory.rule_called(ctx, name).await? {
        None => {
            let mut body = Object::from_iter([
                ("schemas".to_owned(), json!([SCHEMA])),
                ("name".to_owned(), name.into()),
                ("lifecycle".to_owned(), Stage::Proposed.as_str().into()),
                ("filter".to_owned(), EVERYBODY.into()),
            ]);
            body.extend(parts);
            let made = directory.create(ctx, definition, Value::Object(body), &projection).await?;
            let made: Value = serde_json::from_str(&made.body)?;
            made.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        Some(id) => {
            let id = id.to_string();
            let known = document(directory, ctx, definition, &id).await?;
            let stage = known.get("lifecycle").and_then(Value::as_str).and_then(Stage::parse);
            if stage.is_some_and(|stage| stage != Stage::Proposed) {
                bail!(
                    "the rule {name} is not proposed, and a table is tried out before it gives. Read it into a rule of another name, \
                     then: matrikel simulate --tenant {} --activate OTHER --deprecate {name}",
                    place.tenant
                );
            }
            let operations: Vec<Value> = parts
                .into_iter()
                .map(|(name, value)| json!({ "op": "replace", "path": name, "value": value }))
                .collect();
            let message = json!({ "schemas": [scim::patch::PATCH_OP_URN], "Operations": operations });
            directory.patch(ctx, definition, &id, message, &Precondition::none(), &projection).await?;
            id
        }
    };
    if place.json {
        return Ok(output::say(json!({ "id": id, "name": name, "rows": count }).to_string())?);
    }
    output::say(format!("{count} rows are the table of the rule {name} ({id}), which gives nothing yet."))?;
    Ok(output::say(format!("What it would do: matrikel simulate --tenant {} --activate {name}", place.tenant))?)
}

async fn document(
    directory: &Directory,
    ctx: &Ctx,
    definition: &Arc<Definition>,
    id: &str,
) -> anyhow::Result<Object<String, Value>> {
    let projection = Projection::whole(definition);
    match directory.fetch(ctx, definition, id, &Precondition::none(), &projection).await? {
        Fetched::Found { body, .. } => Ok(serde_json::from_str(&body)?),
        _ => Err(unknown(id)),
    }
}

fn unknown(name: &str) -> anyhow::Error {
    ConfigError::new(format!("There is no rule {name}, or several are called so: use its id.")).into()
}

/// The rows of a file. Fails with every fault and its line.
fn table_of(path: &Path, encoding: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let mut file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let is_workbook = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xlsx"));
    let format = if is_workbook { Format::Xlsx } else { Format::Csv };
    let encoding = match encoding {
        None => None,
        Some(label) => {
            let unknown = || ConfigError::new(format!("There is no encoding {label:?}."));
            Some(encoding_rs::Encoding::for_label(label.as_bytes()).ok_or_else(unknown)?)
        }
    };
    let map = Map {
        source: "table".to_owned(),
        format: Some(format),
        delimiter: if is_workbook { b';' } else { delimiter(&mut file)? },
        encoding,
        sheet: None,
        skip: 0,
        mode: Mode::Full,
        extracted: None,
        limits: Limits::default(),
        parts: Vec::new(),
        digest: 0,
    };
    let (mut rows, mut faults, mut heads) = (Vec::new(), Vec::new(), Vec::new());
    read_file(&mut file, format, &map, |told| {
        match told {
            Told::Header(header) => faults.extend(heads_of(header, &mut heads)),
            Told::Row(row) => {
                let cells = heads
                    .iter()
                    .filter_map(|(head, name): &(String, &'static str)| Some((*name, row.text(head)?.into_owned())));
                rows.push((row.number, cells.collect::<BTreeMap<_, _>>()));
            }
            Told::Unread(Unread { number, reason }) => {
                let reason = reason.trim_end_matches('.').to_owned();
                faults.push(Fault { line: number, column: String::new(), reason });
            }
        }
        true
    })?;
    match read(rows) {
        Ok(rows) if faults.is_empty() => return Ok(rows),
        Ok(_) => {}
        Err(more) => faults.extend(more),
    }
    faults.sort_by_key(|fault| fault.line);
    let told: Vec<String> = faults.iter().take(SHOWN).map(|fault| format!("  {fault}")).collect();
    let rest = match faults.len().saturating_sub(SHOWN) {
        0 => String::new(),
        rest => format!("\n  … and {rest} more"),
    };
    bail!("{} has faults, and nothing was changed:\n{}{rest}", path.display(), told.join("\n"))
}

/// The columns of a file, and what is wrong with them.
fn heads_of(header: &Header, heads: &mut Vec<(String, &'static str)>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |reason: String| faults.push(Fault { line: 1, column: String::new(), reason });
    let mut known = BTreeSet::new();
    for head in header.names().iter().filter(|head| !head.trim().is_empty()) {
        match column(head) {
            None => fault(format!("there is a column {head:?}, and what is known is {}", COLUMNS.join(", "))),
            Some(name) if !known.insert(name) => fault(format!("two columns are {name}")),
            Some(name) => heads.push((head.clone(), name)),
        }
    }
    if !known.contains("groups") {
        fault("there is no column groups".to_owned());
    }
    faults
}

/// What stands between the columns of the first line.
fn delimiter(file: &mut File) -> anyhow::Result<u8> {
    let mut start = Vec::new();
    file.by_ref().take(4096).read_to_end(&mut start)?;
    file.rewind()?;
    let first = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |wanted: &u8| first.iter().filter(|byte| *byte == wanted).count();
    Ok([b',', b'\t', b';'].into_iter().max_by_key(count).unwrap_or(b';'))
}

fn write(document: &Object<String, Value>, path: Option<&Path>) -> anyhow::Result<()> {
    let out: Box<dyn std::io::Write> = match path {
        Some(path) => Box::new(File::create(path).with_context(|| format!("{} cannot be written", path.display()))?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut out = csv::WriterBuilder::new().delimiter(b';').from_writer(out);
    out.write_record(COLUMNS)?;
    for row in cells(document) {
        out.write_record(row)?;
    }
    Ok(out.flush()?)
}
