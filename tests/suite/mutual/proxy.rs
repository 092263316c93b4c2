//! Certificates that a proxy tells of (RFC 9440): from the trusted one as if they had been shown here, from anybody else
//! not at all.

use super::*;

fn field(pair: &Pair) -> String {
    format!(":{}:", STANDARD.encode(pair.certificate.to_der().expect("DER")))
}

async fn status(server: &Server, headers: &[(&str, &str)]) -> u16 {
    Client::anonymous(&server.base_url).send("GET", "/Users?count=0", headers, None).await.status
}

fn serve(folder: &Path, authority: &Pair, trusted: &str) -> Server {
    let ca = folder.join("ca.pem");
    fs::write(&ca, authority.certificate()).expect("written");
    let server = Server::sqlite_with(&[
        ("MATRIKEL_CLIENT_CERTIFICATES", "proxy"),
        ("MATRIKEL_CLIENT_CA", ca.to_str().expect("text")),
        ("MATRIKEL_TRUSTED_PROXIES", trusted),
    ]);
    server.tenant("town");
    server.client("town", "hr", "source");
    server.client("town", "cloud", "consumer");
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_believed_if_it_is_trusted_and_nobody_else_is() {
    let folder = TempDir::new().expect("a folder");
    let authority = Pair::authority("Our authority");
    let between = authority.issue(Wish { is_authority: true, ..Wish::client(2, "Between") });
    let pinned = Pair::alone(Wish::client(3, "pinned"));
    let vouched = between.issue(Wish { names: &["dns:hr.example.se"], ..Wish::client(4, "hr") });
    for (trusted, expected) in [("127.0.0.1", 200), ("192.0.2.0/24", 401)] {
        let server = serve(folder.path(), &authority, trusted);
        server.certify("town", "hr", "dns=hr.example.se");
        server.certify("town", "cloud", &format!("spki={}", STANDARD.encode(pinned.pin())));
        assert_eq!(status(&server, &[("client-cert", &field(&pinned))]).await, expected);
        let chain = [("client-cert", &*field(&vouched)), ("client-cert-chain", &field(&between))];
        assert_eq!(status(&server, &chain).await, expected, "with what lies between");
        assert_eq!(status(&server, &chain[..1]).await, 401, "nobody knows who vouches");
        let whole = format!("{}, {}", field(&between), field(&authority));
        assert_eq!(status(&server, &[chain[0], ("client-cert-chain", &whole)]).await, expected);
        // What is not one certificate is none.
        for wrong in [
            String::new(),
            "::".to_owned(),
            ":AAAA:".to_owned(),
            "nonsense".to_owned(),
            STANDARD.encode(pinned.certificate.to_der().unwrap()),
            format!("{}, {}", field(&pinned), field(&vouched)),
        ] {
            assert_eq!(status(&server, &[("client-cert", &wrong)]).await, 401, "{wrong}");
        }
        let twice = [("client-cert", &*field(&pinned)), ("client-cert", &field(&vouched))];
        assert_eq!(status(&server, &twice).await, 401);
        assert_eq!(status(&server, &[("x-client-cert", &field(&pinned))]).await, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_certificates_are_shown_here_the_header_means_nothing() {
    let place = Place::new(Server::sqlite_with, "optional", &[("MATRIKEL_TRUSTED_PROXIES", "127.0.0.1")]);
    place.server.tenant("town");
    place.server.client("town", "hr", "source");
    let pinned = Pair::alone(Wish::client(2, "hr"));
    place.server.certify("town", "hr", &format!("spki={}", STANDARD.encode(pinned.pin())));
    let header = format!("Client-Cert: {}", field(&pinned));
    let stranger = Pair::alone(Wish::client(3, "stranger"));
    assert_eq!(place.ask(&stranger, &["-H", &header]).status, 401);
    assert_eq!(place.ask(&pinned, &[]).status, 200);
}
