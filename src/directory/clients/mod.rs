//! Tenants and clients as the operator handles them. A client is a resource like any other and is written through the
//! same path; its credentials' digests lie in a table of their own, and nobody can read a secret back.

mod credentials;
mod document;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use scim::resource::Projection;
use scim::schema::Definition;
use store::work::document_of;
use store::{Credential, Record, ResourceId, Store, Tenant, Work};

use super::particular::{Follow, Write};
use super::scope::Scopes;
use super::settle::{AUTHORITY, note_change};
use super::{Ctx, Directory, Error, Precondition, Profile, Role, views};

pub(super) use credentials::lead_to;
pub use credentials::{NewCredential, add, of, revoke, rotate};
pub(super) use document::{check, domain_of};

/// A client as listed.
#[derive(Clone, Debug)]
pub struct ClientRow {
    /// The client resource.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// What it is here for.
    pub role: Role,
    /// What it may do.
    pub scopes: Scopes,
    /// Whether it may use the register.
    pub active: bool,
    /// All that is written of it.
    pub document: Map<String, Value>,
    /// What it has to show, revoked ones too.
    pub credentials: Vec<Credential>,
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
    create_with(directory, ctx, name, role, profile, Map::new(), credential).await
}

/// The same with more that its document shall say.
pub async fn create_with(
    directory: &Directory,
    ctx: &Ctx,
    name: &str,
    role: Role,
    profile: Profile,
    more: Map<String, Value>,
    credential: NewCredential,
) -> Result<ResourceId, Error> {
    let definition = definition(directory)?;
    let mut body = json!({
        "schemas": [definition.core.id], "name": name, "role": role.as_str(), "active": true,
        "profile": profile.as_str(),
    });
    if let Some(body) = body.as_object_mut() {
        body.extend(more);
    }
    let written = directory.create(ctx, &definition, body, &Projection::whole(&definition)).await?;
    let id = written.changes.first().map(|change| change.resource);
    let id = id.ok_or_else(|| store::Error::Corrupt("a client was created without a change".into()))?;
    add(directory, ctx, id, credential).await?;
    Ok(id)
}

/// Gives attributes of a client other values; `null` takes one away.
pub async fn set(directory: &Directory, ctx: &Ctx, id: ResourceId, values: Map<String, Value>) -> Result<(), Error> {
    let definition = definition(directory)?;
    let operations: Vec<Value> = values
        .into_iter()
        .map(|(path, value)| match value {
            Value::Null => json!({ "op": "remove", "path": path }),
            value => json!({ "op": "replace", "path": path, "value": value }),
        })
        .collect();
    let message = json!({ "schemas": [scim::patch::PATCH_OP_URN], "Operations": operations });
    let (id, nothing) = (id.to_string(), Projection::parse(&definition, &["id".to_owned()], &[])?);
    directory.patch(ctx, &definition, &id, message, &Precondition::none(), &nothing).await.map(drop)
}

/// Sees to a client that is written or removed: it names what there is, does not shut itself out, and its certificates lead
/// nowhere once it is gone.
pub(super) fn attend(
    write: &Write<'_>,
    after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    let after = after.map(|document| &*document);
    document::refuse_own_end(write.ctx, write.id, after)?;
    match after {
        Some(document) => {
            views::refuse_missing(document, work)?;
            document::check_against(work.catalog().registry(), document)?;
        }
        None => {
            credentials::forget_routes(write.id, work)?;
            if work.count(AUTHORITY) > 0 {
                // What it has said counts no more.
                return Ok(Some(Box::new(|write, _, work| {
                    note_change(write.ctx, work, AUTHORITY);
                    Ok(())
                })));
            }
        }
    }
    Ok(None)
}

/// Every client of the tenant, by name.
pub async fn list(directory: &Directory, ctx: &Ctx) -> Result<Vec<ClientRow>, Error> {
    let tenant = ctx.tenant;
    let mut rows = directory
        .store()
        .read(move |reader| {
            let records = reader.records_of(tenant, CLIENT)?;
            records
                .iter()
                .map(|record| row(record, reader.credentials_of(tenant, record.id)?))
                .collect::<Result<Vec<_>, Error>>()
        })
        .await?;
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rows)
}

/// The client of that name.
pub async fn find(directory: &Directory, ctx: &Ctx, name: &str) -> Result<Option<ResourceId>, Error> {
    let rows = list(directory, ctx).await?;
    Ok(rows.into_iter().find(|row| row.name.eq_ignore_ascii_case(name)).map(|row| row.id))
}

fn definition(directory: &Directory) -> Result<Arc<Definition>, Error> {
    let definition = directory.registry().definition(CLIENT).cloned();
    definition.ok_or_else(|| store::Error::Corrupt("there is no resource type Client".into()).into())
}

fn row(record: &Record, credentials: Vec<Credential>) -> Result<ClientRow, Error> {
    let document = document_of(record)?;
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    Ok(ClientRow {
        id: record.id,
        name: text("name").to_owned(),
        role: Role::parse(text("role")).unwrap_or(Role::Consumer),
        scopes: document::scopes(&document),
        active: document.get("active").and_then(Value::as_bool).unwrap_or(true),
        credentials,
        document,
    })
}
