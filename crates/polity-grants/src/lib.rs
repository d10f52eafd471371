//! OAuth 2 grants that stay alive: a client for many providers, and a manager that always has a working token.
//!
//! Invariants:
//! - A refresh token is spent at most once outside its provider's recovery rule, over all processes and crashes: an
//!   intent is durable before the request leaves, and the answer is recorded before it is used.
//! - What ends a grant is a provider's word, never a failing network.
//! - No `Debug`, error or log line shows a token, a code or a secret.
//! - Time, randomness, HTTP and tasks are handed in. Leases are in the store's own time.
//!
//! Deliberately absent: HTTP itself, web pages, users and their rights, and code for one provider alone.

pub mod client;
pub mod clock;
pub mod connect;
pub mod failure;
pub mod grant;
pub mod http;
pub mod manager;
pub mod provider;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token;
