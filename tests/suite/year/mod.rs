//! A year of a municipality: what must hold after any of them, and the two stories that the product is for, at a clock that the
//! tests move.

mod city;
mod fed;
mod finnish;
mod guest;
mod killed;
mod said;
mod swedish;
