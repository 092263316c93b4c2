//! The handlers of RFC 7644, one file a part: [`resources`] by id, [`search`], [`bulk`], [`discovery`], the
//! [`types`] that a tenant adds, what is particular about [`views`], [`feeds`], [`licences`] and [`simulations`], the daily [`report`], and `named`: names of
//! the client's own.

pub(super) mod bulk;
pub(super) mod credentials;
pub(super) mod discovery;
pub(super) mod feeds;
pub(super) mod licences;
mod named;
pub(super) mod report;
pub(super) mod resources;
pub(super) mod search;
pub(super) mod simulations;
pub(super) mod sources;
pub(super) mod types;
pub(super) mod views;
pub(super) mod why;
