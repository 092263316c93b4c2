//! What the integration tests stand on.

pub(crate) mod conformance;
mod pattern;
pub(crate) mod postgres;
pub(crate) mod server;
pub(crate) mod vector;
