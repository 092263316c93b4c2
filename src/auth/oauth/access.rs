//! Access tokens: JWT with the profile of RFC 9068, made at the token endpoint and checked at every request. Checking one
//! takes the signature and what is known of its client; that is remembered for a few seconds like any other token.

use serde_json::{Map, Value, json};
use store::{ResourceId, TenantId};
use uuid::Uuid;

use super::{SCIM, Settings};
use crate::auth::{Meant, token};
use crate::jose::{Claims, Token};

/// `typ` of access tokens (RFC 9068 section 2.1).
pub(super) const KIND: &str = "at+jwt";
/// The claim that names the credential.
const CREDENTIAL: &str = "credential";
const SECOND: i64 = 1_000_000;

/// A token that was just made, and what is said of it (RFC 6749 section 5.1).
pub struct AccessToken {
    /// The text for the client.
    pub token: String,
    /// Seconds until it ends.
    pub expires_in: u32,
    /// What it may do.
    pub scope: String,
    /// The client.
    pub client: ResourceId,
    /// The credential that it was had with.
    pub credential: Uuid,
    /// The client's name, for logs.
    pub client_name: std::sync::Arc<str>,
    /// The client's tenant, for logs.
    pub tenant: TenantId,
}

/// What a token of ours says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::auth) struct Grant {
    /// Whose client it is.
    pub(in crate::auth) tenant: TenantId,
    /// The client.
    pub(in crate::auth) client: ResourceId,
    /// The credential that it was had with.
    pub(in crate::auth) credential: Uuid,
    /// What it may do at most.
    pub(in crate::auth) scope: String,
    /// SHA-256 of the certificate that it is bound to (RFC 8705 section 3.1).
    pub(in crate::auth) certificate: Option<String>,
}

impl Grant {
    /// The claims of a token with that grant.
    pub(super) fn claims(&self, issuer: &str, audience: &str, (now, end): (i64, i64)) -> Map<String, Value> {
        let client = token::client_id(self.tenant, self.client);
        let claims = json!({
            "iss": issuer, "aud": audience, "sub": client, "client_id": client, "iat": now / SECOND, "exp": end / SECOND,
            "jti": Uuid::new_v4().simple().to_string(), "scope": self.scope,
            CREDENTIAL: self.credential.simple().to_string(),
        });
        let mut claims = claims.as_object().cloned().unwrap_or_default();
        if let Some(thumbprint) = &self.certificate {
            claims.insert("cnf".into(), json!({ "x5t#S256": thumbprint }));
        }
        claims
    }

    fn read(claims: &Claims) -> Option<Self> {
        let (tenant, client) = token::parse_client_id(claims.text("client_id")?)?;
        let certificate = match claims.0.get("cnf") {
            None => None,
            // A token that is bound to something that is not understood is good for nothing.
            Some(confirmation) => Some(confirmation.get("x5t#S256")?.as_str()?.to_owned()),
        };
        Some(Grant {
            tenant,
            client,
            credential: Uuid::try_parse(claims.text(CREDENTIAL)?).ok()?,
            scope: claims.text("scope")?.to_owned(),
            certificate,
        })
    }
}

/// The grant of a token whose signature was found to be ours, and its end in µs since 1970. `None`: it is no access token, is
/// over, or is for something else.
pub(in crate::auth) fn grant_of(token: &Token<'_>, settings: &Settings, now: i64) -> Option<(Grant, i64)> {
    if token.kind.as_deref() != Some(KIND) {
        return None;
    }
    let claims = &token.claims;
    if let Some(issuer) = &settings.issuer {
        let is_ours = |audience: &&str| is_resource(issuer, audience);
        if claims.text("iss") != Some(issuer) || !claims.audiences().iter().any(is_ours) {
            return None;
        }
    }
    // Our own clock has set the dates.
    let end = claims.check_times(now, 0).ok()?;
    Some((Grant::read(claims)?, end))
}

/// Whose register a token says to be for, whoever has signed it.
pub(in crate::auth) fn meant_by(claims: &Claims) -> Option<Meant> {
    let (tenant, client) = token::parse_client_id(claims.text("client_id")?)?;
    let credential = claims.text(CREDENTIAL).and_then(|id| Uuid::try_parse(id).ok());
    Some(Meant { tenant, client: Some(client), credential })
}

/// Whether a URL is the SCIM interface below the issuer, by its one name or by a tenant's.
pub(super) fn is_resource(issuer: &str, url: &str) -> bool {
    let Some(path) = url.strip_prefix(issuer) else { return false };
    let tenant = |path: &str| {
        let slug = path.strip_prefix("/t/")?.strip_suffix(SCIM)?;
        Some(!slug.is_empty() && !slug.contains('/'))
    };
    path == SCIM || tenant(path) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_the_interface_of_the_issuer() {
        let issuer = "https://id.example.se";
        for url in ["https://id.example.se/scim/v2", "https://id.example.se/t/storstad/scim/v2"] {
            assert!(is_resource(issuer, url), "{url}");
        }
        for url in [
            "https://id.example.se",
            "https://id.example.se/scim/v2/",
            "https://id.example.se.evil.example/scim/v2",
            "https://id.example.se/t//scim/v2",
            "https://id.example.se/t/a/b/scim/v2",
            "urn:matrikel",
        ] {
            assert!(!is_resource(issuer, url), "{url}");
        }
    }

    #[test]
    fn what_is_granted_reads_back_from_the_claims() {
        let bound = Grant {
            tenant: TenantId(7),
            client: ResourceId(Uuid::from_u128(1)),
            credential: Uuid::from_u128(2),
            scope: "*:read".into(),
            certificate: Some("abc".into()),
        };
        for grant in [bound.clone(), Grant { certificate: None, ..bound }] {
            let claims = Claims(grant.claims("https://a", "https://a/scim/v2", (0, 600 * SECOND)));
            assert_eq!(claims.instant("exp"), Some(600 * SECOND));
            assert_eq!(Grant::read(&claims), Some(grant));
        }
        let unknown = json!({ "client_id": token::client_id(TenantId(1), ResourceId(Uuid::nil())), "scope": "",
            "credential": Uuid::nil().to_string(), "cnf": { "jkt": "abc" } });
        assert_eq!(Grant::read(&Claims(unknown.as_object().expect("an object").clone())), None);
    }
}
