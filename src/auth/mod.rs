//! Who is asking: bearer tokens ([`token`]) and [`certificate`]s, the check of what a request shows ([`bearer`]) and what a
//! role may do ([`role`]). Answers a [`Principal`]; never looks at a resource.

pub mod bearer;
pub mod certificate;
pub mod role;
pub mod token;

pub use bearer::{Authenticator, Principal, Refusal, Shown};
