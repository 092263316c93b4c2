//! TLS as clients meet it: which versions are spoken, what the certificate is, that it can be changed under way, and that a
//! server that could not speak it does not start.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode, SslVersion};
use openssl::symm::Cipher;
use tempfile::TempDir;

use crate::support::certificate::Pair;
use crate::support::client::Client;
use crate::support::messages::user;
use crate::support::server::{Server, attempt};

fn serve(folder: &Path, more: &[(&str, &str)]) -> Server {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let files = [
        ("MATRIKEL_TLS_CERTIFICATE", certificate.to_str().expect("text")),
        ("MATRIKEL_TLS_KEY", key.to_str().expect("text")),
    ];
    Server::sqlite_with(&[&files[..], more].concat())
}

fn address(server: &Server) -> &str {
    server.base_url.trim_start_matches("https://").trim_end_matches("/scim/v2")
}

/// Greets the server in one version of TLS, the server's name told or not.
fn greet(server: &Server, version: SslVersion, name: Option<&str>) -> Result<SslStream<TcpStream>, String> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("a client");
    builder.set_min_proto_version(Some(version)).expect("a version");
    builder.set_max_proto_version(Some(version)).expect("a version");
    builder.set_verify(SslVerifyMode::NONE);
    // So that it is the server that refuses what is old.
    builder.set_cipher_list("ALL:@SECLEVEL=0").expect("ciphers");
    let connector = builder.build().configure().expect("a client").use_server_name_indication(name.is_some());
    let stream = TcpStream::connect(address(server)).expect("a connection");
    connector.verify_hostname(false).connect(name.unwrap_or("127.0.0.1"), stream).map_err(|error| error.to_string())
}

fn serial(server: &Server) -> String {
    let stream = greet(server, SslVersion::TLS1_3, None).expect("a handshake");
    let certificate = stream.ssl().peer_certificate().expect("a certificate");
    certificate.serial_number().to_bn().expect("a number").to_dec_str().expect("text").to_string()
}

/// Looks until it is so; what never comes is a failure.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to be: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_speak_tls_from_1_2_on_and_are_told_https() {
    let folder = TempDir::new().expect("a folder");
    let (pair, further) = (Pair::new(1), Pair::new(99));
    pair.write(folder.path());
    fs::write(folder.path().join("certificate.pem"), [pair.certificate(), further.certificate()].concat())
        .expect("written");
    let server = serve(folder.path(), &[("MATRIKEL_TLS_HSTS_SECONDS", "3600")]);
    assert!(server.base_url.starts_with("https://127.0.0.1:"), "{}", server.base_url);
    let client = Client::trusting(&server.base_url, &server.tenant("tls"), &pair.certificate());
    let made = client.post("/Users", &user("ada")).await.expect(201);
    assert!(made.header("location").starts_with(&server.base_url), "{}", made.header("location"));
    assert_eq!(made.header("strict-transport-security"), "max-age=3600");
    for (version, name) in [
        (SslVersion::TLS1_2, None),
        (SslVersion::TLS1_3, None),
        (SslVersion::TLS1_2, Some("localhost")),
        (SslVersion::TLS1_3, Some("elsewhere.example")),
    ] {
        let stream = greet(&server, version, name).expect("a handshake");
        let chain = stream.ssl().peer_cert_chain().expect("certificates");
        let shown: Vec<_> = chain.iter().map(|one| one.to_pem().expect("PEM")).collect();
        assert_eq!(shown, [pair.certificate(), further.certificate()]);
        let cipher = stream.ssl().current_cipher().expect("a cipher").name();
        assert!(cipher.contains("GCM") || cipher.contains("CHACHA20"), "{cipher}");
    }
    for old in [SslVersion::TLS1, SslVersion::TLS1_1] {
        let refused = greet(&server, old, None).expect_err("too old");
        assert!(refused.contains("protocol version") || refused.contains("unsupported protocol"), "{refused}");
    }
    let plain = reqwest::get(format!("http://{}/healthz", address(&server))).await;
    assert!(plain.is_err(), "{plain:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_may_insist_on_tls_1_3() {
    let folder = TempDir::new().expect("a folder");
    Pair::new(1).write(folder.path());
    let server = serve(folder.path(), &[("MATRIKEL_TLS_MIN_VERSION", "1.3")]);
    greet(&server, SslVersion::TLS1_3, None).expect("a handshake");
    let refused = greet(&server, SslVersion::TLS1_2, None).expect_err("too old");
    assert!(refused.contains("protocol version"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_taken_under_way_and_a_wrong_one_leaves_the_old_in_place() {
    let folder = TempDir::new().expect("a folder");
    let (first, second) = (Pair::new(1), Pair::new(2));
    first.write(folder.path());
    let server = serve(folder.path(), &[("MATRIKEL_METRICS_LISTEN", "127.0.0.1:0")]);
    let client = Client::trusting(&server.base_url, &server.tenant("tls"), &first.certificate());
    client.get("/Users").await.expect(200);
    assert_eq!(serial(&server), "1");
    let count = |text: &str| server.said().lines().filter(|line| line.contains(text)).count();
    let refused = "the new certificate cannot be used";
    fs::write(folder.path().join("key.pem"), second.key()).expect("written");
    until("the key is refused", || count(refused) == 1).await;
    assert!(server.said().contains("does not belong to the certificate"), "{}", server.said());
    assert_eq!(serial(&server), "1");
    fs::remove_file(folder.path().join("key.pem")).expect("removed");
    until("the lack of a key is told", || count(refused) == 2).await;
    assert_eq!(serial(&server), "1");
    second.write(folder.path());
    until("the new certificate is shown", || serial(&server) == "2").await;
    until("the new certificate is told", || count("a new certificate is in use") == 1).await;
    // The connection of before was not cut: whoever had to greet anew would not trust the second.
    client.get("/Users").await.expect(200);
    Client::trusting(&server.base_url, "", &second.certificate()).get("//healthz").await.expect(200);
    assert_eq!(count(refused), 2, "told once each");
    assert!(!server.said().contains("PRIVATE"), "{}", server.said());
    let metrics = reqwest::get(format!("http://{}/metrics", server.metrics_address())).await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    for line in [
        "matrikel_tls_certificate_expiry_timestamp_seconds 4000000000",
        "matrikel_tls_reloads_total{outcome=\"taken\"} 1",
        "matrikel_tls_reloads_total{outcome=\"refused\"} 2",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} in {metrics}");
    }
}

#[test]
fn a_server_that_cannot_speak_tls_does_not_start_and_says_why() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (first, second) = (Pair::new(1), Pair::new(2));
    let locked = first.key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret").expect("PEM");
    let files = [
        ("first.pem", first.certificate()),
        ("first.key", first.key()),
        ("second.key", second.key()),
        ("locked.key", locked),
        ("nothing", Vec::new()),
    ];
    files.iter().for_each(|(name, text)| fs::write(at(name), text).expect("written"));
    for (certificate, key, expected) in [
        ("first.pem", "second.key", "does not belong to the certificate in"),
        ("missing.pem", "first.key", "tls.certificate cannot be read from"),
        ("first.pem", "missing.key", "tls.key cannot be read from"),
        ("nothing", "first.key", "holds no certificate. Name a PEM file with one as tls.certificate"),
        ("first.key", "first.key", "holds no certificate."),
        ("first.pem", "nothing", "holds no private key that is not encrypted."),
        ("first.pem", "locked.key", "holds no private key that is not encrypted."),
    ] {
        let configuration = format!("[tls]\ncertificate = {:?}\nkey = {:?}\n", at(certificate), at(key));
        fs::write(at("matrikel.toml"), configuration).expect("written");
        let url = format!("sqlite:{}", at("register.db"));
        let said = attempt(&url, &["serve", "--listen", "127.0.0.1:0", "--config", &at("matrikel.toml")]);
        let said = said.expect_err("it cannot start");
        assert!(said.contains(expected), "{certificate} {key}: {said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
}
