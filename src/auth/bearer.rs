//! From what a request shows, an `Authorization: Bearer` header (RFC 6750 section 2.1) or the certificate of its connection,
//! to a [`Principal`]. With both the header decides. Tokens that are signed are read in `jwt`.
//!
//! Whatever is wrong with a token (malformed, unknown, revoked, expired, its client inactive), the answer is the same
//! refusal, so that nobody learns which tokens once existed. Who has a valid token of a suspended tenant is told that it
//! is suspended. An accepted token is remembered for a few seconds; a revocation or suspension by another process takes
//! effect after at most that time, a change of a client by this process at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use serde_json::{Map, Value};
use store::{CredentialKind, IdHash, TenantId};
use uuid::Uuid;

use super::certificate::PeerCertificate;
use super::federation::Members;
use super::issuer::keys::{self, Keys};
use super::jwt::{Standing, Whose};
use super::limit::{Brake, Limits};
use super::oauth::keys::Keyring;
use super::used::Used;
use super::{oauth, token};
use crate::directory::{self, Caller, Directory};
use crate::jose::Token;

const REMEMBER: Duration = Duration::from_secs(5);
const PROVEN: Duration = Duration::from_secs(3_600);
const REMEMBER_AT_MOST: u64 = 10_000;

/// The authenticated client of a request.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The client, its role and its profile.
    pub caller: Arc<Caller>,
    /// The tenant the client belongs to.
    pub tenant: TenantId,
    /// The credential that was shown.
    pub credential: Uuid,
    /// When the credential ends, in µs since the epoch.
    pub(super) expires_at: Option<i64>,
    /// When what it rests on was read, in µs since the epoch: it is taken for granted no longer than [`REMEMBER`] after.
    pub(super) as_of: i64,
    /// The thumbprint of the one certificate that it may be shown with (RFC 8705 section 3); `None`: with any or without.
    pub(super) certificate: Option<String>,
}

impl Principal {
    /// Whether the token may be shown on a connection with that certificate.
    fn may_come_with(&self, certificate: Option<&Arc<PeerCertificate>>) -> bool {
        let Some(bound) = &self.certificate else { return true };
        certificate.is_some_and(|certificate| certificate.thumbprint_text() == *bound)
    }
}

/// What a request shows of who sends it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'r> {
    /// The value of its `Authorization` header.
    pub authorization: Option<&'r str>,
    /// The certificate of its connection, or the one that a trusted proxy tells of.
    pub certificate: Option<&'r Arc<PeerCertificate>>,
    /// The address it came from.
    pub address: Option<IpAddr>,
}

/// Why there is no principal.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No valid token; deliberately without a reason.
    #[error("no valid bearer token")]
    Unauthenticated,
    /// No token, and a certificate that stands for no client, or no longer; deliberately without a reason too.
    #[error("the certificate stands for no client")]
    Stranger,
    /// The token is valid, and its tenant suspended.
    #[error("the tenant is suspended")]
    Suspended,
    /// Whether the token is true cannot be known: its issuer's keys cannot be had.
    #[error("the issuer of the token cannot be reached")]
    IssuerAway,
    /// The address has failed too often; it may try again after so many seconds.
    #[error("too many failed attempts")]
    Braked(u32),
    /// It could not be found out.
    #[error(transparent)]
    Directory(#[from] directory::Error),
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Refusal::Directory(directory::Error::Store(error))
    }
}

/// Checks bearer tokens. Cheap to clone; clones share what they remember.
#[derive(Clone)]
pub struct Authenticator {
    pub(super) directory: Directory,
    pub(super) oauth: Arc<oauth::Settings>,
    /// The server's own keys.
    pub(super) keyring: Keyring,
    /// The keys of foreign issuers.
    pub(super) issuers: Keys,
    pub(super) members: Members,
    remembered: Cache<[u8; 32], Arc<Principal>, IdHash>,
    /// Clients behind signed tokens.
    pub(super) standings: Cache<Whose, Arc<Standing>>,
    /// How often everything was forgotten.
    pub(super) forgotten: Arc<AtomicU64>,
    /// What was good within the last hour: it is never braked.
    pub(super) proven: Cache<[u8; 32], ()>,
    pub(super) brake: Arc<Brake>,
    /// When credentials were used.
    pub(crate) used: Used,
}

impl Authenticator {
    /// An authenticator over the credentials of the directory's store and the members of a federation.
    pub fn new(directory: Directory, members: Members, oauth: oauth::Settings, issuers: keys::Settings) -> Self {
        let remembered = Cache::builder().max_capacity(REMEMBER_AT_MOST).time_to_live(REMEMBER);
        let remembered = remembered.build_with_hasher(IdHash::default());
        let standings = Cache::builder().max_capacity(REMEMBER_AT_MOST).time_to_live(REMEMBER).build();
        let (oauth, keyring) = (Arc::new(oauth), Keyring::new(directory.store().clone(), directory.master_keys()));
        let issuers = Keys::new(issuers);
        let proven = Cache::builder().max_capacity(REMEMBER_AT_MOST).time_to_idle(PROVEN).build();
        let (forgotten, brake) = (Arc::default(), Arc::new(Brake::new(Limits::default().failures)));
        let used = Used::default();
        Authenticator {
            directory,
            members,
            oauth,
            keyring,
            issuers,
            remembered,
            standings,
            forgotten,
            proven,
            brake,
            used,
        }
    }

    /// The same with another brake on failures.
    #[must_use]
    pub fn with_brake(self, brake: Brake) -> Self {
        Authenticator { brake: Arc::new(brake), ..self }
    }

    /// The principal of a request; `now` in µs since the epoch.
    pub async fn authenticate(&self, shown: &Shown<'_>, now: i64) -> Result<Arc<Principal>, Refusal> {
        let principal = match (shown.authorization, shown.certificate) {
            (None, Some(certificate)) => {
                let look_up = async || self.holder(certificate, now).await;
                self.remembered_or(certificate.digest(), shown, now, look_up).await.and_then(|principal| {
                    if certificate.is_current(now) { Ok(principal) } else { Err(Refusal::Stranger) }
                })?
            }
            (authorization, _) => {
                // Who shows nothing tries nothing.
                let token = authorization.and_then(bearer).ok_or(Refusal::Unauthenticated)?;
                let digest = token::digest(token);
                let look_up = async || {
                    if Token::looks_like_one(token) {
                        return self.look_up_signed(token, now).await;
                    }
                    let claim = token::parse(token).ok_or(Refusal::Unauthenticated)?;
                    self.look_up(claim, &digest, now).await
                };
                self.remembered_or(digest, shown, now, look_up).await?
            }
        };
        // The end is tested at every request, not only when the credential was looked up.
        if principal.expires_at.is_some_and(|end| end <= now) || !principal.may_come_with(shown.certificate) {
            return Err(if shown.authorization.is_some() { Refusal::Unauthenticated } else { Refusal::Stranger });
        }
        Ok(principal)
    }

    /// The principal that is remembered under a digest, or the one that is looked up and then remembered.
    async fn remembered_or(
        &self,
        digest: [u8; 32],
        shown: &Shown<'_>,
        now: i64,
        look_up: impl AsyncFnOnce() -> Result<Principal, Refusal>,
    ) -> Result<Arc<Principal>, Refusal> {
        let is_fresh = |principal: &Arc<Principal>| now.saturating_sub(principal.as_of) < REMEMBER.as_micros() as i64;
        if let Some(principal) = self.remembered.get(&digest).filter(is_fresh) {
            return Ok(principal);
        }
        let address = shown.address.zip(u64::try_from(now).ok());
        if let Some(seconds) = address.and_then(|(address, now)| self.brake.wait(address, now))
            && !self.proven.contains_key(&digest)
        {
            return Err(Refusal::Braked(seconds));
        }
        let known = self.forgotten.load(Ordering::SeqCst);
        let principal = Box::pin(look_up()).await.inspect_err(|refusal| {
            if let (Refusal::Unauthenticated | Refusal::Stranger, Some((address, now))) = (refusal, address) {
                self.brake.note(address, now);
            }
        });
        let principal = Arc::new(principal?);
        self.proven.insert(digest, ());
        self.used.note(principal.tenant, principal.credential, now);
        self.remembered.insert(digest, Arc::clone(&principal));
        // What was looked up may have been changed since.
        if self.forgotten.load(Ordering::SeqCst) != known {
            self.remembered.invalidate(&digest);
        }
        Ok(principal)
    }

    /// Fails when the address of a request has failed to authenticate too often; for who shows something else than a
    /// token, such as a client's secret.
    pub(super) fn check_brake(&self, shown: &Shown<'_>, now: i64) -> Result<(), Refusal> {
        let wait = shown.address.zip(u64::try_from(now).ok()).and_then(|(address, now)| self.brake.wait(address, now));
        wait.map_or(Ok(()), |seconds| Err(Refusal::Braked(seconds)))
    }

    /// Whether the address of a request has failed too often.
    pub fn is_braked(&self, shown: &Shown<'_>, now: i64) -> bool {
        self.check_brake(shown, now).is_err()
    }

    /// Notes that it has failed once more.
    pub fn note_failure(&self, shown: &Shown<'_>, now: i64) {
        if let Some((address, now)) = shown.address.zip(u64::try_from(now).ok()) {
            self.brake.note(address, now);
        }
    }

    /// The keys that check access tokens of the server's own, as they are published.
    pub async fn published_keys(&self, now: i64) -> Result<Vec<Map<String, Value>>, store::Error> {
        self.keyring.published(now).await
    }

    /// Remembers nothing any more: a client was changed, and whom it lets in is asked anew.
    pub fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.remembered.invalidate_all();
        self.standings.invalidate_all();
    }

    async fn look_up(&self, claim: token::Claim, digest: &[u8; 32], now: i64) -> Result<Principal, Refusal> {
        let found = self.directory.store().read(move |reader| {
            let Some(tenant) = reader.tenant(claim.tenant)? else { return Ok(None) };
            Ok(reader.credential(claim.tenant, claim.credential)?.map(|credential| (tenant, credential)))
        });
        let found = found.await.map_err(|error: store::Error| Refusal::from(error))?;
        let (tenant, credential) = found.ok_or(Refusal::Unauthenticated)?;
        let is_token = credential.kind == CredentialKind::Token && token::matches(digest, &credential.digest);
        if !is_token || !credential.holds(now) {
            return Err(Refusal::Unauthenticated);
        }
        let caller = self.directory.caller(claim.tenant, credential.client).await?.ok_or(Refusal::Unauthenticated)?;
        if !tenant.is_active() {
            return Err(Refusal::Suspended);
        }
        Ok(Principal {
            caller: caller.into(),
            tenant: claim.tenant,
            credential: credential.id,
            as_of: now,
            expires_at: credential.expires_at,
            certificate: None,
        })
    }
}

/// The token of a header value; the scheme's name compares without case (RFC 9110 section 11.1).
pub(super) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn the_scheme_is_read_in_any_case_and_nothing_else_is_a_bearer() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
        assert_eq!(bearer(""), None);
    }
}
