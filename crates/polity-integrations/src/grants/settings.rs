//! The settings.

use std::time::Duration;

use polity_grants::manager;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Grants of outside providers: when and how they are refreshed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrantSettings {
    /// Whole milliseconds that one call to a provider may take, from resolving the name to the last byte. A refresh is
    /// leased for five seconds more.
    pub request_timeout_ms: u32,
    /// A token that lasts no longer than so many seconds is refreshed; one with a shorter life at half of it.
    pub margin_seconds: u32,
    /// How much earlier than the margin a token is refreshed in the background: up to so many seconds, at random, so that
    /// tokens that were made together are not all refreshed together.
    pub jitter_seconds: u32,
    /// How many grants that are due are read at a time. 0: nothing is refreshed in the background, but at its next use.
    pub refresh_batch: u32,
    /// How many of these are refreshed at the same time, in each process that runs jobs. While providers are slow, up to four
    /// batches are under way there.
    pub refresh_at_once: u32,
    /// How many days a grant that was revoked is kept, without its tokens.
    pub erased_days: u32,
}

impl Default for GrantSettings {
    fn default() -> Self {
        Self {
            request_timeout_ms: 10_000,
            margin_seconds: 300,
            jitter_seconds: 120,
            refresh_batch: 200,
            refresh_at_once: 32,
            erased_days: 30,
        }
    }
}

impl GrantSettings {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.request_timeout_ms.clamp(100, 60_000)))
    }

    /// What the manager is told. What it remembers is forgotten within a second, even if nobody tells it to.
    pub(super) fn of_manager(&self) -> manager::Settings {
        manager::Settings {
            margin: Duration::from_secs(u64::from(self.margin_seconds)),
            jitter: Duration::from_secs(u64::from(self.jitter_seconds)),
            remember: Duration::from_millis(900),
            ..manager::Settings::default()
        }
    }
}
