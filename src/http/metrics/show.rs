//! Everything that is counted, put together for one scrape.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use store::meter::Figures;

use super::process::Process;
use super::text::Page;
use super::{CLASSES, CLIENTS, METHODS, Metrics, REFUSALS, name};
use crate::directory::work_items::Kind;
use crate::http::State;

/// µs in a second, and nothing.
const MICROSECONDS: f64 = 1e6;
const ONE: f64 = 1.0;

/// The whole text.
pub(super) fn render(state: &State) -> String {
    let mut page = Page::default();
    let figures = state.directory.store().figures();
    page.begin(&name::BUILD);
    page.value(&name::BUILD, &[("version", env!("CARGO_PKG_VERSION")), ("database", figures.database)], 1);
    state.metrics.show_requests(&mut page);
    state.metrics.show_clients(&mut page);
    show_tolerances(state, &mut page);
    let deferred = state.directory.deferred_figures();
    page.single(&name::DEFERRED_WAITING, deferred.waiting);
    page.single(&name::DEFERRED_ACCEPTED, deferred.accepted);
    page.single(&name::DEFERRED_DONE, deferred.done);
    show_due(state, &mut page);
    show_store(&figures, &mut page);
    state.metrics.show_certificate(&mut page);
    state.federation.show(&mut page);
    let process = Process::look();
    page.single(&name::STARTED, state.metrics.started_at as f64 / MICROSECONDS);
    page.optional(&name::PROCESSOR, process.processor);
    page.optional(&name::MEMORY, process.memory);
    page.optional(&name::FILES, process.files);
    page.optional(&name::FILES_MOST, process.files_most);
    page.into_text()
}

impl Metrics {
    fn show_requests(&self, page: &mut Page) {
        page.begin(&name::REQUESTS);
        for (route, latencies) in self.routes.iter().filter_map(|slot| slot.get()) {
            let series = METHODS.iter().flat_map(|method| CLASSES.iter().map(move |class| (*method, *class)));
            for ((method, class), latency) in series.zip(&latencies.0) {
                if let Some(latency) = latency.get() {
                    let labels = [("route", *route), ("method", method), ("status", class)];
                    page.histogram(&name::REQUESTS, &labels, &latency.distribution(), MICROSECONDS);
                }
            }
        }
        page.begin(&name::REFUSED);
        for (status, count) in REFUSALS.iter().zip(&self.refusals) {
            page.value(&name::REFUSED, &[("status", &status.to_string())], read(count));
        }
        page.single(&name::PANICS, read(&self.panics));
        page.single(&name::CONNECTIONS, self.connections.open.load(Ordering::Relaxed));
        page.single(&name::ACCEPTED, read(&self.connections.accepted));
    }

    fn show_clients(&self, page: &mut Page) {
        let clients: BTreeMap<_, _> = {
            let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
            clients.iter().map(|((tenant, name), client)| ((*tenant, name.clone()), client.clone())).collect()
        };
        page.begin(&name::CLIENT_REQUESTS);
        for ((tenant, client), counts) in &clients {
            for (class, count) in CLASSES.iter().zip(&counts.by_class).filter(|(_, count)| read(count) > 0) {
                let labels = [("tenant", &*tenant.to_string()), ("client", client), ("status", class)];
                page.value(&name::CLIENT_REQUESTS, &labels, read(count));
            }
        }
        page.begin(&name::CLIENT_TIME);
        for ((tenant, client), counts) in &clients {
            let labels = [("tenant", &*tenant.to_string()), ("client", client)];
            let seconds = read(&counts.microseconds) as f64 / MICROSECONDS;
            page.totals(&name::CLIENT_TIME, &labels, seconds, counts.by_class.iter().map(read).sum());
        }
    }

    fn show_certificate(&self, page: &mut Page) {
        let expires_at = self.certificate.expires_at.load(Ordering::Relaxed);
        page.optional(&name::CERTIFICATE_EXPIRY, (expires_at != 0).then_some(expires_at));
        page.begin(&name::CERTIFICATE_RELOADS);
        for (outcome, count) in [("taken", &self.certificate.reloads), ("refused", &self.certificate.failures)] {
            page.value(&name::CERTIFICATE_RELOADS, &[("outcome", outcome)], read(count));
        }
    }
}

fn show_tolerances(state: &State, page: &mut Page) {
    page.begin(&name::CLIENT_TOLERANCES);
    state.tolerances.each(CLIENTS, |tenant, client, tolerance, uses| {
        let labels = [("tenant", &*tenant.to_string()), ("client", client), ("tolerance", tolerance)];
        page.value(&name::CLIENT_TOLERANCES, &labels, uses);
    });
}

fn show_due(state: &State, page: &mut Page) {
    let falls = state.directory.falls();
    page.single(&name::DUE_LOOKED, read(&falls.looked));
    page.single(&name::DUE_CHANGED, read(&falls.changed));
    page.single(&name::DUE_PURGED, read(&falls.purged));
    page.single(&name::DUE_PUT_OFF, read(&falls.put_off));
    page.single(&name::DUE_WAITING, read(&falls.waiting));
    page.single(&name::DUE_LATE, falls.late.load(Ordering::Relaxed) as f64 / MICROSECONDS);
    page.begin(&name::DECISIONS);
    for (kind, count) in Kind::ALL.iter().zip(&falls.grounds) {
        page.value(&name::DECISIONS, &[("kind", kind.as_str())], read(count));
    }
}

fn show_store(figures: &Figures, page: &mut Page) {
    page.single(&name::READS_WAITING, figures.reads_waiting);
    page.single(&name::WRITES_WAITING, figures.writes_waiting);
    page.begin(&name::STORE_REFUSED);
    page.value(&name::STORE_REFUSED, &[("kind", "read")], figures.reads_refused);
    page.value(&name::STORE_REFUSED, &[("kind", "write")], figures.writes_refused);
    page.begin(&name::BATCH_OPERATIONS);
    page.histogram(&name::BATCH_OPERATIONS, &[], &figures.batch_operations, ONE);
    page.begin(&name::BATCH_TIME);
    page.histogram(&name::BATCH_TIME, &[], &figures.batch_time, MICROSECONDS);
    page.begin(&name::COMMIT_TIME);
    page.histogram(&name::COMMIT_TIME, &[], &figures.commit_time, MICROSECONDS);
    page.single(&name::REPLAYED, figures.batches_replayed);
    page.single(&name::CONNECTIONS_LOST, figures.connections_lost);
    page.single(&name::CONNECTIONS_REOPENED, figures.connections_reopened);
    page.optional(&name::DATABASE_BYTES, figures.file_bytes);
    page.optional(&name::LOG_BYTES, figures.log_bytes);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
