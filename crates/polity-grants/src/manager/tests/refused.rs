//! A token that the provider's API refuses, and parts of what owners do.

use super::*;

/// A grant whose token was made an hour ago and lasts for another.
async fn lasting(entry: &str) -> World {
    let world = World::new(entry, 0, true).await;
    let process = world.process("owner");
    process.manager.reconnect("g", &world.tokens(3600)).await.unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_for_all() {
    let world = lasting(World::rotating()).await;
    let processes = [world.process("p"), world.process("q")];
    let version = processes[0].manager.token("g").await.unwrap().version;
    let calls = (0..60).map(|n| processes[n % 2].manager.refused("g", version));
    for result in join_all(calls).await {
        assert_eq!(access(&result), "a1");
    }
    assert_eq!((world.double.calls(), world.double.reuses()), (1, 0));
    // Who is late gets what is there.
    assert_eq!(access(&processes[1].manager.refused("g", version).await), "a1");
    assert_eq!(access(&processes[1].manager.token("g").await), "a1");
    assert_eq!(world.double.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_that_is_refused_does_not_loop() {
    let world = lasting(World::rotating()).await;
    let process = world.process("p");
    let mut version = process.manager.token("g").await.unwrap().version;
    version = process.manager.refused("g", version).await.unwrap().version;
    for _ in 0..5 {
        let again = process.manager.refused("g", version).await;
        assert!(matches!(again, Err(Error::Fresh)), "{again:?}");
    }
    assert_eq!(world.double.calls(), 1);
    assert_eq!(world.grant().await.status, Status::Active);
    pass(61).await;
    assert_eq!(access(&process.manager.refused("g", version).await), "a2");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_joins_a_refresh_that_began_before_it() {
    let world = lasting(World::rotating()).await;
    let process = world.process("p");
    process.manager.reconnect("g", &world.tokens(100)).await.unwrap();
    world.double.fail(&[Fault::SlowAnswer(2_000)]);
    let old = process.manager.token("g").await.unwrap();
    assert_eq!(old.access.expose(), "a0");
    assert_eq!(access(&process.manager.refused("g", old.version).await), "a1");
    assert_eq!(world.double.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_refreshed_ends_when_it_is_refused() {
    let none = "refresh = \"none\"\nrecovery = \"reauthorize\"";
    for (entry, with_refresh) in [(none, true), (World::rotating(), false)] {
        let world = lasting(entry).await;
        let process = world.process("p");
        let mut tokens = world.tokens(3600);
        if !with_refresh {
            tokens.refresh = None;
        }
        process.manager.reconnect("g", &tokens).await.unwrap();
        let version = process.manager.token("g").await.unwrap().version;
        for _ in 0..2 {
            let refused = process.manager.refused("g", version).await;
            assert!(matches!(refused, Err(Error::NeedsReauthorization(_))), "{refused:?}");
        }
        assert_eq!(world.grant().await.status, Status::Expired);
        assert!(matches!(world.events()[..], [Event::NeedsReauthorization { .. }]));
        assert!(process.manager.token("g").await.is_err(), "nothing is remembered");
        assert_eq!(world.double.calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_the_refresh_says() {
    let world = lasting(World::rotating()).await;
    let process = world.process("p");
    let version = process.manager.token("g").await.unwrap().version;
    world.double.fail(&[Fault::Status(503)]);
    let refused = process.manager.refused("g", version).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    world.double.fail(&[Fault::Revoked]);
    pass(60).await;
    let refused = process.manager.refused("g", version).await;
    assert!(matches!(refused, Err(Error::NeedsReauthorization(_))), "{refused:?}");
    assert_eq!(process.manager.refused("other", 1).await, Err(Error::NotFound));
}

/// The token seems to last, so that nobody but the job would look at the intent.
#[tokio::test(start_paused = true)]
async fn a_process_that_dies_over_a_refusal_leaves_its_intent_to_the_rule() {
    let world = lasting(World::rotating()).await;
    let process = world.process("p");
    let version = process.manager.token("g").await.unwrap().version;
    world.double.fail(&[Fault::SlowAnswer(5_000)]);
    let _ = tokio::time::timeout(Duration::from_secs(1), process.manager.refused("g", version)).await;
    process.kill();
    pass(30).await;
    let report = world.process("q").manager.refresh_due(9, 9, Duration::ZERO).await;
    assert_eq!(report.unwrap().ended, 1);
    assert_eq!((world.double.calls(), world.double.reuses()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_prepared_is_what_connects() {
    let world = World::new(World::rotating(), 0, false).await;
    let process = world.process("p");
    let new = NewGrant {
        id: "h".to_owned(),
        provider: "test".to_owned(),
        owner: "o".to_owned(),
        account: Some("who".to_owned()),
    };
    let tokens = world.tokens(3600);
    let grant = process.manager.prepare(new, &tokens, 7);
    assert_eq!((grant.version, grant.status), (1, Status::Active));
    assert!(grant.next_refresh_at.is_some_and(|at| at > 7 && at < 3_600_000));
    world.store.insert(grant.clone()).await.unwrap();
    assert_eq!(access(&process.manager.token("h").await), "a0");

    let renewal = process.manager.renewal("h", &tokens);
    let (mut one, mut other) = (grant.clone(), grant.clone());
    other.id = "i".to_owned();
    assert!(renewal.apply(&mut one, 9) && one.version == 2);
    assert!(!renewal.apply(&mut other, 9), "it would not open there");
    one.revoke();
    assert!(!renewal.apply(&mut one, 9));
    assert!(!format!("{renewal:?}").contains("a0"));
}

#[tokio::test(start_paused = true)]
async fn taking_back_may_be_repeated_and_tells_what_to_repeat() {
    let world = World::new(World::rotating(), 0, false).await;
    let process = world.process("p");
    let before = world.grant().await;
    for _ in 0..2 {
        assert_eq!(process.manager.take_back(&before).await, Ok(true));
    }
    assert_eq!(world.double.revoked(), ["r0", "r0"]);
    let erased = Grant {
        sealed: None,
        ..before.clone()
    };
    assert_eq!(process.manager.take_back(&erased).await, Ok(true));
    let foreign = Grant {
        id: "x".to_owned(),
        ..before
    };
    let failed = process.manager.take_back(&foreign).await;
    assert!(matches!(failed, Err(crate::failure::Failure::Misconfigured { .. })));
}
