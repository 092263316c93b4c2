//! Feeds: what a source says in files, and what becomes of it.

pub mod map;
