//! Carrying accepted requests out: who comes when, and what is done until there is a result.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use scim::bulk::{BulkResponse, Done, parse};
use scim::resource::Notes;
use scim::schema::Definition;
use store::deferred::Progress;
use store::{By, Deferred, Random, ResourceId, TenantId};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::{Answer, Figures, Host, Stored, text_of};
use crate::directory::bulk::{BulkWritten, Ledger, read_sealed};
use crate::directory::scope::Scopes;
use crate::directory::views::Outlook;
use crate::directory::{Caller, Ctx, Directory, Error, Profile, Rate, Role, Tolerances, work_items};

/// Requests that are carried out at a time; others wait in the database.
const SEATS: usize = 4;
/// How often what failed for a reason that may pass is tried before that is the result.
const ATTEMPTS: u32 = 3;
/// How long to wait before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long to wait for a database that cannot be reached.
const LONG_PAUSE: Duration = Duration::from_secs(10);

type Lane = Arc<tokio::sync::Mutex<()>>;

/// Who carries out what in this process. Cheap to clone; clones share it.
#[derive(Clone)]
pub(in crate::directory) struct Lanes {
    /// One for each client with requests that wait.
    lanes: Arc<Mutex<HashMap<(TenantId, ResourceId), Lane>>>,
    seats: Arc<Semaphore>,
    counts: Arc<Counts>,
}

/// What this process has accepted and done since its start.
#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    done: AtomicU64,
    /// Turns that have not come or not ended.
    turns: AtomicU64,
}

/// A turn, counted as long as it lasts.
struct Turn(Arc<Counts>);

impl Turn {
    fn begin(counts: &Arc<Counts>) -> Self {
        counts.turns.fetch_add(1, Ordering::Relaxed);
        Turn(Arc::clone(counts))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.turns.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Lanes { lanes: Arc::default(), seats: Arc::new(Semaphore::new(SEATS)), counts: Arc::default() }
    }
}

impl Lanes {
    /// Notes that a request was accepted.
    pub(super) fn count_accepted(&self) {
        self.counts.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// What has been counted so far.
    pub(super) fn figures(&self) -> Figures {
        let Counts { accepted, done, turns } = &*self.counts;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures { accepted: count(accepted), done: count(done), waiting: count(turns) }
    }

    fn of(&self, tenant: TenantId, client: ResourceId) -> Lane {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else holds or awaits a lane that has a single owner.
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        lanes.entry((tenant, client)).or_default().clone()
    }
}

/// How a try to carry a request out ended.
enum Tried {
    /// It has its result, or none waits.
    Done,
    /// Something failed that may not fail another time.
    Unsettled,
}

impl Directory {
    /// Carries out the oldest request of a client when its turn comes.
    pub(super) fn take_turn(&self, host: Arc<dyn Host>, tenant: TenantId, client: ResourceId) -> JoinHandle<()> {
        let (directory, lane) = (self.clone(), self.lanes.of(tenant, client));
        let (runtime, turn) = (host.runtime(), Turn::begin(&self.lanes.counts));
        runtime.spawn(async move {
            let _counted = turn;
            let _turn = lane.lock().await;
            let mut attempts = 1;
            loop {
                let Ok(seat) = directory.lanes.seats.acquire().await else { return };
                let tried = directory.carry_oldest(&host, tenant, client, attempts < ATTEMPTS).await;
                // Whoever waits for better times lets others at it.
                drop(seat);
                let pause = match tried {
                    Ok(Tried::Done) => return,
                    Ok(Tried::Unsettled) => {
                        attempts += 1;
                        PAUSE
                    }
                    Err(error) => {
                        tracing::warn!(%error, tenant = tenant.0, "a deferred request has to wait");
                        attempts = 1;
                        LONG_PAUSE
                    }
                };
                tokio::time::sleep(pause).await;
            }
        })
    }

    /// Carries out the oldest request of a client and stores the result. With `patient`, what failed for a reason that
    /// may pass is no result yet.
    async fn carry_oldest(
        &self,
        host: &Arc<dyn Host>,
        tenant: TenantId,
        client: ResourceId,
        patient: bool,
    ) -> Result<Tried, Error> {
        let next = self.store.read(move |reader| {
            // Those of a suspended tenant wait until they are looked for again.
            let is_active = reader.tenant(tenant)?.is_some_and(|tenant| tenant.state == "active");
            if is_active { reader.next_deferred(tenant, client) } else { Ok(None) }
        });
        let next: Result<_, store::Error> = next.await;
        let Some(row) = next? else { return Ok(Tried::Done) };
        let now = host.now();
        let catalog = self.fresh_catalog(tenant, now).await?;
        let nobody = Ctx::system(tenant, now, Random::os());
        let envelope = self.envelope(&nobody, row.id).await?;
        let answer = match read_sealed::<Stored>(&envelope, &row.body) {
            Ok(stored) => {
                let caller = self.caller(tenant, client).await?;
                let is_active = caller.is_some();
                let caller = caller.unwrap_or_else(|| gone(client));
                let ctx = Ctx {
                    views: work_items::theirs(
                        &caller,
                        caller.outlook.views(catalog.registry(), self.veil(tenant, &caller)),
                        catalog.registry(),
                    ),
                    caller: caller.into(),
                    base_url: stored.base_url.as_str().into(),
                    request_id: stored.request_id.as_str().into(),
                    by: By {
                        credential: stored.credential,
                        address: stored.address,
                        request: Some(stored.request_id.as_str().into()),
                    },
                    schemas: catalog.registry().revision(),
                    tolerances: Tolerances::default(),
                    winners: None,
                    released: crate::directory::audit::Released::default(),
                    ..nobody
                };
                match self.carry(host, &ctx, &row, stored, (is_active, patient)).await {
                    Ok((_, false)) if patient => return Ok(Tried::Unsettled),
                    Ok((answer, _)) => answer,
                    Err(error) if patient && error.may_pass() => return Ok(Tried::Unsettled),
                    Err(error) => refusal(host, error),
                }
            }
            Err(error) => refusal(host, error.into()),
        };
        self.settle(host.now(), tenant, row, &answer).await?;
        Ok(Tried::Done)
    }

    async fn carry(
        &self,
        host: &Arc<dyn Host>,
        ctx: &Ctx,
        row: &Deferred,
        stored: Stored,
        (is_active, patient): (bool, bool),
    ) -> Result<(Answer, bool), Error> {
        let mut notes = Notes::new();
        // Its limit was kept when it was accepted.
        let request = parse(stored.message, usize::MAX, ctx.caller.profile.strictness(), &mut notes)?;
        let (tenant, id) = (ctx.tenant, row.id);
        let mut ledger = Ledger {
            request: id,
            envelope: self.envelope(ctx, id).await?,
            random: ctx.random.clone(),
            host: Arc::clone(host),
            patient,
            known: Vec::new(),
        };
        let mut tolerances = stored.tolerances;
        for (place, noted) in self.store.read(move |reader| reader.deferred_outcomes(tenant, id)).await? {
            let noted = ledger.open(&noted)?;
            tolerances.extend_from_slice(noted.tolerances());
            ledger.known.push((usize::try_from(place).unwrap_or(usize::MAX), noted));
        }
        // What was carried out before its client was switched off stays, and is told.
        let permit = |kind: &Definition| match is_active {
            true => host.permit(&ctx.caller, kind),
            false => Err("This client may not use the register any more.".to_owned()),
        };
        let ids: Vec<ResourceId> = stored.ids.into_iter().map(ResourceId).collect();
        let (written, is_settled) = self.carry_bulk(ctx, request, permit, &ids, ledger).await?;
        if is_settled {
            host.forgave(tenant, &ctx.caller.name, &written.tolerances);
        }
        Ok((answer(host, ctx, written, tolerances), is_settled))
    }

    /// Puts the result in the place of the request, unless there is one already.
    async fn settle(&self, now: i64, tenant: TenantId, row: Deferred, answer: &Answer) -> Result<(), Error> {
        let ctx = Ctx::system(tenant, now, Random::os());
        let seconds = i64::try_from(self.limits.deferred_seconds).unwrap_or(i64::MAX);
        let expires_at = Some(now.saturating_add(seconds.saturating_mul(1_000_000)));
        let body = self.envelope(&ctx, row.id).await?.seal(&text_of(answer)?, &ctx.random)?;
        let done = Deferred { expires_at, body, ..row };
        let settled = self.store.write(tenant, ctx.origin(), move |work| {
            if work.progress(done.id, 0)? != Progress::Over {
                work.forget_deferred(now);
                work.put_deferred(done.clone());
            }
            Ok::<_, Error>(())
        });
        settled.await?;
        self.lanes.counts.done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Stands for a client that is no more.
fn gone(client: ResourceId) -> Caller {
    Caller {
        id: client,
        user: None,
        name: "".into(),
        role: Role::Consumer,
        scopes: Scopes::default(),
        profile: Profile::default(),
        domain: client,
        sensitive: Arc::default(),
        writes: Arc::default(),
        networks: Arc::default(),
        rate: Rate::default(),
        outlook: Outlook::nothing(),
        account_domain: None,
        generates_names: false,
    }
}

fn answer(host: &Arc<dyn Host>, ctx: &Ctx, written: BulkWritten, mut tolerances: Vec<String>) -> Answer {
    tolerances.extend(written.tolerances.iter().map(|quirk| (*quirk).to_owned()));
    let mut named = Vec::new();
    for quirk in tolerances {
        if !named.contains(&quirk) {
            named.push(quirk);
        }
    }
    let told = |error: Error| {
        if error.may_pass() {
            tracing::error!(request_id = &*ctx.request_id, cause = %error, "an operation of a deferred request failed");
        }
        host.told(error)
    };
    let operations: Vec<Done> = written.operations.into_iter().map(|outcome| outcome.done(told)).collect();
    Answer { status: 200, body: BulkResponse { operations }.to_json(), tolerances: named }
}

/// The answer to a request that cannot be carried out as a whole.
fn refusal(host: &Arc<dyn Host>, error: Error) -> Answer {
    tracing::warn!(cause = %error, "a deferred request was refused");
    let error = host.told(error);
    Answer { status: error.status, body: error.body().to_string(), tolerances: Vec::new() }
}
