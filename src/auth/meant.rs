//! Which register a refused request was meant for, by what it shows of itself: the tenant in a token or in the name of a
//! client, the one that an issuer or a certificate leads to. Asked when the refusal is decided, for the audit alone.
//! Nothing of it is believed, and nobody gets in by it.

use store::{ResourceId, TenantId};
use uuid::Uuid;

use super::bearer::{Authenticator, Shown, bearer};
use super::certificate::PeerCertificate;
use super::oauth::{self, TokenRequest};
use super::{issuer, token};
use crate::jose::{Token, unproven};

/// What a request says of itself, which is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meant {
    /// The register. Whether there is such a one is not certain either.
    pub tenant: TenantId,
    /// The client that it says to be.
    pub client: Option<ResourceId>,
    /// The credential, or the issuer, that it says to come by.
    pub credential: Option<Uuid>,
}

impl Meant {
    fn tenant(tenant: TenantId) -> Self {
        Meant { tenant, client: None, credential: None }
    }

    fn of_claim(claim: token::Claim) -> Self {
        Meant { credential: Some(claim.credential), ..Meant::tenant(claim.tenant) }
    }

    fn of_client_id(text: &str) -> Option<Self> {
        let (tenant, client) = token::parse_client_id(text)?;
        Some(Meant { client: Some(client), ..Meant::tenant(tenant) })
    }
}

impl Authenticator {
    /// The register that a refused request was meant for. Without `may_look_up` the database is not asked, as for who was
    /// told to wait. What cannot be found out is not known.
    pub async fn meant(&self, shown: &Shown<'_>, may_look_up: bool, now: i64) -> Option<Meant> {
        let Some(authorization) = shown.authorization else {
            return self.meant_by(shown.certificate.filter(|_| may_look_up)?, now).await;
        };
        let text = bearer(authorization)?;
        if !Token::looks_like_one(text) {
            return token::parse(text).map(Meant::of_claim);
        }
        let claims = unproven(text)?;
        if let Some(meant) = oauth::meant_by(&claims) {
            return Some(meant);
        }
        if !may_look_up {
            return None;
        }
        let (tenant, issuer) = self.directory.issuer(issuer::routes(&claims)).await.ok()??;
        Some(Meant { credential: Some(issuer.id.0), ..Meant::tenant(tenant) })
    }

    /// The same for a certificate: where the first of its rules leads that leads anywhere.
    async fn meant_by(&self, certificate: &PeerCertificate, now: i64) -> Option<Meant> {
        let routes: Vec<String> = self.fulfilled(certificate, now).iter().map(|one| one.rule.route()).collect();
        let found = self.directory.store().read(move |reader| {
            for route in routes {
                if let Some(route) = reader.route(&route)? {
                    return Ok::<_, store::Error>(Some(route));
                }
            }
            Ok(None)
        });
        let route = found.await.ok()??;
        Some(Meant { client: route.target, ..Meant::tenant(route.tenant) })
    }
}

/// The same for a request at the token endpoint, by the `client_id`, the secret or the signed token that it shows. Never asks
/// the database: all of them name their tenant.
pub fn meant_at_endpoint(request: &TokenRequest, shown: &Shown<'_>) -> Option<Meant> {
    let by_header = shown.authorization.and_then(oauth::basic);
    let header = by_header.as_ref().map(|(id, secret)| (id.as_str(), secret.as_str()));
    let (id, secret) = match header {
        Some((id, secret)) => (Some(id), Some(secret)),
        None => (request.client_id.as_deref(), request.client_secret.as_deref()),
    };
    let claim = secret.and_then(token::parse_secret);
    let assertion = request.client_assertion.as_deref().and_then(unproven);
    let subject = assertion.as_ref().and_then(|claims| claims.text("sub"));
    match id.and_then(Meant::of_client_id).or_else(|| subject.and_then(Meant::of_client_id)) {
        // A secret of another register says nothing of this one.
        Some(meant) => {
            let claim = claim.filter(|claim| claim.tenant == meant.tenant);
            Some(Meant { credential: claim.map(|claim| claim.credential), ..meant })
        }
        None => claim.map(Meant::of_claim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_a_token_says_whose_it_is() {
        let (tenant, client, credential) = (TenantId(7), ResourceId(Uuid::from_u128(1)), Uuid::from_u128(2));
        let id = token::client_id(tenant, client);
        let own = token::mint_secret(tenant, credential, &[1; 32]).token;
        let foreign = token::mint_secret(TenantId(8), credential, &[1; 32]).token;
        let of = |id: Option<&str>, secret: Option<&str>| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let request = TokenRequest { client_id: text(id), client_secret: text(secret), ..TokenRequest::default() };
            meant_at_endpoint(&request, &Shown::default())
        };
        let meant = Meant { tenant, client: Some(client), credential: None };
        let with_credential = Meant { credential: Some(credential), ..meant };
        assert_eq!(of(Some(&id), Some(&own)), Some(with_credential));
        assert_eq!(of(Some(&id), Some(&foreign)), Some(meant), "the client is asked for, whatever is shown");
        assert_eq!(of(Some(&id), None), Some(meant));
        assert_eq!(of(None, Some(&own)), Some(Meant { client: None, ..with_credential }));
        assert_eq!(of(Some("hr"), Some("secret")), None);
        assert_eq!(of(None, None), None);
    }
}
