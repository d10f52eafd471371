//! Times and bounds of a manager.

use std::time::Duration;

/// Times and bounds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A token that lasts no longer is refreshed: 300 s.
    pub margin: Duration,
    /// A token that lasts no longer is not handed out while one refresh runs: 30 s.
    pub hard_margin: Duration,
    /// How much earlier than the margin a job may refresh, at random: 120 s.
    pub jitter: Duration,
    /// What a lease is longer than the total time-out: 5 s.
    pub slack: Duration,
    /// How long a token is remembered. A revocation by another process goes unnoticed as long, unless
    /// [`Manager::forget`](super::Manager::forget) is called: 1 s.
    pub remember: Duration,
    /// How many tokens are remembered: 100,000.
    pub remembered: usize,
    /// The first pause after a failure; it doubles: 5 s.
    pub pause: Duration,
    /// The longest one, and the pause when the client is not set up right: 1 h.
    pub longest_pause: Duration,
    /// How long an answer that the store does not take is offered again, while the fence holds: 15 minutes.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            margin: Duration::from_mins(5),
            hard_margin: Duration::from_secs(30),
            jitter: Duration::from_mins(2),
            slack: Duration::from_secs(5),
            remember: Duration::from_secs(1),
            remembered: 100_000,
            pause: Duration::from_secs(5),
            longest_pause: Duration::from_hours(1),
            patience: Duration::from_mins(15),
        }
    }
}
