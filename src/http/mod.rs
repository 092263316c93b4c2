//! The SCIM interface over HTTP (RFC 7644). `routes` is the whole URL space; `extract` makes a request into a `Ctx`
//! and a body, `respond` makes answers and [`error`] makes every error; `observe` wraps them all with request ids and
//! logs; `metrics` counts for Prometheus. Decides nothing about identities: each handler is one call of the directory.

pub mod error;
pub mod server;
mod simulations;

mod accept;
mod alone;
mod audit;
mod body;
mod clock;
mod cors;
mod deferred;
mod extract;
mod federation;
mod health;
mod hold;
mod intake;
mod json;
mod metrics;
mod oauth;
mod observe;
mod once;
mod peer;
mod prefer;
mod proxy;
mod respond;
mod routes;
mod scim;
mod tenancy;
mod tls;
mod tolerance;
mod used;
mod watched;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::HeaderValue;

use crate::auth::Authenticator;
use crate::auth::federation::Members;
use crate::auth::limit::{Brake, Limiter, Limits};
use crate::directory::Directory;
pub use crate::network::Network;
pub use clock::Clock;
use error::Failure;
pub use peer::{ClientCertificates, Peers};
pub use tls::{Oldest, Tls, TlsError};

/// What every handler returns.
type Answer = Result<actix_web::HttpResponse, Failure>;

/// Where SCIM begins, below the public URL.
const BASE_PATH: &str = "/scim/v2";

/// What an operator decides about the interface.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Scheme, host and path before `/scim/v2` as clients see them; `None`: from each request.
    pub public_url: Option<String>,
    /// Largest request body in bytes.
    pub body_limit: usize,
    /// Most operations in a bulk request.
    pub bulk_operations: usize,
    /// Largest bulk request in bytes.
    pub bulk_payload: usize,
    /// Largest file of a feed in bytes.
    pub feed_limit: usize,
    /// Resources on a page when the client does not say.
    pub page_default: u64,
    /// Most resources on a page.
    pub page_max: u64,
    /// Seconds that a cursor is good for.
    pub cursor_timeout_seconds: u64,
    /// Whether memberships stand in the list of resource types.
    pub announce_memberships: bool,
    /// Proxies whose word is taken for how the client addressed us.
    pub trusted_proxies: Vec<Network>,
    /// Origins whose scripts may use the interface from a browser.
    pub cors_origins: Vec<String>,
    /// Whether requests are counted for Prometheus.
    pub has_metrics: bool,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// How the keys of foreign issuers are had and kept.
    pub issuers: crate::auth::issuer::keys::Settings,
    /// How access tokens are made and checked.
    pub oauth: crate::auth::oauth::Settings,
    /// How much clients and tenants may ask for.
    pub limits: Limits,
    /// For how many seconds browsers shall insist on https; `None`: nothing is said of it.
    pub hsts_seconds: Option<u64>,
    /// Days after which what runs of feeds have left is erased; 0: never.
    pub run_items_days: u64,
    /// What time it is.
    pub clock: Clock,
}

/// What every handler works with.
struct State {
    directory: Directory,
    authenticator: Authenticator,
    settings: Settings,
    /// The base URL when it is configured: one text for all requests.
    base_url: Option<Arc<str>>,
    tolerances: tolerance::Counts,
    federation: federation::Counts,
    metrics: metrics::Metrics,
    denials: audit::Denials,
    limiter: Limiter,
    /// Since when time is counted for limits.
    begun: Instant,
    hosts: tenancy::Hosts,
    /// What browsers are told of https.
    hsts: Option<HeaderValue>,
    /// What takes certificates of clients apart.
    peers: Arc<peer::Reading>,
    /// Who carries out runs of feeds.
    lanes: intake::Lanes,
    /// Who works simulations out.
    simulating: simulations::Seats,
    /// Where requests are carried out that were answered already: not on the threads that serve.
    runtime: tokio::runtime::Handle,
}

impl State {
    /// The moment, µs since 1970.
    fn now(&self) -> i64 {
        self.settings.clock.now()
    }

    /// Needs a Tokio runtime.
    fn new(directory: Directory, settings: Settings, peers: Arc<peer::Reading>, members: Members) -> Self {
        let base_url = settings.public_url.as_ref().map(|url| format!("{url}{BASE_PATH}").into());
        let authenticator =
            Authenticator::new(directory.clone(), members, settings.oauth.clone(), settings.issuers.clone())
                .with_brake(Brake::new(settings.limits.failures));
        let limiter = Limiter::new(settings.limits);
        let runtime = tokio::runtime::Handle::current();
        let (tolerances, federation) = (tolerance::Counts::default(), federation::Counts::default());
        let metrics = metrics::Metrics::new(settings.clock.now(), settings.has_metrics);
        let hsts = settings.hsts_seconds.and_then(|age| HeaderValue::from_str(&format!("max-age={age}")).ok());
        let denials = audit::Denials::default();
        State {
            authenticator,
            directory,
            settings,
            base_url,
            tolerances,
            federation,
            metrics,
            denials,
            limiter,
            begun: Instant::now(),
            hosts: tenancy::Hosts::default(),
            hsts,
            peers,
            lanes: intake::Lanes::default(),
            simulating: simulations::Seats::default(),
            runtime,
        }
    }
}
