//! The `polity` program: composes the services, and the command line around them.
//!
//! `services` is the one list of what there is; `boot` opens the parts in order and starts what the process is for;
//! `admin` is what commands beside a running server may ask of it; `commands` is the command line.

mod admin;
mod boot;
pub mod commands;
mod doctor;
mod folder;
mod services;
mod settings;

pub use admin::{Reply, Request, execute};
pub use boot::{BootError, Options, Program};
pub use services::{SERVICES, describe, sections};
pub use settings::load;
