//! The use cases of the directory, without HTTP in between, on both databases.

mod external;
mod groups;
mod paths;
mod sight;
mod simulate;
mod strict;
mod versions;
mod views;
mod writing;
