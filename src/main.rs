//! The `matrikel` program. Everything is in the library; this file only turns its outcome into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    matrikel::cli::run()
}
