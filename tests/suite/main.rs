//! The integration tests: one binary, so that they link once.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod bulk;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod http;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod security;
#[cfg(test)]
#[path = "store/mod.rs"]
mod store_tests;
#[cfg(test)]
mod support;
