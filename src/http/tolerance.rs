//! The liberties that clients need: named in a header of the answer, counted by client and quirk, and told to the log
//! once a minute and at the end, one line for each client that needed more of them since. Counts begin anew with the
//! process. Never holds anything of a request but the names of quirks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::extract::Asker;

static TOLERANCE: HeaderName = HeaderName::from_static("matrikel-tolerance");
/// Paths that a client may not write and that were left as they were.
static IGNORED: HeaderName = HeaderName::from_static("matrikel-ignored");

/// How often the counts are told.
pub(super) const PERIOD: Duration = Duration::from_secs(60);

/// Uses of each quirk by client.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<(i64, String), Tally>>);

#[derive(Debug, Default)]
struct Tally {
    uses: BTreeMap<&'static str, u64>,
    is_new: bool,
}

impl Counts {
    /// Names what a request made use of in its answer, each quirk once, and counts it.
    pub(super) fn tell(&self, asker: &Asker, headers: &mut HeaderMap) {
        let used = asker.tolerances.used();
        self.count(asker.tenant, &asker.client, &used);
        let mut names: Vec<&str> = Vec::new();
        for quirk in used {
            if !names.contains(&quirk) {
                names.push(quirk);
            }
        }
        if !names.is_empty() {
            name(&names.join(", "), headers);
        }
        let ignored = asker.tolerances.ignored();
        if !ignored.is_empty()
            && let Ok(value) = HeaderValue::from_str(&ignored.join(", "))
        {
            headers.insert(IGNORED.clone(), value);
        }
    }

    /// Counts what a client's request made use of.
    pub(super) fn count(&self, tenant: i64, client: &str, used: &[&'static str]) {
        if used.is_empty() {
            return;
        }
        let mut tallies = self.tallies();
        let tally = tallies.entry((tenant, client.to_owned())).or_default();
        tally.is_new = true;
        used.iter().for_each(|quirk| *tally.uses.entry(quirk).or_default() += 1);
    }

    /// Shows tenant, client, quirk and uses of each count, of so many clients at most.
    pub(super) fn each(&self, most: usize, mut show: impl FnMut(i64, &str, &str, u64)) {
        for ((tenant, client), tally) in self.tallies().iter().take(most) {
            tally.uses.iter().for_each(|(quirk, uses)| show(*tenant, client, quirk, *uses));
        }
    }

    /// Writes the counts that have grown since the last time to the log.
    pub(super) fn log(&self) {
        for ((tenant, client), tally) in self.tallies().iter_mut().filter(|(_, tally)| tally.is_new) {
            tally.is_new = false;
            tracing::info!(client, tenant, tolerances = tally.summary(), "tolerances since the start");
        }
    }

    fn tallies(&self) -> MutexGuard<'_, BTreeMap<(i64, String), Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names tolerances, separated by commas, in an answer.
pub(super) fn name(names: &str, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::from_str(names) {
        headers.insert(TOLERANCE.clone(), value);
    }
}

impl Tally {
    fn summary(&self) -> String {
        self.uses.iter().map(|(quirk, uses)| format!("{quirk}={uses}")).collect::<Vec<_>>().join(" ")
    }
}
