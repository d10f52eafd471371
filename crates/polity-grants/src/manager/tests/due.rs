//! Refreshing in time, in several processes at once; and what is forgotten.

use super::*;

#[tokio::test(start_paused = true)]
async fn due_means_due_although_the_token_lasts() {
    let world = World::new(World::rotating(), 0, true).await;
    let process = world.process("p");
    process.manager.reconnect("g", &world.tokens(3600)).await.unwrap();
    let at = world.grant().await.next_refresh_at.unwrap();
    pass(u64::try_from((at - world.clock.now()) / 1000 + 1).unwrap()).await;
    assert!(world.grant().await.expires_at.unwrap() > world.clock.now() + 300_000);
    for refreshed in [1, 0] {
        let report = process.manager.refresh_due(9, 9, Duration::ZERO).await.unwrap();
        assert_eq!(report.refreshed, refreshed);
    }
    assert_eq!(world.double.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_another_process_holds_is_left_to_it() {
    let world = World::new(World::rotating(), 0, true).await;
    let (one, two) = (world.process("p"), world.process("q"));
    world.double.fail(&[Fault::SlowAnswer(8_000)]);
    let first = one.manager.refresh_due(9, 9, Duration::ZERO);
    // Reads the same list a moment before the first one claims.
    let second = async {
        let begun = tokio::time::Instant::now();
        let report = two.manager.refresh_due(9, 9, Duration::ZERO).await.unwrap();
        (report, begun.elapsed())
    };
    // Somebody of the second process wants a token, and is not put off with what the job says.
    let caller = two.manager.token("g");
    let (first, (second, took), token) = tokio::join!(first, second, caller);
    assert_eq!(first.unwrap().refreshed, 1);
    assert_eq!(second.later, 1);
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(access(&token), "a1");
    assert_eq!((world.double.calls(), world.double.reuses()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_tried_does_not_stay_in_front() {
    let world = World::new(World::rotating(), 0, true).await;
    let process = world.process("p");
    let mut change = |grant: &mut Grant, _: Millis| {
        grant.sealed = Some(b"from elsewhere".to_vec());
        true
    };
    world.store.update("g", &mut change).await.unwrap();
    let report = process.manager.refresh_due(9, 9, Duration::ZERO).await.unwrap();
    assert_eq!(report.later, 1);
    assert!(world.store.due(0, 9).await.unwrap().is_empty());
    let grant = world.grant().await;
    assert_eq!((grant.status, grant.refresh_failures), (Status::Active, 0));
    assert!(grant.last_error.is_some());
    assert_eq!(world.double.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_read_again() {
    let world = World::new(World::rotating(), 0, false).await;
    let process = world.process("p");
    process.manager.reconnect("g", &world.tokens(3600)).await.unwrap();
    for all in [false, true] {
        assert_eq!(access(&process.manager.token("g").await), "a0");
        let mut change = |grant: &mut Grant, _: Millis| {
            grant.expire("elsewhere".to_owned());
            true
        };
        world.store.update("g", &mut change).await.unwrap();
        assert_eq!(access(&process.manager.token("g").await), "a0", "it is remembered");
        if all {
            process.manager.forget_all();
        } else {
            process.manager.forget("g");
        }
        assert!(process.manager.token("g").await.is_err());
        process.manager.reconnect("g", &world.tokens(3600)).await.unwrap();
    }
}

/// The store does not answer for a while, in which the master key is changed and the old one thrown away.
#[tokio::test(start_paused = true)]
async fn an_answer_outlives_the_key_that_sealed_it() {
    let world = World::new(World::rotating(), 0, true).await;
    let process = world.process("p");
    world.double.fail(&[Fault::SlowAnswer(1_000)]);
    let trouble = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.store.fail_before.store(20, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let old = world.keyring.current_id();
        world.keyring.rotate(1);
        process.manager.reseal().await.unwrap_err();
        world.store.fail_before.store(0, Ordering::SeqCst);
        process.manager.reseal().await.unwrap();
        old
    };
    let (result, old) = tokio::join!(process.manager.token("g"), trouble);
    assert_eq!(access(&result), "a1");
    world.keyring.retire(&old).unwrap();
    process.manager.forget_all();
    assert_eq!(access(&process.manager.token("g").await), "a1");
}
