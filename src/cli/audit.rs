//! `matrikel audit`: what was done in an organisation's register and what was denied, and whether the chains that tell of
//! it hold.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use store::Store;

use super::{Shared, now, open, output, progress};
use crate::config::ConfigError;
use crate::directory::Directory;

/// The commands about the audit.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Show events, the newest first
    #[command(
        after_help = "Examples:\n  matrikel audit list --tenant storstad --days 7 --filter 'kind eq \"denied\"'\n  \
                      matrikel audit list --tenant storstad --filter 'resource.value eq \"0197…\"'"
    )]
    List {
        #[command(flatten)]
        choice: Choice,
        /// Most events to show
        #[arg(long, default_value_t = 50, value_name = "NUMBER")]
        count: u64,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write events to standard output as lines of JSON, the newest first
    #[command(after_help = "Example: matrikel audit export --tenant storstad --days 31 > audit.jsonl")]
    Export {
        #[command(flatten)]
        choice: Choice,
    },
    /// Follow both chains, of changes and of the audit, from their first links
    #[command(after_help = "Examples:\n  matrikel audit verify\n  matrikel audit verify --tenant storstad --json\n\n\
                      Exit codes: 0 both hold · 1 something was altered or is missing · 2 wrong usage or configuration")]
    Verify {
        /// Short name of the tenant; all when left out
        #[arg(long, value_name = "SLUG")]
        tenant: Option<String>,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which events.
#[derive(clap::Args)]
pub(super) struct Choice {
    /// Short name of the tenant
    #[arg(long, value_name = "SLUG")]
    tenant: String,
    /// A SCIM filter on attributes of AuditEvent
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Only events of the last so many days
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..=36_500))]
    days: Option<i64>,
}

impl Choice {
    /// The filter and the days as one filter. The filter must be one by itself, so that nothing in it reaches beyond.
    fn filter(&self, now: i64) -> Result<Option<String>, ConfigError> {
        if let Some(filter) = &self.filter {
            scim::filter::Filter::parse(filter).map_err(|error| ConfigError::new(error.to_string()))?;
        }
        let since = self.days.map(|days| store::format_instant(now - days * 86_400_000_000));
        let since = since.map(|since| format!("when ge \"{since}\""));
        Ok(match (since, &self.filter) {
            (Some(since), Some(filter)) => Some(format!("{since} and ({filter})")),
            (since, filter) => since.or_else(|| filter.clone()),
        })
    }
}

pub(super) fn run(shared: &Shared, command: &Command) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| perform(directory, command).await)
}

async fn perform(directory: &Directory, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List { choice, count, json } => {
            let wanted = usize::try_from(*count).unwrap_or(usize::MAX);
            let found: Arc<Mutex<Vec<Map<String, Value>>>> = Arc::default();
            let taken = Arc::clone(&found);
            each(directory, choice, move |event| {
                let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                if taken.len() < wanted {
                    taken.push(event.clone());
                }
                taken.len() < wanted
            })
            .await?;
            let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
            if *json {
                output::say(json!(found))?;
            } else {
                for event in &found {
                    output::say(line(event))?;
                }
            }
            Ok(())
        }
        Command::Export { choice } => {
            let failed: Arc<Mutex<Option<std::io::Error>>> = Arc::default();
            let failure = Arc::clone(&failed);
            let mut out = std::io::BufWriter::new(std::io::stdout());
            each(directory, choice, move |event| {
                let wrote =
                    serde_json::to_writer(&mut out, event).map_err(Into::into).and_then(|()| out.write_all(b"\n"));
                let is_well = wrote.is_ok();
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = wrote.err();
                is_well
            })
            .await?;
            match failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(error) => Err(error.into()),
                None => Ok(()),
            }
        }
        Command::Verify { tenant, json } => verify(directory.store(), tenant.as_deref(), *json).await,
    }
}

async fn each(
    directory: &Directory,
    choice: &Choice,
    take: impl FnMut(&Map<String, Value>) -> bool + Send + 'static,
) -> anyhow::Result<()> {
    let tenant = open::tenant(directory.store(), &choice.tenant).await?.id;
    let filter = choice.filter(now())?;
    match directory.each_event(tenant, filter.as_deref(), take).await {
        Err(crate::directory::Error::Scim(error)) => Err(ConfigError::new(error.detail).into()),
        outcome => Ok(outcome?),
    }
}

async fn verify(store: &Store, slug: Option<&str>, json: bool) -> anyhow::Result<()> {
    let tenants = match slug {
        Some(slug) => vec![open::tenant(store, slug).await?],
        None => store.tenants().await?,
    };
    let (mut documents, mut wrong) = (Vec::new(), 0);
    for tenant in tenants {
        let id = tenant.id;
        let mut watch = progress::stages(json);
        let chains = store.read(move |reader| reader.verify_chains(id, &mut watch)).await?;
        wrong += chains.findings.len();
        if json {
            documents.push(json!({
                "tenant": tenant.slug, "changes": chains.changes, "entries": chains.entries, "findings": chains.findings,
            }));
        } else {
            for finding in &chains.findings {
                output::say(format!("{}: {finding}", tenant.slug))?;
            }
            let (changes, entries) = (chains.changes, chains.entries);
            let word = if chains.findings.is_empty() { "hold" } else { "do not hold" };
            output::say(format!("{}: the chains of {changes} changes and {entries} entries {word}.", tenant.slug))?;
        }
    }
    if json {
        output::say(json!({ "tenants": documents }))?;
    }
    if wrong > 0 {
        anyhow::bail!("{wrong} of the chains do not hold; what they tell was altered, or the database is damaged");
    }
    Ok(())
}

/// An event for people.
fn line(event: &Map<String, Value>) -> String {
    let at = |path: &[&str]| {
        let mut value = event.get(*path.first()?)?;
        for name in path.get(1..)? {
            value = value.get(name)?;
        }
        Some(match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    let text = |path: &[&str]| at(path).unwrap_or_else(|| "-".to_owned());
    let actor = at(&["actor", "display"]).or_else(|| at(&["actor", "value"])).unwrap_or_else(|| "unknown".to_owned());
    let what = match at(&["method"]) {
        Some(method) => format!("{method} {}", text(&["path"])),
        None => format!("{} {} {}", text(&["operation"]), text(&["resource", "type"]), text(&["resource", "value"])),
    };
    let mut ending = at(&["outcome", "status"]).map(|status| format!(" {status}")).unwrap_or_default();
    ending.extend(at(&["outcome", "reason"]).map(|reason| format!(" {reason}")));
    ending.extend(at(&["count"]).filter(|count| count != "1").map(|count| format!(" ({count} times)")));
    format!("{} {:<14} {actor:<16} {:<15} {what}{ending}", text(&["when"]), text(&["kind"]), text(&["address"]))
}
