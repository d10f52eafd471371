//! What can be set about connections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Connections with outside accounts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionSettings {
    /// A file with more providers, in the form of the catalogue that comes with Polity; an entry replaces the one of its name.
    /// Every address must be https, or `http://127.0.0.1` where `outbound.allow` lists that.
    pub catalogue: Option<String>,
    /// How many connections a person may have that are not revoked, from 1 to 10000.
    pub most_per_person: u32,
    /// How many sign-ins a person may begin in an hour.
    pub sign_ins_per_hour: u32,
    /// How many minutes a browser may take to sign in at the provider, from 1 to 60.
    pub sign_in_minutes: u32,
    /// Largest body, in bytes, that a provider may answer to a call through Polity.
    pub proxy_max_bytes: usize,
    /// How many milliseconds such a call may take.
    pub proxy_timeout_ms: u64,
    /// How many days revoked and failed connections are shown.
    pub ended_retention_days: u32,
    /// How many days it is kept who used which token.
    pub use_retention_days: u32,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            catalogue: None,
            most_per_person: 500,
            sign_ins_per_hour: 200,
            sign_in_minutes: 10,
            proxy_max_bytes: 1024 * 1024,
            proxy_timeout_ms: 15_000,
            ended_retention_days: 30,
            use_retention_days: 90,
        }
    }
}
