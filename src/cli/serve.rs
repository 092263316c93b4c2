//! `matrikel serve`: the server, until SIGINT or SIGTERM.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{Shared, notify, now, open, output, wait};
use crate::auth::federation::{self, Source};
use crate::auth::issuer::keys;
use crate::auth::limit::{Bounds, Limits};
use crate::auth::oauth;
use crate::config::{self, Config, ConfigError, SigningAlgorithm, TlsVersion};
use crate::directory::{Directory, Random};
use crate::http::server::{self, Listen, Patience, Running, StartError};
use crate::http::{ClientCertificates, Oldest, Peers, Settings, Tls};
use crate::jose::Algorithm;
use crate::schedule::Scheduler;
use crate::telemetry;

const KEYS_HELP: &str = "Configuration keys (in the file; MATRIKEL_<KEY> in the environment, with _ for a dot):
  listen            address and port, 127.0.0.1:8080; port 0 takes a free one
  metrics_listen    address and port for Prometheus, which fetches /metrics there: none
  public_url        URL before /scim/v2 as clients see it; set it behind a proxy
  data_dir          folder of the embedded database, data
  database_url      sqlite:PATH or postgres://…; in the environment DATABASE_URL
  workers           threads that serve HTTP
  readers, writers  threads that read and connections that write the database
  body_limit        largest request body in bytes, 1048576
  bulk_operations   most operations in a bulk request, 1000
  bulk_payload      largest bulk request in bytes, 10485760
  feed_limit        largest file of a feed in bytes, 268435456
  deferred_requests bulk requests of one client that may wait after their answer, 16; 0: none
  page_default, page_max, scan_limit   100, 1000, 100000
  cursor_timeout_seconds               how long a cursor is good for, 3600
  schedule_seconds  seconds between two looks at what is due, 15; 0: nothing of it here
  announce_memberships                 whether /ResourceTypes lists GroupMembership, false
  password_min, password_max           8 and 256 characters
  trusted_proxies   proxies whose Forwarded and X-Forwarded headers are believed: none
  cors_origins      origins whose scripts may use the interface in a browser: none
  log.format, log.level                text or json; info
  shutdown_seconds  what running requests get at shutdown, 20
  oauth.algorithm   how access tokens are signed, ES256 or EdDSA; ES256
  oauth.token_seconds                  how long one is good for, 600
  issuers.networks  where else than in the public internet keys of issuers may lie: nowhere
  issuers.keys_seconds, issuers.retry_seconds, issuers.outage_seconds
                    when their keys are fetched again, how soon a second time, and how long they
                    are good for when they cannot be; 600, 30, 86400
  tls.certificate, tls.key             PEM files; TLS is spoken when both are set
  tls.min_version   1.2 or 1.3; 1.2
  tls.hsts_seconds  how long browsers shall insist on https; not said
  client_certificates                  off, optional, required, or proxy (Client-Cert of a trusted proxy); off
  client_ca, client_crl                PEM files: whose word is taken for what they say, and what is revoked
  federation.name, federation.metadata the school federation (RFC 9932): what it is called, https URL or file
  federation.anchor, federation.issuer JWK set of the keys that sign it; who must have signed it
  federation.copy   where the metadata is kept over a restart, data_dir/federation-NAME.json
  secrets.key_file  file of the master keys that secrets are sealed under: none
  secrets.keys      the same keys in the environment, instead of a file
  connections       connections of clients at a time, 20000
  head_seconds, body_seconds           what the head and the body of a request may take, 10 and 30
  idle_seconds      what a connection may lie idle after an answer, 75
  stalled_seconds   what a client may take nothing of its answer, 60
  client_requests, tenant_requests      requests a second, 0: any number (0)
  client_concurrent, tenant_concurrent  requests at a time, 0: any number (256, 1024)
  failed_attempts   to authenticate, of one address, before it is slowed down (300)

Examples:
  matrikel serve
  matrikel serve --listen 0.0.0.0:8080 --config /etc/matrikel.toml
  DATABASE_URL=postgres://matrikel:secret@db/matrikel matrikel serve --migrate
  matrikel serve --check-config

Exit codes: 0 stopped when asked · 1 failed · 2 wrong usage or configuration";

/// Linux's number of the signal.
const SIGXFSZ: i32 = 25;

#[derive(clap::Args)]
#[command(
    long_about = "Runs the server until SIGINT or SIGTERM; running requests are then finished.\n\nAn embedded SQLite \
                  database is created and brought up to date by itself. A PostgreSQL database must have been \
                  (`matrikel migrate`), or say --migrate.",
    after_long_help = KEYS_HELP
)]
pub(super) struct Arguments {
    /// Address and port to listen at
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Bring the database up to date first
    #[arg(long)]
    migrate: bool,
    /// Show the configuration that results, without the database's password, and stop
    #[arg(long)]
    check_config: bool,
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    let mut config = shared.load()?;
    if let Some(listen) = &arguments.listen {
        config.listen.clone_from(listen);
    }
    config.check()?;
    if arguments.check_config {
        output::say(config.to_string().trim_end())?;
        return Ok(());
    }
    telemetry::init(&config.log)?;
    let directory = open::migrated(&config, arguments.migrate)?;
    if directory.master_keys().is_empty() {
        tracing::info!("no access tokens are given at /oauth/token: there is no master key (secrets.key_file)");
    }
    let store = directory.store().clone();
    let outcome = wait(async {
        #[cfg(feature = "opentelemetry")]
        let traces = crate::trace::start()?;
        let pause = Duration::from_secs(config.schedule_seconds);
        let scheduler = (!pause.is_zero()).then(|| Scheduler::new(directory.clone(), &Random::os())).transpose()?;
        let running = start(&config, directory)?;
        // A limit on the size of files is a full disk, and no reason to end: the write that meets it fails.
        let _survived = signal(SignalKind::from_raw(SIGXFSZ))?;
        if let Some(address) = running.metrics_address() {
            tracing::info!(%address, "metrics at /metrics");
        }
        tracing::info!(address = %running.address, base_url = running.base_url(), "listening");
        notify::tell(notify::READY);
        let looking = scheduler.map(|scheduler| tokio::spawn(look(scheduler, pause)));
        stop_signal().await?;
        notify::tell(notify::STOPPING);
        tracing::info!("stopping");
        // What it was at is done or is still due.
        if let Some(looking) = looking {
            looking.abort();
        }
        running.stop().await?;
        #[cfg(feature = "opentelemetry")]
        if let Some(traces) = traces {
            tokio::task::spawn_blocking(move || traces.stop()).await?;
        }
        Ok(())
    });
    store.close();
    outcome
}

/// Does what falls due, again and again.
async fn look(scheduler: Scheduler, pause: Duration) {
    loop {
        if let Err(error) = scheduler.look(now).await {
            tracing::warn!(%error, "what is due has to wait");
        }
        tokio::time::sleep(pause).await;
    }
}

/// Begins to serve as configured.
pub(super) fn start(config: &Config, directory: Directory) -> anyhow::Result<Running> {
    let listen = Listen {
        address: config.listen.clone(),
        metrics: config.metrics_listen.clone(),
        tls: tls(config),
        peers: peers(config),
        federation: federation(config),
        patience: Patience {
            connections: config.connections,
            head: Duration::from_secs(config.head_seconds),
            idle: Duration::from_secs(config.idle_seconds),
            stalled: Duration::from_secs(config.stalled_seconds),
        },
        workers: config.workers,
        shutdown_seconds: config.shutdown_seconds,
    };
    let settings = Settings {
        public_url: config.public_url.clone(),
        body_limit: config.body_limit,
        bulk_operations: config.bulk_operations,
        bulk_payload: config.bulk_payload,
        feed_limit: config.feed_limit,
        page_default: config.page_default,
        page_max: config.page_max,
        cursor_timeout_seconds: config.cursor_timeout_seconds,
        announce_memberships: config.announce_memberships,
        trusted_proxies: config.trusted_proxies.clone(),
        cors_origins: config.cors_origins.clone(),
        has_metrics: config.metrics_listen.is_some(),
        body_timeout: Duration::from_secs(config.body_seconds),
        oauth: oauth(config),
        issuers: issuers(config),
        limits: limits(config),
        hsts_seconds: config.tls.hsts_seconds,
    };
    server::start(&listen, settings, directory).map_err(|error| match error {
        error @ (StartError::Tls(_) | StartError::Federation(_)) => ConfigError::new(error.to_string()).into(),
        error => error.into(),
    })
}

/// How the keys of foreign issuers are had and kept.
fn issuers(config: &Config) -> keys::Settings {
    let networks = config.issuers.networks.clone();
    keys::Settings {
        named: Arc::new(move |address| networks.iter().any(|network| network.contains(address))),
        keys_seconds: config.issuers.keys_seconds,
        retry_seconds: config.issuers.retry_seconds,
        outage_seconds: config.issuers.outage_seconds,
    }
}

/// How much clients and tenants may ask for.
fn limits(config: &Config) -> Limits {
    let bounds = |per_second, concurrent| Bounds { per_second, burst: per_second, concurrent };
    Limits {
        client: bounds(config.client_requests, config.client_concurrent),
        tenant: bounds(config.tenant_requests, config.tenant_concurrent),
        failures: config.failed_attempts,
    }
}

/// How access tokens are made and checked.
pub(super) fn oauth(config: &Config) -> oauth::Settings {
    oauth::Settings {
        issuer: config.public_url.clone(),
        token_seconds: config.oauth.token_seconds,
        algorithm: algorithm(config),
    }
}

/// How access tokens are signed.
pub(super) fn algorithm(config: &Config) -> Algorithm {
    match config.oauth.algorithm {
        SigningAlgorithm::Es256 => Algorithm::Es256,
        SigningAlgorithm::EdDsa => Algorithm::EdDsa,
    }
}

/// How TLS is spoken, if it is.
fn tls(config: &Config) -> Option<Tls> {
    let (certificate, key) = (config.tls.certificate.clone()?, config.tls.key.clone()?);
    let oldest = match config.tls.min_version {
        TlsVersion::Tls12 => Oldest::Tls12,
        TlsVersion::Tls13 => Oldest::Tls13,
    };
    Some(Tls { certificate, key, oldest })
}

/// How certificates of clients are met.
fn peers(config: &Config) -> Peers {
    let certificates = match config.client_certificates {
        config::ClientCertificates::Off => ClientCertificates::Off,
        config::ClientCertificates::Optional => ClientCertificates::Optional,
        config::ClientCertificates::Required => ClientCertificates::Required,
        config::ClientCertificates::Proxy => ClientCertificates::Proxy,
    };
    Peers { certificates, authorities: config.client_ca.clone(), revoked: config.client_crl.clone() }
}

/// The federation whose members are known, if there is one.
pub(super) fn federation(config: &Config) -> Option<federation::Settings> {
    let set = &config.federation;
    let (name, metadata, anchor) = (set.name.clone()?, set.metadata.clone()?, set.anchor.clone()?);
    let copy = set.copy.clone().unwrap_or_else(|| config.data_dir.join(format!("federation-{name}.json")));
    let source = if config::is_url(&metadata) { Source::Url(metadata) } else { Source::File(metadata.into()) };
    Some(federation::Settings { name, source, anchor, issuer: set.issuer.clone(), copy })
}

/// Returns when the process is asked to stop.
pub(super) async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::KEYS;

    #[test]
    fn the_help_names_every_configuration_key() {
        for key in KEYS {
            assert!(super::KEYS_HELP.contains(key.name), "{}", key.name);
        }
    }
}
