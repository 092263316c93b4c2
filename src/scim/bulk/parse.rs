//! A BulkRequest message becomes operations: the envelope, each operation's members, and what it refers to.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{BULK_REQUEST_URN, BulkRequest, Method, Operation, refer};
use crate::Error;
use crate::resource::{Notes, Strictness};

/// Reads a BulkRequest message of at most `max_operations` operations.
///
/// Tolerances noted: `schemas-missing`, `key-case`, `method-case`, `path-slash`.
///
/// Errors: 400 invalidSyntax for a message that is none, invalidValue for a bulkId that stands twice, 413 for too many
/// operations.
pub fn parse(
    body: Value,
    max_operations: usize,
    strictness: Strictness,
    notes: &mut Notes,
) -> Result<BulkRequest, Error> {
    let Value::Object(mut body) = body else {
        return Err(Error::invalid_syntax("The body must be a JSON object."));
    };
    let mut reader = Reader { tolerant: strictness == Strictness::Tolerant, notes };
    let is_bulk = |urn: &Value| urn.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(BULK_REQUEST_URN));
    let schemas = reader.take(&mut body, "schemas")?;
    let named = schemas.as_ref().and_then(Value::as_array).is_some_and(|urns| urns.iter().any(is_bulk));
    if !named && (schemas.is_some() || !reader.forgives("schemas-missing")) {
        return Err(Error::invalid_syntax(format!("schemas must be given and contain {BULK_REQUEST_URN}.")));
    }
    let fail_on_errors = match reader.take(&mut body, "failOnErrors")? {
        None => None,
        Some(value) => Some(value.as_u64().filter(|errors| *errors > 0).ok_or_else(|| {
            Error::invalid_value("failOnErrors must be a whole number from 1. Leave it out to go on after every error.")
        })?),
    };
    let operations = match reader.take(&mut body, "Operations")? {
        Some(Value::Array(operations)) if !operations.is_empty() => operations,
        _ => return Err(Error::invalid_syntax("Operations must be an array of at least one operation.")),
    };
    reader.finish(&body)?;
    if operations.len() > max_operations {
        return Err(Error::status(
            413,
            format!(
                "The request has {} operations, more than maxOperations, which is {max_operations}. Send it in parts.",
                operations.len()
            ),
        ));
    }
    let operations = operations
        .into_iter()
        .enumerate()
        .map(|(index, operation)| {
            reader
                .operation(operation)
                .map_err(|error| Error { detail: format!("Operations[{index}]: {}", error.detail), ..error })
        })
        .collect::<Result<Vec<_>, _>>()?;
    link(fail_on_errors, operations)
}

struct Reader<'n> {
    tolerant: bool,
    notes: &'n mut Notes,
}

impl Reader<'_> {
    fn forgives(&mut self, quirk: &'static str) -> bool {
        if self.tolerant {
            self.notes.note(quirk);
        }
        self.tolerant
    }

    /// Takes a member out; `null` is absent.
    fn take(&mut self, object: &mut Map<String, Value>, name: &str) -> Result<Option<Value>, Error> {
        let value = match object.remove(name) {
            Some(value) => Some(value),
            None => match object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned() {
                Some(key) if self.forgives("key-case") => object.remove(&key),
                Some(key) => return Err(Error::invalid_syntax(format!("{key} must be written {name}."))),
                None => None,
            },
        };
        Ok(value.filter(|value| !value.is_null()))
    }

    /// What is left over is unknown: ignored, or refused when strict.
    fn finish(&self, left: &Map<String, Value>) -> Result<(), Error> {
        match left.keys().next() {
            Some(name) if !self.tolerant => Err(Error::invalid_syntax(format!("{name} has no meaning here."))),
            _ => Ok(()),
        }
    }

    fn text(&mut self, object: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Error> {
        match self.take(object, name)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::invalid_syntax(format!("{name} must be a string."))),
        }
    }

    fn operation(&mut self, operation: Value) -> Result<Operation, Error> {
        let Value::Object(mut operation) = operation else {
            return Err(Error::invalid_syntax("an operation must be an object."));
        };
        let method = self.text(&mut operation, "method")?;
        let method = self.method(method.as_deref())?;
        let mut read = Operation {
            method,
            bulk_id: self.text(&mut operation, "bulkId")?,
            version: self.text(&mut operation, "version")?.filter(|version| !version.is_empty()),
            endpoint: String::new(),
            id: None,
            data: Value::Null,
            fault: None,
            refers: Vec::new(),
            target: None,
        };
        let path = self.text(&mut operation, "path")?;
        let data = self.take(&mut operation, "data")?;
        self.finish(&operation)?;
        read.fault = self.complete(&mut read, path, data).err();
        Ok(read)
    }

    fn method(&mut self, text: Option<&str>) -> Result<Method, Error> {
        let text = text.ok_or_else(|| Error::invalid_syntax("method is missing."))?;
        let known = Method::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text));
        match known {
            Some(method) if method.as_str() == text || self.forgives("method-case") => Ok(method),
            _ => Err(Error::invalid_syntax("method must be POST, PUT, PATCH or DELETE.")),
        }
    }

    /// What an operation needs to be carried out.
    fn complete(&mut self, operation: &mut Operation, path: Option<String>, data: Option<Value>) -> Result<(), Error> {
        let method = operation.method.as_str();
        let path = path.ok_or_else(|| Error::invalid_syntax(format!("path is missing: {method} needs one.")))?;
        let shape = || {
            Error::invalid_value(match operation.method {
                Method::Post => format!("path {path} is not an endpoint. POST needs one such as /Users."),
                _ => format!("path {path} is not a resource. {method} needs one such as /Users/{{id}}."),
            })
        };
        let parts = match path.strip_prefix('/') {
            Some(parts) => parts,
            None if !path.contains("://") && self.forgives("path-slash") => &path,
            None => return Err(shape()),
        };
        if parts.contains(['?', '#']) {
            return Err(Error::invalid_value(format!("path {path} has parameters, which an operation cannot have.")));
        }
        let (endpoint, id) = match parts.split_once('/') {
            None => (parts, None),
            Some((endpoint, id)) => (endpoint, Some(id).filter(|id| !id.is_empty())),
        };
        if endpoint.is_empty() || id.is_some() == (operation.method == Method::Post) {
            return Err(shape());
        }
        // A bulkId may hold a slash, an id cannot.
        if id.is_some_and(|id| id.contains('/') && !id.starts_with(refer::PREFIX)) {
            return Err(shape());
        }
        (operation.endpoint, operation.id) = (endpoint.to_owned(), id.map(str::to_owned));
        if operation.method == Method::Post && operation.bulk_id.as_ref().is_none_or(String::is_empty) {
            return Err(Error::invalid_syntax("bulkId is missing: POST needs one."));
        }
        match (operation.method, data) {
            (Method::Delete, _) => Ok(()),
            (_, Some(data)) if data.is_object() => {
                operation.data = data;
                Ok(())
            }
            (_, Some(_)) => Err(Error::invalid_syntax("data must be an object.")),
            (_, None) => Err(Error::invalid_syntax(format!("data is missing: {method} needs it."))),
        }
    }
}

/// Links every reference to its POST. One to nothing is the fault of the operation that has it.
fn link(fail_on_errors: Option<u64>, mut operations: Vec<Operation>) -> Result<BulkRequest, Error> {
    let mut posts = HashMap::new();
    let mut names = HashMap::new();
    for (index, operation) in operations.iter().enumerate() {
        let Some(bulk_id) = &operation.bulk_id else { continue };
        if let Some(first) = names.insert(bulk_id.clone(), index) {
            return Err(Error::invalid_value(format!(
                "Operations[{first}] and Operations[{index}] have the same bulkId {bulk_id}. Give each its own."
            )));
        }
        if operation.method == Method::Post {
            posts.insert(bulk_id.clone(), index);
        }
    }
    for operation in operations.iter_mut().filter(|operation| operation.fault.is_none()) {
        let mut named = Vec::new();
        let in_path = operation.id.as_deref().and_then(|id| id.strip_prefix(refer::PREFIX)).map(str::to_owned);
        named.extend(in_path.clone());
        refer::visit(operation.method, &mut operation.data, &mut |bulk_id, _| {
            named.push(bulk_id.to_owned());
            None
        });
        operation.fault = named
            .iter()
            .find(|bulk_id| !posts.contains_key(*bulk_id))
            .map(|bulk_id| Error::invalid_value(format!("bulkId:{bulk_id} names no POST operation of this request.")));
        operation.target = in_path.and_then(|bulk_id| posts.get(&bulk_id).copied());
        operation.refers = named.iter().filter_map(|bulk_id| posts.get(bulk_id).copied()).collect();
        operation.refers.sort_unstable();
        operation.refers.dedup();
    }
    Ok(BulkRequest { fail_on_errors, operations, posts })
}
