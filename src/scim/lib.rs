//! The SCIM 2.0 protocol (RFC 7643, RFC 7644), pure: no I/O, no clock, no async.
//!
//! In dependency order: [`error`] is the vocabulary clients see; [`schema`] says what a resource type looks like;
//! [`path`], [`key`] and [`filter`] name, order and test values; [`resource`] and [`patch`] validate and change
//! documents; [`query`] and [`page`] are what a search asks and answers; [`bulk`] is many operations in one message; [`view`] is what a
//! client may see of it all, [`authority`] what it may write. [`template`] makes texts of values, [`mapping`]
//! attributes of such texts. [`alias`] finds every place where an id stands.

pub mod alias;
pub mod authority;
pub mod bulk;
#[cfg(test)]
mod cases;
pub mod error;
pub mod filter;
pub mod json;
pub mod key;
pub mod mapping;
pub mod page;
pub mod patch;
pub mod path;
pub mod query;
pub mod resource;
pub mod schema;
pub mod template;
pub mod view;

pub use error::{Error, ScimType};
