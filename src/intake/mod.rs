//! What sources send as files: read row by row, compared with what they said before, and carried out through the
//! directory. Never writes anything itself, and never holds a whole file in memory.

pub mod read;
