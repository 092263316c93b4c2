//! The raw database: the same rows as the server writes, by SQL alone, in a copy of the register's file.

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use store::baseline::SqliteBaseline;
use store::{ResourceId, TenantId};
use uuid::Uuid;

use super::machine;
use super::measure::{Link, Sample, WARM_UP};
use super::wire::Connection;
use super::world::{self, BULK, World};

/// People whose rows are inserted, over and over.
const STAGED: u64 = 5_000;

/// The raw database, ready to be measured.
pub(super) struct Raw(RefCell<State>);

struct State {
    baseline: SqliteBaseline,
    staged: i64,
    next: i64,
}

impl Raw {
    /// Has the server create people, and takes their rows.
    pub(super) async fn prepare(world: &World, copy: &Path, register: &Path) -> anyhow::Result<Self> {
        let ids = newcomers(world).await?;
        let path = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
        let mut baseline = SqliteBaseline::open(&path(copy)?, &path(register)?, TenantId(world.loaded.tenant))?;
        let rows = baseline.stage(&ids)?;
        ensure!(rows >= ids.len() as i64 * 5, "{rows} rows of {} people", ids.len());
        Ok(Raw(RefCell::new(State { baseline, staged: i64::try_from(ids.len())?, next: 0 })))
    }

    /// Inserts for that long, so many people a commit.
    pub(super) fn insert(&self, time: Duration, per_commit: i64) -> anyhow::Result<Sample> {
        let State { baseline, staged, next } = &mut *self.0.borrow_mut();
        let mut watch = Watch::new(time);
        while watch.is_on() {
            if *next + per_commit > *staged {
                watch.pause(|| baseline.clear())?;
                *next = 0;
            }
            watch.call(per_commit.unsigned_abs(), || baseline.insert(*next, per_commit))?;
            *next += per_commit;
        }
        Ok(watch.sample())
    }

    /// Reads the rows of people for that long.
    pub(super) fn read(&self, time: Duration, ids: &[Uuid]) -> anyhow::Result<Sample> {
        self.each(time, ids, 2, SqliteBaseline::read)
    }

    /// Updates one row a commit for that long.
    pub(super) fn update(&self, time: Duration, ids: &[Uuid]) -> anyhow::Result<Sample> {
        self.each(time, ids, 1, SqliteBaseline::update)
    }

    /// Does something with one person after the other; that many rows it must be at least.
    fn each(
        &self,
        time: Duration,
        ids: &[Uuid],
        least: usize,
        work: fn(&mut SqliteBaseline, ResourceId) -> Result<usize, store::Error>,
    ) -> anyhow::Result<Sample> {
        let State { baseline, .. } = &mut *self.0.borrow_mut();
        let mut watch = Watch::new(time);
        for id in ids.iter().cycle() {
            if !watch.is_on() {
                break;
            }
            let rows = watch.call(1, || work(baseline, ResourceId(*id)))?;
            ensure!(rows >= least, "{id} has {rows} rows");
        }
        Ok(watch.sample())
    }
}

/// Has the server create people whose rows are inserted then by SQL alone.
pub(super) async fn newcomers(world: &World) -> anyhow::Result<Vec<ResourceId>> {
    let mut ids = Vec::new();
    let mut connection = Connection::open(world.subject.address).await?;
    for _ in 0..STAGED.min(world.people.size.max(BULK)) / BULK {
        let numbers: Vec<u64> = (0..BULK).map(|_| world.newcomer()).collect();
        let request = world::bulk_request(&world.subject, world.people, numbers.iter().copied());
        let made = world::created(connection.send(&request).await?.body)?;
        ensure!(made.len() == numbers.len(), "a bulk created {} people", made.len());
        world.created.borrow_mut().extend(numbers.into_iter().zip(made.iter().copied()));
        ids.extend(made.into_iter().map(ResourceId));
    }
    Ok(ids)
}

/// Measures work of this very process.
struct Watch {
    time: Duration,
    is_warm: bool,
    spent: f64,
    times: Vec<f64>,
    done: u64,
    before: f64,
    paused: f64,
}

fn used() -> f64 {
    machine::processor_time(std::process::id()).unwrap_or_default()
}

impl Watch {
    fn new(time: Duration) -> Self {
        let before = used();
        Watch { time, is_warm: false, spent: 0.0, times: Vec::new(), done: 0, before, paused: 0.0 }
    }

    /// Whether to go on. Forgets what was done to [warm up](WARM_UP).
    fn is_on(&mut self) -> bool {
        if !self.is_warm && self.spent >= (self.time / WARM_UP).as_secs_f64() * 1e6 {
            *self = Watch { is_warm: true, ..Watch::new(self.time) };
        }
        !self.is_warm || self.spent < self.time.as_secs_f64() * 1e6
    }

    fn call<T, E>(&mut self, operations: u64, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let begun = Instant::now();
        let outcome = work()?;
        let took = begun.elapsed().as_secs_f64() * 1e6;
        self.spent += took;
        self.times.push(took);
        self.done += operations;
        Ok(outcome)
    }

    /// Does something that is not measured.
    fn pause<T, E>(&mut self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let before = used();
        let outcome = work();
        self.paused += used() - before;
        outcome
    }

    fn sample(self) -> Sample {
        let cpu = used() - self.before - self.paused;
        Sample::of(self.times, self.done, self.spent / 1e6, cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_warms_up_is_not_counted() {
        let mut watch = Watch::new(Duration::from_millis(10));
        let mut calls = 0;
        while watch.is_on() {
            let work = || {
                std::thread::sleep(Duration::from_micros(100));
                Ok::<(), ()>(())
            };
            watch.call(1, work).expect("it succeeds");
            calls += 1;
        }
        let sample = watch.sample();
        assert!((1..calls).contains(&sample.done), "{} of {calls}", sample.done);
    }
}
