//! What a person has to decide, what is held until then, and what becomes of it.

mod held;
mod http;
pub(crate) mod items;
mod owners;
mod page;
mod report;
