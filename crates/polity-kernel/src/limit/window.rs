//! Counters per window: exactly so many units between two full multiples of a length of time.

use std::{borrow::Cow, time::Duration};

use http::HeaderMap;

use super::rule::{self, Told};

/// A limit of units per window. Windows begin at multiples of their length since 1970, so that all replicas agree on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    name: Cow<'static, str>,
    limit: u64,
    length: Duration,
    weight: u64,
}

impl Window {
    /// At most `limit` units in every `length`, a second at least. Windows of one name share the state of a subject.
    pub fn new(name: impl Into<Cow<'static, str>>, limit: u64, length: Duration) -> Self {
        Self {
            name: name.into(),
            // What both this program and Redis count without rounding.
            limit: limit.min(1 << 52),
            length: length.clamp(Duration::from_secs(1), Duration::from_hours(24 * 366)),
            weight: 1,
        }
    }

    /// The same window, of which a unit of the call takes `weight`. At 0 it only has to have room.
    #[must_use]
    pub fn weighing(self, weight: u64) -> Self {
        Self {
            weight: weight.min(1 << 52),
            ..self
        }
    }

    /// What a call of so many units takes of it.
    pub(super) fn units(&self, units: u64) -> u64 {
        units.saturating_mul(self.weight).min(1 << 52)
    }

    /// The name, which separates the state of subjects.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Its length, in microseconds.
    pub(super) fn micros(&self) -> i64 {
        i64::try_from(self.length.as_micros()).unwrap_or(i64::MAX)
    }

    /// When the window that `now` is in began, in microseconds.
    pub(super) fn start(&self, now: i64) -> i64 {
        now - now.rem_euclid(self.micros())
    }

    pub(super) fn share(&self, replicas: u32) -> Self {
        Self {
            limit: self.limit.div_ceil(u64::from(replicas.max(1))),
            ..self.clone()
        }
    }

    /// What `used` units before this call mean for one of `units`.
    pub(super) fn decide(&self, used: u64, units: u64, now: i64) -> Usage {
        let units = self.units(units);
        let allowed = used < self.limit && used.saturating_add(units) <= self.limit;
        let used = if allowed { used + units } else { used };
        let left = self.start(now) + self.micros() - now;
        Usage {
            allowed,
            window: self.name.clone(),
            limit: self.limit,
            used,
            remaining: self.limit.saturating_sub(used),
            reset_after: Duration::from_micros(u64::try_from(left).unwrap_or(0)),
            length: self.length,
        }
    }
}

/// Whether units are within their window, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Whether the units were counted.
    pub allowed: bool,
    /// The window that decided.
    pub window: Cow<'static, str>,
    /// Its limit.
    pub limit: u64,
    /// How many units are used, these included if they were allowed.
    pub used: u64,
    /// How many are left.
    pub remaining: u64,
    /// When the window ends.
    pub reset_after: Duration,
    /// How long the window is.
    pub length: Duration,
}

impl Usage {
    pub(super) fn unlimited() -> Self {
        Self {
            allowed: true,
            window: Cow::Borrowed(""),
            limit: u64::MAX,
            used: 0,
            remaining: u64::MAX,
            reset_after: Duration::ZERO,
            length: Duration::ZERO,
        }
    }

    /// Least first: of the refusals the one to wait longest for, else the one with the least left.
    pub(super) fn tightness(&self) -> (bool, std::cmp::Reverse<Option<Duration>>, u64) {
        let wait = (!self.allowed).then_some(self.reset_after);
        (self.allowed, std::cmp::Reverse(wait), self.remaining)
    }

    /// Whole seconds until the window ends, rounded up.
    pub fn reset_seconds(&self) -> u64 {
        rule::seconds(self.reset_after)
    }

    /// The answer's headers, as those of [`super::Decision::headers`]; `name` stands for the window's own. `Retry-After` if
    /// the units were refused. None if there is no limit.
    pub fn headers(&self, name: &str) -> HeaderMap {
        if self.length.is_zero() {
            return HeaderMap::new();
        }
        rule::headers(&Told {
            name,
            quota: self.limit,
            window: rule::seconds(self.length),
            limit: self.limit,
            remaining: self.remaining,
            reset: self.reset_seconds(),
            retry_after: (!self.allowed).then(|| self.reset_seconds().max(1)),
        })
    }
}
