//! Rules: as resources, what they give, and why.

mod grants;
mod resource;
