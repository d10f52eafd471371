//! Calls of which nobody knows whether they were done: only the provider's rule says what may be done with the token.

use std::time::Duration;

use polity_grants::{grant::Status, manager::Event};
use polity_testing::provider::{Endpoint, Fault, Rotation};

use super::world::{WINDOW, World};

/// Long enough for a call on this machine, and shorter than the slow ones.
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(4);

/// Each, and whether the provider did it.
fn faults() -> Vec<(Fault, bool)> {
    vec![
        (Fault::DropBefore, false),
        (Fault::Status(502), false),
        (Fault::Status(504), false),
        (Fault::Status(408), false),
        (Fault::DropAfter, true),
        (Fault::StatusAfter(502), true),
        (Fault::WrongJson, true),
        (Fault::Html, true),
        (Fault::Huge, true),
    ]
}

#[tokio::test]
async fn without_a_window_the_token_is_never_used_again() {
    for (fault, done) in faults() {
        let world = World::failing(Rotation::Rotating, fault.clone()).await;
        world.unavailable().await;
        let grant = world.stand.grant().await;
        assert!(grant.intent.is_some_and(|intent| intent.unknown), "{fault:?}");
        assert_eq!(world.ended().await, "a refresh of unknown outcome", "{fault:?}");
        let reason = "a refresh of unknown outcome".to_owned();
        assert_eq!(
            world.stand.events(),
            [Event::NeedsReauthorization {
                grant: "g".to_owned(),
                reason
            }]
        );
        world.stand.pass(100_000);
        world.ended().await;
        assert_eq!(
            (world.first_calls(), world.provider.refreshed()),
            (1, u64::from(done)),
            "{fault:?}"
        );
        assert_eq!(world.provider.reuses(), 0);
        // Its owner signs in again.
        world.provider.sign_in_as("ada");
        let fresh = world.stand.sign_in(&["read"]).await.unwrap();
        world.stand.manager.reconnect("g", &fresh.tokens).await.unwrap();
        world.works().await;
    }
}

#[tokio::test]
async fn within_a_window_the_successor_is_fetched() {
    for (fault, done) in faults() {
        let world = World::failing(WINDOW, fault.clone()).await;
        world.unavailable().await;
        world.unavailable().await;
        assert_eq!(world.first_calls(), 1, "not before the pause: {fault:?}");
        world.stand.pass(4);
        world.works().await;
        assert_eq!(world.stand.events(), [Event::Recovered { grant: "g".to_owned() }]);
        assert_eq!(
            (world.first_calls(), world.provider.replays()),
            (2, u64::from(done)),
            "{fault:?}"
        );
        assert_eq!((world.provider.refreshed(), world.provider.reuses()), (1, 0));
        world.stand.pass(3600);
        world.works().await;
    }
}

#[tokio::test]
async fn after_the_window_it_is_not_tried() {
    let world = World::failing(WINDOW, Fault::DropAfter).await;
    world.unavailable().await;
    world.stand.pass(25);
    world.ended().await;
    assert_eq!((world.first_calls(), world.provider.reuses()), (1, 0));
}

#[tokio::test]
async fn a_stable_token_is_simply_used_again() {
    for (fault, _) in faults() {
        let world = World::failing(Rotation::Stable, fault.clone()).await;
        world.unavailable().await;
        world.stand.pass(5);
        world.works().await;
        assert_eq!(
            (world.first_calls(), world.stand.grant().await.status),
            (2, Status::Active),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_not_known() {
    for (rotation, ends) in [(Rotation::Rotating, true), (WINDOW, false)] {
        let world = World::with(rotation, "", SHORT).await;
        world.provider.fault(Endpoint::Token, Fault::Slow(LONG));
        world.unavailable().await;
        assert_eq!(world.provider.refreshed(), 1);
        world.stand.pass(4);
        if ends {
            world.ended().await;
        } else {
            world.works().await;
        }
        assert_eq!((world.provider.refreshed(), world.provider.reuses()), (1, 0));
    }
}

/// A request that a network holds back arrives after its token was used again. Within the window that harms nothing.
#[tokio::test]
async fn a_request_that_arrives_after_the_recovery_harms_nothing() {
    let world = World::with(WINDOW, "", SHORT).await;
    world.provider.fault(Endpoint::Token, Fault::Late(LONG));
    world.unavailable().await;
    assert_eq!(world.provider.refreshed(), 0);
    world.stand.pass(4);
    world.works().await;
    while world.provider.replays() == 0 {
        assert_eq!(world.provider.reuses(), 0);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.stand.pass(3600);
    world.works().await;
    assert_eq!((world.provider.refreshed(), world.provider.reuses()), (2, 0));
}

/// After a call of unknown outcome, being refused for now says nothing about the first.
#[tokio::test]
async fn the_doubt_stays() {
    let world = World::failing(WINDOW, Fault::DropAfter).await;
    world.provider.fault(Endpoint::Token, Fault::Status(503));
    world.unavailable().await;
    world.stand.pass(4);
    world.unavailable().await;
    assert!(world.stand.grant().await.intent.is_some());
    world.stand.pass(30);
    world.ended().await;
    assert_eq!((world.first_calls(), world.provider.reuses()), (2, 0));
}
