//! `matrikel index`: which paths of a tenant's resource types are indexed. A path that is not can be filtered and sorted
//! by too, as far as the scan limit goes; an index makes it quick and is paid for with every write.

use std::time::Duration;

use serde_json::{Value, json};
use store::catalog::Index;
use store::work::Indexing;
use store::{Store, TenantId};

use super::open::Place;
use super::{Shared, now, open, output};
use crate::config::ConfigError;
use crate::directory::{Ctx, Directory, Random};

/// How often a build is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The commands about indexes.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Index a path; what is stored already is worked through while servers go on serving
    #[command(after_help = "Example: matrikel index add --tenant storstad User title")]
    Add {
        #[command(flatten)]
        path: Path,
        #[command(flatten)]
        place: Place,
    },
    /// List what is indexed
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Index a path no more; what must be unique stays indexed
    #[command(after_help = "Example: matrikel index remove --tenant storstad User title")]
    Remove {
        #[command(flatten)]
        path: Path,
        #[command(flatten)]
        place: Place,
    },
}

/// What is to be indexed.
#[derive(clap::Args)]
pub(super) struct Path {
    /// Name of the resource type, such as User
    resource_type: String,
    /// Path as in a filter, such as name.middleName or urn:example:Badge:number
    path: String,
}

pub(super) fn run(shared: &Shared, command: &Command) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| perform(directory, command).await)
}

async fn perform(directory: &Directory, command: &Command) -> anyhow::Result<()> {
    let (Command::Add { place, .. } | Command::List { place } | Command::Remove { place, .. }) = command;
    let store = directory.store();
    let tenant = open::tenant(store, &place.tenant).await?.id;
    match command {
        Command::List { place } => {
            let indexes = store.read(move |reader| reader.indexes(tenant)).await?;
            if place.json {
                output::say(json!(indexes.iter().map(document).collect::<Vec<_>>()))?;
            } else {
                for Index { kind, path, mode, state } in &indexes {
                    let answers = if mode == "sort" { "compares and sorts" } else { "compares" };
                    output::say(format!("{kind:<14} {path:<72} {answers:<18} {state}"))?;
                }
            }
            Ok(())
        }
        Command::Add { path, place } => change(directory, tenant, path, place, true).await,
        Command::Remove { path, place } => change(directory, tenant, path, place, false).await,
    }
}

async fn change(directory: &Directory, tenant: TenantId, asked: &Path, place: &Place, add: bool) -> anyhow::Result<()> {
    let ctx = Ctx::system(tenant, now(), Random::os());
    let outcome = match add {
        true => directory.index(&ctx, &asked.resource_type, &asked.path).await?,
        false => directory.unindex(&ctx, &asked.resource_type, &asked.path).await?,
    };
    let (canonical, changed) = match outcome {
        Indexing::Done(path) => (path, true),
        Indexing::AsItWas(path) => (path, false),
        Indexing::Unique(path) => {
            anyhow::bail!("{path} is unique in {}, and stays indexed for that", asked.resource_type)
        }
        Indexing::TooMany(most) => {
            anyhow::bail!("{most} paths of {} are indexed, and no more can be; remove one first", asked.resource_type)
        }
        Indexing::Unknown => {
            return Err(ConfigError::new(format!(
                "{} of {} cannot be indexed. Name an attribute with a value of its own, such as name.familyName; what \
                 the server derives and what is never shown have no index.",
                asked.path, asked.resource_type
            ))
            .into());
        }
    };
    if changed {
        let about = json!({ "resource": { "type": asked.resource_type }, "attributes": [&*canonical] });
        let about = about.as_object().cloned().unwrap_or_default();
        directory.remember_act(&ctx, if add { "indexAdd" } else { "indexRemove" }, about).await?;
    }
    finish(directory.store(), tenant).await?;
    if place.json {
        output::say(
            json!({ "resourceType": asked.resource_type, "path": canonical, "indexed": add, "changed": changed }),
        )?;
    } else {
        let state = if add { "is indexed" } else { "is not indexed" };
        output::say(format!(
            "{canonical} of {} {state}{}.",
            asked.resource_type,
            if changed { "" } else { " already" }
        ))?;
    }
    Ok(())
}

/// Waits until the tenant's indexes are built. Whoever breaks it off loses nothing: the next command or server that
/// opens the database goes on with it.
pub(super) async fn finish(store: &Store, tenant: TenantId) -> anyhow::Result<()> {
    let mut told = false;
    while store.read(move |reader| reader.unfinished_indexes(tenant)).await? > 0 {
        if !told {
            output::remark("Working through what is stored …")?;
            told = true;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn document(index: &Index) -> Value {
    json!({ "resourceType": index.kind, "path": index.path, "type": index.mode, "state": index.state })
}
