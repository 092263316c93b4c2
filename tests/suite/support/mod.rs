//! What the integration tests stand on.

pub(crate) mod both;
pub(crate) mod client;
pub(crate) mod conformance;
pub(crate) mod messages;
mod pattern;
pub(crate) mod postgres;
pub(crate) mod register;
pub(crate) mod server;
pub(crate) mod vector;
