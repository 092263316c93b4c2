//! What follows from a person's data by rule and by date, pure: no store, no I/O and no clock. Documents, dates and what
//! a tenant has laid down come in as arguments; what shall be, why, and when that is to be asked again comes out.
//!
//! [`person`] checks what a User says of the person behind it and [`number`] identity numbers; [`facts`] is what it says,
//! day by day; [`units`] is the tree of organisational units; [`names`] makes user names and addresses; [`calendar`] turns
//! dates into instants of a tenant's time zone; [`lifecycle`] says in which state an account is, [`policy`] by which days;
//! [`rules`] says who gets what, [`licences`] whose turn it is where there is only so much, [`superior`] who leads whom,
//! [`sources`] whose value of several sources counts, [`guard`] what is too much at once, [`sponsor`] who without HR needs
//! somebody that answers and an end.

pub mod calendar;
pub mod choice;
pub mod facts;
pub mod guard;
pub mod licences;
pub mod lifecycle;
pub mod names;
pub mod number;
pub mod person;
pub mod policy;
pub mod rules;
pub mod sources;
pub mod sponsor;
pub mod superior;
pub mod units;
