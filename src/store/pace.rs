//! How writes follow one another, and how long their commits take: by it a batch is let gather, or a write that comes
//! alone is made at once.

use std::time::Duration;

use crate::queue::Gathering;

/// Longest that a batch is let gather.
const PATIENCE: Duration = Duration::from_millis(2);
/// A disk is quick when no commit of late has taken longer: whoever asks may be kept for so long.
const QUICK: Duration = Duration::from_millis(1);

/// What one writer has seen. Clients that were answered together ask again together, but not at the same instant: a writer
/// that begins with the first of them makes a commit for one and then one for all others. So where batches are of several
/// operations, the next one gets a moment to gather as many: half of what a commit takes, as to wait longer would cost
/// more than the commit that it saves. A single client never waits.
#[derive(Default)]
pub(crate) struct Pace {
    /// Operations in a batch; 0: none has been.
    usual: usize,
    /// How long the slowest of late took: one that was slow is forgotten bit by bit.
    slowest: Duration,
}

impl Pace {
    /// Notes a batch of so many operations whose commit took so long, and says how the next one may gather.
    pub(crate) fn note(&mut self, size: usize, commit: Duration) -> Gathering {
        // What came alone in between does not say that the others have gone, unless it goes on like that.
        self.usual = size.max(self.usual - self.usual.div_ceil(4));
        self.slowest = commit.max(self.slowest - self.slowest / 8);
        let patience = if self.usual > 1 { (commit / 2).min(PATIENCE) } else { Duration::ZERO };
        Gathering { enough: if self.usual > 1 { self.usual } else { 0 }, patience }
    }

    /// Whether writes come one by one, and are made durable soon enough to wait for.
    pub(crate) fn is_lone_and_quick(&self) -> bool {
        self.usual == 1 && self.slowest <= QUICK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_never_waits_for_others_and_many_wait_for_as_many_as_there_were() {
        let commit = Duration::from_millis(1);
        let mut pace = Pace::default();
        assert_eq!(pace.note(1, commit).enough, 0);
        let gathering = pace.note(16, commit);
        assert_eq!((gathering.enough, gathering.patience), (16, commit / 2));
        assert_eq!(pace.note(1, commit).enough, 12, "one that came alone says little");
        (0..7).for_each(|_| {
            pace.note(1, commit);
        });
        let gathering = pace.note(1, commit);
        assert_eq!((gathering.enough, gathering.patience), (0, Duration::ZERO), "the others have gone");
        assert_eq!(pace.note(500, Duration::from_secs(1)).patience, PATIENCE);
    }

    #[test]
    fn nobody_is_kept_for_a_disk_that_was_slow_of_late_or_where_others_write() {
        let mut pace = Pace::default();
        assert!(!pace.is_lone_and_quick(), "nothing is known yet");
        pace.note(1, QUICK / 4);
        assert!(pace.is_lone_and_quick());
        pace.note(2, QUICK / 4);
        assert!(!pace.is_lone_and_quick(), "others write");
        pace.note(1, QUICK / 4);
        assert!(pace.is_lone_and_quick(), "they have gone");
        pace.note(1, QUICK * 4);
        let slow = (0..).take_while(|_| {
            pace.note(1, QUICK / 4);
            !pace.is_lone_and_quick()
        });
        assert_eq!(slow.count(), 10, "one slow commit is remembered for as many");
    }
}
