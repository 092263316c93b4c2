//! A small federation (RFC 9932) made with our own commands: two members who come with curl and certificates that vouch for
//! themselves. One is put out while the server runs; what is tampered with, older, expired or signed by somebody else
//! changes nothing; what is known outlives an outage and a restart.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use matrikel::auth::federation::jws::sign;
use matrikel::auth::federation::key::SigningKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::both::on_both_databases;
use crate::support::certificate::{Pair, Wish};
use crate::support::curl::curl;
use crate::support::server::{Server, attempt, command};

const ISSUER: &str = "https://federation.example.se";

on_both_databases!(Town: a_member_comes_by_its_key_and_one_that_is_put_out_is_refused);

/// The folder of everybody's files, and two members.
struct Operator {
    folder: TempDir,
    key: SigningKey,
    one: Pair,
    two: Pair,
}

impl Operator {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let at = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
        let anchor = command("sqlite:none", &["federation", "key", &at("signing.json")]);
        fs::write(at("anchor.json"), anchor).expect("written");
        let key: Value = serde_json::from_slice(&fs::read(at("signing.json")).expect("a key")).expect("JSON");
        let key = SigningKey::read(key.as_object().expect("an object")).expect("a key");
        Pair::new(1).write(folder.path());
        let (one, two) = (Pair::alone(Wish::client(2, "one")), Pair::alone(Wish::client(3, "two")));
        for (name, pair) in [("one", &one), ("two", &two)] {
            let certificate = pair.file(folder.path(), name);
            let entity = format!("https://{name}.example.se");
            let certificate = certificate.to_str().expect("text");
            let arguments = ["federation", "member-metadata", "--entity", &entity, "--organization", name];
            let told =
                command("sqlite:none", &[&arguments[..], &["--client-cert", certificate, "--tag", "egil"]].concat());
            fs::write(at(&format!("{name}.json")), told).expect("written");
        }
        Operator { folder, key, one, two }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("text").to_owned()
    }

    /// Signed metadata of these members, by our command.
    fn signed(&self, members: &[&str]) -> String {
        let files: Vec<_> = members.iter().map(|name| self.at(&format!("{name}.json"))).collect();
        let mut arguments = vec!["federation", "sign"];
        arguments.extend(files.iter().map(String::as_str));
        let key = self.at("signing.json");
        arguments.extend(["--key", &key, "--issuer", ISSUER, "--cache-ttl", "0"]);
        command("sqlite:none", &arguments)
    }

    /// The same with other times, in seconds since 1970.
    fn signed_at(&self, members: &[&str], iat: i64, exp: i64) -> String {
        let members = members.iter().map(|name| fs::read(self.at(&format!("{name}.json"))).expect("a member"));
        let members: Vec<Value> = members.map(|text| serde_json::from_slice(&text).expect("JSON")).collect();
        let metadata = json!({ "version": "1.0.0", "entities": members });
        sign(metadata.to_string().as_bytes(), &self.key, ISSUER, iat, exp).expect("signed").to_string()
    }

    /// Puts metadata in its place in one step.
    fn publish(&self, text: &str) {
        fs::write(self.at("metadata.new"), text).expect("written");
        fs::rename(self.at("metadata.new"), self.at("metadata.json")).expect("renamed");
    }

    fn variables(&self, metadata: &str) -> Vec<(String, String)> {
        [
            ("TLS_CERTIFICATE", self.at("certificate.pem")),
            ("TLS_KEY", self.at("key.pem")),
            ("CLIENT_CERTIFICATES", "required".to_owned()),
            ("FEDERATION_NAME", "moa".to_owned()),
            ("FEDERATION_METADATA", metadata.to_owned()),
            ("FEDERATION_ANCHOR", self.at("anchor.json")),
            ("FEDERATION_ISSUER", ISSUER.to_owned()),
            ("FEDERATION_COPY", self.at("copy.json")),
        ]
        .into_iter()
        .map(|(name, value)| (format!("MATRIKEL_{name}"), value))
        .collect()
    }

    fn serve(&self, start: fn(&[(&str, &str)]) -> Server, metadata: &str, further: &[(&str, &str)]) -> Server {
        let variables = self.variables(metadata);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let server = start(&[&variables[..], further].concat());
        server.tenant("town");
        for name in ["one", "two"] {
            server.client("town", name, "source");
            server.certify("town", name, &format!("entity=moa https://{name}.example.se"));
        }
        server
    }

    fn status(&self, server: &Server, pair: &Pair) -> u16 {
        let file = pair.file(self.folder.path(), "asking");
        let url = format!("{}/Users?count=0", server.base_url);
        let curled = curl(&url, &PathBuf::from(self.at("certificate.pem")), &["--cert", file.to_str().expect("text")]);
        assert_eq!(curled.exit, 0, "{curled:?}");
        curled.status
    }

    fn until(&self, server: &Server, pair: &Pair, status: u16) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.status(server, pair) != status {
            assert!(Instant::now() < deadline, "never {status}: {}", server.said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

struct Town {
    operator: Operator,
    server: Server,
}

impl Town {
    fn new(start: fn(&[(&str, &str)]) -> Server) -> Self {
        let operator = Operator::new();
        operator.publish(&operator.signed(&["one", "two"]));
        let server =
            operator.serve(start, &operator.at("metadata.json"), &[("MATRIKEL_METRICS_LISTEN", "127.0.0.1:0")]);
        Town { operator, server }
    }

    fn sqlite() -> Self {
        Town::new(Server::sqlite_with)
    }

    fn postgres() -> Self {
        Town::new(Server::postgres_with)
    }
}

#[expect(clippy::disallowed_methods, reason = "what is signed here is to be valid now")]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

async fn a_member_comes_by_its_key_and_one_that_is_put_out_is_refused(town: &Town) {
    let Town { operator, server } = town;
    let Operator { one, two, .. } = operator;
    assert_eq!((operator.status(server, one), operator.status(server, two)), (200, 200));
    // The key is the member, whatever the certificate says; a name is nobody.
    assert_eq!(operator.status(server, &one.again(Wish::client(4, "renewed"))), 200);
    assert_eq!(operator.status(server, &one.again(Wish { to: 1_000_000_000, ..Wish::client(5, "ended") })), 401);
    assert_eq!(operator.status(server, &Pair::alone(Wish::client(6, "one"))), 401);
    // Being a member alone lets nobody in: the client must know its entity.
    let both = fs::read_to_string(operator.at("metadata.json")).expect("metadata");

    operator.publish(&operator.signed_at(&["one"], now() + 1, now() + 1000));
    operator.until(server, two, 401);
    assert_eq!(operator.status(server, one), 200);
    let count = |text: &str| server.said().matches(text).count();
    let complained = |reason: &str| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while count(reason) == 0 {
            assert!(Instant::now() < deadline, "never {reason}: {}", server.said());
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!((operator.status(server, one), operator.status(server, two)), (200, 401), "{reason}");
    };
    // What was good once brings nobody back.
    operator.publish(&both);
    complained("is known");
    // Nor does anything that the operator did not sign as it is.
    let mut tampered: Value =
        serde_json::from_str(&operator.signed_at(&["one"], now() + 2, now() + 1000)).expect("JSON");
    let other: Value = serde_json::from_str(&both).expect("JSON");
    tampered["payload"] = other["payload"].clone();
    operator.publish(&tampered.to_string());
    complained("its signature is not the one of the key");
    let stranger = Operator::new();
    operator.publish(&stranger.signed(&["one", "two"]));
    complained("which is not in the anchor");
    operator.publish(&operator.signed_at(&["one", "two"], now() - 100, now() - 1));
    complained("it expired at");
    let broken = sign(b"{\"version\":\"1.0.0\"}", &operator.key, ISSUER, now() + 3, now() + 1000).expect("signed");
    operator.publish(&broken.to_string());
    complained("it breaks the rules of the schema: entities is missing");
    let elsewhere =
        sign(b"{}", &operator.key, "https://elsewhere.example.se", now() + 3, now() + 1000).expect("signed");
    operator.publish(&elsewhere.to_string());
    complained("it was issued by");
    operator.publish("nonsense");
    complained("it is no JWS");
    fs::remove_file(operator.at("metadata.json")).expect("removed");
    complained("cannot be read");

    let metrics = reqwest::get(format!("http://{}/metrics", server.metrics_address())).await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    assert!(metrics.contains("\nmatrikel_federation_entities 1\n"), "{metrics}");
    assert!(metrics.contains("matrikel_federation_refreshes_total{outcome=\"taken\"} 1\n"), "{metrics}");

    // It comes back with newer metadata, and all end with the metadata that nothing newer replaces.
    operator.publish(&operator.signed_at(&["one", "two"], now() + 4, now() + 1000));
    operator.until(server, two, 200);
    operator.publish(&operator.signed_at(&["one", "two"], now() + 5, now() + 8));
    operator.until(server, one, 401);
    operator.until(server, two, 401);
}

/// Whatever lies in a file, over https; it can be silent.
fn publish_over_https(operator: &Operator) -> (String, Arc<Mutex<Option<String>>>, Arc<AtomicUsize>) {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).expect("a server");
    acceptor.set_certificate_file(operator.at("certificate.pem"), openssl::ssl::SslFiletype::PEM).expect("ours");
    acceptor.set_private_key_file(operator.at("key.pem"), openssl::ssl::SslFiletype::PEM).expect("ours");
    let (acceptor, listener) = (acceptor.build(), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let url = format!("https://localhost:{}/metadata", listener.local_addr().expect("an address").port());
    let (text, asked) = (Arc::new(Mutex::new(None::<String>)), Arc::new(AtomicUsize::new(0)));
    let (told, counted) = (Arc::clone(&text), Arc::clone(&asked));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(mut stream) = acceptor.accept(stream) else { continue };
            let _ = stream.read(&mut [0; 4096]);
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = match told.lock().expect("the text").as_ref() {
                Some(text) => {
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())
                }
                None => "HTTP/1.1 503 Out\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.shutdown();
        }
    });
    (url, text, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_fetched_and_outlives_an_outage_and_a_restart() {
    let operator = Operator::new();
    let (url, text, asked) = publish_over_https(&operator);
    let roots = [("SSL_CERT_FILE", operator.at("certificate.pem"))];
    let roots: Vec<_> = roots.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // The server starts without, and knows nobody yet.
    let mut server = operator.serve(Server::sqlite_with, &url, &roots);
    assert_eq!(operator.status(&server, &operator.one), 401);
    *text.lock().expect("the text") = Some(operator.signed(&["one", "two"]));
    operator.until(&server, &operator.one, 200);
    *text.lock().expect("the text") = None;
    let before = asked.load(Ordering::SeqCst);
    server.terminate();
    server.restart();
    operator.until(&server, &operator.one, 200);
    assert_eq!(operator.status(&server, &operator.two), 200);
    server.said_at_least(1, "the answer is 503").await;
    assert!(asked.load(Ordering::SeqCst) > before, "it was asked for");
    assert_eq!(operator.status(&server, &operator.two), 200, "the copy serves until it expires");
    // A copy that was changed is none.
    let copy = fs::read_to_string(operator.at("copy.json")).expect("the copy");
    let signature = copy.find("signature\"").expect("a signature");
    let mut spoilt = copy.into_bytes();
    let place = signature + 16;
    spoilt[place] = if spoilt[place] == b'A' { b'B' } else { b'A' };
    fs::write(operator.at("copy.json"), spoilt).expect("written");
    server.terminate();
    server.restart();
    server.said_at_least(1, "the answer is 503").await;
    assert_eq!(operator.status(&server, &operator.two), 401);
}

#[test]
fn the_commands_say_what_is_to_be_believed_and_what_is_not() {
    let operator = Operator::new();
    operator.publish(&operator.signed(&["one", "two"]));
    let (metadata, anchor) = (operator.at("metadata.json"), operator.at("anchor.json"));
    let verify = |file: &str, anchor: &str| {
        attempt("sqlite:none", &["federation", "verify", file, "--anchor", anchor, "--json"])
    };
    let told: Value = serde_json::from_str(&verify(&metadata, &anchor).expect("believed")).expect("JSON");
    assert_eq!((&told["issuer"], &told["algorithm"]), (&json!(ISSUER), &json!("ES256")));
    assert_eq!(told["thumbprint"], told["key"]);
    assert_eq!(told["entities"][0]["entity"], "https://one.example.se");
    assert_eq!(told["entities"][1]["clients"][0]["pins"][0], STANDARD.encode(operator.two.pin()));
    let people = command("sqlite:none", &["federation", "verify", &metadata, "--anchor", &anchor]);
    assert!(people.contains(&format!("sha256//{}", STANDARD.encode(operator.one.pin()))), "{people}");

    let another = Operator::new();
    assert!(verify(&metadata, &another.at("anchor.json")).expect_err("another's").contains("not in the anchor"));
    let issuer = ["federation", "verify", &metadata, "--anchor", &anchor, "--issuer", "https://x.se"];
    assert!(attempt("sqlite:none", &issuer).expect_err("another's").contains("not by https://x.se"));
    operator.publish(&operator.signed_at(&["one"], 1, 2));
    assert!(verify(&metadata, &anchor).expect_err("over").contains("it expired at 1970-01-01T00:00:02Z"));

    // What breaks a rule is not signed: two members with one key.
    let twice =
        fs::read_to_string(operator.at("one.json")).expect("a member").replace("one.example.se", "x.example.se");
    fs::write(operator.at("x.json"), twice).expect("written");
    let (one, x, key) = (operator.at("one.json"), operator.at("x.json"), operator.at("signing.json"));
    let sign = ["federation", "sign", &one, &x, "--key", &key, "--issuer", ISSUER];
    assert!(attempt("sqlite:none", &sign).expect_err("twice").contains("is a client's of both"));
    // The key is nobody else's to read, and is not overwritten.
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).expect("the file").permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(attempt("sqlite:none", &["federation", "key", &key]).is_err());
    assert!(!fs::read_to_string(operator.at("anchor.json")).expect("the anchor").contains("\"d\""));
    // What the server is configured with is shown.
    operator.publish(&operator.signed(&["two"]));
    let configuration =
        format!("[federation]\nname = 'moa'\nmetadata = {metadata:?}\nanchor = {anchor:?}\nissuer = '{ISSUER}'\n");
    fs::write(operator.at("matrikel.toml"), configuration).expect("written");
    let show = |further: &[&str]| {
        let configuration = operator.at("matrikel.toml");
        attempt("sqlite:none", &[&["federation", "show", "--config", &configuration], further].concat())
    };
    assert!(show(&[]).expect("shown").contains("https://two.example.se"));
    assert!(show(&["--entity", "https://one.example.se"]).expect_err("gone").contains("there is no entity"));
    let header = fs::read_to_string(&metadata).expect("metadata");
    let header: Value = serde_json::from_str(&header).expect("JSON");
    let header =
        URL_SAFE_NO_PAD.decode(header["signatures"][0]["protected"].as_str().expect("text")).expect("base64url");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    let names: Vec<_> = header.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, ["alg", "kid", "iss", "iat", "exp"], "all of it is protected");
}

/// What `docs/connect/federation.md` tells a reader to type, at another port and with nothing else in the folder.
#[test]
fn the_page_for_suppliers_works_as_it_stands() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/connect/federation.md");
    let page = fs::read_to_string(page).expect("the page");
    let blocks: Vec<_> = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 6, "{} blocks", blocks.len());
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let script = format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n{}", blocks.concat());
    let folder = TempDir::new().expect("a folder");
    let programs = PathBuf::from(env!("CARGO_BIN_EXE_matrikel"));
    let programs = programs.parent().and_then(|folder| folder.to_str()).expect("a folder");
    let output = Command::new("timeout")
        .args(["120", "bash", "-c", &script.replace("8443", &port.to_string())])
        .current_dir(folder.path())
        .env("PATH", format!("{programs}:{}", std::env::var("PATH").expect("a path")))
        .env_remove("DATABASE_URL")
        .output()
        .expect("bash runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("\"totalResults\":1") && said.contains("401\n"), "{said}{complained}");
}
