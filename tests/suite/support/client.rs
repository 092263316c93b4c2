//! A SCIM client that says exactly what it is told and shows exactly what it got. It judges nothing.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde_json::Value;

/// A client of one server, with or without a token. Cheap to clone; clones share connections.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base_url: String,
    authorization: Option<String>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Client {
    /// A client with a token; paths are relative to the base URL, such as `/Users`.
    pub(crate) fn new(base_url: &str, token: &str) -> Self {
        Client { authorization: Some(format!("Bearer {token}")), ..Client::anonymous(base_url) }
    }

    /// A client that sends no `Authorization`.
    pub(crate) fn anonymous(base_url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().expect("a client");
        Client { http, base_url: base_url.trim_end_matches('/').to_owned(), authorization: None }
    }

    /// A client with a token that trusts this certificate (PEM) and no other.
    pub(crate) fn trusting(base_url: &str, token: &str, certificate: &[u8]) -> Self {
        let certificate = reqwest::Certificate::from_pem(certificate).expect("a certificate");
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60));
        let http = http.tls_certs_only([certificate]).build().expect("a client");
        Client { http, ..Client::new(base_url, token) }
    }

    /// The same client with another `Authorization` header.
    pub(crate) fn with_authorization(&self, value: &str) -> Self {
        Client { authorization: Some(value.to_owned()), ..self.clone() }
    }

    /// Where SCIM begins.
    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    /// GET with parameters, which are encoded.
    pub(crate) async fn find(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        let mut url = Url::parse("http://x/").expect("a URL");
        url.query_pairs_mut().extend_pairs(parameters);
        self.get(&format!("{path}?{}", url.query().unwrap_or_default())).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/scim+json")], Some(body.to_string().into_bytes())).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/scim+json")], Some(body.to_string().into_bytes())).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, &[("content-type", "application/scim+json")], Some(body.to_string().into_bytes()))
            .await
    }

    /// PATCH that depends on a version.
    pub(crate) async fn patch_if(&self, path: &str, etag: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/scim+json"), ("if-match", etag)];
        self.send("PATCH", path, &headers, Some(body.to_string().into_bytes())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None).await
    }

    /// Sends a request; a connection that breaks is a failure of the test.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Answer {
        match self.attempt(method, path, headers, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path} was not answered: {error:?}"),
        }
    }

    /// Sends a request whose connection may break.
    pub(crate) async fn attempt(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, reqwest::Error> {
        let url = match path.strip_prefix("//") {
            // Outside of SCIM: the server's own paths.
            Some(path) => format!("{}/{path}", self.base_url.trim_end_matches("/scim/v2")),
            None => format!("{}{path}", self.base_url),
        };
        let mut request = self.http.request(Method::from_bytes(method.as_bytes()).expect("a method"), url);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }
}

impl Answer {
    /// The same answer, which must have this status.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The `id` of the resource that was answered.
    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap_or_else(|| panic!("an id in {}", self.text)).to_owned()
    }

    /// A header as text; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header of text"))
    }

    /// The version that the `ETag` names.
    pub(crate) fn version(&self) -> i64 {
        let tag = self.header("etag").trim_start_matches("W/\"");
        let version = tag.split('.').next().and_then(|version| version.parse().ok());
        version.unwrap_or_else(|| panic!("a version in the ETag {:?} of {}", self.header("etag"), self.text))
    }

    /// The ids on a page, in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        let body = self.json();
        let resources = body["Resources"].as_array().into_iter().flatten();
        resources.map(|resource| resource["id"].as_str().expect("an id").to_owned()).collect()
    }
}
