//! From a configuration to an open directory. Makes the folder of an embedded database; never migrates unless asked.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use scim::schema::Registry;
use store::{Store, Tenant};

use super::wait;
use crate::config::{Config, ConfigError};
use crate::directory::secret::Keyring;
use crate::directory::{Directory, Limits, PasswordPolicy};

/// Whose register a command is about, and how it answers.
#[derive(clap::Args)]
pub(super) struct Place {
    /// Short name of the tenant
    #[arg(long, value_name = "SLUG")]
    pub(super) tenant: String,
    /// Answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Operations that may wait for a writer before the server says that it is busy.
const QUEUE: usize = 4096;

/// Opens the database as it is.
pub(super) fn directory(config: &Config) -> anyhow::Result<Directory> {
    let registry = Arc::new(Registry::builtin().context("the built-in schemas cannot be read")?);
    let options = store::Options {
        readers: config.readers,
        points: config.workers,
        writers: config.writers,
        queue: QUEUE,
        ..store::Options::new(config.database_url())
    };
    let store = Store::open(&options, Arc::clone(&registry))?;
    let limits = Limits {
        page_default: config.page_default,
        page_max: config.page_max,
        scan: config.scan_limit,
        page_members: Limits::default().page_members,
        cursor_seconds: config.cursor_timeout_seconds,
        deferred: config.deferred_requests,
        password: PasswordPolicy { min: config.password_min, max: config.password_max },
        ..Limits::default()
    };
    Ok(Directory::new(store, registry, limits).with_keys(keyring(config)?))
}

/// The master keys for secrets, as configured; none are needed where nothing is secret.
pub(super) fn keyring(config: &Config) -> Result<Keyring, ConfigError> {
    match (&config.secrets.key_file, &config.secrets.keys) {
        (Some(_), Some(_)) => Err(ConfigError::new(
            "secrets.key_file and secrets.keys are both set. Keep one of them, so that it is clear which keys hold.",
        )),
        (Some(path), None) => {
            Keyring::of_file(path).map_err(|error| ConfigError::new(format!("secrets.key_file: {error}")))
        }
        (None, Some(text)) => {
            Keyring::of_text(text).map_err(|error| ConfigError::new(format!("secrets.keys: {error}")))
        }
        (None, None) => Ok(Keyring::default()),
    }
}

/// Runs a command on the database that is configured, which is closed whatever comes of it.
pub(super) fn run<T>(config: &Config, perform: impl AsyncFnOnce(&Directory) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let directory = migrated(config, false)?;
    let outcome = wait(perform(&directory));
    directory.store().close();
    outcome
}

/// Opens the database for a command that needs its tables: an embedded one is brought up to date, another must be.
pub(super) fn migrated(config: &Config, migrate: bool) -> anyhow::Result<Directory> {
    config.check()?;
    prepare_folder(config)?;
    let url = config.database_url();
    if migrate || config.is_embedded() {
        let applied = store::migrate(&url)?;
        if !applied.is_empty() {
            tracing::info!(migrations = applied.join(", "), "database brought up to date");
        }
    } else {
        let pending = store::pending(&url)?;
        if !pending.is_empty() {
            return Err(ConfigError::new(format!(
                "The database lacks {} of this version's migrations ({}). Run `matrikel migrate` first, or add --migrate \
                 to `matrikel serve`.",
                pending.len(),
                pending.join(", ")
            ))
            .into());
        }
    }
    directory(config)
}

/// Makes the folder that an embedded database lies in.
pub(super) fn prepare_folder(config: &Config) -> anyhow::Result<()> {
    let url = config.database_url();
    let Some(path) = url.strip_prefix("sqlite:") else { return Ok(()) };
    match Path::new(path.trim_start_matches("//")).parent() {
        // Personal data lie there, so a folder that is made here is nobody else's to read.
        Some(folder) if !folder.as_os_str().is_empty() => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| {
                format!("the folder {} cannot be made; set data_dir to one that can", folder.display())
            })
        }
        _ => Ok(()),
    }
}

/// The tenant of that name, or a sentence that says which there are.
pub(super) async fn tenant(store: &Store, slug: &str) -> anyhow::Result<Tenant> {
    if let Some(tenant) = store.tenant_by_slug(slug).await? {
        return Ok(tenant);
    }
    let known: Vec<String> = store.tenants().await?.into_iter().map(|tenant| tenant.slug).collect();
    let known = if known.is_empty() {
        "There is none yet: matrikel tenant create SLUG --name NAME.".to_owned()
    } else {
        format!("There are: {}.", known.join(", "))
    };
    Err(ConfigError::new(format!("There is no tenant {slug}. {known}")).into())
}
