//! Files of `tests/vectors/hostile/`: requests that must be refused, written as `tests/vectors/hostile/README.md` tells.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::pattern::{Variables, fill};
use super::raw::{Answer, Request};

/// A file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalogue {
    #[serde(rename = "title")]
    _title: String,
    /// Whether the requests take the server's patience; they are sent once and at the same time.
    #[serde(default)]
    pub(crate) slow: bool,
    requests: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default = "get")]
    method: Value,
    #[serde(default)]
    path: Value,
    /// Parameters, which are encoded.
    #[serde(default)]
    query: Map<String, Value>,
    target: Option<Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    body: Option<Value>,
    text: Option<Value>,
    raw: Option<Value>,
    #[serde(default)]
    hangs_up: bool,
    #[serde(default)]
    each: Map<String, Value>,
    expect: Expect,
}

fn get() -> Value {
    "GET".into()
}

/// How a request is refused.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    status: Value,
    #[serde(rename = "scimType")]
    scim_type: Option<Value>,
    detail: Option<Value>,
    /// The request does not even get as far as SCIM.
    #[serde(default)]
    plain: bool,
    /// Its framing is broken, so the connection may be closed without an answer (RFC 9112 section 8).
    #[serde(default)]
    may_close: bool,
}

/// One request with the answer that it must get.
#[derive(Clone)]
pub(crate) struct Case {
    name: String,
    /// What to send.
    pub(crate) request: Request,
    is_head: bool,
    status: u64,
    scim_type: Option<String>,
    detail: Option<String>,
    plain: bool,
    may_close: bool,
}

impl Catalogue {
    /// Reads a file.
    pub(crate) fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Every request of the file, with `variables` filled in.
    pub(crate) fn cases(&self, variables: &Variables) -> Vec<Case> {
        self.requests
            .iter()
            .flat_map(|row| scopes(&row.each, variables).into_iter().map(|scope| row.case(&scope)))
            .collect()
    }
}

impl Row {
    fn case(&self, variables: &Variables) -> Case {
        let text = |value: &Value| String::from_utf8_lossy(&bytes(value, variables)).into_owned();
        let name = text(&Value::from(self.name.as_str()));
        let body = match (&self.body, &self.text) {
            (Some(body), _) => Some(fill(body, variables).to_string().into_bytes()),
            (None, Some(text)) => Some(bytes(text, variables)),
            (None, None) => None,
        };
        let mut headers: Vec<(Vec<u8>, Vec<u8>)> = vec![
            (b"Host".to_vec(), b"127.0.0.1".to_vec()),
            (b"Authorization".to_vec(), bytes(&"Bearer ${token}".into(), variables)),
        ];
        if body.is_some() {
            headers.push((b"Content-Type".to_vec(), b"application/scim+json".to_vec()));
        }
        for (name, value) in &self.headers {
            let name = bytes(&Value::from(name.as_str()), variables);
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            if !value.is_null() {
                headers.push((name, bytes(value, variables)));
            }
        }
        let mut target = match &self.target {
            Some(target) => bytes(target, variables),
            None => [b"/scim/v2".to_vec(), bytes(&self.path, variables)].concat(),
        };
        for (index, (name, value)) in self.query.iter().enumerate() {
            target.push(if index == 0 { b'?' } else { b'&' });
            target.extend(
                [encode(&bytes(&name.as_str().into(), variables)), b"=".to_vec(), encode(&bytes(value, variables))]
                    .concat(),
            );
        }
        let method = bytes(&self.method, variables);
        let mut request = match &self.raw {
            Some(raw) => Request { bytes: bytes(raw, variables), hangs_up: false },
            None => Request::new(&method, &target, &headers, &body.unwrap_or_default()),
        };
        request.hangs_up = self.hangs_up;
        let expect = &self.expect;
        let known = |value: &Option<Value>| value.as_ref().map(&text).filter(|text| !text.is_empty());
        Case {
            name,
            request,
            is_head: method == b"HEAD",
            status: fill(&expect.status, variables).as_u64().unwrap_or_default(),
            scim_type: known(&expect.scim_type),
            detail: known(&expect.detail),
            plain: expect.plain,
            may_close: expect.may_close,
        }
    }
}

impl Case {
    /// What is wrong with an answer, if anything.
    pub(crate) fn fault(&self, answer: &Answer) -> Option<String> {
        if self.may_close && answer.status == 0 {
            return None;
        }
        let body = answer.json();
        let is_error = self.plain
            || self.is_head
            || (body["schemas"] == serde_json::json!(["urn:ietf:params:scim:api:messages:2.0:Error"])
                && body["status"].as_str() == Some(&answer.status.to_string())
                && answer.header("content-type") == Some("application/scim+json")
                && body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        let fits = u64::from(answer.status) == self.status
            && is_error
            && (self.plain || self.is_head || body["scimType"].as_str() == self.scim_type.as_deref())
            && self.detail.as_ref().is_none_or(|part| answer.text.contains(part.as_str()));
        let wanted = format!(
            "{} {} {}",
            self.status,
            self.scim_type.as_deref().unwrap_or("-"),
            self.detail.as_deref().unwrap_or("")
        );
        (!fits).then(|| format!("{}: expected {wanted}, found {}", self.name, answer.show()))
    }
}

fn encode(text: &[u8]) -> Vec<u8> {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.iter()
        .flat_map(|byte| if harmless(byte) { vec![*byte] } else { format!("%{byte:02X}").into_bytes() })
        .collect()
}

/// Every combination of the values in `each`.
fn scopes(each: &Map<String, Value>, variables: &Variables) -> Vec<Variables> {
    let mut scopes = vec![variables.clone()];
    for (name, values) in each {
        let values = values.as_array().unwrap_or_else(|| panic!("{name} is no list"));
        let with = |scope: &Variables, value: &Value| {
            let mut scope = scope.clone();
            // An object brings several variables that belong together.
            match value {
                Value::Object(several) if name.starts_with('*') => {
                    scope.extend(several.iter().map(|(name, value)| (name.clone(), fill(value, variables))));
                }
                value => drop(scope.insert(name.clone(), fill(value, variables))),
            }
            scope
        };
        scopes = scopes.iter().flat_map(|scope| values.iter().map(|value| with(scope, value))).collect();
    }
    scopes
}

/// A template as bytes: a text with variables, `{"repeat": …, "times": n}`, `{"hex": "ff 00"}`, or a list of those.
fn bytes(template: &Value, variables: &Variables) -> Vec<u8> {
    match template {
        Value::Null => Vec::new(),
        Value::String(_) => match fill(template, variables) {
            Value::String(text) => text.into_bytes(),
            other if &other == template => Vec::new(),
            other @ (Value::Array(_) | Value::Object(_)) => bytes(&other, variables),
            other => other.to_string().into_bytes(),
        },
        Value::Array(parts) => parts.iter().flat_map(|part| bytes(part, variables)).collect(),
        Value::Object(part) => match (part.get("repeat"), part.get("hex").and_then(Value::as_str)) {
            (Some(repeated), _) => {
                let times = part.get("times").and_then(Value::as_u64).and_then(|times| usize::try_from(times).ok());
                bytes(repeated, variables).repeat(times.unwrap_or_default())
            }
            (None, Some(hex)) => hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("a byte")).collect(),
            (None, None) => panic!("{template} is no template"),
        },
        other => other.to_string().into_bytes(),
    }
}
