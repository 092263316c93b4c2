//! What a client's document says: whether the server can act on it when it is saved, and the [`Caller`] it makes of who
//! shows one of its credentials.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use scim::authority::Authority;
use scim::schema::{Definition, Registry};
use store::work::document_of;
use store::{ResourceId, TenantId};

use super::CLIENT;
use crate::directory::audit::Released;
use crate::directory::authority::{Outside, Writes};
use crate::directory::scope::Scopes;
use crate::directory::{Caller, Ctx, Directory, Error, Profile, Rate, Role, Tolerances};
use crate::network::Network;

/// Most requests a second, at once or at a time that a client can be granted.
const MOST: u64 = 1_000_000;

/// What a client's document says has to be something the server knows: unlike other suggested values, these decide what
/// the client may do.
pub(in crate::directory) fn check(definition: &Definition, document: &Map<String, Value>) -> Result<(), scim::Error> {
    for name in ["role", "profile", "outside", "memberships", "names"] {
        let Some(value) = document.get(name).and_then(Value::as_str) else { continue };
        let known =
            definition.attribute(name).map(|attribute| attribute.canonical_values.as_slice()).unwrap_or_default();
        if !known.iter().any(|known| known == value) {
            return Err(scim::Error::invalid_value(format!("{name} must be one of: {}.", known.join(", "))));
        }
    }
    if let Err(text) = Scopes::parse(texts(document, "scopes")) {
        return Err(scim::Error::invalid_value(format!(
            "scopes has {text:?}, which is no scope. They are like User:read, Group:write, *:read, *:write or admin; what \
             administers the register is changed with admin alone."
        )));
    }
    if let Some(text) = texts(document, "networks").find(|text| Network::parse(text).is_none()) {
        return Err(scim::Error::invalid_value(format!(
            "networks has {text:?}, which is no network. They are like 192.0.2.0/24, 2001:db8::/32 or one address."
        )));
    }
    let rate = document.get("rateLimit").and_then(Value::as_object).into_iter().flatten();
    for (name, value) in rate {
        if !value.as_u64().is_some_and(|number| (1..=MOST).contains(&number)) {
            return Err(scim::Error::invalid_value(format!("rateLimit.{name} must be a number from 1 to {MOST}.")));
        }
    }
    Ok(())
}

/// Whether what a client's document names is in the tenant's schemas.
pub(super) fn check_against(registry: &Registry, document: &Map<String, Value>) -> Result<(), scim::Error> {
    let unknown = |place: &str, kind: &str| scim::Error::invalid_value(format!("{place}: there is no type {kind}."));
    let scopes = Scopes::parse(texts(document, "scopes")).unwrap_or_default();
    if let Some(kind) = scopes.kinds().find(|kind| registry.definition(kind).is_none()) {
        return Err(unknown("scopes", kind));
    }
    let writes = document.get("writes").and_then(Value::as_array).into_iter().flatten();
    let mut known = Vec::new();
    for (place, entry) in writes.filter_map(Value::as_object).enumerate() {
        let place = format!("writes[{place}]");
        let kind = entry.get("type").and_then(Value::as_str).unwrap_or_default();
        let of = registry.definition(kind).filter(|of| of.name() == kind).ok_or_else(|| unknown(&place, kind))?;
        if known.contains(&kind) {
            return Err(scim::Error::invalid_value(format!("{place}: {kind} is named twice.")));
        }
        known.push(kind);
        for path in texts(entry, "paths") {
            Authority::parse(of, [path])
                .map_err(|error| scim::Error::invalid_value(format!("{place}.paths: {}", error.detail)))?;
        }
    }
    Ok(())
}

/// Fails with 403 when a client would shut itself out: another administrator, or the operator, does that. So a register
/// never loses its last administrator over the interface.
pub(super) fn refuse_own_end(ctx: &Ctx, id: ResourceId, next: Option<&Map<String, Value>>) -> Result<(), Error> {
    if id != ctx.caller.id {
        return Ok(());
    }
    let refusal = |what: &str| {
        Err(Error::Denied(format!(
            "A client cannot {what}. Use the credentials of another administrator, or the command matrikel client."
        )))
    };
    match next {
        None => refusal("delete itself"),
        Some(next) if next.get("active").and_then(Value::as_bool) == Some(false) => refusal("switch itself off"),
        Some(next) if !scopes(next).is_admin() => refusal("take its own administrator's scope away"),
        Some(_) => Ok(()),
    }
}

impl Directory {
    /// What a client does itself, as it is now, within what is done in `ctx`. `None`: it is gone or not active.
    pub(in crate::directory) async fn context_of(&self, ctx: &Ctx, client: ResourceId) -> Result<Option<Ctx>, Error> {
        let Some(caller) = self.caller(ctx.tenant, client).await? else { return Ok(None) };
        let catalog = self.fresh_catalog(ctx.tenant, ctx.now).await?;
        Ok(Some(Ctx {
            views: caller.outlook.views(catalog.registry(), self.veil(ctx.tenant, &caller)),
            schemas: catalog.registry().revision(),
            caller: caller.into(),
            once: None,
            simulate: false,
            weighed: false,
            tolerances: Tolerances::default(),
            winners: None,
            released: Released::default(),
            ..ctx.clone()
        }))
    }

    /// The client behind a credential; `None` when it is gone or not active.
    pub async fn caller(&self, tenant: TenantId, client: ResourceId) -> Result<Option<Caller>, Error> {
        let record = self.store.read(move |reader| reader.record(tenant, client)).await?;
        let Some(record) = record.filter(|record| record.kind == CLIENT) else { return Ok(None) };
        let document = document_of(&record)?;
        if document.get("active").and_then(Value::as_bool) == Some(false) {
            return Ok(None);
        }
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let Some(role) = text("role").and_then(Role::parse) else { return Ok(None) };
        Ok(Some(Caller {
            id: client,
            user: None,
            name: text("name").unwrap_or_default().into(),
            role,
            scopes: scopes(&document),
            profile: text("profile").and_then(Profile::parse).unwrap_or_default(),
            domain: domain_of(client, &document),
            sensitive: texts(&document, "sensitiveAttributes").map(str::to_owned).collect(),
            writes: writes(&document).into(),
            networks: texts(&document, "networks").filter_map(Network::parse).collect(),
            rate: rate(&document),
            outlook: self.outlook(tenant, text("view")).await?,
            account_domain: text("accountDomain").map(Into::into),
            generates_names: text("names") == Some("generated"),
        }))
    }
}

fn texts<'d>(object: &'d Map<String, Value>, name: &str) -> impl Iterator<Item = &'d str> {
    object.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// What `scopes` says, or the role in its place. A text that is no scope, stored before it was refused, lets nobody do
/// anything.
pub(super) fn scopes(document: &Map<String, Value>) -> Scopes {
    let mut texts = texts(document, "scopes").peekable();
    if texts.peek().is_some() {
        return Scopes::parse(texts).unwrap_or_default();
    }
    let role = document.get("role").and_then(Value::as_str).and_then(Role::parse);
    role.map(Scopes::of).unwrap_or_default()
}

fn writes(document: &Map<String, Value>) -> Writes {
    let entries = document.get("writes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let entry = |entry: &Map<String, Value>| {
        let kind = entry.get("type").and_then(Value::as_str)?.to_owned();
        Some((kind, texts(entry, "paths").map(str::to_owned).collect::<Vec<_>>()))
    };
    let outside = match document.get("outside").and_then(Value::as_str) {
        Some("ignore") => Outside::Ignore,
        _ => Outside::Refuse,
    };
    let own_members = document.get("memberships").and_then(Value::as_str) == Some("own");
    Writes { of: entries.filter_map(entry).collect::<BTreeMap<_, _>>(), outside, own_members }
}

fn rate(document: &Map<String, Value>) -> Rate {
    let number = |name: &str| {
        let number = document.get("rateLimit")?.get(name)?.as_u64()?;
        u32::try_from(number).ok()
    };
    Rate { per_second: number("requestsPerSecond"), burst: number("burst"), concurrent: number("concurrent") }
}

/// The provisioning domain of a client, by its document.
pub(in crate::directory) fn domain_of(client: ResourceId, document: &Map<String, Value>) -> ResourceId {
    document.get("domain").and_then(Value::as_str).map_or(client, shared_domain)
}

/// The provisioning domain that clients share by its name.
fn shared_domain(name: &str) -> ResourceId {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(Sha256::digest(name.as_bytes())).for_each(|(to, from)| *to = from);
    ResourceId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
