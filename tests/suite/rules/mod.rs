//! Rules: as resources, what they give, why, and licences of which there are not enough.

mod resource;
