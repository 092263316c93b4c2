//! Tenants and clients as the operator handles them. A client is a resource like any other and is written through the
//! same path; its credentials' digests lie in a table of their own, and nobody can read a secret back.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use scim::key::instant;
use scim::resource::Projection;
use scim::schema::Definition;
use store::work::{Draft, document_of};
use store::{Credential, CredentialKind, Record, ResourceId, Store, Tenant, TenantId, Work, format_instant};

use super::scope::Scopes;
use super::{Caller, Ctx, Directory, Error, Profile, Role};

/// A credential that was just minted.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// Identifier, part of the token.
    pub id: Uuid,
    /// SHA-256 of the token.
    pub digest: Vec<u8>,
    /// µs since 1970; `None`: does not expire.
    pub expires_at: Option<i64>,
}

/// A client as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRow {
    /// The client resource.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// What it is here for.
    pub role: Role,
    /// Whether it may use the register.
    pub active: bool,
    /// Its credentials, revoked ones too.
    pub credentials: Vec<CredentialRow>,
}

/// A credential as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// Identifier, part of the token.
    pub id: Uuid,
    /// µs since 1970.
    pub created_at: i64,
    /// µs since 1970.
    pub expires_at: Option<i64>,
    /// µs since 1970.
    pub revoked_at: Option<i64>,
}

/// The resource type of clients.
pub const CLIENT: &str = "Client";

/// Creates a tenant. Fails with 409 uniqueness when the short name is in use.
pub async fn create_tenant(store: &Store, slug: &str, name: &str, now: i64) -> Result<Tenant, Error> {
    let (store, slug, name) = (store.clone(), slug.to_owned(), name.to_owned());
    tokio::task::spawn_blocking(move || store.create_tenant(&slug, &name, now))
        .await
        .map_err(|error| store::Error::Unavailable(error.to_string()))?
        .map_err(Error::from)
}

/// Creates a client with one credential.
pub async fn create(
    directory: &Directory,
    ctx: &Ctx,
    name: &str,
    role: Role,
    profile: Profile,
    credential: NewCredential,
) -> Result<ResourceId, Error> {
    let definition = definition(directory)?;
    let body = json!({
        "schemas": [definition.core.id], "name": name, "role": role.as_str(), "active": true,
        "profile": profile.as_str(),
    });
    let written = directory.create(ctx, &definition, body, &Projection::whole(&definition)).await?;
    let id = written.changes.first().map(|change| change.resource);
    let id = id.ok_or_else(|| store::Error::Corrupt("a client was created without a change".into()))?;
    let now = ctx.now;
    change_credentials(directory, ctx, id, move |credentials| credentials.push(issue(&credential, id, now))).await?;
    Ok(id)
}

/// Gives a client a new credential and revokes all others.
pub async fn rotate(
    directory: &Directory,
    ctx: &Ctx,
    client: ResourceId,
    credential: NewCredential,
) -> Result<(), Error> {
    let now = ctx.now;
    change_credentials(directory, ctx, client, move |credentials| {
        credentials.iter_mut().for_each(|old| withdraw(old, now));
        credentials.push(issue(&credential, client, now));
    })
    .await
}

/// Revokes one credential of a client, or all of them. Fails with 404 when it has no such credential.
pub async fn revoke(
    directory: &Directory,
    ctx: &Ctx,
    client: ResourceId,
    credential: Option<Uuid>,
) -> Result<(), Error> {
    if let Some(wanted) = credential {
        let tenant = ctx.tenant;
        let known = directory.store().read(move |reader| reader.credentials_of(tenant, client)).await?;
        if !known.iter().any(|known| known.id == wanted) {
            return Err(scim::Error::not_found("Credential", &wanted.to_string()).into());
        }
    }
    let now = ctx.now;
    change_credentials(directory, ctx, client, move |credentials| {
        let chosen = credentials.iter_mut().filter(|one| credential.is_none_or(|wanted| one.id == wanted));
        chosen.for_each(|one| withdraw(one, now));
    })
    .await
}

/// Every client of the tenant, by name.
pub async fn list(directory: &Directory, ctx: &Ctx) -> Result<Vec<ClientRow>, Error> {
    let tenant = ctx.tenant;
    let records = directory.store().read(move |reader| reader.records_of(tenant, CLIENT)).await?;
    let mut rows = records.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rows)
}

/// The client of that name.
pub async fn find(directory: &Directory, ctx: &Ctx, name: &str) -> Result<Option<ResourceId>, Error> {
    let rows = list(directory, ctx).await?;
    Ok(rows.into_iter().find(|row| row.name.eq_ignore_ascii_case(name)).map(|row| row.id))
}

/// What a client's document says has to be something the server knows: unlike other suggested values, `role` and
/// `profile` decide what the client may do.
pub(super) fn check(definition: &Definition, document: &Map<String, Value>) -> Result<(), scim::Error> {
    for name in ["role", "profile"] {
        let Some(value) = document.get(name).and_then(Value::as_str) else { continue };
        let known =
            definition.attribute(name).map(|attribute| attribute.canonical_values.as_slice()).unwrap_or_default();
        if !known.iter().any(|known| known == value) {
            return Err(scim::Error::invalid_value(format!("{name} must be one of: {}.", known.join(", "))));
        }
    }
    Ok(())
}

impl Directory {
    /// The client behind a credential; `None` when it is gone or not active.
    pub async fn caller(&self, tenant: TenantId, client: ResourceId) -> Result<Option<Caller>, Error> {
        let record = self.store.read(move |reader| reader.record(tenant, client)).await?;
        let Some(record) = record.filter(|record| record.kind == CLIENT) else { return Ok(None) };
        let document = document_of(&record)?;
        if document.get("active").and_then(Value::as_bool) == Some(false) {
            return Ok(None);
        }
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let texts = |name: &str| {
            let values = document.get(name).and_then(Value::as_array).into_iter().flatten();
            values.filter_map(Value::as_str).map(str::to_owned)
        };
        let Some(role) = text("role").and_then(Role::parse) else { return Ok(None) };
        Ok(Some(Caller {
            id: client,
            user: None,
            name: text("name").unwrap_or_default().into(),
            role,
            scopes: scopes_of(&document).unwrap_or_else(|| Scopes::of(role)),
            profile: text("profile").and_then(Profile::parse).unwrap_or_default(),
            domain: text("domain").map_or(client, shared_domain),
            sensitive: texts("sensitiveAttributes").collect(),
        }))
    }
}

/// What `scopes` says in the place of the role; `None`: nothing. A text that is none, which was stored before it was
/// refused, lets nobody do anything.
fn scopes_of(document: &Map<String, Value>) -> Option<Scopes> {
    let texts: Vec<&str> = document.get("scopes")?.as_array()?.iter().filter_map(Value::as_str).collect();
    (!texts.is_empty()).then(|| Scopes::parse(texts).unwrap_or_default())
}

/// The provisioning domain that clients share by its name.
fn shared_domain(name: &str) -> ResourceId {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(Sha256::digest(name.as_bytes())).for_each(|(to, from)| *to = from);
    ResourceId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

fn definition(directory: &Directory) -> Result<Arc<Definition>, Error> {
    let definition = directory.registry().definition(CLIENT).cloned();
    definition.ok_or_else(|| store::Error::Corrupt("there is no resource type Client".into()).into())
}

fn withdraw(credential: &mut Credential, now: i64) {
    credential.revoked_at = credential.revoked_at.or(Some(now));
}

fn issue(credential: &NewCredential, client: ResourceId, now: i64) -> Credential {
    Credential {
        id: credential.id,
        client,
        kind: CredentialKind::Token,
        digest: credential.digest.clone(),
        label: None,
        material: None,
        created_at: now,
        starts_at: None,
        expires_at: credential.expires_at,
        revoked_at: None,
        last_used_at: None,
    }
}

/// Changes a client's credentials; the client's document shows their dates.
async fn change_credentials(
    directory: &Directory,
    ctx: &Ctx,
    client: ResourceId,
    change: impl Fn(&mut Vec<Credential>) + Send + 'static,
) -> Result<(), Error> {
    directory
        .commit(ctx, move |work: &mut Work<'_>| {
            let record = work.record(client)?.filter(|record| record.kind == CLIENT);
            let record = record.ok_or_else(|| scim::Error::not_found(CLIENT, &client.to_string()))?;
            let mut credentials = work.credentials_of(client)?;
            change(&mut credentials);
            let mut doc = document_of(&record)?;
            doc.insert("credentials".into(), credentials.iter().map(shown).collect());
            credentials.into_iter().for_each(|credential| work.put_credential(credential));
            work.update(Draft {
                id: client,
                kind: record.kind,
                label: record.label,
                doc: doc.into(),
                secret: record.secret,
                members: Vec::new(),
                external: None,
            })?;
            Ok(())
        })
        .await
}

fn shown(credential: &Credential) -> Value {
    let mut shown = Map::new();
    shown.insert("value".into(), credential.id.to_string().into());
    let dates = [
        ("createdAt", Some(credential.created_at)),
        ("expiresAt", credential.expires_at),
        ("revokedAt", credential.revoked_at),
    ];
    for (name, at) in dates {
        if let Some(at) = at {
            shown.insert(name.into(), format_instant(at).into());
        }
    }
    Value::Object(shown)
}

fn row(record: &Record) -> Result<ClientRow, Error> {
    let document = document_of(record)?;
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let credentials = document.get("credentials").and_then(Value::as_array).into_iter().flatten();
    let credential = |value: &Value| {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let micros = |name: &str| text(name).and_then(instant);
        Some(CredentialRow {
            id: text("value")?.parse().ok()?,
            created_at: micros("createdAt")?,
            expires_at: micros("expiresAt"),
            revoked_at: micros("revokedAt"),
        })
    };
    Ok(ClientRow {
        id: record.id,
        name: text("name").to_owned(),
        role: Role::parse(text("role")).unwrap_or(Role::Consumer),
        active: document.get("active").and_then(Value::as_bool).unwrap_or(true),
        credentials: credentials.filter_map(credential).collect(),
    })
}
