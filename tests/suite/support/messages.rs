//! Bodies that tests send, in their shortest valid form.

use serde_json::{Value, json};

/// A User.
pub(crate) fn user(user_name: &str) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": user_name })
}

/// A User with further members.
pub(crate) fn user_with(user_name: &str, more: &Value) -> Value {
    with(user(user_name), more)
}

/// A Group of these members.
pub(crate) fn group(name: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name, "members": members })
}

/// A Client.
pub(crate) fn client(name: &str, role: &str) -> Value {
    json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:Client"], "name": name, "role": role })
}

/// The object with these members put in or replaced.
pub(crate) fn with(mut body: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

/// A PATCH.
pub(crate) fn patch(operations: &Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations })
}

/// A PATCH that adds members to a group.
pub(crate) fn add_members(ids: &[&str]) -> Value {
    let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
    patch(&json!([{ "op": "add", "path": "members", "value": members }]))
}

/// A PATCH that sets one attribute.
pub(crate) fn set(path: &str, value: &Value) -> Value {
    patch(&json!([{ "op": "replace", "path": path, "value": value }]))
}
