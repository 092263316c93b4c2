//! `private_key_jwt` (RFC 7523 sections 2.2 and 3): a client proves itself with a token that it has signed. Such a token
//! names this issuer as its audience, lives shortly, and is taken once.

use serde_json::{Map, Value};
use store::{Credential, CredentialKind, ResourceId, TenantId};

use super::{Settings, TOKEN_ENDPOINT};
use crate::auth::token;
use crate::jose::{Algorithm, PublicKey, Token, encode};

/// `client_assertion_type` of such a token.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const SECOND: i64 = 1_000_000;
/// How far clocks may differ, in µs.
const LEEWAY: i64 = 60 * SECOND;
/// How long such a token may live at most, in µs. Its id is remembered for longer.
const LONGEST: i64 = 3_600 * SECOND;
const LONGEST_ID: usize = 256;
/// `typ` that it may have; none is what most libraries write (RFC 7523bis names the last).
const KINDS: [&str; 2] = ["jwt", "client-authentication+jwt"];

/// A token that says to be from a client. Its signature is yet to be checked.
pub(super) struct Assertion<'t> {
    token: Token<'t>,
    pub(super) tenant: TenantId,
    pub(super) client: ResourceId,
    /// `jti`.
    pub(super) id: String,
}

impl<'t> Assertion<'t> {
    /// Reads one; `None`: it says something that cannot be accepted from any client.
    pub(super) fn read(text: &'t str, settings: &Settings, now: i64) -> Option<Self> {
        let token = Token::read(text).ok()?;
        if token.kind.as_deref().is_some_and(|kind| !KINDS.contains(&kind)) {
            return None;
        }
        let claims = &token.claims;
        let issuer = settings.issuer.as_deref()?;
        let endpoint = format!("{issuer}{TOKEN_ENDPOINT}");
        if !claims.audiences().iter().any(|audience| *audience == issuer || *audience == endpoint) {
            return None;
        }
        let end = claims.check_times(now, LEEWAY).ok()?;
        let id = claims.text("jti").filter(|id| (1..=LONGEST_ID).contains(&id.len()))?.to_owned();
        if end > now + LONGEST + LEEWAY || claims.text("iss")? != claims.text("sub")? {
            return None;
        }
        let (tenant, client) = token::parse_client_id(claims.text("sub")?)?;
        Some(Assertion { token, tenant, client, id })
    }

    /// The credential among a client's whose key has signed it.
    pub(super) fn signed_by(&self, credentials: Vec<Credential>, now: i64) -> Option<Credential> {
        let keys = credentials.into_iter().filter(|one| one.kind == CredentialKind::Key && one.holds(now));
        let mut keys = keys.filter_map(|credential| {
            let jwk: Map<String, Value> = serde_json::from_str(credential.material.as_deref()?).ok()?;
            Some((PublicKey::from_jwk(&jwk).ok()?, credential))
        });
        let is_meant = |key: &PublicKey, credential: &Credential| match &self.token.key_id {
            None => true,
            Some(id) => {
                key.id.as_ref() == Some(id) || *id == encode(&key.thumbprint()) || *id == credential.id.to_string()
            }
        };
        let signed =
            keys.find(|(key, credential)| is_meant(key, credential) && self.token.is_signed_by(key, &Algorithm::ALL));
        signed.map(|(_, credential)| credential)
    }
}
