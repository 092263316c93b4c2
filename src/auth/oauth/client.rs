//! Who asks the token endpoint, by one of four proofs: a secret in the `Authorization` header or in the form (RFC 6749 section
//! 2.3.1), a token that the client has signed, or the certificate of its connection (RFC 8705 section 2). What a client
//! may have is its own business: a scope narrows it and never widens it.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use store::{Credential, CredentialKind, ResourceId, TenantId};
use uuid::Uuid;

use super::access::{Grant, is_resource};
use super::assertion::{self, Assertion};
use super::{AccessToken, Denial, SCIM, TokenRequest};
use crate::auth::bearer::{Authenticator, Refusal, Shown};
use crate::auth::token;
use crate::directory::Caller;
use crate::directory::scope::Scopes;

const SECOND: i64 = 1_000_000;

/// What a client shows of itself.
enum Proof<'r> {
    Secret { id: String, secret: String, by_header: bool },
    Assertion(&'r str),
    Certificate { id: &'r str },
}

impl Proof<'_> {
    /// By what a proof is remembered to have been good once: that of a secret, which comes again and again.
    fn digest(&self) -> [u8; 32] {
        match self {
            Proof::Secret { secret, .. } => token::digest(secret),
            Proof::Assertion(text) => token::digest(text),
            Proof::Certificate { id } => token::digest(id),
        }
    }
}

/// A client that is known, by a credential of its own.
struct Proven {
    tenant: TenantId,
    client: ResourceId,
    credential: Uuid,
    /// What its tokens are bound to.
    certificate: Option<String>,
    /// When it is known no longer, µs since 1970.
    ends_at: Option<i64>,
}

impl Proven {
    fn by(credential: &Credential, tenant: TenantId) -> Self {
        let (client, ends_at) = (credential.client, credential.expires_at);
        Proven { tenant, client, credential: credential.id, certificate: None, ends_at }
    }
}

impl Authenticator {
    /// An access token for a client (RFC 6749 section 4.4). `issuer` is the one of the request, where none is configured;
    /// `now` in µs since 1970.
    pub async fn grant(
        &self,
        request: &TokenRequest,
        shown: &Shown<'_>,
        issuer: &str,
        now: i64,
    ) -> Result<AccessToken, Denial> {
        if !self.keyring.can_sign() {
            return Err(Denial::NoKey);
        }
        let proof = proof(request, shown)?;
        let by_header = matches!(proof, Proof::Secret { by_header: true, .. });
        match request.grant_type.as_deref() {
            Some("client_credentials") => {}
            Some(_) => return Err(Denial::Grant),
            None => return Err(Denial::Request("grant_type is missing. It is client_credentials.")),
        }
        let unknown = || Denial::Client { by_header };
        let digest = proof.digest();
        if let Err(Refusal::Braked(seconds)) = self.check_brake(shown, now)
            && !self.proven.contains_key(&digest)
        {
            return Err(Denial::Braked(seconds));
        }
        let Some(proven) = self.prove(proof, shown, now).await? else {
            self.note_failure(shown, now);
            return Err(unknown());
        };
        self.proven.insert(digest, ());
        let Proven { tenant, client, credential, certificate, ends_at } = proven;
        let standing = self.standing((tenant, client, Some(credential)), now).await;
        let caller = &standing
            .map_err(|refusal| match refusal {
                Refusal::Directory(error) => Denial::Directory(error),
                Refusal::Suspended => Denial::Suspended,
                _ => unknown(),
            })?
            .caller;
        let is_near = |address: IpAddr| caller.networks.iter().any(|network| network.contains(address));
        if !caller.networks.is_empty() && !shown.address.is_some_and(is_near) {
            return Err(unknown());
        }
        self.used.note(tenant, credential, now);
        let settings = &*self.oauth;
        let issuer = settings.issuer.as_deref().unwrap_or(issuer);
        if !request.resources.iter().all(|resource| is_resource(issuer, resource)) {
            return Err(Denial::Target);
        }
        let audience = request.resources.first().cloned().unwrap_or_else(|| format!("{issuer}{SCIM}"));
        let scope = narrowed(caller, request.scope.as_deref())?;
        let lifetime = i64::from(settings.token_seconds) * SECOND;
        let end = ends_at.map_or(now + lifetime, |end| end.min(now + lifetime));
        let grant = Grant { tenant, client, credential, scope, certificate };
        let claims = grant.claims(issuer, &audience, (now, end));
        let signer = self.keyring.signer(settings.algorithm, now).await?;
        let signed = signer.private().map(|private| private.sign(super::access::KIND, &signer.id, &claims));
        let unsigned = || store::Error::Unavailable("no token can be signed".into());
        let token = signed.and_then(Result::ok).ok_or_else(unsigned)?;
        let expires_in = u32::try_from((end - now) / SECOND).unwrap_or_default();
        let (scope, client_name) = (grant.scope, caller.name.clone());
        Ok(AccessToken { token, expires_in, scope, client, credential, client_name, tenant })
    }

    async fn prove(&self, proof: Proof<'_>, shown: &Shown<'_>, now: i64) -> Result<Option<Proven>, Denial> {
        match proof {
            Proof::Secret { id, secret, .. } => self.prove_by_secret(&id, &secret, now).await,
            Proof::Assertion(text) => self.prove_by_assertion(text, now).await,
            Proof::Certificate { id } => self.prove_by_certificate(id, shown, now).await,
        }
    }

    async fn prove_by_secret(&self, id: &str, secret: &str, now: i64) -> Result<Option<Proven>, Denial> {
        let (Some((tenant, client)), Some(claim)) = (token::parse_client_id(id), token::parse_secret(secret)) else {
            return Ok(None);
        };
        if claim.tenant != tenant {
            return Ok(None);
        }
        let credential = self.directory.store().credential(tenant, claim.credential).await?;
        let digest = token::digest(secret);
        let credential = credential.filter(|credential| {
            credential.kind == CredentialKind::Secret
                && credential.client == client
                && token::matches(&digest, &credential.digest)
                && credential.holds(now)
        });
        Ok(credential.map(|credential| Proven::by(&credential, tenant)))
    }

    async fn prove_by_assertion(&self, text: &str, now: i64) -> Result<Option<Proven>, Denial> {
        let Some(assertion) = Assertion::read(text, &self.oauth, now) else { return Ok(None) };
        let (tenant, client) = (assertion.tenant, assertion.client);
        let credentials = self.directory.store().read(move |reader| reader.credentials_of(tenant, client)).await;
        let credentials = credentials.map_err(|error: store::Error| Denial::from(error))?;
        let Some(credential) = assertion.signed_by(credentials, now) else { return Ok(None) };
        // Last of all, so that nobody else can use it up.
        if !self.directory.spend(tenant, client, &assertion.id, now).await? {
            return Ok(None);
        }
        Ok(Some(Proven::by(&credential, tenant)))
    }

    async fn prove_by_certificate(&self, id: &str, shown: &Shown<'_>, now: i64) -> Result<Option<Proven>, Denial> {
        let (Some((tenant, client)), Some(certificate)) = (token::parse_client_id(id), shown.certificate) else {
            return Ok(None);
        };
        let holder = match self.holder(certificate, now).await {
            Ok(holder) => holder,
            Err(Refusal::Directory(error)) => return Err(Denial::Directory(error)),
            Err(Refusal::Suspended) => return Err(Denial::Suspended),
            Err(_) => return Ok(None),
        };
        if (holder.tenant, holder.caller.id) != (tenant, client) {
            return Ok(None);
        }
        let (credential, ends_at) = (holder.credential, holder.expires_at);
        Ok(Some(Proven { tenant, client, credential, certificate: Some(certificate.thumbprint_text()), ends_at }))
    }
}

/// The one proof that a request has. Fails with `invalid_request` for several (RFC 6749 section 2.3), and with
/// `invalid_client` for none.
fn proof<'r>(request: &'r TokenRequest, shown: &Shown<'_>) -> Result<Proof<'r>, Denial> {
    const SEVERAL: Denial = Denial::Request("The client proves itself in several ways. One is right.");
    let id = request.client_id.as_deref();
    let in_form = request.client_secret.is_some() || request.client_assertion.is_some();
    if let Some(header) = shown.authorization {
        let (id_there, secret) = basic(header).ok_or(Denial::Client { by_header: true })?;
        if in_form || id.is_some_and(|id| id != id_there) {
            return Err(SEVERAL);
        }
        return Ok(Proof::Secret { id: id_there, secret, by_header: true });
    }
    match (&request.client_secret, &request.client_assertion, id) {
        (Some(_), Some(_), _) => Err(SEVERAL),
        (None, Some(text), _) => match request.client_assertion_type.as_deref() {
            Some(assertion::TYPE) => Ok(Proof::Assertion(text)),
            _ => Err(Denial::Request("client_assertion_type is not the one of signed tokens (RFC 7523).")),
        },
        (Some(secret), None, Some(id)) => {
            Ok(Proof::Secret { id: id.to_owned(), secret: secret.clone(), by_header: false })
        }
        (None, None, Some(id)) if shown.certificate.is_some() => Ok(Proof::Certificate { id }),
        _ => Err(Denial::Client { by_header: false }),
    }
}

/// Id and secret of an `Authorization: Basic` header; each is written as in a form first (RFC 6749 section 2.3.1).
pub(in crate::auth) fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, text) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    // Nothing that we hand out needs an escape; what has one is somebody else's.
    Some((id.to_owned(), secret.to_owned()))
}

/// What a token may do: what its client may, or that part of it which was asked for.
fn narrowed(caller: &Caller, asked: Option<&str>) -> Result<String, Denial> {
    let Some(asked) = asked else { return Ok(caller.scopes.to_string()) };
    let wanted = Scopes::parse(asked.split_whitespace())
        .map_err(|text| Denial::Scope(format!("There is no scope {}.", text.escape_debug())))?;
    let granted = caller.scopes.narrow(&wanted);
    if granted != wanted || wanted == Scopes::default() {
        return Err(Denial::Scope(format!("This client has the scope {}.", caller.scopes)));
    }
    Ok(granted.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_proof() {
        let encoded = STANDARD.encode("mc_1_a:ms_1_b");
        let header = format!("Basic {encoded}");
        let by_header = Shown { authorization: Some(&header), ..Shown::default() };
        let text = |text: &str| Some(text.to_owned());
        let in_form = TokenRequest { client_id: text("a"), client_secret: text("b"), ..TokenRequest::default() };
        let signed = TokenRequest {
            client_assertion: text("c"),
            client_assertion_type: text(assertion::TYPE),
            ..TokenRequest::default()
        };
        let nothing = TokenRequest::default();
        assert!(matches!(proof(&nothing, &by_header), Ok(Proof::Secret { by_header: true, .. })));
        assert!(matches!(proof(&in_form, &Shown::default()), Ok(Proof::Secret { by_header: false, .. })));
        assert!(matches!(proof(&signed, &Shown::default()), Ok(Proof::Assertion("c"))));
        assert!(matches!(proof(&in_form, &by_header), Err(Denial::Request(_))));
        assert!(matches!(proof(&signed, &by_header), Err(Denial::Request(_))));
        assert!(matches!(proof(&nothing, &Shown::default()), Err(Denial::Client { by_header: false })));
        let both = TokenRequest { client_secret: text("b"), ..signed };
        assert!(matches!(proof(&both, &Shown::default()), Err(Denial::Request(_))));
        for header in ["Bearer x", "Basic", "Basic !", "Basic YQ=="] {
            let shown = Shown { authorization: Some(header), ..Shown::default() };
            assert!(matches!(proof(&nothing, &shown), Err(Denial::Client { by_header: true })), "{header}");
        }
    }
}
