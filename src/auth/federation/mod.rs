//! A federation of organisations that know each other by their keys: mutual TLS in federations (MATF, RFC 9932). Its operator
//! publishes signed [`metadata`] of all members ([`jws`]), which is believed for the sake of a pinned anchor ([`key`]);
//! [`Federation`] fetches it and keeps it fresh, and [`Members`] says whose key a certificate has. Expired metadata names
//! nobody, and neither does metadata that is older than what was believed before. Which client a member is, is for the
//! directory to say: knowing a member lets nobody in.

pub mod jws;
pub mod key;
pub mod metadata;
mod source;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use jws::Header;
use metadata::Metadata;

pub use source::{Federation, FederationError, Refreshed, Settings, Source, read_anchor};

/// Microseconds in a second: metadata counts seconds.
const SECOND: i64 = 1_000_000;

/// Metadata that is believed until it expires.
#[derive(Debug)]
pub struct Known {
    /// The federation's name here.
    pub federation: String,
    /// What its signature said.
    pub header: Header,
    /// The thumbprint (RFC 7638) of the key that signed it.
    pub signed_by: String,
    /// What it says.
    pub metadata: Metadata,
    /// Which entity has a client with that key.
    clients: HashMap<[u8; 32], usize>,
}

impl Known {
    /// Metadata whose signature was verified.
    pub fn new(federation: String, header: Header, signed_by: String, metadata: Metadata) -> Self {
        let pins = metadata.entities.iter().enumerate();
        let pins = pins.flat_map(|(place, entity)| {
            entity.clients.iter().flat_map(|client| &client.pins).map(move |pin| (*pin, place))
        });
        let clients = pins.collect();
        Known { federation, header, signed_by, metadata, clients }
    }
}

/// The member whose client has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The federation's name here.
    pub federation: String,
    /// The entity's identifier.
    pub entity: String,
    /// Until when that is believed, in µs since 1970.
    pub expires_at: i64,
}

/// Whose key is whose, as far as is known now. Clones share what is known.
#[derive(Clone, Debug, Default)]
pub struct Members(Arc<RwLock<Option<Arc<Known>>>>);

impl Members {
    /// The member with a client of that key; `now` in µs since 1970.
    pub fn of_client(&self, pin: &[u8; 32], now: i64) -> Option<Member> {
        let known = self.known()?;
        let expires_at = known.header.exp.saturating_mul(SECOND);
        let entity = known.metadata.entities.get(*known.clients.get(pin)?)?;
        (now < expires_at).then(|| Member {
            federation: known.federation.clone(),
            entity: entity.id.clone(),
            expires_at,
        })
    }

    /// The metadata that was believed last; it may have expired.
    pub fn known(&self) -> Option<Arc<Known>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, known: Option<Known>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = known.map(Arc::new);
    }
}
