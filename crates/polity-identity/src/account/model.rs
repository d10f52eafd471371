//! What an account is. Pure: no I/O, no clock.

use chrono::{DateTime, Utc};
use polity_kernel::{Record, Value, db::Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

/// The id of a person, assigned by auth; opaque here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Value, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct AccountId(pub String);

/// A stored account.
#[derive(Debug, Clone, Record)]
pub(super) struct Account {
    pub user_id: AccountId,
    pub email: String,
    pub name: String,
    pub is_active: bool,
    pub preferences: Json<Map<String, serde_json::Value>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}
