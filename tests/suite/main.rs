//! The integration tests: one binary, so that they link once.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod authority;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod bulk;
#[cfg(test)]
mod canaille;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod cursor;
#[cfg(test)]
mod deferred;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod egil;
#[cfg(test)]
mod extension;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod federation;
#[cfg(test)]
mod feeds;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod interface;
#[cfg(test)]
mod issuers;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod licences;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod memberships;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod mutual;
#[cfg(test)]
mod named;
#[cfg(test)]
mod oauth;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod operating;
#[cfg(test)]
mod people;
#[cfg(test)]
mod points;
#[cfg(test)]
mod pooler;
#[cfg(test)]
mod protected;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod security;
#[cfg(test)]
mod simulations;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod sources;
#[cfg(test)]
#[path = "store/mod.rs"]
mod store_tests;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tenancy;
#[cfg(test)]
mod tls;
#[cfg(test)]
#[cfg(feature = "opentelemetry")]
mod traces;
#[cfg(test)]
mod types;
#[cfg(test)]
mod upkeep;
#[cfg(test)]
mod views;
#[cfg(test)]
mod year;
