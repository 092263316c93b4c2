//! What a municipality knows of its people, over HTTP on either database.

pub(crate) mod links;
mod numbers;
mod person;
mod superior;
mod units;
