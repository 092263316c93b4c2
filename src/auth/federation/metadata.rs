//! What a federation's metadata says (RFC 9932 section 6 and its schema, version 1): entities, their servers and clients, the
//! keys of these as pins. Whatever breaks a rule is refused as a whole, with the place where it stands; names that the schema
//! does not know are passed over where it lets others stand. A pin of a client names one entity, or there would be no
//! saying who it is.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde_json::{Map, Value};

/// The members of a federation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Of the schema, such as 1.0.0.
    pub version: String,
    /// Seconds after which to look for newer metadata.
    pub cache_ttl: Option<u64>,
    /// Who is there.
    pub entities: Vec<Entity>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Its identifier, a URI.
    pub id: String,
    /// What it is called.
    pub organization: Option<String>,
    /// What answers.
    pub servers: Vec<Endpoint>,
    /// What asks.
    pub clients: Vec<Endpoint>,
}

/// A server or client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// For people.
    pub description: Option<String>,
    /// Where a server answers.
    pub base_uri: Option<String>,
    /// What it is for.
    pub tags: Vec<String>,
    /// SHA-256 of its keys as SubjectPublicKeyInfo: several while it changes them.
    pub pins: Vec<[u8; 32]>,
}

/// What is wrong, and where: `entities[3].clients[0].pins[0].digest is …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

type Object = Map<String, Value>;

/// Reads and checks metadata.
pub fn parse(text: &[u8]) -> Result<Metadata, Invalid> {
    let value = serde_json::from_slice::<Value>(text).map_err(|error| Invalid(format!("it is no JSON: {error}")))?;
    let root = Place { path: String::new(), value: &value };
    let members = root.object()?;
    let version = root.text(members, "version")?.ok_or_else(|| Invalid("version is missing".into()))?;
    let parts: Vec<_> = version.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() != 3 || !parts.iter().all(is_number) {
        return Err(Invalid(format!("version is {version:?}, not three numbers such as 1.0.0")));
    }
    if parts.first() != Some(&"1") {
        return Err(Invalid(format!("version is {version}, and only 1 is understood here")));
    }
    let cache_ttl = match members.get("cache_ttl") {
        None => None,
        Some(ttl) => Some(ttl.as_u64().ok_or_else(|| Invalid("cache_ttl is no number of seconds".into()))?),
    };
    if !members.contains_key("entities") {
        return Err(Invalid("entities is missing".into()));
    }
    let entities = root.list(members, "entities", Place::entity)?;
    let metadata = Metadata { version, cache_ttl, entities };
    metadata.check_names()?;
    Ok(metadata)
}

impl Metadata {
    /// That every entity and every client's key is named once.
    fn check_names(&self) -> Result<(), Invalid> {
        let (mut entities, mut pins) = (HashSet::new(), HashMap::new());
        for entity in &self.entities {
            if !entities.insert(&entity.id) {
                return Err(Invalid(format!("the entity {} stands twice", entity.id)));
            }
            for pin in entity.clients.iter().flat_map(|client| &client.pins) {
                if let Some(other) = pins.insert(pin, &entity.id)
                    && *other != entity.id
                {
                    return Err(Invalid(format!(
                        "the pin {} is a client's of both {other} and {}",
                        STANDARD.encode(pin),
                        entity.id
                    )));
                }
            }
        }
        Ok(())
    }
}

/// A value and where it stands.
struct Place<'v> {
    path: String,
    value: &'v Value,
}

impl<'v> Place<'v> {
    fn wrong<T>(&self, what: &str) -> Result<T, Invalid> {
        Err(Invalid(format!("{} {what}", if self.path.is_empty() { "it" } else { &self.path })))
    }

    fn object(&self) -> Result<&'v Object, Invalid> {
        match self.value.as_object() {
            Some(members) => Ok(members),
            None => self.wrong("is no object"),
        }
    }

    fn below(&self, name: &str, value: &'v Value) -> Place<'v> {
        let dot = if self.path.is_empty() { "" } else { "." };
        Place { path: format!("{}{dot}{name}", self.path), value }
    }

    fn text(&self, members: &'v Object, name: &str) -> Result<Option<String>, Invalid> {
        let Some(value) = members.get(name) else { return Ok(None) };
        match value.as_str() {
            Some(text) => Ok(Some(text.to_owned())),
            None => self.below(name, value).wrong("is no text"),
        }
    }

    fn uri(&self, members: &'v Object, name: &str) -> Result<Option<String>, Invalid> {
        let text = self.text(members, name)?;
        match (&text, members.get(name)) {
            (Some(uri), Some(value)) if !is_uri(uri) => self.below(name, value).wrong(&format!("is {uri:?}, no URI")),
            _ => Ok(text),
        }
    }

    /// What stands in a list; one that is missing is empty.
    fn list<T>(
        &self,
        members: &'v Object,
        name: &str,
        read: impl Fn(&Place<'v>) -> Result<T, Invalid>,
    ) -> Result<Vec<T>, Invalid> {
        let Some(value) = members.get(name) else { return Ok(Vec::new()) };
        let below = self.below(name, value);
        let Some(values) = value.as_array() else { return below.wrong("is no list") };
        let places = values.iter().enumerate();
        places.map(|(at, value)| read(&Place { path: format!("{}[{at}]", below.path), value })).collect()
    }

    fn only(&self, members: &Object, known: &[&str]) -> Result<(), Invalid> {
        match members.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => self.wrong(&format!("has the unknown member {name}")),
            None => Ok(()),
        }
    }

    fn entity(&self) -> Result<Entity, Invalid> {
        let members = self.object()?;
        let Some(id) = self.uri(members, "entity_id")? else { return self.wrong("lacks entity_id") };
        if !members.contains_key("issuers") {
            return self.wrong("lacks issuers");
        }
        self.list(members, "issuers", |issuer| {
            let members = issuer.object()?;
            issuer.only(members, &["x509certificate"])?;
            issuer.text(members, "x509certificate")
        })?;
        Ok(Entity {
            id,
            organization: self.text(members, "organization")?,
            servers: self.list(members, "servers", Place::endpoint)?,
            clients: self.list(members, "clients", Place::endpoint)?,
        })
    }

    fn endpoint(&self) -> Result<Endpoint, Invalid> {
        let members = self.object()?;
        if !members.contains_key("pins") {
            return self.wrong("lacks pins");
        }
        Ok(Endpoint {
            description: self.text(members, "description")?,
            base_uri: self.uri(members, "base_uri")?,
            tags: self.list(members, "tags", Place::tag)?,
            pins: self.list(members, "pins", Place::pin)?,
        })
    }

    fn tag(&self) -> Result<String, Invalid> {
        match self.value.as_str() {
            Some(tag) if is_tag(tag) => Ok(tag.to_owned()),
            _ => self.wrong("is no tag: 1 to 64 of a to z and 0 to 9"),
        }
    }

    fn pin(&self) -> Result<[u8; 32], Invalid> {
        let members = self.object()?;
        self.only(members, &["alg", "digest"])?;
        if members.get("alg").and_then(Value::as_str) != Some("sha256") {
            return self.wrong("has another alg than sha256");
        }
        let digest = self.text(members, "digest")?.and_then(|text| STANDARD.decode(text).ok());
        match digest.and_then(|digest| digest.try_into().ok()) {
            Some(pin) => Ok(pin),
            None => self.wrong("has a digest that is not the base64 of a SHA-256"),
        }
    }
}

/// Whether a text is an absolute URI.
pub fn is_uri(text: &str) -> bool {
    Url::parse(text).is_ok() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Whether a text may be a tag.
pub fn is_tag(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pin(byte: u8) -> Value {
        json!({ "alg": "sha256", "digest": STANDARD.encode([byte; 32]) })
    }

    fn good() -> Value {
        json!({
            "version": "1.0.0", "cache_ttl": 3600, "operator": "whatever else it says",
            "entities": [
                {
                    "entity_id": "https://one.example.se", "organization": "One", "issuers": [{ "x509certificate": "PEM" }],
                    "servers": [{
                        "base_uri": "https://scim.one.example.se/", "tags": ["scim", "egil0"], "pins": [pin(1), pin(2)],
                    }],
                    // The same key for two clients of one entity is well.
                    "clients": [{ "description": "c", "pins": [pin(3)] }, { "pins": [pin(3), pin(4)], "more": true }],
                },
                { "entity_id": "urn:two", "issuers": [] },
            ],
        })
    }

    #[test]
    fn metadata_is_read_with_what_it_does_not_know() {
        let metadata = parse(good().to_string().as_bytes()).expect("valid");
        assert_eq!((metadata.cache_ttl, metadata.entities.len()), (Some(3600), 2));
        let one = &metadata.entities[0];
        assert_eq!((one.organization.as_deref(), one.servers[0].pins.len()), (Some("One"), 2));
        assert_eq!(one.clients[1].pins, [[3; 32], [4; 32]]);
    }

    #[test]
    fn whatever_breaks_a_rule_is_named_with_its_place() {
        let one = "/entities/0";
        for (pointer, value, expected) in [
            ("/version", json!("1.0"), "version is \"1.0\", not three numbers"),
            ("/version", json!("2.0.0"), "version is 2.0.0, and only 1"),
            ("/version", json!(1), "version is no text"),
            ("/cache_ttl", json!(-1), "cache_ttl is no number"),
            ("/entities", json!({}), "entities is no list"),
            (one, json!([]), "entities[0] is no object"),
            (one, json!({ "issuers": [] }), "entities[0] lacks entity_id"),
            (one, json!({ "entity_id": "https://a.se" }), "entities[0] lacks issuers"),
            ("/entities/0/entity_id", json!("one"), "entities[0].entity_id is \"one\", no URI"),
            ("/entities/0/issuers/0", json!({ "pem": "" }), "entities[0].issuers[0] has the unknown member pem"),
            ("/entities/0/servers/0/base_uri", json!("scim"), "entities[0].servers[0].base_uri is \"scim\", no URI"),
            ("/entities/0/servers/0/tags/1", json!("SCIM"), "entities[0].servers[0].tags[1] is no tag"),
            ("/entities/0/servers/0/tags/1", json!(""), "entities[0].servers[0].tags[1] is no tag"),
            ("/entities/0/clients/0", json!({}), "entities[0].clients[0] lacks pins"),
            ("/entities/0/clients/0/pins/0/alg", json!("sha1"), "entities[0].clients[0].pins[0] has another alg"),
            ("/entities/0/clients/0/pins/0/digest", json!("AAAA"), "entities[0].clients[0].pins[0] has a digest"),
            ("/entities/0/clients/0/pins/0/digest", json!("é"), "entities[0].clients[0].pins[0] has a digest"),
            (
                "/entities/1/entity_id",
                json!("https://one.example.se"),
                "the entity https://one.example.se stands twice",
            ),
        ] {
            let mut wrong = good();
            *wrong.pointer_mut(pointer).expect(pointer) = value;
            let refused = parse(wrong.to_string().as_bytes()).expect_err(expected).to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
        let mut shared = good();
        shared["entities"][1]["clients"] = json!([{ "pins": [pin(4)] }]);
        let refused = parse(shared.to_string().as_bytes()).expect_err("shared").to_string();
        assert!(refused.ends_with("is a client's of both https://one.example.se and urn:two"), "{refused}");
        // A server's key may be anybody's: a server is found by its entity, not by its key.
        let mut servers = good();
        servers["entities"][1]["servers"] = json!([{ "pins": [pin(1)] }]);
        parse(servers.to_string().as_bytes()).expect("valid");
        assert!(parse(b"{}").is_err());
        assert!(parse(b"").is_err());
    }
}
