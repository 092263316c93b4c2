//! The `matrikel` program. Everything is in the library; this file turns its outcome into an exit code, and chooses the
//! allocator.

use std::process::ExitCode;

/// A document is some two hundred small pieces of memory and a text of a kilobyte or two. The system's allocator keeps few of
/// the former at hand for each thread and none of the latter, and joins all that lies free whenever such a text is asked for.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    matrikel::cli::run()
}
