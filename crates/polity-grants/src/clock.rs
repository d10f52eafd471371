//! Time and randomness, handed in by whoever uses the library.

/// Unix time in milliseconds.
pub type Millis = i64;

/// A second.
pub(crate) const SECOND: Millis = 1_000;

/// Where the time of this process comes from. Leases never depend on it: they are in the store's own time.
pub trait Clock: Send + Sync {
    /// Now, in unix milliseconds.
    fn now(&self) -> Millis;
}

/// Where randomness comes from: states, verifiers and jitter.
pub trait Random: Send + Sync {
    /// Fills all of `bytes`. In production they must be unpredictable.
    fn fill(&self, bytes: &mut [u8]);
}

/// The system's randomness, by AWS-LC.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes.chunks_mut(32) {
            let fresh = polity_seal::random_bytes::<32>();
            for (to, from) in byte.iter_mut().zip(fresh) {
                *to = from;
            }
        }
    }
}

/// A number in `0..below`; 0 if `below` is. For jitter: the slight favour of low numbers does not matter there.
pub(crate) fn below(random: &dyn Random, below: u64) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes).checked_rem(below).unwrap_or(0)
}
