//! `matrikel tenant`: the organisations of the register.

use serde_json::json;
use store::Tenant;

use super::{Shared, now, open, output, wait};
use crate::config::ConfigError;
use crate::directory::clients;

/// The commands about tenants.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Create an organisation's register
    #[command(after_help = "Example: matrikel tenant create storstad --name \"Storstads kommun\"")]
    Create {
        /// Short name for commands: lower-case letters, digits and hyphens
        slug: String,
        /// Name for people; the short name when left out
        #[arg(long)]
        name: Option<String>,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the organisations
    List {
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(shared: &Shared, command: Command) -> anyhow::Result<()> {
    let config = shared.load()?;
    let directory = open::migrated(&config, false)?;
    let store = directory.store().clone();
    let outcome = wait(async {
        match command {
            Command::Create { slug, name, json } => {
                check_slug(&slug)?;
                if store.tenant_by_slug(&slug).await?.is_some() {
                    anyhow::bail!("there is a tenant {slug} already");
                }
                let name = name.unwrap_or_else(|| slug.clone());
                let tenant = clients::create_tenant(&store, &slug, &name, now()).await?;
                if json {
                    output::say(document(&tenant))?;
                } else {
                    output::say(format!(
                        "Tenant {slug} was created. Next: matrikel client create --tenant {slug} hr --role source"
                    ))?;
                }
            }
            Command::List { json } => {
                let tenants = store.tenants().await?;
                if json {
                    output::say(json!(tenants.iter().map(document).collect::<Vec<_>>()))?;
                } else {
                    for tenant in tenants {
                        output::say(format!("{:<24} {:<10} {}", tenant.slug, tenant.state, tenant.name))?;
                    }
                }
            }
        }
        Ok(())
    });
    store.close();
    outcome
}

fn document(tenant: &Tenant) -> serde_json::Value {
    json!({ "id": tenant.id.0, "slug": tenant.slug, "name": tenant.name, "state": tenant.state })
}

fn check_slug(slug: &str) -> Result<(), ConfigError> {
    let fits = (1..=63).contains(&slug.len())
        && slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !slug.starts_with('-');
    if fits {
        return Ok(());
    }
    Err(ConfigError::new(format!(
        "{slug:?} cannot be a tenant's short name. Use up to 63 lower-case letters, digits and hyphens."
    )))
}

#[cfg(test)]
mod tests {
    use super::check_slug;

    #[test]
    fn a_slug_is_short_and_plain() {
        for slug in ["a", "storstad", "kommun-2"] {
            check_slug(slug).expect(slug);
        }
        for slug in ["", "-a", "Storstad", "å", "a b", &"a".repeat(64)] {
            assert!(check_slug(slug).is_err(), "{slug}");
        }
    }
}
