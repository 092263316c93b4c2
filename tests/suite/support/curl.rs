//! A client that is none of ours: curl, with certificates.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Curled {
    /// curl's exit code; 0: there was an answer.
    pub(crate) exit: i32,
    /// The status; 0: there was none.
    pub(crate) status: u16,
    /// Connections that were made.
    pub(crate) connections: u32,
    /// Head and body of the last answer, and what curl complained of.
    pub(crate) text: String,
}

/// Asks for a URL by GET, trusting this server certificate (PEM file).
pub(crate) fn curl(url: &str, trusted: &Path, further: &[&str]) -> Curled {
    let trusted = trusted.to_str().expect("text");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--include", "--cacert", trusted])
        .args(["--write-out", "\n%{json}"])
        .args(further)
        .arg(url)
        .output()
        .expect("curl runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let (text, facts) = said.rsplit_once('\n').expect("what curl knows");
    let facts: Value = serde_json::from_str(facts).unwrap_or_else(|error| panic!("{error}: {said}"));
    let number = |name: &str| facts[name].as_u64().unwrap_or_default();
    Curled {
        exit: output.status.code().expect("it ended"),
        status: u16::try_from(number("http_code")).expect("a status"),
        connections: u32::try_from(number("num_connects")).expect("a number"),
        text: format!("{text}{}", String::from_utf8_lossy(&output.stderr)),
    }
}
