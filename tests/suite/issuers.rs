//! Foreign issuers: whose tokens are taken and for whom, and all that only looks like one of theirs. The issuer is played by
//! the tests where they forge, and a real one where they do not.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use matrikel::jose::{Algorithm, PrivateKey};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::oauth::{seconds, until};
use crate::support::api::Api;
use crate::support::credential::Holder;
use crate::support::issuer::{Played, Real};
use crate::support::messages::user;
use crate::support::server::{Server, command};

const URN: &str = "urn:matrikel:scim:schemas:1.0:Issuer";
const AUDIENCE: &str = "urn:matrikel";
/// Issuers on this machine may be asked, and soon again.
const HERE: [(&str, &str); 2] = [("MATRIKEL_ISSUERS_NETWORKS", "127.0.0.1"), ("MATRIKEL_ISSUERS_RETRY_SECONDS", "1")];

/// A register with a client `hr` that may write and one `reader` that may not.
struct Register {
    server: Server,
    admin: Api,
    hr: Holder,
    reader: Holder,
}

impl Register {
    async fn new(server: Server) -> Self {
        let admin = Api::new(&server, server.tenant("storstad"));
        server.client("storstad", "hr", "source");
        server.client("storstad", "reader", "consumer");
        let hr = Holder::find(&server, "storstad", "hr").await;
        let reader = Holder::find(&server, "storstad", "reader").await;
        Register { server, admin, hr, reader }
    }

    /// The document of an issuer whose claim `claim` says which client a token stands for.
    fn document(&self, issuer: &str, claim: &str) -> Value {
        json!({
            "schemas": [URN], "name": "login", "issuer": issuer, "audiences": [AUDIENCE],
            "rules": [
                { "claim": claim, "value": "hr", "client": self.hr.client.to_string() },
                { "claim": claim, "value": "reader", "client": self.reader.client.to_string() },
            ],
            "userClaim": "upn", "leewaySeconds": 0,
        })
    }

    async fn status(&self, token: &str) -> u16 {
        Api::new(&self.server, token.to_owned()).get("/Users?count=1").await.status
    }
}

fn claims(issuer: &Played, more: Value) -> Map<String, Value> {
    let mut claims = json!({
        "iss": issuer.issuer, "aud": AUDIENCE, "azp": "hr", "exp": seconds() + 300, "iat": seconds(), "sub": "s",
    });
    let claims = claims.as_object_mut().expect("an object");
    let Value::Object(more) = more else { panic!("no object: {more}") };
    for (name, value) in more {
        if value.is_null() { drop(claims.shift_remove(&name)) } else { drop(claims.insert(name, value)) }
    }
    claims.clone()
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

async fn a_token_stands_for_a_client_or_a_user(server: Server) {
    let register = Register::new(server).await;
    let issuer = Played::start();
    let made = register.admin.post("/Issuers", &register.document(&issuer.issuer, "azp")).await.expect(201);
    let id = made.body["id"].as_str().expect("an id").to_owned();

    let hr = Api::new(&register.server, issuer.sign(&claims(&issuer, json!({ "aud": ["other", AUDIENCE] }))));
    hr.post("/Users", &user("maj")).await.expect(201);
    assert_eq!(hr.get("/Me").await.expect(200).body["name"], "hr");
    let reader = Api::new(&register.server, issuer.sign(&claims(&issuer, json!({ "azp": ["x", "reader"] }))));
    reader.get("/Users").await.expect(200);
    reader.post("/Users", &user("bo")).await.expect(403);
    reader.get("/Issuers").await.expect(403);

    // Whoever is named must be there, and active.
    let as_maj = Api::new(&register.server, issuer.sign(&claims(&issuer, json!({ "upn": "MAJ" }))));
    let me = as_maj.get("/Me").await.expect(200);
    assert_eq!((&me.body["userName"], &me.body["meta"]["resourceType"]), (&json!("maj"), &json!("User")));
    assert_eq!(register.status(&issuer.sign(&claims(&issuer, json!({ "upn": "nobody" })))).await, 401);
    let maj = me.body["id"].as_str().expect("an id");
    let inactive = json!([{ "op": "replace", "path": "active", "value": false }]);
    register.admin.patch(&format!("/Users/{maj}"), &inactive).await.expect(200);
    until(401, &as_maj).await;

    // No two registers take the same tokens.
    let elsewhere = Api::new(&register.server, register.server.tenant("lillstad"));
    register.server.client("lillstad", "hr", "source");
    let stranger = Holder::find(&register.server, "lillstad", "hr").await;
    let mut theirs = register.document(&issuer.issuer, "azp");
    let refused = elsewhere.post("/Issuers", &theirs).await.expect(400);
    assert!(refused.detail().contains("There is no client"), "{}", refused.detail());
    theirs["rules"] = json!([{ "claim": "azp", "value": "hr", "client": stranger.client.to_string() }]);
    let taken = elsewhere.post("/Issuers", &theirs).await.expect(409);
    assert_eq!(taken.body["scimType"], "uniqueness");
    theirs["audiences"] = json!(["urn:lillstad"]);
    elsewhere.post("/Issuers", &theirs).await.expect(201);
    let token = issuer.sign(&claims(&issuer, json!({ "aud": "urn:lillstad" })));
    let there = Api::new(&register.server, token).get("/Users").await.expect(200);
    assert_eq!(there.body["totalResults"], 0, "it is the other register");

    // An issuer that is changed, turned off or removed has an end at once.
    let path = format!("/Issuers/{id}");
    hr.get("/Users").await.expect(200);
    let set = async |path: &str, value: Value| {
        let operations = json!([{ "op": "replace", "path": path, "value": value }]);
        register.admin.patch(&format!("/Issuers/{id}"), &operations).await.expect(200);
    };
    set("active", json!(false)).await;
    hr.get("/Users").await.expect(401);
    set("active", json!(true)).await;
    hr.get("/Users").await.expect(200);
    set("algorithms", json!(["RS256"])).await;
    hr.get("/Users").await.expect(401);
    set("algorithms", json!(["ES256"])).await;
    set("audiences", json!(["urn:new"])).await;
    hr.get("/Users").await.expect(401);
    let renamed = issuer.sign(&claims(&issuer, json!({ "aud": "urn:new" })));
    assert_eq!(register.status(&renamed).await, 200);
    theirs["audiences"] = json!([AUDIENCE]);
    theirs["name"] = json!("second");
    elsewhere.post("/Issuers", &theirs).await.expect(201);
    register.admin.delete(&path).await.expect(204);
    assert_eq!(register.status(&renamed).await, 401);
    assert!(!register.server.said().contains("eyJ"), "no token is in the log");
}

#[tokio::test]
async fn a_token_of_an_issuer_stands_for_a_client_or_a_user_on_sqlite() {
    a_token_stands_for_a_client_or_a_user(Server::sqlite_with(&HERE)).await;
}

#[tokio::test]
async fn a_token_of_an_issuer_stands_for_a_client_or_a_user_on_postgres() {
    a_token_stands_for_a_client_or_a_user(Server::postgres_with(&HERE)).await;
}

/// Each is a token that somebody might try, and none lets anybody in.
#[tokio::test]
async fn whatever_only_looks_like_a_token_is_refused() {
    let seldom = [HERE[0], ("MATRIKEL_ISSUERS_RETRY_SECONDS", "3600"), ("MATRIKEL_FAILED_ATTEMPTS", "0")];
    let register = Register::new(Server::sqlite_with(&seldom)).await;
    let mut issuer = Played::start();
    register.admin.post("/Issuers", &register.document(&issuer.issuer, "azp")).await.expect(201);
    issuer.rotate("../../etc/passwd", Algorithm::Es256);
    assert_eq!(register.status(&issuer.sign(&claims(&issuer, json!({})))).await, 200, "a name is a name");
    let jwk = issuer.key.public_jwk().expect("a JWK");
    let stranger = PrivateKey::generate(Algorithm::Es256).expect("a key");
    let good = claims(&issuer, json!({}));
    let signed = |header: Value, claims: &Map<String, Value>, key: &PrivateKey| {
        // What a key signs begins with its own header; another is signed by hand.
        let message = format!("{}.{}", encode(&header), encode(&Value::Object(claims.clone())));
        let key = PKey::private_key_from_pkcs8(&key.to_pkcs8().expect("a key")).expect("a key");
        let der = Signer::new(MessageDigest::sha256(), &key).expect("a signer").sign_oneshot_to_vec(message.as_bytes());
        let signature = openssl::ecdsa::EcdsaSig::from_der(&der.expect("signed")).expect("a signature");
        let half = |number: &openssl::bn::BigNumRef| number.to_vec_padded(32).expect("fits");
        let signature = [half(signature.r()), half(signature.s())].concat();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let id = issuer.key_id.clone();
    let header = |more: Value| {
        let mut header = json!({ "alg": "ES256", "kid": id, "typ": "JWT" });
        header.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        header
    };
    assert_eq!(register.status(&signed(header(json!({})), &good, &issuer.key)).await, 200);

    // HMAC with the public key as its secret, in each form that it is known in.
    let public = PKey::private_key_from_pkcs8(&issuer.key.to_pkcs8().expect("a key")).expect("a key");
    let secrets = [
        public.public_key_to_pem().expect("PEM"),
        public.public_key_to_der().expect("DER"),
        Value::Object(jwk.clone()).to_string().into_bytes(),
    ];
    let confused = secrets.map(|secret| {
        let message =
            format!("{}.{}", encode(&header(json!({ "alg": "HS256" }))), encode(&Value::Object(good.clone())));
        let key = PKey::hmac(&secret).expect("a key");
        let signature =
            Signer::new(MessageDigest::sha256(), &key).expect("a signer").sign_oneshot_to_vec(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.expect("signed")))
    });
    let none = |alg: &str| format!("{}.{}.", encode(&json!({ "alg": alg })), encode(&Value::Object(good.clone())));
    let with = |more: Value| issuer.sign(&claims(&issuer, more));
    let mut stranger_jwk = stranger.public_jwk().expect("a JWK");
    stranger_jwk.insert("kid".into(), id.clone().into());
    let url = "https://attacker.example/keys";
    let whole = with(json!({}));
    let (head, tail) = whole.split_once('.').expect("a header");
    let (payload, signature) = tail.split_once('.').expect("a signature");
    let mut other_issuer = good.clone();
    other_issuer.insert("iss".into(), format!("{}/", issuer.issuer).into());
    let doubled = format!("{{\"azp\":\"reader\",{}", &Value::Object(good.clone()).to_string()[1..]);
    let mut table: Vec<(&str, String)> = vec![
        ("none", none("none")),
        ("None", none("None")),
        ("no signature", format!("{head}.{payload}.")),
        ("a signature of zeros", format!("{head}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 64]))),
        ("another signature", format!("{head}.{payload}.{}", signature.chars().rev().collect::<String>())),
        (
            "another payload",
            format!("{head}.{}.{signature}", encode(&json!({ "iss": issuer.issuer, "aud": AUDIENCE }))),
        ),
        ("a member twice", format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(doubled))),
        ("another key", signed(header(json!({})), &good, &stranger)),
        ("an embedded key", signed(header(json!({ "jwk": stranger_jwk })), &good, &stranger)),
        ("jku", signed(header(json!({ "jku": url })), &good, &stranger)),
        ("x5u", signed(header(json!({ "x5u": url, "x5c": ["AAAA"] })), &good, &stranger)),
        ("kid as a path", signed(header(json!({ "kid": "/dev/null" })), &good, &stranger)),
        ("kid as a URL", signed(header(json!({ "kid": url })), &good, &stranger)),
        ("kid as SQL", signed(header(json!({ "kid": "x' UNION SELECT 'k" })), &good, &stranger)),
        ("kid as a list", signed(header(json!({ "kid": [id] })), &good, &issuer.key)),
        (
            "our own kid",
            signed(header(json!({ "kid": "matrikel-00000000000000000000000000000000" })), &good, &stranger),
        ),
        ("crit", signed(header(json!({ "crit": ["exp"] })), &good, &issuer.key)),
        ("another typ", signed(header(json!({ "typ": "dpop+jwt" })), &good, &issuer.key)),
        ("a logout token", signed(header(json!({ "typ": "logout+jwt" })), &good, &issuer.key)),
        ("an algorithm of another key", signed(header(json!({ "alg": "EdDSA" })), &good, &issuer.key)),
        ("another issuer", signed(header(json!({})), &other_issuer, &issuer.key)),
        ("no issuer", with(json!({ "iss": null }))),
        ("an issuer that is a number", with(json!({ "iss": 7 }))),
        ("another audience", with(json!({ "aud": "urn:elsewhere" }))),
        ("no audience", with(json!({ "aud": null }))),
        ("an audience that begins alike", with(json!({ "aud": "urn:matrikel2" }))),
        ("an audience with the issuer in it", with(json!({ "aud": format!("x {AUDIENCE}") }))),
        ("over", with(json!({ "exp": seconds() - 1 }))),
        ("without an end", with(json!({ "exp": null }))),
        ("an end that is text", with(json!({ "exp": "9999999999" }))),
        ("not yet", with(json!({ "nbf": seconds() + 120 }))),
        ("from the future", with(json!({ "iat": seconds() + 120 }))),
        ("of no client", with(json!({ "azp": "somebody" }))),
        ("without the claim", with(json!({ "azp": null }))),
        ("bound to what nobody understands", with(json!({ "cnf": { "jkt": "abc" } }))),
        ("bound to a certificate", with(json!({ "cnf": { "x5t#S256": "abc" } }))),
        ("too large", with(json!({ "x": "a".repeat(8 * 1024) }))),
        ("of two parts", format!("{head}.{payload}")),
        ("of four parts", format!("{whole}.AA")),
        ("encrypted", format!("{whole}.AA.AA")),
        ("padded", format!("{whole}=")),
    ];
    table.extend(confused.map(|token| ("HS256 with the public key", token)));
    for (what, token) in table {
        assert_eq!(register.status(&token).await, 401, "{what}: {token}");
    }
    assert_eq!(register.status(&whole).await, 200, "and the true one is still good");
    // Many names of keys that are not there cost the issuer nothing until the time has come: its metadata and its keys were
    // fetched once.
    for n in 0..20 {
        let token = signed(header(json!({ "kid": format!("k{n}") })), &good, &stranger);
        assert_eq!(register.status(&token).await, 401);
    }
    assert_eq!(issuer.requests(), 2);
    assert!(!register.server.said().contains(signature), "no token is in the log");
}

/// Keys are exchanged, the issuer goes away for a while, and comes back.
#[tokio::test]
async fn keys_are_exchanged_and_an_outage_is_survived_for_a_while() {
    let seconds = [("MATRIKEL_ISSUERS_KEYS_SECONDS", "1"), ("MATRIKEL_ISSUERS_OUTAGE_SECONDS", "4")];
    let register = Register::new(Server::sqlite_with(&[HERE.as_slice(), &seconds].concat())).await;
    let mut issuer = Played::start();
    let document = register.document(&issuer.issuer, "azp");
    issuer.set_away(true);
    register.admin.post("/Issuers", &document).await.expect(201);
    let first = issuer.sign(&claims(&issuer, json!({})));
    let refused = Api::new(&register.server, first.clone()).ask(Method::GET, "/Users", None, &[]).await;
    assert_eq!(refused.status, 503, "without keys nobody can tell: {}", refused.body);
    issuer.set_away(false);
    let api = Api::new(&register.server, first);
    until(200, &api).await;

    issuer.rotate("two", Algorithm::EdDsa);
    let second = Api::new(&register.server, issuer.sign(&claims(&issuer, json!({}))));
    until(200, &second).await;
    until(401, &api).await;

    issuer.set_away(true);
    let away = Instant::now();
    let third = || {
        Api::new(
            &register.server,
            issuer.sign(&claims(&issuer, json!({ "jti": away.elapsed().as_nanos().to_string() }))),
        )
    };
    assert_eq!(third().get("/Users").await.status, 200, "known keys go on");
    let deadline = Instant::now() + Duration::from_secs(60);
    while third().get("/Users").await.status == 200 {
        assert!(Instant::now() < deadline, "old keys go on for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(third().get("/Users").await.status, 503);
    issuer.set_away(false);
    while third().get("/Users").await.status != 200 {
        assert!(Instant::now() < deadline, "it is not asked again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    register.server.said_at_least(1, "the keys of an issuer cannot be fetched").await;
}

/// Whoever administers a register chooses an address, and no way into the operator's network.
#[tokio::test]
async fn an_issuer_leads_nowhere_that_the_operator_did_not_name() {
    let issuer = Played::start();
    let register = Register::new(Server::sqlite()).await;
    for wrong in ["http://10.0.0.1", "http://login.example.se", "ftp://login.example.se", "login"] {
        register.admin.post("/Issuers", &register.document(wrong, "azp")).await.expect(400);
    }
    register.admin.post("/Issuers", &register.document(&issuer.issuer, "azp")).await.expect(201);
    assert_eq!(register.status(&issuer.sign(&claims(&issuer, json!({})))).await, 503);
    assert_eq!(issuer.requests(), 0);

    let register = Register::new(Server::sqlite_with(&HERE)).await;
    let elsewhere = Played::start();
    let mut document = register.document(&issuer.issuer, "azp");
    document["jwksUri"] = json!(format!("{}/moved", issuer.issuer));
    issuer.publish("/moved", &format!("Location: {}/keys", elsewhere.issuer));
    register.admin.post("/Issuers", &document).await.expect(201);
    assert_eq!(register.status(&issuer.sign(&claims(&issuer, json!({})))).await, 503, "another host");
    assert_eq!(elsewhere.requests(), 0);
    issuer.publish("/moved", "Location: /keys");
    until(200, &Api::new(&register.server, issuer.sign(&claims(&issuer, json!({}))))).await;

    let liar = Played::start();
    let metadata = json!({ "issuer": "https://somebody.example", "jwks_uri": format!("{}/keys", liar.issuer) });
    liar.publish("/.well-known/openid-configuration", &metadata.to_string());
    let mut document = register.document(&liar.issuer, "azp");
    document["name"] = json!("liar");
    register.admin.post("/Issuers", &document).await.expect(201);
    assert_eq!(register.status(&liar.sign(&claims(&liar, json!({})))).await, 503);
}

/// oidc-provider signs in three ways, exchanges its keys by a new start, and its tokens end.
#[tokio::test]
async fn a_real_issuer_is_understood_in_every_algorithm_and_after_its_keys_were_exchanged() {
    let register = Register::new(Server::sqlite_with(&HERE)).await;
    let issuer = Real::start(0, "first", "RS256", 600);
    let port = issuer.port();
    register.admin.post("/Issuers", &register.document(&issuer.issuer, "client_id")).await.expect(201);
    let (hr, reader) = (issuer.token("hr").await, issuer.token("reader").await);
    let (hr, reader) = (Api::new(&register.server, hr), Api::new(&register.server, reader));
    hr.post("/Users", &user("maj")).await.expect(201);
    reader.get("/Users").await.expect(200);
    reader.post("/Users", &user("bo")).await.expect(403);
    drop(issuer);
    for (keys, algorithm) in [("second", "ES256"), ("third", "EdDSA")] {
        let issuer = Real::start(port, keys, algorithm, 600);
        let api = Api::new(&register.server, issuer.token("hr").await);
        until(200, &api).await;
        drop(issuer);
    }
    let issuer = Real::start(port, "fourth", "ES256", 2);
    let deadline = Instant::now() + Duration::from_secs(60);
    let short = loop {
        let short = Api::new(&register.server, issuer.token("hr").await);
        if short.get("/Users").await.status == 200 {
            break short;
        }
        assert!(Instant::now() < deadline, "the newest keys are not fetched");
    };
    until(401, &short).await;
}

/// A file of one tenant has no routes: they are laid anew where it is read in.
#[tokio::test]
async fn a_register_that_moves_takes_its_issuers_along() {
    let register = Register::new(Server::sqlite_with(&HERE)).await;
    let issuer = Played::start();
    register.admin.post("/Issuers", &register.document(&issuer.issuer, "azp")).await.expect(201);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("storstad.jsonl");
    let lines = command(register.server.database_url(), &["export", "--tenant", "storstad"]);
    std::fs::write(&file, lines).expect("written");
    let other = Server::sqlite_with(&HERE);
    command(other.database_url(), &["import", "--tenant", "storstad", file.to_str().expect("text")]);
    Api::new(&other, issuer.sign(&claims(&issuer, json!({})))).get("/Users").await.expect(200);
}
