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
    let limiter = Limiter::build(clock.clone(), 160, None);
    let rule = Rule::new("login", 1, SECOND * 60, 5);
    allowed(&limiter, &rule, "attacker", 5).await;
    for subject in 0..10_000 {
        limiter.check(&rule, &subject.to_string()).await;
    }
    let kept = limiter.0.memory.len();
    assert!(kept <= 160, "{kept}");
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

#[tokio::test]
async fn windows_count_exactly_and_begin_anew() {
    let (limiter, clock) = limiter();
    let windows = [
        Window::new("minute", 3, SECOND * 60),
        Window::new("hour", 5, SECOND * 3_600),
    ];
    let first = limiter.take(&windows, "a", 2).await;
    assert_eq!((first.allowed, first.used, first.remaining), (true, 2, 1));
    let refused = limiter.take(&windows, "a", 2).await;
    assert_eq!((refused.allowed, refused.used, refused.remaining), (false, 2, 1));
    // 1,700,000,000 is 20 seconds into its minute.
    assert_eq!(refused.reset_seconds(), 40);
    assert_eq!(limiter.take(&windows, "a", 1).await.remaining, 0);
    clock.advance(SECOND * 40);
    let next = limiter.take(&windows, "a", 2).await;
    assert_eq!((next.window.as_ref(), next.used, next.remaining), ("hour", 5, 0));
    let hour = limiter.take(&windows, "a", 1).await;
    assert_eq!((hour.allowed, hour.window.as_ref()), (false, "hour"));
    assert!(limiter.take(&windows, "b", 3).await.allowed);
    assert!(!limiter.take(&[Window::new("none", 0, SECOND)], "a", 1).await.allowed);
}

#[tokio::test]
async fn windows_shrink_with_replicas_and_stay_bounded_in_memory() {
    let (limiter, _clock) = limiter();
    limiter.set_replicas(3);
    let window = [Window::new("day", 10, SECOND * 86_400)];
    assert_eq!(limiter.take(&window, "a", 1).await.limit, 4);
    let small = Limiter::build(Clock::fake(from_micros(1_700_000_000_000_000)), 160, None);
    for _ in 0..5 {
        small.take(&window, "busy", 1).await;
    }
    for subject in 0..10_000 {
        small.take(&window, &subject.to_string(), 1).await;
    }
    assert_eq!(small.take(&window, "busy", 1).await.used, 6);
}

#[tokio::test]
async fn windows_have_weights_and_are_recalled_once() {
    let (limiter, _clock) = limiter();
    let windows = |tokens| {
        [
            Window::new("requests", 10, SECOND * 60),
            Window::new("tokens", 100, SECOND * 86_400).weighing(tokens),
        ]
    };
    assert!(limiter.take(&windows(60), "a", 1).await.allowed);
    assert!(!limiter.take(&windows(60), "a", 1).await.allowed);
    assert!(limiter.take(&windows(40), "a", 1).await.allowed);
    // Nothing is asked of it, but it is empty.
    assert!(!limiter.take(&windows(0), "a", 1).await.allowed);
    let used: Vec<u64> = limiter
        .take_each(&windows(0), "a", 0)
        .await
        .iter()
        .map(|usage| usage.used)
        .collect();
    assert_eq!(used, [2, 100]);
    let day = Window::new("day", 10, SECOND * 86_400);
    limiter.recall(&day, "b", 7);
    assert_eq!(limiter.take(std::slice::from_ref(&day), "b", 1).await.used, 8);
    limiter.recall(&day, "b", 7);
    assert_eq!(limiter.take(&[day], "b", 1).await.used, 9);
}

mod over_redis {
    use polity_seal::Secret;

    use super::*;

    /// Several replicas of one deployment on the private Redis of the test command, each with a wrong clock of its own.
    #[expect(
        clippy::disallowed_methods,
        reason = "these describe the test run, not the program's settings; a prefix is never used again"
    )]
    fn replicas(count: usize, prefix: &str) -> Option<Vec<Limiter>> {
        let Ok(url) = std::env::var("POLITY_TEST_REDIS") else {
            assert!(
                std::env::var("POLITY_TEST_REQUIRE_SERVICES").is_err(),
                "POLITY_TEST_REDIS names no server, but POLITY_TEST_REQUIRE_SERVICES is set"
            );
            return None;
        };
        let settings = RedisSettings {
            url: Some(Secret::from(url)),
            prefix: format!("{prefix}-{}", uuid::Uuid::now_v7()),
            timeout_ms: 2_000,
        };
        let open = |n: usize| {
            let clock = Clock::fake(from_micros(
                1_700_000_000_000_000 + 60_000_000 * i64::try_from(n).unwrap(),
            ));
            let limiter = Limiter::open(&settings, clock).unwrap();
            limiter.set_replicas(u32::try_from(count).unwrap());
            limiter
        };
        Some((0..count).map(open).collect())
    }

    async fn connected(limiters: &[Limiter]) {
        for limiter in limiters {
            while limiter.redis_is_well() == Some(false) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    #[tokio::test]
    async fn rates_are_exact_over_replicas() {
        let Some(limiters) = replicas(3, "rates") else { return };
        connected(&limiters).await;
        let rule = Rule::new("api", 10, SECOND * 3_600, 10);
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..90 {
            let (limiter, rule) = (limiters[n % 3].clone(), rule.clone());
            calls.spawn(async move { limiter.check(&rule, "a").await });
        }
        let decisions = calls.join_all().await;
        assert_eq!(decisions.iter().filter(|decision| decision.allowed).count(), 10);
        let refused = decisions.iter().find(|decision| !decision.allowed).unwrap();
        assert_eq!((refused.limit, refused.remaining), (10, 0));
        assert!(refused.retry_after.unwrap() <= SECOND * 360, "{refused:?}");
        let both = [rule, Rule::per_second("other", 1_000)];
        assert!(!limiters[0].check_all(&both, "a").await.allowed);
        assert_eq!(limiters[1].check(&both[1], "a").await.remaining, 999);
    }

    #[tokio::test]
    async fn windows_are_exact_over_replicas() {
        let Some(limiters) = replicas(3, "windows") else { return };
        connected(&limiters).await;
        let windows = [
            Window::new("day", 1_000, SECOND * 86_400),
            Window::new("year", 1 << 40, SECOND * 86_400 * 365),
        ];
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..1_200 {
            let (limiter, windows) = (limiters[n % 3].clone(), windows.clone());
            calls.spawn(async move { limiter.take(&windows, "a", 1).await });
        }
        let usages = calls.join_all().await;
        let mut used: Vec<u64> = usages
            .iter()
            .filter(|usage| usage.allowed)
            .map(|usage| usage.used)
            .collect();
        used.sort_unstable();
        assert_eq!(used, (1..=1_000).collect::<Vec<u64>>());
    }

    #[tokio::test]
    async fn without_an_answer_each_replica_grants_its_share() {
        let settings = RedisSettings {
            // Nothing listens on the discard port.
            url: Some(Secret::from("redis://127.0.0.1:9".to_owned())),
            ..RedisSettings::default()
        };
        let limiter = Limiter::open(&settings, Clock::fake(from_micros(1_700_000_000_000_000))).unwrap();
        limiter.set_replicas(2);
        assert_eq!(limiter.redis_is_well(), Some(false));
        assert_eq!(allowed(&limiter, &Rule::per_second("ten", 10), "a", 20).await, 5);
        let wrong = RedisSettings {
            url: Some(Secret::from("http://x".to_owned())),
            ..RedisSettings::default()
        };
        assert!(Limiter::open(&wrong, Clock::system()).is_err());
    }
}
