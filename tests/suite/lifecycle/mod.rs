//! Accounts that follow their dates: policies, states, blocks, what falls due.

mod addresses;
mod block;
mod choice;
mod erased;
mod moments;
mod names;
mod policy;
mod rehire;
mod same;
mod served;
mod story;
pub(crate) mod town;
