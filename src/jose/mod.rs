//! Signed tokens, and the keys that sign them: compact JWS (RFC 7515), JWT (RFC 7519), JWK (RFC 7517) and the asymmetric
//! algorithms of RFC 7518 and RFC 8037, over OpenSSL. Pure: no clock, no network, no storage. There is no symmetric
//! algorithm and no `none` here, so that neither can be asked for; keys that a token itself brings or points to are
//! never looked at. Nothing here prints a token or a private key.

mod algorithm;
mod claims;
mod key;
mod private;
mod token;

#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use claims::{Claims, Untimely};
pub use key::{KeyError, PublicKey};
pub use private::PrivateKey;
pub use token::{LONGEST, Malformed, Token, unproven};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Base64url without padding (RFC 7515 section 2).
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a base64url text; `None`: it is none, or has padding or stray bits.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
