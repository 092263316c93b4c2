//! `matrikel key`: the keys that secrets are sealed under. A master key is shown once, when it is made, and stays with the
//! operator; the tenants' own keys lie in the database and are never shown.

use serde_json::{Value, json};
use store::Tenant;

use super::{Shared, now, open, output};
use crate::auth::oauth::keys;
use crate::directory::secret::{Keyring, sealed_under};
use crate::directory::{Ctx, Directory, Random};

/// The commands about keys.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a master key and show it as a line of the key file
    #[command(after_help = "Example: (umask 077; matrikel key new 2026 > /etc/matrikel/keys)")]
    New {
        /// A name for it, such as the year: letters, digits, -, _ and .
        name: String,
    },
    /// List the master keys by name, and the tenants' keys
    List {
        /// Short name of the tenant; all when left out
        #[arg(long, value_name = "SLUG")]
        tenant: Option<String>,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Seal everything anew: under the first master key of the file, and with new keys of the tenants
    #[command(
        long_about = "Seals the tenants' keys under the first master key, gives each tenant new keys and seals every secret \
                      anew with them, a slice at a time while servers serve. What breaks off is gone on with by running it \
                      again.\n\nTo change the master key: put a new line first in the key file, keep the old one behind it, \
                      rotate, and take the old one away when `matrikel key list` names it no more. Servers read the file \
                      again by themselves.",
        after_help = "Examples:\n  matrikel key rotate\n  matrikel key rotate --tenant storstad --only-master"
    )]
    Rotate {
        /// Short name of the tenant; all when left out
        #[arg(long, value_name = "SLUG")]
        tenant: Option<String>,
        /// Only seal the tenants' keys under the first master key
        #[arg(long)]
        only_master: bool,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(shared: &Shared, command: &Command) -> anyhow::Result<()> {
    if let Command::New { name } = command {
        let line = Keyring::line(name)?;
        // What could not be read back is not shown.
        Keyring::of_text(&line)?;
        return Ok(output::say(line)?);
    }
    let config = shared.load()?;
    let masters = open::keyring(&config)?.names();
    open::run(&config, async |directory| perform(directory, command, &masters).await)
}

async fn tenants(directory: &Directory, slug: Option<&str>) -> anyhow::Result<Vec<Tenant>> {
    Ok(match slug {
        Some(slug) => vec![open::tenant(directory.store(), slug).await?],
        None => directory.store().tenants().await?,
    })
}

async fn perform(directory: &Directory, command: &Command, masters: &[String]) -> anyhow::Result<()> {
    match command {
        Command::New { .. } => Ok(()),
        Command::List { tenant, json } => list(directory, tenant.as_deref(), masters, *json).await,
        Command::Rotate { tenant, only_master, json } => {
            let mut documents = Vec::new();
            // They are of no tenant, and go along with all of them.
            if tenant.is_none() && !masters.is_empty() {
                let resealed = keys::reseal(directory.store(), &directory.master_keys()).await?;
                if resealed > 0 && !*json {
                    output::say(format!("{resealed} keys that sign tokens are sealed under another master key."))?;
                }
            }
            for tenant in tenants(directory, tenant.as_deref()).await? {
                let now = now();
                let rotated = directory.rotate_keys(tenant.id, now, *only_master, &mut |_| {}).await?;
                let (rewrapped, resealed) = (rotated.rewrapped, rotated.resealed);
                if rotated.is_anything {
                    let ctx = Ctx::system(tenant.id, now, Random::os());
                    let about = json!({ "resource": { "type": "Tenant", "value": tenant.slug } });
                    directory.remember_act(&ctx, "keyRotate", about.as_object().cloned().unwrap_or_default()).await?;
                }
                if *json {
                    documents.push(json!({ "tenant": tenant.slug, "keys": rewrapped, "resources": resealed }));
                } else if rotated.is_anything {
                    output::say(format!(
                        "{}: {rewrapped} keys are sealed under another master key, {resealed} resources were sealed anew.",
                        tenant.slug
                    ))?;
                } else {
                    output::say(format!("{}: nothing is secret.", tenant.slug))?;
                }
            }
            if *json {
                output::say(json!(documents))?;
            }
            Ok(())
        }
    }
}

async fn list(directory: &Directory, slug: Option<&str>, masters: &[String], json: bool) -> anyhow::Result<()> {
    let mut documents: Vec<Value> = Vec::new();
    for tenant in tenants(directory, slug).await? {
        let id = tenant.id;
        for key in directory.store().read(move |reader| reader.sealing_keys(id)).await? {
            let made = output::moment(key.created_at);
            let is_here = masters.contains(&key.master);
            if json {
                documents.push(json!({
                    "tenant": tenant.slug, "purpose": key.purpose, "id": key.id, "created": made, "master": key.master,
                    "masterIsHere": is_here,
                }));
            } else {
                let missing = if is_here { "" } else { ", which is not here" };
                documents.push(
                    format!(
                        "{:<24} {:<5} {:>4}  {made}  under {}{missing}",
                        tenant.slug, key.purpose, key.id, key.master
                    )
                    .into(),
                );
            }
        }
    }
    let signing = directory.store().read(|reader| reader.signing_keys()).await.map_err(|error: store::Error| error)?;
    if json {
        let signing = signing.iter().map(|key| {
            let master = sealed_under(&key.private);
            let is_here = master.is_some_and(|name| masters.iter().any(|known| known == name));
            json!({ "id": key.id, "master": master, "masterIsHere": is_here })
        });
        let signing: Vec<Value> = signing.collect();
        return Ok(output::say(json!({ "masters": masters, "keys": documents, "signingKeys": signing }))?);
    }
    let named = if masters.is_empty() { "none".to_owned() } else { masters.join(", ") };
    output::say(format!("Master keys, the current one first: {named}"))?;
    for line in documents {
        output::say(line.as_str().unwrap_or_default())?;
    }
    for key in signing {
        let under = sealed_under(&key.private).map_or("not sealed".to_owned(), |name| format!("under {name}"));
        output::say(format!("signs tokens: {}  {under}", key.id))?;
    }
    Ok(())
}
