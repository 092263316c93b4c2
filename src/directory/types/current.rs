//! Which documents are in force. A node remembers a tenant's catalog; its own changes it knows at once, those of other
//! nodes after [`TRUSTED`], and whatever is not found is looked for anew before it is called missing. A write is judged
//! by the catalog under the lock in any case.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use scim::schema::{Definition, Registry, lint};
use serde_json::Value;
use store::catalog::Catalog;
use store::{ById, TenantId, Work};

use super::super::{AUTHORITY, Ctx, Directory, Error, POLICY};

/// What the URNs of messages begin with.
const MESSAGES: &str = "urn:ietf:params:scim:api:messages:";

/// How long a catalog is trusted without a look at the clock row, µs.
const TRUSTED: u64 = 1_000_000;

/// What was seen of a tenant when its catalog was last compared with the database.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// When that was, µs.
    at: i64,
    /// Whether there was a policy.
    has_policies: bool,
    /// Whether there was an authority over values.
    has_authorities: bool,
}

/// When each tenant's catalog was last compared with the database, µs.
#[derive(Clone, Debug, Default)]
pub(in crate::directory) struct Checked(Arc<RwLock<ById<TenantId, Look>>>);

impl Directory {
    /// The tenant's schemas and resource types, at most a second old.
    pub async fn catalog(&self, tenant: TenantId, now: i64) -> Result<Arc<Catalog>, Error> {
        let checked = self.checked.0.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).copied();
        if let Some(known) = self.store.known_catalog(tenant)
            && checked.is_some_and(|look| look.at.abs_diff(now) < TRUSTED)
        {
            return Ok(known);
        }
        Box::pin(self.fresh_catalog(tenant, now)).await
    }

    /// The tenant's schemas and resource types as they are now.
    pub async fn fresh_catalog(&self, tenant: TenantId, now: i64) -> Result<Arc<Catalog>, Error> {
        let look = move |reader: &mut store::Reader| {
            let (policies, authorities) = (reader.count(tenant, POLICY)?, reader.count(tenant, AUTHORITY)?);
            Ok::<_, store::Error>((reader.catalog(tenant)?, policies > 0, authorities > 0))
        };
        let (catalog, has_policies, has_authorities) = self.store.read(look).await?;
        let look = Look { at: now, has_policies, has_authorities };
        self.checked.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, look);
        Ok(catalog)
    }

    /// Whether the tenant had policies when its catalog was last looked at.
    pub(in crate::directory) fn has_policies(&self, tenant: TenantId) -> bool {
        let checked = self.checked.0.read().unwrap_or_else(PoisonError::into_inner);
        checked.get(&tenant).is_some_and(|look| look.has_policies)
    }

    /// Whether the tenant had authorities over values when its catalog was last looked at.
    pub(in crate::directory) fn has_authorities(&self, tenant: TenantId) -> bool {
        let checked = self.checked.0.read().unwrap_or_else(PoisonError::into_inner);
        checked.get(&tenant).is_some_and(|look| look.has_authorities)
    }

    /// After a policy was written: the tenant's catalog is looked at anew before anything is served.
    pub(in crate::directory) fn note_policy(&self, tenant: TenantId, definition: &Definition) {
        if matches!(definition.name(), POLICY | AUTHORITY) {
            self.checked.0.write().unwrap_or_else(PoisonError::into_inner).remove(&tenant);
        }
    }

    /// The resource type that the tenant serves at an endpoint, by the catalog that the context was made with or a newer
    /// one. What is not known is looked for anew.
    pub async fn definition_at(&self, ctx: &Ctx, endpoint: &str) -> Result<Option<Arc<Definition>>, Error> {
        let known = self.registry_at(ctx);
        if let Some(definition) = known.at_endpoint(endpoint) {
            return Ok(Some(definition.clone()));
        }
        let fresh = Box::pin(self.fresh_catalog(ctx.tenant, ctx.now)).await?;
        Ok(fresh.registry().at_endpoint(endpoint).cloned())
    }

    /// The resource type to read a body by. A body that names an extension which the known type lacks may be right: it
    /// is looked for anew before it is ignored.
    pub async fn definition_for(
        &self,
        ctx: &Ctx,
        known: Arc<Definition>,
        body: &Value,
    ) -> Result<Arc<Definition>, Error> {
        if urns(body).all(|urn| known.resolve(urn).is_some() || known.core.id.eq_ignore_ascii_case(urn)) {
            return Ok(known);
        }
        let fresh = self.fresh_catalog(ctx.tenant, ctx.now).await?;
        Ok(fresh.registry().definition(known.name()).cloned().unwrap_or(known))
    }

    /// The tenant's schemas and resource types as they were last seen.
    pub fn registry_of(&self, tenant: TenantId) -> Arc<Registry> {
        self.store.known_catalog(tenant).map_or_else(|| self.registry.clone(), |catalog| catalog.registry().clone())
    }

    /// Those that a request began with.
    pub(in crate::directory) fn registry_at<'c>(&self, ctx: &'c Ctx) -> Cow<'c, Arc<Registry>> {
        ctx.registry.as_ref().map_or_else(|| Cow::Owned(self.registry_of(ctx.tenant)), Cow::Borrowed)
    }

    /// The same for an answer with resources of a type, unless the request has found that among newer ones.
    pub(in crate::directory) fn registry_for<'c>(
        &self,
        ctx: &'c Ctx,
        definition: &Definition,
    ) -> Cow<'c, Arc<Registry>> {
        let began = self.registry_at(ctx);
        match began.definition(definition.name()) {
            Some(known) if std::ptr::eq(&**known, definition) => began,
            _ => Cow::Owned(self.registry_of(ctx.tenant)),
        }
    }
}

/// Every URN that a resource, or a PatchOp message, names as a schema or begins a path with.
fn urns(body: &Value) -> impl Iterator<Item = &str> {
    let member = |name: &str| body.get(name).and_then(Value::as_array).into_iter().flatten();
    let paths = member("Operations").flat_map(move |operation| {
        let path = operation.get("path").and_then(Value::as_str).and_then(|path| path.split('[').next());
        path.into_iter().chain(operation.get("value").into_iter().flat_map(keys))
    });
    let named = member("schemas").filter_map(Value::as_str).filter(|urn| !urn.starts_with(MESSAGES));
    keys(body)
        .chain(named)
        .chain(paths)
        .filter(|name| name.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:")))
}

fn keys(value: &Value) -> impl Iterator<Item = &str> {
    value.as_object().into_iter().flat_map(|members| members.keys()).map(String::as_str)
}

/// Fails with 409 when the resource type that a write was prepared for was deleted while the request was on its way, or
/// changed so that the write may be invalid.
pub(in crate::directory) fn refuse_outdated(definition: &Definition, work: &Work<'_>) -> Result<(), Error> {
    let catalog = work.catalog();
    let holds = |known: &Arc<Definition>| {
        std::ptr::eq(known.as_ref(), definition)
            || known.says_the_same(definition)
            || lint::breaks(definition, known).is_empty()
    };
    match catalog.registry().definition(definition.name()) {
        Some(known) if holds(known) => Ok(()),
        _ => Err(scim::Error::status(
            409,
            format!("The resource type {} was changed meanwhile. Send the request again.", definition.name()),
        )
        .into()),
    }
}
