//! The handlers of RFC 7644, one file a part: [`resources`] by id, [`search`], [`bulk`], and [`discovery`].

pub(super) mod bulk;
pub(super) mod discovery;
pub(super) mod resources;
pub(super) mod search;
