//! What carrying out feeds needs of a server: one run of a tenant at a time, on the threads that do not serve, and the
//! chore of taking up those that were left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::{Random, TenantId};
use tokio::sync::{Mutex as Lane, Semaphore};

use super::State;
use crate::directory::Ctx;
use crate::directory::feeds::RUN;
use crate::intake::{Intake, IntakeError};

/// How often runs that were left are looked for.
const PERIOD: Duration = Duration::from_secs(600);
/// µs.
const DAY: i64 = 86_400_000_000;
/// Runs that are carried out at a time; others wait in the database.
const SEATS: usize = 2;

/// Who carries out what in this process.
pub(super) struct Lanes {
    lanes: Mutex<HashMap<TenantId, Arc<Lane<()>>>>,
    seats: Semaphore,
}

impl Default for Lanes {
    fn default() -> Self {
        Lanes { lanes: Mutex::default(), seats: Semaphore::new(SEATS) }
    }
}

impl State {
    /// The means to carry out feeds on behalf of whoever `ctx` is about.
    pub(super) fn intake(&self, ctx: Ctx) -> Intake {
        Intake {
            directory: self.directory.clone(),
            ctx,
            clock: self.settings.clock.shared(),
            watch: Arc::new(|_, _, _| {}),
        }
    }
}

/// Carries out the runs of a tenant that wait, when their turn comes.
pub(super) fn kick(state: &Arc<State>, tenant: TenantId) {
    let shared = Arc::clone(state);
    let lane = {
        let mut lanes = state.lanes.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else holds or awaits a lane that has a single owner.
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        lanes.entry(tenant).or_default().clone()
    };
    state.runtime.spawn(async move {
        let _turn = lane.lock().await;
        let Ok(_seat) = shared.lanes.seats.acquire().await else { return };
        if let Err(error) = carry(&shared, tenant).await {
            tracing::warn!(%error, tenant = tenant.0, "a run of a feed has to wait");
        }
    });
}

async fn carry(state: &Arc<State>, tenant: TenantId) -> Result<(), IntakeError> {
    let system = || Ctx::system(tenant, state.now(), Random::os());
    let is_active = state.directory.store().tenant(tenant).await?.is_some_and(|tenant| tenant.state == "active");
    if !is_active {
        return Ok(());
    }
    for run in state.directory.open_runs(&system()).await? {
        let intake = state.intake(system());
        let Some(document) = intake.carry(run, None).await? else { continue };
        let told = document.get("state").and_then(serde_json::Value::as_str).unwrap_or_default();
        tracing::info!(tenant = tenant.0, %run, state = told, "a run of a feed");
    }
    Ok(())
}

/// Erases what runs have left long ago.
async fn expire(state: &State, tenant: TenantId) {
    let (days, now) = (i64::try_from(state.settings.run_items_days).unwrap_or_default(), state.now());
    if days == 0 {
        return;
    }
    let ctx = Ctx::system(tenant, now, Random::os());
    match state.directory.expire_run_items(&ctx, now.saturating_sub(days.saturating_mul(DAY))).await {
        Ok(0) => {}
        Ok(runs) => tracing::info!(tenant = tenant.0, runs, "what old runs of feeds had left is erased"),
        Err(error) => {
            tracing::warn!(tenant = tenant.0, %error, "what old runs have left could not be erased; it is in a while")
        }
    }
}

/// Takes up what was received before the start, and from time to time what another process has left.
pub(super) async fn keep(state: Arc<State>) {
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        ticks.tick().await;
        match state.directory.tenants_having(RUN).await {
            Ok(tenants) => {
                for tenant in tenants {
                    expire(&state, tenant).await;
                    kick(&state, tenant);
                }
            }
            Err(error) => tracing::warn!(%error, "runs that were left could not be looked for; they are in a while"),
        }
    }
}
