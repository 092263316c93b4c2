//! Values that several sources speak of, and corrections that are pinned, on both databases.

mod office;
mod pins;
mod said;
mod served;
