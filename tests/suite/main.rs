//! The integration tests: one binary, so that they link once.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod protocol;
#[cfg(test)]
#[path = "store/mod.rs"]
mod store_tests;
#[cfg(test)]
mod support;
#[cfg(test)]
mod types;
