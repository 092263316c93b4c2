//! Who is asking: bearer tokens ([`token`]), the check of a request's token ([`bearer`]) and what its scopes let it
//! ([`scope`]). Answers a [`Principal`]; never looks at a resource.

pub mod bearer;
pub mod scope;
pub mod token;

pub use bearer::{Authenticator, Principal, Refusal};
