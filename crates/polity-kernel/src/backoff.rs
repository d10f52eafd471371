//! How long to wait before the next attempt.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// The longest pause.
const LONGEST: Duration = Duration::from_mins(5);

/// The pause after the attempt number `attempts` (from 1): `first`, doubled each time, at most five minutes, and up to a
/// fifth more, which depends on `id` alone, so that what failed together does not come back together.
pub(crate) fn pause(first: Duration, attempts: i64, id: &str) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or(0);
    let pause = first.saturating_mul(1 << doublings).min(LONGEST);
    let mut hasher = DefaultHasher::new();
    (id, attempts).hash(&mut hasher);
    pause + pause.mul_f64(f64::from(u8::try_from(hasher.finish() % 200).unwrap_or(0)) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let seconds = |attempts| pause(Duration::from_secs(1), attempts, "x").as_secs_f64();
        assert!((1.0..1.2).contains(&seconds(1)));
        assert!((4.0..4.8).contains(&seconds(3)));
        assert!((300.0..=360.0).contains(&seconds(60)));
        assert_eq!(seconds(5).to_bits(), seconds(5).to_bits());
    }
}
