//! `matrikel client`: the programs that may use an organisation's register. A token is shown once, when it is made;
//! only its digest is kept.

use anyhow::Context;
use clap::ValueEnum;
use serde_json::{Value, json};
use store::{ResourceId, TenantId};
use uuid::Uuid;

use super::{Shared, now, open, output, wait};
use crate::auth::token;
use crate::config::ConfigError;
use crate::directory::clients::{self, ClientRow, NewCredential};
use crate::directory::{Ctx, Directory, Profile, Random, Role};

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// The commands about clients.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Create a client and show its token, once
    #[command(after_help = "Example: matrikel client create --tenant storstad hr --role source")]
    Create {
        /// Name of the client
        name: String,
        #[command(flatten)]
        place: Place,
        /// What it may do
        #[arg(long, value_enum)]
        role: RoleName,
        /// How strictly the protocol is read for it
        #[arg(long, value_enum, default_value_t = ProfileName::Rfc)]
        profile: ProfileName,
        /// Days until the token ends
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=3650))]
        days: i64,
    },
    /// List clients and the dates of their credentials
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Give a client a new token, show it once, and revoke all older ones
    #[command(after_help = "Example: matrikel client rotate --tenant storstad hr")]
    Rotate {
        /// Name of the client
        name: String,
        #[command(flatten)]
        place: Place,
        /// Days until the token ends
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=3650))]
        days: i64,
    },
    /// Revoke a client's tokens, or one of them; a running server notices within five seconds
    #[command(after_help = "Example: matrikel client revoke --tenant storstad hr")]
    Revoke {
        /// Name of the client
        name: String,
        #[command(flatten)]
        place: Place,
        /// Only this credential, as `client list` shows it
        #[arg(long, value_name = "ID")]
        credential: Option<Uuid>,
    },
}

/// Whose client, and how to answer.
#[derive(clap::Args)]
pub(super) struct Place {
    /// Short name of the tenant
    #[arg(long, value_name = "SLUG")]
    tenant: String,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

/// A role on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum RoleName {
    /// Pushes: reads and writes identities
    Source,
    /// Pulls: reads identities
    Consumer,
    /// May do everything, clients included
    Administrator,
}

/// A profile on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum ProfileName {
    /// The RFCs, and the habits of real clients understood
    Rfc,
    /// The interoperability profile, draft 01
    #[value(name = "interop-01")]
    Interop01,
    /// The IPSIE identity lifecycle profile
    Ipsie,
    /// The Swedish school profile
    Egil,
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Rfc => Profile::Rfc,
            ProfileName::Interop01 => Profile::Interop01,
            ProfileName::Ipsie => Profile::Ipsie,
            ProfileName::Egil => Profile::Egil,
        }
    }
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Source => Role::Source,
            RoleName::Consumer => Role::Consumer,
            RoleName::Administrator => Role::Administrator,
        }
    }
}

pub(super) fn run(shared: &Shared, command: Command) -> anyhow::Result<()> {
    let config = shared.load()?;
    let directory = open::migrated(&config, false)?;
    let store = directory.store().clone();
    let outcome = wait(perform(&directory, command));
    store.close();
    outcome
}

async fn perform(directory: &Directory, command: Command) -> anyhow::Result<()> {
    let (Command::Create { place, .. }
    | Command::List { place }
    | Command::Rotate { place, .. }
    | Command::Revoke { place, .. }) = &command;
    let tenant = open::tenant(directory.store(), &place.tenant).await?.id;
    let ctx = Ctx::system(tenant, now(), Random::os());
    match &command {
        Command::Create { name, place, role, profile, days } => {
            if clients::find(directory, &ctx, name).await?.is_some() {
                anyhow::bail!("there is a client {name} already; `matrikel client rotate` gives it a new token");
            }
            let issued = Issued::new(tenant, Some(ctx.now + days * DAY))?;
            let id =
                clients::create(directory, &ctx, name, Role::from(*role), Profile::from(*profile), issued.credential)
                    .await?;
            show(place, name, id, &issued.token, issued.expires_at)
        }
        Command::Rotate { name, place, days } => {
            let id = find(directory, &ctx, name).await?;
            let issued = Issued::new(tenant, Some(ctx.now + days * DAY))?;
            clients::rotate(directory, &ctx, id, issued.credential).await?;
            show(place, name, id, &issued.token, issued.expires_at)
        }
        Command::Revoke { name, place, credential } => {
            let id = find(directory, &ctx, name).await?;
            clients::revoke(directory, &ctx, id, *credential).await?;
            if place.json {
                output::say(json!({ "id": id.to_string(), "name": name, "revoked": true }))?;
            } else {
                output::say(format!("Revoked. A running server notices within five seconds. Client: {name}"))?;
            }
            Ok(())
        }
        Command::List { place } => {
            let rows = clients::list(directory, &ctx).await?;
            if place.json {
                output::say(json!(rows.iter().map(document).collect::<Vec<_>>()))?;
            } else {
                for row in &rows {
                    list_one(row)?;
                }
            }
            Ok(())
        }
    }
}

/// A token and the credential that stands for it.
pub(super) struct Issued {
    /// The text for the client.
    pub(super) token: String,
    /// What is stored.
    pub(super) credential: NewCredential,
    /// When it ends, in µs since the epoch.
    pub(super) expires_at: Option<i64>,
}

impl Issued {
    /// A new token from the operating system's randomness.
    pub(super) fn new(tenant: TenantId, expires_at: Option<i64>) -> anyhow::Result<Self> {
        let id = Uuid::new_v4();
        let minted = token::mint(tenant, id, &token::random_bytes().context("no randomness")?);
        let credential = NewCredential { id, digest: minted.digest, expires_at };
        Ok(Issued { token: minted.token, credential, expires_at })
    }
}

async fn find(directory: &Directory, ctx: &Ctx, name: &str) -> anyhow::Result<ResourceId> {
    let found = clients::find(directory, ctx, name).await?;
    let missing = || ConfigError::new(format!("There is no client {name}. `matrikel client list` shows which are."));
    Ok(found.ok_or_else(missing)?)
}

fn show(place: &Place, name: &str, id: ResourceId, token: &str, expires_at: Option<i64>) -> anyhow::Result<()> {
    let ends = expires_at.map(output::moment);
    if place.json {
        output::say(json!({ "id": id.to_string(), "name": name, "token": token, "expiresAt": ends }))?;
    } else {
        output::remark(format!(
            "The token of {name}, shown this once (it ends {}):",
            ends.unwrap_or_else(|| "never".to_owned())
        ))?;
        output::say(token)?;
    }
    Ok(())
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Source => "source",
        Role::Consumer => "consumer",
        Role::Administrator => "administrator",
    }
}

fn document(row: &ClientRow) -> Value {
    let credentials: Vec<Value> = row
        .credentials
        .iter()
        .map(|credential| {
            json!({
                "id": credential.id.to_string(),
                "createdAt": output::moment(credential.created_at),
                "expiresAt": credential.expires_at.map(output::moment),
                "revokedAt": credential.revoked_at.map(output::moment),
            })
        })
        .collect();
    json!({
        "id": row.id.to_string(), "name": row.name, "role": role_name(row.role), "active": row.active,
        "credentials": credentials,
    })
}

fn list_one(row: &ClientRow) -> anyhow::Result<()> {
    let state = if row.active { "active" } else { "inactive" };
    output::say(format!("{:<24} {:<14} {state}", row.name, role_name(row.role)))?;
    for credential in &row.credentials {
        let fate = match (credential.revoked_at, credential.expires_at) {
            (Some(at), _) => format!("revoked {}", output::moment(at)),
            (None, Some(at)) => format!("ends {}", output::moment(at)),
            (None, None) => "never ends".to_owned(),
        };
        output::say(format!("  {}  made {}  {fate}", credential.id, output::moment(credential.created_at)))?;
    }
    Ok(())
}
