//! Limits: rates by the generic cell rate algorithm (GCRA; a smooth rate with a burst, one time per subject as state), and
//! exact counters per window.
//!
//! Invariants: what is refused costs nothing; with several rules a call counts against all of them or none; an idle
//! subject takes no memory, and busy ones are bounded (beyond the bound those that have taken the least are forgotten
//! first). In process the time is the injected clock's, and each replica grants its share. With Redis the time is Redis's
//! and the count is exact over all replicas; while Redis does not answer, it is as without.
//!
//! Made here and not taken from `governor`, whose limiter holds one fixed quota: these differ per plan and credential,
//! and shrink with the number of replicas.
//!
//! Deliberately absent: counts that must survive a restart (quotas of a month, credits). Those are in the database.

mod memory;
mod redis;
mod rule;
mod window;

#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use crate::clock::{Clock, micros};
use memory::Memory;
use redis::Redis;
pub use redis::{RedisError, RedisSettings};
pub use rule::{Decision, Rule};
pub use window::{Usage, Window};

/// How many subjects are remembered; about 24 bytes each.
const MAX_SUBJECTS: usize = 400_000;

/// Decides which calls are within their limits. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    replicas: AtomicU32,
    /// What replicas share.
    redis: Option<Redis>,
    /// What this process counts by itself, which therefore grants its share of each quota.
    memory: Memory,
}

impl Limiter {
    /// A limiter that counts in this process.
    pub fn in_process(clock: Clock) -> Self {
        Self::build(clock, MAX_SUBJECTS, None)
    }

    /// A limiter that counts in Redis, if the settings name one. Needs a running runtime.
    ///
    /// # Errors
    /// [`RedisError`] if the URL is not one. A server that is not there is no error.
    pub fn open(settings: &RedisSettings, clock: Clock) -> Result<Self, RedisError> {
        let redis = settings
            .url
            .as_ref()
            .map(|url| Redis::open(url, settings))
            .transpose()?;
        Ok(Self::build(clock, MAX_SUBJECTS, redis))
    }

    fn build(clock: Clock, subjects: usize, redis: Option<Redis>) -> Self {
        Self(Arc::new(Inner {
            clock,
            replicas: AtomicU32::new(1),
            redis,
            memory: Memory::new(subjects),
        }))
    }

    /// Says how many replicas are alive; in process each grants its share, rounded up, at least 1. 0 counts as 1.
    pub fn set_replicas(&self, replicas: u32) {
        self.0.replicas.store(replicas.max(1), Ordering::Relaxed);
    }

    /// Whether Redis answers; `None` where it is not used.
    #[must_use]
    pub fn redis_is_well(&self) -> Option<bool> {
        self.0.redis.as_ref().map(Redis::is_well)
    }

    /// Counts one call of `subject` under `rule`.
    pub async fn check(&self, rule: &Rule, subject: &str) -> Decision {
        self.check_all(std::slice::from_ref(rule), subject).await
    }

    /// Counts one call of `subject` under all `rules`, if all allow it. Answers with the tightest decision: of the
    /// refusals the one to wait longest for, else the one with the fewest calls left. No rules: no limit.
    pub async fn check_all(&self, rules: &[Rule], subject: &str) -> Decision {
        let shared = match &self.0.redis {
            Some(redis) if !rules.is_empty() => redis.check(rules, subject).await,
            _ => None,
        };
        let decisions = shared.unwrap_or_else(|| {
            let shares: Vec<Rule> = rules.iter().map(|rule| rule.share(self.replicas())).collect();
            self.0.memory.check(&shares, subject, micros(self.0.clock.now()))
        });
        decisions
            .into_iter()
            .min_by_key(Decision::tightness)
            .unwrap_or_else(Decision::unlimited)
    }

    /// Counts `units` of `subject` in all `windows`, if all have room for all of them. Answers with the tightest usage.
    pub async fn take(&self, windows: &[Window], subject: &str, units: u64) -> Usage {
        self.take_each(windows, subject, units)
            .await
            .into_iter()
            .min_by_key(Usage::tightness)
            .unwrap_or_else(Usage::unlimited)
    }

    /// The same, with the usage of each window. 0 units look at what is used, and count nothing.
    pub async fn take_each(&self, windows: &[Window], subject: &str, units: u64) -> Vec<Usage> {
        let shared = match &self.0.redis {
            Some(redis) if !windows.is_empty() => redis.take(windows, subject, units).await,
            _ => None,
        };
        shared.unwrap_or_else(|| {
            let shares: Vec<Window> = windows.iter().map(|window| window.share(self.replicas())).collect();
            self.0.memory.take(&shares, subject, units, micros(self.0.clock.now()))
        })
    }

    /// Says how much of a window was used before this process counted any of it, as far as it knows of none: a long window
    /// outlives a restart. Redis remembers by itself.
    pub fn recall(&self, window: &Window, subject: &str, used: u64) {
        let share = used.div_ceil(u64::from(self.replicas()));
        self.0.memory.recall(window, subject, share, micros(self.0.clock.now()));
    }

    fn replicas(&self) -> u32 {
        self.0.replicas.load(Ordering::Relaxed)
    }
}
