//! A compact JWS whose payload is a set of claims, taken apart (RFC 7515 section 3.1, RFC 7519 section 7.2). Strict: one
//! spelling of base64url, no member twice, no extension that must be understood (`crit`), no algorithm that is not
//! asymmetric. Header members that bring or point to a key (`jwk`, `jku`, `x5c`, `x5u`) are not read at all. That a token can
//! be read says nothing about whether it is true: that is what [`Token::is_signed_by`] and [`Claims`] are for.

use serde_json::Value;

use super::{Algorithm, Claims, PublicKey, decode};

/// Longest token that is looked at, in bytes.
pub const LONGEST: usize = 8 * 1024;

/// Longest `kid`, in bytes.
const LONGEST_ID: usize = 512;

/// A token that was read. Nothing it says has been proven.
pub struct Token<'t> {
    /// What was signed.
    message: &'t str,
    signature: Vec<u8>,
    /// `alg`.
    pub algorithm: Algorithm,
    /// `kid`: a name to compare with the names of known keys, and nothing else.
    pub key_id: Option<String>,
    /// `typ` in lower case, without `application/` before it (RFC 7515 section 4.1.9).
    pub kind: Option<String>,
    /// The payload.
    pub claims: Claims,
}

/// A text is no token that could be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a signed token")]
pub struct Malformed;

/// What a text of that form says, however it was signed, if it was at all: for whoever writes down that it was refused.
pub fn unproven(text: &str) -> Option<Claims> {
    let payload = text.split('.').nth(1).filter(|_| text.len() <= LONGEST)?;
    match scim::json::read(&String::from_utf8(decode(payload)?).ok()?).ok()? {
        Value::Object(members) => Some(Claims(members)),
        _ => None,
    }
}

impl<'t> Token<'t> {
    /// Whether a text has the form of a compact JWS, seen without reading it.
    pub fn looks_like_one(text: &str) -> bool {
        text.starts_with("ey") && text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Takes a token apart.
    pub fn read(text: &'t str) -> Result<Self, Malformed> {
        if text.len() > LONGEST {
            return Err(Malformed);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Malformed)?;
        if payload.contains('.') {
            return Err(Malformed);
        }
        let object = |part: &str| {
            let text = String::from_utf8(decode(part)?).ok()?;
            match scim::json::read(&text).ok()? {
                Value::Object(members) => Some(members),
                _ => None,
            }
        };
        let header = object(header).ok_or(Malformed)?;
        let claims = Claims(object(payload).ok_or(Malformed)?);
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(Malformed);
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= LONGEST_ID => Ok(Some(text.clone())),
            Some(_) => Err(Malformed),
        };
        let algorithm = text("alg")?.as_deref().and_then(Algorithm::parse).ok_or(Malformed)?;
        let kind = text("typ")?.map(|kind| kind.to_ascii_lowercase());
        let kind = kind.map(|kind| kind.strip_prefix("application/").map_or(kind.clone(), str::to_owned));
        let signature = decode(signature).filter(|signature| !signature.is_empty()).ok_or(Malformed)?;
        Ok(Token { message, signature, algorithm, key_id: text("kid")?, kind, claims })
    }

    /// Whether the token was signed with the key's private half, in one of the allowed ways.
    pub fn is_signed_by(&self, key: &PublicKey, allowed: &[Algorithm]) -> bool {
        allowed.contains(&self.algorithm) && key.verifies(self.algorithm, self.message.as_bytes(), &self.signature)
    }
}
