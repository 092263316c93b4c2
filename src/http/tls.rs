//! TLS 1.2 and 1.3 by OpenSSL. Certificate and key come from files, which are looked at every few seconds: a new pair serves
//! the connections that are made from then on, and one that cannot be used leaves the older in its place. Never asks
//! for a pass phrase, and never writes anything of a key anywhere.
//!
//! A connection is accepted by a context that has no certificate; while it greets, the context of the moment is put in its
//! place. What is asked of the client itself (a certificate of its own) is set on both: the one decides how the handshake
//! goes on, the other what a resumed one would be.
//!
//! Whatever certificate a client shows is taken, if its key is proven: [`peer`](super::peer) judges it afterwards. A client
//! that is asked for one greets in full each time, for a session that is resumed brings neither the chain of its
//! certificate nor anything that was revoked since.

use std::path::{Path, PathBuf};

use actix_web::web;
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    SniError, SslAcceptor, SslAcceptorBuilder, SslContext, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode,
    SslVersion,
};
use openssl::x509::X509;

use super::State;
use super::watched::{Look, Watched};

const SECONDS_A_DAY: i64 = 86_400;

/// The oldest protocol that a client may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oldest {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What a client is asked for while it greets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Nothing,
    /// A certificate, if it has one.
    Certificate,
    /// A certificate; without one there is no connection.
    CertificateOrLeave,
}

/// How TLS is spoken.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM file: our certificate, then those that lead from it to a root.
    pub certificate: PathBuf,
    /// PEM file: its private key, not encrypted.
    pub key: PathBuf,
    /// The oldest protocol.
    pub oldest: Oldest,
}

/// Why a pair of files cannot be used: a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{key} cannot be read from {}: {source}.", path.display())]
    Unreadable {
        /// The configuration key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{} holds no {wanted}. Name a PEM file with one as {key}.", path.display())]
    Malformed {
        /// The configuration key that names it.
        key: &'static str,
        /// What it should hold.
        wanted: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Each is well by itself.
    #[error("The key in {} does not belong to the certificate in {}. Take the one it was made with.", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// OpenSSL does not take it.
    #[error("OpenSSL does not take the certificate and its key: {0}.")]
    OpenSsl(#[from] ErrorStack),
}

/// A pair that can be used.
pub(super) struct Pair {
    context: SslContext,
    /// When the certificate ends, in seconds since 1970.
    pub(super) expires_at: i64,
}

/// The pair in use, and the files it came from.
pub(super) struct Certificates {
    oldest: Oldest,
    asks: Asks,
    watched: Watched<Pair>,
}

impl Certificates {
    /// Reads the pair. Fails when it cannot be used.
    pub(super) fn open(tls: &Tls, asks: Asks) -> Result<Self, TlsError> {
        let files = vec![("tls.certificate", tls.certificate.clone()), ("tls.key", tls.key.clone())];
        let settings = tls.clone();
        let watched = Watched::open(files, move |files| match files {
            [certificate, key] => pair(certificate, key, &settings, asks),
            _ => Err(ErrorStack::get().into()),
        })?;
        Ok(Certificates { oldest: tls.oldest, asks, watched })
    }

    /// When the certificate in use ends, in seconds since 1970.
    pub(super) fn expires_at(&self) -> i64 {
        self.watched.current().load().expires_at
    }

    /// What accepts connections, now and after every change of the files.
    pub(super) fn acceptor(&self) -> Result<SslAcceptorBuilder, TlsError> {
        let mut builder = builder(self.oldest, self.asks)?;
        let current = self.watched.current();
        // Called whether or not the client names a server.
        builder.set_servername_callback(move |ssl, _| {
            ssl.set_ssl_context(&current.load().context).map_err(|_| SniError::ALERT_FATAL)
        });
        Ok(builder)
    }

    /// Looks at the files from time to time, for ever.
    pub(super) async fn watch(self, state: web::Data<State>) {
        let current = self.watched.current();
        let told = |look| match look {
            Look::Same => {}
            Look::Taken => {
                let expires_at = current.load().expires_at;
                state.metrics.record_reload(true);
                state.metrics.note_certificate(expires_at);
                let ends = jiff::Timestamp::from_second(expires_at).unwrap_or_default();
                tracing::info!(%ends, "a new certificate is in use");
            }
            Look::Refused(error) => {
                state.metrics.record_reload(false);
                tracing::error!(%error, "the new certificate cannot be used; the older one stays");
            }
        };
        self.watched.watch(told).await;
    }
}

fn pair(certificate: &[u8], key: &[u8], tls: &Tls, asks: Asks) -> Result<Pair, TlsError> {
    let malformed = |key, wanted, path: &Path| TlsError::Malformed { key, wanted, path: path.to_owned() };
    let no_certificate = || malformed("tls.certificate", "certificate", &tls.certificate);
    let mut chain = X509::stack_from_pem(certificate).map_err(|_| no_certificate())?.into_iter();
    let leaf = chain.next().ok_or_else(no_certificate)?;
    // Without the callback OpenSSL would ask whoever started the server for a pass phrase.
    let key = PKey::private_key_from_pem_callback(key, |_| Ok(0))
        .map_err(|_| malformed("tls.key", "private key that is not encrypted", &tls.key))?;
    if !leaf.public_key()?.public_eq(&key) {
        return Err(TlsError::Mismatch { certificate: tls.certificate.clone(), key: tls.key.clone() });
    }
    let mut builder = builder(tls.oldest, asks)?;
    builder.set_certificate(&leaf)?;
    for further in chain {
        builder.add_extra_chain_cert(further)?;
    }
    builder.set_private_key(&key)?;
    let end = Asn1Time::from_unix(0)?.diff(leaf.not_after())?;
    let expires_at = i64::from(end.days) * SECONDS_A_DAY + i64::from(end.secs);
    Ok(Pair { context: builder.build().into_context(), expires_at })
}

/// Mozilla's intermediate recommendation: forward secrecy and authenticated encryption alone.
fn builder(oldest: Oldest, asks: Asks) -> Result<SslAcceptorBuilder, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(match oldest {
        Oldest::Tls12 => SslVersion::TLS1_2,
        Oldest::Tls13 => SslVersion::TLS1_3,
    }))?;
    let mode = match asks {
        Asks::Nothing => return Ok(builder),
        Asks::Certificate => SslVerifyMode::PEER,
        Asks::CertificateOrLeave => SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
    };
    builder.set_verify_callback(mode, |_, _| {
        // What was found wrong stays in the thread's list of errors, where the next connection would take it for its own.
        drop(ErrorStack::get());
        true
    });
    builder.set_options(SslOptions::NO_TICKET);
    builder.set_num_tickets(0)?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    Ok(builder)
}
