//! Moments that nobody knows beforehand: when a process is killed.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A number that nobody knows beforehand.
pub(crate) fn chance(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

/// Waits for at most so long.
pub(crate) async fn a_moment(milliseconds: u64) {
    tokio::time::sleep(Duration::from_micros(chance(milliseconds * 1_000))).await;
}
