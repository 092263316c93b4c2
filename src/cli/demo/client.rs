//! A small SCIM client, no more than a personnel system or a cloud service would need. Waits when the server is busy.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const SCIM_JSON: &str = "application/scim+json";
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
const TRIES: u32 = 10;

/// One client of one SCIM server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base_url: String,
    token: String,
}

/// One page of a list.
pub(super) struct Page {
    /// How many there are in all.
    pub(super) total: usize,
    /// Those on the page.
    pub(super) resources: Vec<Value>,
}

impl Client {
    /// A client with that token.
    pub(super) fn new(base_url: &str, token: &str) -> anyhow::Result<Self> {
        // The server is this very process, so no proxy stands between.
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        Ok(Client { http, base_url: base_url.to_owned(), token: token.to_owned() })
    }

    /// Creates a resource and returns its id; `None` when a unique value of it is taken.
    pub(super) async fn create(&self, endpoint: &str, resource: &Value) -> anyhow::Result<Option<String>> {
        let (status, body) = self.send(Method::POST, &format!("/{endpoint}?attributes=id"), Some(resource)).await?;
        match status {
            StatusCode::CREATED => Ok(Some(id(&body)?)),
            StatusCode::CONFLICT => Ok(None),
            status => bail!(refusal("POST", endpoint, status, &body)),
        }
    }

    /// Changes a resource by PATCH operations.
    pub(super) async fn patch(&self, endpoint: &str, id: &str, operations: &Value) -> anyhow::Result<()> {
        let message = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations,
        });
        let path = format!("/{endpoint}/{id}?attributes=id");
        let (status, body) = self.send(Method::PATCH, &path, Some(&message)).await?;
        if status.is_success() { Ok(()) } else { bail!(refusal("PATCH", endpoint, status, &body)) }
    }

    /// The ids of the resources that a filter selects. Asked by POST, so that names stay out of URLs.
    pub(super) async fn find(&self, endpoint: &str, filter: &str) -> anyhow::Result<Vec<String>> {
        let search = json!({ "schemas": [SEARCH], "filter": filter, "attributes": ["id"] });
        let (status, body) = self.send(Method::POST, &format!("/{endpoint}/.search"), Some(&search)).await?;
        if status != StatusCode::OK {
            bail!(refusal("POST", &format!("{endpoint}/.search"), status, &body));
        }
        page(&body)?.resources.iter().map(id).collect()
    }

    /// A page of an endpoint, from place `start` (counted from 1).
    pub(super) async fn page(
        &self,
        endpoint: &str,
        attributes: &str,
        start: usize,
        count: usize,
    ) -> anyhow::Result<Page> {
        let path = format!("/{endpoint}?startIndex={start}&count={count}&attributes={attributes}");
        let (status, body) = self.send(Method::GET, &path, None).await?;
        if status != StatusCode::OK {
            bail!(refusal("GET", endpoint, status, &body));
        }
        page(&body)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<(StatusCode, Value)> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut request = self
                .http
                .request(method.clone(), format!("{}{path}", self.base_url))
                .bearer_auth(&self.token)
                .header(ACCEPT, SCIM_JSON);
            if let Some(body) = body {
                request = request.header(CONTENT_TYPE, SCIM_JSON).body(body.to_string());
            }
            let response = request.send().await.context("the server does not answer")?;
            let status = response.status();
            if status == StatusCode::SERVICE_UNAVAILABLE && tries < TRIES {
                let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1))).await;
                continue;
            }
            let text = response.text().await?;
            let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? };
            return Ok((status, body));
        }
    }
}

fn page(body: &Value) -> anyhow::Result<Page> {
    let total = body.get("totalResults").and_then(Value::as_u64).context("a list without totalResults")?;
    let resources = body.get("Resources").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(Page { total: usize::try_from(total)?, resources })
}

/// The id of a resource.
pub(super) fn id(resource: &Value) -> anyhow::Result<String> {
    Ok(resource.get("id").and_then(Value::as_str).context("a resource without id")?.to_owned())
}

fn refusal(method: &str, endpoint: &str, status: StatusCode, body: &Value) -> String {
    let detail = body.get("detail").and_then(Value::as_str).unwrap_or("no detail");
    format!("{method} /{endpoint} was answered {status}: {detail}")
}
