//! The error vocabulary of RFC 7644 section 3.12: an HTTP status, a `scimType` where the table has one, and a detail
//! that says what to do. Never holds a value of a resource that the caller did not send.

use serde_json::{Value, json};

/// URN of the error message (RFC 7644 section 3.12).
pub const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// The `scimType` keywords of RFC 7644 table 9 and RFC 9865 section 2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimType {
    /// The filter's syntax, attribute or comparison is not possible.
    InvalidFilter,
    /// More would have to be looked at or returned than the server is willing to.
    TooMany,
    /// A value that must be unique is taken.
    Uniqueness,
    /// The attribute may not be changed that way.
    Mutability,
    /// The body is not what the request needs.
    InvalidSyntax,
    /// A PATCH path that is malformed or names nothing.
    InvalidPath,
    /// A PATCH path that selects nothing.
    NoTarget,
    /// A required value is missing, or a value is not of the attribute's kind.
    InvalidValue,
    /// The protocol version is not spoken.
    InvalidVers,
    /// The request carries personal data where it must not.
    Sensitive,
    /// The cursor is not one of ours (RFC 9865).
    InvalidCursor,
    /// The cursor is too old (RFC 9865).
    ExpiredCursor,
    /// The count does not fit the cursor (RFC 9865).
    InvalidCount,
}

impl ScimType {
    const ALL: [ScimType; 13] = [
        ScimType::InvalidFilter,
        ScimType::TooMany,
        ScimType::Uniqueness,
        ScimType::Mutability,
        ScimType::InvalidSyntax,
        ScimType::InvalidPath,
        ScimType::NoTarget,
        ScimType::InvalidValue,
        ScimType::InvalidVers,
        ScimType::Sensitive,
        ScimType::InvalidCursor,
        ScimType::ExpiredCursor,
        ScimType::InvalidCount,
    ];

    /// The keyword of that name.
    pub fn parse(name: &str) -> Option<Self> {
        ScimType::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The keyword as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ScimType::InvalidFilter => "invalidFilter",
            ScimType::TooMany => "tooMany",
            ScimType::Uniqueness => "uniqueness",
            ScimType::Mutability => "mutability",
            ScimType::InvalidSyntax => "invalidSyntax",
            ScimType::InvalidPath => "invalidPath",
            ScimType::NoTarget => "noTarget",
            ScimType::InvalidValue => "invalidValue",
            ScimType::InvalidVers => "invalidVers",
            ScimType::Sensitive => "sensitive",
            ScimType::InvalidCursor => "invalidCursor",
            ScimType::ExpiredCursor => "expiredCursor",
            ScimType::InvalidCount => "invalidCount",
        }
    }

    /// The HTTP status that RFC 7644 table 9 gives the keyword.
    pub fn status(self) -> u16 {
        match self {
            ScimType::Uniqueness => 409,
            ScimType::Sensitive => 403,
            _ => 400,
        }
    }
}

/// What a client is told when a request cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}{}: {detail}", .scim_type.map(|kind| format!(" {}", kind.as_str())).unwrap_or_default())]
pub struct Error {
    /// HTTP status.
    pub status: u16,
    /// Keyword of RFC 7644 table 9, where one applies.
    pub scim_type: Option<ScimType>,
    /// A sentence for a person: what is wrong and what to do.
    pub detail: String,
}

impl Error {
    /// An error with a keyword; the status follows from it.
    pub fn new(kind: ScimType, detail: impl Into<String>) -> Self {
        Error { status: kind.status(), scim_type: Some(kind), detail: detail.into() }
    }

    /// An error that has a status only.
    pub fn status(status: u16, detail: impl Into<String>) -> Self {
        Error { status, scim_type: None, detail: detail.into() }
    }

    /// 400 invalidFilter.
    pub fn invalid_filter(detail: impl Into<String>) -> Self {
        Error::new(ScimType::InvalidFilter, detail)
    }

    /// 400 invalidSyntax.
    pub fn invalid_syntax(detail: impl Into<String>) -> Self {
        Error::new(ScimType::InvalidSyntax, detail)
    }

    /// 400 invalidPath.
    pub fn invalid_path(detail: impl Into<String>) -> Self {
        Error::new(ScimType::InvalidPath, detail)
    }

    /// 400 invalidValue.
    pub fn invalid_value(detail: impl Into<String>) -> Self {
        Error::new(ScimType::InvalidValue, detail)
    }

    /// 400 mutability.
    pub fn mutability(detail: impl Into<String>) -> Self {
        Error::new(ScimType::Mutability, detail)
    }

    /// 400 noTarget.
    pub fn no_target(detail: impl Into<String>) -> Self {
        Error::new(ScimType::NoTarget, detail)
    }

    /// 400 tooMany.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Error::new(ScimType::TooMany, detail)
    }

    /// 409 uniqueness. Names the path alone, never the value or who holds it.
    pub fn uniqueness(path: &str) -> Self {
        Error::new(ScimType::Uniqueness, format!("The value of {path} is already in use. Choose another."))
    }

    /// 404 for a resource that does not exist or that the caller may not see: the two answer alike.
    pub fn not_found(kind: &str, id: &str) -> Self {
        Error::status(404, format!("{kind} {id} was not found."))
    }

    /// The body of RFC 7644 section 3.12; `status` is a string there.
    pub fn body(&self) -> Value {
        let mut body = json!({ "schemas": [ERROR_URN], "status": self.status.to_string() });
        if let (Some(kind), Some(object)) = (self.scim_type, body.as_object_mut()) {
            object.insert("scimType".into(), kind.as_str().into());
        }
        if let Some(object) = body.as_object_mut() {
            object.insert("detail".into(), self.detail.clone().into());
        }
        body
    }
}
