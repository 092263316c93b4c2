//! Bulk (RFC 7644 section 3.7): many operations in one message. [`parse`] reads a BulkRequest; [`BulkRequest::units`]
//! says in which order its operations are carried out and which only together; [`BulkRequest::resolve`] puts real ids
//! in the place of bulkIds; [`BulkResponse`] is the answer. Carries nothing out and knows no resource type.
//!
//! Where the RFC is silent or at odds with itself:
//! - A message whose operations cannot be told apart (no method, one bulkId twice, wrong types) is refused as a whole.
//!   Whatever else is wrong with an operation is that operation's [`fault`](Operation::fault), and the others go on.
//! - Every string in `data` that is `bulkId:` and a bulkId is a reference, wherever it stands, and so are a `$ref` that
//!   ends in one and a quoted value in the filter of a PATCH path. Only a POST can be referred to.
//! - Operations keep the order of the message, except that one waits for those it refers to. Operations on the same
//!   resource are never swapped.

mod order;
mod parse;
mod refer;
mod response;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::Value;

use crate::Error;

pub use parse::parse;
pub use response::{BulkResponse, Done};

/// URN of the request (RFC 7644 section 3.7).
pub const BULK_REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// URN of the answer (RFC 7644 section 3.7).
pub const BULK_RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// What an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Create.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Delete.
    Delete,
}

impl Method {
    const ALL: [Method; 4] = [Method::Post, Method::Put, Method::Patch, Method::Delete];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// A BulkRequest, with every reference linked to the operation that creates what it names.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkRequest {
    /// After so many errors nothing further is carried out; at least 1.
    pub fail_on_errors: Option<u64>,
    /// The operations in the order of the message.
    pub operations: Vec<Operation>,
    /// The POST of each bulkId.
    posts: HashMap<String, usize>,
}

/// One operation of a BulkRequest.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// What it asks for.
    pub method: Method,
    /// Its name within the message.
    pub bulk_id: Option<String>,
    /// The version the resource must have, an entity tag.
    pub version: Option<String>,
    /// Endpoint of the resource type, without slash; empty when there is no path that can be read.
    pub endpoint: String,
    /// The resource; `None` with POST, until the caller has drawn one.
    pub id: Option<String>,
    /// The body; `Null` with DELETE.
    pub data: Value,
    /// Why it cannot be carried out, whatever is stored.
    pub fault: Option<Error>,
    /// The POST operations that it refers to, by index, each once.
    pub refers: Vec<usize>,
    /// The POST operation that creates the resource of its path.
    pub target: Option<usize>,
}

impl BulkRequest {
    /// The indices of the operations in the order in which they are carried out. Those of one unit refer to each other
    /// in a circle: they succeed or fail together. Every other unit is a single operation.
    pub fn units(&self) -> Vec<Vec<usize>> {
        let mut needs: Vec<Vec<usize>> = self.operations.iter().map(|operation| operation.refers.clone()).collect();
        let mut latest: HashMap<(&str, &str), usize> = HashMap::new();
        for (index, (operation, needs)) in self.operations.iter().zip(&mut needs).enumerate() {
            if let (Some(id), true) = (&operation.id, operation.method != Method::Post) {
                needs.extend(latest.insert((&operation.endpoint, id), index));
            }
        }
        order::units(&needs)
    }

    /// Puts ids in the place of bulkIds, and locations in the place of those in a `$ref`. `created` has both for the
    /// index of a POST.
    pub fn resolve(&mut self, created: impl Fn(usize) -> Option<(String, String)>) {
        let BulkRequest { operations, posts, .. } = self;
        for operation in operations.iter_mut().filter(|operation| operation.fault.is_none()) {
            if let Some((id, _)) = operation.target.and_then(&created) {
                operation.id = Some(id);
            }
            if operation.refers.is_empty() {
                continue;
            }
            refer::visit(operation.method, &mut operation.data, &mut |bulk_id, form| {
                let (id, location) = created(*posts.get(bulk_id)?)?;
                Some(match form {
                    refer::Form::Id => id,
                    refer::Form::Location => location,
                })
            });
        }
    }
}
