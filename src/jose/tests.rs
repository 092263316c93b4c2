//! Tokens that are true, and tokens that only look so.

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use serde_json::{Map, Value, json};

use super::*;

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("{value} is no object") };
    object
}

fn key_of(jwk: Value) -> PublicKey {
    PublicKey::from_jwk(&object(jwk)).expect("a key")
}

fn pair(algorithm: Algorithm) -> (PrivateKey, PublicKey) {
    let private = PrivateKey::generate(algorithm).expect("a key");
    let public = PublicKey::from_jwk(&private.public_jwk().expect("its public half")).expect("a key");
    (private, public)
}

/// The key of RFC 8037 appendix A.2.
fn known() -> PublicKey {
    key_of(json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }))
}

fn forged(header: Value, claims: Value) -> String {
    let [header, claims] = [header, claims].map(|part| encode(part.to_string().as_bytes()));
    format!("{header}.{claims}.{}", encode(&[1; 64]))
}

#[test]
fn what_a_key_has_signed_is_its_own_and_no_others() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let (private, public) = pair(algorithm);
        let (_, other) = pair(algorithm);
        let text = private.sign("at+jwt", "k1", &object(json!({ "sub": "åke" }))).expect("signed");
        let token = Token::read(&text).expect("a token");
        assert_eq!(
            (token.algorithm, token.key_id.as_deref(), token.kind.as_deref()),
            (algorithm, Some("k1"), Some("at+jwt"))
        );
        assert_eq!(token.claims.text("sub"), Some("åke"));
        assert!(token.is_signed_by(&public, &[algorithm]));
        assert!(!token.is_signed_by(&public, &[Algorithm::Rs256]), "an algorithm that is not allowed");
        assert!(!token.is_signed_by(&other, &[algorithm]));
        let kept = PrivateKey::from_pkcs8(&private.to_pkcs8().expect("kept")).expect("read again");
        assert_eq!(kept.public_jwk().expect("a key"), private.public_jwk().expect("a key"));
        let (head, rest) = text.split_once('.').expect("a header");
        let (_, signature) = rest.split_once('.').expect("a payload");
        let changed = format!("{head}.{}.{signature}", encode(br#"{"sub":"eve"}"#));
        assert!(!Token::read(&changed).expect("a token").is_signed_by(&public, &[algorithm]));
    }
}

#[test]
fn a_signature_of_the_rfc_is_right_and_its_thumbprint_too() {
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert!(known().verifies(Algorithm::EdDsa, message, &decode(signature).expect("base64url")));
    assert_eq!(encode(&known().thumbprint()), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn rsa_signs_in_two_ways_that_are_not_taken_for_each_other() {
    let rsa = Rsa::generate(2048).expect("a key");
    let jwk = json!({ "kty": "RSA", "n": encode(&rsa.n().to_vec()), "e": encode(&rsa.e().to_vec()) });
    let pinned = key_of(json!({ "kty": "RSA", "n": jwk["n"], "e": jwk["e"], "alg": "RS256" }));
    let (public, private) = (key_of(jwk), PKey::from_rsa(rsa).expect("a key"));
    let signed = |pss: bool| {
        let mut signer = Signer::new(MessageDigest::sha256(), &private).expect("a signer");
        if pss {
            signer.set_rsa_padding(openssl::rsa::Padding::PKCS1_PSS).expect("PSS");
            signer.set_rsa_pss_saltlen(openssl::sign::RsaPssSaltlen::DIGEST_LENGTH).expect("a salt");
        }
        signer.sign_oneshot_to_vec(b"message").expect("signed")
    };
    assert!(public.verifies(Algorithm::Rs256, b"message", &signed(false)));
    assert!(public.verifies(Algorithm::Ps256, b"message", &signed(true)));
    assert!(!public.verifies(Algorithm::Ps256, b"message", &signed(false)));
    assert!(!public.verifies(Algorithm::Rs256, b"message", &signed(true)));
    assert!(!public.verifies(Algorithm::Rs512, b"message", &signed(false)));
    assert!(!public.verifies(Algorithm::Es256, b"message", &signed(false)));
    assert!(!pinned.verifies(Algorithm::Ps256, b"message", &signed(true)), "its alg names another one");
}

#[test]
fn what_is_no_token_is_refused_before_any_key_is_asked() {
    let good = json!({ "sub": "a" });
    let long = "a".repeat(600);
    let table = [
        forged(json!({ "alg": "none" }), good.clone()),
        forged(json!({ "alg": "HS256", "kid": "k" }), good.clone()),
        forged(json!({ "alg": "ES256K" }), good.clone()),
        forged(json!({ "alg": "es256" }), good.clone()),
        forged(json!({ "kid": "k" }), good.clone()),
        forged(json!({ "alg": "ES256", "crit": ["exp"] }), good.clone()),
        forged(json!({ "alg": "ES256", "b64": false }), good.clone()),
        forged(json!({ "alg": "ES256", "kid": 7 }), good.clone()),
        forged(json!({ "alg": "ES256", "kid": long }), good.clone()),
        forged(json!({ "alg": "ES256" }), json!(["a"])),
        forged(json!({ "alg": "ES256" }), json!({ "sub": "a".repeat(LONGEST) })),
        format!("{}.{}.AA", encode(br#"{"alg":"ES256","alg":"EdDSA"}"#), encode(b"{}")),
        format!("{}.{}.AA", encode(br#"{"alg":"ES256"}"#), encode(br#"{"sub":"a","sub":"b"}"#)),
        format!("{}.{}.", encode(br#"{"alg":"ES256"}"#), encode(b"{}")),
        format!("{}.{}.AA==", encode(br#"{"alg":"ES256"}"#), encode(b"{}")),
        format!("{}.{}.AA.AA", encode(br#"{"alg":"ES256"}"#), encode(b"{}")),
        "ey.ey".to_owned(),
        "..".to_owned(),
        String::new(),
    ];
    for text in table {
        assert!(Token::read(&text).is_err(), "{text}");
    }
}

#[test]
fn a_key_must_be_public_strong_and_for_signatures() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let weak = Rsa::generate(1024).expect("a key");
    let table = [
        (json!({ "kty": "oct", "k": "AAAA" }), "private half"),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "d": x }), "private half"),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "enc" }), "not for signatures"),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "key_ops": ["sign"] }), "not for checking"),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "alg": "ES256" }), "does not fit"),
        (json!({ "kty": "OKP", "crv": "X25519", "x": x }), "not known"),
        (json!({ "kty": "EC", "crv": "P-256", "x": x, "y": x }), "no valid key"),
        (json!({ "kty": "EC", "crv": "P-256", "x": x }), "lacks a member"),
        (json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }), "wrong length"),
        (json!({ "kty": "EC", "crv": "secp256k1", "x": x, "y": x }), "not known"),
        (json!({ "kty": "RSA", "n": encode(&weak.n().to_vec()), "e": "AQAB" }), "2048"),
        (json!({ "kty": "RSA", "n": encode(&[255; 256]), "e": "AA" }), "2048"),
        (json!({}), "not known"),
    ];
    for (jwk, expected) in table {
        let error = PublicKey::from_jwk(&object(jwk.clone())).expect_err("no key").to_string();
        assert!(error.contains(expected), "{jwk}: {error}");
    }
}

#[test]
fn a_token_is_good_from_its_beginning_to_its_end() {
    const S: i64 = 1_000_000;
    let table = [
        (json!({ "exp": 100 }), Ok(100 * S)),
        (json!({ "exp": 61.5, "iat": 60, "nbf": 60 }), Ok(61_500_000)),
        (json!({ "exp": 51 }), Ok(51 * S)),
        (json!({ "exp": 50 }), Err(Untimely::Over)),
        (json!({ "exp": -1 }), Err(Untimely::Over)),
        (json!({ "exp": 100, "nbf": 70 }), Ok(100 * S)),
        (json!({ "exp": 100, "nbf": 71 }), Err(Untimely::Early)),
        (json!({ "exp": 100, "iat": 71 }), Err(Untimely::Early)),
        (json!({}), Err(Untimely::Undated)),
        (json!({ "exp": "100" }), Err(Untimely::Undated)),
        (json!({ "exp": 1e300 }), Err(Untimely::Undated)),
        (json!({ "exp": 100, "nbf": "x" }), Err(Untimely::Undated)),
    ];
    for (claims, expected) in table {
        assert_eq!(Claims(object(claims.clone())).check_times(60 * S, 10 * S), expected, "{claims}");
    }
}

#[test]
fn claims_are_found_by_name_and_by_path() {
    let claims = Claims(object(json!({
        "azp": "hr", "n": 7, "roles": ["a", "b", { "c": 1 }], "realm": { "roles": ["x"] }, "https://x.example/r": true,
        "aud": ["one", "two"],
    })));
    assert_eq!(claims.values_at("azp"), ["hr"]);
    assert_eq!(claims.values_at("n"), ["7"]);
    assert_eq!(claims.values_at("roles"), ["a", "b"]);
    assert_eq!(claims.values_at("realm.roles"), ["x"]);
    assert_eq!(claims.values_at("https://x.example/r"), ["true"]);
    assert!(claims.values_at("realm.none.x").is_empty());
    assert_eq!(claims.audiences(), ["one", "two"]);
    assert!(Claims(object(json!({ "aud": ["one", 2] }))).audiences().is_empty());
}
