//! The manager with a provider that fails in every way, and processes that die.

mod any_order;
mod double;
mod due;
mod endings;
mod refused;
mod world;

use std::{sync::atomic::Ordering, time::Duration};

use futures::future::join_all;

use self::{
    double::Fault,
    world::{World, pass},
};
use super::*;
use crate::grant::Status;

fn access(result: &Result<Token, Error>) -> &str {
    result.as_ref().map_or("none", |token| token.access.expose())
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_in_two_processes_refresh_once() {
    let world = World::new(World::rotating(), 0, true).await;
    let processes = [world.process("p"), world.process("q")];
    let calls = (0..100).map(|n| processes[n % 2].manager.token("g"));
    for result in join_all(calls).await {
        assert_eq!(access(&result), "a1");
    }
    assert_eq!((world.double.calls(), world.double.reuses()), (1, 0));
    assert_eq!(world.events(), [Event::Refreshed { grant: "g".to_owned() }]);
    assert_eq!(access(&processes[0].manager.token("g").await), "a1");
}

#[tokio::test(start_paused = true)]
async fn inside_the_margin_nobody_waits() {
    let world = World::new(World::rotating(), 0, true).await;
    let process = world.process("p");
    process.manager.reconnect("g", &world.tokens(200)).await.unwrap();
    world.double.fail(&[Fault::SlowAnswer(2_000)]);
    assert_eq!(access(&process.manager.token("g").await), "a0");
    pass(3).await;
    assert_eq!(access(&process.manager.token("g").await), "a1");
    assert_eq!(world.double.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_takes_no_answer_along() {
    let world = World::new(World::rotating(), 0, true).await;
    let process = world.process("p");
    world.double.fail(&[Fault::SlowAnswer(5_000)]);
    let left = tokio::time::timeout(Duration::from_secs(1), process.manager.token("g")).await;
    assert!(left.is_err());
    pass(6).await;
    assert_eq!(
        (access(&process.manager.token("g").await), world.double.calls()),
        ("a1", 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_now_is_kept_and_backed_off() {
    for fault in [
        Fault::NotSent,
        Fault::Status(500),
        Fault::Status(503),
        Fault::RetryAfter(60),
    ] {
        let world = World::new(World::rotating(), 0, true).await;
        let process = world.process("p");
        world.double.fail(&[fault]);
        assert!(
            matches!(process.manager.token("g").await, Err(Error::Unavailable(_))),
            "{fault:?}"
        );
        assert!(
            matches!(process.manager.token("g").await, Err(Error::Unavailable(_))),
            "{fault:?}"
        );
        assert_eq!(world.double.calls(), 1, "not again before the pause: {fault:?}");
        assert_eq!(world.grant().await.status, Status::Active);
        if fault == Fault::RetryAfter(60) {
            pass(30).await;
            assert!(process.manager.token("g").await.is_err());
        }
        pass(61).await;
        assert_eq!(access(&process.manager.token("g").await), "a1", "{fault:?}");
        assert_eq!(world.double.reuses(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_still_lasts_outlives_a_failing_provider() {
    let world = World::new(World::rotating(), 0, true).await;
    let process = world.process("p");
    process.manager.reconnect("g", &world.tokens(20)).await.unwrap();
    world.double.fail(&[Fault::Status(500)]);
    assert_eq!(access(&process.manager.token("g").await), "a0");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_goes_to_the_rule() {
    for fault in [
        Fault::DroppedAfter,
        Fault::DroppedBefore,
        Fault::Html,
        Fault::WrongJson,
        Fault::SlowAnswer(60_000),
        Fault::Status(502),
    ] {
        let world = World::new(World::rotating(), 0, true).await;
        let process = world.process("p");
        world.double.fail(&[fault]);
        assert!(process.manager.token("g").await.is_err());
        pass(10).await;
        let ended = process.manager.token("g").await;
        assert!(
            matches!(ended, Err(Error::NeedsReauthorization(_))),
            "{fault:?} {ended:?}"
        );
        assert_eq!((world.double.calls(), world.double.reuses()), (1, 0), "{fault:?}");
        assert!(matches!(world.events()[..], [Event::NeedsReauthorization { .. }]));

        let world = World::new(World::replaying(), 30_000, true).await;
        let process = world.process("p");
        world.double.fail(&[fault]);
        assert!(process.manager.token("g").await.is_err());
        pass(5).await;
        let recovered = process.manager.token("g").await;
        assert!(world.double.works(access(&recovered)), "{fault:?} {recovered:?}");
        assert!(matches!(world.events()[..], [Event::Recovered { .. }]), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_leaves_its_intent_to_the_rule() {
    for (entry, window, ends) in [(World::rotating(), 0, true), (World::replaying(), 30_000, false)] {
        let world = World::new(entry, window, true).await;
        let process = world.process("p");
        world.double.fail(&[Fault::SlowAnswer(5_000)]);
        let _ = tokio::time::timeout(Duration::from_secs(1), process.manager.token("g")).await;
        process.kill();
        let next = world.process("q");
        let result = next.manager.token("g").await;
        assert_eq!(
            matches!(result, Err(Error::NeedsReauthorization(_))),
            ends,
            "{result:?}"
        );
        assert_eq!(world.double.works(access(&result)), !ends);
        assert_eq!(world.double.reuses(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn too_late_for_the_window_is_not_tried() {
    let world = World::new(World::replaying(), 30_000, true).await;
    let process = world.process("p");
    world.double.fail(&[Fault::SlowAnswer(5_000)]);
    let _ = tokio::time::timeout(Duration::from_secs(1), process.manager.token("g")).await;
    process.kill();
    pass(60).await;
    let result = world.process("q").manager.token("g").await;
    assert!(matches!(result, Err(Error::NeedsReauthorization(_))), "{result:?}");
    assert_eq!((world.double.calls(), world.double.reuses()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_ended_has_ended() {
    for fault in [Fault::Revoked, Fault::RotatedTwice] {
        let world = World::new(World::rotating(), 0, true).await;
        let process = world.process("p");
        world.double.fail(&[fault]);
        let first = process.manager.token("g").await;
        pass(4000).await;
        let last = process.manager.token("g").await;
        assert!(
            matches!(last, Err(Error::NeedsReauthorization(_))),
            "{fault:?} {first:?} {last:?}"
        );
        assert_eq!(world.grant().await.last_error.as_deref(), Some("invalid_grant"));
        let calls = world.double.calls();
        assert!(
            process.manager.token("g").await.is_err() && world.double.calls() == calls,
            "it is not asked again"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_client_is_told_and_tried_slowly() {
    let world = World::new(World::rotating(), 0, true).await;
    let process = world.process("p");
    world.double.fail(&[Fault::WrongSecret]);
    assert!(matches!(process.manager.token("g").await, Err(Error::Misconfigured(_))));
    assert!(matches!(world.events()[..], [Event::Misconfigured { .. }]));
    pass(1800).await;
    assert!(process.manager.token("g").await.is_err());
    assert_eq!(world.double.calls(), 1);
    pass(1900).await;
    assert_eq!(access(&process.manager.token("g").await), "a1");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_recorded_before_it_is_used() {
    for (before, after) in [(5, 0), (0, 1), (0, 4)] {
        let world = World::new(World::rotating(), 0, true).await;
        let process = world.process("p");
        world.double.fail(&[Fault::SlowAnswer(1_000)]);
        let call = process.manager.token("g");
        let trouble = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            world.store.fail_before.store(before, Ordering::SeqCst);
            world.store.fail_after.store(after, Ordering::SeqCst);
        };
        let (result, ()) = tokio::join!(call, trouble);
        assert_eq!(access(&result), "a1", "{before} {after}");
        assert_eq!(world.grant().await.version, 2);
        assert_eq!((world.double.calls(), world.double.reuses()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_written_is_used() {
    let world = World::new(World::rotating(), 0, true).await;
    world.store.fail_after.store(1, Ordering::SeqCst);
    assert_eq!(access(&world.process("p").manager.token("g").await), "a1");
    assert_eq!(world.double.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_job_refreshes_what_is_due() {
    let world = World::new(World::rotating(), 0, true).await;
    let process = world.process("p");
    let jitter = Duration::from_secs(5);
    let report = process.manager.refresh_due(10, 4, jitter).await.unwrap();
    assert_eq!(
        report,
        DueReport {
            refreshed: 1,
            ..DueReport::default()
        }
    );
    assert_eq!(
        process.manager.refresh_due(10, 4, jitter).await.unwrap(),
        DueReport::default()
    );
    pass(3300).await;
    assert_eq!(process.manager.refresh_due(10, 4, jitter).await.unwrap().refreshed, 1);
    world.double.fail(&[Fault::Revoked]);
    pass(3300).await;
    assert_eq!(process.manager.refresh_due(10, 4, jitter).await.unwrap().ended, 1);
}
