//! What a test asks of a provider afterwards.

use std::{collections::HashMap, time::Duration};

use super::{Endpoint, Provider};

/// What became of one grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// Whose account it is.
    pub account: String,
    /// How often it was refreshed, replays not counted.
    pub refreshed: u64,
    /// How often its refresh tokens came, faults included.
    pub calls: u64,
    /// How often one came that had been replaced, and was not answered.
    pub reuses: u64,
    /// How long it was without an access token that lasts, at most; what has not been refreshed yet counts up to now.
    pub late: Duration,
    /// Whether it ended.
    pub is_ended: bool,
}

impl Provider {
    /// How often an endpoint was called, faults included.
    pub fn calls(&self, endpoint: Endpoint) -> u64 {
        self.core.state().seen.calls.get(&endpoint).copied().unwrap_or(0)
    }

    /// The members of the last call of an endpoint: its form, or the query of `/authorize`.
    pub fn last_call(&self, endpoint: Endpoint) -> HashMap<String, String> {
        self.core.state().seen.last.get(&endpoint).cloned().unwrap_or_default()
    }

    /// How often that refresh token came, faults included.
    pub fn refresh_calls(&self, refresh: &str) -> u64 {
        self.core.state().refresh.get(refresh).map_or(0, |known| known.calls)
    }

    /// What became of every grant, in the order in which they were made.
    pub fn courses(&self) -> Vec<Course> {
        let state = self.core.state();
        let now = self.core.now();
        let mut calls = vec![0; state.families.len()];
        for known in state.refresh.values() {
            calls[known.family] += known.calls;
        }
        let all = state.families.iter().zip(calls);
        all.map(|(family, calls)| Course {
            account: family.account.clone(),
            refreshed: family.refreshed,
            calls,
            reuses: family.reuses,
            late: Duration::from_millis(family.late.max(now.saturating_sub(family.lasts_until))),
            is_ended: family.is_ended,
        })
        .collect()
    }

    /// How often each refresh token came that came more often than once.
    pub fn repeated(&self) -> HashMap<String, u64> {
        let state = self.core.state();
        let repeated = state.refresh.iter().filter(|(_, known)| known.calls > 1);
        repeated.map(|(token, known)| (token.clone(), known.calls)).collect()
    }

    /// How many refreshes were done, replays not counted.
    pub fn refreshed(&self) -> u64 {
        self.core.state().seen.refreshed
    }

    /// How often a refresh token came that had been replaced, and was not answered.
    pub fn reuses(&self) -> u64 {
        self.core.state().seen.reuses
    }

    /// How often a refresh token was answered with its successor again.
    pub fn replays(&self) -> u64 {
        self.core.state().seen.replays
    }

    /// How many grants there are, ended or not.
    pub fn grants(&self) -> usize {
        self.core.state().families.len()
    }

    /// How many grants ended: by a reuse, by a code that came twice, or taken back.
    pub fn grants_ended(&self) -> usize {
        self.core.state().seen.ended.len()
    }

    /// Whether the grant of a token ended.
    pub fn is_ended(&self, token: &str) -> bool {
        let state = self.core.state();
        state
            .family_of(token)
            .is_some_and(|family| state.families[family].is_ended)
    }

    /// The tokens that `/revoke` was given, in order.
    pub fn taken_back(&self) -> Vec<String> {
        self.core.state().seen.taken_back.clone()
    }

    /// Whether an access token works now.
    pub fn is_live(&self, access: &str) -> bool {
        let state = self.core.state();
        let found = state.access.get(access);
        found.is_some_and(|access| state.works(access, self.core.now()))
    }

    /// How many access tokens work now.
    pub fn live(&self) -> usize {
        let state = self.core.state();
        let now = self.core.now();
        state.access.values().filter(|access| state.works(access, now)).count()
    }

    /// Whether a refresh token is the one of its grant that works.
    pub fn is_current(&self, refresh: &str) -> bool {
        let state = self.core.state();
        let family = state.refresh.get(refresh).map(|known| &state.families[known.family]);
        family.is_some_and(|family| !family.is_ended && family.current == refresh)
    }
}
