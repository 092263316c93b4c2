//! Bulk requests that are answered before they are carried out (RFC 9967 section 2.5.1): accepted under the tenant's
//! lock, carried out by the same code as any bulk request, and kept as a result for the client that asked.
//!
//! An accepted request is never lost. It is stored, sealed, with the ids of all that it creates; what becomes of each
//! operation is stored in the transaction of the operation. Whoever carries on after an interruption, be it several
//! processes at once, does no operation twice. The requests of one client are carried out one at a time, in the order in
//! which they were accepted, as what the client is by then: nothing is done for one that has been switched off.

mod carry;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use scim::bulk::BulkRequest;
use scim::schema::Definition;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{By, Deferred, ResourceId, SealKey, TenantId, work::Origin};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::bulk::read_sealed;
use super::envelope::Envelope;
use super::{Caller, Ctx, Directory, Error};

pub(super) use carry::Lanes;

/// What the tenant's key is for, as the store knows it.
const PURPOSE: &str = "deferred";
/// What a key that is derived from it is for: one for each request.
const USAGE: &str = "matrikel deferred 1";

/// What carrying a request out needs of whoever talks to clients.
pub trait Host: Send + Sync + 'static {
    /// Where it is carried out.
    fn runtime(&self) -> tokio::runtime::Handle;
    /// µs since 1970.
    fn now(&self) -> i64;
    /// Whether a client may write resources of the type; the error is a sentence for it.
    fn permit(&self, caller: &Caller, definition: &Definition) -> Result<(), String>;
    /// An error in the words of the protocol.
    fn told(&self, error: Error) -> scim::Error;
    /// Counts the tolerances that a client's request made use of.
    fn forgave(&self, tenant: TenantId, client: &str, tolerances: &[&'static str]);
}

/// A request that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Its transaction, which names its result.
    pub id: Uuid,
    /// Whether it was accepted before, with the same key.
    pub again: bool,
    /// Ends when it has been carried out, or when a request of the same client before it has been taken up again.
    pub turn: JoinHandle<()>,
}

/// How far an accepted request has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// It is being carried out, or waits for that.
    Running,
    /// It is done: the answer it would have had.
    Done(Answer),
}

/// The answer to a request that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its HTTP status.
    pub status: u16,
    /// Its body.
    pub body: String,
    /// The tolerances that it used, each once.
    pub tolerances: Vec<String>,
}

/// What a process has done with requests that are answered first. Counts begin with the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Requests that it accepted.
    pub accepted: u64,
    /// Requests that it carried out to their result.
    pub done: u64,
    /// Requests that it carries out or that wait for that.
    pub waiting: u64,
}

/// An accepted request as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// As it came.
    message: Value,
    /// An id for each operation, used by those that create.
    ids: Vec<Uuid>,
    base_url: String,
    request_id: String,
    #[serde(default)]
    credential: Option<Uuid>,
    #[serde(default)]
    address: Option<IpAddr>,
    /// The tolerances that reading it made use of.
    tolerances: Vec<String>,
}

impl Directory {
    /// Accepts a bulk request: it is stored when this returns, and carried out whatever happens. `message` is what
    /// `request` was read from.
    ///
    /// Fails with 429 when as many requests of the client wait as may.
    pub async fn defer_bulk(
        &self,
        host: Arc<dyn Host>,
        ctx: &Ctx,
        message: Value,
        request: &BulkRequest,
    ) -> Result<Accepted, Error> {
        let id = ctx.random.resource_id(ctx.now)?.0;
        let draw = |_| ctx.random.resource_id(ctx.now).map(|id| id.0);
        let ids = request.operations.iter().map(draw).collect::<Result<_, _>>()?;
        let (base_url, request_id) = (ctx.base_url.to_string(), ctx.request_id.to_string());
        let tolerances = ctx.tolerances.used().into_iter().map(str::to_owned).collect();
        let stored = Stored {
            message,
            ids,
            base_url,
            request_id,
            credential: ctx.by.credential,
            address: ctx.by.address,
            tolerances,
        };
        let envelope = self.envelope(ctx, id).await?;
        let body = envelope.seal(&text_of(&stored)?, &ctx.random)?;
        // What has a key is carried out this way even where no client may ask for it.
        let (client, limit) = (ctx.caller.id, self.limits.deferred.max(usize::from(ctx.once.is_some())));
        let (caller, location) = (ctx.clone(), format!("/Bulk/{id}"));
        let row = Deferred { id, client, accepted_at: ctx.now, expires_at: None, body };
        let accepted = move |work: &mut store::Work<'_>| {
            if let Some(before) = caller.done_before(work)? {
                let name = before.place.rsplit('/').next().unwrap_or_default();
                return Uuid::parse_str(name).map_err(|error| store::Error::Corrupt(error.to_string()).into());
            }
            if work.waiting_deferred(client)? >= limit {
                return Err(Error::Scim(scim::Error::status(
                    429,
                    format!("{limit} requests of this client wait to be carried out. Fetch their results first."),
                )));
            }
            work.forget_deferred(row.accepted_at);
            work.put_deferred(row.clone());
            caller.remember(work, &location, None);
            Ok::<_, Error>(id)
        };
        let known = self.store.write(ctx.tenant, ctx.origin(), accepted).await?;
        if known == id {
            self.lanes.count_accepted();
        }
        Ok(Accepted { id: known, again: known != id, turn: self.take_turn(host, ctx.tenant, client) })
    }

    /// How far a request has come. Fails with 404 when the caller has accepted none of that name, or its result is
    /// forgotten.
    pub async fn deferral(&self, ctx: &Ctx, name: &str) -> Result<Deferral, Error> {
        let unknown = || scim::Error::not_found("Request", name);
        let id = Uuid::parse_str(name).map_err(|_| unknown())?;
        let tenant = ctx.tenant;
        let found = self.store.read_for(tenant, move |reader| reader.deferred(tenant, id)).await?;
        let is_over = |end: i64| end <= ctx.now;
        let found = found.filter(|row| row.client == ctx.caller.id && !row.expires_at.is_some_and(is_over));
        let found = found.ok_or_else(unknown)?;
        if found.expires_at.is_none() {
            return Ok(Deferral::Running);
        }
        Ok(Deferral::Done(read_sealed(&self.envelope(ctx, id).await?, &found.body)?))
    }

    /// Takes up the requests that were accepted before `before` and are not done.
    pub async fn resume_deferred(&self, host: &Arc<dyn Host>, before: i64) -> Result<usize, Error> {
        let waiting = self.store.read(move |reader| reader.waiting_deferred(before)).await?;
        let count = waiting.len();
        for (tenant, client) in waiting {
            drop(self.take_turn(Arc::clone(host), tenant, client));
        }
        Ok(count)
    }

    /// Removes the results whose time has come at `now`.
    pub async fn forget_deferred(&self, now: i64) -> Result<(), Error> {
        for tenant in self.store.read(move |reader| reader.tenants_to_clear(now)).await? {
            let origin =
                Origin { actor: ResourceId::SYSTEM, cause: "due", by: By::default(), now, random: store::Random::os() };
            let forgotten = self.store.write(tenant, origin, move |work| {
                work.forget_deferred(now);
                Ok::<_, Error>(())
            });
            forgotten.await?;
        }
        Ok(())
    }

    /// What this process has done with such requests.
    pub fn deferred_figures(&self) -> Figures {
        self.lanes.figures()
    }

    /// What a request is sealed in: under a key that a master key opens. Where there is none, and for what was sealed then,
    /// it is one that lies in the same database.
    async fn envelope(&self, ctx: &Ctx, id: Uuid) -> Result<Envelope, Error> {
        let envelope = |key: &SealKey| Envelope::new(key, USAGE, id.as_bytes());
        let keys = self.deferring_keys(ctx).await?;
        let mut keys = keys.iter();
        let Some(newest) = keys.next() else { return Ok(envelope(&*self.seal_key(ctx, PURPOSE).await?)?) };
        let mut sealed = envelope(newest)?;
        for key in keys {
            sealed = sealed.or(envelope(key)?);
        }
        match self.known_seal_key(ctx, PURPOSE).await? {
            Some(open) => Ok(sealed.or(envelope(&open)?)),
            None => Ok(sealed),
        }
    }
}

fn text_of(value: &impl Serialize) -> Result<Vec<u8>, store::Error> {
    serde_json::to_vec(value).map_err(|error| store::Error::Corrupt(error.to_string()))
}
