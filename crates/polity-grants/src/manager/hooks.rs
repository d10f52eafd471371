//! What whoever uses the library is told.

use async_trait::async_trait;

/// Something that happened to a grant. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It has new tokens.
    Refreshed {
        /// Which grant.
        grant: String,
    },
    /// It has new tokens after a call whose outcome was unknown.
    Recovered {
        /// Which grant.
        grant: String,
    },
    /// Its owner has to sign in again.
    NeedsReauthorization {
        /// Which grant.
        grant: String,
        /// Why.
        reason: String,
    },
    /// It was taken back.
    Revoked {
        /// Which grant.
        grant: String,
    },
    /// The operator has to look at its client.
    Misconfigured {
        /// Which grant.
        grant: String,
        /// What is wrong.
        reason: String,
    },
}

/// Is told. Everything is recorded before: an event that is lost in a crash shows in the grant.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Says it. The grant's waiters wait for it.
    async fn happened(&self, event: &Event);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHooks;

#[async_trait]
impl Hooks for NoHooks {
    async fn happened(&self, _: &Event) {}
}
