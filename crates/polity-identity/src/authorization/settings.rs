//! The settings of authorization.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Permissions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthorizationSettings {
    /// How many decisions each process remembers; each takes about half a kilobyte. 0: every one is made anew.
    pub remembered: u32,
    /// How long a decision is remembered that granted, in seconds. What changes is forgotten at once.
    pub granted_ttl: u32,
    /// How long a decision is remembered that denied, in seconds.
    pub denied_ttl: u32,
    /// Whether reading a project asks who it is shared with; otherwise anybody who is known may read any, as earlier clients
    /// expect.
    pub strict_project_reads: bool,
    /// How often people may check what they may do, per minute; 0: as often as they like. Services are not limited.
    pub checks_per_minute: u32,
    /// How often somebody may grant and revoke, per minute.
    pub changes_per_minute: u32,
    /// How often somebody may grant and revoke many at once, per minute.
    pub bulk_per_minute: u32,
    /// How long the audit is kept, in days; at least 90.
    pub audit_retention_days: u32,
}

impl Default for AuthorizationSettings {
    fn default() -> Self {
        Self {
            remembered: 100_000,
            granted_ttl: 600,
            denied_ttl: 60,
            strict_project_reads: false,
            checks_per_minute: 1_000,
            changes_per_minute: 100,
            bulk_per_minute: 10,
            audit_retention_days: 365,
        }
    }
}

/// The shortest time the audit is kept, in days.
pub(super) const LEAST_RETENTION: u32 = 90;
