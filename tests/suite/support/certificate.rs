//! Certificates for tests: those that vouch for themselves, authorities, those that an authority vouches for, and what it
//! has revoked. All keys are of P-256.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509CrlBuilder, X509Extension, X509NameBuilder, X509RevokedBuilder};
use sha2::{Digest, Sha256};

/// Seconds since 1970 when most of them end.
pub(crate) const END: i64 = 4_000_000_000;

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// What a certificate shall say.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'w> {
    pub(crate) serial: u32,
    /// Its common name.
    pub(crate) name: &'w str,
    /// Such as `dns:a.example.se`.
    pub(crate) names: &'w [&'w str],
    /// Seconds since 1970.
    pub(crate) from: i64,
    /// Seconds since 1970.
    pub(crate) to: i64,
    pub(crate) is_authority: bool,
}

impl<'w> Wish<'w> {
    /// A program that asks.
    pub(crate) fn client(serial: u32, name: &'w str) -> Self {
        Wish { serial, name, names: &[], from: 0, to: END, is_authority: false }
    }
}

impl Pair {
    /// One for this machine that vouches for itself.
    pub(crate) fn new(serial: u32) -> Self {
        let name = format!("matrikel {serial}");
        Pair::alone(Wish { names: &["ip:127.0.0.1", "dns:localhost"], ..Wish::client(serial, &name) })
    }

    /// One that vouches for itself.
    pub(crate) fn alone(wish: Wish<'_>) -> Self {
        Pair::made(wish, None)
    }

    /// An authority.
    pub(crate) fn authority(name: &str) -> Self {
        Pair::alone(Wish { is_authority: true, ..Wish::client(1, name) })
    }

    /// One that this authority vouches for.
    pub(crate) fn issue(&self, wish: Wish<'_>) -> Self {
        Pair::made(wish, Some(self))
    }

    /// The same key with another certificate.
    pub(crate) fn again(&self, wish: Wish<'_>) -> Self {
        Pair::with(self.key.clone(), wish, None)
    }

    fn made(wish: Wish<'_>, issuer: Option<&Pair>) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("the curve");
        Pair::with(PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key"), wish, issuer)
    }

    fn with(key: PKey<Private>, wish: Wish<'_>, issuer: Option<&Pair>) -> Self {
        let mut name = X509NameBuilder::new().expect("a name");
        name.append_entry_by_text("O", "Storstads kommun").expect("an entry");
        name.append_entry_by_text("CN", wish.name).expect("an entry");
        let name = name.build();
        let mut builder = X509::builder().expect("a builder");
        builder.set_version(2).expect("version 3");
        builder
            .set_serial_number(&BigNum::from_u32(wish.serial).unwrap().to_asn1_integer().unwrap())
            .expect("a number");
        builder.set_subject_name(&name).expect("a subject");
        let issued_by = issuer.map_or(&*name, |issuer| issuer.certificate.subject_name());
        builder.set_issuer_name(issued_by).expect("an issuer");
        builder.set_pubkey(&key).expect("a key");
        builder.set_not_before(&Asn1Time::from_unix(wish.from).unwrap()).expect("a time");
        builder.set_not_after(&Asn1Time::from_unix(wish.to).unwrap()).expect("a time");
        extend(&mut builder, wish);
        builder.sign(issuer.map_or(&key, |issuer| &issuer.key), MessageDigest::sha256()).expect("a signature");
        Pair { certificate: builder.build(), key }
    }

    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.certificate.to_pem().expect("PEM")
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().expect("PEM")
    }

    /// The key's digest, as `curl --pinnedpubkey` and metadata have it.
    pub(crate) fn pin(&self) -> [u8; 32] {
        Sha256::digest(self.key.public_key_to_der().expect("DER")).into()
    }

    /// Puts both into a folder as `certificate.pem` and `key.pem`.
    pub(crate) fn write(&self, folder: &Path) {
        fs::write(folder.join("key.pem"), self.key()).expect("written");
        fs::write(folder.join("certificate.pem"), self.certificate()).expect("written");
    }

    /// Puts the certificate, with its key behind it, into a file of that name.
    pub(crate) fn file(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(format!("{name}.pem"));
        fs::write(&path, [self.certificate(), self.key()].concat()).expect("written");
        path
    }

    /// What this authority has revoked, as PEM.
    pub(crate) fn revoked(&self, serials: &[u32]) -> Vec<u8> {
        let mut list = X509CrlBuilder::new().expect("a builder");
        let any = X509::builder().expect("a builder");
        let context = any.x509v3_context(Some(&self.certificate), None);
        let signer = AuthorityKeyIdentifier::new().keyid(true).build(&context).expect("an authority's key");
        list.append_extension(signer).expect("an extension");
        list.set_issuer_name(self.certificate.subject_name()).expect("an issuer");
        list.set_last_update(&Asn1Time::from_unix(0).unwrap()).expect("a time");
        list.set_next_update(&Asn1Time::from_unix(END).unwrap()).expect("a time");
        // Number 1, as DER.
        let number = Asn1OctetString::new_from_bytes(&[2, 1, 1]).expect("bytes");
        let kind = Asn1Object::from_str("2.5.29.20").expect("the number of a list");
        list.append_extension(X509Extension::new_from_der(&kind, false, &number).unwrap()).expect("an extension");
        for serial in serials {
            let mut revoked = X509RevokedBuilder::new().expect("a builder");
            let number = BigNum::from_u32(*serial).unwrap().to_asn1_integer().unwrap();
            revoked.set_serial_number(&number).expect("a number");
            revoked.set_revocation_date(&Asn1Time::from_unix(0).unwrap()).expect("a time");
            list.add_revoked(revoked.build()).expect("revoked");
        }
        list.sign(&self.key, MessageDigest::sha256()).expect("a signature");
        list.build().expect("a list").to_pem().expect("PEM")
    }
}

fn extend(builder: &mut X509Builder, wish: Wish<'_>) {
    if wish.is_authority {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).expect("an extension");
        let usage = KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap();
        builder.append_extension(usage).expect("an extension");
        let own = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(own).expect("an extension");
        return;
    }
    let usage = ExtendedKeyUsage::new().client_auth().server_auth().build().unwrap();
    builder.append_extension(usage).expect("an extension");
    if wish.names.is_empty() {
        return;
    }
    let mut names = SubjectAlternativeName::new();
    for name in wish.names {
        match name.split_once(':').expect(name) {
            ("dns", name) => names.dns(name),
            ("uri", uri) => names.uri(uri),
            ("email", address) => names.email(address),
            ("ip", address) => names.ip(address),
            _ => panic!("{name} is of no known kind"),
        };
    }
    let names = names.build(&builder.x509v3_context(None, None)).expect("names");
    builder.append_extension(names).expect("an extension");
}
