//! The changes of a grant, without a store.

use proptest::prelude::*;

use super::*;
use crate::store::sample;

fn error() -> String {
    "x".to_owned()
}

fn tokens() -> Outcome {
    Outcome::Tokens {
        sealed: vec![2],
        scopes: Vec::new(),
        expires_at: Some(9_000),
        refresh_in: Some(5_000),
    }
}

#[test]
fn doubt_outlives_what_says_nothing_about_it() {
    let mut grant = sample("a");
    assert_eq!(grant.claim(1, "p", 100, 0), Claim::Fresh { fence: 1 });
    assert!(grant.record(
        1,
        Outcome::Unknown {
            pause: 10,
            error: error()
        },
        50
    ));
    assert!(matches!(grant.claim(1, "p", 100, 55), Claim::Wait { until: 60 }));
    let again = grant.claim(1, "p", 100, 60);
    assert_eq!(
        again,
        Claim::Recover {
            fence: 2,
            begun_at: 0,
            now: 60,
            recoveries: 1
        }
    );
    assert!(grant.record(
        2,
        Outcome::Transient {
            pause: 10,
            error: error()
        },
        70
    ));
    let third = grant.claim(1, "p", 100, 80);
    assert_eq!(
        third,
        Claim::Recover {
            fence: 3,
            begun_at: 0,
            now: 80,
            recoveries: 2
        }
    );
    assert!(grant.record(3, tokens(), 90));
    assert_eq!((grant.version, grant.refresh_failures, grant.intent), (2, 0, None));
    assert_eq!(grant.next_refresh_at, Some(5_090));
}

#[test]
fn what_was_not_sent_leaves_no_doubt() {
    let mut grant = sample("a");
    grant.claim(1, "p", 100, 0);
    assert!(grant.record(
        1,
        Outcome::Transient {
            pause: 10,
            error: error()
        },
        5
    ));
    assert_eq!(grant.claim(1, "p", 100, 15), Claim::Fresh { fence: 2 });
}

#[test]
fn a_revoked_grant_takes_nothing_back() {
    let mut grant = sample("a");
    grant.claim(1, "p", 100, 0);
    grant.revoke();
    assert!(!grant.record(1, tokens(), 5));
    assert_eq!((grant.sealed.clone(), grant.status), (None, Status::Revoked));
    assert_eq!(grant.claim(2, "p", 100, 10), Claim::Changed);
    assert!(!grant.reseal(2, vec![1]));
}

#[test]
fn it_reads_back_from_json() {
    let grant = sample("a");
    let text = serde_json::to_string(&grant).unwrap();
    assert_eq!(serde_json::from_str::<Grant>(&text).unwrap(), grant);
    assert!(serde_json::from_str::<Grant>(&text.replace("AQ", "!")).is_err());
}

proptest! {
    /// Whatever the order of claims and records: at most one holder at a time, and a fence records once.
    #[test]
    fn one_holder_at_a_time(steps in prop::collection::vec((0_u8..7, 0_i64..4, 0_i64..150), 1..60)) {
        let mut grant = sample("a");
        let (mut now, mut held_until, mut last) = (0, 0, 0);
        for (step, back, later) in steps {
            now += later;
            let fence = (grant.fence - back).max(0);
            let outcome = match step {
                0 => Outcome::Unknown { pause: 10, error: error() },
                1 => Outcome::Transient { pause: 10, error: error() },
                2 => tokens(),
                _ => {
                    let doubt = grant.intent.is_some();
                    match grant.claim(grant.version, "p", 100, now) {
                        Claim::Fresh { fence } => {
                            prop_assert!(!doubt && now >= held_until && fence > last);
                            (last, held_until) = (fence, now + 100);
                        }
                        Claim::Recover { fence, .. } => {
                            prop_assert!(doubt && now >= held_until && fence > last);
                            (last, held_until) = (fence, now + 100);
                        }
                        Claim::Busy { until } => prop_assert_eq!(until, held_until),
                        Claim::Wait { until } => prop_assert!(until > now),
                        other => prop_assert!(false, "{:?}", other),
                    }
                    continue;
                }
            };
            if grant.record(fence, outcome, now) {
                prop_assert_eq!(fence, last);
                held_until = now;
            }
        }
    }
}
