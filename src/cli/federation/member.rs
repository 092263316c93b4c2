//! What a member of a federation tells of itself (RFC 9932 section 6.1.1): made from its certificates, of which the keys
//! become pins and those that vouch for themselves become issuers.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use openssl::x509::X509;
use serde_json::{Map, Value, json};

use super::read;
use crate::auth::certificate::PeerCertificate;
use crate::auth::federation::metadata::{is_tag, is_uri};

/// Who the member is, and by which certificates.
#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The member's identifier
    #[arg(long, value_name = "URI")]
    entity: String,
    /// What it is called
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Where its server answers
    #[arg(long, value_name = "URL", requires = "cert")]
    server: Option<String>,
    /// PEM file with the server's certificate; several while it is changed
    #[arg(long, value_name = "FILE", requires = "server")]
    cert: Vec<PathBuf>,
    /// PEM file with the certificate that its client shows; several while it is changed
    #[arg(long, value_name = "FILE")]
    client_cert: Vec<PathBuf>,
    /// PEM file with the authority of certificates that do not vouch for themselves
    #[arg(long, value_name = "FILE")]
    issuer: Vec<PathBuf>,
    /// What its server is for, such as scim
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

pub(super) fn metadata(arguments: &Arguments) -> anyhow::Result<Value> {
    let Arguments { entity, organization, server, cert, client_cert, issuer, tag, description } = arguments;
    if let Some(wrong) = std::iter::once(entity).chain(server).find(|uri| !is_uri(uri)) {
        anyhow::bail!("{wrong} is no URI, such as https://skola.example.se");
    }
    if let Some(wrong) = tag.iter().find(|tag| !is_tag(tag)) {
        anyhow::bail!("{wrong} is no tag: 1 to 64 of a to z and 0 to 9");
    }
    if cert.is_empty() && client_cert.is_empty() {
        anyhow::bail!("name a certificate: --server and --cert, or --client-cert");
    }
    let (mut issuers, mut document) = (Vec::new(), Map::new());
    for path in issuer {
        issuers.push(certificate(path)?);
    }
    let mut endpoint = |paths: &[PathBuf], place: Option<&String>| -> anyhow::Result<Value> {
        let mut endpoint = Map::new();
        if let Some(text) = description {
            endpoint.insert("description".into(), text.as_str().into());
        }
        if let Some(place) = place {
            endpoint.insert("base_uri".into(), place.as_str().into());
        }
        if !tag.is_empty() {
            endpoint.insert("tags".into(), json!(tag));
        }
        let mut pins = Vec::new();
        for path in paths {
            let certificate = certificate(path)?;
            pins.push(json!({ "alg": "sha256", "digest": PeerCertificate::read(&certificate, false)?.pin_text() }));
            if certificate.verify(&*certificate.public_key()?)? {
                issuers.push(certificate);
            }
        }
        endpoint.insert("pins".into(), pins.into());
        Ok(endpoint.into())
    };
    let servers = if cert.is_empty() { None } else { Some(endpoint(cert, server.as_ref())?) };
    let clients = if client_cert.is_empty() { None } else { Some(endpoint(client_cert, None)?) };
    document.insert("entity_id".into(), entity.as_str().into());
    if let Some(name) = organization {
        document.insert("organization".into(), name.as_str().into());
    }
    let mut shown: Vec<Value> = Vec::new();
    for issuer in issuers {
        let issuer = json!({ "x509certificate": String::from_utf8(issuer.to_pem()?)?.trim_end() });
        if !shown.contains(&issuer) {
            shown.push(issuer);
        }
    }
    document.insert("issuers".into(), shown.into());
    for (name, endpoint) in [("servers", servers), ("clients", clients)] {
        if let Some(endpoint) = endpoint {
            document.insert(name.into(), json!([endpoint]));
        }
    }
    Ok(document.into())
}

fn certificate(path: &Path) -> anyhow::Result<X509> {
    X509::from_pem(&read(path)?).with_context(|| format!("{} holds no certificate", path.display()))
}
