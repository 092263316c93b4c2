//! Bearer tokens that are signed (RFC 7519): the server's own access tokens, told apart by the key that signed them, and those
//! of foreign issuers. Whatever is wrong with one, the answer is the one refusal. Who stands behind a token is remembered for
//! a few seconds, so that the next token of the same client asks the database nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use store::{CredentialKind, ResourceId, TenantId};
use uuid::Uuid;

use super::bearer::{Authenticator, Principal, Refusal};
use super::oauth::{self, keys};
use crate::directory::Caller;
use crate::directory::scope::Scopes;
use crate::jose::{Algorithm, Token};

/// A client that may use the register, by a credential or by somebody's word.
pub(super) struct Standing {
    pub(super) caller: Caller,
    /// When the credential ends, µs since 1970.
    pub(super) ends_at: Option<i64>,
    /// When it was read, µs since 1970.
    pub(super) as_of: i64,
}

/// Whose standing: tenant, client, and the credential if there is one.
pub(super) type Whose = (TenantId, ResourceId, Option<Uuid>);

impl Authenticator {
    /// The principal of a signed token; `now` in µs since 1970.
    pub(super) async fn look_up_signed(&self, text: &str, now: i64) -> Result<Principal, Refusal> {
        let token = Token::read(text).map_err(|_| Refusal::Unauthenticated)?;
        if let Some(id) = token.key_id.as_deref().filter(|id| id.starts_with(keys::PREFIX))
            && let Some((key, read_at)) = self.keyring.of_id(id, now).await?
        {
            // The key knows its own algorithm.
            if !token.is_signed_by(&key.public, &Algorithm::ALL) {
                return Err(Refusal::Unauthenticated);
            }
            return self.look_up_own(&token, read_at, now).await;
        }
        self.look_up_foreign(&token, now).await
    }

    async fn look_up_own(&self, token: &Token<'_>, read_at: i64, now: i64) -> Result<Principal, Refusal> {
        let (grant, end) = oauth::grant_of(token, &self.oauth, now).ok_or(Refusal::Unauthenticated)?;
        let standing = self.standing((grant.tenant, grant.client, Some(grant.credential)), now).await?;
        let scopes = Scopes::parse(grant.scope.split_whitespace()).map_err(|_| Refusal::Unauthenticated)?;
        let caller = Caller { scopes: standing.caller.scopes.narrow(&scopes), ..standing.caller.clone() };
        Ok(Principal {
            caller: caller.into(),
            tenant: grant.tenant,
            credential: grant.credential,
            expires_at: Some(standing.ends_at.map_or(end, |ends_at| ends_at.min(end))),
            as_of: standing.as_of.min(read_at),
            certificate: grant.certificate,
        })
    }

    /// A client as it stands now, or did a few seconds ago.
    pub(super) async fn standing(&self, whose: Whose, now: i64) -> Result<Arc<Standing>, Refusal> {
        if let Some(standing) = self.standings.get(&whose) {
            return Ok(standing);
        }
        let known = self.forgotten.load(Ordering::SeqCst);
        let standing = Arc::new(self.look_up_standing(whose, now).await?);
        self.standings.insert(whose, Arc::clone(&standing));
        // What was looked up may have been changed since.
        if self.forgotten.load(Ordering::SeqCst) != known {
            self.standings.invalidate(&whose);
        }
        Ok(standing)
    }

    async fn look_up_standing(&self, (tenant, client, credential): Whose, now: i64) -> Result<Standing, Refusal> {
        let found = self.directory.store().read(move |reader| {
            let Some(found) = reader.tenant(tenant)? else { return Ok(None) };
            let Some(credential) = credential else { return Ok(Some((found, None))) };
            let credential = reader.credential(tenant, credential)?;
            // A bearer token is no way to another.
            let credential = credential.filter(|credential| {
                credential.client == client && credential.kind != CredentialKind::Token && credential.holds(now)
            });
            Ok(credential.map(|credential| (found, credential.expires_at)))
        });
        let found = found.await.map_err(|error: store::Error| Refusal::from(error))?;
        let (found, ends_at) = found.ok_or(Refusal::Unauthenticated)?;
        let caller = self.directory.caller(tenant, client).await?.ok_or(Refusal::Unauthenticated)?;
        if !found.is_active() {
            return Err(Refusal::Suspended);
        }
        Ok(Standing { caller, ends_at, as_of: now })
    }
}
