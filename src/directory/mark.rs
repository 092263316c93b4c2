//! Marks of index paging: where a page ended, kept for a while, so that whoever goes on with the next `startIndex` takes
//! one step from there and only a jump has to count. A mark is a hint in memory: without it, after a restart or on another
//! node, the page is found by counting.
//!
//! What is created or deleted between two pages moves places, as in all paging by index (RFC 7644 section 3.4.2.4); with a
//! mark the walk goes on behind the last resource it has shown and neither skips nor repeats one for it.
//!
//! Totals that have to be counted are kept too, each as long as the register stands at the number it was counted at.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use store::Seq;
use store::scan::Place;

use super::cursor::Binding;

const REMEMBER: Duration = Duration::from_secs(600);
const REMEMBER_AT_MOST: u64 = 20_000;

/// The end of a page.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// Which of the resource types asked for.
    pub(super) part: usize,
    /// The last resource of the page.
    pub(super) place: Place,
}

/// The marks of all walks. Cheap to clone; clones share them.
#[derive(Clone)]
pub(super) struct Marks(Cache<([u8; 32], u64), Arc<Mark>>);

impl Default for Marks {
    fn default() -> Self {
        Marks(Cache::builder().max_capacity(REMEMBER_AT_MOST).time_to_live(REMEMBER).build())
    }
}

impl Marks {
    /// The end of the page before `start_index` of that query by that client.
    pub(super) fn find(&self, binding: &Binding, start_index: u64) -> Option<Arc<Mark>> {
        self.0.get(&(binding.digest(), start_index))
    }

    /// Keeps the end of a page for the page that begins at `start_index`.
    pub(super) fn keep(&self, binding: &Binding, start_index: u64, mark: Mark) {
        self.0.insert((binding.digest(), start_index), Arc::new(mark));
    }
}

/// The totals of all searches that had to count. Cheap to clone; clones share them.
#[derive(Clone)]
pub(super) struct Totals(Cache<[u8; 32], (Seq, u64)>);

impl Default for Totals {
    fn default() -> Self {
        Totals(Cache::builder().max_capacity(REMEMBER_AT_MOST).time_to_live(REMEMBER).build())
    }
}

impl Totals {
    /// The total of that query by that client, if nothing has changed since it was counted.
    pub(super) fn find(&self, binding: &Binding, head: Seq) -> Option<u64> {
        self.0.get(&binding.digest()).filter(|(counted_at, _)| *counted_at == head).map(|(_, total)| total)
    }

    /// Keeps a total that was counted at that number.
    pub(super) fn keep(&self, binding: &Binding, head: Seq, total: u64) {
        self.0.insert(binding.digest(), (head, total));
    }
}
