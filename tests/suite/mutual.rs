//! Clients that are known by a certificate, as curl and openssl meet the server: whom it lets in and by what, that a
//! resumed session brings nobody else's certificate, what has been revoked, and what a proxy may tell. Old protocols and
//! weak ciphers get nowhere.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::support::certificate::{Pair, Wish};
use crate::support::client::Client;
use crate::support::curl::{Curled, curl};
use crate::support::server::{MASTER_KEY, Server};

mod handshake;
mod known;
mod proxy;
mod token;

/// A server with TLS, and what its clients need.
struct Place {
    server: Server,
    /// Of which the last two are the server's own.
    folder: TempDir,
    authority: Pair,
}

impl Place {
    fn files(folder: &Path) -> Vec<(String, String)> {
        let at = |name: &str| folder.join(name).to_str().expect("text").to_owned();
        Pair::new(1).write(folder);
        vec![("MATRIKEL_TLS_CERTIFICATE".into(), at("certificate.pem")), ("MATRIKEL_TLS_KEY".into(), at("key.pem"))]
    }

    fn new(start: fn(&[(&str, &str)]) -> Server, wanted: &str, further: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut variables = Place::files(folder.path());
        let authority = Pair::authority("Our authority");
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, authority.certificate()).expect("written");
        variables.push(("MATRIKEL_CLIENT_CERTIFICATES".into(), wanted.into()));
        variables.push(("MATRIKEL_CLIENT_CA".into(), ca.to_str().expect("text").into()));
        variables.extend(further.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Place { server: start(&variables), folder, authority }
    }

    fn sqlite() -> Self {
        Place::new(Server::sqlite_with, "optional", &[])
    }

    fn postgres() -> Self {
        Place::new(Server::postgres_with, "optional", &[])
    }

    fn server_certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn address(&self) -> &str {
        self.server.base_url.trim_start_matches("https://").trim_end_matches("/scim/v2")
    }

    /// Asks for users with a certificate.
    fn ask(&self, pair: &Pair, further: &[&str]) -> Curled {
        let file = pair.file(self.folder.path(), &format!("client-{}", hex(&pair.pin())));
        let arguments = [&["--cert", file.to_str().expect("text")], further].concat();
        curl(&format!("{}/Users?count=0", self.server.base_url), &self.server_certificate(), &arguments)
    }

    fn status(&self, pair: &Pair) -> u16 {
        let curled = self.ask(pair, &[]);
        assert_eq!(curled.exit, 0, "{curled:?}");
        curled.status
    }

    /// Asks until the answer has that status.
    fn until(&self, pair: &Pair, status: u16) {
        until(&format!("{status}"), || self.status(pair) == status);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Looks until it is so; what never comes is a failure.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to be: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
