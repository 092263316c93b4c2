//! The certificate of a client: asked for in the handshake, or told by a proxy that ended TLS before us in the header
//! `Client-Cert` (RFC 9440), which is believed from trusted proxies alone and means nothing from anybody else. Taken apart
//! once for each connection. Says who vouches for it; which client it stands for is [`crate::auth`]'s matter.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_tls::accept::openssl::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::http::header::HeaderMap;
use actix_web::rt::net::TcpStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moka::sync::Cache;
use openssl::error::ErrorStack;
use openssl::stack::{Stack, StackRef};
use openssl::x509::{X509, X509Ref};

use super::tls::{Asks, TlsError};
use super::watched::{Current, Look, Watched};
use super::{Network, State};
use crate::auth::certificate::{Authorities, PeerCertificate};

const CERTIFICATE: &str = "client-cert";
const CHAIN: &str = "client-cert-chain";
/// Certificates that proxies told of lately: a proxy sends the same with each request.
const REMEMBER_AT_MOST: u64 = 10_000;
/// So that what is revoked meanwhile is noticed.
const REMEMBER: Duration = Duration::from_secs(60);

/// Where certificates of clients come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nowhere: none is asked for.
    #[default]
    Off,
    /// From the handshake, if the client has one.
    Optional,
    /// From the handshake; without one there is no connection.
    Required,
    /// From the header of a trusted proxy.
    Proxy,
}

/// How certificates of clients are met.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Where they come from.
    pub certificates: ClientCertificates,
    /// PEM file of the authorities whose word is taken; `None`: a certificate counts for its key alone.
    pub authorities: Option<PathBuf>,
    /// PEM file of what they have revoked.
    pub revoked: Option<PathBuf>,
}

impl Peers {
    /// What is asked for in the handshake.
    pub(super) fn asks(&self) -> Asks {
        match self.certificates {
            ClientCertificates::Off | ClientCertificates::Proxy => Asks::Nothing,
            ClientCertificates::Optional => Asks::Certificate,
            ClientCertificates::Required => Asks::CertificateOrLeave,
        }
    }

    /// Reads the authorities. Fails when they cannot be used.
    pub(super) fn open(&self) -> Result<Watched<Authorities>, TlsError> {
        let Some(path) = self.authorities.clone().filter(|_| self.certificates != ClientCertificates::Off) else {
            return Watched::open(Vec::new(), |_| Ok(Authorities::none()));
        };
        let mut files = vec![("client_ca", path.clone())];
        files.extend(self.revoked.clone().map(|path| ("client_crl", path)));
        let revoked = self.revoked.clone();
        Watched::open(files, move |files| {
            let pem = files.first().map(Vec::as_slice).unwrap_or_default();
            let malformed = |key, wanted, path: &PathBuf| TlsError::Malformed { key, wanted, path: path.clone() };
            if X509::stack_from_pem(pem).map_or(0, |found| found.len()) == 0 {
                return Err(malformed("client_ca", "certificate", &path));
            }
            Authorities::new(pem, revoked.as_deref()).map_err(|error| match &revoked {
                Some(revoked) => malformed("client_crl", "list of revoked certificates", revoked),
                None => error.into(),
            })
        })
    }
}

/// What takes certificates apart.
pub(super) struct Reading {
    source: ClientCertificates,
    authorities: Current<Authorities>,
    told: Cache<Box<[u8]>, Option<Arc<PeerCertificate>>>,
}

impl Reading {
    pub(super) fn new(source: ClientCertificates, authorities: Current<Authorities>) -> Self {
        let told = Cache::builder().max_capacity(REMEMBER_AT_MOST).time_to_live(REMEMBER).build();
        Reading { source, authorities, told }
    }

    /// Whether clients may have certificates at all.
    pub(super) fn are_asked_for(&self) -> bool {
        self.source != ClientCertificates::Off
    }

    /// Takes the certificate of a new connection apart, if it showed one, and lays it beside the connection.
    pub(super) fn note(&self, stream: &dyn Any, with_it: &mut Extensions) {
        let Some(stream) = stream.downcast_ref::<TlsStream<TcpStream>>() else { return };
        let Some(certificate) = stream.ssl().peer_certificate() else { return };
        match self.judge(&certificate, stream.ssl().peer_cert_chain()) {
            Ok(peer) => {
                with_it.insert(Arc::new(peer));
            }
            Err(error) => tracing::info!(%error, "the certificate of a client cannot be taken apart"),
        }
    }

    fn judge(&self, certificate: &X509Ref, further: Option<&StackRef<X509>>) -> Result<PeerCertificate, ErrorStack> {
        PeerCertificate::read(certificate, self.authorities.load().vouch_for(certificate, further))
    }

    /// The certificate that a request comes with.
    pub(super) fn certificate(&self, request: &HttpRequest, trusted: &[Network]) -> Option<Arc<PeerCertificate>> {
        match self.source {
            ClientCertificates::Off => None,
            ClientCertificates::Optional | ClientCertificates::Required => {
                request.conn_data::<Arc<PeerCertificate>>().cloned()
            }
            ClientCertificates::Proxy => {
                let peer = request.peer_addr()?.ip();
                trusted.iter().any(|network| network.contains(peer)).then(|| self.told(request.headers()))?
            }
        }
    }

    /// What a proxy tells.
    fn told(&self, headers: &HeaderMap) -> Option<Arc<PeerCertificate>> {
        // Two certificates are none: one of them was not the proxy's.
        let mut values = headers.get_all(CERTIFICATE);
        let (Some(certificate), None) = (values.next(), values.next()) else { return None };
        if certificate.as_bytes().contains(&b',') {
            return None;
        }
        let mut key = certificate.as_bytes().to_vec();
        for value in headers.get_all(CHAIN) {
            key.push(b',');
            key.extend(value.as_bytes());
        }
        self.told.get_with(key.clone().into_boxed_slice(), || {
            let text = std::str::from_utf8(&key).ok()?;
            let mut certificates = text.split(',').map(|item| X509::from_der(&bytes(item)?).ok());
            let certificate = certificates.next()??;
            let mut further = Stack::new().ok()?;
            certificates.flatten().for_each(|one| drop(further.push(one)));
            self.judge(&certificate, Some(&further)).ok().map(Arc::new)
        })
    }
}

/// A byte sequence of a structured field (RFC 8941 section 3.3.5), which has no parameters here.
fn bytes(item: &str) -> Option<Vec<u8>> {
    let inner = item.trim().strip_prefix(':')?.strip_suffix(':')?;
    STANDARD.decode(inner).ok()
}

/// Looks at the authorities' files from time to time, for ever.
pub(super) async fn watch(authorities: Watched<Authorities>, state: actix_web::web::Data<State>) {
    let told = |look| match look {
        Look::Same => {}
        Look::Taken => {
            state.metrics.record_reload(true);
            tracing::info!("new authorities for certificates of clients are in use");
        }
        Look::Refused(error) => {
            state.metrics.record_reload(false);
            tracing::error!(%error, "the new authorities cannot be used; the older ones stay");
        }
    };
    authorities.watch(told).await;
}
