//! Whom a certificate stands for.

use super::*;
use crate::support::both::on_both_databases;

on_both_databases!(Place: a_certificate_stands_for_the_client_that_its_rule_names);

async fn a_certificate_stands_for_the_client_that_its_rule_names(place: &Place) {
    let server = &place.server;
    let admin =
        Client::trusting(&server.base_url, &server.tenant("town"), &fs::read(place.server_certificate()).unwrap());
    for name in ["pinned", "by-dns", "by-uri", "by-email", "by-subject"] {
        server.client("town", name, "source");
    }
    let pinned = Pair::alone(Wish::client(2, "pinned"));
    let pin = server.certify("town", "pinned", &format!("spki={}", STANDARD.encode(pinned.pin())));
    server.certify("town", "by-dns", "dns=hr.example.se");
    server.certify("town", "by-uri", "uri=https://hr.example.se/x");
    server.certify("town", "by-email", "email=hr@example.se");
    server.certify("town", "by-subject", "subject=CN=hr\\, main,O=Storstads kommun");

    // A key that is pinned needs nobody to vouch for it.
    assert_eq!(place.status(&pinned), 200);
    assert_eq!(place.status(&Pair::alone(Wish::client(3, "pinned"))), 401, "the name alone is nothing");
    for wish in [
        Wish { names: &["dns:other.example.se", "dns:HR.example.se"], ..Wish::client(4, "x") },
        Wish { names: &["uri:https://hr.example.se/x"], ..Wish::client(5, "x") },
        Wish { names: &["email:hr@example.se"], ..Wish::client(6, "x") },
        Wish::client(7, "hr, main"),
    ] {
        assert_eq!(place.status(&place.authority.issue(wish)), 200, "{}", wish.serial);
        assert_eq!(place.status(&Pair::alone(wish)), 401, "nobody vouches for {}", wish.serial);
        let foreign = Pair::authority("Our authority");
        assert_eq!(place.status(&foreign.issue(wish)), 401, "another of the same name vouches for {}", wish.serial);
        assert_eq!(place.status(&place.authority.issue(Wish { to: 1_000_000_000, ..wish })), 401, "it has ended");
        assert_eq!(place.status(&place.authority.issue(Wish { from: 3_999_999_999, ..wish })), 401, "it is to come");
    }
    assert_eq!(place.status(&place.authority.issue(Wish { names: &["dns:x.se"], ..Wish::client(8, "x") })), 401);
    // The certificate of a pinned key must be good itself.
    assert_eq!(place.status(&pinned.again(Wish { to: 1_000_000_000, ..Wish::client(9, "x") })), 401);
    assert_eq!(place.status(&pinned.again(Wish::client(10, "another name"))), 200);

    // Who is not recognised has the connection closed, and another client is not let in on it.
    let stranger = place.ask(&Pair::alone(Wish::client(11, "stranger")), &[&server.base_url]);
    assert_eq!((stranger.exit, stranger.status), (0, 401), "{stranger:?}");
    assert!(stranger.text.to_ascii_lowercase().contains("connection: close"), "{stranger:?}");
    let known = place.ask(&pinned, &["-o", "/dev/null", &server.base_url]);
    assert_eq!((known.status, known.connections), (200, 0), "one connection serves both requests: {known:?}");

    // With both the header decides, and a wrong one is not saved by a good certificate.
    let consumer = format!("Authorization: Bearer {}", server.client("town", "reader", "consumer"));
    let write = [
        "-X",
        "POST",
        "-H",
        "content-type: application/scim+json",
        "-d",
        "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"ada\"}",
    ];
    let post = |further: &[&str]| {
        let file = pinned.file(place.folder.path(), "pinned");
        let arguments = [&["--cert", file.to_str().unwrap()], &write[..], further].concat();
        curl(&format!("{}/Users", server.base_url), &place.server_certificate(), &arguments).status
    };
    assert_eq!(post(&["-H", &consumer]), 403, "the token is a consumer's");
    assert_eq!(post(&["-H", "Authorization: Bearer mk_wrong"]), 401);
    assert_eq!(post(&["-H", "Authorization: Basic eDp5"]), 401);
    assert_eq!(post(&[]), 201, "the certificate is a source's");

    // curl proves the server by its key too, and refuses another's.
    let own = format!("sha256//{}", STANDARD.encode(server_pin(place)));
    assert_eq!(place.ask(&pinned, &["--pinnedpubkey", &own]).status, 200);
    let other = format!("sha256//{}", STANDARD.encode([0; 32]));
    assert_eq!(place.ask(&pinned, &["--pinnedpubkey", &other]).exit, 90);

    // What is revoked ends, and what has not begun is not there.
    let day = 86_400_000_000_i64;
    let blob = if server.is_postgres() {
        format!("decode('{}', 'hex')", pin.simple())
    } else {
        format!("x'{}'", pin.simple())
    };
    let set = |what: &str| server.execute(&format!("UPDATE credential SET {what} WHERE credential_id = {blob}"));
    set("revoked_at = 1");
    place.until(&pinned, 401);
    set(&format!("revoked_at = NULL, starts_at = {}", 4_000_000_000_000_000_i64 - day));
    assert_eq!(place.status(&pinned), 401);
    set("starts_at = NULL, expires_at = 1");
    assert_eq!(place.status(&pinned), 401);
    // Whose certificate it is hears that it was refused.
    let denied = "/AuditEvents?filter=kind%20eq%20%22denied%22%20and%20outcome.status%20eq%20401";
    let mut told = admin.get(denied).await.expect(200).json();
    let deadline = Instant::now() + Duration::from_secs(30);
    while told["totalResults"] == 0 {
        assert!(Instant::now() < deadline, "no refusal in the audit");
        tokio::time::sleep(Duration::from_millis(50)).await;
        told = admin.get(denied).await.expect(200).json();
    }
    assert_eq!((&told["Resources"][0]["actor"], &told["Resources"][0]["address"]), (&json!(null), &json!("127.0.0.1")));
    set("expires_at = NULL");
    place.until(&pinned, 200);
    // A client that is not active is let in by nothing.
    let clients = admin.get("/Clients?filter=name%20eq%20%22pinned%22").await.expect(200);
    let id = clients.json()["Resources"][0]["id"].as_str().expect("an id").to_owned();
    let off = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "path": "active", "value": false }],
    });
    let patched = admin.patch(&format!("/Clients/{id}"), &off).await;
    assert!([200, 204].contains(&patched.status), "{patched:?}");
    assert_eq!(place.status(&pinned), 401, "at once, in the process that changed it");
}

fn server_pin(place: &Place) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let pem = fs::read(place.server_certificate()).expect("the certificate");
    let certificate = openssl::x509::X509::from_pem(&pem).expect("a certificate");
    Sha256::digest(certificate.public_key().unwrap().public_key_to_der().unwrap()).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_authority_has_revoked_is_noticed_under_way() {
    let folder = TempDir::new().expect("a folder");
    let list = folder.path().join("crl.pem");
    let authority = Pair::authority("Our authority");
    fs::write(&list, authority.revoked(&[])).expect("written");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.certificate()).expect("written");
    let place = Place::new(
        Server::sqlite_with,
        "optional",
        &[("MATRIKEL_CLIENT_CA", ca.to_str().unwrap()), ("MATRIKEL_CLIENT_CRL", list.to_str().unwrap())],
    );
    place.server.tenant("town");
    place.server.client("town", "hr", "source");
    place.server.certify("town", "hr", "dns=hr.example.se");
    let wish = |serial| Wish { names: &["dns:hr.example.se"], ..Wish::client(serial, "hr") };
    let (first, second) = (authority.issue(wish(20)), authority.issue(wish(21)));
    assert_eq!((place.status(&first), place.status(&second)), (200, 200));
    // Half a list is none, and the older one stays.
    fs::write(&list, "-----BEGIN X509 CRL-----\n").expect("written");
    until("it is told", || place.server.said().contains("the new authorities cannot be used"));
    assert_eq!(place.status(&first), 200);
    fs::write(&list, authority.revoked(&[20])).expect("written");
    place.until(&first, 401);
    assert_eq!(place.status(&second), 200);
}
