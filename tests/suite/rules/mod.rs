//! Rules: as resources, what they give, and why.

mod cookbook;
pub(crate) mod grants;
mod ground;
mod person;
pub(crate) mod resource;
pub(crate) mod same;
mod table;
mod unit;
