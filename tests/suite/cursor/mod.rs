//! Paging by cursor (RFC 9865) and by index, against the directory on both databases.

mod agreement;
mod churn;
mod errors;
mod merge;
mod world;
