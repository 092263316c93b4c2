//! TLS 1.2 and 1.3 by OpenSSL. Certificate and key come from files, which are looked at every few seconds: a new pair serves
//! the connections that are made from then on, and one that cannot be used leaves the older in its place. Never asks
//! for a pass phrase, and never writes anything of a key anywhere.
//!
//! A connection is accepted by a context that has no certificate; while it greets, the context of the moment is put in its
//! place. What is asked of the client itself (a certificate of its own) has to be set on the accepting context, for that
//! much of it stays; what the client showed is then told by the stream that `on_connect` is given
//! (`actix_tls::accept::openssl::TlsStream`, `ssl().peer_certificate()`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::web;
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{SniError, SslAcceptor, SslAcceptorBuilder, SslContext, SslMethod, SslVersion};
use openssl::x509::X509;
use sha2::{Digest, Sha256};

use super::State;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(2);
const SECONDS_A_DAY: i64 = 86_400;

/// The oldest protocol that a client may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oldest {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
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

/// Both files as they were read.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A pair that can be used.
struct Pair {
    context: SslContext,
    /// Seconds since 1970.
    expires_at: i64,
}

/// The pair in use, and the files it came from.
pub(super) struct Certificates {
    tls: Tls,
    current: Arc<RwLock<SslContext>>,
    /// What tells the files of the pair in use from others.
    digest: [u8; 32],
    /// What was found wrong last; it is told once.
    refused: Option<[u8; 32]>,
    /// When the certificate in use ends, in seconds since 1970.
    pub(super) expires_at: i64,
}

/// What a look at the files came to.
enum Look {
    Same,
    Taken,
    Refused(TlsError),
}

impl Certificates {
    /// Reads the pair. Fails when it cannot be used.
    pub(super) fn open(tls: &Tls) -> Result<Self, TlsError> {
        let files = Files::read(tls)?;
        let Pair { context, expires_at } = files.pair(tls)?;
        let (current, digest) = (Arc::new(RwLock::new(context)), files.digest());
        Ok(Certificates { tls: tls.clone(), current, digest, refused: None, expires_at })
    }

    /// What accepts connections, now and after every change of the files.
    pub(super) fn acceptor(&self) -> Result<SslAcceptorBuilder, TlsError> {
        let mut builder = builder(self.tls.oldest)?;
        let current = Arc::clone(&self.current);
        // Called whether or not the client names a server.
        builder.set_servername_callback(move |ssl, _| {
            let context = current.read().unwrap_or_else(PoisonError::into_inner);
            ssl.set_ssl_context(&context).map_err(|_| SniError::ALERT_FATAL)
        });
        Ok(builder)
    }

    /// Looks at the files from time to time, for ever.
    pub(super) async fn watch(mut self, state: web::Data<State>) {
        let mut ticks = tokio::time::interval(PERIOD);
        loop {
            ticks.tick().await;
            match self.look() {
                Look::Same => {}
                Look::Taken => {
                    state.metrics.record_reload(true);
                    state.metrics.note_certificate(self.expires_at);
                    let ends = jiff::Timestamp::from_second(self.expires_at).unwrap_or_default();
                    tracing::info!(%ends, "a new certificate is in use");
                }
                Look::Refused(error) => {
                    state.metrics.record_reload(false);
                    tracing::error!(%error, "the new certificate cannot be used; the older one stays");
                }
            }
        }
    }

    /// Takes the files if they are new and can be used.
    fn look(&mut self) -> Look {
        let (digest, pair) = match Files::read(&self.tls) {
            Ok(files) => {
                let digest = files.digest();
                if digest == self.digest {
                    self.refused = None;
                    return Look::Same;
                }
                (digest, if self.refused == Some(digest) { None } else { Some(files.pair(&self.tls)) })
            }
            Err(error) => ([0; 32], (self.refused != Some([0; 32])).then_some(Err(error))),
        };
        match pair {
            None => Look::Same,
            Some(Ok(Pair { context, expires_at })) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = context;
                (self.digest, self.refused, self.expires_at) = (digest, None, expires_at);
                Look::Taken
            }
            Some(Err(error)) => {
                self.refused = Some(digest);
                Look::Refused(error)
            }
        }
    }
}

impl Files {
    fn read(tls: &Tls) -> Result<Self, TlsError> {
        let read = |key, path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Unreadable { key, path: path.to_owned(), source })
        };
        Ok(Files { certificate: read("tls.certificate", &tls.certificate)?, key: read("tls.key", &tls.key)? })
    }

    fn digest(&self) -> [u8; 32] {
        let certificate = Sha256::digest(&self.certificate);
        Sha256::new().chain_update(certificate).chain_update(&self.key).finalize().into()
    }

    fn pair(&self, tls: &Tls) -> Result<Pair, TlsError> {
        let malformed = |key, wanted, path: &Path| TlsError::Malformed { key, wanted, path: path.to_owned() };
        let no_certificate = || malformed("tls.certificate", "certificate", &tls.certificate);
        let mut chain = X509::stack_from_pem(&self.certificate).map_err(|_| no_certificate())?.into_iter();
        let leaf = chain.next().ok_or_else(no_certificate)?;
        // Without the callback OpenSSL would ask whoever started the server for a pass phrase.
        let key = PKey::private_key_from_pem_callback(&self.key, |_| Ok(0))
            .map_err(|_| malformed("tls.key", "private key that is not encrypted", &tls.key))?;
        if !leaf.public_key()?.public_eq(&key) {
            return Err(TlsError::Mismatch { certificate: tls.certificate.clone(), key: tls.key.clone() });
        }
        let mut builder = builder(tls.oldest)?;
        builder.set_certificate(&leaf)?;
        for further in chain {
            builder.add_extra_chain_cert(further)?;
        }
        builder.set_private_key(&key)?;
        let end = Asn1Time::from_unix(0)?.diff(leaf.not_after())?;
        let expires_at = i64::from(end.days) * SECONDS_A_DAY + i64::from(end.secs);
        Ok(Pair { context: builder.build().into_context(), expires_at })
    }
}

/// Mozilla's intermediate recommendation: forward secrecy and authenticated encryption alone.
fn builder(oldest: Oldest) -> Result<SslAcceptorBuilder, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(match oldest {
        Oldest::Tls12 => SslVersion::TLS1_2,
        Oldest::Tls13 => SslVersion::TLS1_3,
    }))?;
    Ok(builder)
}
