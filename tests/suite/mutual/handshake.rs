//! The handshake, as `openssl s_client` tries it: who must show a certificate, that a session of before is not resumed into
//! somebody, and that nothing old or weak is spoken.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_certificates_are_required_there_is_no_connection_without_one() {
    let place = Place::new(Server::sqlite_with, "required", &[]);
    place.server.tenant("town");
    place.server.client("town", "hr", "source");
    let pair = Pair::alone(Wish::client(2, "hr"));
    place.server.certify("town", "hr", &format!("spki={}", STANDARD.encode(pair.pin())));
    assert_eq!(place.status(&pair), 200);
    assert_eq!(place.status(&Pair::alone(Wish::client(3, "stranger"))), 401, "one without a client is no better");
    for further in [["--tls-max", "1.3"], ["--tls-max", "1.2"]] {
        let bare = curl(&format!("{}/Users", place.server.base_url), &place.server_certificate(), &further);
        assert_ne!(bare.exit, 0, "{bare:?}");
        assert_eq!(bare.status, 0, "{bare:?}");
    }
}

/// Speaks to the server by `openssl s_client`, and answers all that it said.
fn s_client(place: &Place, arguments: &[&str], input: &str) -> String {
    let mut process = Command::new("timeout")
        .args(["30", "openssl", "s_client", "-connect", place.address()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    // Kept open: at its end the client would go before it has heard anything.
    let mut stdin = process.stdin.take().expect("its input");
    let _ = stdin.write_all(input.as_bytes());
    let output = process.wait_with_output().expect("it ends");
    drop(stdin);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const REQUEST: &str = "GET /scim/v2/Users?count=0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_before_brings_nobodys_certificate() {
    let place = Place::sqlite();
    place.server.tenant("town");
    place.server.client("town", "hr", "source");
    let pair = Pair::alone(Wish::client(2, "hr"));
    place.server.certify("town", "hr", &format!("spki={}", STANDARD.encode(pair.pin())));
    let file = pair.file(place.folder.path(), "hr");
    let (file, session) = (file.to_str().expect("text"), place.folder.path().join("session"));
    let session = session.to_str().expect("text");
    for version in ["-tls1_2", "-tls1_3"] {
        let with = ["-cert", file, "-key", file, "-sess_out", session, "-ign_eof", version];
        let first = s_client(&place, &with, REQUEST);
        assert!(first.contains("HTTP/1.1 200"), "{version}: {first}");
        assert!(!first.contains("TLS session ticket"), "{version}: {first}");
        if !Path::new(session).exists() {
            // The server gave the client nothing that it could come back with.
            continue;
        }
        let again = s_client(&place, &["-sess_in", session, "-ign_eof", version], REQUEST);
        assert!(again.contains("HTTP/1.1 401"), "{version}: {again}");
        assert!(!again.contains("Reused"), "{version}: {again}");
        let renewed = ["-cert", file, "-key", file, "-sess_in", session, "-ign_eof", version];
        let renewed = s_client(&place, &renewed, REQUEST);
        assert!(renewed.contains("HTTP/1.1 200"), "{version}: {renewed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_old_or_weak_is_spoken() {
    let place = Place::sqlite();
    // At the lowest level, so that it is the server that refuses.
    let all = "ALL:eNULL:@SECLEVEL=0";
    for arguments in [
        &["-tls1", "-cipher", all][..],
        &["-tls1_1", "-cipher", all],
        &["-tls1_2", "-cipher", "AES128-SHA:AES256-SHA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256:AES256-GCM-SHA384:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "eNULL:aNULL:@SECLEVEL=0"],
        &["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256"],
    ] {
        let said = s_client(&place, arguments, REQUEST);
        assert!(!said.contains("HTTP/1.1"), "{arguments:?}: {said}");
        let is_refused = said.contains("alert handshake failure") || said.contains("alert protocol version");
        assert!(is_refused, "{arguments:?}: {said}");
    }
    // Whoever pretends that it could speak nothing newer is found out (RFC 7507).
    let fallen = s_client(&place, &["-tls1_2", "-fallback_scsv"], REQUEST);
    assert!(fallen.contains("inappropriate fallback"), "{fallen}");
    // Nobody may begin anew on a connection: that would be a way to become somebody else, or to make work.
    let anew = s_client(&place, &["-tls1_2"], "R\n");
    assert!(anew.contains("RENEGOTIATING") && anew.contains("no renegotiation"), "{anew}");
    assert!(!anew.contains("Compression: zlib"), "{anew}");
    let well = s_client(&place, &["-tls1_2", "-ign_eof"], REQUEST);
    assert!(well.contains("HTTP/1.1 401"), "{well}");
}
