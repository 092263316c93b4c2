//! What the integration tests stand on.

pub(crate) mod api;
pub(crate) mod both;
pub(crate) mod catalogue;
pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod conformance;
pub(crate) mod credential;
pub(crate) mod curl;
pub(crate) mod issuer;
pub(crate) mod messages;
pub(crate) mod moment;
pub(crate) mod municipality;
pub(crate) mod pattern;
pub(crate) mod postgres;
pub(crate) mod raw;
pub(crate) mod register;
pub(crate) mod server;
pub(crate) mod statements;
pub(crate) mod vector;
