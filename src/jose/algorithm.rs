//! The algorithms of signatures (RFC 7518 section 3.1, RFC 8037 section 3.1). Only asymmetric ones exist.

use openssl::hash::MessageDigest;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with PKCS #1 1.5 and SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSA with PSS and SHA-256.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// ECDSA over P-521 with SHA-512.
    Es512,
    /// Ed25519.
    EdDsa,
}

/// What kind of key an algorithm takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

impl Algorithm {
    /// Every one.
    pub const ALL: [Algorithm; 10] = [
        Algorithm::Es256,
        Algorithm::EdDsa,
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
        Algorithm::Es384,
        Algorithm::Es512,
    ];

    /// The algorithm of a header's `alg`; `None` for a symmetric one, `none` and what is not known. Ed25519 has a second
    /// name (RFC 9864 section 2.2).
    pub fn parse(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Algorithm::EdDsa);
        }
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// The name in headers and metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
            Algorithm::Ps384 => "PS384",
            Algorithm::Ps512 => "PS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::Es512 => "ES512",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Algorithm::Es256 => Family::P256,
            Algorithm::Es384 => Family::P384,
            Algorithm::Es512 => Family::P521,
            Algorithm::EdDsa => Family::Ed25519,
            _ => Family::Rsa,
        }
    }

    pub(crate) fn is_pss(self) -> bool {
        matches!(self, Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512)
    }

    /// `None`: the algorithm takes the message itself.
    pub(crate) fn digest(self) -> Option<MessageDigest> {
        Some(match self {
            Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => MessageDigest::sha256(),
            Algorithm::Rs384 | Algorithm::Ps384 | Algorithm::Es384 => MessageDigest::sha384(),
            Algorithm::Rs512 | Algorithm::Ps512 | Algorithm::Es512 => MessageDigest::sha512(),
            Algorithm::EdDsa => return None,
        })
    }
}
