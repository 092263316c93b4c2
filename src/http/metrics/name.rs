//! The names of all metrics, with their kinds and meanings: the one place where they stand. The table in OPERATIONS.md
//! is held to it by a test.

/// How a metric behaves, as Prometheus calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Grows, and begins anew with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of values by upper bound, and their sum.
    Histogram,
    /// A count of values and their sum.
    Summary,
}

/// One metric.
#[derive(Debug)]
pub(in crate::http) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, help }
}

pub(super) const BUILD: Metric =
    metric("matrikel_build_info", Kind::Gauge, "1; its labels are the version and the kind of database.");

pub(super) const REQUESTS: Metric = metric(
    "matrikel_http_request_duration_seconds",
    Kind::Histogram,
    "Time from the head of a request to its answer being ready to send.",
);
pub(super) const REFUSED: Metric =
    metric("matrikel_http_refused_total", Kind::Counter, "Requests that were refused with that status.");
pub(super) const PANICS: Metric =
    metric("matrikel_http_panics_total", Kind::Counter, "Requests whose handler broke off; each was answered 500.");
pub(super) const CONNECTIONS: Metric =
    metric("matrikel_http_connections", Kind::Gauge, "Connections of clients that are open.");
pub(super) const ACCEPTED: Metric =
    metric("matrikel_http_connections_total", Kind::Counter, "Connections of clients since the start.");

pub(super) const CLIENT_REQUESTS: Metric =
    metric("matrikel_client_requests_total", Kind::Counter, "Requests of a client with a valid token.");
pub(super) const CLIENT_TIME: Metric = metric(
    "matrikel_client_request_duration_seconds",
    Kind::Summary,
    "Time that the requests of a client took, together.",
);
pub(super) const CLIENT_TOLERANCES: Metric = metric(
    "matrikel_client_tolerances_total",
    Kind::Counter,
    "Liberties that a client's requests needed to be understood.",
);

pub(super) const DEFERRED_WAITING: Metric = metric(
    "matrikel_deferred_requests",
    Kind::Gauge,
    "Bulk requests answered with 202 that this process carries out or has waiting.",
);
pub(super) const DEFERRED_ACCEPTED: Metric =
    metric("matrikel_deferred_accepted_total", Kind::Counter, "Bulk requests that were answered with 202.");
pub(super) const DEFERRED_DONE: Metric =
    metric("matrikel_deferred_done_total", Kind::Counter, "Such requests that were carried out to their result.");

pub(super) const DUE_LOOKED: Metric = metric(
    "matrikel_due_looked_total",
    Kind::Counter,
    "Resources that this process looked at because something was due.",
);
pub(super) const DUE_CHANGED: Metric =
    metric("matrikel_due_changed_total", Kind::Counter, "Users that are another because something was due.");
pub(super) const DUE_PURGED: Metric =
    metric("matrikel_due_purged_total", Kind::Counter, "Accounts that were purged because it was time.");
pub(super) const DUE_PUT_OFF: Metric = metric(
    "matrikel_due_put_off_total",
    Kind::Counter,
    "What was due, could not be done and is tried again an hour later.",
);
pub(super) const DUE_WAITING: Metric = metric(
    "matrikel_due_waiting",
    Kind::Gauge,
    "What was still due after this process last looked, at most 256 of a tenant.",
);
pub(super) const DUE_LATE: Metric =
    metric("matrikel_due_late_seconds", Kind::Gauge, "By how much the oldest of that was late.");

pub(super) const DECISIONS: Metric = metric(
    "matrikel_decisions_waiting",
    Kind::Gauge,
    "What a person has to decide, by kind, of all tenants, when this process last looked for what is due.",
);

pub(super) const READS_WAITING: Metric =
    metric("matrikel_store_reads_waiting", Kind::Gauge, "Reads that wait for a thread that reads the database.");
pub(super) const WRITES_WAITING: Metric =
    metric("matrikel_store_writes_waiting", Kind::Gauge, "Writes that wait for the next batch.");
pub(super) const STORE_REFUSED: Metric = metric(
    "matrikel_store_refused_total",
    Kind::Counter,
    "Reads and writes refused because too many waited; each is a 503.",
);
pub(super) const BATCH_OPERATIONS: Metric =
    metric("matrikel_store_batch_operations", Kind::Histogram, "Writes that shared a commit.");
pub(super) const BATCH_TIME: Metric = metric(
    "matrikel_store_batch_duration_seconds",
    Kind::Histogram,
    "Time from the beginning of a batch's transaction to the end of its commit.",
);
pub(super) const COMMIT_TIME: Metric = metric(
    "matrikel_store_commit_duration_seconds",
    Kind::Histogram,
    "Time of the commit alone: what the disk or PostgreSQL takes.",
);
pub(super) const REPLAYED: Metric = metric(
    "matrikel_store_batches_replayed_total",
    Kind::Counter,
    "Batches that failed and were run again one operation at a time.",
);
pub(super) const CONNECTIONS_LOST: Metric = metric(
    "matrikel_store_connections_lost_total",
    Kind::Counter,
    "How often a connection to the database was found to be dead.",
);
pub(super) const CONNECTIONS_REOPENED: Metric =
    metric("matrikel_store_connections_reopened_total", Kind::Counter, "Connections opened in the place of dead ones.");
pub(super) const DATABASE_BYTES: Metric =
    metric("matrikel_store_database_bytes", Kind::Gauge, "Size of the SQLite file; absent with PostgreSQL.");
pub(super) const LOG_BYTES: Metric =
    metric("matrikel_store_log_bytes", Kind::Gauge, "Size of SQLite's write-ahead log; absent with PostgreSQL.");

pub(super) const CERTIFICATE_EXPIRY: Metric = metric(
    "matrikel_tls_certificate_expiry_timestamp_seconds",
    Kind::Gauge,
    "When the certificate in use ends, in seconds since 1970; absent without TLS.",
);
pub(super) const CERTIFICATE_RELOADS: Metric = metric(
    "matrikel_tls_reloads_total",
    Kind::Counter,
    "Changes of the certificate's files; refused: the older pair stays in use.",
);

pub(in crate::http) const FEDERATION_EXPIRY: Metric = metric(
    "matrikel_federation_expiry_timestamp_seconds",
    Kind::Gauge,
    "When the federation's metadata ends, in seconds since 1970; absent when none is known.",
);
pub(in crate::http) const FEDERATION_ENTITIES: Metric =
    metric("matrikel_federation_entities", Kind::Gauge, "Entities in the federation's metadata.");
pub(in crate::http) const FEDERATION_REFRESHES: Metric = metric(
    "matrikel_federation_refreshes_total",
    Kind::Counter,
    "Looks for newer metadata that found some, or failed; then what is known stays until it ends.",
);

pub(super) const STARTED: Metric =
    metric("process_start_time_seconds", Kind::Gauge, "When the process began to serve, in seconds since 1970.");
pub(super) const PROCESSOR: Metric =
    metric("process_cpu_seconds_total", Kind::Counter, "Processor time of the process.");
pub(super) const MEMORY: Metric =
    metric("process_resident_memory_bytes", Kind::Gauge, "Memory that the process holds.");
pub(super) const FILES: Metric = metric("process_open_fds", Kind::Gauge, "Files and connections that are open.");
pub(super) const FILES_MOST: Metric = metric("process_max_fds", Kind::Gauge, "How many may be.");
