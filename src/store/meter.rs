//! What the store counts of its own work: atomics that cost some nanoseconds, read as a whole by whoever shows them.
//! Knows nothing of who that is or how, and never holds anything of a tenant.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Upper bounds of batch sizes, in operations.
const OPERATIONS: &[u64] = &[1, 2, 5, 10, 20, 50, 100, 200, 500];
/// Upper bounds of durations, in µs.
const MICROSECONDS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// How many values fell between which bounds. Recording takes no lock and no memory.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what lies above all.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// One with these upper bounds, which rise.
    pub fn new(bounds: &'static [u64]) -> Self {
        Histogram { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// One of durations in µs, from 100 µs to 10 s.
    pub fn of_durations() -> Self {
        Histogram::new(MICROSECONDS)
    }

    /// Counts a value.
    pub fn record(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts the µs since then.
    pub fn record_since(&self, begun: Instant) {
        self.record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }

    /// What has been counted so far.
    pub fn distribution(&self) -> Distribution {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Distribution { bounds: self.bounds, counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// What a histogram holds at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bounds, each inclusive.
    pub bounds: &'static [u64],
    /// Values at or below each bound and above the one before it; the last: above all bounds.
    pub counts: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

impl Distribution {
    /// How many values there are.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What the threads of a store count.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) batch_operations: Histogram,
    pub(crate) batch_time: Histogram,
    pub(crate) commit_time: Histogram,
    pub(crate) replayed_batches: AtomicU64,
    pub(crate) refused_reads: AtomicU64,
    pub(crate) connections_lost: AtomicU64,
    pub(crate) connections_reopened: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Meter {
            batch_operations: Histogram::new(OPERATIONS),
            batch_time: Histogram::of_durations(),
            commit_time: Histogram::of_durations(),
            replayed_batches: AtomicU64::new(0),
            refused_reads: AtomicU64::new(0),
            connections_lost: AtomicU64::new(0),
            connections_reopened: AtomicU64::new(0),
        }
    }
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What a store tells of itself at one moment. Counts begin with the store.
#[derive(Clone, Debug)]
pub struct Figures {
    /// `sqlite` or `postgres`.
    pub database: &'static str,
    /// Reads that wait for a reader.
    pub reads_waiting: u64,
    /// Writes that wait for a writer.
    pub writes_waiting: u64,
    /// Reads that were refused because too many waited.
    pub reads_refused: u64,
    /// Writes that were refused for the same reason.
    pub writes_refused: u64,
    /// Operations of each batch.
    pub batch_operations: Distribution,
    /// µs from the beginning of a batch's transaction to the end of its commit.
    pub batch_time: Distribution,
    /// µs of each commit alone.
    pub commit_time: Distribution,
    /// Batches that failed and were run again one operation at a time.
    pub batches_replayed: u64,
    /// How often a connection to the database was found to be dead.
    pub connections_lost: u64,
    /// How often one was opened in the place of a dead one.
    pub connections_reopened: u64,
    /// Bytes of an SQLite database's file; `None`: another database, or it cannot be told.
    pub file_bytes: Option<u64>,
    /// Bytes of its write-ahead log.
    pub log_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_at_the_first_bound_that_is_not_below_it() {
        let histogram = Histogram::new(&[1, 10, 100]);
        for value in [0, 1, 2, 10, 11, 100, 101, 5_000] {
            histogram.record(value);
        }
        let distribution = histogram.distribution();
        assert_eq!(distribution.counts, [2, 2, 2, 2]);
        assert_eq!((distribution.total(), distribution.sum), (8, 5_225));
    }
}
