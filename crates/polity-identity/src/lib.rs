//! Identity: who people are, how they sign in, what they may do.
//!
//! Every service is a folder with the same rooms: `mod.rs` says what it is, `model.rs` what it knows, `api.rs` what it
//! answers, `service.rs` its rules, `store.rs` its SQL, `error.rs` what can go wrong, `jobs.rs` and `events.rs` what happens
//! behind. A service calls a sibling through its `service.rs`, in the same transaction, never through its store.

// The types of a service are documented where a client reads them: in its bodies. Rooms are private to their service.
pub mod account;
mod archive;
pub mod auth;
pub mod authorization;
mod changes;
pub mod credential;
pub mod invitation;
pub mod organization;
pub mod post;

use polity_kernel::event::{Event, HandleError};
use serde::de::DeserializeOwned;

/// The payload of an event. One that cannot be read now cannot be read later either.
fn read<T: DeserializeOwned>(event: &Event) -> Result<T, HandleError> {
    serde_json::from_value(event.data.clone()).map_err(|error| HandleError::Dead(error.to_string()))
}
