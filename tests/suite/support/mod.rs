//! What the integration tests stand on.

pub(crate) mod catalogue;
pub(crate) mod conformance;
pub(crate) mod pattern;
pub(crate) mod postgres;
pub(crate) mod raw;
pub(crate) mod server;
pub(crate) mod vector;
