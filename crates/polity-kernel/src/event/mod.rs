//! Events: rows in the same transaction as the change they report, heard by durable consumers.
//!
//! [`Events::publish`] writes the row. The sequencer gives committed rows their position; a [`Consumer`] reads positions, so
//! that a transaction which commits late is stamped late and nothing is skipped. What a consumer does and how far it has
//! come are one transaction. Events with one key are heard in order: one that fails holds its key back, is tried again with
//! growing pauses, and is set aside in the end.
//!
//! Invariants: a position once given never changes; positions become visible in order; a consumer's progress only moves
//! together with its effects.
//!
//! Deliberately absent: a guarantee against hearing an event twice outside the database (effects there are jobs).

mod consumer;
mod copies;
mod outbox;
mod run;
mod sequencer;
mod store;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use consumer::{Consumer, ConsumerRunner, HandleError, Handler};
pub use outbox::{DeadLetter, Events};
pub use run::run;
pub use sequencer::Sequencer;

use crate::{Record, clock::Timestamp};

/// The tables, for the kernel's migrations.
pub const TABLES: &str = include_str!("tables.sql");
/// What was added to them.
pub const SEEN: &str = include_str!("seen.sql");

/// Events.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventSettings {
    /// How often consumers look for events when nothing wakes them, in milliseconds.
    pub poll_ms: u64,
    /// How many events are taken at once.
    pub batch: u32,
    /// How long events are kept after every consumer has heard them, in days.
    pub retention_days: u32,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            poll_ms: 250,
            batch: 500,
            retention_days: 30,
        }
    }
}

/// An event to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// The contract's subject, such as `account_service.user.created`.
    pub r#type: Cow<'static, str>,
    /// The service it comes from, such as `account_service`.
    pub source: Cow<'static, str>,
    /// What the event is about; events with one key are heard in order.
    pub key: String,
    /// What happened.
    pub data: Value,
    /// The contract's metadata; null if there is none.
    pub metadata: Value,
}

/// A published event.
#[derive(Debug, Clone, PartialEq, Record)]
pub struct Event {
    /// Where it stands among all events; `None` until the sequencer has seen it.
    pub position: Option<i64>,
    /// Its id; consumers outside recognise repetitions by it.
    pub id: String,
    /// The contract's subject.
    pub r#type: String,
    /// The service it comes from.
    pub source: String,
    /// What it is about.
    pub key: String,
    /// What happened.
    pub data: Value,
    /// The contract's metadata.
    pub metadata: Value,
    /// When it happened.
    pub time: Timestamp,
}

impl Event {
    /// The event as a CloudEvent (CloudEvents 1.0, JSON format), with the contract's metadata inside `data`.
    #[must_use]
    pub fn to_cloudevent(&self) -> Value {
        let mut data = self.data.clone();
        if let (Value::Object(data), false) = (&mut data, self.metadata.is_null()) {
            data.insert("metadata".to_owned(), self.metadata.clone());
        }
        json!({
            "specversion": "1.0",
            "id": self.id,
            "type": self.r#type,
            "source": self.source,
            "subject": self.key,
            "time": crate::clock::rfc3339(self.time),
            "datacontenttype": "application/json",
            // The extension is a text that sorts as the positions do.
            "sequence": self.position.map(|position| format!("{position:020}")),
            "data": data,
        })
    }
}
