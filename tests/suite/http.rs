//! HTTP as a client meets it: every path and method, headers, media types, bodies that are none, and the words of errors.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde_json::{Value, json};

use crate::support::both::on_both_databases;
use crate::support::client::{Answer, Client};
use crate::support::messages::{group, patch, set, user, user_with};
use crate::support::server::Server;

on_both_databases!(Server:
    every_path_answers_every_method_as_it_should,
    head_is_get_without_the_body,
    both_media_types_are_read_and_no_other,
    a_body_that_is_none_is_refused_with_its_place,
    a_body_that_is_too_large_is_refused_and_the_server_lives_on,
    an_error_has_exactly_the_members_of_the_rfc,
    a_request_keeps_its_id_and_an_answer_may_be_compressed,
    attributes_are_chosen_on_every_verb,
    a_page_is_what_was_asked_for,
);

const JSON: (&str, &str) = ("content-type", "application/scim+json");
const NOBODY: &str = "0198c0de-0000-7000-8000-000000000000";
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];

async fn every_path_answers_every_method_as_it_should(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let id = client.post("/Users", &user("anna")).await.expect(201).id();
    let read = ["GET", "HEAD", "OPTIONS"].as_slice();
    let document = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"].as_slice();
    let paths = [
        ("//healthz".to_owned(), read),
        ("//readyz".to_owned(), read),
        ("/ServiceProviderConfig".to_owned(), read),
        ("/Schemas".to_owned(), &["GET", "HEAD", "POST", "OPTIONS"]),
        ("/Schemas/urn:ietf:params:scim:schemas:core:2.0:User".to_owned(), document),
        ("/ResourceTypes".to_owned(), &["GET", "HEAD", "POST", "OPTIONS"]),
        ("/ResourceTypes/User".to_owned(), &["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        (String::new(), read),
        ("/Bulk".to_owned(), &["POST", "OPTIONS"]),
        ("/.search".to_owned(), &["POST", "OPTIONS"]),
        ("/Users/.search".to_owned(), &["POST", "OPTIONS"]),
        ("/Users".to_owned(), &["GET", "HEAD", "POST", "OPTIONS"]),
        (format!("/Users/{id}"), &["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    ];
    for (path, allowed) in &paths {
        for method in METHODS {
            let body = ["POST", "PUT", "PATCH"].contains(&method).then(|| b"{}".to_vec());
            let answer = client.send(method, path, &[JSON], body).await;
            let what = format!("{method} {path}: {} {}", answer.status, answer.text);
            let methods: BTreeSet<&str> = answer.header("allow").split(", ").collect();
            match (allowed.contains(&method), method) {
                (false, _) => {
                    assert_eq!(answer.status, 405, "{what}");
                    assert_eq!(methods, allowed.iter().copied().collect(), "{what}");
                    assert_eq!(answer.header("content-type"), "application/scim+json", "{what}");
                }
                (true, "OPTIONS") => {
                    assert_eq!(answer.status, 204, "{what}");
                    assert_eq!(methods, allowed.iter().copied().collect(), "{what}");
                }
                (true, "GET" | "HEAD") => assert_eq!(answer.status, 200, "{what}"),
                // What is built in stays as it is.
                (true, "PUT" | "DELETE") if *allowed == document => assert_eq!(answer.status, 403, "{what}"),
                (true, "DELETE") if path.starts_with("/ResourceTypes/") => assert_eq!(answer.status, 403, "{what}"),
                (true, "DELETE") => assert_eq!(answer.status, 204, "{what}"),
                // The body is no valid message of any of them.
                (true, _) => assert_eq!(answer.status, 400, "{what}"),
            }
        }
    }
    for path in [
        "/Nothing",
        "/Nothing/1",
        "/Users/1/2",
        "//nothing",
        "//scim/v1/Users",
        "/Users/",
        "//",
        "/Users/%FF",
        "/Users/a%2Fb",
        "/Users/%00",
    ] {
        let answer = client.get(path).await.expect(404);
        assert_eq!(answer.json()["status"], "404", "{path}");
        assert_eq!(answer.header("content-type"), "application/scim+json", "{path}");
    }
    let answer = client.get("/Users?filter=%FF").await.expect(400);
    assert_eq!(answer.header("content-type"), "application/scim+json");
    for method in ["PUT", "POST", "PATCH"] {
        let answer = client.send(method, "/Me", &[JSON], None).await.expect(405);
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
    }
}

async fn head_is_get_without_the_body(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let id = client.post("/Users", &user("anna")).await.expect(201).id();
    let paths = [
        format!("/Users/{id}"),
        "/Users".into(),
        "/Schemas".into(),
        "/ServiceProviderConfig".into(),
        format!("/Users/{NOBODY}"),
        "/Nothing".into(),
    ];
    for path in paths {
        let get = client.send("GET", &path, &[("x-request-id", "same")], None).await;
        let head = client.send("HEAD", &path, &[("x-request-id", "same")], None).await;
        let headers = |answer: &Answer| -> BTreeMap<String, String> {
            let headers = answer.headers.iter().filter(|(name, _)| *name != "date" && *name != "transfer-encoding");
            headers.map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned())).collect()
        };
        assert_eq!((get.status, headers(&get)), (head.status, headers(&head)), "{path}");
        assert_eq!(head.text, "", "{path}");
        assert_eq!(get.header("content-length"), get.text.len().to_string(), "{path}");
    }
}

async fn both_media_types_are_read_and_no_other(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let post = |headers: Vec<(&'static str, &'static str)>, name: &str| {
        let (client, body) = (client.clone(), user(name).to_string().into_bytes());
        async move { client.send("POST", "/Users", &headers, Some(body)).await }
    };
    for (n, media) in [
        "application/scim+json",
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/SCIM+JSON;charset=UTF-8",
    ]
    .into_iter()
    .enumerate()
    {
        let answer = post(vec![("content-type", media)], &format!("u{n}")).await.expect(201);
        assert_eq!(answer.header("content-type"), "application/scim+json");
    }
    for media in ["text/plain", "application/xml", "application/json; charset=latin1", "multipart/form-data", ""] {
        post(vec![("content-type", media)], "never").await.expect(415);
    }
    post(vec![], "never").await.expect(415);
    post(vec![("content-type", "application/json"), ("content-encoding", "gzip")], "never").await.expect(415);
    for (accept, status) in [
        ("application/scim+json", 200),
        ("application/json", 200),
        ("application/json, text/plain, */*", 200),
        ("text/html", 406),
        ("application/scim+json;q=0, application/json;q=0", 406),
    ] {
        let answer = client.send("GET", "/Users", &[("accept", accept)], None).await.expect(status);
        assert_eq!(answer.header("content-type"), "application/scim+json", "{accept}");
    }
    assert_eq!(client.get("/Users?count=0").await.json()["totalResults"], 4);
}

async fn a_body_that_is_none_is_refused_with_its_place(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let start = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"x""#;
    let deep = format!("{start},\"name\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    let very_deep = "[".repeat(100_000);
    let cases: Vec<(Vec<u8>, &str, &str)> = vec![
        (b"".to_vec(), "invalidSyntax", "empty"),
        (b"{\n  \"userName\": }".to_vec(), "invalidSyntax", "line 2 column 15"),
        (b"{\"userName\": \"x\"".to_vec(), "invalidSyntax", "line 1 column 16"),
        (b"[]".to_vec(), "invalidSyntax", "object"),
        (b"null".to_vec(), "invalidSyntax", "object"),
        (b"{} {}".to_vec(), "invalidSyntax", "column 4"),
        (format!("{start},\"userName\":\"y\"}}").into_bytes(), "invalidSyntax", "twice"),
        (format!("{start},\"name\":{{\"givenName\":1,\"givenName\":2}}}}").into_bytes(), "invalidSyntax", "twice"),
        (deep.into_bytes(), "invalidSyntax", "nested"),
        (very_deep.into_bytes(), "invalidSyntax", ""),
        (format!("{start},\"title\":\"a\\u0000b\"}}").into_bytes(), "invalidValue", "U+0000"),
        (format!("{start},\"title\":\"\\ud800\"}}").into_bytes(), "invalidSyntax", "line 1"),
        ([start.as_bytes(), b",\"title\":\"\xff\"}"].concat(), "invalidSyntax", "UTF-8"),
        (format!("{start},\"title\":1e999}}").into_bytes(), "invalidSyntax", "line 1"),
        (format!("{start},\"title\":\"a\nb\"}}").into_bytes(), "invalidSyntax", "line 2"),
    ];
    for (method, path) in
        [("POST", "/Users".to_owned()), ("PUT", format!("/Users/{NOBODY}")), ("POST", "/Users/.search".to_owned())]
    {
        for (body, scim_type, words) in &cases {
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            let answer = client.send(method, &path, &[JSON], Some(body.clone())).await.expect(400);
            assert_eq!(answer.json()["scimType"], *scim_type, "{method} {path} {shown}: {}", answer.text);
            assert!(answer.text.contains(words), "{shown}: {}", answer.text);
        }
    }
    assert_eq!(client.get("/Users").await.json()["totalResults"], 0);
}

async fn a_body_that_is_too_large_is_refused_and_the_server_lives_on(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let large = user_with("x", &json!({ "title": "a".repeat(2 << 20) })).to_string().into_bytes();
    // The server may close the connection before all of it has been sent; an answer that came is 413.
    for _ in 0..3 {
        if let Ok(answer) = client.attempt("POST", "/Users", &[JSON], Some(large.clone())).await {
            assert_eq!(answer.expect(413).json()["status"], "413");
        }
    }
    client.post("/Users", &user("small")).await.expect(201);
    let long = format!("/Users?filter=userName+eq+%22{}%22", "a".repeat(20_000));
    let answer = client.get(&long).await;
    assert!([400, 414, 431].contains(&answer.status), "{} {}", answer.status, answer.text);
    let many = vec!["userName pr"; 2_000].join(" or ");
    let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": many });
    assert_eq!(client.post("/Users/.search", &search).await.expect(400).json()["scimType"], "invalidFilter");
    let nested = format!("{}userName pr{}", "(".repeat(5_000), ")".repeat(5_000));
    let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": nested });
    assert_eq!(client.post("/Users/.search", &search).await.expect(400).json()["scimType"], "invalidFilter");
    client.get("/Users").await.expect(200);
}

async fn an_error_has_exactly_the_members_of_the_rfc(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let path = format!("/Users/{}", client.post("/Users", &user("anna")).await.expect(201).id());
    let consumer = Client::new(&server.base_url, &server.client("town", "cloud", "consumer"));
    let plain = BTreeSet::from(["schemas", "status", "detail"]);
    let typed = BTreeSet::from(["schemas", "status", "detail", "scimType"]);
    let errors = [
        (client.get("/Users?filter=x+eq").await, 400, &typed),
        (client.get("/Users?count=many").await, 400, &typed),
        (Client::anonymous(&server.base_url).get("/Users").await, 401, &plain),
        (consumer.delete(&path).await, 403, &plain),
        (client.get("/Users/x").await, 404, &plain),
        (client.send("PATCH", "/Users", &[JSON], None).await, 405, &plain),
        (client.send("GET", "/Users", &[("accept", "text/html")], None).await, 406, &plain),
        (client.post("/Users", &user("Anna")).await, 409, &typed),
        (client.patch_if(&path, "W/\"9.a\"", &set("title", &json!("x"))).await, 412, &plain),
        (client.send("POST", "/Users", &[("content-type", "text/html")], Some(b"{}".to_vec())).await, 415, &plain),
        (client.post("/Me", &json!({})).await, 405, &plain),
    ];
    for (answer, status, members) in errors {
        let answer = answer.expect(status);
        let body = answer.json();
        let found: BTreeSet<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(found, *members, "{}", answer.text);
        assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
        assert_eq!(body["status"], json!(status.to_string()));
        assert!(
            body["detail"].as_str().is_some_and(|detail| detail.ends_with('.') || detail.contains("mk_")),
            "{body}"
        );
        assert_eq!(answer.header("content-type"), "application/scim+json");
        assert!(!answer.header("x-request-id").is_empty());
    }
}

async fn a_request_keeps_its_id_and_an_answer_may_be_compressed(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    for path in ["/Users", "/Nothing", "//healthz"] {
        let answer = client.send("GET", path, &[("x-request-id", "abc-1_2.X")], None).await;
        assert_eq!(answer.header("x-request-id"), "abc-1_2.X", "{path}");
        let answer = client.send("GET", path, &[("x-request-id", "not an id")], None).await;
        assert!(answer.header("x-request-id").len() == 36, "{path}");
    }
    let plain = client.get("/Schemas").await.expect(200);
    let url = format!("{}/Schemas", client.base_url());
    let token = server.client("town", "packed", "consumer");
    let packed = reqwest::Client::builder().no_proxy().build().expect("a client");
    let packed = packed.get(url).bearer_auth(token).header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["content-type"], "application/scim+json");
    let bytes = packed.bytes().await.expect("a body");
    assert!(bytes.starts_with(&[0x1f, 0x8b]) && bytes.len() < plain.text.len() / 2, "{} bytes", bytes.len());
    let mut unpacked = String::new();
    let mut gzip = std::process::Command::new("gzip")
        .args(["-d", "-c"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("gzip runs");
    let mut input = gzip.stdin.take().expect("its input");
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut input, &bytes));
    gzip.stdout.take().expect("its output").read_to_string(&mut unpacked).expect("text");
    writing.join().expect("written").expect("written");
    gzip.wait().expect("it ends");
    assert!(unpacked.contains("urn:ietf:params:scim:schemas:core:2.0:User"));
}

async fn attributes_are_chosen_on_every_verb(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let body = user_with("anna", &json!({ "title": "a", "name": { "givenName": "Anna", "familyName": "Å" } }));
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().expect("an object").keys().cloned().collect() };
    let expect = |value: &Value, more: &[&str]| {
        let expected: BTreeSet<String> = ["schemas", "id"].iter().chain(more).map(ToString::to_string).collect();
        assert_eq!(keys(value), expected);
    };
    let made = client.post("/Users?attributes=userName,name.givenName", &body).await.expect(201).json();
    expect(&made, &["userName", "name"]);
    assert_eq!(made["name"], json!({ "givenName": "Anna" }));
    let path = format!("/Users/{}", made["id"].as_str().expect("an id"));
    expect(&client.get(&format!("{path}?attributes=TITLE")).await.expect(200).json(), &["title"]);
    expect(&client.put(&format!("{path}?attributes=title"), &body).await.expect(200).json(), &["title"]);
    let patched =
        client.patch(&format!("{path}?attributes=meta.version"), &set("title", &json!("b"))).await.expect(200).json();
    expect(&patched, &["meta"]);
    let rest = client.get(&format!("{path}?excludedAttributes=name,meta,id,title")).await.expect(200).json();
    expect(&rest, &["userName"]);
    let listed = client.get("/Users?attributes=title").await.expect(200).json();
    expect(&listed["Resources"][0], &["title"]);
    let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "attributes": ["title"] });
    let found = client.post("/Users/.search", &search).await.expect(200).json();
    expect(&found["Resources"][0], &["title"]);
    client.get(&format!("{path}?attributes=title&excludedAttributes=name")).await.expect(400);
    // A group answers 204 to a PATCH unless it is asked for something.
    let crew = format!("/Groups/{}", client.post("/Groups", &group("crew", &[])).await.expect(201).id());
    let silent = client.patch(&crew, &set("displayName", &json!("a"))).await.expect(204);
    assert_eq!((silent.text.as_str(), silent.version()), ("", 2));
    let told =
        client.patch(&format!("{crew}?attributes=displayName"), &set("displayName", &json!("b"))).await.expect(200);
    expect(&told.json(), &["displayName"]);
    let put = patch(&json!([]));
    client.put(&crew, &put).await.expect(400);
}

async fn a_page_is_what_was_asked_for(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    for (name, title) in [("d", Some("2")), ("a", None), ("C", Some("1")), ("b", Some("3")), ("e", None)] {
        client
            .post("/Users", &user_with(name, &title.map_or(json!({}), |title| json!({ "title": title }))))
            .await
            .expect(201);
    }
    let page = |query: &'static str| {
        let client = client.clone();
        async move {
            let body = client.get(&format!("/Users?{query}")).await.expect(200).json();
            let names: String = body["Resources"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|user| user["userName"].as_str())
                .collect();
            let number = |name: &str| body[name].as_u64().expect("a number");
            assert_eq!(number("totalResults"), 5, "{query}");
            assert_eq!(number("itemsPerPage"), names.len() as u64, "{query}");
            (names, number("startIndex"))
        }
    };
    for (query, names, start) in [
        ("sortBy=userName", "abCde", 1),
        ("sortBy=userName&sortOrder=descending", "edCba", 1),
        ("sortBy=USERNAME&startIndex=2&count=2", "bC", 2),
        ("sortBy=userName&startIndex=5&count=2", "e", 5),
        ("sortBy=userName&startIndex=6", "", 6),
        ("sortBy=userName&startIndex=0&count=1", "a", 1),
        ("sortBy=userName&startIndex=-3&count=1", "a", 1),
        ("sortBy=userName&count=0", "", 1),
        ("sortBy=userName&count=-1", "", 1),
        ("sortBy=userName&count=1000000", "abCde", 1),
        ("sortBy=userName&unknown=parameter&count=1", "a", 1),
    ] {
        assert_eq!(page(query).await, (names.to_owned(), start), "{query}");
    }
    // Without a value: last when ascending, first when descending.
    assert_eq!(&page("sortBy=title").await.0[..3], "Cdb");
    assert_eq!(&page("sortBy=title&sortOrder=descending").await.0[2..], "bdC");
    let walked: Vec<String> = [
        page("startIndex=1&count=2").await.0,
        page("startIndex=3&count=2").await.0,
        page("startIndex=5&count=2").await.0,
    ]
    .into();
    assert_eq!(walked.concat(), page("").await.0, "pages laid end to end are the whole");
    for query in
        ["sortBy=nothing", "startIndex=x", "count=1.5", "sortOrder=sideways", "filter=userName", "filter=nothing+eq+1"]
    {
        client.get(&format!("/Users?{query}")).await.expect(400);
    }
    let none = client.find("/Users", &[("filter", "userName eq \"nobody\"")]).await.expect(200).json();
    assert_eq!((&none["totalResults"], &none["itemsPerPage"]), (&json!(0), &json!(0)));
}
