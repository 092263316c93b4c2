//! What clients prove themselves with: several at a time, dated at both ends, so that one can take another's place
//! without interruption. Only digests and what is public are kept. The client's document shows the dates; when a
//! credential was last used is no change of the client, and is added when the document is read.

use std::collections::HashMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use store::work::{Draft, document_of};
use store::{Credential, CredentialKind, ResourceId, TenantId, Work, format_instant};

use super::CLIENT;
use crate::directory::{Ctx, Directory, Error, Rule};

/// Credentials of a client that can be in force at a time.
const MOST: usize = 50;

/// A credential that was just made.
#[derive(Clone, Debug, Default)]
pub struct NewCredential {
    /// Identifier, part of a token.
    pub id: Uuid,
    /// What it is.
    pub kind: CredentialKind,
    /// SHA-256 of the token or secret; of a key its thumbprint (RFC 7638); of a certificate that of its rule.
    pub digest: Vec<u8>,
    /// What people call it.
    pub label: Option<String>,
    /// A public JWK, or the [`Rule`] of a certificate as JSON.
    pub material: Option<String>,
    /// µs since 1970; `None`: works at once.
    pub starts_at: Option<i64>,
    /// µs since 1970; `None`: does not expire.
    pub expires_at: Option<i64>,
}

impl NewCredential {
    pub(super) fn issued(&self, client: ResourceId, now: i64) -> Credential {
        Credential {
            id: self.id,
            client,
            kind: self.kind,
            digest: self.digest.clone(),
            label: self.label.clone(),
            material: self.material.clone(),
            created_at: now,
            starts_at: self.starts_at,
            expires_at: self.expires_at,
            revoked_at: None,
            last_used_at: None,
        }
    }
}

/// Gives a client another credential. Fails with 404 when there is no such client, 409 uniqueness for a key or
/// certificate that stands for a client already, 400 invalidValue when it has too many.
pub async fn add(directory: &Directory, ctx: &Ctx, client: ResourceId, credential: NewCredential) -> Result<(), Error> {
    let now = ctx.now;
    change(directory, ctx, client, move |credentials| {
        if credentials.iter().filter(|known| is_wanted(known, now)).count() >= MOST {
            return Err(scim::Error::invalid_value(format!("A client has at most {MOST} credentials. Revoke some.")));
        }
        let is_same = |known: &&Credential| {
            is_wanted(known, now) && known.kind == CredentialKind::Key && known.digest == credential.digest
        };
        if credential.kind == CredentialKind::Key && credentials.iter().any(|known| is_same(&known)) {
            return Err(scim::Error::uniqueness("jwk"));
        }
        credentials.push(credential.issued(client, now));
        Ok(())
    })
    .await
}

/// Gives a client a new credential in the place of all others of the kind. They end at once, or work until `keep_until`
/// (µs since 1970) if they last so long.
pub async fn rotate(
    directory: &Directory,
    ctx: &Ctx,
    client: ResourceId,
    credential: NewCredential,
    keep_until: Option<i64>,
) -> Result<(), Error> {
    let now = ctx.now;
    change(directory, ctx, client, move |credentials| {
        for old in credentials.iter_mut().filter(|old| old.kind == credential.kind) {
            match keep_until {
                None => withdraw(old, now),
                Some(until) => old.expires_at = Some(old.expires_at.map_or(until, |end| end.min(until))),
            }
        }
        credentials.push(credential.issued(client, now));
        Ok(())
    })
    .await
}

/// Revokes one credential of a client, or all of them. Fails with 404 when it has no such credential, 403 when a client
/// would revoke the one it shows.
pub async fn revoke(
    directory: &Directory,
    ctx: &Ctx,
    client: ResourceId,
    credential: Option<Uuid>,
) -> Result<(), Error> {
    if credential.is_some() && credential == ctx.by.credential {
        return Err(Error::Denied(
            "A client cannot revoke the credential that it shows. Show another one, or use the command matrikel client."
                .to_owned(),
        ));
    }
    let now = ctx.now;
    change(directory, ctx, client, move |credentials| {
        if let Some(wanted) = credential
            && !credentials.iter().any(|known| known.id == wanted)
        {
            return Err(scim::Error::not_found("Credential", &wanted.to_string()));
        }
        let chosen = credentials.iter_mut().filter(|one| credential.is_none_or(|wanted| one.id == wanted));
        chosen.for_each(|one| withdraw(one, now));
        Ok(())
    })
    .await
}

/// What a client has to show, revoked ones too.
pub async fn of(directory: &Directory, ctx: &Ctx, client: ResourceId) -> Result<Vec<Credential>, Error> {
    let tenant = ctx.tenant;
    directory.store().read(move |reader| reader.credentials_of(tenant, client).map_err(Error::from)).await
}

/// A client that is to be deleted has no claim to a certificate any more.
pub(super) fn forget_routes(client: ResourceId, work: &mut Work<'_>) -> Result<(), Error> {
    for route in work.credentials_of(client)?.iter().filter_map(route_of) {
        if work.route(&route)?.is_some_and(|known| known.target == Some(client)) {
            work.remove_route(&route);
        }
    }
    Ok(())
}

fn withdraw(credential: &mut Credential, now: i64) {
    credential.revoked_at = credential.revoked_at.or(Some(now));
}

/// Whether it works, or will.
fn is_wanted(credential: &Credential, now: i64) -> bool {
    credential.revoked_at.is_none() && credential.expires_at.is_none_or(|end| now < end)
}

fn route_of(credential: &Credential) -> Option<String> {
    let material = credential.material.as_deref().filter(|_| credential.kind == CredentialKind::Certificate)?;
    Some(Rule::parse(&serde_json::from_str(material).ok()?).ok()?.route())
}

/// Changes a client's credentials; its document shows their dates, and certificates lead to it or no longer.
async fn change(
    directory: &Directory,
    ctx: &Ctx,
    client: ResourceId,
    change: impl Fn(&mut Vec<Credential>) -> Result<(), scim::Error> + Send + 'static,
) -> Result<(), Error> {
    let now = ctx.now;
    directory
        .commit(ctx, move |work: &mut Work<'_>| {
            let record = work.record(client)?.filter(|record| record.kind == CLIENT);
            let record = record.ok_or_else(|| scim::Error::not_found(CLIENT, &client.to_string()))?;
            let mut credentials = work.credentials_of(client)?;
            change(&mut credentials)?;
            lead_to(client, &credentials, now, work)?;
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

/// Has the certificates of a client that works lead to it, and those that were revoked nowhere.
pub(in crate::directory) fn lead_to(
    client: ResourceId,
    credentials: &[Credential],
    now: i64,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    let taken = || scim::Error::uniqueness("certificate");
    let wanted: Vec<String> = credentials.iter().filter(|one| is_wanted(one, now)).filter_map(route_of).collect();
    for route in &wanted {
        match work.route(route)? {
            Some(known) if known.target == Some(client) => {}
            Some(_) => return Err(taken().into()),
            None => work.put_route(route, Some(client)).map_err(|_| taken())?,
        }
    }
    for route in credentials.iter().filter_map(route_of).filter(|route| !wanted.contains(route)) {
        if work.route(&route)?.is_some_and(|known| known.target == Some(client)) {
            work.remove_route(&route);
        }
    }
    Ok(())
}

/// The credential in its client's document.
pub(super) fn shown(credential: &Credential) -> Value {
    let mut shown = Map::new();
    shown.insert("value".into(), credential.id.to_string().into());
    shown.insert("kind".into(), credential.kind.as_str().into());
    if let Some(label) = &credential.label {
        shown.insert("label".into(), label.as_str().into());
    }
    let dates = [
        ("createdAt", Some(credential.created_at)),
        ("startsAt", credential.starts_at),
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

impl Directory {
    /// Says in documents of clients, as text, when their credentials were last used: a client, or a list that has some.
    pub async fn with_use(&self, ctx: &Ctx, body: String) -> Result<String, Error> {
        let Ok(mut document) = serde_json::from_str::<Value>(&body) else { return Ok(body) };
        let mut clients = Vec::new();
        let is_list = document.get("Resources").is_some();
        let found = match document.get("Resources").and_then(Value::as_array) {
            Some(resources) => resources.iter().collect(),
            None => vec![&document],
        };
        let shows = |resource: &&Value| resource.get("credentials").is_some();
        for id in found.into_iter().filter(shows).filter_map(|resource| resource.get("id")?.as_str()?.parse().ok()) {
            clients.push(id);
        }
        if clients.is_empty() {
            return Ok(body);
        }
        let used = self.last_used(ctx.tenant, clients).await?;
        match document.get_mut("Resources").and_then(Value::as_array_mut) {
            Some(resources) => resources.iter_mut().for_each(|resource| add_use(resource, &used)),
            None if !is_list => add_use(&mut document, &used),
            None => {}
        }
        Ok(document.to_string())
    }

    async fn last_used(&self, tenant: TenantId, clients: Vec<ResourceId>) -> Result<HashMap<String, i64>, Error> {
        self.store
            .read_for(tenant, move |reader| {
                let mut used = HashMap::new();
                for client in clients {
                    let credentials = reader.credentials_of(tenant, client)?;
                    used.extend(
                        credentials.into_iter().filter_map(|one| Some((one.id.to_string(), one.last_used_at?))),
                    );
                }
                Ok(used)
            })
            .await
    }
}

fn add_use(client: &mut Value, used: &HashMap<String, i64>) {
    for credential in client.get_mut("credentials").and_then(Value::as_array_mut).into_iter().flatten() {
        let at = credential.get("value").and_then(Value::as_str).and_then(|id| used.get(id));
        if let (Some(at), Some(credential)) = (at, credential.as_object_mut()) {
            credential.insert("lastUsedAt".into(), format_instant(*at).into());
        }
    }
}
