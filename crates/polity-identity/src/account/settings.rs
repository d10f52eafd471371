//! The settings of accounts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Accounts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountSettings {
    /// Whether a new e-mail address has to be confirmed before it is in force.
    pub confirm_email_changes: bool,
    /// How long a person may take back the erasure of their data, in days.
    pub erasure_grace_days: u32,
}

impl Default for AccountSettings {
    fn default() -> Self {
        Self {
            confirm_email_changes: false,
            erasure_grace_days: 30,
        }
    }
}
