//! Where grants are, and the pending authorizations that become grants.
//!
//! A store keeps rows and applies a change to one of them atomically; what changes mean is in [`crate::grant`].
//!
//! Invariants:
//! - What [`Store::update`] answered survives a crash of the process, unless the store is memory.
//! - All times are the store's own: clocks of processes do not matter for leases and pauses.

#[cfg(unix)]
mod disk;
mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(test, feature = "testing"))]
pub mod suite;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

#[cfg(unix)]
pub use self::disk::Disk;
pub use self::memory::Memory;
#[cfg(feature = "redis")]
pub use self::redis::Redis;
use crate::{
    clock::Millis,
    grant::{Claim, Grant, Outcome},
};

/// Why a store did not do it. Nobody knows whether it did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or cannot write. The text holds no secret.
    #[error("the store of grants does not answer: {0}")]
    Unavailable(String),
    /// A grant of that id is there.
    #[error("there is a grant of that id")]
    Exists,
    /// What is stored does not read.
    #[error("a stored grant does not read: {0}")]
    Corrupt(String),
}

/// A change to a grant at the store's time; `false`: leave it as it was. It may be called again if another change came
/// between.
pub type Change<'a> = &'a mut (dyn FnMut(&mut Grant, Millis) -> bool + Send);

/// An authorization that waits for its browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The hash of its state.
    pub key: String,
    /// The hash of the browser's session. Only that one may take it.
    pub browser: String,
    /// What to remember, sealed.
    pub sealed: Vec<u8>,
}

/// Grants and pending authorizations.
#[async_trait]
pub trait Store: Send + Sync {
    /// The store's time, in unix milliseconds.
    async fn now(&self) -> Result<Millis, StoreError>;

    /// Puts a new grant there; [`StoreError::Exists`] if its id is taken.
    async fn insert(&self, grant: Grant) -> Result<(), StoreError>;

    /// The grant of that id.
    async fn get(&self, id: &str) -> Result<Option<Grant>, StoreError>;

    /// Changes a grant, atomically and durably. `None` if there is none; otherwise what `change` answered.
    async fn update(&self, id: &str, change: Change<'_>) -> Result<Option<bool>, StoreError>;

    /// Removes a grant for good; `false` if there was none.
    async fn remove(&self, id: &str) -> Result<bool, StoreError>;

    /// The ids of at most `limit` grants that [are due](Grant::is_due) within `within` milliseconds, earliest first.
    async fn due(&self, within: Millis, limit: usize) -> Result<Vec<String>, StoreError>;

    /// At most `limit` ids after `after`, in order, of grants whose tokens another key than `key` sealed.
    async fn sealed_by_others(&self, key: &str, after: &str, limit: usize) -> Result<Vec<String>, StoreError>;

    /// Keeps a pending authorization for `life` milliseconds.
    async fn put_state(&self, pending: Pending, life: Millis) -> Result<(), StoreError>;

    /// Takes what [`Store::put_state`] put there: once, in time, and for the same browser. Another browser takes nothing
    /// and spoils nothing.
    async fn take_state(&self, key: &str, browser: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Claims a refresh: see [`Grant::claim`]. It is durable when this returns.
    async fn claim(&self, id: &str, version: i64, holder: &str, lease: Millis) -> Result<Claim, StoreError> {
        let mut claim = Claim::Gone;
        let mut change = |grant: &mut Grant, now: Millis| {
            claim = grant.claim(version, holder, lease, now);
            matches!(claim, Claim::Fresh { .. } | Claim::Recover { .. })
        };
        self.update(id, &mut change).await?;
        Ok(claim)
    }

    /// Records the outcome of a claimed refresh: see [`Grant::record`]. `false`: the fence is lost.
    async fn record(&self, id: &str, fence: i64, outcome: Outcome) -> Result<bool, StoreError> {
        let mut change = |grant: &mut Grant, now: Millis| grant.record(fence, outcome.clone(), now);
        Ok(self.update(id, &mut change).await?.unwrap_or(false))
    }

    /// Takes a grant back and erases its tokens; what it was before, or `None` if there is none.
    async fn revoke(&self, id: &str) -> Result<Option<Grant>, StoreError> {
        let mut before = None;
        let mut change = |grant: &mut Grant, _: Millis| {
            before = Some(grant.clone());
            grant.revoke();
            true
        };
        self.update(id, &mut change).await?;
        Ok(before)
    }

    /// Puts tokens under another key if nothing changed since `version` was read; `false` otherwise.
    async fn reseal(&self, id: &str, version: i64, sealed: Vec<u8>) -> Result<bool, StoreError> {
        let mut change = |grant: &mut Grant, _: Millis| grant.reseal(version, sealed.clone());
        Ok(self.update(id, &mut change).await?.unwrap_or(false))
    }
}

/// A grant for tests: active, of version 1, due at 0.
#[cfg(any(test, feature = "testing"))]
pub fn sample(id: &str) -> Grant {
    Grant {
        id: id.to_owned(),
        provider: "test".to_owned(),
        owner: "owner".to_owned(),
        sealed: Some(vec![1]),
        status: crate::grant::Status::Active,
        scopes: Vec::new(),
        account: None,
        version: 1,
        expires_at: None,
        next_refresh_at: Some(0),
        refresh_failures: 0,
        last_error: None,
        intent: None,
        fence: 0,
    }
}
