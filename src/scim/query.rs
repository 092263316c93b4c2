//! What a search asks for, from query parameters (RFC 7644 section 3.4.2) or a SearchRequest message (section 3.4.3),
//! with the cursor of RFC 9865 section 2 in either.
//! The filter stays text here: which schema it is checked against is not known yet. Unknown parameters are ignored.

use serde_json::{Map, Value};

use crate::Error;
use crate::error::ScimType;

/// URN of the message (RFC 7644 section 3.4.3).
pub const SEARCH_REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// The parameters of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchRequest {
    /// The filter's text, not yet read. An empty one is kept, so that it fails rather than selecting everything.
    pub filter: Option<String>,
    /// Path to sort by.
    pub sort_by: Option<String>,
    /// Whether `sortOrder` is `descending`.
    pub descending: bool,
    /// Place of the first result, counted from 1; smaller numbers have become 1.
    pub start_index: u64,
    /// Most results wanted; negative numbers have become 0. `None`: the server decides.
    pub count: Option<u64>,
    /// Where to go on (RFC 9865); an empty one asks for the first page. `None`: paging by index.
    pub cursor: Option<String>,
    /// Attributes to answer. Never given together with `excluded`.
    pub attributes: Vec<String>,
    /// Attributes to leave out.
    pub excluded: Vec<String>,
}

impl Default for SearchRequest {
    fn default() -> Self {
        SearchRequest {
            filter: None,
            sort_by: None,
            descending: false,
            start_index: 1,
            count: None,
            cursor: None,
            attributes: Vec::new(),
            excluded: Vec::new(),
        }
    }
}

impl SearchRequest {
    /// From decoded query parameters; names in any case.
    ///
    /// Fails with 400 invalidValue for a number that is none, a sort order that is none, `attributes` together with
    /// `excludedAttributes` (they exclude each other, RFC 7644 section 3.9), and a parameter that is given twice,
    /// because it cannot be known which is meant; the two lists may be repeated and add up. A cursor and `startIndex`
    /// together are 400 invalidValue, as each asks for another method; beside a cursor a count that is none is 400
    /// invalidCount.
    pub fn from_pairs<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Self, Error> {
        let mut reading = Reading::default();
        let mut seen: Vec<Parameter> = Vec::new();
        for (name, text) in pairs {
            let Some(parameter) = Parameter::of(name) else { continue };
            let is_list = matches!(parameter, Parameter::Attributes | Parameter::ExcludedAttributes);
            if !is_list && seen.contains(&parameter) {
                return Err(Error::invalid_value(format!("{} is given more than once.", parameter.name())));
            }
            seen.push(parameter);
            let request = &mut reading.request;
            match parameter {
                Parameter::Filter => request.filter = Some(text.to_owned()),
                Parameter::SortBy => request.sort_by = path(text),
                Parameter::SortOrder => request.descending = descending(text)?,
                Parameter::StartIndex => reading.start_index(integer(parameter, text)?),
                Parameter::Count => reading.count(integer(parameter, text)),
                Parameter::Cursor => request.cursor = Some(text.to_owned()),
                Parameter::Attributes => request.attributes.extend(list(text)),
                Parameter::ExcludedAttributes => request.excluded.extend(list(text)),
            }
        }
        reading.finish()
    }

    /// From the body of `POST …/.search`; members in any case, `null` is absent.
    ///
    /// Fails with 400 invalidSyntax when the body is not an object whose `schemas` hold [`SEARCH_REQUEST_URN`], and
    /// otherwise as [`SearchRequest::from_pairs`] does. Attribute lists are arrays; one text with commas is understood.
    pub fn from_body(body: &Value) -> Result<Self, Error> {
        let Value::Object(body) = body else {
            return Err(Error::invalid_syntax("A search request is a JSON object."));
        };
        require_urn(body)?;
        let mut reading = Reading::default();
        for (name, value) in body {
            let Some(parameter) = Parameter::of(name) else { continue };
            if value.is_null() {
                continue;
            }
            let request = &mut reading.request;
            match parameter {
                Parameter::Filter => request.filter = Some(text(parameter, value)?.to_owned()),
                Parameter::SortBy => request.sort_by = path(text(parameter, value)?),
                Parameter::SortOrder => request.descending = descending(text(parameter, value)?)?,
                Parameter::StartIndex => reading.start_index(number(parameter, value)?),
                Parameter::Count => reading.count(number(parameter, value)),
                Parameter::Cursor => {
                    let no_text = || Error::new(ScimType::InvalidCursor, "A cursor is a text.");
                    request.cursor = Some(value.as_str().ok_or_else(no_text)?.to_owned());
                }
                Parameter::Attributes => request.attributes = names(parameter, value)?,
                Parameter::ExcludedAttributes => request.excluded = names(parameter, value)?,
            }
        }
        reading.finish()
    }
}

/// A request that is being read: what is wrong with some parameters depends on others that may come later.
#[derive(Default)]
struct Reading {
    request: SearchRequest,
    has_start_index: bool,
    miscounted: Option<Error>,
}

impl Reading {
    fn start_index(&mut self, number: u64) {
        self.request.start_index = number.max(1);
        self.has_start_index = true;
    }

    fn count(&mut self, count: Result<u64, Error>) {
        match count {
            Ok(count) => self.request.count = Some(count),
            Err(error) => self.miscounted = Some(error),
        }
    }

    fn finish(self) -> Result<SearchRequest, Error> {
        let has_cursor = self.request.cursor.is_some();
        match self.miscounted {
            Some(error) if has_cursor => return Err(Error::new(ScimType::InvalidCount, error.detail)),
            Some(error) => return Err(error),
            None => {}
        }
        if has_cursor && self.has_start_index {
            return Err(Error::invalid_value("cursor and startIndex exclude each other. Give one of them."));
        }
        if !self.request.attributes.is_empty() && !self.request.excluded.is_empty() {
            return Err(Error::invalid_value(
                "attributes and excludedAttributes exclude each other. Give one of them.",
            ));
        }
        Ok(self.request)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Parameter {
    Filter,
    SortBy,
    SortOrder,
    StartIndex,
    Count,
    Cursor,
    Attributes,
    ExcludedAttributes,
}

impl Parameter {
    const ALL: [Parameter; 8] = [
        Parameter::Filter,
        Parameter::SortBy,
        Parameter::SortOrder,
        Parameter::StartIndex,
        Parameter::Count,
        Parameter::Cursor,
        Parameter::Attributes,
        Parameter::ExcludedAttributes,
    ];

    fn of(name: &str) -> Option<Parameter> {
        Parameter::ALL.into_iter().find(|parameter| parameter.name().eq_ignore_ascii_case(name))
    }

    fn name(self) -> &'static str {
        match self {
            Parameter::Filter => "filter",
            Parameter::SortBy => "sortBy",
            Parameter::SortOrder => "sortOrder",
            Parameter::StartIndex => "startIndex",
            Parameter::Count => "count",
            Parameter::Cursor => "cursor",
            Parameter::Attributes => "attributes",
            Parameter::ExcludedAttributes => "excludedAttributes",
        }
    }
}

fn require_urn(body: &Map<String, Value>) -> Result<(), Error> {
    let is_urn = |value: &Value| value.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(SEARCH_REQUEST_URN));
    let schemas = body.iter().find(|(name, _)| name.eq_ignore_ascii_case("schemas")).map(|(_, value)| value);
    match schemas {
        Some(Value::Array(schemas)) if schemas.iter().any(is_urn) => Ok(()),
        _ => Err(Error::invalid_syntax(format!("The schemas of a search request must hold {SEARCH_REQUEST_URN}."))),
    }
}

fn path(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn descending(text: &str) -> Result<bool, Error> {
    match text.trim() {
        order if order.eq_ignore_ascii_case("ascending") => Ok(false),
        order if order.eq_ignore_ascii_case("descending") => Ok(true),
        _ => Err(Error::invalid_value("sortOrder is ascending or descending.")),
    }
}

/// A whole number, negative ones as 0, more than 64 bits as the largest.
fn integer(parameter: Parameter, text: &str) -> Result<u64, Error> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_whole(parameter));
    }
    Ok(if negative { 0 } else { digits.parse().unwrap_or(u64::MAX) })
}

fn number(parameter: Parameter, value: &Value) -> Result<u64, Error> {
    match value {
        Value::Number(number) => match crate::key::whole(number) {
            Some(number) => Ok(number.max(0).try_into().unwrap_or(u64::MAX)),
            None => Err(not_whole(parameter)),
        },
        Value::String(text) => integer(parameter, text),
        _ => Err(not_whole(parameter)),
    }
}

fn not_whole(parameter: Parameter) -> Error {
    Error::invalid_value(format!("{} must be a whole number.", parameter.name()))
}

fn text(parameter: Parameter, value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| Error::invalid_value(format!("{} must be a text.", parameter.name())))
}

fn list(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn names(parameter: Parameter, value: &Value) -> Result<Vec<String>, Error> {
    let fail = || Error::invalid_value(format!("{} must be an array of texts.", parameter.name()));
    match value {
        Value::String(text) => Ok(list(text).collect()),
        Value::Array(values) => {
            let mut names = Vec::new();
            for value in values {
                names.extend(list(value.as_str().ok_or_else(fail)?));
            }
            Ok(names)
        }
        _ => Err(fail()),
    }
}

#[cfg(test)]
mod tests;
