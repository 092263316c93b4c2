//! What an operator sets: one TOML file, then environment variables, then flags of the command line; the later wins.
//! An unknown key is refused by name with the nearest known one, so that a typing error never silently means a default.
//! The keys themselves are a table in `keys`. Shows none of the secrets that it reads: the
//! database's password and master keys.

mod federation;
mod key;
mod keys;
mod oauth;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use crate::network::Network;
pub use federation::{Federation, is_url};
pub use keys::KEYS;
pub use oauth::{Issuers, Oauth, SigningAlgorithm};

/// The file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "matrikel.toml";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2.
    Tls12,
    /// 1.3.
    Tls13,
}

/// Where certificates of clients come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nowhere.
    Off,
    /// The handshake, if the client has one.
    Optional,
    /// The handshake; without one there is no connection.
    Required,
    /// The header of a trusted proxy.
    Proxy,
}

/// How TLS is spoken. It is when certificate and key are set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the certificate and those above it.
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub key: Option<PathBuf>,
    /// The oldest version that clients may speak.
    pub min_version: TlsVersion,
    /// For how many seconds browsers shall insist on https; `None`: nothing is said.
    pub hsts_seconds: Option<u64>,
}

/// The master keys for secrets: in a file, or in the environment.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// File with a key a line, the current one first.
    pub key_file: Option<PathBuf>,
    /// What such a file holds.
    pub keys: Option<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.as_ref().map(|_| "…");
        f.debug_struct("Secrets").field("key_file", &self.key_file).field("keys", &keys).finish()
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// A level, or a filter such as `info,matrikel=debug`.
    pub level: String,
}

/// The effective configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address and port to listen at; port 0 takes a free one.
    pub listen: String,
    /// Address and port where Prometheus fetches metrics; `None`: nowhere.
    pub metrics_listen: Option<String>,
    /// Scheme, host and path before `/scim/v2` as clients see them, no trailing slash; `None`: from each request's Host.
    pub public_url: Option<String>,
    /// Folder of the embedded database.
    pub data_dir: PathBuf,
    /// Where the data lie; `None`: `sqlite:<data_dir>/matrikel.db`.
    pub database_url: Option<String>,
    /// Threads that serve HTTP.
    pub workers: usize,
    /// Threads that read the database.
    pub readers: usize,
    /// Connections that write to PostgreSQL; an SQLite file always has one.
    pub writers: usize,
    /// Largest request body in bytes.
    pub body_limit: usize,
    /// Most operations in a bulk request.
    pub bulk_operations: usize,
    /// Largest bulk request in bytes.
    pub bulk_payload: usize,
    /// Largest file of a feed in bytes.
    pub feed_limit: usize,
    /// Bulk requests of one client that may wait to be carried out after their answer; 0: none.
    pub deferred_requests: usize,
    /// Resources on a page when the client does not say.
    pub page_default: u64,
    /// Most resources on a page.
    pub page_max: u64,
    /// Most documents a search without an index may test.
    pub scan_limit: u64,
    /// Seconds that a cursor is good for after the page it came with.
    pub cursor_timeout_seconds: u64,
    /// Seconds between two looks at what is due; 0: this process does nothing of it.
    pub schedule_seconds: u64,
    /// Days after which what runs of feeds have left is erased; 0: never.
    pub run_items_days: u64,
    /// Whether memberships stand in the list of resource types.
    pub announce_memberships: bool,
    /// Fewest characters of a password.
    pub password_min: usize,
    /// Most characters of a password.
    pub password_max: usize,
    /// Proxies whose word is taken for how the client addressed us.
    pub trusted_proxies: Vec<Network>,
    /// Origins whose scripts may use the interface from a browser.
    pub cors_origins: Vec<String>,
    /// What is logged.
    pub log: Log,
    /// Seconds that running requests get at shutdown.
    pub shutdown_seconds: u64,
    /// The server's own access tokens.
    pub oauth: Oauth,
    /// Issuers whose tokens tenants accept.
    pub issuers: Issuers,
    /// Whether and how TLS is spoken.
    pub tls: Tls,
    /// Where the master keys for secrets are.
    pub secrets: Secrets,
    /// Where certificates of clients come from.
    pub client_certificates: ClientCertificates,
    /// PEM file of the authorities behind them.
    pub client_ca: Option<PathBuf>,
    /// PEM file of what those have revoked.
    pub client_crl: Option<PathBuf>,
    /// The federation whose members may come.
    pub federation: Federation,
    /// Connections of clients at a time.
    pub connections: usize,
    /// Seconds that the head of a connection's first request may take.
    pub head_seconds: u64,
    /// Seconds that the body of a request may take.
    pub body_seconds: u64,
    /// Seconds that a connection may lie idle after an answer.
    pub idle_seconds: u64,
    /// Seconds that a client may take nothing of an answer that waits for it.
    pub stalled_seconds: u64,
    /// Requests a second of a client that has no limit of its own; 0: any number.
    pub client_requests: u32,
    /// Requests of such a client that may be under way; 0: any number.
    pub client_concurrent: u32,
    /// Requests a second of a tenant; 0: any number.
    pub tenant_requests: u32,
    /// Requests of a tenant that may be under way; 0: any number.
    pub tenant_concurrent: u32,
    /// Failed attempts to authenticate of one address that are let pass at once; 0: any number.
    pub failed_attempts: u32,
}

impl Default for Config {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Config {
            listen: "127.0.0.1:8080".to_owned(),
            metrics_listen: None,
            public_url: None,
            data_dir: PathBuf::from("data"),
            database_url: None,
            workers: processors,
            readers: processors.max(2),
            writers: 4,
            body_limit: 1024 * 1024,
            bulk_operations: 1000,
            bulk_payload: 10 * 1024 * 1024,
            feed_limit: 256 * 1024 * 1024,
            deferred_requests: 16,
            page_default: 100,
            page_max: 1000,
            scan_limit: 100_000,
            cursor_timeout_seconds: 3600,
            schedule_seconds: 15,
            run_items_days: 90,
            announce_memberships: false,
            password_min: 8,
            password_max: 256,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            log: Log { format: LogFormat::Text, level: "info".to_owned() },
            shutdown_seconds: 20,
            oauth: Oauth::default(),
            issuers: Issuers::default(),
            tls: Tls { certificate: None, key: None, min_version: TlsVersion::Tls12, hsts_seconds: None },
            client_certificates: ClientCertificates::Off,
            client_ca: None,
            client_crl: None,
            federation: Federation::default(),
            secrets: Secrets { key_file: None, keys: None },
            connections: 20_000,
            head_seconds: 10,
            body_seconds: 30,
            idle_seconds: 75,
            stalled_seconds: 60,
            client_requests: 0,
            client_concurrent: 256,
            tenant_requests: 0,
            tenant_concurrent: 1_024,
            failed_attempts: 300,
        }
    }
}

/// Why a configuration cannot be used: a sentence that says where and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// An error with that sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        ConfigError(sentence.into())
    }
}

impl Config {
    /// Reads the file (the default file when none is named, if it exists), then the environment's variables.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => config.read(&text, &path.display().to_string())?,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(ConfigError(format!(
                    "{} cannot be read ({error}). Name an existing file with --config.",
                    path.display()
                )));
            }
        }
        config.read_environment(environment)?;
        Ok(config)
    }

    /// Takes the keys of a TOML text; `name` is the file's name in errors.
    pub fn read(&mut self, text: &str, name: &str) -> Result<(), ConfigError> {
        let table = text
            .parse::<toml::Table>()
            .map_err(|error| ConfigError(format!("{name} is not valid TOML: {}", error.to_string().trim_end())))?;
        for (key, value) in flatten("", table) {
            let known = keys::find(&key).ok_or_else(|| unknown(name, &key, KEYS.iter().map(|key| key.name)))?;
            (known.set)(self, value)
                .map_err(|reason| ConfigError(format!("{name}: {key} {reason} It is {}.", known.help)))?;
        }
        Ok(())
    }

    /// Takes `DATABASE_URL` and every `MATRIKEL_*` variable. `MATRIKEL_CONFIG` names the file and is not a key;
    /// variables that begin with `MATRIKEL_TEST_` belong to the test suite.
    pub fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (variable, text) in environment {
            let ours = variable.starts_with("MATRIKEL_")
                && variable != "MATRIKEL_CONFIG"
                && !variable.starts_with("MATRIKEL_TEST_");
            if !ours && variable != "DATABASE_URL" {
                continue;
            }
            let known = KEYS.iter().find(|key| key.variable() == variable).ok_or_else(|| {
                let names: Vec<String> = KEYS.iter().map(key::Key::variable).collect();
                unknown("the environment", &variable, names.iter().map(String::as_str))
            })?;
            (known.set)(self, known.value(&text))
                .map_err(|reason| ConfigError(format!("{variable} {reason} It is {}.", known.help)))?;
        }
        Ok(())
    }

    /// What no single key can tell: that the values fit each other.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.page_default > self.page_max {
            return Err(ConfigError(format!(
                "page_default ({}) is larger than page_max ({}). Lower the first or raise the second.",
                self.page_default, self.page_max
            )));
        }
        if self.password_min > self.password_max {
            return Err(ConfigError(format!(
                "password_min ({}) is larger than password_max ({}). Lower the first or raise the second.",
                self.password_min, self.password_max
            )));
        }
        match (&self.tls.certificate, &self.tls.key) {
            (Some(_), None) => {
                return Err(ConfigError::new("tls.certificate is set and tls.key is not. Name the file of its key."));
            }
            (None, Some(_)) => {
                return Err(ConfigError::new(
                    "tls.key is set and tls.certificate is not. Name the file it belongs to.",
                ));
            }
            (None, None) if self.tls.hsts_seconds.is_some() => {
                return Err(ConfigError::new(
                    "tls.hsts_seconds is set without tls.certificate. Let the proxy that speaks TLS say it.",
                ));
            }
            _ => {}
        }
        self.check_clients()?;
        self.federation.check(self.client_certificates)?;
        check_listen("listen", &self.listen)?;
        if let Some(listen) = &self.metrics_listen {
            check_listen("metrics_listen", listen)?;
        }
        check_database_url(&self.database_url())
    }

    /// That certificates of clients can be had where they are looked for.
    fn check_clients(&self) -> Result<(), ConfigError> {
        let sentence = match self.client_certificates {
            ClientCertificates::Optional | ClientCertificates::Required if self.tls.certificate.is_none() => {
                "client_certificates asks for certificates in the handshake, and there is none without tls.certificate. \
                 Set that, or client_certificates = \"proxy\" behind a proxy that asks for them."
            }
            ClientCertificates::Proxy if self.trusted_proxies.is_empty() => {
                "client_certificates is proxy and trusted_proxies is empty. Name the proxy whose Client-Cert is believed."
            }
            ClientCertificates::Off if self.client_ca.is_some() => {
                "client_ca is set and client_certificates is off. Set it to optional, required or proxy."
            }
            _ if self.client_crl.is_some() && self.client_ca.is_none() => {
                "client_crl is set without client_ca. Name the authorities that revoke."
            }
            _ => return Ok(()),
        };
        Err(ConfigError::new(sentence))
    }

    /// The database in use: the one that is set, or the embedded one in the data folder.
    pub fn database_url(&self) -> String {
        self.database_url.clone().unwrap_or_else(|| format!("sqlite:{}", self.data_dir.join("matrikel.db").display()))
    }

    /// Whether the database is the embedded one.
    pub fn is_embedded(&self) -> bool {
        self.database_url().starts_with("sqlite:")
    }
}

/// The effective configuration as a TOML file, without the database's password.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in KEYS {
            match (key.show)(self) {
                Some(value) => writeln!(f, "{} = {value}", key.name)?,
                None => writeln!(f, "# {} is not set", key.name)?,
            }
        }
        Ok(())
    }
}

/// The URL with its password replaced, wherever it stands.
pub fn redact(url: &str) -> String {
    let mut redacted = url.to_owned();
    if let Some((scheme, rest)) = url.split_once("://") {
        let authority = rest.find(['/', '?']).map_or(rest, |end| rest.get(..end).unwrap_or(rest));
        if let Some((user_info, _)) = authority.rsplit_once('@')
            && let Some((user, _)) = user_info.split_once(':')
        {
            let tail = rest.get(user_info.len()..).unwrap_or_default();
            redacted = format!("{scheme}://{user}:***{tail}");
        }
    }
    if let Some((before, query)) = redacted.split_once('?') {
        let query: Vec<String> = query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((name, _)) if name.eq_ignore_ascii_case("password") => format!("{name}=***"),
                _ => pair.to_owned(),
            })
            .collect();
        redacted = format!("{before}?{}", query.join("&"));
    }
    redacted
}

fn check_listen(key: &str, listen: &str) -> Result<(), ConfigError> {
    let port = listen.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match (listen.parse::<SocketAddr>(), port) {
        (Ok(_), _) | (_, Some(Ok(_))) => Ok(()),
        _ => Err(ConfigError(format!("{key} is {listen:?}. Write an address and a port, such as 127.0.0.1:8080."))),
    }
}

fn check_database_url(url: &str) -> Result<(), ConfigError> {
    let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    if known {
        return Ok(());
    }
    let scheme = url.split_once(':').map_or("without a scheme", |(scheme, _)| scheme);
    Err(ConfigError(format!(
        "The database URL is {scheme}, which Matrikel does not speak. Use sqlite:PATH for the embedded database or \
         postgres://USER:PASSWORD@HOST/DATABASE for PostgreSQL (DATABASE_URL, or database_url in the file)."
    )))
}

fn flatten(prefix: &str, table: toml::Table) -> Vec<(String, toml::Value)> {
    table
        .into_iter()
        .flat_map(|(key, value)| {
            let name = format!("{prefix}{key}");
            match value {
                toml::Value::Table(inner) => flatten(&format!("{name}."), inner),
                value => vec![(name, value)],
            }
        })
        .collect()
}

fn unknown<'k>(place: &str, key: &str, known: impl Iterator<Item = &'k str>) -> ConfigError {
    let nearest = known
        .map(|name| (strsim::damerau_levenshtein(key, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 2);
    match nearest {
        Some((_, name)) => ConfigError(format!("{place} has the unknown key {key}. Did you mean {name}?")),
        None => ConfigError(format!("{place} has the unknown key {key}. See `matrikel serve --help` for the keys.")),
    }
}

#[cfg(test)]
mod tests;
