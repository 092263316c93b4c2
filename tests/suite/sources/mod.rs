//! Values that several sources speak of, corrections that are pinned, and what a first load adopts, on both databases.

mod first_load;
mod names;
mod office;
mod pins;
mod said;
mod served;
