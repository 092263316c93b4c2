//! The integration tests: one binary, so that they link once.

#[cfg(test)]
mod cursor;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod support;
