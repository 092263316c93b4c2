//! Schemas and resource types as data (RFC 7643 sections 6 and 7), read from the documents in `schemas/`.

pub mod amendment;
mod attribute;
mod definition;
pub mod lint;
mod registry;
pub mod shipped;

pub use attribute::{Attribute, Mutability, Returned, Type, Uniqueness};
pub use definition::{Definition, Place, SecretPath};
pub use registry::{Registry, ResourceType, Schema, SchemaExtension};

#[cfg(test)]
mod tests;
