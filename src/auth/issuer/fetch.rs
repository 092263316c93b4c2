//! Fetches the keys of a foreign issuer: from where its resource says, or where its own metadata say (OpenID Connect Discovery
//! section 4, RFC 8414 section 3). Whoever administers a register chooses the address, so it leads into the public internet
//! and into networks that the operator named, nowhere else; a redirect stays on its host, and an answer is small and quick.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::ACCEPT;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde_json::{Map, Value};

use crate::auth::chain;
use crate::directory::issuers::{Issuer, is_fetchable};
use crate::jose::PublicKey;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);
/// Largest answer, in bytes.
const LARGEST: usize = 256 * 1024;
/// Keys of one issuer that are looked at.
const MOST_KEYS: usize = 100;
const REDIRECTS: usize = 3;
/// Where metadata lie, below or after the host of the issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";
const METADATA: &str = "/.well-known/oauth-authorization-server";

/// Whether an address lies in a network that the operator named.
pub type Named = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Why there are no keys: for the operator's log alone.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is not one to ask.
    #[error("{0} lies where no keys may come from; issuers.networks names where else they may")]
    Forbidden(String),
    /// No answer, or none in time.
    #[error("no answer: {0}")]
    Away(String),
    /// An answer, and not what was asked for.
    #[error("{0}")]
    Wrong(&'static str),
}

/// Who fetches.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    named: Named,
}

impl Fetcher {
    /// Somebody who reaches the public internet and the networks that are named. Fails when TLS cannot be used.
    pub fn new(named: Named) -> Result<Self, reqwest::Error> {
        let redirects = Policy::custom(|attempt| {
            let stays = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
            if stays && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
        });
        let client = Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .connect_timeout(CONNECT)
            .redirect(redirects)
            .dns_resolver(Arc::new(Careful(named.clone())))
            // Each thread that serves has a reactor of its own, and fetches are rare.
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Fetcher { client, named })
    }

    /// The keys of an issuer that can check signatures; others are passed over.
    pub async fn keys(&self, issuer: &Issuer) -> Result<Vec<PublicKey>, FetchError> {
        let uri = match &issuer.jwks_uri {
            Some(uri) => uri.clone(),
            None => self.discover(&issuer.issuer).await?,
        };
        let set = self.document(&uri).await?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(FetchError::Wrong("the answer is no key set"))?;
        let keys = keys.iter().take(MOST_KEYS).filter_map(|key| PublicKey::from_jwk(key.as_object()?).ok());
        Ok(keys.collect())
    }

    /// Where the keys are, as the issuer's own metadata say.
    async fn discover(&self, issuer: &str) -> Result<String, FetchError> {
        let base = issuer.trim_end_matches('/');
        let mut away = None;
        for url in [format!("{base}{DISCOVERY}"), metadata_url(base).unwrap_or_default()] {
            let metadata = match self.document(&url).await {
                Ok(metadata) => metadata,
                Err(error) => {
                    away = away.or(Some(error));
                    continue;
                }
            };
            if metadata.get("issuer").and_then(Value::as_str) != Some(issuer) {
                return Err(FetchError::Wrong("its metadata name another issuer"));
            }
            let uri = metadata.get("jwks_uri").and_then(Value::as_str).filter(|uri| is_fetchable(uri));
            return uri.map(str::to_owned).ok_or(FetchError::Wrong("its metadata do not say where its keys are"));
        }
        Err(away.unwrap_or(FetchError::Wrong("it has no metadata")))
    }

    async fn document(&self, url: &str) -> Result<Map<String, Value>, FetchError> {
        let away = |error: reqwest::Error| FetchError::Away(chain(&error.without_url()));
        let parsed =
            Url::parse(url).ok().filter(|_| is_fetchable(url)).ok_or(FetchError::Wrong("it has no address"))?;
        // An address in the URL itself is not resolved.
        let literal = parsed.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if literal.is_some_and(|address| !may_reach(address, &self.named)) {
            return Err(FetchError::Forbidden(url.to_owned()));
        }
        let mut response = self.client.get(parsed).header(ACCEPT, "application/json").send().await.map_err(away)?;
        if !response.status().is_success() {
            return Err(FetchError::Away(format!("status {}", response.status().as_u16())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > LARGEST {
                return Err(FetchError::Wrong("the answer is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        let text = std::str::from_utf8(&body).ok().and_then(|text| scim::json::read(text).ok());
        match text {
            Some(Value::Object(document)) => Ok(document),
            _ => Err(FetchError::Wrong("the answer is no JSON object")),
        }
    }
}

/// RFC 8414 section 3.1: between the host and the path.
fn metadata_url(issuer: &str) -> Option<String> {
    let mut url = Url::parse(issuer).ok()?;
    let path = format!("{METADATA}{}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url.into())
}

/// Resolves names to those of their addresses that may be asked.
struct Careful(Named);

impl Resolve for Careful {
    fn resolve(&self, name: Name) -> Resolving {
        let named = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.filter(|address| may_reach(address.ip(), &named)).collect();
            if addresses.is_empty() {
                return Err(FetchError::Forbidden(name.as_str().to_owned()).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn may_reach(address: IpAddr, named: &Named) -> bool {
    let address = address.to_canonical();
    named(address)
        || match address {
            IpAddr::V4(address) => is_public(address),
            IpAddr::V6(address) => is_public_too(address),
        }
}

/// Whether an address is one of the public internet (RFC 6890).
fn is_public(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || first == 0
        || first >= 240
        || (first == 100 && (64..128).contains(&second))
        || (first == 198 && (18..20).contains(&second))
        || (first == 192 && second == 0 && third == 0))
}

/// Whether an address is one of the public internet: the unicast that is given out today, and none that wraps another.
fn is_public_too(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    matches!(segments, [0x2000..=0x3fff, ..]) && !matches!(segments, [0x2001, 0x0000 | 0x0db8, ..] | [0x2002, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_asked_and_what_is_named() {
        let named: Named = Arc::new(|address| address == IpAddr::from([10, 1, 2, 3]));
        for text in ["8.8.8.8", "10.1.2.3", "2a00:1450::1", "::ffff:8.8.8.8"] {
            assert!(may_reach(text.parse().expect("an address"), &named), "{text}");
        }
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "2001:db8::1",
        ] {
            assert!(!may_reach(text.parse().expect("an address"), &named), "{text}");
        }
    }

    #[test]
    fn metadata_lie_between_host_and_path() {
        let url = metadata_url("https://a.example/t/1").expect("a URL");
        assert_eq!(url, "https://a.example/.well-known/oauth-authorization-server/t/1");
        let url = metadata_url("https://a.example").expect("a URL");
        assert_eq!(url, "https://a.example/.well-known/oauth-authorization-server");
    }
}
