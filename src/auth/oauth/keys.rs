//! The server's own keys: one set for all nodes, in the database. A node reads them again after five seconds of use, so that
//! a key of another node is known and one that was ended is not. The first is made when the first token is asked for; a later
//! one is published for a while before it signs, and its predecessor stays until the last token that it signed is over.

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value};
use store::{SigningKey, Store};
use uuid::Uuid;

use crate::directory::secret::{Keyring as MasterKeys, sealed_under};
use crate::jose::{Algorithm, PrivateKey, PublicKey};

const SECOND: i64 = 1_000_000;
/// How long what was read is taken for granted, in µs.
const FRESH: i64 = 5 * SECOND;
/// How long those who read the key set may keep it, in seconds. A new key is published for twice as long before it signs.
pub const PUBLISHED_SECONDS: i64 = 300;
/// What every id of a key begins with, so that another issuer's is told apart without a look.
pub const PREFIX: &str = "matrikel-";

/// A key that may check tokens, and perhaps sign them.
pub struct Known {
    /// Its id.
    pub id: String,
    /// The public half.
    pub public: PublicKey,
    /// How it is published.
    jwk: Map<String, Value>,
    private: Option<PrivateKey>,
    algorithm: Algorithm,
    signs_from: i64,
    ends_at: Option<i64>,
}

impl Known {
    fn read(row: SigningKey, master: &MasterKeys) -> Option<Self> {
        let mut jwk = serde_json::from_str::<Map<String, Value>>(&row.public).ok()?;
        let public = PublicKey::from_jwk(&jwk).ok()?;
        jwk.insert("kid".into(), row.id.as_str().into());
        Some(Known {
            public,
            jwk,
            private: master.open(&row.id, &row.private).and_then(|private| PrivateKey::from_pkcs8(&private)),
            algorithm: Algorithm::parse(&row.algorithm)?,
            signs_from: row.signs_from,
            ends_at: row.ends_at,
            id: row.id,
        })
    }

    /// Whether it is worth anything at that moment.
    pub fn lasts(&self, now: i64) -> bool {
        self.ends_at.is_none_or(|end| now < end)
    }

    /// What it signs with; `None`: it cannot be opened here.
    pub(super) fn private(&self) -> Option<&PrivateKey> {
        self.private.as_ref()
    }
}

#[derive(Default)]
struct Read {
    /// µs since 1970; 0: not yet.
    at: i64,
    keys: Vec<Arc<Known>>,
}

/// The keys of the server. Cheap to clone; clones share what was read.
#[derive(Clone)]
pub struct Keyring {
    store: Store,
    master: MasterKeys,
    read: Arc<RwLock<Arc<Read>>>,
}

impl Keyring {
    /// The keys in a store, their private halves sealed under master keys.
    pub fn new(store: Store, master: MasterKeys) -> Self {
        Keyring { store, master, read: Arc::default() }
    }

    /// The key set (RFC 7517 section 5), with keys that have yet to sign.
    pub async fn published(&self, now: i64) -> Result<Vec<Map<String, Value>>, store::Error> {
        let read = self.current(now).await?;
        Ok(read.keys.iter().filter(|key| key.lasts(now)).map(|key| key.jwk.clone()).collect())
    }

    /// The key of that id, if it is still worth anything, and when that was read, in µs since 1970.
    pub async fn of_id(&self, id: &str, now: i64) -> Result<Option<(Arc<Known>, i64)>, store::Error> {
        let read = self.current(now).await?;
        Ok(read.keys.iter().find(|key| key.id == id && key.lasts(now)).map(|key| (Arc::clone(key), read.at)))
    }

    /// Whether tokens are signed here at all. What signs them lies in no database as it is, so it takes a master key.
    pub fn can_sign(&self) -> bool {
        !self.master.is_empty()
    }

    /// The key that signs now: of those that sign in that way the one that began last. Made when there is none.
    pub(super) async fn signer(&self, algorithm: Algorithm, now: i64) -> Result<Arc<Known>, store::Error> {
        if let Some(signer) = signer(&*self.current(now).await?, algorithm, now) {
            return Ok(signer);
        }
        add(&self.store, &self.master, algorithm, now, None).await?;
        self.load(now).await?;
        let missing =
            || store::Error::Unavailable("there is no key that signs tokens, and it could not be made".into());
        signer(&*self.current(now).await?, algorithm, now).ok_or_else(missing)
    }

    async fn current(&self, now: i64) -> Result<Arc<Read>, store::Error> {
        let read = Arc::clone(&*self.read.read().unwrap_or_else(PoisonError::into_inner));
        // A clock that was set back makes what was read old too.
        if read.at != 0 && (0..FRESH).contains(&(now - read.at)) { Ok(read) } else { self.load(now).await }
    }

    async fn load(&self, now: i64) -> Result<Arc<Read>, store::Error> {
        let rows = self.store.read(|reader| reader.signing_keys()).await?;
        if self.can_sign() && rows.iter().any(|row| sealed_under(&row.private).is_none()) {
            // Where nothing can be written now, tokens are good all the same.
            let sealed = seal_anew(&self.store, &self.master, |row| sealed_under(&row.private).is_none()).await;
            if let Err(error) = sealed {
                tracing::warn!(%error, "a key that signs tokens is not sealed yet");
            }
        }
        let keys = rows.into_iter().filter_map(|row| {
            let id = row.id.clone();
            let known = Known::read(row, &self.master);
            if self.can_sign() && known.as_ref().is_none_or(|known| known.private.is_none()) {
                tracing::error!(key = id, "a key that signs tokens cannot be read");
            }
            known.map(Arc::new)
        });
        let read = Arc::new(Read { at: now, keys: keys.collect() });
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&read);
        Ok(read)
    }
}

fn signer(read: &Read, algorithm: Algorithm, now: i64) -> Option<Arc<Known>> {
    let signs = |key: &&Arc<Known>| {
        key.algorithm == algorithm && key.signs_from <= now && key.lasts(now) && key.private.is_some()
    };
    // Keys are in the order in which they begin.
    read.keys.iter().rev().find(signs).cloned()
}

/// When keys come and go at a rotation, in µs since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// When the new key begins to sign.
    pub signs_from: i64,
    /// When all others end.
    pub others_end: i64,
}

impl Rotation {
    /// Nothing is interrupted: the new key is published until everybody who keeps the set for as long as allowed has it, and
    /// the others last until the last token that they signed is over.
    pub fn gentle(now: i64, token_seconds: u32) -> Self {
        let signs_from = now + 2 * PUBLISHED_SECONDS * SECOND;
        Rotation { signs_from, others_end: signs_from + (i64::from(token_seconds) + 60) * SECOND + FRESH }
    }

    /// A key has become known to others: every token that was signed before is worth nothing from now on.
    pub fn at_once(now: i64) -> Self {
        Rotation { signs_from: now, others_end: now }
    }
}

/// Seals every key under the first master key that is not sealed under it and can be opened here. How many there were.
pub async fn reseal(store: &Store, master: &MasterKeys) -> Result<u64, store::Error> {
    seal_anew(store, master, |row| !master.is_current(&row.private)).await
}

/// The same for some of them. A server by itself does so for what an older version has stored as it was, and for nothing
/// else: other servers may not have the master key yet.
async fn seal_anew(
    store: &Store,
    master: &MasterKeys,
    is_due: impl Fn(&SigningKey) -> bool,
) -> Result<u64, store::Error> {
    let mut resealed = 0;
    for row in store.read(|reader| reader.signing_keys()).await?.into_iter().filter(is_due) {
        let Some(clear) = master.open(&row.id, &row.private) else { continue };
        let (store, sealed) = (store.clone(), master.seal(&row.id, &clear)?);
        tokio::task::spawn_blocking(move || store.reseal_signing_key(&row.id, &row.private, sealed))
            .await
            .map_err(|error| store::Error::Unavailable(error.to_string()))??;
        resealed += 1;
    }
    Ok(resealed)
}

/// Makes a key and writes it: the first, or with a rotation the next. Returns its id.
pub async fn add(
    store: &Store,
    master: &MasterKeys,
    algorithm: Algorithm,
    now: i64,
    rotation: Option<Rotation>,
) -> Result<String, store::Error> {
    let failed = |error: openssl::error::ErrorStack| store::Error::Unavailable(format!("no key can be made: {error}"));
    let private = PrivateKey::generate(algorithm).map_err(failed)?;
    let public = Value::Object(private.public_jwk().map_err(failed)?);
    let id = format!("{PREFIX}{}", Uuid::new_v4().simple());
    let key = SigningKey {
        id: id.clone(),
        algorithm: private.algorithm.as_str().to_owned(),
        public: public.to_string(),
        private: master.seal(&id, &private.to_pkcs8().map_err(failed)?)?,
        created_at: now,
        signs_from: rotation.map_or(now, |rotation| rotation.signs_from),
        ends_at: None,
    };
    let store = store.clone();
    tokio::task::spawn_blocking(move || store.add_signing_key(&key, rotation.map(|rotation| rotation.others_end)))
        .await
        .map_err(|error| store::Error::Unavailable(error.to_string()))??;
    Ok(id)
}
