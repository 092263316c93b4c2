//! Licences: who gets a seat, who waits, what becomes of a seat, and what it was worth that one was taken back.

mod foreseen;
mod person;
pub(crate) mod pool;
mod same;
mod seats;
mod served;
mod story;
