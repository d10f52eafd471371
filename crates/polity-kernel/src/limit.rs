//! Rate limits by the generic cell rate algorithm (GCRA): a smooth rate with a burst, one time per subject as state.
//!
//! Invariants: a refused call costs nothing; with several rules a call counts against all of them or none; an idle
//! subject takes no memory, and busy ones are bounded (beyond the bound those closest to their full allowance are
//! forgotten first). The time is the injected clock's.
//!
//! Made here and not taken from `governor`, whose limiter holds one fixed quota: these differ per plan and credential,
//! and shrink with the number of replicas.
//!
//! Deliberately absent: exact windows of a minute and more, quotas and credits. Those are counters in the database.

mod memory;
mod rule;

#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use crate::clock::Clock;
use memory::Memory;
pub use rule::{Decision, Rule};

/// How many subjects are remembered; about 24 bytes each.
const MAX_SUBJECTS: usize = 400_000;

/// Decides which calls are within their limits. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    replicas: AtomicU32,
    store: Store,
}

/// Where the state of subjects is kept.
#[derive(Debug)]
enum Store {
    /// In this process, which therefore grants its share of each quota.
    Memory(Memory),
}

impl Limiter {
    /// A limiter that counts in this process.
    pub fn in_process(clock: Clock) -> Self {
        Self::bounded(clock, MAX_SUBJECTS)
    }

    fn bounded(clock: Clock, subjects: usize) -> Self {
        Self(Arc::new(Inner {
            clock,
            replicas: AtomicU32::new(1),
            store: Store::Memory(Memory::new(subjects)),
        }))
    }

    /// Says how many replicas are alive; each grants its share, rounded up, at least 1. 0 counts as 1.
    pub fn set_replicas(&self, replicas: u32) {
        self.0.replicas.store(replicas.max(1), Ordering::Relaxed);
    }

    /// Counts one call of `subject` under `rule`.
    pub async fn check(&self, rule: &Rule, subject: &str) -> Decision {
        self.check_all(std::slice::from_ref(rule), subject).await
    }

    /// Counts one call of `subject` under all `rules`, if all allow it. Answers with the tightest decision: of the
    /// refusals the one to wait longest for, else the one with the fewest calls left. No rules: no limit.
    #[expect(
        clippy::unused_async,
        reason = "a store that replicas share answers over the network; callers already wait"
    )]
    pub async fn check_all(&self, rules: &[Rule], subject: &str) -> Decision {
        let replicas = self.0.replicas.load(Ordering::Relaxed);
        let shares: Vec<Rule> = rules.iter().map(|rule| rule.share(replicas)).collect();
        let decisions = match &self.0.store {
            Store::Memory(memory) => memory.check(&shares, subject, nanos(&self.0.clock)),
        };
        decisions
            .into_iter()
            .min_by_key(Decision::tightness)
            .unwrap_or_else(Decision::unlimited)
    }
}

/// Nanoseconds since the Unix epoch, until the year 2262.
fn nanos(clock: &Clock) -> i64 {
    crate::clock::micros(clock.now()).saturating_mul(1_000)
}
