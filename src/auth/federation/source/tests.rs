use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::jws::sign;
use super::super::key::SigningKey;
use super::*;

const NOW: i64 = 1_800_000_000;

struct Operator {
    folder: TempDir,
    key: SigningKey,
}

impl Operator {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let key = SigningKey::generate().expect("a key");
        let published = key.published().expect("its public half");
        let operator = Operator { folder, key };
        operator.pin(&[published.into()]);
        operator
    }

    fn pin(&self, keys: &[Value]) {
        std::fs::write(self.folder.path().join("anchor"), json!({ "keys": keys }).to_string()).expect("written");
    }

    fn publish(&self, pins: &[u8], iat: i64, exp: i64) -> Vec<u8> {
        let entities: Vec<Value> = pins
            .iter()
            .map(|byte| {
                let pin = json!({ "alg": "sha256", "digest": STANDARD.encode([*byte; 32]) });
                json!({ "entity_id": format!("urn:{byte}"), "issuers": [], "clients": [{ "pins": [pin] }] })
            })
            .collect();
        let metadata = json!({ "version": "1.0.0", "cache_ttl": 600, "entities": entities });
        sign(metadata.to_string().as_bytes(), &self.key, "urn:fed", iat, exp).expect("signed").to_string().into_bytes()
    }

    fn settings(&self) -> Settings {
        let at = |name: &str| self.folder.path().join(name);
        Settings {
            name: "moa".into(),
            source: Source::Url("https://fed.invalid/".into()),
            anchor: at("anchor"),
            issuer: Some("urn:fed".into()),
            copy: at("copy"),
        }
    }

    fn open(&self, now: i64) -> Federation {
        Federation::open(self.settings(), now * SECOND).expect("opens")
    }
}

fn knows(federation: &Federation, byte: u8, now: i64) -> bool {
    let member = federation.members().of_client(&[byte; 32], now * SECOND);
    member.is_some_and(|member| member.entity == format!("urn:{byte}") && member.federation == "moa")
}

#[test]
fn who_is_gone_from_newer_metadata_is_gone_and_older_metadata_brings_nobody_back() {
    let operator = Operator::new();
    let mut federation = operator.open(NOW);
    let (both, one) = (operator.publish(&[1, 2], NOW, NOW + 100), operator.publish(&[1], NOW + 1, NOW + 100));
    assert_eq!(federation.take(&both, NOW * SECOND).expect("believed"), Refreshed::Taken);
    assert_eq!(federation.take(&both, NOW * SECOND).expect("known"), Refreshed::Same);
    assert!(knows(&federation, 1, NOW) && knows(&federation, 2, NOW) && !knows(&federation, 3, NOW));
    federation.take(&one, NOW * SECOND).expect("believed");
    assert!(knows(&federation, 1, NOW) && !knows(&federation, 2, NOW));
    for _ in 0..2 {
        let refused = federation.take(&both, NOW * SECOND).expect_err("older").to_string();
        assert_eq!(refused, "it is of 2027-01-15T08:00:00Z, and that of 2027-01-15T08:00:01Z is known");
    }
    assert!(knows(&federation, 1, NOW) && !knows(&federation, 2, NOW));
    // Nor does it after a restart.
    let mut again = operator.open(NOW);
    assert!(knows(&again, 1, NOW) && !knows(&again, 2, NOW));
    assert!(again.take(&both, NOW * SECOND).is_err());
}

#[test]
fn what_is_known_holds_until_it_expires_and_no_longer() {
    let operator = Operator::new();
    let mut federation = operator.open(NOW);
    let text = operator.publish(&[1], NOW, NOW + 100);
    federation.take(&text, NOW * SECOND).expect("believed");
    assert!(federation.take(b"nonsense", NOW * SECOND).is_err());
    assert!(knows(&federation, 1, NOW + 99) && !knows(&federation, 1, NOW + 100));
    assert!(federation.take(&text, (NOW + 100) * SECOND).expect_err("over").to_string().starts_with("it expired at"));
    assert!(knows(&operator.open(NOW + 99), 1, NOW + 99));
    let late = operator.open(NOW + 100);
    assert!(!knows(&late, 1, NOW + 100) && !knows(&late, 1, NOW));
    // What it said last still counts against what is older.
    let mut late = operator.open(NOW + 100);
    assert!(late.take(&operator.publish(&[1], NOW - 1, NOW + 200), (NOW + 100) * SECOND).is_err());
}

#[test]
fn another_issuer_a_broken_rule_and_a_key_that_was_taken_out_are_refused() {
    let operator = Operator::new();
    let mut federation = operator.open(NOW);
    let payload = br#"{"version": "1.0.0", "entities": []}"#;
    let foreign = sign(payload, &operator.key, "urn:other", NOW, NOW + 9).expect("signed").to_string();
    let refused = federation.take(foreign.as_bytes(), NOW * SECOND).expect_err("foreign").to_string();
    assert_eq!(refused, "it was issued by \"urn:other\", not by the one that is configured");
    let broken = sign(b"{}", &operator.key, "urn:fed", NOW, NOW + 9).expect("signed").to_string();
    let refused = federation.take(broken.as_bytes(), NOW * SECOND).expect_err("broken").to_string();
    assert_eq!(refused, "it breaks the rules of the schema: version is missing");
    let good = operator.publish(&[1], NOW, NOW + 100);
    federation.take(&good, NOW * SECOND).expect("believed");
    let another = SigningKey::generate().expect("a key");
    operator.pin(&[another.published().expect("its public half").into()]);
    assert!(federation.take(&good, NOW * SECOND).expect_err("taken out").to_string().contains("not in the anchor"));
    assert!(!knows(&federation, 1, NOW), "what it signed before counts no more");
    assert!(!knows(&operator.open(NOW), 1, NOW), "nor does the copy");
}

#[test]
fn it_is_looked_for_as_often_as_it_says_and_after_a_failure_sooner() {
    let operator = Operator::new();
    let mut federation = operator.open(NOW);
    assert_eq!(federation.pause(NOW * SECOND), Duration::from_secs(10));
    federation.take(&operator.publish(&[1], NOW, NOW + 10_000), NOW * SECOND).expect("believed");
    assert_eq!(federation.pause(NOW * SECOND), Duration::from_secs(600));
    assert_eq!(federation.pause((NOW + 9_000) * SECOND), Duration::from_secs(500));
    assert_eq!(federation.pause((NOW + 10_000) * SECOND), Duration::from_secs(5));
    for (failures, seconds) in [(1, 10), (2, 20), (5, 160), (6, 300), (60, 300)] {
        federation.failures = failures;
        assert_eq!(federation.pause(NOW * SECOND), Duration::from_secs(seconds));
    }
}

#[test]
fn a_file_is_read_at_once_and_an_anchor_must_be_one() {
    let operator = Operator::new();
    let file = operator.folder.path().join("metadata");
    std::fs::write(&file, operator.publish(&[1], NOW, NOW + 100)).expect("written");
    let settings = Settings { source: Source::File(file), ..operator.settings() };
    let federation = Federation::open(settings.clone(), NOW * SECOND).expect("opens");
    assert!(knows(&federation, 1, NOW));
    assert_eq!(federation.pause(NOW * SECOND), FILE_PERIOD);
    operator.pin(&[]);
    assert!(Federation::open(settings.clone(), NOW * SECOND).is_err());
    std::fs::remove_file(&settings.anchor).expect("removed");
    assert!(Federation::open(settings, NOW * SECOND).is_err());
}
