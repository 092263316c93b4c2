//! A client that asks a running server as JSON, and what is to be true of the register behind it.

use reqwest::{Client, Method};
use scim::schema::Registry;
use serde_json::{Value, json};
use store::{Options, Store};

use super::server::Server;

/// A client of one tenant.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) client: Client,
    pub(crate) base: String,
    pub(crate) token: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) body: Value,
}

impl Said {
    /// The answer, which has that status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// `detail` of an error.
    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

impl Api {
    /// A client with that token.
    pub(crate) fn new(server: &Server, token: String) -> Self {
        let client = Client::builder().no_proxy().build().expect("a client");
        Api { client, base: server.base_url.clone(), token }
    }

    /// Sends a request.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> Said {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/scim+json").body(body.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let etag = response.headers().get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let text = response.text().await.expect("a body");
        Said { status, etag, body: serde_json::from_str(&text).unwrap_or_default() }
    }

    /// Reads.
    pub(crate) async fn get(&self, path: &str) -> Said {
        self.ask(Method::GET, path, None, &[]).await
    }

    /// Creates.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Said {
        self.ask(Method::POST, path, Some(body), &[]).await
    }

    /// Replaces.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Said {
        self.ask(Method::PUT, path, Some(body), &[]).await
    }

    /// Changes by operations.
    pub(crate) async fn patch(&self, path: &str, operations: &Value) -> Said {
        let urn = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
        self.ask(Method::PATCH, path, Some(&json!({ "schemas": [urn], "Operations": operations })), &[]).await
    }

    /// Removes.
    pub(crate) async fn delete(&self, path: &str) -> Said {
        self.ask(Method::DELETE, path, None, &[]).await
    }

    /// Ids of what a filter finds at an endpoint, in the order asked for.
    pub(crate) async fn find(&self, endpoint: &str, filter: &str, more: &str) -> Vec<Value> {
        let url = reqwest::Url::parse_with_params("http://x/", [("filter", filter)]).expect("a URL");
        let found = self.get(&format!("{endpoint}?{}{more}", url.query().unwrap_or_default())).await.expect(200);
        found.body["Resources"].as_array().cloned().unwrap_or_default()
    }
}

/// The register of a running server.
fn open(server: &Server) -> Store {
    let registry = std::sync::Arc::new(Registry::builtin().expect("the documents"));
    Store::open(&Options { readers: 1, ..Options::new(server.database_url()) }, registry).expect("the database")
}

async fn unfinished(store: &Store) -> i64 {
    let mut unfinished = 0;
    for tenant in store.tenants().await.expect("tenants") {
        unfinished += store.read(move |reader| reader.unfinished_indexes(tenant.id)).await.expect("a count");
    }
    unfinished
}

/// Waits until every index is built, and every one that was dropped is gone.
pub(crate) async fn wait_for_indexes(server: &Server) {
    let store = open(server);
    for _ in 0..800 {
        if unfinished(&store).await == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("{} indexes are still being built", unfinished(&store).await);
}

/// Every row is a function of the documents, in every tenant.
pub(crate) async fn verify(server: &Server) {
    let store = open(server);
    for tenant in store.tenants().await.expect("tenants") {
        let findings = store.read(move |reader| reader.verify(tenant.id)).await.expect("a check");
        assert!(findings.is_empty(), "{findings:?}");
    }
    store.close();
}
