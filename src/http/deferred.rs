//! What the directory needs of the interface to carry out requests that were answered already, and the chore of taking
//! up those that were left and removing old results.

use std::sync::Arc;
use std::time::Duration;

use ::scim::schema::Definition;
use store::TenantId;

use super::State;
use super::error::Failure;
use crate::auth::scope;
use crate::directory::deferred::Host;
use crate::directory::scope::Access;
use crate::directory::{Caller, Error};

/// How often requests that wait and results that are old are looked for.
const PERIOD: Duration = Duration::from_secs(600);

impl Host for State {
    fn runtime(&self) -> tokio::runtime::Handle {
        self.runtime.clone()
    }

    fn now(&self) -> i64 {
        self.settings.clock.now()
    }

    fn permit(&self, caller: &Caller, definition: &Definition) -> Result<(), String> {
        scope::permit(caller, definition, Access::Write)
    }

    fn told(&self, error: Error) -> ::scim::Error {
        Failure::from(error).told()
    }

    fn forgave(&self, tenant: TenantId, client: &str, tolerances: &[&'static str]) {
        self.tolerances.count(tenant.0, client, tolerances);
    }
}

/// Takes up what was accepted before the start, and from time to time what another process has left.
pub(super) async fn keep(state: Arc<State>) {
    let host: Arc<dyn Host> = state.clone();
    let mut ticks = tokio::time::interval(PERIOD);
    let mut is_first = true;
    loop {
        ticks.tick().await;
        let now = state.now();
        // What another process has just accepted is in good hands.
        let grace = i64::try_from(PERIOD.as_micros()).unwrap_or(i64::MAX);
        let before = if std::mem::take(&mut is_first) { i64::MAX } else { now.saturating_sub(grace) };
        match state.directory.resume_deferred(&host, before).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "deferred requests are taken up"),
            Err(error) => {
                is_first = before == i64::MAX;
                tracing::warn!(%error, "deferred requests could not be looked for; they are in a while");
            }
        }
        if let Err(error) = state.directory.forget_deferred(now).await {
            tracing::warn!(%error, "old results could not be removed; they are in a while");
        }
    }
}
