//! Licences: entitlements of which there are only so many. Who gets a seat and whose turn it is, what becomes of a seat when
//! its ground falls away, and what it was worth that a seat was taken back. Nothing here counts or writes: how many seats
//! are taken and who waits comes in, the one step that is to be taken comes out.
//!
//! [`Terms::read`] makes a document of `/Entitlements` into what is agreed on, or says what is wrong with it; [`next`] is the
//! step of one seat; [`turn`] orders the queue; [`worth`] is what a reclaimed seat saved, month by month.

mod savings;
mod seat;
mod terms;

#[cfg(test)]
mod tests;

pub use savings::{Reclaim, Worth, worth};
pub use seat::{Room, Seat, Stage, Step, Wish, next, turn};
pub use terms::{FreeAt, LICENCE, Period, Price, Terms, retention};
