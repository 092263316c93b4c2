//! Public keys as JWK (RFC 7517, RFC 7518 section 6, RFC 8037 section 2), and what they say of a signature. A key fits the
//! algorithms of its own kind and no other, so that no token chooses how it is checked.

use std::fmt;

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Verifier};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::algorithm::Family;
use super::{Algorithm, decode, encode};

/// Bits of an RSA modulus: fewer are not safe (RFC 7518 section 3.3), more cost too much to check.
const RSA_BITS: std::ops::RangeInclusive<i32> = 2048..=8192;

/// A public key.
#[derive(Clone)]
pub struct PublicKey {
    /// `kid`, as whoever published it calls it.
    pub id: Option<String>,
    /// `alg`, when it is for that one alone.
    algorithm: Option<Algorithm>,
    family: Family,
    key: PKey<Public>,
    /// The members that make the key, in the order of RFC 7638 section 3.
    members: Vec<(&'static str, String)>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, {:?})", self.family, self.id)
    }
}

/// Why a JWK is no key for us: the end of a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(&'static str);

impl From<ErrorStack> for KeyError {
    fn from(_: ErrorStack) -> Self {
        KeyError("is no valid key")
    }
}

impl PublicKey {
    /// Reads a JWK. Refuses one with its private half, one that is for something else than signatures, and one that is too
    /// weak.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, KeyError> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if ["d", "k", "p", "q"].iter().any(|name| jwk.contains_key(*name)) {
            return Err(KeyError("holds the private half of the key"));
        }
        if text("use").is_some_and(|usage| usage != "sig") {
            return Err(KeyError("is not for signatures"));
        }
        let verifies = |operations: &Vec<Value>| operations.iter().any(|operation| operation == "verify");
        if jwk.get("key_ops").is_some_and(|operations| !operations.as_array().is_some_and(verifies)) {
            return Err(KeyError("is not for checking signatures"));
        }
        let bytes = |name: &str| text(name).and_then(decode).ok_or(KeyError("lacks a member of the key"));
        let (family, key, members) = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                let (n, e) = (BigNum::from_slice(&n)?, BigNum::from_slice(&e)?);
                if !RSA_BITS.contains(&n.num_bits()) || !e.is_bit_set(0) || !(2..=64).contains(&e.num_bits()) {
                    return Err(KeyError("must have a modulus of 2048 to 8192 bits"));
                }
                let members = vec![("e", encode(&e.to_vec())), ("kty", "RSA".into()), ("n", encode(&n.to_vec()))];
                (Family::Rsa, PKey::from_rsa(Rsa::from_public_components(n, e)?)?, members)
            }
            (Some("EC"), Some(curve)) => {
                let (family, group, width) = match curve {
                    "P-256" => (Family::P256, Nid::X9_62_PRIME256V1, 32),
                    "P-384" => (Family::P384, Nid::SECP384R1, 48),
                    "P-521" => (Family::P521, Nid::SECP521R1, 66),
                    _ => return Err(KeyError("has a curve that is not known here")),
                };
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != width || y.len() != width {
                    return Err(KeyError("has a point of the wrong length"));
                }
                let group = EcGroup::from_curve_name(group)?;
                let (at_x, at_y) = (BigNum::from_slice(&x)?, BigNum::from_slice(&y)?);
                // Fails for a point that is not on the curve.
                let key = EcKey::from_public_key_affine_coordinates(&group, &at_x, &at_y)?;
                key.check_key()?;
                let members =
                    vec![("crv", curve.to_owned()), ("kty", "EC".into()), ("x", encode(&x)), ("y", encode(&y))];
                (family, PKey::from_ec_key(key)?, members)
            }
            (Some("OKP"), Some("Ed25519")) => {
                let x = bytes("x")?;
                let key = PKey::public_key_from_raw_bytes(&x, Id::ED25519)?;
                (Family::Ed25519, key, vec![("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", encode(&x))])
            }
            _ => return Err(KeyError("is of a kind that is not known here: RSA, EC or Ed25519")),
        };
        let algorithm = match text("alg") {
            None => None,
            Some(name) => match Algorithm::parse(name) {
                Some(algorithm) if algorithm.family() == family => Some(algorithm),
                _ => return Err(KeyError("is for an algorithm that it does not fit")),
            },
        };
        Ok(PublicKey { id: text("kid").map(str::to_owned), algorithm, family, key, members })
    }

    /// The key as JWK, with nothing else than what makes it.
    pub fn to_jwk(&self) -> Map<String, Value> {
        self.members.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect()
    }

    /// SHA-256 of what makes the key (RFC 7638): the same key has the same, whatever it is called.
    pub fn thumbprint(&self) -> [u8; 32] {
        let members: Vec<String> =
            self.members.iter().map(|(name, value)| format!("{}:{}", json!(name), json!(value))).collect();
        Sha256::digest(format!("{{{}}}", members.join(","))).into()
    }

    /// Whether the key may check signatures of that algorithm.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.family == algorithm.family() && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether the signature is this key's over the message.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.fits(algorithm) && self.check(algorithm, message, signature).unwrap_or(false)
    }

    fn check(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<bool, ErrorStack> {
        let Some(digest) = algorithm.digest() else {
            return Verifier::new_without_digest(&self.key)?.verify_oneshot(signature, message);
        };
        let mut verifier = Verifier::new(digest, &self.key)?;
        match self.family {
            Family::Rsa => {
                if algorithm.is_pss() {
                    verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
                    verifier.set_rsa_mgf1_md(digest)?;
                    verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
                }
                verifier.verify_oneshot(signature, message)
            }
            family => match to_der(family, signature)? {
                Some(signature) => verifier.verify_oneshot(&signature, message),
                None => Ok(false),
            },
        }
    }
}

/// Bytes of each half of an ECDSA signature (RFC 7518 section 3.4).
pub(super) fn half(family: Family) -> usize {
    match family {
        Family::P384 => 48,
        Family::P521 => 66,
        _ => 32,
    }
}

/// A signature of two halves in the form that OpenSSL takes; `None`: it has another length.
fn to_der(family: Family, signature: &[u8]) -> Result<Option<Vec<u8>>, ErrorStack> {
    let half = half(family);
    let Some((r, s)) = signature.split_at_checked(half).filter(|(_, s)| s.len() == half) else { return Ok(None) };
    let signature = EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
    signature.to_der().map(Some)
}

/// The members of an EC key's public half.
pub(super) fn point(key: &EcKey<openssl::pkey::Private>, width: i32) -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let (mut x, mut y, mut context) = (BigNum::new()?, BigNum::new()?, BigNumContext::new()?);
    key.public_key().affine_coordinates(key.group(), &mut x, &mut y, &mut context)?;
    Ok((x.to_vec_padded(width)?, y.to_vec_padded(width)?))
}
