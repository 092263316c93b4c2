//! What follows from a person's data by rule and by date, pure: no I/O, no clock, no store. Documents, dates and what a
//! tenant has laid down come in as arguments; what shall be comes out.
//!
//! [`person`] checks what a User says of the person behind it and [`number`] identity numbers; [`facts`] is what it says,
//! day by day.

pub mod facts;
pub mod number;
pub mod person;
