//! The tenant of the demo, its three clients, and the file that remembers their tokens. A token that the register no
//! longer takes, because the file or the database was replaced, is exchanged for a new one.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use store::TenantId;

use crate::auth::federation::Members;
use crate::auth::issuer::keys;
use crate::auth::{Authenticator, Shown, oauth};
use crate::cli::client::Issued;
use crate::cli::now;
use crate::directory::clients;
use crate::directory::{Ctx, Directory, Profile, Random, Role};

/// The tenant of the demo.
pub(super) const TENANT: &str = "demo";
const CLIENTS: [(&str, Role); 3] = [("admin", Role::Administrator), ("hr", Role::Source), ("cloud", Role::Consumer)];
const FILE: &str = "demo-tokens.json";

/// What the demo remembers between starts.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// How many people the municipality has.
    pub(super) people: usize,
    /// Its seed.
    pub(super) seed: u64,
    /// Whether everything has been pushed.
    pub(super) is_loaded: bool,
    /// Whether it holds a year that was played.
    #[serde(default)]
    pub(super) has_year: bool,
    /// Tokens by client.
    pub(super) tokens: BTreeMap<String, String>,
}

/// The register as it was found or made.
pub(super) struct Register {
    /// What is remembered of it.
    pub(super) state: State,
    /// Whether an earlier start did not get to the end.
    pub(super) is_resumed: bool,
}

/// Finds or makes the tenant and its clients.
pub(super) async fn register(
    directory: &Directory,
    folder: &Path,
    people: usize,
    seed: u64,
) -> anyhow::Result<Register> {
    let found = directory.store().tenant_by_slug(TENANT).await?;
    let remembered = State::read(folder)?.filter(|_| found.is_some());
    let is_resumed = remembered.as_ref().is_some_and(|state| !state.is_loaded);
    let tenant = match found {
        Some(tenant) => tenant,
        None => clients::create_tenant(directory.store(), TENANT, "Demo", now()).await?,
    };
    let new = || State { people, seed, is_loaded: false, has_year: false, tokens: BTreeMap::new() };
    let mut state = remembered.unwrap_or_else(new);
    // An empty register may still get its town.
    if state.people == 0 && people > 0 {
        state = State { tokens: state.tokens, ..new() };
    }
    for (name, role) in CLIENTS {
        let remembered = state.tokens.get(name).map(String::as_str);
        if let Some(token) = ensure_client(directory, tenant.id, name, role, remembered).await? {
            state.tokens.insert(name.to_owned(), token);
            // After each, so that an interruption loses no more than one token.
            state.write(folder)?;
        }
    }
    state.write(folder)?;
    Ok(Register { state, is_resumed })
}

/// The client's new token, or `None` when the remembered one is good.
async fn ensure_client(
    directory: &Directory,
    tenant: TenantId,
    name: &str,
    role: Role,
    remembered: Option<&str>,
) -> anyhow::Result<Option<String>> {
    let now = now();
    let ctx = Ctx::system(tenant, now, Random::os());
    let existing = clients::find(directory, &ctx, name).await?;
    if existing.is_some()
        && let Some(token) = remembered
        && is_good(directory, token, now).await
    {
        return Ok(None);
    }
    let issued = Issued::new(tenant, None)?;
    match existing {
        Some(id) => {
            clients::rotate(directory, &ctx, id, issued.credential, None).await?;
        }
        None => {
            clients::create(directory, &ctx, name, role, Profile::default(), issued.credential).await?;
        }
    }
    Ok(Some(issued.token))
}

async fn is_good(directory: &Directory, token: &str, now: i64) -> bool {
    let header = format!("Bearer {token}");
    let shown = Shown { authorization: Some(&header), ..Shown::default() };
    let authenticator = Authenticator::new(
        directory.clone(),
        Members::default(),
        oauth::Settings::default(),
        keys::Settings::default(),
    );
    authenticator.authenticate(&shown, now).await.is_ok()
}

impl State {
    /// The token of a client.
    pub(super) fn token(&self, client: &str) -> anyhow::Result<&str> {
        self.tokens.get(client).map(String::as_str).with_context(|| format!("{FILE} has no token of {client}"))
    }

    /// What an earlier start has written; `None` when there was none.
    fn read(folder: &Path) -> anyhow::Result<Option<State>> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(
                serde_json::from_str(&text)
                    .with_context(|| format!("{} is damaged; remove it and new tokens are made", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// Writes the file anew, readable by its owner alone, so that it is whole whenever it is there.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(FILE);
        let draft = PathBuf::from(format!("{}.new", path.display()));
        let context = || format!("{} cannot be written", path.display());
        // A left-over draft would keep its own mode.
        match std::fs::remove_file(&draft) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(context),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).with_context(context)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes()).with_context(context)?;
        file.sync_all().with_context(context)?;
        std::fs::rename(&draft, &path).with_context(context)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_state_reads_back_and_only_its_owner_can() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(State::read(folder.path()).expect("no file is fine"), None);
        let tokens = BTreeMap::from([("hr".to_owned(), "mk_x".to_owned())]);
        let state = State { people: 3, seed: 1, is_loaded: true, has_year: false, tokens };
        state.write(folder.path()).expect("written");
        state.write(folder.path()).expect("written again");
        let mode = std::fs::metadata(folder.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(State::read(folder.path()).expect("reads"), Some(state));
    }
}
