//! What this process has done of what was due, what was left, and what waits for a person: atomics that whoever measures reads
//! as a whole.

use std::sync::atomic::{AtomicI64, AtomicU64};

use super::super::work_items::Kind;

/// Counts since the process began, and what the last look has left.
#[derive(Debug, Default)]
pub struct Falls {
    /// What was looked at.
    pub looked: AtomicU64,
    /// Users that are another for it.
    pub changed: AtomicU64,
    /// Accounts that were purged.
    pub purged: AtomicU64,
    /// What could not be done and was put off.
    pub put_off: AtomicU64,
    /// What was still due after the last look, of all tenants; of each no more than a batch is counted.
    pub waiting: AtomicU64,
    /// By how many µs the oldest of that was late.
    pub late: AtomicI64,
    /// What had a ground to be decided when last looked, of all tenants, in the order of [`Kind::ALL`].
    pub grounds: [AtomicU64; Kind::ALL.len()],
}
