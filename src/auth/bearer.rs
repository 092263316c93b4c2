//! From an `Authorization: Bearer` header (RFC 6750 section 2.1) to a [`Principal`].
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
use store::TenantId;
use uuid::Uuid;

use super::certificate::PeerCertificate;
use super::token;
use crate::directory::{self, Caller, Directory};

const REMEMBER: Duration = Duration::from_secs(5);
const REMEMBER_AT_MOST: u64 = 10_000;

/// The authenticated client of a request.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The client, its role and its profile.
    pub caller: Caller,
    /// The tenant the client belongs to.
    pub tenant: TenantId,
    /// The credential that was shown.
    pub credential: Uuid,
    /// When the credential ends, in µs since the epoch.
    expires_at: Option<i64>,
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
    /// The token is valid, and its tenant suspended.
    #[error("the tenant is suspended")]
    Suspended,
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
    directory: Directory,
    remembered: Cache<[u8; 32], Arc<Principal>>,
    /// How often everything was forgotten.
    forgotten: Arc<AtomicU64>,
}

impl Authenticator {
    /// An authenticator over the credentials of the directory's store.
    pub fn new(directory: Directory) -> Self {
        let remembered = Cache::builder().max_capacity(REMEMBER_AT_MOST).time_to_live(REMEMBER).build();
        Authenticator { directory, remembered, forgotten: Arc::default() }
    }

    /// The principal of a request; `now` in µs since the epoch.
    pub async fn authenticate(&self, shown: &Shown<'_>, now: i64) -> Result<Arc<Principal>, Refusal> {
        let token = shown.authorization.and_then(bearer).ok_or(Refusal::Unauthenticated)?;
        let digest = token::digest(token);
        let principal = match self.remembered.get(&digest) {
            Some(principal) => principal,
            None => {
                let claim = token::parse(token).ok_or(Refusal::Unauthenticated)?;
                let known = self.forgotten.load(Ordering::SeqCst);
                let principal = Arc::new(self.look_up(claim, &digest, now).await?);
                self.remembered.insert(digest, Arc::clone(&principal));
                // What was looked up may have been changed since.
                if self.forgotten.load(Ordering::SeqCst) != known {
                    self.remembered.invalidate(&digest);
                }
                principal
            }
        };
        // The end is tested at every request, not only when the credential was looked up.
        if principal.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::Unauthenticated);
        }
        Ok(principal)
    }

    /// Remembers nothing any more: a client was changed, and whom it lets in is asked anew.
    pub fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.remembered.invalidate_all();
    }

    async fn look_up(&self, claim: token::Claim, digest: &[u8; 32], now: i64) -> Result<Principal, Refusal> {
        let found = self.directory.store().read(move |reader| {
            let Some(tenant) = reader.tenant(claim.tenant)? else { return Ok(None) };
            Ok(reader.credential(claim.tenant, claim.credential)?.map(|credential| (tenant, credential)))
        });
        let found = found.await.map_err(|error: store::Error| Refusal::from(error))?;
        let (tenant, credential) = found.ok_or(Refusal::Unauthenticated)?;
        if !token::matches(digest, &credential.digest) || credential.revoked_at.is_some() {
            return Err(Refusal::Unauthenticated);
        }
        if credential.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::Unauthenticated);
        }
        let caller = self.directory.caller(claim.tenant, credential.client).await?.ok_or(Refusal::Unauthenticated)?;
        if !tenant.is_active() {
            return Err(Refusal::Suspended);
        }
        Ok(Principal { caller, tenant: claim.tenant, credential: credential.id, expires_at: credential.expires_at })
    }
}

/// The token of a header value; the scheme's name compares without case (RFC 9110 section 11.1).
fn bearer(header: &str) -> Option<&str> {
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
