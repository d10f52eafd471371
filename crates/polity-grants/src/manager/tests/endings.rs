//! Taking back, other keys, wrong clocks, and what cannot be refreshed.

use super::*;

#[tokio::test(start_paused = true)]
async fn taking_back_erases_and_reaches_what_was_on_its_way() {
    let world = World::new(World::rotating(), 0, true).await;
    let (one, two) = (world.process("p"), world.process("q"));
    world.double.fail(&[Fault::SlowAnswer(2_000)]);
    let refresh = one.manager.token("g");
    let end = async {
        pass(1).await;
        two.manager.disconnect("g").await
    };
    let (refreshed, ended) = tokio::join!(refresh, end);
    assert_eq!((refreshed, ended.unwrap().provider), (Err(Error::Revoked), Ok(true)));
    assert_eq!(world.double.revoked(), ["r0", "r1"]);
    let grant = world.grant().await;
    assert_eq!((grant.sealed, grant.status), (None, Status::Revoked));
    assert_eq!(one.manager.token("g").await, Err(Error::Revoked));
    assert_eq!(one.manager.reconnect("g", &world.tokens(9)).await, Err(Error::Revoked));
    assert_eq!(two.manager.disconnect("g").await.unwrap().provider, Ok(true));
    assert_eq!(two.manager.disconnect("other").await, Err(Error::NotFound));
}

#[tokio::test(start_paused = true)]
async fn keys_change_under_grants_in_use() {
    let world = World::new(World::rotating(), 0, true).await;
    let process = world.process("p");
    let old = world.keyring.current_id();
    world.keyring.rotate(1);
    assert_eq!(process.manager.reseal().await, Ok(1));
    assert_eq!(process.manager.reseal().await, Ok(0));
    world.keyring.retire(&old).unwrap();
    assert_eq!(access(&process.manager.token("g").await), "a1");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_refreshed_is_used_to_its_end() {
    let world = World::new("refresh = \"none\"\nrecovery = \"reauthorize\"", 0, true).await;
    let process = world.process("p");
    process.manager.reconnect("g", &world.tokens(100)).await.unwrap();
    assert_eq!(access(&process.manager.token("g").await), "a0");
    pass(101).await;
    assert!(matches!(
        process.manager.token("g").await,
        Err(Error::NeedsReauthorization(_))
    ));
    assert_eq!(world.grant().await.status, Status::Expired);
    assert_eq!(world.double.calls(), 0);
}

/// Nobody asks for its token; the job finds that it ended, and not before.
#[tokio::test(start_paused = true)]
async fn an_owner_is_told_when_what_cannot_be_refreshed_ends() {
    let none = "refresh = \"none\"\nrecovery = \"reauthorize\"";
    for (entry, with_refresh) in [(none, true), (none, false), (World::rotating(), false)] {
        let world = World::new(entry, 0, true).await;
        let process = world.process("p");
        let mut tokens = world.tokens(3600);
        if !with_refresh {
            tokens.refresh = None;
        }
        process.manager.reconnect("g", &tokens).await.unwrap();
        for _ in 0..358 {
            let report = process.manager.refresh_due(9, 9, Duration::ZERO).await.unwrap();
            assert_eq!(report.ended, 0);
            pass(10).await;
        }
        assert_eq!(access(&process.manager.token("g").await), "a0");
        pass(21).await;
        let report = process.manager.refresh_due(9, 9, Duration::ZERO).await.unwrap();
        assert_eq!((report.ended, world.grant().await.status), (1, Status::Expired));
        assert!(matches!(world.events()[..], [Event::NeedsReauthorization { .. }]));
        assert_eq!(world.double.calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_clocks_cost_calls_and_no_grant() {
    let world = World::new(World::rotating(), 0, true).await;
    let (early, late) = (world.skewed("p", 600_000), world.skewed("q", -600_000));
    for _ in 0..60 {
        let (one, other) = tokio::join!(early.manager.token("g"), late.manager.token("g"));
        assert!(
            world.double.works(access(&one)) && world.double.works(access(&other)),
            "{one:?} {other:?}"
        );
        pass(180).await;
    }
    assert_eq!((world.double.reuses(), world.double.most_arrivals()), (0, 1));
    assert!(world.double.calls() <= 8, "{}", world.double.calls());
}

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_is_taken_back_from_a_provider_that_fails() {
    let world = World::new(World::rotating(), 0, true).await;
    let (one, two) = (world.process("p"), world.process("q"));
    world.double.fail(&[Fault::SlowAnswer(2_000)]);
    // One of these is what was there before.
    world.double.refuse_revokes(3);
    let refresh = one.manager.token("g");
    let end = async {
        pass(1).await;
        two.manager.disconnect("g").await
    };
    let (refreshed, ended) = tokio::join!(refresh, end);
    assert_eq!(refreshed, Err(Error::Revoked));
    assert!(ended.unwrap().provider.is_err());
    pass(30).await;
    assert_eq!(world.double.revoked(), ["r1"]);
}
