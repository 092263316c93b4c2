//! What a person has to decide, what is held until then, and what becomes of it.

mod held;
mod http;
mod items;
mod report;
