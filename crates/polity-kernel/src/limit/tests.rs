//! The algorithm, its headers and its bounds, on a clock that stands still until moved.

use std::time::Duration;

use super::*;
use crate::clock::from_micros;

const SECOND: Duration = Duration::from_secs(1);

fn limiter() -> (Limiter, Clock) {
    let clock = Clock::fake(from_micros(1_700_000_000_000_000));
    (Limiter::in_process(clock.clone()), clock)
}

async fn allowed(limiter: &Limiter, rule: &Rule, subject: &str, calls: usize) -> usize {
    let mut allowed = 0;
    for _ in 0..calls {
        allowed += usize::from(limiter.check(rule, subject).await.allowed);
    }
    allowed
}

#[tokio::test]
async fn a_burst_is_allowed_then_the_rate() {
    let (limiter, clock) = limiter();
    let rule = Rule::new("api", 10, SECOND, 3);
    let first = limiter.check(&rule, "a").await;
    assert_eq!((first.allowed, first.limit, first.remaining), (true, 3, 2));
    assert_eq!(first.reset_after, Duration::from_millis(100));
    assert_eq!(allowed(&limiter, &rule, "a", 10).await, 2);
    let refused = limiter.check(&rule, "a").await;
    assert_eq!((refused.allowed, refused.remaining), (false, 0));
    assert_eq!(refused.retry_after, Some(Duration::from_millis(100)));
    assert_eq!(refused.reset_after, Duration::from_millis(300));
    clock.advance(Duration::from_millis(99));
    assert_eq!(allowed(&limiter, &rule, "a", 1).await, 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(allowed(&limiter, &rule, "a", 5).await, 1);
    clock.advance(Duration::from_hours(1));
    assert_eq!(allowed(&limiter, &rule, "a", 10).await, 3);
}

#[tokio::test]
async fn subjects_and_rules_count_apart() {
    let (limiter, _clock) = limiter();
    let (one, two) = (Rule::per_second("one", 1), Rule::per_second("two", 1));
    assert_eq!(allowed(&limiter, &one, "a", 2).await, 1);
    assert_eq!(allowed(&limiter, &one, "b", 2).await, 1);
    assert_eq!(allowed(&limiter, &two, "a", 2).await, 1);
}

#[tokio::test]
async fn several_rules_count_together_or_not_at_all() {
    let (limiter, _clock) = limiter();
    let (wide, narrow) = (Rule::per_second("wide", 5), Rule::new("narrow", 1, SECOND * 60, 2));
    let rules = [wide.clone(), narrow];
    let first = limiter.check_all(&rules, "a").await;
    assert_eq!((first.rule.as_ref(), first.remaining), ("narrow", 1));
    limiter.check_all(&rules, "a").await;
    for _ in 0..10 {
        let refused = limiter.check_all(&rules, "a").await;
        assert_eq!((refused.allowed, refused.rule.as_ref()), (false, "narrow"));
    }
    assert_eq!(limiter.check(&wide, "a").await.remaining, 2);
    assert!(limiter.check_all(&[], "a").await.headers().is_empty());
}

#[tokio::test]
async fn replicas_share_the_quota_rounded_up() {
    let (limiter, _clock) = limiter();
    limiter.set_replicas(4);
    assert_eq!(allowed(&limiter, &Rule::per_second("ten", 10), "a", 20).await, 3);
    assert_eq!(allowed(&limiter, &Rule::per_second("one", 1), "a", 20).await, 1);
    limiter.set_replicas(0);
    assert_eq!(allowed(&limiter, &Rule::per_second("ten", 10), "b", 20).await, 10);
}

#[tokio::test]
async fn a_clock_that_goes_back_or_a_smaller_rule_locks_nobody_out() {
    let (limiter, clock) = limiter();
    let rule = Rule::per_second("api", 1);
    limiter.check(&rule, "a").await;
    clock.set(from_micros(1_600_000_000_000_000));
    assert_eq!(limiter.check(&rule, "a").await.retry_after, Some(SECOND));
    limiter.check(&Rule::new("plan", 1, SECOND * 3_600, 10), "a").await;
    assert_eq!(
        limiter.check(&Rule::per_second("plan", 2), "a").await.retry_after,
        Some(SECOND / 2)
    );
}

#[tokio::test]
async fn extreme_rules_neither_overflow_nor_divide_by_zero() {
    let (limiter, _clock) = limiter();
    for rule in [
        Rule::new("none", 0, Duration::ZERO, 0),
        Rule::new("huge", u32::MAX, Duration::MAX, u32::MAX),
        Rule::new("slow", 1, Duration::MAX, 1),
    ] {
        assert!(limiter.check(&rule, "a").await.allowed);
        let second = limiter.check(&rule, "a").await;
        assert_eq!(second.allowed, rule.name() == "huge");
        assert!(second.headers().len() >= 8);
    }
}

#[tokio::test]
async fn memory_is_bounded_and_forgets_the_least_busy_first() {
    let clock = Clock::fake(from_micros(1_700_000_000_000_000));
    let limiter = Limiter::bounded(clock.clone(), 160);
    let rule = Rule::new("login", 1, SECOND * 60, 5);
    allowed(&limiter, &rule, "attacker", 5).await;
    for subject in 0..10_000 {
        limiter.check(&rule, &subject.to_string()).await;
    }
    let Store::Memory(memory) = &limiter.0.store;
    assert!(memory.len() <= 160, "{}", memory.len());
    assert!(!limiter.check(&rule, "attacker").await.allowed);
}

#[tokio::test]
async fn headers_say_what_is_left() {
    let (limiter, _clock) = limiter();
    let rule = Rule::new("log\"in\u{e9}", 2, SECOND * 60, 1);
    let text = |decision: &Decision, name: &str| {
        decision
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    let allowed = limiter.check(&rule, "a").await;
    assert_eq!(text(&allowed, "ratelimit-policy"), "\"log_in_\";q=2;w=60");
    assert_eq!(text(&allowed, "ratelimit"), "\"log_in_\";r=0;t=30");
    assert_eq!(text(&allowed, "x-ratelimit-limit"), "1");
    assert_eq!(text(&allowed, "retry-after"), "");
    let refused = limiter.check(&rule, "a").await;
    assert_eq!(text(&refused, "ratelimit-remaining"), "0");
    assert_eq!(text(&refused, "x-ratelimit-reset"), "30");
    assert_eq!(text(&refused, "retry-after"), "30");
    assert_eq!(refused.retry_after_seconds(), Some(30));
}
