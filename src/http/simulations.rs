//! What working simulations out needs of a server: one of a tenant at a time, on the threads that do not serve, and the
//! chore of taking up those that were left and erasing what is over.

use std::sync::Arc;
use std::time::Duration;

use store::{Random, TenantId};
use tokio::sync::Semaphore;

use super::State;
use crate::directory::Error;
use crate::directory::simulations::{SIMULATION, Simulator};

/// How often simulations that were left, or are over, are looked for.
const PERIOD: Duration = Duration::from_secs(60);
/// How soon another process is asked again that is at it.
const PAUSE: Duration = Duration::from_secs(2);
/// And how often: for longer than one that is gone keeps others away.
const TRIES: usize = 20;
/// Tenants whose simulations are worked out at a time.
const SEATS: usize = 2;

/// Who works out what in this process.
pub(super) struct Seats(Semaphore);

impl Default for Seats {
    fn default() -> Self {
        Seats(Semaphore::new(SEATS))
    }
}

/// Works out what waits in a tenant, after the answer. While another process is at it, or was and is gone, it is asked again:
/// it may have looked for the last time before this one was there.
pub(super) fn kick(state: &Arc<State>, tenant: TenantId) {
    let shared = Arc::clone(state);
    state.runtime.spawn(async move {
        for _ in 0..TRIES {
            match attend(&shared, tenant).await {
                Ok(true) => return,
                Ok(false) => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    tracing::warn!(%error, tenant = tenant.0, "a simulation has to wait");
                    return;
                }
            }
        }
    });
}

async fn attend(state: &State, tenant: TenantId) -> Result<bool, Error> {
    let Ok(_seat) = state.simulating.0.acquire().await else { return Ok(true) };
    let (clock, watch) = (state.settings.clock.shared(), Arc::new(|_, _| {}));
    Simulator::new(state.directory.clone(), &Random::os(), clock, watch)?.attend(tenant).await
}

/// Takes up what was there before the start, and from time to time what another process has left or is over.
pub(super) async fn keep(state: Arc<State>) {
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        ticks.tick().await;
        match state.directory.tenants_having(SIMULATION).await {
            Ok(tenants) => tenants.into_iter().for_each(|tenant| kick(&state, tenant)),
            Err(error) => tracing::warn!(%error, "simulations that were left could not be looked for; they are soon"),
        }
    }
}
