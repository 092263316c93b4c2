//! What the `demo` command shows: a made-up municipality.

pub mod municipality;
mod names;
mod person;
mod places;
mod random;
