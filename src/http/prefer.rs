//! The `Prefer` header (RFC 7240): whether the client would rather have its answer before its request is carried out, and
//! how long it will wait. Every other preference is unknown here and ignored, as is one that cannot be understood.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;

use super::error::Failure;
use super::extract;

/// The longest that an answer is held back for a client that says how long it waits.
const LONGEST_WAIT: u64 = 30;

static PREFER: HeaderName = HeaderName::from_static("prefer");

/// What a client prefers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Preference {
    /// `respond-async`.
    pub(super) respond_async: bool,
    /// `wait`: how long it waits for the answer itself.
    pub(super) wait: Duration,
}

/// What the request says of it.
pub(super) fn read(request: &HttpRequest) -> Result<Preference, Failure> {
    Ok(extract::text(request, &PREFER)?.map(|value| parse(&value)).unwrap_or_default())
}

/// Of a preference that stands twice the first counts (RFC 7240 section 2).
fn parse(value: &str) -> Preference {
    let mut wait = None;
    let mut preference = Preference::default();
    for token in value.split(',') {
        let token = token.split(';').next().unwrap_or_default();
        let (name, value) = token.split_once('=').unwrap_or((token, ""));
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        preference.respond_async |= name.eq_ignore_ascii_case("respond-async") && value.is_empty();
        if name.eq_ignore_ascii_case("wait") {
            wait = wait.or_else(|| value.parse::<u64>().ok());
        }
    }
    preference.wait = Duration::from_secs(wait.unwrap_or_default().min(LONGEST_WAIT));
    preference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_in_any_case_and_company() {
        let table = [
            ("respond-async", true, 0),
            ("Respond-Async", true, 0),
            ("respond-async, wait=5", true, 5),
            ("wait=\"7\" , respond-async;foo=1", true, 7),
            ("wait=3, wait=9", false, 3),
            ("respond-async; wait=5", true, 0),
            ("respond-async, wait=100000", true, LONGEST_WAIT),
            ("respond-async, wait=soon", true, 0),
            ("return=minimal", false, 0),
            ("respond-async=no", false, 0),
            ("", false, 0),
        ];
        for (value, respond_async, seconds) in table {
            let expected = Preference { respond_async, wait: Duration::from_secs(seconds) };
            assert_eq!(parse(value), expected, "{value}");
        }
    }
}
