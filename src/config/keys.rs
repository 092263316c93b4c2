//! The table of configuration keys: name, meaning, how a value is taken and shown. The environment variable of a key is
//! `MATRIKEL_` and its name in capitals; the database's is `DATABASE_URL`, as everywhere.

use std::path::PathBuf;

use super::key::{Key, boolean, is_origin, networks, number, quoted, shown, text, texts};
use super::{ClientCertificates, LogFormat, SigningAlgorithm, TlsVersion, federation, redact};

/// The key of that name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Every key, in the order they are shown.
pub const KEYS: &[Key] = &[
    Key {
        name: "listen",
        help: "the address and port to listen at; port 0 takes a free one",
        set: |config, value| text(value).map(|text| config.listen = text),
        show: |config| Some(quoted(&config.listen)),
        number: false,
    },
    Key {
        name: "metrics_listen",
        help: "the address and port where Prometheus fetches /metrics, such as 127.0.0.1:9464; for your own network alone",
        set: |config, value| text(value).map(|text| config.metrics_listen = Some(text)),
        show: |config| config.metrics_listen.as_deref().map(quoted),
        number: false,
    },
    Key {
        name: "public_url",
        help: "the URL before /scim/v2 as clients see it, such as https://id.example.se",
        set: |config, value| {
            let url = text(value)?;
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err("does not begin with https:// or http://.".to_owned());
            }
            let url = url.trim_end_matches('/');
            config.public_url = Some(url.strip_suffix("/scim/v2").unwrap_or(url).to_owned());
            Ok(())
        },
        show: |config| config.public_url.as_deref().map(quoted),
        number: false,
    },
    Key {
        name: "data_dir",
        help: "the folder of the embedded database",
        set: |config, value| text(value).map(|text| config.data_dir = PathBuf::from(text)),
        show: |config| Some(quoted(&config.data_dir.display().to_string())),
        number: false,
    },
    Key {
        name: "database_url",
        help: "sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE",
        set: |config, value| text(value).map(|text| config.database_url = Some(text)),
        show: |config| Some(quoted(&redact(&config.database_url()))),
        number: false,
    },
    Key {
        name: "workers",
        help: "the number of threads that serve HTTP, 1 to 1024",
        set: |config, value| number(&value, 1, 1024).map(|number| config.workers = number),
        show: |config| Some(config.workers.to_string()),
        number: true,
    },
    Key {
        name: "readers",
        help: "the number of threads that read the database, 1 to 1024",
        set: |config, value| number(&value, 1, 1024).map(|number| config.readers = number),
        show: |config| Some(config.readers.to_string()),
        number: true,
    },
    Key {
        name: "writers",
        help: "the number of connections that write to PostgreSQL, 1 to 256",
        set: |config, value| number(&value, 1, 256).map(|number| config.writers = number),
        show: |config| Some(config.writers.to_string()),
        number: true,
    },
    Key {
        name: "body_limit",
        help: "the largest request body in bytes, 1024 to 1073741824",
        set: |config, value| number(&value, 1024, 1 << 30).map(|number| config.body_limit = number),
        show: |config| Some(config.body_limit.to_string()),
        number: true,
    },
    Key {
        name: "bulk_operations",
        help: "the most operations in a bulk request, 1 to 100000",
        set: |config, value| number(&value, 1, 100_000).map(|number| config.bulk_operations = number),
        show: |config| Some(config.bulk_operations.to_string()),
        number: true,
    },
    Key {
        name: "bulk_payload",
        help: "the largest bulk request in bytes, 1024 to 1073741824",
        set: |config, value| number(&value, 1024, 1 << 30).map(|number| config.bulk_payload = number),
        show: |config| Some(config.bulk_payload.to_string()),
        number: true,
    },
    Key {
        name: "feed_limit",
        help: "the largest bulk request in bytes, 1024 to 1073741824",
        set: |config, value| number(&value, 1024, 1 << 36).map(|number| config.feed_limit = number),
        show: |config| Some(config.feed_limit.to_string()),
        number: true,
    },
    Key {
        name: "deferred_requests",
        help: "the number of bulk requests of one client that may wait after their answer, 0 to 10000; 0: none",
        set: |config, value| number(&value, 0, 10_000).map(|number| config.deferred_requests = number),
        show: |config| Some(config.deferred_requests.to_string()),
        number: true,
    },
    Key {
        name: "page_default",
        help: "the number of resources on a page when the client does not say, 1 to 100000",
        set: |config, value| number(&value, 1, 100_000).map(|number| config.page_default = number),
        show: |config| Some(config.page_default.to_string()),
        number: true,
    },
    Key {
        name: "page_max",
        help: "the most resources on a page, 1 to 100000",
        set: |config, value| number(&value, 1, 100_000).map(|number| config.page_max = number),
        show: |config| Some(config.page_max.to_string()),
        number: true,
    },
    Key {
        name: "scan_limit",
        help: "the most documents a search without an index may test, 1 to 1000000000",
        set: |config, value| number(&value, 1, 1_000_000_000).map(|number| config.scan_limit = number),
        show: |config| Some(config.scan_limit.to_string()),
        number: true,
    },
    Key {
        name: "cursor_timeout_seconds",
        help: "the number of seconds that a cursor is good for after its page, 1 to 604800",
        set: |config, value| number(&value, 1, 604_800).map(|number| config.cursor_timeout_seconds = number),
        show: |config| Some(config.cursor_timeout_seconds.to_string()),
        number: true,
    },
    Key {
        name: "schedule_seconds",
        help: "the number of seconds between two looks at what is due, 1 to 3600; 0: this process does nothing of it",
        set: |config, value| number(&value, 0, 3_600).map(|number| config.schedule_seconds = number),
        show: |config| Some(config.schedule_seconds.to_string()),
        number: true,
    },
    Key {
        name: "run_items_days",
        help: "the number of days after which what runs of feeds refused or simulated is erased, 1 to 3650; 0: never",
        set: |config, value| number(&value, 0, 3_650).map(|number| config.run_items_days = number),
        show: |config| Some(config.run_items_days.to_string()),
        number: true,
    },
    Key {
        name: "announce_memberships",
        help: "true or false: whether /ResourceTypes lists GroupMembership, which is there in either case",
        set: |config, value| boolean(&value).map(|boolean| config.announce_memberships = boolean),
        show: |config| Some(config.announce_memberships.to_string()),
        number: false,
    },
    Key {
        name: "password_min",
        help: "the fewest characters of a password, 1 to 1024",
        set: |config, value| number(&value, 1, 1024).map(|number| config.password_min = number),
        show: |config| Some(config.password_min.to_string()),
        number: true,
    },
    Key {
        name: "password_max",
        help: "the most characters of a password, 1 to 1024",
        set: |config, value| number(&value, 1, 1024).map(|number| config.password_max = number),
        show: |config| Some(config.password_max.to_string()),
        number: true,
    },
    Key {
        name: "trusted_proxies",
        help: "a list of addresses or networks such as 10.0.0.0/8 whose Forwarded and X-Forwarded headers are believed",
        set: |config, value| networks(value).map(|networks| config.trusted_proxies = networks),
        show: |config| shown(config.trusted_proxies.iter().map(ToString::to_string)),
        number: false,
    },
    Key {
        name: "cors_origins",
        help: "a list of origins such as https://console.example.se whose scripts may use the interface",
        set: |config, value| {
            let origins = texts(value)?;
            if let Some(wrong) = origins.iter().find(|origin| !is_origin(origin)) {
                return Err(format!("has {wrong:?}, which is no origin: scheme, host and port alone."));
            }
            config.cors_origins = origins;
            Ok(())
        },
        show: |config| shown(config.cors_origins.iter().cloned()),
        number: false,
    },
    Key {
        name: "log.format",
        help: "text or json",
        set: |config, value| {
            config.log.format = match text(value)?.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                other => return Err(format!("is {other:?}.")),
            };
            Ok(())
        },
        show: |config| {
            Some(quoted(match config.log.format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            }))
        },
        number: false,
    },
    Key {
        name: "log.level",
        help: "error, warn, info, debug or trace, or a filter such as info,matrikel=debug",
        set: |config, value| {
            let level = text(value)?;
            tracing_subscriber::EnvFilter::try_new(&level).map_err(|_| format!("is {level:?}."))?;
            config.log.level = level;
            Ok(())
        },
        show: |config| Some(quoted(&config.log.level)),
        number: false,
    },
    Key {
        name: "shutdown_seconds",
        help: "the number of seconds that running requests get at shutdown, 0 to 3600",
        set: |config, value| number(&value, 0, 3600).map(|number| config.shutdown_seconds = number),
        show: |config| Some(config.shutdown_seconds.to_string()),
        number: true,
    },
    Key {
        name: "oauth.algorithm",
        help: "how access tokens are signed, \"ES256\" or \"EdDSA\"",
        set: |config, value| {
            config.oauth.algorithm = match text(value)?.as_str() {
                "ES256" => SigningAlgorithm::Es256,
                "EdDSA" => SigningAlgorithm::EdDsa,
                other => return Err(format!("is {other:?}.")),
            };
            Ok(())
        },
        show: |config| {
            Some(quoted(match config.oauth.algorithm {
                SigningAlgorithm::Es256 => "ES256",
                SigningAlgorithm::EdDsa => "EdDSA",
            }))
        },
        number: false,
    },
    Key {
        name: "oauth.token_seconds",
        help: "the number of seconds that an access token is good for, 1 to 3600",
        set: |config, value| number(&value, 1, 3600).map(|number| config.oauth.token_seconds = number),
        show: |config| Some(config.oauth.token_seconds.to_string()),
        number: true,
    },
    Key {
        name: "issuers.networks",
        help: "a list of addresses or networks beside the public internet where the keys of issuers may lie; over http \
               alone on this machine",
        set: |config, value| networks(value).map(|networks| config.issuers.networks = networks),
        show: |config| shown(config.issuers.networks.iter().map(ToString::to_string)),
        number: false,
    },
    Key {
        name: "issuers.keys_seconds",
        help: "the number of seconds after which the keys of an issuer are fetched again, 1 to 86400",
        set: |config, value| number(&value, 1, 86_400).map(|number| config.issuers.keys_seconds = number),
        show: |config| Some(config.issuers.keys_seconds.to_string()),
        number: true,
    },
    Key {
        name: "issuers.retry_seconds",
        help: "the number of seconds that pass between two fetches of the keys of an issuer, 1 to 3600",
        set: |config, value| number(&value, 1, 3600).map(|number| config.issuers.retry_seconds = number),
        show: |config| Some(config.issuers.retry_seconds.to_string()),
        number: true,
    },
    Key {
        name: "issuers.outage_seconds",
        help: "the number of seconds that the keys of an issuer are good for when it cannot be reached, 1 to 604800",
        set: |config, value| number(&value, 1, 604_800).map(|number| config.issuers.outage_seconds = number),
        show: |config| Some(config.issuers.outage_seconds.to_string()),
        number: true,
    },
    Key {
        name: "tls.certificate",
        help: "the PEM file of the certificate, followed by those that lead to a root; with tls.key TLS is spoken",
        set: |config, value| text(value).map(|text| config.tls.certificate = Some(PathBuf::from(text))),
        show: |config| config.tls.certificate.as_ref().map(|path| quoted(&path.display().to_string())),
        number: false,
    },
    Key {
        name: "tls.key",
        help: "the PEM file of the certificate's private key, not encrypted",
        set: |config, value| text(value).map(|text| config.tls.key = Some(PathBuf::from(text))),
        show: |config| config.tls.key.as_ref().map(|path| quoted(&path.display().to_string())),
        number: false,
    },
    Key {
        name: "tls.min_version",
        help: "the oldest version of TLS that clients may speak, \"1.2\" or \"1.3\"",
        set: |config, value| {
            config.tls.min_version = match text(value)?.as_str() {
                "1.2" => TlsVersion::Tls12,
                "1.3" => TlsVersion::Tls13,
                other => return Err(format!("is {other:?}.")),
            };
            Ok(())
        },
        show: |config| {
            Some(quoted(match config.tls.min_version {
                TlsVersion::Tls12 => "1.2",
                TlsVersion::Tls13 => "1.3",
            }))
        },
        number: false,
    },
    Key {
        name: "tls.hsts_seconds",
        help: "the number of seconds for which browsers shall insist on https, 0 to 63072000",
        set: |config, value| number(&value, 0, 63_072_000).map(|number| config.tls.hsts_seconds = Some(number)),
        show: |config| config.tls.hsts_seconds.map(|seconds| seconds.to_string()),
        number: true,
    },
    Key {
        name: "client_certificates",
        help: "where certificates of clients come from, off, optional or required in the handshake, or proxy: Client-Cert",
        set: |config, value| {
            config.client_certificates = match text(value)?.as_str() {
                "off" => ClientCertificates::Off,
                "optional" => ClientCertificates::Optional,
                "required" => ClientCertificates::Required,
                "proxy" => ClientCertificates::Proxy,
                other => return Err(format!("is {other:?}.")),
            };
            Ok(())
        },
        show: |config| {
            Some(quoted(match config.client_certificates {
                ClientCertificates::Off => "off",
                ClientCertificates::Optional => "optional",
                ClientCertificates::Required => "required",
                ClientCertificates::Proxy => "proxy",
            }))
        },
        number: false,
    },
    Key {
        name: "client_ca",
        help: "the PEM file of the authorities whose word is taken for what certificates of clients say",
        set: |config, value| text(value).map(|text| config.client_ca = Some(PathBuf::from(text))),
        show: |config| config.client_ca.as_ref().map(|path| quoted(&path.display().to_string())),
        number: false,
    },
    Key {
        name: "client_crl",
        help: "the PEM file of the certificates that those authorities have revoked",
        set: |config, value| text(value).map(|text| config.client_crl = Some(PathBuf::from(text))),
        show: |config| config.client_crl.as_ref().map(|path| quoted(&path.display().to_string())),
        number: false,
    },
    Key {
        name: "federation.name",
        help: "what the federation is called here, letters, digits and -_. alone",
        set: |config, value| {
            let name = text(value)?;
            if !federation::is_name(&name) {
                return Err(format!("is {name:?}."));
            }
            config.federation.name = Some(name);
            Ok(())
        },
        show: |config| config.federation.name.as_deref().map(quoted),
        number: false,
    },
    Key {
        name: "federation.metadata",
        help: "the https URL or the file of the federation's signed metadata",
        set: |config, value| {
            let place = text(value)?;
            if place.contains("://") && !federation::is_url(&place) {
                return Err("does not begin with https://.".to_owned());
            }
            config.federation.metadata = Some(place);
            Ok(())
        },
        show: |config| config.federation.metadata.as_deref().map(quoted),
        number: false,
    },
    Key {
        name: "federation.anchor",
        help: "the file of the JWK set with the keys that sign the metadata; compare their thumbprints by another way",
        set: |config, value| text(value).map(|text| config.federation.anchor = Some(PathBuf::from(text))),
        show: |config| config.federation.anchor.as_ref().map(|path| quoted(&path.display().to_string())),
        number: false,
    },
    Key {
        name: "federation.issuer",
        help: "the URI of who must have signed the metadata",
        set: |config, value| text(value).map(|text| config.federation.issuer = Some(text)),
        show: |config| config.federation.issuer.as_deref().map(quoted),
        number: false,
    },
    Key {
        name: "federation.copy",
        help: "the file in which the metadata is kept over a restart",
        set: |config, value| text(value).map(|text| config.federation.copy = Some(PathBuf::from(text))),
        show: |config| config.federation.copy.as_ref().map(|path| quoted(&path.display().to_string())),
        number: false,
    },
    Key {
        name: "secrets.key_file",
        help: "the file of the master keys that secrets are sealed under, a name and 64 hexadecimal digits a line",
        set: |config, value| text(value).map(|text| config.secrets.key_file = Some(PathBuf::from(text))),
        show: |config| config.secrets.key_file.as_ref().map(|path| quoted(&path.display().to_string())),
        number: false,
    },
    Key {
        name: "secrets.keys",
        help: "the master keys themselves, instead of a file; best in the environment",
        set: |config, value| text(value).map(|text| config.secrets.keys = Some(text)),
        show: |config| config.secrets.keys.as_ref().map(|_| quoted("…")),
        number: false,
    },
    Key {
        name: "connections",
        help: "the number of connections of clients at a time, 1 to 1000000; the system must allow as many open files",
        set: |config, value| number(&value, 1, 1_000_000).map(|number| config.connections = number),
        show: |config| Some(config.connections.to_string()),
        number: true,
    },
    Key {
        name: "head_seconds",
        help: "the number of seconds that the head of a connection's first request may take, 1 to 3600",
        set: |config, value| number(&value, 1, 3600).map(|number| config.head_seconds = number),
        show: |config| Some(config.head_seconds.to_string()),
        number: true,
    },
    Key {
        name: "body_seconds",
        help: "the number of seconds that the body of a request may take, 1 to 3600",
        set: |config, value| number(&value, 1, 3600).map(|number| config.body_seconds = number),
        show: |config| Some(config.body_seconds.to_string()),
        number: true,
    },
    Key {
        name: "idle_seconds",
        help: "the number of seconds that a connection may lie idle after an answer, 1 to 3600",
        set: |config, value| number(&value, 1, 3600).map(|number| config.idle_seconds = number),
        show: |config| Some(config.idle_seconds.to_string()),
        number: true,
    },
    Key {
        name: "stalled_seconds",
        help: "the number of seconds that a client may take nothing of an answer that waits for it, 1 to 3600",
        set: |config, value| number(&value, 1, 3600).map(|number| config.stalled_seconds = number),
        show: |config| Some(config.stalled_seconds.to_string()),
        number: true,
    },
    Key {
        name: "client_requests",
        help: "the requests a second of a client without a limit of its own, 0 to 1000000; 0: any number",
        set: |config, value| number(&value, 0, 1_000_000).map(|number| config.client_requests = number),
        show: |config| Some(config.client_requests.to_string()),
        number: true,
    },
    Key {
        name: "client_concurrent",
        help: "the requests of such a client that may be under way, 0 to 1000000; 0: any number",
        set: |config, value| number(&value, 0, 1_000_000).map(|number| config.client_concurrent = number),
        show: |config| Some(config.client_concurrent.to_string()),
        number: true,
    },
    Key {
        name: "tenant_requests",
        help: "the requests a second of a tenant, 0 to 1000000; 0: any number",
        set: |config, value| number(&value, 0, 1_000_000).map(|number| config.tenant_requests = number),
        show: |config| Some(config.tenant_requests.to_string()),
        number: true,
    },
    Key {
        name: "tenant_concurrent",
        help: "the requests of a tenant that may be under way, 0 to 1000000; 0: any number",
        set: |config, value| number(&value, 0, 1_000_000).map(|number| config.tenant_concurrent = number),
        show: |config| Some(config.tenant_concurrent.to_string()),
        number: true,
    },
    Key {
        name: "failed_attempts",
        help: "the failed attempts to authenticate that one address may make at once, 0 to 1000000; 0: any number",
        set: |config, value| number(&value, 0, 1_000_000).map(|number| config.failed_attempts = number),
        show: |config| Some(config.failed_attempts.to_string()),
        number: true,
    },
];
