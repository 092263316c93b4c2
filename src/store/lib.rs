//! The memory of Matrikel: the only code that knows SQL. One text for SQLite and PostgreSQL.
//!
//! From the ground up: `db` opens a connection, `statement` builds a statement, `dialect` holds what differs
//! between the two databases, `migrate` lays the tables. One module a table family: [`record`] (resources), `index`,
//! `unique`, [`external`], [`membership`], [`change`], [`credential`], [`deferred`], [`feed`], [`idempotency`], `seal`, [`secret`], `signing`, [`tenant`], [`audit`], and for what follows by rule [`due`], [`grant`], [`tombstone`], [`guard`], `lease`. [`work`] is the overlay of a write,
//! `queue` holds what waits and `writer` commits it in groups, `reader` runs reads on threads of their own, [`Point`] is what a GET reads, [`meter`] counts what is done; [`scan`] answers searches by
//! "the index proposes, the filter disposes"; `scan/links` those about memberships as resources (`link`), along parts of the `relation`; [`roll`] writes the text of a large group; `check` finds what is not as it must be; `transfer` writes a
//! tenant out and reads it in; `backup` copies a file and puts it back, and `hold` says who uses it. [`Store`] is the door to all of it.

mod assemble;
pub mod audit;
mod backup;
pub mod baseline;
mod bearing;
mod by;
pub mod catalog;
pub mod change;
mod check;
mod clock;
mod contain;
pub mod credential;
mod db;
pub mod deferred;
mod desk;
mod dialect;
pub mod due;
mod durability;
pub mod erase;
pub mod erasure;
mod error;
pub mod external;
pub mod feed;
mod fixed;
pub mod grant;
pub mod guard;
mod held;
mod hold;
pub mod idempotency;
mod ids;
mod index;
mod known;
mod lease;
mod link;
mod log;
pub mod membership;
pub mod meter;
mod migrate;
mod nesting;
mod pace;
mod plan;
mod point;
mod queue;
mod random;
mod reader;
pub mod record;
mod relation;
pub mod roll;
mod room;
mod route;
pub mod scan;
mod seal;
pub mod secret;
mod session;
mod sight;
mod signing;
mod statement;
mod store;
pub mod tenant;
pub mod tombstone;
mod trace;
mod transfer;
mod turn;
mod unique;
mod waiting;
pub mod work;
mod writer;

pub use assemble::{
    Derived, GroupRef, MemberRef, Shown, assemble, etag, format_instant, members_of, render, render_as,
};
pub use backup::{Backup, BackupError, Erased, Held, Restored, Restoring, backup, begin_epoch, restore};
pub use bearing::Mark;
pub use by::By;
pub use change::Change;
pub use check::{Finding, Report, Watch};
pub use credential::{Credential, CredentialKind};
pub use deferred::Deferred;
pub use due::Due;
pub use erasure::Erasure;
pub use error::{Error, OpenError};
pub use external::ExternalKey;
pub use grant::{Grant, GrantKey};
pub use guard::{Pass, PassState};
pub use held::Holding;
pub use ids::{ById, IdHash, ResourceId, Seq, TenantId};
pub use known::Book;
pub use link::{GROUP_MEMBERSHIP, GROUP_MEMBERSHIP_URN, Link, MembershipId};
pub use migrate::{migrate, pending};
pub use nesting::Nesting;
pub use point::{LookedUp, Lookup, Point, Trait};
pub use random::Random;
pub use reader::Reader;
pub use record::Record;
pub use route::Route;
pub use seal::SealKey;
pub use sight::{Documents, Eyes, Reading, Relations, Seen, Sight, is_closed, look, veil, veil_derived};
pub use signing::SigningKey;
pub use store::{Options, Store};
pub use tenant::Tenant;
pub use tombstone::{Buried, Tombstone};
pub use transfer::{Exported, Imported, TransferError};
pub use work::{Mending, Work};
