//! The kernel: what every service of Polity stands on. It knows no domain.
//!
//! Each module is one part and owns its settings: [`config`], [`db`], [`event`], [`job`], [`http`], [`caller`], [`secret`],
//! [`limit`], [`cache`], [`lease`], [`outbound`], [`mail`], [`password`], [`clock`], [`id`], [`observe`], [`cluster`], [`wake`], [`nats`], [`service`]. [`Ctx`] holds them, opened.
//!
//! Nothing enters the kernel until two domains need it.

// The derives name the kernel from outside; inside it is this crate.
extern crate self as polity_kernel;

mod backoff;
pub mod cache;
pub mod caller;
pub mod clock;
pub mod cluster;
pub mod compose;
pub mod config;
mod ctx;
pub mod db;
pub mod event;
mod health;
pub mod http;
pub mod id;
pub mod job;
pub mod lease;
pub mod limit;
pub mod mail;
pub mod nats;
pub mod observe;
pub mod outbound;
pub mod password;
pub mod secret;
pub mod service;
#[cfg(test)]
mod testing;
pub mod wake;

pub use ctx::{Ctx, Parts};
pub use polity_macros::{Record, Value, operation};
pub use polity_seal::{Secret, TokenKind, TokenText};

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
