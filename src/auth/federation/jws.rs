//! Signed metadata: a JWS in its general JSON form (RFC 7515 section 7.2.1) whose protected header says who signed it, when,
//! and until when it holds (RFC 9932 section 6.4). One signature by a key of the anchor is enough; nothing that stands
//! outside the protected header is read.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::key::{PublicKey, SigningKey};
use crate::jose::{decode, encode};

/// Seconds that clocks may differ.
const LEEWAY: i64 = 300;
/// What a header may declare critical, as it is understood here.
const UNDERSTOOD: [&str; 5] = ["iat", "exp", "iss", "nbf", "kid"];

/// The protected header; times in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Algorithm.
    pub alg: String,
    /// Which key.
    pub kid: String,
    /// Who.
    pub iss: String,
    /// Since when.
    pub iat: i64,
    /// Until when.
    pub exp: i64,
}

/// Why metadata is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// It has not the form.
    #[error("it is no JWS in the general JSON serialization ({0})")]
    Malformed(String),
    /// A header lacks something or says something that cannot be followed.
    #[error("its protected header {0}")]
    Header(String),
    /// No key of the anchor has that id.
    #[error("it is signed with the key {kid:?}, which is not in the anchor")]
    UnknownKey {
        /// The id.
        kid: String,
    },
    /// The signature is another's, or something was changed.
    #[error("its signature is not the one of the key {kid:?}")]
    Signature {
        /// The id.
        kid: String,
    },
    /// Its time is over.
    #[error("it expired at {}", super::source::moment(*.at))]
    Expired {
        /// Seconds since 1970.
        at: i64,
    },
    /// Its time has not come.
    #[error("it is signed as of {}, which is still to come", super::source::moment(*.at))]
    Early {
        /// Seconds since 1970.
        at: i64,
    },
}

/// What was signed, and by which key.
#[derive(Debug)]
pub struct Verified {
    /// The protected header.
    pub header: Header,
    /// The payload, decoded.
    pub payload: Vec<u8>,
    /// The thumbprint of the key.
    pub signed_by: String,
    not_before: i64,
}

#[derive(Deserialize)]
struct General {
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    #[serde(default)]
    protected: String,
    signature: String,
}

/// Read without flattening, so that a name that stands twice is an error (RFC 7515 section 4).
#[derive(Deserialize)]
struct Read {
    alg: Option<String>,
    kid: Option<String>,
    iss: Option<String>,
    iat: Option<serde_json::Number>,
    exp: Option<serde_json::Number>,
    nbf: Option<serde_json::Number>,
    crit: Option<Vec<String>>,
    b64: Option<bool>,
}

impl Verified {
    /// Verifies a JWS against an anchor, whatever the time.
    pub fn new(text: &[u8], anchor: &[PublicKey]) -> Result<Self, Distrust> {
        let general: General = serde_json::from_slice(text).map_err(|error| Distrust::Malformed(error.to_string()))?;
        let mut reason = Distrust::Malformed("it has no signature".to_owned());
        for signature in &general.signatures {
            match signature.verify(&general.payload, anchor) {
                Ok(verified) => return Ok(verified),
                Err(why) => reason = why,
            }
        }
        Err(reason)
    }

    /// Whether it holds at that moment; `now` in seconds since 1970.
    pub fn check_time(&self, now: i64) -> Result<(), Distrust> {
        if self.header.exp <= now {
            return Err(Distrust::Expired { at: self.header.exp });
        }
        let begins = self.header.iat.max(self.not_before);
        if begins > now.saturating_add(LEEWAY) {
            return Err(Distrust::Early { at: begins });
        }
        Ok(())
    }
}

impl Signature {
    fn verify(&self, payload: &str, anchor: &[PublicKey]) -> Result<Verified, Distrust> {
        let no_base64 = |what: &str| Distrust::Malformed(format!("its {what} is not base64url"));
        let header = decode(&self.protected).ok_or_else(|| no_base64("protected header"))?;
        let read: Read =
            serde_json::from_slice(&header).map_err(|error| Distrust::Header(format!("cannot be read: {error}")))?;
        let (header, not_before) = read.check()?;
        let mut keys = anchor.iter().filter(|key| key.id == header.kid).peekable();
        if keys.peek().is_none() {
            return Err(Distrust::UnknownKey { kid: header.kid });
        }
        let signature = decode(&self.signature).ok_or_else(|| no_base64("signature"))?;
        let message = format!("{}.{payload}", self.protected);
        let key = keys.find(|key| {
            // The key says how it signs; a header that says otherwise is not followed.
            key.verifies(&header.alg, message.as_bytes(), &signature)
        });
        let Some(key) = key else { return Err(Distrust::Signature { kid: header.kid }) };
        let payload = decode(payload).ok_or_else(|| no_base64("payload"))?;
        Ok(Verified { header, payload, signed_by: key.thumbprint.clone(), not_before })
    }
}

impl Read {
    fn check(self) -> Result<(Header, i64), Distrust> {
        let lacks = |name: &str| Distrust::Header(format!("lacks {name}"));
        let wrong = |text: &str| Distrust::Header(text.to_owned());
        if self.b64 == Some(false) {
            return Err(wrong("says that the payload is not encoded, which is not understood"));
        }
        if let Some(critical) = &self.crit
            && (critical.is_empty() || critical.iter().any(|name| !UNDERSTOOD.contains(&name.as_str())))
        {
            return Err(wrong("declares something critical that is not understood"));
        }
        let seconds = |name: &str, number: Option<serde_json::Number>| {
            let number = number.ok_or_else(|| lacks(name))?;
            // A NumericDate may have a fraction (RFC 7519 section 2).
            let whole = number.as_i64().or_else(|| number.as_f64().map(|number| number.floor() as i64));
            whole.filter(|seconds| *seconds >= 0).ok_or_else(|| Distrust::Header(format!("has no time as {name}")))
        };
        let header = Header {
            alg: self.alg.ok_or_else(|| lacks("alg"))?,
            kid: self.kid.ok_or_else(|| lacks("kid"))?,
            iss: self.iss.ok_or_else(|| lacks("iss"))?,
            iat: seconds("iat", self.iat)?,
            exp: seconds("exp", self.exp)?,
        };
        if header.exp <= header.iat {
            return Err(wrong("expires before it begins"));
        }
        let not_before = self.nbf.map(|number| seconds("nbf", Some(number))).transpose()?.unwrap_or_default();
        Ok((header, not_before))
    }
}

/// Signs a payload; times in seconds since 1970.
pub fn sign(
    payload: &[u8],
    key: &SigningKey,
    issuer: &str,
    iat: i64,
    exp: i64,
) -> Result<serde_json::Value, openssl::error::ErrorStack> {
    let header = Header { alg: key.algorithm().to_owned(), kid: key.id.clone(), iss: issuer.to_owned(), iat, exp };
    let protected = encode(json!(header).to_string().as_bytes());
    let payload = encode(payload);
    let signature = key.sign(format!("{protected}.{payload}").as_bytes())?;
    Ok(json!({
        "payload": payload,
        "signatures": [{ "protected": protected, "signature": encode(&signature) }],
    }))
}

#[cfg(test)]
mod tests;
