//! `matrikel client`: the programs that may use an organisation's register. A token or secret is shown once, when it is
//! made; only its digest is kept.

mod asked;
mod show;

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::{Value, json};
use store::{CredentialKind, Record, ResourceId, TenantId};
use uuid::Uuid;

use super::open::Place;
use super::{Shared, now, open, output};
use crate::auth::issue::{self, DAY, Wanted};
use crate::config::ConfigError;
use crate::directory::clients::{self, NewCredential};
use crate::directory::views::VIEW;
use crate::directory::{Ctx, Directory, Profile, Random, Role};
use asked::{Traits, rule_of};

/// The commands about clients.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Create a client and show its token, once
    #[command(after_help = "Examples:\n  matrikel client create --tenant storstad hr --role source\n  \
        matrikel client create --tenant storstad phones --scope User:read --scope User:write \\\n    \
        --write 'User:phoneNumbers[type eq \"mobile\"]' --network 192.0.2.0/24 --rate 20")]
    Create {
        /// Name of the client
        name: String,
        #[command(flatten)]
        place: Place,
        /// What it may do; shorthand for scopes
        #[arg(long, value_enum, required_unless_present = "scope")]
        role: Option<RoleName>,
        /// How strictly the protocol is read for it
        #[arg(long, value_enum, default_value_t = ProfileName::Rfc)]
        profile: ProfileName,
        #[command(flatten)]
        traits: Traits,
        /// Days until the token ends
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=3650))]
        days: i64,
    },
    /// List clients and the dates of their credentials
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Show all that is written of a client
    Show {
        /// Name of the client
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Change what a client may do
    #[command(after_help = "Example: matrikel client set --tenant storstad hr --scope User:read --scope User:write")]
    Set {
        /// Name of the client
        name: String,
        #[command(flatten)]
        place: Place,
        /// What it may do; shorthand for scopes
        #[arg(long, value_enum)]
        role: Option<RoleName>,
        /// How strictly the protocol is read for it
        #[arg(long, value_enum)]
        profile: Option<ProfileName>,
        #[command(flatten)]
        traits: Traits,
        /// Whether it may use the register at all
        #[arg(long, value_enum, value_name = "ON|OFF")]
        active: Option<super::tenant::Switch>,
        /// Take an attribute away, such as scopes, writes, networks or rateLimit
        #[arg(long, value_name = "ATTRIBUTE")]
        clear: Vec<String>,
    },
    /// Give a client a new token, show it once, and revoke all older ones
    #[command(after_help = "Example: matrikel client rotate --tenant storstad hr --keep-days 7")]
    Rotate {
        /// Name of the client
        name: String,
        #[command(flatten)]
        place: Place,
        /// Days until the token ends
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=3650))]
        days: i64,
        /// Days that older tokens work on, so that nothing is interrupted
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=365))]
        keep_days: Option<i64>,
    },
    /// Revoke all that a client has to show, or one credential; a running server notices within five seconds
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
    /// What a client proves itself with, beside its first token
    Credential {
        #[command(subcommand)]
        command: Credentials,
    },
}

/// The commands about a client's credentials.
#[derive(clap::Subcommand)]
pub(super) enum Credentials {
    /// Give a client another token, secret, key or certificate; what is secret of it is shown once
    #[command(
        after_help = "Examples:\n  matrikel client credential add --tenant storstad hr --kind secret --label nightly\n  \
        matrikel client credential add --tenant storstad hr --kind key --jwk public.json\n  \
        matrikel client credential add --tenant storstad hr --kind certificate --certificate hr.pem\n  \
        matrikel client credential add --tenant storstad hr --kind certificate --certificate dns=hr.example.se\n  \
        matrikel client credential add --tenant storstad skola --kind certificate \\\n    \
        --certificate \"entity=moa https://skola.example.se\""
    )]
    Add {
        /// Name of the client
        name: String,
        #[command(flatten)]
        place: Place,
        /// What it is
        #[arg(long, value_enum)]
        kind: KindName,
        /// What people call it
        #[arg(long)]
        label: Option<String>,
        /// Days until it ends; a year for a token or secret, never for others
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..=3650))]
        days: Option<i64>,
        /// From when on it works, such as 2027-01-31T08:00:00Z
        #[arg(long, value_name = "INSTANT")]
        starts: Option<String>,
        /// File with the public key as JWK
        #[arg(long, value_name = "FILE")]
        jwk: Option<PathBuf>,
        /// PEM file of the certificate whose key it is, or a rule such as dns=hr.example.se, subject=CN=hr, or of a member of
        /// a federation entity=NAME URI
        #[arg(long, value_name = "FILE|RULE")]
        certificate: Option<String>,
    },
}

/// A kind of credential on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum KindName {
    /// A bearer token
    Token,
    /// A secret for the token endpoint
    Secret,
    /// A public key, whose private half the client keeps
    Key,
    /// A certificate for mutual TLS
    Certificate,
}

impl From<KindName> for CredentialKind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Token => CredentialKind::Token,
            KindName::Secret => CredentialKind::Secret,
            KindName::Key => CredentialKind::Key,
            KindName::Certificate => CredentialKind::Certificate,
        }
    }
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
    /// RFC 7643 and 7644 and nothing later, for clients that break on what they do not know
    Core,
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
            ProfileName::Core => Profile::Core,
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
    open::run(&shared.load()?, async |directory| perform(directory, command).await)
}

async fn perform(directory: &Directory, command: Command) -> anyhow::Result<()> {
    let (Command::Create { place, .. }
    | Command::List { place }
    | Command::Show { place, .. }
    | Command::Set { place, .. }
    | Command::Rotate { place, .. }
    | Command::Revoke { place, .. }
    | Command::Credential { command: Credentials::Add { place, .. } }) = &command;
    let tenant = open::tenant(directory.store(), &place.tenant).await?.id;
    let ctx = Ctx::system(tenant, now(), Random::os());
    match &command {
        Command::Create { name, place, role, profile, traits, days } => {
            if clients::find(directory, &ctx, name).await?.is_some() {
                anyhow::bail!("there is a client {name} already; `matrikel client rotate` gives it a new token");
            }
            let issued = Issued::new(tenant, Some(ctx.now + days * DAY))?;
            let (mut more, profile) = (traits.values()?, Profile::from(*profile));
            more.extend(view_of(directory, &ctx, traits).await?);
            let role = role.map_or_else(|| traits.role(), Role::from);
            let id = clients::create_with(directory, &ctx, name, role, profile, more, issued.credential).await?;
            Ok(show::token(place, name, id, &issued.token, issued.expires_at)?)
        }
        Command::Rotate { name, place, days, keep_days } => {
            let id = find(directory, &ctx, name).await?;
            let issued = Issued::new(tenant, Some(ctx.now + days * DAY))?;
            let keep_until = keep_days.map(|days| ctx.now + days * DAY);
            clients::rotate(directory, &ctx, id, issued.credential, keep_until).await?;
            Ok(show::token(place, name, id, &issued.token, issued.expires_at)?)
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
        Command::List { place } => Ok(show::list(place, &clients::list(directory, &ctx).await?)?),
        Command::Show { name, place } => {
            let rows = clients::list(directory, &ctx).await?;
            let row = rows.iter().find(|row| row.name.eq_ignore_ascii_case(name)).ok_or_else(|| missing(name))?;
            Ok(show::one(place, row)?)
        }
        Command::Set { name, place, role, profile, traits, active, clear } => {
            let id = find(directory, &ctx, name).await?;
            let mut values = traits.values()?;
            values.extend(view_of(directory, &ctx, traits).await?);
            if let Some(role) = role {
                values.insert("role".to_owned(), Role::from(*role).as_str().into());
            }
            if let Some(profile) = profile {
                values.insert("profile".to_owned(), Profile::from(*profile).as_str().into());
            }
            if let Some(active) = active {
                values.insert("active".to_owned(), (*active == super::tenant::Switch::On).into());
            }
            values.extend(clear.iter().map(|name| (name.clone(), Value::Null)));
            if values.is_empty() {
                return Err(ConfigError::new("Say what is to change; `matrikel client set --help` lists it.").into());
            }
            clients::set(directory, &ctx, id, values).await?;
            if place.json {
                output::say(json!({ "id": id.to_string(), "name": name, "changed": true }))?;
            } else {
                output::say(format!("Client {name} was changed. A running server notices within five seconds."))?;
            }
            Ok(())
        }
        Command::Credential { command } => add_credential(directory, &ctx, command).await,
    }
}

async fn add_credential(directory: &Directory, ctx: &Ctx, command: &Credentials) -> anyhow::Result<()> {
    let Credentials::Add { name, place, kind, label, days, starts, jwk, certificate } = command;
    let id = find(directory, ctx, name).await?;
    let starts_at =
        match starts {
            Some(text) => Some(scim::key::instant(text).ok_or_else(|| {
                ConfigError::new(format!("{text:?} is no instant. Write it like 2027-01-31T08:00:00Z."))
            })?),
            None => None,
        };
    let jwk = match jwk {
        Some(file) => {
            let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            // What is wrong with it is not told by its own text: it may be a private key.
            let key = serde_json::from_slice(&text);
            Some(key.map_err(|_| anyhow::anyhow!("{} is no JSON object", file.display()))?)
        }
        None => None,
    };
    let wanted = Wanted {
        kind: CredentialKind::from(*kind),
        label: label.clone(),
        starts_at,
        expires_at: days.map(|days| starts_at.unwrap_or(ctx.now) + days * DAY),
        jwk,
        certificate: certificate.as_deref().map(rule_of).transpose()?,
    };
    let issued = wanted.issue(ctx.tenant, ctx.now)?;
    let credential = issued.credential.clone();
    clients::add(directory, ctx, id, issued.credential).await?;
    Ok(show::credential(place, ctx.tenant, name, id, &credential, issued.secret.as_deref())?)
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
        let issue::Issued { credential, secret } =
            issue::Issued::token(tenant, expires_at).context("there is no randomness")?;
        Ok(Issued { token: secret.unwrap_or_default(), credential, expires_at })
    }
}

/// The view that is named, as an attribute of the client.
async fn view_of(directory: &Directory, ctx: &Ctx, traits: &Traits) -> anyhow::Result<Option<(String, Value)>> {
    let Some(name) = &traits.view else { return Ok(None) };
    let tenant = ctx.tenant;
    let views = directory.store().read(move |reader| reader.records_of(tenant, VIEW));
    let views: Vec<Record> = views.await.map_err(|error: store::Error| error)?;
    let view = views.iter().find(|view| view.label.eq_ignore_ascii_case(name) || view.id.to_string() == *name);
    let view = view
        .ok_or_else(|| ConfigError::new(format!("There is no view {name}. `matrikel view list` shows which are.")))?;
    Ok(Some(("view".to_owned(), view.id.to_string().into())))
}

async fn find(directory: &Directory, ctx: &Ctx, name: &str) -> anyhow::Result<ResourceId> {
    let found = clients::find(directory, ctx, name).await?;
    Ok(found.ok_or_else(|| missing(name))?)
}

fn missing(name: &str) -> ConfigError {
    ConfigError::new(format!("There is no client {name}. `matrikel client list` shows which are."))
}
