//! Human passwords: Argon2id (RFC 9106) on threads of its own.
//!
//! Invariants: at most `workers` hashes run at a time and at most `queue` wait, so that a storm of logins slows logins
//! and nothing else; a caller who hangs up frees its place; an unknown user takes the time of a known one; a stored hash
//! cannot ask for more memory or time than [`MAX_MEMORY_KIB`] and [`MAX_ITERATIONS`].
//!
//! Deliberately absent: machine secrets, which are random and need no slow hash, and rules for choosing a password.

mod argon;
mod pool;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use polity_seal::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use argon::Cost;
pub use argon::{MAX_ITERATIONS, MAX_MEMORY_KIB};
use pool::Pool;

/// Shortest password in bytes of UTF-8, after normalisation.
pub const MIN_BYTES: usize = 8;
/// Longest password in bytes of UTF-8, before normalisation.
pub const MAX_BYTES: usize = 4_096;

/// How passwords are hashed. The defaults follow OWASP's advice for Argon2id.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordSettings {
    /// Memory per hash, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes of the memory; part of the hash, not a number of threads.
    pub parallelism: u32,
    /// How many hashes are computed at a time. 0: half of the processor cores, at least 1.
    pub workers: usize,
    /// How many hashes may wait; beyond it callers are told to come back.
    pub queue: usize,
}

impl Default for PasswordSettings {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
            parallelism: 1,
            workers: 0,
            queue: 512,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Shorter than [`MIN_BYTES`] or longer than [`MAX_BYTES`].
    #[error("a password has {MIN_BYTES} to {MAX_BYTES} bytes")]
    Length,
    /// Too many are waiting: 503 with `Retry-After`.
    #[error("too many password checks are waiting")]
    Overloaded,
    /// The settings are beyond what Argon2 or the bounds here allow, or a worker thread could not start.
    #[error("the password settings cannot be used")]
    Settings,
    /// The hash could not be computed: no memory, or the pool is gone.
    #[error("the password could not be hashed")]
    Failed,
}

/// Hashes and verifies passwords. Cheap to clone; clones share the threads, which end with the last clone.
#[derive(Clone, Debug)]
pub struct Passwords {
    pool: Arc<Pool>,
    cost: Cost,
}

impl Passwords {
    /// Starts the threads.
    pub fn new(settings: &PasswordSettings) -> Result<Self, PasswordError> {
        let cost = Cost::new(settings.memory_kib, settings.iterations, settings.parallelism)?;
        let workers = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
            workers => workers,
        };
        let pool = Pool::start(workers, settings.queue.max(1)).map_err(|_| PasswordError::Settings)?;
        Ok(Self {
            pool: Arc::new(pool),
            cost,
        })
    }

    /// The hash to store, a PHC string with its salt and cost.
    pub async fn hash(&self, password: &Secret) -> Result<String, PasswordError> {
        let text = normalised(password).ok_or(PasswordError::Length)?;
        if text.len() < MIN_BYTES {
            return Err(PasswordError::Length);
        }
        let cost = self.cost;
        self.pool.run(move || cost.hash(text.as_bytes())).await?
    }

    /// Whether the password is the one whose hash is stored. `None`, for a user who does not exist, and a hash that
    /// cannot be read cost the same time and are `false`.
    pub async fn verify(&self, password: &Secret, stored: Option<&str>) -> Result<bool, PasswordError> {
        let Some(text) = normalised(password) else {
            return Ok(false);
        };
        let (cost, stored) = (self.cost, stored.map(str::to_owned));
        self.pool
            .run(move || cost.verify(text.as_bytes(), stored.as_deref()))
            .await?
    }

    /// Whether a stored hash was made with other costs than the present ones: hash again at the next successful login.
    pub fn needs_rehash(&self, stored: &str) -> bool {
        !self.cost.made(stored)
    }
}

/// One spelling for what looks the same on every keyboard (NFKC); `None` if too long to be looked at.
fn normalised(password: &Secret) -> Option<Zeroizing<String>> {
    let text = password.expose();
    (text.len() <= MAX_BYTES).then(|| {
        // Room for any NFKC expansion (at most 18-fold), so that no unwiped copy is left behind by growing.
        let mut whole = Zeroizing::new(String::with_capacity(text.len() * 18));
        whole.extend(text.nfkc());
        whole
    })
}
