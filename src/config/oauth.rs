//! What an operator sets of access tokens, and of the issuers of others.

use super::Network;

/// How an access token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA over P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// The server's own access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oauth {
    /// How they are signed.
    pub algorithm: SigningAlgorithm,
    /// Seconds that one is good for.
    pub token_seconds: u32,
}

impl Default for Oauth {
    fn default() -> Self {
        Oauth { algorithm: SigningAlgorithm::Es256, token_seconds: 600 }
    }
}

/// Issuers whose tokens tenants accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuers {
    /// Networks beside the public internet in which their keys may lie.
    pub networks: Vec<Network>,
    /// Seconds after which keys are fetched again.
    pub keys_seconds: u32,
    /// Seconds that have to pass between two fetches of one issuer's keys.
    pub retry_seconds: u32,
    /// Seconds that keys are good for when no newer ones can be fetched.
    pub outage_seconds: u32,
}

impl Default for Issuers {
    fn default() -> Self {
        Issuers { networks: Vec::new(), keys_seconds: 600, retry_seconds: 30, outage_seconds: 86_400 }
    }
}
