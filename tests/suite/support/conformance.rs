//! Foreign SCIM clients that test the server, from the Python environment that `make setup` makes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs every check of scim2-tester (`tests/conformance/run_scim2_tester.py`) against a server with an empty register
/// and returns its report.
///
/// # Errors
/// The report again, if any check failed; or why it could not be run.
pub(crate) fn scim2_tester(base_url: &str, token: &str) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/run_scim2_tester.py");
    let python = python();
    let output = Command::new(&python)
        .arg(script)
        .args([base_url, token])
        .output()
        .map_err(|error| format!("{} cannot be run ({error}). 'make setup' installs it.", python.display()))?;
    let report = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(report) } else { Err(report) }
}

fn python() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("target")).join("venv/bin/python")
}
