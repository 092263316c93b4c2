//! Access tokens that are had with a certificate, and bound to it (RFC 8705).

use super::*;
use crate::support::credential::Holder;

#[tokio::test]
async fn a_token_that_was_had_with_a_certificate_comes_with_it_alone() {
    let place =
        Place::new(Server::sqlite_with, "optional", &[("MATRIKEL_PUBLIC_URL", "https://id.example.se"), MASTER_KEY]);
    let server = &place.server;
    server.tenant("town");
    server.client("town", "hr", "source");
    server.client("town", "other", "source");
    let pair = Pair::alone(Wish::client(2, "hr"));
    let other = Pair::alone(Wish::client(3, "other"));
    server.certify("town", "hr", &format!("spki={}", STANDARD.encode(pair.pin())));
    server.certify("town", "other", &format!("spki={}", STANDARD.encode(other.pin())));
    let id = format!("client_id={}", Holder::find(server, "town", "hr").await.id());
    let endpoint = format!("{}/oauth/token", server.base_url.trim_end_matches("/scim/v2"));
    let ask = |pair: Option<&Pair>| {
        let mut arguments = vec!["-d".to_owned(), "grant_type=client_credentials".into(), "-d".into(), id.clone()];
        if let Some(pair) = pair {
            let file = pair.file(place.folder.path(), &format!("token-{}", hex(&pair.pin())));
            arguments.extend(["--cert".to_owned(), file.to_str().expect("text").to_owned()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        curl(&endpoint, &place.server_certificate(), &arguments)
    };
    for pair in [None, Some(&other), Some(&Pair::alone(Wish::client(4, "hr")))] {
        let refused = ask(pair);
        assert_eq!(refused.status, 401, "{refused:?}");
        assert!(refused.text.contains("invalid_client"), "{refused:?}");
    }
    let given = ask(Some(&pair));
    assert_eq!(given.status, 200, "{given:?}");
    let (_, token) = given.text.split_once("\"access_token\":\"").expect("a token");
    let header = format!("Authorization: Bearer {}", token.split('"').next().expect("its end"));
    assert_eq!(place.ask(&pair, &["-H", &header]).status, 200);
    assert_eq!(
        place.ask(&pair.again(Wish::client(5, "hr")), &["-H", &header]).status,
        401,
        "the same key is not enough"
    );
    assert_eq!(place.ask(&other, &["-H", &header]).status, 401);
    let bare = curl(&format!("{}/Users", server.base_url), &place.server_certificate(), &["-H", &header]);
    assert_eq!(bare.status, 401, "{bare:?}");
}
