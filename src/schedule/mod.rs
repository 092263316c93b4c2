//! What falls due, done: the scheduler goes through what is due in a tenant, the oldest first, in batches through the one
//! write path. It works out nothing itself and remembers nothing: what is due is in the database, and each is done or is
//! still due, so that it may be stopped at any moment. The clock is an argument.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use crate::directory::guard::days::Days;
use crate::directory::{Ctx, Directory, EVERYBODY, Error, Fallen, Random, ResourceId, TenantId};

/// What is looked at in one batch.
const BATCH: i64 = 256;
/// A lease, µs: longer than any batch takes.
const LEASE: i64 = 120_000_000;
/// What follows from a moment when all else of it is done belongs to it still: so long after, µs.
const AFTERMATH: i64 = 1_000;
/// What cannot be done now is tried again after so long, µs.
const PATIENCE: i64 = 3_600_000_000;

/// Which time it is while what was due is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// That of the clock: what should have happened while nobody looked happens now, in order.
    AsItIs,
    /// That at which each was due: as if somebody had looked all the time.
    AsItWas,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// What was looked at.
    pub looked: u64,
    /// Users that are another for it.
    pub changed: u64,
    /// Accounts that were purged.
    pub purged: u64,
    /// What could not be done and is tried again.
    pub put_off: u64,
}

impl Done {
    fn add(&mut self, other: Done) {
        self.looked += other.looked;
        self.changed += other.changed;
        self.purged += other.purged;
        self.put_off += other.put_off;
    }
}

/// Goes through what is due.
#[derive(Clone)]
pub struct Scheduler {
    directory: Directory,
    holder: Uuid,
}

impl Scheduler {
    /// One of its own: no other has the same leases.
    pub fn new(directory: Directory, random: &Random) -> Result<Self, Error> {
        Ok(Scheduler { directory, holder: random.uuid()? })
    }

    /// Does what is due in every tenant that no other process looks after. `clock` says what time it is, µs since 1970.
    pub async fn look(&self, clock: impl Fn() -> i64 + Send + Sync) -> Result<Done, Error> {
        let mut done = Done::default();
        let (mut waiting, mut oldest) = (0, i64::MAX);
        for tenant in self.directory.tenants_due(clock()).await? {
            match self.look_after(tenant, &clock).await {
                Ok(one) => done.add(one),
                // One tenant's trouble is not another's.
                Err(error) => tracing::warn!(tenant = tenant.0, %error, "what is due has to wait"),
            }
            let now = clock();
            let ctx = Ctx::system(tenant, now, Random::os());
            if let Ok((left, since)) = self.directory.backlog(&ctx, now, BATCH).await {
                waiting += left.unsigned_abs();
                oldest = oldest.min(since.unwrap_or(i64::MAX));
            }
        }
        self.directory.falls().waiting.store(waiting, Ordering::Relaxed);
        let late = if waiting == 0 { 0 } else { clock().saturating_sub(oldest).max(0) };
        self.directory.falls().late.store(late, Ordering::Relaxed);
        self.directory.count_grounds().await?;
        Ok(done)
    }

    async fn look_after(&self, tenant: TenantId, clock: &(impl Fn() -> i64 + Send + Sync)) -> Result<Done, Error> {
        let mut done = Done::default();
        let mut weighed = None;
        loop {
            let now = clock();
            let ctx = Ctx::system(tenant, now, Random::os());
            let mut due = self.directory.due(&ctx, now, BATCH).await?;
            if due.is_empty() || !self.directory.take_schedule(&ctx, self.holder, now.saturating_add(LEASE)).await? {
                break;
            }
            if !self.weigh(&ctx, &mut due, &mut weighed).await? {
                continue;
            }
            self.look_through_runs(&ctx).await;
            let batch = self.carry_out(&ctx, &due).await;
            self.count(&batch);
            done.add(batch);
        }
        if done.looked > 0 {
            let now = clock();
            self.directory.drop_schedule(&Ctx::system(tenant, now, Random::os()), self.holder).await?;
            let Done { looked, changed, purged, put_off } = done;
            tracing::info!(tenant = tenant.0, looked, changed, purged, put_off, "what was due is done");
        }
        Ok(done)
    }

    /// Does what is due in one tenant up to `until` (µs since 1970); `told` hears how far it has come. `None`: another
    /// process looks after the tenant just now.
    pub async fn run(
        &self,
        tenant: TenantId,
        clock: impl Fn() -> i64 + Send + Sync,
        until: i64,
        pace: Pace,
        mut told: impl FnMut(i64, &Done) + Send,
    ) -> Result<Option<Done>, Error> {
        let mut done = Done::default();
        let mut moment = i64::MIN;
        let mut weighed = None;
        loop {
            let now = clock();
            let here = Ctx::system(tenant, now, Random::os());
            if !self.directory.take_schedule(&here, self.holder, now.saturating_add(LEASE)).await? {
                return Ok(None);
            }
            let mut due = self.directory.due(&here, until.saturating_add(AFTERMATH), BATCH).await?;
            let Some((_, first)) = due.first().copied() else { break };
            moment = match pace {
                Pace::AsItIs if first <= now.saturating_add(AFTERMATH) => now.max(first),
                Pace::AsItIs => now,
                // Never back: what was put there late is done after what came before it.
                Pace::AsItWas => first.max(moment),
            };
            due.retain(|(_, at)| *at <= moment);
            let ctx = Ctx { now: moment, ..here.clone() };
            if !self.weigh(&ctx, &mut due, &mut weighed).await? {
                continue;
            }
            self.look_through_runs(&ctx).await;
            done.add(self.carry_out(&ctx, &due).await);
            told(moment, &done);
        }
        self.directory.drop_schedule(&Ctx::system(tenant, clock(), Random::os()), self.holder).await?;
        Ok(Some(done))
    }

    /// Has what is due weighed, once for all that is due at a moment; `false`: it is too much, and waits for a person's
    /// decision. Where rules have changed for everybody, `due` becomes that alone, so that who is concerned is known
    /// before anything is done.
    async fn weigh(
        &self,
        ctx: &Ctx,
        due: &mut Vec<(ResourceId, i64)>,
        weighed: &mut Option<i64>,
    ) -> Result<bool, Error> {
        let latest = due.iter().map(|(_, at)| *at).max();
        if latest <= *weighed && !due.iter().any(|(id, _)| *id == EVERYBODY) {
            return Ok(true);
        }
        match self.directory.weigh_days(ctx).await? {
            Days::Go => *weighed = Some(ctx.now),
            Days::Spread => *due = vec![(EVERYBODY, ctx.now)],
            Days::Held => return Ok(false),
        }
        Ok(true)
    }

    /// Looks for people who are to be erased in what runs have left. Where that fails they are not erased yet, and all else goes on.
    async fn look_through_runs(&self, ctx: &Ctx) {
        if let Err(error) = self.directory.forget_in_runs(ctx).await {
            tracing::warn!(tenant = ctx.tenant.0, %error, "what runs have left cannot be looked through, and nobody is erased yet");
        }
    }

    /// Does each, in order; what cannot be done is put off, and nothing waits for it.
    async fn carry_out(&self, ctx: &Ctx, due: &[(ResourceId, i64)]) -> Done {
        // All of them lie in the tenant's queue before the first is waited for, and share commits.
        let falling: Vec<_> = due.iter().map(|(id, _)| (*id, self.directory.fall_due(ctx, *id))).collect();
        let mut done = Done::default();
        let mut failed: BTreeMap<ResourceId, Error> = BTreeMap::new();
        for (id, falling) in falling {
            match falling.await {
                Ok(Fallen::Early) => continue,
                Ok(Fallen::Same | Fallen::Told(_)) => {}
                Ok(Fallen::Changed) => done.changed += 1,
                Ok(Fallen::Purged) => done.purged += 1,
                Err(error) => drop(failed.insert(id, error)),
            }
            done.looked += 1;
        }
        for (id, error) in failed {
            done.put_off += 1;
            tracing::warn!(tenant = ctx.tenant.0, resource = %id, %error, "what is due cannot be done, and is tried again");
            if let Err(error) = self.directory.put_off(ctx, id, ctx.now.saturating_add(PATIENCE)).await {
                tracing::warn!(tenant = ctx.tenant.0, resource = %id, %error, "it could not be put off");
            }
        }
        done
    }

    fn count(&self, done: &Done) {
        let falls = self.directory.falls();
        let counters = [
            (&falls.looked, done.looked),
            (&falls.changed, done.changed),
            (&falls.purged, done.purged),
            (&falls.put_off, done.put_off),
        ];
        for (counter, by) in counters {
            counter.fetch_add(by, Ordering::Relaxed);
        }
    }
}
