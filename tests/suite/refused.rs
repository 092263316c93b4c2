//! Who was refused is found in the audit of the register it was meant for, by whatever the request said of itself: the
//! path, a signed token, an issuer, the name of a client. Nothing of it is believed: no such event has an actor.

use reqwest::Method;
use serde_json::{Value, json};

use crate::oauth::{ISSUER, ask, client, root, seconds, token};
use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::credential::Holder;
use crate::support::issuer::Played;
use crate::support::server::{MASTER_KEY, Server};

on_both_databases!(Register: a_refused_request_is_found_where_it_was_meant_for);

struct Register {
    server: Server,
    admin: Api,
    elsewhere: Api,
}

const VARIABLES: [(&str, &str); 3] =
    [MASTER_KEY, ("MATRIKEL_PUBLIC_URL", ISSUER), ("MATRIKEL_ISSUERS_NETWORKS", "127.0.0.1")];

impl Register {
    fn sqlite() -> Self {
        Register::new(Server::sqlite_with(&VARIABLES))
    }

    fn postgres() -> Self {
        Register::new(Server::postgres_with(&VARIABLES))
    }

    fn new(server: Server) -> Self {
        let admin = Api::new(&server, server.tenant("storstad"));
        let elsewhere = Api::new(&server, server.tenant("lillstad"));
        server.client("storstad", "hr", "source");
        Register { server, admin, elsewhere }
    }

    /// The event of a request, once it is written.
    async fn told(&self, admin: &Api, request: &str) -> Value {
        let filter = format!("kind eq \"denied\" and requestId eq \"{request}\"");
        for _ in 0..400 {
            let mut found = admin.find("/AuditEvents", &filter, "").await;
            if let Some(event) = found.pop() {
                assert!(found.is_empty(), "once: {found:?}");
                return event;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{request} is not told");
    }

    /// What a request with that path and token is answered.
    async fn knock(&self, path: &str, token: Option<&str>, request: &str) -> u16 {
        let asked = client().get(format!("{}{path}", root(&self.server))).header("x-request-id", request);
        let asked = token.iter().fold(asked, |asked, token| asked.bearer_auth(token));
        asked.send().await.expect("an answer").status().as_u16()
    }
}

async fn a_refused_request_is_found_where_it_was_meant_for(register: &Register) {
    let Register { server, admin, elsewhere } = register;
    let hr = Holder::find(server, "storstad", "hr").await;
    let (credential, secret) = hr.secret(server).await;

    // By the path: without a token, and with one of another register, which hears of it too.
    assert_eq!(register.knock("/t/storstad/scim/v2/Users", None, "by-path").await, 401);
    let event = register.told(admin, "by-path").await;
    assert_eq!((&event["path"], &event["outcome"]["status"]), (&json!("/scim/v2/Users"), &json!(401)));
    assert_eq!(register.knock("/t/storstad/scim/v2/Users", Some(&elsewhere.token), "by-other").await, 401);
    let event = register.told(admin, "by-other").await;
    assert_eq!((event.get("actor"), event.get("credential")), (None, None), "nothing of another register: {event}");
    assert_eq!(register.told(elsewhere, "by-other").await["actor"]["display"], "admin");
    assert_eq!(register.knock("/t/nobody/scim/v2/Users", None, "by-no-name").await, 401);

    // By a token of our own that is not true.
    let own = token(server, &hr, &secret, &[]).await;
    let (signed, signature) = own.rsplit_once('.').expect("a signature");
    let (_, payload) = signed.split_once('.').expect("a payload");
    let turned: String = signature.chars().rev().collect();
    for (forged, request) in [
        (format!("{signed}.{turned}"), "by-token"),
        // {"alg":"none"}
        (format!("eyJhbGciOiJub25lIn0.{payload}."), "by-none"),
    ] {
        assert_eq!(register.knock("/scim/v2/Users", Some(&forged), request).await, 401);
        let event = register.told(admin, request).await;
        assert_eq!((&event["credential"], event.get("actor")), (&json!(credential.to_string()), None));
    }

    // By the issuer of a token that has ended.
    let issuer = Played::start();
    let document = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Issuer"], "name": "login", "issuer": issuer.issuer,
        "audiences": ["urn:matrikel"],
        "rules": [{ "claim": "azp", "value": "hr", "client": hr.client.to_string() }],
    });
    let known = admin.post("/Issuers", &document).await.expect(201).body;
    let claims = json!({ "iss": issuer.issuer, "aud": "urn:matrikel", "azp": "hr", "exp": seconds() - 3_600 });
    let ended = issuer.sign(claims.as_object().expect("an object"));
    assert_eq!(register.knock("/scim/v2/Users", Some(&ended), "by-issuer").await, 401);
    assert_eq!(register.told(admin, "by-issuer").await["credential"], known["id"]);

    // At the token endpoint, by the name of the client.
    let grant = [("grant_type", "client_credentials")];
    let wrong = ask(server, Some((&hr.id(), "wrong")), &grant).await;
    assert_eq!(wrong.status, 401, "{}", wrong.body);
    let request = wrong.headers["x-request-id"].to_str().expect("text").to_owned();
    let event = register.told(admin, &request).await;
    for (pointer, expected) in [
        ("/path", "/oauth/token"),
        ("/method", "POST"),
        ("/address", "127.0.0.1"),
        ("/resource/type", "Client"),
        ("/resource/value", &hr.client.to_string()),
        ("/outcome/reason", "invalid_client"),
    ] {
        assert_eq!(event.pointer(pointer).and_then(Value::as_str), Some(expected), "{pointer} of {event}");
    }
    assert_eq!(event.get("actor"), None, "nobody is believed: {event}");
    let form = [
        grant[0],
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &issuer.sign(json!({ "sub": hr.id() }).as_object().expect("an object"))),
    ];
    let wrong = ask(server, None, &form).await;
    assert_eq!(wrong.status, 401, "{}", wrong.body);
    let request = wrong.headers["x-request-id"].to_str().expect("text").to_owned();
    assert_eq!(register.told(admin, &request).await["resource"]["value"], hr.client.to_string());
    let more = ask(server, Some((&hr.id(), &secret)), &[grant[0], ("scope", "admin")]).await;
    assert_eq!(more.status, 400, "{}", more.body);
    let request = more.headers["x-request-id"].to_str().expect("text").to_owned();
    assert_eq!(register.told(admin, &request).await["credential"], credential.to_string());

    // From a network that is not the client's: known, and refused.
    let operations = json!([{ "op": "add", "path": "networks", "value": ["192.0.2.0/24"] }]);
    admin.patch(&format!("/Clients/{}", hr.client), &operations).await.expect(200);
    let far = Api::new(server, own);
    for _ in 0..400 {
        if far.ask(Method::GET, "/Users", None, &[("x-request-id", "by-network")]).await.status == 401 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(register.told(admin, "by-network").await["actor"]["display"], "hr");
    let theirs = elsewhere.find("/AuditEvents", "kind eq \"denied\"", "").await;
    assert_eq!(theirs.len(), 1, "only what was theirs: {theirs:?}");
}
