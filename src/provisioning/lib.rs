//! What follows from what is said of a person, pure: no store, no I/O, no clock. The day and the moment are arguments.

