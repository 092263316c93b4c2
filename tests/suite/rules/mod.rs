//! Rules: as resources, what they give, and why.

mod cookbook;
mod grants;
mod resource;
mod same;
