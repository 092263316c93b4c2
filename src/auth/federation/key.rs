//! The keys of a federation: the anchor that an operator pins as JWK set (RFC 7517 section 5), and, for whoever runs a
//! federation, the key that signs. How a key signs is [`crate::jose`]'s; a key is found by its id, and people compare its
//! thumbprint (RFC 7638) by another way.

use openssl::error::ErrorStack;
use serde_json::{Map, Value};

use crate::jose::{self, Algorithm, PrivateKey};

/// Why there is no key: the middle of a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(&'static str);

/// A key of an anchor.
#[derive(Clone, Debug)]
pub struct PublicKey {
    /// Its `kid`; without one its thumbprint.
    pub id: String,
    /// RFC 7638 with SHA-256, base64url.
    pub thumbprint: String,
    key: jose::PublicKey,
}

impl PublicKey {
    /// Reads a JWK; `None`: it is none for signatures, or of a kind that is not known.
    pub fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let key = jose::PublicKey::from_jwk(jwk).ok()?;
        let thumbprint = jose::encode(&key.thumbprint());
        Some(PublicKey { id: key.id.clone().unwrap_or_else(|| thumbprint.clone()), thumbprint, key })
    }

    /// Whether a signature of that algorithm is this key's.
    pub fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        Algorithm::parse(algorithm).is_some_and(|algorithm| self.key.verifies(algorithm, message, signature))
    }
}

/// Reads a set of keys: those that sign. Fails when it holds none.
pub fn read_set(text: &[u8]) -> Result<Vec<PublicKey>, KeyError> {
    let set: Value = serde_json::from_slice(text).map_err(|_| KeyError("is no JSON"))?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or(KeyError("has no list of keys"))?;
    // What cannot be understood is passed over, so that a federation may introduce other kinds.
    let keys: Vec<_> = keys.iter().filter_map(Value::as_object).filter_map(PublicKey::read).collect();
    if keys.is_empty() {
        return Err(KeyError("holds no public key of a kind that is known here"));
    }
    Ok(keys)
}

/// A key that signs.
#[derive(Debug)]
pub struct SigningKey {
    /// Its id.
    pub id: String,
    key: PrivateKey,
}

impl SigningKey {
    /// A new key for ES256, which RFC 9932 recommends.
    pub fn generate() -> Result<Self, ErrorStack> {
        let mut key = SigningKey { id: String::new(), key: PrivateKey::generate(Algorithm::Es256)? };
        key.id = PublicKey::read(&key.published()?).map(|public| public.thumbprint).unwrap_or_default();
        Ok(key)
    }

    /// Reads a JWK with its private half; `None`: it is none of P-256 or Ed25519.
    pub fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let mut key = SigningKey { id: String::new(), key: PrivateKey::from_jwk(jwk)? };
        let id = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
        key.id = id.or_else(|| Some(PublicKey::read(&key.published().ok()?)?.thumbprint))?;
        Some(key)
    }

    /// What it is called in a header.
    pub fn algorithm(&self) -> &'static str {
        self.key.algorithm.as_str()
    }

    /// The signature over a message.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        self.key.signature(message)
    }

    /// Its public half as JWK.
    pub fn published(&self) -> Result<Map<String, Value>, ErrorStack> {
        Ok(self.named(self.key.public_jwk()?))
    }

    /// The whole of it as JWK, for a file that nobody else reads.
    pub fn whole(&self) -> Result<Map<String, Value>, ErrorStack> {
        Ok(self.named(self.key.to_jwk()?))
    }

    fn named(&self, mut jwk: Map<String, Value>) -> Map<String, Value> {
        if !self.id.is_empty() {
            jwk.insert("kid".into(), self.id.as_str().into());
        }
        jwk
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_that_was_made_signs_what_its_public_half_verifies() {
        let key = SigningKey::generate().expect("a key");
        let published = key.published().expect("the public half");
        assert!(published.get("d").is_none());
        let public = PublicKey::read(&published).expect("a key");
        assert_eq!((&public.id, &public.thumbprint), (&key.id, &key.id));
        let again = SigningKey::read(&key.whole().expect("the whole")).expect("the same key");
        let signature = again.sign(b"message").expect("signed");
        assert!(public.verifies("ES256", b"message", &signature));
        for (algorithm, message, signature) in [
            ("ES384", &b"message"[..], &signature[..]),
            ("none", b"message", &signature),
            ("HS256", b"message", &signature),
            ("ES256", b"another", &signature),
            ("ES256", b"message", &signature[1..]),
            ("ES256", b"message", &[0; 64]),
        ] {
            assert!(!public.verifies(algorithm, message, signature), "{algorithm}");
        }
        assert!(SigningKey::read(&published).is_none(), "the public half does not sign");
        let mut halves = key.whole().expect("the whole");
        halves.insert("d".into(), SigningKey::generate().unwrap().whole().unwrap()["d"].clone());
        assert!(SigningKey::read(&halves).is_none(), "halves of two keys are none");
    }

    /// The example of RFC 8037 appendix A: key, thumbprint and signature.
    #[test]
    fn ed25519_is_that_of_rfc_8037() {
        let jwk = json!({
            "kty": "OKP", "crv": "Ed25519", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        let key = SigningKey::read(jwk.as_object().expect("an object")).expect("a key");
        assert_eq!(key.id, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let signature = key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc").expect("signed");
        assert_eq!(
            jose::encode(&signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn an_anchor_holds_a_key_that_is_understood() {
        let good = SigningKey::generate().expect("a key").published().expect("its public half");
        for set in [&b""[..], b"{}", b"{\"keys\":[]}", b"{\"keys\":[{\"kty\":\"oct\"}]}"] {
            assert!(read_set(set).is_err());
        }
        let set = json!({ "keys": [{ "kty": "oct", "k": "AAAA" }, good] });
        assert_eq!(read_set(set.to_string().as_bytes()).expect("one of two").len(), 1);
    }
}
