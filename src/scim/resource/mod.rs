//! Resources as documents: what a client may send ([`validate`], [`replace`]), the one canonical form everything is
//! kept in ([`normalise`]) and what of it is answered ([`Projection`]). RFC 7643 sections 2 and 3, RFC 7644 sections
//! 3.3, 3.5.1 and 3.9.
//!
//! A document in canonical form names attributes in the schema's own case and order, keeps extension attributes under
//! the extension's URN, holds no null, no empty array and no empty object, and at most one `primary: true` in an
//! array. Nothing here knows identifiers, times or storage.

mod equal;
mod label;
mod merge;
mod normalise;
mod place;
mod project;
mod typing;
mod validate;

#[cfg(test)]
mod tests;

pub use equal::{differing, equals};
pub use label::label;
pub use merge::{is_same, replace};
pub use normalise::normalise;
pub use project::Projection;
pub use validate::{check_new, validate};

pub(crate) use label::NAMES;
pub(crate) use merge::{immutable, keep, keep_subs};
pub(crate) use normalise::{absorb, comparable, find, identity, read_primary, set_secondary};
pub(crate) use place::Spot;
pub(crate) use typing::Reader;
pub(crate) use validate::check_whole;

/// Most values that a multi-valued attribute other than `members` may have.
pub const MAX_VALUES: usize = 1_000;

/// Most bytes that a single text may have.
pub const MAX_TEXT: usize = 65_536;

/// Most bytes that a base64 text may have.
pub const MAX_BINARY: usize = 1 << 20;

/// The attribute whose values are relations to other resources and may be many.
pub const MEMBERS: &str = "members";

/// How a body that strays from the standard is met; a client's profile decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Habits of real clients are understood, and each use is noted.
    Tolerant,
    /// Anything unknown is refused with 400 invalidSyntax.
    Strict,
}

/// The tolerances that a request made use of, in the order of use; a quirk used twice stands twice.
///
/// The names: `schemas-missing`, `unknown-schema`, `unknown-attribute`, `string-boolean`, `bare-complex`,
/// `bare-array`, `dotted-key`, and in PATCH also `key-case`, `op-case`, `absent-element`,
/// `remove-by-value` and `wrapped-value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes(Vec<&'static str>);

impl Notes {
    /// No tolerance used yet.
    pub fn new() -> Self {
        Notes::default()
    }

    /// Notes the use of a tolerance.
    pub fn note(&mut self, quirk: &'static str) {
        self.0.push(quirk);
    }

    /// The quirks in the order of use.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }

    /// Whether the request kept to the standard.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
