//! What a municipality knows of its people, over HTTP on either database.

mod links;
mod person;
mod superior;
mod units;
