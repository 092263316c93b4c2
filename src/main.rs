//! The `matrikel` program. Everything is in the library; this file only turns its outcome into an exit code.

use std::process::ExitCode;

/// A fifth of what a write took was the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    matrikel::cli::run()
}
