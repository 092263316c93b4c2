//! Who is asking: bearer tokens ([`token`]), the check of a request's token ([`bearer`]) and what a role may do
//! ([`role`]). Answers a [`Principal`]; never looks at a resource.

pub mod bearer;
pub mod role;
pub mod token;

pub use bearer::{Authenticator, Principal, Refusal};
