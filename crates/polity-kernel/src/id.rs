//! Injected identifiers.
//!
//! An id is text: the prefix its contract gives and the 32 hex digits of a UUIDv7 (RFC 9562), so that ids sort by the
//! time they were made. The 60 time bits are 48 bits of milliseconds and 12 bits of their fraction; they only ever grow
//! within a process, also when the clock stands still or goes back. 62 random bits follow.
//!
//! Deliberately absent: secrets. An id may be guessed and is never a credential.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::{digest, rand};
use uuid::Uuid;

use crate::clock::{Clock, micros};

/// Makes ids. Cheap to clone; clones share one order.
#[derive(Clone, Debug)]
pub struct Ids(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    last: AtomicU64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    System,
    Seeded(u64),
}

impl Ids {
    /// Ids from the clock and the system's randomness.
    pub fn system(clock: Clock) -> Self {
        Self::new(clock, Source::System)
    }

    /// The same ids in every run with the same seed and clock, for tests.
    pub fn seeded(clock: Clock, seed: u64) -> Self {
        Self::new(clock, Source::Seeded(seed))
    }

    fn new(clock: Clock, source: Source) -> Self {
        Self(Arc::new(Inner {
            clock,
            last: AtomicU64::new(0),
            source,
        }))
    }

    /// A new id: `prefix` (such as `org_`) and 32 lower-case hex digits.
    pub fn new_id(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.uuid().simple())
    }

    /// A new JWT id (`jti`, RFC 7519): 32 lower-case hex digits.
    pub fn jti(&self) -> String {
        self.new_id("")
    }

    /// A new UUIDv7, for the few contracts that ask for its dashed form.
    pub fn uuid(&self) -> Uuid {
        let tick = self.next_tick();
        let random = self.0.source.bytes(tick);
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&(tick >> 12).to_be_bytes()[2..]);
        bytes[6..8].copy_from_slice(&(0x7000 | (tick & 0x0fff)).to_be_bytes()[6..]);
        bytes[8..].copy_from_slice(&random);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        Uuid::from_bytes(bytes)
    }

    /// Time in 1/4096 ms; at least one more than the last, so that two ids never compare equal or backwards.
    fn next_tick(&self) -> u64 {
        let micros = u64::try_from(micros(self.0.clock.now())).unwrap_or(0);
        let tick = ((micros / 1_000) << 12) | ((micros % 1_000) * 4_096 / 1_000);
        let next = |last: u64| tick.max(last + 1);
        match self
            .0
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)))
        {
            Ok(last) | Err(last) => next(last),
        }
    }
}

impl Source {
    fn bytes(&self, tick: u64) -> [u8; 8] {
        let mut bytes = [0; 8];
        match self {
            Self::System => {
                if rand::fill(&mut bytes).is_err() {
                    // A machine without randomness can make neither ids nor keys: no answer is better than a wrong one.
                    std::process::abort();
                }
            }
            Self::Seeded(seed) => {
                let input = [seed.to_be_bytes(), tick.to_be_bytes()].concat();
                bytes.copy_from_slice(&digest::digest(&digest::SHA256, &input).as_ref()[..8]);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::*;
    use crate::clock::from_micros;

    fn standing_clock() -> Clock {
        Clock::fake(from_micros(1_700_000_000_123_456))
    }

    #[test]
    fn an_id_is_its_prefix_and_a_uuid_of_version_7_that_carries_the_time() {
        let id = Ids::system(standing_clock()).new_id("org_");
        let uuid = Uuid::parse_str(id.strip_prefix("org_").unwrap()).unwrap();
        assert_eq!(id.len(), 36);
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(uuid.get_timestamp().unwrap().to_unix().0, 1_700_000_000);
    }

    #[test]
    fn ids_grow_while_the_clock_stands_still_or_goes_back() {
        let clock = standing_clock();
        let ids = Ids::system(clock.clone());
        let mut made = vec![ids.jti()];
        for step in 0..10_000 {
            if step == 5_000 {
                clock.set(from_micros(1_600_000_000_000_000));
            }
            made.push(ids.jti());
        }
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn ids_follow_the_clock() {
        let clock = standing_clock();
        let ids = Ids::system(clock.clone());
        let first = ids.jti();
        clock.advance(Duration::from_hours(1));
        assert!(first[..8] < ids.jti()[..8]);
    }

    #[test]
    fn threads_never_share_an_id() {
        let ids = Ids::seeded(standing_clock(), 1);
        let made: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1_000).map(|_| ids.jti()).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), 4_000);
    }

    #[test]
    fn a_seed_repeats_its_ids_and_another_does_not() {
        let take = |seed| Ids::seeded(standing_clock(), seed).new_id("t_");
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }
}
