//! The settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Consent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConsentSettings {
    /// How many of them somebody may have.
    pub most_per_owner: u32,
}

impl Default for ConsentSettings {
    fn default() -> Self {
        Self { most_per_owner: 1_000 }
    }
}
