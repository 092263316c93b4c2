//! What the interface counts, for Prometheus. Recording is some atomic additions: no text is made and no lock is taken
//! that anybody holds for longer than a look-up. Labels are route templates, methods, classes of statuses, and names of
//! clients up to a limit; never an id of a resource, a value of one, or anything of a person.

mod listen;
pub(super) mod name;
mod process;
mod show;
mod text;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use actix_web::dev::{Extensions, ServiceResponse};
use actix_web::http::Method;
use store::meter::Histogram;

use super::extract::Asker;
use super::routes::Pattern;

pub(super) use listen::{Served, serve};
pub(super) use process::files_most;
pub(super) use text::Page;

/// Clients that are told apart; all others are one.
const CLIENTS: usize = 1_000;
/// Who they are then: no client has such a name, for the tenant does not exist.
const OTHERS: (i64, &str) = (0, "(others)");
/// Paths that are told apart: more than there are.
const ROUTES: usize = 32;
/// What a request is told to match that matches no path.
const NO_ROUTE: &str = "(none)";

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Refusals that an operator wants to tell from other errors.
const REFUSALS: [u16; 6] = [401, 403, 408, 413, 429, 503];

/// What one process has counted since its start.
pub(super) struct Metrics {
    /// µs since 1970.
    started_at: i64,
    /// Whether anybody can see what is counted of requests; else it is not.
    is_shown: bool,
    routes: [OnceLock<(&'static str, Route)>; ROUTES],
    clients: RwLock<Clients>,
    refusals: [AtomicU64; REFUSALS.len()],
    panics: AtomicU64,
    connections: Arc<Connections>,
    certificate: Certificate,
}

/// Latencies of a path, by method and class of status; those that never occur cost nothing.
struct Route(Box<[OnceLock<Histogram>]>);

impl Default for Route {
    fn default() -> Self {
        Route((0..METHODS.len() * CLASSES.len()).map(|_| OnceLock::new()).collect())
    }
}

/// By tenant and name.
type Clients = HashMap<(i64, Arc<str>), Arc<Client>>;

/// What one client has asked.
#[derive(Debug, Default)]
struct Client {
    by_class: [AtomicU64; CLASSES.len()],
    microseconds: AtomicU64,
}

/// Connections of clients.
#[derive(Debug, Default)]
struct Connections {
    accepted: AtomicU64,
    open: AtomicI64,
}

/// Goes with its connection.
struct Connected(Arc<Connections>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is known of the certificate in use.
#[derive(Debug, Default)]
struct Certificate {
    /// Seconds since 1970; 0: there is none.
    expires_at: AtomicI64,
    reloads: AtomicU64,
    failures: AtomicU64,
}

impl Metrics {
    /// Begins to count; `now` in µs since 1970. What is not shown is not counted.
    pub(super) fn new(now: i64, is_shown: bool) -> Self {
        Metrics {
            started_at: now,
            is_shown,
            routes: [const { OnceLock::new() }; ROUTES],
            clients: RwLock::default(),
            refusals: [const { AtomicU64::new(0) }; REFUSALS.len()],
            panics: AtomicU64::new(0),
            connections: Arc::default(),
            certificate: Certificate::default(),
        }
    }

    /// Counts a request that has been answered.
    pub(super) fn record<B>(&self, response: &ServiceResponse<B>, asker: Option<&Asker>, begun: Instant) {
        if !self.is_shown {
            return;
        }
        let request = response.request();
        let status = response.status().as_u16();
        let route = request.app_data::<Pattern>().map_or(NO_ROUTE, |pattern| pattern.0);
        let class = usize::from(status / 100).saturating_sub(1).min(CLASSES.len() - 1);
        let took = begun.elapsed();
        if let Some(latency) = self.route(route).and_then(|route| route.latency(request.method(), class)) {
            latency.record(microseconds(took));
        }
        if let Some(asker) = asker {
            let client = self.client(asker);
            if let Some(count) = client.by_class.get(class) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            client.microseconds.fetch_add(microseconds(took), Ordering::Relaxed);
        }
        if status >= 400
            && let Some(place) = REFUSALS.iter().position(|refusal| *refusal == status)
            && let Some(count) = self.refusals.get(place)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a request whose handler panicked.
    pub(super) fn record_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection until what goes with it is dropped.
    pub(super) fn record_connection(&self, with_it: &mut Extensions) {
        self.connections.accepted.fetch_add(1, Ordering::Relaxed);
        self.connections.open.fetch_add(1, Ordering::Relaxed);
        with_it.insert(Arc::new(Connected(Arc::clone(&self.connections))));
    }

    /// Notes until when the certificate in use is good, in seconds since 1970.
    pub(super) fn note_certificate(&self, expires_at: i64) {
        self.certificate.expires_at.store(expires_at, Ordering::Relaxed);
    }

    /// Counts a change of the certificate's files, taken or not.
    pub(super) fn record_reload(&self, taken: bool) {
        let Certificate { reloads, failures, .. } = &self.certificate;
        let counter = if taken { reloads } else { failures };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts of a path: its own slot, or the first that is free.
    fn route(&self, pattern: &'static str) -> Option<&Route> {
        self.routes.iter().find_map(|slot| {
            let (known, route) = slot.get_or_init(|| (pattern, Route::default()));
            (*known == pattern).then_some(route)
        })
    }

    fn client(&self, asker: &Asker) -> Arc<Client> {
        let key = (asker.tenant, Arc::clone(&asker.client));
        if let Some(known) = self.clients.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(known);
        }
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        let key = match clients.len() >= CLIENTS && !clients.contains_key(&key) {
            true => (OTHERS.0, Arc::from(OTHERS.1)),
            false => key,
        };
        Arc::clone(clients.entry(key).or_default())
    }
}

impl Route {
    fn latency(&self, method: &Method, class: usize) -> Option<&Histogram> {
        let known = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1);
        self.0.get(known * CLASSES.len() + class).map(|slot| slot.get_or_init(Histogram::of_durations))
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Tolerances;

    #[test]
    fn each_path_has_counts_of_its_own_and_what_does_not_fit_has_none() {
        let metrics = Metrics::new(0, true);
        let names: Vec<&'static str> = (0..40).map(|n| &*String::leak(format!("/{n}"))).collect();
        for _ in 0..2 {
            for (n, name) in names.iter().enumerate() {
                let latency = metrics.route(name).and_then(|route| route.latency(&Method::GET, 1));
                assert_eq!(latency.is_some(), n < ROUTES, "{name}");
                latency.into_iter().for_each(|latency| latency.record(1));
            }
        }
        let total = |slot: &OnceLock<(&str, Route)>| {
            let (_, route) = slot.get().expect("in use");
            route.latency(&Method::GET, 1).expect("there").distribution().total()
        };
        assert!(metrics.routes.iter().all(|slot| total(slot) == 2));
    }

    #[test]
    fn clients_beyond_the_limit_are_counted_as_one() {
        let metrics = Metrics::new(0, true);
        let asker = |n: usize| Asker {
            client: format!("c{n}").into(),
            tenant: 1,
            id: store::ResourceId::SYSTEM,
            credential: None,
            tolerances: Tolerances::default(),
        };
        for n in (0..CLIENTS + 5).chain(0..CLIENTS + 5) {
            metrics.client(&asker(n)).microseconds.fetch_add(1, Ordering::Relaxed);
        }
        let clients = metrics.clients.read().expect("not poisoned");
        assert_eq!(clients.len(), CLIENTS + 1);
        let count = |key: (i64, &str)| clients[&(key.0, Arc::from(key.1))].microseconds.load(Ordering::Relaxed);
        assert_eq!((count((1, "c0")), count((1, "c999")), count(OTHERS)), (2, 2, 10));
    }
}
