//! What holds for every operation and for the program as a whole.

mod abuse;
mod cluster;
mod copies;
mod coverage;
mod events;
mod keys;
mod program;
