//! What an auditor can read: every write, act of administration and denied request as one kind of resource, `/AuditEvents`,
//! and what is remembered beside the changes. Events are derived: a change of a resource is one already, and all else is an
//! entry of the audit's own chain ([`store::audit`]). The newest come first; instants, kinds and resources in a filter
//! narrow what is looked at, and everything else is tested event by event up to the scan limit.
//!
//! Nobody writes here by the protocol. [`Directory::remember`] returns when what it was given is durable.

mod named;
mod released;
mod search;
mod walk;

use std::sync::Arc;

use scim::filter::Filter;
use scim::schema::Definition;
use serde_json::{Map, Value, json};
use store::audit::Entry;
use store::work::Origin;
use store::{By, Reader, ResourceId, Tenant, TenantId, tenant};
use uuid::Uuid;

use super::{Ctx, Directory, Error, Random};
pub(in crate::directory) use named::note_protected;
pub use released::{PROTECTED_READ, Released, has_people};
use walk::{Walk, narrow};

/// The resource type.
pub const AUDIT_EVENT: &str = "AuditEvent";

/// A request that was denied.
pub const DENIED: &str = "denied";
/// An act of administration.
pub const ADMINISTRATION: &str = "administration";
/// A change of a resource.
pub const WRITE: &str = "write";

/// Whether resources of the type are events.
pub(super) fn is_audit(definition: &Definition) -> bool {
    definition.name() == AUDIT_EVENT
}

/// By what means something was done.
fn means(by: &By) -> Map<String, Value> {
    let credential = by.credential.map(|credential| credential.to_string());
    let address = by.address.map(|address| address.to_string());
    let request = by.request.as_deref().map(str::to_owned);
    let named = [("credential", credential), ("address", address), ("requestId", request)];
    named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect()
}

/// A request that was denied, as far as it is known whose it was.
#[derive(Clone, Debug)]
pub struct Denial {
    /// µs since 1970.
    pub at: i64,
    /// The client and its name.
    pub client: Option<(ResourceId, Arc<str>)>,
    /// By what means it came.
    pub by: By,
    /// HTTP method.
    pub method: String,
    /// Without its query, and without names that the server did not give.
    pub path: String,
    /// The resource that the path names, and its type.
    pub resource: (Option<Uuid>, Option<String>),
    /// HTTP status.
    pub status: u16,
    /// What the client was told.
    pub reason: String,
    /// How many such requests this one stands for.
    pub count: u64,
}

impl Denial {
    /// The entry that tells of it.
    pub fn entry(&self) -> Entry {
        let mut content = Map::new();
        content.insert("operation".into(), "request".into());
        if let Some((id, name)) = &self.client {
            content.insert("actor".into(), json!({ "value": id.to_string(), "display": &**name }));
        }
        content.extend(means(&self.by));
        content.insert("method".into(), self.method.as_str().into());
        content.insert("path".into(), self.path.as_str().into());
        let (id, kind) = &self.resource;
        let mut resource = Map::new();
        resource.extend(id.map(|id| ("value".to_owned(), id.to_string().into())));
        resource.extend(kind.as_ref().map(|kind| ("type".to_owned(), kind.as_str().into())));
        if !resource.is_empty() {
            content.insert("resource".into(), resource.into());
        }
        let outcome = json!({ "result": "denied", "status": self.status, "reason": self.reason });
        content.insert("outcome".into(), outcome);
        content.insert("count".into(), self.count.into());
        Entry { at: self.at, kind: DENIED, content: Value::Object(content).to_string() }
    }
}

/// The entry that tells of an act of administration.
pub(super) fn act(ctx: &Ctx, operation: &str, about: Map<String, Value>) -> Entry {
    let mut content = about;
    content.insert("operation".into(), operation.into());
    let actor = json!({ "value": ctx.caller.id.to_string(), "display": &*ctx.caller.name });
    content.insert("actor".into(), actor);
    content.extend(means(&ctx.by));
    content.insert("outcome".into(), json!({ "result": "done" }));
    Entry { at: ctx.now, kind: ADMINISTRATION, content: Value::Object(content).to_string() }
}

impl Directory {
    /// Remembers entries; they are durable when this returns. Fails as a write does.
    pub async fn remember(&self, tenant: TenantId, now: i64, entries: Vec<Entry>) -> Result<(), Error> {
        let origin = Origin { actor: ResourceId::SYSTEM, cause: "audit", by: By::default(), now, random: Random::os() };
        self.store
            .write(tenant, origin, move |work| {
                entries.iter().for_each(|entry| work.audit(entry.clone()));
                Ok::<_, Error>(())
            })
            .await
    }

    /// Remembers an act of administration that changes no resource, such as `tenantSuspend`; `about` is what it was about,
    /// attributes of the event.
    pub async fn remember_act(&self, ctx: &Ctx, operation: &str, about: Map<String, Value>) -> Result<(), Error> {
        self.remember(ctx.tenant, ctx.now, vec![act(ctx, operation, about)]).await
    }

    /// The same in every register that is served or suspended: the act was about what all of them share.
    pub async fn remember_everywhere(
        &self,
        now: i64,
        operation: &str,
        about: &Map<String, Value>,
    ) -> Result<(), Error> {
        let has_writer = |tenant: &Tenant| [tenant::ACTIVE, tenant::SUSPENDED].contains(&tenant.state.as_str());
        for tenant in self.store.tenants().await?.into_iter().filter(has_writer) {
            self.remember_act(&Ctx::system(tenant.id, now, Random::os()), operation, about.clone()).await?;
        }
        Ok(())
    }

    /// Erases a register for good, but for its number and the act itself, which stays as the one entry of its audit. `told`
    /// hears how many rows have gone so far. Fails with [`store::Error::NotFound`] when there is none.
    pub async fn erase(&self, tenant: &Tenant, now: i64, told: impl FnMut(u64) + Send + 'static) -> Result<u64, Error> {
        let ctx = Ctx::system(tenant.id, now, Random::os());
        let about = json!({ "resource": { "type": "Tenant", "value": tenant.slug } });
        let entry = act(&ctx, "tenantErase", about.as_object().cloned().unwrap_or_default());
        let (store, id) = (self.store.clone(), tenant.id);
        tokio::task::spawn_blocking(move || store.erase_tenant(id, entry, &ctx.random, told))
            .await
            .map_err(|error| store::Error::Unavailable(error.to_string()))?
            .map_err(Error::from)
    }

    /// Hands every event of a tenant that fits to `take`, the newest first, from one snapshot and without a limit.
    /// `take` says whether to go on.
    pub async fn each_event(
        &self,
        tenant: TenantId,
        filter: Option<&str>,
        mut take: impl FnMut(&Map<String, Value>) -> bool + Send + 'static,
    ) -> Result<(), Error> {
        let definition = self.registry.definition(AUDIT_EVENT).cloned();
        let definition = definition.ok_or_else(|| store::Error::Corrupt("there is no type AuditEvent".into()))?;
        let filter = filter.map(|text| Filter::parse(text)?.check(&definition)).transpose()?;
        let read = move |reader: &mut Reader| {
            let narrowed = narrow(reader, tenant, filter.as_ref())?;
            let mut walk = Walk::new(reader, tenant, &narrowed);
            while let Some(event) = walk.next()? {
                let mut document = walk.document(&event, "")?;
                let fits = filter.as_ref().is_none_or(|filter| filter.matches(&document));
                // There is no address that could be asked for it.
                document.shift_remove("meta");
                if fits && !take(&document) {
                    break;
                }
            }
            Ok::<_, Error>(())
        };
        self.store.read(move |reader| reader.snapshot(read)).await
    }
}
