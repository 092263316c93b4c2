//! The BulkResponse: what became of each operation (RFC 7644 section 3.7).

use serde_json::{Map, Value, json};

use super::{BULK_RESPONSE_URN, Method};

/// What became of one operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// What it asked for.
    pub method: Method,
    /// Its name within the message.
    pub bulk_id: Option<String>,
    /// The version of the resource now.
    pub version: Option<String>,
    /// The resource; `None` when a POST failed.
    pub location: Option<String>,
    /// The status the operation alone would have had.
    pub status: u16,
    /// The error's body, when it is one.
    pub response: Option<Value>,
}

/// The answer to a BulkRequest.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkResponse {
    /// What was carried out, in the order of the request.
    pub operations: Vec<Done>,
}

impl BulkResponse {
    /// The message as JSON text; a status is a string there.
    pub fn to_json(&self) -> String {
        let operations: Vec<Value> = self.operations.iter().map(Done::to_value).collect();
        json!({ "schemas": [BULK_RESPONSE_URN], "Operations": operations }).to_string()
    }
}

impl Done {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                out.insert(name.to_owned(), value);
            }
        };
        let text = |text: &Option<String>| text.clone().map(Value::from);
        put("method", Some(self.method.as_str().into()));
        put("bulkId", text(&self.bulk_id));
        put("version", text(&self.version));
        put("location", text(&self.location));
        put("status", Some(self.status.to_string().into()));
        put("response", self.response.clone());
        Value::Object(out)
    }
}
