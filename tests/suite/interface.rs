//! What the interface does beside resources, as a client sees it over HTTP and on either database: who am I, proxies,
//! browsers, compression, passwords, filters that must not stand in a URL, and the counts of tolerances.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::server::Server;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

struct Answer {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}

/// A client of one server.
struct Caller<'s> {
    server: &'s Server,
    token: String,
    http: Client,
}

impl<'s> Caller<'s> {
    fn new(server: &'s Server, token: String) -> Self {
        Caller { server, token, http: Client::builder().no_proxy().build().expect("a client") }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&'static str, &str)], body: Option<Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.server.base_url)).bearer_auth(&self.token);
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a value");
            request = request.header(HeaderName::from_static(name), value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, bytes: response.bytes().await.expect("a body").to_vec() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, &[], Some(body)).await
    }
}

fn user(name: &str) -> Value {
    json!({ "schemas": [USER], "userName": name })
}

/// Runs a story on a server over each database.
macro_rules! on_both {
    ($($name:ident: $story:ident, $settings:expr;)*) => {
        $(mod $name {
            use super::*;

            #[tokio::test]
            async fn on_sqlite() {
                $story(Server::sqlite_with(&$settings)).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                $story(Server::postgres_with(&$settings)).await;
            }
        })*
    };
}

on_both! {
    me_is_the_client_that_asks: me, [];
    a_trusted_proxy_says_how_it_was_addressed: trusted_proxy, [("MATRIKEL_TRUSTED_PROXIES", "127.0.0.0/8")];
    nobody_else_is_believed: untrusted_proxy, [("MATRIKEL_TRUSTED_PROXIES", "192.0.2.1")];
    named_origins_may_use_browsers: cors, [("MATRIKEL_CORS_ORIGINS", "https://console.example.se")];
    without_origins_browsers_get_nothing: no_cors, [];
    methods_and_compression: methods, [];
    passwords_follow_a_policy: passwords, [("MATRIKEL_PASSWORD_MIN", "10")];
    sensitive_filters_belong_in_a_body: sensitive, [];
    tolerances_are_named_and_counted: tolerances, [];
    conformance_is_claimed_over_tls: conformance, [("MATRIKEL_PUBLIC_URL", "https://id.example.se")];
}

async fn me(server: Server) {
    server.tenant("me");
    let caller = Caller::new(&server, server.client("me", "door system", "consumer"));
    let answer = caller.get("/Me").await;
    let body = answer.json();
    assert_eq!(
        (answer.status, &body["name"], &body["role"]),
        (200, &json!("door system"), &json!("consumer")),
        "{body}"
    );
    let location = format!("{}/Clients/{}", server.base_url, body["id"].as_str().expect("an id"));
    assert_eq!(body["meta"]["location"], json!(location));
    assert_eq!(answer.header("location"), Some(location.as_str()));
    let tag = answer.header("etag").expect("a tag");
    assert_eq!(caller.send(Method::GET, "/Me", &[("if-none-match", tag)], None).await.status, 304);
    let some = caller.get("/Me?attributes=name").await.json();
    assert!(some.get("role").is_none() && some.get("name").is_some(), "{some}");
    assert_eq!(caller.send(Method::HEAD, "/Me", &[], None).await.status, 200);
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::POST] {
        let answer = caller.send(method, "/Me", &[], Some(json!({}))).await;
        assert_eq!((answer.status, answer.json()["status"].clone()), (405, json!("405")));
        assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
    assert_eq!(caller.get("/Clients").await.status, 403, "only itself");
}

/// The location of a new user, as a client behind a proxy sees it.
async fn location(caller: &Caller<'_>, name: &str, headers: &[(&'static str, &str)]) -> String {
    let answer = caller.send(Method::POST, "/Users", headers, Some(user(name))).await;
    let body = answer.json();
    assert_eq!(answer.status, 201, "{body}");
    let location = answer.header("location").expect("a location").to_owned();
    assert_eq!(body["meta"]["location"], json!(location));
    location.rsplit_once("/Users/").expect("a user").0.to_owned()
}

async fn trusted_proxy(server: Server) {
    let caller = Caller::new(&server, server.tenant("proxy"));
    let forwarded = [("forwarded", "for=192.0.2.60;proto=https;host=id.example.se")];
    assert_eq!(location(&caller, "a", &forwarded).await, "https://id.example.se/scim/v2");
    let table: [(&[(&'static str, &str)], &str); 4] = [
        (&[("x-forwarded-proto", "https"), ("x-forwarded-host", "id.example.se")], "https://id.example.se/scim/v2"),
        (
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "id.example.se"), ("x-forwarded-port", "8443")],
            "https://id.example.se:8443/scim/v2",
        ),
        (
            &[("forwarded", "host=evil.example, for=192.0.2.60;proto=https;host=id.example.se")],
            "https://id.example.se/scim/v2",
        ),
        (&[], &server.base_url),
    ];
    for (number, (headers, expected)) in table.into_iter().enumerate() {
        assert_eq!(location(&caller, &format!("b{number}"), headers).await, expected);
    }
    let answer = caller.send(Method::GET, "/Users", &[("x-forwarded-host", "a/b")], None).await;
    assert_eq!(answer.status, 400, "what is no host is refused");

    // Every reference of an answer is right for whoever asks.
    let boss = caller.post("/Users", user("boss")).await.json()["id"].clone();
    let body =
        json!({ "schemas": [USER, ENTERPRISE], "userName": "maj", ENTERPRISE: { "manager": { "value": boss } } });
    let maj = caller.post("/Users", body).await.json();
    assert_eq!(maj[ENTERPRISE]["manager"]["$ref"], json!(format!("../Users/{}", boss.as_str().expect("an id"))));
    let group = json!({ "schemas": [GROUP], "displayName": "all", "members": [{ "value": maj["id"] }] });
    let id = caller.post("/Groups", group).await.json()["id"].as_str().expect("an id").to_owned();
    let group = caller.send(Method::GET, &format!("/Groups/{id}"), &forwarded, None).await.json();
    let maj_path = format!("/Users/{}", maj["id"].as_str().expect("an id"));
    assert_eq!(group["members"][0]["$ref"], json!(format!("https://id.example.se/scim/v2{maj_path}")));
    let maj = caller.send(Method::GET, &maj_path, &forwarded, None).await.json();
    assert_eq!(maj["groups"][0]["$ref"], json!(format!("https://id.example.se/scim/v2/Groups/{id}")));
}

async fn untrusted_proxy(server: Server) {
    let caller = Caller::new(&server, server.tenant("proxy"));
    let headers = [("forwarded", "proto=https;host=evil.example"), ("x-forwarded-host", "evil.example")];
    assert_eq!(location(&caller, "a", &headers).await, server.base_url);
}

async fn cors(server: Server) {
    let caller = Caller::new(&server, server.tenant("cors"));
    let ours = ("origin", "https://console.example.se");
    let answer = caller.send(Method::GET, "/Users", &[ours], None).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(ours.1));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert!(answer.header("access-control-expose-headers").is_some_and(|shown| shown.contains("ETag")));
    assert!(answer.headers.get_all("vary").iter().any(|value| value == "Origin"));

    let asks = ("access-control-request-method", "PATCH");
    let preflight = Caller::new(&server, String::new());
    let answer = preflight.send(Method::OPTIONS, "/Users/7", &[ours, asks], None).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, Some(ours.1)));
    assert!(answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PATCH")));
    assert!(answer.header("access-control-allow-headers").is_some_and(|sent| sent.contains("Authorization")));

    for foreign in ["https://console.example.se.evil.example", "http://console.example.se", "null"] {
        let answer = caller.send(Method::GET, "/Users", &[("origin", foreign)], None).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None), "{foreign}");
        let answer = caller.send(Method::OPTIONS, "/Users", &[("origin", foreign), asks], None).await;
        assert_eq!(answer.header("access-control-allow-methods"), None, "{foreign}");
    }
}

async fn no_cors(server: Server) {
    let caller = Caller::new(&server, server.tenant("cors"));
    let headers = [("origin", "https://console.example.se"), ("access-control-request-method", "GET")];
    for method in [Method::GET, Method::OPTIONS] {
        let answer = caller.send(method, "/Users", &headers, None).await;
        assert!(
            answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")),
            "{:?}",
            answer.headers
        );
    }
}

async fn methods(server: Server) {
    let caller = Caller::new(&server, server.tenant("methods"));
    for number in 0..20 {
        caller.post("/Users", user(&format!("user{number}"))).await;
    }
    let table = [
        ("/Users", "GET, HEAD, POST, OPTIONS"),
        ("/Users/7", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("/Users/.search", "POST, OPTIONS"),
        ("/.search", "POST, OPTIONS"),
        ("/Me", "GET, HEAD, OPTIONS"),
        ("/Schemas", "GET, HEAD, POST, OPTIONS"),
        ("", "GET, HEAD, OPTIONS"),
    ];
    for (path, allow) in table {
        let answer = caller.send(Method::OPTIONS, path, &[], None).await;
        assert_eq!((answer.status, answer.header("allow")), (204, Some(allow)), "{path}");
    }
    for path in ["/Users", "/Schemas", "/ServiceProviderConfig", "/Me"] {
        let (got, head) = (caller.get(path).await, caller.send(Method::HEAD, path, &[], None).await);
        assert_eq!((head.status, head.bytes.len()), (got.status, 0), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"));
    }
    let (plain, packed) =
        (caller.get("/Users").await, caller.send(Method::GET, "/Users", &[("accept-encoding", "gzip")], None).await);
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
    assert!(packed.bytes.starts_with(&[0x1f, 0x8b]) && packed.bytes.len() * 2 < plain.bytes.len());
}

async fn passwords(server: Server) {
    let caller = Caller::new(&server, server.tenant("passwords"));
    let body = |password: &str| json!({ "schemas": [USER], "userName": "maj", "password": password });
    for refused in ["kort", "niotecken", &"x".repeat(257), "en\nny rad till"] {
        let answer = caller.post("/Users", body(refused)).await;
        let text = answer.json().to_string();
        assert_eq!((answer.status, answer.json()["scimType"].clone()), (400, json!("invalidValue")), "{text}");
        assert!(!text.contains(refused) && text.contains("password must"), "{text}");
    }
    let created = caller.post("/Users", body("lövträd 10")).await;
    assert_eq!((created.status, created.json().get("password").cloned()), (201, None));
    let path = format!("/Users/{}", created.json()["id"].as_str().expect("an id"));
    let change =
        json!({ "schemas": [PATCH], "Operations": [{ "op": "replace", "path": "password", "value": "kort" }] });
    assert_eq!(caller.send(Method::PATCH, &path, &[], Some(change)).await.status, 400);
    assert_eq!(caller.send(Method::PUT, &path, &[], Some(body("kort"))).await.status, 400);
    assert_eq!(caller.send(Method::PUT, &path, &[], Some(body("ett annat lösenord"))).await.status, 200);
}

async fn sensitive(server: Server) {
    let admin = Caller::new(&server, server.tenant("sensitive"));
    let caller = Caller::new(&server, server.client("sensitive", "careful", "source"));
    let found = admin.get("/Clients?filter=name%20eq%20%22careful%22").await.json();
    let path = format!("/Clients/{}", found["Resources"][0]["id"].as_str().expect("an id"));
    let change = json!({ "schemas": [PATCH], "Operations": [
        { "op": "replace", "path": "sensitiveAttributes", "value": ["emails", "name.familyName"] }] });
    assert_eq!(admin.send(Method::PATCH, &path, &[], Some(change)).await.status, 200);
    let table = [
        ("emails.value eq \"a\"", 403),
        ("userName eq \"a\" and emails[type eq \"work\" and value eq \"a\"]", 403),
        ("not (name.familyName eq \"a\")", 403),
        ("urn:ietf:params:scim:schemas:core:2.0:User:EMAILS pr", 403),
        ("name.givenName eq \"a\"", 200),
        ("userName eq \"emails\"", 200),
    ];
    for (filter, status) in table {
        let query: String = url_encode(filter);
        for path in ["/Users", ""] {
            let answer = caller.get(&format!("{path}?filter={query}")).await;
            assert_eq!(answer.status, status, "{path} {filter}");
            if status == 403 {
                assert_eq!(answer.json()["scimType"], json!("sensitive"));
            }
            let body = json!({ "schemas": [SEARCH], "filter": filter });
            assert_eq!(caller.post(&format!("{path}/.search"), body).await.status, 200, "{filter}");
            assert_eq!(admin.get(&format!("{path}?filter={query}")).await.status, 200, "{filter}");
        }
    }
}

fn url_encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn tolerances(mut server: Server) {
    server.tenant("tolerances");
    let token = server.client("tolerances", "hr", "source");
    let caller = Caller::new(&server, token);
    let odd = json!({ "userName": "maj", "active": "True", "shoeSize": 40, "hatSize": 7 });
    let answer = caller.post("/Users", odd.clone()).await;
    assert_eq!(answer.status, 201);
    // Each quirk is named once, in the order of use.
    assert_eq!(answer.header("matrikel-tolerance"), Some("unknown-attribute, schemas-missing, string-boolean"));
    let path = format!("/Users/{}", answer.json()["id"].as_str().expect("an id"));
    let again = caller.post("/Users", odd).await;
    assert_eq!((again.status, again.header("matrikel-tolerance").is_some()), (409, true), "errors name them too");
    let change = json!({ "schemas": [PATCH], "Operations": [{ "op": "Replace", "path": "shoeSize", "value": 1 }] });
    let refused = caller.send(Method::PATCH, &path, &[], Some(change)).await;
    assert_eq!((refused.status, refused.header("matrikel-tolerance")), (400, Some("op-case")));
    assert_eq!(caller.get(&path).await.header("matrikel-tolerance"), None);

    assert_eq!(server.terminate(), Some(0));
    let log = server.said();
    let counts = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .rfind(|line| line["client"] == "hr" && line.get("tolerances").is_some());
    let counts = counts.unwrap_or_else(|| panic!("no counts in {log}"));
    assert_eq!(counts["tolerances"], json!("op-case=1 schemas-missing=2 string-boolean=2 unknown-attribute=4"));
}

async fn conformance(server: Server) {
    let admin = Caller::new(&server, server.tenant("conformance"));
    assert!(admin.get("/ServiceProviderConfig").await.json().get("interopProfileConformant").is_none());
    for profile in ["interop-01", "ipsie"] {
        let token = server.client_with("conformance", profile, "source", &["--profile", profile]);
        let caller = Caller::new(&server, token);
        let config = caller.get("/ServiceProviderConfig").await.json();
        assert_eq!(config["interopProfileConformant"], json!(true), "{config}");
        let schema = caller.get(&format!("/Schemas/{USER}")).await.json();
        let attributes = schema["attributes"].as_array().expect("attributes");
        let has_password = attributes.iter().any(|attribute| attribute["name"] == "password");
        assert_eq!(has_password, profile == "interop-01", "{profile}");
    }
}
