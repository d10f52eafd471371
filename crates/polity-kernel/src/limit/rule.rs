//! Rules, decisions, and the arithmetic between them.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER};

/// Keeps the arithmetic far from the end of its numbers.
const MAX_PERIOD: Duration = Duration::from_hours(365 * 24);

/// A limit: so many calls per period on average, so many at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    name: Cow<'static, str>,
    quota: u32,
    period: Duration,
    burst: u32,
}

impl Rule {
    /// `quota` calls per `period`, up to `burst` of them at once. What is 0 counts as 1 (call, microsecond); a period is
    /// at most a year, and a rate at most a million calls per second. Rules of one name share the state of a subject, whatever their numbers.
    pub fn new(name: impl Into<Cow<'static, str>>, quota: u32, period: Duration, burst: u32) -> Self {
        let period = period.clamp(Duration::from_micros(1), MAX_PERIOD);
        Self {
            name: name.into(),
            quota: quota.max(1),
            period,
            burst: burst.max(1),
        }
    }

    /// `quota` calls per second, all of them at once if need be.
    pub fn per_second(name: impl Into<Cow<'static, str>>, quota: u32) -> Self {
        Self::new(name, quota, Duration::from_secs(1), quota)
    }

    /// The name, which separates the state of subjects and appears in headers.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn share(&self, replicas: u32) -> Self {
        let part = |whole: u32| whole.div_ceil(replicas.max(1));
        Self {
            quota: part(self.quota),
            burst: part(self.burst),
            ..self.clone()
        }
    }

    /// How many calls may come at once.
    pub(super) fn burst(&self) -> u32 {
        self.burst
    }

    /// Microseconds that one call takes from the allowance.
    pub(super) fn cost(&self) -> i64 {
        let period = i64::try_from(self.period.as_micros()).unwrap_or(i64::MAX);
        (period / i64::from(self.quota)).max(1)
    }

    /// GCRA. `full_at` is when the subject would have its whole allowance back (0 for an unknown one); returned is the
    /// same after one more call, if that is allowed.
    pub(super) fn step(&self, full_at: i64, now: i64) -> (Decision, Option<i64>) {
        let cost = self.cost();
        let room = cost.saturating_mul(i64::from(self.burst));
        let latest = now.saturating_add(room);
        // Clamped above, since the clock may have gone back and the rule may have become smaller.
        let full_at = full_at.clamp(now, latest);
        let after = full_at.saturating_add(cost);
        let allowed = after <= latest;
        let full_at = if allowed { after } else { full_at };
        let decision = Decision {
            allowed,
            rule: self.name.clone(),
            limit: self.burst,
            remaining: u32::try_from((latest - full_at) / cost).unwrap_or(u32::MAX),
            reset_after: microseconds(full_at - now),
            retry_after: (!allowed).then(|| microseconds(after - latest)),
            quota: self.quota,
            period: self.period,
        };
        (decision, allowed.then_some(full_at))
    }
}

fn microseconds(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Whether a call is within its limit, and what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the call may go on.
    pub allowed: bool,
    /// The rule that decided.
    pub rule: Cow<'static, str>,
    /// How many calls may come at once from a full allowance.
    pub limit: u32,
    /// How many more may come now.
    pub remaining: u32,
    /// When the allowance is full again, if no more come.
    pub reset_after: Duration,
    /// When the next call is allowed; `None` if this one was.
    pub retry_after: Option<Duration>,
    quota: u32,
    period: Duration,
}

impl Decision {
    pub(super) fn unlimited() -> Self {
        Self {
            allowed: true,
            rule: Cow::Borrowed(""),
            limit: u32::MAX,
            remaining: u32::MAX,
            reset_after: Duration::ZERO,
            retry_after: None,
            quota: u32::MAX,
            period: Duration::ZERO,
        }
    }

    /// Least first: what the caller most needs to know.
    pub(super) fn tightness(&self) -> (bool, std::cmp::Reverse<Option<Duration>>, u32) {
        (self.allowed, std::cmp::Reverse(self.retry_after), self.remaining)
    }

    /// The answer's headers, in whole seconds rounded up: `RateLimit-Policy` and `RateLimit`
    /// (draft-ietf-httpapi-ratelimit-headers), their forerunners `RateLimit-Limit`, `-Remaining` and `-Reset` with and
    /// without `X-`, and `Retry-After` (RFC 9110) if refused. None if no rule applied.
    pub fn headers(&self) -> HeaderMap {
        if self.rule.is_empty() {
            return HeaderMap::new();
        }
        headers(&Told {
            name: &self.rule,
            quota: u64::from(self.quota),
            window: seconds(self.period),
            limit: u64::from(self.limit),
            remaining: u64::from(self.remaining),
            reset: seconds(self.reset_after),
            retry_after: self.retry_after.map(seconds),
        })
    }

    /// Whole seconds to wait, rounded up, at least 1: the `retry_after` member of a problem. `None` if allowed.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(seconds)
    }
}

/// What headers tell of a limit; times in seconds.
pub(super) struct Told<'a> {
    pub name: &'a str,
    pub quota: u64,
    pub window: u64,
    pub limit: u64,
    pub remaining: u64,
    pub reset: u64,
    pub retry_after: Option<u64>,
}

pub(super) fn headers(told: &Told<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let name = quoted(told.name);
    for (header, value) in [
        ("ratelimit-policy", format!("{name};q={};w={}", told.quota, told.window)),
        ("ratelimit", format!("{name};r={};t={}", told.remaining, told.reset)),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(header), value);
        }
    }
    for (plain, prefixed, value) in [
        ("ratelimit-limit", "x-ratelimit-limit", told.limit),
        ("ratelimit-remaining", "x-ratelimit-remaining", told.remaining),
        ("ratelimit-reset", "x-ratelimit-reset", told.reset),
    ] {
        headers.insert(HeaderName::from_static(plain), value.into());
        headers.insert(HeaderName::from_static(prefixed), value.into());
    }
    if let Some(wait) = told.retry_after {
        headers.insert(RETRY_AFTER, wait.into());
    }
    headers
}

pub(super) fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// A structured-field string (RFC 8941): printable ASCII, the rest replaced.
fn quoted(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|c| {
            if matches!(c, ' '..='~') && c != '"' && c != '\\' {
                c
            } else {
                '_'
            }
        })
        .collect();
    format!("\"{safe}\"")
}
