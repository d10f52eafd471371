//! What a provider ends: its word is believed, its owner is told once, and it is not asked again.

use polity_grants::{grant::Status, manager::Event};
use polity_testing::provider::{Endpoint, Fault, Rotation};

use super::world::{WINDOW, World, is_reauthorize, tokens};

#[tokio::test]
async fn a_grant_that_ended_there_has_ended_here() {
    for rotation in [Rotation::Stable, Rotation::Rotating, WINDOW] {
        for fault in [Fault::Revoked, Fault::Error("invalid_grant".to_owned())] {
            let world = World::failing(rotation, fault).await;
            assert_eq!(world.ended().await, "invalid_grant");
            let grant = world.stand.grant().await;
            assert_eq!(
                (grant.status, grant.last_error.as_deref()),
                (Status::Expired, Some("invalid_grant"))
            );
            world.stand.pass(100_000);
            world.ended().await;
            assert_eq!(
                (world.provider.calls(Endpoint::Token), world.stand.events().len()),
                (1, 1)
            );
            assert!(matches!(world.stand.events()[..], [Event::NeedsReauthorization { .. }]));
        }
    }
}

/// Somebody else used the token, such as a backup that was started: the provider ends the grant for both.
#[tokio::test]
async fn an_old_token_ends_the_grant() {
    let world = World::new(Rotation::Rotating).await;
    let token = world.works().await;
    let (client, app) = (&world.stand.client, &world.stand.app);
    assert!(is_reauthorize(&client.refresh(app, &tokens(&world.first)).await));
    assert!(!world.provider.is_live(token.access.expose()));
    world.stand.pass(3600);
    assert_eq!(world.ended().await, "invalid_grant");
    assert_eq!((world.provider.reuses(), world.provider.grants_ended()), (1, 1));
}

/// A provider that replaces a token once more, or forgets to say its successor, costs the grant at the next refresh.
#[tokio::test]
async fn a_provider_can_lose_a_grant() {
    for fault in [Fault::RotatedTwice, Fault::NoNewRefresh] {
        let world = World::failing(Rotation::Rotating, fault.clone()).await;
        world.works().await;
        world.stand.pass(3600);
        assert_eq!(world.ended().await, "invalid_grant", "{fault:?}");
        assert_eq!((world.provider.calls(Endpoint::Token), world.provider.reuses()), (2, 1));
    }
    // With a window neither is lost: the old one is answered with the one that counts.
    let world = World::failing(WINDOW, Fault::RotatedTwice).await;
    world.works().await;
    world.stand.pass(3600);
    world.works().await;
    assert_eq!((world.provider.replays(), world.provider.reuses()), (1, 0));
}

#[tokio::test]
async fn a_provider_that_does_not_know_the_token_took_it_back() {
    let world = World::new(Rotation::Rotating).await;
    world.provider.end_grant(&world.first.refresh);
    assert_eq!(world.stand.manager.disconnect("g").await.unwrap().provider, Ok(true));
    let world = World::new(Rotation::Rotating).await;
    world.provider.fault(Endpoint::Revoke, Fault::Status(503));
    assert!(world.stand.manager.disconnect("g").await.unwrap().provider.is_err());
    assert_eq!(world.stand.grant().await.sealed, None, "erased here in any case");
    assert!(world.provider.is_live(&world.first.access));
}
