//! What auth knows. Pure: no I/O, no clock.

use chrono::{DateTime, Utc};
use polity_kernel::{Record, Value, db::Json, secret::Sealed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

/// An open object that travels in a token.
pub(super) type Metadata = Map<String, serde_json::Value>;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A person.
    User,
    /// A platform administrator.
    Admin,
    /// A service.
    Service,
    /// A device.
    Device,
}

/// The type of a token (BR-TOK-007: checked for every operation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenType {
    /// Opens the API.
    Access,
    /// Is exchanged for an access token.
    Refresh,
    /// An API key.
    ApiKey,
    /// A device's.
    Device,
}

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whose it is.
    pub sub: String,
    /// Since when, in seconds.
    pub iat: i64,
    /// Until when, in seconds; at that second it has ended.
    pub exp: i64,
    /// Its id.
    pub jti: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: TokenType,
    /// What it is for.
    pub scope: Scope,
    /// The session it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The person's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The organization it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// Permissions, opaque here.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// More about the person.
    #[serde(default)]
    pub metadata: Metadata,
    /// The device, of a device's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// What the device is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
}

impl Claims {
    /// A list of texts in the metadata; empty if there is none.
    pub(super) fn texts(&self, member: &str) -> Vec<String> {
        let list = self.metadata.get(member).and_then(|value| value.as_array());
        list.map(|list| {
            list.iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default()
    }

    /// A text in the metadata.
    pub(super) fn text(&self, member: &str) -> Option<&str> {
        self.metadata
            .get(member)
            .and_then(|value| value.as_str())
            .filter(|text| !text.is_empty())
    }
}

/// The login identity of a person.
#[derive(Debug, Clone, Record)]
pub(super) struct Identity {
    pub user_id: String,
    pub email: String,
    pub name: String,
    pub password_hash: Option<String>,
    /// Which of the person's passwords it is.
    pub password_version: i64,
    pub is_active: bool,
}

/// A registration that waits for its code.
#[derive(Debug, Clone, Record)]
pub(super) struct Pending {
    pub id: String,
    pub email: String,
    pub name: String,
    pub password_hash: String,
    pub code_hash: String,
    pub known: bool,
    pub attempts: i64,
    pub resends: i64,
    pub expires_at: DateTime<Utc>,
    pub dev_code: Option<Sealed>,
}

/// Wrong codes, after which a registration has ended.
pub(super) const CODE_ATTEMPTS: i64 = 5;
/// Codes that are sent again, after which a registration has to begin anew.
pub(super) const CODE_RESENDS: i64 = 3;

/// A session: what a pair of tokens stands for.
#[derive(Debug, Clone, Record)]
pub(super) struct Session {
    pub id: String,
    pub user_id: String,
    pub scope: Scope,
    pub provider: String,
    pub organization_id: Option<String>,
    pub permissions: Json<Vec<String>>,
    pub metadata: Json<Metadata>,
    pub ip: String,
    pub user_agent: String,
    pub created_at: DateTime<Utc>,
    pub last_activity: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub invalidated_at: Option<DateTime<Utc>>,
}

/// A stored refresh token.
#[derive(Debug, Clone, Record)]
pub(super) struct RefreshToken {
    pub hash: String,
    pub session_id: String,
    pub expires_at: DateTime<Utc>,
    pub used_at: Option<DateTime<Utc>>,
    pub successor: Option<Sealed>,
}

/// How a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeviceStatus {
    /// It may be used.
    Active,
    /// Not at present.
    Inactive,
    /// Never again.
    Revoked,
}

/// A device.
#[derive(Debug, Clone, Record)]
#[expect(clippy::struct_field_names, reason = "the columns and the contract call them so")]
pub(super) struct Device {
    pub device_id: String,
    pub organization_id: String,
    pub credential_id: String,
    pub session_id: String,
    pub device_name: Option<String>,
    pub device_type: Option<String>,
    pub status: DeviceStatus,
    pub metadata: Json<Metadata>,
    pub paired_user_id: Option<String>,
    pub paired_at: Option<DateTime<Utc>>,
    pub last_authenticated_at: Option<DateTime<Utc>>,
    pub authentication_count: i64,
    pub expires_at: Option<DateTime<Utc>>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

impl Device {
    /// Whether it may be used now; at the second of its end it may not.
    pub(super) fn may_be_used(&self, now: DateTime<Utc>) -> bool {
        self.status == DeviceStatus::Active && self.expires_at.is_none_or(|at| now < at)
    }
}

/// How long a device's token lives, in seconds (BR-TOK-005).
pub(super) const DEVICE_TTL: i64 = 86_400;
/// How long a pairing token lives, in seconds (BR-DEV-026).
pub(super) const PAIRING_TTL: i64 = 300;

/// A stored pairing token.
#[derive(Debug, Clone, Record)]
pub(super) struct Pairing {
    pub device_id: String,
    pub expires_at: DateTime<Utc>,
    pub used_at: Option<DateTime<Utc>>,
}

/// After so many wrong passwords an account answers nobody for a while.
pub(super) const FREE_FAILURES: i64 = 5;

/// How long an account answers nobody after its `failures`th wrong password in a row, in seconds: doubling, at most 15 min.
pub(super) fn lock_out(failures: i64) -> Option<u64> {
    let over = failures - FREE_FAILURES;
    (over >= 0).then(|| (1_u64 << over.clamp(0, 20)).min(900))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_out_begins_late_doubles_and_is_bounded() {
        assert_eq!(
            [1, 4, 5, 6, 8, 15, 1000].map(lock_out),
            [None, None, Some(1), Some(2), Some(8), Some(900), Some(900)]
        );
    }
}
