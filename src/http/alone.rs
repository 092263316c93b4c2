//! How many requests a thread that serves has under way. Each thread takes turns between its own; whatever keeps it keeps
//! all of them, so that a request may do so only while it is the only one.

use std::cell::Cell;

thread_local! {
    static UNDER_WAY: Cell<usize> = const { Cell::new(0) };
}

/// A request that is under way on this thread, until it is dropped.
pub(super) struct UnderWay(());

impl UnderWay {
    pub(super) fn begin() -> Self {
        UNDER_WAY.set(UNDER_WAY.get() + 1);
        UnderWay(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.set(UNDER_WAY.get() - 1);
    }
}

/// Whether this thread has one request under way; `false` on a thread that serves none.
pub(super) fn is_alone() -> bool {
    UNDER_WAY.get() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_is_alone_until_another_comes_and_once_it_has_gone() {
        assert!(!is_alone(), "none is under way");
        let one = UnderWay::begin();
        assert!(is_alone());
        let other = UnderWay::begin();
        assert!(!is_alone());
        drop(one);
        assert!(is_alone());
        assert!(!std::thread::spawn(is_alone).join().expect("another thread"), "each thread has its own");
        drop(other);
        assert!(!is_alone());
    }
}
