//! The settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Consents.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConsentSettings {
    /// The version of the policy that people are shown. Once it is raised, consents to older ones are to be renewed.
    #[schemars(range(min = 1))]
    pub policy_version: u32,
    /// For how many days things go on under a consent to an older policy.
    pub grace_days: u32,
    /// For how many days the history of consents is kept, also when the person is gone.
    pub audit_retention_days: u32,
    /// How many consents a person may give in an hour.
    pub given_per_hour: u32,
    /// How many active consents a person may have.
    pub most_per_person: u32,
}

impl Default for ConsentSettings {
    fn default() -> Self {
        Self {
            policy_version: 1,
            grace_days: 30,
            audit_retention_days: 2_555,
            given_per_hour: 300,
            most_per_person: 500,
        }
    }
}
