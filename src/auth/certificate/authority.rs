//! The certificate authorities whose word the operator takes for what a client's certificate says of its holder, and what
//! they have revoked. Judges certificates for clients alone (RFC 5280 section 4.2.1.12); knows no client.

use std::path::Path;

use openssl::error::ErrorStack;
use openssl::ssl::SslFiletype;
use openssl::stack::{Stack, StackRef};
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509PurposeId, X509Ref, X509StoreContext};

/// OpenSSL's level of strength: 112 bits, so no SHA-1 and no RSA key below 2048 bits.
const STRENGTH: i32 = 2;

/// Authorities and their revocations at one moment.
pub struct Authorities {
    store: Option<X509Store>,
}

impl Authorities {
    /// Nobody vouches for anybody.
    pub fn none() -> Self {
        Authorities { store: None }
    }

    /// The authorities of a PEM text, and the revocation lists (PEM) in a file. Fails when either holds none.
    ///
    /// With lists, a certificate whose issuer has no list that is in force is not vouched for: an outdated list lets
    /// nobody in.
    pub fn new(pem: &[u8], revoked: Option<&Path>) -> Result<Self, ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        for authority in X509::stack_from_pem(pem)? {
            store.add_cert(authority)?;
        }
        store.set_purpose(X509PurposeId::SSL_CLIENT)?;
        let mut parameters = X509VerifyParam::new()?;
        parameters.set_auth_level(STRENGTH);
        if let Some(path) = revoked {
            store.add_lookup(X509Lookup::file())?.load_crl_file(path, SslFiletype::PEM)?;
            parameters.set_flags(X509VerifyFlags::CRL_CHECK)?;
        }
        store.set_param(&parameters)?;
        Ok(Authorities { store: Some(store.build()) })
    }

    /// Whether one of them stands behind a certificate, by way of those that came with it.
    pub fn vouch_for(&self, certificate: &X509Ref, further: Option<&StackRef<X509>>) -> bool {
        let Some(store) = &self.store else { return false };
        let verify = || {
            let none = Stack::new()?;
            let further = further.unwrap_or(&none);
            X509StoreContext::new()?.init(store, certificate, further, |context| context.verify_cert())
        };
        let vouched = verify().unwrap_or(false);
        // What was found wrong stays in the thread's list of errors, where the next connection would take it for its own.
        drop(ErrorStack::get());
        vouched
    }
}
