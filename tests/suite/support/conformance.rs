//! Foreign SCIM clients that test the server, from the Python environment that `make setup` makes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs every check of scim2-tester (`tests/conformance/run_scim2_tester.py`) against a server with an empty register
/// and returns its report.
///
/// # Errors
/// The report again, if any check failed; or why it could not be run.
pub(crate) fn scim2_tester(base_url: &str, token: &str) -> Result<String, String> {
    run("run_scim2_tester.py", &[base_url, token])
}

/// Holds openapi.yaml and a server to each other (`tests/conformance/openapi_check.py`); with an administrator and a consumer
/// of one register, and of another, which has licences, an administrator and one who must not see them.
///
/// # Errors
/// What differs; or why it could not be found out.
pub(crate) fn openapi_check(base_url: &str, described: [&str; 2], licensed: [&str; 2]) -> Result<String, String> {
    let ([administrator, consumer], [of_licences, stranger]) = (described, licensed);
    run("openapi_check.py", &[base_url, administrator, consumer, of_licences, stranger])
}

/// Runs Schemathesis with openapi.yaml against a server (`tests/conformance/run_schemathesis.py`).
///
/// # Errors
/// Its report, if it found anything; or why it could not be run.
pub(crate) fn schemathesis(base_url: &str, token: &str) -> Result<String, String> {
    run("run_schemathesis.py", &[base_url, token])
}

/// Gets a token with a signed token by Authlib and reads with it (`tests/conformance/private_key_jwt.py`).
///
/// # Errors
/// What went wrong, by its own words.
pub(crate) fn private_key_jwt(root: &str, issuer: &str, client_id: &str, key_file: &str) -> Result<String, String> {
    run("private_key_jwt.py", &[root, issuer, client_id, key_file])
}

fn run(script: &str, arguments: &[&str]) -> Result<String, String> {
    let python = python();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(script);
    let output = Command::new(&python)
        .arg(script)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| format!("{} cannot be run ({error}). 'make setup' installs it.", python.display()))?;
    let report = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(report) } else { Err(report) }
}

fn python() -> PathBuf {
    environment("venv/bin/python")
}

/// A program of an environment that `tools/setup test` makes.
pub(crate) fn environment(program: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("target")).join(program)
}
