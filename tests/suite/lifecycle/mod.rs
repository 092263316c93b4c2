//! Accounts that follow their dates: policies, states, blocks, what falls due.

mod block;
mod erased;
mod moments;
mod names;
mod policy;
mod same;
mod served;
mod story;
pub(crate) mod town;
