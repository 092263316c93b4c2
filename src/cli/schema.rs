//! `matrikel schema`: schemas and resource types of an organisation's own, by the same path as `POST /Schemas` and
//! `/ResourceTypes`, and the ones that are shipped to be installed.

use std::fs;

use anyhow::Context;
use scim::schema::shipped::{self, MUNICIPALITY, SHIPPED, Shipped};
use scim::schema::{Registry, lint};
use serde_json::{Map, Value, json};
use store::catalog::Catalog;

use super::open::Place;
use super::{Shared, index, now, open, output};
use crate::config::ConfigError;
use crate::directory::types::Document;
use crate::directory::{Ctx, Directory, Precondition, Random};

/// Stands for all that a municipality needs.
const BUNDLE: &str = "municipality";

/// The commands about schemas and resource types.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Install documents in an organisation's register; one that is there already is replaced
    #[command(after_help = "Examples:\n  matrikel schema install --tenant storstad device\n  \
                      matrikel schema install --tenant storstad badge.json user-with-badge.json")]
    Install {
        /// Names of shipped ones (`matrikel schema shipped`), or files with a schema or resource type each
        #[arg(required = true, value_name = "NAME|FILE")]
        documents: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// List an organisation's schemas and resource types
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Show one schema or resource type as JSON
    #[command(after_help = "Example: matrikel schema show --tenant storstad User")]
    Show {
        /// URN of a schema, or name of a resource type
        id: String,
        /// Short name of the tenant
        #[arg(long, value_name = "SLUG")]
        tenant: String,
    },
    /// Say what is wrong with documents; needs no database
    #[command(after_help = "Example: matrikel schema lint badge.json")]
    Lint {
        /// Files with a schema or resource type each; a later one may name an earlier one
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// List what is shipped to be installed
    Shipped {
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
}

/// One document that was brought.
struct Brought {
    /// The file, or the name of what is shipped.
    from: String,
    what: Document,
    body: Value,
    /// What it is a part of, if it is shipped.
    shipped: Option<&'static Shipped>,
}

impl Brought {
    /// The URN or name it has.
    fn id(&self) -> &str {
        let member = match self.what {
            Document::Schema => "id",
            Document::ResourceType => "name",
        };
        text(&self.body, member)
    }
}

pub(super) fn run(shared: &Shared, command: &Command) -> anyhow::Result<()> {
    let (Command::Install { place: Place { tenant, .. }, .. }
    | Command::List { place: Place { tenant, .. } }
    | Command::Show { tenant, .. }) = command
    else {
        return offline(command);
    };
    open::run(&shared.load()?, async |directory| {
        let tenant = open::tenant(directory.store(), tenant).await?;
        let ctx = Ctx::system(tenant.id, now(), Random::os());
        match command {
            Command::Install { documents, place } => install(directory, &ctx, documents, place).await,
            Command::List { place } => list(&*directory.fresh_catalog(ctx.tenant, ctx.now).await?, place),
            Command::Show { id, .. } => show(&*directory.fresh_catalog(ctx.tenant, ctx.now).await?, id),
            Command::Lint { .. } | Command::Shipped { .. } => Ok(()),
        }
    })
}

fn offline(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Lint { files, json } => check(files, *json),
        Command::Shipped { json } => {
            if *json {
                let shipped: Vec<Value> =
                    known().map(|(name, about)| json!({ "name": name, "description": about })).collect();
                output::say(json!(shipped))?;
            } else {
                for (name, about) in known() {
                    output::say(format!("{name:<19} {about}"))?;
                }
            }
            Ok(())
        }
        Command::Install { .. } | Command::List { .. } | Command::Show { .. } => Ok(()),
    }
}

async fn install(directory: &Directory, ctx: &Ctx, named: &[String], place: &Place) -> anyhow::Result<()> {
    let mut told = Vec::new();
    let tell = |kind: &'static str, id: &str, fate: &'static str| -> anyhow::Result<()> {
        if place.json {
            told.push(json!({ "kind": kind, "id": id, "outcome": fate }));
            return Ok(());
        }
        Ok(output::say(format!("{kind:<14} {id} {fate}"))?)
    };
    bring(directory, ctx, named, tell).await?;
    if place.json {
        output::say(json!(told))?;
    } else {
        output::remark("A running server notices within a second.")?;
    }
    Ok(())
}

/// Installs what is shipped by that name, or lies in a file of that name, and says what became of each document.
pub(super) async fn bring(
    directory: &Directory,
    ctx: &Ctx,
    named: &[String],
    mut told: impl FnMut(&'static str, &str, &'static str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // Everything is read before anything is written.
    let mut brought = Vec::new();
    for name in named {
        let alone = [name.as_str()];
        let names: &[&str] = if name == BUNDLE { &MUNICIPALITY } else { &alone };
        for name in names {
            match shipped::of_name(name) {
                Some(shipped) => {
                    for text in [shipped.schema, shipped.resource_type] {
                        let one = classify(name, serde_json::from_str(text)?)?;
                        brought.push(Brought { shipped: Some(shipped), ..one });
                    }
                }
                None => brought.push(read(name)?),
            }
        }
    }
    for one in brought {
        let id = one.id().to_owned();
        let catalog = directory.fresh_catalog(ctx.tenant, ctx.now).await?;
        let before = catalog.record(one.what.kind(), &id).map(|record| record.version);
        let is_there = match one.what {
            Document::Schema => catalog.registry().schema(&id).is_some(),
            Document::ResourceType => catalog.registry().definition(&id).is_some(),
        };
        let (what, any) = (one.what, Precondition::default());
        let written = match is_there {
            _ if adds_to(&one) => add_extension(directory, ctx, &catalog, &id, &one.body).await,
            true => {
                let body = with_extensions(&catalog, &id, one.body, one.shipped.is_some());
                directory.replace_document(ctx, what, &id, body, &any).await.map(drop)
            }
            false => directory.add_document(ctx, what, one.body).await.map(drop),
        };
        written.with_context(|| format!("{} ({}) was not installed", one.from, id))?;
        let after = directory.fresh_catalog(ctx.tenant, ctx.now).await?;
        let fate = match (before, after.record(what.kind(), &id).map(|record| record.version)) {
            (before, after) if before == after => "unchanged",
            (None, _) => "installed",
            _ => "replaced",
        };
        told(what.kind(), &id, fate)?;
        if what == Document::ResourceType {
            for (kind, path) in one.shipped.into_iter().flat_map(|shipped| shipped.indexes) {
                directory.index(ctx, kind, path).await.with_context(|| format!("{path} was not indexed"))?;
            }
        }
    }
    index::finish(directory.store(), ctx.tenant).await
}

/// Whether it is shipped and adds to a type of the server's own, which has no endpoint of its own then.
fn adds_to(one: &Brought) -> bool {
    one.shipped.is_some() && one.what == Document::ResourceType && one.body.get("endpoint").is_none()
}

/// What is shipped again keeps the extensions that the tenant has added to it since.
fn with_extensions(catalog: &Catalog, kind: &str, mut body: Value, is_shipped: bool) -> Value {
    let Some(record) = catalog.record(Document::ResourceType.kind(), kind).filter(|_| is_shipped) else { return body };
    let before = store::work::document_of(record).ok();
    let before = before.as_ref().and_then(|document| document.get("schemaExtensions")?.as_array());
    if let (Some(before), Some(Value::Array(extensions))) = (before, body.get_mut("schemaExtensions")) {
        let is_new = |one: &&Value| !extensions.iter().any(|known| known.get("schema") == one.get("schema"));
        let added: Vec<Value> = before.iter().filter(is_new).cloned().collect();
        extensions.extend(added);
    }
    body
}

/// Adds what is shipped to what the tenant has added to a type already.
async fn add_extension(
    directory: &Directory,
    ctx: &Ctx,
    catalog: &Catalog,
    kind: &str,
    body: &Value,
) -> Result<(), crate::directory::Error> {
    let added = body.get("schemaExtensions").and_then(Value::as_array).into_iter().flatten();
    let is_new = |extension: &&Value| {
        let definition = catalog.registry().definition(kind);
        definition.is_none_or(|definition| definition.extension(text(extension, "schema")).is_none())
    };
    let added: Vec<&Value> = added.filter(is_new).collect();
    if added.is_empty() {
        return Ok(());
    }
    let message = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "add", "path": "schemaExtensions", "value": added }],
    });
    directory.patch_resource_type(ctx, kind, message, &Precondition::default()).await.map(drop)
}

/// Names of what is shipped, and what it is.
fn known() -> impl Iterator<Item = (&'static str, String)> {
    let all = (BUNDLE, format!("what a municipality needs: {}", MUNICIPALITY.join(", ")));
    SHIPPED.iter().map(|shipped| (shipped.name, shipped.about.to_owned())).chain([all])
}

fn list(catalog: &Catalog, place: &Place) -> anyhow::Result<()> {
    let registry = catalog.registry();
    let whose = |id: &str| match () {
        () if registry.is_own(id) => "own",
        () if registry.is_amended(id) => "extended",
        () => "built in",
    };
    let mut rows: Vec<(&str, &str, &str, &str)> = Vec::new();
    for definition in registry.definitions() {
        let (name, endpoint) = (definition.name(), definition.resource_type.endpoint.as_str());
        rows.push(("ResourceType", name, whose(name), endpoint));
    }
    rows.extend(
        registry.schemas().map(|schema| ("Schema", schema.id.as_str(), whose(&schema.id), schema.name.as_str())),
    );
    if place.json {
        let row = |(kind, id, origin, about): &(&str, &str, &str, &str)| match *kind {
            "Schema" => json!({ "kind": kind, "id": id, "origin": origin, "name": about }),
            _ => json!({ "kind": kind, "id": id, "origin": origin, "endpoint": about }),
        };
        output::say(json!(rows.iter().map(row).collect::<Vec<_>>()))?;
    } else {
        for (kind, id, origin, about) in rows {
            output::say(format!("{kind:<14} {origin:<10} {id:<64} {about}"))?;
        }
    }
    Ok(())
}

fn show(catalog: &Catalog, id: &str) -> anyhow::Result<()> {
    let registry = catalog.registry();
    let schema = registry.schema(id).map(|schema| &schema.document);
    let mut types = registry.definitions().iter();
    let kind = types.find(|known| known.name().eq_ignore_ascii_case(id)).map(|known| &known.resource_type.document);
    let missing = || ConfigError::new(format!("There is no {id}. `matrikel schema list` shows what there is."));
    let document = schema.or(kind).ok_or_else(missing)?;
    Ok(output::say(serde_json::to_string_pretty(document)?)?)
}

/// What is wrong with files, each beside those before it; fails when anything is.
fn check(files: &[String], json: bool) -> anyhow::Result<()> {
    let mut registry = Registry::builtin().context("the built-in schemas cannot be read")?;
    let mut told = Vec::new();
    let mut faults = 0;
    for file in files {
        let one = read(file)?;
        let builtin = registry.definition(one.id()).filter(|known| !registry.is_own(known.name())).cloned();
        let findings: Vec<(String, String)> = match (&one.what, builtin) {
            (Document::ResourceType, Some(known)) => match lint::amendment(&one.body, &known, &registry) {
                Ok(_) => Vec::new(),
                Err(error) => vec![("schemaExtensions".to_owned(), error.detail)],
            },
            (what, _) => {
                let linted = match what {
                    Document::Schema => lint::schema(&one.body),
                    Document::ResourceType => lint::resource_type(&one.body, &registry),
                };
                match linted {
                    Ok(document) => {
                        registry = join(&registry, *what, document)?;
                        Vec::new()
                    }
                    Err(findings) => findings.into_iter().map(|found| (found.path, found.message)).collect(),
                }
            }
        };
        faults += findings.len();
        if json {
            let findings: Vec<Value> =
                findings.iter().map(|(path, message)| json!({ "path": path, "message": message })).collect();
            told.push(json!({ "file": file, "kind": one.what.kind(), "id": one.id(), "findings": findings }));
        } else if findings.is_empty() {
            output::say(format!("{file}: sound"))?;
        } else {
            for (path, message) in findings {
                output::say(format!("{file}: {path}: {message}"))?;
            }
        }
    }
    if json {
        output::say(json!(told))?;
    }
    match faults {
        0 => Ok(()),
        1 => anyhow::bail!("1 thing is wrong"),
        _ => anyhow::bail!("{faults} things are wrong"),
    }
}

fn join(registry: &Registry, what: Document, document: Value) -> anyhow::Result<Registry> {
    Ok(match what {
        Document::Schema => registry.extend(vec![document], Vec::new(), 1)?,
        Document::ResourceType => registry.extend(Vec::new(), vec![document], 1)?,
    })
}

fn read(file: &str) -> anyhow::Result<Brought> {
    let known = || known().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
    let missing = || format!("{file} is neither a file that can be read nor one of what is shipped ({})", known());
    let text = fs::read_to_string(file).with_context(missing)?;
    let body = serde_json::from_str(&text).with_context(|| format!("{file} is not JSON"))?;
    classify(file, body)
}

/// A resource type has an endpoint or names extensions, a schema has attributes.
fn classify(from: &str, body: Value) -> anyhow::Result<Brought> {
    let empty = Map::new();
    let members = body.as_object().unwrap_or(&empty);
    let has = |name: &str| members.keys().any(|known| known.eq_ignore_ascii_case(name));
    let what = match () {
        () if has("attributes") => Document::Schema,
        () if has("endpoint") || has("schemaExtensions") => Document::ResourceType,
        () => anyhow::bail!("{from} is neither a schema (with attributes) nor a resource type (with endpoint)"),
    };
    let brought = Brought { from: from.to_owned(), what, body, shipped: None };
    match brought.id() {
        "" if what == Document::Schema => anyhow::bail!("{from} has no id, which must be the URN of the schema"),
        "" => anyhow::bail!("{from} has no name, which must be that of the resource type"),
        _ => Ok(brought),
    }
}

fn text<'v>(body: &'v Value, name: &str) -> &'v str {
    let mut members = body.as_object().into_iter().flatten();
    let found = members.find(|(known, _)| known.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.as_str());
    found.unwrap_or_default()
}
