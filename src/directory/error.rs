//! Why a use case was not carried out. Nothing of it is stored then.

use super::guard::Held;

/// A refused or failed use case.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// What the protocol tells the client.
    #[error(transparent)]
    Scim(scim::Error),
    /// The memory could not.
    #[error(transparent)]
    Store(store::Error),
    /// The caller has done too much within a day.
    #[error("{0}")]
    Held(Box<Held>),
    /// The caller may not do that.
    #[error("{0}")]
    Denied(String),
}

impl Error {
    /// Whether it says nothing of the request: the memory could not, and may another time.
    pub fn may_pass(&self) -> bool {
        use store::Error::{Busy, Corrupt, Full, Unavailable};
        matches!(self, Error::Store(Busy | Full | Unavailable(_) | Corrupt(_)))
    }
}

impl From<scim::Error> for Error {
    fn from(error: scim::Error) -> Self {
        Error::Scim(error)
    }
}

impl From<store::Error> for Error {
    /// What the memory says of a request becomes the protocol's word for it; what it says of itself stays.
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Taken { path } => Error::Scim(scim::Error::uniqueness(&path)),
            store::Error::TooMany { limit } => Error::Scim(scim::Error::too_many(format!(
                "More than {limit} resources would have to be looked at. Narrow the filter with an attribute that is \
                 indexed, such as userName eq, or ask for less."
            ))),
            store::Error::TooManyMembers { limit } => Error::Scim(scim::Error::too_many(format!(
                "The groups of this page have more than {limit} members together. Leave members out with \
                 excludedAttributes, ask for fewer groups, or page the members at /GroupMemberships."
            ))),
            other => Error::Store(other),
        }
    }
}
