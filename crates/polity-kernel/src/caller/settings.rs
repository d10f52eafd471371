//! The settings of service credentials.

use polity_seal::{Secret, constant_time_eq};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Callers that are services.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CallerSettings {
    /// The secret of internal services (`X-Internal-Service-Secret`), at least 32 bytes; unset: there are none.
    #[schemars(with = "Option<String>", extend("x-secret" = true))]
    pub internal_service_secret: Option<Secret>,
}

impl CallerSettings {
    /// The shortest secret that is accepted, in bytes.
    pub const SHORTEST: usize = 32;

    pub(super) fn admits(&self, given: &[u8]) -> bool {
        self.internal_service_secret.as_ref().is_some_and(|secret| {
            let secret = secret.expose().as_bytes();
            secret.len() >= Self::SHORTEST && constant_time_eq(secret, given)
        })
    }
}
