//! What commands say: results on standard output, everything else on standard error. A reader that has gone away (a
//! closed pipe) is an error like any other, not a panic.

use std::io::{self, Write};

/// A result, for whoever asked.
pub(super) fn say(text: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// What is going on, for whoever watches.
pub(super) fn remark(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{text}")
}

/// Why a command failed, with its causes.
pub(super) fn complain(error: &anyhow::Error) {
    // Nothing is left to do when even this cannot be written.
    let _ = writeln!(io::stderr().lock(), "matrikel: {error:#}");
}

/// A moment in µs since the epoch as people and machines read it.
pub(super) fn moment(microseconds: i64) -> String {
    jiff::Timestamp::from_microsecond(microseconds)
        .map_or_else(|_| microseconds.to_string(), |moment| format!("{moment:.0}"))
}
