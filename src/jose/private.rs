//! Private keys of the server's own: ES256 or EdDSA. Made, kept as PKCS #8, and used to sign; never printed.

use std::fmt;

use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::Signer;
use serde_json::{Map, Value, json};

use super::key::point;
use super::{Algorithm, decode, encode};

/// A private key and what signs with it.
pub struct PrivateKey {
    /// How it signs.
    pub algorithm: Algorithm,
    key: PKey<Private>,
}

/// Shows nothing of the key.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:?}, …)", self.algorithm)
    }
}

impl PrivateKey {
    /// A new key: for EdDSA that of Ed25519, for whatever else one of P-256, which signs as ES256.
    pub fn generate(algorithm: Algorithm) -> Result<Self, ErrorStack> {
        if algorithm == Algorithm::EdDsa {
            return Ok(PrivateKey { algorithm, key: PKey::generate_ed25519()? });
        }
        let key = EcKey::generate(EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?.as_ref())?;
        Ok(PrivateKey { algorithm: Algorithm::Es256, key: PKey::from_ec_key(key)? })
    }

    /// Reads PKCS #8; `None`: it is no key of a kind that the server makes.
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let key = PKey::private_key_from_pkcs8(der).ok()?;
        let algorithm = match key.id() {
            Id::ED25519 => Algorithm::EdDsa,
            Id::EC if key.ec_key().ok()?.group().curve_name() == Some(Nid::X9_62_PRIME256V1) => Algorithm::Es256,
            _ => return None,
        };
        Some(PrivateKey { algorithm, key })
    }

    /// The key as PKCS #8.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, ErrorStack> {
        self.key.private_key_to_pkcs8()
    }

    /// Reads a JWK with its private half; `None`: it is none of P-256 or Ed25519.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| text(name).and_then(decode);
        let (algorithm, key) = match (text("kty")?, text("crv")?) {
            ("OKP", "Ed25519") => (Algorithm::EdDsa, PKey::private_key_from_raw_bytes(&bytes("d")?, Id::ED25519).ok()?),
            ("EC", "P-256") => {
                let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).ok()?;
                let number = |name: &str| BigNum::from_slice(&bytes(name)?).ok();
                let public = EcKey::from_public_key_affine_coordinates(&group, &*number("x")?, &*number("y")?).ok()?;
                let key = EcKey::from_private_components(&group, &*number("d")?, public.public_key()).ok()?;
                key.check_key().ok()?;
                (Algorithm::Es256, PKey::from_ec_key(key).ok()?)
            }
            _ => return None,
        };
        let private = PrivateKey { algorithm, key };
        // Both halves have to be those of one key.
        let public = private.public_jwk().ok()?;
        (public.get("x") == jwk.get("x")).then_some(private)
    }

    /// The key as JWK with its private half, for a file of its own.
    pub fn to_jwk(&self) -> Result<Map<String, Value>, ErrorStack> {
        let mut jwk = self.public_jwk()?;
        let secret = match self.algorithm {
            Algorithm::EdDsa => self.key.raw_private_key()?,
            _ => self.key.ec_key()?.private_key().to_vec_padded(32)?,
        };
        jwk.insert("d".into(), encode(&secret).into());
        Ok(jwk)
    }

    /// Its public half as JWK, without an id.
    pub fn public_jwk(&self) -> Result<Map<String, Value>, ErrorStack> {
        let jwk = if self.algorithm == Algorithm::EdDsa {
            json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&self.key.raw_public_key()?) })
        } else {
            let (x, y) = point(&self.key.ec_key()?, 32)?;
            json!({ "kty": "EC", "crv": "P-256", "x": encode(&x), "y": encode(&y) })
        };
        match jwk {
            Value::Object(mut jwk) => {
                jwk.insert("alg".into(), self.algorithm.as_str().into());
                jwk.insert("use".into(), "sig".into());
                Ok(jwk)
            }
            _ => Ok(Map::new()),
        }
    }

    /// A signed token (RFC 7515 section 3.1) of that `typ`, by the key of that id.
    pub fn sign(&self, kind: &str, key_id: &str, claims: &Map<String, Value>) -> Result<String, ErrorStack> {
        let header = json!({ "typ": kind, "alg": self.algorithm.as_str(), "kid": key_id }).to_string();
        let claims = serde_json::to_vec(claims).unwrap_or_default();
        let message = format!("{}.{}", encode(header.as_bytes()), encode(&claims));
        Ok(format!("{message}.{}", encode(&self.signature(message.as_bytes())?)))
    }

    /// The signature over a message, as tokens have it (RFC 7518 section 3.4).
    pub fn signature(&self, message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let Some(digest) = self.algorithm.digest() else {
            return Signer::new_without_digest(&self.key)?.sign_oneshot_to_vec(message);
        };
        let signature = EcdsaSig::from_der(&Signer::new(digest, &self.key)?.sign_oneshot_to_vec(message)?)?;
        Ok([signature.r().to_vec_padded(32)?, signature.s().to_vec_padded(32)?].concat())
    }
}
