//! A write that its client gave a key is done once (draft-ietf-httpapi-idempotency-key-header): what it did is remembered
//! in its transaction, by digests of key and request, and whoever asks the same again within 24 hours learns what it was.
//! Two at a time are told apart by the tenant's lock. Only what was carried out is remembered: an error is found out anew.

use sha2::{Digest, Sha256};
use store::By;
use store::idempotency::Keyed;
use store::work::Origin;
use store::{Random, ResourceId, TenantId, Work};

use super::{Ctx, Directory, Error};

/// The key of a request, as far as anybody has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    key: Vec<u8>,
    request: Vec<u8>,
    status: u16,
}

impl Once {
    /// A key for the request that `parts` make up, which is answered with `status` when it is carried out. The digest of
    /// the request is keyed with the key, which is stored nowhere: no password can be guessed from it.
    pub fn new(key: &str, parts: &[&[u8]], status: u16) -> Self {
        let digest = |usage: &[u8], parts: &[&[u8]]| {
            let mut digest = Sha256::new().chain_update(usage);
            for part in [&[key.as_bytes()], parts].concat() {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
            digest.finalize().to_vec()
        };
        Once { key: digest(b"matrikel idempotency key", &[]), request: digest(b"matrikel request", parts), status }
    }

    /// The same, if the request was this one.
    fn same(&self, ctx: &Ctx, found: Option<Keyed>) -> Result<Option<Keyed>, Error> {
        match found.filter(|keyed| !keyed.is_over(ctx.now)) {
            Some(keyed) if keyed.request != self.request => Err(scim::Error::status(
                422,
                "This Idempotency-Key was used for another request in the last 24 hours. Send a new key with a new \
                 request, and the same request with the same key.",
            )
            .into()),
            found => Ok(found),
        }
    }
}

impl Ctx {
    /// What the request did when it came with its key before; `None`: nothing, or it has no key.
    pub(super) fn done_before(&self, work: &mut Work<'_>) -> Result<Option<Keyed>, Error> {
        let Some(once) = &self.once else { return Ok(None) };
        let found = work.keyed(self.caller.id, &once.key)?;
        once.same(self, found)
    }

    /// Remembers what the request named in its answer, with what it does.
    pub(super) fn remember(&self, work: &mut Work<'_>, location: &str, etag: Option<&str>) {
        let Some(once) = &self.once else { return };
        let place = location.strip_prefix(&*self.base_url).unwrap_or(location);
        work.put_keyed(Keyed {
            client: self.caller.id,
            key: once.key.clone(),
            request: once.request.clone(),
            status: once.status,
            place: place.to_owned(),
            etag: etag.map(str::to_owned),
            at: self.now,
        });
    }
}

impl Directory {
    /// Takes note of the id of a token that a client has signed. `false`: it was shown before, and is worth nothing a second
    /// time. Remembered as long as a key of a write, which is longer than such a token may live.
    pub async fn spend(&self, tenant: TenantId, client: ResourceId, id: &str, now: i64) -> Result<bool, Error> {
        let digest = Sha256::new().chain_update(b"matrikel client assertion").chain_update(id.as_bytes());
        let key = digest.finalize().to_vec();
        let origin = Origin { actor: client, cause: "request", by: By::default(), now, random: Random::os() };
        let spent = self.store.write(tenant, origin, move |work| {
            if work.keyed(client, &key)?.is_some_and(|keyed| !keyed.is_over(now)) {
                return Ok(false);
            }
            let (key, request, place) = (key.clone(), Vec::new(), String::new());
            work.put_keyed(Keyed { client, key, request, status: 200, place, etag: None, at: now });
            Ok(true)
        });
        spent.await.map_err(|error: store::Error| error.into())
    }

    /// What the request did when it came with its key before; `None`: nothing, or it has no key. Fails with 422 when the
    /// key came with another request.
    pub async fn done_before(&self, ctx: &Ctx) -> Result<Option<Keyed>, Error> {
        let Some(once) = ctx.once.clone() else { return Ok(None) };
        let (tenant, client, key) = (ctx.tenant, ctx.caller.id, once.key.clone());
        let found = self.store.read_for(tenant, move |reader| reader.keyed(tenant, client, &key)).await?;
        once.same(ctx, found)
    }
}

#[cfg(test)]
mod tests {
    use super::Once;

    #[test]
    fn parts_that_are_cut_elsewhere_are_another_request_and_a_key_is_part_of_it() {
        let once = Once::new("k", &[b"POST", b"/Users", b"{}"], 201);
        assert_eq!(once, Once::new("k", &[b"POST", b"/Users", b"{}"], 201));
        for other in
            [Once::new("k", &[b"POST/", b"Users", b"{}"], 201), Once::new("l", &[b"POST", b"/Users", b"{}"], 201)]
        {
            assert_ne!(once.request, other.request);
        }
        assert_eq!(once.key, Once::new("k", &[], 204).key);
        assert_ne!(once.key, once.request);
    }
}
