//! `matrikel tenant`: the organisations of the register.

use anyhow::Context;
use clap::ValueEnum;
use serde_json::json;
use store::Tenant;

use super::{Shared, now, open, output};
use crate::config::ConfigError;
use crate::directory::{Ctx, Directory, Random, clients};

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
    /// Change what an organisation's register insists on
    #[command(after_help = "Examples:\n  matrikel tenant set storstad --unique-group-names on\n  \
        matrikel tenant set storstad --host id.storstad.example")]
    Set {
        /// Short name of the tenant
        slug: String,
        /// Whether two groups may have the same displayName; off when a tenant is created
        #[arg(long, value_enum, value_name = "ON|OFF", required_unless_present_any = ["host", "no_host"])]
        unique_group_names: Option<Switch>,
        /// A host name that is this organisation's alone: a token of another is worth nothing there
        #[arg(long, value_name = "NAME")]
        host: Vec<String>,
        /// A host name that is not any more
        #[arg(long, value_name = "NAME")]
        no_host: Vec<String>,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse every request of an organisation's clients until it is resumed; nothing is lost
    #[command(after_help = "Example: matrikel tenant suspend storstad")]
    Suspend {
        /// Short name of the tenant
        slug: String,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Erase an organisation and all that it has, for good; broken off, it is finished by the same command
    #[command(after_help = "Example: matrikel tenant erase storstad --confirm storstad")]
    Erase {
        /// Short name of the tenant
        slug: String,
        /// The same short name again
        #[arg(long, value_name = "SLUG")]
        confirm: String,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Serve a suspended organisation again
    #[command(after_help = "Example: matrikel tenant resume storstad")]
    Resume {
        /// Short name of the tenant
        slug: String,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
}

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    /// It is so
    On,
    /// It is not so
    Off,
}

pub(super) fn run(shared: &Shared, command: Command) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| perform(directory, command).await)
}

async fn perform(directory: &Directory, command: Command) -> anyhow::Result<()> {
    let store = directory.store();
    match command {
        Command::Create { slug, name, json } => {
            check_slug(&slug)?;
            if store.tenant_by_slug(&slug).await?.is_some() {
                anyhow::bail!("there is a tenant {slug} already");
            }
            let name = name.unwrap_or_else(|| slug.clone());
            let tenant = clients::create_tenant(store, &slug, &name, now()).await?;
            remember(directory, &tenant, "tenantCreate", &[]).await?;
            let next = format!("was created. Next: matrikel client create --tenant {slug} hr --role source");
            tell(&tenant, json, &next)
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
            Ok(())
        }
        Command::Set { slug, unique_group_names, host, no_host, json } => {
            let tenant = open::tenant(store, &slug).await?;
            let ctx = Ctx::system(tenant.id, now(), Random::os());
            let (mut said, mut parts) = (Vec::new(), Vec::new());
            if let Some(rule) = unique_group_names {
                let on = rule == Switch::On;
                directory.set_unique(&ctx, "Group", "displayName", on).await.context("nothing was changed")?;
                let rule = if on { "no two groups may share" } else { "groups may share" };
                said.push(format!("{rule} a displayName"));
                parts.push("uniqueGroupNames");
            }
            if !host.is_empty() || !no_host.is_empty() {
                directory.set_hosts(&ctx, &host, &no_host).await.context("no host name was changed")?;
                said.extend(host.iter().map(|name| format!("{name} leads to it")));
                said.extend(no_host.iter().map(|name| format!("{name} leads nowhere")));
                parts.push("hosts");
            }
            remember(directory, &tenant, "tenantSet", &parts).await?;
            let said = said.join(", ");
            tell(&tenant, json, &format!("was changed: {said}. A running server notices within ten seconds."))
        }
        Command::Erase { slug, confirm, json } => {
            let tenant = open::tenant(store, &slug).await?;
            if confirm != slug {
                return Err(ConfigError::new(format!(
                    "Nothing was erased: --confirm says {confirm:?}. All that {slug} has would be gone for good; say \
                     --confirm {slug} if that is meant."
                ))
                .into());
            }
            let mut told = 0;
            let erased = directory.erase(&tenant, now(), move |rows| {
                if rows / 100_000 > told {
                    told = rows / 100_000;
                    // Whoever does not listen misses nothing.
                    let _ = output::remark(format!("{rows} rows are gone"));
                }
            });
            let rows = erased.await.context("not all was erased; the same command goes on with it")?;
            if json {
                output::say(json!({ "slug": slug, "id": tenant.id.0, "erased": true, "rows": rows }))?;
            } else {
                output::say(format!(
                    "Tenant {slug} is erased: {rows} rows. Backups and exports of it are yours to destroy. What was done is \
                     told by `matrikel audit list --tenant erased:{}`.",
                    tenant.id
                ))?;
            }
            Ok(())
        }
        Command::Suspend { slug, json } => {
            set_active(directory, &slug, false).await?;
            let said = "is suspended: every request is answered 403, by a running server within five seconds.";
            tell(&open::tenant(store, &slug).await?, json, said)
        }
        Command::Resume { slug, json } => {
            set_active(directory, &slug, true).await?;
            tell(&open::tenant(store, &slug).await?, json, "is served again.")
        }
    }
}

/// Has the audit remember what an operator did to a tenant.
async fn remember(
    directory: &Directory,
    tenant: &Tenant,
    operation: &str,
    attributes: &[&str],
) -> Result<(), crate::directory::Error> {
    let ctx = Ctx::system(tenant.id, now(), Random::os());
    let mut about = serde_json::Map::new();
    about.insert("resource".into(), json!({ "type": "Tenant", "value": tenant.slug }));
    if !attributes.is_empty() {
        about.insert("attributes".into(), json!(attributes));
    }
    directory.remember_act(&ctx, operation, about).await
}

async fn set_active(directory: &Directory, slug: &str, active: bool) -> anyhow::Result<()> {
    let store = directory.store();
    let tenant = open::tenant(store, slug).await?;
    if tenant.state == store::tenant::IMPORTING {
        anyhow::bail!("{slug} is being imported and not whole yet; `matrikel import --resume` goes on with it");
    }
    store.set_tenant_active(tenant.id, active)?;
    Ok(remember(directory, &tenant, if active { "tenantResume" } else { "tenantSuspend" }, &[]).await?)
}

/// Says what became of a tenant.
fn tell(tenant: &Tenant, json: bool, what: &str) -> anyhow::Result<()> {
    if json {
        output::say(document(tenant))?;
    } else {
        output::say(format!("Tenant {} {what}", tenant.slug))?;
    }
    Ok(())
}

fn document(tenant: &Tenant) -> serde_json::Value {
    json!({ "id": tenant.id.0, "slug": tenant.slug, "name": tenant.name, "state": tenant.state })
}

pub(super) fn check_slug(slug: &str) -> Result<(), ConfigError> {
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
