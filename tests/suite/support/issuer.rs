//! Foreign issuers on this machine: one whose every token a test signs itself, and a real one.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use matrikel::jose::{Algorithm, PrivateKey};
use serde_json::{Map, Value, json};

#[derive(Default)]
struct Site {
    /// Path and body.
    pages: Mutex<HashMap<String, String>>,
    is_away: AtomicBool,
    requests: AtomicUsize,
}

/// An issuer that is played by the test.
pub(crate) struct Played {
    pub(crate) issuer: String,
    pub(crate) key: PrivateKey,
    pub(crate) key_id: String,
    site: Arc<Site>,
}

impl Played {
    /// An issuer with one key, which its metadata lead to.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let site = Arc::new(Site::default());
        let serving = site.clone();
        // It ends with the tests.
        thread::spawn(move || listener.incoming().flatten().for_each(|connection| drop(serve(&serving, connection))));
        let issuer = format!("http://{address}");
        let key = PrivateKey::generate(Algorithm::Es256).expect("a key");
        let mut played = Played { issuer, key, key_id: String::new(), site };
        let metadata = json!({ "issuer": played.issuer, "jwks_uri": format!("{}/keys", played.issuer) });
        played.publish("/.well-known/openid-configuration", &metadata.to_string());
        played.rotate("one", Algorithm::Es256);
        played
    }

    /// Another key takes the place of the one before.
    pub(crate) fn rotate(&mut self, key_id: &str, algorithm: Algorithm) {
        self.key = PrivateKey::generate(algorithm).expect("a key");
        self.key_id = key_id.to_owned();
        let mut jwk = self.key.public_jwk().expect("a JWK");
        jwk.insert("kid".into(), key_id.into());
        self.publish("/keys", &json!({ "keys": [jwk] }).to_string());
    }

    pub(crate) fn publish(&self, path: &str, body: &str) {
        self.site.pages.lock().expect("not poisoned").insert(path.to_owned(), body.to_owned());
    }

    /// Whether it answers nothing from now on.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.site.is_away.store(is_away, Ordering::SeqCst);
    }

    /// How often it was asked for anything.
    pub(crate) fn requests(&self) -> usize {
        self.site.requests.load(Ordering::SeqCst)
    }

    /// A token with those claims.
    pub(crate) fn sign(&self, claims: &Map<String, Value>) -> String {
        self.key.sign("JWT", &self.key_id, claims).expect("signed")
    }
}

fn serve(site: &Site, mut connection: std::net::TcpStream) -> std::io::Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(connection.try_clone()?);
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut rest = String::new();
    while reader.read_line(&mut rest)? > 2 {
        rest.clear();
    }
    site.requests.fetch_add(1, Ordering::SeqCst);
    if site.is_away.load(Ordering::SeqCst) {
        return Ok(());
    }
    let page = site.pages.lock().expect("not poisoned").get(&path).cloned();
    match page {
        // A page that begins so leads on.
        Some(page) if page.starts_with("Location:") => {
            write!(connection, "HTTP/1.1 302 Found\r\n{page}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Some(page) => write!(
            connection,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
            page.len()
        ),
        None => write!(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    }
}

/// A real OpenID provider (`tests/conformance/issuer/issuer.mjs`), until the value goes.
pub(crate) struct Real {
    pub(crate) issuer: String,
    process: Child,
    beside: PathBuf,
}

impl Real {
    /// Starts one at a port, 0 for any, with keys of a name, an algorithm, and tokens of so many seconds.
    pub(crate) fn start(port: u16, keys: &str, algorithm: &str, seconds: u32) -> Self {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("target")).join("issuer");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/issuer/issuer.mjs");
        // Node looks for packages beside the script; others start theirs at the same time.
        let beside = place.join(format!("issuer-{}-{keys}.mjs", std::process::id()));
        std::fs::copy(script, &beside).expect("make setup installs the issuer");
        let mut process = Command::new("node")
            .arg(&beside)
            .args([&port.to_string(), keys, algorithm, &seconds.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("make setup installs node");
        let mut output = BufReader::new(process.stdout.take().expect("its output"));
        let mut line = String::new();
        while !line.starts_with("ready ") {
            line.clear();
            assert!(output.read_line(&mut line).expect("a line") > 0, "the issuer does not start");
        }
        // What it says later is read and forgotten.
        thread::spawn(move || output.read_to_end(&mut Vec::new()));
        let issuer = line.trim().trim_start_matches("ready ").to_owned();
        Real { issuer, process, beside }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.issuer.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// A token for one of its clients.
    pub(crate) async fn token(&self, client: &str) -> String {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = http.post(format!("{}/token", self.issuer)).basic_auth(client, Some(format!("{client}-secret")));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body("grant_type=client_credentials").send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        answer["access_token"].as_str().unwrap_or_else(|| panic!("a token in {answer}")).to_owned()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.beside);
    }
}
