//! Injected time.
//!
//! Invariant: every time the program reads comes from a [`Clock`], so that a test owns it; clippy refuses the others.
//! Times are whole microseconds, the finest both databases keep, so that a value written and read back is equal.
//!
//! Processes that share a database server go by its time ([`Clock::follow`]), so that a machine whose own clock is wrong, or
//! jumps, is as right as the others.
//!
//! Deliberately absent: time zones (everything is UTC) and sleeping (timers belong to the runtime).

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};

/// A point in time, UTC, in whole microseconds.
pub type Timestamp = DateTime<Utc>;

/// Where the time comes from. Cheap to clone; clones of a fake clock share one time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Arc<Followed>),
    /// Microseconds since the Unix epoch.
    Fake(Arc<AtomicI64>),
}

/// Somebody else's time, from which this process counts on.
#[derive(Debug)]
struct Followed {
    origin: Instant,
    /// Microseconds since the Unix epoch at `origin`; [`NOBODY`] while the system's time is taken.
    at_origin: AtomicI64,
}

const NOBODY: i64 = i64::MIN;

impl Followed {
    fn elapsed(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl Clock {
    /// The time of the operating system, until told to follow another.
    pub fn system() -> Self {
        Self(Source::System(Arc::new(Followed {
            origin: Instant::now(),
            at_origin: AtomicI64::new(NOBODY),
        })))
    }

    /// Takes over a time that was right just now; from then on it goes by elapsed time and no longer by the system's. A fake
    /// clock stays as it is.
    pub fn follow(&self, time: Timestamp) {
        if let Source::System(followed) = &self.0 {
            let at_origin = micros(time).saturating_sub(followed.elapsed());
            followed.at_origin.store(at_origin, Ordering::SeqCst);
        }
    }

    /// A clock that stands still at `start` until it is moved.
    pub fn fake(start: Timestamp) -> Self {
        Self(Source::Fake(Arc::new(AtomicI64::new(micros(start)))))
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System(followed) => match followed.at_origin.load(Ordering::SeqCst) {
                NOBODY => system_now(),
                at_origin => from_micros(at_origin.saturating_add(followed.elapsed())),
            },
            Source::Fake(time) => from_micros(time.load(Ordering::SeqCst)),
        }
    }

    /// Moves a fake clock forward. The system clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Fake(time) = &self.0 {
            let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            let moved = time.load(Ordering::SeqCst).saturating_add(by);
            time.store(moved, Ordering::SeqCst);
        }
    }

    /// Moves a fake clock to `to`, which may be in its past. The system clock stays as it is.
    pub fn set(&self, to: Timestamp) {
        if let Source::Fake(time) = &self.0 {
            time.store(micros(to), Ordering::SeqCst);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that everything else is sent to"
)]
fn system_now() -> Timestamp {
    Utc::now().trunc_subsecs(6)
}

/// Microseconds since the Unix epoch, rounded down.
pub fn micros(at: Timestamp) -> i64 {
    at.timestamp_micros()
}

/// The time that many microseconds after the Unix epoch; clamped to the years chrono can name (±262,000).
pub fn from_micros(micros: i64) -> Timestamp {
    let edge = if micros < 0 {
        Timestamp::MIN_UTC
    } else {
        Timestamp::MAX_UTC
    };
    Timestamp::from_timestamp_micros(micros).unwrap_or_else(|| edge.trunc_subsecs(6))
}

/// The wire form of a time: RFC 3339 with six decimals and `Z`, such as `2025-01-02T03:04:05.000006Z`.
pub fn rfc3339(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// `#[serde(with = "polity_kernel::clock::rfc3339")]`: the wire form of a time field.
///
/// Any RFC 3339 offset is read; what is finer than a microsecond is dropped.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Timestamp, from_micros, micros, rfc3339};

    /// Writes the wire form.
    pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&rfc3339(*at))
    }

    /// Reads an RFC 3339 time.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        // Through whole microseconds, so that a leap second is the second that both databases make of it.
        Timestamp::deserialize(from).map(|at| from_micros(micros(at)))
    }

    /// The same for an optional field: `null` is `None`. Add `#[serde(default)]` where the field may be missing.
    pub mod option {
        use super::{Deserialize, Deserializer, Serializer, Timestamp, from_micros, micros, rfc3339};

        /// Writes the wire form or `null`.
        pub fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => to.serialize_some(&rfc3339(*at)),
                None => to.serialize_none(),
            }
        }

        /// Reads an RFC 3339 time or `null`.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
            Ok(Option::<Timestamp>::deserialize(from)?.map(|at| from_micros(micros(at))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_time_is_followed() {
        let clock = Clock::system();
        let other = from_micros(1_000_000_000_000_000);
        clock.follow(other);
        let ahead = clock.now() - other;
        assert!(
            ahead >= chrono::TimeDelta::zero() && ahead < chrono::TimeDelta::seconds(60),
            "{ahead}"
        );
        assert!(clock.clone().now() >= other);
    }

    #[test]
    fn a_fake_clock_moves_only_when_told_and_all_clones_move() {
        let start = from_micros(1_700_000_000_000_001);
        let clock = Clock::fake(start);
        let other = clock.clone();
        assert_eq!(other.now(), start);
        clock.advance(Duration::from_micros(5));
        assert_eq!(micros(other.now()), 1_700_000_000_000_006);
        other.set(start);
        assert_eq!(clock.now(), start);
    }

    #[test]
    fn the_system_clock_gives_whole_microseconds_and_cannot_be_moved() {
        let clock = Clock::system();
        let before = clock.now();
        clock.set(from_micros(0));
        clock.advance(Duration::from_secs(1_000_000));
        let after = clock.now();
        assert_eq!(after.timestamp_subsec_nanos() % 1_000, 0);
        assert!((after - before).num_seconds() < 1_000);
        assert!(micros(after) > 1_000_000_000_000_000);
    }

    #[test]
    fn microseconds_out_of_range_are_clamped() {
        assert!(from_micros(i64::MAX) > from_micros(0));
        assert!(from_micros(i64::MIN) < from_micros(0));
        assert_eq!(micros(from_micros(-1)), -1);
    }

    #[test]
    fn the_wire_form_has_six_decimals_and_reads_any_offset() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Body {
            #[serde(with = "rfc3339")]
            at: Timestamp,
            #[serde(default, with = "rfc3339::option")]
            ended_at: Option<Timestamp>,
        }
        let body: Body = serde_json::from_str(r#"{"at":"2025-01-02T04:04:05.0000069+01:00"}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&body).unwrap(),
            r#"{"at":"2025-01-02T03:04:05.000006Z","ended_at":null}"#
        );
        let body: Body =
            serde_json::from_str(r#"{"at":"2025-01-02T03:04:05Z","ended_at":"2025-01-02T03:04:05Z"}"#).unwrap();
        assert_eq!(body.ended_at, Some(body.at));
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Body {
        #[serde(with = "rfc3339")]
        at: Timestamp,
    }

    proptest! {
        // The years 0 to 9999, all that RFC 3339 can name.
        #[test]
        fn what_is_written_is_read(at in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            let at = from_micros(at);
            let text = serde_json::to_string(&Body { at }).unwrap();
            prop_assert_eq!(serde_json::from_str::<Body>(&text).unwrap().at, at);
        }

        #[test]
        fn what_is_read_is_whole_microseconds(text in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,12})?(Z|[+-][0-2][0-9]:[0-6][0-9])") {
            if let Ok(body) = serde_json::from_value::<Body>(serde_json::json!({ "at": text })) {
                prop_assert_eq!(body.at.timestamp_subsec_nanos() % 1_000, 0);
                prop_assert_eq!(from_micros(micros(body.at)), body.at);
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            drop(serde_json::from_value::<Body>(serde_json::json!({ "at": text })));
        }
    }
}
