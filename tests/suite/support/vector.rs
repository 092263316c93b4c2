//! Runs the files of `tests/vectors/` against a server; their format is told in the README there. Stops at the first
//! step that fails and says everything that was wrong with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::pattern::{Variables, compare, fill};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    title: String,
    #[serde(rename = "section")]
    _section: String,
    /// What the file rests on besides the standard, for readers.
    #[serde(default, rename = "sources")]
    _sources: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    name: String,
    method: String,
    path: String,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    body: Option<Value>,
    text: Option<String>,
    #[serde(default)]
    each: Vec<Map<String, Value>>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    status: Value,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    // `null` says that the body is empty, which differs from saying nothing.
    #[serde(default, deserialize_with = "some")]
    body: Option<Value>,
}

fn some<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Sends the steps of one file to the server at `base_url` (such as `http://127.0.0.1:8080/scim/v2`).
///
/// # Errors
/// The file cannot be read, or a step was answered otherwise than it says: file, step and each difference.
pub(crate) async fn run(file: &Path, base_url: &str, token: &str) -> Result<(), String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let vector: Vector = serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    let client = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
        .map_err(|error| error.to_string())?;
    let base = base_url.trim_end_matches('/');
    let mut variables = Variables::from([("base".to_owned(), Value::from(base))]);
    let server = Target { client, base, token };
    for step in &vector.steps {
        let cases = if step.each.is_empty() { vec![Map::new()] } else { step.each.clone() };
        let mut faults = Vec::new();
        for case in cases {
            let shown = if case.is_empty() { String::new() } else { format!(" {}", Value::Object(case.clone())) };
            let mut scope = variables.clone();
            // What a case says may lean on what earlier steps captured.
            scope.extend(case.into_iter().map(|(name, value)| (name, fill(&value, &variables))));
            let found = server.play(step, &mut scope).await;
            faults.extend(found.into_iter().map(|fault| format!("  {fault}{shown}")));
            if step.each.is_empty() {
                variables = scope;
            }
        }
        if !faults.is_empty() {
            return Err(format!("{name} ({}), step \"{}\":\n{}", vector.title, step.name, faults.join("\n")));
        }
    }
    Ok(())
}

struct Target<'a> {
    client: Client,
    base: &'a str,
    token: &'a str,
}

impl Target<'_> {
    /// Sends one step and lists what differs from what it expects.
    async fn play(&self, step: &Step, variables: &mut Variables) -> Vec<String> {
        let request = match self.request(step, variables) {
            Ok(request) => request,
            Err(fault) => return vec![fault],
        };
        let response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => return vec![format!("no answer: {error}")],
        };
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap_or_default();
        let mut faults = check_answer(status, &headers, &text);
        let allowed = match &step.expect.status {
            Value::Array(several) => several.contains(&Value::from(status)),
            one => one.as_u64() == Some(status.into()),
        };
        if !allowed {
            faults.push(format!("status: expected {}, found {status}: {text}", step.expect.status));
            return faults;
        }
        for (name, pattern) in &step.expect.headers {
            let found = headers.get(name).and_then(|value| value.to_str().ok()).map(Value::from);
            compare(pattern, found.as_ref(), &format!("header {name}"), variables, &mut faults);
        }
        match (&step.expect.body, serde_json::from_str::<Value>(&text)) {
            (None, _) => {}
            (Some(Value::Null), _) if text.is_empty() => {}
            (Some(Value::Null), _) => faults.push(format!("body: expected none, found {text}")),
            (Some(pattern), Ok(found)) => compare(pattern, Some(&found), "body", variables, &mut faults),
            (Some(_), Err(error)) => faults.push(format!("body: not JSON ({error}): {text}")),
        }
        faults
    }

    fn request(&self, step: &Step, variables: &Variables) -> Result<reqwest::Request, String> {
        let text = |template: &str| match fill(&Value::from(template), variables) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let mut url =
            Url::parse(&format!("{}{}", self.base, text(&step.path))).map_err(|error| format!("path: {error}"))?;
        for (name, value) in &step.query {
            let value = match fill(value, variables) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            url.query_pairs_mut().append_pair(name, &value);
        }
        let body = match (&step.body, &step.text) {
            (Some(body), _) => Some(fill(body, variables).to_string()),
            (None, raw) => raw.clone(),
        };
        let mut sent = BTreeMap::from([
            ("accept".to_owned(), Some("application/scim+json".to_owned())),
            ("authorization".to_owned(), Some(format!("Bearer {}", self.token))),
        ]);
        if body.is_some() {
            sent.insert("content-type".to_owned(), Some("application/scim+json".to_owned()));
        }
        for (name, value) in &step.headers {
            sent.insert(name.to_lowercase(), value.as_deref().map(text));
        }
        let method = Method::from_bytes(step.method.as_bytes()).map_err(|error| error.to_string())?;
        let mut request = self.client.request(method, url);
        for (name, value) in sent {
            if let Some(value) = value {
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
                let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
                request = request.header(name, value);
            }
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        request.build().map_err(|error| error.to_string())
    }
}

/// What every answer keeps: the media type, and the error body of RFC 7644 section 3.12.
fn check_answer(status: u16, headers: &HeaderMap, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.is_empty() {
        let media = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("none");
        if media.split(';').next() != Some("application/scim+json") {
            faults.push(format!("content-type: expected application/scim+json, found {media}"));
        }
    }
    if status >= 400 {
        let body: Value = serde_json::from_str(text).unwrap_or_default();
        let urn = "urn:ietf:params:scim:api:messages:2.0:Error";
        if body["schemas"] != serde_json::json!([urn]) || body["status"].as_str() != Some(&status.to_string()) {
            faults.push(format!("error body: expected schemas [{urn}] and status \"{status}\", found {text}"));
        }
        if body["detail"].as_str().is_none_or(str::is_empty) {
            faults.push(format!("error body: expected a detail, found {text}"));
        }
    }
    faults
}
