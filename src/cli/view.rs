//! `matrikel view`: what clients may see. A view is written as a JSON document, in a file or on standard input, in the form
//! that `/Views` takes; a client sees through it once its `view` names it.

use std::io::Read;
use std::path::{Path as File, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Value, json};

use scim::query::SearchRequest;
use scim::resource::Projection;
use scim::schema::Definition;

use super::open::Place;
use super::{Shared, now, open, output};
use crate::config::ConfigError;
use crate::directory::views::VIEW;
use crate::directory::{Ctx, Directory, Fetched, Precondition, Random};

const SCHEMA: &str = "urn:matrikel:scim:schemas:1.0:View";

/// The commands about views.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Create a view from a document, or with --replace change the one of that name
    #[command(after_help = "Example: matrikel view create --tenant storstad cloud view.json\n\n\
        view.json: {\"types\": [{\"type\": \"User\", \"filter\": \"active eq true\", \"attributes\": [\"userName\", \"name\"]}]}")]
    Create {
        /// Name of the view
        name: String,
        /// The document: types, and what else `/Views` takes; - for standard input
        file: PathBuf,
        /// Change the view if there is one of that name
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        place: Place,
    },
    /// List views and the resource types they show
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Show a view
    Show {
        /// Name of the view
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Delete a view that no client uses
    Delete {
        /// Name of the view
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Show what the clients of a view see: how many resources of each type, and some of them
    #[command(after_help = "Example: matrikel view preview --tenant storstad cloud --count 3")]
    Preview {
        /// Name of the view
        name: String,
        /// Resources of each type
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=1000))]
        count: u64,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) fn run(shared: &Shared, command: &Command) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| perform(directory, command).await)
}

async fn perform(directory: &Directory, command: &Command) -> anyhow::Result<()> {
    let (Command::Create { place, .. }
    | Command::List { place }
    | Command::Show { place, .. }
    | Command::Delete { place, .. }
    | Command::Preview { place, .. }) = command;
    let tenant = open::tenant(directory.store(), &place.tenant).await?.id;
    let ctx = Ctx::system(tenant, now(), Random::os());
    let definition = directory.registry().definition(VIEW).cloned().context("there is no resource type View")?;
    let views = Views { directory, ctx, definition };
    match command {
        Command::Create { name, file, replace, .. } => views.create(place, name, file, *replace).await,
        Command::List { .. } => views.list(place).await,
        Command::Show { name, .. } => {
            let (_, view) = views.find(name).await?;
            Ok(output::say(if place.json { view.to_string() } else { serde_json::to_string_pretty(&view)? })?)
        }
        Command::Delete { name, .. } => {
            let (id, _) = views.find(name).await?;
            directory.remove(&views.ctx, &views.definition, &id, &Precondition::none()).await?;
            views.tell(place, &id, name, "Deleted")
        }
        Command::Preview { name, count, .. } => views.preview(place, name, *count).await,
    }
}

/// The views of a tenant.
struct Views<'d> {
    directory: &'d Directory,
    ctx: Ctx,
    definition: Arc<Definition>,
}

impl Views<'_> {
    async fn create(&self, place: &Place, name: &str, file: &File, replace: bool) -> anyhow::Result<()> {
        let mut document = read(file)?;
        let members = document.as_object_mut().ok_or_else(|| ConfigError::new("The document is not a JSON object."))?;
        members.insert("schemas".to_owned(), json!([SCHEMA]));
        members.insert("name".to_owned(), name.into());
        let whole = Projection::whole(&self.definition);
        let known = self.lookup(name).await?;
        let written = match known {
            Some(_) if !replace => {
                anyhow::bail!("there is a view {name} already; --replace changes it")
            }
            Some((id, _)) => {
                let free = Precondition::none();
                self.directory.replace(&self.ctx, &self.definition, &id, document, &free, &whole).await?
            }
            None => self.directory.create(&self.ctx, &self.definition, document, &whole).await?,
        };
        let id = written.location.rsplit('/').next().unwrap_or_default();
        self.tell(place, id, name, "Saved. A running server notices within five seconds")
    }

    async fn list(&self, place: &Place) -> anyhow::Result<()> {
        let views = self.all(None).await?;
        if place.json {
            return Ok(output::say(Value::Array(views))?);
        }
        for view in &views {
            let text = |name: &str| view.get(name).and_then(Value::as_str).unwrap_or_default();
            let rules = view.get("types").and_then(Value::as_array).into_iter().flatten();
            let kinds: Vec<&str> = rules.filter_map(|rule| rule.get("type")?.as_str()).collect();
            output::say(format!("{}  {:<24} {}", text("id"), text("name"), kinds.join(", ")))?;
        }
        Ok(())
    }

    async fn preview(&self, place: &Place, name: &str, count: u64) -> anyhow::Result<()> {
        let (id, _) = self.find(name).await?;
        let preview = self.directory.preview(&self.ctx, &id, count).await?;
        if place.json {
            return Ok(output::say(preview.to_json())?);
        }
        for seen in &preview.types {
            output::say(format!("{}: {} are seen", seen.kind, seen.total))?;
            for resource in &seen.sample {
                output::say(format!("  {resource}"))?;
            }
        }
        Ok(())
    }

    async fn find(&self, name: &str) -> anyhow::Result<(String, Value)> {
        let missing = || ConfigError::new(format!("There is no view {name}. `matrikel view list` shows which are."));
        let (id, _) = self.lookup(name).await?.ok_or_else(missing)?;
        let whole = Projection::whole(&self.definition);
        let free = Precondition::none();
        match self.directory.fetch(&self.ctx, &self.definition, &id, &free, &whole).await? {
            Fetched::Found { body, .. } => Ok((id, serde_json::from_str(&body)?)),
            _ => Err(missing().into()),
        }
    }

    async fn lookup(&self, name: &str) -> anyhow::Result<Option<(String, Value)>> {
        let filter = format!("name eq {}", Value::from(name));
        let view = self.all(Some(filter)).await?.pop();
        Ok(view.and_then(|view| Some((view.get("id")?.as_str()?.to_owned(), view))))
    }

    async fn all(&self, filter: Option<String>) -> anyhow::Result<Vec<Value>> {
        let request = SearchRequest { filter, count: Some(1_000), ..SearchRequest::from_pairs([])? };
        let found = self.directory.search(&self.ctx, std::slice::from_ref(&self.definition), &request).await?;
        let mut answer: Value = serde_json::from_str(&found.body)?;
        match answer.get_mut("Resources").map(Value::take) {
            Some(Value::Array(views)) => Ok(views),
            _ => Ok(Vec::new()),
        }
    }

    fn tell(&self, place: &Place, id: &str, name: &str, what: &str) -> anyhow::Result<()> {
        match place.json {
            true => output::say(json!({ "id": id, "name": name }))?,
            false => output::say(format!("{what}. View: {name} ({id})"))?,
        }
        Ok(())
    }
}

fn read(file: &File) -> anyhow::Result<Value> {
    let mut text = String::new();
    match file.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text).context("standard input")?,
        false => std::fs::File::open(file)
            .and_then(|mut opened| opened.read_to_string(&mut text))
            .with_context(|| file.display().to_string())?,
    };
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
}
