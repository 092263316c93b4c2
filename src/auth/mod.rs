//! Who is asking: bearer tokens ([`token`]) and [`certificate`]s, the check of what a request shows ([`bearer`]) and what
//! its scopes let it ([`scope`]); `jwt` reads signed tokens, [`oauth`] makes them, and [`issuer`] knows those of others;
//! `meant` is whose register a refused request was meant for. Answers a [`Principal`]; never looks at a resource.

pub mod bearer;
pub mod certificate;
pub mod federation;
pub mod issue;
pub mod issuer;
mod jwt;
pub mod limit;
mod meant;
pub mod oauth;
pub mod scope;
pub mod token;
pub mod used;

pub use bearer::{Authenticator, Principal, Refusal, Shown};
pub use meant::{Meant, meant_at_endpoint};

/// An error and what caused it, outermost first, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
