//! Matrikel, a SCIM 2.0 identity register.

pub mod cli;
pub mod directory;
