//! What it knows. Pure: no I/O, no clock.

use chrono::{DateTime, Utc};
use polity_kernel::{Record, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The id; opaque.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Value, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ConsentId(pub String);

/// A stored row.
#[derive(Debug, Clone, Record)]
pub(super) struct ConsentRow {
    pub id: ConsentId,
    pub owner_id: String,
    pub name: String,
    pub created_at: DateTime<Utc>,
}
