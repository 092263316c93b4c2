//! Making credentials: a token or secret that is shown once and forgotten, or what is public of a key or certificate that
//! the client keeps to itself. Reads what an administrator asks for, strictly; stores nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use store::{CredentialKind, TenantId};
use uuid::Uuid;

use super::token;
use crate::directory::clients::NewCredential;
use crate::directory::{Random, Rule};
use crate::jose::PublicKey;

/// How long a token or secret is good when nobody says.
pub const USUAL_DAYS: i64 = 365;
/// µs.
pub const DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// Longest name of a credential, in characters.
const LABEL: usize = 200;

/// A credential to be.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// What it is.
    pub kind: CredentialKind,
    /// What people call it.
    pub label: Option<String>,
    /// µs since 1970; `None`: it works at once.
    pub starts_at: Option<i64>,
    /// µs since 1970; `None`: a year from its start for a token or secret, never for others.
    pub expires_at: Option<i64>,
    /// The JWK of a key.
    pub jwk: Option<Map<String, Value>>,
    /// The rule of a certificate.
    pub certificate: Option<Value>,
}

/// A credential that was made.
pub struct Issued {
    /// What is stored.
    pub credential: NewCredential,
    /// The token or secret, to be shown this once.
    pub secret: Option<String>,
}

impl Wanted {
    /// Reads a message. Fails with 400 invalidSyntax for a member that is not known, invalidValue for one that is no
    /// good. Repeats nothing of a key.
    pub fn read(body: &Value) -> Result<Self, scim::Error> {
        let body = body.as_object().ok_or_else(|| scim::Error::invalid_syntax("The body is not a JSON object."))?;
        let mut wanted = Wanted::default();
        let text = |name: &str, value: &Value| match value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            _ => Err(scim::Error::invalid_value(format!("{name} must be a text."))),
        };
        let instant = |name: &str, value: &Value| {
            let no_date = || {
                let detail = format!("{name} must be a date and time with its zone, such as 2027-01-31T08:00:00Z.");
                scim::Error::invalid_value(detail)
            };
            text(name, value)?.map(|text| scim::key::instant(&text).ok_or_else(no_date)).transpose()
        };
        let mut has_kind = false;
        for (name, value) in body {
            match name.as_str() {
                "kind" => {
                    let kind = text("kind", value)?.and_then(|kind| CredentialKind::parse(&kind));
                    wanted.kind = kind.ok_or_else(no_kind)?;
                    has_kind = true;
                }
                "label" => wanted.label = text("label", value)?,
                "startsAt" => wanted.starts_at = instant("startsAt", value)?,
                "expiresAt" => wanted.expires_at = instant("expiresAt", value)?,
                "jwk" => {
                    let jwk = value.as_object().cloned();
                    wanted.jwk = Some(jwk.ok_or_else(|| scim::Error::invalid_value("jwk must be an object."))?);
                }
                "certificate" => wanted.certificate = Some(value.clone()),
                "schemas" => {}
                name => {
                    return Err(scim::Error::invalid_syntax(format!("A credential has no member {name:?}.")));
                }
            }
        }
        if has_kind { Ok(wanted) } else { Err(no_kind()) }
    }

    /// Makes it at `now`, in µs since 1970. Fails with 400 invalidValue for dates, a key or a rule that are no good.
    pub fn issue(self, tenant: TenantId, now: i64) -> Result<Issued, scim::Error> {
        let invalid = |detail: &str| Err(scim::Error::invalid_value(detail));
        if self.label.as_ref().is_some_and(|label| label.chars().count() > LABEL) {
            return Err(scim::Error::invalid_value(format!("label may have at most {LABEL} characters.")));
        }
        let (is_key, is_certificate) = (self.kind == CredentialKind::Key, self.kind == CredentialKind::Certificate);
        if is_key != self.jwk.is_some() {
            return invalid("jwk belongs to the kind key, and the kind key needs one.");
        }
        if is_certificate != self.certificate.is_some() {
            return invalid("certificate belongs to the kind certificate, and the kind certificate needs one.");
        }
        let begin = self.starts_at.unwrap_or(now);
        let usual = (!is_key && !is_certificate).then(|| begin.saturating_add(USUAL_DAYS * DAY));
        let expires_at = self.expires_at.or(usual);
        if expires_at.is_some_and(|end| end <= begin || end <= now) {
            return invalid("expiresAt must lie ahead, and after startsAt.");
        }
        let broken = |_| scim::Error::status(500, "There is no randomness.");
        let id = Random::os().resource_id(now).map_err(|_| scim::Error::status(500, "There is no randomness."))?.0;
        let id = match self.kind {
            // Nobody learns from a token when it was made.
            CredentialKind::Token | CredentialKind::Secret => Uuid::new_v4(),
            _ => id,
        };
        let (digest, material, secret) = match self.kind {
            CredentialKind::Token => {
                let minted = token::mint(tenant, id, &token::random_bytes().map_err(broken)?);
                (minted.digest, None, Some(minted.token))
            }
            CredentialKind::Secret => {
                let minted = token::mint_secret(tenant, id, &token::random_bytes().map_err(broken)?);
                (minted.digest, None, Some(minted.token))
            }
            CredentialKind::Key => {
                let jwk = self.jwk.unwrap_or_default();
                let key = PublicKey::from_jwk(&jwk)
                    .map_err(|error| scim::Error::invalid_value(format!("The jwk {error}.")))?;
                let mut public = key.to_jwk();
                for name in ["kid", "alg"] {
                    if let Some(value) = jwk.get(name).filter(|value| value.is_string()) {
                        public.insert(name.to_owned(), value.clone());
                    }
                }
                (key.thumbprint().to_vec(), Some(Value::Object(public).to_string()), None)
            }
            CredentialKind::Certificate => {
                let rule = Rule::parse(&self.certificate.unwrap_or_default())?;
                let material = rule.material().to_string();
                (Sha256::digest(material.as_bytes()).to_vec(), Some(material), None)
            }
        };
        let (kind, label, starts_at) = (self.kind, self.label.filter(|label| !label.is_empty()), self.starts_at);
        Ok(Issued { credential: NewCredential { id, kind, digest, label, material, starts_at, expires_at }, secret })
    }
}

impl Issued {
    /// A token that ends then; `None`: never.
    pub fn token(tenant: TenantId, expires_at: Option<i64>) -> Result<Self, openssl::error::ErrorStack> {
        let id = Uuid::new_v4();
        let minted = token::mint(tenant, id, &token::random_bytes()?);
        let credential = NewCredential { id, digest: minted.digest, expires_at, ..NewCredential::default() };
        Ok(Issued { credential, secret: Some(minted.token) })
    }
}

/// The rule of a certificate that a PEM text holds: its key, whoever issued it.
pub fn pin_of(pem: &[u8]) -> Result<Value, openssl::error::ErrorStack> {
    let certificate = openssl::x509::X509::from_pem(pem)?;
    let key = Sha256::digest(certificate.public_key()?.public_key_to_der()?);
    Ok(serde_json::json!({ "spki": STANDARD.encode(key) }))
}

fn no_kind() -> scim::Error {
    scim::Error::invalid_value("kind must be one of: token, secret, key, certificate.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_790_000_000_000_000;

    fn issue(body: &Value) -> Result<Issued, scim::Error> {
        Wanted::read(body)?.issue(TenantId(7), NOW)
    }

    #[test]
    fn a_token_and_a_secret_are_shown_and_their_digests_kept() {
        for (kind, prefix) in [("token", "mk_7_"), ("secret", "ms_7_")] {
            let issued = issue(&json!({ "kind": kind, "label": "nightly" })).expect("issued");
            let secret = issued.secret.expect("a secret");
            assert!(secret.starts_with(prefix), "{kind}");
            assert_eq!(issued.credential.digest, token::digest(&secret));
            assert_eq!(issued.credential.expires_at, Some(NOW + USUAL_DAYS * DAY));
            assert_eq!(issued.credential.label.as_deref(), Some("nightly"));
        }
    }

    #[test]
    fn of_a_key_only_what_is_public_is_kept() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k1", "note": "mine" });
        let issued = issue(&json!({ "kind": "key", "jwk": jwk })).expect("issued");
        let material: Value = serde_json::from_str(&issued.credential.material.expect("a key")).expect("JSON");
        assert_eq!(material, json!({ "crv": "Ed25519", "kty": "OKP", "x": x, "kid": "k1" }));
        assert!(issued.secret.is_none() && issued.credential.expires_at.is_none());
    }

    #[test]
    fn what_is_no_good_is_refused_and_a_private_key_is_not_repeated() {
        let private = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A" });
        let table = [
            json!([]),
            json!({}),
            json!({ "kind": "password" }),
            json!({ "kind": "token", "colour": "blue" }),
            json!({ "kind": "token", "label": 7 }),
            json!({ "kind": "token", "label": "x".repeat(201) }),
            json!({ "kind": "token", "expiresAt": "tomorrow" }),
            json!({ "kind": "token", "expiresAt": "2020-01-01T00:00:00Z" }),
            json!({ "kind": "token", "startsAt": "2029-01-01T00:00:00Z", "expiresAt": "2028-01-01T00:00:00Z" }),
            json!({ "kind": "token", "jwk": {} }),
            json!({ "kind": "key" }),
            json!({ "kind": "key", "jwk": "x" }),
            json!({ "kind": "key", "jwk": { "kty": "oct", "k": "c2VjcmV0" } }),
            json!({ "kind": "key", "jwk": private }),
            json!({ "kind": "certificate" }),
            json!({ "kind": "certificate", "certificate": { "everybody": "yes" } }),
        ];
        for body in table {
            let Err(error) = issue(&body) else { panic!("{body} is issued") };
            assert_eq!(error.status, 400, "{body}");
            assert!(!error.detail.contains("nWGxne"), "{}", error.detail);
        }
    }

    #[test]
    fn a_certificate_is_known_by_its_rule() {
        let body = json!({ "kind": "certificate", "certificate": { "dns": "HR.example.SE" } });
        let issued = issue(&body).expect("issued");
        assert_eq!(issued.credential.material.as_deref(), Some("{\"dns\":\"hr.example.se\"}"));
    }
}
