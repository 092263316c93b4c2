//! Foreign issuers whose tokens a register accepts. One is a resource like any other; here is what its document has to say,
//! that no two registers accept the same tokens, and what whoever checks a token gets to know. Asks no issuer anything.

use serde_json::{Map, Value};

use scim::filter::Filter;
use store::work::document_of;
use store::{LookedUp, Lookup, Record, ResourceId, TenantId, Work};

use super::clients::CLIENT;
use super::lookup::trait_of;
use super::particular::{Follow, Write};
use super::{Directory, Error};
use crate::jose::Algorithm;

/// The resource type of foreign issuers.
pub const ISSUER: &str = "Issuer";

const SECOND: i64 = 1_000_000;
/// Longest issuer or audience, in bytes: together they are a key of the database.
const LONGEST: usize = 500;
const MOST_AUDIENCES: usize = 16;
const MOST_RULES: usize = 256;
const MOST_LEEWAY: i64 = 300;
const LEEWAY: i64 = 60;
/// How tokens may be signed where nothing is said.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Ps256];

/// A foreign issuer, as its tokens are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The resource.
    pub id: ResourceId,
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its tokens, one of these.
    pub audiences: Vec<String>,
    /// How they may be signed.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are; `None`: its metadata say so.
    pub jwks_uri: Option<String>,
    /// Which client a token stands for; the first rule that it fulfils.
    pub rules: Vec<Rule>,
    /// The claim that names a user, and the attribute that it is.
    pub user: Option<(String, UserAttribute)>,
    /// By how many µs its clock may differ.
    pub leeway: i64,
}

/// A claim that a token must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name or path.
    pub claim: String,
    /// Its value, or one of its values.
    pub value: String,
    /// The client that the token stands for.
    pub client: ResourceId,
}

/// What of a user a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserAttribute {
    /// `userName`.
    UserName,
    /// The client's `externalId`.
    ExternalId,
}

impl UserAttribute {
    fn as_str(self) -> &'static str {
        match self {
            UserAttribute::UserName => "userName",
            UserAttribute::ExternalId => "externalId",
        }
    }
}

/// What leads from a token to its tenant, in the table of routes. An issuer has no space in it.
pub fn route(issuer: &str, audience: &str) -> String {
    format!("iss:{issuer} {audience}")
}

/// What an issuer's document says has to be something that a token can be judged by. Fails with 400 invalidValue.
pub(super) fn check(document: &Map<String, Value>) -> Result<(), scim::Error> {
    read(ResourceId::SYSTEM, document).map(drop).map_err(scim::Error::invalid_value)
}

fn read(id: ResourceId, document: &Map<String, Value>) -> Result<Issuer, String> {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let texts = |name: &str| {
        let values = document.get(name).and_then(Value::as_array).into_iter().flatten();
        values.filter_map(Value::as_str).collect::<Vec<_>>()
    };
    let url = |name: &str, url: &str| match is_fetchable(url) {
        true => Ok(url.to_owned()),
        false => Err(format!(
            "{name} must be an https URL without a query, a fragment or a user in it; http is for this machine alone."
        )),
    };
    let audiences: Vec<String> = texts("audiences").into_iter().map(str::to_owned).collect();
    let is_audience = |audience: &String| !audience.trim().is_empty() && audience.len() <= LONGEST;
    if audiences.is_empty() || audiences.len() > MOST_AUDIENCES || !audiences.iter().all(is_audience) {
        return Err(format!("audiences must be 1 to {MOST_AUDIENCES} texts of at most {LONGEST} bytes."));
    }
    let algorithms = texts("algorithms").into_iter().map(|name| {
        Algorithm::parse(name).ok_or_else(|| {
            let known: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
            format!("algorithms must be of: {}.", known.join(", "))
        })
    });
    let algorithms = algorithms.collect::<Result<Vec<_>, _>>()?;
    let rule = |rule: &Value| {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(Rule {
            claim: text("claim")?.to_owned(),
            value: text("value")?.to_owned(),
            client: text("client")?.parse().ok()?,
        })
    };
    let rules = document.get("rules").and_then(Value::as_array).into_iter().flatten();
    let rules: Option<Vec<Rule>> = rules.map(rule).collect();
    let rules = rules.filter(|rules| (1..=MOST_RULES).contains(&rules.len()));
    let rules = rules.ok_or("rules must be 1 to 256, each with a claim, its value and the identifier of a client.")?;
    let attribute = match text("userAttribute") {
        None | Some("userName") => UserAttribute::UserName,
        Some("externalId") => UserAttribute::ExternalId,
        Some(_) => return Err("userAttribute must be userName or externalId.".to_owned()),
    };
    let leeway = document.get("leewaySeconds").map_or(Some(LEEWAY), Value::as_i64);
    let leeway = leeway.filter(|leeway| (0..=MOST_LEEWAY).contains(leeway));
    Ok(Issuer {
        id,
        issuer: url("issuer", text("issuer").unwrap_or_default())?,
        audiences,
        algorithms: if algorithms.is_empty() { ALGORITHMS.to_vec() } else { algorithms },
        jwks_uri: text("jwksUri").map(|uri| url("jwksUri", uri)).transpose()?,
        rules,
        user: text("userClaim").filter(|claim| !claim.is_empty()).map(|claim| (claim.to_owned(), attribute)),
        leeway: leeway.ok_or_else(|| format!("leewaySeconds must be 0 to {MOST_LEEWAY}."))? * SECOND,
    })
}

/// Whether a URL may be asked for keys at all. Over http only this machine may be: whether it may is the operator's choice.
pub fn is_fetchable(url: &str) -> bool {
    let Ok(parsed) = reqwest::Url::parse(url) else { return false };
    let is_here = match parsed.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    let is_plain = parsed.username().is_empty()
        && parsed.password().is_none()
        && parsed.query().is_none()
        && parsed.fragment().is_none();
    let is_safe = parsed.scheme() == "https" || (parsed.scheme() == "http" && is_here);
    is_plain && is_safe && parsed.has_host() && url.len() <= LONGEST && !url.contains(char::is_whitespace)
}

/// Sees to an issuer that is written or removed.
pub(super) fn attend(
    write: &Write<'_>,
    after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    lead(work, write.id, write.before, after.map(|document| &*document))?;
    Ok(None)
}

/// Lets the tokens of an issuer lead to its register from now on, and those of before no longer. Fails with 409 uniqueness
/// when they lead elsewhere, and with 400 when a rule's client is not there.
pub(super) fn lead(
    work: &mut Work<'_>,
    id: ResourceId,
    before: Option<&Record>,
    after: Option<&Map<String, Value>>,
) -> Result<(), Error> {
    let routes = |document: &Map<String, Value>| {
        let issuer = read(id, document).map_err(scim::Error::invalid_value)?;
        let routes: Vec<String> = issuer.audiences.iter().map(|audience| route(&issuer.issuer, audience)).collect();
        Ok::<_, Error>((issuer, routes))
    };
    let gone = match before {
        Some(record) => routes(&document_of(record)?)?.1,
        None => Vec::new(),
    };
    gone.iter().for_each(|route| work.remove_route(route));
    let Some(document) = after else { return Ok(()) };
    let (issuer, routes) = routes(document)?;
    for rule in &issuer.rules {
        if work.record(rule.client)?.is_none_or(|record| record.kind != CLIENT) {
            let sentence = format!("There is no client {}, which a rule names.", rule.client);
            return Err(scim::Error::invalid_value(sentence).into());
        }
    }
    for route in routes {
        let is_taken = work.route(&route)?.is_some_and(|known| known.target != Some(id));
        if is_taken {
            return Err(scim::Error::uniqueness("audiences").into());
        }
        work.put_route(&route, Some(id)).map_err(|error| match error {
            store::Error::Taken { .. } => scim::Error::uniqueness("audiences").into(),
            error => Error::from(error),
        })?;
    }
    Ok(())
}

impl Directory {
    /// The issuer that one of these routes leads to, and its tenant; `None`: there is none, or it is turned off.
    pub async fn issuer(&self, routes: Vec<String>) -> Result<Option<(TenantId, Issuer)>, Error> {
        let found = self.store.read(move |reader| {
            for key in routes {
                let Some(route) = reader.route(&key)? else { continue };
                let Some(id) = route.target else { continue };
                return Ok::<_, store::Error>(reader.record(route.tenant, id)?.map(|record| (route.tenant, record)));
            }
            Ok(None)
        });
        let Some((tenant, record)) = found.await?.filter(|(_, record)| record.kind == ISSUER) else { return Ok(None) };
        let document = document_of(&record)?;
        if document.get("active").and_then(Value::as_bool) == Some(false) {
            return Ok(None);
        }
        // What could not be saved today, and was once, lets nobody in.
        Ok(read(record.id, &document).ok().map(|issuer| (tenant, issuer)))
    }

    /// The active user that an attribute names; `domain` is whose `externalId` it is. `None`: nobody, or not one alone.
    pub async fn user_named(
        &self,
        tenant: TenantId,
        domain: ResourceId,
        attribute: UserAttribute,
        value: &str,
    ) -> Result<Option<ResourceId>, Error> {
        let Some(definition) = self.registry.definition("User").cloned() else { return Ok(None) };
        let filter = format!("{} eq {}", attribute.as_str(), Value::from(value));
        let filter = Filter::parse(&filter).and_then(|filter| filter.check(&definition));
        let Some(common) = filter.ok().as_ref().and_then(trait_of) else { return Ok(None) };
        let found = self.store.read(move |reader| {
            let lookup = Lookup { kind: "User", domain, with_groups: false, at_once: false };
            reader.lookup(tenant, &lookup, &common)
        });
        let LookedUp::Points(points) = found.await? else { return Ok(None) };
        let [point] = points.as_slice() else { return Ok(None) };
        let is_active = document_of(&point.record)?.get("active").and_then(Value::as_bool) != Some(false);
        Ok(is_active.then_some(point.record.id))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Map<String, Value> {
        let document = json!({
            "name": "entra", "issuer": "https://login.example/t", "audiences": ["urn:matrikel"],
            "rules": [{ "claim": "azp", "value": "hr", "client": ResourceId(uuid::Uuid::from_u128(7)).to_string() }],
        });
        document.as_object().expect("an object").clone()
    }

    #[test]
    fn an_issuer_needs_an_address_an_audience_and_a_rule() {
        let good = read(ResourceId::SYSTEM, &document()).expect("an issuer");
        assert_eq!((good.algorithms.len(), good.leeway, good.user), (4, 60 * SECOND, None));
        let table = [
            ("issuer", json!("http://login.example"), "issuer must be an https URL"),
            ("issuer", json!("https://login.example/?a=b"), "issuer must be an https URL"),
            ("issuer", json!("https://a:b@login.example"), "issuer must be an https URL"),
            ("issuer", json!("urn:login"), "issuer must be an https URL"),
            ("issuer", Value::Null, "issuer must be an https URL"),
            ("jwksUri", json!("ftp://login.example/keys"), "jwksUri must be an https URL"),
            ("audiences", json!([]), "audiences must be 1 to 16"),
            ("audiences", json!([" "]), "audiences must be 1 to 16"),
            ("audiences", json!(["a".repeat(501)]), "audiences must be 1 to 16"),
            ("algorithms", json!(["HS256"]), "algorithms must be of"),
            ("algorithms", json!(["none"]), "algorithms must be of"),
            ("rules", json!([]), "rules must be 1 to 256"),
            ("rules", json!([{ "claim": "azp", "value": "hr", "client": "hr" }]), "rules must be 1 to 256"),
            ("userAttribute", json!("displayName"), "userAttribute must be"),
            ("leewaySeconds", json!(301), "leewaySeconds must be 0 to 300"),
            ("leewaySeconds", json!(-1), "leewaySeconds must be 0 to 300"),
        ];
        for (name, value, expected) in table {
            let mut document = document();
            document.insert(name.into(), value);
            let error = check(&document).expect_err(name);
            assert!(error.detail.starts_with(expected), "{}", error.detail);
        }
    }

    #[test]
    fn keys_are_fetched_by_https_or_from_this_machine() {
        for url in [
            "https://a.example",
            "https://a.example:8443/b",
            "http://127.0.0.1:1/x",
            "http://localhost",
            "http://[::1]:1",
        ] {
            assert!(is_fetchable(url), "{url}");
        }
        for url in [
            "http://a.example",
            "http://10.0.0.1",
            "http://127.0.0.1.example",
            "https://",
            "file:///etc",
            "https://a.example/ b",
        ] {
            assert!(!is_fetchable(url), "{url}");
        }
    }
}
