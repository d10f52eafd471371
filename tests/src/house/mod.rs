//! What holds for every operation and for the program as a whole.

mod abuse;
mod coverage;
mod events;
mod keys;
mod program;
