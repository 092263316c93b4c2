//! The token endpoint's side of the house (RFC 6749 section 4.4): who a client is (`client`), what it may have, and the
//! access token that says so (`access`), signed with the server's own keys ([`keys`]). A token names its client and the
//! credential that it was had with, so that it ends with either. Never makes a response and never writes a token anywhere.

mod access;
mod assertion;
mod client;
pub mod keys;

use crate::directory;
use crate::jose::Algorithm;

pub use access::AccessToken;
pub(in crate::auth) use access::{grant_of, meant_by};
pub(in crate::auth) use client::basic;

/// What of the server matters to whoever gets and checks access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The issuer (RFC 8414 section 2): the public URL, which is before `/scim/v2`. `None`: whatever address a client uses.
    pub issuer: Option<String>,
    /// Seconds that an access token is good for.
    pub token_seconds: u32,
    /// How it is signed: ES256 or EdDSA.
    pub algorithm: Algorithm,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { issuer: None, token_seconds: 600, algorithm: Algorithm::Es256 }
    }
}

/// Where the SCIM interface lies below the issuer.
pub const SCIM: &str = "/scim/v2";
/// Where the token endpoint lies below the issuer.
pub const TOKEN_ENDPOINT: &str = "/oauth/token";

/// What a client asks the token endpoint for, as it is written in the form.
#[derive(Default)]
pub struct TokenRequest {
    /// `grant_type`.
    pub grant_type: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `resource` (RFC 8707 section 2) and `audience`.
    pub resources: Vec<String>,
    /// `client_id`.
    pub client_id: Option<String>,
    /// `client_secret`.
    pub client_secret: Option<String>,
    /// `client_assertion_type` (RFC 7521 section 4.2).
    pub client_assertion_type: Option<String>,
    /// `client_assertion`.
    pub client_assertion: Option<String>,
}

/// Why there is no access token (RFC 6749 section 5.2). The text is for the client's developer; none of them says what it
/// is that was wrong about a client, or whether there is one.
#[derive(Debug, thiserror::Error)]
pub enum Denial {
    /// The request cannot be understood, or says a thing twice.
    #[error("invalid_request: {0}")]
    Request(&'static str),
    /// The client is not known by what it shows.
    #[error("invalid_client")]
    Client {
        /// It was shown in the `Authorization` header.
        by_header: bool,
    },
    /// Another grant than `client_credentials`.
    #[error("unsupported_grant_type")]
    Grant,
    /// The scope is none, or more than the client has.
    #[error("invalid_scope: {0}")]
    Scope(String),
    /// The token is wanted for something that is not here (RFC 8707 section 2).
    #[error("invalid_target")]
    Target,
    /// The client is known and its tenant suspended.
    #[error("unauthorized_client: the tenant is suspended")]
    Suspended,
    /// No tokens are given here: there is no master key that what signs them could be sealed under.
    #[error("no master key, so no access tokens; set secrets.key_file")]
    NoKey,
    /// The address has failed too often; it may try again after so many seconds.
    #[error("too many failed attempts")]
    Braked(u32),
    /// It could not be found out.
    #[error(transparent)]
    Directory(#[from] directory::Error),
}

impl From<store::Error> for Denial {
    fn from(error: store::Error) -> Self {
        Denial::Directory(error.into())
    }
}

impl Denial {
    /// `error` and `error_description`.
    pub fn told(&self) -> (&'static str, String) {
        match self {
            Denial::Request(sentence) => ("invalid_request", (*sentence).to_owned()),
            Denial::Client { .. } => ("invalid_client", "The client is not known, or not by what it shows.".to_owned()),
            Denial::Grant => ("unsupported_grant_type", "The only grant is client_credentials.".to_owned()),
            Denial::Scope(sentence) => ("invalid_scope", sentence.clone()),
            Denial::Target => ("invalid_target", "Tokens are for the SCIM interface of this issuer alone.".to_owned()),
            Denial::Suspended => ("unauthorized_client", "The register of this client is suspended.".to_owned()),
            Denial::NoKey => (
                "temporarily_unavailable",
                "This server gives no access tokens: it has no master key to seal its signing keys under. Its operator sets \
                 secrets.key_file."
                    .to_owned(),
            ),
            Denial::Braked(_) => ("temporarily_unavailable", "Too many attempts failed.".to_owned()),
            Denial::Directory(_) => ("server_error", "Something went wrong in the server.".to_owned()),
        }
    }
}
