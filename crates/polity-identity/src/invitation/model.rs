//! What an invitation is. Pure: no I/O, no clock.

use chrono::{DateTime, Utc};
use polity_kernel::{Record, Value, secret::Sealed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::organization::Role;

/// How an invitation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has answered it.
    Pending,
    /// Whoever it was for is a member.
    Accepted,
    /// Its time is over.
    Expired,
    /// It was taken back, or declined.
    Cancelled,
}

/// An invitation as it is stored.
#[derive(Debug, Clone, Record)]
#[expect(clippy::struct_field_names, reason = "the column and the contract call its id so")]
pub struct Invitation {
    /// Its id.
    pub invitation_id: String,
    /// To which organization.
    pub organization_id: String,
    /// For which address, in lower case.
    pub email: String,
    /// As what.
    pub role: Role,
    /// How it is.
    pub status: Status,
    /// Why it was cancelled.
    pub reason: Option<String>,
    /// Who invites.
    pub invited_by: String,
    /// The token, while it may be mailed again.
    pub token: Option<Sealed>,
    /// A word of whoever invites.
    pub message: Option<String>,
    /// The organization's name when it was sent.
    pub organization_name: String,
    /// Its domain.
    pub organization_domain: Option<String>,
    /// Whoever invites, by name.
    pub inviter_name: Option<String>,
    /// Their address.
    pub inviter_email: Option<String>,
    /// How often it was mailed.
    pub sent_count: i64,
    /// When it was mailed last.
    pub last_sent_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
    /// By whom.
    pub accepted_by: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl Invitation {
    /// How it is now; at the second of its end it has ended (EC-EXP-001).
    pub(super) fn status_at(&self, now: DateTime<Utc>) -> Status {
        if self.status == Status::Pending && now >= self.expires_at {
            return Status::Expired;
        }
        self.status
    }
}
