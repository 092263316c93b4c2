//! Whether a thread that serves has anybody else to serve. Each takes turns between its own connections; whatever keeps it
//! keeps all of them, so that a request may do so only where it is the only one, and has been for a while.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Whoever has asked for nothing for so long is not expected the next moment.
const WHILE: Duration = Duration::from_millis(100);

thread_local! {
    static UNDER_WAY: Cell<usize> = const { Cell::new(0) };
    /// Whose request the last one was.
    static LAST: Cell<Option<SocketAddr>> = const { Cell::new(None) };
    /// When last somebody else's had been the one before.
    static CHANGED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A request that is under way on this thread, until it is dropped.
pub(super) struct UnderWay(());

impl UnderWay {
    /// One by the connection from this address, now.
    pub(super) fn begin(peer: Option<SocketAddr>, now: Instant) -> Self {
        UNDER_WAY.set(UNDER_WAY.get() + 1);
        if LAST.replace(peer) != peer {
            CHANGED.set(Some(now));
        }
        UnderWay(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.set(UNDER_WAY.get() - 1);
    }
}

/// Whether this thread has one request under way, and has served no other connection for a while; `false` on a thread that
/// serves none.
pub(super) fn is_alone() -> bool {
    is_alone_at(Instant::now())
}

fn is_alone_at(now: Instant) -> bool {
    UNDER_WAY.get() == 1 && CHANGED.get().is_some_and(|changed| now.duration_since(changed) >= WHILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Option<SocketAddr> {
        Some(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn a_connection_is_alone_when_no_other_has_asked_for_a_while() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let one_at = |port, milliseconds| {
            let _one = UnderWay::begin(peer(port), after(milliseconds));
            is_alone_at(after(milliseconds))
        };
        assert!(!one_at(1, 0), "the first knows of nobody yet");
        assert!(!one_at(1, 99));
        assert!(one_at(1, 100));
        assert!(one_at(1, 150));
        assert!(!one_at(2, 151), "another comes");
        assert!(!one_at(1, 200), "and the first again");
        assert!(!one_at(1, 299));
        assert!(one_at(1, 300));
    }

    #[test]
    fn of_several_under_way_none_is_alone() {
        let start = Instant::now();
        let later = start + WHILE;
        assert!(!is_alone_at(later), "none is under way");
        let one = UnderWay::begin(peer(1), start);
        assert!(is_alone_at(later));
        let other = UnderWay::begin(peer(1), start);
        assert!(!is_alone_at(later));
        drop(one);
        assert!(is_alone_at(later));
        assert!(!std::thread::spawn(is_alone).join().expect("another thread"), "each thread has its own");
        drop(other);
        assert!(!is_alone_at(later));
    }
}
