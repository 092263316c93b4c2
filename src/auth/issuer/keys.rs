//! The keys of foreign issuers, as long as they are good. They are fetched when they are first needed, again when they are
//! old, and when a token names one that is not known; between two fetches lies a while, whatever tokens come. Nobody waits for
//! a fetch while there are keys that will do. When an issuer cannot be reached its keys are good for a configured time; after
//! it, and before there ever were any, whether a token is true cannot be found out.

use std::sync::{Arc, PoisonError, RwLock};

use moka::sync::Cache;
use store::{ResourceId, TenantId};
use tokio::sync::Mutex;

use super::fetch::{Fetcher, Named};
use crate::auth::bearer::Refusal;
use crate::directory::issuers::Issuer;
use crate::jose::{PublicKey, Token};

const SECOND: i64 = 1_000_000;
const ISSUERS: u64 = 10_000;

/// How long keys are good.
#[derive(Clone)]
pub struct Settings {
    /// Networks beside the public internet in which keys may lie.
    pub named: Named,
    /// Seconds after which they are fetched again.
    pub keys_seconds: u32,
    /// Seconds between two fetches.
    pub retry_seconds: u32,
    /// Seconds that they are good for when they cannot be fetched.
    pub outage_seconds: u32,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", (self.keys_seconds, self.retry_seconds, self.outage_seconds))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings { named: Arc::new(|_| false), keys_seconds: 600, retry_seconds: 30, outage_seconds: 86_400 }
    }
}

/// Keys as they were fetched.
struct Held {
    keys: Vec<PublicKey>,
    /// µs since 1970.
    at: i64,
}

impl Held {
    /// Those that may have signed a token.
    fn fitting(&self, token: &Token<'_>) -> Vec<PublicKey> {
        let is_meant = |key: &&PublicKey| {
            // Whoever names no key leaves the choice; a key without a name is meant by nobody who names one.
            key.fits(token.algorithm) && (token.key_id.is_none() || key.id == token.key_id)
        };
        self.keys.iter().filter(is_meant).cloned().collect()
    }
}

/// What is known of one issuer's keys.
#[derive(Default)]
struct Known {
    held: RwLock<Option<Arc<Held>>>,
    /// When they were last asked for, µs since 1970; locked while they are.
    asked: Mutex<i64>,
}

/// By tenant and issuer, and by where its keys are: another address is another issuer.
type Whose = (TenantId, ResourceId, String);

/// The keys of all issuers. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Keys {
    settings: Settings,
    /// `None`: this system cannot speak TLS.
    fetcher: Option<Fetcher>,
    known: Cache<Whose, Arc<Known>>,
}

impl Keys {
    /// No keys yet.
    pub fn new(settings: Settings) -> Self {
        let fetcher = Fetcher::new(settings.named.clone());
        if let Err(error) = &fetcher {
            tracing::error!(%error, "no keys of issuers can be fetched");
        }
        Keys { fetcher: fetcher.ok(), settings, known: Cache::new(ISSUERS) }
    }

    /// The keys of an issuer that may have signed a token; none: it is not true. Fails with [`Refusal::IssuerAway`] when that
    /// cannot be known. `now` in µs since 1970.
    pub async fn keys(
        &self,
        tenant: TenantId,
        issuer: &Issuer,
        token: &Token<'_>,
        now: i64,
    ) -> Result<Vec<PublicKey>, Refusal> {
        let place = issuer.jwks_uri.clone().unwrap_or_else(|| format!("discovery {}", issuer.issuer));
        let known = self.known.get_with((tenant, issuer.id, place), Arc::default);
        let Some(held) = known.held().filter(|held| self.is_good(held, now)) else {
            let fetched = self.refresh(&known, tenant, issuer, now).await;
            return fetched
                .filter(|held| self.is_good(held, now))
                .map(|held| held.fitting(token))
                .ok_or(Refusal::IssuerAway);
        };
        let fitting = held.fitting(token);
        let is_old = now - held.at >= i64::from(self.settings.keys_seconds) * SECOND;
        if !fitting.is_empty() {
            if is_old {
                let (all, issuer) = (self.clone(), issuer.clone());
                tokio::spawn(async move { all.refresh(&known, tenant, &issuer, now).await });
            }
            return Ok(fitting);
        }
        // A key that is not known: they were exchanged, or somebody makes it up.
        match self.refresh(&known, tenant, issuer, now).await {
            Some(newer) if newer.at > held.at => Ok(newer.fitting(token)),
            _ if is_old => Err(Refusal::IssuerAway),
            _ => Ok(Vec::new()),
        }
    }

    fn is_good(&self, held: &Held, now: i64) -> bool {
        let longest = i64::from(self.settings.outage_seconds.max(self.settings.keys_seconds)) * SECOND;
        now - held.at < longest
    }

    /// Fetches the keys, unless that was just tried, and returns what is held then.
    async fn refresh(&self, known: &Known, tenant: TenantId, issuer: &Issuer, now: i64) -> Option<Arc<Held>> {
        let mut asked = known.asked.lock().await;
        let rest = i64::from(self.settings.retry_seconds) * SECOND;
        let Some(fetcher) = self.fetcher.as_ref().filter(|_| *asked == 0 || (now - *asked).abs() >= rest) else {
            return known.held();
        };
        *asked = now;
        match fetcher.keys(issuer).await {
            Ok(keys) => {
                let held = Arc::new(Held { keys, at: now });
                *known.held.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
            }
            Err(error) => {
                tracing::warn!(issuer = issuer.issuer, tenant = tenant.0, %error, "the keys of an issuer cannot be fetched");
            }
        }
        known.held()
    }
}

impl Known {
    fn held(&self) -> Option<Arc<Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
