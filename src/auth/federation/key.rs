//! Keys of a federation as JSON Web Keys (RFC 7517): the anchor that an operator pins, and, for whoever runs a federation,
//! the key that signs. The key decides the algorithm (RFC 7518 section 3.4, RFC 8037), never the message; symmetric keys and
//! RSA are not keys here. The thumbprint (RFC 7638) is what people compare by another way.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private, Public};
use openssl::sign::{Signer, Verifier};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Why a key cannot be used: the middle of a sentence.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is no JWK, or none for signatures.
    #[error("{0}")]
    Malformed(&'static str),
    /// OpenSSL does not take it.
    #[error("is no key that OpenSSL takes ({0})")]
    OpenSsl(#[from] ErrorStack),
}

/// How signatures are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// P-256 and SHA-256, which RFC 9932 recommends.
    Es256,
    /// P-384 and SHA-384.
    Es384,
    /// P-521 and SHA-512.
    Es512,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Its name in a header.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::Es512 => "ES512",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    fn of_curve(curve: &str) -> Option<Self> {
        match curve {
            "P-256" => Some(Algorithm::Es256),
            "P-384" => Some(Algorithm::Es384),
            "P-521" => Some(Algorithm::Es512),
            "Ed25519" => Some(Algorithm::EdDsa),
            _ => None,
        }
    }

    /// The curve, its digest, and the bytes of a number; `None` for Ed25519, which has none of it to choose.
    fn curve(self) -> Option<(Nid, MessageDigest, i32)> {
        match self {
            Algorithm::Es256 => Some((Nid::X9_62_PRIME256V1, MessageDigest::sha256(), 32)),
            Algorithm::Es384 => Some((Nid::SECP384R1, MessageDigest::sha384(), 48)),
            Algorithm::Es512 => Some((Nid::SECP521R1, MessageDigest::sha512(), 66)),
            Algorithm::EdDsa => None,
        }
    }
}

/// The public half of a key.
#[derive(Clone, Debug)]
pub struct PublicKey {
    /// Its `kid`; without one its thumbprint.
    pub id: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// RFC 7638 with SHA-256, base64url.
    pub thumbprint: String,
    key: PKey<Public>,
}

impl PublicKey {
    /// Reads a JWK. Private parts are passed over.
    pub fn read(jwk: &Map<String, Value>) -> Result<Self, KeyError> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| {
            let text = text(name).ok_or(KeyError::Malformed("lacks a coordinate"))?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError::Malformed("has a coordinate that is not base64url"))
        };
        let (kind, curve) = (text("kty").unwrap_or_default(), text("crv").unwrap_or_default());
        let algorithm = Algorithm::of_curve(curve)
            .filter(|algorithm| kind == if algorithm.curve().is_some() { "EC" } else { "OKP" })
            .ok_or(KeyError::Malformed(
                "is of another kind than EC with P-256, P-384 or P-521, and OKP with Ed25519",
            ))?;
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return Err(KeyError::Malformed("is not for signatures"));
        }
        if text("alg").is_some_and(|name| name != algorithm.name()) {
            return Err(KeyError::Malformed("names an algorithm that is not its curve's"));
        }
        let (key, canonical) = match algorithm.curve() {
            Some((curve_id, _, width)) => {
                let group = EcGroup::from_curve_name(curve_id)?;
                let (x, y) = (BigNum::from_slice(&bytes("x")?)?, BigNum::from_slice(&bytes("y")?)?);
                // Fails for a point that does not lie on the curve.
                let key = EcKey::from_public_key_affine_coordinates(&group, &x, &y)?;
                let canonical = json!({
                    "crv": curve, "kty": "EC", "x": encoded(&x.to_vec_padded(width)?), "y": encoded(&y.to_vec_padded(width)?),
                });
                (PKey::from_ec_key(key)?, canonical)
            }
            None => {
                let x = bytes("x")?;
                let canonical = json!({ "crv": curve, "kty": "OKP", "x": encoded(&x) });
                (PKey::public_key_from_raw_bytes(&x, Id::ED25519)?, canonical)
            }
        };
        // Members in the order of their names and no white space: as RFC 7638 section 3.3 wants it.
        let thumbprint = encoded(&Sha256::digest(canonical.to_string()));
        let id = text("kid").map_or_else(|| thumbprint.clone(), str::to_owned);
        Ok(PublicKey { id, algorithm, thumbprint, key })
    }

    /// Whether a signature (RFC 7518 section 3.4: both numbers, one after the other) is this key's.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verify = || match self.algorithm.curve() {
            Some((_, digest, width)) => {
                let width = usize::try_from(width).unwrap_or_default();
                if signature.len() != 2 * width {
                    return Ok(false);
                }
                let (r, s) = signature.split_at(width);
                let signature = EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
                signature.verify(&hash(digest, message)?, &*self.key.ec_key()?)
            }
            None => Verifier::new_without_digest(&self.key)?.verify_oneshot(signature, message),
        };
        verify().unwrap_or_else(|_: ErrorStack| false)
    }
}

/// Reads a set of keys (RFC 7517 section 5): those that sign. Fails when it holds none.
pub fn read_set(text: &[u8]) -> Result<Vec<PublicKey>, KeyError> {
    let set: Value = serde_json::from_slice(text).map_err(|_| KeyError::Malformed("is no JSON"))?;
    let Some(keys) = set.get("keys").and_then(Value::as_array) else {
        return Err(KeyError::Malformed("has no list of keys"));
    };
    // What cannot be understood is passed over (RFC 7517 section 5), so that a federation may introduce other kinds.
    let keys: Vec<_> = keys.iter().filter_map(Value::as_object).filter_map(|key| PublicKey::read(key).ok()).collect();
    if keys.is_empty() {
        return Err(KeyError::Malformed("holds no key of a kind that is known here"));
    }
    Ok(keys)
}

/// A key that signs.
pub struct SigningKey {
    /// Its public half.
    pub public: PublicKey,
    key: PKey<Private>,
}

impl SigningKey {
    /// A new key for ES256, and its JWK with everything that is secret of it.
    pub fn generate() -> Result<(Self, Value), KeyError> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = EcKey::generate(&group)?;
        let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
        key.public_key().affine_coordinates_gfp(&group, &mut x, &mut y, &mut *BigNumContext::new()?)?;
        let mut jwk = Map::new();
        for (name, value) in [("kty", "EC"), ("crv", "P-256"), ("use", "sig"), ("alg", "ES256")] {
            jwk.insert(name.to_owned(), value.into());
        }
        for (name, number) in [("x", &*x), ("y", &*y), ("d", key.private_key())] {
            jwk.insert(name.to_owned(), encoded(&number.to_vec_padded(32)?).into());
        }
        let thumbprint = PublicKey::read(&jwk)?.thumbprint;
        jwk.insert("kid".to_owned(), thumbprint.into());
        Ok((SigningKey::read(&jwk)?, Value::Object(jwk)))
    }

    /// Reads a JWK with its private part.
    pub fn read(jwk: &Map<String, Value>) -> Result<Self, KeyError> {
        let public = PublicKey::read(jwk)?;
        let secret = jwk.get("d").and_then(Value::as_str).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let secret = secret.ok_or(KeyError::Malformed("lacks its private part, d"))?;
        let key = match public.algorithm.curve() {
            Some((curve, ..)) => {
                let group = EcGroup::from_curve_name(curve)?;
                let point = public.key.ec_key()?;
                let key = EcKey::from_private_components(&group, &*BigNum::from_slice(&secret)?, point.public_key())?;
                key.check_key()?;
                PKey::from_ec_key(key)?
            }
            None => PKey::private_key_from_raw_bytes(&secret, Id::ED25519)?,
        };
        Ok(SigningKey { public, key })
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let Some((_, digest, width)) = self.public.algorithm.curve() else {
            return Signer::new_without_digest(&self.key)?.sign_oneshot_to_vec(message);
        };
        let signature = EcdsaSig::sign(&hash(digest, message)?, &*self.key.ec_key()?)?;
        Ok([signature.r().to_vec_padded(width)?, signature.s().to_vec_padded(width)?].concat())
    }
}

/// The JWK without what is secret of it.
pub fn published(jwk: &Value) -> Value {
    let mut public = jwk.clone();
    if let Some(members) = public.as_object_mut() {
        members.retain(|name, _| ["kty", "crv", "x", "y", "kid", "use", "alg"].contains(&name.as_str()));
    }
    public
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn a_key_that_was_made_signs_what_its_public_half_verifies() {
        let (key, jwk) = SigningKey::generate().expect("a key");
        let public = PublicKey::read(&map(published(&jwk))).expect("the public half");
        assert!(published(&jwk).get("d").is_none());
        assert_eq!(public.id, public.thumbprint);
        let signature = key.sign(b"message").expect("signed");
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"another", &signature));
        assert!(!public.verifies(b"message", &signature[1..]));
        assert!(!public.verifies(b"message", &[0; 64]));
    }

    /// The example of RFC 8037 appendix A: key, thumbprint and signature.
    #[test]
    fn ed25519_is_that_of_rfc_8037() {
        let jwk = map(json!({
            "kty": "OKP", "crv": "Ed25519", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }));
        let key = SigningKey::read(&jwk).expect("a key");
        assert_eq!(key.public.thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = key.sign(message).expect("signed");
        assert_eq!(
            encoded(&signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        assert!(key.public.verifies(message, &signature));
    }

    #[test]
    fn what_is_no_key_for_signatures_is_refused() {
        let (_, good) = SigningKey::generate().expect("a key");
        let with = |name: &str, value: Value| {
            let mut jwk = map(good.clone());
            jwk.insert(name.to_owned(), value);
            jwk
        };
        for jwk in [
            with("kty", json!("oct")),
            with("kty", json!("OKP")),
            with("crv", json!("P-384")),
            with("crv", json!("secp256k1")),
            with("x", json!("AAAA")),
            with("y", json!("not base64!")),
            with("use", json!("enc")),
            with("alg", json!("HS256")),
            with("alg", json!("none")),
        ] {
            assert!(PublicKey::read(&jwk).is_err(), "{jwk:?}");
        }
        assert!(SigningKey::read(&map(published(&good))).is_err());
        for set in [&b""[..], b"{}", b"{\"keys\":[]}", b"{\"keys\":[{\"kty\":\"RSA\"}]}"] {
            assert!(read_set(set).is_err());
        }
        let set = json!({ "keys": [{ "kty": "RSA" }, published(&good)] });
        assert_eq!(read_set(set.to_string().as_bytes()).expect("one of two").len(), 1);
    }
}
