//! The certificate of whoever is at the other end of a connection: what of it identifies a client. Its key was proven
//! in the handshake, or a trusted proxy vouches that it was. [`Authorities`] says whether an authority that the operator
//! named stands behind it; a certificate without one still counts for its key, and for nothing that it says of itself.

mod authority;
mod holder;
mod name;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::x509::X509Ref;
use sha2::{Digest, Sha256};

pub use authority::Authorities;

/// A certificate as far as it matters who shows it. Made once for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The whole of it.
    pub der: Vec<u8>,
    /// SHA-256 of its public key as SubjectPublicKeyInfo (RFC 7469 section 2.4).
    pub pin: [u8; 32],
    /// SHA-256 of the whole of it: `x5t#S256` (RFC 8705 section 3.1).
    pub thumbprint: [u8; 32],
    /// Its subject as RFC 4514 (once RFC 2253) writes it, as `openssl x509 -nameopt RFC2253,utf8,-esc_msb` does too.
    pub subject: String,
    /// DNS names of its subject, in lower case.
    pub dns_names: Vec<String>,
    /// Mail addresses of its subject.
    pub emails: Vec<String>,
    /// URIs of its subject.
    pub uris: Vec<String>,
    /// µs since 1970.
    pub not_before: i64,
    /// µs since 1970.
    pub not_after: i64,
    /// Whether a configured authority vouches for what it says.
    pub is_trusted: bool,
}

impl PeerCertificate {
    /// Takes out what matters. Fails for a certificate that OpenSSL cannot take apart.
    pub fn read(certificate: &X509Ref, is_trusted: bool) -> Result<Self, ErrorStack> {
        let der = certificate.to_der()?;
        let names = certificate.subject_alt_names();
        let named = |choose: fn(&openssl::x509::GeneralNameRef) -> Option<&str>| {
            let names = names.iter().flatten().filter_map(|name| choose(name));
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        Ok(PeerCertificate {
            pin: Sha256::digest(certificate.public_key()?.public_key_to_der()?).into(),
            thumbprint: Sha256::digest(&der).into(),
            subject: name::written(certificate.subject_name()),
            dns_names: named(openssl::x509::GeneralNameRef::dnsname)
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            emails: named(openssl::x509::GeneralNameRef::email),
            uris: named(openssl::x509::GeneralNameRef::uri),
            not_before: instant(certificate.not_before())?,
            not_after: instant(certificate.not_after())?,
            is_trusted,
            der,
        })
    }

    /// Whether it is good at that moment; `now` in µs since 1970.
    pub fn is_current(&self, now: i64) -> bool {
        (self.not_before..self.not_after).contains(&now)
    }

    /// The pin as metadata and `curl --pinnedpubkey` write it.
    pub fn pin_text(&self) -> String {
        STANDARD.encode(self.pin)
    }

    /// The thumbprint as tokens that are bound to it write it (RFC 8705 section 3.1).
    pub fn thumbprint_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.thumbprint)
    }

    /// What tells it from other certificates, and from itself where an authority vouches and where not.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new_with_prefix(b"certificate\0");
        hasher.update([u8::from(self.is_trusted)]);
        hasher.update(self.thumbprint);
        hasher.finalize().into()
    }
}

/// µs since 1970.
fn instant(time: &Asn1TimeRef) -> Result<i64, ErrorStack> {
    const DAY: Duration = Duration::from_secs(86_400);
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    let seconds = i64::from(since.days) * DAY.as_secs() as i64 + i64::from(since.secs);
    Ok(seconds.saturating_mul(1_000_000))
}
