//! The store on both databases: whatever is proven here is proven on SQLite and on PostgreSQL.

mod access;
mod alone;
mod chain;
mod concurrency;
mod failure;
mod groups;
pub(crate) mod harness;
mod having;
mod migrations;
mod provision;
mod rows;
mod search;
mod simulate;
mod totals;
mod world;
mod write;
