//! Rules: as resources, what they give, and why.

mod cookbook;
pub(crate) mod grants;
mod resource;
mod same;
