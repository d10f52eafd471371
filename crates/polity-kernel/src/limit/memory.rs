//! State of subjects in this process.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Mutex, PoisonError},
};

use super::{Decision, Rule};

/// Tables under locks of their own. A subject's rules are all in one, so that they are counted together or not at all.
const SHARDS: usize = 16;

#[derive(Debug)]
pub(super) struct Memory {
    shards: Vec<Mutex<Shard>>,
    capacity: usize,
    /// Keyed at random per process, so that nobody can choose subjects that collide.
    hasher: RandomState,
}

/// When each (rule, subject) has its whole allowance back. Kept by hash: size does not depend on what callers send.
type Shard = HashMap<u64, i64>;

impl Memory {
    pub(super) fn new(subjects: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            shards,
            capacity: subjects.div_ceil(SHARDS),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn check(&self, rules: &[Rule], subject: &str, now: i64) -> Vec<Decision> {
        let index = usize::try_from(self.hasher.hash_one(subject) % SHARDS as u64).unwrap_or(0);
        let mut shard = match self.shards.get(index) {
            Some(shard) => shard.lock().unwrap_or_else(PoisonError::into_inner),
            None => return Vec::new(),
        };
        let keys: Vec<u64> = rules
            .iter()
            .map(|rule| self.hasher.hash_one((rule.name(), subject)))
            .collect();
        let steps: Vec<_> = rules
            .iter()
            .zip(&keys)
            .map(|(rule, key)| rule.step(shard.get(key).copied().unwrap_or(0), now))
            .collect();
        if steps.iter().all(|(decision, _)| decision.allowed) {
            for (key, (_, full_at)) in keys.into_iter().zip(&steps) {
                shard.insert(key, full_at.unwrap_or(now));
            }
            if shard.len() > self.capacity {
                forget(&mut shard, now, self.capacity / 2);
            }
        }
        steps.into_iter().map(|(decision, _)| decision).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }
}

/// Drops who is idle and, if more than `keep` are left, who is closest to the full allowance. It frees at least half of
/// the table, so that its cost spreads over many calls.
fn forget(shard: &mut Shard, now: i64, keep: usize) {
    shard.retain(|_, full_at| *full_at > now);
    if shard.len() > keep {
        let mut times: Vec<i64> = shard.values().copied().collect();
        let index = (times.len() - keep).min(times.len() - 1);
        let (_, &mut threshold, _) = times.select_nth_unstable(index);
        shard.retain(|_, full_at| *full_at > threshold);
    }
}
