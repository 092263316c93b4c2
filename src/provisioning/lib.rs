//! The rules of Matrikel, pure: from what the documents say, the policies and the day follows what a person is and holds,
//! why, and when that is to be asked again. No store, no I/O and no clock: whoever asks says what time it is.
//!
//! [`calendar`] turns dates into instants of a tenant's time zone; [`lifecycle`] says in which state an account is.

pub mod calendar;
pub mod lifecycle;
