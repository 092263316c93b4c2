//! By what a certificate is known to stand for a client: its key, a name that an authority vouches for, or a member of a
//! federation whose metadata lists its key. A rule is the material of a credential of kind `certificate`, and its key in
//! the table of routes: as nobody else can have that key, a certificate leads to one client of one tenant.
//!
//! As material: `{"spki": "<base64>"}`, `{"dns": …}`, `{"uri": …}`, `{"email": …}`, `{"subject": "<RFC 4514>"}` or
//! `{"entity": "https://…", "federation": "<name>"}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// What of a certificate decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// SHA-256 of its public key as SubjectPublicKeyInfo. Any certificate will do, one that vouches for itself too.
    Key([u8; 32]),
    /// A DNS name of its subject, in lower case.
    Dns(String),
    /// A URI of its subject.
    Uri(String),
    /// A mail address of its subject.
    Email(String),
    /// Its subject (RFC 4514).
    Subject(String),
    /// Its key is one of a client's of this entity.
    Entity {
        /// The federation's name here.
        federation: String,
        /// The entity's identifier, a URI.
        entity: String,
    },
}

impl Rule {
    /// Reads the material of a credential. Fails with 400 invalidValue when it is no rule.
    pub fn parse(material: &Value) -> Result<Self, scim::Error> {
        let rule = material.as_object().and_then(read);
        rule.ok_or_else(|| {
            scim::Error::invalid_value(
                "The rule of a certificate is one of spki (base64 of SHA-256), dns, uri, email, subject, or entity with \
                 federation.",
            )
        })
    }

    /// The rule as material.
    pub fn material(&self) -> Value {
        match self {
            Rule::Key(pin) => json!({ "spki": STANDARD.encode(pin) }),
            Rule::Dns(name) => json!({ "dns": name }),
            Rule::Uri(uri) => json!({ "uri": uri }),
            Rule::Email(address) => json!({ "email": address }),
            Rule::Subject(name) => json!({ "subject": name }),
            Rule::Entity { federation, entity } => json!({ "entity": entity, "federation": federation }),
        }
    }

    /// Its key in the table of routes. No two rules share one.
    pub fn route(&self) -> String {
        match self {
            Rule::Key(pin) => format!("spki:{}", STANDARD.encode(pin)),
            Rule::Dns(name) => format!("san:dns:{name}"),
            Rule::Uri(uri) => format!("san:uri:{uri}"),
            Rule::Email(address) => format!("san:email:{address}"),
            Rule::Subject(name) => format!("subject:{name}"),
            Rule::Entity { federation, entity } => format!("entity:{federation} {entity}"),
        }
    }
}

fn read(material: &Map<String, Value>) -> Option<Rule> {
    let text = |name: &str| {
        let text = material.get(name)?.as_str()?.trim();
        (!text.is_empty() && text.len() <= 1024).then(|| text.to_owned())
    };
    if let (2, Some(entity), Some(federation)) = (material.len(), text("entity"), text("federation")) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        return federation.chars().all(is_name).then_some(Rule::Entity { federation, entity });
    }
    let (1, Some((name, _))) = (material.len(), material.iter().next()) else { return None };
    let value = text(name)?;
    match name.as_str() {
        "spki" => Some(Rule::Key(STANDARD.decode(value).ok()?.try_into().ok()?)),
        "dns" => Some(Rule::Dns(value.to_ascii_lowercase())),
        "uri" => Some(Rule::Uri(value)),
        "email" => Some(Rule::Email(value)),
        "subject" => Some(Rule::Subject(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_back_and_has_a_key_of_its_own() {
        let table = [
            (json!({ "spki": STANDARD.encode([7; 32]) }), "spki:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
            (json!({ "dns": "hr.example.se" }), "san:dns:hr.example.se"),
            (json!({ "uri": "https://hr.example.se" }), "san:uri:https://hr.example.se"),
            (json!({ "email": "hr@example.se" }), "san:email:hr@example.se"),
            (json!({ "subject": "CN=hr,C=SE" }), "subject:CN=hr,C=SE"),
            (json!({ "entity": "https://a.se", "federation": "moa" }), "entity:moa https://a.se"),
        ];
        for (material, key) in table {
            let rule = Rule::parse(&material).expect("a rule");
            assert_eq!(rule.material(), material);
            assert_eq!(rule.route(), key);
        }
        assert_eq!(Rule::parse(&json!({ "dns": "HR.example.SE" })).expect("a rule").route(), "san:dns:hr.example.se");
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for material in [
            json!(null),
            json!("spki"),
            json!({}),
            json!({ "spki": "AAAA" }),
            json!({ "spki": "not base64" }),
            json!({ "dns": "" }),
            json!({ "dns": 1 }),
            json!({ "dns": "a", "uri": "b" }),
            json!({ "entity": "https://a.se" }),
            json!({ "entity": "https://a.se", "federation": "two words" }),
            json!({ "everybody": "yes" }),
        ] {
            assert!(Rule::parse(&material).is_err(), "{material}");
        }
    }
}
