//! Matrikel, a SCIM 2.0 identity register. The modules in dependency order:
//!
//! [`directory`] is the authority, the one place that changes identities. [`intake`] reads what sources send as files and
//! carries it out; [`auth`] says who is asking; [`http`] is the interface over all of them; [`schedule`] does what falls
//! due. [`config`] and [`telemetry`] are what an operator sets and sees, and [`cli`] is the command line that starts it
//! all. [`jose`] is signed tokens and their keys, [`network`] whence requests come. The protocol itself is the crate
//! `scim`, what follows by rule the crate `provisioning`, the database the crate `store`.

pub mod directory;

pub mod jose;
pub mod network;

pub mod intake;

pub mod auth;
pub mod http;

pub mod schedule;

pub mod config;
pub mod telemetry;
#[cfg(feature = "opentelemetry")]
pub mod trace;

pub mod cli;
