//! State of subjects in this process.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Decision, Rule, Usage, Window};

/// Tables under locks of their own. A subject's state is all in one, so that it is counted together or not at all.
const SHARDS: usize = 16;

#[derive(Debug)]
pub(super) struct Memory {
    shards: Vec<Mutex<Shard>>,
    capacity: usize,
    /// Keyed at random per process, so that nobody can choose subjects that collide.
    hasher: RandomState,
}

/// Kept by hash: size does not depend on what callers send.
#[derive(Debug, Default)]
struct Shard {
    /// When each (rule, subject) has its whole allowance back.
    rates: HashMap<u64, i64>,
    /// For each (window, subject): when the window ends, and how much of it is used.
    windows: HashMap<u64, (i64, u64)>,
}

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
        let Some(mut shard) = self.shard(subject) else {
            return Vec::new();
        };
        let keys: Vec<u64> = rules.iter().map(|rule| self.key(rule.name(), subject)).collect();
        let steps: Vec<_> = rules
            .iter()
            .zip(&keys)
            .map(|(rule, key)| rule.step(shard.rates.get(key).copied().unwrap_or(0), now))
            .collect();
        if steps.iter().all(|(decision, _)| decision.allowed) {
            for (key, (_, full_at)) in keys.into_iter().zip(&steps) {
                shard.rates.insert(key, full_at.unwrap_or(now));
            }
            if shard.rates.len() > self.capacity {
                forget(
                    &mut shard.rates,
                    self.capacity / 2,
                    |full_at| *full_at > now,
                    |full_at| *full_at,
                );
            }
        }
        steps.into_iter().map(|(decision, _)| decision).collect()
    }

    pub(super) fn take(&self, windows: &[Window], subject: &str, units: u64, now: i64) -> Vec<Usage> {
        let Some(mut shard) = self.shard(subject) else {
            return Vec::new();
        };
        let keys: Vec<u64> = windows.iter().map(|window| self.key(window.name(), subject)).collect();
        let usages: Vec<Usage> = windows
            .iter()
            .zip(&keys)
            .map(|(window, key)| {
                let used = match shard.windows.get(key) {
                    Some((ends, used)) if *ends == window.start(now) + window.micros() => *used,
                    _ => 0,
                };
                window.decide(used, units, now)
            })
            .collect();
        if usages.iter().all(|usage| usage.allowed) {
            for ((key, window), usage) in keys.into_iter().zip(windows).zip(&usages) {
                shard
                    .windows
                    .insert(key, (window.start(now) + window.micros(), usage.used));
            }
            if shard.windows.len() > self.capacity {
                forget(
                    &mut shard.windows,
                    self.capacity / 2,
                    |(ends, _)| *ends > now,
                    |(_, used)| *used,
                );
            }
        }
        usages
    }

    /// Sets what is used of a window of which nothing is known yet.
    pub(super) fn recall(&self, window: &Window, subject: &str, used: u64, now: i64) {
        let Some(mut shard) = self.shard(subject) else { return };
        let ends = window.start(now) + window.micros();
        let state = shard.windows.entry(self.key(window.name(), subject)).or_default();
        if state.0 != ends {
            *state = (ends, used);
        }
    }

    fn shard(&self, subject: &str) -> Option<MutexGuard<'_, Shard>> {
        let index = usize::try_from(self.hasher.hash_one(subject) % SHARDS as u64).unwrap_or(0);
        let shard = self.shards.get(index)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn key(&self, name: &str, subject: &str) -> u64 {
        self.hasher.hash_one((name, subject))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().rates.len()).sum()
    }
}

/// Drops who is idle and, if more than `keep` are left, who has taken the least. It frees at least half of the table, so
/// that its cost spreads over many calls.
fn forget<V, T: Ord + Copy>(
    state: &mut HashMap<u64, V>,
    keep: usize,
    is_busy: impl Fn(&V) -> bool,
    taken: impl Fn(&V) -> T,
) {
    state.retain(|_, value| is_busy(value));
    if state.len() > keep {
        let mut all: Vec<T> = state.values().map(&taken).collect();
        let index = (all.len() - keep).min(all.len() - 1);
        let (_, &mut threshold, _) = all.select_nth_unstable(index);
        state.retain(|_, value| taken(value) > threshold);
    }
}
