//! Integrations: what people allow the world outside to do, and what is connected with it.
//!
//! Every service is a folder with the same rooms, as in identity. A service calls a sibling through its `service.rs`, in the
//! same transaction, never through its store.

pub mod consent;
