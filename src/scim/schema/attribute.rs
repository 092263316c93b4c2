//! Attributes and their characteristics (RFC 7643 sections 2.2 to 2.4 and 7).

use serde::Deserialize;

/// Data type of an attribute (RFC 7643 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Type {
    /// Unicode text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A real number.
    Decimal,
    /// A whole number.
    Integer,
    /// An instant, RFC 3339 with time and zone.
    DateTime,
    /// Base64 bytes.
    Binary,
    /// A URI, relative or absolute, or the id of a resource.
    Reference,
    /// An object of sub-attributes.
    Complex,
}

impl Type {
    /// The name as schemas write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::Boolean => "boolean",
            Type::Decimal => "decimal",
            Type::Integer => "integer",
            Type::DateTime => "dateTime",
            Type::Binary => "binary",
            Type::Reference => "reference",
            Type::Complex => "complex",
        }
    }
}

/// Who may change an attribute, and when (RFC 7643 section 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mutability {
    /// Set by the server alone.
    ReadOnly,
    /// Read and written at any time.
    #[default]
    ReadWrite,
    /// Written once, at creation or when it was unset.
    Immutable,
    /// Written, never read.
    WriteOnly,
}

/// When an attribute is part of an answer (RFC 7643 section 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Returned {
    /// In every answer, whatever is asked for.
    Always,
    /// In no answer.
    Never,
    /// Unless the request leaves it out.
    #[default]
    Default,
    /// Only when the request names it.
    Request,
}

/// How far a value must be unique (RFC 7643 section 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Uniqueness {
    /// Not at all.
    #[default]
    None,
    /// Within the tenant.
    Server,
    /// Everywhere.
    Global,
}

/// One attribute or sub-attribute with every characteristic of RFC 7643 section 7.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attribute {
    /// The name in the schema's own case; names compare case-insensitively.
    pub name: String,
    /// Data type.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Whether the value is an array.
    #[serde(default)]
    pub multi_valued: bool,
    /// What the attribute means, for people.
    #[serde(default)]
    pub description: String,
    /// Whether a resource must have it.
    #[serde(default)]
    pub required: bool,
    /// Suggested values; any other text is accepted.
    #[serde(default)]
    pub canonical_values: Vec<String>,
    /// Whether upper and lower case differ.
    #[serde(default)]
    pub case_exact: bool,
    /// Who may change it.
    #[serde(default)]
    pub mutability: Mutability,
    /// When it is answered.
    #[serde(default)]
    pub returned: Returned,
    /// How far it must be unique.
    #[serde(default)]
    pub uniqueness: Uniqueness,
    /// Whether values are sealed where they are stored and found by their whole value alone. Not of the RFC.
    #[serde(default)]
    pub secret: bool,
    /// What a reference may point to: resource type names, `uri` or `external`.
    #[serde(default)]
    pub reference_types: Vec<String>,
    /// Sub-attributes of a complex attribute; never complex themselves (RFC 7643 section 2.3.8).
    #[serde(default)]
    pub sub_attributes: Vec<Attribute>,
}

impl Attribute {
    /// The sub-attribute of that name, in any case.
    pub fn sub(&self, name: &str) -> Option<&Attribute> {
        self.sub_attributes.iter().find(|sub| sub.name.eq_ignore_ascii_case(name))
    }

    /// Whether the attribute is an object or an array of objects.
    pub fn is_complex(&self) -> bool {
        self.kind == Type::Complex
    }
}
