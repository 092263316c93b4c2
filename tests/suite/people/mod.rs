//! What a municipality knows of its people, over HTTP on either database.

mod person;
mod units;
