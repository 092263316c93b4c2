//! The authority: the use cases, and the one place that changes identities.
//!
//! Every use case takes a [`Ctx`] first: who asks, in which tenant, through which view, at what time. A write is worked
//! out from a read before any lock, so that one that changes nothing takes none; it is then decided again under the
//! tenant's clock lock, and answered after the commit. With `simulate` the same code runs and stores nothing.

pub mod addressed;
mod adoptions;
pub mod audit;
mod authorities;
mod authority;
mod bulk;
pub mod clients;
mod commit;
mod context;
mod create;
mod cursor;
pub mod deferred;
mod derive;
mod difference;
mod envelope;
pub mod erasure;
mod error;
pub mod feeds;
mod fetch;
pub mod guard;
mod hosts;
mod indexes;
pub mod issuers;
mod leading;
pub mod licences;
mod lookup;
mod mark;
mod membership;
mod merge;
pub mod once;
mod particular;
mod password;
mod patch;
mod persons;
mod relation;
mod remove;
mod render;
mod replace;
pub mod report;
mod revise;
mod rule;
pub mod rules;
pub mod scope;
mod search;
pub mod secret;
mod seen;
mod settle;
mod shape;
pub mod simulations;
mod sources;
pub mod types;
mod units;
pub mod version;
pub mod views;
pub mod work_items;

use std::sync::Arc;

use scim::schema::Registry;
use store::Store;

use deferred::Lanes;
use envelope::SealKeys;
use mark::{Marks, Totals};

pub use authority::{Outside, Writes};
pub use bulk::{BulkOutcome, BulkWritten};
pub use context::{Caller, Ctx, Profile, Rate, Role, Tolerances};
pub use difference::differences;
pub use error::Error;
pub use fetch::Fetched;
pub use password::PasswordPolicy;
pub use render::Written;
pub use rule::Rule;
pub use search::Found;
pub use settle::{AUTHORITY, EVERYBODY, Fallen, Falls, POLICY, RULE};
pub use store::change::Change as Planned;
pub use store::{By, Random, ResourceId, TenantId};
pub use version::{Precondition, Tags};

/// How much one request may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Resources on a page when the request does not say.
    pub page_default: u64,
    /// Most resources on a page.
    pub page_max: u64,
    /// Documents that one search, or one page of a walk by cursor, may test.
    pub scan: u64,
    /// Most members that the groups of one page may have together.
    pub page_members: u64,
    /// Seconds that a cursor is good for.
    pub cursor_seconds: u64,
    /// Requests of one client that may wait to be carried out after their answer; 0: all are answered when done.
    pub deferred: usize,
    /// Seconds that the result of such a request is kept.
    pub deferred_seconds: u64,
    /// What a password must be like.
    pub password: PasswordPolicy,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            page_default: 100,
            page_max: 1_000,
            scan: 100_000,
            page_members: 500_000,
            cursor_seconds: 3_600,
            deferred: 16,
            deferred_seconds: 86_400,
            password: PasswordPolicy::default(),
        }
    }
}

/// The use cases over one store. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    store: Store,
    registry: Arc<Registry>,
    limits: Limits,
    /// When the resource types of each tenant were last compared with the database.
    checked: types::Checked,
    marks: Marks,
    totals: Totals,
    seal_keys: SealKeys,
    /// The keys for secrets.
    keys: secret::Keys,
    lanes: Lanes,
    /// What was done of what was due.
    falls: Arc<Falls>,
}

impl Directory {
    /// The authority over a store.
    pub fn new(store: Store, registry: Arc<Registry>, limits: Limits) -> Self {
        Directory {
            store,
            registry,
            limits,
            checked: types::Checked::default(),
            marks: Marks::default(),
            totals: Totals::default(),
            seal_keys: SealKeys::default(),
            keys: secret::Keys::new(secret::Keyring::default()),
            lanes: Lanes::default(),
            falls: Arc::default(),
        }
    }

    /// The master keys.
    pub fn master_keys(&self) -> secret::Keyring {
        self.keys.ring.clone()
    }

    /// With master keys for secrets.
    #[must_use]
    pub fn with_keys(self, ring: secret::Keyring) -> Self {
        Directory { keys: secret::Keys::new(ring), ..self }
    }

    /// The built-in schemas and resource types.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The memory beneath.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What this process has done of what was due.
    pub fn falls(&self) -> &Falls {
        &self.falls
    }

    /// How much one request may ask for.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}
