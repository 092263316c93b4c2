//! Sealing what leaves our hands or lies where it may be read, with AES-256-GCM under a key that is derived from the
//! tenant's and from all that must be the same when it is opened. What was changed, or belongs elsewhere, does not open,
//! and nothing tells these apart.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::symm::{self, Cipher};
use store::{Random, SealKey, TenantId};

use super::{Ctx, Directory, Error};

/// First byte of what is sealed.
const VERSION: u8 = 1;
const NONCE: usize = 12;
const TAG: usize = 16;

/// How long the epoch of a tenant is taken for granted. It moves when a database is restored, with no server running.
const REMEMBER: Duration = Duration::from_secs(5);

/// Keys of tenants that were read already, by purpose, and epochs. Cheap to clone; clones share them.
#[derive(Clone)]
pub(super) struct SealKeys(Cache<(TenantId, &'static str), Arc<SealKey>>, Cache<TenantId, i64>);

impl Default for SealKeys {
    fn default() -> Self {
        SealKeys(Cache::new(10_000), Cache::builder().max_capacity(10_000).time_to_live(REMEMBER).build())
    }
}

impl Directory {
    /// The tenant's epoch: what was handed out in an earlier one is worth nothing.
    pub(super) async fn epoch(&self, ctx: &Ctx) -> Result<i64, Error> {
        if let Some(epoch) = self.seal_keys.1.get(&ctx.tenant) {
            return Ok(epoch);
        }
        let epoch = self.store.tenant(ctx.tenant).await?.map_or(0, |tenant| tenant.epoch);
        self.seal_keys.1.insert(ctx.tenant, epoch);
        Ok(epoch)
    }

    /// The tenant's key for a purpose, made when there is none yet.
    pub(super) async fn seal_key(&self, ctx: &Ctx, purpose: &'static str) -> Result<Arc<SealKey>, Error> {
        if let Some(key) = self.known_seal_key(ctx, purpose).await? {
            return Ok(key);
        }
        let make = self.store.write(ctx.tenant, ctx.origin(), move |work| work.seal_key(purpose).map_err(Error::from));
        let key = Arc::new(make.await?);
        self.seal_keys.0.insert((ctx.tenant, purpose), Arc::clone(&key));
        Ok(key)
    }

    /// The same if there is one.
    pub(super) async fn known_seal_key(&self, ctx: &Ctx, purpose: &'static str) -> Result<Option<Arc<SealKey>>, Error> {
        let tenant = ctx.tenant;
        if let Some(key) = self.seal_keys.0.get(&(tenant, purpose)) {
            return Ok(Some(key));
        }
        let found = self.store.read_for(tenant, move |reader| reader.seal_key(tenant, purpose)).await;
        let found = found.map_err(|error: store::Error| error)?.map(Arc::new);
        if let Some(key) = &found {
            self.seal_keys.0.insert((tenant, purpose), Arc::clone(key));
        }
        Ok(found)
    }
}

/// A key for one use, and older ones that what was sealed before is opened with.
pub(super) struct Envelope(Vec<u8>, Vec<Envelope>);

impl Envelope {
    /// The key for a use, from the tenant's and all that must be the same.
    pub(super) fn new(key: &SealKey, usage: &str, binding: &[u8]) -> Result<Self, store::Error> {
        let derive = || {
            let key = PKey::hmac(&key.0)?;
            let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
            signer.sign_oneshot_to_vec(&[usage.as_bytes(), binding].concat())
        };
        derive().map(|key| Envelope(key, Vec::new())).map_err(|error| unavailable(&error))
    }

    /// The same that also opens what another key has sealed.
    pub(super) fn or(mut self, older: Envelope) -> Self {
        self.1.push(older);
        self
    }

    /// Seals a text.
    pub(super) fn seal(&self, text: &[u8], random: &Random) -> Result<Vec<u8>, store::Error> {
        let nonce: [u8; NONCE] = random.bytes()?;
        let mut tag = [0; TAG];
        let sealed = symm::encrypt_aead(Cipher::aes_256_gcm(), &self.0, Some(&nonce), &[VERSION], text, &mut tag);
        let sealed = sealed.map_err(|error| unavailable(&error))?;
        Ok([&[VERSION], nonce.as_slice(), &sealed, &tag].concat())
    }

    /// Opens what was sealed; `None` when it was not sealed for this use, or has been changed.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        self.open_alone(sealed).or_else(|| self.1.iter().find_map(|older| older.open(sealed)))
    }

    fn open_alone(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (&[VERSION], rest) = sealed.split_first_chunk::<1>()? else { return None };
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        let (sealed, tag) = rest.split_last_chunk::<TAG>()?;
        symm::decrypt_aead(Cipher::aes_256_gcm(), &self.0, Some(nonce), &[VERSION], sealed, tag).ok()
    }
}

fn unavailable(error: &openssl::error::ErrorStack) -> store::Error {
    store::Error::Unavailable(format!("nothing can be sealed: {error}"))
}
