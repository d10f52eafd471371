//! The settings of invitations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Invitations.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InvitationSettings {
    /// Where the link in the mail leads; `?token=…` is added. Unset: `/accept-invitation` at the public URL.
    pub accept_url: Option<String>,
    /// After how many days an invitation ends when nothing else is said.
    pub expiry_days: u32,
    /// How many invitations somebody may send in an hour, and how many may be sent for an organization.
    pub per_hour: u32,
    /// How many invitations an address may get in a day, from whomever.
    pub per_recipient_per_day: u32,
    /// How often an invitation may be mailed.
    pub most_sends: u32,
    /// How often tokens may be looked at or answered from one address in a minute.
    pub looks_per_minute: u32,
}

impl Default for InvitationSettings {
    fn default() -> Self {
        Self {
            accept_url: None,
            expiry_days: 7,
            per_hour: 50,
            per_recipient_per_day: 10,
            most_sends: 5,
            looks_per_minute: 30,
        }
    }
}
