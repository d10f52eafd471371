//! Integrations: what people allow the world outside to do, and what is connected with it.
//!
//! Every service is a folder with the same rooms, as in identity. A service calls a sibling through its `service.rs`, in the
//! same transaction, never through its store.

pub mod consent;
pub mod connection;
pub mod grants;
pub mod workspace;

use polity_kernel::event::{Event, HandleError};
use serde::de::DeserializeOwned;

/// The payload of an event. One that cannot be read now cannot be read later either.
fn read<T: DeserializeOwned>(event: &Event) -> Result<T, HandleError> {
    serde_json::from_value(event.data.clone()).map_err(|error| HandleError::Dead(error.to_string()))
}
