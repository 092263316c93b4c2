use serde_json::Value;

use super::*;

const NOW: i64 = 1_800_000_000;

struct Operator {
    key: SigningKey,
    anchor: Vec<PublicKey>,
}

impl Operator {
    fn new() -> Self {
        let key = SigningKey::generate().expect("a key");
        let public = key.published().expect("its public half");
        Operator { key, anchor: vec![PublicKey::read(&public).expect("a key")] }
    }

    fn signed(&self, header: &Value) -> Value {
        let protected = encode(header.to_string().as_bytes());
        let payload = encode(b"payload");
        let signature = self.key.sign(format!("{protected}.{payload}").as_bytes()).expect("signed");
        json!({
            "payload": payload,
            "signatures": [{ "protected": protected, "signature": encode(&signature) }],
        })
    }

    fn header(&self) -> Value {
        let kid = &self.key.id;
        json!({ "alg": "ES256", "kid": kid, "iss": "https://fed.example.se", "iat": NOW - 60, "exp": NOW + 60 })
    }

    fn verify(&self, signed: &Value) -> Result<Verified, String> {
        let verified = Verified::new(signed.to_string().as_bytes(), &self.anchor).map_err(|why| why.to_string())?;
        verified.check_time(NOW).map_err(|why| why.to_string())?;
        Ok(verified)
    }
}

#[test]
fn what_was_signed_is_believed_and_what_was_changed_is_not() {
    let operator = Operator::new();
    let signed = sign(b"payload", &operator.key, "https://fed.example.se", NOW - 1, NOW + 1).expect("signed");
    let verified = operator.verify(&signed).expect("believed");
    assert_eq!(
        (verified.payload.as_slice(), verified.header.iss.as_str()),
        (&b"payload"[..], "https://fed.example.se")
    );
    assert_eq!(verified.signed_by, operator.key.id);
    let mut tampered = signed.clone();
    tampered["payload"] = encode(b"another").into();
    assert!(operator.verify(&tampered).expect_err("tampered").starts_with("its signature is not"));
    let other = Operator::new();
    assert!(other.verify(&signed).expect_err("another's").contains("which is not in the anchor"));
    // The same id does not make another key the same.
    let mut forged = Operator::new();
    forged.key.id.clone_from(&operator.key.id);
    let forged = sign(b"payload", &forged.key, "https://fed.example.se", NOW - 1, NOW + 1).expect("signed");
    assert!(operator.verify(&forged).expect_err("forged").starts_with("its signature is not"));
    // One good signature among others is enough: so a federation changes its key.
    let mut both = forged;
    let good = signed["signatures"][0].clone();
    both["signatures"].as_array_mut().expect("a list").push(good);
    operator.verify(&both).expect("believed for the second");
}

#[test]
fn the_time_is_over_at_exp_and_does_not_begin_before_iat() {
    let operator = Operator::new();
    for (iat, exp, expected) in [
        (NOW - 60, NOW, "it expired at"),
        (NOW - 60, NOW - 1, "it expired at"),
        (NOW + 301, NOW + 600, "it is signed as of"),
        (NOW, NOW, "its protected header expires before it begins"),
    ] {
        let signed = sign(b"payload", &operator.key, "https://fed.example.se", iat, exp).expect("signed");
        let refused = operator.verify(&signed).expect_err(expected);
        assert!(refused.starts_with(expected), "{refused}");
    }
    let skewed = sign(b"payload", &operator.key, "https://fed.example.se", NOW + 200, NOW + 600).expect("signed");
    operator.verify(&skewed).expect("clocks may differ a little");
}

#[test]
fn a_header_that_lacks_something_or_wants_something_else_is_refused() {
    let operator = Operator::new();
    operator.verify(&operator.signed(&operator.header())).expect("believed");
    for missing in ["alg", "kid", "iss", "iat", "exp"] {
        let mut header = operator.header();
        header.as_object_mut().expect("an object").remove(missing);
        let refused = operator.verify(&operator.signed(&header)).expect_err(missing);
        assert_eq!(refused, format!("its protected header lacks {missing}"));
    }
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("ES384")),
        ("kid", json!("another")),
        ("iat", json!("now")),
        ("exp", json!(-1)),
        ("nbf", json!(NOW + 1000)),
        ("crit", json!(["unheard-of"])),
        ("crit", json!([])),
        ("b64", json!(false)),
    ] {
        let mut header = operator.header();
        header[name] = value.clone();
        operator.verify(&operator.signed(&header)).expect_err(&format!("{name} {value}"));
    }
    let mut header = operator.header();
    header["crit"] = json!(["exp"]);
    header["iat"] = json!(NOW as f64 - 60.5);
    operator.verify(&operator.signed(&header)).expect("what others' tools write is understood");
}

#[test]
fn other_forms_are_refused() {
    let operator = Operator::new();
    let signed = operator.signed(&operator.header());
    let flattened = json!({
        "payload": signed["payload"], "protected": signed["signatures"][0]["protected"],
        "signature": signed["signatures"][0]["signature"],
    });
    let mut unprotected = signed.clone();
    unprotected["signatures"][0]["header"] = operator.header();
    unprotected["signatures"][0]["protected"] = "".into();
    for wrong in [json!({}), json!([]), flattened, unprotected, json!({ "payload": "", "signatures": [] })] {
        assert!(operator.verify(&wrong).is_err(), "{wrong}");
    }
    // A name that stands twice has two meanings.
    let header = operator.header().to_string().replacen('{', "{\"exp\": 1,", 1);
    let protected = encode(header.as_bytes());
    let signature = operator.key.sign(format!("{protected}.").as_bytes()).expect("signed");
    let twice = json!({
        "payload": "", "signatures": [{ "protected": protected, "signature": encode(&signature) }],
    });
    assert!(operator.verify(&twice).expect_err("twice").contains("duplicate"), "{twice}");
}
