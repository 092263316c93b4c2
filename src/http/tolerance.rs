//! The liberties that clients need: named in a header of the answer, counted by client and quirk, and told to the log
//! once a minute and at the end, one line for each client that needed more of them since. Counts begin anew with the
//! process. Never holds anything of a request but the names of quirks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::extract::Asker;

static TOLERANCE: HeaderName = HeaderName::from_static("matrikel-tolerance");

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
        if used.is_empty() {
            return;
        }
        let mut names: Vec<&str> = Vec::new();
        let mut tallies = self.tallies();
        let tally = tallies.entry((asker.tenant, asker.client.to_string())).or_default();
        tally.is_new = true;
        for quirk in used {
            *tally.uses.entry(quirk).or_default() += 1;
            if !names.contains(&quirk) {
                names.push(quirk);
            }
        }
        if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
            headers.insert(TOLERANCE.clone(), value);
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

impl Tally {
    fn summary(&self) -> String {
        self.uses.iter().map(|(quirk, uses)| format!("{quirk}={uses}")).collect::<Vec<_>>().join(" ")
    }
}
