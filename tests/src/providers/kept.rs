//! What fails for now: the grant is kept, nobody tries before the pause is over, and the same token works later.

use std::time::Duration;

use polity_grants::{
    grant::Status,
    manager::{Error, Event},
};
use polity_testing::provider::{Endpoint, Fault, Rotation};

use super::world::{BEGIN, World};

#[tokio::test]
async fn a_provider_that_fails_is_tried_later() {
    for fault in [
        Fault::Status(500),
        Fault::Status(501),
        Fault::Status(503),
        Fault::TooMany("1".to_owned()),
        Fault::TooMany("not a time".to_owned()),
        Fault::Error("temporarily_unavailable".to_owned()),
    ] {
        let world = World::failing(Rotation::Rotating, fault.clone()).await;
        world.unavailable().await;
        world.unavailable().await;
        assert_eq!(
            world.provider.calls(Endpoint::Token),
            1,
            "not before the pause: {fault:?}"
        );
        let grant = world.stand.grant().await;
        assert_eq!(
            (grant.status, grant.refresh_failures, grant.intent),
            (Status::Active, 1, None)
        );
        assert!(!grant.last_error.unwrap().contains(&world.first.refresh));
        world.stand.pass(5);
        world.works().await;
        assert_eq!((world.first_calls(), world.provider.reuses()), (2, 0), "{fault:?}");
        assert_eq!(world.stand.events(), [Event::Refreshed { grant: "g".to_owned() }]);
    }
}

#[tokio::test]
async fn the_pause_is_the_one_asked_for() {
    // The library's clock shows 2023-11-14 23:13:20 when the answer comes.
    for time in ["90", "Tue, 14 Nov 2023 23:14:50 GMT"] {
        let world = World::failing(Rotation::Rotating, Fault::TooMany(time.to_owned())).await;
        world.unavailable().await;
        let grant = world.stand.grant().await;
        assert_eq!(grant.next_refresh_at, Some(BEGIN + 3_600_000 + 90_000), "{time}");
        world.stand.pass(89);
        world.unavailable().await;
        assert_eq!(world.provider.calls(Endpoint::Token), 1);
        world.stand.pass(1);
        world.works().await;
    }
    let world = World::failing(Rotation::Rotating, Fault::TooMany("999999999".to_owned())).await;
    world.unavailable().await;
    world.stand.pass(24 * 60 * 60);
    world.works().await;
}

#[tokio::test]
async fn pauses_grow() {
    let world = World::new(Rotation::Rotating).await;
    let mut pauses = Vec::new();
    for _ in 0..5 {
        world.provider.fault(Endpoint::Token, Fault::Status(503));
        world.unavailable().await;
        let before = world.stand.grant().await.next_refresh_at.unwrap();
        pauses.push(before - polity_grants::clock::Clock::now(&world.stand.clock));
        world.stand.pass(pauses.last().unwrap().unsigned_abs().div_ceil(1000));
    }
    for (n, pause) in pauses.iter().enumerate() {
        let whole = 5_000 << n;
        assert!((whole * 3 / 4..=whole).contains(pause), "{pauses:?}");
    }
    world.works().await;
    assert_eq!(world.stand.grant().await.refresh_failures, 0);
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let more = format!("token_url = \"http://{closed}/token\"");
    let world = World::with(Rotation::Rotating, &more, Duration::from_secs(10)).await;
    let text = world.unavailable().await;
    assert!(text.contains("not sent"), "{text}");
    let grant = world.stand.grant().await;
    assert_eq!((grant.status, grant.intent), (Status::Active, None));
}

#[tokio::test]
async fn a_client_that_is_not_set_up_right_loses_nothing() {
    for code in ["invalid_client", "unauthorized_client", "something_new"] {
        let world = World::failing(Rotation::Rotating, Fault::Error(code.to_owned())).await;
        assert_eq!(world.stand.token().await, Err(Error::Misconfigured(code.to_owned())));
        assert_eq!(
            world.stand.events(),
            [Event::Misconfigured {
                grant: "g".to_owned(),
                reason: code.to_owned()
            }]
        );
        world.stand.pass(3599);
        assert!(world.stand.token().await.is_err());
        assert_eq!(world.provider.calls(Endpoint::Token), 1, "tried slowly");
        world.stand.pass(1);
        world.works().await;
        assert_eq!((world.first_calls(), world.provider.reuses()), (2, 0));
    }
}
