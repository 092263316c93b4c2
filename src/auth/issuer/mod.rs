//! Tokens of foreign issuers (RFC 7519, RFC 9068): whose they are, and what they must say. An issuer and an audience lead to
//! one register and what it knows of the issuer; its keys are kept by [`keys`] and come by [`fetch`]. A token's own header
//! names a key at most; where the keys are is not its to say.

pub mod fetch;
pub mod keys;

use store::{ResourceId, TenantId};

use super::bearer::{Authenticator, Principal, Refusal};
use crate::directory::Caller;
use crate::directory::issuers::{Issuer, Rule, route};
use crate::jose::{Claims, Token};

/// `typ` that a token may have; most issuers write the first (RFC 7519 section 5.1), RFC 9068 the second.
const KINDS: [&str; 2] = ["jwt", "at+jwt"];
/// Audiences of one token that are looked up.
const AUDIENCES: usize = 8;

impl Authenticator {
    /// The principal of a token that somebody else has signed; `now` in µs since 1970.
    pub(super) async fn look_up_foreign(&self, token: &Token<'_>, now: i64) -> Result<Principal, Refusal> {
        const NO: Refusal = Refusal::Unauthenticated;
        if token.kind.as_deref().is_some_and(|kind| !KINDS.contains(&kind)) {
            return Err(NO);
        }
        let claims = &token.claims;
        let (tenant, issuer) = self.directory.issuer(routes(claims)).await?.ok_or(NO)?;
        let keys = self.issuers.keys(tenant, &issuer, token, now).await?;
        if !keys.iter().any(|key| token.is_signed_by(key, &issuer.algorithms)) {
            return Err(NO);
        }
        let end = claims.check_times(now, issuer.leeway).map_err(|_| NO)?;
        let certificate = match claims.0.get("cnf") {
            None => None,
            // A token that is bound to something that is not understood is good for nothing.
            Some(bound) => Some(bound.get("x5t#S256").and_then(|value| value.as_str()).ok_or(NO)?.to_owned()),
        };
        let rule = issuer.rules.iter().find(|rule| is_fulfilled(rule, claims)).ok_or(NO)?;
        let standing = self.standing((tenant, rule.client, None), now).await?;
        let user = self.user_of(tenant, &issuer, &standing.caller, claims).await?;
        Ok(Principal {
            caller: Caller { user, ..standing.caller.clone() }.into(),
            tenant,
            credential: issuer.id.0,
            expires_at: Some(end.saturating_add(issuer.leeway)),
            as_of: standing.as_of,
            certificate,
        })
    }

    /// The user that a token names; `None`: it names none. Who is named must be there and active.
    async fn user_of(
        &self,
        tenant: TenantId,
        issuer: &Issuer,
        caller: &Caller,
        claims: &Claims,
    ) -> Result<Option<ResourceId>, Refusal> {
        let Some((claim, attribute)) = &issuer.user else { return Ok(None) };
        let values = claims.values_at(claim);
        let [value] = values.as_slice() else {
            return if claims.0.contains_key(claim) { Err(Refusal::Unauthenticated) } else { Ok(None) };
        };
        let user = self.directory.user_named(tenant, caller.domain, *attribute, value).await?;
        user.map(Some).ok_or(Refusal::Unauthenticated)
    }
}

/// What leads from a token's issuer and audiences to a register.
pub(super) fn routes(claims: &Claims) -> Vec<String> {
    let Some(named) = claims.text("iss") else { return Vec::new() };
    claims.audiences().into_iter().take(AUDIENCES).map(|audience| route(named, audience)).collect()
}

fn is_fulfilled(rule: &Rule, claims: &Claims) -> bool {
    claims.values_at(&rule.claim).iter().any(|value| *value == rule.value)
}
