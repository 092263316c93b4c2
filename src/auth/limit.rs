//! How much a client, and a tenant, may ask for: so many requests a second, so many at once after a pause, so many under
//! way at a time. And the [`Brake`] on who fails to authenticate.
//!
//! A rate is one number that says up to when a client's requests are spoken for (the generic cell rate algorithm); asking
//! is a look-up and a few atomics, and takes no memory once a client is known. Time is an argument, in µs of any clock
//! that does not go backwards.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use store::{ById, IdHash, ResourceId, TenantId};

use crate::directory::{Caller, Rate};

/// Parts of a map, so that threads seldom wait for each other.
const SHARDS: usize = 16;
/// Those of a part that are known before the idle ones are forgotten.
const KNOWN: usize = 4_096;
/// ns.
const SECOND: u64 = 1_000_000_000;

/// How much may be asked for; 0: as much as anybody likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Requests a second in the long run.
    pub per_second: u32,
    /// Requests at once after a pause.
    pub burst: u32,
    /// Requests under way at a time.
    pub concurrent: u32,
}

/// What is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For each client that has no bounds of its own.
    pub client: Bounds,
    /// For each tenant.
    pub tenant: Bounds,
    /// Failed attempts to authenticate of one address: so many at once, and then a tenth of that a second; 0: any number.
    pub failures: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let bounds = |concurrent| Bounds { per_second: 0, burst: 0, concurrent };
        Limits { client: bounds(256), tenant: bounds(1_024), failures: 300 }
    }
}

/// Why a request must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// What there was too much of, as the end of a sentence.
    pub what: &'static str,
    /// After so many seconds another try makes sense.
    pub seconds: u32,
}

/// One client, or one tenant.
#[derive(Debug, Default)]
struct Gauge {
    /// Up to when its requests are spoken for, in ns.
    spoken: AtomicU64,
    running: AtomicU32,
}

impl Gauge {
    /// Takes one request of the rate; else the ns until there is one.
    fn take(&self, now: u64, per_second: u32, burst: u32) -> Result<(), u64> {
        let interval = SECOND / u64::from(per_second.max(1));
        let slack = interval.saturating_mul(u64::from(burst.max(1)));
        let mut spoken = self.spoken.load(Ordering::Relaxed);
        loop {
            let next = spoken.max(now).saturating_add(interval);
            let ahead = next.saturating_sub(now);
            if ahead > slack {
                return Err(ahead - slack);
            }
            match self.spoken.compare_exchange_weak(spoken, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => spoken = other,
            }
        }
    }

    /// Takes a place; `false`: all are taken.
    fn enter(&self, most: u32) -> bool {
        let taken = self.running.fetch_add(1, Ordering::Relaxed);
        if most > 0 && taken >= most {
            self.running.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn is_idle(&self, now: u64) -> bool {
        self.running.load(Ordering::Relaxed) == 0 && self.spoken.load(Ordering::Relaxed) <= now
    }
}

#[derive(Debug)]
struct Gauges<K> {
    parts: [RwLock<ById<K, Arc<Gauge>>>; SHARDS],
    hash: IdHash,
}

impl<K: Hash + Eq + Copy> Gauges<K> {
    fn new() -> Self {
        Gauges { parts: std::array::from_fn(|_| RwLock::default()), hash: IdHash::default() }
    }

    fn of(&self, key: K, now: u64) -> Arc<Gauge> {
        let place = usize::try_from(self.hash.hash_one(key) % SHARDS as u64).unwrap_or_default();
        let Some(part) = self.parts.get(place) else { return Arc::default() };
        if let Some(known) = part.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(known);
        }
        let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
        if part.len() >= KNOWN {
            part.retain(|_, gauge| Arc::strong_count(gauge) > 1 || !gauge.is_idle(now));
        }
        Arc::clone(part.entry(key).or_default())
    }
}

/// Counts what clients and tenants ask for.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    clients: Gauges<(TenantId, ResourceId)>,
    tenants: Gauges<TenantId>,
}

/// A request under way; its place is free again when this is dropped.
#[derive(Debug)]
pub struct Permit {
    client: Arc<Gauge>,
    tenant: Arc<Gauge>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.client.running.fetch_sub(1, Ordering::Relaxed);
        self.tenant.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limiter {
    /// Nothing has been asked for yet.
    pub fn new(limits: Limits) -> Self {
        Limiter { limits, clients: Gauges::new(), tenants: Gauges::new() }
    }

    /// Lets a request of a client in, or says what there is too much of; `now` in µs.
    pub fn admit(&self, tenant: TenantId, caller: &Caller, now: u64) -> Result<Permit, Excess> {
        let now = now.saturating_mul(1_000);
        let own = self.bounds_of(caller.rate);
        let client = self.clients.of((tenant, caller.id), now);
        let of_tenant = self.tenants.of(tenant, now);
        if !client.enter(own.concurrent) {
            return Err(Excess { what: "requests of this client are under way", seconds: 1 });
        }
        if !of_tenant.enter(self.limits.tenant.concurrent) {
            client.running.fetch_sub(1, Ordering::Relaxed);
            return Err(Excess { what: "requests of this organisation are under way", seconds: 1 });
        }
        // From here on both are let go of when the permit is dropped.
        let permit = Permit { client, tenant: of_tenant };
        let bounds = self.limits.tenant;
        rate(&permit.client, own, now, "requests came from this client")?;
        rate(&permit.tenant, bounds, now, "requests came from this organisation")?;
        Ok(permit)
    }

    fn bounds_of(&self, rate: Rate) -> Bounds {
        let usual = self.limits.client;
        let per_second = rate.per_second.unwrap_or(usual.per_second);
        Bounds {
            per_second,
            burst: rate.burst.unwrap_or(if rate.per_second.is_some() { per_second } else { usual.burst }),
            concurrent: rate.concurrent.unwrap_or(usual.concurrent),
        }
    }
}

fn rate(gauge: &Gauge, bounds: Bounds, now: u64, what: &'static str) -> Result<(), Excess> {
    if bounds.per_second == 0 {
        return Ok(());
    }
    let burst = if bounds.burst == 0 { bounds.per_second } else { bounds.burst };
    gauge.take(now, bounds.per_second, burst).map_err(|wait| Excess { what, seconds: seconds(wait) })
}

/// ns as whole seconds, and at least one.
fn seconds(wait: u64) -> u32 {
    u32::try_from(wait.div_ceil(SECOND)).unwrap_or(u32::MAX).max(1)
}

/// Places in which failures are counted: what an attacker takes of memory is fixed.
const PLACES: usize = 1 << 14;
/// Bits of a place that hold its time, in ms; the others tell whose it is.
const TIME_BITS: u32 = 48;

/// Slows down who fails to authenticate. Of one address (of IPv6 its network of 64 bits) some failures are let pass, then
/// a tenth of that a second; the others are answered without asking the database. A place belongs to who failed there
/// last, so that two that meet in one hinder each other no longer than an attempt.
#[derive(Debug)]
pub struct Brake {
    places: Box<[AtomicU64]>,
    hash: RandomState,
    /// ms that one failure stands for; 0: there is no brake.
    interval: u64,
    /// ms of failures that are let pass.
    slack: u64,
}

impl Brake {
    /// A brake that lets so many failures pass at once; 0: all.
    pub fn new(failures: u32) -> Self {
        let interval = if failures == 0 { 0 } else { (10_000 / u64::from(failures)).max(1) };
        let places = (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Brake { places, hash: RandomState::new(), interval, slack: interval * u64::from(failures) }
    }

    /// The seconds that an address has to wait before it may fail again; `now` in µs.
    pub fn wait(&self, address: IpAddr, now: u64) -> Option<u32> {
        let (place, whose) = self.place_of(address)?;
        let held = place.load(Ordering::Relaxed);
        if self.interval == 0 || held >> TIME_BITS != whose {
            return None;
        }
        let ahead = time_of(held).saturating_sub(now / 1_000);
        let over = ahead.checked_sub(self.slack).filter(|over| *over > 0)?;
        Some(seconds(over.saturating_mul(1_000_000)))
    }

    /// Notes a failure; `now` in µs.
    pub fn note(&self, address: IpAddr, now: u64) {
        let Some((place, whose)) = self.place_of(address) else { return };
        let now = now / 1_000;
        let next = |held: u64| {
            let spoken = if held >> TIME_BITS == whose { time_of(held).max(now) } else { now };
            // No longer than what is let pass and one more.
            let spoken = (spoken + self.interval).min(now + self.slack + self.interval);
            Some(whose << TIME_BITS | (spoken & ((1 << TIME_BITS) - 1)))
        };
        let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    fn place_of(&self, address: IpAddr) -> Option<(&AtomicU64, u64)> {
        let key = match address.to_canonical() {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address) >> 64 << 64 | 1 << 63,
        };
        let hash = self.hash.hash_one(key);
        let place = usize::try_from(hash % PLACES as u64).ok()?;
        Some((self.places.get(place)?, hash >> TIME_BITS))
    }
}

fn time_of(held: u64) -> u64 {
    held & ((1 << TIME_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Ctx, Random};

    fn caller(rate: Rate) -> Caller {
        Caller { rate, ..(*Ctx::system(TenantId(1), 0, Random::os()).caller).clone() }
    }

    fn limiter(client: Bounds, tenant: Bounds) -> Limiter {
        Limiter::new(Limits { client, tenant, failures: 0 })
    }

    const TENANT: TenantId = TenantId(1);
    const MS: u64 = 1_000;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limiter = limiter(Bounds { per_second: 10, burst: 5, concurrent: 0 }, Bounds::default());
        let caller = caller(Rate::default());
        let start = 1_000_000 * MS;
        let passed = (0..20).filter(|_| limiter.admit(TENANT, &caller, start).is_ok()).count();
        assert_eq!(passed, 5);
        let refused = limiter.admit(TENANT, &caller, start).expect_err("too many");
        assert_eq!(refused, Excess { what: "requests came from this client", seconds: 1 });
        // One each tenth of a second from then on.
        for tenth in 1..=10 {
            let now = start + tenth * 100 * MS;
            assert!(limiter.admit(TENANT, &caller, now).is_ok() && limiter.admit(TENANT, &caller, now).is_err());
        }
    }

    #[test]
    fn what_a_client_is_granted_counts_in_the_place_of_what_is_usual() {
        let limiter = limiter(Bounds { per_second: 1, burst: 1, concurrent: 0 }, Bounds::default());
        let granted = caller(Rate { per_second: Some(100), burst: None, concurrent: None });
        assert_eq!((0..500).filter(|_| limiter.admit(TENANT, &granted, 0).is_ok()).count(), 100);
    }

    #[test]
    fn places_are_free_again_when_requests_end() {
        let own = Bounds { per_second: 0, burst: 0, concurrent: 2 };
        let limiter = limiter(own, Bounds { per_second: 0, burst: 0, concurrent: 3 });
        let (one, mut other) = (caller(Rate::default()), caller(Rate::default()));
        other.id = ResourceId(uuid::Uuid::from_u128(7));
        let first = [limiter.admit(TENANT, &one, 0), limiter.admit(TENANT, &one, 0)];
        assert!(first.iter().all(Result::is_ok) && limiter.admit(TENANT, &one, 0).is_err());
        let third = limiter.admit(TENANT, &other, 0);
        let what = limiter.admit(TENANT, &other, 0).expect_err("the tenant's places are taken").what;
        assert_eq!(what, "requests of this organisation are under way");
        drop((first, third));
        assert!(limiter.admit(TENANT, &one, 0).is_ok() && limiter.admit(TENANT, &other, 0).is_ok());
    }

    #[test]
    fn one_tenant_does_not_use_up_what_another_has() {
        let limiter = limiter(Bounds::default(), Bounds { per_second: 10, burst: 10, concurrent: 0 });
        let caller = caller(Rate::default());
        while limiter.admit(TENANT, &caller, 0).is_ok() {}
        assert!(limiter.admit(TenantId(2), &caller, 0).is_ok());
    }

    #[test]
    fn who_idles_is_forgotten_and_who_does_not_is_kept() {
        let gauges = Gauges::new();
        let kept = gauges.of(0_u64, 0);
        kept.running.fetch_add(1, Ordering::Relaxed);
        drop(kept);
        for key in 1..100_000 {
            gauges.of(key, 0);
        }
        let known: usize = gauges.parts.iter().map(|part| part.read().expect("sound").len()).sum();
        assert!(known <= SHARDS * KNOWN, "{known}");
        assert_eq!(gauges.of(0, 0).running.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn failures_are_let_pass_and_then_braked_by_address() {
        let brake = Brake::new(100);
        let (address, other): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().expect("an address"), "192.0.2.2".parse().expect("an address"));
        let mut now = 1_000_000 * MS;
        for _ in 0..100 {
            assert_eq!(brake.wait(address, now), None);
            brake.note(address, now);
        }
        brake.note(address, now);
        assert_eq!(brake.wait(address, now), Some(1));
        assert_eq!(brake.wait(other, now), None);
        // However often it failed, a while later it may again.
        (0..10_000).for_each(|_| brake.note(address, now));
        now += 1_000 * MS;
        assert_eq!(brake.wait(address, now), None);
        assert_eq!(Brake::new(0).wait(address, now), None);
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one() {
        let brake = Brake::new(10);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        (0..12).for_each(|n| brake.note(address(&format!("2001:db8::{n}")), 0));
        assert!(brake.wait(address("2001:db8::ffff"), 0).is_some());
        assert_eq!(brake.wait(address("2001:db8:0:1::1"), 0), None);
        assert!(Brake::new(10).wait(address("::ffff:192.0.2.1"), 0).is_none());
    }
}
