//! Writes down when credentials were last used: every few seconds what was noted since, tenant by tenant, through the
//! tenant's own writer and without a change row. See [`crate::auth::used`].

use std::sync::Arc;
use std::time::Duration;

use store::work::Origin;
use store::{By, Random, ResourceId};

use super::State;

const PERIOD: Duration = Duration::from_secs(5);

/// The chore.
pub(super) async fn keep(state: Arc<State>) {
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        ticks.tick().await;
        write(&state).await;
    }
}

/// Writes what was noted.
pub(super) async fn write(state: &State) {
    let now = state.now();
    for (tenant, used) in state.authenticator.used.take(now) {
        let origin = Origin { actor: ResourceId::SYSTEM, cause: "use", by: By::default(), now, random: Random::os() };
        let written = state.directory.store().write(tenant, origin, move |work| {
            used.iter().for_each(|(credential, at)| work.touch_credential(*credential, *at));
            Ok::<_, store::Error>(())
        });
        if let Err(error) = written.await {
            tracing::debug!(tenant = tenant.0, %error, "when credentials were used could not be written");
        }
    }
}
