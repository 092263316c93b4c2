//! Who is asking: bearer tokens ([`token`]) and [`certificate`]s, the check of what a request shows ([`bearer`]) and what
//! its scopes let it ([`scope`]); `jwt` reads signed tokens, [`oauth`] makes them, and [`issuer`] knows those of others. Answers a [`Principal`]; never looks at a resource.

pub mod bearer;
pub mod certificate;
pub mod federation;
pub mod issue;
pub mod issuer;
mod jwt;
pub mod limit;
pub mod oauth;
pub mod scope;
pub mod token;
pub mod used;

pub use bearer::{Authenticator, Principal, Refusal, Shown};
