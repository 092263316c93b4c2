//! The token endpoint and the access tokens it gives, from outside: what a client has to do to get one, what it may do with
//! it, and what ends it. curl and a library of another language do the same in `tests/suite/foreign.rs`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use matrikel::jose::{Algorithm, PrivateKey};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Map, Value, json};

use crate::support::api::Api;
use crate::support::conformance::private_key_jwt;
use crate::support::credential::Holder;
use crate::support::server::{MASTER_KEY, Server, attempt, command};

/// The issuer of the servers here. Nobody is asked at that address.
pub(crate) const ISSUER: &str = "https://id.example.se";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A name of a test on each database, and what it does with a server of its own.
macro_rules! on_both {
    ($($run:ident: $sqlite:ident, $postgres:ident;)+) => {
        $(#[tokio::test]
        async fn $sqlite() {
            $run(Server::sqlite_with(&[("MATRIKEL_PUBLIC_URL", ISSUER), MASTER_KEY])).await;
        }

        #[tokio::test]
        async fn $postgres() {
            $run(Server::postgres_with(&[("MATRIKEL_PUBLIC_URL", ISSUER), MASTER_KEY])).await;
        })+
    };
}

on_both! {
    a_client_gets_a_token: a_client_gets_a_token_and_uses_it_on_sqlite, a_client_gets_a_token_and_uses_it_on_postgres;
    a_signed_token_is_taken_once: a_client_that_signs_is_known_once_on_sqlite, a_client_that_signs_is_known_once_on_postgres;
    whatever_ends_ends_tokens: what_ends_a_client_or_its_credential_ends_its_tokens_on_sqlite,
        what_ends_a_client_or_its_credential_ends_its_tokens_on_postgres;
    keys_are_rotated: keys_are_rotated_without_interruption_on_sqlite, keys_are_rotated_without_interruption_on_postgres;
}

/// What the token endpoint answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

pub(crate) fn client() -> Client {
    Client::builder().no_proxy().build().expect("a client")
}

pub(crate) fn root(server: &Server) -> &str {
    server.base_url.trim_end_matches("/scim/v2")
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.json().await.unwrap_or_default() }
}

pub(crate) async fn ask(server: &Server, basic: Option<(&str, &str)>, form: &[(&str, &str)]) -> Answer {
    let url = format!("{}/oauth/token", root(server));
    let mut body = reqwest::Url::parse("http://x").expect("a URL");
    body.query_pairs_mut().extend_pairs(form);
    let request = client().post(url).header("content-type", "application/x-www-form-urlencoded");
    let request = request.body(body.query().unwrap_or_default().to_owned());
    answer(match basic {
        Some((id, secret)) => request.basic_auth(id, Some(secret)),
        None => request,
    })
    .await
}

/// A token for a client by its secret.
pub(crate) async fn token(server: &Server, holder: &Holder, secret: &str, more: &[(&str, &str)]) -> String {
    let form = [&[("grant_type", "client_credentials")], more].concat();
    let answer = ask(server, Some((&holder.id(), secret)), &form).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["access_token"].as_str().expect("a token").to_owned()
}

/// What a token says, unproven.
pub(crate) fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url"));
    let mut next = || serde_json::from_slice(&parts.next().expect("a part")).expect("JSON");
    (next(), next())
}

async fn a_client_gets_a_token(server: Server) {
    server.tenant("storstad");
    let static_token = server.client("storstad", "cloud", "consumer");
    let holder = Holder::find(&server, "storstad", "cloud").await;
    let (_, secret) = holder.secret(&server).await;
    let id = holder.id();
    let grant = ("grant_type", "client_credentials");

    let given = ask(&server, Some((&id, &secret)), &[grant]).await;
    assert_eq!(given.status, 200, "{}", given.body);
    assert_eq!(given.headers["cache-control"], "no-store");
    assert_eq!((&given.body["token_type"], &given.body["scope"]), (&json!("Bearer"), &json!("*:read")));
    assert_eq!(given.body["expires_in"], 600);
    let token = given.body["access_token"].as_str().expect("a token").to_owned();
    let (header, claims) = parts(&token);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("ES256")));
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], format!("{ISSUER}/scim/v2"));
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(id), &json!(id)));
    let posted =
        ask(&server, None, &[grant, ("client_id", &id), ("client_secret", &secret), ("scope", "User:read")]).await;
    assert_eq!((posted.status, &posted.body["scope"]), (StatusCode::OK, &json!("User:read")), "{}", posted.body);

    let api = Api::new(&server, token.clone());
    api.get("/Users").await.expect(200);
    api.post("/Users", &json!({})).await.expect(403);
    assert_eq!(api.get("/Me").await.expect(200).body["name"], "cloud");
    let narrow = Api::new(&server, posted.body["access_token"].as_str().expect("a token").to_owned());
    narrow.get("/Users").await.expect(200);
    narrow.get("/Groups").await.expect(403);

    let wrong = ask(&server, Some((&id, &format!("{secret}x"))), &[grant]).await;
    assert_eq!((wrong.status, &wrong.body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_client")));
    assert!(wrong.headers["www-authenticate"].to_str().expect("text").starts_with("Basic"));
    let other = Holder::find(&server, "storstad", "admin").await;
    type Case<'c> = (Option<(&'c str, &'c str)>, Vec<(&'c str, &'c str)>, u16, &'c str);
    let other_id = other.id();
    let table: Vec<Case> = vec![
        (None, vec![grant], 401, "invalid_client"),
        (None, vec![grant, ("client_id", &id)], 401, "invalid_client"),
        (None, vec![grant, ("client_id", &id), ("client_secret", "ms_1")], 401, "invalid_client"),
        (Some((&other_id, &secret)), vec![grant], 401, "invalid_client"),
        (Some(("cloud", &secret)), vec![grant], 401, "invalid_client"),
        (Some((&id, &static_token)), vec![grant], 401, "invalid_client"),
        (Some((&id, &secret)), vec![], 400, "invalid_request"),
        (Some((&id, &secret)), vec![grant, grant], 400, "invalid_request"),
        (Some((&id, &secret)), vec![grant, ("client_secret", &secret)], 400, "invalid_request"),
        (Some((&id, &secret)), vec![("grant_type", "password")], 400, "unsupported_grant_type"),
        (Some((&id, &secret)), vec![grant, ("scope", "User:write")], 400, "invalid_scope"),
        (Some((&id, &secret)), vec![grant, ("scope", "everything")], 400, "invalid_scope"),
        (Some((&id, &secret)), vec![grant, ("resource", "https://elsewhere.example")], 400, "invalid_target"),
    ];
    for (basic, form, status, error) in table {
        let answer = ask(&server, basic, &form).await;
        assert_eq!((answer.status.as_u16(), answer.body["error"].as_str()), (status, Some(error)), "{form:?}");
        assert_eq!(answer.headers["content-type"], "application/json", "{form:?}");
    }
    let no_form = client().post(format!("{}/oauth/token", root(&server))).json(&json!({}));
    assert_eq!(answer(no_form).await.body["error"], "invalid_request");
    // A secret is no token.
    Api::new(&server, secret.clone()).get("/Users").await.expect(401);

    let metadata = answer(client().get(format!("{}/.well-known/oauth-authorization-server", root(&server)))).await.body;
    assert_eq!(metadata["issuer"], ISSUER);
    assert_eq!(metadata["token_endpoint"], format!("{ISSUER}/oauth/token"));
    let published = answer(client().get(format!("{}/oauth/jwks", root(&server)))).await.body;
    assert_eq!(published["keys"][0]["kid"], header["kid"]);
    assert!(published["keys"][0].get("d").is_none(), "{published}");

    command(server.database_url(), &["tenant", "suspend", "storstad"]);
    let refused = ask(&server, Some((&id, &secret)), &[grant]).await;
    let known_a_moment_ago = refused.status == 200;
    assert!(known_a_moment_ago || refused.body["error"] == "unauthorized_client", "{}", refused.body);
    until(403, &api).await;
    assert!(!server.said().contains(&token) && !server.said().contains("ms_"), "no token is in the log");
}

/// Waits until a request is answered with a status: what another process changed is noticed within five seconds.
pub(crate) async fn until(status: u16, api: &Api) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let said = api.get("/Users?count=1").await;
        if said.status == status {
            return;
        }
        assert!(Instant::now() < deadline, "still {}", said.status);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Seconds since 1970.
pub(crate) fn seconds() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()).expect("fits")
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

async fn a_signed_token_is_taken_once(server: Server) {
    server.tenant("storstad");
    server.client("storstad", "hr", "source");
    let holder = Holder::find(&server, "storstad", "hr").await;
    let (key, stranger) = (
        PrivateKey::generate(Algorithm::Es256).expect("a key"),
        PrivateKey::generate(Algorithm::Es256).expect("a key"),
    );
    let mut jwk = key.public_jwk().expect("a JWK");
    jwk.insert("kid".into(), "mine".into());
    let credential = holder.key(&server, &Value::Object(jwk)).await;
    let id = holder.id();
    let good = json!({
        "iss": id, "sub": id, "aud": format!("{ISSUER}/oauth/token"), "exp": seconds() + 300, "iat": seconds(), "jti": "one",
    });
    let send = async |assertion: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ];
        ask(&server, None, &form).await
    };
    let sign = |change: Value, key: &PrivateKey, kind: &str, key_id: &str| {
        let mut claims = object(&good);
        for (name, value) in object(&change) {
            if value.is_null() { drop(claims.shift_remove(&name)) } else { drop(claims.insert(name, value)) }
        }
        key.sign(kind, key_id, &claims).expect("signed")
    };
    let first = sign(json!({}), &key, "JWT", "mine");
    let given = send(&first).await;
    assert_eq!(given.status, 200, "{}", given.body);
    let api = Api::new(&server, given.body["access_token"].as_str().expect("a token").to_owned());
    api.get("/Users").await.expect(200);
    assert_eq!(send(&first).await.body["error"], "invalid_client", "a second time");
    let again = sign(json!({ "iat": seconds() - 1 }), &key, "JWT", "mine");
    assert_eq!(send(&again).await.body["error"], "invalid_client", "another token with the same id");

    let other = Holder::find(&server, "storstad", "admin").await.id();
    let bad = [
        sign(json!({ "jti": "a" }), &stranger, "JWT", "mine"),
        sign(json!({ "jti": "b" }), &key, "JWT", "other"),
        sign(json!({ "jti": "c" }), &key, "at+jwt", "mine"),
        sign(json!({ "jti": "d", "aud": "https://elsewhere.example" }), &key, "JWT", "mine"),
        sign(json!({ "jti": "e", "aud": null }), &key, "JWT", "mine"),
        sign(json!({ "jti": "f", "exp": seconds() - 100 }), &key, "JWT", "mine"),
        sign(json!({ "jti": "g", "exp": seconds() + 9_000 }), &key, "JWT", "mine"),
        sign(json!({ "jti": "h", "exp": null }), &key, "JWT", "mine"),
        sign(json!({ "jti": "i", "nbf": seconds() + 300 }), &key, "JWT", "mine"),
        sign(json!({ "jti": null }), &key, "JWT", "mine"),
        sign(json!({ "jti": "j", "iss": "somebody" }), &key, "JWT", "mine"),
        sign(json!({ "jti": "k", "sub": other, "iss": other }), &key, "JWT", "mine"),
        "ey.ey.ey".to_owned(),
    ];
    for assertion in &bad {
        let refused = send(assertion).await;
        assert_eq!((refused.status.as_u16(), &refused.body["error"]), (401, &json!("invalid_client")), "{assertion}");
        assert!(!refused.headers.contains_key("www-authenticate"));
    }
    // A refused one has used nothing up.
    assert_eq!(send(&sign(json!({ "jti": "d", "aud": ISSUER }), &key, "JWT", "mine")).await.status, 200);
    // Nor does an assertion let anybody in by itself.
    Api::new(&server, sign(json!({ "jti": "z" }), &key, "JWT", "mine")).get("/Users").await.expect(401);
    holder.revoke(&server, credential).await;
    assert_eq!(send(&sign(json!({ "jti": "l" }), &key, "JWT", "mine")).await.body["error"], "invalid_client");
    until(401, &api).await;
}

async fn whatever_ends_ends_tokens(server: Server) {
    let admin = Api::new(&server, server.tenant("storstad"));
    server.client("storstad", "cloud", "consumer");
    let holder = Holder::find(&server, "storstad", "cloud").await;
    let (first, first_secret) = holder.secret(&server).await;
    let (_, second_secret) = holder.secret(&server).await;
    let of_first = Api::new(&server, token(&server, &holder, &first_secret, &[]).await);
    let of_second = Api::new(&server, token(&server, &holder, &second_secret, &[]).await);
    of_first.get("/Users").await.expect(200);
    holder.revoke(&server, first).await;
    until(401, &of_first).await;
    of_second.get("/Users").await.expect(200);
    let refused = ask(&server, Some((&holder.id(), &first_secret)), &[("grant_type", "client_credentials")]).await;
    assert_eq!(refused.status, 401);

    // What this process changes is noticed at once.
    let client = format!("/Clients/{}", holder.client);
    let set = async |value: Value| {
        admin.patch(&client, &json!([{ "op": "replace", "path": "active", "value": value }])).await.expect(200);
    };
    set(json!(false)).await;
    of_second.get("/Users").await.expect(401);
    set(json!(true)).await;
    of_second.get("/Users").await.expect(200);
    let fewer = json!([{ "op": "replace", "path": "scopes", "value": ["Group:read"] }]);
    admin.patch(&client, &fewer).await.expect(200);
    of_second.get("/Users").await.expect(403);
    admin.delete(&client).await.expect(204);
    of_second.get("/Users").await.expect(401);
}

async fn keys_are_rotated(server: Server) {
    server.tenant("storstad");
    server.client("storstad", "cloud", "consumer");
    let holder = Holder::find(&server, "storstad", "cloud").await;
    let (_, secret) = holder.secret(&server).await;
    let fetch = || token(&server, &holder, &secret, &[]);
    let key_of = |token: &str| parts(token).0["kid"].as_str().expect("a key").to_owned();
    let before = fetch().await;
    let listed = || -> Vec<Value> {
        serde_json::from_str(&command(server.database_url(), &["signing-key", "list", "--json"])).expect("a list")
    };
    assert_eq!(listed().len(), 1);
    let published = async || -> Vec<String> {
        let answer = answer(client().get(format!("{}/oauth/jwks", root(&server)))).await;
        let keys = answer.body["keys"].as_array().cloned().unwrap_or_default();
        keys.iter().filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect()
    };

    let rotated = server.run(&["signing-key", "rotate", "--json"]);
    let next: Value = serde_json::from_str(&rotated).expect("what is new");
    let next = next["id"].as_str().expect("an id").to_owned();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !published().await.contains(&next) {
        assert!(Instant::now() < deadline, "the next key is not published");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(key_of(&fetch().await), key_of(&before), "it is published before it signs");
    Api::new(&server, before.clone()).get("/Users").await.expect(200);
    assert_eq!(published().await.len(), 2);

    // A key that became known: everything that was signed is over.
    let rotated = server.run(&["signing-key", "rotate", "--at-once", "--json"]);
    let next: Value = serde_json::from_str(&rotated).expect("what is new");
    until(401, &Api::new(&server, before)).await;
    let after = fetch().await;
    assert_eq!(key_of(&after), next["id"].as_str().expect("an id"));
    Api::new(&server, after).get("/Users").await.expect(200);
    assert_eq!(published().await, [next["id"].as_str().expect("an id")]);
    assert!(attempt(server.database_url(), &["signing-key", "list"]).is_ok_and(|said| said.contains("signs since")));
}

/// The configured algorithm signs, and a token ends by itself: no request is made again before it can be.
#[tokio::test]
async fn a_short_token_ends_and_the_algorithm_is_the_operators_choice() {
    let server = Server::sqlite_with(&[
        ("MATRIKEL_OAUTH_ALGORITHM", "EdDSA"),
        ("MATRIKEL_OAUTH_TOKEN_SECONDS", "1"),
        MASTER_KEY,
    ]);
    server.tenant("storstad");
    let holder = Holder::find(&server, "storstad", "admin").await;
    let (_, secret) = holder.secret(&server).await;
    let token = token(&server, &holder, &secret, &[("scope", "*:read")]).await;
    assert_eq!(parts(&token).0["alg"], "EdDSA");
    until(401, &Api::new(&server, token)).await;
    // Without a public URL the issuer is what the client addressed, and nobody can sign for that.
    let metadata = answer(client().get(format!("{}/.well-known/oauth-authorization-server", root(&server)))).await.body;
    assert_eq!(metadata["issuer"], root(&server));
    let methods = &metadata["token_endpoint_auth_methods_supported"];
    assert_eq!(methods, &json!(["client_secret_basic", "client_secret_post"]));
}

/// What signs tokens lies nowhere as it is: without a master key there are none, and what an older version left is sealed.
#[tokio::test]
async fn without_a_master_key_nothing_is_signed_and_under_one_nothing_lies_open() {
    let without = Server::sqlite();
    without.tenant("storstad");
    let holder = Holder::find(&without, "storstad", "admin").await;
    let (_, secret) = holder.secret(&without).await;
    let grant = ("grant_type", "client_credentials");
    let refused = ask(&without, Some((&holder.id(), &secret)), &[grant]).await;
    assert_eq!((refused.status.as_u16(), &refused.body["error"]), (503, &json!("temporarily_unavailable")));
    assert!(refused.body["error_description"].as_str().is_some_and(|said| said.contains("secrets.key_file")));
    let refused = attempt(without.database_url(), &["signing-key", "rotate"]);
    assert!(refused.is_err_and(|said| said.contains("matrikel key new")));
    assert_eq!(without.number("SELECT COUNT(*) FROM signing_key"), 0);

    let server = Server::sqlite_with(&[MASTER_KEY]);
    server.tenant("storstad");
    let holder = Holder::find(&server, "storstad", "admin").await;
    let (_, secret) = holder.secret(&server).await;
    let open = PrivateKey::generate(Algorithm::Es256).expect("a key");
    let hex: String = open.to_pkcs8().expect("DER").iter().map(|byte| format!("{byte:02x}")).collect();
    let public = Value::Object(open.public_jwk().expect("a JWK"));
    server.execute(&format!(
        "INSERT INTO signing_key (key_id, algorithm, public, private, created_at, signs_from) \
         VALUES ('matrikel-open', 'ES256', '{public}', x'{hex}', 1, 1)"
    ));
    let signed = token(&server, &holder, &secret, &[]).await;
    assert_eq!(parts(&signed).0["kid"], "matrikel-open");
    Api::new(&server, signed).get("/Users").await.expect(200);
    assert_eq!(server.number(&format!("SELECT COUNT(*) FROM signing_key WHERE private = x'{hex}'")), 0);
    let listed: Value = serde_json::from_str(&server.run(&["key", "list", "--json"])).expect("JSON");
    assert_eq!(listed["signingKeys"], json!([{ "id": "matrikel-open", "master": "test", "masterIsHere": true }]));
}

/// What docs/connect/script.md has a script do, by curl; and what Authlib does with a key.
#[tokio::test]
async fn curl_and_authlib_get_tokens_and_use_them() {
    let server = Server::sqlite_with(&[("MATRIKEL_PUBLIC_URL", ISSUER), MASTER_KEY]);
    server.tenant("storstad");
    server.client("storstad", "cloud", "consumer");
    let holder = Holder::find(&server, "storstad", "cloud").await;
    let (_, secret) = holder.secret(&server).await;
    let curl = |arguments: &[&str]| -> Value {
        let said = std::process::Command::new("curl").args(["-sS", "--noproxy", "*"]).args(arguments).output();
        let said = said.expect("curl runs");
        serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    };
    let credentials = format!("{}:{secret}", holder.id());
    let endpoint = format!("{}/oauth/token", root(&server));
    let form = ["-u", &credentials, "-d", "grant_type=client_credentials", "-d", "scope=User:read", &endpoint];
    let given = curl(&form);
    let header = format!("Authorization: Bearer {}", given["access_token"].as_str().expect("a token"));
    let users = curl(&["-H", &header, &format!("{}/Users", server.base_url)]);
    assert_eq!(users["totalResults"], 0);

    let key = PrivateKey::generate(Algorithm::Es256).expect("a key");
    let mut jwk = key.public_jwk().expect("a JWK");
    jwk.shift_remove("use");
    holder.key(&server, &Value::Object(jwk)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key.pem");
    let pem = openssl::pkey::PKey::private_key_from_pkcs8(&key.to_pkcs8().expect("a key")).expect("a key");
    std::fs::write(&file, pem.private_key_to_pem_pkcs8().expect("PEM")).expect("written");
    let said = private_key_jwt(root(&server), ISSUER, &holder.id(), &file.display().to_string());
    assert!(said.as_ref().is_ok_and(|said| said.contains("read 0 users")), "{said:?}");
}
