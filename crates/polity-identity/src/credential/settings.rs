//! The settings of credentials.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// API keys and integration tokens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialSettings {
    /// How many verified credentials each process remembers, so that it need not look them up again; each takes about 1.3
    /// kilobytes. 0: every one is looked up every time.
    pub remembered: u32,
    /// After how many days an integration token ends whose maker says nothing.
    pub token_expiry_days: u32,
    /// How long a rotated credential goes on beside its successor when nothing else is said, in seconds.
    pub rotation_overlap: u32,
    /// How many live credentials of one kind an owner may have: an organization of keys, a person of tokens.
    pub most_per_owner: u32,
    /// How often uses are written, in milliseconds: what a crash may lose.
    pub flush_ms: u32,
    /// How long the usage log is kept, in days.
    pub log_retention_days: u32,
    /// How long uses by the minute are kept, in days.
    pub minute_retention_days: u32,
    /// How long uses by the hour are kept, in days.
    pub hour_retention_days: u32,
    /// How long uses by the day are kept, in days.
    pub day_retention_days: u32,
    /// Requests per minute of one integration token, by the tier of its workspace; the workspace has ten times as many.
    pub tiers: TierSettings,
}

impl Default for CredentialSettings {
    fn default() -> Self {
        Self {
            remembered: 50_000,
            token_expiry_days: 365,
            rotation_overlap: 86_400,
            most_per_owner: 1_000,
            flush_ms: 500,
            log_retention_days: 90,
            minute_retention_days: 2,
            hour_retention_days: 90,
            day_retention_days: 400,
            tiers: TierSettings::default(),
        }
    }
}

/// Requests per minute by tier.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TierSettings {
    /// Plans free and starter.
    pub free: u64,
    /// Plan professional.
    pub pro: u64,
    /// Plan enterprise.
    pub enterprise: u64,
}

impl Default for TierSettings {
    fn default() -> Self {
        Self {
            free: 60,
            pro: 1_000,
            enterprise: 5_000,
        }
    }
}

/// What a workspace may do with its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Plans free and starter.
    Free,
    /// Plan professional.
    Pro,
    /// Plan enterprise.
    Enterprise,
}

impl TierSettings {
    /// Requests per minute of one token.
    #[must_use]
    pub fn per_minute(&self, tier: Tier) -> u64 {
        match tier {
            Tier::Free => self.free,
            Tier::Pro => self.pro,
            Tier::Enterprise => self.enterprise,
        }
    }
}
